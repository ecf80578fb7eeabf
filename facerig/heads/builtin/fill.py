"""The skin between the edge loops: points spread by a wanted spacing, joined by Delaunay, improved by edge flips."""

from __future__ import annotations

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from facerig.heads.builtin.chart import MIDDLE, Chart, lift
from facerig.heads.builtin.source import Dense, Doubles
from facerig.mesh import Ints, vertex_normals

# Wanted edge length in cm near places of the averaged head (left side): place, length, reach.
SPACING: tuple[tuple[tuple[float, float, float], float, float], ...] = (
    ((0.9, -0.9, 10.9), 0.24, 1.1),  # wing of the nose and nostril
    ((0.0, -0.3, 12.6), 0.34, 1.4),  # tip of the nose
    ((0.6, 2.5, 11.0), 0.50, 2.0),  # its bridge
    ((8.0, 0.8, 0.6), 0.36, 3.6),  # ear
    ((3.2, 6.0, 9.2), 0.60, 2.4),  # brow
    ((4.5, -0.5, 8.5), 0.75, 3.0),  # cheek
    ((2.0, -6.5, 9.5), 0.70, 3.0),  # chin
    ((3.0, -6.0, 5.0), 0.95, 4.0),  # jaw's edge
)
FAR = 1.35  # skull and neck


def spacing(points: Doubles) -> Doubles:
    wanted: Doubles = np.full(len(points), FAR)
    for place, length, reach in SPACING:
        distance = np.linalg.norm(points - place, axis=1)
        wanted = np.minimum(wanted, length + np.maximum(distance - reach, 0) * 0.22)
    return wanted


def middle_points(chart: Chart, dense: Dense, taken: Doubles) -> Doubles:
    """Flat places along the middle line, at the wanted spacing, outside the rings' stretch of it (low, high)."""
    low, high = taken
    out = []
    for first, last in ((high, 1.0), (low, -1.0)):
        t = np.linspace(0, 1, 4000) ** 3
        places = np.stack([np.zeros(4000), first + (last - first) * t], axis=1)
        points = lift(*chart.locate(places), dense.vertices)
        step = np.linalg.norm(np.diff(points, axis=0), axis=1) / spacing((points[1:] + points[:-1]) / 2)
        run = np.concatenate([[0], np.cumsum(step)])
        count = max(round(float(run[-1])), 2)
        out.append(places[np.searchsorted(run, run[-1] * np.arange(1, count + 1) / count - 1e-9)])
    return np.concatenate(out)


def spread(chart: Chart, dense: Dense, fixed: Doubles, barred: list[Doubles]) -> Doubles:
    """Flat places of new points between fixed ones (flat), outside barred polygons: darts, then relaxed."""
    random = np.random.default_rng(5)
    pool, normals, places = _pool(chart, dense, random)
    outside = np.ones(len(pool), bool)
    for polygon in barred:
        outside &= ~inside_polygon(places, polygon)
    outside &= pool[:, 0] > 0.42 * spacing(pool)
    pool, normals, places = pool[outside], normals[outside], places[outside]
    wanted = spacing(pool)
    anchor = lift(*chart.locate(fixed), dense.vertices)
    anchor_normals = lift(*chart.locate(fixed), vertex_normals(dense.vertices, dense.triangles).astype(np.float64))
    near = cKDTree(_keyed(anchor, anchor_normals)).query(_keyed(pool, normals))[0]
    free = near > 0.75 * wanted
    pool, normals, places, wanted = pool[free], normals[free], places[free], wanted[free]
    chosen = _darts(_keyed(pool, normals), wanted)
    chosen_places: Doubles = places[_relaxed(pool, normals, wanted, chosen, anchor, anchor_normals)]
    return chosen_places


def _keyed(points: Doubles, normals: Doubles) -> Doubles:
    """Place and direction as one: the two sides of an ear are far from each other."""
    keyed: Doubles = np.concatenate([points, 0.45 * normals], axis=1)
    return keyed


def _pool(chart: Chart, dense: Dense, random: np.random.Generator) -> tuple[Doubles, Doubles, Doubles]:
    normals = vertex_normals(dense.vertices, dense.triangles).astype(np.float64)
    corner = dense.vertices[chart.triangles]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    density = area / spacing(corner.mean(axis=1)) ** 2
    pick = random.choice(len(area), 60000, p=density / density.sum())
    weight = random.dirichlet([1, 1, 1], 60000)
    fields = (dense.vertices, normals, chart.flat)
    mixed = [np.einsum("nc,nck->nk", weight, values[chart.triangles[pick]]) for values in fields]
    return mixed[0], mixed[1], mixed[2]


