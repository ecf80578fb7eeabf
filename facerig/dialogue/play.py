"""A script played: every line gets its time and its sound, everybody lives through it, curves come out.

    from facerig.dialogue import perform
    tracks = perform("scene.yaml")          # {"anna": Curves, "ben": Curves}, of one length, on one clock

This is `facerig.dialogue.online.Dialogue` with all turns known and all sound pushed. With `known_text` the lips of who
has only lines with words are then made once more by those words (facerig/dialogue/known.py); all else stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facerig.curves import Curves, Mark, concat
from facerig.dialogue.director import Felt, Turn
from facerig.dialogue.known import Recorder, informed, spoken
from facerig.dialogue.memory import Memory
from facerig.dialogue.online import Dialogue, Partnered
from facerig.dialogue.presets import PRESETS
from facerig.dialogue.reader import LONGEST_TIME, read_script
from facerig.dialogue.script import Line, Script
from facerig.dialogue.voices import Sound, Voices, sounds_of
from facerig.emotion import space
from facerig.errors import InputError
from facerig.phones import Timed, units
from facerig.pipeline import Animator
from facerig.stage import FPS, RATE, SAMPLES, Frames

LEAD_IN = 0.6  # seconds before the first line where nothing is said: the faces are there before the words
CUT, CUT_FADE = 9, 6  # frames that an interrupted speaker goes on, and in which the voice fades
BLOCK = 30  # frames computed in one go: offline nobody waits for the first
STEP = 60  # native frames pushed at a time: progress is told after each
Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True, eq=False)
class Placed:
    """A line on the clock: its first frame, its sound (shorter where it was cut) and its number as a turn."""

    line: Line
    start: int
    sound: Sound
    number: int = 0
    cut: bool = False

    @property
    def end(self) -> int:
        return self.start + len(self.sound.frames)


@dataclass(frozen=True, eq=False)
class Performance:
    """What came out."""

    script: Script
    take: int
    placed: tuple[Placed, ...]
    """In the order in which the lines begin."""
    tracks: dict[str, Curves]
    sounds: dict[str, Frames]
    """Each character's voice over the whole time, 24 kHz."""
    log: tuple[Felt, ...] = ()
    """What lines did to moods, in the order of time."""
    memories: dict[str, Memory] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return next(iter(self.tracks.values())).frames

    @property
    def seconds(self) -> float:
        return self.frames / FPS

    @property
    def felt(self) -> dict[int, Felt]:
        """What each turn did to its speaker, by the number of the placed line."""
        return {felt.number: felt for felt in self.log if felt.kind == "line"}

    @property
    def mix(self) -> Frames:
        """Everybody together, no louder than 1."""
        total = np.sum(list(self.sounds.values()), axis=0, dtype=np.float32)
        peak = float(np.abs(total).max(initial=0))
        return np.asarray(total / peak if peak > 1 else total, np.float32)


def perform(script: Script | str | os.PathLike[str], animator: Animator | None = None, seed: int | None = None,
            take: int = 1, voices: Voices | None = None, known_text: bool = False) -> dict[str, Curves]:
    """A script (or its file) -> each character's curves. `voices`: from a voice's name to a speech engine."""
    return play(script, animator, seed, take, voices, known_text=known_text).tracks


def play(script: Script | str | os.PathLike[str], animator: Animator | None = None, seed: int | None = None,
         take: int = 1, voices: Voices | None = None, memories: Mapping[str, Memory] | None = None,
         sounds: Sequence[Sound] | None = None, progress: Progress | None = None,
         known_text: bool = False) -> Performance:
    """As `perform`, with all that is known of it. `sounds` spares speaking the lines again for another take."""
    known = script if isinstance(script, Script) else read_script(os.fspath(script))
    known = known if seed is None else replace(known, seed=seed)
    animator = Animator.load(alive=True, block=BLOCK) if animator is None else animator
    found = sounds_of(known, voices) if sounds is None else sounds
    placed = timeline(known, informed(animator, known, found) if known_text else found)
    end = max((each.end for each in placed), default=0) + round(known.tail * FPS)
    dialogue = Dialogue(animator, known, RATE, known.seed, take, memories=memories,
                        partnered=Recorder if known_text else Partnered)
    turns = [replace(each, number=dialogue.turn(turn_of(each))) for each in placed]
    native = {one.name: np.zeros((end, SAMPLES), np.float32) for one in known.characters}
    for each in turns:
        native[each.line.who][each.start : each.end] += each.sound.frames
    tracks = _pushed(dialogue, native, end, progress)
    if known_text:
        tracks = {name: _by_text(dialogue, name, turns, native[name], known.language) or curves
                  for name, curves in tracks.items()}  # fmt: skip
    return Performance(
        known, take, tuple(turns), {name: _marked(curves, name, turns) for name, curves in tracks.items()},
        {name: frames.reshape(-1) for name, frames in native.items()},
        tuple(dialogue.director.log),
        {name: part.memory for name, part in dialogue.director.parts.items()},
    )  # fmt: skip


def _pushed(dialogue: Dialogue, native: dict[str, Frames], end: int, progress: Progress | None) -> dict[str, Curves]:
    parts: dict[str, list[Curves]] = {name: [] for name in native}
    for at in range(0, end, STEP):
        made = dialogue.push({name: frames[at : at + STEP].reshape(-1) for name, frames in native.items()})
        for name, curves in made.items():
            parts[name].append(curves)
        if progress:
            progress(min(end, at + STEP), end)
    for name, curves in dialogue.flush().items():
        parts[name].append(curves)
    return {name: concat([curves for curves in found if curves.frames] or found[:1]) for name, found in parts.items()}


