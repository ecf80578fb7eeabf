"""One stream on its way through the engine: samples -> blocks of native frames -> numbered rows. Knows no wire or
clock.

The arithmetic of beginning, end and resumption is that of `pipeline.Session`; only the chain is stepped elsewhere, for
many flows at once. `feed` and `finish` may be called from another thread than the rest: they only append and count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.behaviour.partner import Partner
from facerig.pipeline import Animator
from facerig.resample import Resample, mono
from facerig.stage import FPS, SAMPLES, Frames

ENCODINGS = {"pcm16": "<i2", "float32": "<f4"}


@dataclass(frozen=True)
class Sound:
    """Samples as they come in."""

    rate: int
    channels: int = 1
    encoding: str = "pcm16"
    gain: float = 1.0
    """Of what is heard; what is sent back is what came."""

    @cached_property
    def width(self) -> int:
        """Bytes of one sample of all channels."""
        return np.dtype(ENCODINGS[self.encoding]).itemsize * self.channels

    def read(self, data: bytes) -> Frames:
        """Bytes -> mono float, amplified up to full scale; NaN is an AudioError."""
        samples = self._mono(data)
        return samples if self.gain == 1.0 else np.clip(samples * np.float32(self.gain), -1, 1)

    def _mono(self, data: bytes) -> Frames:
        samples = np.frombuffer(data, ENCODINGS[self.encoding])
        if self.channels == 1 and self.encoding == "pcm16":  # what nearly all send; the same bits as `mono`, sooner
            fast: Frames = np.multiply(samples, np.float32(2.0**-15), dtype=np.float32)
            return fast
        return mono(self._columns(samples) if self.channels > 1 else samples)

    def sides(self, data: bytes) -> NDArray[Any]:
        """Bytes -> samples as they are, [n] or [n, channels]."""
        samples = np.frombuffer(data, ENCODINGS[self.encoding])
        return self._columns(samples) if self.channels > 1 else samples

    def _columns(self, samples: NDArray[Any]) -> NDArray[Any]:
        return samples.reshape(-1, self.channels)


@dataclass(frozen=True)
class Rows:
    """Native rows: values[0] is native frame `first` of the segment; `last` where nothing follows."""

    first: int
    values: Frames
    last: bool = False


class Flow:
    """The samples of one segment: a stream, or what follows an interrupt."""

    def __init__(
        self, animator: Animator, sound: Sound, position: int = 0, first_sample: int = 0, skip: int = 0,
        other: Sound | None = None,
    ) -> None:
        """`other` is the partner's: rate and encoding are the same, and two channels say where it comes from."""
        self.animator, self.sound, self.other = animator, sound, other or sound
        self.edge = Resample(sound.rate)
        self.block, self.delay = animator.block, animator.delay
        self._edge_state = self.edge.start(position, first_sample)
        self._pending: deque[tuple[bytes, bytes]] = deque()
        self._read = first_sample
        self._partner: Partner | None = None
        self.heard: Frames | None = None
        """What the partner said during the block that was taken last, as `partner.told` takes it."""
        self._frames = np.zeros((0, SAMPLES), np.float32)
        self._done = position  # native frames that went into the chain
        self._made = position  # native frames that came out of the edge
        self._skip = skip
        self._end: int | None = None
        self._finish = False
        self.received = first_sample
        self.need = self._needed()
        self.over = False

    # ---- from the wire's side ---------------------------------------------------------------------------------

    def feed(self, data: bytes, partner: bytes = b"") -> None:
        """Whole samples; those of the partner, where there are any, are as many."""
        self._pending.append((data, partner))
        self.received += len(data) // self.sound.width

    def finish(self) -> None:
        self._finish = True

    @property
    def ready(self) -> bool:
        """Whether a block can be taken (cheap: two integers)."""
        return not self.over and (self._finish or self.received >= self.need)

    @property
    def blocks(self) -> int:
        """Blocks whose audio is there."""
        more = self.received - self.need
        return 0 if more < 0 else 1 + more * FPS // (self.edge.rate * self.block)

    @property
    def backlog(self) -> float:
        """Seconds of audio that wait."""
        return max(0.0, self.received / self.sound.rate - self._done / FPS)

    # ---- from the engine's side ---------------------------------------------------------------------------------

    def take(self) -> Frames | None:
        """The next block [n, 400], or None where audio is missing."""
        if len(self._frames) < self.block:
            self._fill()
        if len(self._frames) < self.block:
            return None
        block, self._frames = self._frames[: self.block], self._frames[self.block :]
        self.heard = None if self._partner is None else self._partner.take(self.block)
        return block

    @property
    def position(self) -> int:
        """The native frame, in the segment, with which the next block begins."""
        return self._done

    def give(self, values: Frames) -> Rows:
        """What the chain made of the last block, numbered and cut to what the stream is owed."""
        first = self._done - self.delay
        self._done += self.block
        self.need = self._needed()
        end = first + len(values) if self._end is None else min(first + len(values), self._end)
        begin = max(first, self._skip, 0)
        self.over = self._end is not None and first + len(values) >= self._end
        return Rows(begin, values[begin - first : max(end, begin) - first], self.over)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _needed(self) -> int:
        """Samples received when the next block is complete."""
        last = (self._done + self.block) * SAMPLES - 1
        rate = self.edge.rate
        return last * rate // (FPS * SAMPLES) + self.edge.half + 1

    def _fill(self) -> None:
        finish = self._finish  # before the queue is read: what was fed before `finish` is then in it
        chunks = [self._pending.popleft() for _ in range(len(self._pending))]
        samples = self.sound.read(b"".join(own for own, _ in chunks)) if chunks else np.zeros(0, np.float32)
        self._listen(chunks)
        self._read += len(samples)
        self._edge_state, frames = self.edge.push(self._edge_state, samples)
        if finish and self._end is None:
            frames = np.concatenate([frames, self.edge.flush(self._edge_state)])
            if self._partner is not None:
                self._partner.finish()
            self._end = self._made + len(frames)
            tail = self.delay + -(self._end + self.delay) % self.block
            frames = np.concatenate([frames, np.zeros((tail, SAMPLES), np.float32)])
        self._made += len(frames)
        self._frames = np.concatenate([self._frames, frames])
        if self._end is not None and not len(self._frames):
            self.over = True

    def _listen(self, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        """The partner's part of chunks, silence where a chunk has none; nothing before the first one."""
        if self._partner is None and any(partner for _, partner in chunks):
            # What was cut into frames and not yet taken lies before the next frame that the edge makes.
            next_frame, stereo = self._made - len(self._frames), self.other.channels == 2
            self._partner = Partner(self.edge, next_frame, self._read, stereo)
        if self._partner is not None:
            silence = self.other.width
            whole = b"".join(partner or bytes(len(own) // self.sound.width * silence) for own, partner in chunks)
            self._partner.feed(self.other.sides(whole))
