"""The "Live Link Face" source of Unreal 5.6 and later: control messages over TCP, animation over UDP. Pure functions.

Here Unreal is the client: it connects to a phone (or to us) on port 14785, asks for subjects, names a UDP port and gets
datagrams there. The control names are free text, so a subject can carry a MetaHuman's own CTRL_expressions_*. `Session`
is one connection's conversation, bytes in and bytes out; it knows no socket and no clock. All integers are
little-endian.

Control frame: "CPSCONTROL" NUL, u16 version, u32 length, JSON. Datagram: u16 version, u16 length, subject id,
i32 frame, f32 sub-frame, i32 rate numerator, i32 rate denominator, u16 count, count x u16 of 1/65535, 6 x f32 head.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from facerig.errors import ProtocolError
from unreal_bridge.wire import Reader, encoded, finite, unit, utf8

PORT = 14785
MAGIC = b"CPSCONTROL\0"
CONTROL_VERSION = 1
# Our longest answer (two subjects with 300 names) is 12 kB; Unreal's requests are a few hundred bytes.
MAX_PAYLOAD = 1 << 20
DATAGRAM_VERSION = 1
LARGEST = 2048  # Unreal's receive buffer
STEPS = 65_535
HEAD = ("roll", "pitch", "yaw", "x", "y", "z")
_HEADER = struct.Struct("<11sHI")

Json: TypeAlias = dict[str, Any]


# ---- animation datagrams --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Datagram:
    """One frame of one subject: controls 0..1 in the announced order; head roll, pitch, yaw, x, y, z."""

    subject: str
    frame: int
    values: tuple[float, ...]
    subframe: float = 0.0
    numerator: int = 60
    denominator: int = 1
    head: tuple[float, ...] = (0.0,) * 6
    version: int = DATAGRAM_VERSION


def encode(subject: str, frame: int, values: ArrayLike, head: ArrayLike = (0.0,) * 6, subframe: float = 0.0,
           rate: tuple[int, int] = (60, 1), names: Sequence[str] = ()) -> bytes:
    """A datagram; controls outside 0..1 are cut, since the wire holds nothing else."""
    name = encoded(subject, "subject id", 512)
    levels = np.rint(unit(values, names).astype(np.float64) * STEPS).astype("<u2")
    pose = finite(head, HEAD).astype("<f4")
    if len(pose) != len(HEAD):
        raise ProtocolError(f"head: got {len(pose)} numbers, accepted: {', '.join(HEAD)}")
    try:
        clock = struct.pack("<ifii", frame, float(finite([subframe], ["sub-frame"])[0]), *rate)
        count = struct.pack("<H", len(levels))
    except struct.error as error:
        raise ProtocolError(f"frame {frame} at rate {rate} with {len(levels)} controls does not fit: {error}") from None
    start = struct.pack("<HH", DATAGRAM_VERSION, len(name)) + name
    data = start + clock + count + levels.tobytes() + pose.tobytes()
    if len(data) > LARGEST:
        raise ProtocolError(f"datagram of {len(data)} bytes, accepted: up to {LARGEST}; announce fewer controls")
    return data


def decode(data: bytes) -> Datagram:
    reader = Reader(data, "<", "Live Link 5.6 datagram")
    version, length = reader.take("HH", "head")
    subject = reader.text(length, "subject id", 512)
    frame, subframe, numerator, denominator = reader.take("ifii", "frame time")
    levels = np.frombuffer(reader.raw(2 * reader.one("H", "count"), "controls"), "<u2")
    head = reader.floats(len(HEAD), "head")
    reader.end()
    if not np.isfinite(subframe):
        raise ProtocolError("Live Link 5.6 datagram: sub-frame is not finite")
    values = tuple(float(value) for value in levels / STEPS)
    return Datagram(subject, frame, values, subframe, numerator, denominator, head, version)


# ---- control frames -------------------------------------------------------------------------------------------


def pack_control(message: Mapping[str, Any]) -> bytes:
    payload = json.dumps(message, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    if len(payload) > MAX_PAYLOAD:
        raise ProtocolError(f"control message of {len(payload)} bytes, accepted: up to {MAX_PAYLOAD}")
    return _HEADER.pack(MAGIC, CONTROL_VERSION, len(payload)) + payload


@dataclass
class ControlReader:
    """Cuts a TCP stream into JSON messages; holds at most one incomplete frame."""

    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Json]:
        self._buffer += data
        out: list[Json] = []
        while (message := self._next()) is not None:
            out.append(message)
        return out

    def _next(self) -> Json | None:
        known = bytes(self._buffer[: len(MAGIC)])
        if not MAGIC.startswith(known):
            raise ProtocolError(f"control stream: got {known!r}, accepted: a frame that starts with CPSCONTROL")
        if len(self._buffer) < _HEADER.size:
            return None
        _, version, length = _HEADER.unpack_from(self._buffer)
        if version != CONTROL_VERSION or length > MAX_PAYLOAD:
            raise ProtocolError(f"control frame: version {version} with {length} bytes, accepted: version "
                                f"{CONTROL_VERSION} with up to {MAX_PAYLOAD}")
        if len(self._buffer) < _HEADER.size + length:
            return None
        payload = bytes(self._buffer[_HEADER.size : _HEADER.size + length])
        del self._buffer[: _HEADER.size + length]
        return parse_json(payload)


def parse_json(payload: bytes) -> Json:
    """A JSON object, or a ProtocolError (also for one nested too deep for the parser)."""
    try:
        message = json.loads(utf8(payload, "control message"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"control message: not JSON ({error})") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"control message: got {type(message).__name__}, accepted: a JSON object")
    return message


# ---- one connection -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """What can be streamed: `kind` is "arkit" or "mha" (a MetaHuman's controls)."""

    id: str
    name: str
    kind: str
    controls: tuple[str, ...]
    version: int = 1

    def describe(self) -> Json:
        metadata = {"type": self.kind, "version": self.version, "controls": list(self.controls)}
        return {"id": self.id, "name": self.name, "animationMetadata": metadata}


@dataclass(frozen=True)
class Device:
    """What /information answers; `exportPort` is where takes would be fetched, which we do not offer (0)."""

    id: str
    name: str
    model: str = "facerig"
    platform: str = "Python"
    platform_version: str = "3"
    software: str = "facerig"
    software_version: str = "0"

    def describe(self) -> Json:
        return {"id": self.id, "name": self.name, "model": self.model, "platformName": self.platform,
                "platformVersion": self.platform_version, "softwareName": self.software,
                "softwareVersion": self.software_version, "exportPort": 0}


@dataclass(frozen=True)
class Stream:
    """Where Unreal wants datagrams, and of which subjects."""

    port: int
    subjects: tuple[str, ...]


class Refused(Exception):
    """A request that is answered with the protocol's error form: a verdict for the wire, not one of our errors."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


class Session:
    """One TCP connection's conversation: requests in, answers out; `stream` says what to send meanwhile."""

    def __init__(self, device: Device, subjects: Sequence[Subject], new_id: Callable[[], str],
                 milliseconds: Callable[[], int]) -> None:
        self.device, self.subjects = device, tuple(subjects)
        self.stream: Stream | None = None
        self.id: str | None = None
        self.closing = False  # Unreal has ended the session: close once the answer is out
        self._new_id, self._milliseconds = new_id, milliseconds
        self._reader = ControlReader()

    def feed(self, data: bytes) -> bytes:
        """Answers to whatever requests the bytes complete; ProtocolError where the stream itself is broken."""
        return b"".join(pack_control(self._answer(message)) for message in self._reader.feed(data)
                        if message.get("type", "request") == "request")

    def _answer(self, request: Json) -> Json:
        path = request.get("addressPath")
        number = request.get("transactionId")
        answer: Json = {"sessionId": str(request.get("sessionId", "")), "addressPath": path if _is_text(path) else "",
                        "transactionId": number if _is_u32(number) else 0,
                        "timestamp": self._milliseconds(), "type": "response"}
        try:
            body = self._handle(path, number, request)
        except Refused as refusal:
            answer |= {"error": refusal.error, "description": refusal.description}
        else:
            answer |= {} if body is None else {"body": body}
        return answer

    def _handle(self, path: object, number: object, request: Json) -> Json | None:
        if not _is_u32(number):
            raise Refused("invalidRequest", f"transactionId: got {number!r}, accepted: 0 to 4294967295")
        handler = _HANDLERS.get(path) if _is_text(path) else None
        if handler is None:
            raise Refused("unknownPath", f"addressPath: got {path!r}, accepted: {', '.join(_HANDLERS)}")
        if handler is not Session._start and (self.id is None or request.get("sessionId") != self.id):
            raise Refused("invalidSession", "sessionId is not that of a running session; begin with /session/start")
        body = request.get("body", {})
        return handler(self, body if isinstance(body, dict) else {})

    def _start(self, body: Json) -> Json:
        """A repeated start is a reconnect over the same socket: the former session ends."""
        self.id, self.stream, self.closing = self._new_id(), None, False
        return {"sessionId": self.id}

    def _information(self, body: Json) -> Json:
        return self.device.describe()

    def _subjects(self, body: Json) -> Json:
        return {"subjects": [subject.describe() for subject in self.subjects]}

    def _stream_start(self, body: Json) -> None:
        port, wanted = body.get("streamPort"), body.get("subjects")
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65_535:
            raise Refused("invalidPort", f"streamPort: got {port!r}, accepted: 1 to 65535")
        self.stream = Stream(port, self._wanted(wanted))

    def _wanted(self, wanted: object) -> tuple[str, ...]:
        if not isinstance(wanted, list) or not wanted:
            raise Refused("invalidSubjects", "subjects: accepted: a list of {id, name} from /stream/subjects")
        known = {subject.id for subject in self.subjects}
        ids = [entry.get("id") if isinstance(entry, dict) else None for entry in wanted]
        unknown = [name for name in ids if not _is_text(name) or name not in known]
        if unknown:
            raise Refused("unknownSubject", f"subject: got {unknown[0]!r}, accepted: {', '.join(sorted(known))}")
        return tuple(dict.fromkeys(str(name) for name in ids))

    def _stream_stop(self, body: Json) -> None:
        self.stream = None

    def _keep_alive(self, body: Json) -> None:
        """The answer is what Unreal asks for."""

    def _stop(self, body: Json) -> None:
        self.id, self.stream, self.closing = None, None, True


_HANDLERS: dict[Any, Callable[[Session, Json], Json | None]] = {
    "/session/start": Session._start,
    "/session/keep-alive": Session._keep_alive,
    "/session/stop": Session._stop,
    "/information": Session._information,
    "/stream/subjects": Session._subjects,
    "/stream/start": Session._stream_start,
    "/stream/stop": Session._stream_stop,
}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_u32(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32
