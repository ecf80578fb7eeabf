"""The averaged proportions that the built-in head is fitted to: ICT-FaceKit's skin and the same skin on MakeHuman.

Non-rigid registration: a warp through landmarks, then closest points with a smooth displacement that is allowed to bend
more from round to round. Works in centimetres in ICT-FaceKit's frame. Only averages leave this module; it needs both
heads' files and is used by the builder alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.interpolate import RBFInterpolator
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from facerig.heads.correspond import similarity
from facerig.heads.ict import HALVES, NEUTRAL, NOT_ARKIT, POINTS68, _deltas
from facerig.heads.makehuman import load_makehuman
from facerig.heads.obj import read_obj
from facerig.heads.pieces import merge_shapes
from facerig.mesh import Head, Ints, Shape, vertex_normals

Doubles = NDArray[np.float64]

COLLAR = (-12.3, 0.26)  # the neck ends on the plane y = first - second * (z - 4), in cm: lower at the throat
SKIN_VERTICES, SKIN_POLYGONS = 11248, 11144
MAKEHUMAN_SHARE = 0.42  # of the mean; half would soften the jaw of an adult too far
# Balls (centre, radius in cm, left side) where folds differ too much for closest points: the skin follows its
# surroundings there. Ear, nostril.
FOLDED = (((8.2, 0.9, 0.6), 4.2), ((0.75, -0.9, 10.5), 1.1))
# ICT-FaceKit vertex or point (midline and left side) -> place on MakeHuman's head in decimetres
MARKS: tuple[tuple[int | tuple[float, float, float], tuple[float, float, float]], ...] = (
    (POINTS68[30], (0.0, 6.925, 1.681)),  # tip of the nose
    (POINTS68[33], (0.0, 6.780, 1.561)),  # below the nose
    (POINTS68[51], (0.0, 6.692, 1.598)),  # upper lip's border
    (POINTS68[62], (0.0, 6.609, 1.556)),  # upper lip's edge
    (POINTS68[66], (0.0, 6.602, 1.534)),  # lower lip's edge
    (POINTS68[57], (0.0, 6.494, 1.557)),  # lower lip's border
    (POINTS68[8], (0.0, 6.190, 1.425)),  # chin
    (POINTS68[27], (0.0, 7.285, 1.509)),  # root of the nose
    (POINTS68[54], (0.266, 6.609, 1.400)),  # corner of the mouth
    (POINTS68[52], (0.068, 6.703, 1.580)),  # peak of the bow
    (POINTS68[45], (0.441, 7.287, 1.285)),  # outer corner of the eye
    (POINTS68[42], (0.163, 7.277, 1.340)),  # inner corner of the eye
    (POINTS68[43], (0.255, 7.318, 1.400)), (POINTS68[44], (0.365, 7.328, 1.390)),  # upper lid
    (POINTS68[47], (0.255, 7.247, 1.385)), (POINTS68[46], (0.365, 7.243, 1.370)),  # lower lid
)


@dataclass(frozen=True, eq=False)
class Dense:
    """A finely tessellated stand-in: averaged vertices [V, 3] (cm), triangles, and ICT-FaceKit's shapes on them."""

    vertices: Doubles
    triangles: Ints
    shapes: dict[str, Doubles]
    points: Doubles  # the 68 points on the averaged head
    eye: Doubles  # centre of the left eyeball
    mirror: Ints  # number of each vertex's mirror image


def averaged(folder: Path) -> Dense:
    """The mean of both heads on ICT-FaceKit's tessellation, cut at the collar."""
    mesh = read_obj(folder / "ict_facekit" / NEUTRAL)
    skin = mesh.positions[:SKIN_VERTICES].astype(np.float64)
    triangles = mesh.triangles_of(0, SKIN_POLYGONS)
    mirror = cKDTree(skin).query(skin * [-1, 1, 1])[1].astype(np.int32)
    skin = symmetric(skin, mirror)
    other, eye = registered(skin, triangles, mirror, load_makehuman(folder / "makehuman"))
    mean = (1 - MAKEHUMAN_SHARE) * skin + MAKEHUMAN_SHARE * other
    mean, triangles = cut_at_collar(mean, triangles)
    shapes = merge_shapes(_deltas(folder / "ict_facekit", mesh), HALVES, NOT_ARKIT)
    dense = {name: _dense(shape) for name, shape in shapes.items()}
    eye = (1 - MAKEHUMAN_SHARE) * np.array([3.116, 3.602, 7.982]) + MAKEHUMAN_SHARE * eye
    return Dense(mean, triangles, dense, mean[list(POINTS68)], eye, mirror)


