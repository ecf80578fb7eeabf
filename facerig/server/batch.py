"""Many streams through one face at once: states stacked in slots, gathered, stepped, scattered. Knows no wire.

One stream alone takes exactly the path of `Session`, so a batch of one equals `Animator.animate` bit for bit. The
slots' memory is claimed when it is first touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facerig.face import Face
from facerig.stage import Frames


class BatchChain:
    """A face's states for `slots` streams."""

    def __init__(self, face: Face, slots: int) -> None:
        self.face, self.slots = face, slots
        start = face.start()
        self._states = tuple(np.zeros((slots, *array.shape), array.dtype) for array in start)
        self.bytes_per_stream = sum(array.nbytes for array in start)
        """What one stream's state takes."""

    def reset(self, slot: int, frame: int = 0, seed: int = 0) -> None:
        """Put a new stream into a slot; its first row is frame `frame`."""
        for array, first in zip(self._states, self.face.start(frame, seed), strict=True):
            array[slot] = first

    def step(self, slots: Sequence[int], frames: Frames) -> Frames:
        """One block [B, n, 400 (+ controls)] of the streams in these slots -> [B, n, channels]."""
        if len(slots) == 1:
            where: int | np.ndarray[tuple[int], np.dtype[np.intp]] = slots[0]
            state, out = self.face.push(tuple(array[where] for array in self._states), frames[0])
            out = out[None]
        else:
            where = np.asarray(slots, np.intp)
            state, out = self.face.push_batch(tuple(array[where] for array in self._states), frames)
        for array, new in zip(self._states, state, strict=True):
            array[where] = new
        return out
