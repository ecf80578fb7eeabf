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
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facerig.errors import check_option
from facerig.stage import Frames, State
from facerig.windows import highest, windows

Places = NDArray[np.intp]
Bounds = tuple[Places, Frames, Frames]

AnyLips = TypeVar("AnyLips", bound="Lips")

BILABIAL, LABIODENTAL, SPEECH, SOON = (f"contact:{name}" for name in ("bilabial", "labiodental", "speech", "soon"))


@dataclass(frozen=True)
class Switch:
    """Hysteresis on a probability, and the shape of what it switches, in frames."""

    enter: float
    leave: float
    rise: int  # frames of ramp before it is fully on
    fall: int  # frames of ramp after
    hold: int = 0  # frames it stays fully on after its evidence
    longest: int = 30  # frames without fresh evidence at `enter` after which it lets go (0.5 s)
    release: float = 0.0  # share of the highest evidence of the last LATELY frames under which it lets go

    @property
    def reach(self) -> int:
        """Frames of evidence that decide on one frame."""
        return self.longest + (LATELY - 1 if self.release else 0)

    @property
    def span(self) -> int:
        """Frames of evidence before a frame that can still show in it."""
        return self.reach + self.hold + self.fall


@dataclass(frozen=True, eq=False)
class Evidence:
    """Columns of the model, and what each of them switches."""

    names: tuple[str, ...]
    columns: Places
    switches: tuple[Switch, ...]


# The bar: chosen on training clips with a contact held shut throughout (80 of speechocean, closed at p b m / in open
# vowels on the head, percent, and 60 of GRID, gap r): .3 89.8 / 0.6 .897, .25 93.2 / 1.2 .895, .2 94.3 / 1.8 .891; now
# that it shows in a valley and at a peak alone (VALLEY, below), .22, .17, .13, .1 close 94.6, 94.6, 95.3, 95.3 of
# speechocean, 82.6, 83.6, 85.4, 85.9 of the prompts and 1.6, 1.6, 1.6, 1.6 and 1.2, 2.0, 2.0, 2.6 of open vowels. Ramps
# of one frame, as the network's curves close by themselves. Release: a "p" is labelled to the end of its breath, lips
# part at its burst; .75 was needed while contacts were held shut, .6 finds 86.4 of the prompts for .001 of GRID's gap.
LIPS = Switch(enter=0.13, leave=0.1, rise=1, fall=1, release=0.6)
TEETH = Switch(enter=0.5, leave=0.4, rise=1, fall=1)
# The gate. While it opened on a hint, .05, because lips part before they sound, it stayed open through pauses; since
# COMING does that it asks for speech. Of 244 silences of recorded people (training clips) lips were apart, at any
# instant of the middle half and at the very middle, in 50 and 28 % under .05 with a fall of 4 held for 2, 46 and 21 %
# under .3, 45 and 18 % with this fall; closures in noise, whisper and codecs are as many to 1 in 88.
VOICE = Switch(enter=0.3, leave=0.2, rise=2, fall=3, hold=1)
# What is left of the network's own opening in silence, as a jaw; GRID's gap and jaw r: .015 .895 .804, .02 .897 .810.
AJAR = 0.02
# The same where speech is about to come, 100 ms ahead at most. 50 GRID training clips, gap r, jaw r, worst sound: none
# .904 .822 .022; PARTED .08 .918 .850 .042, .12 .922 .855 .049, all .924 .858 .057; with this VOICE and fall, .15 .929
# .859 .045, .18 .931 .861 .050.
PARTED = 0.15
COMING = Switch(enter=0.05, leave=0.04, rise=2, fall=2)
# In a pause shorter than this lips that met do not part early. Known rest is meant: of what was before it a stream has
# but its network's look-ahead of empty frames. 15, 21, 24: gap r .927 .928 .927, silences of recorded people with lips
# apart 49, 43, 43 %.
RESTED = 21  # frames
UNKNOWN = -1.0  # evidence of speech before the stream
_NEVER = np.array(-1, np.int32)
LATELY = 8  # frames (133 ms): longer than a closure takes to be recognised, shorter than two in a row
# Where in a contact the lips meet. Held shut from its first evidence to its last they met 33 ms before measured ones
# and parted 50 ms after. GRID's gap r and closures that are true (50 training clips); closed at p b m of speechocean
# and of prompts, open vowels closed there (120 clips each): throughout .923 88, 94.6 82.8, 2.4 3.8; in the valley .935
# 91, 89.2 77.0, 1.6 1.2; there and at the peak .932 87, 94.6 82.6, 1.6 1.2; there and at a peak of SURE, the bar of a
# contact at .13 instead of .22, .933 89, 95.3 85.4, 1.6 1.2.
VALLEY = 3  # frames before, and one to come, of which the lowest opening counts, and the highest evidence
SLOPE = 0.04  # of jawOpen above it, over which a held contact lets the lips go
SURE = 0.3  # evidence whose peak closes them wherever the valley is
BESIDE = 0.5  # of it in the frames next to the peak
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
        return self.delay + max(*(switch.span for switch in self._switches), RESTED + self.coming.span)

    @property
    def _switches(self) -> tuple[Switch, ...]:
        return (self.lips, self.teeth, self.voice, self.coming)

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
        reached = self._envelopes(seen, self._decided, count)
        spoken, teeth, lips, coming = (reached[..., k, :] for k in range(reached.shape[-2]))
        out[..., self._articulators] *= np.maximum(spoken, self._ajar(out, coming))[..., None]
        self._meet(out)
        _hold(out, teeth * spoken, *self._at_teeth)
        closed = lips * spoken * self._nearest(seen, count)
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
        on = switched(courses, *evidence.switches)
        weights, back = _ramps(*evidence.switches)
        near = windows(on, weights.shape[-1], first=self._before - back, count=count)
        reached: Frames = np.maximum.reduce(near * weights, axis=-1)
        return reached

    def _nearest(self, seen: Frames, count: int) -> Frames:
        """[..., count] how much of a held contact shows: all of it in the network's valley and at the peak."""
        ahead = int(self.delay > 1)
        rows = seen[..., self._before - VALLEY - 1 : self._before + count + 2 * ahead, :]
        span = VALLEY + 1 + ahead
        opening = self._opening(rows, ahead)
        above = opening[..., VALLEY : VALLEY + count] + highest(-opening, span)
        valley = np.clip(1 - above / np.float32(SLOPE), 0, 1)
        evidence = rows[..., self.columns.index(BILABIAL)]
        tops = highest(evidence, span)
        top = evidence[..., VALLEY : VALLEY + tops.shape[-1]]
        peak = ((top >= tops) & (top >= SURE)).astype(np.float32)
        beside = np.maximum(peak[..., :-2], peak[..., 2:]) if ahead else peak[..., :-1]
        return np.asarray(np.maximum.reduce((valley, peak[..., 1 : 1 + count], np.float32(BESIDE) * beside)))

    # ---- what it does to the curves -------------------------------------------------------------------------

    def _evened(self, seen: Frames, count: int) -> Frames:
        """[..., count, curves], the mouth's weighed 1 2 1 with their neighbours, where a frame waits for the next one
        anyhow: a network that looks at every second frame is two that take turns, and what they differ in shakes at 30
        Hz. Jerk of 240 training clips 1.02 -> .66, GRID's r as before."""
        first = self._before
        out: Frames = seen[..., first : first + count, :].take(self._curves, axis=-1)
        if self.delay:
            around = seen[..., first - 1 : first + count + 1, self._mouth]
            before, now, after = around[..., :-2, :], around[..., 1:-1, :], around[..., 2:, :]
            out[..., self._mouth] += np.float32(0.25) * (before + after - 2 * now)
        return out

    def _opening(self, rows: Frames, evened: int) -> Frames:
        """[..., n - 1] how far the network parts the lips, of every row but the first; [..., n - 2] where it is evened
        as the mouth is, with the rows on both sides."""
        columns, weights = self._opens
        apart = np.einsum("...c,c->...", rows.take(columns, axis=-1), weights)
        if not evened:
            return np.asarray(apart[..., 1:])
        return np.asarray(np.float32(0.25) * (apart[..., :-2] + apart[..., 2:]) + np.float32(0.5) * apart[..., 1:-1])

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


