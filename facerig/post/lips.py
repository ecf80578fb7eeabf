"""Lip contacts decided by evidence: a regression smears a "p" into a half-open mouth; this closes it. Silence rests.

Takes the model's columns, curves then contact probabilities, and gives the curves alone. A contact is on from `enter`
down to `leave`, or until evidence has fallen to `release` of its own height: lips part while the sound goes on. While
it is on, lips meet where the network brings them nearest and where the evidence is highest; around that they move as
the network says, which knows the moment better than it dares to close. Where they meet nothing opens them: not the
jaw, not a funnel, not a raised lip. Where nobody has spoken for `hold` frames the mouth goes to rest, all but a jaw
of AJAR. People part their lips before they speak: after a rest of RESTED frames the model's own opening shows, up to
a jaw of PARTED, as soon as speech is heard to come. The mouth is evened over neighbouring frames first, and lips that
nearly meet meet with no evidence too. Memory is finite: a contact that is not confirmed within `longest` frames is
let go. Knows no audio, no emotion (smile, frown and dimple pass through silence), and no head: "closed" is mouthClose
nearly equal to jawOpen, as ARKit means it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facerig.errors import check_option
from facerig.post.switches import Switch, ramps, switched
from facerig.stage import Frames, State
from facerig.windows import highest, windows

Places = NDArray[np.intp]
Bounds = tuple[Places, Frames, Frames]

AnyLips = TypeVar("AnyLips", bound="Lips")

BILABIAL, LABIODENTAL, SPEECH, SOON = (f"contact:{name}" for name in ("bilabial", "labiodental", "speech", "soon"))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Columns of the model, and what each of them switches."""

    names: tuple[str, ...]
    columns: Places
    switches: tuple[Switch, ...]

    @cached_property
    def shaking(self) -> list[int]:
        """Which of them are EVENED."""
        return [row for row, name in enumerate(self.names) if name in EVENED]


