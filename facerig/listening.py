"""Sound that comes by itself and cannot be asked for again: the microphone's, a pipe's. Knows no file and no face.

What would end the reading of a file must not end a face that is live: where no sound comes, silence stands by the
clock, and so it does for samples that are no sound. What happened is told once.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import MissingExtra, ServiceError
from facerig.resample import LOUDEST, mono
from facerig.stage import Frames

QUIET_SECONDS = 0.2  # without a block before silence takes its place: far more than a device's blocks are apart
LOST_SECONDS = 1.0  # before the device is said to be gone: a busy system may hold blocks back for less

log = logging.getLogger("facerig.audio")  # which writes to stderr unless a program decides otherwise


def _log(text: str) -> None:
    log.warning("%s", text)


@dataclass
class Faults:
    """What was wrong with one sound while it came: told as it happens, each kind of fault once."""

    tell: Callable[[str], None] = _log
    silenced: int = 0
    """Samples that were no sound."""
    _heard: int = 0

    def mend(self, samples: NDArray[Any], name: str, advice: str = "") -> NDArray[Any]:
        """[n] or [n, channels]: silence where a value is not finite, or so large that it is none of a sound."""
        first, self._heard = self._heard, self._heard + len(samples)
        if samples.dtype.kind != "f":
            return samples
        good = np.abs(samples) <= LOUDEST  # not so for NaN
        if good.all():
            return samples
        if not self.silenced:
            place = int(np.argmin(good))
            self.tell(f"{name}: sample {first + place // (samples[:1].size or 1)} is {samples.flat[place]:.3g}, "
                      f"accepted: -1 to 1, at most {LOUDEST:.0g}; silence stands there and for all others like it"
                      + advice)
        self.silenced += int((~good).sum())
        return np.where(good, samples, samples.dtype.type(0))


def sound_library(what: str) -> Any:
    """PortAudio's Python side, for `what`; our errors where it, or PortAudio itself, is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra(what, "live") from error
    except OSError as error:  # its library is loaded as it is imported
        raise ServiceError(f"{what} needs PortAudio: apt-get install libportaudio2") from error
    return sounddevice


@contextmanager
def listening(rate: int, device: str | int | None, size: int, faults: Faults) -> Iterator[Iterator[Frames]]:
    """The default (or named) input device's blocks of `size` mono samples, without end."""
    sounddevice = sound_library("the microphone")
    waiting: queue.Queue[Frames] = queue.Queue(maxsize=500)
    ended = threading.Event()

    def heard(samples: Frames, _count: int, _time: object, _status: object) -> None:
        with suppress(queue.Full):  # a reader that stopped reading loses sound, not memory
            waiting.put_nowait(samples.copy())

    with ExitStack() as opened:
        try:
            opened.enter_context(sounddevice.InputStream(
                samplerate=rate, channels=1, device=device, callback=heard, dtype="float32", blocksize=size,
                finished_callback=ended.set))
        except (sounddevice.PortAudioError, ValueError) as error:
            raise ServiceError(f"microphone: cannot be opened: {error}; `facerig doctor` lists the devices") from error
        silence = np.zeros((size, 1), np.float32)
        blocks = unfailing(waiting, size / rate, silence, ended.is_set, faults.tell, "microphone")
        yield (mono(faults.mend(block, "microphone")) for block in blocks)


def unfailing(blocks: queue.Queue[Frames], seconds: float, silence: Frames, ended: Callable[[], bool],
              tell: Callable[[str], None], name: str) -> Iterator[Frames]:
    """The blocks of a device, for ever; `silence`, which is as long as they are, by the clock where none come.

    `ended`: the device itself says that it gives no more. One whose blocks come again is heard again.
    """
    quiet = 0.0  # seconds without a block, counted by looks: a machine that stood still has lost no device
    told = False
    since = time.monotonic()  # up to when there is sound
    while True:
        try:
            block = blocks.get(timeout=seconds)
        except queue.Empty:
            now, quiet = time.monotonic(), quiet + seconds
            if not told and (ended() or quiet >= LOST_SECONDS):
                told = True
                tell(f"{name}: no sound comes; silence stands in its place. Is it plugged in? It is heard again where "
                     "the system brings it back; else begin anew")
            if quiet < QUIET_SECONDS and not ended():
                since = now
            since = max(since, now - QUIET_SECONDS)  # what the machine slept through is not made up for
            while since + seconds <= now:
                since += seconds
                yield silence
            continue
        if told:
            tell(f"{name}: sound comes again")
        quiet, told = 0.0, False
        yield block
        since = time.monotonic()
