"""Where live frames come from: an audio file, a curves file, the microphone, PCM on standard input; a server's frames.

A source yields curves on the native grid and, where it has a voice, hands the samples to a track for playing. It knows
no clock: whoever takes the frames decides when. Each source is one stream of its own.
"""

from __future__ import annotations

import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from facerig.audio import Pcm, microphone, open_audio
from facerig.curves import Curves
from facerig.errors import AudioError, OptionError
from facerig.listening import Faults
from facerig.live import servers
from facerig.live.buffer import CAPACITY, Buffer
from facerig.live.player import Track
from facerig.live.servers import FULL_RIG, Maker, Server
from facerig.live.steer import Steering
from facerig.pipeline import NATIVE_RIG, Animator
from facerig.resample import mono
from facerig.retarget import retarget
from facerig.rig import Rig, rig
from facerig.stage import FPS, Frames
from unreal_bridge.pose import LIVELINK

CURVE_SUFFIXES = {".npz", ".csv", ".json"}
STDIN, MIC = "-", "mic"
STDIN_SECONDS = 0.02  # a read of standard input: small, so that live sound is not held up
STDIN_BLOCKS = 8  # reads that may wait
LOOK_SECONDS = 0.005  # between looks at a pipe that has paused
FILE_SECONDS = 0.25
LEAD = 6  # frames
LIVE_BLOCK = 2  # frames: 33 ms of waiting; one frame at a time would cost twice the computing
MIC_CAPACITY = 30  # frames, 0.5 s
PROMPT_CAPACITY = 30  # frames that a file is ahead where a change of controls shall show soon
Voices = Callable[[], Animator]


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
    path: str = ""  # of a file, or the name of a microphone
    server: str = ""  # that makes the frames, where the source names one

    @property
    def waits(self) -> bool:
        """Whether the source can be made to wait; a microphone cannot."""
        return self.kind != "mic"


def spec(text: str) -> Spec:
    """`-` (PCM on standard input), `mic` or `mic:NAME`, a curves file by suffix, a server (a2f://HOST:PORT?audio=...),
    else an audio file."""
    if servers.is_server(text):
        voice = spec(servers.parse(text)[1] or MIC)
        if voice.kind == "curves" or voice.server:
            raise OptionError(f"{text}: got the audio {voice.text!r}, accepted: an audio file, mic, mic:NAME or -")
        return replace(voice, text=text, server=text)
    if text == STDIN:
        return Spec(text, "stdin", "facerig")
    if text == MIC or text.startswith("mic:"):
        return Spec(text, "mic", "facerig", text[4:])
    file = Path(text)
    kind = "curves" if file.suffix.lower() in CURVE_SUFFIXES else "audio"
    return Spec(text, kind, file.stem or "facerig", text)


@dataclass
class Feed:
    """One running source: the thread that fills its buffer."""

    spec: Spec
    buffer: Buffer
    track: Track | None = None
    channels: tuple[str, ...] = ()
    """What the frames will have, known before the first one."""
    notes: list[str] = field(default_factory=list)
    """What people should know of the source, said as it happens; grows while the face is live."""
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.faults = Faults(self.notes.append)

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


def open_feed(wanted: Spec, animator: Voices, pcm: Pcm | None = None, loop: bool = False, play: bool = False,
              stdin: BinaryIO | None = None, server: Server | None = None, steering: Steering | None = None,
              prompt: bool = False, lead: int = LEAD, block: int = LIVE_BLOCK) -> Feed:
    """A source that has begun to fill its buffer. What cannot be opened fails here, before anything is sent.

    With a `server` the voice goes there and its frames come from there. `prompt`: controls will be changed meanwhile.
    `lead`: frames that are to wait; after so many without sound standard input is silent. `block`: frames that come
    at once.
    """
    feed = Feed(wanted, _buffer(wanted, prompt, lead, block))
    if wanted.kind == "curves":
        return _take_feed(feed, loop, play, steering)
    if loop and wanted.kind != "audio":
        raise OptionError(f"--loop: got the source {wanted.text!r}, accepted: a file")
    steering = steering or Steering()
    maker = server.maker(steering) if server else _animated(animator(), steering)
    feed.channels = rig(FULL_RIG).names if server else animator().channels
    opened = _open_sound(wanted, pcm, stdin, feed.faults)
    sound = opened.__enter__()
    if wanted.kind == "stdin":
        sound = replace(sound, blocks=unbroken(sound, lambda: len(feed.buffer), lead, lambda: feed.buffer.closed))
    feed.track = Track(sound.rate) if play else None
    again = (lambda: _open_sound(wanted, pcm, stdin, feed.faults)) if loop else None
    feed.start(lambda: maker(_voice(opened, sound, feed.track, again), sound.rate))
    return feed


def _buffer(wanted: Spec, prompt: bool, lead: int, block: int) -> Buffer:
    """Room for the lead and for what comes on top of it: a face waits until its lead is there."""
    if not wanted.waits:
        return Buffer(max(MIC_CAPACITY, 2 * (lead + block)), waits=False)
    return Buffer(max(PROMPT_CAPACITY if prompt else CAPACITY, lead + block))


