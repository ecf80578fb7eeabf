"""What of a head follows which channel: shapes by name, joints by angles. The one rule for files and pictures.

Channels and shapes meet by name, letter case aside. Where none does, curves in another rig's names are retargeted where
there is a way; after that a dividing _ and the way to write sides do not count either. Head, eye and jaw channels turn
the joints.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facerig.curves import Curves
from facerig.errors import HeadError, RigError
from facerig.mesh import Head
from facerig.rig import identify
from facerig.turns import Doubles, about_vector, turned

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Turned:
    """A kind of joint: the names that heads give it (letters only, lower case), its yaw, pitch and roll channels (lower
    case) with the signs that make them turns about +Y, +X and +Z, and the prefix of its axis-angle channels (FLAME)."""

    names: frozenset[str]
    channels: tuple[str, str, str]
    signs: tuple[float, float, float]
    vector: str


PHONE_UNIT = float(np.deg2rad(50))

# The iPhone's yaw of an eye grows to the face's own right, that of the head to its left.
JOINTS = (
    Turned(frozenset(("head", "skull")), ("headyaw", "headpitch", "headroll"), (1, 1, 1), ""),
    Turned(frozenset(("lefteye", "eyeleft", "eyel", "leye")), ("lefteyeyaw", "lefteyepitch", "lefteyeroll"),
           (-1, 1, 1), "leye"),
    Turned(frozenset(("righteye", "eyeright", "eyer", "reye")), ("righteyeyaw", "righteyepitch", "righteyeroll"),
           (-1, 1, 1), "reye"),
    Turned(frozenset(("jaw", "jawroot")), ("jawyaw", "jawpitch", "jawroll"), (1, 1, 1), "jaw"),
    Turned(frozenset(("neck",)), ("neckyaw", "neckpitch", "neckroll"), (1, 1, 1), "neck"),
    Turned(frozenset(("global", "root")), ("", "", ""), (1, 1, 1), "global"),
)


@dataclass(frozen=True, eq=False)
class Match:
    """Curves laid on a head."""

    curves: Curves
    """retargeted where the head speaks another rig's names"""
    channels: dict[str, str]
    """the channel that moves a shape, by the head's own shape name"""
    turns: dict[int, Doubles]
    """rotation matrices [T, 3, 3] by joint number"""


def match(curves: Curves, head: Head, joints: bool = True) -> Match:
    """What moves; an error where nothing would, a warning where a moving channel finds no shape."""
    curves = _in_the_heads_names(curves, head)
    matched = _shapes(curves.channels, head.shape_names, ALIKE)
    turns = _joint_turns(curves, head) if joints else {}
    if not matched and not turns:
        raise HeadError(f"head {head.name!r} has none of the curves' channels: its shapes are "
                        f"{_some(head.shape_names)}, the channels {_some(curves.channels)}")
    _tell_lost(curves, matched, bool(turns))
    return Match(curves, matched, turns)


# What a name may end on after a dot: not the name itself.
ENDINGS = frozenset(("l", "r", "left", "right"))
SIDES = {"_l": "left", "_r": "right", ".l": "left", ".r": "right"}


def bare_names(names: Sequence[str], deformer: str) -> tuple[str, ...]:
    """Names of one mesh's shapes without the deformer that Maya writes before them (blendShape1.jawOpen). What stands
    before Blender's sides (smile.L) is the name. Exporters may rename a deformer: what all names share goes too."""
    fronts = {front + dot for front, dot, _ in (name.partition(".") for name in names)}
    shared = fronts.pop() if len(fronts) == 1 and len(names) > 1 else ""
    ends = [name.removeprefix(shared) for name in names]
    if not shared.endswith(".") or any(not end or end.isdigit() or end.lower() in ENDINGS for end in ends):
        shared = f"{deformer}."
    return tuple(name.removeprefix(shared) or name for name in names)


def sides_spelt(name: str) -> str:
    """In lower case, its side as a word: mouthSmile_L, mouthSmile.L -> mouthsmileleft."""
    lower = name.lower()
    return lower[:-2] + SIDES[lower[-2:]] if lower[-2:] in SIDES else lower


def _plain(name: str) -> str:
    return sides_spelt(name).replace("_", "")


