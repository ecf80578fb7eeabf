"""The whole skin: the fitted left half and its mirror image, lips brought together, lids laid on the eyeball, and the
linings that no chart shows (behind the lids, the cavity of the mouth). Centimetres, ICT-FaceKit's frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerig.heads.builtin.chart import MIDDLE, Chart, lift
from facerig.heads.builtin.rings import INNER_RINGS, LIP_RINGS, MOUTH_COLUMNS
from facerig.heads.builtin.source import Dense, Doubles
from facerig.heads.builtin.template import HalfSkin, quad_triangles
from facerig.mesh import Ints

UV_CORE = 0.016  # flat radius around the nose that keeps its scale in the picture; further out is drawn in
EYE_RADIUS = 1.34
LID_RADIUS = 1.405  # where the lids' edges lie: .65 mm off the eyeball, which hides what a straight blink cuts off
LID_LININGS = ((0.02, 1.385), (0.28, 1.375), (0.55, 1.37))  # beyond the edge in cm, radius
SEAM = INNER_RINGS  # number of the ring where the lips meet
BORDER = INNER_RINGS + LIP_RINGS  # of the ring at the border of their red
LIP_GAP = 0.004  # cm between the lips at rest
SEAM_CENTRE = np.array([0.0, -3.38, 11.3])
# The cavity behind the lips: back from the inner lip (cm), half width, height above and below the seam.
CAVITY = ((0.35, 2.45, 0.95, 1.00), (0.95, 2.80, 1.65, 1.65), (2.40, 3.10, 1.95, 2.05), (4.40, 2.95, 1.90, 2.30),
          (6.00, 2.10, 1.20, 2.20), (6.70, 0.90, 0.40, 1.40))


@dataclass(frozen=True, eq=False)
class Skin:
    """Vertices of the face part; the numbers of its loops; where each vertex was taken from on the dense head."""

    vertices: Doubles
    triangles: Ints
    uvs: Doubles
    mirror: Ints
    mouth: Ints  # [columns all around, rings]: middle above, left corner, middle below, right corner, ...
    eyes: tuple[Ints, Ints]  # left, right: [columns, linings reversed + rings]
    corners: Ints  # [V, 3] dense vertices that a vertex lies between (mirrored ones for the right side)
    weights: Doubles  # [V, 3]
    right: np.ndarray[tuple[int], np.dtype[np.bool_]]
    root: Ints  # the vertex itself, or the lid's edge vertex that a lining follows
    depth: Doubles  # 0 on the skin, growing along linings

    def pairs(self) -> tuple[Ints, Ints]:
        """Columns of the mouth above and the ones below them, corners left out."""
        n = MOUTH_COLUMNS
        above = np.concatenate([np.arange(n), np.arange(3 * n + 1, 4 * n)])
        below = np.concatenate([2 * n - np.arange(n), np.arange(3 * n - 1, 2 * n, -1)])
        return above.astype(np.int32), below.astype(np.int32)


def whole_skin(half: HalfSkin, chart: Chart, dense: Dense) -> Skin:
    corners, weights = chart.locate(half.places)
    points = lift(corners, weights, dense.vertices)
    middle = half.places[:, 0] < MIDDLE
    points[middle, 0] = 0.0
    right_of = _mirrored_numbers(middle)
    total = len(points) + int((~middle).sum())
    vertices = np.concatenate([points, points[~middle] * [-1, 1, 1]])
    triangles = np.concatenate([half.triangles, right_of[half.triangles][:, ::-1]])
    mirror = np.arange(total)
    mirror[: len(points)] = right_of
    mirror[right_of] = np.arange(len(points))
    mouth = np.concatenate([half.mouth, right_of[half.mouth[-2:0:-1]]])
    skin = Skin(vertices, triangles.astype(np.int32), _uvs(half.places, middle), mirror.astype(np.int32),
                mouth.astype(np.int32), (half.eye, right_of[half.eye]),
                np.concatenate([corners, corners[~middle]]), np.concatenate([weights, weights[~middle]]),
                np.arange(total) >= len(points), np.arange(total, dtype=np.int32), np.zeros(total))
    seal_lips(skin)
    lay_lids(skin, dense.eye)
    return _with_linings(skin, dense.eye)


def _mirrored_numbers(middle: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
    right: Ints = np.arange(len(middle), dtype=np.int32)
    right[~middle] = len(middle) + np.arange(int((~middle).sum()))
    return right


def _uvs(places: Doubles, middle: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Doubles:
    """The disc with its outside drawn in, so that the face takes most of the picture; v up."""
    radius = np.hypot(places[:, 0], places[:, 1])
    shrunk = np.log1p(radius / UV_CORE) / np.log1p(1 / UV_CORE) / np.maximum(radius, 1e-12)
    flat = 0.5 * places * shrunk[:, None] * 0.98
    both = np.concatenate([flat, flat[~middle] * [-1, 1]])
    return both + 0.5


def ring_falloff(reach: int) -> Doubles:
    """Weights of rings 0..reach: 1 at the edge, smoothly to 0."""
    t = np.arange(reach + 1) / reach
    falloff: Doubles = 1 - t * t * (3 - 2 * t)
    return falloff


def seal_lips(skin: Skin) -> None:
    """Bring the seam's pairs together; what lies inside follows whole, the red of the lips less and less."""
    above, below = skin.pairs()
    top, bottom = skin.mouth[above], skin.mouth[below]
    half = (skin.vertices[bottom[:, SEAM]] - skin.vertices[top[:, SEAM]]) / 2
    half[:, 1] += LIP_GAP / 2
    spread_from_seam(skin, top, half)
    spread_from_seam(skin, bottom, -half)


