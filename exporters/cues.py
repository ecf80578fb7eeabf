"""Mouth cues for drawn characters: Papagayo / Moho switch tracks and Rhubarb's TSV, XML and JSON, both ways.

Both speak of a handful of drawn mouths; the tables lead there from the 15 visemes and back to a typical one.
"""

from __future__ import annotations

import json
import logging
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from typing import Any

import numpy as np

from exporters.base import ExportOptions
from exporters.csv_text import text_of
from exporters.speech import visemes
from exporters.timing import check_span
from facerig.curves import Curves
from facerig.errors import CurvesError
from facerig.mesh import Head
from facerig.phones import VISEMES15

# viseme | Preston Blair's mouth (Papagayo, Moho) | Rhubarb's mouth
MOUTHS: tuple[tuple[str, str, str], ...] = (
    ("sil", "rest", "X"),
    ("PP", "MBP", "A"),
    ("FF", "FV", "G"),
    ("TH", "L", "B"),
    ("DD", "etc", "B"),
    ("kk", "etc", "B"),
    ("CH", "etc", "B"),
    ("SS", "etc", "B"),
    ("nn", "L", "H"),
    ("RR", "etc", "B"),
    ("aa", "AI", "D"),
    ("E", "E", "C"),
    ("ih", "E", "C"),
    ("oh", "O", "E"),
    ("ou", "U", "F"),
)
TO_BLAIR = {viseme: blair for viseme, blair, _ in MOUTHS}
TO_RHUBARB = {viseme: rhubarb for viseme, _, rhubarb in MOUTHS}
# Reading: a typical viseme of each mouth, with those that the tables above never write.
FROM_BLAIR = {"rest": "sil", "MBP": "PP", "FV": "FF", "L": "nn", "etc": "DD", "AI": "aa", "E": "E", "O": "oh",
              "U": "ou", "WQ": "ou"}
FROM_RHUBARB = {"X": "sil", "A": "PP", "B": "DD", "C": "E", "D": "aa", "E": "oh", "F": "ou", "G": "FF", "H": "nn"}
READ_FPS = {"dat": 24}  # Papagayo's own rate, which its files do not state
MOHO = "MohoSwitch1"
CLOSED = {"rest", "X", "A"}  # a last line says when the sound ends, with the mouth that it ends with

log = logging.getLogger(__name__)

Span = tuple[int, int, str]


def _spans(curves: Curves, names: dict[str, str]) -> list[Span]:
    """Rows [first, last) of each drawn mouth; neighbours that look alike are one."""
    if curves.start < 0:
        raise CurvesError("mouth cues: the take starts before frame 0; move it first (facerig convert --start 0)")
    out: list[Span] = []
    for cue in visemes(curves):
        name = names[cue.viseme]
        if out and out[-1][2] == name:
            out[-1] = (out[-1][0], cue.last, name)
        else:
            out.append((cue.first, cue.last, name))
    return out


