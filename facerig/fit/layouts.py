"""Which point of a track is which point of a head. Heads name the 68 points of Multi-PIE `point0` ... `point67`,
counted from the subject's right; other layouts are tables onto those."""

from __future__ import annotations

import json
from pathlib import Path

from facerig.errors import InputError, OptionError

# MediaPipe Face Mesh's numbers of the 68 points.
MEDIAPIPE68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw line
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips, outside
    78, 82, 13, 312, 308, 317, 14, 87)  # lips, inside
# How well a point marks the same place on two heads: the jaw line slides with the view, lips and lids do not.
TRUST = {**dict.fromkeys(range(17), 0.15), **dict.fromkeys(range(6, 11), 0.5), 8: 1.0,
         **dict.fromkeys(range(17, 27), 0.6), **dict.fromkeys(range(48, 68), 1.0)}
STILL = (0, 16, 27, 28, 29, 30, 33, 36, 39, 42, 45)  # what expression moves least: carries the head's pose


def layout(name: str, count: int) -> dict[int, str]:
    """Column of the track -> name of a head's landmark."""
    if name == "auto":
        name = {68: "68", 478: "mediapipe", 468: "mediapipe"}.get(count, "")
    if name == "68" and count >= 68:
        return {n: f"point{n}" for n in range(68)}
    if name == "mediapipe" and count >= 468:
        return {number: f"point{n}" for n, number in enumerate(MEDIAPIPE68)}
    if name.endswith(".json"):
        return mapping_file(Path(name), count)
    raise OptionError(f"--layout: got {name or 'auto'!r} for {count} points, accepted: 68, mediapipe (468 or 478 "
                      'points), or a .json file {"column": "point30", ...}')


def mapping_file(path: Path, count: int) -> dict[int, str]:
    """A JSON object: column of the track -> landmark name (point0 ... point67) or vertex number of the head."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        chosen = {int(column): str(name) for column, name in table.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a mapping {{\"column\": \"point30\"}} ({error})") from error
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise InputError(f"{path}: names column {max(chosen, default=-1)} of {count}")
    return chosen
