"""Finishing a fit by gradient descent on torch: all frames at once, robust to points that lie far off.

Points in pictures may be joined by masks of the head (`facerig.fit.silhouette`): by pytorch3d's soft silhouette where
it is installed, by distances in pure torch otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import InputError, MissingExtra
from facerig.fit.tracks import Fitted
from facerig.heads.landmarks import point_deltas
from facerig.mesh import Head

ROUNDS, RATE = 150, 0.01
NOISE_MM = 1.0  # beyond a few of these a point counts as an outlier (Huber)
SMOOTH, HOLD = 0.05, 2e-4
OUTLINE = 0.3  # of a millimetre of the outline against one of the points
FAR_MM = 20.0  # of the channels that no point tells; those that move less explain the outline's own error instead
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)  # where such a channel may begin
EVERY = 1  # of how many of the skin's vertices the distances look at one: the back of the head is meshed coarsely


def refined(found: Fitted, track: NDArray[np.float64], head: Head, columns: Mapping[int, str],
            masks: NDArray[np.bool_] | None = None, soft: bool | None = None) -> Fitted:
    """Weights and pose that lower a Huber loss of the points in millimetres, with the same bounds.

    masks [T, H, W]: the head in each picture, in the pixels of a 2D track whose y was turned upwards. `soft` chooses
    pytorch3d (True) or pure torch (False) for them; None takes pytorch3d where it is installed.
    """
    torch = _torch()
    from facerig.heads.torch_deform import rotation_matrices

    used = [(c, name) for c, name in columns.items() if name in head.landmarks or name.isdigit()]
    vertices = [head.landmarks[name] if name in head.landmarks else int(name) for _, name in used]
    seen = track[:, [c for c, _ in used]]
    known = torch.tensor(np.isfinite(seen).all(axis=2))
    points = torch.tensor(np.nan_to_num(seen), dtype=torch.float32)
    rest = torch.tensor(head.vertices[vertices])
    deltas = torch.tensor(point_deltas(head, vertices, found.channels))
    size, mm = seen.shape[2], head.metres_per_unit * 1000
    weights, turns, scales, shifts = (torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in (
        found.weights, found.rotations, np.log(found.scales), found.shifts))
    unit = float(np.median(found.scales))

    def residual() -> Any:
        shape = rest + torch.einsum("tc,cnk->tnk", weights, deltas)
        turned = torch.einsum("tak,tnk->tna", rotation_matrices(turns)[:, :size], shape)
        placed = scales.exp()[:, None, None] * turned + shifts[:, None]
        return (placed - points) / unit * mm

    outline = None if masks is None else _Outline(head, found, masks, seen.shape, soft)
    free = found.weights.max(axis=0) > 0
    if outline is not None:
        asked = _told_by_masks(deltas.numpy(), known.numpy(), mm)
        free, moved_by_masks = free | asked, torch.tensor(asked)
        outline.begin(weights, asked, rotation_matrices(turns), scales, shifts)
    high = torch.tensor(free.astype(np.float32))
    steps = torch.optim.Adam([{"params": [weights, turns, scales], "lr": RATE},
                              {"params": [shifts], "lr": RATE * unit * 0.1}])
    for _ in range(ROUNDS):
        steps.zero_grad()
        distance = (residual().square().sum(-1) + 1e-9).sqrt() * known
        loss = torch.nn.functional.huber_loss(distance, torch.zeros_like(distance), delta=3 * NOISE_MM)
        loss = loss + HOLD * weights.square().mean() + SMOOTH * weights.diff(dim=0).square().mean()
        if outline is not None:
            drawn = torch.where(moved_by_masks, weights, weights.detach())  # small ones would explain its errors
            loss = loss + OUTLINE * outline(drawn, rotation_matrices(turns), scales, shifts) / unit * mm
        loss.backward()
        steps.step()
        with torch.no_grad():
            weights.clamp_(min=0).copy_(torch.minimum(weights, high))
    with torch.no_grad():
        left = ((residual().square().sum(-1) * known).sum(1) / known.sum(1)).sqrt()
    return replace(found, weights=weights.detach().double().numpy(), rotations=turns.detach().double().numpy(),
                   scales=scales.exp().detach().double().numpy(), shifts=shifts.detach().double().numpy(),
                   residual_mm=left.double().numpy())


class _Outline:
    """The masks' loss as a function of what is fitted."""

    def __init__(self, head: Head, found: Fitted, masks: NDArray[np.bool_], shape: tuple[int, ...],
                 soft: bool | None) -> None:
        from facerig.fit.silhouette import DistanceMasks, SoftMasks, has_pytorch3d
        from facerig.heads.torch_deform import TorchDeformer

        masks = np.asarray(masks) > 0
        if shape[2] != 2:
            raise InputError("silhouettes: the track has 3 dimensions, accepted: points in pictures, [T, N, 2]")
        if masks.ndim != 3 or len(masks) != shape[0]:
            raise InputError(f"silhouettes: shape {masks.shape}, accepted: [{shape[0]}, height, width]")
        skin = [n for n, part in enumerate(head.parts) if part.material == "skin"] or list(range(len(head.parts)))
        spans = [np.arange(head.part_starts[n], head.part_starts[n + 1]) for n in skin]
        firsts = np.cumsum([0, *(len(span) for span in spans)])
        triangles = np.concatenate([head.parts[n].triangles + first for n, first in zip(skin, firsts, strict=False)])
        self._soft = has_pytorch3d() if soft is None else soft
        self._rows = np.concatenate(spans) if self._soft else np.concatenate(spans)[::EVERY]
        self._deform = TorchDeformer(head, found.channels)
        self._masks: Any = SoftMasks(masks, triangles) if self._soft else DistanceMasks(masks)

    def __call__(self, weights: Any, turns: Any, scales: Any, shifts: Any) -> Any:
        return self._each(weights, turns, scales, shifts).mean()

    def begin(self, weights: Any, asked: NDArray[np.bool_], turns: Any, scales: Any, shifts: Any) -> None:
        """Sets each frame's asked weights, one channel after another, to the step whose outline is nearest.

        Descent alone is caught: of an open mouth seen from the side, a jaw a little open is farther than a shut one.
        """
        import torch

        with torch.no_grad():
            for channel in np.nonzero(asked)[0]:
                tried = []
                for step in STEPS:
                    weights[:, channel] = step
                    tried.append(self._each(weights, turns, scales, shifts))
                weights[:, channel] = weights.new_tensor(STEPS)[torch.stack(tried).argmin(dim=0)]

    def _each(self, weights: Any, turns: Any, scales: Any, shifts: Any) -> Any:
        moved = self._deform(weights)[:, self._rows]
        placed = scales.exp()[:, None, None] * (moved @ turns[:, :2].transpose(1, 2)) + shifts[:, None]
        return self._masks.losses(placed * placed.new_tensor([1.0, -1.0]))


def _told_by_masks(deltas: NDArray[np.float32], known: NDArray[np.bool_], mm: float) -> NDArray[np.bool_]:
    """Channels [C] that move points far, most of them missing: the points tell nothing, the outline may."""
    squares = np.square(deltas).sum(axis=2)
    far = np.sqrt(squares.max(axis=1)) * mm > FAR_MM
    told: NDArray[np.bool_] = far & (squares @ known.mean(axis=0) < 0.5 * squares.sum(axis=1))
    return told


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("fit --refine", "torch", str(error)) from error
    return torch
