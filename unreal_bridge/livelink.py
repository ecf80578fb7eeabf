"""Live Link Face over UDP, versions 1 to 6: what an iPhone sends to Unreal's port 11111. Pure functions on bytes.

Everything is big-endian. Only version 6 is accepted by current engines, and only with 61 values; a packet that stops
after its header says that no face is in view. Values are in the order of the rig `livelink`; older versions hold a
beginning of it (version 1 ends before the tongue). It knows no clock and no socket.

| version | after the version byte |
|---|---|
| 1, 2 | subject, f64 seconds, u32 frame |
| 3 | subject, u32 frame |
| 4 | device, subject, u32 frame |
| 5 | device, subject, i32 hours, minutes, seconds, frames, u32 rate |
| 6 | device, subject, i32 frame, f32 sub-frame, i32 rate numerator, i32 rate denominator |

then u8 count and count x f32. Texts are an i32 byte length and UTF-8.
"""

from __future__ import annotations

import math
import struct
import uuid
from dataclasses import dataclass
from typing import Any

from facerig.errors import ProtocolError
from unreal_bridge.wire import Reader, encoded, finite

PORT = 11111
COUNT = 61
# Unreal's receive buffer is 1 + 16 + 1 + 244 + 2 x 256 characters; with 1-byte characters that leaves 774 bytes.
LARGEST = 774
LONGEST_NAME = 256
_NAMESPACE = uuid.UUID("6f1d1f52-6a7e-5a34-9c0e-0f6f0a5f61ce")


@dataclass(frozen=True)
class Packet:
    """One frame of one subject; `values` is None where no face is in view. Fields of other versions keep defaults."""

    subject: str
    device: str = ""
    frame: int = 0
    subframe: float = 0.0
    numerator: int = 60
    denominator: int = 1
    values: tuple[float, ...] | None = None
    version: int = 6
    seconds: float = 0.0  # versions 1 and 2
    timecode: tuple[int, int, int, int] = (0, 0, 0, 0)  # version 5: hours, minutes, seconds, frames


def device_id(subject: str) -> str:
    """A 36-character UUID that belongs to a subject's name.

    Readers with fixed offsets need 36 bytes, and Unreal drops a device's former subject when its name changes, so that
    two subjects of one sender must not share an id.
    """
    return str(uuid.uuid5(_NAMESPACE, subject))


def encode(packet: Packet) -> bytes:
    """The datagram of a packet in the packet's own version."""
    if packet.version not in _TIMES:
        raise ProtocolError(f"Live Link Face version: got {packet.version!r}, accepted: 1 to 6")
    parts = [bytes([packet.version])]
    if packet.version >= 4:
        parts.append(_text(packet.device, "device id"))
    parts += [_text(packet.subject, "subject name"), _packed_time(packet)]
    if packet.values is not None:
        parts.append(_packed_values(packet.values, packet.version))
    data = b"".join(parts)
    if len(data) > LARGEST:
        raise ProtocolError(f"Live Link Face packet of {len(data)} bytes, accepted: up to {LARGEST}; shorten the names")
    return data


def decode(data: bytes) -> Packet:
    """The packet that a datagram holds; ProtocolError where it breaks the layout."""
    reader = Reader(data, ">", "Live Link Face packet")
    version = reader.one("B", "version")
    if version not in _TIMES:
        raise ProtocolError(f"Live Link Face packet: version {version}, accepted: 1 to 6")
    device = _read_text(reader, "device id") if version >= 4 else ""
    subject = _read_text(reader, "subject name")
    time = _read_time(reader, version)
    values = None
    if reader.left:
        count = reader.one("B", "count")
        if count > COUNT or (version == 6 and count != COUNT):
            raise ProtocolError(f"Live Link Face packet: {count} values, accepted: {COUNT}")
        values = reader.floats(count, "values")
    reader.end()
    return Packet(subject=subject, device=device, values=values, version=version, **time)


# The frame time of each version: struct layout and the fields it fills.
_TIMES: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("dI", ("seconds", "frame")),
    2: ("dI", ("seconds", "frame")),
    3: ("I", ("frame",)),
    4: ("I", ("frame",)),
    5: ("iiiiI", ("timecode", "numerator")),
    6: ("ifii", ("frame", "subframe", "numerator", "denominator")),
}


def _packed_time(packet: Packet) -> bytes:
    layout, fields = _TIMES[packet.version]
    numbers: list[float] = []
    for name in fields:
        value = getattr(packet, name)
        numbers += value if isinstance(value, tuple) else [value]
    if not all(map(math.isfinite, numbers)):
        raise ProtocolError(f"Live Link Face time: got {numbers}, accepted: finite numbers")
    try:
        return struct.pack(">" + layout, *numbers)
    except (struct.error, OverflowError) as error:
        raise ProtocolError(f"Live Link Face time: got {numbers}, which do not fit the packet ({error})") from None


def _read_time(reader: Reader, version: int) -> dict[str, Any]:
    layout, fields = _TIMES[version]
    numbers = reader.take(layout, "frame time")
    if not all(map(math.isfinite, numbers)):
        raise ProtocolError("Live Link Face packet: frame time is not finite")
    if version == 5:
        return {"timecode": numbers[:4], "numerator": numbers[4]}
    return dict(zip(fields, numbers, strict=True))


def _packed_values(values: tuple[float, ...], version: int) -> bytes:
    if len(values) > COUNT or (version == 6 and len(values) != COUNT):
        raise ProtocolError(f"Live Link Face values: got {len(values)}, accepted: {COUNT}")
    return bytes([len(values)]) + finite(values).astype(">f4").tobytes()


def _text(text: str, what: str) -> bytes:
    data = encoded(text, f"Live Link Face {what}", LONGEST_NAME)
    return struct.pack(">i", len(data)) + data


def _read_text(reader: Reader, what: str) -> str:
    return reader.text(reader.one("i", f"length of the {what}"), what, LONGEST_NAME)
