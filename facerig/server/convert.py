"""Our wire <-> our values: the only place that knows both `facerig.v1` messages and sessions. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from facerig.errors import OptionError
from facerig.server import emotions
from facerig.server.director import STATES
from facerig.server.flow import Sound
from facerig.server.pacing import Pacing
from facerig.server.session import Item, Plan, Reached, Released, Resumption, Row, Session
from facerig.stage import FPS
from facerig.v1 import animation_pb2 as pb

DEFAULT_RIG = "arkit"
TEXT_MOST = 200
EPSILON = 1e-4  # below it an emotion is not worth sending

# wire value -> our name, codec
ENCODINGS: dict[int, tuple[str, str]] = {
    pb.AudioFormat.ENCODING_UNSPECIFIED: ("pcm16", ""),
    pb.AudioFormat.ENCODING_PCM16: ("pcm16", ""),
    pb.AudioFormat.ENCODING_FLOAT32: ("float32", ""),
    pb.AudioFormat.ENCODING_OPUS: ("pcm16", "opus"),
    pb.AudioFormat.ENCODING_FLAC: ("pcm16", "flac"),
}
PACINGS: dict[int, str] = {
    pb.Pacing.MODE_REALTIME: "realtime",
    pb.Pacing.MODE_BURST: "burst",
    pb.Pacing.MODE_LEAD: "lead",
}
STATE_NAMES: dict[int, str] = {0: "speaking", **dict(enumerate(STATES, start=1))}


def sound_of(audio: pb.AudioFormat) -> tuple[Sound, str]:
    """(samples as the session sees them, codec in front of it or nothing)."""
    if audio.encoding not in ENCODINGS:
        raise OptionError(f"audio.encoding: got {audio.encoding}, accepted: PCM16, FLOAT32, OPUS, FLAC")
    encoding, codec = ENCODINGS[audio.encoding]
    return Sound(int(audio.rate), int(audio.channels) or 1, encoding), codec


def plan_of(header: pb.Header, pacing: Pacing, backlog: float) -> Plan:
    """What the header asks for; a wrong value is an OptionError."""
    sound, _ = sound_of(header.audio)
    if header.HasField("pacing") and header.pacing.mode:
        if header.pacing.mode not in PACINGS:
            raise OptionError(f"pacing.mode: got {header.pacing.mode}, accepted: REALTIME, BURST, LEAD")
        pacing = Pacing(PACINGS[header.pacing.mode], header.pacing.lead_ms)
    return Plan(sound, header.rig[:TEXT_MOST] or DEFAULT_RIG, header.fps or FPS, pacing, header.tracks.audio,
                header.tracks.emotion, backlog)


def resumption_of(header: pb.Header) -> Resumption | None:
    if not header.HasField("resume"):
        return None
    wire = header.resume
    if wire.last_frame < -1 or wire.segment_frame > 2**53 or wire.last_frame > 2**53 or wire.first_sample > 2**53:
        raise OptionError(f"resume: got frame {wire.last_frame}, accepted: -1 to 2^53")
    return Resumption(wire.last_frame, wire.first_sample, wire.segment_frame, tuple(wire.last_values))


def begin(session: Session, header: pb.Header) -> None:
    """The header's own controls, in force before the first frame."""
    director = session.director
    if header.HasField("emotion"):
        director.emotion(0, *_emotion(header.emotion)[:2], fade_ms=0)
    if header.HasField("gains"):
        director.gains(0, header.gains.regions, fade_ms=0)


def control(session: Session, wire: pb.Control) -> None:
    """Apply one control."""
    frame = wire.frame if wire.HasField("frame") else None
    if frame is not None and frame > 2**53:
        raise OptionError(f"control.frame: got {frame}, accepted: up to 2^53")
    what, at = wire.WhichOneof("what"), session.now(frame)
    if what == "emotion":
        session.director.emotion(at, *_emotion(wire.emotion))
    elif what == "gains":
        fade = wire.gains.fade_ms if wire.gains.HasField("fade_ms") else 100
        session.director.gains(at, wire.gains.regions, fade)
    elif what == "state":
        if wire.state not in STATE_NAMES:
            raise OptionError(f"state: got {wire.state}, accepted: {', '.join(STATES)}")
        session.director.set_state(at, STATE_NAMES[wire.state])
    elif what == "interrupt":
        session.interrupt(wire.interrupt.release_ms if wire.interrupt.HasField("release_ms") else 100)
    elif what == "look_at":
        look = wire.look_at
        session.director.look_at(
            at, look.yaw, look.pitch, look.fade_ms if look.HasField("fade_ms") else 150, look.release
        )
    elif what == "marker":
        session.marker(wire.marker.id, frame)
    else:
        raise OptionError("control: got nothing, accepted: emotion, gains, state, interrupt, look_at or marker")


def _emotion(wire: pb.Emotion) -> tuple[dict[str, float], float, float]:
    intensity = wire.intensity if wire.HasField("intensity") else 1.0
    return dict(wire.weights), intensity, wire.fade_ms if wire.HasField("fade_ms") else 250


def responses(items: Iterable[Item]) -> list[pb.AnimateResponse]:
    """Items in order; rows that leave together share a message."""
    out: list[pb.AnimateResponse] = []
    for item in items:
        if isinstance(item, Row):
            if not out or out[-1].WhichOneof("part") != "frames":
                out.append(pb.AnimateResponse(frames=pb.Frames()))
            _frame(out[-1].frames.frames.add(), item)
        elif isinstance(item, Reached):
            out.append(pb.AnimateResponse(marker=pb.MarkerReached(id=item.id, frame=item.frame)))
        elif isinstance(item, Released):
            out.append(pb.AnimateResponse(interrupted=pb.Interrupted(
                frame=item.frame, segment_frame=item.segment_frame, dropped_samples=item.dropped)))
    return out


def _frame(wire: pb.Frame, row: Row) -> None:
    wire.index = row.index
    wire.values.extend(row.values.tolist())
    if row.audio:
        wire.audio = row.audio
        wire.first_sample = row.first_sample
    if row.mood is not None:
        for name, weight in mood_of(row.mood.tolist()).items():
            wire.emotion[name] = weight


def mood_of(weights: Iterable[float]) -> dict[str, float]:
    """A vector over `emotions.NAMES` -> what is felt."""
    return {name: weight for name, weight in zip(emotions.NAMES, weights, strict=True) if weight > EPSILON}
