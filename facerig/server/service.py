"""Our own protocol: translates messages into a session and back. All it decides is order; maths and clocks are behind.

Each stream is two coroutines: this one sends what the session lets out, `_hear` reads what the client says. Whatever
goes wrong in either ends in `_say_goodbye`: the status message with a reason, then gRPC's own status. """

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import facerig
from facerig.controls import PRIME, STATES
from facerig.errors import FacerigError, ServiceError, check_option
from facerig.rig import REGIONS, rig, rig_names
from facerig.server import asks, convert, faults, security
from facerig.server.admission import Guest, House
from facerig.server.codec import Decoder
from facerig.server.news import Described, Noticed, Released
from facerig.server.pacing import Pacing
from facerig.server.session import Item, Row, Session
from facerig.stage import FPS, RATE
from facerig.v1 import animation_pb2 as pb

log = logging.getLogger("facerig.server")

SERVICE = "facerig.v1.Animation"
SLICE = 65_536  # bytes of a clip that are fed at a time
DEAF = ("heard: this server hears no emotion in the voice, so the face shows none of it; facerig serve --set "
        "emotion=auto hears")
Read = Callable[[], Any]


class AnimationService:
    """Animate, AnimateFile, Info, Rigs."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._frames = house.metrics.frames.labels("facerig")  # looked up once: it costs as much as counting
        self._latency = house.metrics.latency

    def handler(self) -> Any:
        import grpc

        kinds: tuple[tuple[str, Any, Any, Any], ...] = (
            ("Animate", grpc.stream_stream_rpc_method_handler, self.animate, pb.AnimateRequest),
            ("AnimateFile", grpc.unary_stream_rpc_method_handler, self.animate_file, pb.AnimateFileRequest),
            ("Info", grpc.unary_unary_rpc_method_handler, self.info, pb.InfoRequest),
            ("Rigs", grpc.unary_unary_rpc_method_handler, self.rigs, pb.RigsRequest),
        )
        made = {name: kind(behaviour, asked.FromString, convert.wire) for name, kind, behaviour, asked in kinds}
        return grpc.method_handlers_generic_handler(SERVICE, made)

    # ---- streams ------------------------------------------------------------------------------------------------

    async def animate(
        self, requests: AsyncIterator[pb.AnimateRequest], context: Any
    ) -> AsyncIterator[convert.Answer]:
        async def header() -> pb.Header:
            return await self._header(requests)

        async for answer in self._stream(context, header, Pacing.parse(self.house.config.pacing),
                                         lambda guest, session, codec: self._hear(requests, guest, session, codec),
                                         requests):
            yield answer

    async def animate_file(self, request: pb.AnimateFileRequest, context: Any) -> AsyncIterator[convert.Answer]:
        async def header() -> pb.Header:
            return request.header

        async for answer in self._stream(
            context,
            header,
            Pacing("burst"),
            lambda guest, session, codec: self._feed(request.audio, guest, session, codec),
        ):
            yield answer

    async def _stream(
        self, context: Any, read_header: Read, pacing: Pacing, hear: Any, requests: Any = None
    ) -> AsyncIterator[convert.Answer]:
        """`requests`: what a client may still be writing when it is refused."""
        guest: Guest | None = None
        ear: asyncio.Task[None] | None = None
        sent, error = 0, None
        try:
            self.house.check_open()
            header = await read_header()
            guest = self.house.enter("facerig", context.invocation_metadata(), header.HasField("resume"))
            guest.break_off = self.house.breaker(context)
            session, codec = self._open(guest, header, pacing)
            notices = [pb.AnimateResponse(notice=pb.Notice(text=text)) for text in _notices(header, session)]
            for first in guest.hand([self._first(session, header), *notices]):
                yield first
            ear = asyncio.create_task(hear(guest, session, codec))
            async for items in session.items():
                sent += self._count(items, session)
                for answer in guest.hand(convert.responses(items)):
                    yield answer
            done = pb.Status(code=pb.Status.CODE_DONE, reason="done", frames=sent)
            for last in guest.hand([pb.AnimateResponse(status=done)]):
                yield last
        except Exception as caught:
            error = caught
        finally:
            if ear is not None:
                ear.cancel()
            if guest is not None:
                self.house.leave(guest)
        if error is not None:
            told, error = self._blamed(error), None
            async for answer in self._say_goodbye(context, *told, sent, requests if guest is None else None):
                yield answer

    def _open(self, guest: Guest, header: pb.Header, pacing: Pacing) -> tuple[Session, Decoder | None]:
        sound, codec = convert.sound_of(header.audio)
        plan = convert.plan_of(header, pacing, self.house.config.backlog_seconds)
        resume = convert.resumption_of(header)
        if resume is not None and codec:
            raise faults.Disorder(f"resume: not with {codec}, which keeps state between packets; begin anew")
        session = guest.session = Session(self.house.worker, plan, resume=resume)
        convert.begin(session, header)
        if resume is not None:
            self.house.metrics.resumed.inc()
        return session, Decoder(codec, sound) if codec else None

    def _first(self, session: Session, header: pb.Header) -> pb.AnimateResponse:
        animator = self.house.worker.animator
        return pb.AnimateResponse(header=pb.StreamHeader(
            session_id=header.resume.session_id[:64] or secrets.token_hex(8), channels=session.channels,
            fps=session.plan.fps, delay_ms=animator.latency_ms(session.plan.sound.rate), first_frame=session.next_frame,
            context_ms=context_ms(animator.context_seconds), resumable=not convert.sound_of(header.audio)[1],
            model=animator.model, rig=session.plan.rig, block=animator.block,
        ))

    def _count(self, items: list[Item], session: Session) -> int:
        rows = 0
        for item in items:
            if isinstance(item, Row):
                rows += 1
                self._latency.observe(item.waited)
            elif isinstance(item, Released):
                self.house.metrics.dropped.inc(item.dropped / session.plan.sound.rate)
        self._frames.inc(rows)
        return rows

    # ---- hearing ------------------------------------------------------------------------------------------------

    async def _header(self, requests: AsyncIterator[pb.AnimateRequest]) -> pb.Header:
        wait = self.house.config.header_seconds
        try:
            first = await asyncio.wait_for(anext(requests), wait)
        except asyncio.TimeoutError:
            raise faults.Idle(f"no header within {wait:g} s") from None
        except StopAsyncIteration:
            raise faults.Disorder("header: got the end of the stream, accepted: the header first") from None
        if first.WhichOneof("part") != "header":
            raise faults.Disorder(
                f"header: got {first.WhichOneof('part') or 'an empty message'}, accepted: the header first"
            )
        return first.header

    async def _hear(self, requests: AsyncIterator[pb.AnimateRequest], guest: Guest, session: Session,
                    codec: Decoder | None) -> None:
        """Everything after the header; an error here ends the stream through the session."""
        told = session.deaf  # of the header
        try:
            async for request in requests:
                guest.heard = time.monotonic()
                part = request.WhichOneof("part")
                if part == "audio" and session.ended:
                    raise faults.Disorder("message: got audio after the end, accepted: controls")
                if part == "audio":
                    await self._audio(request.audio.data, session, codec, request.audio.partner)
                    check_length(session, self.house.config.stream_seconds)
                elif part == "control" and request.control.HasField("describe"):
                    await self._describe(session, request.control)
                elif part == "control":
                    convert.control(session, request.control)
                    if session.deaf and not told:
                        session.tell(Noticed(DEAF))
                        told = True
                elif part == "end":
                    await _end(session, codec)  # and hear on: an interrupt may follow
                else:
                    raise faults.Disorder(f"message: got {part or 'nothing in it'}, accepted: audio, control or end")
            await _end(session, codec)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            session.fail(_ours(error))

    async def _feed(self, audio: bytes, guest: Guest, session: Session, codec: Decoder | None) -> None:
        try:
            size = min(SLICE, self.house.config.chunk_bytes)
            for at in range(0, len(audio), size):
                await self._audio(audio[at : at + size], session, codec)
                check_length(session, self.house.config.clip_seconds)
                guest.heard = time.monotonic()
            await _end(session, codec)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            session.fail(_ours(error))

    async def _audio(self, data: bytes, session: Session, codec: Decoder | None, partner: bytes = b"") -> None:
        config = self.house.config
        if max(len(data), len(partner)) > config.chunk_bytes:
            got = max(len(data), len(partner))
            raise faults.TooMuch(f"audio chunk: got {got} bytes, accepted: up to {config.chunk_bytes}")
        if partner:
            check_option("partner", "a partner's audio beside a codec", "PCM16 or FLOAT32", codec is None)
        await session.push(await _off_loop(codec.push, data) if codec is not None else data, partner)

    async def _describe(self, session: Session, wire: pb.Control) -> None:
        row, first, frames = convert.described_span(session, wire)
        loop, course = asyncio.get_running_loop(), session.controls.copy()
        keyframes, sentences = await loop.run_in_executor(None, asks.described, course, first, frames)
        session.tell(Described(row, keyframes, sentences))

    # ---- ends ---------------------------------------------------------------------------------------------------

    def _blamed(self, error: Exception) -> tuple[str, str, str]:
        """(our code, gRPC status, reason), counted. Nothing after this knows the error: gRPC keeps an abort's frames as
        long as a read of the client's hangs, and through the error they would keep the session."""
        code, status, label = faults.row(error)
        self.house.metrics.errors.labels(label).inc()
        if label == "fault":
            log.error("a stream failed", exc_info=error)
        return code, status, faults.said(error)

    async def _say_goodbye(
        self, context: Any, code: str, status: str, reason: str, sent: int, writing: Any
    ) -> AsyncIterator[pb.AnimateResponse]:
        yield pb.AnimateResponse(status=pb.Status(code=code, reason=reason, frames=sent))
        await security.ended(context, status, reason, writing)

    # ---- what there is ------------------------------------------------------------------------------------------

    async def info(self, request: pb.InfoRequest, context: Any) -> pb.InfoResponse:
        house, animator = self.house, self.house.worker.animator
        return pb.InfoResponse(
            version=facerig.__version__, model=animator.model, native_fps=FPS, native_rate=RATE,
            delay_ms=animator.latency_ms(), context_ms=context_ms(animator.context_seconds), block=animator.block,
            emotions=asks.NAMES, regions=("all", *REGIONS), states=tuple(STATES), sessions=len(house.guests),
            capacity=house.capacity, serving=house.ready and not house.draining,
            limits=pb.Limits(chunk_bytes=house.config.chunk_bytes, clip_seconds=house.config.clip_seconds,
                             idle_seconds=int(house.config.idle_seconds)),
            controls=convert.control_table(), runtime=animator.runtime,
        )

    async def rigs(self, request: pb.RigsRequest, context: Any) -> pb.RigsResponse:
        found = [rig(name) for name in rig_names()]
        return pb.RigsResponse(rigs=[pb.Rig(name=one.name, title=one.title, channels=one.names) for one in found])


