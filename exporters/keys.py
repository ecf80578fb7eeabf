"""Key reduction: from a value on every frame to the few cubic keys that an animator would set. Knows no file
format.

A track is a C1 cubic Hermite spline through true values of the curve. Keys start at the turning points and at what
is forced (closures, phone boundaries); where the rebuilt curve misses the bound, a key is added at the worst frame;
at the end keys that turned out needless are taken away. The slopes are the least-squares ones over all frames: one
tridiagonal system for all channels at once, which is what makes it fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerig.curves import Curves
from facerig.errors import check_option, extra_module

Doubles = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]

BOUND = 0.02  # of a shape's full way: below what the eye sees on a face
SHARE = 3  # at most every third frame becomes a key
PATIENCE = 40  # rounds of adding the worst frame only; noise would take hundreds
GROUP = 400_000  # samples solved together: bounds the memory of takes of hours
STIFF = 1e-3  # pull of a slope towards the curve's own: decides only where no frame lies between two keys
FLAT = 1e-6

MOUTH = ("jaw", "mouth", "tongue", "ctrl_expressions_jaw", "ctrl_expressions_mouth", "ctrl_expressions_tongue")
LIPS = ("jawopen", "mouthclose", "mouthpress", "mouthroll", "mouthfunnel", "mouthpucker", "mouthshrug",
        "mouthupperup", "mouthlowerdown", "ctrl_expressions_jawopen", "ctrl_expressions_mouthlips")


@dataclass(frozen=True, eq=False)
class Track:
    """Keys of one channel: ascending frames, values there, slopes in value per frame (None: straight lines)."""

    frames: Whole
    values: Doubles
    slopes: Doubles | None = None

    def at(self, frames: Iterable[int] | Whole) -> Doubles:
        """The curve that a reader of these keys rebuilds, held before the first key and after the last."""
        wanted = np.clip(np.asarray(frames, np.float64), self.frames[0], self.frames[-1])
        if self.slopes is None or len(self.frames) == 1:
            return np.interp(wanted, self.frames, self.values)
        left = np.clip(np.searchsorted(self.frames, wanted, "right") - 1, 0, len(self.frames) - 2)
        width = (self.frames[left + 1] - self.frames[left]).astype(np.float64)
        return hermite((wanted - self.frames[left]) / width, width, self.values[left], self.values[left + 1],
                       self.slopes[left], self.slopes[left + 1])


def hermite(u: Doubles, width: Doubles, y0: Doubles, y1: Doubles, m0: Doubles, m1: Doubles) -> Doubles:
    rest = 1 - u
    ends: Doubles = rest * rest * (1 + 2 * u) * y0 + u * u * (3 - 2 * u) * y1
    bends: Doubles = width * u * rest * (rest * m0 - u * m1)
    return ends + bends


def dense(curves: Curves) -> dict[str, Track]:
    """A key on every frame, straight lines between."""
    frames = np.arange(curves.start, curves.end)
    return {name: Track(frames, curves[name].astype(np.float64)) for name in curves.channels}


def tracks(curves: Curves, bound: float | None) -> dict[str, Track]:
    """Dense tracks, or reduced ones where a bound is given."""
    return dense(curves) if bound is None else reduce(curves, bound)


def reduce(curves: Curves, bound: float = BOUND, together: bool = False) -> dict[str, Track]:
    """Cubic keys whose rebuilt curve differs by at most `bound` on every frame.

    `together` puts the keys of all channels on the same frames, for formats whose channels share one clock.
    """
    check_option("keys", bound, "a number above 0 and up to 1", 0 < bound <= 1)
    if curves.frames < 3 or not curves.channels:
        return dense(curves)
    if together:
        return _together(curves, bound)
    size = max(1, GROUP // curves.frames)
    out: dict[str, Track] = {}
    for first in range(0, len(curves.channels), size):
        names = curves.channels[first : first + size]
        out.update(_reduced(curves, names, bound))
    return out


def _reduced(curves: Curves, names: Sequence[str], bound: float) -> dict[str, Track]:
    values = np.ascontiguousarray(curves.select(names).values.T.astype(np.float64))
    closed, edges = _forced(curves, names, values, bound)
    mask, slopes = _fit(values, closed | edges, bound)
    crowded = mask.sum(axis=1) > max(2, curves.frames // SHARE)
    if (crowded & edges.any(axis=1)).any():  # boundaries give way before the bound and the closures do
        again, their_slopes = _fit(values[crowded], closed[crowded], bound)
        mask[crowded], slopes[crowded] = again, their_slopes
    at = [np.flatnonzero(row) for row in mask]
    return {name: Track(keys + curves.start, row[keys], bend[keys])
            for name, keys, row, bend in zip(names, at, values, slopes, strict=True)}


def _together(curves: Curves, bound: float) -> dict[str, Track]:
    """In pieces that share one frame. Its neighbours are keys too, so that its slope bends nothing on either side."""
    size = max(64, GROUP // len(curves.channels))
    mask = np.zeros(curves.frames, bool)
    slopes = np.zeros((curves.frames, len(curves.channels)))
    for first in range(0, max(curves.frames - 1, 1), size):
        last = min(first + size, curves.frames - 1)
        if last - first < 2:
            mask[first : last + 1] = True
            continue
        piece = curves.slice(curves.start + first, curves.start + last + 1)
        rows = np.ascontiguousarray(piece.values.T.astype(np.float64))
        closed, edges = _forced(piece, piece.channels, rows, bound)
        borders = np.zeros(rows.shape, bool)
        borders[:, 1] |= first > 0
        borders[:, -2] |= last < curves.frames - 1
        keys, bends = _fit(rows, _shared(closed | edges | borders), bound, True)
        if keys[0].sum() > piece.frames // SHARE:
            keys, bends = _fit(rows, _shared(closed | borders), bound, True)
        mask[first : last + 1] |= keys[0]
        slopes[first : last + 1] = bends.T
    at = np.flatnonzero(mask)
    return {name: Track(at + curves.start, curves[name][at].astype(np.float64), slopes[at, column])
            for column, name in enumerate(curves.channels)}


def _shared(mask: Mask) -> Mask:
    shared: Mask = np.broadcast_to(mask.any(axis=0), mask.shape).copy()
    return shared


# ---- what must be a key -----------------------------------------------------------------------------------


def closures(curves: Curves) -> list[tuple[int, int]]:
    """Rows [first, last] of each bilabial phone that the curves carry."""
    from exporters.speech import is_bilabial

    spans = ((m.start - curves.start, m.end - 1 - curves.start) for m in curves.marks if is_bilabial(m))
    return [(max(a, 0), min(b, curves.frames - 1)) for a, b in spans if b >= 0 and a < curves.frames and b >= a]


def _forced(curves: Curves, names: Sequence[str], values: Doubles, bound: float) -> tuple[Mask, Mask]:
    closed, edges = np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    lively = np.ptp(values, axis=1) > bound
    mouth = [row for row, name in enumerate(names) if lively[row] and name.lower().startswith(MOUTH)]
    lips = [row for row, name in enumerate(names) if lively[row] and name.lower().startswith(LIPS)]
    borders = [b - curves.start for m in curves.marks if m.kind == "phone" for b in (m.start, m.end)]
    edges[np.ix_(mouth, [b for b in set(borders) if 0 <= b < curves.frames])] = True
    for first, last in closures(curves):
        closed[np.ix_(lips, sorted({first, _tightest(curves, first, last), last}))] = True
    return closed, edges


def _tightest(curves: Curves, first: int, last: int) -> int:
    """The row of a closure at which the lips are nearest to each other."""
    lower = {name.lower(): name for name in curves.channels}
    gap = np.zeros(last - first + 1)
    for name, sign in (("jawopen", 1), ("mouthclose", -1), ("mouthpressleft", -1), ("mouthpressright", -1)):
        if name in lower:
            gap += sign * curves[lower[name]][first : last + 1]
    return first + int(np.argmin(gap))


# ---- the fit ------------------------------------------------------------------------------------------------


def _fit(values: Doubles, forced: Mask, bound: float, together: bool = False) -> tuple[Mask, Doubles]:
    """Keys and slopes for rows of samples, solved as one line: the ends of every row are keys, so rows never mix."""
    bound = bound * 0.998  # room for the rounding of files
    ends = forced.copy()
    ends[:, [0, -1]] = True
    line = _Line(values, ends, together)
    turning = np.zeros_like(ends) if together else _turning(values, bound)
    mask, slopes = _settled(line, line.fixed | turning.ravel(), bound)
    for turn in (1, 0, 1, 0):
        mask, slopes = _thinned(line, mask, slopes, bound, turn)
    return mask.reshape(values.shape), slopes.reshape(values.shape)


def _settled(line: _Line, mask: Mask, bound: float) -> tuple[Mask, Doubles]:
    """Keys added at the worst frame of every segment until none misses the bound; at the latest all frames are keys."""
    for turn in itertools.count():
        slopes = line.slopes(mask)
        worst = line.worst(mask, slopes, bound, everything=turn >= PATIENCE)
        if not len(worst):
            break
        mask[worst] = True
    return mask, slopes


def _thinned(line: _Line, mask: Mask, slopes: Doubles, bound: float, turn: int) -> tuple[Mask, Doubles]:
    """Every second key taken away where its neighbours alone keep the bound."""
    candidates = line.every_second(mask, turn)
    trial = mask.copy()
    trial[candidates] = False
    missed = line.error(trial, slopes) > bound
    spoiled = np.add.reduceat(missed, np.flatnonzero(trial)) > 0  # by segment of the trial
    back = candidates[spoiled[(np.cumsum(trial) - 1)[candidates]]]
    trial[line.spread(back)] = True
    trial, trial_slopes = _settled(line, trial, bound)
    return (trial, trial_slopes) if trial.sum() < mask.sum() else (mask, slopes)


def _turning(values: Doubles, bound: float) -> Mask:
    """Frames where a curve turns by more than the bound within a tenth of a second at 60 frames."""
    out = np.zeros(values.shape, bool)
    if values.shape[1] < 3:
        return out
    rise = np.diff(values, axis=1)
    turns = (rise[:, :-1] > 0) != (rise[:, 1:] > 0)
    reach = min(6, values.shape[1] // 2)
    away = np.maximum(np.abs(values - np.roll(values, reach, 1)), np.abs(values - np.roll(values, -reach, 1)))
    out[:, 1:-1] = turns & (away[:, 1:-1] > bound)
    return out


class _Line:
    """All rows behind each other as one series of samples, with the sums that the slopes are solved from."""

    def __init__(self, values: Doubles, fixed: Mask, together: bool) -> None:
        self._shape, self._together = values.shape, together
        self.y = values.ravel()
        self.fixed = fixed.ravel()
        self._own = np.gradient(values, axis=1).ravel() if values.shape[1] > 1 else np.zeros(values.size)
        self._numbers = np.arange(self.y.size)

    def _segments(self, mask: Mask) -> tuple[Whole, Whole, Doubles, Doubles]:
        """Key positions; for every sample its segment, its place in it (0..1) and the segment's width."""
        keys = np.flatnonzero(mask)
        segment = np.cumsum(mask) - 1
        width = np.append(np.diff(keys), 1).astype(np.float64)
        u = (self._numbers - keys[segment]) / width[segment]
        return keys, segment, u, width

    def slopes(self, mask: Mask) -> Doubles:
        """Least-squares slopes at the keys (0 elsewhere)."""
        keys, segment, u, width = self._segments(mask)
        y0, y1 = self.y[keys], self.y[np.append(keys[1:], keys[-1])]
        rest = 1 - u
        bend = width[segment] * u * rest
        a, b = bend * rest, -bend * u
        miss = self.y - y0[segment] - u * u * (3 - 2 * u) * (y1 - y0)[segment]
        aa, ab, bb, ar, br = (np.add.reduceat(term, keys) for term in (a * a, a * b, b * b, a * miss, b * miss))
        diagonal = STIFF + aa
        diagonal[1:] += bb[:-1]
        right = STIFF * self._own[keys] + ar
        right[1:] += br[:-1]
        flat = self._flat(keys, segment)
        ab = np.where(flat | np.append(flat[1:], False), 0, ab)
        diagonal, right = np.where(flat, 1, diagonal), np.where(flat, 0, right)
        bands = np.stack([np.append(0, ab[:-1]), diagonal])
        out = np.zeros(self.y.size)
        out[keys] = _solved(bands, right)
        return out

    def _flat(self, keys: Whole, segment: Whole) -> Mask:
        """Keys at either end of a stretch on which the curve rests: there it must not ring."""
        low, high = np.minimum.reduceat(self.y, keys), np.maximum.reduceat(self.y, keys)
        after = self.y[np.append(keys[1:], keys[-1])]
        long = np.append(np.diff(keys), 1) > 2
        resting = long & (np.maximum(high, after) - np.minimum(low, after) < FLAT)
        ends: Mask = resting | np.append(False, resting[:-1])
        return ends

    def error(self, mask: Mask, slopes: Doubles) -> Doubles:
        keys, segment, u, width = self._segments(mask)
        following = np.append(keys[1:], keys[-1])
        left, right = keys[segment], following[segment]
        rebuilt = hermite(u, width[segment], self.y[left], self.y[right], slopes[left], slopes[right])
        return np.abs(rebuilt - self.y)

    def worst(self, mask: Mask, slopes: Doubles, bound: float, everything: bool) -> Whole:
        """The worst frame of every segment that misses the bound (or every frame that does)."""
        error = self.error(mask, slopes)
        missed = np.flatnonzero(error > bound)
        if everything:
            return self.spread(missed)
        segment = (np.cumsum(mask) - 1)[missed]
        if self._together:
            return self._worst_together(error.reshape(self._shape), mask, bound)
        order = np.lexsort((-error[missed], segment))
        first = np.unique(segment[order], return_index=True)[1]
        return missed[order[first]]

    def every_second(self, mask: Mask, turn: int) -> Whole:
        """Keys that may go, every second one; in shared keys the same frames of every row."""
        if self._together:
            row = np.flatnonzero(mask.reshape(self._shape)[0])[turn::2]
            return self.spread(row[~self.fixed[row]])
        keys = np.flatnonzero(mask)[turn::2]
        return keys[~self.fixed[keys]]

    def spread(self, samples: Whole) -> Whole:
        """The samples, and in shared keys the same frames of every row."""
        if not self._together:
            return samples
        frames = np.unique(samples % self._shape[1])
        everywhere: Whole = (np.arange(self._shape[0])[:, None] * self._shape[1] + frames).ravel()
        return everywhere

    def _worst_together(self, error: Doubles, mask: Mask, bound: float) -> Whole:
        worst = error.max(axis=0)
        segment = np.cumsum(mask.reshape(self._shape)[0]) - 1
        missed = np.flatnonzero(worst > bound)
        order = np.lexsort((-worst[missed], segment[missed]))
        first = np.unique(segment[missed][order], return_index=True)[1]
        return self.spread(missed[order[first]])


def _solved(bands: Doubles, right: Doubles) -> Doubles:
    """The solution of a symmetric tridiagonal system."""
    linalg = extra_module("scipy.linalg", "key reduction", "keys")
    return np.asarray(linalg.solveh_banded(bands, right, check_finite=False), np.float64)
