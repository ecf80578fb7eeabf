"""Maya's text animation: .anim (animImportExport) and .atom (atomImportExport), both ways. Knows curves as
attributes.

The attributes sit on one node (`node` of the options: a blendShape node's name). Angles of tangents are those of a
slope in value a second. Never opened in a running Maya; the syntax follows Maya's documentation of the two formats.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from exporters.base import ExportOptions, joined
from exporters.csv_text import text_of
from exporters.keys import Track, hermite, tracks
from exporters.timing import check_span
from facerig.curves import Curves
from facerig.errors import CurvesError
from facerig.mesh import Head

log = logging.getLogger(__name__)

Keys = NDArray[np.float64]  # a row a key: frame, value, slope into it, slope out of it

VERSION = "2022"
TIME_UNITS = {24: "film", 25: "pal", 30: "ntsc", 48: "show", 50: "palf", 60: "ntscf", 15: "game"}
RATES = {name: rate for rate, name in TIME_UNITS.items()}
# Further rates that Maya knows by number.
NUMBERED = frozenset((2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 40, 75, 80, 90, 100, 120, 125, 150, 200, 240, 250, 300, 375,
                      400, 500, 600, 750))
MAX_NUMBER = 1e15
MOST_NAMED = 5
# How a tangent of a kind leaves or reaches its key: a slope in value a frame, NaN for a straight line, infinite for a
# step (the key's own value until the next key, or the next one's at once). `fixed` ones state their angle.
STEP, STEP_NEXT = math.inf, -math.inf
TANGENTS = {"linear": math.nan, "flat": 0.0, "step": STEP, "stepnext": STEP_NEXT}
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_CODE = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*')
# What a whole file ends in: a block, or a statement that is not the name of a curve whose data would follow (a node
# without curves is `anim NODE 0 1 0;`).
_WHOLE_END = re.compile(r"[};]\Z")
_CURVE_NAME = re.compile(r"\banim\s+\S+\s+[^\s\d;][^;{}]*;\Z")


def write_anim(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return joined(_anim(curves, options))


def write_atom(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return joined(_atom(curves, options))


def _anim(curves: Curves, options: ExportOptions) -> Iterator[str]:
    _check(curves)
    yield f"animVersion 1.1;\nmayaVersion {VERSION};\n{_units(curves)}"
    for number, (name, track) in enumerate(tracks(curves, options.keys).items()):
        yield f"anim {name} {name} {options.node} 0 0 {number};\n"
        yield from _data(track, curves.fps, "")


def _atom(curves: Curves, options: ExportOptions) -> Iterator[str]:
    _check(curves)
    yield f"atomVersion 1.0;\nmayaVersion {VERSION};\n{_units(curves)}dagNode {{\n  {options.node} 0 0;\n"
    for number, (name, track) in enumerate(tracks(curves, options.keys).items()):
        yield f"  anim {name} {name} {number};\n"
        yield from _data(track, curves.fps, "  ")
    yield "}\n"


def _units(curves: Curves) -> str:
    unit = TIME_UNITS.get(curves.fps, f"{curves.fps}fps")
    return (f"timeUnit {unit};\nlinearUnit cm;\nangularUnit deg;\nstartTime {curves.start};\n"
            f"endTime {curves.end - 1};\n")


def _check(curves: Curves) -> None:
    if curves.fps not in TIME_UNITS and curves.fps not in NUMBERED:
        raise CurvesError(f"Maya knows no time unit of {curves.fps} frames a second; resample to 24, 25, 30, 50, 60 "
                          f"or 120")
    for name in curves.channels:
        if not _ATTRIBUTE.fullmatch(name):
            raise CurvesError(f"channel {name!r}: Maya's attributes are made of letters, digits and _; rename it")


def _data(track: Track, fps: int, indent: str) -> Iterator[str]:
    yield (f"{indent}animData {{\n{indent}  input time;\n{indent}  output unitless;\n{indent}  weighted 0;\n"
           f"{indent}  preInfinity constant;\n{indent}  postInfinity constant;\n{indent}  keys {{\n")
    if track.slopes is None:
        for frame, value in zip(track.frames.tolist(), track.values.tolist(), strict=True):
            yield f"{indent}    {frame} {value:.9g} linear linear 1 1 0;\n"
    else:
        angles = np.degrees(np.arctan(track.slopes * fps)).tolist()
        for frame, value, turn in zip(track.frames.tolist(), track.values.tolist(), angles, strict=True):
            angle = f"{turn:.9g}"
            yield f"{indent}    {frame} {value:.9g} fixed fixed 1 1 0 {angle} 1 {angle} 1;\n"
    yield f"{indent}  }}\n{indent}}}\n"


# ---- reading ------------------------------------------------------------------------------------------------


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    """Either format: every animated attribute becomes a channel, its keys are evaluated on every frame."""
    source = text_of(data, name)
    text = re.sub(r"//[^\n]*", "", source)
    unit = re.search(r"\btimeUnit\s+([\w.]+)\s*;", text)
    if not re.search(r"\b(animVersion|atomVersion)\b", text) or not unit:
        raise CurvesError(f"{name}: not a Maya .anim or .atom file (no version or no timeUnit)")
    rate = _rate(unit[1], name, fps)
    found = re.findall(r"\banim\s+(\S+)\s([^;]*);\s*animData\s*\{([^{}]*)keys\s*\{([^{}]*)\}", text)
    _check_complete(_NOT_CODE.sub("", source).strip(), name)
    if not found:
        raise CurvesError(f"{name}: holds no animation curves")
    columns = _by_attribute([(_full_name(*named), _keys(keys, name, rate)) for *named, _, keys in found], name)
    first = min(math.ceil(keys[0, 0]) for keys in columns.values())
    last = max(math.floor(keys[-1, 0]) for keys in columns.values())
    check_span(name, last - first, len(columns))
    _tell_guessed(name, (keys for *_, keys in found))
    frames = np.arange(first, max(last, first) + 1)
    values = np.stack([_evaluated(keys, frames) for keys in columns.values()], axis=1)
    return Curves(tuple(columns), rate, values.astype(np.float32), first)


def _check_complete(code: str, name: str) -> None:
    """Neither format says how many curves it holds; a cut between two of an .anim's leaves no trace."""
    left_open = code.count("{") - code.count("}")
    if left_open > 0 or not _WHOLE_END.search(code) or _CURVE_NAME.search(code):
        what = f"{left_open} of its blocks {'is' if left_open == 1 else 'are'} not closed" if left_open > 0 else (
            "its last curve has no keys" if _CURVE_NAME.search(code) else "its last statement has no end")
        raise CurvesError(f"{name}: is cut short: {what}, accepted: a whole file, as curves would be missing; copy or "
                          "export it again")


