"""Takes and heads that the export tests share: small, made by arithmetic, with all that a format can carry."""

from __future__ import annotations

import numpy as np

from facerig.curves import Curves, Mark
from facerig.mesh import Head, Joint, Part, Shape
from facerig.rig import rig

ARKIT = rig("arkit").names
ANGLES = ("headYaw", "headPitch", "headRoll", *(f"{side}Eye{angle}" for side in ("left", "right")
                                                for angle in ("Yaw", "Pitch", "Roll")))


def take(frames: int = 90, fps: int = 60, channels: tuple[str, ...] = ARKIT, start: int = 0,
         marks: tuple[Mark, ...] = ()) -> Curves:
    """Smooth, different on every channel, 0..1 for shapes and signed for angles."""
    at = np.arange(frames)[:, None] / fps
    rate = 0.7 + 0.13 * np.arange(len(channels))[None]
    wave = np.sin(2 * np.pi * rate * at + np.arange(len(channels))[None])
    signed = np.array([name in ANGLES for name in channels])[None]
    return Curves(channels, fps, np.where(signed, 0.4 * wave, 0.5 + 0.5 * wave).astype(np.float32), start, marks)


def grid_part(name: str, size: int, shapes: tuple[str, ...], joints: int = 0, height: float = 0.0) -> Part:
    """A bulging sheet of size x size vertices; every shape moves its own patch."""
    u, v = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    places = np.stack([u - 0.5, v - 0.5 + height, 0.2 * np.sin(np.pi * u) * np.sin(np.pi * v)], axis=-1).reshape(-1, 3)
    corner = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)[None]).ravel()
    triangles = np.concatenate([np.stack([corner, corner + 1, corner + size + 1], 1),
                                np.stack([corner, corner + size + 1, corner + size], 1)])
    share = np.clip(v.ravel(), 0, 1)[:, None]
    return Part(
        name, f"{name}_material", places.astype(np.float32), triangles.astype(np.int32), _normals(places, triangles),
        np.stack([u.ravel(), v.ravel()], 1).astype(np.float32),
        {shape: _patch(number, size * size) for number, shape in enumerate(shapes)},
        np.tile(np.array([[0, joints - 1]], np.int32), (size * size, 1)) if joints else None,
        np.concatenate([1 - share, share], 1).astype(np.float32) if joints else None)


def _patch(number: int, count: int) -> Shape:
    rng = np.random.default_rng(number)
    index = np.sort(rng.choice(count, max(3, count // 8), replace=False)).astype(np.int32)
    return Shape(index, (0.05 * rng.standard_normal((len(index), 3))).astype(np.float32))


def _normals(places: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (places[triangles[:, k]] for k in range(3))
    sums = np.zeros_like(places)
    for k in range(3):
        np.add.at(sums, triangles[:, k], np.cross(b - a, c - a))
    return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)


JOINTS = (Joint("neck", -1, (0.0, -1.0, 0.0)), Joint("head", 0, (0.0, -0.6, 0.0)), Joint("jaw", 1, (0.0, -0.2, 0.1)),
          Joint("leftEye", 1, (0.3, 0.3, 0.4)), Joint("rightEye", 1, (-0.3, 0.3, 0.4)))


def head(size: int = 12, shapes: tuple[str, ...] = ARKIT, joints: bool = True) -> Head:
    """Face, teeth and tongue with shared shape names, an eye that follows its joint alone."""
    bones = len(JOINTS) if joints else 0
    parts = (grid_part("face", size, shapes, 2 if joints else 0),
             grid_part("teeth", 5, tuple(n for n in shapes if n in ("jawOpen", "jawLeft")), bones and 3, -0.2),
             grid_part("tongue", 4, tuple(n for n in shapes if n in ("jawOpen", "tongueOut")), bones and 3, -0.3),
             grid_part("eyeLeft", 4, (), bones and 4, 0.3))
    return Head("sample", parts, JOINTS if joints else (), 0.1)
