"""Colours of the built-in head as pictures in its own texture places: skin with lips, brows and soft shade; eyes.

Painted by code from the loops and landmarks; random strokes are drawn from fixed seeds.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib.tri import LinearTriInterpolator, Triangulation
from PIL import Image, ImageDraw, ImageFilter
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from facerig.heads.builtin.rings import EYE_COLUMNS
from facerig.heads.builtin.skin import BORDER, SEAM, Skin
from facerig.heads.builtin.source import Dense, Doubles
from facerig.mesh import Floats, Ints, vertex_normals

SIZE = 1280
# sRGB 0..255
SKIN, LIP, SEAM_LIP, BROW = (226, 186, 166), (198, 124, 116), (140, 70, 68), (70, 49, 39)
# Tints: place on the left side of the head (cm), reach (cm), colour added to the skin
TINTS = (((4.3, -0.4, 9.2), 2.4, (5, -9, -8)), ((0.0, -0.5, 12.5), 1.0, (5, -9, -8)),
         ((8.0, 1.5, 0.5), 2.6, (4, -9, -8)), ((0.0, 8.0, 10.0), 4.0, (3, 5, 2)), ((3.0, 2.2, 9.6), 0.8, (-7, -8, -3)),
         ((0.0, -7.2, 10.8), 1.6, (2, -4, -4)),         ((3.1, 4.7, 9.6), 0.9, (-5, -9, -8)))
# cm that hairs grow above (below) the 68 points' brow, which runs along the upper border: a flatter arch reads in both
# directions, a high one looks surprised at rest.
BROW_LOWER = (-0.38, -0.44, -0.46, -0.24, -0.02)
IRIS, IRIS_EDGE, WHITE = (92, 118, 128), (38, 50, 58), (238, 234, 230)


def skin_picture(skin: Skin, dense: Dense) -> bytes:
    """The skin's colours as PNG bytes."""
    colours = _vertex_colours(skin)
    picture = _raster(skin.uvs, skin.triangles, colours)
    grain = np.random.default_rng(3).normal(0, 1, (SIZE, SIZE))
    picture += (gaussian_filter(grain, 1.5) * 4 + gaussian_filter(grain, 10) * 26)[..., None] * [1.0, 0.85, 0.8]
    picture = _with_lips(picture, skin)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    for side in (1, -1):
        image = _with_brow(image, skin, dense, side)
    return png(image)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _vertex_colours(skin: Skin) -> Doubles:
    colour = np.tile(np.array(SKIN, float), (len(skin.vertices), 1))
    folded = np.abs(skin.vertices * [1, 0, 0]) + skin.vertices * [0, 1, 1]
    for place, reach, tint in TINTS:
        near = np.exp(-((np.linalg.norm(folded - place, axis=1) / reach) ** 2))
        colour += near[:, None] * np.array(tint)
    for grid in skin.eyes:  # the moist edge of the lids
        for ring, share in ((0, 0.6), (1, 0.6), (2, 0.6), (3, 0.35), (4, 0.12)):
            colour[grid[:, ring]] += share * (np.array([196, 120, 112]) - colour[grid[:, ring]])
        upper = grid[1:EYE_COLUMNS]
        for ring, share in ((3, 0.45), (4, 0.40), (5, 0.1)):  # the shade of the lashes' roots
            colour[upper[:, ring]] += share * (np.array([92, 62, 56]) - colour[upper[:, ring]])
    shade = 1 - 0.55 * occlusion(skin.vertices, skin.triangles)
    return colour * shade[:, None] ** [0.85, 1.15, 1.2]


def occlusion(points: Doubles, triangles: Ints) -> Doubles:
    """How much of each vertex's sky its own surroundings take (point sets: no rays)."""
    normals = vertex_normals(points, triangles).astype(np.float64)
    corner = points[triangles]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
    size = np.bincount(triangles.ravel(), np.repeat(area / 3, 3), len(points))
    out = np.zeros(len(points))
    for number, near in enumerate(cKDTree(points).query_ball_point(points, 2.6)):
        ray = points[near] - points[number]
        distance = np.linalg.norm(ray, axis=1) + 1e-9
        up = (ray @ normals[number]) / distance
        facing = -np.einsum("nk,nk->n", ray, normals[near]) / distance
        seen = np.clip(up, 0, 1) * np.clip(facing, 0, 1) * size[near] / (np.pi * np.maximum(distance, 0.15) ** 2)
        out[number] = min(1.0, seen.sum() * 1.3)
    return out


def _raster(uvs: Doubles, triangles: Ints, colours: Doubles) -> Doubles:
    """Colours at vertices -> picture, spread beyond the charted area so that no seam shows its border."""
    tri = Triangulation(uvs[:, 0], uvs[:, 1], triangles)
    tri.set_mask(_flat_area(uvs, triangles) < 1e-12)
    x, y = np.meshgrid((np.arange(SIZE) + 0.5) / SIZE, 1 - (np.arange(SIZE) + 0.5) / SIZE)
    layers = [np.ma.filled(LinearTriInterpolator(tri, colours[:, k])(x, y), np.nan) for k in range(3)]
    picture = np.stack(layers, axis=-1)
    missing = np.isnan(picture[..., 0])
    places = np.stack([x[missing], y[missing]], axis=1)
    picture[missing] = colours[cKDTree(uvs).query(places)[1]]
    return picture


