"""Against measured faces (GRID's tracks, FACEGOOD's curves, an articulograph's points): correlation, error, lag,
closures, millimetres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.phones import units
from facerig.train.corpora.motion import EYES_MM
from facerig.train.evaluate.events import FPS, Matches, runs
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.shown import lip_gap, reference_head, reference_mouth
from facerig.train.evaluate.systems import CHANNELS, Floats, Output

LAGS = range(-9, 10)  # frames: +-150 ms
GRID_CLOSED_MM = 0.02 * EYES_MM  # over rest, the set's own threshold (its README); the same for what is made
GRID_MEASURES = {"gap_inner": "gap", "outer_height": "outer_height", "width_outer": "width", "jaw_drop": "jaw_drop"}
# The articulograph's: GRID's track for it, and the points it lies between (z is up; the jaw is measured from the head)
EMA_MEASURES: Mapping[str, tuple[str, str | None, str]] = {
    "lips": ("gap_inner", "upper_lip_z", "lower_lip_z"),
    "jaw": ("jaw_drop", None, "jaw_z"),
}
# FACEGOOD composites: (their columns, ARKit channels). Rounding is one whatever names a clip's animator used for it.
FACEGOOD: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "jaw": (("mouth_stretch_c",), ("jawOpen",)),
    "rounding": (
        ("mouth_oh_c", "mouth_oo_c", "mouth_funnel_dl", "mouth_funnel_ul", "mouth_pucker_l"),
        ("mouthFunnel", "mouthPucker"),
    ),
    "closing": (
        ("mouth_suck_dl", "mouth_suck_ul", "mouth_press_l"),
        ("mouthRollLower", "mouthRollUpper", "mouthPressLeft"),
    ),
}
# How FACEGOOD's mouth would be said in ARKit, for distances on a head
FACEGOOD_TO_ARKIT: tuple[tuple[str, str, float], ...] = (
    ("mouth_stretch_c", "jawOpen", 1.0),
    ("mouth_oh_c", "mouthFunnel", 0.5),
    ("mouth_funnel_dl", "mouthFunnel", 0.5),
    ("mouth_oo_c", "mouthPucker", 0.7),
    ("mouth_pucker_l", "mouthPucker", 1.0),
    ("mouth_lowerLipDepress_l", "mouthLowerDownLeft", 1.0),
    ("mouth_lowerLipDepress_r", "mouthLowerDownRight", 1.0),
    ("mouth_upperLipRaise_l", "mouthUpperUpLeft", 1.0),
    ("mouth_upperLipRaise_r", "mouthUpperUpRight", 1.0),
    ("mouth_press_l", "mouthPressLeft", 1.0),
    ("mouth_press_r", "mouthPressRight", 1.0),
    ("mouth_suck_dl", "mouthRollLower", 1.0),
    ("mouth_suck_ul", "mouthRollUpper", 1.0),
    ("mouth_lipStretch_l", "mouthStretchLeft", 1.0),
    ("mouth_lipStretch_r", "mouthStretchRight", 1.0),
    ("mouth_lipCornerPull_l", "mouthSmileLeft", 1.0),
    ("mouth_lipCornerPull_r", "mouthSmileRight", 1.0),
)
STILL = 1e-5  # a track that varies less does not move
EVERY = 12  # frames between two meshes: five a second are enough for a mean distance


@dataclass
class Track:
    """One measured quantity beside the made one, clip by clip."""

    real: list[Floats] = field(default_factory=list)
    made: list[Floats] = field(default_factory=list)

    def add(self, real: Floats, made: Floats) -> None:
        count = min(len(real), len(made))
        self.real.append(real[:count])
        self.made.append(made[:count])

    def figures(self) -> dict[str, float | None]:
        """Pooled r, the same within clips (each about its own mean: how a head is held changes from clip to clip, and
        no sound tells), r at the best lag and that lag (positive: made is late), error left by the best line,
        amplitude."""
        lagged = {lag: self._r(lag) for lag in LAGS}
        best = max(lagged, key=lambda lag: (lagged[lag], -abs(lag)))
        r = lagged[0]
        real, made = self._joined(0)
        ratio = float(made.std() / real.std()) if len(real) and real.std() > 0 else None
        return {
            "r": round(r, 3),
            "r_in_clips": round(correlation(*self._joined(0, centred)), 3),
            "error": round(float(np.sqrt(max(0.0, 1 - r * r))), 3),
            "best_r": round(lagged[best], 3),
            "lag_ms": round(best * 1000 / FPS, 1),
            "amplitude": round(ratio, 3) if ratio is not None else None,
        }

    def _joined(self, lag: int, changed: Callable[[Floats], Floats] = lambda values: values) -> tuple[Floats, Floats]:
        """All clips' finite frames, each clip's values changed by a function of them."""
        sides: tuple[list[Floats], list[Floats]] = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
        for own_real, own_made in zip(self.real, self.made, strict=True):
            real, made = _shifted(own_real, own_made, lag)
            good = np.isfinite(real) & np.isfinite(made)
            for side, values in zip(sides, (real[good], made[good]), strict=True):
                side.append(changed(values))
        return np.concatenate(sides[0]), np.concatenate(sides[1])

    def _r(self, lag: int) -> float:
        return correlation(*self._joined(lag))


def _shifted(real: Floats, made: Floats, lag: int) -> tuple[Floats, Floats]:
    """`made` looked at `lag` frames later."""
    if lag >= 0:
        return real[: len(real) - lag], made[lag:]
    return real[-lag:], made[:lag]


def clip_figures(real: Floats, made: Floats) -> dict[str, float | None]:
    """The figures of one clip alone."""
    track = Track()
    track.add(real, made)
    return track.figures()


def centred(values: Floats) -> Floats:
    """About their own mean."""
    return values - values.mean() if len(values) else values


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's r; 0 where one of them does not move."""
    if len(a) < 3 or a.std() < STILL or b.std() < STILL:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


