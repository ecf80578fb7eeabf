"""Where live frames come from: an audio file, a curves file, the microphone, PCM on standard input.

A source yields curves on the native grid and, where it has a voice, hands the samples to a track for playing. It knows
no clock: whoever takes the frames decides when. Each source is one stream of its own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from facerig.audio import Pcm, microphone, open_audio
from facerig.curves import Curves
from facerig.errors import OptionError
from facerig.live.buffer import Buffer
from facerig.live.player import Track
from facerig.pipeline import NATIVE_RIG, Animator
from facerig.retarget import retarget
from facerig.rig import rig
from facerig.stage import FPS, Frames

Maker = Callable[[Iterator[Frames], int], Iterator[Curves]]  # (voice, its rate) -> frames
CURVE_SUFFIXES = {".npz", ".csv", ".json"}
FULL_RIG = "facerig-full"  # the native rig with head and eyes
STDIN, MIC = "-", "mic"
STDIN_SECONDS = 0.02  # a read of standard input: small, so that live sound is not held up
FILE_SECONDS = 0.25
MIC_CAPACITY = 30  # frames, 0.5 s


@dataclass(frozen=True)
class Sound:
    """An open voice: its rate and its blocks."""

    rate: int
    blocks: Iterator[Frames]


@dataclass(frozen=True)
class Spec:
    """What the user named, taken apart."""

    text: str
    kind: str  # audio, curves, mic, stdin
    subject: str

    @property
    def waits(self) -> bool:
        """Whether the source can be made to wait; a microphone cannot."""
        return self.kind != "mic"


def spec(text: str) -> Spec:
    """`-` (PCM on standard input), `mic` or `mic:NAME`, a curves file by suffix, else an audio file."""
    if text == STDIN:
        return Spec(text, "stdin", "facerig")
    if text == MIC or text.startswith("mic:"):
        return Spec(text, "mic", "facerig")
    file = Path(text)
    kind = "curves" if file.suffix.lower() in CURVE_SUFFIXES else "audio"
    return Spec(text, kind, file.stem or "facerig")


@dataclass
class Feed:
    """One running source: the thread that fills its buffer."""

    spec: Spec
    buffer: Buffer
    track: Track | None = None
    channels: tuple[str, ...] = ()
    """What the frames will have, known before the first one."""
    _thread: threading.Thread | None = None

    def start(self, rows: Callable[[], Iterator[Curves]]) -> None:
        self._thread = threading.Thread(target=self._run, args=(rows,), name=f"source {self.spec.text}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.buffer.close()
        if self._thread is not None:
            self._thread.join(0.5)

    def _run(self, rows: Callable[[], Iterator[Curves]]) -> None:
        error: BaseException | None = None
        try:
            for curves in rows():
                if not self.buffer.put(curves):
                    break
        except Exception as caught:
            error = caught
        self.buffer.end(error)


def open_feed(wanted: Spec, animator: Callable[[], Animator], pcm: Pcm | None = None, loop: bool = False,
              play: bool = False, stdin: BinaryIO | None = None, server: str = "") -> Feed:
    """A source that has begun to fill its buffer. What cannot be opened fails here, before anything is sent.

    With a `server` (HOST:PORT, several parted by commas) the voice goes there and its frames come from there.
    """
    buffer = Buffer(waits=wanted.waits) if wanted.waits else Buffer(MIC_CAPACITY, waits=False)
    feed = Feed(wanted, buffer)
    if wanted.kind == "curves":
        if play:
            raise OptionError(f"--play: {wanted.text} holds no sound, accepted: an audio source")
        take = read_take(wanted.text)
        feed.channels = take.channels
        feed.start(lambda: _repeated(take, loop))
        return feed
    if loop and wanted.kind != "audio":
        raise OptionError(f"--loop: got the source {wanted.text!r}, accepted: a file")
    maker = _served(server) if server else _animated(animator())
    feed.channels = rig(FULL_RIG).names if server else animator().channels
    opened = _open_sound(wanted, pcm, stdin)
    sound = opened.__enter__()
    feed.track = Track(sound.rate) if play else None
    again = (lambda: _open_sound(wanted, pcm, stdin)) if loop else None
    feed.start(lambda: maker(_voice(opened, sound, feed.track, again), sound.rate))
    return feed


def read_take(path: str) -> Curves:
    """A recorded take on the native grid, from frame 0."""
    import exporters

    take = exporters.read(path).resample(FPS).moved(0)
    native = set(rig(NATIVE_RIG).names)
    # Gains and the view speak the native names, so a take of another rig is turned into them once.
    return take if native <= set(take.channels) else retarget(take, FULL_RIG)


def _repeated(take: Curves, loop: bool) -> Iterator[Curves]:
    yield take
    while loop and take.frames:
        yield take


def _voice(opened: Any, sound: Sound, track: Track | None, again: Callable[[], Any] | None) -> Iterator[Frames]:
    """The samples as they come in; a loop is one long voice, so the mouth goes on without a seam."""
    while True:
        try:
            for samples in sound.blocks:
                if track is not None:
                    track.put(samples)
                yield samples
        finally:
            opened.__exit__(None, None, None)
        if again is None:
            return
        opened = again()
        sound = opened.__enter__()


def _animated(animator: Animator) -> Maker:
    """Frames by a model of our own process."""

    def make(voice: Iterator[Frames], rate: int) -> Iterator[Curves]:
        session = animator.session(rate)
        for samples in voice:
            yield session.push(samples)
        yield session.flush()

    return make


def _served(server: str) -> Maker:
    """Frames by a facerig server; the client library reconnects and goes on by itself."""
    from facerig import client

    target = client.Target.parse(server)

    def make(voice: Iterator[Frames], rate: int) -> Iterator[Curves]:
        names = rig(FULL_RIG).names
        for frame in client.stream(voice, target, rate, rig=FULL_RIG, fps=FPS, pacing="burst"):
            yield Curves(names, FPS, np.array([frame.values], np.float32), frame.index)

    return make


@contextmanager
def _open_sound(wanted: Spec, pcm: Pcm | None, stdin: BinaryIO | None) -> Iterator[Sound]:
    if wanted.kind == "stdin":
        yield _stdin_sound(pcm or Pcm(), stdin or sys.stdin.buffer)
    elif wanted.kind == "mic":
        with microphone(device=wanted.text[4:] or None) as source:
            yield Sound(source.rate, source.blocks)
    else:
        with open_audio(wanted.text, pcm, FILE_SECONDS) as source:
            yield Sound(source.rate, source.blocks)


def _stdin_sound(pcm: Pcm, stream: BinaryIO) -> Sound:
    return Sound(pcm.rate, stdin_blocks(pcm, stream))


def stdin_blocks(pcm: Pcm, stream: BinaryIO) -> Iterator[Frames]:
    """Whatever has arrived, in whole samples; a rest of less than a sample at the end is dropped."""
    size = max(1, int(pcm.rate * STDIN_SECONDS)) * pcm.sample_bytes
    read = getattr(stream, "read1", stream.read)
    rest = b""
    while data := read(size):
        data = rest + data
        whole = len(data) - len(data) % pcm.sample_bytes
        rest = data[whole:]
        if whole:
            yield pcm.decode(data[:whole])
