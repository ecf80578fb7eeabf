"""The skin's topology on the left half: edge loops, what lies between them, and the mirror image. Flat places only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.heads.builtin.chart import Chart, lift
from facerig.heads.builtin.fill import joined, middle_points, spread
from facerig.heads.builtin.rings import eye_grid, mouth_grid
from facerig.heads.builtin.source import Dense, Doubles
from facerig.mesh import Ints


@dataclass(frozen=True, eq=False)
class HalfSkin:
    """Vertices of the left half by number; mouth and eye hold the numbers of their grids [columns, rings]."""

    places: Doubles  # flat [N, 2]
    triangles: Ints
    mouth: Ints  # open: middle above ... middle below
    eye: Ints  # closed
    collar: Ints


def half_skin(chart: Chart, dense: Dense) -> HalfSkin:
    mouth, eye = mouth_grid(chart, dense), eye_grid(chart, dense)
    rings = np.concatenate([mouth.places.reshape(-1, 2), eye.places.reshape(-1, 2)])
    mouth_ids = np.arange(mouth.places[..., 0].size).reshape(mouth.places.shape[:2])
    eye_ids = len(mouth_ids.ravel()) + np.arange(eye.places[..., 0].size).reshape(eye.places.shape[:2])
    outer = [mouth.places[:, -1], eye.places[:, -1]]
    low, high = mouth.places[-1, -1, 1], mouth.places[0, -1, 1]
    middle = middle_points(chart, dense, np.array([low, high]))
    rim = _collar(chart, dense)
    fixed = np.concatenate([outer[0], outer[1], middle, rim])
    loose = spread(chart, dense, fixed, outer)
    shell = np.concatenate([fixed, loose])
    ids = np.concatenate([mouth_ids[:, -1], eye_ids[:, -1],
                          len(rings) + np.arange(len(middle) + len(rim) + len(loose))])
    points = lift(*chart.locate(shell), dense.vertices)
    kept = _edges(np.arange(len(outer[0])), closed=False)
    kept |= _edges(len(outer[0]) + np.arange(len(outer[1])), closed=True)
    triangles = joined(shell, points, outer, kept)
    _check_edges(triangles, kept)
    quads = np.concatenate([quad_triangles(mouth_ids, closed=False), quad_triangles(eye_ids, closed=True)])
    places = np.concatenate([rings, middle, rim, loose])
    collar = np.flatnonzero(np.hypot(places[:, 0], places[:, 1]) > 0.999)
    return HalfSkin(places, np.concatenate([quads, ids[triangles]]).astype(np.int32), mouth_ids.astype(np.int32),
                    eye_ids.astype(np.int32), collar.astype(np.int32))


def _collar(chart: Chart, dense: Dense) -> Doubles:
    """Even places along the collar, without its ends on the middle line (those are middle points)."""
    ring = chart.flat[chart.collar]
    angle = np.sort(np.arctan2(ring[:, 1], ring[:, 0]))
    fine = np.linspace(-np.pi / 2, np.pi / 2, 400)
    chord = np.stack([np.interp(fine, angle, np.cos(angle)), np.interp(fine, angle, np.sin(angle))], axis=1)
    points = lift(*chart.locate(chord * 0.9999), dense.vertices)
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    count = int(run[-1] / 1.3)
    chosen = np.interp(run[-1] * np.arange(1, count) / count, run, fine)
    return np.stack([np.cos(chosen), np.sin(chosen)], axis=1)


def quad_triangles(ids: NDArray[np.integer[Any]], closed: bool) -> Ints:
    """Two triangles a cell of a grid [columns, rings], facing so that columns run clockwise and rings outward."""
    following = np.roll(ids, -1, axis=0) if closed else ids[1:]
    here = ids if closed else ids[:-1]
    a, b, c, d = here[:, :-1], here[:, 1:], following[:, 1:], following[:, :-1]
    cells = np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return cells.astype(np.int32)


def _edges(loop: NDArray[np.integer[Any]], closed: bool) -> set[tuple[int, int]]:
    pairs = list(zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True))
    pairs = pairs if closed else pairs[:-1]
    return set(pairs) | {(b, a) for a, b in pairs}


def _check_edges(triangles: Ints, kept: set[tuple[int, int]]) -> None:
    there = {(int(t[k]), int(t[(k + 1) % 3])) for t in triangles for k in range(3)}
    missing = [edge for edge in kept if edge not in there and edge[::-1] not in there]
    assert not missing, f"edge loops cut by the filling at {missing[:4]}"
