"""SVOX Pico voices (the optional package py-nanotts): more like people than formant synthesis, but they tell no times.

Units come from espeak-ng's reading of the same text, times from `hmm.Aligner` trained on each voice's own clips,
mended by what the signal shows (`timing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from facerig.phones import Timed, units
from facerig.train.corpora import engines, hmm, texts, timing
from facerig.train.corpora.base import Int16, Made, Part, Row, Source, plain, rng_for

RATE = 16000
TRUST = 0.8
WORST = 0.05  # share of a part's clips left out: those that fit the aligner least
HOURS_SHARE = 0.10  # of the synthetic hours asked for
# Pico voice, espeak-ng voice that reads for it, language of texts, weight
_VOICES = (
    ("de-DE", "de", "de", 4.0),
    ("es-ES", "es", "es", 3.0),
    ("en-US", "en-us", "en", 1.0),
    ("en-GB", "en", "en", 1.0),
    ("fr-FR", "fr", "fr", 1.0),
    ("it-IT", "it", "it", 1.0),
)
PART_SECONDS = 500.0


def reading(text: str, voice: str, language: str) -> tuple[str, ...]:
    """The units of a text with pauses: espeak-ng's own are optional here, a voice may do without."""
    names = [t.unit for t in engines.as_meant(engines.espeak().speak(text, voice).timed, language)]
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


def _clips(voice: str, reader: str, language: str, part: str, seconds: float) -> Iterator[Made]:
    rng = rng_for("pico", part)
    held: list[tuple[str, Int16, hmm.Utterance]] = []
    made = 0.0
    while made < seconds:
        text = texts.sentence(language, rng)
        speed, pitch = round(float(rng.uniform(0.8, 1.25)), 2), round(float(rng.uniform(0.75, 1.3)), 2)
        samples, names = _speak(text, voice, speed, pitch), reading(text, reader, language)
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
            yield _made(f"{part}/{k}", voice, language, text, samples, mended)


def _made(name: str, voice: str, language: str, text: str, samples: Int16, timed: list[Timed]) -> Made:
    row = Row(
        f"pico/{name}", "pico", language, f"pico:{voice}", "train", RATE, len(samples) / RATE, "aligned", TRUST,
        plain(timed), text,
    )  # fmt: skip
    return Made(row, samples)


def _part(voice: str, reader: str, language: str, k: int, seconds: float) -> Part:
    name = f"{voice}-{k:02d}"
    return Part(name, lambda: _clips(voice, reader, language, name, seconds), alone=True)


def sources(hours: float) -> list[Source]:
    """The Pico voices, where package and espeak-ng are here."""
    if find_spec("py_nanotts") is None:
        return [Source("pico", (), "the optional package py-nanotts is not installed")]
    if why := engines.missing_engine("espeak"):
        return [Source("pico", (), why)]
    total = sum(w for *_, w in _VOICES)
    parts = []
    for voice, reader, language, weight in _VOICES:
        seconds = 3600 * hours * HOURS_SHARE * weight / total
        count = max(1, round(seconds / PART_SECONDS))
        parts += [_part(voice, reader, language, k, seconds / count) for k in range(count)]
    return [Source("pico", parts)]