@dataclass
class GridMotion:
    """GRID's tracks against what the curves do to a head."""

    tracks: dict[str, Track] = field(default_factory=lambda: {name: Track() for name in GRID_MEASURES})
    closures: Matches = field(default_factory=Matches)
    error_mm: list[float] = field(default_factory=list)

    def add(self, clip: Clip, output: Output) -> None:
        for name, made in tracks_made(output).items():
            self.tracks[name].add(clip.column(name) * EYES_MM, made)
        gap = self._gap(output)
        if gap is None:
            return
        real = np.nan_to_num(clip.column("gap_inner"), nan=1.0) * EYES_MM
        count = min(len(real), len(gap))
        first, last = _spoken(clip)
        inside = slice(first, min(last, count))
        self.closures.add(runs(-real[inside], -GRID_CLOSED_MM), runs(-gap[inside], -GRID_CLOSED_MM))
        self.error_mm.append(float(np.abs(real[inside] - gap[inside]).mean()))

    @staticmethod
    def _gap(output: Output) -> Floats | None:
        """Millimetres over rest."""
        if "gap_inner" in output.tracks:
            return np.asarray(output.tracks["gap_inner"] * EYES_MM, np.float32)
        return None if output.curves is None else lip_gap(output.curves)

    def figures(self) -> dict[str, object]:
        out: dict[str, object] = {name: track.figures() for name, track in self.tracks.items() if track.real}
        if self.closures.wanted:
            out["closure"] = self.closures.figures()
        if self.error_mm:
            out["gap_error_mm"] = round(float(np.mean(self.error_mm)), 2)
        return out


def tracks_made(output: Output) -> dict[str, Floats]:
    """GRID's tracks in millimetres: predicted directly, or what the curves do to a head."""
    if output.tracks:
        return {name: output.tracks[name] * EYES_MM for name in GRID_MEASURES if name in output.tracks}
    if output.curves is None:
        return {}
    mouth = reference_mouth()
    return {name: output.curves @ mouth.matrix[:, mouth.index(own)] for name, own in GRID_MEASURES.items()}


@dataclass
class EmaMotion:
    """Lips and jaw of talkers never seen, by points glued to them. Each clip alone: where a point sits is each talker's
    own matter."""

    clips: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def add(self, clip: Clip, output: Output) -> None:
        made, own = tracks_made(output), self.clips.setdefault(clip.stem, {})
        for name, (track, upper, lower) in EMA_MEASURES.items():
            if track in made:
                apart = -clip.column(lower) if upper is None else clip.column(upper) - clip.column(lower)
                own[name] = clip_figures(apart, made[track])

    def figures(self) -> dict[str, object]:
        """Mean r over the clips, and every clip's figures."""
        out: dict[str, object] = {}
        for name in EMA_MEASURES:
            each = {stem: own[name] for stem, own in self.clips.items() if name in own}
            if each:
                out[name] = {"r": round(float(np.mean([figures["r"] for figures in each.values()])), 3), "clips": each}
        return out


