"""NVIDIA's authoring service: upload a clip once, then ask for the face at any instant with any parameters.

A clip is animated when it is uploaded and kept in memory alone, least recently used out first; its handle is the
SHA-256 of its samples and format. """

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facerig.controls import EMOTIONS, Controls
from facerig.emotion import space
from facerig.errors import FacerigError, OptionError
from facerig.pipeline import FULL_RIG, NATIVE_RIG, Animator
from facerig.resample import Resample
from facerig.rig import rig
from facerig.server import a2f_params, asks, faults, outlet, protos
from facerig.server.a2f import sound_of
from facerig.server.admission import House
from facerig.server.hearing import Mixing, strengthened
from facerig.server.pacing import Pacing
from facerig.server.session import Plan, Row, Session
from facerig.stage import FPS, Frames

SERVICE = "nvidia_ace.services.a2f_authoring.v1.A2FAuthoringService"


@dataclass(frozen=True)
class Clip:
    values: Frames
    """[frames, native channels]"""
    samples: Frames
    rate: int
    heard: Frames | None = None
    """[frames, 12]: the emotion heard, smoothed and whole, where this server hears any."""

    @property
    def bytes(self) -> int:
        return self.values.nbytes + self.samples.nbytes + (0 if self.heard is None else self.heard.nbytes)

    def at(self, seconds: float, animator: Animator, controls: Controls) -> Frames:
        """The native row at an instant, between frames; before and after the clip its ends."""
        place = float(np.clip(seconds * FPS, 0, max(0, len(self.values) - 1)))
        low = int(place)
        rows = self.values[low : low + 2] if controls.neutral else self._asked(low, animator, controls)
        row: Frames = rows[0] + (rows[-1] - rows[0]) * np.float32(place - low)
        return row[None]

    def felt(self, seconds: float, asked: Mapping[str, float], mixing: Mixing | None) -> dict[str, float]:
        """What the face feels at an instant: what is asked, mixed with what is heard there."""
        if self.heard is None or mixing is None:
            return space.mixture(asked)
        place = int(np.clip(seconds * FPS, 0, max(0, len(self.heard) - 1)))
        return asks.named(strengthened(space.vector(space.mixture(asked)), self.heard[place], mixing))

    def _asked(self, frame: int, animator: Animator, controls: Controls) -> Frames:
        """The rows `frame` and the next one as a stream with these controls would have them."""
        first = Resample(self.rate).first_sample(animator.restore_point(frame))
        last = (frame + 2 + animator.delay + animator.block) * self.rate // FPS + 2 * Resample(self.rate).half
        session = animator.restore(self.samples[first:last], first, frame, self.rate, controls=controls)
        rows: Frames = session.flush().values[:2]
        return rows if len(rows) else self.values[frame : frame + 2]


class AuthoringService:
    """UploadAudioClip and GetAvatarFacePose."""

    SERVICE = SERVICE

    def __init__(self, house: House) -> None:
        self.house = house
        self.clips: OrderedDict[str, Clip] = OrderedDict()
        self._rig = "a2f68" if house.config.a2f_tongue else "a2f"
        self._shapes, self._mapper = outlet.mapper(NATIVE_RIG, house.worker.animator.channels, self._rig)

    def handler(self) -> Any:
        return protos.handlers(SERVICE, {"UploadAudioClip": self.upload, "GetAvatarFacePose": self.pose})

    async def upload(self, request: Any, context: Any) -> Any:
        handle = protos.message("nvidia_ace.a2f_authoring.v1.AudioClipHandle")
        name = hashlib.sha256(request.audio_header.SerializeToString(deterministic=True) + request.content).hexdigest()
        try:
            if name not in self.clips:
                self._keep(name, await self._animated(request, context))
            self.clips.move_to_end(name)
        except FacerigError as error:
            await self._refuse(context, error)
        return handle(audio_clip_id=name, blendshape_names=self._shapes)

    async def pose(self, request: Any, context: Any) -> Any:
        import grpc

        clip = self.clips.get(request.audio_hash)
        if clip is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no clip of that hash here; upload it (again)")
        self.clips.move_to_end(request.audio_hash)
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._posed, clip, request)
        except FacerigError as error:
            await self._refuse(context, error)

    async def _refuse(self, context: Any, error: FacerigError) -> None:
        import grpc

        _, status, label = faults.row(error)
        self.house.metrics.errors.labels(label).inc()
        await context.abort(getattr(grpc.StatusCode, status), faults.said(error))

    async def _animated(self, request: Any, context: Any) -> Clip:
        sound = sound_of(request.audio_header)
        most = self.house.config.clip_seconds
        if len(request.content) > most * sound.rate * sound.width:
            raise faults.TooMuch(f"clip: got {len(request.content)} bytes, accepted: up to {most} s")
        guest = self.house.enter("authoring", context.invocation_metadata())
        try:
            native = FULL_RIG if len(self.house.worker.animator.channels) == len(rig(FULL_RIG)) else NATIVE_RIG
            whole = Mixing(preferred=0.0, strength=1.0) if self.house.worker.animator.heard else None
            plan = Plan(sound, native, FPS, Pacing("burst"), moods=whole is not None, backlog=most + 1.0, mixing=whole)
            session = guest.session = Session(self.house.worker, plan)
            await session.push(request.content)
            session.end()
            rows = [item async for items in session.items() for item in items if isinstance(item, Row)]
        finally:
            self.house.leave(guest)
        width = len(self.house.worker.animator.channels)
        samples = sound.read(request.content[: len(request.content) // sound.width * sound.width])
        values = np.stack([row.values for row in rows]) if rows else np.zeros((1, width), np.float32)
        heard = [row.mood[: len(EMOTIONS)] for row in rows if row.mood is not None]
        return Clip(values, samples, sound.rate, np.stack(heard) if heard else None)

    def _keep(self, name: str, clip: Clip) -> None:
        self.clips[name] = clip
        most = self.house.config.clip_cache_mb * 1_048_576
        while len(self.clips) > 1 and sum(one.bytes for one in self.clips.values()) > most:
            self.clips.popitem(last=False)

    def _posed(self, clip: Clip | None, request: Any) -> Any:
        assert clip is not None
        if not 0 <= request.time_stamp <= 1e6:
            raise OptionError(f"time_stamp: got {request.time_stamp}, accepted: 0 to 1e6 seconds")
        notes: list[str] = []  # this service has no way to say them
        face = a2f_params.face_of(request.face_params, request.blendshape_params, self._shapes, notes)
        emotion = protos.message("nvidia_ace.a2f.v1.EmotionParameters")()
        mood = a2f_params.mood_of(request.emotion_pp_params, emotion, notes, clip.heard is not None)
        asked = mood.weights(a2f_params.asked_of(request.preferred_emotions, notes))
        felt = clip.felt(request.time_stamp, asked, mood.mixing)
        controls = Controls()
        if felt:
            asks.emotion(controls, 0, felt, fade_ms=0)
        if clip.heard is not None:  # it is in what is asked now
            controls.set(0, {"heard": 0.0}, 0)
        row = self._mapper(clip.at(request.time_stamp, self.house.worker.animator, controls))
        row = a2f_params.FacePost(face, self._shapes, FPS).push(0, row, row[:, :0])
        data = protos.message("nvidia_ace.a2f_authoring.v1.BlendShapeData")
        return data(blendshapes=row[0].tolist(), time_code=request.time_stamp,
                    emotions=space.a2f(felt))
