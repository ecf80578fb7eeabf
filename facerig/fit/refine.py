"""Finishing a fit by gradient descent on torch: all frames at once, robust to points that lie far off.

pytorch3d adds nothing that points need; where it is installed its silhouette renderer could join the loss. That was
never run: no build of it fits the Python this was written on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import MissingExtra
from facerig.fit.tracks import Fitted
from facerig.heads.landmarks import point_deltas
from facerig.mesh import Head

ROUNDS, RATE = 150, 0.01
NOISE_MM = 1.0  # beyond a few of these a point counts as an outlier (Huber)
SMOOTH, HOLD = 0.05, 2e-4


def refined(found: Fitted, track: NDArray[np.float64], head: Head, columns: Mapping[int, str]) -> Fitted:
    """Weights and pose that lower a Huber loss of the points in millimetres, with the same bounds."""
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

    high = torch.tensor((found.weights.max(axis=0) > 0).astype(np.float32))
    steps = torch.optim.Adam([{"params": [weights, turns, scales], "lr": RATE},
                              {"params": [shifts], "lr": RATE * unit * 0.1}])
    for _ in range(ROUNDS):
        steps.zero_grad()
        distance = (residual().square().sum(-1) + 1e-9).sqrt() * known
        loss = torch.nn.functional.huber_loss(distance, torch.zeros_like(distance), delta=3 * NOISE_MM)
        loss = loss + HOLD * weights.square().mean() + SMOOTH * weights.diff(dim=0).square().mean()
        loss.backward()
        steps.step()
        with torch.no_grad():
            weights.clamp_(min=0).copy_(torch.minimum(weights, high))
    with torch.no_grad():
        left = ((residual().square().sum(-1) * known).sum(1) / known.sum(1)).sqrt()
    return replace(found, weights=weights.detach().double().numpy(), rotations=turns.detach().double().numpy(),
                   scales=scales.exp().detach().double().numpy(), shifts=shifts.detach().double().numpy(),
                   residual_mm=left.double().numpy())


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("fit --refine", "torch", str(error)) from error
    return torch
