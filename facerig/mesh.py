"""`Head`: the geometry that curves move. Vertices, triangles, shapes as sparse deltas, joints with skin weights.

Units are `metres_per_unit`; axes are right-handed, +Y up, +Z out of the face, +X to the head's own left. It knows no
file format (exporters, heads) and no renderer. Deformation: neutral + sum of weight x delta, then linear skinning by
the joints' rotations. Vertices of several parts are numbered through in the order of the parts. `deform` is the plain
reference, `Deformer` the fast way to the same numbers; `facerig.heads.torch_deform` has the same on torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.curves import Curves
from facerig.errors import HeadError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

BLOCK = 512  # vertices moved by one matrix product: small enough that most channels skip most blocks
BATCH = 64  # frames a product: the block's matrix is read from the cache, not from memory


@dataclass(frozen=True, eq=False)
class Shape:
    """One blend shape of one part: offsets [n, 3] of the vertices `index` [n] at weight 1 (ascending, unique)."""

    index: Ints
    offsets: Floats


@dataclass(frozen=True)
class Joint:
    """A bone: its parent's number (-1 for the root) and its place in the neutral head."""

    name: str
    parent: int
    position: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh with one material: face, eyes, teeth, tongue, lashes."""

    name: str
    material: str
    vertices: Floats  # [V, 3]
    triangles: Ints  # [F, 3], counter-clockwise seen from outside
    normals: Floats  # [V, 3]
    uvs: Floats  # [V, 2], v up
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    joint_index: Ints | None = None  # [V, K] numbers into Head.joints
    joint_weight: Floats | None = None  # [V, K], rows sum to 1

    def __post_init__(self) -> None:
        count = len(self.vertices)
        _check(self.name, "vertices", self.vertices, (count, 3))
        _check(self.name, "normals", self.normals, (count, 3))
        _check(self.name, "uvs", self.uvs, (count, 2))
        _check_indices(f"{self.name}: triangles", self.triangles, count)
        if self.triangles.ndim != 2 or self.triangles.shape[1] != 3:
            raise HeadError(f"{self.name}: triangles have shape {self.triangles.shape}, accepted: [F, 3]")
        for name, shape in self.shapes.items():
            _check(f"{self.name}: shape {name}", "offsets", shape.offsets, (len(shape.index), 3))
            _check_indices(f"{self.name}: shape {name}", shape.index, count)


@dataclass(frozen=True, eq=False)
class Head:
    """Parts that move together, driven by channels of one name whatever part they touch."""

    name: str
    parts: tuple[Part, ...]
    joints: tuple[Joint, ...] = ()
    metres_per_unit: float = 1.0
    landmarks: Mapping[str, int] = field(default_factory=dict)  # names -> vertex, numbered through all parts

    @cached_property
    def shape_names(self) -> tuple[str, ...]:
        """Every channel that moves some part, in order of first appearance."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.shapes))

    @property
    def vertex_count(self) -> int:
        return sum(len(part.vertices) for part in self.parts)

    @cached_property
    def vertices(self) -> Floats:
        """The neutral head [V, 3], part after part."""
        stacked = [part.vertices for part in self.parts] or [np.zeros((0, 3), np.float32)]
        return np.concatenate(stacked).astype(np.float32)

    @cached_property
    def part_starts(self) -> tuple[int, ...]:
        """The number of each part's first vertex, and the vertex count at the end."""
        return tuple(int(n) for n in np.cumsum([0, *(len(part.vertices) for part in self.parts)]))

    def part(self, name: str) -> Part:
        for part in self.parts:
            if part.name == name:
                return part
        raise HeadError(f"{self.name}: no part {name!r}; there are {', '.join(p.name for p in self.parts)}")

    def joint(self, name: str) -> int:
        """The number of the joint of this name."""
        for number, joint in enumerate(self.joints):
            if joint.name == name:
                return number
        raise HeadError(f"{self.name}: no joint {name!r}; there are {', '.join(j.name for j in self.joints)}")

    def shape(self, name: str) -> Shape:
        """One channel over all parts, with vertices numbered through."""
        pieces = [(start, part.shapes[name]) for start, part in zip(self.part_starts, self.parts, strict=False)
                  if name in part.shapes]
        if not pieces:
            return Shape(np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
        index = np.concatenate([piece.index + start for start, piece in pieces]).astype(np.int32)
        return Shape(index, np.concatenate([piece.offsets for _, piece in pieces]).astype(np.float32))


# ---- moving it --------------------------------------------------------------------------------------------------


def deform(head: Head, curves: Curves, rotations: Mapping[str, Floats] | None = None) -> Floats:
    """[T, V, 3]: the reference, one shape after the other. Channels that the head has not are left out."""
    moved = np.repeat(head.vertices[None].astype(np.float64), curves.frames, axis=0)
    for name in curves.channels:
        shape = head.shape(name)
        moved[:, shape.index] += curves[name][:, None, None].astype(np.float64) * shape.offsets
    return skinned(head, moved.astype(np.float32), rotations)


class Deformer:
    """The same as `deform` for a fixed order of channels, by one small matrix product a block of vertices."""

    def __init__(self, head: Head, channels: Sequence[str]) -> None:
        self.head, self.channels = head, tuple(channels)
        self._blocks = _blocks(head, self.channels)

    def __call__(self, weights: Floats, rotations: Mapping[str, Floats] | None = None) -> Floats:
        """weights [T, C] -> [T, V, 3]; rotations: joint name -> rotation vectors [T, 3] in radians."""
        if weights.ndim != 2 or weights.shape[1] != len(self.channels):
            raise HeadError(f"weights have shape {weights.shape}, accepted: [T, {len(self.channels)}]")
        frames = len(weights)
        # A last column of ones carries the neutral head through the same product.
        full = np.concatenate([weights, np.ones((frames, 1))], axis=1).astype(np.float32)
        moved = np.empty((frames, self.head.vertex_count * 3), np.float32)
        for first in range(0, frames, BATCH):
            rows = slice(first, first + BATCH)
            for columns, used, matrix in self._blocks:
                moved[rows, columns] = full[rows][:, used] @ matrix
        return skinned(self.head, moved.reshape(frames, self.head.vertex_count, 3), rotations)


def _blocks(head: Head, channels: Sequence[str]) -> list[tuple[slice, Ints, Floats]]:
    dense = np.zeros((len(channels) + 1, head.vertex_count, 3), np.float32)
    dense[-1] = head.vertices
    for row, name in enumerate(channels):
        shape = head.shape(name)
        dense[row, shape.index] = shape.offsets
    blocks = []
    for first in range(0, head.vertex_count, BLOCK):
        piece = dense[:, first : first + BLOCK].reshape(len(dense), -1)
        used = np.flatnonzero(np.abs(piece).max(axis=1) > 0).astype(np.int32)
        blocks.append((slice(first * 3, first * 3 + piece.shape[1]), used, np.ascontiguousarray(piece[used])))
    return blocks


def skinned(head: Head, moved: Floats, rotations: Mapping[str, Floats] | None) -> Floats:
    """Linear blend skinning of [T, V, 3] by joint rotations; without rotations the vertices as they are."""
    if not rotations:
        return moved
    turns, shifts = joint_transforms(head, rotations, len(moved))
    out = np.empty_like(moved)
    for start, end, part in zip(head.part_starts, head.part_starts[1:], head.parts, strict=False):
        if part.joint_index is None or part.joint_weight is None:
            out[:, start:end] = moved[:, start:end]
            continue
        weight = np.zeros((end - start, len(head.joints)), np.float32)
        np.add.at(weight, (np.arange(end - start)[:, None], part.joint_index), part.joint_weight)
        turn = np.einsum("vj,tjab->tvab", weight, turns, optimize=True)
        shift = np.einsum("vj,tja->tva", weight, shifts, optimize=True)
        out[:, start:end] = np.einsum("tvab,tvb->tva", turn, moved[:, start:end]) + shift
    return out


def joint_transforms(head: Head, rotations: Mapping[str, Floats], frames: int) -> tuple[Floats, Floats]:
    """Each joint's world motion x -> turn @ x + shift: [T, J, 3, 3] and [T, J, 3]. Parents stand before children."""
    local = {head.joint(name): rotation_matrices(np.asarray(r, np.float32)) for name, r in rotations.items()}
    turns = np.tile(np.eye(3, dtype=np.float32), (frames, len(head.joints), 1, 1))
    shifts = np.zeros((frames, len(head.joints), 3), np.float32)
    for number, joint in enumerate(head.joints):
        place = np.asarray(joint.position, np.float32)
        turn = local.get(number, turns[:, number])
        shift = place - turn @ place
        if joint.parent >= 0:
            shift = np.einsum("tab,tb->ta", turns[:, joint.parent], shift) + shifts[:, joint.parent]
            turn = turns[:, joint.parent] @ turn
        turns[:, number], shifts[:, number] = turn, shift
    return turns, shifts


def rotation_matrices(vectors: NDArray[np.floating[Any]]) -> Floats:
    """Rotation vectors [..., 3] in radians -> [..., 3, 3] (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape[:-1], 3, 3)
    small = angle < 1e-6
    safe = np.where(small, 1, angle)
    first = np.where(small, 1, np.sin(safe) / safe)
    second = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    turned: Floats = (np.eye(3) + first * cross + second * (cross @ cross)).astype(np.float32)
    return turned


def vertex_normals(vertices: NDArray[np.floating[Any]], triangles: Ints) -> Floats:
    """Area-weighted unit normals [V, 3]; a vertex that no triangle uses points forward."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    face = np.cross(b - a, c - a)
    total = np.stack([sum(np.bincount(triangles[:, corner], face[:, axis], len(vertices)) for corner in range(3))
                      for axis in range(3)], axis=-1)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    forward = np.array([0.0, 0.0, 1.0])
    return np.where(length > 1e-12, total / np.maximum(length, 1e-12), forward).astype(np.float32)


def first_alike(rows: Floats) -> NDArray[np.int64]:
    """For each vertex the first one with the same row [V, K]: files split vertices where texture places part."""
    if not len(rows):
        return np.zeros(0, np.int64)
    flat = np.ascontiguousarray(rows + np.float32(0))  # -0 and 0 are one
    _, first, inverse = np.unique(flat.view([("", flat.dtype)] * flat.shape[1]).ravel(), return_index=True,
                                  return_inverse=True)
    return np.asarray(first[inverse], np.int64)


# ---- laws -------------------------------------------------------------------------------------------------------


def _check(where: str, what: str, array: Floats, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise HeadError(f"{where}: {what} have shape {array.shape}, accepted: {shape}")
    if not np.isfinite(array).all():
        raise HeadError(f"{where}: {what} hold a NaN or an infinity")


def _check_indices(where: str, index: Ints, count: int) -> None:
    if index.size and (int(index.min()) < 0 or int(index.max()) >= count):
        raise HeadError(f"{where}: index {int(index.min())}..{int(index.max())} outside 0..{count - 1}")
