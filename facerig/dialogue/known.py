"""Lips by what is said: a character all of whose lines have their words is animated once more with them as evidence.

Everything but the evidence is as it was: the same sound, the same controls frame by frame, the same seed. Needs all of
the dialogue at once, so a stream cannot have it. Knows nothing of turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facerig.audio import Audio
from facerig.controls import WIDTH, Controls, rows_of
from facerig.curves import Curves
from facerig.dialogue.online import Partnered
from facerig.dialogue.script import Script
from facerig.dialogue.voices import Sound
from facerig.errors import InputError
from facerig.phones import Timed
from facerig.pipeline import Animator
from facerig.stage import RATE, Frames
from facerig.transcript.assist import located
from facerig.transcript.read import Transcript, Word
from facerig.transcript.tags import tagged


class Recorded(Controls):
    """Rows as they were given before; the last one goes on."""

    def __init__(self, rows: Frames) -> None:
        super().__init__()
        self.given = rows if len(rows) else rows_of(1)

    @property
    def neutral(self) -> bool:
        return False

    def says(self, name: str) -> bool:
        return True

    def rows(self, first: int, count: int) -> Frames:
        places = np.clip(np.arange(first, first + count), 0, len(self.given) - 1)
        return np.array(self.given[places], np.float32)


class Recorder(Partnered):
    """Keeps the rows that a session asks for; they come in order, but for the first one, which it asks for before."""

    def __init__(self, course: Controls) -> None:
        super().__init__(course)
        self.kept: list[Frames] = []
        self._count = 0

    def rows(self, first: int, count: int) -> Frames:
        rows = super().rows(first, count)
        fresh = rows[max(0, self._count - first) :].copy()
        self._count += len(fresh)
        self.kept.append(fresh)
        return rows

    @property
    def recorded(self) -> Recorded:
        return Recorded(np.concatenate(self.kept) if self.kept else np.zeros((0, WIDTH), np.float32))


def informed(animator: Animator, script: Script, sounds: Sequence[Sound]) -> list[Sound]:
    """Sounds with the units of their lines' words: as the engine told them, else as they are found in the sound."""
    return [replace(sound, phones=_found(animator, line.text, sound, script.language))
            if line.text and not sound.phones else sound
            for line, sound in zip(script.lines, sounds, strict=True)]  # fmt: skip


def _found(animator: Animator, text: str, sound: Sound, language: str) -> tuple[Timed, ...]:
    words = " ".join(piece.text for piece in tagged(text)[0]).split()
    transcript = Transcript((), tuple(Word(0.0, 0.0, word) for word in words))
    try:
        return located(animator.chain.stages, sound.frames, transcript, language).timed
    except InputError:  # a line without a word ("..."): the character is animated by ear
        return ()


def spoken(animator: Animator, track: Frames, timed: Sequence[Timed], controls: Recorded, seed: int,
           language: str) -> Curves:  # fmt: skip
    """A character's curves from the whole of its track, with the units of all its lines."""
    told = Transcript(tuple(sorted(timed, key=lambda unit: unit.start)), ())
    return animator.animate_said(Audio(track, RATE), told, language, controls, seed)
