"""The voice, played in step with the face: samples placed by the device's own clock. Knows sound, no face.

Sample n belongs at `begin + offset + n / rate`. The device says when the buffer that it asks for will be heard; the
difference is made up by silence before the first sample, and later, when the device's clock drifts, by leaving out or
repeating single samples.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from facerig.errors import ServiceError
from facerig.listening import sound_library
from facerig.stage import Frames

SLACK = 0.005  # seconds of error that are left alone; lips and voice agree to well under a frame
JUMP = 0.100  # from here on samples are skipped at once, as after a pause of the machine


class Track:
    """Samples waiting to be heard, and where they belong in time."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.position = 0  # the next sample's number
        self.late = 0.0  # seconds by which the last buffer missed its place before correction
        self._blocks: deque[Frames] = deque()
        self._lock = threading.Lock()

    def put(self, samples: Frames) -> None:
        if len(samples):
            with self._lock:
                self._blocks.append(np.asarray(samples, np.float32))

    def fill(self, count: int, heard_at: float) -> Frames:
        """`count` samples for a buffer whose first one is heard `heard_at` seconds after sample 0 was due."""
        out = np.zeros(count, np.float32)
        place = 0
        if heard_at < 0:
            place = min(count, round(-heard_at * self.rate))
            heard_at = 0.0 if place < count else heard_at
        if place < count:
            self.late = heard_at - self.position / self.rate
            place += self._correct(out[place:])
            self._take(out[place:])
        return out

    def _correct(self, out: Frames) -> int:
        """Skip or hold samples; returns how many places of the buffer are used up."""
        if abs(self.late) <= SLACK:
            return 0
        wrong = round(self.late * self.rate)
        if self.late > 0:
            self._skip(wrong if self.late > JUMP else 1)
            return 0
        held = min(len(out), -wrong if self.late < -JUMP else 1)
        return held

    def _skip(self, count: int) -> None:
        self._take(np.zeros(count, np.float32))

    def _take(self, out: Frames) -> None:
        place = 0
        with self._lock:
            while place < len(out) and self._blocks:
                block = self._blocks[0]
                part = block[: len(out) - place]
                out[place : place + len(part)] = part
                place += len(part)
                if len(part) == len(block):
                    self._blocks.popleft()
                else:
                    self._blocks[0] = block[len(part) :]
        self.position += place


class Player:
    """A track on a sound device, in step with a monotonic clock."""

    def __init__(self, track: Track, begin: Callable[[], float | None], offset: float = 0.0,
                 device: str | int | None = None) -> None:
        self.track, self._begin, self._offset = track, begin, offset
        self._stream = _stream(track.rate, device, self._asked)
        self._stream.start()

    @property
    def latency(self) -> float:
        """Seconds from a buffer's request to its sound, as the device reports them."""
        return float(self._stream.latency)

    def close(self) -> None:
        self._stream.stop()
        self._stream.close()

    def _asked(self, out: Frames, count: int, times: Any, _status: object) -> None:
        begin = self._begin()
        out[:] = 0
        if begin is not None:
            # The device's clock has its own zero; both are read now, so their difference is exact.
            heard = time.monotonic() + (times.outputBufferDacTime - times.currentTime)
            out[:, 0] = self.track.fill(count, heard - begin - self._offset)


def _stream(rate: int, device: str | int | None, callback: Callable[..., None]) -> Any:
    sounddevice = sound_library("playing sound")
    try:
        return sounddevice.OutputStream(samplerate=rate, channels=1, dtype="float32", device=device, callback=callback,
                                        latency="low")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise ServiceError(f"sound output: cannot be opened: {error}; `facerig doctor` lists the devices") from error
