"""How fast heads deform here: numpy, torch, and a GPU when one is at hand."""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from facerig.heads.builtin import builtin_head
from facerig.mesh import Deformer, Head, Part, Shape, vertex_normals

FRAMES = 256


def bench_deform() -> dict[str, Any]:
    """Milliseconds a frame and vertices a second for the built-in head and for one of 27,000 vertices."""
    figures: dict[str, Any] = {}
    for label, head in (("builtin", builtin_head()), ("27k", large_head())):
        names = head.shape_names
        weights = np.random.default_rng(0).random((FRAMES, len(names))).astype(np.float32)
        deformer = Deformer(head, names)
        figures |= _timed(f"{label}_numpy", partial(deformer, weights), head)
        figures |= _torch(label, head, weights)
    return figures


def _timed(label: str, action: Any, head: Head) -> dict[str, Any]:
    action()
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    frame = median(times) / FRAMES
    speed = round(head.vertex_count / frame)
    return {f"{label}_ms_per_frame": round(frame * 1000, 4), f"{label}_vertices_per_s": speed}


def _torch(label: str, head: Head, weights: np.ndarray[Any, Any]) -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        return {}
    from facerig.heads.torch_deform import TorchDeformer

    figures: dict[str, Any] = {}
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        deformer = TorchDeformer(head, head.shape_names, device)
        moved = torch.from_numpy(weights).to(device)

        def action(d: Any = deformer, w: Any = moved, on: str = device) -> None:
            d(w)
            if on == "cuda":
                torch.cuda.synchronize()

        figures |= _timed(f"{label}_torch_{device}", action, head)
    return figures


def large_head(vertices: int = 26_719, shapes: int = 53, share: float = 0.35) -> Head:
    """A bumpy sphere of the size of the largest open head, each shape on a cap of it."""
    random = np.random.default_rng(1)
    points = random.normal(size=(vertices, 3)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = points[np.argsort(points[:, 1])]
    triangles = (np.arange(vertices - 2)[:, None] + np.arange(3)).astype(np.int32)
    moves = {}
    for number in range(shapes):
        centre = random.normal(size=3)
        reach = np.quantile(points @ centre, 1 - share)
        index = np.flatnonzero(points @ centre > reach).astype(np.int32)
        moves[f"shape{number}"] = Shape(index, random.normal(0, 0.05, (len(index), 3)).astype(np.float32))
    uvs = np.zeros((vertices, 2), np.float32)
    part = Part("face", "skin", points, triangles, vertex_normals(points, triangles), uvs, moves)
    return Head("large", (part,))
