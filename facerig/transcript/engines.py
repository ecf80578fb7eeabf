"""The three speech engines as functions: text -> (int16 samples, rate, timed units).

espeak-ng by ctypes on its library (phoneme events are sample exact), flite and festival by their programs.
Knows the engines' known label faults: espeak-ng starts a stop at its burst (the closure before it is counted to the
sound before), which is mended here. Not safe for threads: one process, one espeak.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import itertools
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from facerig.errors import OptionError
from facerig.phones import Timed, timed_units, unit_index, units
from facerig.transcript.pronounce import MISREAD, mended

Int16 = NDArray[np.int16]

CLOSURE_MAX = 0.09  # seconds of near silence before a burst that are counted to its stop
CLOSURE_AFTER_PAUSE = 0.03  # of a pause before a burst: the lips close about this long before it
QUIET = 10.0  # int16 rms under which espeak-ng is in a closure (it writes zeros there)


@dataclass(frozen=True)
class Spoken:
    """What an engine said."""

    samples: Int16
    rate: int
    timed: tuple[Timed, ...]


class EngineError(OptionError):
    """An engine failed on a text or has no such voice; the builder of corpora leaves that text out."""


# --- espeak-ng ----------------------------------------------------------------------------------------------------


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("uid", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_SYNCHRONOUS, _PHONEMES_IN_IPA, _DONT_EXIT = 2, 1 | 2, 0x8000
_PHONEME_EVENT, _UTF8 = 7, 1
_IPA = 2  # of espeak_TextToPhonemes
_RATE, _PITCH, _RANGE = 1, 3, 4


class Espeak:
    """The library, initialised once; `speak` collects its callbacks."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeak_library() or "libespeak-ng.so.1")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEMES_IN_IPA | _DONT_EXIT))
        if self.rate <= 0:
            raise EngineError("espeak-ng: the library does not initialise; install espeak-ng")
        self._audio: list[Int16] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave: object, count: int, events: object) -> int:
        if count > 0 and wave:
            self._audio.append(np.ctypeslib.as_array(wave, (count,)).copy())
        k = 0
        while (event := events[k]).type != 0:  # type: ignore[index]
            if event.type == _PHONEME_EVENT:
                self._events.append((event.sample, mended(bytes(event.id.string).decode("utf-8", "ignore"))))
            k += 1
        return 0

    def speak(self, text: str, voice: str, rate: int = 175, pitch: int = 50, spread: int = 50) -> Spoken:
        """Synthesise; rate in words a minute, pitch and its range 0..100."""
        self._audio, self._events = [], []
        self._take(voice)
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, spread)):
            self._library.espeak_SetParameter(parameter, value, 0)
        held = text.encode("utf-8")
        self._library.espeak_Synth(held, len(held) + 1, 0, 0, 0, _UTF8, None, None)
        if not self._audio:
            raise EngineError(f"espeak-ng: no audio for {text!r}")
        samples = np.concatenate(self._audio)
        return Spoken(samples, self.rate, tuple(_espeak_timed(self._events, samples, self.rate)))

    def _take(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EngineError(f"espeak-ng: got voice {voice!r}, which it does not have")

    def sounds(self, clause: str, voice: str) -> str:
        """What it would say, in IPA with stress; without punctuation, since it tells no pauses here."""
        self._take(voice)
        held = ctypes.create_string_buffer(clause.encode("utf-8"))
        left, found = ctypes.cast(held, ctypes.c_void_p), []
        while left.value:
            found.append(self._library.espeak_TextToPhonemes(ctypes.byref(left), _UTF8, _IPA).decode("utf-8"))
        return mended(" ".join(" ".join(found).split()))


def espeak_library() -> str | None:
    """The shared library's name, or None where espeak-ng is absent."""
    return ctypes.util.find_library("espeak-ng")


@functools.lru_cache(maxsize=1)
def espeak() -> Espeak:
    """This process's library."""
    return Espeak()


def _espeak_timed(events: Sequence[tuple[int, str]], samples: Int16, rate: int) -> list[Timed]:
    kept = [(s, name) for s, name in events if not name.startswith("(")]  # "(en)": a change of language
    ends = [s for s, _ in kept[1:]] + [len(samples)]
    rows = [(s / rate, e / rate, name) for (s, name), e in zip(kept, ends, strict=True)]
    return closures(timed_units(rows, "ipa"), samples, rate)


def closures(timed: Sequence[Timed], samples: Int16, rate: int) -> list[Timed]:
    """Give each stop the near silence before its burst, which espeak-ng counts to the sound before."""
    kinds = {u.unit: u.kind for u in units()}
    out = list(timed)
    for k in range(1, len(out)):
        if kinds[out[k].unit] not in ("stop", "affricate") or out[k].start != out[k - 1].end:
            continue
        back = CLOSURE_AFTER_PAUSE if kinds[out[k - 1].unit] == "silence" else quiet_before(samples, rate, out[k].start)
        start = max(out[k].start - back, out[k - 1].start)
        out[k - 1], out[k] = out[k - 1]._replace(end=start), out[k]._replace(start=start)
    return [t for t in out if t.end > t.start]


def quiet_before(samples: Int16, rate: int, at: float) -> float:
    """Seconds of near silence right before an instant, at most CLOSURE_MAX."""
    hop = rate // 500
    end = round(at * rate)
    for k in range(int(CLOSURE_MAX * 500)):
        piece = samples[max(end - (k + 1) * hop, 0) : max(end - k * hop, 0)]
        if len(piece) == 0 or math.sqrt(float(np.mean(piece.astype(np.float64) ** 2))) > QUIET:
            return k / 500
    return CLOSURE_MAX


def put_right(timed: Sequence[Timed], language: str) -> list[Timed]:
    """espeak-ng's units with the language's MISREAD put right; its German r stays, since that is how it sounds."""
    table = MISREAD.get(language, {})
    return [t._replace(unit=table.get(t.unit, t.unit)) for t in timed]


# --- flite ---------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def flite_voices() -> tuple[str, ...]:
    """Names of its voices; it speaks with the first of them where it is given another."""
    done = subprocess.run(["flite", "-lv"], capture_output=True, text=True, check=False)
    return tuple(done.stdout.partition(":")[2].split())


def flite(text: str, voice: str, stretch: float = 1.0, pitch: float | None = None) -> Spoken:
    """flite's -psdur prints 'phone:end'; pitch in Hz where given."""
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder) / "a.wav"
        command = ["flite", "-psdur", "-voice", voice, "--setf", f"duration_stretch={stretch}"]
        if pitch is not None:
            command += ["--setf", f"int_f0_target_mean={pitch}"]
        done = subprocess.run([*command, "-t", text, "-o", str(wave)], capture_output=True, text=True, check=False)
        if done.returncode or not wave.is_file():
            raise EngineError(f"flite: {text!r}: {done.stderr.strip()[:100]}")
        samples, rate = soundfile.read(wave, dtype="int16")
    rows, start = [], 0.0
    for pair in done.stdout.split():
        name, end = pair.rsplit(":", 1)
        if float(end) < start:
            raise EngineError(f"flite: {text!r} was split into several utterances")
        rows.append((start, float(end), name))
        start = float(end)
    return Spoken(samples, int(rate), tuple(timed_units(rows, "festival_en")))


