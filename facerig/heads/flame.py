"""FLAME: the user's own model file -> its arrays, its motion (linear blend skinning), and a Head to draw and export.

The licence of FLAME's files is the user's affair; none is shipped. Parameters are those of the common tools: expression
coefficients, and axis-angle rotations of the joints global, neck, jaw, left eye and right eye, in radians. Metres.
"""

from __future__ import annotations

import io
import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError
from facerig.heads.flame_pickle import load_arrays
from facerig.heads.ict import sparse_shape
from facerig.heads.npz import DAMAGE
from facerig.mesh import Floats, Head, Ints, Joint, Part, rotation_matrices, vertex_normals

Doubles = NDArray[np.float64]

VERTICES, FACES, JOINTS, SHAPES, EXPRESSIONS = 5023, 9976, 5, 300, 100
JOINT_NAMES = ("global", "neck", "jaw", "leftEye", "rightEye")
PARENTS = (-1, 0, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class Flame:
    """A FLAME model with a fixed identity: what is needed to move it."""

    neutral: Doubles  # [V, 3] with the identity's shape
    triangles: Ints
    expressions: Doubles  # [V, 3, E]
    pose_correctives: Doubles  # [36, V * 3]: of the four joints below the root
    joints: Doubles  # [5, 3]
    weights: Doubles  # [V, 5]
    eyelids: Doubles | None = None  # [2, V, 3]: left, right, where a file of them is given

    @property
    def size(self) -> int:
        return int(self.expressions.shape[2])

    def vertices(self, expression: Doubles, pose: Doubles, eyelids: Doubles | None = None) -> Doubles:
        """[T, E] and joint rotation vectors [T, 5, 3] -> [T, V, 3]; numpy reference."""
        moved = self.neutral + np.einsum("vke,te->tvk", self.expressions[:, :, : expression.shape[1]], expression)
        if eyelids is not None and self.eyelids is not None:
            moved += np.einsum("ts,svk->tvk", eyelids, self.eyelids)
        turns = rotation_matrices(pose.astype(np.float64)).astype(np.float64)
        bent = (turns[:, 1:] - np.eye(3)).reshape(len(pose), -1)
        moved += (bent @ self.pose_correctives).reshape(moved.shape)
        world, shift = self._chain(turns)
        blend = np.einsum("vj,tjab->tvab", self.weights, world)
        placed: Doubles = np.einsum("tvab,tvb->tva", blend, moved) + np.einsum("vj,tja->tva", self.weights, shift)
        return placed

    def _chain(self, turns: Doubles) -> tuple[Doubles, Doubles]:
        world, shift = np.empty_like(turns), np.empty(turns.shape[:3])
        for j, parent in enumerate(PARENTS):
            world[:, j] = turns[:, j] if parent < 0 else world[:, parent] @ turns[:, j]
            own = self.joints[j] - np.einsum("tab,b->ta", turns[:, j], self.joints[j])
            above = own if parent < 0 else np.einsum("tab,tb->ta", world[:, parent], own) + shift[:, parent]
            shift[:, j] = above
        return world, shift

    def torch_vertices(self, expression: Any, pose: Any, device: str = "cpu") -> Any:
        """The same on torch, differentiable."""
        import torch

        from facerig.heads.torch_deform import rotation_matrices as turned

        def put(array: Doubles) -> Any:
            return torch.as_tensor(array, dtype=expression.dtype, device=device)

        dirs = put(self.expressions)[:, :, : expression.shape[1]]
        moved = put(self.neutral) + torch.einsum("vke,te->tvk", dirs, expression)
        turns = turned(pose)
        bent = (turns[:, 1:] - torch.eye(3, dtype=turns.dtype, device=device)).reshape(len(pose), -1)
        moved = moved + (bent @ put(self.pose_correctives)).reshape(moved.shape)
        joints, world, shift = put(self.joints), [], []
        for j, parent in enumerate(PARENTS):
            own = joints[j] - (turns[:, j] @ joints[j])
            if parent < 0:
                world.append(turns[:, j])
                shift.append(own)
            else:
                world.append(world[parent] @ turns[:, j])
                shift.append((world[parent] @ own[..., None])[..., 0] + shift[parent])
        weights = put(self.weights)
        blend = torch.einsum("vj,tjab->tvab", weights, torch.stack(world, 1))
        return torch.einsum("tvab,tvb->tva", blend, moved) + torch.einsum("vj,tja->tva", weights, torch.stack(shift, 1))


def load_flame(path: Path, betas: Doubles | None = None, eyelids: Path | None = None) -> Flame:
    """From a model file of FLAME 2017, 2020, 2023 or FLAME Open (.pkl or .npz)."""
    if not os.path.isfile(path):
        raise HeadError(f"{path}: no such file; give FLAME's model, e.g. generic_model.pkl or flame2023.pkl")
    return flame_from(load_arrays(path), path.name, betas, _eyelids(eyelids))


def flame_from(arrays: Mapping[str, NDArray[Any]], name: str = "flame", betas: Doubles | None = None,
               eyelids: Doubles | None = None) -> Flame:
    """Check the arrays' shapes and fix the identity (the mean face where betas are not given)."""
    v = _sized(arrays, "v_template", (-1, 3), name)
    count = len(v)
    dirs = _sized(arrays, "shapedirs", (count, 3, -1), name)
    pose = _sized(arrays, "posedirs", (count, 3, -1), name)
    regressor = _sized(arrays, "J_regressor", (-1, count), name)
    weights = _sized(arrays, "weights", (count, len(regressor)), name)
    faces = _sized(arrays, "f", (-1, 3), name).astype(np.int32)
    if len(regressor) != JOINTS or pose.shape[2] != 9 * (JOINTS - 1):
        got = f"{len(regressor)} joints and {pose.shape[2]} pose correctives"
        raise HeadError(f"{name}: {got}, accepted: FLAME's 5 and 36")
    if faces.min() < 0 or faces.max() >= count:
        raise HeadError(f"{name}: a face names vertex {int(faces.max())} of {count}")
    shapes = SHAPES if dirs.shape[2] >= SHAPES + EXPRESSIONS else max(dirs.shape[2] - EXPRESSIONS, 0)
    if eyelids is not None:
        eyelids = _sized({"eyelids": eyelids}, "eyelids", (2, count, 3), name)
    neutral = v.copy()
    if betas is not None:
        neutral += dirs[:, :, : min(len(betas), shapes)] @ betas[:shapes]
    expressions = dirs[:, :, shapes : shapes + EXPRESSIONS]
    correctives = pose.reshape(-1, pose.shape[2]).T
    return Flame(neutral, faces, expressions, correctives, regressor @ neutral, weights, eyelids)


def _sized(arrays: Mapping[str, NDArray[Any]], key: str, shape: tuple[int, ...], name: str) -> Doubles:
    if key not in arrays:
        raise HeadError(f"{name}: no array {key!r}; there are {', '.join(sorted(arrays)[:12])}")
    array = np.asarray(arrays[key], np.float64)
    fits = array.ndim == len(shape) and all(want in (-1, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits:
        raise HeadError(f"{name}: {key} has shape {array.shape}, accepted: {shape} (-1: any)")
    if not np.isfinite(array).all():
        raise HeadError(f"{name}: {key} holds a NaN or an infinity")
    return array


def _eyelids(path: Path | None) -> Doubles | None:
    """Offsets of left and right eyelids [2, V, 3] from an .npz with arrays left and right, or .npy of [2, V, 3]."""
    if path is None:
        return None
    try:
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                loaded = np.stack([loaded["left"], loaded["right"]])
        return np.asarray(loaded, np.float64)
    except DAMAGE as error:
        raise HeadError(f"{path.name}: no eyelid offsets ({error}); accepted: an .npz with arrays left and right, or "
                        f"an .npy of [2, vertices, 3]") from error


def expression_names(count: int) -> tuple[str, ...]:
    """As the rig flame has them."""
    return tuple(f"expression{n:03d}" for n in range(count))


def flame_head(flame: Flame, name: str = "flame", least: float = 1e-7) -> Head:
    """A Head whose channels are expression coefficients and whose joints are FLAME's (pose correctives left out)."""
    points = flame.neutral.astype(np.float32)
    shapes = {key: sparse_shape(flame.expressions[:, :, n].astype(np.float32), least)
              for n, key in enumerate(expression_names(flame.size))}
    if flame.eyelids is not None:
        shapes |= {f"eyelid{side}": sparse_shape(delta.astype(np.float32), least)
                   for side, delta in zip(("Left", "Right"), flame.eyelids, strict=True)}
    index = np.tile(np.arange(JOINTS, dtype=np.int32), (len(points), 1))
    part = Part("face", "skin", points, flame.triangles, vertex_normals(points, flame.triangles),
                np.zeros((len(points), 2), np.float32), shapes, index, flame.weights.astype(np.float32))
    places = [(float(p[0]), float(p[1]), float(p[2])) for p in flame.joints]
    joints = tuple(Joint(n, parent, place) for n, parent, place in zip(JOINT_NAMES, PARENTS, places, strict=True))
    return Head(name, (part,), joints, 1.0)


def synthetic_arrays(seed: int = 0) -> dict[str, Floats]:
    """A made-up model of FLAME's true sizes on an egg-shaped mesh: for tests and trials, no human face."""
    random = np.random.default_rng(seed)
    golden = np.pi * (3 - np.sqrt(5)) * np.arange(VERTICES)
    height = 1 - 2 * (np.arange(VERTICES) + 0.5) / VERTICES
    radius = np.sqrt(1 - height**2)
    points = np.stack([0.075 * radius * np.cos(golden), 0.12 * height, 0.095 * radius * np.sin(golden)], axis=1)
    dirs = np.zeros((VERTICES, 3, SHAPES + EXPRESSIONS))
    for n in range(SHAPES + EXPRESSIONS):
        centre = points[random.integers(VERTICES)]
        near = np.exp(-((points - centre) ** 2).sum(1) / (2 * random.uniform(0.012, 0.04) ** 2))
        dirs[:, :, n] = near[:, None] * random.normal(0, 0.003, 3)
    centres = np.array([[0, -5, -2], [0, -2, -2], [0, -1, 0], [3, 3, 6], [-3, 3, 6]]) / 100
    reach = np.array([0.08, 0.08, 0.06, 0.012, 0.012])
    close = np.exp(-((points[:, None] - centres) ** 2).sum(2) / reach**2) + 1e-6
    regressor = np.exp(-((points[None] - centres[:, None]) ** 2).sum(2) / 0.01**2)
    hull = np.stack([np.arange(VERTICES - 2), np.arange(1, VERTICES - 1), np.arange(2, VERTICES)], axis=1)
    faces = np.concatenate([hull, hull])[:FACES]
    arrays = {"v_template": points, "shapedirs": dirs, "posedirs": random.normal(0, 1e-4, (VERTICES, 3, 36)),
              "J_regressor": regressor / regressor.sum(1, keepdims=True),
              "weights": close / close.sum(1, keepdims=True),
              "f": faces.astype(np.float64)}
    return {key: value.astype(np.float32) for key, value in arrays.items()}
