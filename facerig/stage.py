"""What everything that streams is made of: `Stage`, `Chain`, `Blocks`. Knows time as frames, and no audio and no face.

A stage is immutable and shared by all streams; what one stream has seen is its state, a tuple of arrays that a push
takes and gives back anew. So a snapshot is the state itself, two streams cannot touch, and states of many streams can
be stacked into a batch. A frame stage keeps the length: pushing n frames yields n frames, of which frame k belongs to
input frame k - delay. Where a stream begins and ends is the business of `Session` alone: it drops the first `delay`
frames and pushes silence to get the last ones out. Every push of a chain holds exactly `block` frames (`Blocks` sees to
that), since sums of another shape may differ in their last bit, and streaming must equal offline bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facerig.errors import OptionError

Frames: TypeAlias = NDArray[np.float32]
State: TypeAlias = tuple[NDArray[Any], ...]

FPS = 60  # the native grid ...
RATE = 24_000  # ... on audio of this rate


def exact_div(a: int, b: int) -> int:
    """a / b where it is whole; a wrong rate then fails when it is declared and not in some stream's tail."""
    if b <= 0 or a % b:
        raise OptionError(f"{a} / {b} is not a whole number")
    return a // b


SAMPLES = exact_div(RATE, FPS)  # audio samples in a native frame


class Stage(Protocol):
    """Frames in, as many frames out, `delay` frames later."""

    @property
    def delay(self) -> int:
        """Frames between an input and the output that belongs to it."""
        ...

    @property
    def memory(self) -> int:
        """Input frames before the present one that can still change the output (finite: law 5)."""
        ...

    def start(self) -> State:
        """What a new stream knows."""
        ...

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """The state after these frames, and the output for them; neither argument is changed."""
        ...


@dataclass(frozen=True)
class Chain:
    """Stages one after the other; itself a stage. Its state is the stages' states, joined."""

    stages: tuple[Stage, ...]

    @property
    def delay(self) -> int:
        return sum(stage.delay for stage in self.stages)

    @property
    def memory(self) -> int:
        return sum(stage.memory for stage in self.stages)

    def start(self) -> State:
        return tuple(array for stage in self.stages for array in stage.start())

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        states = []
        for stage, own in zip(self.stages, self.split(state), strict=True):
            own, frames = stage.push(own, frames)
            states.append(own)
        return tuple(array for own in states for array in own), frames

    def split(self, state: State) -> Iterable[State]:
        """The stages' own states."""
        at = 0
        for size in self._sizes:
            yield state[at : at + size]
            at += size

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(len(stage.start()) for stage in self.stages)


@dataclass(frozen=True)
class Blocks:
    """Cuts a stream of rows, however it arrives, into blocks of exactly `size` rows; the rest waits in the state."""

    size: int

    def start(self, shape: tuple[int, ...] = ()) -> State:
        return (np.zeros((0, *shape), np.float32),)

    def push(self, state: State, rows: Frames) -> tuple[State, list[Frames]]:
        waiting = np.concatenate([state[0], rows])
        whole = len(waiting) // self.size * self.size
        blocks = [waiting[at : at + self.size] for at in range(0, whole, self.size)]
        return (waiting[whole:].copy(),), blocks


@dataclass(frozen=True, eq=False)
class Delay:
    """The same frames, `frames` later; `rest` is what a new stream gives before its first one."""

    frames: int
    rest: Frames

    @property
    def delay(self) -> int:
        return self.frames

    @property
    def memory(self) -> int:
        return self.frames

    def start(self) -> State:
        return (np.repeat(self.rest[None], self.frames, axis=0),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        seen = np.concatenate([state[0], frames])
        return (seen[len(frames) :],), seen[: len(frames)]


@dataclass(frozen=True)
class Hush:
    """The same frames, but zeros for as many of a stream's first ones as its state still counts."""

    delay: int = 0
    memory: int = 0

    def start(self) -> State:
        return (np.zeros(1, np.int64),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        state, out = self.push_batch((state[0][None],), frames[None])
        return (state[0][0],), out[0]

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked."""
        left = state[0]
        if not left.any():  # as nearly always
            return state, frames
        heard = np.arange(frames.shape[1]) >= left
        return (np.maximum(left - frames.shape[1], 0),), np.where(heard[..., None], frames, np.float32(0))


@dataclass(frozen=True)
class Fir:
    """A causal weighted sum over the present and the last frames, delayed so that the middle tap is the frame itself.

    The base of smoothing: finite memory, fixed order of summation, the same in any block.
    """

    taps: tuple[float, ...]
    width: int

    @property
    def delay(self) -> int:
        return (len(self.taps) - 1) // 2

    @property
    def memory(self) -> int:
        return len(self.taps) - 1

    def start(self) -> State:
        return (np.zeros((self.memory, self.width), np.float32),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        seen = np.concatenate([state[0], frames])
        out = np.zeros_like(frames)
        for lag, tap in enumerate(reversed(self.taps)):
            out += np.float32(tap) * seen[lag : lag + len(frames)]
        return (seen[len(seen) - self.memory :],), out


def run(stage: Stage, frames: Frames, block: int) -> Frames:
    """The whole of a signal through a stage, aligned with its input: what `Session` does, for frames."""
    tail = stage.delay + -(len(frames) + stage.delay) % block
    padded = np.concatenate([frames, np.zeros((tail, *frames.shape[1:]), np.float32)])
    state, outputs = stage.start(), []
    for at in range(0, len(padded), block):
        state, out = stage.push(state, padded[at : at + block])
        outputs.append(out)
    joined = np.concatenate(outputs) if outputs else frames
    return joined[stage.delay : stage.delay + len(frames)]


def eased(share: NDArray[Any]) -> NDArray[Any]:
    """Shares from 0 to 1 that begin and end without a jump in speed."""
    out: NDArray[Any] = share * share * (3 - 2 * share)
    return out


def fallen(last: Frames, quiet: Frames) -> Frames:
    """[n + 1, channels] of a quiet face, of which row 0 shows the instant of `last` -> [n, channels] without a jump:
    what `last` differs by is let go in the smallest steps, a head's too, and nothing of it is left at the end."""
    share = (np.arange(1, len(quiet)) / max(1, len(quiet) - 1)).astype(np.float32)[:, None]
    out: Frames = quiet[1:] + (last - quiet[0]) * (1 - share)
    return out


def same_state(left: Sequence[NDArray[Any]], right: Sequence[NDArray[Any]]) -> bool:
    """Whether two states are equal bit for bit."""
    return [_fingerprint(array) for array in left] == [_fingerprint(array) for array in right]


def _fingerprint(array: NDArray[Any]) -> tuple[tuple[int, ...], str, bytes]:
    return array.shape, array.dtype.str, array.tobytes()
