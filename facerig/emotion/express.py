"""What a face shows beside speech: rests of a silent mouth and raised regions, before the lips; and lips for it.

    Express(model.columns):   [n, curves + contacts | controls.WIDTH] -> [n, curves + contacts + rests + HANG], no delay
    FeltLips(model.columns):  [n, curves + contacts + rests + HANG] -> [n, curves]; shorter rows are as `Lips` takes

`Lips` brings every articulator to rest in silence, since what a network says there is noise. For a face with a mood
rest is not zero: a frightened mouth stays stretched, an angry one pressed, a surprised one open. That pose comes from
the tables (`facerig.emotion.looks`), fades in when speech has ended and leaves as the voice comes. It cannot enter a
closure, as it is only there where nobody speaks; and where a felt face lifts the upper lip the lower one follows it.
The controls `raise:*` are added here too, so that closures win over them. A jaw that hangs lower is added behind the
lips and makes way for their contacts: before them every closure would lift it all the way, within a frame. With an
empty condition and nothing raised every bit is that of `Lips`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from facerig.controls import group
from facerig.emotion import code, looks
from facerig.post.lips import ARTICULATORS, MOODS, NEAR, SPEECH, Evidence, Lips
from facerig.post.switches import Switch
from facerig.stage import Frames, State

# Millimetres by which a channel at 1 parts the inner lips, on the head where an emotion parts them most (ICT-FaceKit by
# facerig.heads.landmarks: its sneer lifts the upper lip, the built-in head's does not). Jaw and mouthClose are made
# even by `Lips`.
PARTS = {"noseSneerLeft": 3.11, "noseSneerRight": 3.11, "mouthRollUpper": 1.82, "mouthRollLower": -3.75,
         "mouthShrugUpper": 5.26, "mouthPressLeft": -1.27, "mouthPressRight": -1.27,
         "mouthShrugLower": -6.88}  # fmt: skip
LIFT = "mouthShrugLower"  # what brings the lower lip up to a lifted upper one, as a sneering speaker does it
MOST_LIFT = 0.6
JAW, CLOSE = "jawOpen", "mouthClose"
HANG = f"hang:{JAW}"
# Frames in which a jaw that hangs gives way to a contact. A Spanish clip under raise:jaw=1, largest step of the jaw and
# steps over .2: at once .547 and 37, 6 .121 and none (.055 where nothing is raised); the built-in head's lips at p b m
# of eight clips, median and four fifths: at once .08 and .26 mm, 6 .04 and .22 (.03 and .22).
GIVES = 6
PACE = 1  # of looks.KERNELS: rests change within 0.2 s
# Speech for the purpose of rest: a pause of 0.2 s inside a sentence does not count, then 0.5 s to get there.
TALK = Switch(enter=0.05, leave=0.04, rise=2, fall=30, hold=12)
_RAISE = group("raise")
_FEELING = tuple(group(name) for name in ("emotion", "upper", "style"))  # without any of it no condition is felt


@cache
def resting() -> tuple[str, ...]:
    """Articulators whose rest an emotion or a style moves."""
    known = looks.looks()
    moved = [bool(column.any()) for column in np.concatenate([known.still, known.style_still]).T]
    return tuple(name for name, moves in zip(known.channels, moved, strict=True)
                 if moves and name.startswith(ARTICULATORS) and not name.startswith(MOODS))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Express:
    """The stage: a function of the row."""

    model_columns: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.model_columns, *(f"rest:{name}" for name in resting()), HANG)

    @property
    def delay(self) -> int:
        return 0

    @property
    def memory(self) -> int:
        return 0

    def start(self) -> State:
        return ()

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        controls = frames[:, len(self.model_columns) :]
        out = np.zeros((len(frames), len(self.columns)), np.float32)
        columns, rests = out[:, : len(self.model_columns)], out[:, len(self.model_columns) : -1]
        columns[:] = frames[:, : len(self.model_columns)]
        if any(np.count_nonzero(controls[:, part]) for part in _FEELING):
            rests += _pose(code.condition(controls))
        self._raise(columns, rests, out[:, -1], controls[:, _RAISE])
        return state, out

    def _raise(self, columns: Frames, rests: Frames, hang: Frames, asked: Frames) -> None:
        """What is raised, put in place into the model's columns and the rests; the jaw beside them."""
        if not np.count_nonzero(asked):
            return
        ends = np.concatenate([np.maximum(asked, 0), np.maximum(-asked, 0)], axis=1)
        added = looks.times(ends, looks.raised())
        known = looks.looks().channels
        hang += added[:, known.index(JAW)]
        added[:, known.index(JAW)] = 0
        rests += added[:, [known.index(name) for name in resting()]]
        raised = asked.any(axis=1)  # other rows keep their bits, whoever's they are
        for place, name in enumerate(self.model_columns):
            if name in known and looks.raised()[:, known.index(name)].any():
                columns[raised, place] = np.clip(columns[raised, place] + added[raised, known.index(name)], 0, 1)


