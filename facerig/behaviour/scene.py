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
from facerig.behaviour.random import Bits
from facerig.prosody import PROSODY
from facerig.rig import rig
from facerig.stage import Frames, State

Array = NDArray[Any]
Floats = NDArray[np.float64]

CHANNELS = rig("facerig-full").names
CURVES = len(rig("facerig").names)
INPUTS = CURVES + len(PROSODY) + controls.WIDTH
Places = NDArray[np.intp] | slice
_AT = {name: place for place, name in enumerate(CHANNELS)}
_CONTROL = {name: place for place, name in enumerate(controls.COLUMNS)}
_LIFE = controls.group("life")
_GAINS = {name.partition(":")[2]: place for place, name in enumerate(controls.COLUMNS[_LIFE])}
_FULL = np.array(1, np.float32)


def columns(*names: str) -> Places:
    """Places among the 71 channels, as a slice where they lie evenly; `eyeBlink*` stands for both sides."""
    sides = [name.replace("*", side) for name in names for side in (("Left", "Right") if "*" in name else ("",))]
    places = np.array([_AT[name] for name in sides], np.intp)
    steps = np.diff(places) if len(places) > 1 else np.ones(1, np.intp)
    even = len(places) > 0 and steps[0] > 0 and bool((steps == steps[0]).all())
    return slice(int(places[0]), int(places[-1]) + 1, int(steps[0])) if even else places


@dataclass
class Scene:
    """A block of B streams. What behaviours say is there as soon as one has said it."""

    seeds: NDArray[np.int64]
    """[B]"""
    numbers: NDArray[np.int64]
    """[B, n]: of each frame."""
    prosody: Frames
    controls: Frames
    out: Frames
    """[B, n, 71]: what is being made; begins as the curves, the head at rest."""
    keys: Bits
    """[B, 1, STREAMS]: the seeds, mixed for every stream of randomness."""
    # ---- said by states
    told: NDArray[np.int64] = field(init=False)
    """Which state rules the frame."""
    weights: Floats = field(init=False)
    """[B, n, states], faded within 150 ms."""
    body: Floats = field(init=False)
    """[B, n, states], faded more slowly: what moves a head or a brow by how much."""
    awake: Floats = field(init=False)
    """1 less the share of `off`."""
    gains: Floats = field(init=False)
    """[B, n, controls `life:*`] times `awake`."""
    mood: Floats = field(init=False)
    """[B, n, emotions]: the mixture in force."""
    felt: bool = field(init=False)
    """Whether there is anything in it."""
    # ---- said by drift, gaze and head
    drift: Floats = field(init=False)
    """[B, n, DRIFTS]: -1..1."""
    attention: Floats = field(init=False)
    """[B, n, 2]: degrees left and up where the face attends to; the head follows it."""
    aim: Floats = field(init=False)
    """[B, n, 2]: where the eyes look by fixations, in the same frame: the room's, not the head's."""
    near: Floats = field(init=False)
    """[B, n]: 1 where somebody is looked at, 0 where the gaze is averted."""
    head: Floats = field(init=False)
    """[B, n, 3]: degrees left, up, to the right shoulder."""
    shift: Floats = field(init=False)
    """[B, n]: degrees that the gaze sets out to move at this frame."""

    def control(self, name: str) -> Frames:
        """[B, n]"""
        return self.controls[..., _CONTROL[name]]

    def exact(self, name: str) -> Floats:
        """[B, n]: a control in double precision."""
        return self.controls[..., _CONTROL[name]].astype(np.float64)

    def gain(self, name: str) -> Floats:
        """[B, n] of the behaviours `life:*`; 0 while the face is off."""
        return self.gains[..., _GAINS[name]]

    def heard(self, column: int) -> Frames:
        """[B, n] of prosody."""
        return self.prosody[..., column]

    def by_state(self, values: Floats, slowly: bool = False) -> Floats:
        """[states] -> [B, n], or [k, states] -> [B, n, k]: the mean by the states' shares."""
        shares = self.body if slowly else self.weights
        return weigh(shares if values.ndim == 1 else shares[..., None, :], values)

    def by_mood(self, factors: Floats) -> Floats | float:
        """[emotions] -> [B, n]: 1 where nothing is felt."""
        return 1 + self.from_mood(factors - 1) if self.felt else 1.0

    def from_mood(self, amounts: Floats) -> Floats | float:
        """[emotions] -> [B, n]: 0 where nothing is felt."""
        if not self.felt:
            return 0.0
        return np.asarray(np.add.reduce(self.mood * amounts, axis=-1), np.float64)

    def lay(self, places: Places, amount: Array) -> None:
        """Add `amount` [B, n] or [B, n, places] to weights as far as they are not full; 0 changes no bit."""
        if not np.count_nonzero(amount):
            return
        extra = (amount if amount.ndim == 3 else amount[..., None]).astype(np.float32)
        own = self.out[..., places]
        self.out[..., places] = own + extra * (_FULL - own)


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
    seen = np.ascontiguousarray(np.concatenate((past, new), axis=1))
    length, step = past.shape[1], seen.strides[1]
    shape, strides = (*new.shape, length + 1), (*seen.strides, -step)
    lags: Array = np.ndarray(shape, seen.dtype, seen, length * step, strides)  # a window view, made fast
    return seen[:, new.shape[1] :], lags


def abreast(*parts: Array) -> Floats:
    """Arrays [B, n] as columns [B, n, parts]: what `np.stack` gives, in a third of its time."""
    out = np.empty((*parts[0].shape, len(parts)))
    for place, part in enumerate(parts):
        out[..., place] = part
    return out


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
