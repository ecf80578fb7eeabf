"""CSV tables other than Live Link's: plain wide, NVIDIA's animation_frames, Unreal curve tables (CSV and JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from exporters import livelink_csv
from exporters.base import ExportOptions, float_rows, joined
from exporters.csv_text import line, numbers, read_table
from exporters.rigs import to_rig
from exporters.timing import on_grid, rows_on_grid
from facerig.curves import Curves
from facerig.errors import CurvesError, RigError
from facerig.mesh import Head

A2F_PREFIX = "blendShapes."
A2F_RIGS = {68: "a2f68", 52: "a2f"}


def write_wide(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return joined(_wide(curves))


def _wide(curves: Curves) -> Iterator[str]:
    yield line(["seconds", *curves.channels])
    for frame, row in enumerate(float_rows(curves), curves.start):
        yield f"{frame / curves.fps:.9f}{',' if row else ''}{row}\n"


def write_a2f(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    """NVIDIA's animation_frames.csv: an unnamed index column, seconds, blendShapes.<Name>."""
    return joined(_a2f(as_a2f(curves)))


def as_a2f(curves: Curves) -> Curves:
    """In NVIDIA's names: 68 where the curves carry a tongue, else the 52; curves of other rigs keep their own."""
    tongue = any(name.lower().startswith("tongue") and name.lower() != "tongueout" for name in curves.channels)
    try:
        return to_rig(curves, A2F_RIGS[68 if tongue else 52])
    except RigError:
        return curves


def _a2f(curves: Curves) -> Iterator[str]:
    yield line(["", "timeCode", *(A2F_PREFIX + name for name in curves.channels)])
    for index, row in enumerate(float_rows(curves)):
        yield f"{index},{(curves.start + index) / curves.fps!r},{row}\n"


def write_curve_table_csv(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    """Unreal's curve table: a row a curve, a column an instant."""
    return joined(_curve_table(curves))


def _curve_table(curves: Curves) -> Iterator[str]:
    yield "".join(f",{seconds}" for seconds in _seconds(curves)) + "\n"
    for name in curves.channels:
        cells = ",".join(f"{value:.9g}" for value in curves[name].tolist())
        yield line([name])[:-1] + f",{cells}\n"


def write_curve_table_json(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return joined(_curve_table_json(curves))


def _curve_table_json(curves: Curves) -> Iterator[str]:
    seconds = _seconds(curves)
    before = "[\n"
    for name in curves.channels:
        cells = ",".join(f'"{at}":{value:.9g}' for at, value in zip(seconds, curves[name].tolist(), strict=True))
        yield f'{before}{{"Name":{json.dumps(name, ensure_ascii=False)},{cells}}}'
        before = ",\n"
    yield "\n]\n" if curves.channels else "[]\n"


def _seconds(curves: Curves) -> list[str]:
    return [f"{frame / curves.fps:.6f}".rstrip("0").rstrip(".") for frame in range(curves.start, curves.end)]


def read_csv(data: bytes, name: str, fps: int | None = None) -> Curves:
    """Any of the CSV files above and Live Link's, told apart by the header; a row is a frame but in curve tables."""
    table = read_table(data, name)
    header = table.header
    first, second = (header[0].strip().lower(), header[1].strip().lower() if len(header) > 1 else "")
    if first == "timecode" and second == "blendshapecount":
        return livelink_csv.from_table(table, name, fps)
    if first == "" and second == "timecode":
        channels = tuple(cell.removeprefix(A2F_PREFIX) for cell in header[2:])
        return rows_on_grid(name, channels, table.numbers[:, 0], table.numbers[:, 1:], fps)
    if first == "" and len(header) > 1 and _is_number(header[1]):
        return on_grid(name, tuple(table.first), numbers([header[1:]], name)[0], table.numbers.T, fps)
    if first in ("seconds", "time", "time_s", "t"):
        seconds = numbers(([text] for text in table.first), name).reshape(len(table.first))
        return rows_on_grid(name, tuple(header[1:]), seconds, table.numbers, fps)
    raise CurvesError(f"{name}: header starts {', '.join(header[:3])!r}, accepted: Live Link Face (Timecode,"
                      f"BlendshapeCount,...), a column of seconds, Audio2Face (,timeCode,...) or an Unreal curve table")


def read_curve_table_json(table: list[dict[str, object]], name: str, fps: int | None = None) -> Curves:
    try:
        columns = {str(row["Name"]): {float(at): value for at, value in row.items() if at != "Name"} for row in table}
        seconds = sorted({at for column in columns.values() for at in column})
        values = [np.interp(seconds, *_points(column)) for column in columns.values()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CurvesError(f"{name}: not an Unreal curve table ({error!r})") from None
    return on_grid(name, tuple(columns), seconds, np.array(values).reshape(len(columns), len(seconds)).T, fps)


def _points(column: dict[float, object]) -> tuple[list[float], list[float]]:
    at = sorted(column)
    return at, [float(str(column[key])) for key in at]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