def _darts(keys: Doubles, wanted: Doubles) -> Ints:
    tree = cKDTree(keys)
    alive = np.ones(len(keys), bool)
    chosen = []
    for number in range(len(keys)):
        if alive[number]:
            chosen.append(number)
            alive[tree.query_ball_point(keys[number], 0.80 * wanted[number])] = False
    return np.array(chosen, np.int32)


def _relaxed(pool: Doubles, normals: Doubles, wanted: Doubles, chosen: Ints, anchor: Doubles,
             anchor_normals: Doubles) -> Ints:
    """Lloyd: each chosen point goes to the pool point nearest to the mean of those that it is nearest to."""
    keys, fixed = _keyed(pool, normals), _keyed(anchor, anchor_normals)
    tree = cKDTree(keys)
    for _ in range(12):
        owner = cKDTree(np.concatenate([keys[chosen], fixed])).query(keys)[1]
        mass = 1 / wanted**2
        total = np.bincount(owner, mass, len(chosen) + len(fixed))[: len(chosen)]
        mean = np.stack([np.bincount(owner, mass * keys[:, k], len(chosen) + len(fixed))[: len(chosen)]
                         for k in range(6)], axis=1) / np.maximum(total, 1e-12)[:, None]
        chosen = np.unique(np.where(total > 0, tree.query(mean)[1], chosen)).astype(np.int32)
    return chosen


def inside_polygon(places: Doubles, polygon: Doubles) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Even-odd test."""
    x, y = places[:, 0], places[:, 1]
    inside = np.zeros(len(places), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def joined(places: Doubles, points: Doubles, barred: list[Doubles], kept_edges: set[tuple[int, int]]) -> Ints:
    """Triangles over flat places outside barred polygons, flipped until they are Delaunay in space."""
    triangles = Delaunay(places * 1.0).simplices
    middle = places[triangles].mean(axis=1)
    outside = np.ones(len(triangles), bool)
    for polygon in barred:
        outside &= ~inside_polygon(middle, polygon)
    triangles = triangles[outside]
    a, b, c = (places[triangles[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    flat = np.abs(turn) < 1e-14
    triangles = np.where((turn < 0)[:, None], triangles[:, ::-1], triangles)[~flat]
    return flipped(triangles.astype(np.int32), points, kept_edges)


def flipped(triangles: Ints, points: Doubles, kept: set[tuple[int, int]], rounds: int = 30) -> Ints:
    """Swap the diagonal of two triangles where their opposite corners sum to more than a half turn."""
    for _ in range(rounds):
        owner: dict[tuple[int, int], tuple[int, int]] = {}
        for number, t in enumerate(triangles.tolist()):
            for k in range(3):
                owner[t[k], t[(k + 1) % 3]] = (number, t[(k + 2) % 3])
        touched: set[int] = set()
        for (a, b), (one, c) in owner.items():
            if a > b or (b, a) not in owner or (a, b) in kept:
                continue
            other, d = owner[b, a]
            if one in touched or other in touched or (c, d) in owner or (d, c) in owner:
                continue
            if _better(points, a, b, c, d):
                triangles[one], triangles[other] = (a, d, c), (d, b, c)
                touched |= {one, other}
        if not touched:
            break
    return triangles


def _better(points: Doubles, a: int, b: int, c: int, d: int) -> bool:
    p = points
    if _corner(p[c], p[a], p[b]) + _corner(p[d], p[a], p[b]) <= np.pi + 1e-6:
        return False
    before = np.cross(p[b] - p[a], p[c] - p[a]) + np.cross(p[a] - p[b], p[d] - p[b])
    first, second = np.cross(p[d] - p[a], p[c] - p[a]), np.cross(p[b] - p[d], p[c] - p[d])
    return bool(first @ before > 0 and second @ before > 0)


def _corner(tip: Doubles, a: Doubles, b: Doubles) -> float:
    u, v = a - tip, b - tip
    return float(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v))


__all__ = ["MIDDLE", "flipped", "inside_polygon", "joined", "middle_points", "spacing", "spread"]
