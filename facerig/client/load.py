"""A load of real-time streams from one process: `python -m facerig.client.load --server HOST:PORT --streams N`.

Each stream sends 20 ms of audio every 20 ms and notes when every frame arrives. The latency of a frame is its arrival
less the moment at which the last sample that it needs was sent: the model's look-ahead is not in it, the wait for the
rest of a block, the batch, the wire and the schedule are. Prints one JSON object. """

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facerig.client.channel import open_channel
from facerig.client.options import Target, Wish
from facerig.client.stream import ANIMATE
from facerig.tool import finished, parser
from facerig.v1 import animation_pb2 as pb

CHUNK = 0.02  # seconds
NATIVE = 60
LATE = 1 / 60
SETTLE = 1.0  # seconds at the beginning of a stream in which no frame counts as late
CHANNELS = 8  # connections: a game server has a few, not one a character


@dataclass
class Ear:
    """What one stream heard."""

    header_ms: float = 0.0
    first_ms: float = 0.0
    latency: list[float] = field(default_factory=list)
    offset: list[float] = field(default_factory=list)
    refused: str = ""


def noise(rate: int) -> bytes:
    """Four seconds of it, loud and quiet by turns: what every stream says."""
    count = 4 * rate
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(count) / rate)
    samples: Any = np.random.default_rng(0).standard_normal(count) * 3000 * loud
    return bytes(samples.astype("<i2").tobytes())


async def one(channel: Any, wish: Wish, clip: bytes, start: float, seconds: float, ear: Ear) -> None:
    """One stream from `start` on."""
    import grpc

    await asyncio.sleep(max(0.0, start - time.monotonic()))
    call = channel.stream_stream(ANIMATE, pb.AnimateRequest.SerializeToString, pb.AnimateResponse.FromString)()
    opened = time.monotonic()
    try:
        await call.write(pb.AnimateRequest(header=wish.header()))
        head = (await call.read()).header
        ear.header_ms = (time.monotonic() - opened) * 1000
        begin = time.monotonic()
        speaker = asyncio.create_task(_speak(call, wish, clip, begin, seconds))
        ahead = head.delay_ms / 1000 - head.block / NATIVE  # what a frame needs beyond its own end
        await _listen(call, ear, begin, ahead, head.fps)
        await speaker
    except grpc.aio.AioRpcError as error:
        ear.refused = str(error.details())[:100]
    finally:
        call.cancel()


async def _speak(call: Any, wish: Wish, clip: bytes, begin: float, seconds: float) -> None:
    step = int(CHUNK * wish.rate) * wish.width
    for place in range(int(seconds / CHUNK)):
        # Chunk k holds samples up to (k + 1) * CHUNK and leaves when the last of them has been spoken.
        await asyncio.sleep(max(0.0, begin + (place + 1) * CHUNK - time.monotonic()))
        at = place * step % (len(clip) - step)
        await call.write(pb.AnimateRequest(audio=pb.AudioChunk(data=clip[at : at + step])))
    await call.write(pb.AnimateRequest(end=pb.End()))


async def _listen(call: Any, ear: Ear, begin: float, ahead: float, fps: int) -> None:
    import grpc

    end: Any = getattr(grpc.aio, "EOF", None)
    while (answer := await call.read()) is not end:
        now = time.monotonic()
        for frame in answer.frames.frames:
            needs = (frame.index + 1) / fps + ahead
            sent = begin + -(-needs // CHUNK) * CHUNK  # the chunk that holds the sample
            if not ear.latency:
                ear.first_ms = (now - begin - CHUNK) * 1000
            ear.latency.append(now - sent)
            ear.offset.append(now - frame.index / fps)


async def load(target: Target, streams: int, seconds: float, wish: Wish) -> list[Ear]:
    """All streams, begun over the first second so that their phases differ."""
    clip = noise(wish.rate)
    channels = [
        open_channel(target, target.addresses[k % len(target.addresses)]) for k in range(min(streams, CHANNELS))
    ]
    ears = [Ear() for _ in range(streams)]
    start = time.monotonic() + 0.2
    try:
        await asyncio.gather(*(one(channels[k % len(channels)], wish, clip, start + k / streams, seconds, ears[k])
                               for k in range(streams)))
    finally:
        for channel in channels:
            await channel.close()
    return ears


def figures(ears: list[Ear], seconds: float, fps: int) -> dict[str, Any]:
    """Percentiles over every frame of every stream."""
    heard = [ear for ear in ears if not ear.refused]
    latency = np.concatenate([np.array(ear.latency) for ear in heard]) * 1000 if heard else np.zeros(1)
    late = 0
    for ear in heard:
        offset = np.array(ear.offset[int(SETTLE * fps) :])
        late += int((offset > np.median(offset) + LATE).sum()) if len(offset) else 0
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(latency, [50, 95, 99]))
    return {
        "streams": len(ears),
        "refused": len(ears) - len(heard),
        "frames": len(latency),
        "missing": sum(int(seconds * fps) - len(ear.latency) for ear in heard),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "max_ms": round(float(latency.max()), 1),
        "late": late,
        "header_p50_ms": round(float(np.median([ear.header_ms for ear in heard])), 1) if heard else None,
        "first_frame_p50_ms": round(float(np.median([ear.first_ms for ear in heard])), 1) if heard else None,
    }


def report(play: Callable[[str, int, float, Wish], list[Ear]], module: str, about: str | None,
           arguments: Sequence[str] | None = None) -> int:
    """A client's command: `play` the streams that the options ask for and print what they heard as one JSON object."""
    asked = parser(module, about)
    asked.add_argument("--server", required=True, help="its address, HOST:PORT")
    asked.add_argument("--streams", type=int, default=1, help="at once (default %(default)s)")
    asked.add_argument("--seconds", type=float, default=8.0, help="of each stream (default %(default)s)")
    asked.add_argument("--rate", type=int, default=24_000, help="of the audio, in Hz (default %(default)s)")
    asked.add_argument("--fps", type=int, default=60, help="frames a second (default %(default)s)")
    options = asked.parse_args(arguments)

    def work() -> None:
        wish = Wish(rate=options.rate, fps=options.fps, pacing="realtime")
        begin = time.process_time()
        ears = play(options.server, options.streams, options.seconds, wish)
        used = (time.process_time() - begin) / (options.seconds + 1)
        print(json.dumps({**figures(ears, options.seconds, options.fps), "client_cpu": round(used, 3)}))

    return finished(work)


def played(server: str, streams: int, seconds: float, wish: Wish) -> list[Ear]:
    return asyncio.run(load(Target.parse(server), streams, seconds, wish))


def main(arguments: Sequence[str] | None = None) -> int:
    return report(played, "facerig.client.load", __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
