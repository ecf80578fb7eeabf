"""NVIDIA Audio2Face-3D's controller and config services, spoken so that its clients need no change.

Header answered at once, one frame a message with time code, its slice of audio and the emotions; at the end the mouth
closes, then the end-of-processing event, then the status. Errors a client can cause are a status ERROR on a stream that
ends well, as NVIDIA's own server does it; a full house is RESOURCE_EXHAUSTED. Knows no maths.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from facerig.emotion import space
from facerig.errors import FacerigError, OptionError, ServiceError, check_option
from facerig.rig import rig
from facerig.server import a2f_params, asks, faults, protos, security
from facerig.server.admission import Guest, House
from facerig.server.flow import Sound
from facerig.server.pacing import Pacing
from facerig.server.service import check_length
from facerig.server.session import Plan, Row, Session
from facerig.stage import FPS

log = logging.getLogger("facerig.server")

CONTROLLER = "nvidia_ace.services.a2f_controller.v1.A2FControllerService"
CONFIG = "nvidia_ace.services.a2x_export_config.v1.A2XExportConfigService"
AGGREGATE = "emotion_aggregate"
CLOSING_SECONDS = 0.2
NOTES_MOST = 12
PATIENCE = 2.0  # seconds
RATES = {"30": 30, "60": 60}
MOST_WAITING = 1_000  # emotions; a few less than the changes that `Controls` keeps
YES = ("1", "true", "yes")
Timed = tuple[float, dict[str, float]]
"""Seconds, and the emotion that is asked for from then on."""


class A2FService:
    """ProcessAudioStream and GetConfigs."""

    SERVICES = (CONTROLLER, CONFIG)

    def __init__(self, house: House) -> None:
        self.house = house
        self._out = protos.message("nvidia_ace.controller.v1.AnimationDataStream")
        self._status = protos.message("nvidia_ace.status.v1.Status")

    def handler(self) -> Any:
        return protos.handlers(CONTROLLER, {"ProcessAudioStream": self.process})

    def config_handler(self) -> Any:
        return protos.handlers(CONFIG, {"GetConfigs": self.configs})

    # ---- the stream -----------------------------------------------------------------------------------------------

    async def process(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        guest: Guest | None = None
        ear: asyncio.Task[None] | None = None
        error: Exception | None = None
        try:
            self.house.check_open()
            header = await self._header(requests)
            guest = self.house.enter("a2f", context.invocation_metadata())
            guest.break_off = self.house.breaker(context)
            stream = Stream(self.house, guest, header, context.invocation_metadata())
            for first in guest.hand([self._out(animation_data_stream_header=stream.header())]):
                yield first
            ear = asyncio.create_task(stream.hear(requests))
            async for answers in stream.answers():
                for answer in guest.hand(answers):
                    yield answer
            ends = [self._out(event={"event_type": 0}), self._say("SUCCESS", "sent all data successfully")]
            for last in guest.hand(ends):
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
            yield await self._goodbye(context, *told, requests if guest is None else None)
            await _hear_out(requests)

    async def _header(self, requests: AsyncIterator[Any]) -> Any:
        wait = self.house.config.header_seconds
        try:
            first = await asyncio.wait_for(anext(requests), wait)
        except asyncio.TimeoutError:
            raise faults.Idle(f"no audio stream header within {wait:g} s") from None
        except StopAsyncIteration:
            raise faults.Disorder("got the end of the stream, accepted: an audio stream header first") from None
        if first.WhichOneof("stream_part") != "audio_stream_header":
            raise faults.Disorder(f"got {first.WhichOneof('stream_part')}, accepted: an audio stream header first")
        return first.audio_stream_header

    def _blamed(self, error: Exception) -> tuple[str, str, str]:
        """(gRPC status, cause, reason), counted; nothing after this knows the error (`service` says why)."""
        _, status, label = faults.row(error)
        self.house.metrics.errors.labels(label).inc()
        if label == "fault":
            log.error("an A2F stream failed", exc_info=error)
        return status, label, faults.said(error)

    async def _goodbye(self, context: Any, status: str, label: str, reason: str, writing: Any) -> Any:
        """The status; where it is the server's business and not the client's, gRPC's status as well."""
        if label in ("overload", "draining", "handover", "fault"):
            await security.ended(context, status, reason, writing)
        return self._say("ERROR", reason)

    def _say(self, code: str, text: str) -> Any:
        return self._out(status=self._status(code=self._status.Code.Value(code), message=text))

    # ---- configs --------------------------------------------------------------------------------------------------

    async def configs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        import yaml

        kind = protos.message("nvidia_ace.services.a2x_export_config.v1.A2XConfig")
        for name, content in export_configs(self.house).items():
            if request.config_type == 1:
                yield kind(name=f"{name}.json", content=json.dumps(content, indent=2) + "\n")
            else:
                yield kind(name=f"{name}.yaml", content=yaml.safe_dump(content, sort_keys=False))


