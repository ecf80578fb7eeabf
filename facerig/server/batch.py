"""Many streams through one chain at once: states stacked in slots, gathered, stepped, scattered. Knows no wire.

One stream alone takes exactly the path of `Session`, so a batch of one equals `Animator.animate` bit for bit. Of many:

- a stage with `push_batch` (states and frames with a leading axis) steps them itself: a network does;
- a stage without state is given all streams' frames end to end, since its frames are independent;
- a stage whose state is the last `memory` frames of its input is given all streams' pasts and frames end to end: by the
  law of finite memory a frame sees no further back than its own stream's past (found out by trying, at the start);
- any other is called stream by stream.

The slots' memory is claimed when it is first touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from facerig.stage import SAMPLES, Chain, Frames, Stage, State

Way = Callable[[Stage, State, Frames], tuple[State, Frames]]


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
        self._states = [tuple(np.zeros((slots, *a.shape), a.dtype) for a in start) for start in self._starts]
        self._ways = _ways(chain, self._starts)

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
        for stage, arrays, way in zip(self.chain.stages, self._states, self._ways, strict=True):
            state, frames = way(stage, tuple(array[index] for array in arrays), frames)
            for array, new in zip(arrays, state, strict=True):
                array[index] = new
        return frames

    def _step_one(self, slot: int, frames: Frames) -> Frames:
        for stage, arrays in zip(self.chain.stages, self._states, strict=True):
            state, frames = stage.push(tuple(array[slot] for array in arrays), frames)
            for array, new in zip(arrays, state, strict=True):
                array[slot] = new
        return frames


def _ways(chain: Chain, starts: Sequence[State]) -> list[Way]:
    """How each stage steps many streams; frames of noise go through the chain once to see what it makes of them."""
    frames = (np.random.default_rng(0).standard_normal((4, SAMPLES)) * 0.05).astype(np.float32)
    ways: list[Way] = []
    for stage, start in zip(chain.stages, starts, strict=True):
        state, out = stage.push(start, frames)
        if isinstance(stage, BatchStage):
            ways.append(_own)
        elif not start:
            ways.append(stateless)
        else:
            ways.append(windowed if _is_window(stage, start, state, frames) else one_by_one)
        frames = out
    return ways


def _is_window(stage: Stage, start: State, state: State, frames: Frames) -> bool:
    """Whether the state is nothing but the last `memory` frames of input."""
    if len(start) != 1 or start[0].size != stage.memory * frames[0].size or not stage.memory:
        return False
    past = start[0].reshape(stage.memory, *frames.shape[1:])
    return np.array_equal(np.concatenate([past, frames])[-stage.memory :].reshape(start[0].shape), state[0])


def _own(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    assert isinstance(stage, BatchStage)
    return stage.push_batch(state, frames)


def stateless(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    """All streams end to end."""
    flat = stage.push(state, frames.reshape(-1, *frames.shape[2:]))[1]
    return state, flat.reshape(*frames.shape[:2], *flat.shape[1:])


def windowed(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    """All streams end to end, each with its past before it; what comes out for the pasts is thrown away."""
    count, length, memory = *frames.shape[:2], stage.memory
    past = state[0].reshape(count, memory, *frames.shape[2:])
    joined = np.concatenate([past, frames], axis=1)
    flat = joined.reshape(-1, *frames.shape[2:])
    out = stage.push((flat[:memory].reshape(state[0].shape[1:]),), flat[memory:])[1]
    out = np.concatenate([out, np.zeros((memory, *out.shape[1:]), out.dtype)])
    own = out.reshape(count, memory + length, *out.shape[1:])[:, :length]
    return (joined[:, length:].reshape(state[0].shape),), np.ascontiguousarray(own)


def one_by_one(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    """The plain reference: each stream through `push`."""
    pairs = [stage.push(tuple(array[row] for array in state), frames[row]) for row in range(len(frames))]
    states = tuple(np.stack(parts) for parts in zip(*(pair[0] for pair in pairs), strict=True))
    return states, np.stack([pair[1] for pair in pairs])
