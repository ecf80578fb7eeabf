"""The binary FBX container: nodes with typed properties to bytes. Knows records, footer and clock, and no scene or
face.

A record holds its absolute end offset; 7.4 counts in 32 bits, 7.5 in 64. Arrays above a threshold are deflated.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerig.errors import OutputError

MAGIC = b"Kaydara FBX Binary  \x00\x1a\x00"
FOOTER_ID = bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e")
FOOTER_MAGIC = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")
# The three go together: readers that check compute the footer's id from the creation time.
FILE_ID = bytes.fromhex("28b32aebb6240cc2bfc8b02aa92bfcf1")
CREATION_TIME = "1970-01-01 10:00:00:000"

TICKS = 46_186_158_000  # FBX time units in a second
TIME_MODES = {120: 1, 100: 2, 60: 3, 50: 4, 48: 5, 30: 6, 25: 10, 24: 11, 1000: 12, 96: 15, 72: 16}
CUSTOM_MODE = 14

COMPRESS_FROM = 4096  # bytes; below, deflating saves less than it costs readers
LEVEL = 1  # six per cent larger than at level 6, in a third of the time


@dataclass(frozen=True)
class Node:
    """One record. `ended` forces the closing sentinel on a record without children, which some readers insist on."""

    name: str
    properties: tuple[bytes, ...] = ()
    children: Sequence[Node] = field(default=())
    ended: bool = False


def integer(value: int) -> bytes:
    return struct.pack("<ci", b"I", value)


def long(value: int) -> bytes:
    return struct.pack("<cq", b"L", value)


def double(value: float) -> bytes:
    return struct.pack("<cd", b"D", value)


def flag(value: bool) -> bytes:
    return struct.pack("<c?", b"C", value)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<cI", b"S", len(data)) + data


def raw(value: bytes) -> bytes:
    return struct.pack("<cI", b"R", len(value)) + value


def named(name: str, kind: str) -> bytes:
    """An object's name and class as the binary form joins them."""
    return text(name.encode() + b"\x00\x01" + kind.encode())


def doubles(values: ArrayLike) -> bytes:
    return _array(b"d", np.asarray(values, "<f8"))


def floats(values: ArrayLike) -> bytes:
    return _array(b"f", np.asarray(values, "<f4"))


def integers(values: ArrayLike) -> bytes:
    return _array(b"i", np.asarray(values, "<i4"))


def longs(values: ArrayLike) -> bytes:
    return _array(b"l", np.asarray(values, "<i8"))


def _array(code: bytes, values: NDArray[Any]) -> bytes:
    data = values.tobytes()
    packed = zlib.compress(data, LEVEL) if len(data) >= COMPRESS_FROM else data
    head = struct.pack("<cIII", code, values.size, int(packed is not data), len(packed))
    return head + packed


def leaf(name: str, *properties: bytes) -> Node:
    return Node(name, properties)


def ticks(frame: int, fps: int) -> int:
    """The instant of a frame, to the nearest tick; exact at every rate that divides a second's ticks."""
    return (frame * TICKS * 2 + fps) // (2 * fps)


def encode(nodes: Sequence[Node], version: int = 7400) -> bytes:
    """A complete file: header, records, closing sentinel, footer."""
    form = struct.Struct("<QQQB" if version >= 7500 else "<IIIB")
    out = bytearray(MAGIC + struct.pack("<I", version))
    for node in nodes:
        _append(out, node, form)
    out += bytes(form.size)
    out += FOOTER_ID + bytes(4)
    out += bytes(16 - len(out) % 16)
    out += struct.pack("<I", version) + bytes(120) + FOOTER_MAGIC
    if version < 7500 and len(out) >= 2**32:
        raise OutputError("FBX 7.4 files hold less than 4 GB; write version 7500 instead")
    return bytes(out)


def _append(out: bytearray, node: Node, form: struct.Struct) -> None:
    at = len(out)
    name = node.name.encode()
    size = sum(len(value) for value in node.properties)
    out += bytes(form.size) + name
    for value in node.properties:
        out += value
    for child in node.children:
        _append(out, child, form)
    if node.children or node.ended:
        out += bytes(form.size)
    end = len(out) if form.size > 20 else len(out) & 0xFFFFFFFF
    form.pack_into(out, at, end, len(node.properties), size, len(name))
