"""Eyeballs, teeth, gums and tongue as plain surfaces of revolution and sweeps. Centimetres, ICT-FaceKit's frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerig.heads.builtin.source import Doubles
from facerig.heads.builtin.template import quad_triangles
from facerig.mesh import Ints

# Eyeball rings: angle from the gaze in degrees. The limbus lies at 27 degrees (iris 12 mm wide), the pupil at 9.
EYE_RINGS = (4.0, 9.0, 13.0, 18.0, 23.0, 27.0, 31.0, 38.0, 50.0, 65.0, 82.0, 100.0, 125.0, 152.0)
EYE_COLUMNS = 24
CORNEA = 0.055  # cm that the cornea stands out at its middle
LIMBUS = 27.0

# Crown widths and heights in mm from the middle outwards, and depth from cheek to tongue (means of adult teeth).
UPPER_TEETH = ((8.6, 10.2, 6.4), (6.7, 9.2, 6.0), (7.6, 10.0, 7.6), (7.0, 8.4, 8.6), (6.8, 7.8, 8.8), (10.0, 7.2, 10.6),
               (9.4, 6.8, 10.6))
LOWER_TEETH = ((5.3, 8.8, 5.6), (5.9, 9.0, 6.0), (6.9, 10.2, 7.2), (7.0, 8.6, 7.6), (7.1, 8.0, 8.0), (10.8, 7.4, 9.8),
               (10.2, 7.0, 9.8))
UPPER_ARCH = (2.95, 4.7, 10.66)  # half width, depth, front of the incisors (z)
LOWER_ARCH = (2.70, 4.45, 10.42)
UPPER_EDGE, LOWER_EDGE = -3.62, -3.52  # y: the upper incisors bite 1 mm over the lower ones
SLOPE = 0.028  # cm a tooth: the plane of biting sinks towards the molars
TOOTH_COLUMNS = 8
# The u of teeth and gums is their depth in the mouth, for its shade: cm that count as 1, share of the way aside
INSIDE, ASIDE = 5.0, 0.25

TONGUE_COLUMNS = 14
# The tongue's spine from root to tip: y, z, half width, half thickness
TONGUE = ((-5.7, 4.6, 1.30, 0.90), (-5.20, 5.2, 1.75, 0.95), (-4.85, 5.9, 1.98, 0.92), (-4.68, 6.6, 2.06, 0.86),
          (-4.62, 7.3, 2.02, 0.78), (-4.62, 7.9, 1.90, 0.69), (-4.64, 8.4, 1.72, 0.58), (-4.67, 8.85, 1.48, 0.47),
          (-4.69, 9.2, 1.18, 0.37), (-4.70, 9.45, 0.86, 0.28), (-4.70, 9.60, 0.50, 0.18))


@dataclass(frozen=True, eq=False)
class Surface:
    vertices: Doubles
    triangles: Ints
    uvs: Doubles


def eyeball(centre: Doubles, radius: float) -> Surface:
    """Looks along +z; uv is the view from the front, so that iris and pupil are discs around (.5, .5)."""
    angle = np.radians(EYE_RINGS)
    around = 2 * np.pi * np.arange(EYE_COLUMNS) / EYE_COLUMNS
    bulge = np.cos(np.pi / 2 * np.minimum(angle / np.radians(LIMBUS), 1)) ** 1.5 * CORNEA
    ring = (radius + bulge) * np.stack([np.sin(angle), np.cos(angle)])
    grid = np.stack([np.outer(np.cos(around), ring[0]), np.outer(np.sin(around), ring[0]),
                     np.tile(ring[1], (EYE_COLUMNS, 1))], axis=-1)
    poles = np.array([[0, 0, radius + CORNEA], [0, 0, -radius]])
    points = np.concatenate([grid.reshape(-1, 3), poles]) + centre
    reach = np.outer(np.ones(EYE_COLUMNS), angle / np.pi)[..., None]
    uv = 0.5 + 0.5 * reach * np.stack([np.cos(around), np.sin(around)], -1)[:, None]
    return Surface(points, _capped(EYE_COLUMNS, len(angle), clockwise=False),
                   np.concatenate([uv.reshape(-1, 2), [[0.5, 0.5], [1.0, 0.5]]]))


def _capped(columns: int, rings: int, clockwise: bool) -> Ints:
    """Grid [columns, rings] closed around, with a pole before the first ring and one behind the last."""
    ids = np.arange(columns * rings).reshape(columns, rings)
    first, last = columns * rings, columns * rings + 1
    ahead = np.roll(ids, -1, axis=0)
    caps = [np.stack([np.full(columns, first), ahead[:, 0], ids[:, 0]], 1),
            np.stack([np.full(columns, last), ids[:, -1], ahead[:, -1]], 1)]
    triangles = np.concatenate([quad_triangles(ids, closed=True), *caps])
    return (triangles if clockwise else triangles[:, ::-1]).astype(np.int32)


def arch_points(arch: tuple[float, float, float], run: Doubles) -> tuple[Doubles, Doubles]:
    """Places (x, z) on the left half of a dental arch at arc lengths from the middle, and the outward directions."""
    width, depth, front = arch
    t = np.linspace(0, np.pi / 2, 800)
    x, z = width * np.sin(t) ** (2 / 2.25), front - depth + depth * np.cos(t) ** (2 / 2.25)
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    place = np.stack([np.interp(run, length, x), np.interp(run, length, z)], axis=-1)
    ahead = np.stack([np.interp(run + 0.02, length, x), np.interp(run + 0.02, length, z)], axis=-1)
    along = (ahead - place) / np.linalg.norm(ahead - place, axis=-1, keepdims=True)
    along[run < 1e-9] = (1.0, 0.0)  # on the middle line, for the mirror image's sake
    return place, np.stack([-along[..., 1], along[..., 0]], axis=-1)


def teeth_row(sizes: tuple[tuple[float, float, float], ...], arch: tuple[float, float, float], edge: float,
              up: float) -> Surface:
    """Fourteen crowns; up = 1: the crowns stand on the jaw below (lower teeth), -1: they hang (upper teeth)."""
    pieces, run = [], 0.0
    for number, (width, height, depth) in enumerate(sizes):
        place, out = arch_points(arch, np.array([run + width / 20]))
        run += width / 10
        crown = _crown(number, width / 10, height / 10, depth / 10)
        along = np.array([-out[0, 1], out[0, 0]])
        bite = edge + up * (0.0, -0.05, 0.03, -0.03, -0.05, -0.04, -0.03)[number] - SLOPE * number
        xz = place[0] + crown[:, :1] * -along + crown[:, 2:] * out[0]
        pieces.append(np.stack([xz[:, 0], bite - up * crown[:, 1], xz[:, 1]], axis=1))
    rings = 4
    one = _capped(TOOTH_COLUMNS, rings, clockwise=up > 0)
    points = np.concatenate(pieces)
    triangles = np.concatenate([one + k * len(pieces[0]) for k in range(len(pieces))])
    both = np.concatenate([points, points * [-1, 1, 1]])
    turned = np.concatenate([triangles, triangles[:, ::-1] + len(points)])
    level = np.clip(np.abs(both[:, 1] - edge), 0, 1)
    return Surface(both, turned.astype(np.int32), np.stack([inward(both, arch), 1 - level], axis=1))


def inward(points: Doubles, arch: tuple[float, float, float]) -> Doubles:
    """How far inside the mouth a place of an arch lies: 0 at the incisors' front, 1 at INSIDE cm back and aside."""
    share: Doubles = np.clip((arch[2] - points[:, 2] + ASIDE * np.abs(points[:, 0])) / INSIDE, 0, 1)
    return share


