"""The short way: audio in, frames out, as an iterator. Files, arrays, iterables of samples or bytes, and `mic`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from facerig.audio import microphone, open_audio
from facerig.client.options import DEFAULT, Target, Wish
from facerig.client.stream import Frame, Stream
from facerig.resample import mono
from facerig.stage import Frames

Source = str | os.PathLike[str] | np.ndarray[Any, Any] | Iterable[Any] | AsyncIterable[Any]
BLOCK_SECONDS = 0.1
Item = TypeVar("Item")
Opened = Callable[[Stream, asyncio.AbstractEventLoop], None]


@dataclass(frozen=True)
class _End:
    """Nothing more comes, because of this error if there is one."""

    error: BaseException | None = None


def stream(source: Source, server: str | Target = DEFAULT, rate: int = 24_000, opened: Opened | None = None,
           **wish: Any) -> Iterator[Frame]:
    """Frames of a file, `mic`, an array of samples at `rate`, or an iterable of them; keywords are those of `Wish`.

    Runs its own event loop in a thread; leaving the loop early closes the stream. `opened` is given the running stream
    and the loop, for controls that change meanwhile.
    """
    return synchronous(lambda: astream(source, server, rate, opened, **wish))


def synchronous(make: Callable[[], AsyncGenerator[Item, None]]) -> Iterator[Item]:
    """What an asynchronous generator yields, from an event loop in a thread of its own."""
    items: queue.Queue[Item | _End] = queue.Queue(maxsize=256)
    gone = threading.Event()

    async def run() -> None:
        async with contextlib.aclosing(make()) as running:
            async for item in running:
                while not gone.is_set():
                    try:
                        items.put(item, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if gone.is_set():
                    return

    def work() -> None:
        end = _End()
        try:
            asyncio.run(run())
        except BaseException as error:
            end = _End(error)
        if not gone.is_set():
            items.put(end)

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
                  **wish: Any) -> AsyncGenerator[Frame, None]:
    """The same for `async for`."""
    target = server if isinstance(server, Target) else Target.parse(server)
    with chunks(source, rate) as (own_rate, parts):
        asked = replace(Wish(**wish), rate=own_rate, channels=1, encoding="float32")
        async with Stream(target, asked) as running:
            if opened is not None:
                opened(running, asyncio.get_running_loop())
            sender = asyncio.create_task(_send_all(running, parts))
            try:
                async for event in running:
                    if isinstance(event, Frame):
                        yield event
                await sender
            finally:
                sender.cancel()


async def _send_all(running: Stream, parts: AsyncIterator[bytes]) -> None:
    async for part in parts:
        await running.send(part)
    await running.end()


@contextmanager
def chunks(source: Source, rate: int) -> Iterator[tuple[int, AsyncIterator[bytes]]]:
    """(rate, float32 mono bytes) of any source."""
    if isinstance(source, np.ndarray):
        yield rate, _one(mono(source).tobytes())
    elif isinstance(source, AsyncIterable):
        yield rate, _converted(source)
    elif isinstance(source, str | os.PathLike):
        opened = microphone() if source == "mic" else open_audio(source, block_seconds=BLOCK_SECONDS)
        with opened as audio:
            yield audio.rate, _blocking(iter(audio.blocks))
    else:
        yield rate, _blocking(iter(source))


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _converted(source: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    async for part in source:
        yield mono(np.asarray(part)).tobytes()


async def _blocking(parts: Iterator[Any]) -> AsyncIterator[bytes]:
    """Blocks of a source that makes us wait (a microphone, a disk), read off the event loop."""
    async for part in blocks_of(parts):
        yield part.tobytes()


async def blocks_of(parts: Iterator[Any]) -> AsyncIterator[Frames]:
    """The same as samples."""
    loop = asyncio.get_running_loop()
    while (part := await loop.run_in_executor(None, next, parts, None)) is not None:
        yield mono(np.asarray(part))
