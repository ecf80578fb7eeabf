"""Emotions and styles over time from a file, JSON or CSV of our own, and Audio2Face's time codes: control changes.

    [{"time": 0.0, "emotion": "happy:0.7"},
     {"time": 2.5, "emotion": {"sad": 1}, "intensity": 0.6, "fade": 0.4, "upper": "angry", "style": "whispered"}]

    time,fade,emotion,intensity,style          time_code,emotion_values.joy,emotion_values.anger
    2.5,0.4,"sad:1,fear:0.2",0.6,whispered     0.0,1,0

Times and fades are seconds from the clip's beginning. A keyframe changes what it names; all else stays.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facerig.controls import FADE_MS, MAX_FADE_MS, Controls, checked
from facerig.emotion import space, styles
from facerig.errors import InputError, OptionError, did_you_mean
from facerig.stage import FPS

MAX_BYTES = 4_000_000
TIMES = ("time", "time_code", "timecode", "timeCode")
LISTS = ("keyframes", "emotions", "emotion_with_timecode", "emotion_with_timecode_list")
WHATS = ("emotion", "emotions", "upper", "intensity", "style", "set")
FORM = 'a list of {"time": seconds, "emotion": "happy:0.7", "fade": seconds}, or CSV with a column time'


@dataclass(frozen=True)
class Keyframe:
    """At `time` seconds the groups in `whole` become these, the rest of `values` are set; over `fade` seconds."""

    time: float
    values: Mapping[str, float]
    fade: float = FADE_MS / 1000
    whole: tuple[str, ...] = field(default=())


def read_keyframes(path: str | Path) -> tuple[Keyframe, ...]:
    """The keyframes of a .json or .csv file, in the order of time."""
    file = Path(path)
    try:
        data = file.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name}: is no text; accepted: {FORM}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{file.name}: {len(data)} bytes, accepted: up to {MAX_BYTES}")
    try:
        return keyframes(text)
    except (OptionError, InputError) as error:
        raise InputError(f"{file.name}: {error}") from error


def keyframes(text: str) -> tuple[Keyframe, ...]:
    """From the text of such a file."""
    entries = _json(text) if text.lstrip()[:1] in ("[", "{") else _csv(text)
    if not entries:
        raise InputError(f"no keyframes in it; accepted: {FORM}")
    return tuple(sorted((_keyframe(entry, place + 1) for place, entry in enumerate(entries)), key=lambda k: k.time))


def apply(controls: Controls, keys: Iterable[Keyframe], first: int = 0) -> Controls:
    """Into the controls of a clip whose first frame is `first`; given back for chaining."""
    for key in keys:
        frame, fade = first + round(key.time * FPS), key.fade * 1000
        by_group: dict[str, dict[str, float]] = {name: {} for name in key.whole}
        rest: dict[str, float] = {}
        for name, value in key.values.items():
            by_group.get(name.split(":")[0], rest)[name] = value
        for name, values in by_group.items():
            controls.replace(frame, name, values, fade)
        if rest:
            controls.set(frame, rest, fade)
    return controls


# ---- readers ----------------------------------------------------------------------------------------------------


def _json(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not json ({str(error)[:80]}); accepted: {FORM}") from error
    for name in LISTS:
        if isinstance(found, dict) and name in found and not any(time in found for time in TIMES):
            found = found[name]
            if not isinstance(found, dict | list):
                raise InputError(f"{name}: got {str(found)[:40]!r}, accepted: {FORM}")
            break
    else:
        found = [found] if isinstance(found, dict) else found
    return list(found.values()) if isinstance(found, dict) else list(found)


def _csv(text: str) -> list[Any]:
    try:
        table = csv.DictReader(io.StringIO(text), strict=True, skipinitialspace=True)
        rows = [_cells(row, table.line_num) for row in table]
    except csv.Error as error:
        raise InputError(f"not a table ({error}); accepted: {FORM}") from error
    return [_unfolded(row) for row in rows if any(row.values())]


def _cells(row: Mapping[str | None, Any], line: int) -> dict[str, str]:
    """The cells under the header; csv keeps those beyond it, as a list, under None."""
    beyond = row.get(None) or []
    if any(cell.strip() for cell in beyond):
        columns = len(row) - 1
        raise InputError(f"line {line}: got {columns + len(beyond)} cells under {columns} columns, accepted: one each; "
                         f'put a mixture in quotes, as "happy:0.4,surprise:0.6"')
    return {(key or "").strip(): value.strip() for key, value in row.items() if isinstance(value, str)}


def _unfolded(row: dict[str, str]) -> dict[str, Any]:
    """Columns that are named as emotions become one mixture; empty cells say nothing."""
    out: dict[str, Any] = {}
    mixed: dict[str, Any] = {}
    for key, value in row.items():
        name = key.removeprefix("emotion_values.").removeprefix("emotion.")
        if name.lower() in space.NAMES:
            mixed[name] = value or 0.0
        elif value:
            out[key] = value
    if mixed and "emotion" in out:
        raise OptionError("emotion: got a column of that name and columns of emotions, accepted: one of them")
    return {**out, "emotion": mixed} if mixed else out


# ---- one keyframe -----------------------------------------------------------------------------------------------


def _keyframe(entry: Any, place: int) -> Keyframe:
    try:
        return _checked(entry)
    except OptionError as error:
        raise OptionError(f"keyframe {place}: {error}") from error


def _checked(entry: Any) -> Keyframe:
    if not isinstance(entry, Mapping):
        raise OptionError(f"got {str(entry)[:40]!r}, accepted: {FORM}")
    known = {*TIMES, *WHATS, "fade", "fade_ms"}
    for key in entry:
        if key not in known:
            hint = did_you_mean(str(key).lower(), known)
            raise OptionError(f"got {str(key)[:40]!r}, accepted: time, fade, {', '.join(WHATS)}{hint}")
    times = [entry[name] for name in TIMES if name in entry]
    if len(times) != 1:
        raise OptionError(f"got {len(times)} times, accepted: one, in seconds")
    fade = _number("fade", entry.get("fade", _number("fade_ms", entry.get("fade_ms", FADE_MS)) / 1000))
    if not 0 <= fade <= MAX_FADE_MS / 1000:
        raise OptionError(f"fade: got {fade:g}, accepted: 0 to {MAX_FADE_MS / 1000:g} seconds")
    time = _number("time", times[0])
    if not 0 <= time <= 1e6:
        raise OptionError(f"time: got {time:g}, accepted: 0 to 1000000 seconds")
    values, whole = _values(entry)
    return Keyframe(time, values, fade, whole)


def _values(entry: Mapping[str, Any]) -> tuple[dict[str, float], tuple[str, ...]]:
    """(control values, groups that are replaced as a whole)."""
    values: dict[str, float] = {}
    whole: list[str] = []
    for name in ("emotion", "emotions"):
        if name in entry:
            values.update(space.columns(_mixture(entry[name])))
            whole.append("emotion")
    if "upper" in entry:
        own = entry["upper"]
        held = own not in (None, "", "off")
        values.update({**space.columns(_mixture(own), "upper"), "upper:held": 1.0} if held else {})
        whole.append("upper")
    if "style" in entry:
        values.update(styles.columns(_style(entry["style"])))
        whole.append("style")
    if "intensity" in entry:
        values["intensity"] = checked("intensity", _number("intensity", entry["intensity"]))
    for name, value in _mapping("set", entry.get("set", {})).items():
        values[name] = checked(name, _number(name, value))
    return values, tuple(dict.fromkeys(whole))


def _mixture(asked: Any) -> dict[str, float]:
    if isinstance(asked, str):
        return space.mixture(asked)
    return space.mixture({str(name): _number(str(name), w) for name, w in _mapping("emotion", asked).items()})


def _style(asked: Any) -> Sequence[float]:
    if isinstance(asked, str):
        return styles.style(asked)
    if isinstance(asked, Sequence):
        return styles.style([_number("style", number) for number in asked])
    return styles.style({str(name): _number(str(name), w) for name, w in _mapping("style", asked).items()})


def _mapping(name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(f"{name}: got {str(value)[:40]!r}, accepted: names with numbers, as happy:0.7")
    return value


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise OptionError(f"{name[:40]}: got {str(value)[:40]!r}, accepted: a number")
    return number


