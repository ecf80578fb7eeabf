"""Bounded least squares for many frames at once: min |B w - d|^2 + ridge w^2 + smoothness in time, low <= w <= high.

Coordinate descent on the normal equations: exact for this convex problem in the limit, needs only the small Gram
matrices, and treats all frames of a take as one batch. It knows no faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Solving:
    """How hard to hold weights down and together."""

    ridge: float = 1e-3  # of the mean diagonal: what nothing speaks for stays at 0
    smooth: float = 0.0  # of the mean diagonal, on the difference of neighbouring frames
    sweeps: int = 200
    tolerance: float = 1e-4  # largest change of a weight in a sweep that counts as settled


def box_least_squares(gram: Doubles, right: Doubles, low: Doubles, high: Doubles, solving: Solving | None = None,
                      start: Doubles | None = None) -> Doubles:
    """Weights [T, C] from gram [C, C] or [T, C, C] and right-hand sides [T, C]; bounds [C]."""
    s = solving or Solving()
    frames, count = right.shape
    whole = gram if gram.ndim == 3 else gram[None]
    diagonal = np.ascontiguousarray(np.einsum("tcc->tc", whole))
    scale = float(diagonal.mean()) or 1.0
    ridge, smooth = s.ridge * scale, s.smooth * scale
    neighbours = np.full((frames, 1), 2.0)
    neighbours[[0, -1]] = 1.0 if frames > 1 else 0.0
    total = diagonal + ridge + smooth * neighbours + 1e-12 * scale
    w = np.clip(np.zeros((frames, count)) if start is None else start.copy(), low, high)
    for _ in range(s.sweeps):
        change = 0.0
        for c in range(count):
            row = np.einsum("tc,tc->t", whole[:, c], w) if gram.ndim == 3 else w @ gram[c]
            pull = right[:, c] - row + diagonal[:, c] * w[:, c]
            if smooth and frames > 1:
                # Even and odd frames in turn: neighbours of a frame are fixed while it moves, so this descends too.
                new = w[:, c].copy()
                for first in (0, 1):
                    new[first::2] = np.clip(((pull + smooth * _around(new)) / total[:, c])[first::2], low[c], high[c])
            else:
                new = np.clip(pull / total[:, c], low[c], high[c])
            change = max(change, float(np.abs(new - w[:, c]).max(initial=0.0)))
            w[:, c] = new
        if change < s.tolerance:
            break
    return w


def _around(values: Doubles) -> Doubles:
    """Sum of both neighbours in time."""
    out = np.zeros_like(values)
    out[1:] += values[:-1]
    out[:-1] += values[1:]
    return out