def switched(evidence: Frames, *switches: Switch) -> NDArray[np.bool_]:
    """[..., switches, n] -> which frames are on: `enter` was reached within the last `longest` frames, and nothing
    under `leave` since."""
    at = np.arange(evidence.shape[-1], dtype=np.int32)
    enter, longest = (_each(field, *switches) for field in ("enter", "longest"))
    strong = np.maximum.accumulate(np.where(evidence >= enter, at, _NEVER), axis=-1)
    weak = np.maximum.accumulate(np.where(evidence < _lowest(evidence, *switches), at, _NEVER), axis=-1)
    return np.asarray((strong > weak) & (at - strong < longest), np.bool_)


def rested(speech: Frames, voice: Switch) -> NDArray[np.bool_]:
    """[..., n] whether each of the RESTED frames before is known to be without speech."""
    heard = np.ones((*speech.shape[:-1], RESTED - 1 + speech.shape[-1]), np.bool_)
    before = speech[..., :-1]
    heard[..., RESTED:] = (before < 0) | (before >= voice.enter)
    return np.asarray(~highest(heard, RESTED), np.bool_)


def _lowest(evidence: Frames, *switches: Switch) -> Frames:
    """Evidence under which a contact lets go."""
    leave, release = (_each(field, *switches) for field in ("leave", "release"))
    return np.asarray(np.maximum(leave, release * _highest(evidence)), np.float32)


def _highest(evidence: Frames) -> Frames:
    """The largest value of the last LATELY frames."""
    seen = np.zeros((*evidence.shape[:-1], LATELY - 1 + evidence.shape[-1]), np.float32)
    seen[..., LATELY - 1 :] = evidence
    return highest(seen, LATELY)


@lru_cache(maxsize=64)
def _each(field: str, *switches: Switch) -> Frames:
    """[switches, 1] of a field."""
    return np.array([[getattr(switch, field)] for switch in switches], np.float32)


@lru_cache(maxsize=16)
def _ramps(*switches: Switch) -> tuple[Frames, int]:
    """[switches, 1, frames] weights of the frames around the one that is shown, the oldest first, and how many of them
    are older."""
    back, ahead = max(s.fall + s.hold for s in switches), max(s.rise for s in switches)
    weights = [[_ramp(shift, switch) for shift in range(-back, ahead + 1)] for switch in switches]
    return np.array(weights, np.float32)[:, None], back


def _ramp(shift: int, switch: Switch) -> float:
    """Weight of a frame that is on, `shift` frames from the one that is shown (positive: to come)."""
    if shift > 0:
        return max(0.0, 1 - shift / (switch.rise + 1))
    return max(0.0, min(1.0, 1 - (-shift - switch.hold) / (switch.fall + 1)))
