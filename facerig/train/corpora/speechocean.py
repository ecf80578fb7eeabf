"""speechocean762: English by Mandarin speakers, half of them children; untimed, aligned here by pocketsphinx.

Fifteen speakers, fixed by hash, are validation. A clip whose alignment does not hold is left out by KEEP's rule;
trust is under 1 because the labels are an aligner's and the accents are strong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from facerig.phones import timed_units
from facerig.train.corpora.align import Aligned, Aligner, energy_agreement
from facerig.train.corpora.base import Int16, Lost, Made, Part, Row, Source, data_folder, each, plain, stable_hash
from facerig.train.corpora.speech import read_audio
from facerig.transcript.engines import shifted

PARTS = 48
VALIDATION_SPEAKERS = 15
CHILD = 16  # years: below this a speaker's id says so
TRUST = 0.6
SHIFT = 0.008  # seconds its labels are early by: an aligner's frame is named by its start, not its middle


@dataclass(frozen=True)
class Keep:
    """The rule: a clip stays if all hold."""

    score: float = -30.0
    # mean acoustic score of a frame (pocketsphinx's log units): leaves out the worst 2 %
    agreement: float = 0.85
    # area under the curve of "silence is quiet": the worst 8 %
    longest_phone: float = 0.80
    # seconds; a longer one has swallowed something that the text lacks


KEEP = Keep()


def _folder() -> Path:
    return data_folder() / "speechocean"


def _tables(name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in ("train", "test"):
        for line in (_folder() / part / name).read_text("utf-8").splitlines():
            key, _, value = line.strip().replace("\t", " ").partition(" ")
            found[key] = value.strip()
    return found


def lexicon() -> dict[str, list[list[str]]]:
    """Word -> pronunciations with stress digits."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for line in (_folder() / "resource" / "lexicon.txt").read_text("utf-8").splitlines():
        words = line.split()
        if len(words) > 1 and not words[0].startswith("<"):
            found[words[0]].append(words[1:])
    return dict(found)


def validation_speakers(speakers: list[str]) -> frozenset[str]:
    """Fifteen speakers, the same on every run."""
    return frozenset(sorted(set(speakers), key=lambda s: (stable_hash(f"speechocean/{s}"), s))[:VALIDATION_SPEAKERS])


def holds(found: Aligned, agreement: float) -> bool:
    """KEEP's rule."""
    longest = max((b - a for a, b, s in found.rows if s != "SIL"), default=9.0)
    return found.score > KEEP.score and agreement > KEEP.agreement and longest < KEEP.longest_phone


def _clips(index: int) -> Iterator[Made | Lost]:
    texts, speakers, ages = _tables("text"), _tables("utt2spk"), _tables("spk2age")
    validation = validation_speakers(list(speakers.values()))
    aligner = Aligner(lexicon())

    def split(path: Path) -> str:
        return "val" if speakers.get(path.stem) in validation else "train"

    def made(path: Path) -> Made | None:
        name = path.stem
        audio, rate = read_audio(path)
        found = aligner.align(_at_16k(audio, rate), texts[name])
        if found is None or not holds(found, energy_agreement(audio, rate, found.rows)):
            return None
        speaker = speakers[name]
        child = "-child" if int(float(ages.get(speaker, "99"))) < CHILD else ""
        row = Row(
            f"speechocean/{name}", "speechocean", "en", f"so{speaker}{child}",
            split(path), rate, round(len(audio) / rate, 4), "aligned", TRUST,
            plain(shifted(timed_units(found.rows, "arpabet"), SHIFT)), texts[name],
        )  # fmt: skip
        return Made(row, audio)

    paths = (_folder() / "audio" / f"{name}.opus" for name in sorted(texts)[index::PARTS])
    yield from each("speechocean", (path for path in paths if path.is_file()), made, split)


def _at_16k(audio: Int16, rate: int) -> Int16:
    if rate == 16000:
        return audio
    common = np.gcd(rate, 16000)
    out = resample_poly(audio.astype(np.float64), 16000 // common, rate // common)
    return np.asarray(np.clip(np.round(out), -32768, 32767), dtype=np.int16)


def sources() -> list[Source]:
    """speechocean, in parts of some 110 clips."""
    if not _folder().is_dir():
        return [Source("speechocean", (), f"{_folder()} is absent")]
    return [Source("speechocean", tuple(_part(k) for k in range(PARTS)))]


def _part(index: int) -> Part:
    return Part(f"part{index:02d}", lambda: _clips(index))
