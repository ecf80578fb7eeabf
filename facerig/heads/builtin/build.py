"""Puts the built-in head together from its parts. Deterministic: the same source heads give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from facerig.heads.builtin import balls
from facerig.heads.builtin.balls import Surface
from facerig.heads.builtin.chart import flattened
from facerig.heads.builtin.lashes import lash_shapes, left_lashes
from facerig.heads.builtin.rings import MOUTH_COLUMNS
from facerig.heads.builtin.shapes import JAW_JOINT, jaw_motion, mirror_name, skin_shapes
from facerig.heads.builtin.skin import BORDER, EYE_RADIUS, SEAM, Skin, cavity, whole_skin
from facerig.heads.builtin.source import Dense, Doubles, averaged
from facerig.heads.builtin.template import half_skin
from facerig.heads.builtin.tongue import smooth, tongue_shapes
from facerig.heads.npz import head_to_npz
from facerig.mesh import Head, Ints, Joint, Part, Shape, rotation_matrices, vertex_normals

NECK, HEAD, JAW, LEFT_EYE, RIGHT_EYE = range(5)
RELAXED = 0.10  # of the blink, about 1 mm of the upper lid
LEAST = 2e-4  # cm: smaller offsets are left out
# Degrees that an eye turns at weight 1: about x (down positive), about y (to its own left positive).
LOOKS = {"eyeLookUpLeft": (-25, 0), "eyeLookDownLeft": (30, 0), "eyeLookInLeft": (0, -32), "eyeLookOutLeft": (0, 32),
         "eyeLookUpRight": (-25, 0), "eyeLookDownRight": (30, 0), "eyeLookInRight": (0, 32),
         "eyeLookOutRight": (0, -32)}
# How far the rings of the mouth's lining follow the lips, and the lower jaw.
CAVITY_LIPS = (1.0, 0.55, 0.22, 0.05, 0.0, 0.0, 0.0, 0.0)
CAVITY_JAW = (0.0, 0.45, 0.78, 0.95, 0.85, 0.5, 0.15, 0.1)
FLIP = np.array([-1.0, 1.0, 1.0])
Moves = Mapping[str, Doubles]


def build(folder: Path) -> Head:
    dense, skin = fitted(folder)
    return assembled(dense, skin)


def build_all(folder: Path) -> tuple[bytes, bytes, bytes]:
    """The head's .npz, and the pictures of its skin and eyes."""
    from facerig.heads.builtin.paint import eye_picture, skin_picture

    dense, skin = fitted(folder)
    pictures = skin_picture(skin, dense), eye_picture(balls.LIMBUS, balls.EYE_RINGS[1])
    return head_to_npz(assembled(dense, skin)), *pictures


def fitted(folder: Path) -> tuple[Dense, Skin]:
    dense = averaged(folder)
    chart = flattened(dense)
    return dense, whole_skin(half_skin(chart, dense), chart, dense)


def assembled(dense: Dense, skin: Skin) -> Head:
    moves = skin_shapes(skin, dense)
    relax(skin, moves)
    parts = (_face(skin, moves), _mouth(skin, moves), _eyes(dense.eye), _teeth(), _gums(), _tongue(),
             _lashes(skin, moves, dense.eye))
    return Head("builtin", parts, _joints(dense.eye), 0.01, _landmarks(skin, dense, parts))


def relax(skin: Skin, moves: dict[str, Doubles]) -> None:
    """Both source heads stare a little: the rest pose takes over a part of the blink, the blink keeps what is left."""
    for side in ("Left", "Right"):
        part = RELAXED * moves["eyeBlink" + side]
        skin.vertices[:] += part
        moves["eyeBlink" + side] -= part
        moves["eyeWide" + side] -= 0.5 * part


def _joints(eye: Doubles) -> tuple[Joint, ...]:
    left, right = (tuple(float(x) for x in np.round(place, 5)) for place in (eye, eye * FLIP))
    jaw = tuple(float(x) for x in JAW_JOINT)
    return (Joint("neck", -1, (0.0, -10.0, -0.8)), Joint("head", NECK, (0.0, -3.2, 0.0)),
            Joint("jaw", HEAD, (jaw[0], jaw[1], jaw[2])), Joint("leftEye", HEAD, (left[0], left[1], left[2])),
            Joint("rightEye", HEAD, (right[0], right[1], right[2])))


