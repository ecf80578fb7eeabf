"""Whether a sound file is as long as its own header says: copies and downloads break off. Knows headers, no samples."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

UNKNOWN_SIZE = 0x7FFFF000  # of sound in 32 bits, and above: written by programs that did not know the length yet
SLACK = 0.1  # seconds that may be missing: programs count the bytes of an mp3 with or without its first frame and tags
LONGEST_PAGE = 65_307  # bytes of a page of Ogg


@dataclass(frozen=True)
class _Chunks:
    """How a container lays out its chunks, each a name, a size and so many bytes."""

    first: int
    name: int
    size: str
    counted: int  # bytes of its own head that a chunk's size counts too
    step: int
    sound: bytes


_WAV = _Chunks(12, 4, "<I", 0, 2, b"data")
_CHUNKS = {"WAV": _WAV, "WAVEX": _WAV, "RF64": _WAV, "AIFF": _Chunks(12, 4, ">I", 0, 2, b"SSND"),
           "W64": _Chunks(40, 16, "<Q", 24, 8, b"data")}


def cut_short(file: Path, kind: str, seconds: float) -> str:
    """A note where a file ends before its header says; '' where it is whole or does not say.

    `kind` is libsndfile's name of the container, `seconds` what libsndfile takes it to hold: in an mp3 that is what the
    header says, elsewhere what is there.
    """
    if not file.is_file():  # a pipe has no length
        return ""
    size = file.stat().st_size
    with file.open("rb") as stream:
        if kind == "OGG":
            return "" if _ends(stream, size) else (f"{file}: may be cut short: holds {seconds:.2f} s, and no mark that "
                                                   "its sound ends there")
        begin, claimed = _claim(stream, kind)
    held = size - begin
    if not 0 < held < claimed or not seconds:
        return ""
    there, whole = (seconds * held / claimed, seconds) if kind == "MP3" else (seconds, seconds * claimed / held)
    return "" if whole - there < SLACK else short_of(file, there, whole)


def short_of(file: Path, there: float, whole: float) -> str:
    """The note of a file that holds fewer seconds than its header says."""
    return f"{file}: is cut short: holds {there:.2f} s of the {whole:.2f} s in its header"


def left_open(file: Path, kind: str) -> str:
    """Why a file seems to hold no sound: its header says 0 bytes of it, and others follow; '' where that is not so."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        begin, claimed = _claim(stream, kind)
        behind = stream.seek(0, 2) - begin
    return f"its header says 0 bytes of sound, and {behind} follow" if begin and not claimed and behind > 0 else ""


def _claim(stream: BinaryIO, kind: str) -> tuple[int, int]:
    """Where the sound begins, and how many bytes of it the header says there are; 0 where it does not say."""
    if kind in _CHUNKS:
        return _chunk(stream, _CHUNKS[kind])
    other = _HEADS.get(kind)
    return other(stream) if other else (0, 0)


def _chunk(stream: BinaryIO, chunks: _Chunks) -> tuple[int, int]:
    at, long, width, end = chunks.first, 0, chunks.name + struct.calcsize(chunks.size), stream.seek(0, 2)
    while at + width <= end:
        stream.seek(at)
        head = stream.read(width)
        size = max(0, int(struct.unpack(chunks.size, head[chunks.name :])[0]) - chunks.counted)
        if head.startswith(b"ds64"):  # of RF64: the sizes that need 64 bits
            long = int.from_bytes(stream.read(16)[8:], "little")
        if head.startswith(chunks.sound):
            return at + width, long if width == 8 and size >= UNKNOWN_SIZE else size
        at += width + -(-size // chunks.step) * chunks.step
    return 0, 0


def _au(stream: BinaryIO) -> tuple[int, int]:
    head = stream.read(12)
    begin, size = struct.unpack(">II", head[4:]) if len(head) == 12 and head[:4] == b".snd" else (0, 0)
    return begin, size if size < UNKNOWN_SIZE else 0


def _mp3(stream: BinaryIO) -> tuple[int, int]:
    """By the table in the first frame: its name, flags (1: frames are said, 2: bytes are), frames, bytes."""
    tag = stream.read(10)
    begin = 10 + sum((byte & 127) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=False))
    begin = begin if tag[:3] == b"ID3" else 0
    stream.seek(begin)
    table = re.search(rb"(?:Xing|Info)\0\0\0[\3\7\x0b\x0f].{4}(.{4})", stream.read(2048), re.DOTALL)
    return begin, int.from_bytes(table[1], "big") if table else 0


_HEADS: dict[str, Callable[[BinaryIO], tuple[int, int]]] = {"AU": _au, "MP3": _mp3}


def _ends(stream: BinaryIO, size: int) -> bool:
    """Whether the last page of Ogg is whole and says that it is the last."""
    stream.seek(max(0, size - LONGEST_PAGE))
    tail = stream.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
