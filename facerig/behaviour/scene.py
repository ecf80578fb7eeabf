"""What behaviours share while a block is worked on: the streams' inputs, and what one tells the next. Knows no wire.

Arrays are [B, n, ...]: B streams, n frames. A behaviour remembers by `recall`: the last rows of a signal, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerig import controls
from facerig.prosody import PROSODY
from facerig.rig import rig
from facerig.stage import Frames, State

Array = NDArray[Any]
Floats = NDArray[np.float64]

CHANNELS = rig("facerig-full").names
CURVES = len(rig("facerig").names)
INPUTS = CURVES + len(PROSODY) + controls.WIDTH
Places = NDArray[np.intp]
_AT = {name: place for place, name in enumerate(CHANNELS)}


def columns(*names: str) -> Places:
    """Places among the 71 channels; `eyeBlink*` stands for both sides."""
    sides = [name.replace("*", side) for name in names for side in (("Left", "Right") if "*" in name else ("",))]
    return np.array([_AT[name] for name in sides], np.intp)


@dataclass
class Scene:
    """A block of B streams."""

    seeds: NDArray[np.int64]
    """[B]"""
    numbers: NDArray[np.int64]
    """[B, n]: of each frame."""
    prosody: Frames
    controls: Frames
    out: Frames
    """[B, n, 71]: what is being made; begins as the curves, the head at rest."""
    # ---- said by states
    told: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    """Which state rules the frame."""
    weights: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n, states], faded within 150 ms."""
    body: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n, states], faded more slowly: what moves a head or a brow by how much."""
    awake: Floats = field(default_factory=lambda: np.zeros(0))
    """1 less the share of `off`."""
    mood: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n, emotions]: the mixture in force."""
    felt: bool = True
    """Whether there is anything in it."""
    # ---- said by gaze and head
    attention: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n, 2]: degrees left and up where the face attends to; the head follows it."""
    aim: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n, 2]: where the eyes look by fixations, in the same frame: the room's, not the head's."""
    near: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n]: 1 where somebody is looked at, 0 where the gaze is averted."""
    head: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n, 3]: degrees left, up, to the right shoulder."""
    shift: Floats = field(default_factory=lambda: np.zeros(0))
    """[B, n]: degrees that the gaze sets out to move at this frame."""

    def control(self, name: str) -> Frames:
        """[B, n]"""
        return self.controls[..., controls.place(name)]

    def heard(self, column: int) -> Frames:
        """[B, n] of prosody."""
        return self.prosody[..., column]

    def by_state(self, values: Floats, slowly: bool = False) -> Floats:
        """[states] -> [B, n]: the mean by the states' shares."""
        shares = self.body if slowly else self.weights
        return np.asarray(np.add.reduce(np.multiply(shares, values, order="C"), axis=-1), np.float64)

    def by_mood(self, factors: Floats) -> Floats:
        """[emotions] -> [B, n]: 1 where nothing is felt."""
        if not self.felt:
            return np.ones(self.numbers.shape)
        return np.asarray(1 + (self.mood * (factors - 1)).sum(axis=-1), np.float64)

    def lay(self, places: Places, amount: Array) -> None:
        """Add `amount` [B, n] or [B, n, places] to weights as far as they are not full; 0 changes no bit."""
        if not np.count_nonzero(amount):
            return
        own = self.out.take(places, axis=-1)
        extra = (amount if amount.ndim == 3 else amount[..., None]).astype(np.float32)
        self.out[..., places] = own + extra * (1 - own)


class Behaviour(Protocol):
    """A part of Life; its state is the rows that it recalls."""

    @property
    def memory(self) -> int: ...

    def start(self) -> State: ...

    def act(self, state: State, scene: Scene) -> State:
        """Read and write the scene; states are stacked [B, ...]."""
        ...


def recall(past: Array, new: Array) -> tuple[Array, Array]:
    """The last rows [B, L, ...] and the new [B, n, ...] -> (the last rows now, [B, n, ..., L + 1] by lag, 0 first)."""
    seen = np.ascontiguousarray(np.concatenate([past, new], axis=1))
    length, step = past.shape[1], seen.strides[1]
    shape, strides = (*new.shape, length + 1), (*seen.strides, -step)
    lags: Array = np.ndarray(shape, seen.dtype, seen, length * step, strides)  # a window view, made fast
    return seen[:, new.shape[1] :], lags


def weigh(lags: Array, weights: Floats) -> Floats:
    """The weighted sum over lags. In C order, so that it is added up alike whatever the batch."""
    return np.asarray(np.add.reduce(np.multiply(lags, weights, order="C"), axis=-1), np.float64)


def clipped(values: Array, low: Any, high: Any) -> Array:
    """`np.clip` without its ceremony, which costs more than the work on a block."""
    return np.asarray(np.minimum(np.maximum(values, low), high))


@lru_cache(maxsize=16)
def raised_cosine(length: int) -> Floats:
    """Weights of a fade of `length` frames; they add up to one."""
    weights = 1 - np.cos(2 * np.pi * (np.arange(length) + 0.5) / length) if length > 1 else np.ones(1)
    return np.asarray(weights / weights.sum(), np.float64)
