"""SVOX Pico voices (the optional package py-nanotts): more like people than formant synthesis, but they tell no times.

Units come from espeak-ng's reading of the same text, times from `hmm.Aligner` trained on each voice's own clips,
mended by what the signal shows (`timing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from facerig.phones import units
from facerig.train.corpora import hmm, texts, timing
from facerig.train.corpora.base import Int16, Made, Part, Row, Source, pieces, plain, rng_for
from facerig.transcript import engines
from facerig.transcript.pronounce import as_meant

RATE = 16000
TRUST = 0.8
WORST = 0.05  # share of a part's clips left out: those that fit the aligner least
HOURS_SHARE = 0.10  # of the synthetic hours asked for


class Reader(NamedTuple):
    """A Pico voice, the espeak-ng voice that reads for it, its texts' language, its weight."""

    voice: str
    espeak: str
    language: str
    weight: float


VOICES = (
    Reader("de-DE", "de", "de", 4.0),
    Reader("es-ES", "es", "es", 3.0),
    Reader("en-US", "en-us", "en", 1.0),
    Reader("en-GB", "en", "en", 1.0),
    Reader("fr-FR", "fr", "fr", 1.0),
    Reader("it-IT", "it", "it", 1.0),
)
PART_SECONDS = 500.0


def reading(text: str, voice: str, language: str) -> tuple[str, ...]:
    """The units of a text with pauses: espeak-ng's own are optional here, a voice may do without."""
    names = as_meant([t.unit for t in engines.espeak().speak(text, voice).timed], language)
    quiet = {u.unit for u in units() if u.is_silence}
    found = [hmm.PAUSE]
    for name in names:
        if name in quiet or name == "gs":
            if found[-1] not in (hmm.OPTIONAL, hmm.PAUSE):
                found.append(hmm.OPTIONAL)
        else:
            found.append(name)
    if found[-1] == hmm.OPTIONAL:
        found.pop()
    return (*found, hmm.PAUSE)


def _speak(text: str, voice: str, speed: float, pitch: float) -> Int16:
    py_nanotts = import_module("py_nanotts")
    raw = py_nanotts.NanoTTS().speak(text, voice=voice, speed=speed, pitch=pitch)
    edge = np.zeros(RATE // 10, np.int16)  # so that there is a pause at both ends for the aligner to find
    return np.concatenate([edge, np.frombuffer(raw, np.int16), edge])


def clips(reader: Reader, part: str, seconds: float, source: str = "pico",
          sentence: Callable[[str, np.random.Generator], str] = texts.sentence) -> Iterator[Made]:
    """So many seconds of sentences by one voice, placed by an aligner of their own."""
    rng = rng_for(source, part)
    held: list[tuple[str, Int16, hmm.Utterance]] = []
    made = 0.0
    while made < seconds:
        text = sentence(reader.language, rng)
        speed, pitch = round(float(rng.uniform(0.8, 1.25)), 2), round(float(rng.uniform(0.75, 1.3)), 2)
        samples, names = _speak(text, reader.voice, speed, pitch), reading(text, reader.espeak, reader.language)
        made += len(samples) / RATE
        if len(names) > 3 and len(samples) / RATE / hmm.HOP > 1.5 * hmm.STATES * len(names):
            held.append((text, samples, hmm.Utterance(hmm.features(samples, RATE), names)))
    aligner = hmm.Aligner()
    aligner.learn([u for _, _, u in held])
    found = aligner.align([u for _, _, u in held])
    aligned = [(text, samples, *own) for (text, samples, _), own in zip(held, found, strict=True)]
    shift = timing.bias(o for _, samples, timed, _ in aligned for o in timing.offsets(samples, RATE, timed))
    limit = float(np.quantile([score for *_, score in aligned], WORST))
    for k, (text, samples, timed, score) in enumerate(aligned):
        if score >= limit:
            mended = timing.snap_pauses(samples, RATE, engines.shifted(timed, shift))
            row = Row(
                f"{source}/{part}/{k}", source, reader.language, f"pico:{reader.voice}", "train", RATE,
                len(samples) / RATE, "aligned", TRUST, plain(mended), text,
            )  # fmt: skip
            yield Made(row, samples)


def _part(reader: Reader, end: str, seconds: float) -> Part:
    name = f"{reader.voice}-{end}"
    return Part(name, lambda: clips(reader, name, seconds), alone=True)


def missing() -> str:
    """Why Pico cannot speak here; empty where it can."""
    if find_spec("py_nanotts") is None:
        return "the optional package py-nanotts is not installed"
    return engines.missing_engine("espeak")


def sources(hours: float) -> list[Source]:
    """The Pico voices, where package and espeak-ng are here."""
    if why := missing():
        return [Source("pico", (), why)]
    total = sum(reader.weight for reader in VOICES)
    parts = []
    for reader in VOICES:
        rate = 3600 * HOURS_SHARE * reader.weight / total
        parts += [_part(reader, end, length) for end, length in pieces(rate, hours, PART_SECONDS, digits=2)]
    return [Source("pico", parts)]
