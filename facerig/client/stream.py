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

from facerig.client import controls
from facerig.client.channel import came, credentials, open_channel
from facerig.client.events import Description, Event, Frame, Interrupted, Marker, Notice
from facerig.client.memory import Memory
from facerig.client.options import Target, Wish
from facerig.errors import ProtocolError, ServiceError, check_option
from facerig.v1 import animation_pb2 as pb

ANIMATE = "/facerig.v1.Animation/Animate"
MESSAGE_MOST = 16_384  # bytes of audio in a message: 0.3 s of 24 kHz, small against any server's limit
AHEAD_MOST = 30.0  # seconds of audio that `send` lets wait before it slows its caller down
# Seconds beyond the last frame that go to a server which paces them: less than it holds before it reads no further, so
# that a barge-in never waits behind unread audio. The same as kWireAhead of unreal_bridge/client/src/stream.cpp.
WIRE_AHEAD = 1.5
ALIVE = 5.0  # seconds after which a stream whose caller takes no frames says that it is still there
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds before the tries to reconnect
EVENTS_MOST = 1024  # that wait for the caller; then the server is read no further, and slows down
FULL = "RESOURCE_EXHAUSTED"
SILENT = "describe: got a stream whose last frame is out, accepted: one whose frames come; ask earlier"
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
        self._cuts = self._cuts_done = 0  # interrupts that were asked for, and answered
        self._release_ms = 0
        self._over = False  # nothing more comes
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

    def fail(self, error: Exception) -> None:
        """End the stream: whoever takes its events gets this error behind those that have come."""
        if self._failure is None and self._task is not None:
            self._failure = error
            self._events.put_nowait(error)
            self._task.cancel()

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
        for given in (audio, partner):
            check_option("audio", type(given).__name__, "bytes", isinstance(given, bytes | bytearray | memoryview))
        await self._settled()
        if self.memory.ended:
            raise ServiceError("audio: got a stream whose end was sent, accepted: controls until its last frame; open "
                               "another stream for what is said next")
        self.memory.hear(audio, partner)
        self._news.set()
        most = int(AHEAD_MOST * self.wish.rate) * self.wish.width
        while len(self.memory.audio) > most and not self._over:
            self._moved.clear()
            await self._moved.wait()

    async def within(self, seconds: float) -> None:
        """Wait until less audio than so long is ahead of the frames that came."""
        while not self._over and self.memory.ahead > seconds:
            self._moved.clear()
            await self._moved.wait()

    async def end(self) -> None:
        """No more audio. Controls are heard until the last frame; an interrupt drops what has not been shown."""
        await self._settled()
        self.memory.ended = True
        self._news.set()

    async def emotion(self, weights: Mapping[str, float], intensity: float = 1.0, fade_ms: int = 250) -> None:
        await self._control(controls.control("emotion", weights=weights, intensity=intensity, fade_ms=fade_ms))

    async def gains(self, regions: Mapping[str, float], fade_ms: int = 100) -> None:
        await self._control(controls.control("gains", regions=regions, fade_ms=fade_ms))

    async def state(self, name: str) -> None:
        """speaking, listening, thinking, idle or off; empty: told by the voice."""
        await self._control(controls.state(name))

    async def look_at(self, yaw: float, pitch: float, fade_ms: int = 150, release: bool = False) -> None:
        await self._control(controls.control("look_at", yaw=yaw, pitch=pitch, fade_ms=fade_ms, release=release))

    async def set(self, values: Mapping[str, float], fade_ms: int = 150) -> None:
        """Any controls by their names (`facerig info --controls`)."""
        await self._control(controls.control("set", values=values, fade_ms=fade_ms))

    async def move(self, name: str, count: int = 1, speed: float = 1.0, size: float = 1.0) -> None:
        """nod, shake or tilt."""
        await self._control(controls.control("move", name=name, count=count, speed=speed, size=size))

    async def style(self, text: str, fade_ms: int = 150) -> None:
        """A style of speaking; empty: the model's own."""
        await self._control(controls.control("style", style=text, fade_ms=fade_ms))

    async def keyframes(self, text: str, frame: int | None = 0) -> None:
        """Emotions, styles and controls over time, JSON or CSV; times count from `frame` (None: from where the audio is
        now). The text of a `Description`, edited or not, is sent again with frame 0."""
        await self._control(controls.control("keyframes", frame, text=text))

    async def describe(self, span_ms: int = 10_000, frame: int | None = None) -> Description:
        """What the controls do over so long, from a frame on (None: the audio's now). Refused after the last frame."""
        control = controls.control("describe", frame, span_ms=span_ms)
        answer: asyncio.Future[Description] = asyncio.get_running_loop().create_future()
        await self._settled()
        if self._over:
            raise ServiceError(SILENT)
        self._taken.set()
        self._questions.append(answer)  # with the control, at once: answers come in the order of the questions
        self.memory.place(control)
        self._news.set()
        return await answer

    async def marker(self, name: str) -> None:
        await self._control(controls.control("marker", id=name))

    async def interrupt(self, release_ms: int = 100) -> None:
        """Barge-in; returns when it has taken effect, so that audio sent after it belongs to the new segment. After
        `end` it drops what is left; once the last frame is out there is nothing to drop."""
        controls.control("interrupt", release_ms=release_ms)  # checked
        await self._settled()
        self._cuts += 1
        self._release_ms = release_ms
        self._news.set()
        await self._settled()

    async def _control(self, control: pb.Control) -> None:
        """No error once the last frame is out, though it says nothing then: the caller may not have taken that yet."""
        await self._settled()
        self.memory.place(control)
        self._news.set()

    async def _settled(self) -> None:
        """Wait until no interrupt is under way."""
        while self._cuts_done < self._cuts and not self._over:
            self._acknowledged.clear()
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
            self._over = True
            self._acknowledged.set()
            self._moved.set()
            for question in self._questions:
                if not question.done():
                    question.set_exception(self._failure or ServiceError(SILENT))

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
                if mouth is not None:  # two would share the news; a cancel of ours is not taken for its own
                    await asyncio.wait({mouth})

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
            self._cuts_done = self._cuts
            self._acknowledged.set()
            self._news.set()
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
        self._news.set()  # there may be room on the wire

    async def _speak(self, call: Any) -> None:
        """Everything from where the memory begins, then what comes: after the end that is controls."""
        import grpc

        memory = self.memory
        memory.forget()
        told, sample, ended = min(memory.controls, default=memory.placed), memory.first_sample, False
        asked = answered = self._cuts_done
        try:
            while True:
                self._news.clear()
                if answered < self._cuts_done:  # a new segment
                    answered, sample = self._cuts_done, 0
                while told < memory.placed:
                    control, told = memory.controls.get(told), told + 1
                    if control is not None:
                        await call.write(pb.AnimateRequest(control=control))
                if asked < self._cuts:
                    asked = self._cuts
                    barge = pb.Interrupt(release_ms=self._release_ms)
                    await call.write(pb.AnimateRequest(control=pb.Control(interrupt=barge)))
                if asked == answered == self._cuts_done:  # none is under way
                    # One message at a time, so that a control never waits behind audio that the caller gave after it.
                    before, sample = sample, await self._speak_audio(call, sample)
                    if sample != before or self._news.is_set():
                        continue
                    if memory.ended and not ended and sample >= memory.samples:
                        ended = True
                        await call.write(pb.AnimateRequest(end=pb.End()))
                held = answered == self._cuts and sample < memory.samples
                if not await came(self._news, ALIVE if held else None):
                    await call.write(pb.AnimateRequest(audio=pb.AudioChunk()))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the listener hears of it too, and says so

    async def _speak_audio(self, call: Any, sample: int) -> int:
        """The next message of audio, if any waits and it is time for it; the sample behind it."""
        memory, width = self.memory, self.wish.width
        early = self.wish.pacing != "burst" and sample / self.wish.rate >= memory.shown + WIRE_AHEAD
        if sample >= memory.samples or early:
            return sample
        at = (max(sample, memory.first_sample) - memory.first_sample) * width
        whole = len(memory.audio) // width * width
        data = bytes(memory.audio[at : min(whole, at + MESSAGE_MOST // width * width)])
        sample = max(sample, memory.first_sample) + len(data) // width
        from_, other = at // width * self.wish.partner_width, len(data) // width * self.wish.partner_width
        partner = bytes(memory.partner[from_ : from_ + other])
        await call.write(pb.AnimateRequest(audio=pb.AudioChunk(data=data, partner=partner)))
        return sample


def _reason(error: Any) -> Exception:
    if isinstance(error, asyncio.InvalidStateError):
        return _Lost("UNAVAILABLE: the call was over before it began")
    return _reason_of(error.code().name, error.details())


def _reason_of(code: str, details: str | None) -> Exception:
    text = f"{code}: {details or 'no reason given'}"
    return _Lost(text) if code in LOST else ServiceError(text)