def write_moho(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    """A switch track: frame (counted from 1) and mouth, at the curves' own frame rate."""
    lines = [MOHO, *(f"{curves.start + first + 1} {name}" for first, _, name in _spans(curves, TO_BLAIR))]
    if lines[-1].split()[-1] != "rest":
        lines.append(f"{curves.end + 1} rest")
    return ("\n".join(lines) + "\n").encode()


def _seconds(curves: Curves) -> list[tuple[str, str, str]]:
    def at(row: int) -> str:
        return f"{(curves.start + row) / curves.fps:.2f}"

    return [(at(first), at(last), name) for first, last, name in _spans(curves, TO_RHUBARB)]


def write_tsv(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    rows = _seconds(curves)
    end = [f"{rows[-1][1]}\tX\n"]  # the last line says when the sound ends
    return "".join([f"{start}\t{name}\n" for start, _, name in rows] + end).encode()


def write_xml(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    from xml.sax.saxutils import escape

    cues = "".join(f'    <mouthCue start="{start}" end="{end}">{name}</mouthCue>\n'
                   for start, end, name in _seconds(curves))
    duration = f"{curves.end / curves.fps:.2f}"
    return ('<?xml version="1.0" encoding="utf-8"?>\n<rhubarbResult>\n  <metadata>\n'
            f"    <soundFile>{escape(options.name)}</soundFile>\n    <duration>{duration}</duration>\n"
            f"  </metadata>\n  <mouthCues>\n{cues}  </mouthCues>\n</rhubarbResult>\n").encode()


def write_json(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    cues = ",\n".join(f'    {{ "start": {start}, "end": {end}, "value": "{name}" }}'
                      for start, end, name in _seconds(curves))
    sound = json.dumps(options.name, ensure_ascii=False)
    return (f'{{\n  "metadata": {{\n    "soundFile": {sound},\n    "duration": {curves.end / curves.fps:.2f}\n  }},\n'
            f'  "mouthCues": [\n{cues}\n  ]\n}}\n').encode()


# ---- reading: one-hot visemes ---------------------------------------------------------------------------------------


def _curves(spans: Iterable[tuple[float, float, str]], table: dict[str, str], fps: int, name: str) -> Curves:
    """Visemes that are wholly on or off, between the first and the last instant (in frames)."""
    spans = list(spans)
    if not all(math.isfinite(start) and math.isfinite(end) for start, end, _ in spans):
        raise CurvesError(f"{name}: a time is not a finite number")
    rows = [(round(start), round(end), mouth) for start, end, mouth in spans]
    if not rows:
        raise CurvesError(f"{name}: holds no mouth cues")
    unknown = [mouth for _, _, mouth in rows if mouth not in table]
    if unknown:
        raise CurvesError(f"{name}: mouth {unknown[0]!r}, accepted: {', '.join(table)}")
    if any(end < start for start, end, _ in rows) or sorted(rows, key=lambda row: row[0]) != rows:
        raise CurvesError(f"{name}: the cues are not in order of time")
    start, end = rows[0][0], max(row[1] for row in rows)
    check_span(name, end - start, len(VISEMES15))
    values = np.zeros((end - start, len(VISEMES15)), np.float32)
    for first, last, mouth in rows:
        values[first - start : last - start] = 0
        values[first - start : last - start, VISEMES15.index(table[mouth])] = 1
    return Curves(VISEMES15, fps, values, start)


def read_moho(data: bytes, name: str, fps: int | None = None) -> Curves:
    lines = [line.split() for line in text_of(data, name).splitlines() if line.strip()]
    if not lines or lines[0][0] != MOHO or any(len(line) != 2 or not line[0].isdigit() for line in lines[1:]):
        raise CurvesError(f"{name}: not a Moho switch track (first line {MOHO}, then frame and mouth)")
    starts = [(int(frame) - 1, mouth) for frame, mouth in lines[1:]]
    _tell_open(name, [mouth for _, mouth in starts])
    return _curves(_until_next(starts), FROM_BLAIR, fps or READ_FPS["dat"], name)


def _until_next(starts: list[tuple[int, str]]) -> list[tuple[float, float, str]]:
    """Each cue lasts until the next; the last one only closes the one before, unless it stands alone."""
    ends = [start for start, _ in starts[1:]]
    spans = [(float(a), float(b), mouth) for (a, mouth), b in zip(starts, ends, strict=False)]
    return spans or [(float(a), float(a + 1), mouth) for a, mouth in starts]


def read_tsv(data: bytes, name: str, fps: int | None = None) -> Curves:
    rate = fps or 60
    lines = [line for line in text_of(data, name).splitlines() if line.strip()]
    found = [re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s+([A-HX])\s*", line) for line in lines]
    if not found or not all(found):
        raise CurvesError(f"{name}: not a Rhubarb TSV file (seconds, tab, one of A to H or X)")
    starts = [(float(match[1]) * rate, match[2]) for match in found if match]
    _tell_open(name, [mouth for _, mouth in starts])
    ends = [start for start, _ in starts[1:]]
    spans = [(a, b, mouth) for (a, mouth), b in zip(starts, ends, strict=False)]
    return _curves(spans, FROM_RHUBARB, rate, name)


def _tell_open(name: str, mouths: list[str]) -> None:
    """A file of lines has no end of its own; Papagayo and Rhubarb close the mouth in its last one."""
    if mouths and mouths[-1] not in CLOSED:
        log.warning("%s: may be cut short: its last mouth is %s, and no closed one (rest; X or A) ends the sound", name,
                    mouths[-1])


def read_xml(data: bytes, name: str, fps: int | None = None) -> Curves:
    text = text_of(data, name)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise CurvesError(f"{name}: a Rhubarb file has no document type; entities are refused")
    try:
        cues = ElementTree.fromstring(text).iter("mouthCue")
        rows = [(float(cue.attrib["start"]), float(cue.attrib["end"]), (cue.text or "").strip()) for cue in cues]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise CurvesError(f"{name}: not a Rhubarb XML file ({error!r})") from None
    return _timed(rows, fps or 60, name)


def read_json(document: dict[str, Any], name: str, fps: int | None = None) -> Curves:
    try:
        rows = [(float(cue["start"]), float(cue["end"]), str(cue["value"])) for cue in document["mouthCues"]]
    except (KeyError, TypeError, ValueError) as error:
        raise CurvesError(f"{name}: not a Rhubarb JSON file ({error!r})") from None
    return _timed(rows, fps or 60, name)


def _timed(rows: list[tuple[float, float, str]], fps: int, name: str) -> Curves:
    return _curves([(start * fps, end * fps, mouth) for start, end, mouth in rows], FROM_RHUBARB, fps, name)
