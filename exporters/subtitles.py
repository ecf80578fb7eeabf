"""Words or phones as subtitles: SubRip (.srt) and WebVTT (.vtt), both ways. Knows marks and clocks, no channels.

One line a word where the curves carry words, else one a phone. Read back, the marks stand on curves without
channels.
"""

from __future__ import annotations

import logging
import re

import numpy as np

from exporters.base import ExportOptions
from exporters.csv_text import text_of
from exporters.timing import check_span
from facerig.curves import Curves, Mark
from facerig.errors import CurvesError
from facerig.mesh import Head

REMARKS = ("NOTE", "STYLE", "REGION")  # WebVTT's blocks that are no subtitles
SILENT = frozenset(("", "sil", "noise", "sp", "spn"))
log = logging.getLogger(__name__)
_TIMES = re.compile(r"(?:(\d+):)?(\d\d):(\d\d)[.,](\d{3})\s*-->\s*(?:(\d+):)?(\d\d):(\d\d)[.,](\d{3})")
_SAID = re.compile(_TIMES.pattern + r"[^\n]*\n\s*\S")  # times, and words on the lines after


def write_srt(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    rows = [f"{number}\n{_span(mark, curves.fps, ',')}\n{mark.label}\n" for number, mark in enumerate(_said(curves), 1)]
    return "\n".join(rows).encode()


def write_vtt(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    rows = [f"{_span(mark, curves.fps, '.')}\n{_escaped(mark.label)}\n" for mark in _said(curves)]
    return "\n".join(["WEBVTT\n", *rows]).encode()


def _said(curves: Curves) -> list[Mark]:
    for kind in ("word", "phone"):
        marks = (mark for mark in curves.marks if mark.kind == kind and mark.label not in SILENT)
        found = [mark for mark in marks if mark.end > mark.start]
        if found:
            if found[0].start < 0:
                raise CurvesError("subtitles: the take starts before frame 0; move it first (facerig convert "
                                  "--start 0, in Python Curves.moved(0))")
            return found
    raise CurvesError("subtitles: the curves carry no words or phones; animate with a transcript to get them")


def _span(mark: Mark, fps: int, point: str) -> str:
    return f"{_clock(mark.start, fps, point)} --> {_clock(mark.end, fps, point)}"


def _clock(frame: int, fps: int, point: str) -> str:
    whole = (frame * 2000 + fps) // (2 * fps)
    seconds, thousandths = divmod(whole, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{thousandths:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    rate = fps or 60
    marks = []
    blocks = re.split(r"\n\s*\n", text_of(data, name).replace("\r\n", "\n").strip())
    for block in blocks:
        times = _TIMES.search(block)
        if times:
            said = block[times.end() :].partition("\n")[2]  # what else stands on the line of times is layout
            label = said.strip().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
            start, end = (_frame(times.groups()[at : at + 4], rate) for at in (0, 4))
            marks.append(Mark(start, end, "word", label))
    if not marks:
        raise CurvesError(f"{name}: holds no subtitles")
    if not _SAID.search(blocks[-1]) and not blocks[-1].startswith(REMARKS):
        log.warning("%s: may be cut short: its last subtitle lacks its times or its words", name)
    frames = max(mark.end for mark in marks)
    check_span(name, frames, 1)
    return Curves((), rate, np.zeros((frames, 0), np.float32), 0, tuple(marks))


def _frame(parts: tuple[str | None, ...], fps: int) -> int:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts)
    return round(((hours * 60 + minutes) * 60 + seconds + thousandths / 1000) * fps)
