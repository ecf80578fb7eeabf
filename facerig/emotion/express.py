"""What a face shows beside speech: rests of a silent mouth and raised regions, before the lips; and lips for it.

    Express(model.columns):   [n, curves + contacts | controls.WIDTH] -> [n, curves + contacts + rests], no delay
    FeltLips(model.columns):  [n, curves + contacts + rests] -> [n, curves]; rows without rests are as `Lips` takes them

`Lips` brings every articulator to rest in silence, since what a network says there is noise. For a face with a mood
rest is not zero: a frightened mouth stays stretched, an angry one pressed, a surprised one open. That pose comes from
the tables (`facerig.emotion.looks`), fades in when speech has ended and leaves as the voice comes. It cannot enter a
closure, as it is only there where nobody speaks. The controls `raise:*` are added here too, so that closures win over
them. With an empty condition and nothing raised every bit is that of `Lips`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from facerig.controls import WIDTH, group
from facerig.emotion import code, looks
from facerig.post.lips import ARTICULATORS, MOODS, SPEECH, Lips, Switch
from facerig.stage import Frames, State

# Speech for the purpose of rest: a pause of 0.2 s inside a sentence does not count, then 0.5 s to get there.
TALK = Switch(enter=0.05, leave=0.04, rise=2, fall=30, hold=12)


@cache
def resting() -> tuple[str, ...]:
    """Articulators whose rest an emotion or a style moves."""
    known = looks.looks()
    moved = [bool(column.any()) for column in np.concatenate([known.still, known.style_still]).T]
    return tuple(name for name, moves in zip(known.channels, moved, strict=True)
                 if moves and name.startswith(ARTICULATORS) and not name.startswith(MOODS))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Express:
    """The stage; its state is the last `memory` rows."""

    model_columns: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.model_columns, *(f"rest:{name}" for name in resting()))

    @property
    def delay(self) -> int:
        return 0

    @property
    def memory(self) -> int:
        return looks.REACH

    def start(self) -> State:
        return (np.zeros((self.memory, len(self.model_columns) + WIDTH), np.float32),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        seen = np.concatenate([state[0], frames])
        felt = code.condition(seen[:, len(self.model_columns) :])
        rests = np.zeros((len(frames), len(resting())), np.float32)
        if felt.any():
            known = looks.looks()
            rests += known.pose(looks.smoothed(felt))[:, [known.channels.index(name) for name in resting()]]
        curves = self._raised(frames, rests)
        return (seen[len(frames) :],), np.concatenate([curves, rests], axis=1)

    def _raised(self, frames: Frames, rests: Frames) -> Frames:
        """The model's columns with what is raised; rests are raised in place."""
        columns, controls = np.split(frames, [len(self.model_columns)], axis=1)
        asked = controls[:, group("raise")]
        if not asked.any():
            return columns
        ends = np.concatenate([np.maximum(asked, 0), np.maximum(-asked, 0)], axis=1)
        added = looks.times(ends, looks.raised())
        known = looks.looks().channels
        rests += added[:, [known.index(name) for name in resting()]]
        out = columns.copy()
        for place, name in enumerate(self.model_columns):
            if name in known and looks.raised()[:, known.index(name)].any():
                out[:, place] = np.clip(columns[:, place] + added[:, known.index(name)], 0, 1)
        return out


@dataclass(frozen=True, eq=False)
class FeltLips(Lips):
    """`Lips` to whom silence means the rest that is given beside the curves."""

    talk: Switch = TALK

    @property
    def _switches(self) -> tuple[Switch, ...]:
        return (self.lips, self.teeth, self.voice, self.talk)

    def start(self) -> State:
        return (np.zeros((self.memory, len(self.columns) + len(resting())), np.float32),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        width = state[0].shape[1]
        rows = np.pad(frames, ((0, 0), (0, width - frames.shape[1])))
        kept, out = super().push(state, rows)
        seen = np.concatenate([state[0], rows])
        now = slice(self.memory - self.delay, self.memory - self.delay + len(rows))
        rest = seen[now, len(self.columns) :]
        if rest.any():
            away = 1 - self._envelope(seen, SPEECH, self.talk, len(rows))
            places = [self.channels.index(name) for name in resting()]
            out[:, places] = np.where(rest != 0, out[:, places] + away[:, None] * rest, out[:, places])
        return kept, out