def spread_from_seam(skin: Skin, columns: Ints, move: Doubles) -> None:
    weight = seam_weights()
    skin.vertices[columns] += weight[None, :, None] * move[:, None, :]


def seam_weights(reach: int = LIP_RINGS + 1) -> Doubles:
    """How far each ring of the mouth follows its column's seam vertex."""
    rings = np.zeros(BORDER + 8)
    rings[:SEAM] = np.linspace(0.35, 1, SEAM + 1)[:-1]
    rings[SEAM : SEAM + reach + 1] = ring_falloff(reach)
    return rings


def lay_lids(skin: Skin, eye: Doubles) -> None:
    """Shift the lids' edges along the eye's radius onto one sphere; six rings follow."""
    for grid, centre in zip(skin.eyes, (eye, eye * [-1, 1, 1]), strict=True):
        offset = skin.vertices[grid[:, 0]] - centre
        radius = np.linalg.norm(offset, axis=1, keepdims=True)
        shift = offset / radius * (LID_RADIUS - radius)
        weight = np.zeros(grid.shape[1])
        weight[:7] = ring_falloff(6)
        skin.vertices[grid] += weight[None, :, None] * shift[:, None]


def _with_linings(skin: Skin, eye: Doubles) -> Skin:
    """Two bands behind each lid, along the eyeball."""
    vertices, uvs, mirror, root, depth = [skin.vertices], [skin.uvs], [skin.mirror], [skin.root], [skin.depth]
    corners, weights, right, triangles, eyes = [skin.corners], [skin.weights], [skin.right], [skin.triangles], []
    start, count = len(skin.vertices), len(skin.eyes[0]) * len(LID_LININGS)
    for side, (grid, centre) in enumerate(zip(skin.eyes, (eye, eye * [-1, 1, 1]), strict=True)):
        edge = skin.vertices[grid[:, 0]]
        numbers = start + side * count + np.arange(count).reshape(len(LID_LININGS), -1).T
        other = start + (1 - side) * count + np.arange(count)
        vertices.append(_lining(edge, centre).transpose(1, 0, 2).reshape(-1, 3))
        uvs.append(np.tile(skin.uvs[grid[:, 0]], (len(LID_LININGS), 1)))
        mirror.append(other.astype(np.int32))
        root.append(np.tile(grid[:, 0], len(LID_LININGS)).astype(np.int32))
        depth.append(np.repeat([beyond for beyond, _ in LID_LININGS], len(edge)))
        corners.append(skin.corners[root[-1]])
        weights.append(skin.weights[root[-1]])
        right.append(skin.right[root[-1]])
        full = np.concatenate([numbers[:, ::-1], grid], axis=1)
        band = quad_triangles(full[:, : len(LID_LININGS) + 1], closed=True)
        triangles.append((band if side == 0 else band[:, ::-1]).astype(np.int32))
        eyes.append(full.astype(np.int32))
    return Skin(np.concatenate(vertices), np.concatenate(triangles), np.concatenate(uvs), np.concatenate(mirror),
                skin.mouth, (eyes[0], eyes[1]), np.concatenate(corners), np.concatenate(weights),
                np.concatenate(right), np.concatenate(root), np.concatenate(depth))


def _lining(edge: Doubles, centre: Doubles) -> Doubles:
    """[columns, linings, 3]: from the lid's edge away from the opening, under the lid."""
    offset = edge - centre
    radial = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    away = edge - edge.mean(axis=0)
    away -= radial * (away * radial).sum(1, keepdims=True)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    bands = []
    for beyond, radius in LID_LININGS:
        angle = beyond / radius
        bands.append(centre + radius * (np.cos(angle) * radial + np.sin(angle) * away))
    return np.stack(bands, axis=1)


def cavity(skin: Skin) -> tuple[Doubles, Ints, Doubles]:
    """The lining of the mouth from the innermost lip ring back: [rings, columns, 3], triangles, and how far each
    column belongs to the lower jaw (0 above, 1 below)."""
    front = skin.vertices[skin.mouth[:, 0]]
    columns = len(front)
    angle = np.arctan2(front[:, 1] - SEAM_CENTRE[1], front[:, 0])
    # Heights grow with the sine, so that the corner columns stay at the height of the seam.
    jaw = 0.5 - 0.5 * np.clip(np.sin(angle) / 0.6, -1, 1)
    rings = [front]
    for number, (back, width, up, down) in enumerate(CAVITY):
        even = 2 * np.pi * (0.25 - np.arange(columns) / columns)
        blend = min(1.0, 0.45 + 0.2 * number)
        turn = np.angle((1 - blend) * np.exp(1j * angle) + blend * np.exp(1j * even))
        height = np.where(np.sin(turn) > 0, up, down)
        point = np.stack([width * np.cos(turn), SEAM_CENTRE[1] + height * np.sin(turn), front[:, 2] - back], axis=1)
        flatten = min(1.0, number / 3)
        point[:, 2] += flatten * (10.4 - front[:, 2])
        rings.append(point)
    grid = np.arange(len(rings) * columns).reshape(len(rings), columns).T
    triangles = quad_triangles(grid[:, ::-1], closed=True)
    end = len(rings) * columns
    last = grid[:, -1]
    cap = np.stack([np.full(columns, end), np.roll(last, -1), last], axis=1)
    return np.stack(rings), np.concatenate([triangles, cap]).astype(np.int32), jaw
