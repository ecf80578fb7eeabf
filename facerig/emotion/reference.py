"""Style from a reference: 5 s to 3 min of curves -> the style code, and a small adapter for what it cannot say.

    code = style_of(curves)                      # eight numbers, as `styles.style` gives them
    own = learn([curves, ...])                   # Learnt: the code, and gain and rest of every channel
    own.apply(curves)                            # neutral curves -> with the character's sizes and habits

Habits are read as statistics of moving frames (sizes per region, pace, sides, resting corners of the mouth, brows and
lids) beside those of the shipped model's neutral speech (`assets/expression/neutral.csv`), so that the model's own
curves give a code near zero. A capture of grimaces is not speech: its sizes come out as large, which is what it is.
Knows no audio: what was said is not asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.curves import Curves
from facerig.emotion import looks, styles
from facerig.errors import CurvesError, InputError
from facerig.rig import rig
from facerig.stage import FPS, Frames

SHORTEST, LONGEST = 5.0, 180.0  # seconds
FORM = "facerig-style"
MOVING = 0.02  # of 0 to 1 a second: a mouth that does not move does not speak
GAIN_RANGE = (0.4, 2.0)
REST_RANGE = (0.0, 0.4)
FLOOR = 0.02  # a size below which a channel is held not to move
PULL = 0.02  # of size: channels that hardly move keep a gain near one

# statistic: the channels whose sizes it adds up
SIZES: dict[str, tuple[str, ...]] = {
    "jaw": ("jawOpen",),
    "lips": ("mouthUpperUp", "mouthLowerDown", "mouthFunnel", "mouthPucker", "mouthStretch"),
    "brows": ("browInnerUp", "browOuterUp", "browDown"),
}
# statistic: channels whose medians count up, and down
RESTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tension": (("mouthPress", "mouthRollLower", "mouthRollUpper"), ()),
    "smile": (("mouthSmile",), ("mouthFrown",)),
    "alertness": (("eyeWide",), ("eyeBlink",)),
}
# What a statistic must change by for its number of the code to be 1, and -1 where that differs (sizes and pace as a
# ratio): what the taught styles at their ends do to 27 clips, measured on the teacher's curves.
FULL = {"jaw": 1.5, "lips": 1.44, "tension": 0.057, "tempo": 1.13, "asymmetry": 0.4, "smile": 0.45, "liveliness": 1.17,
        "alertness": 0.4}  # fmt: skip
LEAST = {"jaw": 0.5, "lips": 0.49, "tempo": 0.93}


def style_of(curves: Curves) -> styles.Code:
    """The code that brings the model's neutral speech nearest to these habits."""
    native = values(curves)
    _check_length(len(native))
    own, normal = statistics(native), neutral()
    numbers = {
        "jaw": _ratio("jaw", own["jaw"], normal["jaw"]),
        "lips": _ratio("lips", own["lips"], normal["lips"]),
        "tempo": _ratio("tempo", own["pace"], normal["pace"]),
        "asymmetry": (own["sides"] - normal["sides"]) / FULL["asymmetry"],
        "liveliness": (own["brows"] - normal["brows"]) / FULL["liveliness"],
        **{name: (own[name] - normal[name]) / FULL[name] for name in RESTS},
    }
    return tuple(round(float(np.clip(numbers[axis.name], -1, 1)), 3) for axis in styles.AXES)


def statistics(values: Frames) -> dict[str, float]:
    """Habits of [n, 68] native curves at 60 frames a second, over the frames in which the mouth moves."""
    moving = values[moving_frames(values)]
    out = {name: float(sizes(moving)[_columns(stems)].sum()) for name, stems in SIZES.items()}
    for name, (up, down) in RESTS.items():
        middles = np.median(moving, axis=0)
        out[name] = float(middles[_columns(up)].mean() - (middles[_columns(down)].mean() if down else 0.0))
    speech = values[:, _columns((*SIZES["jaw"], *SIZES["lips"]))]
    speed = np.abs(np.diff(speech, axis=0)).sum(1)
    size = np.abs(speech - speech.mean(0)).sum(1)
    out["pace"] = float(FPS * speed.mean() / max(1e-6, size.mean()))
    left, right = (np.abs(moving[:, side]).mean() for side in _paired())
    out["sides"] = float((left - right) / max(1e-6, (left + right) / 2)) / 2
    return out


