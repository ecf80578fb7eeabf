"""Ways of being, as named sets of controls over time: `hesitant`, `confident`, `nervous`, ... One table.

A preset comes on top of what is asked for otherwise: its numbers are added to the controls and cut to their ranges,
some for as long as it holds, some now and then at moments that the seed chooses. In a dialogue it may also hold a line
back and put pauses into a text. Numbers are ours, in the directions that the notes name; gaze from Argyle and Cook
(1976, Gaze and mutual gaze) and Kendon (1967): anxious and doubting people look away more, confident ones less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facerig.controls import Controls
from facerig.dialogue.course import FOREVER, Course, Gesture, Habit, Recurring
from facerig.errors import check_option, did_you_mean

FADE = 24  # native frames in which a preset comes and goes (0.4 s)


@dataclass(frozen=True)
class Preset:
    """A way of being."""

    name: str
    what: str
    steady: Mapping[str, float]
    """Added to these controls while it holds."""
    recurring: tuple[Recurring, ...] = ()
    hold_back: float = 0.0
    """Seconds by which a line of a dialogue comes later."""
    pause: float = 0.0
    """Seconds of silence after the first words and at commas of a text that is spoken."""

    def into(self, course: Course, start: int = 0, end: int = FOREVER, key: tuple[int, ...] = (0,),
             seed: int = 0) -> None:
        """From frame `start` until `end`; `Course.end(frame, key)` ends it earlier."""
        course.add(Gesture.of(start, end, FADE, FADE, (*key, -1), self.steady))
        for number, habit in enumerate(self.recurring):
            course.add_habit(Habit(habit, start, end, (*key, number), seed))

    def over(self, controls: Controls | None = None, seed: int = 0, start: int = 0, end: int = FOREVER) -> Course:
        """Controls with this preset on top: what `Animator.session(controls=...)` takes."""
        course = Course(controls)
        self.into(course, start, end, seed=seed)
        return course


def preset(name: str) -> Preset:
    """By name."""
    known = name.strip().lower()
    check_option("preset", name[:60], ", ".join(PRESETS), known in PRESETS,
                 did_you_mean(known, PRESETS, 1).removeprefix("; "))  # fmt: skip
    return PRESETS[known]


def _away(period: float, least: float, most: float, yaw: float, pitch: float) -> Recurring:
    """Eyes leave to one side or the other, the head a little with them."""
    by = {"look:yaw": yaw, "look:pitch": pitch, "look:held": 1.0, "pose:yaw": yaw * 0.2}
    return Recurring(period, least, most, 0.10, 0.14, by, True)


def _upper(name: str, weight: float, held: float) -> dict[str, float]:
    return {f"upper:{name}": weight, "upper:held": held}


_TABLE = (
    Preset("hesitant", "the mouth tries to smile while brows and lids worry; eyes leave, words come late",
           {**_upper("fear", 0.35, 0.8), "upper:sad": 0.25, "emotion:happy": 0.18, "style:0": -0.2, "style:3": -0.15,
            "gain:head": -0.1, "raise:brows": 0.12, "raise:corners": 0.12},
           (_away(3.4, 0.7, 1.6, 13.0, -8.0),
            Recurring(5.2, 0.5, 0.9, 0.25, 0.4, {"pose:roll": 3.0, "pose:pitch": -2.0}, True)), 0.45, 0.35),
    Preset("confident", "steady eyes, still head held high, crisp lips",
           {"look:held": 0.25, "pose:pitch": 2.0, "style:3": 0.3, "style:1": 0.15, "style:7": 0.15,
            "emotion:happy": 0.08},
           (Recurring(6.0, 0.3, 0.6, 0.2, 0.35, {"pose:pitch": -2.5}),), -0.05),
    Preset("nervous", "wide, quick eyes that never stay, tense lips, small quick head movements",
           {**_upper("fear", 0.3, 0.6), "style:2": 0.45, "style:7": 0.25, "style:6": 0.25, "raise:lids": 0.15},
           (_away(1.5, 0.25, 0.7, 11.0, -3.0), _away(2.7, 0.2, 0.5, 7.0, 6.0),
            Recurring(2.3, 0.15, 0.3, 0.12, 0.2, {"pose:yaw": 2.5, "pose:pitch": 1.0}, True)), 0.0, 0.12),
    Preset("warm", "a soft smile that reaches the eyes, head a little to the side, looks at you",
           {"emotion:happy": 0.28, "raise:corners": 0.12, "raise:cheeks": 0.12, "style:2": -0.2, "look:held": 0.15,
            "attitude": 0.4},
           (Recurring(5.5, 1.0, 2.2, 0.5, 0.7, {"pose:roll": 4.0}, True),)),
    Preset("cold", "a still, level face; the eyes stay and give nothing back",
           {"style:5": -0.25, "style:6": -0.6, "style:7": -0.15, "look:held": 0.25, "life:head": -0.5,
            "life:react": -0.7, "attitude": -0.4, "gain:brows": -0.3, "raise:lids": -0.12,
            **_upper("contempt", 0.15, 0.3)}, (), 0.1),
    Preset("tired", "heavy lids, loose and slow lips, the head sinks and is picked up again",
           {"style:0": -0.3, "style:1": -0.3, "style:2": -0.4, "style:3": -0.5, "style:6": -0.6, "style:7": -0.8,
            "pose:pitch": -3.0, "life:head": -0.3},
           (Recurring(7.0, 1.2, 2.4, 1.2, 0.5, {"pose:pitch": -4.0}),), 0.25, 0.15),
    Preset("shy", "eyes mostly down, head bowed and turned, a small smile",
           {"pose:pitch": -4.0, "look:pitch": -5.0, "style:0": -0.35, "style:1": -0.25, "emotion:happy": 0.15,
            "raise:brows": 0.08},
           (_away(2.6, 0.9, 1.7, 10.0, -10.0), Recurring(6.5, 0.8, 1.4, 0.3, 0.6, {"raise:brows": 0.2})), 0.3, 0.15),
    Preset("angry", "brows down, lids hard, lips tense, eyes that do not leave you",
           {"emotion:angry": 0.45, "raise:brows": -0.2, "raise:lids": -0.15, "style:2": 0.4, "look:held": 0.35,
            "pose:pitch": -2.0, "attitude": -0.5},
           (Recurring(4.5, 0.2, 0.4, 0.12, 0.3, {"pose:pitch": -3.5}),), -0.1),
    Preset("excited", "brows and head with every word, eyes wide, lips wide",
           {"emotion:happy": 0.25, "emotion:amazement": 0.15, "style:0": 0.25, "style:1": 0.3, "style:6": 0.8,
            "style:7": 0.35},
           (Recurring(2.8, 0.2, 0.5, 0.12, 0.25, {"pose:pitch": 3.0, "raise:brows": 0.35}),), -0.1),
    Preset("sad", "brows up inside, eyes down, less of everything",
           {"emotion:sad": 0.45, "raise:corners": -0.1, "style:0": -0.2, "style:6": -0.4, "style:7": -0.35,
            "pose:pitch": -3.0, "life:head": -0.35},
           (_away(4.2, 1.0, 2.2, 6.0, -12.0),), 0.2, 0.2),
    Preset("suspicious", "one brow, narrow lids, head turned while the eyes stay",
           {**_upper("contempt", 0.3, 0.6), "upper:angry": 0.15, "style:4": 0.35, "raise:lids": -0.3, "look:held": 0.2},
           (Recurring(4.8, 1.2, 2.6, 0.4, 0.5, {"pose:yaw": 6.0, "pose:roll": 2.0}, True),), 0.1),
    Preset("thoughtful", "looks up and aside to think, small nods to itself, takes its time",
           {"style:6": -0.2, "raise:brows": -0.12},
           (_away(4.0, 0.9, 1.8, 12.0, 10.0), Recurring(6.5, 0.2, 0.4, 0.2, 0.3, {"pose:pitch": -3.0})), 0.35, 0.25),
)  # fmt: skip
PRESETS: dict[str, Preset] = {row.name: row for row in _TABLE}
