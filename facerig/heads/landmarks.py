"""What a mouth measures, as a linear function of the weights: gap, height, width, jaw drop, corners, lip to teeth.

Blend shapes are linear, so each measure of a head is rest + weights @ column, in millimetres. Lengths are taken along
the head's axes (a gap is a difference in height), which is what makes them linear; a negative gap means that the lips
press into each other, and a picture shows it as closed. Head rotations do not enter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facerig.curves import Curves
from facerig.errors import HeadError
from facerig.mesh import Floats, Head

X, Y, Z = range(3)
# measure: axis, landmark, landmark that is subtracted (or none). Numbered points follow the 68 of Multi-PIE,
# which count from the subject's right.
MEASURES: Mapping[str, tuple[int, str, str | None]] = {
    "gap": (Y, "point62", "point66"),  # inner lips, centre
    "gap_left": (Y, "point63", "point65"),
    "gap_right": (Y, "point61", "point67"),
    "outer_height": (Y, "point51", "point57"),
    "width": (X, "point54", "point48"),
    "jaw_drop": (Y, "point33", "point8"),  # below the nose to the chin
    "corner_left_x": (X, "point54", None),
    "corner_left_y": (Y, "point54", None),
    "corner_right_x": (X, "point48", None),
    "corner_right_y": (Y, "point48", None),
    "upper_lip_y": (Y, "point62", None),
    "lower_lip_y": (Y, "point66", None),
    "upper_lip_z": (Z, "point51", None),  # forward: rounding
    "lower_lip_z": (Z, "point57", None),
    "lip_teeth_y": (Y, "point66", "tooth_upper"),  # 0: the lower lip's rim is as high as the upper teeth's edge
    "lip_teeth_z": (Z, "point66", "tooth_upper"),  # 0: it touches the edge, positive: in front of it
}


@dataclass(frozen=True, eq=False)
class MouthMap:
    """Measures in millimetres = rest + weights @ matrix."""

    channels: tuple[str, ...]  # C, of the weights
    names: tuple[str, ...]  # M, of the measures
    matrix: Floats  # [C, M]
    rest: Floats  # [M]

    def apply(self, weights: Floats) -> Floats:
        """[..., C] -> [..., M]"""
        measured: Floats = self.rest + weights @ self.matrix
        return measured

    def measure(self, curves: Curves) -> Floats:
        """[T, M]; channels that the curves lack count as 0."""
        return self.apply(curves.select(self.channels, fill=0.0).values)

    def index(self, name: str) -> int:
        return self.names.index(name)


def mouth_measures(head: Head, channels: Sequence[str] | None = None) -> MouthMap:
    """The head's map for weights in this order of channels (the facerig rig's 68 where none is given)."""
    order = tuple(channels) if channels is not None else _rig_names()
    names = tuple(name for name, (_, *ends) in MEASURES.items() if all(e is None or e in head.landmarks for e in ends))
    if "gap" not in names:
        raise HeadError(f"{head.name}: no mouth landmarks; accepted: a head with the points {_needed()}")
    points = sorted(set(head.landmarks.values()))
    moved = point_deltas(head, points, order)
    scale = head.metres_per_unit * 1000
    columns, rest = [], []
    for name in names:
        axis, one, other = MEASURES[name]
        columns.append(_column(head, moved, points, axis, one, other) * scale)
        rest.append(_place(head, axis, one) - (_place(head, axis, other) if other else 0.0))
    return MouthMap(order, names, np.stack(columns, 1).astype(np.float32), (np.array(rest) * scale).astype(np.float32))


def point_deltas(head: Head, vertices: Sequence[int], channels: Sequence[str]) -> Floats:
    """How weight 1 of each channel moves these vertices: [C, N, 3] in the head's units."""
    wanted = np.asarray(vertices)
    out = np.zeros((len(channels), len(wanted), 3), np.float32)
    for row, name in enumerate(channels):
        shape = head.shape(name)
        at = np.searchsorted(shape.index, wanted)
        hit = (at < len(shape.index)) & (shape.index[np.minimum(at, max(len(shape.index) - 1, 0))] == wanted) \
            if len(shape.index) else np.zeros(len(wanted), bool)
        out[row, hit] = shape.offsets[at[hit]]
    return out


def _column(head: Head, moved: Floats, points: list[int], axis: int, one: str, other: str | None) -> Floats:
    column: Floats = moved[:, points.index(head.landmarks[one]), axis]
    return column - moved[:, points.index(head.landmarks[other]), axis] if other else column


def _place(head: Head, axis: int, name: str) -> float:
    return float(head.vertices[head.landmarks[name], axis])


def _needed() -> str:
    return ", ".join(sorted({end for _, *ends in MEASURES.values() for end in ends if end}))


def _rig_names() -> tuple[str, ...]:
    from facerig.rig import rig

    return tuple(rig("facerig").names)
