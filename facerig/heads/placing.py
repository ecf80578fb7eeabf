"""From a mesh as a file holds it to a `Part`: placed in the world, wound outward, one texture place a vertex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.mesh import Floats, Ints, Part, Shape, first_alike, vertex_normals

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a mesh lies: a matrix [4, 4] that columns are multiplied by, or one for each vertex [V, 4, 4] (a skin)."""

    matrix: Doubles
    clockwise: bool = False  # the file winds triangles the other way round

    def points(self, points: Doubles) -> Floats:
        return (self._turned(points, self.matrix) + self.matrix[..., :3, 3]).astype(np.float32)

    def offsets(self, offsets: Doubles, index: NDArray[Any] | None = None) -> Floats:
        """Offsets of the vertices `index` (default: of all)."""
        matrix = self.matrix if index is None or self.matrix.ndim == 2 else self.matrix[index]
        return self._turned(offsets, matrix).astype(np.float32)

    def triangles(self, triangles: NDArray[Any]) -> Ints:
        """A mirror turns a mesh inside out; so does the other winding, and both together do not."""
        mirrored = bool(np.linalg.det(self.matrix[..., :3, :3]).mean() < 0) if self.matrix.size else False
        return np.ascontiguousarray(triangles[:, ::-1] if mirrored != self.clockwise else triangles, np.int32)

    @staticmethod
    def _turned(vectors: Doubles, matrix: Doubles) -> Doubles:
        turned: Doubles = np.einsum("...ij,...j->...i", matrix[..., :3, :3], vectors)
        return turned


def placed_part(name: str, material: str, points: Floats, triangles: Ints, uvs: Floats,
                shapes: Mapping[str, Shape], split: Floats | None = None) -> Part:
    """`split`: rows [V, K] that are alike where the file has one vertex several times; it has one normal then."""
    one = np.arange(len(points)) if split is None else first_alike(split)
    normals = vertex_normals(points, one[triangles].astype(np.int32))[one]
    return Part(name, material, points, triangles, normals, uvs, shapes)


def vertex_places(count: int, corners: NDArray[Any], numbers: NDArray[Any], places: NDArray[Any]) -> Floats:
    """One texture place a vertex [V, 2]: of the last corner that names one (seams are not split); -1 names none."""
    out = np.zeros((count, 2), np.float32)
    known = (numbers >= 0) & (numbers < len(places))
    out[corners[known]] = places[numbers[known]]
    return out