@lru_cache(maxsize=1)
def neutral() -> Mapping[str, float]:
    """Statistics of the shipped model's neutral speech."""
    return {row["statistic"]: float(row["value"]) for row in looks.table("neutral") if row["channel"] == ""}


@lru_cache(maxsize=1)
def neutral_channels() -> tuple[Frames, Frames]:
    """(size, rest) of every channel in the same speech."""
    rows = {(row["statistic"], row["channel"]): float(row["value"]) for row in looks.table("neutral")}
    names = rig(looks.RIG).names
    size, rest = (np.array([rows.get((what, name), 0.0) for name in names], np.float32) for what in ("size", "rest"))
    return size, rest


def _ratio(axis: str, own: float, normal: float) -> float:
    """A ratio as a number of the code."""
    change = float(np.log(max(own, 1e-3) / max(normal, 1e-3)))
    return change / float(np.log(FULL[axis])) if change > 0 else -change / float(np.log(LEAST[axis]))


def sizes(values: Frames) -> Frames:
    """[C] how far a channel goes: nine tenths of the frames lie within."""
    return np.asarray(np.percentile(values, 95, axis=0) - np.percentile(values, 5, axis=0), np.float32)


def moving_frames(values: Frames) -> NDArray[np.bool_]:
    jaw = values[:, _columns(("jawOpen", *SIZES["lips"]))]
    speed = np.abs(np.diff(jaw, axis=0, prepend=jaw[:1])).sum(1) * FPS
    reached = np.convolve(speed, np.ones(31) / 31, mode="same") > MOVING
    return reached if reached.any() else np.ones(len(values), bool)


def _columns(stems: Sequence[str]) -> list[int]:
    return [place for stem in stems for place in looks.placed(stem)]


@lru_cache(maxsize=1)
def _paired() -> tuple[list[int], list[int]]:
    """The mouth's channels on the left and on the right."""
    names = rig(looks.RIG).names
    left = [k for k, name in enumerate(names)
            if name.startswith("mouth") and name.endswith("Left") and name != "mouthLeft"]
    return left, [names.index(names[k].removesuffix("Left") + "Right") for k in left]


def values(curves: Curves) -> Frames:
    """[n, 68] at the native rate, in our order; Live Link's and other ARKit spellings are taken."""
    names = rig(looks.RIG).names
    found = {place: name for name, place in zip(curves.channels, places(curves), strict=True) if place is not None}
    if names.index("jawOpen") not in found:
        raise CurvesError(_stranger(curves))
    native = curves.select(found.values()).resample(FPS).values
    out = np.zeros((len(native), len(names)), np.float32)
    out[:, list(found)] = native
    return np.clip(out, 0, 1)


def places(curves: Curves) -> list[int | None]:
    """Which of ours each channel is, in Live Link's or another ARKit spelling; None: none, as angles of the head."""
    ours = {name: place for place, name in enumerate(rig(looks.RIG).names)}
    return [ours.get(name[:1].lower() + name[1:]) for name in curves.channels]


def _stranger(curves: Curves) -> str:
    return (f"style: got channels {', '.join(curves.channels[:4])} ..., accepted: ARKit's names; "
            f"facerig convert --rig arkit gives them")


def _check_length(frames: int) -> None:
    """Of all captures together."""
    if not SHORTEST * FPS <= frames <= LONGEST * FPS:
        raise CurvesError(f"style: got {frames / FPS:.1f} s in all, accepted: {SHORTEST:g} to {LONGEST:g} s")