def _crown(number: int, width: float, height: float, depth: float) -> Doubles:
    """Along the arch, down from the biting edge, outwards: rounded box, thin at the edge where it is an incisor."""
    incisor = max(0.0, 1 - number / 3)
    # level from the edge (share of the height), width share, depth share, outward shift
    levels = ((0.00, 0.90, 0.26 + 0.40 * (1 - incisor), -0.02), (0.14, 0.985, 0.42 + 0.5 * (1 - incisor), 0.01),
              (0.55, 0.97, 0.78 + 0.2 * (1 - incisor), 0.02), (1.0, 0.80, 0.85, -0.05))
    around = 2 * np.pi * (np.arange(TOOTH_COLUMNS) + 0.5) / TOOTH_COLUMNS
    square = np.stack([np.sign(np.cos(around)) * np.abs(np.cos(around)) ** 0.45,
                       np.sign(np.sin(around)) * np.abs(np.sin(around)) ** 0.6], axis=1)
    rings = []
    for level, wide, deep, shift in levels:
        thick = depth * deep
        rings.append(np.stack([square[:, 0] * width * wide / 2, np.full(TOOTH_COLUMNS, level * height),
                               square[:, 1] * thick / 2 - thick / 2 + shift * 0.5], axis=1))
    grid = np.stack(rings, axis=1)
    bite = 0.06 * (1 - incisor) - 0.012
    poles = np.array([[0, bite, grid[:, 0, 2].mean()], [0, height * 1.02, grid[:, -1, 2].mean()]])
    return np.concatenate([grid.reshape(-1, 3), poles])