def _full_name(attribute: str, rest: str) -> str:
    """With its node, which stands before the attribute or after its short name (anim w.jawOpen jawOpen face_bs 0;)."""
    words = rest.split()
    node = words[1] if len(words) > 1 and not words[1].isdigit() else ""
    return attribute if not node or attribute.startswith(f"{node}.") else f"{node}.{attribute}"


def _by_attribute(curves: Sequence[tuple[str, Keys]], name: str) -> dict[str, Keys]:
    """Nodes may share an attribute: the first that moves it counts, and those that differ are named."""
    groups: dict[str, list[tuple[str, Keys]]] = {}
    for full, keys in curves:
        groups.setdefault(full.rsplit(".", 1)[-1], []).append((full, keys))
    kept = {attribute: next((row for row in rows if np.ptp(row[1][:, 1]) > 0), rows[0])
            for attribute, rows in groups.items()}
    lost = [full for attribute, rows in groups.items() for full, keys in rows
            if not np.array_equal(keys, kept[attribute][1], equal_nan=True)]
    if lost:
        more = f", ... ({len(lost)} in all)" if len(lost) > MOST_NAMED else ""
        log.warning("%s: animates an attribute of one name on several nodes; the first that moves is read, left out: "
                    "%s%s", name, ", ".join(lost[:MOST_NAMED]), more)
    return {attribute: keys for attribute, (_, keys) in kept.items()}


def _rate(unit: str, name: str, fps: int | None) -> int:
    numbered = re.fullmatch(r"(\d+)(\.\d+)?(fps|df)", unit)
    if numbered and numbered[2] and fps is not None:
        return fps
    if unit not in RATES and (not numbered or numbered[2]):
        raise CurvesError(f"{name}: time unit {unit!r}, accepted: {', '.join(RATES)} or a whole number and fps; "
                          f"frames of another rate are read with --read-fps, at a whole one")
    return int(numbered[1]) if numbered else RATES[unit]


def _keys(text: str, name: str, fps: int) -> Keys:
    """Rows of frame, value, slope into the key, slope out of it (value a frame; NaN where it is a straight line)."""
    rows = []
    for cells in _statements(text):
        try:
            fixed = [float(cell) for cell in cells[7:]]
            slopes = iter(math.tan(math.radians(angle)) / fps for angle in fixed[0::2])
            into, out = [next(slopes) if kind == "fixed" else TANGENTS.get(kind, math.nan) for kind in cells[2:4]]
            rows.append((_finite(cells[0]), _finite(cells[1]), into, out))
        except (IndexError, ValueError, StopIteration):
            raise CurvesError(f"{name}: key {' '.join(cells)!r} cannot be read") from None
    if not rows:
        raise CurvesError(f"{name}: a curve has no keys")
    return np.array(sorted(rows))


def _statements(text: str) -> Iterator[list[str]]:
    return (statement.split() for statement in text.split(";") if statement.strip())


def _tell_guessed(name: str, curves: Iterable[str]) -> None:
    kinds = {kind for text in curves for cells in _statements(text) for kind in cells[2:4]}
    guessed = sorted(kinds - TANGENTS.keys() - {"fixed"})
    if guessed:
        log.warning("%s: tangents of the kind %s are read as straight lines; bake them in Maya to keep their bends",
                    name, ", ".join(guessed))


def _finite(text: str) -> float:
    value = float(text)
    if not abs(value) < MAX_NUMBER:
        raise ValueError(f"{text} is no usable number")
    return value


def _evaluated(keys: Keys, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    at, value, into, out = keys.T
    if len(at) == 1:
        return np.full(len(frames), value[0])
    wanted = np.clip(frames, at[0], at[-1]).astype(np.float64)
    left = np.clip(np.searchsorted(at, wanted, "right") - 1, 0, len(at) - 2)
    width = np.maximum(np.diff(at)[left], 1e-9)
    straight = (value[left + 1] - value[left]) / width
    m0 = np.where(np.isfinite(out[left]), out[left], straight)
    m1 = np.where(np.isfinite(into[left + 1]), into[left + 1], straight)
    u = (wanted - at[left]) / width
    smooth = hermite(u, width, value[left], value[left + 1], m0, m1)
    held = np.where(u < 1, value[left], value[left + 1])
    ahead = np.where(u > 0, value[left + 1], value[left])
    return np.where(out[left] == STEP, held, np.where(out[left] == STEP_NEXT, ahead, smooth))
