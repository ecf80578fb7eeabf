"""Tracks of points [T, N, 2 or 3] -> weights and head pose: pose and weights in turn, weights by bounded least squares.

Every frame is seen as scale * turn * (own neutral + weights @ deltas) + shift; for pictures (2D) the third row of the
turn is not seen. Missing points are NaN. What the points cannot see stays at 0. It knows no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.curves import Curves
from facerig.errors import InputError, extra_module
from facerig.heads.landmarks import point_deltas
from facerig.heads.solve import Solving, box_least_squares
from facerig.mesh import Head
from facerig.turns import about_vector, yaw_pitch_roll

Doubles = NDArray[np.float64]
NOTHING = 1e-6  # of a face's usual extent: points that are closer together are one
BLOCK = 512  # frames a batch: per-frame Gram matrices of 52 channels take 21 kB each


@dataclass(frozen=True)
class FitOptions:
    """How a track is fitted."""

    ridge: float = 2e-3
    smooth: float = 0.02
    rounds: int = 3  # of pose and weights in turn
    neutral: tuple[int, int] | None = None  # frames at rest, to learn the person's own neutral from; None: the head's
    highs: Mapping[str, float] = field(default_factory=dict)  # upper bounds other than 1
    pose: bool = True  # False: the track has its head motion taken out already


@dataclass(frozen=True, eq=False)
class Fitted:
    """The result: weights [T, C], rotation vectors [T, 3], and the residual of each frame in the head's millimetres."""

    channels: tuple[str, ...]
    weights: Doubles
    rotations: Doubles
    scales: Doubles
    shifts: Doubles
    residual_mm: Doubles

    def curves(self, fps: int, start: int = 0) -> Curves:
        """Weights and head pose (radians: yaw to the own left, pitch downwards, roll about the view, applied first)."""
        yaw, pitch, roll = yaw_pitch_roll(about_vector(self.rotations))
        names = (*self.channels, "headYaw", "headPitch", "headRoll")
        values = np.concatenate([self.weights, yaw[:, None], pitch[:, None], roll[:, None]], axis=1)
        return Curves(names, fps, values.astype(np.float32), start)


def fit_track(track: Doubles, head: Head, columns: Mapping[int, str], channels: Sequence[str],
              trust: Mapping[int, float], still: Sequence[int], options: FitOptions | None = None) -> Fitted:
    """columns: track column -> landmark; trust: weight by landmark number; still: the numbers that carry the pose."""
    o = options or FitOptions()
    used = [(column, name) for column, name in columns.items() if name in head.landmarks or name.isdigit()]
    if len(used) < 6:
        raise InputError(f"{len(used)} points that head {head.name} knows, accepted: 6 or more")
    vertices = [head.landmarks[name] if name in head.landmarks else int(name) for _, name in used]
    numbers = [int(name[5:]) if name.startswith("point") else -1 for _, name in used]
    seen = np.asarray(track, np.float64)[:, [column for column, _ in used]]
    model = head.vertices[vertices].astype(np.float64)
    deltas = point_deltas(head, vertices, channels).astype(np.float64)
    weight = np.array([trust.get(n, 1.0) for n in numbers])
    steady = np.array([n in still for n in numbers])
    if steady.sum() < 4:
        steady = np.array([True] * len(numbers))
    return _Fit(seen, model, deltas, weight, steady, tuple(channels), head.metres_per_unit, o).run()


