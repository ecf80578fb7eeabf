"""What a stream tells beside its rows. Knows no message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reached:
    """A marker: everything before it is out."""

    id: str
    frame: int


@dataclass(frozen=True)
class Released:
    """An interrupt took effect."""

    frame: int
    segment_frame: int
    dropped: int


@dataclass(frozen=True)
class Noticed:
    """Something was asked for that there is not."""

    text: str


@dataclass(frozen=True)
class Described:
    """What the controls do from a row on."""

    frame: int
    keyframes: str
    sentences: tuple[str, ...]
