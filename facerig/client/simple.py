"""The short way: audio in, frames out, as an iterator. Files, arrays, iterables of samples or bytes (16-bit PCM), and
`mic`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from facerig.audio import microphone, open_audio, read_ears
from facerig.client.events import Description, Frame, Notice
from facerig.client.options import DEFAULT, Target, Wish
from facerig.client.stream import Stream
from facerig.errors import OptionError, ServiceError, check_option
from facerig.resample import mono
from facerig.stage import Frames

Source = str | os.PathLike[str] | np.ndarray[Any, Any] | bytes | Iterable[Any] | AsyncIterable[Any]
BLOCK_SECONDS = 0.1
# Seconds that a file is sent before its frames: more than goes on the wire (WIRE_AHEAD), and little, as a wish stands
# behind all that was sent.
FILE_AHEAD = 2.5
Item = TypeVar("Item")
Answer = TypeVar("Answer")
Opened = Callable[[Stream, asyncio.AbstractEventLoop], None]
Told = Callable[[str], None]


@dataclass(frozen=True)
class _End:
    """Nothing more comes, because of this error if there is one."""

    error: BaseException | None = None


class Playing(Iterator[Frame]):
    """The frames of a stream that runs in a thread of its own, and a hand on it while they come.

    A file is sent FILE_AHEAD of its frames: wishes in its last seconds come too late to be seen, and are no error.
    """

    def __init__(self, frames: Generator[Frame, None, None]) -> None:
        self._frames = frames
        self._running: tuple[Stream, asyncio.AbstractEventLoop] | None = None

    def __iter__(self) -> Playing:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """End the stream."""
        self._frames.close()

    def opened(self, running: Stream, loop: asyncio.AbstractEventLoop) -> None:
        """Called in the stream's thread once it runs."""
        self._running = running, loop

    def do(self, work: Callable[[Stream], Coroutine[Any, Any, Answer]]) -> Answer:
        """Have the stream do something, and wait for it: `frames.do(lambda stream: stream.emotion({"joy": 1.0}))`."""
        if self._running is None:
            raise ServiceError("stream: got a wish before its first frame, accepted: after that")
        running, loop = self._running
        coming = work(running)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            answer = asyncio.run_coroutine_threadsafe(coming, loop)
            while not loop.is_closed():
                with contextlib.suppress(concurrent.futures.TimeoutError):
                    return answer.result(0.2)
        coming.close()
        raise ServiceError("stream: got a wish after its end, accepted: while frames come")

    def describe(self, span_ms: int = 10_000, frame: int | None = None) -> Description:
        """What is asked of the face, as keyframes and in words (`Stream.describe`)."""
        return self.do(lambda running: running.describe(span_ms, frame))


def stream(source: Source, server: str | Target = DEFAULT, rate: int = 24_000, opened: Opened | None = None,
           partner: Source | None = None, told: Told | None = None, **wish: Any) -> Playing:
    """Frames of a file, `mic`, samples at `rate` (an array, or bytes of 16-bit PCM) or an iterable of them, whose own
    errors are raised here; keywords are those of `Wish`.

    Runs its own event loop in a thread; leaving the loop early closes the stream. `opened` is given the running stream
    and the loop, for controls that change meanwhile. `partner`, `told`: as in `astream`.
    """
    def both(running: Stream, loop: asyncio.AbstractEventLoop) -> None:
        if (held := playing()) is not None:
            held.opened(running, loop)
        if opened is not None:
            opened(running, loop)

    made = Playing(synchronous(lambda: astream(source, server, rate, both, partner, told, **wish)))
    playing = weakref.ref(made)  # the thread would keep it, and a loop that is left would not close the stream
    return made


def synchronous(make: Callable[[], AsyncGenerator[Item, None]]) -> Generator[Item, None, None]:
    """What an asynchronous generator yields, from an event loop in a thread of its own."""
    items: queue.Queue[Item | _End] = queue.Queue(maxsize=256)
    gone = threading.Event()

    async def give(item: Item | _End) -> None:
        while not gone.is_set():
            try:
                return items.put_nowait(item)
            except queue.Full:  # the loop goes on meanwhile: whoever does not take frames may be asking it
                await asyncio.sleep(0.01)

    async def run() -> None:
        async with contextlib.aclosing(make()) as running:
            async for item in running:
                await give(item)
                if gone.is_set():
                    return
        await give(_End())
        while not gone.is_set():  # whoever has the last frames yet to take may still wish something
            await asyncio.sleep(0.01)

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if not gone.is_set():
                items.put(_End(error))

    thread = threading.Thread(target=work, name="facerig-client", daemon=True)
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        gone.set()
        while not items.empty():
            items.get_nowait()
        thread.join(5)


