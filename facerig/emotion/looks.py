"""What an emotion and a style look like, from the tables in `assets/expression`: FACS action units -> native channels.

    units.csv     an action unit's channels; how much of it stays while one speaks, under rounding, under a closure
    emotions.csv  an emotion's units at full intensity, at rest (`still`) and on a stressed word (`accent`)
    speech.csv    what it does to speech: gains of jaw, upper lip, lower lip, rounding, spreading; speed of onset
    styles.csv    what each end of each number of the style code does
    timing.csv    how fast a region comes and goes
    raise.csv     what the controls `raise:*` move, beside any emotion

Poses are linear in the mixture. Knows no audio and no model: the teacher (`facerig.train.teacher.expression`) joins
these with speech, the stage `facerig.emotion.express` shows them while nobody speaks.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.controls import COLUMNS, EMOTIONS, STYLE, group
from facerig.emotion.code import STYLED, UPPER, WHOLE
from facerig.errors import ModelError
from facerig.files import assets_folder
from facerig.rig import rig
from facerig.stage import FPS, Frames

RIG = "facerig"
UPPER_REGIONS = ("brows", "lids", "gaze")  # what the upper mixture moves; cheeks and nose go with the mouth
PACED = ("brows", "lids", "gaze", "cheeks", "nose", "lips", "jaw")  # regions of timing.csv; what else there is: lips
GROUPS = ("jaw", "upper", "lower", "round", "spread")
# Channels of speech that a gain scales. Pressing and rolling make contacts, and keep their size.
GROUP_CHANNELS: dict[str, tuple[str, ...]] = {
    "jaw": ("jawOpen", "mouthClose"),
    "upper": ("mouthUpperUp",),
    "lower": ("mouthLowerDown",),
    "round": ("mouthFunnel", "mouthPucker"),
    "spread": ("mouthStretch", "mouthSmile", "mouthDimple"),
}
# Frames in which a change of the condition is complete, along a raised cosine: what comes and goes is mixed of these.
KERNELS = (6, 12, 24, 36)
REACH = max(KERNELS) - 1  # frames of the condition's past that still matter
ENDS = 2 * STYLE  # + and - of every number of the style code: +0 .. +7, -0 .. -7


@dataclass(frozen=True, eq=False)
class Looks:
    """The tables as arrays over the native channels (C)."""

    channels: tuple[str, ...]
    still: Frames  # [12, C] of the emotions
    accent: Frames  # [12, C]
    style_still: Frames  # [16, C] of the ends
    style_accent: Frames  # [16, C]
    gains: Frames  # [12, GROUPS] less one
    style_gains: Frames  # [16, GROUPS]
    quiet: Frames  # [16] accents taken away
    tempo: Frames  # [2] crisp, slur
    sides: Frames  # [2] more on the left, more on the right
    speaking: Frames  # [C] share of a pose that stays while one speaks
    rounded: Frames  # [C] share that rounding takes away
    opens: Frames  # [C] share that a closure takes away
    region: NDArray[np.int64]  # [C] which of PACED
    onset: NDArray[np.int64]  # [12, PACED] which kernel
    offset: NDArray[np.int64]  # [PACED]

    def pose(self, smooth: Frames) -> Frames:
        """[n, KERNELS, 32] of `smoothed` -> [n, C] the face at rest; zero where the condition is."""
        return self.weighed(self.emotions(smooth), self.still) + times(ends(smooth), self.style_still)

    def emotions(self, smooth: Frames) -> Frames:
        """[n, 12, PACED] how far each emotion has come in each region: as fast as it comes, as slowly as it goes."""
        upper = np.isin(PACED, UPPER_REGIONS)
        own = np.where(upper[None, None, None], smooth[..., UPPER, None], smooth[..., WHOLE, None])
        rows, columns = np.arange(len(EMOTIONS))[:, None], np.arange(len(PACED))
        return np.maximum(own[:, self.onset, rows, columns], own[:, self.offset, rows, columns])

    def weighed(self, came: Frames, amounts: Frames) -> Frames:
        """[n, C] sum over the emotions, each as far as it has come, of [12, C] amounts."""
        out = np.zeros((len(came), len(self.channels)), np.float32)
        for k in range(len(PACED)):
            columns = np.flatnonzero((self.region == k) & amounts.any(axis=0))
            out[:, columns] = times(came[:, :, k], amounts[:, columns])
        return out


def times(left: Frames, right: Frames) -> Frames:
    """A product of matrices in which a row does not depend on its neighbours, to the last bit (BLAS may differ)."""
    return np.asarray(np.einsum("ne,ec->nc", left, right), np.float32)


def ends(smooth: Frames) -> Frames:
    """[n, 16] how far each end of the style code has come."""
    code = smooth[:, 1, STYLED]
    return np.concatenate([np.maximum(code, 0), np.maximum(-code, 0)], axis=1)


@cache
def kernels() -> Frames:
    """[KERNELS, REACH + 1] weights of the past, the present last; each sums to one."""
    out = np.zeros((len(KERNELS), REACH + 1), np.float32)
    for row, length in enumerate(KERNELS):
        edges = 0.5 - 0.5 * np.cos(np.pi * np.arange(length + 1) / length)
        out[row, REACH + 1 - length :] = np.diff(edges)[::-1]
    return out


def smoothed(seen: Frames) -> Frames:
    """[REACH + n, 32] -> [n, KERNELS, 32]."""
    windows = np.lib.stride_tricks.sliding_window_view(seen, REACH + 1, axis=0)  # [n, 32, REACH + 1]
    return np.ascontiguousarray(np.moveaxis(windows @ kernels().T, -1, 1), np.float32)


def whole_clip(condition: Frames) -> Frames:
    """[n, 32] -> [n, KERNELS, 32] of a clip that begins as it is in its first frame."""
    return smoothed(np.concatenate([np.repeat(condition[:1], REACH, axis=0), condition]))


# ---- tables -----------------------------------------------------------------------------------------------------


def folder() -> Path:
    return assets_folder() / "expression"


def table(name: str) -> list[dict[str, str]]:
    """Rows of one of the tables."""
    path = folder() / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise ModelError(f"{path.name}: cannot be read ({error.strerror}); reinstall facerig") from error


@lru_cache(maxsize=1)
def looks() -> Looks:
    """The shipped tables."""
    names = rig(RIG).names
    style = _styles()
    return Looks(
        names, _emotions("still"), _emotions("accent"), style["still"], style["accent"], _gains(), style["gains"],
        style["quiet"], style["tempo"], style["sides"], _share("speaking", 1.0), _share("rounded", 0.0),
        _share("opens", 0.0), *_timing(),
    )  # fmt: skip


@cache
def unit(name: str, side: str = "both") -> Frames:
    """[C] what an action unit moves, on one side or both."""
    names = rig(RIG).names
    out = np.zeros(len(names), np.float32)
    absent = {"left": "Right", "right": "Left"}.get(side, "-")
    for row in table("units"):
        if row["unit"] == name:
            for place in placed(row["channel"]):
                out[place] += np.float32(row["weight"]) * (not names[place].endswith(absent))
    return out


def placed(stem: str) -> list[int]:
    """Columns of a channel, on both sides where it has sides."""
    return [k for k, name in enumerate(rig(RIG).names) if name in (stem, f"{stem}Left", f"{stem}Right")]


def _emotions(column: str) -> Frames:
    out = np.zeros((len(EMOTIONS), len(rig(RIG).names)), np.float32)
    for row in table("emotions"):
        out[EMOTIONS.index(row["emotion"])] += np.float32(row[column]) * unit(row["unit"], row["side"])
    return out


def _gains() -> Frames:
    by_name = {row["emotion"]: [float(row[group]) - 1 for group in GROUPS] for row in table("speech")}
    return np.array([by_name[name] for name in EMOTIONS], np.float32)


def _styles() -> dict[str, Frames]:
    from facerig.emotion.styles import AXES

    count = len(rig(RIG).names)
    out = {"still": np.zeros((ENDS, count)), "accent": np.zeros((ENDS, count)), "quiet": np.zeros(ENDS),
           "gains": np.zeros((ENDS, len(GROUPS))), "tempo": np.zeros(2), "sides": np.zeros(2)}
    for row in table("styles"):
        end = [axis.name for axis in AXES].index(row["axis"]) + STYLE * (row["sign"] == "-")
        (what, _, which), amount = row["what"].partition(":"), float(row["amount"])
        if what == "gain":
            out["gains"][end, GROUPS.index(which)] += amount
        elif what in ("crisp", "slur"):
            out["tempo"][what == "slur"] = amount
        elif what == "side":
            out["sides"][which == "right"] = amount
        elif what == "accents":
            out["quiet"][end] = -amount
        elif what == "shift":
            out["still"][end, placed(which)] += amount
        else:
            out["accent" if what == "accent" else "still"][end] += amount * unit(which)
    return {name: array.astype(np.float32) for name, array in out.items()}


def _share(column: str, empty: float) -> Frames:
    """[C] of the unit that says most (for `speaking`: that leaves least) of the channel."""
    out = np.full(len(rig(RIG).names), empty, np.float32)
    for row in table("units"):
        value = np.float32(row[column])
        for place in placed(row["channel"]):
            out[place] = min(out[place], value) if empty else max(out[place], value)
    return out


@cache
def raised() -> Frames:
    """[2 x controls of the group `raise`, C]: what each moves upwards, then what downwards."""
    names = [name.partition(":")[2] for name in COLUMNS[group("raise")]]
    out = np.zeros((2 * len(names), len(rig(RIG).names)), np.float32)
    for row in table("raise"):
        end = names.index(row["control"]) + len(names) * (row["sign"] == "-")
        out[end, placed(row["channel"])] += float(row["amount"])
    return out


def _timing() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    held = {row["region"]: (float(row["onset_ms"]), float(row["offset_ms"])) for row in table("timing")}
    pace = {row["emotion"]: float(row["onset"]) for row in table("speech")}
    regions = [name if name in PACED else "lips" for name in (channel.region for channel in rig(RIG).channels)]
    onset = [[_kernel(held[name][0] * pace[emotion]) for name in PACED] for emotion in EMOTIONS]
    offset = [_kernel(held[name][1]) for name in PACED]
    return np.array([PACED.index(name) for name in regions]), np.array(onset), np.array(offset)


def _kernel(milliseconds: float) -> int:
    """The kernel whose length is nearest, in proportion."""
    return int(np.abs(np.log(np.array(KERNELS) * 1000 / FPS / milliseconds)).argmin())


