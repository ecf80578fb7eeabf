"""`Head`: the geometry that curves move. Vertices, triangles, shapes as sparse deltas, joints with skin weights.

Units are `metres_per_unit`; axes are right-handed, +Y up, +Z out of the face, +X to the head's own left. It knows no file
format (exporters, heads) and no renderer. Deformation: neutral + sum of weight x delta, then linear skinning by the
joints' rotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Shape:
    """One blend shape of one part: offsets [n, 3] of the vertices `index` [n] at weight 1 (ascending, unique)."""

    index: Ints
    offsets: Floats


@dataclass(frozen=True)
class Joint:
    """A bone: its parent's number (-1 for the root) and its place in the neutral head."""

    name: str
    parent: int
    position: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh with one material: face, eyes, teeth, tongue, lashes."""

    name: str
    material: str
    vertices: Floats  # [V, 3]
    triangles: Ints  # [F, 3], counter-clockwise seen from outside
    normals: Floats  # [V, 3]
    uvs: Floats  # [V, 2], v up
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    joint_index: Ints | None = None  # [V, K] numbers into Head.joints
    joint_weight: Floats | None = None  # [V, K], rows sum to 1

    def __post_init__(self) -> None:
        count = len(self.vertices)
        _check(self.name, "vertices", self.vertices, (count, 3))
        _check(self.name, "normals", self.normals, (count, 3))
        _check(self.name, "uvs", self.uvs, (count, 2))
        _check_indices(f"{self.name}: triangles", self.triangles, count)
        if self.triangles.ndim != 2 or self.triangles.shape[1] != 3:
            raise HeadError(f"{self.name}: triangles have shape {self.triangles.shape}, accepted: [F, 3]")
        for name, shape in self.shapes.items():
            _check(f"{self.name}: shape {name}", "offsets", shape.offsets, (len(shape.index), 3))
            _check_indices(f"{self.name}: shape {name}", shape.index, count)


@dataclass(frozen=True, eq=False)
class Head:
    """Parts that move together, driven by channels of one name whatever part they touch."""

    name: str
    parts: tuple[Part, ...]
    joints: tuple[Joint, ...] = ()
    metres_per_unit: float = 1.0

    @cached_property
    def shape_names(self) -> tuple[str, ...]:
        """Every channel that moves some part, in order of first appearance."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.shapes))

    @property
    def vertex_count(self) -> int:
        return sum(len(part.vertices) for part in self.parts)


def _check(where: str, what: str, array: Floats, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise HeadError(f"{where}: {what} have shape {array.shape}, accepted: {shape}")
    if not np.isfinite(array).all():
        raise HeadError(f"{where}: {what} hold a NaN or an infinity")


def _check_indices(where: str, index: Ints, count: int) -> None:
    if index.size and (int(index.min()) < 0 or int(index.max()) >= count):
        raise HeadError(f"{where}: index {int(index.min())}..{int(index.max())} outside 0..{count - 1}")