# The bar is low, since a contact shows in a valley and at a peak alone (VALLEY, below). Evened evidence, training
# clips, closed at p b m of speechocean, prompts, actors / their open vowels closed / GRID's gap r: .13 94.6 85.1 91.6 /
# 1.2 2.6 2.4 / .943, .11 94.6 85.4 92.2 / 1.2 2.9 2.4 / .943. Ramps of one frame, as the network's curves close by
# themselves. Release: a "p" is labelled to the end of its breath, lips part at its burst; none 85.9 of the prompts and
# .942, .4 85.6 and .943, .6 85.1 and .943 at the bar of .13.
LIPS = Switch(enter=0.11, leave=0.09, rise=1, fall=1, release=0.6)
# The same where no frame to come is known. `instant`, .11, .15, .2: closed 93.2 86.6 91.3, 92.6 85.6 90.3, 91.9 83.1
# 87.9; open vowels 2.4 3.5 2.5, 1.6 2.3 1.9, 1.6 1.2 1.3; gap r .881, .885, .889.
PROMPT = replace(LIPS, enter=0.15, leave=0.12)
TEETH = Switch(enter=0.5, leave=0.4, rise=1, fall=1)
# The gate. While it opened on a hint, .05, because lips part before they sound, it stayed open through pauses; since
# COMING does that it asks for speech. Of 244 silences of recorded people (training clips) lips were apart, at any
# instant of the middle half and at the very middle, in 50 and 28 % under .05 with a fall of 4 held for 2, 46 and 21 %
# under .3, 45 and 18 % with this fall; closures in noise, whisper and codecs are as many to 1 in 88.
VOICE = Switch(enter=0.3, leave=0.2, rise=2, fall=3, hold=1)
# What is left of the network's own opening in silence, as a jaw; GRID's gap and jaw r: .015 .895 .804, .02 .897 .810.
AJAR = 0.02
# The same where speech is about to come, 100 ms ahead at most. The decoder rests at sounds that are no speech
# (facerig.train.rests), so the bar can be low: 50 GRID training clips, gap r, jaw r, worst sound: from .05 up to a jaw
# of .15 .937 .864 .004, from .02 .941 .868 .004, up to .25 .942 .869 .004, from any evidence .942 .870 .004.
PARTED = 0.25
COMING = Switch(enter=0.02, leave=0.016, rise=2, fall=2)
# In a pause shorter than this lips that met do not part early. Known rest is meant: of what was before it a stream has
# but its network's look-ahead of empty frames. 21, 18, 15: gap r .942 .944 .946, jaw r .869 .875 .877, silences of the
# prompts with lips apart at any instant of their middle half 30, 31, 34 %, at the very middle 10, 10, 11 %.
RESTED = 18  # frames
EVENED = (BILABIAL, LABIODENTAL)  # evidence that shakes as the curves do (`Lips._evened`)
UNKNOWN = -1.0  # evidence of speech before the stream
# Where in a contact the lips meet. Held shut from its first evidence to its last they met 33 ms before measured ones
# and parted 50 ms after. 50 GRID training clips, gap r and closures that are true; closed at p b m of speechocean and
# prompts (120 clips each), open vowels closed there, lips that part for 83 ms at most between two closures, a minute,
# jerk: throughout .929 87, 94.6 83.8, 2.4 4.7, 8 11, .59 .75; in the valley and at any peak .944 85, 95.9 88.6, 1.6
# 3.2, 10 17, .60 .83; where evened evidence is highest and SURE .944 88, 94.6 86.1, 1.2 2.6, 8 10, .56 .76; the bar too
# on evened evidence, .11 for .13, .943 88, 94.6 85.4, 1.2 2.9, 6 9, .52 .72.
VALLEY = 3  # frames before, and one to come, of which the lowest opening counts, and the highest evidence
SLOPE = 0.04  # of jawOpen above it, over which a held contact lets the lips go
# Evidence whose peak closes them wherever the valley is. .2 and .15, closed at p b m of speechocean, prompts, actors
# and gap r on 160 GRID training clips: 93.1 87.6 93.6 .9340, 93.9 87.6 93.6 .9339; `tiny` 84.7 77.5 92.5 .9093, 86.3
# 78.9 92.5 .9085.
SURE = 0.15
# The share of its highest from which evidence is a peak. .8, .9, .95, .97, the same gap r: .9333 .9337 .9340 .9341, as
# many closed; `tiny` .9083 .9091 .9093 .9094, `instant` .8966 .8971 .8974 .8975.
PEAK = 0.95
# How far a channel parts the lips, as a share of what the jaw does (ICT-FaceKit by facerig.heads.landmarks).
OPENS = {"jawOpen": 1.0, "mouthClose": -1.0, "mouthFunnel": 0.42, "mouthShrugUpper": 0.16, "mouthRollLower": -0.11,
         "mouthLowerDownLeft": 0.1, "mouthLowerDownRight": 0.1, "mouthUpperUpLeft": 0.11,
         "mouthUpperUpRight": 0.11}  # fmt: skip
# Lips that nearly meet, meet: a regression stops short of a contact. 50 GRID training clips, closures found of all and
# true of found, gap r; silences of 244 with lips apart: none 76 88 .927 43 %, .06 82 88 .925 32, .08 86 88 .925 32,
# .1 87 88 .924 31 (with a closure's bar of .22 instead of .2 87 89 .925), .12 90 86 .923 30.
NEAR = 0.1  # of jawOpen over mouthClose: openings under this
MEET = 0.8  # of the smallest is made up for
SHUT = 0.9  # of jawOpen is made up for by mouthClose: exact on one head is pressed on the next (ICT closes at .78)


@dataclass(frozen=True)
class Hold:
    """What a full contact does to a channel: stay at least at `least`, at most at `most`."""

    channel: str
    least: float = 0.0
    most: float = 1.0


def _both(channel: str, least: float = 0.0, most: float = 1.0) -> tuple[Hold, Hold]:
    return Hold(f"{channel}Left", least, most), Hold(f"{channel}Right", least, most)


