"""Many streams through one face at once: states stacked in slots, gathered, stepped, scattered. Knows no wire.

One stream alone takes exactly the path of `Session`, so a batch of one equals `Animator.animate` bit for bit. The
slots' memory is claimed when it is first touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from facerig.face import Face, Seeded
from facerig.server.hearing import PART, SHOWN, TOLD
from facerig.stage import Frames, Stage, State


@runtime_checkable
class Housed(Protocol):
    """A stage whose states live elsewhere than in numpy, on a device say, and that brings the room for them."""

    def slots(self, count: int) -> State:
        """Arrays [count, ...] that are gathered from and scattered to as numpy's are."""
        ...


def _room(stage: Stage | Seeded, slots: int) -> State:
    if isinstance(stage, Housed):
        return stage.slots(slots)
    return tuple(np.zeros((slots, *array.shape), array.dtype) for array in stage.start())


class BatchChain:
    """A face's states for `slots` streams.

    A stream's state is half a megabyte, so the states of a batch stay stacked as they came out of it: when the same
    streams step again, which is what cohorts do (`beat`), nothing is copied. A slot is in one stack at most.
    """

    generation = 0
    """How often all states were lost: never, in this process."""

    def __init__(self, face: Face, slots: int) -> None:
        self.face, self.slots = face, slots
        self._asked: tuple[Sequence[int], Frames] = ((), np.zeros((0, 0, 0), np.float32))
        start = face.start()
        self._states: State = tuple(array for _, stage in face.parts for array in _room(stage, slots))
        self._stacks: dict[tuple[int, ...], State] = {}
        self._held: dict[int, tuple[int, ...]] = {}
        """The stack that a slot's state is in, by the slots of that stack."""
        self.bytes_per_stream = sum(array.nbytes for array in start)
        """What one stream's state takes."""

    def reset(self, slot: int, frame: int = 0, seed: int = 0, before: Frames | None = None) -> None:
        """Put a new stream into a slot; its first row is frame `frame`, and `before` what was asked until then."""
        self._settle((slot,))
        for array, first in zip(self._states, self.face.start(frame, seed, before), strict=True):
            array[slot] = first

    def part(self, name: str, slots: Sequence[int]) -> State:
        """The states [B, ...] of one of the face's parts, as they are now."""
        span, stack = self._span(name), self._stacks.get(tuple(slots))
        if stack is not None:
            return stack[span]
        self._settle(slots)
        return tuple(array[np.asarray(slots, np.intp)] for array in self._states[span])

    def put(self, name: str, place: int, slot: int, value: Frames) -> None:
        """One array of a part's state in a slot."""
        self._settle((slot,))
        self._states[self._span(name)][place][slot] = value

    def tell(self, slot: int, row: Frames) -> None:
        """How a stream mixes what is heard, where anything is; after its reset."""
        if self.face.heard is not None:
            self.put(PART, TOLD, slot, row)

    def shown(self, slots: Sequence[int]) -> Frames:
        """[B, n, ...] of what was felt in the last block of each stream; without columns where nothing is heard."""
        if self.face.heard is None:
            return np.zeros((len(slots), 0, 0), np.float32)
        return self.part(PART, slots)[SHOWN]

    def _span(self, name: str) -> slice:
        """Where a part's arrays lie among all."""
        sizes = [(part, len(stage.start())) for part, stage in self.face.parts]
        place = [part for part, _ in sizes].index(name)
        begin = sum(size for _, size in sizes[:place])
        return slice(begin, begin + sizes[place][1])

    def submit(self, slots: Sequence[int], frames: Frames) -> None:
        """Begin a step; here nothing happens before `collect`."""
        self._asked = slots, frames

    def collect(self) -> Frames:
        """What the step that was submitted makes."""
        return self.step(*self._asked)

    def open(self) -> None:
        """Nothing to start here."""

    def close(self) -> None:
        """Nothing to end here."""

    def step(self, slots: Sequence[int], frames: Frames) -> Frames:
        """One block [B, n, 400 (+ controls)] of the streams in these slots -> [B, n, channels]."""
        if len(slots) == 1:
            return self._step_one(slots[0], frames[0])[None]
        wanted = tuple(slots)
        if wanted not in self._stacks:
            self._settle(wanted)
            index = np.asarray(wanted, np.intp)
            self._stacks[wanted] = tuple(array[index] for array in self._states)
            self._held.update(dict.fromkeys(wanted, wanted))
        try:
            self._stacks[wanted], out = self.face.push_batch(self._stacks[wanted], frames)
        except BaseException:
            self._settle(wanted)
            raise
        return out

    def _step_one(self, slot: int, frames: Frames) -> Frames:
        self._settle((slot,))
        state, out = self.face.push(tuple(array[slot] for array in self._states), frames)
        for array, new in zip(self._states, state, strict=True):
            array[slot] = new
        return out

    def _settle(self, slots: Sequence[int]) -> None:
        """Bring the stacks that any of these slots is in back to their slots."""
        for slot in slots:
            stack = self._held.get(slot)
            if stack is None:
                continue
            index = np.asarray(stack, np.intp)
            for array, new in zip(self._states, self._stacks.pop(stack), strict=True):
                array[index] = new
            for one in stack:
                del self._held[one]