def _by_text(dialogue: Dialogue, name: str, turns: Sequence[Placed], track: Frames, language: str) -> Curves | None:
    """The character's curves by its words; None where a line has none."""
    own = [each for each in turns if each.line.who == name]
    controls = dialogue.controls[name]
    if not own or not all(each.sound.phones for each in own) or not isinstance(controls, Recorder):
        return None
    timed = [Timed(unit.start + each.start / FPS, unit.end + each.start / FPS, unit.unit)
             for each in own for unit in each.sound.phones]  # fmt: skip
    seed = dialogue.sessions[name].seed
    made = spoken(dialogue.animator, track.reshape(-1), timed, controls.recorded, seed, language)
    return replace(made, marks=())


# ---- when everybody speaks ------------------------------------------------------------------------------------


def timeline(script: Script, sounds: Sequence[Sound]) -> list[Placed]:
    """Every line's frame, in the order of their beginnings; a voice that would speak twice at once is refused."""
    placed: list[Placed] = []
    for line, sound in zip(script.lines, sounds, strict=True):
        start = _start(script, line, placed)
        if start < 0:
            raise _wrong(script, line, f"would begin {-start / FPS:.2f} s before the dialogue, accepted: a later time")
        if (start + len(sound.frames)) / FPS > LONGEST_TIME:
            raise _wrong(script, line, f"ends after {LONGEST_TIME:g} s, accepted: a shorter dialogue; cut it in scenes")
        if line.interrupts:
            placed = [_cut(each, start) if each.line.who != line.who else each for each in placed]
        placed.append(Placed(line, start, sound))
    placed.sort(key=lambda each: (each.start, each.line.number))
    _check_voices(script, placed)
    return placed


def _start(script: Script, line: Line, placed: list[Placed]) -> int:
    if line.at is not None:
        return round(line.at * FPS)
    name = line.preset or script.character(line.who).preset
    held = PRESETS[name].hold_back if name else 0.0
    if not placed:
        return round((LEAD_IN if line.gap is None else line.gap) * FPS)
    gap = line.gap if line.gap is not None else max(0.0, script.gap + held)
    return placed[-1].end + round(gap * FPS)


def _cut(placed: Placed, start: int) -> Placed:
    """Who is interrupted goes on for a moment and falls silent."""
    length = start + CUT - placed.start
    if placed.start >= start or length >= len(placed.sound.frames):
        return placed
    frames = placed.sound.frames[: max(1, length)].copy()
    fade = min(CUT_FADE, len(frames))
    samples = frames[-fade:].reshape(-1)
    frames[-fade:] = (samples * np.linspace(1, 0, len(samples), dtype=np.float32)).reshape(fade, SAMPLES)
    end = len(frames) / FPS
    phones = tuple(Timed(t.start, min(t.end, end), t.unit) for t in placed.sound.phones if t.start < end)
    feelings = tuple(each for each in placed.sound.feelings if each[0] < len(frames))
    return replace(placed, sound=Sound(frames, phones, feelings), cut=True)


def _check_voices(script: Script, placed: list[Placed]) -> None:
    ends: dict[str, int] = {}
    for each in placed:
        over = ends.get(each.line.who, 0) - each.start
        if over > 0:
            raise _wrong(script, each.line, f"begins {over / FPS:.2f} s before the line that {each.line.who} says "
                                            "already has ended; accepted: one line of a character at a time")
        ends[each.line.who] = each.end


def _wrong(script: Script, line: Line, problem: str) -> InputError:
    return InputError(f"{script.name}, line {line.place}: {line.who}'s line {problem}")


# ---- what is told of it ---------------------------------------------------------------------------------------


def turn_of(placed: Placed) -> Turn:
    line = placed.line
    feelings = tuple((placed.start + at, mixture, strength) for at, mixture, strength in placed.sound.feelings)
    return Turn(line.who, placed.start, placed.end, line.mixture, line.felt, line.intensity, line.act, line.to,
                line.preset, line.controls, feelings)  # fmt: skip


def _marked(curves: Curves, name: str, placed: Sequence[Placed]) -> Curves:
    """Own lines, acts, emotions and phones as marks."""
    marks: list[Mark] = []
    silent = {unit.unit for unit in units() if unit.is_silence}
    for each in placed:
        if each.line.who != name:
            continue
        words = each.line.text or (each.line.audio.stem if each.line.audio else "")
        marks += [Mark(each.start, each.end, "line", words), Mark(each.start, each.end, "act", each.line.act)]
        marks += _emotions(each)
        marks += [Mark(each.start + round(t.start * FPS), each.start + round(t.end * FPS), "phone", t.unit)
                  for t in each.sound.phones if t.unit not in silent]  # fmt: skip
    return replace(curves, marks=tuple(marks))


def _emotions(placed: Placed) -> list[Mark]:
    """What was asked for, from where to where."""
    asked = placed.line.mixture
    changes = [] if asked is None else [(placed.start, asked, placed.line.intensity)]
    changes += [(placed.start + at, mixture, strength) for at, mixture, strength in placed.sound.feelings]
    ends = [at for at, _, _ in changes[1:]] + [placed.end] if changes else []
    scaled = [{name: weight * strength for name, weight in mixture.items()} for _, mixture, strength in changes]
    return [Mark(at, max(at, end), "emotion", space.named(mixture))
            for (at, _, _), mixture, end in zip(changes, scaled, ends, strict=True)]  # fmt: skip
