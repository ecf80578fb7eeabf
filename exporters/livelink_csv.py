"""Live Link Face recordings: the iPhone app's CSV, which Unreal imports by itself. Knows the columns only through
the rig table.

A timecode counts sixtieths of a second whatever the frame rate; its decimals are thousandths of such a frame.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator

import numpy as np

from exporters.base import ExportOptions, float_rows, joined
from exporters.csv_text import Table
from exporters.rigs import to_rig
from exporters.timing import rows_on_grid
from facerig.curves import Curves, Values
from facerig.errors import CurvesError, OptionError
from facerig.mesh import Head

RIG = "livelink-csv"
SHAPES = 52  # the rest are head and eye angles, which are signed
TICKS = 60_000  # thousandths of a sixtieth in a second
DAY = 24 * 3600

_NAME_PART = re.compile(r"[A-Za-z0-9-]+")


def write(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    if curves.start < 0:
        raise CurvesError(f"Live Link Face CSV: the take starts at frame {curves.start}; a timecode cannot be "
                          f"negative, move it first (facerig convert --start 0, in Python Curves.moved(0))")
    table = to_rig(curves, RIG)
    if options.calibrated:
        table = table.with_values(_limited(table.values))
    return joined(_lines(table))


def _limited(values: Values) -> Values:
    limited = np.array(values)
    np.clip(limited[:, :SHAPES], 0, 1, out=limited[:, :SHAPES])
    return limited


def _lines(table: Curves) -> Iterator[str]:
    count = len(table.channels)
    yield "Timecode,BlendshapeCount," + ",".join(table.channels) + "\n"
    midnight = table.start // table.fps // DAY * DAY  # a time of day; a take that passes midnight counts on
    for frame, row in enumerate(float_rows(table, "%.10f"), table.start - midnight * table.fps):
        yield f"{timecode(frame, table.fps)},{count},{row}\n"


def timecode(frame: int, fps: int) -> str:
    ticks = (frame * TICKS * 2 + fps) // (2 * fps)
    seconds, ticks = divmod(ticks, TICKS)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}:{ticks // 1000:02d}.{ticks % 1000:03d}"


def file_name(slate: str, take: int, subject: str, calibrated: bool = True) -> str:
    """The name from which Unreal's importer takes the slate, the take and the subject."""
    for what, got in (("slate", slate), ("subject", subject)):
        if not _NAME_PART.fullmatch(got):
            raise OptionError(f"{what}: got {got!r}, accepted: letters, digits and hyphens (Unreal splits at _)")
    if take < 0:
        raise OptionError(f"take: got {take}, accepted: 0 or more")
    return f"{slate}_{take}_{subject}_{'cal' if calibrated else 'raw'}.csv"


def spelt(text: str, otherwise: str) -> str:
    """In letters, digits and hyphens of ASCII (é: e); `otherwise` where that leaves nothing."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-") or otherwise


def slate_of(name: str) -> str:
    """A slate for a clip of any name.

    An underscore, which parts slate from take, becomes a hyphen; where the name has more than a slate can spell, a hash
    of it keeps the files of two names apart.
    """
    slate = spelt(name, "voice")
    if slate != name.replace("_", "-"):
        slate += f"-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return slate


def from_table(table: Table, name: str, fps: int | None = None) -> Curves:
    seconds = [_seconds(text, name, line) for line, text in enumerate(table.first, 2)]
    return rows_on_grid(name, tuple(table.header[2:]), seconds, table.numbers[:, 1:], fps)


def _seconds(text: str, name: str, line: int) -> float:
    parts = text.split(":")
    try:
        hours, minutes, whole, frames = (float(part) for part in parts)
    except ValueError:
        raise CurvesError(f"{name}: line {line}: timecode {text!r}, accepted: HH:MM:SS:FF.mmm") from None
    return hours * 3600 + minutes * 60 + whole + frames / 60
