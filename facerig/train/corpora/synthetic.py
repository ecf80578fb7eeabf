"""Labelled synthetic speech: which voices speak how much of what. Labels come from the engines themselves.

Shares are of the hours asked for. A voice that is held out is `val` entirely: a person nobody trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from facerig.train.corpora import texts
from facerig.train.corpora.base import WHOLE_HOURS, Made, Part, Row, Source, pieces, plain, rng_for
from facerig.transcript import engines

PART_SECONDS = 360.0  # of speech in one part: a minute's work for the slowest engine
FAILURES = 200  # after which a voice is given up
CLIP_SENTENCES = 2  # at most, joined by the engine's own pause
VAL_SECONDS = 60.0  # of each held-out voice


@dataclass(frozen=True)
class Voice:
    """One voice of one engine; weight is its share of its engine's hours."""

    engine: str
    name: str
    language: str
    weight: float = 1.0
    val: bool = False
    notation: str = ""
    encoding: str = "utf-8"
    shift: float = 0.0  # seconds added to the engine's labels: measured against the signal, docs/log/corpora.md
    source: str = "synthetic"
    sentence: Callable[[str, np.random.Generator], str] = texts.sentence  # of a language


# name, weight (0: held out), ms added to its labels
_FLITE = (("slt", 3, 10), ("rms", 0, 5), ("awb", 3, 2), ("kal16", 2, 6), ("kal", 1, 5))
_FESTIVAL = (
    # voice, language of texts, notation, weight (0: held out), encoding, ms added to its labels
    ("kal_diphone", "en", "festival_en", 2, "utf-8", 6),
    ("ked_diphone", "en", "festival_en", 3, "utf-8", 7),
    ("cmu_us_slt_arctic_hts", "en", "festival_en", 2, "utf-8", 14),
    ("lp_diphone", "it", "festival_it", 2, "latin-1", 3),
    ("pc_diphone", "it", "festival_it", 0, "latin-1", 4),
    ("czech_ph", "cs", "festival_cs", 1, "iso-8859-2", 10),
    ("czech_dita", "cs", "festival_cs", 2, "iso-8859-2", 8),
    ("czech_machac", "cs", "festival_cs", 2, "iso-8859-2", 3),
    ("czech_krb", "cs", "festival_cs", 1, "iso-8859-2", 8),
    ("upc_ca_ona_hts", "ca", "festival_ca", 1, "latin-1", 12),
    ("suo_fi_lj_diphone", "fi", "festival_fi", 2, "latin-1", 15),
    ("hy_fi_mv_diphone", "fi", "festival_fi", 2, "latin-1", 8),
    ("msu_ru_nsh_clunits", "ru", "festival_ru", 2, "utf-8", 3),
    ("hindi_NSK_diphone", "hi", "festival_hi", 1, "utf-8", 0),
)
# espeak-ng voice, language of texts, weight
_ESPEAK = (
    ("en-us", "en", 6), ("en", "en", 4), ("en-gb-x-rp", "en", 2), ("en-gb-scotland", "en", 2),
    ("en-029", "en", 1), ("en-gb-x-gbclan", "en", 1), ("en-gb-x-gbcwmd", "en", 1), ("en-us-nyc", "en", 1),
    ("de", "de", 8), ("es", "es", 5), ("es-419", "es", 3), ("fr", "fr", 5), ("it", "it", 4),
    ("cmn-latn-pinyin", "cmn", 6), ("pt", "pt", 1), ("pt-br", "pt", 2), ("nl", "nl", 2), ("pl", "pl", 2),
    ("cs", "cs", 1), ("ru", "ru", 2), ("fi", "fi", 1), ("tr", "tr", 1), ("hu", "hu", 1), ("sv", "sv", 1),
    ("ro", "ro", 1), ("el", "el", 1), ("hi", "hi", 1), ("ja", "ja", 1), ("ko", "ko", 1), ("ca", "ca", 1),
    ("id", "id", 1), ("vi", "vi", 1),
)  # fmt: skip
_VARIANTS = (
    "", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7", "+f1", "+f2", "+f3", "+f5", "+klatt", "+klatt2", "+klatt3",
    "+croak", "+Andy", "+Annie", "+Gene", "+Hugo", "+Jacky", "+Lee", "+Mario", "+Michael", "+steph",
    "+belinda", "+boris", "+edward", "+grandma", "+grandpa", "+john", "+linda", "+marcelo", "+paul", "+rob",
    "+victor", "+zac", "+whisper", "+whisperf",
)  # fmt: skip
_VAL_VARIANTS = ("+m5", "+f4", "+m8")
_VAL_LANGUAGES = (("en-us", "en"), ("de", "de"), ("es", "es"), ("fr", "fr"), ("cmn-latn-pinyin", "cmn"))
_ENGINE_SHARES = (("espeak", 0.56), ("flite", 0.22), ("festival", 0.22))


def _flite_voices() -> list[Voice]:
    return [Voice("flite", n, "en", w, not w, "festival_en", shift=ms / 1000) for n, w, ms in _FLITE]