def _flat_area(uvs: Doubles, triangles: Ints) -> Doubles:
    a, b, c = (uvs[triangles[:, k]] for k in range(3))
    area: Doubles = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    return area


def _loop(skin: Skin, ring: int) -> Doubles:
    """A mouth ring in picture coordinates, smooth."""
    places = skin.uvs[skin.mouth[:, ring]]
    spline = CubicSpline(np.arange(len(places) + 1), np.concatenate([places, places[:1]]), bc_type="periodic")
    fine = spline(np.linspace(0, len(places), 800))
    return np.stack([fine[:, 0], 1 - fine[:, 1]], axis=1) * SIZE


def _with_lips(picture: Doubles, skin: Skin) -> Doubles:
    border, seam = (_mask(_loop(skin, ring), blur) for ring, blur in ((BORDER, 2.6), (SEAM, 3.0)))
    grain = gaussian_filter(np.random.default_rng(4).normal(0, 1, (SIZE, SIZE)), (2.5, 0.8))[..., None] * 12
    mixed = picture + 0.80 * border[..., None] * (np.array(LIP) + grain - picture)
    result: Doubles = mixed + 0.75 * seam[..., None] * (np.array(SEAM_LIP) - mixed)
    return result


def _mask(loop: Doubles, blur: float) -> Doubles:
    image = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(image).polygon([tuple(p) for p in loop], fill=255)
    mask: Doubles = gaussian_filter(np.asarray(image, float) / 255, blur)
    return mask


def _with_brow(image: Image.Image, skin: Skin, dense: Dense, side: int) -> Image.Image:
    """Hairs as short strokes along the brow's curve: upward at its inner end, along it further out."""
    random = np.random.default_rng(11)
    points = [dense.points[n] + [0, lower, 0] for n, lower in zip((22, 23, 24, 25, 26), BROW_LOWER, strict=True)]
    near = [skin.uvs[((skin.vertices - p * [side, 1, 1]) ** 2).sum(1).argmin()] for p in points]
    curve = CubicSpline(np.arange(5), np.array([[u, 1 - v] for u, v in near]) * SIZE * 2)
    big = image.resize((SIZE * 2, SIZE * 2), Image.Resampling.BICUBIC)
    layer = Image.new("L", big.size)
    draw = ImageDraw.Draw(layer)
    for t in np.sort(random.uniform(-0.08, 3.95, 460)):
        place, ahead = curve(t), curve(t, 1)
        ahead = ahead / np.linalg.norm(ahead)
        up = np.array([ahead[1], -ahead[0]]) * side
        width = 13 * np.interp(t, [-0.2, 0.3, 2.2, 4.0], [0.5, 0.82, 0.82, 0.12])
        root = place + up * random.normal(0.0, 0.42) * width
        lean = np.interp(t, [0, 0.8, 4], [0.95, 0.62, 0.12]) + random.normal(0, 0.12)
        lean -= 0.5 * (root - place) @ up / width
        heading = np.cos(lean) * ahead + np.sin(lean) * up
        tip = root + heading * random.uniform(13, 24) * np.interp(t, [0, 3, 4], [0.9, 1, 0.7])
        ink = int(random.uniform(125, 230))
        draw.line([tuple(root), tuple((root + tip) / 2 + ahead * 0.8), tuple(tip)], fill=ink, width=2)
    shade = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.8)), float) / 255
    soft = np.asarray(layer.filter(ImageFilter.GaussianBlur(7)), float) / 255
    strength = np.clip(shade * 0.80 + soft * 0.40, 0, 1)[..., None]
    mixed = np.asarray(big, float) * (1 - strength) + np.array(BROW) * strength
    return Image.fromarray(mixed.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def eye_picture(limbus_degrees: float, pupil_degrees: float) -> bytes:
    """The eyeball seen from the front: angle from the gaze grows evenly with the distance from the middle."""
    size = 512
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    angle, turn = np.hypot(x, y) * 180, np.arctan2(y, x)
    random = np.random.default_rng(7)
    fibre = gaussian_filter(random.normal(0, 1, 720), 1.5, mode="wrap")
    fine = np.interp((turn / np.pi * 360) % 720, np.arange(721), np.append(fibre, fibre[0]))
    share = np.clip((angle - pupil_degrees) / (limbus_degrees - pupil_degrees), 0, 1)
    iris = np.array(IRIS) * (0.86 + 0.28 * fine[..., None]) + (1 - share[..., None]) ** 2 * np.array([60, 36, 2])
    iris += (np.array(IRIS_EDGE) - iris) * _step(share, 0.78, 1.0)[..., None]
    white = np.array(WHITE) + _step(angle, 30, 95)[..., None] * np.array([-10, -62, -66])
    colour = iris + (white - iris) * _step(angle, limbus_degrees - 1.5, limbus_degrees + 1.8)[..., None]
    colour *= _step(angle, pupil_degrees - 0.9, pupil_degrees + 0.7)[..., None] * 0.96 + 0.04
    return png(Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8)))


def _step(x: Doubles | Floats, low: float, high: float) -> Doubles:
    t = np.clip((x - low) / (high - low), 0, 1)
    step: Doubles = t * t * (3 - 2 * t)
    return step
