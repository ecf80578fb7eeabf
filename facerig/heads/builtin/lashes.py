"""Eyelashes: curved ribbons of five vertices that stand on the lid's outer edge and turn with it."""

from __future__ import annotations

import numpy as np

from facerig.heads.builtin.lids import LININGS, turns_between
from facerig.heads.builtin.rings import EYE_COLUMNS
from facerig.heads.builtin.skin import Skin
from facerig.heads.builtin.source import Doubles
from facerig.mesh import Ints

# count, first and last column, length in cm, how much it points away from the eye, up
UPPER = (32, 1.3, 14.5, 0.78, 0.85, 0.80)
LOWER = (18, 16.2, 27.5, 0.38, 0.80, -0.60)
WIDTH = 0.05
RIBBON = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4]])


def left_lashes(skin: Skin, eye: Doubles) -> tuple[Doubles, Ints, Doubles]:
    """Vertices, triangles, and each vertex's place along the lid in columns."""
    pieces, places = [], []
    for count, first, last, length, away, up in (UPPER, LOWER):
        at = np.linspace(first, last, count)
        root = along_edge(skin, skin.vertices, at)
        side = along_edge(skin, skin.vertices, at + 0.05) - along_edge(skin, skin.vertices, at - 0.05)
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        radial = (root - eye) / np.linalg.norm(root - eye, axis=1, keepdims=True)
        share = (at - first) / (last - first)
        # Lashes fan out towards both corners and are longest past the middle, to the temple.
        fan = side * ((share - 0.42) * 0.9)[:, None]
        size = length * (0.62 + 0.38 * np.sin(np.pi * np.clip(share * 0.95 + (0.1 if up > 0 else 0), 0, 1)))
        start = 0.25 * radial + away * np.array([0, -0.10 * up, 1]) + 0.5 * fan
        end = 0.70 * radial + up * np.array([0, 1, 0]) + 1.2 * fan
        mid = root + start / np.linalg.norm(start, axis=1, keepdims=True) * size[:, None] * 0.55
        tip = mid + end / np.linalg.norm(end, axis=1, keepdims=True) * size[:, None] * 0.5
        half = side * WIDTH / 2
        ribbon = np.stack([root - half, root + half, mid - half * 0.7, mid + half * 0.7, tip], axis=1)
        pieces.append(ribbon.reshape(-1, 3))
        places.append(np.repeat(at, 5))
    points = np.concatenate(pieces)
    triangles = np.concatenate([RIBBON + 5 * k for k in range(len(points) // 5)]).astype(np.int32)
    return points, triangles, np.concatenate(places)


def along_edge(skin: Skin, values: Doubles, at: Doubles) -> Doubles:
    """Values on the margin, between the lid's edge and the next ring, at fractional columns."""
    loop = 0.55 * values[skin.eyes[0][:, LININGS]] + 0.45 * values[skin.eyes[0][:, LININGS + 1]]
    low = np.floor(at).astype(int) % (2 * EYE_COLUMNS)
    share = (at - np.floor(at))[:, None]
    mixed: Doubles = (1 - share) * loop[low] + share * loop[(low + 1) % (2 * EYE_COLUMNS)]
    return mixed


def lash_shapes(skin: Skin, shapes: dict[str, Doubles], points: Doubles, places: Doubles,
                eye: Doubles) -> dict[str, Doubles]:
    """Each ribbon goes with its root and turns as the root turns about the eye."""
    out = {}
    root = along_edge(skin, skin.vertices, places)
    for name, delta in shapes.items():
        move = along_edge(skin, delta, places)
        turns = turns_between(root - eye, root + move - eye)
        arm = points - root
        out[name] = move + np.einsum("nab,nb->na", turns, arm) - arm
    return out
