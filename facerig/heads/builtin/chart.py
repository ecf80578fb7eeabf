"""A flat map of the averaged skin: the disc on which edge loops are drawn. Nose at the centre, crown at the top.

Mean-value weights keep every triangle upright (Tutte), so each point of the disc is one point of the skin. The holes of
eyes and mouth are closed by one virtual vertex each while flattening.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.tri import Triangulation, TriFinder
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from facerig.heads.builtin.source import Dense, Doubles, boundary_loops
from facerig.mesh import Ints

MIDDLE = 1e-6  # cm: what lies nearer to x = 0 is the middle


@dataclass(frozen=True, eq=False)
class Chart:
    """Flat places of the dense vertices, and the way back: flat place -> triangle and barycentric coordinates."""

    flat: Doubles  # [V, 2]; rows of vertices without triangles are NaN
    triangles: Ints
    mouth: list[int]  # inner boundary of the lips, deep inside
    eye: list[int]
    collar: list[int]
    finder: TriFinder

    def locate(self, places: Doubles) -> tuple[Ints, Doubles]:
        """Triangle numbers and barycentric weights of flat places; places off the skin take the nearest triangle."""
        found = np.asarray(self.finder(places[:, 0], places[:, 1]), np.int32)
        lost = np.flatnonzero(found < 0)
        if len(lost):
            middles = self.flat[self.triangles].mean(axis=1)
            found[lost] = [int(((middles - p) ** 2).sum(1).argmin()) for p in places[lost]]
        corner = self.flat[self.triangles[found]]
        system = np.concatenate([corner.transpose(0, 2, 1), np.ones((len(places), 1, 3))], axis=1)
        right = np.concatenate([places, np.ones((len(places), 1))], axis=1)
        weights = np.clip(np.linalg.solve(system, right[:, :, None])[:, :, 0], 0, 1)
        return self.triangles[found], weights / weights.sum(1, keepdims=True)


def lift(corners: Ints, weights: Doubles, values: Doubles) -> Doubles:
    """Values at vertices [V, k] -> values at located places [N, k]."""
    lifted: Doubles = np.einsum("nc,nck->nk", weights, values[corners])
    return lifted


def flattened(dense: Dense) -> Chart:
    """The left half (x >= 0) as half a disc: the middle lies on the line x = 0 and may slide along it."""
    points = dense.vertices
    half = dense.triangles[(points[dense.triangles][:, :, 0] > -MIDDLE).all(axis=1)]
    collar, *holes = boundary_loops(dense.triangles, points)
    mouth = [v for v in next(h for h in holes if abs(points[h][:, 0].mean()) < 1) if points[v, 0] > -MIDDLE]
    eye = next(h for h in holes if points[h][:, 0].mean() > 1)
    collar = [v for v in collar if points[v, 0] > -MIDDLE]
    flat = _centred(_solved(points, half, collar, (mouth, eye)), dense)
    used = np.unique(half)
    number = np.full(len(flat), -1)
    number[used] = np.arange(len(used))
    finder = Triangulation(flat[used, 0], flat[used, 1], number[half]).get_trifinder()
    return Chart(flat, half, mouth, eye, collar, finder)


def _solved(points: Doubles, half: Ints, collar: list[int], holes: Sequence[list[int]]) -> Doubles:
    """Each vertex is the mean-value mean of its neighbours; the collar lies on the unit circle, the middle on x = 0."""
    count, caps = len(points), []
    for hole in holes:
        middle = points[hole].mean(0) * [0 if points[hole, 0].min() < MIDDLE else 1, 1, 1]
        points = np.concatenate([points, middle[None]])
        pairs = [(a, b) for a, b in zip(hole, hole[1:] + hole[:1], strict=True) if points[[a, b], 0].max() > MIDDLE]
        caps += [[len(points) - 1, b, a] for a, b in pairs]
    closed = np.concatenate([half, np.array(caps, np.int32)])
    weight = mean_value_weights(points, closed)
    ring = points[collar]
    angle = np.arctan2(ring[:, 2] - np.mean(points[collar, 2]), np.abs(ring[:, 0]))
    circle = np.stack([np.cos(angle) * (ring[:, 0] > MIDDLE), -np.sin(angle)], axis=1)
    circle /= np.linalg.norm(circle, axis=1, keepdims=True)
    used = np.unique(closed)
    flat = np.full((len(points), 2), np.nan)
    middles = used[np.abs(points[used, 0]) < MIDDLE]
    for axis, fixed, value in ((0, np.union1d(middles, collar), 0.0), (1, np.asarray(collar), 0.0)):
        flat[fixed, axis] = value
        flat[collar, axis] = circle[:, axis]
        inner = np.setdiff1d(used, fixed)
        matrix = weight[inner][:, inner] - sparse.diags(np.asarray(weight[inner].sum(axis=1)).ravel())
        flat[inner, axis] = spsolve(matrix.tocsc(), -weight[inner][:, fixed] @ flat[fixed, axis])
    return flat[:count]


def mean_value_weights(points: Doubles, triangles: Ints) -> sparse.csr_matrix:
    rows, columns, values = [], [], []
    for k in range(3):
        a, b, c = (triangles[:, (k + i) % 3] for i in range(3))
        ab, ac = points[b] - points[a], points[c] - points[a]
        lb, lc = np.linalg.norm(ab, axis=1), np.linalg.norm(ac, axis=1)
        cosine = np.clip((ab * ac).sum(1) / (lb * lc), -1, 1)
        half = np.sqrt((1 - cosine) / np.maximum(1 + cosine, 1e-9))  # tan of half the corner
        for other, length in ((b, lb), (c, lc)):
            rows.append(a)
            columns.append(other)
            values.append(half / length)
    index = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_matrix((np.concatenate(values), index), (len(points), len(points)))


def _centred(flat: Doubles, dense: Dense) -> Doubles:
    """Moebius motion of the disc that brings the tip of the nose to 0."""
    tip = np.nanargmin(((dense.vertices - dense.points[30]) ** 2).sum(1) + 0 * flat[:, 0])
    shift = flat[tip, 1]
    moved = np.full_like(flat, np.nan)
    known = np.isfinite(flat[:, 0])
    z = flat[known, 0] + 1j * flat[known, 1]
    turned: NDArray[np.complex128] = (z - 1j * shift) / (1 + 1j * shift * z)
    moved[known] = np.stack([turned.real, turned.imag], axis=1)
    return moved
