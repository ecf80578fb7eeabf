"""Rotations of joints over a take, as matrices [T, 3, 3], angles, quaternions and vectors. Knows no channel, no head.

Angles are radians: yaw about +Y, pitch about +X, roll about +Z, roll applied first and yaw last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def turned(yaw: Doubles, pitch: Doubles, roll: Doubles) -> Doubles:
    """Rotation matrices [T, 3, 3] = Ry(yaw) Rx(pitch) Rz(roll)."""
    return _about(1, yaw) @ _about(0, pitch) @ _about(2, roll)


def about_vector(vectors: Doubles) -> Doubles:
    """Rotation matrices of axis-angle vectors [T, 3]."""
    angle = np.linalg.norm(vectors, axis=1)
    x, y, z = (vectors / np.maximum(angle, 1e-12)[:, None]).T
    zero = np.zeros_like(x)
    cross = np.stack([np.stack([zero, -z, y], 1), np.stack([z, zero, -x], 1), np.stack([-y, x, zero], 1)], 1)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    matrices: Doubles = np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
    return matrices


def vectors_of(matrices: Doubles) -> Doubles:
    """The inverse of `about_vector`, by the shorter way round."""
    q = quaternions_of(np.stack(euler_xyz(matrices), axis=1))
    q *= np.where(q[:, 3:] < 0, -1.0, 1.0)
    sine = np.linalg.norm(q[:, :3], axis=1, keepdims=True)
    scale = np.where(sine < 1e-9, 2.0, 2 * np.arctan2(sine, q[:, 3:]) / np.maximum(sine, 1e-9))
    vectors: Doubles = q[:, :3] * scale
    return vectors


def yaw_pitch_roll(matrices: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """The inverse of `turned`."""
    return (np.arctan2(matrices[:, 0, 2], matrices[:, 2, 2]), np.arcsin(np.clip(-matrices[:, 1, 2], -1, 1)),
            np.arctan2(matrices[:, 1, 0], matrices[:, 1, 1]))


def matrices_of(q: Doubles) -> Doubles:
    """Rotation matrices of quaternions [T, 4] (x, y, z, w)."""
    x, y, z, w = (q / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-12)).T
    return np.stack([
        np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1),
        np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1),
        np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1)], 1)


def _about(axis: int, angle: Doubles) -> Doubles:
    out = np.zeros((*angle.shape, 3, 3))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    out[..., axis, axis] = 1
    out[..., first, first] = out[..., second, second] = np.cos(angle)
    out[..., second, first], out[..., first, second] = np.sin(angle), -np.sin(angle)
    return out


def euler_xyz(matrices: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Angles with matrix = Rz(z) Ry(y) Rx(x), without jumps from frame to frame."""
    y = np.arcsin(np.clip(-matrices[..., 2, 0], -1, 1))
    x = np.arctan2(matrices[..., 2, 1], matrices[..., 2, 2])
    z = np.arctan2(matrices[..., 1, 0], matrices[..., 0, 0])
    return np.unwrap(x, axis=0), y, np.unwrap(z, axis=0)


def quaternions_of(angles: Doubles) -> Doubles:
    """Unit quaternions [T, 4] (x, y, z, w) of the angles of `euler_xyz` [T, 3], on one side of the sphere from frame to
    frame."""
    half = angles / 2
    (sx, sy, sz), (cx, cy, cz) = np.sin(half).T, np.cos(half).T
    q = np.stack([sx * cy * cz - cx * sy * sz, cx * sy * cz + sx * cy * sz,
                  cx * cy * sz - sx * sy * cz, cx * cy * cz + sx * sy * sz], axis=1)
    flips = np.cumprod(np.where((q[1:] * q[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    q[1:] *= flips[:, None]
    return q
