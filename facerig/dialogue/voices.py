"""Lines to sound: audio files as they are, text through a speech engine, both as native frames with their phones.

An engine is a command line with {text} and {wav} (and {voice}), or any function from text to
`facerig.transcript.speak.Said`. Where none is given, espeak-ng and flite are looked for.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facerig.audio import read
from facerig.dialogue.presets import PRESETS
from facerig.dialogue.script import Character, Line, Script
from facerig.emotion import space
from facerig.emotion.space import Mixture
from facerig.errors import FacerigError, InputError, ServiceError
from facerig.phones import Timed
from facerig.stage import FPS, Frames
from facerig.transcript.assist import resampled
from facerig.transcript.speak import Engine, external, instant, joined
from facerig.transcript.tags import tagged

# program | its command line | the voice where a character names none
ENGINES = (
    ("espeak-ng", "espeak-ng -v {voice} -w {wav} -- {text}", "en-us"),
    ("flite", "flite -voice {voice} -t {text} -o {wav}", "slt"),
)
LONGEST = 600.0  # seconds of a line
TRIM = 0.004  # of the line's peak: quieter ends are cut, so that a gap is between words and not between files
KEEP = 0.05  # seconds of them that stay
Voices = Callable[[str], Engine]
"""From a voice's name to its engine."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A line as native frames; phones in seconds and feelings in frames from its beginning."""

    frames: Frames
    phones: tuple[Timed, ...] = ()
    feelings: tuple[tuple[int, Mixture, float], ...] = ()


def default_voices(command: str = "") -> Voices:
    """The user's own command line, else the first engine that is installed."""
    for program, line, usual in () if command else ENGINES:
        if shutil.which(program):
            return lambda voice, line=line, usual=usual: external(line, voice or usual)  # type: ignore[misc]
    if not command:
        raise ServiceError("no speech engine for lines with text: neither espeak-ng nor flite is installed; install "
                           "one, give --command, or give the lines audio")
    return lambda voice: external(command, voice)


def sound_of(line: Line, character: Character, voices: Voices | None, language: str) -> Sound:
    """The line's sound; errors name the line of the script."""
    try:
        return _read(line) if line.audio is not None else _spoken(line, character, voices or default_voices(), language)
    except FacerigError as error:
        where = f"line {line.place} of the script ({line.who}): " if line.place else ""
        raise type(error)(f"{where}{error}") if _plain(error) else error from error


def _plain(error: FacerigError) -> bool:
    return type(error).__init__ is FacerigError.__init__


def _read(line: Line) -> Sound:
    assert line.audio is not None
    clip = read(line.audio)
    _check(len(clip.samples) / clip.rate)
    return Sound(resampled(clip.samples, clip.rate))


def _spoken(line: Line, character: Character, voices: Voices, language: str) -> Sound:
    pause = PRESETS[line.preset or character.preset].pause if line.preset or character.preset else 0.0
    pieces, feelings = tagged(_with_pauses(line.text, pause))
    said = joined(pieces, voices(character.voice))
    samples, cut = _trimmed(np.asarray(said.samples, np.float32), said.rate)
    _check(len(samples) / said.rate)
    phones = tuple(Timed(max(0.0, t.start - cut), t.end - cut, t.unit) for t in said.timed if t.end > cut)
    native = resampled(samples, said.rate)
    felt = []
    for each in feelings:
        at = instant(each.word, said.spans, said.timed, language) - cut if each.word else 0.0
        felt.append((min(max(0, round(at * FPS)), max(0, len(native) - 1)), space.point(each.name), each.strength))
    return Sound(native, phones, tuple(felt))


def _with_pauses(text: str, seconds: float) -> str:
    """A pause after the first words and at commas: who hesitates."""
    if not seconds or "[pause" in text:
        return text
    parts = re.split(r"(?<=[,;:])\s+", text, maxsplit=4)
    if len(parts) == 1:
        parts = re.split(r"(?<=\w)\s+", text, maxsplit=1)
    return f" [pause:{seconds:g}] ".join(parts) if all(re.search(r"\w", part) for part in parts) else text


def _trimmed(samples: Frames, rate: int) -> tuple[Frames, float]:
    """Without the engine's silence at the ends, and the seconds cut from the beginning."""
    loud = np.flatnonzero(np.abs(samples) > TRIM * max(float(np.abs(samples).max(initial=0)), 1e-6))
    if not len(loud):
        return samples, 0.0
    first = max(0, int(loud[0]) - round(KEEP * rate))
    return samples[first : int(loud[-1]) + 1 + round(KEEP * rate)], first / rate


def _check(seconds: float) -> None:
    if not 0 < seconds <= LONGEST:
        raise InputError(f"a line of {seconds:.1f} s, accepted: up to {LONGEST:g} s")


def sounds_of(script: Script, voices: Voices | None = None,
              progress: Callable[[int, int | None], None] | None = None) -> list[Sound]:
    """All lines' sounds, in the order of the script."""
    if voices is None and any(line.audio is None for line in script.lines):
        voices = default_voices()
    out = []
    for number, line in enumerate(script.lines):
        out.append(sound_of(line, script.character(line.who), voices, script.language))
        if progress:
            progress(number + 1, len(script.lines))
    return out