def context_ms(seconds: float) -> int:
    """What a client must keep to resume: the model's context, what was asked before a segment that begins within it,
    the resampler's reach and a rounding margin."""
    return int(seconds * 1000) + PRIME * 1000 // FPS + 120


def check_length(session: Session, most: float) -> None:
    seconds = session.audio_samples / session.plan.sound.rate
    if seconds > most:
        raise faults.TooMuch(f"audio: got more than {most:g} s, accepted: up to that in one stream; begin another one")


async def _end(session: Session, codec: Decoder | None) -> None:
    """No more audio; said twice it is said once."""
    if session.ended:
        return
    if codec is not None:
        await session.push(await _off_loop(codec.flush))
    session.end()


def _notices(header: pb.Header, session: Session) -> list[str]:
    """What was asked for that there is not."""
    out = [fault for fault in [convert.style_fault(header)] if fault]
    if session.deaf:
        out.append(DEAF)
    if header.tracks.phones:
        out.append("tracks.phones: this model gives none")
    return out


def _ours(error: Exception) -> FacerigError:
    if isinstance(error, FacerigError):
        return error
    log.error("a stream's reader failed", exc_info=error)
    return ServiceError(faults.said(error))


async def _off_loop(work: Callable[..., bytes], *arguments: bytes) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)
