"""Synthetic voices that read what people wrote: sayings, jokes and quotations of Debian's `fortunes` packages.

The word lists of `texts` hold some hundreds of words a language; these hold tens of thousands, in whole sentences. What
sound follows what is learnt from them. Labels as in `synthetic` and `pico`: the engine's own, or an aligner's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from facerig.train.corpora import packages, pico, synthetic
from facerig.train.corpora.base import Part, Source, pieces

SOURCE = "quotes"
FOLDER = Path("usr/share/games/fortunes")
# language: its packages, its folder, the letters that its words are made of
WRITTEN: dict[str, tuple[tuple[str, ...], Path, str]] = {
    "en": (("fortunes", "fortunes-min"), FOLDER, "A-Za-z"),
    "de": (("fortunes-de",), FOLDER / "de", "A-Za-zÄÖÜäöüß"),
    "es": (("fortunes-es",), FOLDER / "es", "A-Za-zÁÉÍÓÚÑÜáéíóúñü"),
}
LEFT_OUT = ("ascii-art", "asciiart", "perl", "translate-me", "woerterbuch")  # drawings, programs, lists
INDEXES = (".dat", ".u8")  # beside the texts, and links to them
MARKS = r" ,;:'¿¡!?.-"
LETTERS = (20, 120)  # of a sentence: what is shorter is a remark, what is longer more than a clip
WORDS = 4  # at least
PART_SECONDS = 360.0
TIMES = 2.4  # as many hours as of speech from word lists, which say the same again and again

# Synthetic voice, seconds of every hour of quotes; flite's rms stays apart here too
_ENGINES = (
    ("flite", "slt", 380), ("flite", "awb", 300), ("flite", "kal16", 180), ("festival", "ked_diphone", 180),
    ("festival", "kal_diphone", 120), ("festival", "cmu_us_slt_arctic_hts", 180), ("espeak", "en-us", 120),
    ("espeak", "en", 120), ("espeak", "de", 240), ("espeak", "es", 120),
)  # fmt: skip
_PICO = (("de-DE", 900), ("es-ES", 320), ("en-US", 220), ("en-GB", 220))


def needed() -> set[str]:
    """The packages of all languages."""
    return {name for names, *_ in WRITTEN.values() for name in names}


@functools.lru_cache(maxsize=8)
def sentences(language: str) -> tuple[str, ...]:
    """All that can be read aloud, in order and once; empty where the packages are absent."""
    _, folder, letters = WRITTEN[language]
    for root in packages.roots():
        files = [f for f in sorted((root / folder).glob("*"))
                 if f.is_file() and f.suffix not in INDEXES and f.stem not in LEFT_OUT]  # fmt: skip
        found = [s for f in files for s in _sentences(f.read_text("utf-8", "replace"), letters)]
        if found:
            return tuple(dict.fromkeys(found))
    return ()


def _sentences(text: str, letters: str) -> Iterator[str]:
    """Whole sentences of plain words; who said them is left out."""
    plain = re.compile(f"[{letters}{MARKS}]+")
    for saying in text.split("\n%\n"):
        said = " ".join(saying.partition("\t--")[0].replace('"', "").split())
        for sentence in re.split(r"(?<=[.!?]) +(?=[A-ZÄÖÜÁÉÍÓÚÑ¿¡])", said):
            whole = sentence.endswith((".", "!", "?")) and len(sentence.split()) >= WORDS
            if whole and LETTERS[0] <= len(sentence) <= LETTERS[1] and plain.fullmatch(sentence):
                yield sentence


def sentence(language: str, rng: np.random.Generator) -> str:
    """A random one."""
    held = sentences(language)
    return held[int(rng.integers(len(held)))]


def _parts(hours: float) -> Iterator[Part]:
    """The parts that go with so many hours of synthetic speech."""
    spoken = {(v.engine, v.name): v for v in synthetic.voices()}
    for engine, name, seconds in _ENGINES:
        voice = spoken.get((engine, name))
        if voice and sentences(voice.language):
            own = replace(voice, source=SOURCE, sentence=sentence)
            for end, length in pieces(TIMES * seconds, hours, PART_SECONDS):
                yield synthetic.part(own, f"{engine}-{name}-{end}", length)
    readers = {reader.voice: reader for reader in pico.VOICES} if not pico.missing() else {}
    for name, seconds in _PICO:
        reader = readers.get(name)
        if reader and sentences(reader.language):
            for end, length in pieces(TIMES * seconds, hours, PART_SECONDS):
                yield _pico_part(reader, f"pico-{name}-{end}", length)


def _pico_part(reader: pico.Reader, name: str, seconds: float) -> Part:
    return Part(name, lambda: pico.clips(reader, name, seconds, SOURCE, sentence), alone=True)


def sources(hours: float) -> list[Source]:
    """The quotes that go with so many hours of synthetic speech."""
    parts = list(_parts(hours))
    why = "" if parts else "no quotations are here; `python -m facerig.train.corpora fetch` gets them with apt"
    return [Source(SOURCE, parts, why)]
