"""Every number that behaviour goes by: default, unit, range, and where it comes from. docs/BEHAVIOUR.md shows it.

`Tuning` is the table with some values replaced; it is given to `Life` once and is the same for all its streams. What
changes while a face moves is a control (facerig/controls.py), not a parameter. Knows no frame and no channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facerig.controls import EMOTIONS, STATES
from facerig.errors import OptionError

OURS = "chosen here by eye"


@dataclass(frozen=True)
class Parameter:
    """A row of the table."""

    name: str
    default: float
    unit: str
    low: float
    high: float
    source: str


def _row(name: str, default: float, unit: str, low: float, high: float, source: str = OURS) -> tuple[Parameter, ...]:
    return (Parameter(name, default, unit, low, high, source),)


def _states(name: str, values: tuple[float, ...], unit: str, low: float, high: float,
            source: str = OURS) -> tuple[Parameter, ...]:
    """One row a state: speaking, listening, thinking, idle (off does nothing)."""
    return tuple(Parameter(f"{name}.{state}", value, unit, low, high, source)
                 for state, value in zip(STATES, values, strict=False))  # fmt: skip


def _moods(name: str, values: tuple[float, ...], unit: str, low: float, high: float,
           source: str = OURS) -> tuple[Parameter, ...]:
    """One row an emotion, as EMOTIONS: happy sad angry fear disgust surprise contempt amazement cheekiness grief
    outofbreath pain."""
    return tuple(Parameter(f"{name}.{mood}", value, unit, low, high, source)
                 for mood, value in zip(EMOTIONS, values, strict=True))  # fmt: skip


EMOFACE = "EmoFace (Liu et al. 2024): 445 intervals, refitted; envelope of 13 frames at 60 fps"
BENTIVOGLIO = "Bentivoglio et al., Movement Disorders 12, 1997: rest 17, conversation 26 a minute"
CAPTURE = "measured on an iPhone recording (take 3 of 4; take 4 is kept for checking)"
NAKANO = "Nakano and Kitazawa, Exp. Brain Res. 205, 2010: blinks at the ends and pauses of speech, listeners' too"
EVINGER = "Evinger et al., Exp. Brain Res. 100, 1994: gaze shifts over 33 degrees come with a blink nearly always"

TABLE: tuple[Parameter, ...] = (
    # ---- states
    *_row("state.fade", 9, "frames", 1, 9, "a change of state takes 150 ms at most"),
    *_row("state.release", 5, "frames", 1, 6, "an interrupted mouth is at rest within 100 ms"),
    *_row("state.speaking_hold", 40, "frames", 1, 120, "pauses inside a turn are mostly under 0.7 s (Heldner and "
          "Edlund, J. Phonetics 38, 2010: median 0.5 s)"),
    *_row("state.listening_hold", 210, "frames", 1, 240, "after one's own turn one waits for the answer"),
    *_row("state.partner_hold", 150, "frames", 1, 240),
    # ---- blinks
    *_states("blink.rate", (17, 12, 14, 15), "1/min", 0, 60,
             f"speaking: stated; the others in between it and reading's 4.5 ({BENTIVOGLIO})"),
    *_moods("blink.mood", (1.1, 0.85, 0.8, 1.6, 1.1, 0.7, 0.9, 0.8, 1.2, 1.1, 1.2, 1.3), "x rate", 0, 3,
            "direction: arousal and anxiety raise the rate (Harrigan and O'Connell, Pers. Indiv. Diff. 21, 1996); "
            "size chosen here"),
    *_row("blink.sigma", 0.532, "of ln interval", 0.1, 0.6, EMOFACE),
    *_row("blink.close", 5, "frames", 2, 10, EMOFACE),
    *_row("blink.open", 8, "frames", 3, 20, EMOFACE),
    *_row("blink.length_spread", 0.12, "of the length", 0, 0.5, "VanderWerf et al., J. Neurophysiol. 89, 2003: "
          "blinks of one person differ by about a tenth"),
    *_row("blink.half", 0.12, "share", 0, 1, "Cruz et al., Ocular Surface 9, 2011: incomplete blinks 10-20 %"),
    *_row("blink.half_low", 0.45, "closure", 0.1, 1),
    *_row("blink.half_high", 0.8, "closure", 0.1, 1),
    *_row("blink.double", 0.05, "share", 0, 1),
    *_row("blink.double_gap", 18, "frames", 14, 24, "0.3 s after the first began"),
    *_row("blink.wait", 24, "frames", 0, 45, f"how long a due blink waits for a phrase end or gaze shift ({NAKANO})"),
    *_row("blink.drawn", 0.6, "share", 0, 1, NAKANO),
    *_row("blink.shift", 5, "degrees", 1, 40, "gaze shifts from here on draw a due blink"),
    *_row("blink.evoked_from", 15, "degrees", 5, 40, EVINGER),
    *_row("blink.evoked_full", 33, "degrees", 10, 60, EVINGER),
    *_row("blink.lid_down", 0.4, "eyeBlink per eyeLookDown", 0, 1, f"{CAPTURE}: 0.59; take 4: 0.27"),
    *_row("blink.lid_up", 0.4, "eyeWide per eyeLookUp", 0, 1, f"{CAPTURE}: 0.96; take 4: 0.36"),
    *_row("blink.cheek", 0.08, "cheekSquint per closure", 0, 0.5, "recordings show 0.00; orbicularis oculi pulls the "
          "cheek a little"),
    *_row("blink.squint", 0.06, "eyeSquint per closure", 0, 0.5),
    *_row("blink.brow", 0.03, "browDown per closure", 0, 0.5, f"{CAPTURE}: up to 0.07"),
)  # fmt: skip
NAMES = tuple(row.name for row in TABLE)
_ROWS = {row.name: row for row in TABLE}


@dataclass(frozen=True)
class Tuning:
    """The table with these values in place of its own."""

    changed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.changed.items():
            _check(name, value)

    def __getitem__(self, name: str) -> float:
        return float(self.changed.get(name, _ROWS[name].default))

    def whole(self, name: str) -> int:
        """A number of frames."""
        return round(self[name])

    def by_state(self, name: str) -> NDArray[np.float64]:
        """[states]; off is zero."""
        return np.array([self[f"{name}.{state}"] for state in STATES[:-1]] + [0.0])

    def by_mood(self, name: str) -> NDArray[np.float64]:
        """[emotions]"""
        return np.array([self[f"{name}.{mood}"] for mood in EMOTIONS])

    @cached_property
    def key(self) -> tuple[tuple[str, float], ...]:
        return tuple(sorted(self.changed.items()))


def _check(name: str, value: float) -> None:
    if name not in _ROWS:
        near = get_close_matches(name, NAMES, 3)
        raise OptionError(f"behaviour parameter: got {name[:60]!r}, accepted: the names in docs/BEHAVIOUR.md"
                          + (f"; did you mean {' or '.join(near)}?" if near else ""))
    row = _ROWS[name]
    if not row.low <= value <= row.high:
        raise OptionError(f"{name}: got {value:g}, accepted: {row.low:g} to {row.high:g} {row.unit}")
