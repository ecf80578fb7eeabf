"""iFacialMocap and FaceMotion3D: faces as a line of text, from a phone (or from us) to a PC. Pure functions.

    name-int|...|=head#rx,ry,rz,px,py,pz|rightEye#rx,ry,rz|leftEye#rx,ry,rz|

Whole percents, degrees, metres. The PC asks for the stream with a fixed text, which also chooses the form: iFacialMocap
writes names with _L and _R and "-" before the number ("&" in its second version), FaceMotion3D ARKit's names and "&".
Over TCP a frame ends with "___iFacialMocap". Angles are those of Unity's Euler(x, y, z). It knows no socket.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facerig.errors import ProtocolError
from unreal_bridge.face import AHEAD, Turn
from unreal_bridge.wire import Floats, finite, utf8

PORT = 49983
FM3D_PORT = 49993
TCP_PORT = 49986  # on the PC; the app's page has also named 49896
TCP_END = b"___iFacialMocap"
LARGEST = 65_507
MAX_FIELDS = 512


@dataclass(frozen=True)
class Dialect:
    """How one of the two programs writes a frame."""

    name: str
    separator: str
    sides: tuple[str, str]  # what stands for Left and Right at a name's end
    tcp: bool = False


@dataclass(frozen=True)
class Line:
    """A frame as read: weights 0..1 by ARKit's camelCase names, rotations, position in metres."""

    weights: dict[str, float]
    head: Turn = AHEAD
    left_eye: Turn = AHEAD
    right_eye: Turn = AHEAD
    position: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))


IFM = Dialect("iFacialMocap", "-", ("_L", "_R"))
IFM2 = Dialect("iFacialMocap v2", "&", ("_L", "_R"))
FM3D = Dialect("FaceMotion3D", "&", ("Left", "Right"))
_KEY = "sahuasouryya9218sauhuiayeta91555dy3719"
# What the PC sends to ask for a stream.
REQUESTS: dict[str, Dialect] = {
    f"iFacialMocap_{_KEY}": IFM,
    f"iFacialMocap_{_KEY}|sendDataVersion=v2": IFM2,
    f"iFacialMocap_UDPTCP_{_KEY}": replace(IFM, tcp=True),
    f"iFacialMocap_UDPTCP_{_KEY}|sendDataVersion=v2": replace(IFM2, tcp=True),
    "FACEMOTION3D_OtherStreaming": FM3D,
    "FACEMOTION3D_OtherStreaming|protocol=tcp": replace(FM3D, tcp=True),
}
STOP = f"iFacialMocap_UDPTCPSTOP_{_KEY}"


def request(dialect: Dialect) -> bytes:
    """The text that asks a phone for this dialect."""
    return next(text for text, known in REQUESTS.items() if known == dialect).encode()


def asked(data: bytes) -> Dialect | None:
    """The dialect that a datagram asks for, or None where it is no request."""
    return REQUESTS.get(data[:200].decode("utf-8", "replace").strip()) if len(data) < 200 else None


def encode(names: Sequence[str], weights: Floats, head: Turn = AHEAD, left_eye: Turn = AHEAD,
           right_eye: Turn = AHEAD, position: Sequence[float] = (0.0, 0.0, 0.0), dialect: Dialect = IFM) -> bytes:
    """One frame; weights are cut to 0..1 and rounded to whole percents, which is all that the format holds."""
    percents = np.rint(np.clip(finite(weights, names), 0.0, 1.0) * 100).astype(int).tolist()
    parts = [f"{spelled(name, dialect)}{dialect.separator}{percent}"
             for name, percent in zip(names, percents, strict=True)]
    place = finite(position, "xyz").tolist()
    parts.append(f"=head#{_numbers([*_euler(head), *place])}")
    parts += [f"rightEye#{_numbers(_euler(right_eye))}", f"leftEye#{_numbers(_euler(left_eye))}", ""]
    data = "|".join(parts).encode()
    return data + TCP_END if dialect.tcp else data


def decode(data: bytes) -> Line:
    """The frame in a datagram of either program; fields with unknown keys are left out."""
    if len(data) > LARGEST:
        raise ProtocolError(f"iFacialMocap frame of {len(data)} bytes, accepted: up to {LARGEST}")
    text = utf8(bytes(data).removesuffix(TCP_END), "iFacialMocap frame")
    fields = re.split(r"[|=]", text)
    if len(fields) > MAX_FIELDS:
        raise ProtocolError(f"iFacialMocap frame: {len(fields)} fields, accepted: up to {MAX_FIELDS}")
    weights: dict[str, float] = {}
    vectors: dict[str, list[float]] = {}
    for entry in filter(None, fields):
        key, mark, rest = entry.partition("#")
        if mark:
            vectors[key] = [_number(number, key) for number in rest.split(",")[:6]]
        else:
            name, value = _weight(entry)
            weights[name] = value
    if not weights and not vectors:
        raise ProtocolError("iFacialMocap frame: no field in it")
    head = vectors.get("head", [])
    position = head[3:6] if len(head) == 6 else [0.0] * 3
    return Line(weights, _turn(head), _turn(vectors.get("leftEye", [])), _turn(vectors.get("rightEye", [])),
                (position[0], position[1], position[2]))


def spelled(name: str, dialect: Dialect) -> str:
    """ARKit's name as the dialect writes it. jawLeft, mouthRight and their like are directions, not sides."""
    if name in _DIRECTIONS:
        return name
    for side, suffix in zip(("Left", "Right"), dialect.sides, strict=True):
        if name.endswith(side):
            return name.removesuffix(side) + suffix
    return name


_DIRECTIONS = frozenset({"jawLeft", "jawRight", "mouthLeft", "mouthRight"})


def _weight(entry: str) -> tuple[str, float]:
    # "&" first: only there may the number be negative, and "-" would then cut it.
    name, mark, number = entry.partition("&") if "&" in entry else entry.partition("-")
    if not mark or not name:
        raise ProtocolError(f"iFacialMocap frame: field {entry[:40]!r}, accepted: name-number or name&number")
    plain = re.sub(r"_(L|R)$", lambda side: {"L": "Left", "R": "Right"}[side[1]], name)
    return plain, _number(number, name) / 100


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ProtocolError(f"iFacialMocap frame: {what[:40]!r} has {text[:40]!r}, accepted: a number") from None
    if not np.isfinite(np.float32(number) if abs(number) < 3e38 else np.inf):
        raise ProtocolError(f"iFacialMocap frame: {what[:40]!r} is {text[:40]!r}; numbers must be finite")
    return number


def _euler(turn: Turn) -> list[float]:
    degrees = turn.degrees
    return [degrees.down, degrees.right, 0.0 - degrees.tilt]  # "0.0 -" so that no "-0" is written


def _turn(vector: list[float]) -> Turn:
    if len(vector) < 3:
        return AHEAD
    down, right, roll = (float(np.radians(number)) for number in vector[:3])
    return Turn(right, down, -roll)


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6f}" for value in finite(values).tolist())
