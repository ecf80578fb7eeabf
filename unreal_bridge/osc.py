"""Open Sound Control 1.0 messages and bundles: int32, float32 and text arguments. Knows nothing of faces."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import TypeAlias

from facerig.errors import ProtocolError
from unreal_bridge.wire import Reader, encoded, utf8

Argument: TypeAlias = int | float | str
Message: TypeAlias = tuple[str, tuple[Argument, ...]]

LARGEST = 65_507  # the most that a UDP datagram carries
MAX_DEPTH = 8  # bundles in bundles
MAX_MESSAGES = 4096
_BUNDLE = b"#bundle\0"
_NOW = b"\0\0\0\0\0\0\0\1"  # the time tag that means "at once"


def message(address: str, *arguments: Argument) -> bytes:
    """One message; the tags follow from the Python types."""
    if not address.startswith("/"):
        raise ProtocolError(f"OSC address: got {address!r}, accepted: text that starts with /")
    packed = [_packed(argument) for argument in arguments]
    tags = "," + "".join(tag for tag, _ in packed)
    return _text(address) + _text(tags) + b"".join(data for _, data in packed)


def bundle(messages: Iterable[bytes]) -> bytes:
    """Messages that take effect together, now."""
    return _BUNDLE + _NOW + b"".join(struct.pack(">i", len(data)) + data for data in messages)


def bundles(messages: Iterable[bytes], largest: int) -> list[bytes]:
    """As few bundles as keep the order and stay within `largest` bytes each."""
    out: list[list[bytes]] = [[]]
    size = head = len(_BUNDLE) + len(_NOW)
    for data in messages:
        if out[-1] and size + 4 + len(data) > largest:
            out.append([])
            size = head
        out[-1].append(data)
        size += 4 + len(data)
    return [bundle(part) for part in out if part]


def decode(data: bytes) -> list[Message]:
    """Every message of a datagram, bundles opened, in order."""
    if len(data) > LARGEST:
        raise ProtocolError(f"OSC packet of {len(data)} bytes, accepted: up to {LARGEST}")
    out: list[Message] = []
    _decode(bytes(data), out, 0)
    return out


def _decode(data: bytes, out: list[Message], depth: int) -> None:
    if not data.startswith(_BUNDLE):
        out += _message(data)
        if len(out) > MAX_MESSAGES:
            raise ProtocolError(f"OSC packet: more than {MAX_MESSAGES} messages")
        return
    if depth >= MAX_DEPTH:
        raise ProtocolError(f"OSC packet: bundles nested more than {MAX_DEPTH} deep")
    reader = Reader(data, ">", "OSC bundle")
    reader.raw(16, "head")
    while reader.left:
        _decode(reader.raw(reader.one("i", "size of an element"), "element"), out, depth + 1)


def _message(data: bytes) -> list[Message]:
    """The message, or nothing where it has arguments of foreign types: the rest of the bundle still counts."""
    reader = Reader(data, ">", "OSC message")
    address = _read_text(reader, "address")
    if not address.startswith("/"):
        raise ProtocolError(f"OSC message: address {address[:40]!r} does not start with /")
    tags = _read_text(reader, "type tags") if reader.left else ","
    if not tags.startswith(","):
        raise ProtocolError("OSC message: type tags do not start with a comma")
    if not set(tags[1:]) <= set("ifs"):
        return []
    arguments = tuple(_argument(reader, tag) for tag in tags[1:])
    reader.end()
    return [(address, arguments)]


def _argument(reader: Reader, tag: str) -> Argument:
    if tag == "s":
        return _read_text(reader, "text argument")
    value: int | float = reader.one(tag, f"argument {tag}")
    if not math.isfinite(value):
        raise ProtocolError("OSC message: an argument is not finite")
    return value


def _packed(argument: Argument) -> tuple[str, bytes]:
    if isinstance(argument, str):
        return "s", _text(argument)
    tag = "f" if isinstance(argument, float) else "i"
    try:
        if not math.isfinite(argument):
            raise ValueError("not finite")
        return tag, struct.pack(">" + tag, argument)
    except (struct.error, OverflowError, ValueError) as error:
        raise ProtocolError(f"OSC argument {argument!r} cannot be sent: {error}") from None


def _text(text: str) -> bytes:
    data = encoded(text, "OSC text", LARGEST)
    if b"\0" in data:
        raise ProtocolError(f"OSC text {text!r} holds a NUL")
    return data + b"\0" * (4 - len(data) % 4)


def _read_text(reader: Reader, what: str) -> str:
    stop = reader.data.find(b"\0", reader.at)
    if stop < 0:
        raise ProtocolError(f"{reader.name}: {what} has no end")
    text = reader.raw(stop - reader.at, what)
    padding = reader.raw(4 - len(text) % 4, f"padding of the {what}")
    if padding.strip(b"\0"):
        raise ProtocolError(f"{reader.name}: {what} is not padded with NUL")
    return utf8(text, f"{reader.name}: {what}")
