"""`Pose`: one frame on its way out, with the conversions that several targets share. Knows rigs, and no protocol."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facerig.curves import Curves
from unreal_bridge.face import SHAPES, Face, from_livelink
from unreal_bridge.wire import Floats

LIVELINK = "livelink"
ARKIT = "arkit"
# An iPhone sends the eyes twice, as weights and as angles. Fitted to its recordings (r > .98): a weight of 1 stands for
# .60 radians sideways and .55 up or down.
SIDEWAYS, UPWARDS = 0.60, 0.55


@dataclass(frozen=True, eq=False)
class Pose:
    """The channels of one frame (`curves` has one row; None: no face in view) and its place in time."""

    curves: Curves | None
    frame: int  # on the day's grid of `fps`, so that timecode readers can line it up
    fps: int = 60
    subframe: float = 0.0
    _made: dict[str, Floats] = field(default_factory=dict, repr=False)

    def values(self, rig_name: str) -> Floats:
        """This frame in another rig's order; worked out once, whoever asks."""
        assert self.curves is not None, "a pose without a face has no values"
        if rig_name not in self._made:
            self._made[rig_name] = _values(self.curves, rig_name)
        return self._made[rig_name]

    def face(self) -> Face:
        from facerig.rig import rig

        return from_livelink(self.values(LIVELINK), rig(ARKIT).names)

    def every(self, fps: int) -> Pose | None:
        """This pose for a target of a lower rate: every n-th frame, the others not at all."""
        step = self.fps // fps
        if step <= 1:
            return self
        if self.frame % step:
            return None
        return Pose(self.curves, self.frame // step, fps, self.subframe / step, self._made)


def _values(curves: Curves, rig_name: str) -> Floats:
    from facerig.retarget import retarget

    moved = retarget(curves, rig_name)
    row = np.array(moved.values[0], np.float32)
    return with_eyes(row, curves) if rig_name == LIVELINK else row


def with_eyes(values: Floats, source: Curves) -> Floats:
    """Live Link values with the eyes' angles that belong to their weights, where the source gave no angles."""
    if "LeftEyeYaw" in source.channels:
        return values
    out = values.copy()
    for first, away, slot in ((1, -1.0, SHAPES + 3), (8, 1.0, SHAPES + 6)):
        down, inward, outward, up = values[first : first + 4]
        out[slot] = away * SIDEWAYS * (outward - inward)
        out[slot + 1] = UPWARDS * (down - up)
    return out
