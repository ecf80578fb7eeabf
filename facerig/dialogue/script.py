"""A dialogue as values: who is there, who says what, how, and when. Knows no file format and makes no sound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from facerig.dialogue import labels, seats
from facerig.dialogue.mood import Personality
from facerig.emotion.space import Mixture, Vad

GAP = 0.2  # seconds between turns, where nothing is said: the mean of ten languages (Stivers et al. 2009, PNAS 106)


@dataclass(frozen=True)
class Character:
    """Somebody in the dialogue."""

    name: str
    voice: str = ""
    """Of the speech engine, for lines with text."""
    seat: tuple[float, float] | None = None
    """x to the right, y away, in metres, seen from above; none: on a ring with the others."""
    eyes: float = seats.EYES
    facing: float | None = None
    """Degrees against the clock from x; none: to the middle of the others."""
    personality: Personality = field(default_factory=Personality)
    mood: Vad | None = None
    """At the beginning; none: the personality's own."""
    attitude: Mapping[str, float] = field(default_factory=dict)
    preset: str = ""
    contagion: float = 0.0
    """How much others' lines move the own mood. At 0 what a character says looks the same alone and in company."""
    seed: int | None = None


@dataclass(frozen=True)
class Line:
    """Something that is said."""

    who: str
    text: str = ""
    audio: Path | None = None
    emotion: str = ""
    """As written: a label, a name or a mixture; empty: what the mood says."""
    intensity: float = 1.0
    act: str = "statement"
    guessed: bool = True
    """Whether the act is a guess from the text."""
    gap: float | None = None
    """Seconds after the line before; negative: before its end."""
    at: float | None = None
    """Seconds on the dialogue's clock, instead of a gap."""
    to: tuple[str, ...] = ()
    preset: str = ""
    interrupts: bool = False
    """Whether whoever speaks falls silent."""
    controls: Mapping[str, float] = field(default_factory=dict)
    number: int = 0
    """In the script, from 0."""
    place: int = 0
    """Line of the file."""

    @property
    def mixture(self) -> Mixture | None:
        return labels.mixture(self.emotion) if self.emotion else None

    @property
    def felt(self) -> Vad | None:
        return labels.place(self.emotion) if self.emotion else None


@dataclass(frozen=True)
class Script:
    """A whole dialogue."""

    characters: tuple[Character, ...]
    lines: tuple[Line, ...]
    title: str = ""
    seed: int = 0
    gap: float = GAP
    tail: float = 1.0
    """Seconds that the faces live on after the last line."""
    language: str = "en"
    name: str = "script"

    def character(self, name: str) -> Character:
        return next(one for one in self.characters if one.name == name)

    def seats(self) -> dict[str, seats.Seat]:
        """Where everybody is and which way the bodies face."""
        ring = seats.ring(len(self.characters))
        places = {c.name: c.seat or ring[k] for k, c in enumerate(self.characters)}
        out = {}
        for one in self.characters:
            others = [place for name, place in places.items() if name != one.name]
            facing = seats.facing_of(places[one.name], others) if one.facing is None else one.facing
            out[one.name] = seats.Seat(*places[one.name], one.eyes, facing)
        return out

    def alone(self, name: str) -> Script:
        """The same without the others and without what they say; times must be given by `at`."""
        return replace(self, characters=(self.character(name),), lines=tuple(
            replace(line, to=()) for line in self.lines if line.who == name))  # fmt: skip


def file_name(name: str) -> str:
    """What a character's files are called: no two differ by case alone."""
    return re.sub(r"[^\w-]+", "-", name.strip()).strip("-").lower()
