"""A face apart from any rig: 52 ARKit weights and three rotations whose signs have names. Knows no wire.

Protocols disagree on axes and signs, so every encoder starts from a `Turn`, whose fields say where they point, and its
own table says which sign it sends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from facerig.errors import ProtocolError
from unreal_bridge.wire import Floats, finite


@dataclass(frozen=True)
class Turn:
    """A rotation in radians: to the face's own right, downwards, tilted onto its own right shoulder."""

    right: float = 0.0
    down: float = 0.0
    tilt: float = 0.0

    @property
    def degrees(self) -> Turn:
        return Turn(*(math.degrees(angle) for angle in (self.right, self.down, self.tilt)))

    def quaternion(self) -> tuple[float, float, float, float]:
        """x, y, z, w for a left-handed world with y up and z ahead (Unity): yaw, then pitch, then roll."""
        sx, cx = math.sin(self.down / 2), math.cos(self.down / 2)
        sy, cy = math.sin(self.right / 2), math.cos(self.right / 2)
        sz, cz = math.sin(-self.tilt / 2), math.cos(-self.tilt / 2)  # +z lifts the right side there
        return (sx * cy * cz + cx * sy * sz, cx * sy * cz - sx * cy * sz,
                cx * cy * sz - sx * sy * cz, cx * cy * cz + sx * sy * sz)

    @classmethod
    def of_quaternion(cls, x: float, y: float, z: float, w: float) -> Turn:
        """The inverse, for any quaternion that is not zero."""
        size = math.sqrt(x * x + y * y + z * z + w * w)
        if not size > 0 or not math.isfinite(size):
            raise ProtocolError(f"rotation: got the quaternion ({x}, {y}, {z}, {w}), accepted: one of length 1")
        x, y, z, w = x / size, y / size, z / size, w / size
        down = math.asin(max(-1.0, min(1.0, 2 * (w * x - y * z))))
        right = math.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y))
        roll = math.atan2(2 * (x * y + w * z), 1 - 2 * (x * x + z * z))
        return cls(right, down, -roll)


AHEAD = Turn()


@dataclass(frozen=True, eq=False)
class Face:
    """One frame: weights [52] in the order of the rig `arkit`, head and eyes."""

    names: tuple[str, ...]
    weights: Floats
    head: Turn = AHEAD
    left_eye: Turn = AHEAD
    right_eye: Turn = AHEAD

    def weight(self, name: str) -> float:
        return float(self.weights[self.names.index(name)])


# Live Link's nine angles, in its own order from slot 52 on: part, axis, radians that a value of 1 stands for. Signs of
# the eyes were measured on recordings by an iPhone: EyeYaw falls with EyeLookOutLeft and rises with EyeLookOutRight
# (r .999), so it grows to the face's own right; EyePitch falls with EyeLookUp (r .996). Of the head only yaw could be
# measured: in the one recording where a head turns, HeadYaw and EyeYaw rise together (r .95, slope .77), and eyes that
# stay on the phone turn against the head, so HeadYaw grows to the own left. Pitch and roll follow ARKit's right-handed
# axes. Engines turn the head by 50 degrees at a value of 1.
SHAPES = 52
HEAD_UNIT = math.radians(50.0)
ANGLES: tuple[tuple[str, str, float], ...] = (
    ("head", "right", -HEAD_UNIT),
    ("head", "down", HEAD_UNIT),
    ("head", "tilt", HEAD_UNIT),
    ("left_eye", "right", 1.0),
    ("left_eye", "down", 1.0),
    ("left_eye", "tilt", 1.0),
    ("right_eye", "right", 1.0),
    ("right_eye", "down", 1.0),
    ("right_eye", "tilt", 1.0),
)


def from_livelink(values: Sequence[float] | Floats, names: tuple[str, ...]) -> Face:
    """The face that 61 Live Link values describe; `names` are the 52 ARKit names."""
    numbers = finite(values)
    turns: dict[str, dict[str, float]] = {"head": {}, "left_eye": {}, "right_eye": {}}
    for (part, axis, unit), value in zip(ANGLES, numbers[SHAPES:], strict=True):
        turns[part][axis] = unit * float(value)
    return Face(names, numbers[:SHAPES], **{part: Turn(**angles) for part, angles in turns.items()})


def to_livelink(face: Face) -> Floats:
    """The 61 Live Link values of a face."""
    angles = [getattr(getattr(face, part), axis) / unit for part, axis, unit in ANGLES]
    return finite([*face.weights, *angles])