def cut_at_collar(points: Doubles, triangles: Ints) -> tuple[Doubles, Ints]:
    """Drop what lies below the collar and bring the ragged edge onto its plane."""
    height = COLLAR[0] - COLLAR[1] * (points[:, 2] - 4)
    kept = triangles[(points[triangles][:, :, 1] > height[triangles]).all(axis=1)]
    kept = kept[np.isin(kept, _largest(kept, len(points))).all(axis=1)]
    edge = boundary_loops(kept, points)[0]
    points = points.copy()
    points[edge, 1] = height[edge]
    return points, kept


def _largest(triangles: Ints, count: int) -> Ints:
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    graph = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    label = csgraph.connected_components(graph, directed=False)[1]
    return np.flatnonzero(label == np.bincount(label).argmax()).astype(np.int32)


def boundary_loops(triangles: Ints, points: Doubles) -> list[list[int]]:
    """Closed loops of vertices along the open edges, with the surface to the left, widest first."""
    edges = {(int(t[i]), int(t[(i + 1) % 3])) for t in triangles for i in range(3)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while following:
        loop = [min(following)]
        while (step := following.pop(loop[-1])) != loop[0]:
            loop.append(step)
        loops.append(loop)
    return sorted(loops, key=lambda loop: -float(np.ptp(points[loop], axis=0).max()))


def symmetric(points: Doubles, mirror: Ints) -> Doubles:
    mean: Doubles = (points + points[mirror] * [-1, 1, 1]) / 2
    return mean


def _dense(shape: Shape) -> Doubles:
    out = np.zeros((SKIN_VERTICES, 3))
    inside = shape.index < SKIN_VERTICES
    out[shape.index[inside]] = shape.offsets[inside]
    return out


def registered(skin: Doubles, triangles: Ints, mirror: Ints, head: Head) -> tuple[Doubles, Doubles]:
    """The skin laid on the other head, in the skin's own frame and size; and that head's left eye centre there."""
    face = head.part("face")
    source, target = _marks(skin)
    scale, turn, shift = similarity(target, source)
    surface = scale * face.vertices @ turn.T + shift
    target = scale * target @ turn.T + shift
    eye = scale * turn @ np.array([0.308, 7.284, 1.245]) + shift
    warp = RBFInterpolator(source, target - source, kernel="thin_plate_spline", smoothing=0.02)
    moved = skin + warp(skin)
    normals = vertex_normals(surface, face.triangles)
    for stiffness in (30.0, 10.0, 4.0, 2.0, 1.0, 1.0):
        moved = symmetric(_closer(moved, skin, triangles, surface, normals, stiffness), mirror)
    return moved, eye


def _marks(skin: Doubles) -> tuple[Doubles, Doubles]:
    source = np.array([skin[mark] if isinstance(mark, int) else mark for mark, _ in MARKS])
    target = np.array([place for _, place in MARKS], np.float64)
    side = np.abs(source[:, 0]) > 1e-6
    flip = np.array([-1.0, 1.0, 1.0])
    return np.concatenate([source, source[side] * flip]), np.concatenate([target, target[side] * flip])


def _closer(moved: Doubles, rest: Doubles, triangles: Ints, surface: Doubles, normals: NDArray[np.floating[Any]],
            stiffness: float) -> Doubles:
    """One round: pulled to the closest fitting points, the displacement from rest kept smooth (bi-Laplacian)."""
    own = vertex_normals(moved, triangles)
    # Position and direction together, so that the back of a lip or an ear does not pull at its front.
    tree = cKDTree(np.concatenate([surface, 0.8 * normals], axis=1))
    distance, nearest = tree.query(np.concatenate([moved, 0.8 * own], axis=1), k=4)
    gap = np.einsum("vkc,vkc->vk", surface[nearest] - moved[:, None], normals[nearest])
    weight = 1.0 / (distance + 0.05)
    pull = (gap * weight).sum(1) / weight.sum(1)
    target = moved + pull[:, None] * normals[nearest[:, 0]]
    trust = (distance[:, 0] < 0.9) & ((own * normals[nearest[:, 0]]).sum(1) > 0.6)
    used = np.zeros(len(moved), bool)
    used[triangles] = True
    for centre, radius in FOLDED:
        used &= np.linalg.norm(np.abs(rest * [1, 0, 0]) + rest * [0, 1, 1] - centre, axis=1) > radius
    data = sparse.diags((trust & used).astype(float) + 1e-6)
    smooth = laplacian(triangles, len(moved))
    system = (data + stiffness * smooth.T @ smooth).tocsc()
    displacement: Doubles = splu(system).solve(data @ (target - rest))
    return rest + displacement


def laplacian(triangles: Ints, count: int) -> sparse.csr_matrix:
    """Umbrella Laplacian: each vertex less the mean of its neighbours."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    link = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    link.data[:] = 1.0
    degree = np.asarray(link.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags((degree > 0).astype(float)) - sparse.diags(1 / np.maximum(degree, 1)) @ link)
