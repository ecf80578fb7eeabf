"""Every number that behaviour goes by: default, unit, range, and where it comes from. docs/BEHAVIOUR.md shows it.

`Tuning` is the table with some values replaced; it is given to `Life` once and is the same for all its streams. What
changes while a face moves is a control (facerig/controls.py), not a parameter. Knows no frame and no channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facerig.controls import EMOTIONS, STATES
from facerig.errors import OptionError, did_you_mean

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
NAKANO = "Nakano and Kitazawa, Exp. Brain Res. 205, 2010: blinks at the ends and pauses of speech, listeners' too"
EVINGER = "Evinger et al., Exp. Brain Res. 100, 1994: gaze shifts over 33 degrees come with a blink nearly always"

LEE = "Lee, Badler and Badler, Eyes Alive, ACM TOG 21 (SIGGRAPH 2002)"
ARGYLE = "Argyle and Cook, Gaze and Mutual Gaze, 1976: looks at the other 75 % of listening, 41 % of talking"
CARPENTER = "Carpenter, Movements of the Eyes, 2nd ed. 1988: duration 21 ms + 2.2 ms per degree"
STAHL = "Stahl, Exp. Brain Res. 126, 1999: the eyes alone up to about 10-18 degrees, beyond it the head takes most"
ROLFS = "Rolfs, Vision Research 49, 2009: 1-2 a second, under a degree"
MUNHALL = "direction: Munhall et al., Psych. Science 15, 2004 (head motion follows pitch and loudness); size by eye"
WARD = "Ward and Tsukahara, J. Pragmatics 32, 2000: an answer comes about 0.7 s after its cue"
DIRECTION_SHARES = (15.54, 6.46, 17.69, 7.44, 16.80, 7.89, 20.38, 7.79)  # Lee et al.: left, left up, up, ...
DIRECTIONS = tuple(share / sum(DIRECTION_SHARES) for share in DIRECTION_SHARES)

TABLE: tuple[Parameter, ...] = (
    # ---- states
    *_row("state.fade", 9, "frames", 1, 9, "a change of state takes 150 ms at most"),
    *_row("state.body_fade", 75, "frames", 1, 90, "a posture changes over 1.25 s, slower than a state: no jerk of "
          "the head"),
    *_row("state.release", 6, "frames", 1, 6, "an interrupted mouth is at rest within 100 ms"),
    *_row("state.speaking_hold", 75, "frames", 1, 120, "pauses inside a turn are mostly under 1 s (Heldner and "
          "Edlund, J. Phonetics 38, 2010: median 0.5 s)"),
    *_row("state.listening_hold", 120, "frames", 1, 120, "after one's own turn one waits for the answer"),
    *_row("state.partner_hold", 120, "frames", 1, 120),
    # ---- blinks
    *_states("blink.rate", (17, 12, 14, 15), "1/min", 0, 60,
             f"speaking: stated; the others in between it and reading's 4.5 ({BENTIVOGLIO})"),
    *_moods("blink.mood", (1.1, 0.85, 0.8, 1.6, 1.1, 0.7, 0.9, 0.8, 1.2, 1.1, 1.2, 1.3), "x rate", 0, 3,
            "direction: arousal and anxiety raise the rate (Harrigan and O'Connell, Pers. Indiv. Diff. 21, 1996); "
            "size chosen here"),
    *_row("blink.sigma", 0.532, "of ln interval", 0.1, 0.6, EMOFACE),
    *_row("blink.close", 5, "frames", 2, 10, EMOFACE),
    *_row("blink.open", 8, "frames", 3, 20, EMOFACE),
    *_row("blink.length_spread", 0.12, "of the length", 0, 0.5, OURS),
    *_row("blink.half", 0.12, "share", 0, 1, "Ousler et al., Clin. Ophthalmol. 8, 2014: half of all "
          "blinks at a screen are partial, most of them barely; only those that show are meant here"),
    *_row("blink.half_low", 0.45, "closure", 0.1, 1),
    *_row("blink.half_high", 0.8, "closure", 0.1, 1),
    *_row("blink.double", 0.05, "share", 0, 1),
    *_row("blink.double_gap", 18, "frames", 14, 24, "0.3 s after the first began"),
    *_row("blink.wait", 24, "frames", 0, 45, f"how long a due blink waits for a phrase end or gaze shift ({NAKANO})"),
    *_row("blink.drawn", 0.6, "share", 0, 1, NAKANO),
    *_row("blink.shift", 5, "degrees", 1, 40, "gaze shifts from here on draw a due blink"),
    *_row("blink.evoked_from", 22, "degrees", 5, 40, f"{EVINGER}; below, a due blink is drawn instead, so that "
          "the rate is the stated one"),
    *_row("blink.evoked_full", 33, "degrees", 10, 60, EVINGER),
    *_row("blink.lid_down", 0.4, "eyeBlink per eyeLookDown", 0, 1,
          "between two iPhone recordings of one face: 0.60 and 0.28"),
    *_row("blink.lid_up", 0.4, "eyeWide per eyeLookUp", 0, 1,
          "the lower of two iPhone recordings of one face: 0.96 and 0.36"),
    *_row("blink.cheek", 0.08, "cheekSquint per closure", 0, 0.5, "recordings show 0.00; orbicularis oculi pulls the "
          "cheek a little"),
    *_row("blink.squint", 0.06, "eyeSquint per closure", 0, 0.5),
    *_row("blink.brow", 0.03, "browDown per closure", 0, 0.5,
          "iPhone recordings: -0.07 to 0.00 by take; a little looks alive"),
    # ---- where one looks
    *_states("gaze.fixation", (0.5, 0.42, 0.8, 1.1), "s", 0.1, 10,
             "mean; Henderson, Trends Cogn. Sci. 7, 2003: 0.2-0.5 s on a scene, longer with nothing to see"),
    *_row("gaze.sigma", 0.5, "of ln interval", 0.1, 0.6, "fixation times are skewed, ln about normal: Nuthmann et al., "
          "Psych. Review 117, 2010"),
    *_states("gaze.renewal", (0.7, 0.95, 0.6, 0.6), "chance a fixation", 0.05, 1,
             f"so that looks away last 1 s speaking and 0.45 s listening ({LEE})"),
    *_states("gaze.contact", (0.72, 0.93, 0.3, 0.6), "share of episodes", 0, 1,
             f"{LEE}: 77 % talking, 95 % listening; {ARGYLE}; in between, idle and thinking chosen here"),
    *_moods("gaze.aversion", (0.8, 1.8, 0.6, 1.4, 1.6, 0.5, 1.3, 0.5, 1.1, 2.0, 1.2, 1.8), "x aversion", 0, 4,
            "direction: Adams and Kleck, Emotion 5, 2005 (anger and joy look at one, fear and sadness away); size by "
            "eye"),
    *_moods("gaze.lowered", (0, 9, 0, 0, 3, -2, -3, -2, 0, 10, 3, 4), "degrees", -20, 20),
    *_row("gaze.size_least", 4, "degrees", 0, 20),
    *_row("gaze.size", 6.9, "degrees", 0, 20, f"mean beyond the least; saccade sizes fall off as exp(-A/6.9) ({LEE})"),
    *_row("gaze.size_most", 22, "degrees", 5, 40, "99 % of natural saccades are smaller: Bahill et al. 1975"),
    *_row("gaze.flat", 0.6, "vertical per horizontal", 0, 1),
    *_row("gaze.thinking_up", 6, "degrees", -20, 20),
    *_row("gaze.scatter", 0.9, "degrees", 0, 5, "between the other's eyes, 63 mm at 1.5 m"),
    *_row("gaze.scatter_away", 1.6, "degrees", 0, 10),
    *_row("gaze.scatter_idle", 3, "degrees", 0, 15),
    *_row("gaze.tremor", 0.15, "degrees", 0, 1, ROLFS),
    *_row("gaze.tremor_rate", 1.2, "1/s", 0.1, 3, ROLFS),
    # ---- how eyes move
    *_row("gaze.saccade", 21, "ms", 10, 60, CARPENTER),
    *_row("gaze.saccade_slope", 2.2, "ms per degree", 0.5, 5, CARPENTER),
    *_row("gaze.vergence", 1.2, "degrees, each eye", 0, 5, "63 mm between the eyes, a person at 1.5 m"),
    *_row("gaze.vergence_far", 0.5, "degrees, each eye", 0, 5, "the same at 3.6 m"),
    *_row("gaze.yaw_most", 34, "degrees", 5, 45, "the rig's 1 is 34.4; eyes are rarely turned further"),
    *_row("gaze.up_most", 24, "degrees", 5, 40, "the rig's 1 is 26.4"),
    *_row("gaze.down_most", 30, "degrees", 5, 40, "the rig's 1 is 35.1"),
    # ---- head
    *_row("head.delay", 3, "frames", 0, 9, "with the slow beginning of a turn the eyes lead by 50-150 ms"),
    *_row("head.turn", 27, "frames", 6, 60, "gaze shifts of 20-60 degrees: the head moves 0.3-0.6 s (Freedman and "
          "Sparks, J. Neurophysiol. 77, 1997)"),
    *_row("head.eyes_only", 8, "degrees", 0, 30, STAHL),
    *_row("head.follow", 0.7, "of the rest", 0, 1, STAHL),
    *_row("head.yaw_most", 60, "degrees", 0, 90, "a neck turns 70-80"),
    *_row("head.pitch_most", 30, "degrees", 0, 60),
    *_row("head.nod", 2.6, "degrees", 0, 15, MUNHALL),
    *_row("head.nod_share", 0.45, "of stresses", 0, 1),
    *_row("head.nod_length", 34, "frames", 12, 60, "0.57 s, chosen here by eye"),
    *_row("head.melody", 0.35, "degrees a semitone", 0, 2, MUNHALL),
    *_row("head.drift_span", 40, "frames", 6, 60),
    *_moods("head.mood", (1.3, 0.55, 1.25, 0.8, 0.8, 1.1, 0.8, 1.2, 1.4, 0.5, 1.2, 0.8), "x size", 0, 3,
            "direction: Busso et al., IEEE TASLP 15, 2007 (larger in joy and anger than in sadness); size by eye"),
    *_moods("head.mood_pitch", (1.5, -5, -2, 2, 1, 2.5, 4, 3, 2, -8, 0, -3), "degrees up", -20, 20,
            "direction: Wallbott, Eur. J. Soc. Psych. 28, 1998; size by eye"),
    *_states("head.pitch", (0, 0, 1.5, 0), "degrees up", -20, 20),
    *_states("head.roll", (0, 1.2, 2, 0.6), "degrees", -20, 20),
    *_row("head.attitude", 1.5, "degrees down at 1", -10, 10, "one leans towards whom one likes"),
    *_states("head.sway", (3.2, 1.4, 1.8, 1.8), "degrees", 0, 10),
    *_row("head.sway_slow", 0.3, "1/s", 0.01, 2, "new posture every 3 s"),
    *_row("head.sway_quick", 1.1, "1/s", 0.1, 4),
    *_row("head.sway_unrest", 0.15, "of the sway", 0, 1),
    # ---- brows and answers
    *_row("brow.flash", 0.22, "weight", 0, 1),
    *_row("brow.flash_from", 0.5, "strength", 0, 1, "Flecha-Garcia, Speech Comm. 52, 2010: brow raises align with "
          "pitch accents, most with strong ones"),
    *_row("brow.flash_share", 0.25, "of strong stresses", 0, 1),
    *_row("brow.flash_length", 36, "frames", 12, 90),
    *_row("brow.sway", 0.06, "weight", 0, 0.5),
    *_row("brow.sway_rate", 0.4, "1/s", 0.01, 2),
    *_row("brow.thinking", 0.14, "weight", 0, 1),
    *_row("react.rate", 8, "1/min", 0.5, 30, "answers in the middle of a phrase, while the partner speaks"),
    *_row("react.sigma", 0.5, "of ln interval", 0.1, 0.6),
    *_row("react.nod", 5, "degrees", 0, 20),
    *_row("react.nod_share", 0.7, "of cues", 0, 1),
    *_row("react.cycle", 24, "frames", 12, 60, "2.5 nods a second, chosen here by eye"),
    *_row("react.wait", 14, "frames", 0, 40, f"with the 200 ms that a phrase end is known late, 0.3-0.55 s ({WARD})"),
    *_row("react.brow", 0.35, "weight", 0, 1),
    *_row("react.brow_share", 0.35, "of phrase ends", 0, 1),
    *_row("react.smile", 0.35, "weight", 0, 1),
    *_row("react.smile_share", 0.3, "of phrase ends", 0, 1),
    *_row("react.warmth", 0.18, "mouthSmile at attitude 1", 0, 1),
    *_row("react.furrow", 0.25, "browDown at attitude -1", 0, 1),
    *_row("react.frown", 0.18, "mouthFrown at attitude -1", 0, 1),
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

    @cached_property
    def _values(self) -> dict[str, float]:
        return {row.name: float(self.changed.get(row.name, row.default)) for row in TABLE}

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def whole(self, name: str) -> int:
        """A number of frames."""
        return round(self._values[name])

    def by_state(self, name: str) -> NDArray[np.float64]:
        """[states]; off is zero."""
        return self._vector(name, STATES)

    def by_mood(self, name: str) -> NDArray[np.float64]:
        """[emotions]"""
        return self._vector(name, EMOTIONS)

    @cached_property
    def _vectors(self) -> dict[str, NDArray[np.float64]]:
        return {}

    def _vector(self, name: str, last: tuple[str, ...]) -> NDArray[np.float64]:
        if name not in self._vectors:
            self._vectors[name] = np.array([self._values.get(f"{name}.{part}", 0.0) for part in last])
        return self._vectors[name]


def _check(name: str, value: float) -> None:
    if name not in _ROWS:
        raise OptionError(f"behaviour parameter: got {name[:60]!r}, accepted: the names in docs/BEHAVIOUR.md"
                          f"{did_you_mean(name, NAMES)}")
    row = _ROWS[name]
    if not row.low <= value <= row.high:
        raise OptionError(f"{name}: got {value:g}, accepted: {row.low:g} to {row.high:g} {row.unit}")


def markdown() -> str:
    """The table as docs/BEHAVIOUR.md has it."""
    rows = [f"| `{row.name}` | {row.default:g} | {row.low:g} to {row.high:g} | {row.unit} | {row.source} |"
            for row in TABLE]  # fmt: skip
    return "\n".join(["| parameter | default | range | unit | source |", "|---|---|---|---|---|", *rows]) + "\n"
