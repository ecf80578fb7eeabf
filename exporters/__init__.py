"""Curves (and a Head) to the bytes of every file that animation tools open, and back.

`EXPORTERS` and `READERS` are the format tables, by file suffix; a longer suffix names a variant (`take.a2f.csv`). Nothing
here touches the disk but `read`; `facerig.files.write_file` is what writes.
"""

from __future__ import annotations

import os
from pathlib import Path

from exporters.base import Exporter, ExportOptions, Reader
from exporters.rigs import to_rig
from facerig.curves import Curves
from facerig.errors import CurvesError, InputError, OptionError
from facerig.mesh import Head

__all__ = ["EXPORTERS", "READERS", "ExportOptions", "Exporter", "Reader", "export", "format_of", "read"]

_KEYS = ("keys",)
_SCENE = ("keys", "joints", "name")

EXPORTERS: dict[str, Exporter] = {row.suffix: row for row in (
    Exporter(".csv", "Live Link Face CSV", "livelink_csv:write", heeds=("calibrated",)),
    Exporter(".wide.csv", "plain CSV with seconds", "tables:write_wide", empty=True),
    Exporter(".a2f.csv", "Audio2Face animation_frames CSV", "tables:write_a2f"),
    Exporter(".unreal.csv", "Unreal curve table CSV", "tables:write_curve_table_csv"),
    Exporter(".json", "facerig JSON", "own:write_json", empty=True),
    Exporter(".unreal.json", "Unreal curve table JSON", "tables:write_curve_table_json"),
    Exporter(".npz", "facerig npz", "own:write_npz", empty=True),
)}

READERS: dict[str, Reader] = {row.suffix: row for row in (
    Reader(".csv", "Live Link Face, wide, Audio2Face or Unreal curve table CSV", "tables:read_csv"),
    Reader(".json", "facerig, Audio2Face, Azure, Unreal or Rhubarb JSON", "json_files:read"),
    Reader(".npz", "facerig or FLAME npz", "own:read_npz"),
)}


def format_of(name: str | os.PathLike[str]) -> str:
    """The longest suffix of a file name (or a bare `csv`, `.a2f.csv`) that the table knows."""
    text = os.fspath(name).lower()
    text = Path(text).name
    parts = text.lstrip(".").split(".")
    for first in range(len(parts)):
        suffix = "." + ".".join(parts[first:])
        if suffix in EXPORTERS:
            return suffix
    raise OptionError(f"format: got {os.fspath(name)!r}, accepted: {', '.join(EXPORTERS)}")


def export(curves: Curves, suffix: str | os.PathLike[str], head: Head | None = None,
           options: ExportOptions | None = None) -> bytes:
    """The file's bytes, complete and checked, for a suffix, a format name or a whole file name."""
    chosen = options or ExportOptions()
    exporter = EXPORTERS[format_of(suffix)]
    if chosen.rig:
        curves = to_rig(curves, chosen.rig)
    return exporter(curves, head, chosen)


def read(path: str | os.PathLike[str], fps: int | None = None) -> Curves:
    """Curves from a file; `fps` where the file holds no clock or a wrong one."""
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise OptionError(f"{file.name}: suffix {file.suffix!r}, readable: {', '.join(READERS)}")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    if not data:
        raise CurvesError(f"{file.name}: the file is empty")
    return reader(data, file.name, fps)
