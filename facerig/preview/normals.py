"""Vertex normals of a mesh that moves: the sums over faces as one sparse product, made once for its triangles."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from facerig.mesh import Floats, Ints


class NormalMaker:
    """Area-weighted unit normals of vertices [V, 3]."""

    def __init__(self, count: int, triangles: Ints) -> None:
        self._triangles = triangles
        faces = np.repeat(np.arange(len(triangles)), 3)
        self._gather = sparse.csr_matrix((np.ones(faces.size, np.float32), (triangles.ravel(), faces)),
                                         (count, len(triangles)))

    def __call__(self, points: Floats) -> Floats:
        a, b, c = (points[self._triangles[:, corner]] for corner in range(3))
        total = self._gather @ np.cross(b - a, c - a)
        normals: Floats = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)
        return normals.astype(np.float32)
