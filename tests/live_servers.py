"""Servers for the tests of live sources: facerig's own in a thread, and Audio2Face servers with a script. No test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from server_kit import RATE, noise, serving

from facerig import protos
from facerig.client.a2f import CONTROLLER
from facerig.client.options import Target
from facerig.rig import rig
from facerig.server.protos import handlers

OPTIONS = {"sessions": 4, "max_batch": 4, "capacity": 4, "a2f_port": 0, "port": -1}
SECONDS = 3.0
VOICE = noise(SECONDS).astype(np.float32) / 32768
OUT = protos.message("nvidia_ace.controller.v1.AnimationDataStream")
NAMES = rig("a2f").names


def blocks(samples: Any = VOICE, size: int = 800) -> Iterator[Any]:
    return (samples[at : at + size] for at in range(0, len(samples), size))


def at(place: int | str, retry: float = 5.0) -> Target:
    return Target((f"127.0.0.1:{place}",), retry_seconds=retry)


@contextmanager
def hosted(**options: Any) -> Iterator[int]:
    """facerig's own A2F front in a thread with an event loop of its own; its port."""
    with looped(lambda: _facerig({**OPTIONS, **options})) as place:
        yield place


async def _facerig(options: dict[str, Any]) -> AsyncIterator[int]:
    async with serving(**options) as server:
        yield server.ports["a2f"]


Script = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]


@contextmanager
def scripted(*scripts: Script) -> Iterator[int]:
    """A server whose streams run the scripts in turn (the last one again and again)."""
    left = list(scripts)

    async def process(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        script = left.pop(0) if len(left) > 1 else left[0]
        async for answer in script(requests):
            if isinstance(answer, grpc.StatusCode):
                await anext(requests, None)  # a client that is just writing would hear of that alone
                await context.abort(answer, "scripted")
            yield answer

    async def serve() -> AsyncIterator[int]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((handlers(CONTROLLER, {"ProcessAudioStream": process}),))
        place = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield place
        await server.stop(0)

    with looped(serve) as place:
        yield place


@contextmanager
def looped(make: Callable[[], AsyncIterator[int]]) -> Iterator[int]:
    places: list[int] = []
    ready, done = threading.Event(), threading.Event()

    async def run() -> None:
        async for place in make():
            places.append(place)
            ready.set()
            await asyncio.get_running_loop().run_in_executor(None, done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(60)
    try:
        yield places[0]
    finally:
        done.set()
        thread.join(60)


def header(names: tuple[str, ...] = NAMES) -> Any:
    return OUT(animation_data_stream_header={"skel_animation_header": {"blend_shapes": names}})


def frame(seconds: float, value: float, width: int = len(NAMES)) -> Any:
    weights = [{"time_code": seconds, "values": [value] * width}]
    return OUT(animation_data={"skel_animation": {"blend_shape_weights": weights}})


def status(code: str, text: str = "") -> Any:
    kind = protos.message("nvidia_ace.status.v1.Status")
    return OUT(status={"code": kind.Code.Value(code), "message": text})


async def sounds(requests: AsyncIterator[Any]) -> AsyncIterator[np.ndarray]:  # type: ignore[type-arg]
    async for request in requests:
        if request.WhichOneof("stream_part") == "audio_with_emotion":
            yield np.frombuffer(request.audio_with_emotion.audio_buffer, "<i2")


def loudness(seconds: float, end: str = "SUCCESS", most: float = 1e9) -> Script:
    """A face whose every weight is the sample at the frame's time / 32768; it ends the stream after `most` seconds."""

    async def script(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield header()
        heard, made = np.zeros(0, "<i2"), 0
        async for part in sounds(requests):
            heard = np.concatenate([heard, part])
            while made * RATE // 30 < len(heard):
                if made / 30 >= most:
                    yield status(end, "scripted") if end != "cut" else grpc.StatusCode.UNAVAILABLE
                    return
                yield frame(made / 30, float(heard[made * RATE // 30]) / 32768)
                made += 1
        yield status("SUCCESS")

    return script


def ramp(seconds: float) -> np.ndarray:  # type: ignore[type-arg]
    """A voice whose samples say when they are: the value is the time / 100."""
    return (np.arange(int(seconds * RATE)) / RATE / 100).astype(np.float32)