# ---- few shots --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Learnt:
    """A character's habits: the code, and per channel a gain and a rest that go beyond it."""

    code: styles.Code
    gain: Frames  # [68]
    rest: Frames  # [68]

    def apply(self, curves: Curves, strength: float = 1.0) -> Curves:
        """Curves with these habits, channels not ours untouched; closures stay: jaw and lips keep their proportion."""
        own = {column: place for column, place in enumerate(places(curves)) if place is not None}
        if not own:
            raise CurvesError(_stranger(curves))
        columns, ours = list(own), list(own.values())
        before = curves.values[:, columns]
        styled = before * (1 + strength * (self.gain[ours] - 1))
        styled += strength * self.rest[ours] * (1 - np.clip(styled, 0, 1))
        inside = (before >= 0) & (before <= 1)  # what a raw take holds outside the range is not cut
        out = curves.values.copy()
        out[:, columns] = np.where(inside, np.clip(styled, 0, 1), styled)
        return curves.with_values(out)

    def to_json(self) -> str:
        names = rig(looks.RIG).names
        own = {name: {"gain": round(float(g), 3), "rest": round(float(r), 3)}
               for name, g, r in zip(names, self.gain, self.rest, strict=True) if abs(g - 1) > 5e-3 or r > 5e-3}
        code = dict(zip((axis.name for axis in styles.AXES), self.code, strict=True))
        return json.dumps({"format": FORM, "version": 1, "style": code, "channels": own}, indent=1) + "\n"


def learn(captures: Sequence[Curves]) -> Learnt:
    """From up to three minutes of captured curves."""
    native = np.concatenate([values(one) for one in captures]) if captures else np.zeros((0, 0), np.float32)
    _check_length(len(native))
    moving = native[moving_frames(native)]
    size, rest = neutral_channels()
    own = sizes(moving)
    gain = np.clip((own + PULL) / (size + PULL), *GAIN_RANGE)
    gain[np.maximum(own, size) < FLOOR] = 1.0
    names = rig(looks.RIG).names
    tongue = [k for k, name in enumerate(names) if name.startswith("tongue")]
    gain[tongue] = 1.0  # trackers do not see it
    gain[names.index("mouthClose")] = gain[names.index("jawOpen")]
    raised = np.clip(np.percentile(moving, 20, axis=0) - rest, *REST_RANGE)
    opening = [k for k, name in enumerate(names) if name.startswith(_OPENING)]
    raised[opening] = 0.0  # a rest that held the lips apart would undo closures
    joined = Curves(names, FPS, native)
    return Learnt(style_of(joined), gain.astype(np.float32), raised.astype(np.float32))


_OPENING = ("jaw", "mouthClose", "mouthFunnel", "mouthLowerDown", "mouthUpperUp", "mouthShrugUpper", "tongue",
            "eyeLook", "eyeBlink", "mouthLeft", "mouthRight")  # fmt: skip


def read_learnt(path: str | Path) -> Learnt:
    """A file that `facerig style learn` wrote."""
    file, names = Path(path), rig(looks.RIG).names
    try:
        raw = json.loads(file.read_text("utf-8"))
        if raw["format"] != FORM:
            raise ValueError(f"format {raw['format']!r}")
        code = styles.style([raw["style"][axis.name] for axis in styles.AXES])
        gain, rest = np.ones(len(names), np.float32), np.zeros(len(names), np.float32)
        for name, own in raw["channels"].items():
            gain[names.index(name)], rest[names.index(name)] = float(own["gain"]), float(own["rest"])
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file.name}: no style file ({str(error)[:60]}); see `facerig style learn`") from error
    if not (np.isfinite(gain).all() and np.isfinite(rest).all()):
        raise InputError(f"{file.name}: gains and rests must be finite numbers")
    return Learnt(code, gain, rest)
