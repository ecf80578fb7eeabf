"""A dialogue as a stream: sound of every character in steps, curves of every character out, on one clock.

    dialogue = Dialogue(animator, [Character("anna"), Character("ben")], rate=24_000)
    dialogue.announce("anna", start=0.5, end=2.1, emotion="worried", act="question")
    tracks = dialogue.push({"anna": samples, "ben": silence})        # {"anna": Curves, "ben": Curves}
    tracks = dialogue.flush()

All characters advance together; whoever is left out of a push is silent for as long. What others say reaches a
character as partner columns of its controls, as late as prosody is known (about a tenth of a second, less than people
take to react), so a dialogue costs no latency. Frames do not depend on how the sound was cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from facerig.controls import CONTROLS, Controls, place
from facerig.curves import Curves, concat
from facerig.dialogue import acts, labels, seats
from facerig.dialogue.course import draw
from facerig.dialogue.director import Director, Turn
from facerig.dialogue.memory import Memory
from facerig.dialogue.presets import preset
from facerig.dialogue.script import Character, Script
from facerig.errors import check_option
from facerig.pipeline import Animator
from facerig.prosody import ENERGY, PHRASE_END, PITCH, PROSODY, VOICE, Prosody
from facerig.resample import Resample, mono
from facerig.stage import FPS, RATE, SAMPLES, Blocks, Frames, State

MAX_SECONDS = 1e6
# partner column | what is heard
HEARD = (("partner:voice", VOICE), ("partner:energy", ENERGY), ("partner:pitch", PITCH),
         ("partner:phrase_end", PHRASE_END))
ON, OFF = 0.6, 0.2  # voice at which somebody is taken to begin and to end, where turns are followed


class Partnered(Controls):
    """A character's course with what the others' voices say; rows are there for the frames that were heard."""

    def __init__(self, course: Controls) -> None:
        super().__init__()
        self.course = course
        self.heard = np.zeros((0, len(HEARD)), np.float32)
        self.first = 0

    @property
    def neutral(self) -> bool:
        return False

    def says(self, name: str) -> bool:
        return self.course.says(name)

    def hear(self, rows: Frames, before: int) -> None:
        """More rows; those of frames before `before` are not asked for again."""
        drop = min(max(0, before - self.first), len(self.heard))
        self.heard = np.concatenate([self.heard[drop:], rows])
        self.first += drop

    def rows(self, first: int, count: int) -> Frames:
        out = self.course.rows(first, count)
        own = self.heard[first - self.first : first - self.first + count]
        assert len(own) == count, f"frames {first} to {first + count} are asked for before they were heard"
        out[:, [place(name) for name, _ in HEARD]] = own
        return out


class Dialogue:
    """N characters, one clock."""

    def __init__(self, animator: Animator, characters: Sequence[Character] | Script, rate: int = RATE, seed: int = 0,
                 take: int = 1, follow: bool = False, memories: Mapping[str, Memory] | None = None,
                 partnered: type[Partnered] = Partnered) -> None:
        """`follow`: turns are not announced but heard in the voices (then acts and emotions are not known)."""
        cast = characters if isinstance(characters, Script) else Script(tuple(characters), ())
        names = [one.name for one in cast.characters]
        check_option("characters", names, "one or more, each once", bool(names) and len(set(names)) == len(names))
        self.animator, self.names, self.follow = animator, tuple(names), follow
        self.director = Director(cast.characters, seats.looks(cast.seats()), seed + take - 1, memories)
        self._edges: dict[str, State] = {}
        self._edge = Resample(rate)
        self.controls = {name: partnered(part.course) for name, part in self.director.parts.items()}
        self.sessions = {}
        for one in cast.characters:
            own = int(draw(seed + take - 1, one.name, one.seed, "life") * 2**31)
            self.sessions[one.name] = animator.session(RATE, controls=self.controls[one.name], seed=own)
            self._edges[one.name] = self._edge.start()
        self._prosody = Prosody()
        self._voices: State = tuple(np.repeat(array[None], len(names), axis=0) for array in self._prosody.start())
        self._blocks = Blocks(animator.block)
        self._waiting: State = self._blocks.start((len(names), SAMPLES))
        self._heard = 0  # native frames of which the voices are known
        self._numbers = 0
        self._open: dict[str, int] = {}
        self.closed = False

    # ---- turns ----------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """How much sound went in."""
        return self._heard / FPS

    def announce(self, who: str, start: float, end: float | None = None, emotion: str = "", intensity: float = 1.0,
                 act: str = "statement", to: Sequence[str] = (), preset: str = "",
                 controls: Mapping[str, float] | None = None) -> int:
        """Somebody will speak from `start` on (seconds of the dialogue); gives the turn's number, for `end`.

        Turns are announced in the order in which they begin; 0.6 s ahead, or the preparation is played short.
        """
        check_option("who", who, ", ".join(self.names), who in self.names)
        check_option("start", start, f"0 to {MAX_SECONDS:g} seconds", 0 <= start <= MAX_SECONDS)
        check_option("end", end, "a time after the start", end is None or start < end <= MAX_SECONDS)
        check_option("intensity", intensity, "0 to 1", 0 <= intensity <= 1)
        for other in to:
            check_option("to", other, ", ".join(self.names), other in self.names and other != who)
        added = {name: _added(name, value) for name, value in (controls or {}).items()}
        turn = Turn(who, round(start * FPS), None if end is None else max(round(end * FPS), round(start * FPS) + 1),
                    labels.mixture(emotion) if emotion else None, labels.place(emotion) if emotion else None,
                    intensity, acts.known(act), tuple(to), _known_preset(preset), added)
        return self.turn(turn)

    def turn(self, turn: Turn) -> int:
        """A turn that is made already; its number is the next."""
        self._numbers += 1
        self.director.announce(replace(turn, number=self._numbers))
        return self._numbers

    def end(self, number: int, at: float | None = None) -> None:
        """An open turn ends (or a turn is cut short) at `at` seconds; now, where nothing is said. One that is over
        already stays as it is."""
        check_option("number", number, "of a turn that was announced", number in range(1, self._numbers + 1))
        check_option("at", at, f"0 to {MAX_SECONDS:g} seconds", at is None or 0 <= at <= MAX_SECONDS)
        self.director.ended(number, self._heard if at is None else round(at * FPS))

    # ---- sound ----------------------------------------------------------------------------------------------

    def push(self, audio: Mapping[str, ArrayLike]) -> dict[str, Curves]:
        """Samples by name, all of one length (silence for whoever is left out) -> the frames that they complete."""
        check_option("push", "samples after flush", "samples before flush", not self.closed, "open a new dialogue")
        for name in audio:
            check_option("push", name, ", ".join(self.names), name in self.names)
        given = {name: mono(samples, name) for name, samples in audio.items()}
        lengths = sorted({len(samples) for samples in given.values()})
        check_option("push", f"{lengths} samples", "as many samples for each character", len(lengths) <= 1)
        count = lengths[0] if lengths else 0
        native = []
        for name in self.names:
            samples = given.get(name, np.zeros(count, np.float32))
            self._edges[name], frames = self._edge.push(self._edges[name], samples)
            native.append(frames)
        return self._advance(np.stack(native, axis=1))

    def flush(self) -> dict[str, Curves]:
        """The frames that are left when all sound ends here."""
        check_option("flush", "a second flush", "one flush", not self.closed, "open a new dialogue")
        rest = np.stack([self._edge.flush(self._edges[name]) for name in self.names], axis=1)
        self.closed, needed = True, self._heard
        tail = np.concatenate([self._waiting[0], rest])
        # The sessions feed silence after the end until their last frames are out; the voices of that are known too.
        block = self.animator.block
        quiet = self.animator.delay + 2 * block + -(len(tail) + self.animator.delay) % block
        padded = np.concatenate([tail, np.zeros((quiet, len(self.names), SAMPLES), np.float32)])
        for at in range(0, len(padded) // block * block, block):
            self._hear(padded[at : at + block], needed)
        out = {}
        for k, name in enumerate(self.names):
            session = self.sessions[name]
            pushed = session.push(np.ascontiguousarray(tail[:, k]).reshape(-1))
            out[name] = _joined(pushed, session.flush())
        return out

    # ---- inside ---------------------------------------------------------------------------------------------

    def _advance(self, native: Frames) -> dict[str, Curves]:
        """[n, characters, 400]"""
        self._waiting, blocks = self._blocks.push(self._waiting, native)
        parts: dict[str, list[Curves]] = {name: [] for name in self.names}
        for block in blocks:
            self._hear(block, self._heard)
            for k, name in enumerate(self.names):
                parts[name].append(self.sessions[name].push(np.ascontiguousarray(block[:, k]).reshape(-1)))
        return {name: _joined(*found) if found else self.sessions[name].push(np.zeros(0, np.float32))
                for name, found in parts.items()}

    def _hear(self, block: Frames, needed: int) -> None:
        """A block of everybody's sound: what each hears of the others, and what happens until its end. Sessions go on
        asking for frames from `needed` on."""
        streams = np.ascontiguousarray(block.transpose(1, 0, 2))
        self._voices, heard = self._prosody.push_batch(self._voices, streams)
        self.director.advance(self._heard + len(block))
        for k, name in enumerate(self.names):
            self.controls[name].hear(_loudest(np.delete(heard, k, axis=0), len(block)), needed)
        self._heard += len(block)
        if self.follow:
            self._follow(heard[:, -1, VOICE])

    def _follow(self, voices: Frames) -> None:
        """Turns out of voices: open from where a voice comes until where it is gone."""
        for name, voice in zip(self.names, voices, strict=True):
            if name in self._open and voice < OFF:
                self.director.ended(self._open.pop(name), self._heard)
            elif name not in self._open and voice > ON:
                self._open[name] = self.turn(Turn(name, self._heard))


def _loudest(others: Frames, count: int) -> Frames:
    """[others, n, P] -> [n, 4]: what is heard of the loudest of those who speak; nothing where there is nobody."""
    if not len(others):
        return np.zeros((count, len(HEARD)), np.float32)
    assert others.shape[-1] == len(PROSODY)
    who = np.argmax(others[..., VOICE] * (1 + others[..., ENERGY]), axis=0)
    rows: Frames = others[who, np.arange(count)][:, [column for _, column in HEARD]].astype(np.float32)
    rows[:, -1] = others[..., PHRASE_END].max(axis=0)
    return rows


def _joined(*parts: Curves) -> Curves:
    return concat([part for part in parts if part.frames] or [parts[0]])


def _known_preset(name: str) -> str:
    return preset(name).name if name else ""


def _added(name: str, value: float) -> float:
    """A control over a turn is added to what is asked for, so it may be as far below 0 as above."""
    control = CONTROLS[place(name)]
    accepted = f"{-control.span:g} to {control.span:g} {control.unit}".rstrip()
    check_option(name, value, accepted, -control.span <= value <= control.span)
    return value
