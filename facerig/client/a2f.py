"""A voice to an NVIDIA Audio2Face-3D server (or one that speaks like it), its blend shapes back with their time codes.

    for shown in a2f_stream(blocks, Target.parse("127.0.0.1:52000"), rate=16_000):
        print(shown.seconds, shown.names, shown.values)

NVIDIA's protocol cannot resume. When the connection breaks, when the server has had enough of a long stream, or after
a silence that it would not wait through, another stream is opened (at the same address or the next) and told the last
seconds again, so that the mouth is in motion; its first frames, which were shown before, are left out. Knows no rig.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from facerig import protos
from facerig.client.channel import came, credentials, open_channel
from facerig.client.options import Target
from facerig.client.simple import blocks_of, synchronous
from facerig.client.stream import FULL, LOST, PAUSES
from facerig.errors import ProtocolError, ServiceError
from facerig.stage import Frames

CONTROLLER = "nvidia_ace.services.a2f_controller.v1.A2FControllerService"
DEFAULT = "127.0.0.1:52000"
CONTEXT = 2.0  # seconds told again: more than the half second that NVIDIA's published networks look at
GRID = 0.2  # a stream begins on a multiple of it, so that its time codes fall on the frames of the one before
CHUNK = 0.1  # seconds of sound in a message
# Seconds that sound waits for the server's first word. gRPC forgets a refusal when something is written after it; a
# server that says nothing before it has heard sound gets it after this.
GREETING = 0.5
AHEAD_MOST = 10.0  # seconds of sound without an answer, before the source has to wait
LONG = 10.0  # seconds of frames, after which an error is taken for the server's limit of a stream's length
ANSWERED = 1.0  # seconds of sound that may lack frames when a server ends a stream that has fallen silent
FRAME = 0.04  # seconds that the last frame stands for, at the lowest rate
# Ask a facerig server for its best; other servers do not read it.
WISHES = (("facerig-fps", "60"), ("facerig-tongue", "true"), ("facerig-pacing", "burst"))


@dataclass(frozen=True)
class Shown:
    """The face at an instant of the voice: weights under the server's own names."""

    seconds: float
    names: tuple[str, ...]
    values: tuple[float, ...]


@dataclass
class Voice:
    """16-bit samples that are not answered yet, and some before them."""

    rate: int
    first: int = 0  # the number of the first sample that is kept
    data: bytearray = field(default_factory=bytearray)
    ended: bool = False

    @property
    def samples(self) -> int:
        return self.first + len(self.data) // 2

    def hear(self, samples: Frames) -> None:
        self.data += np.clip(np.rint(np.asarray(samples) * 32768.0), -32768, 32767).astype("<i2").tobytes()

    def chunk(self, sample: int) -> bytes:
        at = (sample - self.first) * 2
        return bytes(self.data[at : at + 2 * int(CHUNK * self.rate)])

    def start(self, seconds: float) -> int:
        """Where a stream has to begin that is to go on after `seconds`."""
        steps = max(0, math.floor((seconds - CONTEXT) / GRID))
        return max(self.first, round(steps * GRID * self.rate))

    def forget(self, seconds: float) -> None:
        drop = self.start(seconds) - self.first
        if drop > self.rate:  # in pieces, so that frames do not move bytes
            del self.data[: 2 * drop]
            self.first += drop


class _Lost(Exception):
    """This stream is over; another one may do."""


