"""Our wire <-> our values: the only place that knows both `facerig.v1` messages and sessions. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from facerig.behaviour.commands import perform
from facerig.controls import CONTROLS, FADE_MS, STATES
from facerig.emotion import keyframes, styles
from facerig.errors import OptionError, check_option
from facerig.server import asks
from facerig.server.codec import decoded
from facerig.server.flow import Sound
from facerig.server.news import Described, Noticed, Reached, Released
from facerig.server.pacing import Pacing
from facerig.server.session import Item, Plan, Resumption, Row, Session
from facerig.stage import FPS
from facerig.v1 import animation_pb2 as pb

Answer = pb.AnimateResponse | bytes
"""A message, or one that is written already."""

DEFAULT_RIG = "arkit"
TEXT_MOST = 200

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
STATE_NAMES: dict[int, str] = {0: "", **dict(enumerate(STATES, start=1))}
WHATS = "emotion, gains, state, interrupt, look_at, marker, set, move, style, keyframes or describe"
KEYFRAME_BYTES = 65_536
NORMAL = "normal"
SPAN_MS, SPAN_MOST_MS = 10_000, 60_000  # that a description covers
MAX_NAMES = 256  # of a message: more than there are controls


def sound_of(audio: pb.AudioFormat) -> tuple[Sound, str]:
    """(samples as the session sees them, codec in front of it or nothing)."""
    if audio.encoding not in ENCODINGS:
        raise OptionError(f"audio.encoding: got {audio.encoding}, accepted: PCM16, FLOAT32, OPUS, FLAC")
    encoding, codec = ENCODINGS[audio.encoding]
    sound = Sound(int(audio.rate), int(audio.channels) or 1, encoding)
    return decoded(codec, sound) if codec else sound, codec


def plan_of(header: pb.Header, pacing: Pacing, backlog: float) -> Plan:
    """What the header asks for; a wrong value is an OptionError."""
    sound, _ = sound_of(header.audio)
    if header.HasField("pacing") and header.pacing.mode:
        if header.pacing.mode not in PACINGS:
            raise OptionError(f"pacing.mode: got {header.pacing.mode}, accepted: REALTIME, BURST, LEAD")
        pacing = Pacing(PACINGS[header.pacing.mode], header.pacing.lead_ms)
    return Plan(sound, header.rig[:TEXT_MOST] or DEFAULT_RIG, header.fps or FPS, pacing, header.tracks.audio,
                header.tracks.emotion, backlog, int(header.seed) % 2**63, int(header.audio.partner_channels))


def resumption_of(header: pb.Header) -> Resumption | None:
    if not header.HasField("resume"):
        return None
    wire = header.resume
    if wire.last_frame < -1 or wire.segment_frame > 2**53 or wire.last_frame > 2**53 or wire.first_sample > 2**53:
        raise OptionError(f"resume: got frame {wire.last_frame}, accepted: -1 to 2^53")
    return Resumption(wire.last_frame, wire.first_sample, wire.segment_frame, tuple(wire.last_values))


def begin(session: Session, header: pb.Header) -> None:
    """The header's own controls, in force before the first frame."""
    controls = session.controls
    if header.HasField("emotion"):
        asks.emotion(controls, 0, *_emotion(header.emotion)[:2], fade_ms=0)
    if header.HasField("gains"):
        asks.gains(controls, 0, header.gains.regions, fade_ms=0)
    if _style(header) != NORMAL and not style_fault(header):
        asks.style(controls, 0, _style(header), 0)
    _set(session, 0, header.controls, 0)


def _style(header: pb.Header) -> str:
    return NORMAL if header.style in ("", "default") else header.style


def style_fault(header: pb.Header) -> str:
    """Why the header's style cannot be had; empty where it can. An unknown one is said and not refused."""
    text = header.style
    try:
        check_option("style", f"{len(text)} characters", f"up to {TEXT_MOST}", len(text) <= TEXT_MOST)
        styles.style(_style(header))
    except OptionError as error:
        return str(error)
    return ""


def control(session: Session, wire: pb.Control) -> None:
    """Apply one control."""
    frame = _frame_of(wire)
    what = wire.WhichOneof("what") or ""
    session.hold()
    if what == "state":
        if wire.state not in STATE_NAMES:
            raise OptionError(f"state: got {wire.state}, accepted: {', '.join(STATES)}")
        session.set_state(frame, STATE_NAMES[wire.state])
    elif what == "interrupt":
        session.interrupt(wire.interrupt.release_ms if wire.interrupt.HasField("release_ms") else 100)
    elif what == "marker":
        session.marker(wire.marker.id, frame)
    elif what in _ASK:
        _ASK[what](session, session.now(frame), getattr(wire, what))
    else:
        raise OptionError(f"control: got nothing, accepted: {WHATS}")


def described_span(session: Session, wire: pb.Control) -> tuple[int, int, int]:
    """(row, native frame, native frames) that a client wants described."""
    span_ms = wire.describe.span_ms if wire.describe.HasField("span_ms") else SPAN_MS
    check_option("describe.span_ms", span_ms, f"1 to {SPAN_MOST_MS}", 1 <= span_ms <= SPAN_MOST_MS)
    first = session.now(_frame_of(wire))
    return first * session.plan.fps // FPS, first, -(-span_ms * FPS // 1000)


def _frame_of(wire: pb.Control) -> int | None:
    frame = wire.frame if wire.HasField("frame") else None
    if frame is not None and frame > 2**53:
        raise OptionError(f"control.frame: got {frame}, accepted: up to 2^53")
    return frame


