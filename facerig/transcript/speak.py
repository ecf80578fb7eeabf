"""Text to sound and face on one clock: an engine's pieces joined with their pauses, phones and feelings as marks.

An engine is a function from text to `Said`; what it does not know (when each phone is spoken) is found in the sound.
Knows no engine but the user's own command line.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facerig.audio import Audio, read
from facerig.controls import Controls
from facerig.curves import Curves, Mark
from facerig.emotion.keyframes import Keyframe, apply
from facerig.emotion.space import columns, mixture
from facerig.errors import OptionError, ServiceError
from facerig.phones import Timed, units
from facerig.stage import FPS, Frames
from facerig.transcript.pronounce import pronounced
from facerig.transcript.read import Transcript, Word
from facerig.transcript.tags import Feeling, Piece, tagged

PATIENCE = 120.0  # seconds that an external engine may take for a piece
FADE_FRAMES = 15  # of an emotion before its word: a quarter of a second, as faces lead their words
PAUSES_RATE = 24_000  # of a text of pauses alone, which no engine gives a rate
TAIL = 0.25  # seconds of silence after the last sound, in which the mouth closes


@dataclass(frozen=True)
class Span:
    """A piece in the joined sound: its first word (counted over the text), its words, and where it lies, in seconds."""

    first: int
    words: tuple[str, ...]
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Said:
    """What an engine made of a text; `timed` is empty where it tells no times."""

    samples: Frames
    rate: int
    timed: tuple[Timed, ...] = ()
    spans: tuple[Span, ...] = ()


Engine = Callable[[str], Said]
Animate = Callable[[Audio, Transcript, str, "Callable[[Sequence[Timed]], Controls]"], Curves]


@dataclass(frozen=True, eq=False)
class Speech:
    """Sound and curves of one length."""

    samples: Frames
    rate: int
    curves: Curves

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def wav(self) -> bytes:
        """16-bit WAV."""
        import soundfile

        held = io.BytesIO()
        soundfile.write(held, self.samples, self.rate, format="WAV", subtype="PCM_16")
        return held.getvalue()


def speak(text: str, engine: Engine, animate: Animate, language: str = "en", controls: Controls | None = None,
          keyframes: Sequence[Keyframe] = ()) -> Speech:  # fmt: skip
    """Say a text with tags: its sound, and the curves of a face that knows what is said and feels what the tags say.

    `animate` is `Animator.animate_said`. Tags and keyframes act on top of `controls`, which hold all along: an emotion
    lasts until the next one of either, and of one instant the tag's counts.
    """
    pieces, feelings = tagged(text)
    said = joined(pieces, engine)
    words = " ".join(piece.text for piece in pieces).split()
    told = Transcript(said.timed, tuple(Word(0.0, 0.0, word) for word in words))
    marks: list[Mark] = []
    frames = -(-len(said.samples) * FPS // said.rate)

    def asked(timed: Sequence[Timed]) -> Controls:
        marks[:] = emotions(feelings, said.spans, timed, frames, language)
        return apply(controls or Controls(), felt(marks, keyframes))

    curves = animate(Audio(said.samples, said.rate), told, language, asked)
    return Speech(said.samples, said.rate, replace(curves, marks=(*curves.marks, *marks)))


def felt(marks: Sequence[Mark], others: Sequence[Keyframe] = ()) -> list[Keyframe]:
    """The emotions of marks as keyframes among others, in the order of time. An emotion fades in before its word, as
    far as there is room after the one before."""
    changes = [_frame(key) for key in others if "emotion" in {*key.whole, *(name.split(":")[0] for name in key.values)}]
    out, last = list(others), 0
    for mark in marks:
        last = max([last, *(frame for frame in changes if frame <= mark.start)])
        fade = min(FADE_FRAMES, mark.start - last) / FPS
        out.append(Keyframe(mark.start / FPS - fade, columns(mixture(mark.label)), fade, ("emotion",)))
        last = mark.start
    return sorted(out, key=_frame)


def _frame(key: Keyframe) -> int:
    return round(key.time * FPS)


def joined(pieces: Sequence[Piece], engine: Engine) -> Said:
    """All pieces one after another. Times are kept where every piece brings them."""
    parts: list[Frames] = []
    timed: list[Timed] = []
    spans: list[Span] = []
    rate, at, known, count = 0, 0, True, 0
    silent = 0.0  # seconds not yet in parts: before the engine has spoken, nobody knows its rate
    for piece in pieces:
        if piece.text:
            said = engine(piece.text)
            if rate and said.rate != rate:
                raise ServiceError(f"speech engine: changed its rate from {rate} to {said.rate} Hz between two pieces")
            rate = said.rate
            parts += [_silence(silent, rate), np.asarray(said.samples, np.float32)]
            at += len(parts[-2])
            silent = 0.0
            known = known and bool(said.timed)
            timed += [Timed(t.start + at / rate, t.end + at / rate, t.unit) for t in said.timed]
            words = tuple(piece.text.split())
            spans.append(Span(count, words, at / rate, (at + len(said.samples)) / rate))
            count += len(words)
            at += len(said.samples)
        silent += piece.pause
    rate = rate or PAUSES_RATE
    parts.append(_silence(silent + TAIL, rate))
    return Said(np.concatenate(parts), rate, tuple(timed) if known else (), tuple(spans))


def _silence(seconds: float, rate: int) -> Frames:
    return np.zeros(round(seconds * rate), np.float32)


def emotions(feelings: Sequence[Feeling], spans: Sequence[Span], timed: Sequence[Timed], frames: int, language: str
             ) -> list[Mark]:  # fmt: skip
    """Each feeling from its word's first sound to the next feeling's, as a mark `name:strength`."""
    if not feelings:
        return []
    starts = [round(instant(f.word, spans, timed, language) * FPS) if f.word else 0 for f in feelings]
    ends = [*starts[1:], frames]
    return [Mark(a, max(a, b), "emotion", f"{f.name}:{f.strength:g}")
            for f, a, b in zip(feelings, starts, ends, strict=True)]  # fmt: skip


def instant(word: int, spans: Sequence[Span], timed: Sequence[Timed], language: str) -> float:
    """About when a word begins: its piece's share of sounds that the dictionary puts before it has then been spoken."""
    span = next((s for s in spans if s.first <= word < s.first + len(s.words)), None)
    if span is None:
        return spans[-1].end if spans else 0.0
    silent = {unit.unit for unit in units() if unit.is_silence}
    spoken = [t for t in timed if t.unit not in silent and span.start - 0.05 <= t.start < span.end]
    counts = np.cumsum([0, *(len(sounds) for sounds in pronounced(span.words, language))])
    if not spoken or not counts[-1]:
        return span.start
    return spoken[min(int(counts[word - span.first] * len(spoken) / counts[-1]), len(spoken) - 1)].start


