"""Reading and checking what protocols share: bounded fields, text, finite numbers. Knows no protocol.

Every failure is a ProtocolError that names the field; nothing is allocated before its length has been checked against
the bytes at hand.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerig.errors import ProtocolError

Floats = NDArray[np.float32]


class Reader:
    """A cursor over one message: fields in order, never past the end."""

    __slots__ = ("at", "data", "name", "order")

    def __init__(self, data: bytes, order: str, name: str) -> None:
        self.data, self.order, self.name, self.at = bytes(data), order, name, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, layout: str, what: str) -> tuple[Any, ...]:
        """Fields of a struct layout in the message's byte order."""
        form = self.order + layout
        size = struct.calcsize(form)
        if size > self.left:
            raise ProtocolError(f"{self.name}: {what} needs {size} bytes, {self.left} are left")
        fields = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return fields

    def one(self, layout: str, what: str) -> Any:
        return self.take(layout, what)[0]

    def raw(self, size: int, what: str) -> bytes:
        if not 0 <= size <= self.left:
            raise ProtocolError(f"{self.name}: {what} of {size} bytes, {self.left} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self, size: int, what: str, longest: int) -> str:
        if size > longest:
            raise ProtocolError(f"{self.name}: {what} of {size} bytes, accepted: up to {longest}")
        return utf8(self.raw(size, what), f"{self.name}: {what}")

    def floats(self, count: int, what: str) -> tuple[float, ...]:
        values: tuple[float, ...] = self.take(f"{count}f", what)
        if not all(map(math.isfinite, values)):
            raise ProtocolError(f"{self.name}: {what} hold a NaN or an infinity")
        return values

    def end(self) -> None:
        if self.left:
            raise ProtocolError(f"{self.name}: {self.left} bytes after the last field")


def utf8(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{what}: not UTF-8 at byte {error.start}") from None


def encoded(text: str, what: str, longest: int) -> bytes:
    """UTF-8 within a length; a lone surrogate is no text."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ProtocolError(f"{what}: {text!r} cannot be written as UTF-8") from None
    if len(data) > longest:
        raise ProtocolError(f"{what}: {len(data)} bytes of UTF-8, accepted: up to {longest}")
    return data


def finite(values: ArrayLike, names: Sequence[str] = ()) -> Floats:
    """Values as float32; a NaN, an infinity or a number beyond float32 is refused by name."""
    with np.errstate(over="ignore"):
        array = np.asarray(values, np.float64).astype(np.float32).reshape(-1)
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        place = int(bad[0])
        name = names[place] if place < len(names) else f"value {place}"
        raise ProtocolError(f"{name} is {array[place]}; only finite values are sent")
    return array


def unit(values: ArrayLike, names: Sequence[str] = ()) -> Floats:
    """Finite values cut to 0..1, for protocols whose readers take nothing else."""
    cut: Floats = np.clip(finite(values, names), 0.0, 1.0)
    return cut
