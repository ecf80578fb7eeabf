"""The table of a batch: one line of dialogue a row, read from CSV or TSV. Knows columns, not how lines are made.

A row that cannot be used is kept with its problem, so that it shows in the report and stops nothing.
"""

from __future__ import annotations

import csv
import io
import logging
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facerig.controls import COLUMNS as CONTROLS
from facerig.errors import InputError, OptionError, did_you_mean
from facerig.transcript.read import READERS

log = logging.getLogger(__name__)

# our column | names that tables give it (lower case, without spaces)
COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("audio", ("audio", "audiopath", "path", "file", "wav")),
    ("character", ("character", "speaker", "subject")),
    ("emotion", ("emotion", "mood")),
    ("transcript", ("transcript", "text", "words")),
    ("formats", ("formats", "outputformats", "format", "output", "outputs")),
    ("seed", ("seed",)),
    ("style", ("style", "manner")),
    ("state", ("state",)),
)
MAX_TABLE_BYTES = 64_000_000
DEFAULT_CHARACTER = "facerig"  # the subject of a Live Link CSV where none is named
DEFAULT_FOLDER = "lines"  # no name of a package: Python started beside it would take the folder for that


@dataclass(frozen=True)
class Line:
    """One row: what to animate, for whom, and what to write."""

    number: int
    """of the row in the file, the header being 1"""
    audio: Path
    character: str = ""
    emotion: str = ""
    transcript: str = ""
    formats: tuple[str, ...] = ()
    problem: str = ""
    """why the row cannot be used, empty where it can"""
    seed: int | None = None
    style: str = ""
    state: str = ""
    sets: tuple[str, ...] = ()
    """NAME=VALUE of the columns that are named as controls"""

    @property
    def name(self) -> str:
        """Letters, digits and hyphens of the audio file's name: what every tool takes as a file name."""
        return _plain(self.audio.stem) or f"line{self.number}"

    @property
    def folder(self) -> str:
        return _plain(self.character) or DEFAULT_FOLDER

    @property
    def transcript_file(self) -> Path | None:
        """Where the cell names a file, which lies beside the audio, and does not hold the words."""
        text = self.transcript.strip()
        path = self.audio.parent / text
        named = text.lower().endswith(tuple(READERS)) and (len(text.split()) == 1 or os.path.isfile(path))
        return path if named else None


def _plain(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text.strip()).replace("_", "-").strip("-")


def read_table(path: Path, formats: tuple[str, ...] = (".csv",)) -> list[Line]:
    """All rows; audio paths are relative to the table. `formats` are those of rows that name none."""
    rows = _rows(path)
    header = {_bare(cell): cell for cell in rows[0] if cell}
    columns = {ours: next((header[name] for name in names if name in header), None) for ours, names in COLUMNS}
    if columns["audio"] is None:
        raise InputError(f"{path.name}: header {', '.join(rows[0])!r} has no column audio; columns are audio, "
                         f"character, emotion, transcript, formats, seed, style, state and any control (only the "
                         f"first is needed)")
    _tell_unread(path, header)
    at = {ours: rows[0].index(cell) for ours, cell in columns.items() if cell is not None}
    at |= {control: rows[0].index(header[_bare(control)]) for control in CONTROLS if _bare(control) in header}
    lines = [_line(path, number, {ours: _cell(row, place) for ours, place in at.items()}, formats,
                   _beyond(row, len(rows[0])))
             for number, row in enumerate(rows[1:], 2) if any(cell.strip() for cell in row)]
    if not lines:
        raise InputError(f"{path.name}: the table has a header and no lines")
    return lines


def _tell_unread(path: Path, header: Mapping[str, str]) -> None:
    """A misspelt column is one that nobody reads, and tables have such of their own: told and not refused."""
    known = {name for _, names in COLUMNS for name in names} | {_bare(control) for control in CONTROLS}
    unread = [f"{cell}{did_you_mean(bare, known, 1)}" for bare, cell in header.items() if bare not in known]
    if unread:
        log.warning("%s: no column of ours: %s", path.name, ", ".join(unread))


def _bare(name: str) -> str:
    """Column names are compared without case, spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]", "", name.lower())


def _rows(path: Path) -> list[list[str]]:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(f"{path.name}: over {MAX_TABLE_BYTES} bytes; a table of lines is a small text file")
        text = path.read_bytes().decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name}: not a UTF-8 CSV table ({error})") from None
    if not rows or not any(cell.strip() for cell in rows[0]):
        raise InputError(f"{path.name}: the table is empty")
    return [[cell.strip() for cell in row] for row in rows]


def _cell(row: list[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _beyond(row: list[str], columns: int) -> str:
    """Why a row cannot be used that holds more than the header names; empty where it can."""
    if not any(row[columns:]):
        return ""
    return f"got {len(row)} cells under {columns} columns, accepted: one each; put a text that holds commas in quotes"


def _line(table: Path, number: int, cells: Mapping[str, str], formats: tuple[str, ...], beyond: str) -> Line:
    problem, wanted = "", formats
    try:
        wanted = read_formats(cells.get("formats", "")) or formats
    except OptionError as error:
        problem = str(error)
    audio, seed = cells["audio"], cells.get("seed", "")
    if not audio:
        problem = "the column audio is empty"
    if seed and not (seed.isascii() and seed.isdigit() and len(seed) < 19):
        problem = f"seed: got {seed[:40]!r}, accepted: a whole number"
    sets = tuple(f"{name}={cells[name]}" for name in CONTROLS if cells.get(name))
    return Line(number, table.parent / audio, cells.get("character", ""), cells.get("emotion", ""),
                cells.get("transcript", ""), wanted, beyond or problem, int(seed) if seed and not problem else None,
                cells.get("style", ""), cells.get("state", ""), sets)


def read_formats(text: str) -> tuple[str, ...]:
    """Suffixes of a cell such as `csv fbx` or `.glb;.a2f.json`."""
    import exporters

    return tuple(dict.fromkeys(exporters.format_of(word) for word in re.split(r"[\s;,|]+", text) if word))


