"""Styles of speaking and looking as points of an eight-number code, each -1 to 1, 0 in all: the model's own speaker.

What each number does to a face is taught by `facerig.train.teacher.expression`; here are their names, the named points,
and how styles are written (`whispered`, `exaggerated:0.5`, `tense:0.4,tired:0.3`, or eight numbers). Knows no curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from facerig.controls import STYLE
from facerig.emotion.space import parts
from facerig.errors import OptionError, did_you_mean

Code = tuple[float, ...]


class Axis(NamedTuple):
    """One number of the code."""

    name: str
    low: str  # what -1 means
    high: str  # what 1 means


AXES = (
    Axis("jaw", "the jaw moves half as far", "half as far again"),
    Axis("lips", "the lips move half as far", "half as far again"),
    Axis("tension", "loose, parted lips", "tight lips, hard lids"),
    Axis("tempo", "slurred: movements run into each other and lag", "crisp: every movement reaches its end"),
    Axis("asymmetry", "the own right side does more", "the own left side does more"),
    Axis("smile", "corners of the mouth low", "corners of the mouth high"),
    Axis("liveliness", "still brows", "brows follow the voice"),
    Axis("alertness", "heavy lids, low brows", "wide eyes, high brows"),
)
assert len(AXES) == STYLE

# jaw, lips, tension, tempo, asymmetry, smile, liveliness, alertness
STYLES: dict[str, Code] = {
    "normal": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "whispered": (-0.45, 0.25, 0.15, 0.20, 0.0, 0.0, -0.2, 0.25),
    "shouted": (1.0, 0.8, 0.55, 0.30, 0.0, 0.0, 0.6, 0.35),
    "exaggerated": (0.8, 0.9, 0.10, 0.60, 0.0, 0.0, 0.9, 0.30),
    "tense": (-0.3, -0.10, 0.90, 0.30, 0.0, -0.1, 0.1, 0.20),
    "relaxed": (-0.15, -0.20, -0.55, -0.35, 0.0, 0.15, -0.2, -0.30),
    "mumbled": (-0.8, -0.75, -0.30, -0.85, 0.0, 0.0, -0.5, -0.35),
    "crisp": (0.15, 0.35, 0.20, 0.90, 0.0, 0.0, 0.2, 0.10),
    "slurred": (-0.1, -0.35, -0.80, -1.0, 0.15, 0.1, -0.3, -0.70),
    "tired": (-0.35, -0.30, -0.40, -0.50, 0.0, -0.2, -0.6, -0.80),
    "lively": (0.25, 0.30, 0.0, 0.20, 0.0, 0.2, 1.0, 0.35),
    "deadpan": (-0.25, -0.15, 0.10, 0.0, 0.0, -0.1, -1.0, -0.15),
    "cheerful": (0.2, 0.20, 0.0, 0.10, 0.0, 0.7, 0.5, 0.25),
    "gloomy": (-0.2, -0.15, 0.0, -0.15, 0.0, -0.7, -0.4, -0.30),
    "smirking": (-0.1, 0.0, 0.10, 0.0, 0.8, 0.35, 0.0, -0.10),
    "lopsided": (0.0, 0.0, 0.0, 0.0, 0.8, 0.0, 0.0, 0.0),
}


def style(asked: str | Sequence[float] | Mapping[str, float], files: bool = False) -> Code:
    """A name, names with weights, a mapping of them or eight numbers -> the code; where `files` may be read, which is
    where the asker sits at this machine, also a file of `facerig style learn`."""
    if files and isinstance(asked, str) and asked.strip().lower().endswith(".json"):
        from facerig.emotion.reference import read_learnt

        return read_learnt(asked.strip()).code
    if isinstance(asked, str):
        numbers = _numbers(asked)
        return _checked(numbers) if numbers else _mixed(dict(parts(asked)))
    if isinstance(asked, Mapping):
        return _mixed(asked)
    return _checked([float(number) for number in asked])


def portable(text: str) -> str:
    """The same style as a server takes it, which has no file of ours: a file becomes its eight numbers."""
    if not text.strip().lower().endswith(".json"):
        return text
    return ",".join(f"{number:g}" for number in style(text, files=True))


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(piece) for piece in text.split(",")]
    except ValueError:
        return None


def _checked(numbers: Sequence[float]) -> Code:
    fits = len(numbers) == STYLE and all(-1 <= number <= 1 for number in numbers)
    if not fits:
        got = ",".join(f"{number:g}" for number in numbers)[:60]
        accepted = f"{STYLE} numbers from -1 to 1 ({', '.join(axis.name for axis in AXES)}) or a style's name"
        raise OptionError(f"style: got {got}, accepted: {accepted}")
    return tuple(float(number) for number in numbers)


def _mixed(asked: Mapping[str, float]) -> Code:
    total = [0.0] * STYLE
    for name, weight in asked.items():
        known = STYLES.get(name.strip().lower())
        if known is None:
            hint = did_you_mean(name.lower(), STYLES)
            raise OptionError(f"style: got {name[:60]!r}, accepted: {', '.join(STYLES)}, or {STYLE} numbers{hint}")
        if not -1 <= weight <= 1:
            raise OptionError(f"style {name}: got {weight:g}, accepted: -1 to 1")
        total = [have + weight * number for have, number in zip(total, known, strict=True)]
    return tuple(max(-1.0, min(1.0, number)) for number in total)


def between(first: Sequence[float], second: Sequence[float], share: float) -> Code:
    """The style that lies `share` of the way from the first to the second."""
    if not 0 <= share <= 1:
        raise OptionError(f"share: got {share:g}, accepted: 0 to 1")
    pairs = zip(_checked(first), _checked(second), strict=True)
    return tuple(one + share * (other - one) for one, other in pairs)


def columns(code: Sequence[float]) -> dict[str, float]:
    """Values for `Controls.replace(frame, "style", ...)`."""
    return {f"style:{k}": float(number) for k, number in enumerate(_checked(code))}