def gums(sizes: tuple[tuple[float, float, float], ...], arch: tuple[float, float, float], edge: float,
         up: float) -> Surface:
    """A soft wall over the necks of the teeth, from cheek to tongue side."""
    total = sum(width for width, _, _ in sizes) / 10
    run = np.linspace(0, total, 14)
    place, out = arch_points(arch, run)
    place, out = _both_sides(place, out)
    height = np.interp(np.abs(np.concatenate([-run[:0:-1], run])), np.cumsum([w / 10 for w, _, _ in sizes]) - 0.3,
                       [h / 10 for _, h, _ in sizes])
    # outwards of the arch, beyond the necks (share of 1 cm above the crown's height)
    section = ((0.10, 0.75), (0.10, 0.25), (0.03, -0.02), (-0.18, -0.10), (-0.75, -0.08), (-0.98, 0.10), (-1.05, 0.75))
    rows = [np.stack([(place + out * o)[:, 0], edge - up * (height * 0.93 + beyond), (place + out * o)[:, 1]], axis=1)
            for o, beyond in section]
    grid = np.stack(rows, axis=1)
    ids = np.arange(grid[..., 0].size).reshape(grid.shape[:2])
    triangles = quad_triangles(ids, closed=False)
    triangles = triangles if up < 0 else triangles[:, ::-1]
    points = grid.reshape(-1, 3)
    uv = np.stack([inward(points, arch), np.tile(np.linspace(0, 1, len(rows)), len(place))], axis=-1)
    return Surface(points, triangles.astype(np.int32), uv)


def _both_sides(place: Doubles, out: Doubles) -> tuple[Doubles, Doubles]:
    flip = np.array([-1.0, 1.0])
    return np.concatenate([place[:0:-1] * flip, place]), np.concatenate([out[:0:-1] * flip, out])


def tongue() -> tuple[Surface, Doubles, Doubles]:
    """The surface; and per vertex its share along the spine (0 root, 1 tip) and across (-1 right .. 1 left)."""
    spine = np.array(TONGUE)
    around = 2 * np.pi * np.arange(TONGUE_COLUMNS) / TONGUE_COLUMNS
    across, high = np.sin(around), np.cos(around)
    ahead = np.gradient(spine[:, :2], axis=0)
    normal = np.stack([ahead[:, 1], -ahead[:, 0]], 1) / np.linalg.norm(ahead, axis=1, keepdims=True)
    # A flat bed below, a furrow along the middle above.
    profile = np.where(high > 0, np.abs(high) ** 0.8, -0.8 * np.abs(high) ** 0.7)
    profile -= 0.18 * np.exp(-((across / 0.22) ** 2)) * (high > 0)
    grid = np.empty((TONGUE_COLUMNS, len(spine), 3))
    grid[..., 0] = np.outer(across, spine[:, 2])
    lifted = np.outer(profile, spine[:, 3])
    grid[..., 1] = spine[:, 0] + lifted * normal[:, 0]
    grid[..., 2] = spine[:, 1] + lifted * normal[:, 1]
    poles = np.array([[0, spine[0, 0], spine[0, 1] - 0.4], [0, spine[-1, 0], spine[-1, 1] + 0.14]])
    share = np.linspace(0, 0.98, len(spine))
    along = np.concatenate([np.tile(share, TONGUE_COLUMNS), [0, 1]])
    side = np.concatenate([np.repeat(across, len(spine)), [0, 0]])
    uv = np.stack([0.5 + 0.5 * side, along], axis=1)
    triangles = _capped(TONGUE_COLUMNS, len(spine), clockwise=False)
    return Surface(np.concatenate([grid.reshape(-1, 3), poles]), triangles, uv), along, side
