"""What the server's tests share: a server in this process, servers in others, and plain callers of both protocols."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from facerig.client import Frame, Stream, Target, Wish
from facerig.pipeline import Animator
from facerig.post.lips import ARTICULATORS, MOODS
from facerig.rig import rig
from facerig.server import outlet, protos
from facerig.server.app import Server
from facerig.server.config import ServerConfig
from facerig.v1 import animation_pb2 as pb

ANIMATE, ANIMATE_FILE = "/facerig.v1.Animation/Animate", "/facerig.v1.Animation/AnimateFile"
CONTROLLER = "nvidia_ace.services.a2f_controller.v1.A2FControllerService"
RATE = 16_000
# A test's machine may be busy with other work, and a server that feels pressure refuses; tests of that set it back.
CALM: dict[str, Any] = {"port": 0, "a2f_port": -1, "http_port": -1, "model": "fake", "sessions": 80, "max_batch": 8,
                        "capacity": 80, "pressure_ms": 60_000.0, "idle_seconds": 60.0, "header_seconds": 30.0}


@lru_cache(maxsize=4)
def animator(block: int = 2, emotion: str = "off") -> Animator:
    return Animator.load("fake", block=block, emotion=emotion)


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> NDArray[np.int16]:
    """Syllables of noise: loud and quiet by turns, so that the curves move."""
    count = round(seconds * rate)
    rng = np.random.default_rng(seed)
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(count) / rate + seed)
    return (rng.standard_normal(count) * 3000 * loud).astype("<i2")


def speech_channels() -> tuple[str, ...]:
    """Channels that speech alone moves."""
    return tuple(n for n in rig("facerig").names if n.startswith(ARTICULATORS) and not n.startswith(MOODS))


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    """A server in this process and event loop, on free ports."""
    config = ServerConfig(**{**CALM, **options})
    server = Server(config, animator(config.block, config.emotion))
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@contextmanager
def process(*options: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`facerig serve` as a process of its own; ended when the block is left."""
    settings = [f"--set={name}={value}" for name, value in CALM.items()]
    with tempfile.TemporaryFile("w+") as said:  # a pipe that nobody reads would fill up in a long test
        child = subprocess.Popen([sys.executable, "-m", "facerig", "serve", *settings, *options], text=True,
                                 stdout=subprocess.PIPE, stderr=said, env={**os.environ, **(env or {})})
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line:
                said.seek(0)
            assert line, said.read()
            yield child, json.loads(line)
        finally:
            if child.poll() is None:
                child.kill()
            child.communicate()


def channel(port: int) -> Any:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


R = TypeVar("R", bound="Relay")


class Relay:
    """A TCP relay before a port of this machine, at its `own` port: a wire on which something can go wrong."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self: R) -> R:
        self.server = await asyncio.start_server(self.relay, "127.0.0.1", 0)
        self.own = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        for pump in (self.pump(reader, back, True), self.pump(there, writer, False)):
            self.tasks.add(asyncio.create_task(pump))

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asked: bool) -> None:
        try:
            while data := await source.read(65_536):
                await self.hand_on(data, sink, asked)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            sink.close()

    async def hand_on(self, data: bytes, sink: asyncio.StreamWriter, asked: bool) -> None:
        """What becomes of bytes; `asked`: they are a client's."""
        sink.write(data)
        await sink.drain()


class Wire(Relay):
    """One that can go deaf without closing: what a half-open connection is."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.deaf = asyncio.Event()

    async def hand_on(self, data: bytes, sink: asyncio.StreamWriter, asked: bool) -> None:
        if not self.deaf.is_set():
            await super().hand_on(data, sink, asked)


def animate(link: Any, requests: Any, metadata: Sequence[tuple[str, str]] = ()) -> Any:
    return link.stream_stream(ANIMATE, pb.AnimateRequest.SerializeToString, pb.AnimateResponse.FromString)(
        requests, metadata=tuple(metadata))


def process_audio(link: Any, requests: Any = None, metadata: Sequence[tuple[str, str]] = ()) -> Any:
    path, asked, answer = protos.method(CONTROLLER, "ProcessAudioStream")
    return link.stream_stream(path, asked.SerializeToString, answer.FromString)(requests, metadata=tuple(metadata))


def header(rate: int = RATE, mode: int = pb.Pacing.MODE_BURST, **fields: Any) -> pb.AnimateRequest:
    fields.setdefault("rig", "facerig-full")
    audio = pb.AudioFormat(encoding=pb.AudioFormat.ENCODING_PCM16, rate=rate)
    return pb.AnimateRequest(header=pb.Header(**{"audio": audio, "pacing": pb.Pacing(mode=mode), **fields}))


def audio(samples: NDArray[Any]) -> pb.AnimateRequest:
    return pb.AnimateRequest(audio=pb.AudioChunk(data=samples.tobytes()))


END = pb.AnimateRequest(end=pb.End())


def cut(samples: NDArray[Any], size: int) -> Iterable[NDArray[Any]]:
    return (samples[at : at + size] for at in range(0, len(samples), size))


async def said(call: Any) -> tuple[list[pb.AnimateResponse], grpc.StatusCode]:
    """Everything that came, and how it ended."""
    answers = []
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
    except grpc.aio.AioRpcError as error:
        return answers, error.code()
    return answers, await call.code()


def rows(answers: Iterable[pb.AnimateResponse]) -> tuple[list[int], NDArray[np.float32]]:
    frames = [frame for answer in answers for frame in answer.frames.frames]
    return [frame.index for frame in frames], np.array([frame.values for frame in frames], np.float32)


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that must come; the time is only there to end a test that fails."""

    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(poll(), seconds)


def run(work: Awaitable[Any]) -> Any:
    async def inner() -> Any:
        return await asyncio.wait_for(work, 300)  # ends a test that fails

    return asyncio.run(inner())


TINY: dict[str, Any] = {"sessions": 4, "max_batch": 4, "capacity": 4}
SAMPLES = noise(1.5)


def expected(samples: NDArray[np.int16] = SAMPLES, fps: int = 60) -> NDArray[np.float32]:
    return outlet.sampled(animator().animate(samples, RATE).values, fps)


async def once(requests: Any, **options: Any) -> tuple[list[pb.AnimateResponse], grpc.StatusCode]:
    """One stream of a small server of its own."""
    async with serving(**{**TINY, **options}) as server, channel(server.ports["facerig"]) as link:
        return await said(animate(link, requests))


def address(server: Server | dict[str, Any]) -> str:
    return f"127.0.0.1:{(server['ports'] if isinstance(server, dict) else server.ports)['facerig']}"


async def play(
    target: Target, samples: NDArray[np.int16], pause: float = 0.02, chunk: int = 640, wish: Wish | None = None,
    script: Callable[[Stream, int], Awaitable[None]] | None = None, shown: Callable[[int], None] | None = None,
) -> tuple[list[Frame], list[Any], int]:  # fmt: skip
    """A clip through the client library at about real time: (frames, other events, reconnects)."""
    frames: list[Frame] = []
    others: list[Any] = []
    async with Stream(target, wish or Wish(rate=RATE, rig="facerig-full")) as stream:

        async def speak() -> None:
            for place, piece in enumerate(cut(samples, chunk)):
                if script is not None:
                    await script(stream, place)
                await stream.send(piece.tobytes())
                await asyncio.sleep(pause)
            await stream.end()

        speaker = asyncio.create_task(speak())
        async for event in stream:
            if not isinstance(event, Frame):
                others.append(event)
                continue
            frames.append(event)
            if shown is not None:
                shown(event.index)
        await speaker
        return frames, others, stream.reconnects