def shifted(timed: Sequence[Timed], by: float) -> list[Timed]:
    """The labels moved in time; the first is stretched back to its old start."""
    out = [Timed(max(t.start + by, 0.0), t.end + by, t.unit) for t in timed]
    if out and timed[0].start <= 0:
        out[0] = out[0]._replace(start=0.0)
    return [t for t in out if t.end > t.start]


# --- festival ------------------------------------------------------------------------------------------------------


def festival(
    texts: Sequence[str], voice: str, notation: str, stretch: float = 1.0, encoding: str = "utf-8"
) -> list[Spoken]:
    """Many texts in one run of festival (it takes a second to load a voice); texts it fails on are missing."""
    with tempfile.TemporaryDirectory() as folder:
        script = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {stretch})"]
        for k, text in enumerate(texts):
            clean = text.replace("\\", " ").replace('"', " ")
            script.append(
                f'(unwind-protect (let ((u (utt.synth (Utterance Text "{clean}"))))'
                f' (utt.save.wave u "{folder}/{k}.wav" \'riff) (utt.save.segs u "{folder}/{k}.seg")) nil)'
            )
        path = Path(folder) / "run.scm"
        path.write_bytes("\n".join(script).encode(encoding, "ignore"))
        subprocess.run(["festival", "-b", str(path)], capture_output=True, check=False, timeout=900)
        found = [_festival_clip(Path(folder) / str(k), notation) for k in range(len(texts))]
    return [f for f in found if f is not None]


def _festival_clip(stem: Path, notation: str) -> Spoken | None:
    wave, segments = stem.with_suffix(".wav"), stem.with_suffix(".seg")
    if not wave.is_file() or not segments.is_file():
        return None
    samples, rate = soundfile.read(wave, dtype="int16")
    rows, start = [], 0.0
    for line in segments.read_text("latin-1").splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] != "#":
            rows.append((start, float(words[0]), words[2]))
            start = float(words[0])
    if not rows or len(samples) == 0:
        return None
    return Spoken(samples, int(rate), tuple(timed_units(rows, notation)))


def missing_engine(name: str) -> str:
    """Why an engine cannot be used, or ''."""
    if name == "espeak":
        return "" if espeak_library() else "libespeak-ng is not installed"
    return "" if shutil.which(name) else f"{name} is not installed"


def covers(timed: Sequence[Timed], seconds: float) -> bool:
    """Whether labels look whole: known units, in order, ending near the audio's end."""
    ordered = all(b.start >= a.start for a, b in itertools.pairwise(timed))
    names = all(unit_index(t.unit) >= 0 for t in timed)
    return bool(timed) and ordered and names and abs(timed[-1].end - seconds) < 0.5