# As "m" and "f" in assets/articulation/targets.csv, with half the pressure: it comes on top of the network's own.
CLOSED = (
    Hold("jawOpen", most=0.14),
    Hold("mouthFunnel", most=0.0),
    *_both("mouthLowerDown", most=0.0),
    *_both("mouthUpperUp", most=0.0),
    *_both("mouthPress", least=0.07),
    Hold("mouthRollLower", least=0.05),
    Hold("mouthRollUpper", least=0.04),
    Hold("mouthShrugUpper", most=0.02),
)
AT_TEETH = (
    Hold("jawOpen", most=0.12),
    Hold("mouthClose", most=0.02),
    Hold("mouthFunnel", most=0.06),
    *_both("mouthLowerDown", most=0.0),
    *_both("mouthUpperUp", least=0.12),
    Hold("mouthRollLower", least=0.36),
    Hold("mouthShrugLower", least=0.08),
)
# Channels that speech alone moves; the others may show a mood in silence.
ARTICULATORS = ("jaw", "mouth", "tongue", "cheekPuff")
MOODS = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthLeft", "mouthRight")


@dataclass(frozen=True, eq=False)
class Lips:
    """The stage: [n, curves + contacts] -> [n, curves], `rise` frames late."""

    columns: tuple[str, ...]
    lips: Switch = LIPS
    teeth: Switch = TEETH
    voice: Switch = VOICE
    coming: Switch = COMING

    def __post_init__(self) -> None:
        for name in (BILABIAL, LABIODENTAL, SPEECH, SOON, "jawOpen", "mouthClose"):
            check_option("columns", name, "the columns of a model with contact evidence", name in self.columns)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """What is left: the curves."""
        return tuple(name for name in self.columns if not name.startswith("contact:"))

    @property
    def delay(self) -> int:
        return max(switch.rise for switch in self._switches)

    @property
    def memory(self) -> int:
        spans = (*(switch.span for switch in self._switches), RESTED + self.coming.span)
        return self.delay + max(spans) + 1  # what is oldest is evened with what was before it

    @property
    def _switches(self) -> tuple[Switch, ...]:
        return (self.lips, self.teeth, self.voice, self.coming)

    @property
    def _ahead(self) -> int:
        """Frames to come that evidence can be evened with, beside those that ramps ask for: one or none."""
        return int(self.delay > max(1, self.lips.rise, self.teeth.rise))

    def at_once(self: AnyLips) -> AnyLips:
        """The same without ramps beforehand: what is switched on comes in one frame, and no frame waits for it."""
        switches = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Switch)}
        return replace(self, **{name: replace(switch, rise=0) for name, switch in switches.items()})

    def start(self) -> State:
        return (self._nothing_known(len(self.columns)),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        seen = np.concatenate([state[0], frames])
        return (seen[len(frames) :],), self._shown(seen, len(frames))

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked: states [B, memory, columns], frames [B, n, columns] -> [B, n, curves]."""
        seen, count = np.concatenate([state[0], frames], axis=1), frames.shape[1]
        return (seen[:, count:],), self._shown(seen, count)

    def _shown(self, seen: Frames, count: int) -> Frames:
        """[..., memory + count, columns] -> [..., count, curves]."""
        out = self._evened(seen, count)
        spoken, teeth, closed, coming = self._shares(seen, count)
        out[..., self._articulators] *= np.maximum(spoken, self._ajar(out, coming))[..., None]
        self._meet(out)
        _hold(out, teeth, *self._at_teeth)
        _hold(out, closed, *self._closed)
        self._close(out, closed)
        return out

    def _nothing_known(self, width: int) -> Frames:
        """Rows before the stream."""
        rows = np.zeros((self.memory, width), np.float32)
        rows[:, self.columns.index(SPEECH)] = UNKNOWN
        return rows

    # ---- evidence -------------------------------------------------------------------------------------------

    @cached_property
    def _before(self) -> int:
        """Rows of the past that are older than the first one shown."""
        return self.memory - self.delay

    @cached_property
    def _decided(self) -> Evidence:
        return self._evidence((SPEECH, self.voice), (LABIODENTAL, self.teeth), (BILABIAL, self.lips),
                              (SOON, self.coming))  # fmt: skip

    def _shares(self, seen: Frames, count: int) -> tuple[Frames, Frames, Frames, Frames]:
        """[..., count] each: how far there is speech, lip and teeth touch, lips meet, speech is coming."""
        reached = self._envelopes(seen, self._decided, count)
        spoken, teeth, lips, coming = (reached[..., k, :] for k in range(reached.shape[-2]))
        return spoken, teeth * spoken, lips * spoken * self._nearest(seen, count), coming

    def _evidence(self, *given: tuple[str, Switch]) -> Evidence:
        names = tuple(name for name, _ in given)
        columns = np.array([self.columns.index(name) for name in names], np.intp)
        return Evidence(names, columns, tuple(switch for _, switch in given))

    def _envelopes(self, seen: Frames, evidence: Evidence, count: int) -> Frames:
        """[..., switches, count] 0..1 for the delayed frames: ramps reach out from every frame that is on, the largest
        counts."""
        courses = np.ascontiguousarray(seen.take(evidence.columns, axis=-1).swapaxes(-1, -2))
        if SOON in evidence.names:
            speech, soon = (courses[..., evidence.names.index(name), :] for name in (SPEECH, SOON))
            soon *= rested(speech, self.voice)
        if rows := evidence.shaking:
            courses[..., rows, 1 : courses.shape[-1] - self._ahead] = _even(courses[..., rows, :], self._ahead)
        on = switched(courses, *evidence.switches)
        weights, back = ramps(*evidence.switches)
        near = windows(on, weights.shape[-1], first=self._before - back, count=count)
        reached: Frames = np.maximum.reduce(near * weights, axis=-1)
        return reached

    def _nearest(self, seen: Frames, count: int) -> Frames:
        """[..., count] how much of a held contact shows: all of it in the network's valley and at the peak."""
        ahead = self._ahead
        rows = seen[..., self._before - VALLEY - 1 : self._before + count + 2 * ahead, :]
        now, span = slice(VALLEY, VALLEY + count), VALLEY + 1 + ahead
        opening = self._opening(rows)
        opening = _even(opening, ahead) if ahead else opening[..., 1:]  # as the mouth is
        above = opening[..., now] + highest(-opening, span)
        valley = 1 - above / np.float32(SLOPE)
        evidence = _even(rows[..., self.columns.index(BILABIAL)], ahead)
        top = highest(evidence, span)
        peak = (evidence[..., now] / np.maximum(top, np.float32(SURE)) - np.float32(PEAK)) / np.float32(1 - PEAK)
        return np.asarray(np.clip(np.maximum(valley, np.where(top >= SURE, peak, 0)), 0, 1))

    # ---- what it does to the curves -------------------------------------------------------------------------

    def _evened(self, seen: Frames, count: int) -> Frames:
        """[..., count, curves], the mouth's weighed 1 2 1 with their neighbours, where a frame waits for the next one
        anyhow: a network that looks at every second frame is two that take turns, and what they differ in shakes at 30
        Hz. Jerk of 240 training clips 1.02 -> .66, GRID's r as before."""
        first = self._before
        out: Frames = seen[..., first : first + count, :].take(self._curves, axis=-1)
        if self.delay:
            around = seen[..., first - 1 : first + count + 1, self._mouth]
            out[..., self._mouth] = _one_two_one(around[..., :-2, :], around[..., 1:-1, :], around[..., 2:, :])
        return out

    def _opening(self, rows: Frames) -> Frames:
        """[..., n] how far the network parts the lips."""
        columns, weights = self._opens
        return np.asarray(np.einsum("...c,c->...", rows.take(columns, axis=-1), weights))

    def _ajar(self, out: Frames, coming: Frames) -> Frames:
        """[..., n] the share of a pose that leaves the jaw at AJAR, at PARTED where speech is coming, all of it where
        the jaw is less."""
        most = np.float32(AJAR) + np.float32(PARTED - AJAR) * coming
        return np.asarray(most / np.maximum(out[..., self._places["jawOpen"]], most), np.float32)

    def _meet(self, out: Frames) -> None:
        """mouthClose makes up for most of a small opening: the smaller, the more."""
        jaw, close = self._places["jawOpen"], self._places["mouthClose"]
        apart = np.maximum(out[..., jaw] - out[..., close], 0)
        out[..., close] += np.float32(MEET) * apart * np.maximum(1 - apart / np.float32(NEAR), 0)

    def _close(self, out: Frames, held: Frames) -> None:
        """mouthClose makes up for the open jaw, as far as every head's lips then meet."""
        jaw, close = self._places["jawOpen"], self._places["mouthClose"]
        out[..., close] += held * (np.float32(SHUT) * out[..., jaw] - out[..., close])

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where each curve stands in the output."""
        return {name: place for place, name in enumerate(self.channels)}

    @cached_property
    def _opens(self) -> tuple[Places, Frames]:
        """Columns of OPENS that are there, and their weights."""
        known = {self.columns.index(name): weight for name, weight in OPENS.items() if name in self.columns}
        return np.array(list(known), np.intp), np.array(list(known.values()), np.float32)

    @cached_property
    def _at_teeth(self) -> Bounds:
        return self._bounds(AT_TEETH)

    @cached_property
    def _closed(self) -> Bounds:
        return self._bounds(CLOSED)

    def _bounds(self, rules: Sequence[Hold]) -> Bounds:
        """(columns, least, most) of the rules whose channel is there."""
        known = [rule for rule in rules if rule.channel in self.channels]
        least, most = (np.array(side, np.float32) for side in ([r.least for r in known], [r.most for r in known]))
        return np.array([self.channels.index(rule.channel) for rule in known], np.intp), least, most

    @cached_property
    def _curves(self) -> Places:
        return np.array([i for i, name in enumerate(self.columns) if not name.startswith("contact:")], np.intp)

    @cached_property
    def _mouth(self) -> slice:
        """Jaw and lips, which lie side by side in front of the evidence."""
        places = [k for k, name in enumerate(self.columns) if name.startswith(("jaw", "mouth"))]
        return slice(places[0], places[-1] + 1)

    @cached_property
    def _articulators(self) -> Places:
        moved = [name.startswith(ARTICULATORS) and not name.startswith(MOODS) for name in self.channels]
        return np.flatnonzero(moved)


def _hold(out: Frames, held: Frames, columns: Places, least: Frames, most: Frames) -> None:
    """Channels move into their bounds by as much as the contact is held."""
    now = out.take(columns, axis=-1)
    out[..., columns] = now + held[..., None] * (np.minimum(np.maximum(now, least), most) - now)


def _even(courses: Frames, ahead: int) -> Frames:
    """[..., n] without its first frame: the mean with the one before; weighed 1 2 1, and without its last one, where a
    frame to come is known."""
    if not ahead:
        return np.asarray(np.float32(0.5) * (courses[..., :-1] + courses[..., 1:]))
    return _one_two_one(courses[..., :-2], courses[..., 1:-1], courses[..., 2:])


def _one_two_one(before: Frames, now: Frames, after: Frames) -> Frames:
    """The weighed mean of three neighbours."""
    return np.asarray(now + np.float32(0.25) * (before + after - 2 * now))


def rested(speech: Frames, voice: Switch) -> NDArray[np.bool_]:
    """[..., n] whether each of the RESTED frames before is known to be without speech."""
    heard = np.ones((*speech.shape[:-1], RESTED - 1 + speech.shape[-1]), np.bool_)
    before = speech[..., :-1]
    heard[..., RESTED:] = (before < 0) | (before >= voice.enter)
    return np.asarray(~highest(heard, RESTED), np.bool_)