Spellings = tuple[Callable[[str], str], ...]
SAME: Spellings = (str, str.lower)
ALIKE: Spellings = (*SAME, _plain)  # the more alike, the earlier


def _shapes(channels: Sequence[str], shapes: Sequence[str], spellings: Spellings) -> dict[str, str]:
    """The channel of each shape that has one."""
    found: dict[str, str] = {}
    for spelt in spellings:
        by_name = {spelt(name): name for name in channels}
        found |= {shape: by_name[spelt(shape)] for shape in shapes if shape not in found and spelt(shape) in by_name}
    return {shape: found[shape] for shape in shapes if shape in found}


def _in_the_heads_names(curves: Curves, head: Head) -> Curves:
    """Retargeted where the head speaks another rig's names altogether (say, visemes) and a map exists. Names that are
    merely alike do not count: a few of Meta's and SRanipal's are, which would keep the many others from the map."""
    wanted = None if _shapes(curves.channels, head.shape_names, SAME) else identify(head.shape_names)
    if wanted is None:
        return curves
    from facerig.retarget import retarget

    try:
        return retarget(curves, wanted)
    except RigError:
        return curves


def _tell_lost(curves: Curves, matched: dict[str, str], turns: bool) -> None:
    used = set(matched.values())
    angles = {name for kind in JOINTS for name in (*kind.channels, *_vector(kind))} if turns else set()
    lost = [name for name in curves.channels if name not in used and name.lower() not in angles]
    moving = [name for name in lost if (curves[name] != curves[name][:1]).any()]
    if moving:
        log.warning("the head has no shape for %s; left out", _some(moving))


def _vector(kind: Turned) -> tuple[str, ...]:
    return tuple(f"{kind.vector}_{axis}" for axis in "xyz") if kind.vector else ()


def kind_of(joint: str) -> Turned | None:
    plain = re.sub(r"[^a-z]", "", joint.lower())
    return next((kind for kind in JOINTS if plain in kind.names), None)


def _joint_turns(curves: Curves, head: Head) -> dict[int, Doubles]:
    by_name = {name.lower(): name for name in curves.channels}
    turns: dict[int, Doubles] = {}
    for number, joint in enumerate(head.joints):
        kind = kind_of(joint.name)
        matrices = _matrices(curves, kind, by_name) if kind else None
        gaze = kind is not None and "eye" in kind.channels[0] and _moved_by_shapes(head, number)
        if matrices is not None and not gaze:
            turns[number] = matrices
    return turns


def _matrices(curves: Curves, kind: Turned, by_name: dict[str, str]) -> Doubles | None:
    """Rotations of a joint over the take; None where no channel speaks of it."""

    def columns(channels: tuple[str, ...]) -> list[Doubles]:
        return [_radians(curves, by_name[c]) if c in by_name else np.zeros(curves.frames) for c in channels]

    if any(channel in by_name for channel in _vector(kind)):
        return about_vector(np.stack(columns(_vector(kind)), axis=1))
    if any(channel in by_name for channel in kind.channels):
        yaw, pitch, roll = (sign * column for sign, column in zip(kind.signs, columns(kind.channels), strict=True))
        return turned(yaw, pitch, roll)
    return None


def _radians(curves: Curves, channel: str) -> Doubles:
    """Our own headYaw is in radians, the iPhone's HeadYaw in the unit that Unreal turns into 50 degrees."""
    return curves[channel].astype(np.float64) * (PHONE_UNIT if channel.startswith("Head") else 1.0)


def _moved_by_shapes(head: Head, number: int) -> bool:
    """Whether gaze shapes already turn what hangs on this joint; both together would turn it twice."""
    for part in head.parts:
        gaze = any(name.lower().startswith("eyelook") for name in part.shapes)
        if gaze and part.joint_index is not None and part.joint_weight is not None:
            share = np.where(part.joint_index == number, part.joint_weight, 0).sum(axis=1)
            held = {int(v) for v in np.flatnonzero(share > 0.5)}
            moved = (set(map(int, s.index)) for n, s in part.shapes.items() if n.lower().startswith("eyelook"))
            if held and any(held & some for some in moved):
                return True
    return False


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) or "none"
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 5 else shown