def _festival_voices() -> list[Voice]:
    held = [Voice("festival", n, g, w, not w, notation, enc, ms / 1000) for n, g, notation, w, enc, ms in _FESTIVAL]
    return [v for v in held if v.language in texts.languages()]


def _espeak_voices() -> list[Voice]:
    train = [Voice("espeak", n, lang, w) for n, lang, w in _ESPEAK if lang in texts.languages()]
    val = [Voice("espeak", n + v, lang, 0, True) for n, lang in _VAL_LANGUAGES for v in _VAL_VARIANTS]
    return train + val


def voices() -> list[Voice]:
    """All voices whose engine is here."""
    every = _espeak_voices() + _flite_voices() + _festival_voices()
    return [v for v in every if not engines.missing_engine(v.engine)]


def _clips(voice: Voice, part: str, seconds: float) -> Iterator[Made]:
    rng = rng_for(voice.source, part)
    made, count, failed = 0.0, 0, 0
    speak = {"espeak": _by_espeak, "flite": _by_flite, "festival": _by_festival}[voice.engine]
    while made < seconds:
        before = made
        try:
            said = speak(voice, rng)
        except engines.EngineError:
            said = []
        for speaker, text, spoken in said:
            length = len(spoken.samples) / spoken.rate
            if not engines.covers(spoken.timed, length):
                continue
            made += length
            yield _made(voice, f"{part}/{count}", speaker, text, spoken)
            count += 1
        if made == before:
            count, failed = count + 1, failed + 1
            if failed > FAILURES:
                return  # the voice fails on everything


def _made(voice: Voice, name: str, speaker: str, text: str, spoken: engines.Spoken) -> Made:
    meant = engines.put_right(spoken.timed, voice.language) if voice.engine == "espeak" else spoken.timed
    timed = engines.shifted(meant, voice.shift)
    row = Row(
        f"{voice.source}/{name}", voice.source, voice.language, speaker, "val" if voice.val else "train", spoken.rate,
        round(len(spoken.samples) / spoken.rate, 4), "engine", 1.0, plain(timed), text,
    )  # fmt: skip
    return Made(row, spoken.samples)


def _text(voice: Voice, rng: np.random.Generator, count: int) -> str:
    return " ".join(voice.sentence(voice.language, rng) for _ in range(count))


def _by_espeak(voice: Voice, rng: np.random.Generator) -> list[tuple[str, str, engines.Spoken]]:
    name = voice.name if voice.val else voice.name + str(rng.choice(_VARIANTS))
    text = _text(voice, rng, int(rng.integers(1, CLIP_SENTENCES + 1)))
    rate = int(np.clip(rng.normal(165, 30), 100, 270))
    spoken = engines.espeak().speak(text, name, rate, int(rng.integers(15, 90)), int(rng.integers(20, 90)))
    return [(f"espeak:{name}", text, spoken)]


def _by_flite(voice: Voice, rng: np.random.Generator) -> list[tuple[str, str, engines.Spoken]]:
    text = _text(voice, rng, 1).rstrip(".!?").replace(". ", ", ").replace("! ", ", ")
    stretch = round(float(np.exp(rng.normal(0.03, 0.17))), 3)
    pitch = round(float(rng.uniform(85, 150) * (1.5 if voice.name == "slt" else 1.0)))
    return [(f"flite:{voice.name}", text, engines.flite(text, voice.name, stretch, pitch))]


def _by_festival(voice: Voice, rng: np.random.Generator) -> list[tuple[str, str, engines.Spoken]]:
    batch = [_text(voice, rng, 1) for _ in range(20)]
    stretch = round(float(np.exp(rng.normal(0.03, 0.17))), 3)
    spoken = engines.festival(batch, voice.name, voice.notation, stretch, voice.encoding)
    return [(f"festival:{voice.name}", "", s) for s in spoken]


def _parts(hours: float) -> list[Part]:
    found = []
    for engine, share in _ENGINE_SHARES:
        own = [v for v in voices() if v.engine == engine]
        total = sum(v.weight for v in own) or 1.0
        for voice in own:
            for end, seconds in _lengths(voice, share * voice.weight / total, hours):
                found.append(part(voice, f"{engine}-{voice.name}-{end}".replace("+", "_"), seconds))
    return found


def _lengths(voice: Voice, share: float, hours: float) -> list[tuple[str, float]]:
    """`pieces` of a voice's share; whole parts of the full length make WHOLE_HOURS, or one shorter part does."""
    if voice.val:
        return [("000", VAL_SECONDS)]
    seconds = 3600 * WHOLE_HOURS * share
    rounded = max(1, round(seconds / PART_SECONDS)) * min(seconds, PART_SECONDS)
    return pieces(rounded / WHOLE_HOURS, hours, PART_SECONDS)


def part(voice: Voice, name: str, seconds: float) -> Part:
    """A part of so many seconds."""
    return Part(name, lambda: _clips(voice, name, seconds), alone=True)


def sources(hours: float) -> list[Source]:
    """The synthetic corpus; more hours add to what is there, all but the last part of a voice (see `pieces`)."""
    absent = [w for e, _ in _ENGINE_SHARES if (w := engines.missing_engine(e))]
    parts = _parts(hours)
    return [Source("synthetic", parts, "" if parts else "; ".join(absent))]
