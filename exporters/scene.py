"""What a scene file animates: which shapes of a head follow which channel, and how its joints turn. Knows no file format.

Channels and shapes meet by name (letter case aside); head and eye channels turn the joints. Angles are radians: yaw about +Y,
pitch about +X, roll about +Z, applied roll first and yaw last.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exporters.base import ExportOptions
from exporters.keys import Track, tracks
from exporters.rigs import like
from facerig.curves import Curves
from facerig.errors import HeadError
from facerig.mesh import Head

log = logging.getLogger(__name__)

Doubles = NDArray[np.float64]

# joint's role | names that heads give it (letters only, lower case) | its yaw, pitch and roll channels (lower case)
JOINTS: tuple[tuple[str, frozenset[str], tuple[str, str, str]], ...] = (
    ("head", frozenset(("head", "skull")), ("headyaw", "headpitch", "headroll")),
    ("left eye", frozenset(("eyel", "lefteye", "eyeleft", "leye")), ("lefteyeyaw", "lefteyepitch", "lefteyeroll")),
    ("right eye", frozenset(("eyer", "righteye", "eyeright", "reye")),
     ("righteyeyaw", "righteyepitch", "righteyeroll")),
    ("jaw", frozenset(("jaw", "jawroot")), ("jawyaw", "jawpitch", "jawroll")),
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A head with the keys of its shapes and joints."""

    head: Head
    curves: Curves
    channels: dict[str, str]
    """the channel that moves a shape, by the head's own shape name"""
    joint_turns: dict[int, Curves]
    """by joint number: channels x, y, z, Euler angles in radians, x applied first"""
    bound: float | None

    @cached_property
    def shape_tracks(self) -> dict[str, Track]:
        """By the head's own shape name."""
        reduced = tracks(self.curves.select(tuple(dict.fromkeys(self.channels.values()))), self.bound)
        return {shape: reduced[channel] for shape, channel in self.channels.items()}

    def shape_values(self, shape: str) -> Doubles:
        """A value a frame; rest where nothing moves the shape."""
        channel = self.channels.get(shape)
        return self.curves[channel].astype(np.float64) if channel else np.zeros(self.curves.frames)

    @cached_property
    def joint_tracks(self) -> dict[int, dict[str, Track]]:
        return {number: tracks(turn, self.bound) for number, turn in self.joint_turns.items()}

    @property
    def last(self) -> int:
        """Last frame with a value."""
        return self.curves.end - 1


def scene(curves: Curves, head: Head, options: ExportOptions) -> Scene:
    """Match the curves to the head; an error where nothing of it would move."""
    curves = _in_the_heads_names(curves, head)
    by_name = {name.lower(): name for name in curves.channels}
    matched = {name: by_name[name.lower()] for name in head.shape_names if name.lower() in by_name}
    turns = _joint_turns(curves, head, by_name) if options.joints else {}
    if not matched and not turns:
        raise HeadError(f"head {head.name!r} has none of the curves' channels: its shapes are "
                        f"{_some(head.shape_names)}, the channels {_some(curves.channels)}")
    _tell_lost(curves, matched, turns)
    return Scene(head, curves, matched, turns, options.keys)


def _in_the_heads_names(curves: Curves, head: Head) -> Curves:
    """Retargeted where the head speaks another rig's names altogether (say, visemes) and a map exists."""
    if {name.lower() for name in head.shape_names} & {name.lower() for name in curves.channels}:
        return curves
    return like(curves, head.shape_names)


def _tell_lost(curves: Curves, matched: dict[str, str], turns: dict[int, Curves]) -> None:
    used = set(matched.values())
    angles = {channel for _, _, channels in JOINTS for channel in channels} if turns else set()
    lost = [name for name in curves.channels if name not in used and name.lower() not in angles]
    moving = [name for name in lost if np.ptp(curves[name], axis=0) > 0]
    if moving:
        log.warning("the head has no shape for %s; left out", _some(moving))


def _joint_turns(curves: Curves, head: Head, by_name: dict[str, str]) -> dict[int, Curves]:
    turns: dict[int, Curves] = {}
    for number, joint in enumerate(head.joints):
        plain = re.sub(r"[^a-z]", "", joint.name.lower())
        for _, names, channels in JOINTS:
            present = [channel for channel in channels if channel in by_name]
            if plain in names and present and not _moved_by_shapes(head, number, plain):
                columns = [curves[by_name[c]] if c in by_name else np.zeros(curves.frames) for c in channels]
                turns[number] = _euler(curves, *(np.asarray(column, np.float64) for column in columns))
    return turns


def _moved_by_shapes(head: Head, number: int, plain: str) -> bool:
    """Whether gaze shapes already turn what hangs on this eye joint; both together would turn it twice."""
    if "eye" not in plain:
        return False
    for part in head.parts:
        gaze = any(name.lower().startswith("eyelook") for name in part.shapes)
        if gaze and part.joint_index is not None and part.joint_weight is not None:
            share = np.where(part.joint_index == number, part.joint_weight, 0).sum(axis=1)
            held = {int(v) for v in np.flatnonzero(share > 0.5)}
            moved = (set(map(int, s.index)) for n, s in part.shapes.items() if n.lower().startswith("eyelook"))
            if held and any(held & some for some in moved):
                return True
    return False


def _euler(curves: Curves, yaw: Doubles, pitch: Doubles, roll: Doubles) -> Curves:
    x, y, z = euler_xyz(turned(yaw, pitch, roll))
    return replace(curves, channels=("x", "y", "z"), values=np.stack([x, y, z], axis=1).astype(np.float32), marks=())


def turned(yaw: Doubles, pitch: Doubles, roll: Doubles) -> Doubles:
    """Rotation matrices [T, 3, 3] = Ry(yaw) Rx(pitch) Rz(roll)."""
    return _about(1, yaw) @ _about(0, pitch) @ _about(2, roll)


def _about(axis: int, angle: Doubles) -> Doubles:
    out = np.zeros((*angle.shape, 3, 3))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    out[..., axis, axis] = 1
    out[..., first, first] = out[..., second, second] = np.cos(angle)
    out[..., second, first], out[..., first, second] = np.sin(angle), -np.sin(angle)
    return out


def euler_xyz(matrices: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Angles with matrix = Rz(z) Ry(y) Rx(x), without jumps from frame to frame."""
    y = np.arcsin(np.clip(-matrices[..., 2, 0], -1, 1))
    x = np.arctan2(matrices[..., 2, 1], matrices[..., 2, 2])
    z = np.arctan2(matrices[..., 1, 0], matrices[..., 0, 0])
    return np.unwrap(x, axis=0), y, np.unwrap(z, axis=0)


def quaternions(turn: Curves) -> Doubles:
    """Unit quaternions [T, 4] (x, y, z, w) of Euler turns, on one side of the sphere from frame to frame."""
    half = turn.values.astype(np.float64) / 2
    (sx, sy, sz), (cx, cy, cz) = np.sin(half).T, np.cos(half).T
    q = np.stack([sx * cy * cz - cx * sy * sz, cx * sy * cz + sx * cy * sz,
                  cx * cy * sz - sx * sy * cz, cx * cy * cz + sx * sy * sz], axis=1)
    flips = np.cumprod(np.where((q[1:] * q[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    q[1:] *= flips[:, None]
    return q


def _some(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:5]) or "none"
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 5 else shown
