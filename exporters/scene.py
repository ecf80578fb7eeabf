"""What a scene file animates: which shapes of a head follow which channel, and how its joints turn. Knows no file
format.

Channels and shapes meet by name (letter case aside); head, eye and jaw channels turn the joints. Angles are
radians: yaw about +Y, pitch about +X, roll about +Z, roll applied first and yaw last.
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

@dataclass(frozen=True)
class Turned:
    """A kind of joint: the names that heads give it (letters only, lower case), its yaw, pitch and roll channels (lower
    case) with the signs that make them turns about +Y, +X and +Z, and the prefix of its axis-angle channels (FLAME)."""

    names: frozenset[str]
    channels: tuple[str, str, str]
    signs: tuple[float, float, float]
    vector: str


PHONE_UNIT = np.deg2rad(50)

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
    angles = {name for kind in JOINTS for name in (*kind.channels, *_vector(kind))} if turns else set()
    lost = [name for name in curves.channels if name not in used and name.lower() not in angles]
    moving = [name for name in lost if np.ptp(curves[name], axis=0) > 0]
    if moving:
        log.warning("the head has no shape for %s; left out", _some(moving))


def _vector(kind: Turned) -> tuple[str, ...]:
    return tuple(f"{kind.vector}_{axis}" for axis in "xyz") if kind.vector else ()


def kind_of(joint: str) -> Turned | None:
    plain = re.sub(r"[^a-z]", "", joint.lower())
    return next((kind for kind in JOINTS if plain in kind.names), None)


def _joint_turns(curves: Curves, head: Head, by_name: dict[str, str]) -> dict[int, Curves]:
    turns: dict[int, Curves] = {}
    for number, joint in enumerate(head.joints):
        kind = kind_of(joint.name)
        matrices = _matrices(curves, kind, by_name) if kind else None
        gaze = kind is not None and "eye" in kind.channels[0] and _moved_by_shapes(head, number)
        if matrices is not None and not gaze:
            angles = np.stack(euler_xyz(matrices), axis=1).astype(np.float32)
            turns[number] = replace(curves, channels=("x", "y", "z"), values=angles, marks=())
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


def turned(yaw: Doubles, pitch: Doubles, roll: Doubles) -> Doubles:
    """Rotation matrices [T, 3, 3] = Ry(yaw) Rx(pitch) Rz(roll)."""
    return _about(1, yaw) @ _about(0, pitch) @ _about(2, roll)


def about_vector(vectors: Doubles) -> Doubles:
    """Rotation matrices of axis-angle vectors [T, 3]."""
    angle = np.linalg.norm(vectors, axis=1)
    x, y, z = (vectors / np.maximum(angle, 1e-12)[:, None]).T
    zero = np.zeros_like(x)
    cross = np.stack([np.stack([zero, -z, y], 1), np.stack([z, zero, -x], 1), np.stack([-y, x, zero], 1)], 1)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    matrices: Doubles = np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
    return matrices


def yaw_pitch_roll(matrices: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """The inverse of `turned`."""
    return (np.arctan2(matrices[:, 0, 2], matrices[:, 2, 2]), np.arcsin(np.clip(-matrices[:, 1, 2], -1, 1)),
            np.arctan2(matrices[:, 1, 0], matrices[:, 1, 1]))


def matrices_of(q: Doubles) -> Doubles:
    """Rotation matrices of quaternions [T, 4] (x, y, z, w)."""
    x, y, z, w = (q / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-12)).T
    return np.stack([
        np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1),
        np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1),
        np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1)], 1)


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
