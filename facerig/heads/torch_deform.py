"""`mesh.Deformer` on torch: the same numbers on a CPU or a GPU, batched, differentiable in weights and rotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facerig.errors import HeadError, MissingExtra
from facerig.mesh import Head


class TorchDeformer:
    """weights [T, C] -> [T, V, 3]. Only vertices that some channel moves enter the product."""

    def __init__(self, head: Head, channels: Sequence[str], device: str = "cpu") -> None:
        self._torch = torch = _torch_module()
        self.head, self.channels = head, tuple(channels)
        shapes = [head.shape(name) for name in self.channels]
        moved = np.unique(np.concatenate([s.index for s in shapes] or [np.zeros(0, np.int32)]))
        matrix = np.zeros((len(shapes), len(moved), 3), np.float32)
        for row, shape in enumerate(shapes):
            matrix[row, np.searchsorted(moved, shape.index)] = shape.offsets
        self._moved = torch.from_numpy(moved.astype(np.int64)).to(device)
        self._matrix = torch.from_numpy(matrix.reshape(len(shapes), -1)).to(device)
        self._neutral = torch.from_numpy(head.vertices.copy()).to(device)
        self._weights = torch.from_numpy(skin_weights(head)).to(device)
        places = [joint.position for joint in head.joints]
        self._places = torch.tensor(places, dtype=torch.float32, device=device).reshape(-1, 3)

    def __call__(self, weights: Any, rotations: Mapping[str, Any] | None = None) -> Any:
        if weights.ndim != 2 or weights.shape[1] != len(self.channels):
            raise HeadError(f"weights have shape {tuple(weights.shape)}, accepted: [T, {len(self.channels)}]")
        frames = len(weights)
        offsets = (weights @ self._matrix).reshape(frames, len(self._moved), 3)
        moved = self._neutral.expand(frames, -1, -1).index_add(1, self._moved, offsets)
        return self._skinned(moved, rotations) if rotations else moved

    def _skinned(self, moved: Any, rotations: Mapping[str, Any]) -> Any:
        torch = self._torch
        frames = len(moved)
        eye = torch.eye(3, device=moved.device).expand(frames, 3, 3)
        turns: list[Any] = []
        shifts: list[Any] = []
        for number, joint in enumerate(self.head.joints):
            turn = rotation_matrices(rotations[joint.name]) if joint.name in rotations else eye
            place = self._places[number]
            shift = place - turn @ place
            if joint.parent >= 0:
                shift = (turns[joint.parent] @ shift[..., None])[..., 0] + shifts[joint.parent]
                turn = turns[joint.parent] @ turn
            turns.append(turn)
            shifts.append(shift)
        turn = torch.einsum("vj,tjab->tvab", self._weights, torch.stack(turns, 1))
        shift = torch.einsum("vj,tja->tva", self._weights, torch.stack(shifts, 1))
        free = 1 - self._weights.sum(1)  # vertices of parts without joints stay where they are
        return torch.einsum("tvab,tvb->tva", turn, moved) + shift + free[:, None] * moved


def skin_weights(head: Head) -> Any:
    """Dense skin weights [V, J]; rows of parts without joints are 0."""
    dense = np.zeros((head.vertex_count, len(head.joints)), np.float32)
    for start, part in zip(head.part_starts, head.parts, strict=False):
        if part.joint_index is not None and part.joint_weight is not None:
            rows = start + np.arange(len(part.vertices))[:, None]
            np.add.at(dense, (rows, part.joint_index), part.joint_weight)
    return dense


def rotation_matrices(vectors: Any) -> Any:
    """Rotation vectors [..., 3] -> [..., 3, 3] (Rodrigues; differentiable at 0)."""
    torch = _torch_module()
    square = (vectors * vectors).sum(-1)[..., None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape[:-1], 3, 3)
    small = square < 1e-8
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    first = torch.where(small, 1 - square / 6, torch.sin(angle) / angle)
    second = torch.where(small, 0.5 - square / 24, (1 - torch.cos(angle)) / angle**2)
    return torch.eye(3, device=vectors.device) + first * cross + second * (cross @ cross)


def _torch_module() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("deformation by torch", "torch", str(error)) from error
    return torch