def _pose(felt: Frames) -> Frames:
    """[n, 32] -> [n, resting]: what a condition makes of a mouth at rest; zero where it is."""
    known, settled = looks.looks(), np.repeat(felt[:, None], len(looks.KERNELS), axis=1)
    return known.pose(settled)[:, [known.channels.index(name) for name in resting()]]


@dataclass(frozen=True, eq=False)
class FeltLips(Lips):
    """`Lips` to whom silence means the rest that is given beside the curves."""

    talk: Switch = TALK

    @property
    def _switches(self) -> tuple[Switch, ...]:
        return (*super()._switches, self.talk)

    def start(self) -> State:
        return (self._nothing_known(len(self.columns) + len(resting()) + 1),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        width = state[0].shape[1]
        rows = _widened(frames, width)
        kept, out = super().push(state, rows)
        seen = np.concatenate([state[0], rows])
        asked = seen[: self._before + len(rows), len(self.columns) : -1]
        if asked.any():
            rest = _eased(asked, len(rows))
            away = 1 - self._envelopes(seen, self._talking, len(rows))[0]
            places = self._resting
            shown = out[:, places]
            more = np.minimum(shown + away[:, None] * rest, np.maximum(shown, rest))  # never twice the same pose
            out[:, places] = np.where(rest > 0, more, shown)
            self._met(out, seen, (rest > 0).max(axis=1))
        hang = seen[self._before : self._before + len(rows), -1]
        if hang.any():
            self._hung(out, seen, hang)
        return kept, out

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked. Those that rest in a mood are stepped alone; nearly always there are none."""
        count, width = frames.shape[1], state[0].shape[2]
        seen = np.concatenate((state[0], _widened(frames, width)), axis=1)
        out = self._shown(seen, count)
        for row in np.flatnonzero(seen[:, :, len(self.columns) :].any(axis=(1, 2))):
            out[row] = self.push((state[0][row],), frames[row])[1]
        return (seen[:, count:],), out

    def _met(self, out: Frames, seen: Frames, felt: NDArray[np.bool_]) -> None:
        """Lips that shall be closed meet, however far a felt face has lifted the upper one."""
        apart = looks.times(out[:, self._parting[0]], self._parting[1])[:, 0]
        _, _, closed, _ = self._shares(seen, len(out))
        out[:, self._places[LIFT]] += closed * felt * np.clip(apart / -PARTS[LIFT], 0, MOST_LIFT)

    def _hung(self, out: Frames, seen: Frames, hang: Frames) -> None:
        """The jaw hangs lower by so much. It gives way to a contact at its own pace, and what is left of it lips that
        shall touch each other or the teeth, or nearly do, make up for."""
        jaw, close = self._places[JAW], self._places[CLOSE]
        spoken, teeth, closed, _ = self._shares(seen, len(out))
        near = spoken * np.clip(1 - (out[:, jaw] - out[:, close]) / np.float32(NEAR), 0, 1)
        left = hang * (1 - self._given_way(seen, len(out)))
        added = np.maximum(np.minimum(out[:, jaw] + left, 1) - out[:, jaw], 0)
        out[:, jaw] += added
        out[:, close] += added * np.maximum(np.maximum(teeth, closed), near)

    def _given_way(self, seen: Frames, count: int) -> Frames:
        """[count] the mean of the last GIVES frames' contacts, from their first evidence to their last."""
        older = GIVES - 1  # rows; contacts remember less than talk does, so that they never see what stands before them
        longer = np.concatenate([np.repeat(seen[:1], older, axis=0), seen])
        spoken, teeth, lips, _ = self._envelopes(longer, self._decided, count + older)
        touching = spoken * np.maximum(teeth, lips)
        out = np.zeros(count, np.float32)
        for age in range(GIVES):
            out += touching[older - age : older - age + count] / np.float32(GIVES)
        return out

    @cached_property
    def _talking(self) -> Evidence:
        return self._evidence((SPEECH, self.talk))

    @cached_property
    def _resting(self) -> list[int]:
        return [self._places[name] for name in resting()]

    @cached_property
    def _parting(self) -> tuple[list[int], Frames]:
        """Columns of PARTS that are there, and their gaps."""
        known = {self._places[name]: gap for name, gap in PARTS.items() if name in self._places}
        return list(known), np.array([[gap] for gap in known.values()], np.float32)


def _widened(frames: Frames, width: int) -> Frames:
    """Rows with zeros up to this width."""
    missing = width - frames.shape[-1]
    return np.concatenate((frames, np.zeros((*frames.shape[:-1], missing), np.float32)), axis=-1) if missing else frames


def _eased(asked: Frames, count: int) -> Frames:
    """The last `count` rows, each the mean of its past over PACE: what is asked for at once comes without a jump."""
    weights = looks.kernels()[PACE][-looks.KERNELS[PACE] :]
    first = len(asked) - count
    out = np.zeros((count, asked.shape[1]), np.float32)
    for age, weight in enumerate(weights[::-1]):
        out += weight * asked[first - age : first - age + count]
    return out
