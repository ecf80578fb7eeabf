"""`Pose`: one frame on its way out, with the conversions that several targets share. Knows rigs, and no protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facerig.curves import Curves
from facerig.retarget import RetargetMap, carried, route, source_rig
from facerig.rig import rig
from unreal_bridge.face import Face, from_livelink
from unreal_bridge.wire import Floats

LIVELINK = "livelink"
ARKIT = "arkit"


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
        return from_livelink(self.values(LIVELINK), rig(ARKIT).names)

    def every(self, fps: int) -> Pose | None:
        """This pose for a target of a lower rate: the first of each of its frames, the others not at all."""
        if fps >= self.fps:
            return self
        frame, late = divmod(self.frame * fps, self.fps)
        if late >= fps:
            return None
        # Where the rates are no multiples the rest tells when it was: it stays in the frame that it is numbered as.
        return Pose(self.curves, frame, fps, min((late + self.subframe * fps) / self.fps, 0.999999), self._made)


def _values(curves: Curves, rig_name: str) -> Floats:
    way = _way(curves.channels, rig_name)
    values = curves.values[:, way.columns]
    for step in way.maps:
        values = step.apply(values)
    out = np.array(values[0], np.float32)
    for place, column in way.own:
        out[place] = curves.values[0, column]
    return out


@dataclass(frozen=True)
class _Way:
    """Which columns to take, through which maps, and what goes past them: its place, its column."""

    columns: NDArray[np.intp]
    maps: tuple[RetargetMap, ...]
    own: tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def _way(channels: tuple[str, ...], rig_name: str) -> _Way:
    """What `facerig.retarget` would do, found once: finding the way takes ten times as long as going it."""
    target = rig(rig_name)
    source = target if channels == target.names else source_rig(channels, target)
    columns = np.array([channels.index(name) for name in source.names], np.intp)
    own = tuple((target.index(name), channels.index(name)) for name in carried(channels, source, target))
    return _Way(columns, () if source == target else route(source, target), own)
