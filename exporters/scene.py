"""What a scene file animates: the keys of a head's shapes and joints, as `facerig.matching` laid them on it. Knows no
file format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from exporters.base import ExportOptions
from exporters.keys import Track, tracks
from facerig.curves import Curves
from facerig.matching import match
from facerig.mesh import Head
from facerig.turns import Doubles, euler_xyz, quaternions_of


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
    found = match(curves, head, options.joints)
    turns = {number: replace(found.curves, channels=("x", "y", "z"), marks=(),
                             values=np.stack(euler_xyz(matrices), axis=1).astype(np.float32))
             for number, matrices in found.turns.items()}
    return Scene(head, found.curves, found.channels, turns, options.keys)


def quaternions(turn: Curves) -> Doubles:
    """Unit quaternions [T, 4] (x, y, z, w) of Euler turns, on one side of the sphere from frame to frame."""
    return quaternions_of(turn.values.astype(np.float64))