def part_from(name: str, material: str, surface: Surface, moves: Moves, index: Ints, weight: Doubles) -> Part:
    points = surface.vertices.astype(np.float32)
    triangles = surface.triangles.astype(np.int32)
    shapes = {key: shape for key, delta in moves.items() if len((shape := sparse_shape(delta)).index)}
    return Part(name, material, points, triangles, vertex_normals(points, triangles), surface.uvs.astype(np.float32),
                shapes, index.astype(np.int32), weight.astype(np.float32))


def sparse_shape(delta: Doubles) -> Shape:
    index = np.flatnonzero(np.abs(delta).max(axis=1) >= LEAST).astype(np.int32)
    return Shape(index, delta[index].astype(np.float32))


def rigid(count: int, joint: int) -> tuple[Ints, Doubles]:
    return np.tile(np.array([[joint, HEAD]], np.int32), (count, 1)), np.tile([[1.0, 0.0]], (count, 1))


def _face(skin: Skin, moves: Moves) -> Part:
    index, weight = _skin_weights(skin.vertices, moves["jawOpen"])
    return part_from("face", "skin", Surface(skin.vertices, skin.triangles, skin.uvs), moves, index, weight)


def _skin_weights(points: Doubles, opening: Doubles) -> tuple[Ints, Doubles]:
    """Neck below, jaw as far as jawOpen carries a vertex with it, head for the rest."""
    neck = 1 - smooth(points[:, 1] + 0.3 * (points[:, 2] - 4) * (points[:, 2] < 4), -11.5, -6.0)
    whole = np.linalg.norm(jaw_motion(points)["jawOpen"], axis=1)
    jaw = np.clip(np.linalg.norm(opening, axis=1) / np.maximum(whole, 0.5), 0, 1) * (1 - neck)
    index = np.tile(np.array([[NECK, HEAD, JAW]], np.int32), (len(points), 1))
    return index, np.stack([neck, 1 - neck - jaw, jaw], axis=1)


def _mouth(skin: Skin, moves: Moves) -> Part:
    rings, triangles, jaw = cavity(skin)
    count = rings.shape[1]
    end = rings[-1].mean(axis=0)[None] - [0, 0, 0.3]
    points = np.concatenate([rings.reshape(-1, 3), end])
    lips, follow = np.array(CAVITY_LIPS[: len(rings)]), np.array(CAVITY_JAW[: len(rings)])
    share = np.concatenate([np.outer(follow, jaw).ravel(), [0.0]])
    rigid_jaw = jaw_motion(points)
    nearby, near = _cover(skin, points)
    out = {}
    for name, delta in moves.items():
        inner = share[:, None] * rigid_jaw[name] if name in rigid_jaw else np.zeros_like(points)
        out[name] = inner + near[:, None] * (nearby @ delta - inner)
        out[name][:count] = delta[skin.mouth[:, 0]]
    other = _other_side(count, len(rings))
    out = {name: (move + out[mirror_name(name)][other] * FLIP) / 2 for name, move in out.items()}
    across, back = np.meshgrid(np.linspace(0, 1, count), np.minimum(np.arange(len(rings)) / 3, 1))
    uv = np.stack([across, back], axis=-1).reshape(-1, 2)
    surface = Surface(points, triangles, np.concatenate([uv, [[0.5, 1.0]]]))
    index = np.tile(np.array([[HEAD, JAW]], np.int32), (len(points), 1))
    weight = np.concatenate([np.outer(np.maximum(follow, lips), jaw).ravel(), [0.0]])
    return part_from("mouth", "mouth", surface, out, index, np.stack([1 - weight, weight], axis=1))


def _other_side(columns: int, rings: int) -> Ints:
    """The number of each vertex's mirror image in the mouth's lining."""
    column = -np.arange(columns) % columns
    grid = np.arange(rings)[:, None] * columns + column
    return np.append(grid.ravel(), columns * rings).astype(np.int32)


def _cover(skin: Skin, points: Doubles) -> tuple[sparse.csr_matrix, Doubles]:
    """Weights of the skin's vertices around each place inside the mouth, and how much they carry it along: what lies
    close under the cheek must move with it, or it would come through."""
    distance, number = cKDTree(skin.vertices).query(points, k=12)
    weight = np.exp(-((distance / (distance[:, :1] + 0.35)) ** 2))
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), 12)
    matrix = sparse.csr_matrix((weight.ravel(), (rows, number.ravel())), (len(points), len(skin.vertices)))
    return matrix, 1 - smooth(distance[:, 0], 0.5, 2.2)


