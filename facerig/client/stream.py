"""A live stream to a facerig server that survives the server: send audio and controls, iterate over frames.

When the connection breaks or the replica says that it goes away, the stream opens another one (the same address or the
next), tells where it stands, sends the last seconds again, and goes on: no frame is missing and none comes twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from facerig.client.events import Description, Event, Frame, Interrupted, Marker, Notice
from facerig.client.memory import Memory
from facerig.client.options import Target, Wish, read_pem
from facerig.errors import ProtocolError, ServiceError
from facerig.v1 import animation_pb2 as pb

ANIMATE = "/facerig.v1.Animation/Animate"
MESSAGE_MOST = 16_384  # bytes of audio in a message: 0.3 s of 24 kHz, small against any server's limit
AHEAD_MOST = 30.0  # seconds of audio that `send` lets wait before it slows its caller down
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds before the tries to reconnect
EVENTS_MOST = 1024  # that wait for the caller; then the server is read no further, and slows down
FULL = "RESOURCE_EXHAUSTED"
LOST = ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED", "RESOURCE_EXHAUSTED", "ABORTED")


class _Lost(Exception):
    """The connection is gone; another one may do."""


class Stream:
    """Use as `async with Stream(target, wish) as stream`."""

    def __init__(self, target: Target | None = None, wish: Wish | None = None) -> None:
        self.target, self.wish = target or Target(), wish or Wish()
        self.memory = Memory(self.wish)
        self.header: pb.StreamHeader | None = None
        self.reconnects = 0
        self._events: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._news, self._moved = asyncio.Event(), asyncio.Event()
        self._began, self._acknowledged = asyncio.Event(), asyncio.Event()
        self._interrupt: pb.Control | None = None
        self._spoken = False  # all of it, the end too
        self._questions: deque[asyncio.Future[Description]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._place = 0

    async def __aenter__(self) -> Stream:
        self._task = asyncio.create_task(self._live())
        began = asyncio.create_task(self._began.wait())
        await asyncio.wait({began, self._task}, return_when=asyncio.FIRST_COMPLETED)
        began.cancel()
        if self._failure is not None:
            raise self._failure
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self.header.channels) if self.header else ()

    # ---- what the caller does -------------------------------------------------------------------------------------

    async def send(self, audio: bytes, partner: bytes = b"") -> None:
        """Audio in the wish's encoding, cut anywhere; beside it, or alone, what the partner in the talk says."""
        await self._settled()
        self.memory.hear(audio, partner)
        self._news.set()
        most = int(AHEAD_MOST * self.wish.rate) * self.wish.width
        while len(self.memory.audio) > most and self._failure is None:
            self._moved.clear()
            await self._moved.wait()

    async def within(self, seconds: float) -> None:
        """Wait until less audio than so long is ahead of the frames that came."""
        while self._failure is None and self.memory.ahead > seconds:
            self._moved.clear()
            await self._moved.wait()

    async def end(self) -> None:
        await self._settled()
        self.memory.ended = True
        self._news.set()

    async def emotion(self, weights: Mapping[str, float], intensity: float = 1.0, fade_ms: int = 250) -> None:
        await self._control(pb.Control(emotion=pb.Emotion(weights=weights, intensity=intensity, fade_ms=fade_ms)))

    async def gains(self, regions: Mapping[str, float], fade_ms: int = 100) -> None:
        await self._control(pb.Control(gains=pb.Gains(regions=regions, fade_ms=fade_ms)))

    async def state(self, name: str) -> None:
        """speaking, listening, thinking, idle or off; empty: told by the voice."""
        await self._control(pb.Control(state=f"STATE_{name.upper() or 'UNSPECIFIED'}"))

    async def look_at(self, yaw: float, pitch: float, fade_ms: int = 150, release: bool = False) -> None:
        await self._control(pb.Control(look_at=pb.LookAt(yaw=yaw, pitch=pitch, fade_ms=fade_ms, release=release)))

    async def set(self, values: Mapping[str, float], fade_ms: int = 150) -> None:
        """Any controls by their names (`facerig info --controls`)."""
        await self._control(pb.Control(set=pb.Set(values=values, fade_ms=fade_ms)))

    async def move(self, name: str, count: int = 1, speed: float = 1.0, size: float = 1.0) -> None:
        """nod, shake or tilt."""
        await self._control(pb.Control(move=pb.Move(name=name, count=count, speed=speed, size=size)))

    async def style(self, text: str, fade_ms: int = 150) -> None:
        """A style of speaking; empty: the model's own."""
        await self._control(pb.Control(style=pb.Style(style=text, fade_ms=fade_ms)))

    async def keyframes(self, text: str, frame: int | None = 0) -> None:
        """Emotions, styles and controls over time, JSON or CSV; times count from `frame` (None: from where the audio is
        now). The text of a `Description`, edited or not, is sent again with frame 0."""
        control = pb.Control(keyframes=pb.Keyframes(text=text))
        if frame is not None:
            control.frame = frame
        await self._control(control)

    async def describe(self, span_ms: int = 10_000, frame: int | None = None) -> Description:
        """What the controls do over so long, from a frame on (None: from where the audio is now)."""
        control = pb.Control(describe=pb.Describe(span_ms=span_ms))
        if frame is not None:
            control.frame = frame
        answer: asyncio.Future[Description] = asyncio.get_running_loop().create_future()
        await self._settled()
        if self._spoken:
            raise ServiceError("describe: got a stream whose end was sent, accepted: one that is still told something")
        self._taken.set()
        self._questions.append(answer)  # with the control, at once: answers come in the order of the questions
        self.memory.place(control)
        self._news.set()
        return await answer

    async def marker(self, name: str) -> None:
        await self._control(pb.Control(marker=pb.Marker(id=name)))

    async def interrupt(self, release_ms: int = 100) -> None:
        """Barge-in; returns when it has taken effect, so that audio sent after it belongs to the new segment."""
        await self._settled()
        self._acknowledged.clear()
        self._interrupt = pb.Control(interrupt=pb.Interrupt(release_ms=release_ms))
        self._news.set()
        await self._settled()

    async def _control(self, control: pb.Control) -> None:
        await self._settled()
        self.memory.place(control)
        self._news.set()

    async def _settled(self) -> None:
        """Wait until no interrupt is under way."""
        if self._interrupt is not None:
            await self._acknowledged.wait()
        if self._failure is not None:
            raise self._failure

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Event]:
        while True:
            event = await self._events.get()
            self._taken.set()
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            yield event

    async def _tell(self, event: Event) -> None:
        """To the caller, who may take his time; but not while he waits for an answer, which comes behind the events."""
        while self._events.qsize() >= EVENTS_MOST and not self._questions:
            self._taken.clear()
            await self._taken.wait()
        self._events.put_nowait(event)

    # ---- connections --------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Connect until the stream is done or nobody answers any more."""
        try:
            await self._until_done()
            self._events.put_nowait(None)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failure = error
            self._events.put_nowait(error)
        finally:
            self._acknowledged.set()
            self._moved.set()
            for question in self._questions:
                if not question.done():
                    question.set_exception(self._failure or ServiceError("the stream is over; describe before its end"))

    async def _until_done(self) -> None:
        tries, since, place = 0, time.monotonic(), self._place
        while True:
            before = self.memory.last_frame
            address = self.target.addresses[place % len(self.target.addresses)]
            try:
                await self._connection(address)
                return
            except _Lost as lost:
                if self.memory.last_frame > before:  # it went on for a while: a new break, a new count
                    tries, since = 0, time.monotonic()
                if time.monotonic() - since > self.target.retry_seconds or not self.memory.resumable:
                    raise ServiceError(f"{address}: {lost}; gave up after {self.target.retry_seconds:g} s") from None
                if self.header is None and tries + 1 >= len(self.target.addresses) and FULL in str(lost):
                    raise ServiceError(f"{address}: {lost}") from None
            self.reconnects += self.header is not None
            place += 1
            await asyncio.sleep(PAUSES[min(tries // len(self.target.addresses), len(PAUSES) - 1)])
            tries += 1

    async def _connection(self, address: str) -> None:
        import grpc

        async with open_channel(self.target, address) as channel:
            method = channel.stream_stream(ANIMATE, pb.AnimateRequest.SerializeToString, pb.AnimateResponse.FromString)
            call = method(metadata=credentials(self.target))
            mouth: asyncio.Task[None] | None = None
            try:
                header = self.memory.resumption() if self.header is not None else self.wish.header()
                await call.write(pb.AnimateRequest(header=header))
                mouth = asyncio.create_task(self._speak(call))
                await self._listen(call)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                raise _reason(error) from None
            finally:
                if mouth is not None:
                    mouth.cancel()
                call.cancel()

    async def _listen(self, call: Any) -> None:
        import grpc

        done, aio = False, cast(Any, grpc.aio)
        while (answer := await call.read()) is not aio.EOF:
            done = await self._answered(answer) or done
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            raise _reason_of(code.name, await call.details())
        if not done:
            raise _Lost("UNAVAILABLE: the stream ended without a status")

    async def _answered(self, answer: pb.AnimateResponse) -> bool:
        """Take in one message; whether it says that all is done."""
        part = answer.WhichOneof("part")
        if part == "frames":
            await self._frames(answer.frames)
        elif part == "header":
            self._begun(answer.header)
        elif part == "marker":
            self.memory.reached(answer.marker.id)
            await self._tell(Marker(answer.marker.id, answer.marker.frame))
        elif part == "interrupted":
            self.memory.interrupted(answer.interrupted.frame, answer.interrupted.segment_frame)
            self._interrupt = None
            self._acknowledged.set()
            await self._tell(Interrupted(answer.interrupted.frame, answer.interrupted.segment_frame))
        elif part == "description":
            self._described(answer.description)
        elif part == "notice":
            await self._tell(Notice(answer.notice.text))
        elif part == "status":
            return answer.status.code == pb.Status.CODE_DONE
        return False

    def _described(self, told: pb.Description) -> None:
        self.memory.described()
        if self._questions and not (question := self._questions.popleft()).done():  # the caller may have gone
            question.set_result(Description(told.frame, told.keyframes, tuple(told.sentences)))

    def _begun(self, header: pb.StreamHeader) -> None:
        memory = self.memory
        if self.header is not None and tuple(header.channels) != self.channels:
            raise ProtocolError("resume: this replica has other channels; run the same model on all of them")
        memory.session_id, memory.context_ms, memory.resumable = header.session_id, header.context_ms, header.resumable
        self.header = header
        self._began.set()

    async def _frames(self, frames: pb.Frames) -> None:
        for frame in frames.frames:
            if frame.index <= self.memory.last_frame:
                continue
            if frame.index != self.memory.last_frame + 1:
                raise ProtocolError(f"frame {frame.index} came after frame {self.memory.last_frame}")
            self.memory.got(frame)
            await self._tell(Frame(frame.index, tuple(frame.values), frame.audio, frame.first_sample,
                                         dict(frame.emotion)))
        self._moved.set()

    async def _speak(self, call: Any) -> None:
        """Everything from where the memory begins, then what comes."""
        import grpc

        memory = self.memory
        sample, controls, self._spoken = memory.first_sample, memory.standing(), False
        told: set[int] = set()
        try:
            for control in controls:
                told.add(id(control))
                await call.write(pb.AnimateRequest(control=control))
            while True:
                self._news.clear()
                if self._interrupt is not None:
                    await call.write(pb.AnimateRequest(control=self._interrupt))
                    await self._acknowledged.wait()
                    sample = 0
                while untold := [one for one in memory.controls if id(one) not in told]:
                    told.add(id(untold[0]))
                    controls.append(untold[0])  # holds the object, so that its id stays its own
                    await call.write(pb.AnimateRequest(control=untold[0]))
                # One message at a time, so that a control never waits behind audio that the caller gave after it.
                sample = await self._speak_audio(call, sample)
                if sample < memory.samples or self._news.is_set():
                    continue
                if memory.ended:
                    self._spoken = True
                    await call.write(pb.AnimateRequest(end=pb.End()))
                    await call.done_writing()
                    return
                await self._news.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the listener hears of it too, and says so

    async def _speak_audio(self, call: Any, sample: int) -> int:
        """The next message of audio, if any waits; the sample behind it."""
        memory, width = self.memory, self.wish.width
        if sample >= memory.samples:
            return sample
        at = (max(sample, memory.first_sample) - memory.first_sample) * width
        whole = len(memory.audio) // width * width
        data = bytes(memory.audio[at : min(whole, at + MESSAGE_MOST // width * width)])
        sample = max(sample, memory.first_sample) + len(data) // width
        from_, other = at // width * self.wish.partner_width, len(data) // width * self.wish.partner_width
        partner = bytes(memory.partner[from_ : from_ + other])
        await call.write(pb.AnimateRequest(audio=pb.AudioChunk(data=data, partner=partner)))
        return sample


def open_channel(target: Target, address: str) -> Any:
    """A channel of its own, so that two streams never share a broken connection."""
    import grpc

    alive = int(target.keepalive_seconds * 1000)
    options: list[tuple[str, Any]] = [
        ("grpc.use_local_subchannel_pool", 1), ("grpc.keepalive_time_ms", alive), ("grpc.keepalive_timeout_ms", alive),
        ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.ping_timeout_ms", alive),
        ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 500),
    ]
    if target.server_name:
        options.append(("grpc.ssl_target_name_override", target.server_name))
    if not target.tls:
        return grpc.aio.insecure_channel(address, options=options)
    pair = (read_pem(target.key), read_pem(target.cert)) if target.cert else (None, None)
    made = grpc.ssl_channel_credentials(read_pem(target.ca) if target.ca else None, *pair)
    return grpc.aio.secure_channel(address, made, options=options)


def credentials(target: Target) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {target.api_key}"),) if target.api_key else ()


def _reason(error: Any) -> Exception:
    if isinstance(error, asyncio.InvalidStateError):
        return _Lost("UNAVAILABLE: the call was over before it began")
    return _reason_of(error.code().name, error.details())


def _reason_of(code: str, details: str | None) -> Exception:
    text = f"{code}: {details or 'no reason given'}"
    return _Lost(text) if code in LOST else ServiceError(text)
