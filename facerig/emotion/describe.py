"""What controls do over time, as text that a person reads and edits: the keyframes that make them, and sentences.

`describe(rows)` reads control rows, wherever they came from, and gives keyframes in the form that
`facerig.emotion.keyframes` reads: reading them back makes the same course. `sentences` says it in words. A course that
never rests (an emotion that is heard) is cut into keyframes of half a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.controls import COLUMNS, DEFAULTS, EMOTIONS, STYLE, TRACKS, Controls
from facerig.emotion import space
from facerig.emotion.styles import STYLES
from facerig.stage import FPS, Frames

Mask = NDArray[np.bool_]
LONGEST = FPS // 2  # frames of change that one keyframe may stand for
DIGITS = 4
WORDS = {"intensity": "intensity", "expression_strength": "strength of expression", "lip_scale": "size of speech"}


def describe(rows: Frames, first: int = 0) -> list[dict[str, Any]]:
    """[n, WIDTH] from frame `first` on -> keyframes in the order of time."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for name, span in TRACKS.items():
        for at, frames, target, moved in _changes(rows[:, span], DEFAULTS[span]):
            entry = found.setdefault((at, frames), {"time": _seconds(first + at), "fade": _seconds(frames)})
            _named(entry, name, COLUMNS[span], target, moved)
    return [found[key] for key in sorted(found)]


def of(controls: Controls, frames: int, first: int = 0) -> list[dict[str, Any]]:
    """What these controls do over so many frames."""
    return describe(controls.rows(first, frames), first)


def text(keys: Sequence[Mapping[str, Any]]) -> str:
    """JSON with a keyframe a line."""
    return "[\n" + ",\n".join(f" {json.dumps(dict(key))}" for key in keys) + "\n]\n"


def sentences(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a keyframe, for people."""
    return [f"{key['time']:.2f} s: {', '.join(_said(key)) or 'nothing'}" for key in keys] or ["neutral throughout"]


def _changes(values: Frames, rest: Frames) -> Iterator[tuple[int, int, Frames, Mask]]:
    """(row, frames, target, which columns moved) of every ramp and jump; what a group begins with counts as a jump."""
    if len(values) and not np.array_equal(values[0], rest):
        yield 0, 0, values[0], values[0] != rest
    moves = np.flatnonzero((values[1:] != values[:-1]).any(axis=1)) + 1
    begin = 0
    while begin < len(moves):
        end = begin
        while end + 1 < len(moves) and moves[end + 1] == moves[end] + 1 and moves[end + 1] - moves[begin] < LONGEST:
            end += 1
        frames = int(moves[end] - moves[begin]) + 1
        moved = (values[moves[begin] : moves[end] + 1] != values[moves[begin] - 1]).any(axis=0)
        yield int(moves[begin]), 0 if frames == 1 else frames, values[moves[end]], moved
        begin = end + 1


def _named(entry: dict[str, Any], name: str, columns: Sequence[str], target: Frames, moved: Mask) -> None:
    """Into a keyframe, under the word that the reader knows."""
    values = {column.partition(":")[2]: round(float(value), DIGITS)
              for column, value in zip(columns, target, strict=True)}
    if name == "emotion":
        entry["emotion"] = _mixture(values)
    elif name == "upper":
        held = values.pop("held")
        entry["upper"] = _mixture(values) if held else "off"
        if 0 < held < 1:
            entry.setdefault("set", {})["upper:held"] = held
    elif name == "style":
        code = [values[str(k)] for k in range(STYLE)]
        entry["style"] = next((known for known, point in STYLES.items() if np.allclose(point, code, atol=1e-4)), code)
    elif name == "intensity":
        entry["intensity"] = round(float(target[0]), DIGITS)
    else:
        entry.setdefault("set", {}).update({column: round(float(value), DIGITS)
                                            for column, value, own in zip(columns, target, moved, strict=True) if own})


def _mixture(values: Mapping[str, float]) -> str:
    return space.named({name: values[name] for name in EMOTIONS})


def _seconds(frames: int) -> float:
    return round(frames / FPS, DIGITS)


def _said(key: Mapping[str, Any]) -> Iterator[str]:
    over = f" over {key['fade']:.2f} s" if key.get("fade") else ""
    if "emotion" in key:
        yield _felt(key["emotion"]) + over
    if "upper" in key:
        yield "brows and eyes with the face" if key["upper"] == "off" else f"brows and eyes {_felt(key['upper'])}"
    if "intensity" in key:
        yield f"intensity {key['intensity']:g}"
    if "style" in key:
        own = key["style"] if isinstance(key["style"], str) else "of its own"
        yield f"style {own}"
    for name, value in key.get("set", {}).items():
        yield f"{WORDS.get(name, name)} {value:g}"


def _felt(mixed: str) -> str:
    return " and ".join(f"{name} {weight:g}" if weight < 1 else name for name, weight in space.parts(mixed))
