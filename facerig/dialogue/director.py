"""What happens around a line: who looks where, listens, breathes in, feels and shows what. Turns in, controls out.

A turn is announced; from it come cues, each on its frame, and a cue changes the courses of those whom it concerns. Cues
run in the order of frames, just before their frame is needed: so turns that are known all at once and turns that are
announced one by one (BREATH frames ahead or more) give the same controls. A turn announced late is played from then on.

A character's own emotion, act and preset depend on the own turns alone, unless `contagion` says otherwise. Others show
in the eyes, the state, the attitude and the partner's columns: nothing of that moves the lips of who speaks.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from facerig.controls import STATES
from facerig.dialogue import acts
from facerig.dialogue.course import FOREVER, Course, Gesture, draw, frames, turned
from facerig.dialogue.memory import Memory
from facerig.dialogue.mood import Mood
from facerig.dialogue.presets import preset
from facerig.dialogue.script import Character
from facerig.dialogue.seats import Look
from facerig.emotion import space
from facerig.emotion.space import Mixture, Vad
from facerig.stage import FPS

BREATH = 36  # frames before a turn at which it is prepared: 0.6 s; people breathe in about 0.5 s before they speak
FACE = 15  # the face is ahead of the voice: the emotion, the open state
SETTLE = 6  # frames after a turn in which the mouth comes to rest by itself
LISTEN = 6  # after a turn began the others listen ...
GLANCE, GLANCE_SPREAD = 12, 15  # ... and look: 200 to 450 ms, reaction times of gaze in conversation
CATCH = 48  # and feel, where feeling is contagious
THINK = 60  # frames of silence before a turn that are spent thinking
WAIT = 180  # after a turn one waits for the answer; then the state is the voices' to tell
REST = 240  # frames between two looks at a mood on its way home
AWAY_FROM = 90  # turns longer than 1.5 s begin with a look away (Kendon 1967)
SPEAKERS_GAZE, LISTENERS_GAZE = 0.55, 0.8  # held on the other: Argyle and Cook (1976) 41 % and 75 % of the time
REACTS = 0.8  # gain of what listeners show: a quick smile at full gain is more than 5 % of a speaker's mouth energy
MOODY = 0.5  # share of the own valence in the attitude that shows: the frightened do not smile at a friend
CAUGHT = 0.5  # of a line's strength, for somebody with full contagion
KEPT = 10_000  # turns whose mood the log keeps
KINDS = ("breath", "face", "feel", "begin", "listen", "glance", "catch", "end", "free", "rest")
PLAIN = ("backchannel", "greeting", "command", "agreement", "answer")  # acts that do not begin by looking away


@dataclass(frozen=True)
class Turn:
    """Somebody's line on the dialogue's clock, in native frames."""

    who: str
    start: int
    end: int | None = None
    """None: it is told later (`Director.ended`)."""
    emotion: Mixture | None = None
    felt: Vad | None = None
    """Where the emotion lies; none: where its mixture does."""
    intensity: float = 1.0
    act: str = "statement"
    to: tuple[str, ...] = ()
    preset: str = ""
    controls: Mapping[str, float] = field(default_factory=dict)
    feelings: tuple[tuple[int, Mixture, float], ...] = ()
    """(frame, mixture, strength) of emotions that change inside the line."""
    number: int = 0

    @property
    def place(self) -> Vad | None:
        return space.vad(self.emotion) if self.felt is None and self.emotion is not None else self.felt


class Felt(NamedTuple):
    """What a turn did to a mood, for the log."""

    kind: str
    """`line`: its speaker's, at its beginning; `inside`: by an emotion inside of it; `caught`: a listener's."""
    number: int
    who: str
    frame: int
    mood: Vad
    shown: Mixture


@dataclass
class Part:
    """A character while the dialogue runs."""

    who: Character
    looks: Mapping[str, Look]
    mood: Mood
    memory: Memory
    seed: int
    course: Course = field(default_factory=Course)
    turns: list[int] = field(default_factory=list)
    """Own turns that run."""
    epoch: int = 0
    """Counts turns, so that a mood on its way home is left alone by older cues."""
    target: str = ""


class Director:
    """All characters' courses."""

    def __init__(self, characters: Sequence[Character], looks: Mapping[str, Mapping[str, Look]], seed: int = 0,
                 memories: Mapping[str, Memory] | None = None) -> None:
        self.seed = seed
        self.now = -FOREVER
        """First frame that was not yet asked for; before the beginning anything may have been."""
        self.parts: dict[str, Part] = {}
        self.log: deque[Felt] = deque(maxlen=KEPT)
        self._cues: list[tuple[int, int, int, str]] = []
        self._turns: dict[int, Turn] = {}
        self._active: list[int] = []
        self._free = -FOREVER  # since when nobody speaks
        for one in characters:
            memory = ((memories or {}).get(one.name) or Memory(one.name)).beginning(one.attitude)
            self.parts[one.name] = Part(one, looks[one.name], Mood.of(one.personality, one.mood), memory,
                                        int(draw(seed, one.name, one.seed, "part") * 2**31))
            self._at_first(self.parts[one.name])

    # ---- turns ----------------------------------------------------------------------------------------------

    def announce(self, turn: Turn) -> None:
        """A turn to come; numbers rise with the order in which turns begin."""
        self._turns[turn.number] = turn
        others = [name for name in self.parts if name != turn.who]
        self._cue(turn.start - BREATH, turn.number, "breath")
        self._cue(turn.start - FACE, turn.number, "face")
        self._cue(turn.start, turn.number, "begin")
        for place, (frame, _, _) in enumerate(turn.feelings):
            self._cue(frame, turn.number, "feel", str(place))
        for name in others:
            self._cue(turn.start + LISTEN, turn.number, "listen", name)
            late = GLANCE + int(GLANCE_SPREAD * draw(self.parts[name].seed, turn.number, "glance"))
            self._cue(turn.start + late, turn.number, "glance", name)
            if self.parts[name].who.contagion:
                self._cue(turn.start + CATCH, turn.number, "catch", name)
        if turn.end is not None:
            self._cue(turn.end + SETTLE, turn.number, "end")

    def ended(self, number: int, frame: int) -> None:
        """A turn that was open, or that is cut short, ends at `frame`."""
        turn = self._turns.get(number)
        if turn is not None and (turn.end is None or frame < turn.end):
            self._turns[number] = replace(turn, end=frame)
            self._cue(frame + SETTLE, number, "end")

    def advance(self, frame: int) -> None:
        """Run what happens before `frame`, whose predecessors are asked for next."""
        while self._cues and self._cues[0][0] < frame:
            when, number, kind, extra = heapq.heappop(self._cues)
            turn = self._turns.get(number)
            if turn is not None or KINDS[kind] in ("free", "rest"):
                self._run(max(when, self.now), KINDS[kind], turn, extra, number)
        self.now = frame

    def _cue(self, frame: int, number: int, kind: str, extra: str = "") -> None:
        heapq.heappush(self._cues, (frame, number, KINDS.index(kind), extra))

    def _run(self, frame: int, kind: str, turn: Turn | None, extra: str, number: int) -> None:
        if kind == "free":
            self._set_free(frame, self.parts[extra])
        elif turn is None:
            self._rest(frame, self.parts[extra], number)
        elif kind in ("listen", "glance", "catch"):
            other = {"listen": self._listen, "glance": self._glance, "catch": self._catch}[kind]
            other(frame, turn, self.parts[extra])
        elif kind == "feel":
            self._feel(frame, turn, int(extra))
        else:
            {"breath": self._breath, "face": self._face, "begin": self._begin, "end": self._end}[kind](frame, turn)

    # ---- before a line --------------------------------------------------------------------------------------

    def _at_first(self, part: Part) -> None:
        before = -10 * FPS
        part.course.replace(before, "emotion", space.columns(part.mood.shown()), 0)
        if part.looks:
            name = next(iter(part.looks))
            self._look(part, before, name, 0.5, 0)
        part.course.set(before, {"life:react": REACTS}, 0)
        if part.who.preset:
            preset(part.who.preset).into(part.course, before, FOREVER, (-1,), part.seed)
        if not part.mood.settled:
            self._cue(REST, -1 - part.epoch, "rest", part.who.name)

    def _breath(self, frame: int, turn: Turn) -> None:
        """A breath, and where there is time a thought; long turns begin with the eyes elsewhere."""
        part = self.parts[turn.who]
        start = turn.start
        self._reacting(part, frame, 0.0)
        self._gesture(part, turn, start - 24, start - 6, 20, 14, {"pose:pitch": 1.8}, 900)
        if not self._active and start - self._free >= THINK and self._free > -FOREVER and not part.turns:
            self._state(part, frame, "thinking")
        long = turn.end is None or turn.end - start >= AWAY_FROM
        if long and turn.act not in PLAIN and part.looks and draw(part.seed, turn.number, "away") < 0.75:
            side = 1.0 if draw(part.seed, turn.number, "side") < 0.5 else -1.0
            by = {"look:yaw": side * (8 + 8 * draw(part.seed, turn.number, "yaw")), "look:held": 1.0,
                  "look:pitch": -8 + 14 * draw(part.seed, turn.number, "pitch")}
            back = start + 18 + int(36 * draw(part.seed, turn.number, "back"))
            self._gesture(part, turn, start - 24, back, 6, 8, by, 901)

    def _face(self, frame: int, turn: Turn) -> None:
        """The emotion of the line, what its act does, and whom it is for."""
        part = self.parts[turn.who]
        what = acts.ACTS[turn.act]
        part.mood = part.mood.at(turn.start / FPS).moved(turn.place, turn.intensity, what.feeling)
        part.epoch += 1
        part.turns.append(turn.number)
        shown = part.mood.shown(turn.emotion, turn.intensity)
        part.course.replace(frame, "emotion", space.columns(shown), 350)
        self.log.append(Felt("line", turn.number, turn.who, turn.start, part.mood.state, shown))
        self._state(part, frame, "speaking", 50)
        self._moves(part, turn, what)
        addressee = self._addressee(turn)
        if addressee:
            self._look(part, frame, addressee, SPEAKERS_GAZE, 250)

    def _moves(self, part: Part, turn: Turn, what: acts.Act) -> None:
        """Gestures of the act, the line's own controls and its preset; all end with the line at the latest."""
        end = FOREVER if turn.end is None else turn.end
        for place, move in enumerate(what.moves):
            if move.where == "end" and turn.end is None:
                continue  # when the line ends is not known in time
            side = 1.0 if not move.sided or draw(part.seed, turn.number, "move") < 0.5 else -1.0
            by = {name: turned(name, amount, side) for name, amount in move.by.items()}
            first = (end if move.where == "end" else turn.start) + frames(move.at)
            last = end if move.where == "whole" else first + frames(move.rise + move.hold)
            self._gesture(part, turn, first, max(first, last), frames(move.rise), frames(move.fall), by, place)
        whole = {**dict(what.style)}
        for name, amount in turn.controls.items():
            whole[name] = whole.get(name, 0.0) + amount
        if whole:
            self._gesture(part, turn, turn.start - FACE, max(turn.start, end), 18, 24, whole, 800)
        if turn.preset:
            first = max(turn.start - FACE, self.now)
            preset(turn.preset).into(part.course, first, max(first, end), (turn.number, 700), part.seed)

    # ---- while it lasts -------------------------------------------------------------------------------------

    def _begin(self, frame: int, turn: Turn) -> None:
        self._active.append(turn.number)
        what = acts.ACTS[turn.act]
        place = turn.place
        for name in turn.to or [part.who.name for part in self._others(turn.who)]:
            listener = self.parts[name]
            valence = 0.0 if place is None else place.valence * turn.intensity
            listener.memory = listener.memory.heard(turn.who, valence, what.warmth)

    def _listen(self, frame: int, turn: Turn, part: Part) -> None:
        if not part.turns and self._active:
            self._state(part, frame, "listening")

    def _glance(self, frame: int, turn: Turn, part: Part) -> None:
        """The eyes go to who began to speak last."""
        speakers = [self._turns[number].who for number in self._active if number in self._turns]
        if not part.turns and speakers and speakers[-1] != part.who.name:
            self._look(part, frame, speakers[-1], LISTENERS_GAZE, 120)

    def _feel(self, frame: int, turn: Turn, place: int) -> None:
        """An emotion that begins inside the line."""
        part = self.parts[turn.who]
        _, mixture, strength = turn.feelings[place]
        part.mood = part.mood.at(frame / FPS).moved(space.vad(mixture), strength)
        shown = part.mood.shown(mixture, strength)
        part.course.replace(frame, "emotion", space.columns(shown), 300)
        self.log.append(Felt("inside", turn.number, turn.who, frame, part.mood.state, shown))

    def _catch(self, frame: int, turn: Turn, part: Part) -> None:
        strength = CAUGHT * part.who.contagion * turn.intensity
        part.mood = part.mood.at(frame / FPS).moved(turn.place, strength)
        shown = part.mood.shown(turn.emotion, strength)
        self.log.append(Felt("caught", turn.number, part.who.name, frame, part.mood.state, shown))
        if not part.turns:
            self._show(part, frame, 700, shown)

    # ---- afterwards -----------------------------------------------------------------------------------------

    def _end(self, frame: int, turn: Turn) -> None:
        if turn.end is None:
            return
        part = self.parts[turn.who]
        self._active = [number for number in self._active if number != turn.number]
        part.turns = [number for number in part.turns if number != turn.number]
        part.course.end(turn.end, (turn.number,))
        del self._turns[turn.number]
        if not self._active:
            self._free = turn.end
        for other in self.parts.values():
            if not other.turns:
                self._state(other, frame, "listening")
                self._cue(frame + WAIT, turn.number, "free", other.who.name)
        if not part.turns:
            self._reacting(part, frame, REACTS)
            if part.target:
                self._look(part, frame, part.target, LISTENERS_GAZE, 250)
            self._show(part, frame, 800)
        for each in self.parts.values():
            each.course.forget(frame - 10 * FPS)

    def _set_free(self, frame: int, part: Part) -> None:
        """Nobody answers: whether one waits on or idles is told by the voices."""
        if not self._active and not part.turns and frame - SETTLE - WAIT >= self._free:
            self._state(part, frame, "")

    def _show(self, part: Part, frame: int, fade_ms: float, caught: Mixture | None = None) -> None:
        """The mood, or what was caught; a little later on its way home."""
        part.mood = part.mood.at(frame / FPS)
        part.course.replace(frame, "emotion", space.columns(caught or part.mood.shown()), fade_ms)
        part.epoch += 1
        self._cue(frame + REST, -1 - part.epoch, "rest", part.who.name)

    def _rest(self, frame: int, part: Part, number: int) -> None:
        """The mood goes home, in long fades, until it is there or something happens."""
        if part.turns or number != -1 - part.epoch:
            return
        ahead = part.mood.at((frame + REST) / FPS)
        part.course.replace(frame, "emotion", space.columns(ahead.shown()), REST * 1000 / FPS)
        if not ahead.settled:
            self._cue(frame + REST, number, "rest", part.who.name)

    # ---- small things ---------------------------------------------------------------------------------------

    def _others(self, name: str) -> list[Part]:
        return [part for other, part in self.parts.items() if other != name]

    def _addressee(self, turn: Turn) -> str:
        """Whom a line is for: as written, else who spoke last, else the first of the others."""
        part = self.parts[turn.who]
        if turn.to:
            return turn.to[0]
        return part.target or next(iter(part.looks), "")

    def _look(self, part: Part, frame: int, other: str, held: float, fade_ms: float) -> None:
        at = part.looks[other]
        part.course.set(frame, {"look:yaw": at.yaw, "look:pitch": at.pitch, "look:held": held}, fade_ms)
        if other != part.target:
            part.target = other
        felt = part.memory.attitude(other) + MOODY * part.mood.state.valence
        part.course.set(frame, {"attitude": max(-1.0, min(1.0, felt))}, max(fade_ms, 300) if fade_ms else 0)

    def _reacting(self, part: Part, frame: int, gain: float) -> None:
        """What is shown of the other is off the mouth before the own words begin."""
        part.course.set(frame, {"life:react": gain}, 400)

    def _state(self, part: Part, frame: int, name: str, fade_ms: float = 100) -> None:
        """A state, or none: then the voices tell it."""
        assert not name or name in STATES
        part.course.replace(frame, "state", {f"state:{name}": 1.0} if name else {}, fade_ms)

    def _gesture(self, part: Part, turn: Turn, first: int, last: int, rise: int, fall: int, by: Mapping[str, float],
                 place: int) -> None:
        first = max(first, self.now)
        if last >= first:
            part.course.add(Gesture.of(first, last, rise, fall, (turn.number, place), by))
