"""Moved vertices -> what a renderer wants of them: places, normals and uvs side by side, part after part.

Normals are sums over faces as one sparse product, made once for all triangles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facerig.errors import extra_module
from facerig.mesh import Floats, Head, Ints, first_alike


class NormalMaker:
    """Area-weighted unit normals of vertices [V, 3]; `one`: the first of the vertices that share a normal [V]."""

    def __init__(self, count: int, triangles: Ints, one: NDArray[np.int64] | None = None) -> None:
        sparse = extra_module("scipy.sparse", "pictures", "preview")
        self._corners = [np.ascontiguousarray(triangles[:, corner]) for corner in range(3)]
        faces = np.repeat(np.arange(len(triangles)), 3)
        self._one = one if one is not None and (one != np.arange(count)).any() else None
        meeting = triangles if self._one is None else self._one[triangles]
        self._gather = sparse.csr_matrix((np.ones(faces.size, np.float32), (meeting.ravel(), faces)),
                                         (count, len(triangles)))

    def __call__(self, points: Floats) -> Floats:
        a, b, c = (points.take(corner, axis=0) for corner in self._corners)
        b -= a
        c -= a
        face = np.empty_like(a)
        for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # np.cross takes three times as long
            face[:, x] = b[:, y] * c[:, z] - b[:, z] * c[:, y]
        total = self._gather @ face
        normals: Floats = total / np.maximum(np.sqrt((total * total).sum(axis=1, keepdims=True)), 1e-20)
        return normals if self._one is None else normals.take(self._one, axis=0)


class Surface:
    """Interleaved vertices [V, 8] of the parts that are shown."""

    def __init__(self, head: Head, shown: Sequence[int]) -> None:
        parts = [head.parts[number] for number in shown]
        ends = np.cumsum([len(part.vertices) for part in parts]).tolist()
        self.ranges = list(zip([0, *ends[:-1]], ends, strict=True)) if parts else []
        self._rows = np.concatenate([np.arange(head.part_starts[n], head.part_starts[n + 1]) for n in shown]
                                    or [np.zeros(0, np.intp)])
        triangles = [part.triangles + start for part, (start, _) in zip(parts, self.ranges, strict=True)]
        seams = [first_alike(np.concatenate([part.vertices, part.normals], axis=1)) + start
                 for part, (start, _) in zip(parts, self.ranges, strict=True)]
        self._normals = NormalMaker(len(self._rows), np.concatenate(triangles or [np.zeros((0, 3), np.int32)]),
                                    np.concatenate(seams or [np.zeros(0, np.int64)]))
        self._table = np.zeros((len(self._rows), 8), np.float32)
        for part, (start, end) in zip(parts, self.ranges, strict=True):
            self._table[start:end, 6:] = part.uvs

    def __call__(self, moved: Floats) -> Floats:
        """moved: all of the head's vertices [V, 3]. The table is used again by the next call."""
        points = moved.take(self._rows, axis=0)
        self._table[:, :3] = points
        self._table[:, 3:6] = self._normals(points)
        return self._table