def _ask_emotion(session: Session, at: int, wire: pb.Emotion) -> None:
    asks.emotion(session.controls, at, *_emotion(wire))


def _ask_gains(session: Session, at: int, wire: pb.Gains) -> None:
    asks.gains(session.controls, at, wire.regions, _fade(wire, asks.GAIN_FADE_MS))


def _ask_look(session: Session, at: int, wire: pb.LookAt) -> None:
    asks.look_at(session.controls, at, wire.yaw, wire.pitch, _fade(wire, asks.LOOK_FADE_MS), wire.release)


def _ask_set(session: Session, at: int, wire: pb.Set) -> None:
    _set(session, at, wire.values, _fade(wire, FADE_MS))


def _ask_move(session: Session, at: int, wire: pb.Move) -> None:
    at = max(at, session.controls.floor)  # as a whole
    perform(session.controls, wire.name[:TEXT_MOST], at, wire.count or 1, wire.speed or 1.0, wire.size or 1.0)


def _ask_style(session: Session, at: int, wire: pb.Style) -> None:
    asks.style(session.controls, at, wire.style[:TEXT_MOST] or NORMAL, _fade(wire, FADE_MS))


def _ask_keyframes(session: Session, at: int, wire: pb.Keyframes) -> None:
    size = len(wire.text)
    check_option("keyframes", f"{size} characters", f"up to {KEYFRAME_BYTES}", size <= KEYFRAME_BYTES)
    if "".join(wire.text.split()) != "[]":  # the description of a stream of which nothing was asked
        end = session.now(wire.until) if wire.HasField("until") else math.inf
        keys = [key for key in keyframes.keyframes(wire.text) if at + round(key.time * FPS) < end]
        keyframes.apply(session.controls, keys, at)


_ASK: dict[str, Callable[[Session, int, Any], None]] = {
    "emotion": _ask_emotion, "gains": _ask_gains, "look_at": _ask_look, "set": _ask_set, "move": _ask_move,
    "style": _ask_style, "keyframes": _ask_keyframes,
}  # fmt: skip


def _set(session: Session, at: int, values: Mapping[str, float], fade_ms: float) -> None:
    if len(values) > MAX_NAMES:
        raise OptionError(f"set: got {len(values)} names, accepted: up to {MAX_NAMES}")
    if values:
        session.controls.set(at, {name[:TEXT_MOST]: value for name, value in values.items()}, fade_ms)


def _fade(wire: Any, default: float) -> float:
    return float(wire.fade_ms) if wire.HasField("fade_ms") else default


def _emotion(wire: pb.Emotion) -> tuple[dict[str, float], float, float]:
    return dict(wire.weights), wire.intensity if wire.HasField("intensity") else 1.0, _fade(wire, asks.EMOTION_FADE_MS)


def control_table() -> list[pb.ControlInfo]:
    """Every control that `Set` takes."""
    return [pb.ControlInfo(name=one.name, default_value=one.default, low=one.low, high=one.high, unit=one.unit,
                           what=one.what) for one in CONTROLS]  # fmt: skip


def responses(items: Iterable[Item]) -> list[Answer]:
    """Items in order; rows that leave together share a message, which is made as bytes at once where it is plain."""
    out: list[Answer] = []
    rows: list[Row] = []
    for item in items:
        if isinstance(item, Row):
            rows.append(item)
            continue
        out, rows = [*out, *_frames(rows)], []
        if isinstance(item, Reached):
            out.append(pb.AnimateResponse(marker=pb.MarkerReached(id=item.id, frame=item.frame)))
        elif isinstance(item, Released):
            out.append(pb.AnimateResponse(interrupted=pb.Interrupted(
                frame=item.frame, segment_frame=item.segment_frame, dropped_samples=item.dropped)))
        elif isinstance(item, Noticed):
            out.append(pb.AnimateResponse(notice=pb.Notice(text=item.text)))
        elif isinstance(item, Described):
            out.append(pb.AnimateResponse(description=pb.Description(
                frame=item.frame, keyframes=item.keyframes, sentences=item.sentences)))
    return [*out, *_frames(rows)]


def wire(answer: Answer) -> bytes:
    """What goes over the line."""
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def _frames(rows: Sequence[Row]) -> list[Answer]:
    if not rows:
        return []
    if all(row.mood is None and not row.audio for row in rows):
        return [plain(rows)]
    message = pb.AnimateResponse(frames=pb.Frames())
    for row in rows:
        _frame(message.frames.frames.add(), row)
    return [message]


# Tags of the fields that a plain frame has (number << 3 | 2: a length follows, 0: a whole number does).
_FRAMES, _FRAME, _INDEX, _VALUES = (bytes([number << 3 | kind]) for number, kind in ((2, 2), (1, 2), (1, 0), (2, 2)))


def plain(rows: Sequence[Row]) -> bytes:
    """AnimateResponse(frames=...) of rows with index and values alone, as protobuf writes it at a sixth of the cost."""
    parts = []
    for row in rows:
        values = np.ascontiguousarray(row.values, "<f4").tobytes()
        index = _INDEX + _varint(row.index) if row.index else b""
        body = b"".join((index, _VALUES, _varint(len(values)), values)) if values else index
        parts += [_FRAME, _varint(len(body)), body]
    frames = b"".join(parts)
    return b"".join((_FRAMES, _varint(len(frames)), frames))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _frame(wire: pb.Frame, row: Row) -> None:
    wire.index = row.index
    wire.values.extend(row.values.tolist())
    if row.audio:
        wire.audio = row.audio
        wire.first_sample = row.first_sample
    if row.mood is not None:
        for name, weight in asks.named(row.mood).items():
            wire.emotion[name] = weight
