"""Many streams through one chain at once: states stacked in slots, gathered, stepped, scattered. Knows no wire.

One stream alone takes exactly the path of `Session`, so a batch of one equals `Animator.animate` bit for bit. A stage
that can step many streams has `push_batch` (states and frames with a leading axis); the others are called stream by
stream, but for those without state, whose frames are independent. The slots' memory is claimed when first touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from facerig.features import LogMel, log_mel
from facerig.stage import SAMPLES, Chain, Frames, Stage, State, exact_div

Slots = NDArray[np.intp]


@runtime_checkable
class BatchStage(Protocol):
    """A stage that steps many streams in one call."""

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """States [B, ...] and frames [B, n, ...] -> the same, stepped."""
        ...


class BatchChain:
    """A chain's states for `slots` streams."""

    def __init__(self, chain: Chain, slots: int) -> None:
        self.chain, self.slots = chain, slots
        self._starts = [stage.start() for stage in chain.stages]
        self._states = [tuple(np.zeros((slots, *array.shape), array.dtype) for array in start) for start in self._starts]

    @property
    def bytes_per_stream(self) -> int:
        """What one stream's state takes."""
        return sum(array.nbytes for start in self._starts for array in start)

    def reset(self, slot: int) -> None:
        """Put a new stream into a slot."""
        for arrays, start in zip(self._states, self._starts, strict=True):
            for array, first in zip(arrays, start, strict=True):
                array[slot] = first

    def step(self, slots: Sequence[int], frames: Frames) -> Frames:
        """One block [B, n, 400] of the streams in these slots -> [B, n, channels]."""
        if len(slots) == 1:
            return self._step_one(slots[0], frames[0])[None]
        index = np.asarray(slots, np.intp)
        for stage, arrays in zip(self.chain.stages, self._states, strict=True):
            frames = _step_stage(stage, arrays, index, frames)
        return frames

    def _step_one(self, slot: int, frames: Frames) -> Frames:
        for stage, arrays in zip(self.chain.stages, self._states, strict=True):
            state, frames = stage.push(tuple(array[slot] for array in arrays), frames)
            for array, new in zip(arrays, state, strict=True):
                array[slot] = new
        return frames


def _step_stage(stage: Stage, arrays: State, index: Slots, frames: Frames) -> Frames:
    if not arrays:
        return _stateless(stage, frames)
    state = tuple(array[index] for array in arrays)
    if isinstance(stage, LogMel):
        state, frames = _log_mel(state, frames)
    elif isinstance(stage, BatchStage):
        state, frames = stage.push_batch(state, frames)
    else:
        state, frames = one_by_one(stage, state, frames)
    for array, new in zip(arrays, state, strict=True):
        array[index] = new
    return frames


def _stateless(stage: Stage, frames: Frames) -> Frames:
    """Without state a frame's output depends on that frame alone, so streams can be joined end to end."""
    if isinstance(stage, BatchStage):
        return stage.push_batch((), frames)[1]
    flat = stage.push((), frames.reshape(-1, *frames.shape[2:]))[1]
    return flat.reshape(*frames.shape[:2], *flat.shape[1:])


def one_by_one(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    """The plain reference: each stream through `push`."""
    pairs = [stage.push(tuple(array[row] for array in state), frames[row]) for row in range(len(frames))]
    states = tuple(np.stack(parts) for parts in zip(*(pair[0] for pair in pairs), strict=True))
    return states, np.stack([pair[1] for pair in pairs])


def _log_mel(state: State, frames: Frames) -> tuple[State, Frames]:
    """All streams as one signal: the windows that straddle two streams fall into one row after each stream's own."""
    past, (count, length) = state[0], frames.shape[:2]
    rows = exact_div(past.shape[1], SAMPLES)  # the past is one frame, so every stream fills length + 1 whole rows
    joined = np.concatenate([past, frames.reshape(count, -1)], axis=1)
    mel = log_mel(joined.reshape(-1))
    mel = np.concatenate([mel, np.zeros((rows, mel.shape[1]), np.float32)])  # the last stream has no row after it
    own = mel.reshape(count, length + rows, -1)[:, :length]
    return (np.ascontiguousarray(joined[:, joined.shape[1] - past.shape[1] :]),), np.ascontiguousarray(own)