def _take_feed(feed: Feed, loop: bool, play: bool, steering: Steering | None) -> Feed:
    path = feed.spec.path
    if play:
        raise OptionError(f"--play: {path} holds no sound, accepted: an audio source")
    if steering is not None and steering.typed():
        raise OptionError(f"--emotion, --style, --state, --set: got the curves {path}, accepted: an audio source; "
                          "recorded curves are sent as they are")
    take = read_take(path)
    feed.channels = take.channels
    feed.start(lambda: _repeated(take, loop))
    return feed


def read_take(path: str) -> Curves:
    """A recorded take on the native grid, from frame 0."""
    import exporters

    take = exporters.read(path).resample(FPS).moved(0)
    native = set(rig(NATIVE_RIG).names)
    if native <= set(take.channels):
        return take
    # Gains and the view speak the native names, so a take of another rig is turned into them once. They have no angles
    # of the eyes: a phone's own ride along, which say more than its gaze shapes (they roll, and rest a bit outwards).
    own = [name for name in sent_rig().names if name in take.channels and name not in rig(FULL_RIG)]
    return retarget(take, FULL_RIG).with_channels({name: take[name] for name in own})


@cache
def sent_rig() -> Rig:
    """All that a live face may be told: the full rig, and the angles of the eyes by Live Link's names."""
    full = rig(FULL_RIG)
    eyes = [one for one in rig(LIVELINK).channels if one.kind == "angle" and one.region == "gaze"]
    return Rig("live", full.title, (*full.channels, *eyes))


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


def _animated(animator: Animator, steering: Steering) -> Maker:
    """Frames by a model of our own process."""

    def make(voice: Iterator[Frames], rate: int) -> Iterator[Curves]:
        session = steering.session = animator.session(rate, controls=steering.controls, seed=steering.seed)
        for samples in voice:
            yield session.push(samples)
        yield session.flush()

    return make


@contextmanager
def _open_sound(wanted: Spec, pcm: Pcm | None, stdin: BinaryIO | None, faults: Faults) -> Iterator[Sound]:
    if wanted.kind == "stdin":
        pcm = pcm or Pcm()
        yield Sound(pcm.rate, stdin_blocks(pcm, stdin or _raw_stdin(), faults))
    elif wanted.kind == "mic":
        with microphone(device=wanted.path or None, faults=faults) as source:
            yield Sound(source.rate, source.blocks)
    else:
        with open_audio(wanted.path, pcm, FILE_SECONDS) as source:
            yield Sound(source.rate, source.blocks)


def _raw_stdin() -> BinaryIO:
    """Without Python's own buffer: a thread that waits in that one at exit ends the process by an abort."""
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def stdin_blocks(pcm: Pcm, stream: BinaryIO, faults: Faults | None = None) -> Iterator[Frames]:
    """Whatever has arrived, in whole samples; a rest of less than a sample at the end is dropped, and no sample at all
    is an error, as of a file."""
    faults = faults or Faults()
    size = max(1, int(pcm.rate * STDIN_SECONDS)) * pcm.sample_bytes
    read = getattr(stream, "read1", stream.read)
    rest, heard = b"", False
    while (data := read(size)) != b"":
        if data is None:  # whoever opened the pipe does not want to wait; there is nothing yet, and no end
            _until_readable(stream)
            continue
        data = rest + data
        whole = len(data) - len(data) % pcm.sample_bytes
        rest = data[whole:]
        if whole:
            heard = True
            yield mono(faults.mend(pcm.channelled(data[:whole]), "standard input", "; is --pcm what comes?"), "pcm")
    if not heard:
        raise AudioError("standard input: holds no samples; pipe PCM into it, as --pcm TYPE:RATE:CHANNELS says")


def _until_readable(stream: BinaryIO) -> None:
    try:
        select.select([stream], [], [])
    except (OSError, ValueError):  # nothing that a system could watch
        time.sleep(LOOK_SECONDS)


@dataclass(frozen=True)
class _End:
    """Of a pipe, and what broke it."""

    error: Exception | None = None


def unbroken(sound: Sound, waiting: Callable[[], int], lead: int, closed: Callable[[], bool] = lambda: False
             ) -> Iterator[Frames]:  # fmt: skip
    """The blocks, and silence by the clock where none come: a face whose voice pauses closes its mouth and lives on.

    A pause begins when for `lead` frames none has been `waiting`; in it so many are kept there, so that what comes
    next is as late as at the beginning. Where it is `closed`, nobody waits for what may still come.
    """
    blocks: queue.Queue[Frames | _End] = queue.Queue(STDIN_BLOCKS)
    threading.Thread(target=_read, args=(sound.blocks, blocks), name="standard input", daemon=True).start()
    silence = np.zeros(max(1, int(sound.rate * STDIN_SECONDS)), np.float32)
    begun = paused = False
    since = 0.0  # when the last frame was taken, or until when silence was given
    while not closed():
        try:
            got = blocks.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            now = time.monotonic()
            if not begun or waiting() >= (lead if paused else 1):
                since = now
            elif now - since >= (0 if paused else lead / FPS):
                paused, since = True, since + len(silence) / sound.rate
                yield silence
            continue
        if isinstance(got, _End):
            if got.error is not None:
                raise got.error
            return
        begun, paused = True, False
        yield got
        since = time.monotonic()


def _read(blocks: Iterator[Frames], into: queue.Queue[Frames | _End]) -> None:
    try:
        for block in blocks:
            into.put(block)
        into.put(_End())
    except Exception as error:
        into.put(_End(error))
