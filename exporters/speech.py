"""What was said, as exporters need it: phones that the curves carry, and which of 15 visemes is seen when.

Phone labels are our units, IPA or ARPABET; curves without phones are compared with the visemes' own poses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from exporters.rigs import to_rig
from facerig.curves import Curves, Mark
from facerig.errors import CurvesError, InputError, RigError
from facerig.phones import VISEMES15, Unit, to_units, unit_index, units

NOTATIONS = ("ipa", "arpabet")
SHORTEST = 0.04  # seconds: a mouth drawing shown for less is a flicker
KEPT_SHORT = frozenset(("PP", "FF"))  # closures are seen however short


@dataclass(frozen=True)
class Cue:
    """One viseme from a row to another (exclusive)."""

    first: int
    last: int
    viseme: str


@lru_cache(maxsize=1024)
def unit_of(label: str) -> Unit | None:
    """The first sound of a phone label, in whichever notation it is written."""
    try:
        return units()[unit_index(label)]
    except InputError:
        pass
    for notation in NOTATIONS:
        try:
            return units()[unit_index(to_units(label, notation)[0])]
        except InputError:
            continue
    return None


def is_bilabial(mark: Mark) -> bool:
    unit = unit_of(mark.label) if mark.kind == "phone" else None
    return unit is not None and unit.bilabial


def visemes(curves: Curves) -> list[Cue]:
    """The whole take as visemes without gaps: from its phones, else from its channels."""
    said = [mark for mark in curves.marks if mark.kind == "phone"]
    numbers = _from_phones(curves, said) if said else _from_channels(curves)
    return _settled(_runs(numbers), curves.fps)


def _from_phones(curves: Curves, said: list[Mark]) -> NDArray[np.int64]:
    out = np.zeros(curves.frames, np.int64)
    for mark in said:
        unit = unit_of(mark.label)
        viseme = VISEMES15.index(unit.viseme15) if unit else 0
        out[max(mark.start - curves.start, 0) : max(mark.end - curves.start, 0)] = viseme
    return out


def _from_channels(curves: Curves) -> NDArray[np.int64]:
    try:
        return _strongest(to_rig(curves, "oculus").select(VISEMES15))
    except RigError:
        pass
    try:
        return _nearest(to_rig(curves, "arkit"))
    except RigError as error:
        raise CurvesError(f"mouth cues: the curves carry no phones, and their channels tell no visemes "
                          f"({error})") from None


def _strongest(table: Curves) -> NDArray[np.int64]:
    best = np.argmax(table.values, axis=1)
    return np.where(table.values.max(axis=1, initial=0) > 0.05, best, 0)


def _nearest(arkit: Curves) -> NDArray[np.int64]:
    """The viseme whose pose, at the strength that fits best, lies nearest to the mouth's shapes."""
    poses = to_rig(Curves(VISEMES15, 60, np.eye(len(VISEMES15), dtype=np.float32)), "arkit")
    mouth = [n for n in arkit.channels if n.startswith(("jaw", "mouth", "tongue"))]
    pose, seen = poses.select(mouth).values.astype(np.float64), arkit.select(mouth).values.astype(np.float64)
    size = np.maximum((pose * pose).sum(axis=1), 1e-9)
    along = np.clip(seen @ pose.T / size, 0, 1.2)
    gain = along * (2 * (seen @ pose.T) - along * size)  # how much of the frame the pose explains
    gain[:, 0] = 0.02  # silence: what is left when nothing explains more
    return np.asarray(np.argmax(gain, axis=1), np.int64)


def _runs(numbers: NDArray[np.int64]) -> list[Cue]:
    edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1))
    firsts, lasts = edges[:-1].tolist(), edges[1:].tolist()
    return [Cue(a, b, VISEMES15[numbers[a]]) for a, b in zip(firsts, lasts, strict=True)]


def _settled(cues: list[Cue], fps: int) -> list[Cue]:
    """Cues too short to be seen go to the one before; equal neighbours become one."""
    out: list[Cue] = []
    for cue in cues:
        short = (cue.last - cue.first) < SHORTEST * fps and cue.viseme not in KEPT_SHORT
        if out and (short or out[-1].viseme == cue.viseme):
            out[-1] = Cue(out[-1].first, cue.last, out[-1].viseme)
        else:
            out.append(cue)
    return out
