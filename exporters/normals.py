"""How a shape turns the normals of a part: recomputed on the triangles that it touches. Knows no file format.

Vertices at one place (seams of the UV layout) count as one, so that shading stays smooth across them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facerig.mesh import Floats, Ints, Part, Shape, first_alike

# What a shape moves by less cannot be seen, and would make up half of a file.
SMALL = 1e-5  # metres
SMALL_TURN = 0.004  # of a unit normal: a quarter of a degree
LEAST = 1e-12


class NormalDeltas:
    """Normal offsets of each shape of one part, on the shape's own vertices."""

    def __init__(self, part: Part) -> None:
        self._vertices = part.vertices.astype(np.float64)
        self._weld = first_alike(part.vertices)
        self._count = int(self._weld.max()) + 1 if len(self._weld) else 0
        self._triangles = part.triangles
        corners = self._weld[part.triangles]
        self._corners = corners
        self._neutral = self._sums(np.arange(len(corners)), self._vertices)

    def of(self, shape: Shape) -> Floats:
        """Offsets [n, 3] that turn the neutral normals into those of the full shape."""
        if not len(shape.index) or not len(self._triangles):
            return np.zeros((len(shape.index), 3), np.float32)
        moved = self._vertices.copy()
        moved[shape.index] += shape.offsets
        touched = self._touching(self._weld[shape.index])
        near = self._sums(touched, moved) - self._sums(touched, self._vertices)
        at = self._weld[shape.index]
        before, after = self._neutral[at], self._neutral[at] + near[at]
        return (_unit(after) - _unit(before)).astype(np.float32)

    def _touching(self, welded: NDArray[np.int64]) -> NDArray[np.int64]:
        used = np.zeros(self._count, bool)
        used[welded] = True
        return np.flatnonzero(used[self._corners].any(axis=1))

    def _sums(self, triangles: NDArray[np.int64], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area-weighted triangle normals summed on welded vertices."""
        a, b, c = (vertices[self._triangles[triangles, corner]] for corner in range(3))
        faces = np.cross(b - a, c - a)
        at = self._corners[triangles].ravel()
        spread = np.repeat(faces, 3, axis=0)
        return np.stack([np.bincount(at, spread[:, axis], self._count) for axis in range(3)], axis=1)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.maximum(length, LEAST)
    return unit


def trimmed(shape: Shape, smallest: float) -> Shape:
    """The shape without vertices that it moves by less than `smallest`."""
    keep = np.abs(shape.offsets).max(axis=1, initial=0) > smallest
    index: Ints = shape.index[keep]
    return Shape(index, shape.offsets[keep])


def visible_shapes(part: Part, metres_per_unit: float) -> dict[str, Shape]:
    """The part's shapes without what cannot be seen: offsets below SMALL, shapes of nothing else."""
    kept = {name: trimmed(shape, SMALL / metres_per_unit) for name, shape in part.shapes.items()}
    return {name: shape for name, shape in kept.items() if len(shape.index)}