class Stream:
    """One call of ProcessAudioStream."""

    def __init__(self, house: House, guest: Guest, header: Any, metadata: Any) -> None:
        self.house, self.guest = house, guest
        asked = {key: value for key, value in metadata or () if isinstance(value, str)}
        fps = _rate(asked.get("facerig-fps", str(house.config.a2f_fps)))
        tongue = asked.get("facerig-tongue", str(house.config.a2f_tongue)).lower() in YES
        self.tells_heard = asked.get("facerig-a2e-output", "").lower() in YES
        self.audio = header.audio_header
        self.notes: list[str] = []
        self.rig = "a2f68" if tongue else "a2f"
        self.shapes = rig(self.rig).names
        face = a2f_params.face_of(header.face_params, header.blendshape_params, self.shapes, self.notes)
        hears = house.worker.animator.heard
        post, emotion = header.emotion_post_processing_params, header.emotion_params
        self.mood = a2f_params.mood_of(post, emotion, self.notes, hears)
        if self.tells_heard and not hears:
            self.notes.append("facerig-a2e-output: this server hears no emotion, so a2e_output stays empty")
        self.post = a2f_params.FacePost(face, self.shapes, fps)
        sound = replace(sound_of(self.audio), gain=face.values["inputStrength"])
        pacing = Pacing.parse(asked.get("facerig-pacing", house.config.a2f_pacing))
        plan = Plan(sound, self.rig, fps, pacing, echo=True, moods=True,
                    backlog=house.config.backlog_seconds, mixing=self.mood.mixing)
        self.session = guest.session = Session(house.worker, plan, self.post.push)
        beginning = a2f_params.asked_of(header.emotion_params.beginning_emotion, self.notes)
        self._input: list[Timed] = [(0.0, beginning)] if beginning else []
        self._feel(0, beginning, 0)
        self._data = protos.message("nvidia_ace.controller.v1.AnimationDataStream")
        self._aggregate = protos.message("nvidia_ace.emotion_aggregate.v1.EmotionAggregate")
        self._last: Row | None = None
        self._said: set[str] = set()

    def header(self) -> Any:
        kind = protos.message("nvidia_ace.controller.v1.AnimationDataStreamHeader")
        return kind(audio_header=self.audio, skel_animation_header={"blend_shapes": self.shapes},
                    start_time_code_since_epoch=time.time())

    # ---- in -----------------------------------------------------------------------------------------------------

    async def hear(self, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                self.guest.heard = time.monotonic()
                part = request.WhichOneof("stream_part")
                if part == "end_of_audio":
                    break
                if part != "audio_with_emotion":
                    raise faults.Disorder(f"got {part}, accepted: audio_with_emotion or end_of_audio")
                self._emotions(request.audio_with_emotion.emotions)
                await self._sound(request.audio_with_emotion.audio_buffer)
            self.session.end()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.session.fail(error if isinstance(error, FacerigError) else ServiceError(faults.said(error)))

    async def _sound(self, data: bytes) -> None:
        config = self.house.config
        if len(data) > config.chunk_bytes:
            raise faults.TooMuch(f"audio buffer: got {len(data)} bytes, accepted: up to {config.chunk_bytes}")
        await self.session.push(data)
        check_length(self.session, config.clip_seconds)

    def _emotions(self, given: Any) -> None:
        """Time-coded emotions: each from its own time on, or from now where that has passed; they come in any order."""
        for one in sorted(given, key=lambda one: float(one.time_code)):
            check_option("time_code", one.time_code, "0 to 1e6 seconds", 0 <= one.time_code <= 1e6)
            asked = a2f_params.asked_of(one.emotion, self.notes)
            waiting = len(self._input) + 1
            check_option("emotions", waiting, f"up to {MOST_WAITING} that wait for their time", waiting <= MOST_WAITING)
            self._place((float(one.time_code), asked))

    def _place(self, given: Timed) -> None:
        """By its time. Controls run one way, so those of a later time are told once more."""
        place = bisect_right(self._input, given[0], key=_time)
        self._input.insert(place, given)
        controls, later = self.session.controls, self._input[place + 1 :]
        self.session.hold()
        if later and _frame(later[0]) <= controls.floor:  # over before it came
            return
        if later:
            controls.cut(max(1, _frame(given), controls.floor))  # what the header asks for stays
        for one in self._input[place:]:
            first = one[0] <= 0 and not self.session.segment.flow.received
            self._feel(_frame(one), one[1], 0 if first else self.mood.fade_ms)

    def _feel(self, frame: int, asked: Mapping[str, float], fade_ms: float) -> None:
        """An emotion that is asked for, beside the one that is heard where this server hears any."""
        asks.emotion(self.session.controls, frame, self.mood.weights(asked), fade_ms=fade_ms)

    # ---- out ------------------------------------------------------------------------------------------------------

    async def answers(self) -> AsyncIterator[list[Any]]:
        async for items in self.session.items():
            rows = [item for item in items if isinstance(item, Row)]
            self._count(rows)
            yield [*self._news(), *(self._frame(row, row.mood) for row in rows)]
        yield [*self._news(), *(self._frame(row, row.mood) for row in self._closing())]

    def _closing(self) -> list[Row]:
        """Frames after the clip, where its last one leaves the mouth open."""
        if self._last is None:
            return []
        last, frames = self._last, round(CLOSING_SECONDS * self.session.plan.fps)
        rows = self.post.closing(last.values, frames)
        return [Row(last.index + 1 + place, values, last.mood) for place, values in enumerate(rows)]

    def _news(self) -> list[Any]:
        """Notes that have not been said, as INFO."""
        fresh = [note for note in dict.fromkeys(self.notes) if note not in self._said][: NOTES_MOST]
        self._said.update(self.notes)
        self.notes.clear()
        status = protos.message("nvidia_ace.status.v1.Status")
        return [self._data(status=status(code=status.INFO, message="; ".join(fresh)))] if fresh else []

    def _count(self, rows: list[Row]) -> None:
        metrics = self.house.metrics
        metrics.frames.labels("a2f").inc(len(rows))
        for row in rows:
            metrics.latency.observe(row.waited)

    def _frame(self, row: Row, mood: Any) -> Any:
        self._last = row
        seconds = row.index / self.session.plan.fps
        out = self._data()
        data = out.animation_data
        weights = data.skel_animation.blend_shape_weights.add()
        weights.time_code = seconds
        weights.values.extend(row.values.tolist())
        data.audio.time_code = seconds
        data.audio.audio_buffer = row.audio
        packed = data.metadata[AGGREGATE]
        packed.type_url = "type.googleapis.com/nvidia_ace.emotion_aggregate.v1.EmotionAggregate"
        packed.value = self._moods(seconds, mood).SerializeToString()
        return out

    def _moods(self, seconds: float, mood: Any) -> Any:
        """What is asked and what the face does; what was heard on request alone, since NVIDIA's own sample client fails
        on anything in a2e_output."""
        aggregate = self._aggregate()
        _add(aggregate.input_emotions.add(), seconds, self._asked(seconds))
        felt = space.a2f(asks.named(mood)) if mood is not None else {}
        _add(aggregate.a2f_smoothed_output.add(), seconds, felt)
        if self.tells_heard and mood is not None and (found := asks.heard(mood)) is not None:
            _add(aggregate.a2e_output.add(), seconds, space.a2f(found))
        return aggregate

    def _asked(self, seconds: float) -> dict[str, float]:
        """The emotion in force; those before it have passed and are forgotten."""
        begun = [place for place, (at, _) in enumerate(self._input) if at <= seconds]
        del self._input[: begun[-1] if begun else 0]
        return self._input[0][1] if begun else {}


def _time(one: Timed) -> float:
    return one[0]


def _frame(one: Timed) -> int:
    """The native frame at which it begins."""
    return round(one[0] * FPS)


async def _hear_out(requests: AsyncIterator[Any]) -> None:
    """Let a client finish what it is writing: NVIDIA's programs write first and read the status afterwards."""

    async def listen() -> None:
        async for request in requests:
            if request.WhichOneof("stream_part") == "end_of_audio":
                return

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(listen(), PATIENCE)


def _add(wire: Any, seconds: float, weights: Mapping[str, float]) -> None:
    wire.time_code = seconds
    for name in space.A2F_NAMES:
        wire.emotion[name] = weights.get(name, 0.0)


def _rate(given: str) -> int:
    """Frames a second, also as a client prints its float."""
    fps = RATES.get(given.strip().removesuffix(".0"), 0)
    check_option("facerig-fps", given[:40], " or ".join(RATES), fps > 0)
    return fps


def sound_of(audio: Any) -> Sound:
    """AudioHeader -> Sound; what NVIDIA does not take either is refused in words."""
    check_option("audio_format", audio.audio_format, "0 (PCM)", audio.audio_format == 0)
    check_option("channel_count", audio.channel_count, "1", audio.channel_count == 1)
    check_option("bits_per_sample", audio.bits_per_sample, "16", audio.bits_per_sample == 16)
    if not 8_000 <= audio.samples_per_second <= 192_000:
        raise OptionError(f"samples_per_second: got {audio.samples_per_second}, accepted: 8000 to 192000")
    return Sound(int(audio.samples_per_second))


def export_configs(house: House) -> dict[str, Any]:
    """What GetConfigs tells: how this server is set, and every parameter with its default."""
    config = house.config
    face = {name: default for name, default, *_ in a2f_params.FACE}
    return {
        "facerig_deployment_config": {
            "model": house.worker.animator.model,
            "fps": config.a2f_fps,
            "pacing": config.a2f_pacing,
            "stream_number": house.capacity,
            "max_clip_seconds": config.clip_seconds,
            "idle_seconds": config.idle_seconds,
            "enable_tongue_blendshapes": config.a2f_tongue,
        },
        "facerig_stylization_config": {
            "default_beginning_emotions": dict.fromkeys(space.A2F_NAMES, 0.0),
            "a2e": {
                "enabled": house.worker.animator.heard,
                "live_transition_time": a2f_params.TRANSITION,
                "post_processing_params": {name: default for name, default, *_ in a2f_params.EMOTION},
            },
            "a2f": {
                "face_params": face,
                "blendshape_params": {
                    "enable_clamping_bs_weight": False,
                    "weight_multipliers": dict.fromkeys(rig("a2f").names, 1.0),
                    "weight_offsets": dict.fromkeys(rig("a2f").names, 0.0),
                },
            },
        },
    }