def _eyes(eye: Doubles) -> Part:
    left = balls.eyeball(eye, EYE_RADIUS)
    count = len(left.vertices)
    points = np.concatenate([left.vertices, left.vertices * FLIP])
    triangles = np.concatenate([left.triangles, left.triangles[:, ::-1] + count])
    moves = {}
    for name, (down, aside) in LOOKS.items():
        own = slice(0, count) if name.endswith("Left") else slice(count, 2 * count)
        centre = eye if name.endswith("Left") else eye * FLIP
        turn = rotation_matrices(np.radians([float(down), float(aside), 0.0]))
        moves[name] = np.zeros_like(points)
        moves[name][own] = (points[own] - centre) @ (turn.T - np.eye(3))
    index = np.repeat(np.array([[LEFT_EYE, HEAD], [RIGHT_EYE, HEAD]], np.int32), count, axis=0)
    surface = Surface(points, triangles, np.concatenate([left.uvs, left.uvs]))
    return part_from("eyes", "eye", surface, moves, index, np.tile([[1.0, 0.0]], (2 * count, 1)))


def _stacked(upper: Surface, lower: Surface) -> tuple[Surface, Moves, Ints, Doubles]:
    """Two surfaces as one: the first stays with the skull, the second goes with the jaw."""
    count = len(upper.vertices)
    surface = Surface(np.concatenate([upper.vertices, lower.vertices]),
                      np.concatenate([upper.triangles, lower.triangles + count]),
                      np.concatenate([upper.uvs, lower.uvs]))
    moves = {name: np.concatenate([np.zeros((count, 3)), move]) for name, move in jaw_motion(lower.vertices).items()}
    one, two = rigid(count, HEAD), rigid(len(lower.vertices), JAW)
    return surface, moves, np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]])


def _teeth() -> Part:
    upper = balls.teeth_row(balls.UPPER_TEETH, balls.UPPER_ARCH, balls.UPPER_EDGE, -1.0)
    lower = balls.teeth_row(balls.LOWER_TEETH, balls.LOWER_ARCH, balls.LOWER_EDGE, 1.0)
    return part_from("teeth", "teeth", *_stacked(upper, lower))


def _gums() -> Part:
    upper = balls.gums(balls.UPPER_TEETH, balls.UPPER_ARCH, balls.UPPER_EDGE, -1.0)
    lower = balls.gums(balls.LOWER_TEETH, balls.LOWER_ARCH, balls.LOWER_EDGE, 1.0)
    return part_from("gums", "gum", *_stacked(upper, lower))


def _tongue() -> Part:
    surface, along, side = balls.tongue()
    carried = (0.62 + 0.38 * smooth(along, 0.0, 0.6))[:, None]
    moves = {name: carried * move for name, move in jaw_motion(surface.vertices).items()}
    moves |= tongue_shapes(surface.vertices, along, side)
    return part_from("tongue", "tongue", surface, moves, *rigid(len(along), JAW))


def _lashes(skin: Skin, moves: Moves, eye: Doubles) -> Part:
    points, triangles, places = left_lashes(skin, eye)
    left = lash_shapes(skin, dict(moves), points, places, eye)
    both = {name: np.concatenate([left[name], left[mirror_name(name)] * FLIP]) for name in left}
    vertices = np.concatenate([points, points * FLIP])
    faces = np.concatenate([triangles, triangles[:, ::-1] + len(points)])
    uv = np.tile([[0, 0], [1, 0], [0, 0.5], [1, 0.5], [0.5, 1]], (len(vertices) // 5, 1)).astype(float)
    return part_from("lashes", "lash", Surface(vertices, faces, uv), both, *rigid(len(vertices), HEAD))


def _landmarks(skin: Skin, dense: Dense, parts: tuple[Part, ...]) -> dict[str, int]:
    """The 68 points (those of the lips on their loops) and a biting edge above and below."""
    nearest = [int(((skin.vertices - place) ** 2).sum(1).argmin()) for place in dense.points]
    n = MOUTH_COLUMNS
    seam = {62: 0, 63: n // 2, 64: n, 65: 2 * n - n // 2, 66: 2 * n, 67: 2 * n + n // 2, 60: 3 * n, 61: 4 * n - n // 2}
    border = {51: 0, 54: n, 57: 2 * n, 48: 3 * n}
    for ring, table in ((SEAM, seam), (BORDER, border)):
        for point, column in table.items():
            nearest[point] = int(skin.mouth[column, ring])
    named = {f"point{n}": vertex for n, vertex in enumerate(nearest)}
    start = sum(len(part.vertices) for part in parts[:3])
    one = balls.TOOTH_COLUMNS * 4  # the crown's pole on the biting edge follows its rings
    return named | {"tooth_upper": start + one, "tooth_lower": start + len(parts[3].vertices) // 2 + one}
