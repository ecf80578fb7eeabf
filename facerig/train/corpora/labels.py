"""Small readers of label files: Praat TextGrid, ESPS/xlabel (lablaut, MAU), plain columns, EMU json, SSFF tracks.

Each gives (start, end, symbol) rows in seconds, or a track; none maps symbols.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import InputError

Rows = list[tuple[float, float, str]]

_INTERVAL = re.compile(r'xmin = ([\d.eE+-]+)\s+xmax = ([\d.eE+-]+)\s+text = "((?:[^"]|"")*)"')


def read_textgrid(path: Path, tier: str) -> Rows:
    """One interval tier of a long TextGrid."""
    text = path.read_text("utf-8-sig")
    pieces = re.split(r'name = "', text)
    for piece in pieces[1:]:
        if piece.startswith(f'{tier}"'):
            return [(float(a), float(b), t.replace('""', '"').strip()) for a, b, t in _INTERVAL.findall(piece)]
    raise InputError(f"{path.name}: got no tier {tier!r}")


def read_columns(path: Path) -> Rows:
    """'start end label ...' a line."""
    rows = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [(float(r[0]), float(r[1]), r[2]) for r in rows]


def read_xlabel(path: Path) -> list[tuple[float, str]]:
    """(time, label) rows after the '#' header of an xlabel file; a label of diacritics alone comes out empty."""
    found = []
    for line in path.read_text("latin-1").splitlines():
        match = re.match(r"\s*([\d.]+)\s+-?\d+(?: ([^\t]*)(?:\t.*)?|\t(\S+))\s*$", line)
        if match:
            found.append((float(match.group(1)), (match.group(2) or match.group(3) or "").strip()))
    return found


def read_emu(data: dict[str, Any], level: str) -> Rows:
    """One SEGMENT level of an EMU annotation; times from samples."""
    rate = float(data["sampleRate"])
    for held in data["levels"]:
        if held["name"] == level:
            return [
                (i["sampleStart"] / rate, (i["sampleStart"] + i["sampleDur"] + 1) / rate, i["labels"][0]["value"])
                for i in held["items"]
            ]
    raise InputError(f"EMU annotation: got no level {level!r}")


def read_emu_file(path: Path, level: str) -> Rows:
    """One level of an _annot.json."""
    return read_emu(json.loads(path.read_text("utf-8")), level)


@dataclass(frozen=True)
class Track:
    """A regularly sampled track: value k is at start + k / rate seconds."""

    rate: float
    start: float
    columns: tuple[str, ...]
    values: NDArray[np.float64]  # [frames, columns]

    def at(self, times: NDArray[np.float64], column: str) -> NDArray[np.float64]:
        """Linear interpolation of a column at instants, NaN outside."""
        own = self.start + np.arange(len(self.values)) / self.rate
        return np.interp(times, own, self.values[:, self.columns.index(column)], left=np.nan, right=np.nan)


_SSFF_TYPES = {"FLOAT": "f4", "DOUBLE": "f8", "SHORT": "i2", "LONG": "i4", "BYTE": "i1", "CHAR": "i1"}


def read_ssff(data: bytes) -> Track:
    """Simple Signal File Format: a text header to a line of dashes, then interleaved binary columns."""
    mark = re.search(rb"\n-{8,}\n", data)
    if not data.startswith(b"SSFF") or mark is None:
        raise InputError(f"SSFF: got {data[:12]!r}, accepted: a header from 'SSFF' to a line of dashes")
    order, rate, start = "<", 0.0, 0.0
    fields: list[tuple[str, str, tuple[int, ...]]] = []
    for line in data[: mark.start()].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["Machine"]:
            order = ">" if words[1] in ("SPARC", "MIPS") else "<"
        elif words[:1] == ["Record_Freq"]:
            rate = float(words[1])
        elif words[:1] == ["Start_Time"]:
            start = float(words[1])
        elif words[:1] == ["Column"]:
            fields.append((words[1], order + _SSFF_TYPES[words[2]], (int(words[3]),)))
    body = data[mark.end() :]
    kind = np.dtype(fields)
    held = np.frombuffer(body[: len(body) // kind.itemsize * kind.itemsize], dtype=kind)
    names = [f"{n}{i}" if s[0] > 1 else n for n, _, s in fields for i in range(s[0])]
    values = np.concatenate([held[n].astype(np.float64) for n, _, _ in fields], axis=1)
    return Track(rate, start, tuple(names), values)
