"""FBX animation objects from tracks: a stack, a layer, curve nodes and curves. Knows keys and ticks, no meshes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from exporters.fbx_container import Node, double, floats, integer, integers, leaf, long, longs, ticks
from exporters.fbx_document import Document, prop, properties
from exporters.keys import Track

LINEAR = 0x6104  # straight lines, automatic tangents
CUBIC = 0x0C08  # cubic, tangents given by us, each side on its own
# Unweighted tangents reach a third of the way: two 16-bit ten-thousandths, in a float's place.
THIRDS = 3333 | 3333 << 16


class Animation:
    """One stack with one layer; `add` hangs curves on the properties of objects."""

    def __init__(self, document: Document, name: str, fps: int, first: int, last: int) -> None:
        self._document, self._fps = document, fps
        span = (ticks(first, fps), ticks(last, fps))
        times = [prop(name_, "KTime", "Time", "", long(at)) for name_, at in (
            ("LocalStart", span[0]), ("LocalStop", span[1]), ("ReferenceStart", span[0]), ("ReferenceStop", span[1]))]
        stack = document.add("AnimationStack", name, "", (properties(*times),), True)
        self._layer = document.add("AnimationLayer", "BaseLayer", "", (), True)
        document.link(self._layer, stack)

    def add(self, target: int, slot: str, node_name: str, tracks: dict[str, Track], scale: float) -> None:
        """Curves on a property: `tracks` by component, X Y Z of a rotation or the one name of a number."""
        defaults = [prop(f"d|{part}", "Number", "", "A", double(float(track.values[0]) * scale))
                    for part, track in tracks.items()]
        node = self._document.add("AnimationCurveNode", node_name, "", (properties(*defaults),))
        self._document.link(node, self._layer)
        self._document.link(node, target, slot)
        for part, track in tracks.items():
            curve = self._document.add("AnimationCurve", "", "", curve_records(track, self._fps, scale))
            self._document.link(curve, node, f"d|{part}")


def curve_records(track: Track, fps: int, scale: float) -> tuple[Node, ...]:
    values = track.values * scale
    return (leaf("Default", double(float(values[0]))), leaf("KeyVer", integer(4008)),
            leaf("KeyTime", _times(track.frames.tobytes(), fps)), leaf("KeyValueFloat", floats(values)),
            *(_straight(len(values)) if track.slopes is None else _bent(track.slopes * scale * fps)))


@lru_cache(maxsize=8)
def _times(frames: bytes, fps: int) -> bytes:
    """Dense curves share their times, and packing them is most of the work."""
    return longs([ticks(frame, fps) for frame in np.frombuffer(frames, np.int64).tolist()])


def _straight(count: int) -> tuple[Node, ...]:
    return (leaf("KeyAttrFlags", integers([LINEAR])), leaf("KeyAttrDataFloat", floats([0, 0, 0, 0])),
            leaf("KeyAttrRefCount", integers([count])))


def _bent(slopes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[Node, ...]:
    """Per key: slope to the right, slope with which the next key is reached (value a second), weights, velocity."""
    rows = np.zeros((len(slopes), 4), "<f4")
    rows[:, 0] = slopes
    rows[:-1, 1] = slopes[1:]
    rows[:, 2] = np.array([THIRDS], "<u4").view("<f4")
    return (leaf("KeyAttrFlags", integers(np.full(len(slopes), CUBIC))), leaf("KeyAttrDataFloat", floats(rows)),
            leaf("KeyAttrRefCount", integers(np.ones(len(slopes)))))