class A2FStream:
    """One voice, over as many of the server's streams as it takes."""

    def __init__(self, target: Target, rate: int, emotion: Mapping[str, float] | None = None) -> None:
        self.target, self.voice, self.emotion = target, Voice(rate), dict(emotion or {})
        self.names: tuple[str, ...] = ()
        self.notes: list[str] = []
        self.reconnects = 0
        self._last = -1.0  # seconds of the newest frame
        self._begun = 0  # the sample at which this stream begins
        self._heard_out = 0  # samples there were when the server ended a stream that had fallen silent
        self._news, self._greeted = asyncio.Event(), asyncio.Event()
        self._failure: Exception | None = None
        self._path, self._asked, self._answer = protos.method(CONTROLLER, "ProcessAudioStream")

    async def frames(self, parts: AsyncIterator[Frames]) -> AsyncGenerator[Shown, None]:
        """Frames in order of time until the voice ends."""
        ear = asyncio.create_task(self._hear(parts))
        place = tries = 0
        since: float | None = None  # of the trouble, if there is any
        try:
            while not await self._over():  # which waits for sound
                before = self._last
                address = self.target.addresses[place % len(self.target.addresses)]
                try:
                    async with contextlib.aclosing(self._connection(address)) as shown:
                        async for one in shown:
                            yield one
                    break
                except _Lost as lost:
                    now = time.monotonic()
                    if self._last > before or self._heard_out:
                        tries, since = 0, None
                    self._give_up(address, lost, now - (since or now), tries)
                    since = None if self._heard_out else since or now
                self.reconnects += bool(self.names)
                place += 1
                await asyncio.sleep(PAUSES[min(tries // len(self.target.addresses), len(PAUSES) - 1)])
                tries += 1
            if self._failure is not None:
                raise self._failure
        finally:
            ear.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ear

    async def _over(self) -> bool:
        """Wait for sound that no stream has been told; whether all of the voice has its frames."""
        while True:
            if self.voice.ended and self.voice.samples <= (max(0.0, self._last) + FRAME) * self.voice.rate:
                return True
            if self.voice.ended or self.voice.samples > self._heard_out:
                return False
            self._news.clear()
            await self._news.wait()

    def _give_up(self, address: str, lost: _Lost, seconds: float, tries: int) -> None:
        everywhere = tries + 1 >= len(self.target.addresses)
        if FULL in str(lost) and everywhere and not self.names:
            raise ServiceError(f"{address}: {lost}") from None
        if seconds > self.target.retry_seconds:
            raise ServiceError(f"{address}: {lost}; gave up after {self.target.retry_seconds:g} s") from None

    # ---- the voice ----------------------------------------------------------------------------------------------

    async def _hear(self, parts: AsyncIterator[Frames]) -> None:
        voice = self.voice
        try:
            async for part in parts:
                voice.hear(part)
                self._news.set()
                while voice.samples / voice.rate > max(0.0, self._last) + AHEAD_MOST:
                    await asyncio.sleep(0.01)
        except Exception as error:  # the source's own: raised where the frames are taken
            self._failure = error
        voice.ended = True
        self._news.set()

    # ---- one of the server's streams ------------------------------------------------------------------------------

    async def _connection(self, address: str) -> AsyncGenerator[Shown, None]:
        import grpc

        async with open_channel(self.target, address) as channel:
            method = channel.stream_stream(self._path, self._asked.SerializeToString, self._answer.FromString)
            call = method(metadata=(*credentials(self.target), *WISHES))
            self._begun, self._heard_out = self.voice.start(self._last), 0
            self._greeted.clear()
            mouth = asyncio.create_task(self._speak(call, self._begun))
            try:
                async with contextlib.aclosing(self._listen(call, address)) as shown:
                    async for one in shown:
                        yield one
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                raise self._reason(address, error) from None
            finally:
                mouth.cancel()
                call.cancel()

    async def _speak(self, call: Any, sample: int) -> None:
        import grpc

        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the listener hears of it too
            await call.write(self._opening())
            await came(self._greeted, GREETING)
            while True:
                if data := self.voice.chunk(sample):
                    sample += len(data) // 2
                    await call.write(self._asked(audio_with_emotion={"audio_buffer": data}))
                elif self.voice.ended:
                    await call.write(self._asked(end_of_audio={}))
                    await call.done_writing()
                    return
                else:
                    self._news.clear()
                    await self._news.wait()

    def _opening(self) -> Any:
        audio = {"samples_per_second": self.voice.rate, "bits_per_sample": 16, "channel_count": 1, "audio_format": 0}
        header: dict[str, Any] = {"audio_header": audio}
        if self.emotion:
            header["emotion_params"] = {"beginning_emotion": self.emotion}
        return self._asked(audio_stream_header=header)

    async def _listen(self, call: Any, address: str) -> AsyncGenerator[Shown, None]:
        import grpc

        done, aio = False, cast(Any, grpc.aio)
        while (answer := await call.read()) is not aio.EOF:
            self._greeted.set()
            part = answer.WhichOneof("stream_part")
            if part == "animation_data_stream_header":
                self._introduced(answer.animation_data_stream_header)
            elif part == "animation_data":
                for entry in answer.animation_data.skel_animation.blend_shape_weights:
                    if (shown := self._taken(entry)) is not None:
                        yield shown
            elif part == "status":
                done = self._said(address, answer.status) or done
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            raise self._reason_of(address, code.name, await call.details())
        if not done:
            raise _Lost("UNAVAILABLE: the stream ended without a status")
        if not self.voice.ended:
            raise _Lost("UNAVAILABLE: the server ended the stream before the voice")

    def _introduced(self, header: Any) -> None:
        names = tuple(header.skel_animation_header.blend_shapes)
        if not names or (self.names and names != self.names):
            raise ProtocolError(f"Audio2Face header: got {len(names)} blend shapes, accepted: one or more, the same "
                                "ones in every stream")
        self.names = names

    def _taken(self, entry: Any) -> Shown | None:
        """A frame that is new; None for what was shown before."""
        if not self.names or len(entry.values) != len(self.names):
            raise ProtocolError(f"Audio2Face frame: got {len(entry.values)} weights, accepted: {len(self.names)}, as "
                                "many as the header names")
        values = tuple(entry.values)
        if not (math.isfinite(entry.time_code) and all(map(math.isfinite, values))):
            raise ProtocolError(f"Audio2Face frame at {entry.time_code} s: time or a weight is not finite")
        seconds = self._begun / self.voice.rate + entry.time_code
        if seconds <= self._last + 1e-4:
            return None
        self._last = seconds
        self.voice.forget(seconds)
        return Shown(seconds, self.names, values)

    def _said(self, address: str, status: Any) -> bool:
        """Whether the server says that it is done; errors that another stream can mend are a lost connection."""
        name = type(status).Code.Name(status.code)
        if name == "ERROR":
            silent = self._last >= 0 and self.voice.samples < (self._last + ANSWERED) * self.voice.rate
            self._heard_out = self.voice.samples if silent else 0
            if silent or self._last - self._begun / self.voice.rate > LONG:
                raise _Lost(f"the server ended the stream: {status.message}")
            raise ServiceError(f"{address}: the Audio2Face server refuses: {status.message or 'no reason given'}")
        if name in ("INFO", "WARNING") and status.message:
            self.notes.append(status.message)
        return bool(name == "SUCCESS")

    def _reason(self, address: str, error: Any) -> Exception:
        if isinstance(error, asyncio.InvalidStateError):
            return _Lost("UNAVAILABLE: the call was over before it began")
        return self._reason_of(address, error.code().name, error.details())

    def _reason_of(self, address: str, code: str, details: str | None) -> Exception:
        text = f"{code}: {details or 'no reason given'}"
        if code == "UNIMPLEMENTED":
            return ServiceError(f"{address}: answers, but is no Audio2Face server ({CONTROLLER} is not there); "
                                "facerig's and NVIDIA's listen at port 52000")
        return _Lost(text) if code in LOST else ServiceError(f"{address}: {text}")


def a2f_stream(blocks: Iterable[Frames], target: Target, rate: int,
               emotion: Mapping[str, float] | None = None) -> Iterator[Shown]:
    """Frames of a voice in blocks of samples at `rate`; `emotion` by NVIDIA's ten names."""
    return synchronous(lambda: A2FStream(target, rate, emotion).frames(blocks_of(iter(blocks))))
