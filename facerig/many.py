"""Many streams through one stage in one call: states and frames stacked along a leading axis. Knows no slots, no wire.

How a stage steps many streams is found out once, by trying it on noise:

- a stage with `push_batch` steps them itself: a network does, and behaviour;
- a stage without state is given all streams' frames end to end, since its frames are independent;
- a stage whose state is the last `memory` frames of its input is given all streams' pasts and frames end to end: by the
  law of finite memory a frame sees no further back than its own stream's past;
- any other is called stream by stream, the plain reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import numpy as np

from facerig.stage import Chain, Frames, Stage, State

Way = Callable[[Stage, State, Frames], tuple[State, Frames]]
TRIAL = 4  # frames of noise


@runtime_checkable
class BatchStage(Protocol):
    """A stage that steps many streams in one call."""

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """States [B, ...] and frames [B, n, ...] -> the same, stepped."""
        ...


def way_of(stage: Stage, width: int) -> tuple[Way, int]:
    """How a stage steps many streams whose frames have `width` columns, and how many columns it gives."""
    noise = (np.random.default_rng(0).standard_normal((TRIAL, width)) * 0.05).astype(np.float32)
    start = stage.start()
    state, out = stage.push(start, noise)
    if isinstance(stage, BatchStage):
        return own, out.shape[1]
    if isinstance(stage, Chain):
        return _chained(stage, width), out.shape[1]
    if not start:
        return stateless, out.shape[1]
    return (windowed if _is_window(stage, start, state, noise) else one_by_one), out.shape[1]


def _is_window(stage: Stage, start: State, state: State, frames: Frames) -> bool:
    """Whether the state is nothing but the last `memory` frames of input."""
    if len(start) != 1 or start[0].size != stage.memory * frames[0].size or not stage.memory:
        return False
    past = start[0].reshape(stage.memory, *frames.shape[1:])
    return np.array_equal(np.concatenate([past, frames])[-stage.memory :].reshape(start[0].shape), state[0])


def _chained(chain: Chain, width: int) -> Way:
    ways: list[Way] = []
    for stage in chain.stages:
        way, width = way_of(stage, width)
        ways.append(way)

    def step(_: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
        states: list[State] = []
        for stage, mine, way in zip(chain.stages, chain.split(state), ways, strict=True):
            mine, frames = way(stage, mine, frames)
            states.append(mine)
        return tuple(array for mine in states for array in mine), frames

    return step


def one_stream(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    """No batch at all: what `Session` does."""
    return stage.push(state, frames)


def own(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    """The stage's own way. (To ask a protocol whether a stage is one takes longer than most stages' work.)"""
    return cast(BatchStage, stage).push_batch(state, frames)


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
    mine = out.reshape(count, memory + length, *out.shape[1:])[:, :length]
    return (joined[:, length:].reshape(state[0].shape),), np.ascontiguousarray(mine)


def one_by_one(stage: Stage, state: State, frames: Frames) -> tuple[State, Frames]:
    """The plain reference: each stream through `push`."""
    pairs = [stage.push(tuple(array[row] for array in state), frames[row]) for row in range(len(frames))]
    states = tuple(np.stack(parts) for parts in zip(*(pair[0] for pair in pairs), strict=True))
    return states, np.stack([pair[1] for pair in pairs])