def _spoken(clip: Clip) -> tuple[int, int]:
    """First and last frame between which the clip is spoken."""
    silent = {unit.unit for unit in units() if unit.is_silence}
    spoken = [t for t in clip.timed if t.unit not in silent]
    if not spoken:
        return 0, 0
    return int(spoken[0].start * FPS), int(np.ceil(spoken[-1].end * FPS))


def facegood_composite(clip: Clip, name: str) -> Floats:
    """What the solved curves say of jaw, rounding or closing."""
    columns = FACEGOOD[name][0]
    return np.asarray(np.sum([clip.column(column) for column in columns], axis=0), np.float32)


@dataclass
class FacegoodMotion:
    """FACEGOOD's composites, and distances on a head."""

    clips: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, clip: Clip, output: Output) -> None:
        own = self.clips.setdefault(clip.stem, {})
        for name in FACEGOOD:
            made = _composite_made(output, name)
            if made is not None:
                own[name] = clip_figures(facegood_composite(clip, name), made)
        if output.curves is not None and not output.tracks:
            own |= head_distances(clip, output.curves)

    def figures(self) -> dict[str, object]:
        """Per clip r, error, lag and amplitude of the composites, and the distances."""
        return dict(self.clips)


Measured = GridMotion | EmaMotion | FacegoodMotion
MEASURED: Mapping[str, Callable[[], Measured]] = {"grid": GridMotion, "ema": EmaMotion, "facegood": FacegoodMotion}


def _composite_made(output: Output, name: str) -> Floats | None:
    columns, channels = FACEGOOD[name]
    if output.tracks:
        held = [output.tracks[column] for column in columns if column in output.tracks]
        return np.sum(held, axis=0, dtype=np.float32) if held else None
    if output.curves is None:
        return None
    return np.asarray(output.curves[:, [CHANNELS.index(c) for c in channels]].sum(axis=1), np.float32)


def facegood_as_arkit(clip: Clip) -> Floats:
    """[frames, 68] the solved curves under ARKit names; approximate where a shape has no counterpart."""
    out = np.zeros((clip.frames, len(CHANNELS)), np.float32)
    for column, channel, gain in FACEGOOD_TO_ARKIT:
        if column in clip.columns:
            values = np.nan_to_num(clip.column(column))
            count = min(len(values), len(out))
            out[:count, CHANNELS.index(channel)] += gain * values[:count]
    return np.clip(out, 0, 1)


def head_distances(clip: Clip, curves: Floats) -> dict[str, float]:
    """LVE: mean over frames of the largest lip-vertex distance; MVE: mean distance of all vertices. Millimetres."""
    from facerig.mesh import Deformer

    head = reference_head()
    move = Deformer(head, CHANNELS)
    scale = head.metres_per_unit * 1000
    lips = lip_vertices(move)
    largest, means = [], []
    real = facegood_as_arkit(clip)
    for first in range(0, min(len(real), len(curves)), EVERY * 20):
        rows = slice(first, first + EVERY * 20, EVERY)
        distance = np.linalg.norm(move(curves[rows]) - move(real[rows]), axis=2) * scale
        largest.append(distance[:, lips].max(axis=1))
        means.append(distance.mean(axis=1))
    lve, mve = (float(np.concatenate(part).mean()) for part in (largest, means))
    return {"lve_mm": round(lve, 3), "mve_mm": round(mve, 4)}


def lip_vertices(move: Callable[[Floats], Floats]) -> NDArray[np.intp]:
    """Vertices that pucker or funnel move by half as much as the one they move most: the lips."""
    rest = move(np.zeros((1, len(CHANNELS)), np.float32))[0]
    lips = np.zeros(len(rest), bool)
    for channel in ("mouthPucker", "mouthFunnel"):
        weights = np.zeros((1, len(CHANNELS)), np.float32)
        weights[0, CHANNELS.index(channel)] = 1
        moved = np.linalg.norm(move(weights)[0] - rest, axis=1)
        lips |= moved > 0.5 * moved.max()
    return np.flatnonzero(lips)
