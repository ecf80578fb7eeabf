"""Renewal processes that are looked up, not run: events whose intervals are log-normal, at any frame of any day.

Time is counted in mean intervals: at frame t and rate r it is u = r t. Around u the events of one epoch (EPOCH mean
intervals) are drawn from (seed, stream, epoch) alone, so nothing before has to be known. A rate that changes moves u;
an event happens in the frame whose own span (u - r, u] holds one, so a change of rate makes no events, and while the
rate stands still the intervals are exactly the stated ones. (The interval across the end of an epoch is the one
exception: one in EPOCH.) A stream keeps the epoch that it is in; that is a cache, never a history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerig.behaviour.random import STREAMS, normal
from facerig.stage import State

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

EPOCH = 256
CUT = 2.4  # standard deviations: one interval in 120 would be longer, and four means without a blink look dead
POINTS = 336  # more than an epoch holds: 80 to spare are over six standard deviations at sigma .6
NOWHERE = np.iinfo(np.int64).min
_NOTHING, _EPOCH, _POINTS = np.array(0.0), np.array(float(EPOCH)), np.array(POINTS, np.int64)


class Where(NamedTuple):
    """What stands at each frame: [B, n]."""

    epoch: Numbers
    passed: Numbers
    """Events of the epoch up to and with this frame."""
    event: NDArray[np.bool_]

    @property
    def number(self) -> Numbers:
        """A name of the present interval, for drawing what belongs to it."""
        return np.asarray(self.epoch * _POINTS + self.passed, np.int64)


@dataclass(frozen=True)
class Skeleton:
    """`stream` of randomness, and `sigma` of the intervals' logarithm; their mean is one."""

    stream: str
    sigma: float

    def start(self) -> State:
        return (np.array(NOWHERE, np.int64), np.zeros(POINTS))

    def look(self, state: State, seeds: Numbers, time: Floats, rate: Floats) -> tuple[State, Where]:
        """`time` u of each frame [B, n] and `rate` r there; states [B], seeds [B]."""
        span = np.empty((2, *time.shape))
        begun, span[0] = np.divmod(time, _EPOCH)
        np.maximum(span[0] - rate, _NOTHING, out=span[1])
        epochs = begun.astype(np.int64)
        if np.count_nonzero(epochs != state[0][:, None]):
            state, counts = self._across(state, seeds, epochs, span)
        else:
            counts = _counted(state[1][:, None], span)
        return state, Where(epochs, counts[0], counts[0] > counts[1])

    def _across(self, state: State, seeds: Numbers, epochs: Numbers, span: Floats) -> tuple[State, Numbers]:
        """The state at the last frame, and the events up to each span's ends, where not all frames are in its epoch."""
        state = self._moved(state, seeds, epochs[:, -1])
        counts = _counted(state[1][:, None], span)
        other = np.nonzero(epochs != state[0][:, None])
        if len(other[0]):
            drawn = self.points(seeds[other[0]], epochs[other])
            counts[:, other[0], other[1]] = _counted(drawn, span[:, other[0], other[1]])
        return state, counts

    def _moved(self, state: State, seeds: Numbers, epochs: Numbers) -> State:
        """The state with the points of these epochs."""
        stale = np.flatnonzero(state[0] != epochs)
        if not len(stale):
            return state
        points: NDArray[Any] = state[1].copy()
        points[stale] = self.points(seeds[stale], epochs[stale])
        return (epochs.copy(), points)

    def points(self, seeds: Numbers, epochs: Numbers) -> Floats:
        """[m, POINTS]: when the events of these epochs happen, counted from their beginnings."""
        key = STREAMS[self.stream] + 1000
        index = epochs[:, None] * np.int64(POINTS) + np.arange(POINTS, dtype=np.int64)
        drawn = np.clip(normal(seeds[:, None], key, index), -CUT, CUT)
        intervals = np.exp(self.sigma * drawn - self.sigma**2 / 2)
        return np.cumsum(intervals, axis=1)


def _counted(points: Floats, ends: Floats) -> Numbers:
    """How many of points [..., POINTS] lie up to each end [2, ...]."""
    return np.asarray(np.add.reduce(points <= ends[..., None], axis=-1), np.int64)
