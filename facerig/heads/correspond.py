"""Two heads of different tessellation laid on each other: landmarks first, then a smooth displacement to the surface.

The result says, for each vertex of one head, between which vertices of the other it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError, extra_module
from facerig.mesh import Ints

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Correspondence:
    """For N points of head A: three vertices of head B and their weights, and how A was laid on B."""

    corners: Ints  # [N, 3]
    weights: Doubles  # [N, 3]
    distance: Doubles  # [N] in B's units
    scale: float  # B's length of A's unit
    turn: Doubles  # [3, 3] from A's axes to B's

    def lift(self, values: Doubles) -> Doubles:
        """Values at B's vertices [..., V, k] -> at A's points [..., N, k]."""
        lifted: Doubles = np.einsum("nc,...nck->...nk", self.weights, values[..., self.corners, :])
        return lifted


def correspond(points: Doubles, marks: Sequence[int], other: Doubles, triangles: Ints,
               other_marks: Sequence[int]) -> Correspondence:
    """points [N, 3] of A with landmark numbers among them; other [V, 3] of B with as many."""
    interpolate = extra_module("scipy.interpolate", "laying one head over another", "fit")
    cKDTree = extra_module("scipy.spatial", "laying one head over another", "fit").cKDTree  # noqa: N806
    if len(marks) != len(other_marks) or len(marks) < 4:
        raise HeadError(f"{len(marks)} and {len(other_marks)} landmarks in common, accepted: the same 4 or more")
    source, target = points[list(marks)], other[list(other_marks)]
    scale, turn, shift = similarity(source, target)
    placed = scale * points @ turn.T + shift
    anchor = placed[list(marks)]
    warp = interpolate.RBFInterpolator(anchor, target - anchor, kernel="thin_plate_spline", smoothing=1e-3, degree=1)
    moved = placed + warp(placed)
    middles = other[triangles].mean(axis=1)
    near = cKDTree(middles).query(moved, k=8)[1]
    corners, weights, distance = nearest_on(moved, other, triangles, near)
    return Correspondence(corners, weights, distance, scale, turn)


def nearest_on(points: Doubles, other: Doubles, triangles: Ints, candidates: NDArray[np.integer[Any]]
               ) -> tuple[Ints, Doubles, Doubles]:
    """The closest place on a few candidate triangles each: corners, weights, distance."""
    best = np.full(len(points), np.inf)
    corners, weights = np.zeros((len(points), 3), np.int32), np.zeros((len(points), 3))
    for column in range(candidates.shape[1]):
        chosen = triangles[candidates[:, column]]
        a, b, c = (other[chosen[:, k]] for k in range(3))
        share = _clamped(points, a, b, c)
        place = share[:, :1] * a + share[:, 1:2] * b + share[:, 2:] * c
        gap = np.linalg.norm(points - place, axis=1)
        closer = gap < best
        best[closer], corners[closer], weights[closer] = gap[closer], chosen[closer], share[closer]
    return corners, weights, best


def _clamped(p: Doubles, a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    """Barycentric weights of the foot of p, brought inside the triangle (exact inside, near enough outside)."""
    u, v, w = b - a, c - a, p - a
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    wu, wv = (w * u).sum(1), (w * v).sum(1)
    area = np.maximum(uu * vv - uv * uv, 1e-30)
    s, t = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    share = np.clip(np.stack([1 - s - t, s, t], axis=1), 0, None)
    out: Doubles = share / np.maximum(share.sum(1, keepdims=True), 1e-30)
    return out


def similarity(source: Doubles, target: Doubles) -> tuple[float, Doubles, Doubles]:
    """Scale, rotation and shift that bring source points nearest to target points."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn: Doubles = u @ sign @ vt
    scale = float(np.trace(np.diag(s) @ sign) / (a**2).sum())
    return scale, turn, target.mean(0) - scale * turn @ source.mean(0)


__all__ = ["Correspondence", "correspond", "nearest_on", "similarity"]