async def astream(source: Source, server: str | Target = DEFAULT, rate: int = 24_000, opened: Opened | None = None,
                  partner: Source | None = None, told: Told | None = None, **wish: Any) -> AsyncGenerator[Frame, None]:
    """The same for `async for`. `partner` is what the other one in the talk says from the beginning on, heard and not
    spoken: a file or samples [n] or [n, 2] at the source's rate; of two channels the face hears where it is said.
    `told` is given each of the server's notices, once however often the stream is resumed."""
    notices: set[str] = set()
    target = server if isinstance(server, Target) else Target.parse(server)
    with chunks(source, rate) as (own_rate, parts):
        other = None if partner is None else Beside(partner, own_rate)
        asked = replace(Wish(**wish), rate=own_rate, channels=1, encoding="float32",
                        partner_channels=other.channels if other else 0)
        async with Stream(target, asked) as running:
            if opened is not None:
                opened(running, asyncio.get_running_loop())
            sender = asyncio.create_task(_send_all(running, parts, other))
            try:
                async for event in running:
                    if isinstance(event, Frame):
                        yield event
                    elif isinstance(event, Notice) and told is not None and event.text not in notices:
                        notices.add(event.text)
                        told(event.text)
                await sender
            finally:
                sender.cancel()


class Beside:
    """A partner's whole sound, cut as the own one comes."""

    def __init__(self, source: Source, rate: int) -> None:
        samples, own_rate = _read(source, rate)
        check_option("partner", f"{own_rate} Hz", f"{rate} Hz, as the voice beside it", own_rate == rate)
        check_option("partner", f"samples of shape {samples.shape}", "[n] or [n, 2]",
                     samples.ndim == 1 or (samples.ndim == 2 and samples.shape[1] in (1, 2)))
        self.channels = 1 if samples.ndim == 1 else samples.shape[1]
        self._samples = np.stack([mono(side) for side in samples.reshape(len(samples), -1).T], axis=1)
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many samples, or what is left of them with silence behind; nothing once all has been said."""
        part, self._at = self._samples[self._at : self._at + count], self._at + count
        missing = np.zeros((count - len(part), self.channels), np.float32)
        return np.concatenate([part, missing]).astype("<f4").tobytes() if len(part) else b""


def _read(source: Source, rate: int) -> tuple[np.ndarray[Any, Any], int]:
    if isinstance(source, np.ndarray):
        return source, rate
    if not isinstance(source, str | os.PathLike):
        raise OptionError("partner: got something else, accepted: a file or an array of samples")
    heard = read_ears(source)
    return heard.samples, heard.rate


async def _send_all(running: Stream, parts: AsyncIterator[bytes], other: Beside | None) -> None:
    width = running.wish.width
    try:
        async for part in parts:
            await running.within(FILE_AHEAD)
            await running.send(part, other.take(len(part) // width) if other else b"")
        await running.end()
    except Exception as error:  # the source's own: raised where the frames are taken
        running.fail(error)


@contextmanager
def chunks(source: Source, rate: int) -> Iterator[tuple[int, AsyncIterator[bytes]]]:
    """(rate, float32 mono bytes) of any source."""
    if isinstance(source, np.ndarray | bytes | bytearray):
        whole = Samples()(source)
        size = max(1, int(BLOCK_SECONDS * rate))
        yield rate, _given(whole[at : at + size] for at in range(0, len(whole), size))
    elif isinstance(source, AsyncIterable):
        yield rate, _converted(source)
    elif isinstance(source, str | os.PathLike):
        opened = microphone() if source == "mic" else open_audio(source, block_seconds=BLOCK_SECONDS)
        with opened as audio:
            yield audio.rate, _blocking(iter(audio.blocks))
    else:
        yield rate, _blocking(iter(source))


class Samples:
    """Parts of a source as samples: arrays as they are, bytes as 16-bit PCM, little endian, that is cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, part: Any) -> Frames:
        if isinstance(part, bytes | bytearray | memoryview):
            data = self._rest + bytes(part)
            whole = len(data) // 2 * 2
            part, self._rest = np.frombuffer(data[:whole], "<i2"), data[whole:]
        return mono(np.asarray(part))


async def _given(parts: Iterable[Frames]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part.tobytes()


async def _converted(source: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    samples = Samples()
    async for part in source:
        yield samples(part).tobytes()


async def _blocking(parts: Iterator[Any]) -> AsyncIterator[bytes]:
    """Blocks of a source that makes us wait (a microphone, a disk), read off the event loop."""
    async for part in blocks_of(parts):
        yield part.tobytes()


async def blocks_of(parts: Iterator[Any]) -> AsyncIterator[Frames]:
    """The same as samples. Whoever reads is a daemon: a source that is quiet holds up no end of a stream or program."""
    samples = Samples()
    wanted: queue.SimpleQueue[concurrent.futures.Future[Any] | None] = queue.SimpleQueue()

    def read() -> None:
        while (answer := wanted.get()) is not None and answer.set_running_or_notify_cancel():
            try:
                part = next(parts, None)
            except BaseException as error:
                answer.set_exception(error)
            else:
                answer.set_result(part)

    threading.Thread(target=read, name="facerig-source", daemon=True).start()
    try:
        while True:
            answer: concurrent.futures.Future[Any] = concurrent.futures.Future()
            wanted.put(answer)
            if (part := await asyncio.wrap_future(answer)) is None:
                return
            yield samples(part)
    finally:
        wanted.put(None)