# ---- the user's own engine --------------------------------------------------------------------------------


def external(command: str, voice: str = "") -> Engine:
    """An engine from a command line with {text} and {wav} (and {voice}); no shell reads the text."""
    for need in ("{text}", "{wav}"):
        if need not in command:
            raise OptionError(f"--command: got {command!r}, accepted: a command line with {{text}} and {{wav}} in it")
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise OptionError(f"--command: got {command!r} ({error}), accepted: one whose quotes are closed") from error

    def say(text: str) -> Said:
        with tempfile.TemporaryDirectory() as folder:
            wav = Path(folder) / "said.wav"
            line = [p.replace("{text}", text).replace("{wav}", str(wav)).replace("{voice}", voice) for p in parts]
            _run(line)
            if not wav.is_file():
                raise ServiceError(f"{line[0]}: wrote no {{wav}}; its command line must name where the sound goes")
            audio = read(wav)
        return Said(audio.samples, audio.rate)

    return say


def _run(line: list[str]) -> None:
    try:
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    except OSError as error:
        raise ServiceError(f"{line[0]}: cannot be started: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{line[0]}: still speaking after {PATIENCE:.0f} s; give shorter text") from error
    if done.returncode:
        detail = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
        raise ServiceError(f"{line[0]}: failed with exit code {done.returncode}: {detail}")


def sentences(text: str) -> list[str]:
    """A text cut after its full stops: engines that take one utterance at a time."""
    return [part.strip() for part in re.split(r"(?<=[.!?;:])\s+", text) if part.strip()]