class _Fit:
    def __init__(self, seen: Doubles, model: Doubles, deltas: Doubles, trust: Doubles, steady: NDArray[Any],
                 channels: tuple[str, ...], metres: float, options: FitOptions) -> None:
        self.seen, self.model, self.deltas, self.trust = seen, model, deltas, trust
        self.steady, self.channels, self.metres, self.o = steady, channels, metres, options
        self.size = seen.shape[2]
        self.known = _known(seen)
        self.visible = np.where(self.known[..., None], seen, 0.0)
        self.same = bool(self.known.all()) and not options.pose
        length = np.linalg.norm(deltas, axis=2).max(axis=1)
        self.high = np.array([options.highs.get(name, 1.0) for name in channels])
        self.high[length < 1e-6] = 0.0  # no point moves: nothing to be learned
        if self.known.sum(axis=1).min(initial=99) < 4:
            worst = int(self.known.sum(axis=1).argmin())
            raise InputError(f"frame {worst}: fewer than 4 points that lie apart, accepted: gaps up to a fifth")

    def run(self) -> Fitted:
        frames = len(self.seen)
        weights = np.zeros((frames, len(self.channels)))
        own = self.model.copy()
        if self.o.neutral is not None:
            own = self._own_neutral(*self.o.neutral)
        for _ in range(self.o.rounds):
            shape = own + np.einsum("tc,cnk->tnk", weights, self.deltas)
            scale, turn, shift = self._poses(shape)
            weights = self._weights(own, scale, turn, shift, weights)
        shape = own + np.einsum("tc,cnk->tnk", weights, self.deltas)
        left = (self._projected(shape, scale, turn, shift) - self.visible) / scale[:, None, None]
        mask = self.known * self.trust
        rms = np.sqrt((mask * (left**2).sum(axis=2)).sum(1) / np.maximum(mask.sum(1), 1e-9))
        vectors = extra_module("scipy.spatial.transform", "facerig fit", "fit").Rotation.from_matrix(turn).as_rotvec()
        return Fitted(self.channels, weights, vectors, scale, shift, rms * self.metres * 1000)

    def _own_neutral(self, first: int, last: int) -> Doubles:
        """The person's points at rest, laid over the head; depth stays the head's where the track has none."""
        if last > len(self.seen):
            raise InputError(f"neutral frames {first} to {last}: the track has {len(self.seen)} frames")
        rest = slice(first, last)
        with np.errstate(invalid="ignore"):
            mean = np.nanmean(np.where(self.known[rest][..., None], self.seen[rest], np.nan), axis=0)
        if not np.isfinite(mean).all():
            raise InputError(f"neutral frames {first} to {last}: a point is missing in all of them")
        scale, turn, shift = _pose(mean, self.model, self.trust * (self.steady + 0.05))
        own: Doubles = self.model.copy()
        if self.size == 3:
            own = (mean - shift) @ turn / scale
        else:
            own += ((mean - shift) / scale - self.model @ turn[:2].T) @ turn[:2]
        return own

    def _poses(self, shape: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        frames = len(self.seen)
        if not self.o.pose:
            middle, own = np.median(self.visible, axis=0), np.median(shape, axis=0)
            scale, turn, shift = _pose(middle, own, self.trust * self.steady)
            return np.full(frames, scale), np.tile(turn, (frames, 1, 1)), np.tile(shift, (frames, 1))
        mask = self.known * (self.trust * (self.steady + 0.02))
        found = [_pose(self.visible[t], shape[t], mask[t]) for t in range(frames)]
        return (np.array([f[0] for f in found]), np.stack([f[1] for f in found]), np.stack([f[2] for f in found]))

    def _projected(self, shape: Doubles, scale: Doubles, turn: Doubles, shift: Doubles) -> Doubles:
        turned: Doubles = np.einsum("tak,tnk->tna", turn[:, : self.size], shape)
        placed: Doubles = scale[:, None, None] * turned + shift[:, None]
        return placed

    def _weights(self, own: Doubles, scale: Doubles, turn: Doubles, shift: Doubles, start: Doubles) -> Doubles:
        """In the head's units, so that ridge and smoothness mean the same for every track."""
        if self.same:
            return self._weights_at_once(own, scale[0], turn[0], shift[0], start)
        out = np.empty_like(start)
        for first in range(0, len(start), BLOCK):
            rows = slice(first, first + BLOCK)
            target = (self.visible[rows] - shift[rows, None]) / scale[rows, None, None]
            target = target - np.einsum("tak,nk->tna", turn[rows, : self.size], own)
            mask = self.known[rows] * self.trust
            if self.size == 3:
                basis = self.deltas.transpose(1, 0, 2)  # the residual is turned back instead of the basis
                back = np.einsum("tak,tna->tnk", turn[rows], target)
                outer = np.einsum("nck,ndk->ncd", basis, basis).reshape(len(basis), -1)
                gram = (mask @ outer).reshape(len(mask), len(self.channels), -1)
                right = np.einsum("tnk,nck->tc", back * mask[..., None], basis, optimize=True)
            else:
                basis = np.einsum("tak,cnk->tcna", turn[rows, :2], self.deltas, optimize=True)
                flat = (basis * np.sqrt(mask)[:, None, :, None]).reshape(len(mask), len(self.channels), -1)
                gram = flat @ flat.transpose(0, 2, 1)
                right = np.einsum("tcx,tx->tc", flat, (target * np.sqrt(mask)[..., None]).reshape(len(mask), -1))
            out[rows] = box_least_squares(gram, right, np.zeros(len(self.channels)), self.high,
                                          Solving(self.o.ridge, self.o.smooth), start[rows])
        return out

    def _weights_at_once(self, own: Doubles, scale: float, turn: Doubles, shift: Doubles, start: Doubles) -> Doubles:
        """Nothing is missing and one pose holds for all: one Gram matrix serves every frame."""
        basis = np.einsum("ak,cnk->cna", turn[: self.size], self.deltas)
        root = np.sqrt(self.trust)[:, None]
        flat = (basis * root).reshape(len(self.channels), -1)
        target = (self.visible - shift) / scale - own @ turn[: self.size].T
        right = (target * root).reshape(len(target), -1) @ flat.T
        solving = Solving(self.o.ridge, self.o.smooth)
        return box_least_squares(flat @ flat.T, right, np.zeros(len(self.channels)), self.high, solving, start)


def _known(seen: Doubles) -> NDArray[Any]:
    """[frames, points] what is there. Trackers write a face they lost as points that all lie in one place, as zeros."""
    known: NDArray[Any] = np.asarray(np.isfinite(seen).all(axis=2))
    low, high = (np.where(known[..., None], seen, fill) for fill in (np.inf, -np.inf))
    extent = (high.max(axis=1) - low.min(axis=1)).max(axis=1)
    return np.asarray(known & (extent > NOTHING * extent.max(initial=0.0))[:, None])


def _pose(seen: Doubles, model: Doubles, weight: Doubles) -> tuple[float, Doubles, Doubles]:
    """Scale, turn and shift that lay the model [N, 3] on the points [N, 2 or 3], weighted."""
    total = weight.sum()
    a, b = weight @ model / total, weight @ seen / total
    x, y = (model - a) * np.sqrt(weight)[:, None], (seen - b) * np.sqrt(weight)[:, None]
    if seen.shape[1] == 3:
        u, s, vt = np.linalg.svd(y.T @ x)
        sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        turn = u @ sign @ vt
        scale = float((s * np.diag(sign)).sum() / (x**2).sum())
    else:  # the best affine camera, brought to the nearest scaled rotation
        affine = np.linalg.lstsq(x, y, rcond=None)[0].T
        u, s, vt = np.linalg.svd(affine, full_matrices=False)
        two = u @ vt
        turn, scale = np.stack([two[0], two[1], np.cross(two[0], two[1])]), float(s.mean())
    return scale, turn, b - scale * turn[: seen.shape[1]] @ a
