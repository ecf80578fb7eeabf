"""Phone times for speech with a transcript, by pocketsphinx and the US-English model it carries.

Two passes: words with the given text, then states within them. Wide beams, without which it fails on some clips.
Its dictionary is the caller's: word -> pronunciations in ARPAbet, stress kept beside for the units.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facerig.errors import MissingExtra
from facerig.train.corpora.base import Float, Int16
from facerig.train.corpora.labels import Rows

RATE = 16000
FRAME = 0.01
_BEAMS = {"bestpath": False, "beam": 1e-120, "wbeam": 1e-100, "pbeam": 1e-120}


@dataclass(frozen=True)
class Aligned:
    """Phones with stress ("SIL" in pauses), and how well they fit: mean acoustic score a frame (higher is better)."""

    rows: Rows
    score: float
    words: Rows


class Aligner:
    """One decoder over one dictionary; not safe for threads."""

    def __init__(self, lexicon: Mapping[str, Sequence[Sequence[str]]]) -> None:
        try:
            from pocketsphinx import Config, Decoder
        except ImportError as error:
            raise MissingExtra("aligning speech", "train", "pocketsphinx") from error
        self._stressed = dict(_variants(lexicon))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "words.dict"
            path.write_text("".join(f"{w} {' '.join(_bare(p))}\n" for w, p in self._stressed.items()), "utf-8")
            config = Config(dict=str(path), lm=None, samprate=RATE, loglevel="FATAL", **_BEAMS)
            self._decoder: Any = Decoder(config)

    def align(self, samples: Int16, text: str) -> Aligned | None:
        """Phones of 16 kHz speech whose words are `text`, or None where the decoder finds no way through."""
        raw = samples.astype("<i2").tobytes()
        try:
            self._decoder.set_align_text(" ".join(w for w in text.lower().split() if w in self._stressed))
            self._decode(raw)
            self._decoder.set_alignment()
            self._decode(raw)
        except RuntimeError:
            return None
        held = self._decoder.get_alignment()
        return self._read(held) if held is not None else None

    def _decode(self, raw: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(raw, full_utt=True)
        self._decoder.end_utt()

    def _read(self, held: Any) -> Aligned | None:
        rows: Rows = []
        words: Rows = []
        total, frames = 0.0, 0
        for word in held:
            words.append((word.start * FRAME, (word.start + word.duration) * FRAME, word.name))
            phones = [(p.start, p.duration, p.name, p.score) for p in word]
            stressed = self._stressed.get(word.name)
            for k, (start, duration, name, score) in enumerate(phones):
                total, frames = total + score, frames + duration
                symbol = stressed[k] if stressed and len(stressed) == len(phones) else name
                rows.append((start * FRAME, (start + duration) * FRAME, _symbol(symbol)))
        return Aligned(rows, total / frames, words) if frames and len(rows) > 1 else None


def _symbol(name: str) -> str:
    return "SIL" if name in ("SIL", "<sil>", "<s>", "</s>") else name


def _bare(phones: Sequence[str]) -> list[str]:
    return [re.sub(r"\d", "", p) for p in phones]


def _variants(lexicon: Mapping[str, Sequence[Sequence[str]]]) -> list[tuple[str, tuple[str, ...]]]:
    found = []
    for word, pronunciations in lexicon.items():
        for k, phones in enumerate(pronunciations):
            found.append((word.lower() + (f"({k + 1})" if k else ""), tuple(phones)))
    return found


def energy_agreement(samples: Int16, rate: int, rows: Rows) -> float:
    """How well the rows' silences are the quiet frames: area under the ROC curve, 1 where they divide exactly.

    0.5 says nothing; 1.0 is returned where there is no silence to judge by.
    """
    hop = rate // 100
    count = len(samples) // hop
    frames: Float = samples[: count * hop].reshape(count, hop).astype(np.float64)
    level = np.log(np.mean(frames**2, axis=1) + 1.0)
    speech = np.ones(count, bool)
    for start, end, name in rows:
        if name == "SIL":
            speech[round(start * 100) : round(end * 100)] = False
    if speech.all() or not speech.any():
        return 1.0
    order = np.argsort(np.argsort(level))
    positives, negatives = int(speech.sum()), int((~speech).sum())
    return float((order[speech].sum() - positives * (positives - 1) / 2) / (positives * negatives))
