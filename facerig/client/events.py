"""What comes out of a stream. Plain values; knows no gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Frame:
    """The face at one instant."""

    index: int
    values: tuple[float, ...]
    audio: bytes = b""
    first_sample: int = 0
    emotion: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Marker:
    """Everything before the marker is out."""

    id: str
    frame: int


@dataclass(frozen=True)
class Interrupted:
    """A barge-in took effect: audio sent after it begins at frame `segment_frame`."""

    frame: int
    segment_frame: int


@dataclass(frozen=True)
class Notice:
    """The server said something that a person may want to read."""

    text: str


@dataclass(frozen=True)
class Description:
    """What is asked of the face from a frame on, as far as the controls say it."""

    frame: int
    keyframes: str
    """JSON that people edit: `Stream.keyframes` and `facerig animate --emotion FILE` read it."""
    sentences: tuple[str, ...]
    """The same in words, a line a keyframe."""


Event = Frame | Marker | Interrupted | Notice
