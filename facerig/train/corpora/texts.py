"""Sentences to be spoken by the engines: templates and word lists of our own, one file a language.

`texts/<language>.txt`: sections [n] nouns, [v] verb phrases, [a] adjectives, [d] adverbials, [s] templates with
{n} {v} {a} {d}, {num} a number, {non} a nonsense word. They need to sound like the language, not to make sense.
Words are split at spaces; `\\ ` keeps a space inside one.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np

_FOLDER = Path(__file__).resolve().parent / "texts"
_ONSETS = (
    *("b", "p", "m", "f", "v", "w", "bl", "br", "pl", "pr", "fl", "fr", "sp"),  # the lips' own come first
    *("sm", "sw", "d", "t", "n", "l", "r", "s", "z", "g", "k", "h", "j", "st", "tr", "dr", "gr", "kl"),
)
_LABIAL_ONSETS = 13
_VOWELS = ("a", "e", "i", "o", "u", "a", "o", "i", "ei", "ai", "au", "oo", "ee")
_CODAS = ["", "", "", "m", "p", "b", "n", "f", "l", "s", "t", "k", "mp", "lm", "rb", "lf"]
_LABIAL_SHARE = 0.55  # of nonsense onsets: p b m f v w are rare in running speech and matter most for lips


def languages() -> tuple[str, ...]:
    """Languages that have a file."""
    return tuple(sorted(p.stem for p in _FOLDER.glob("*.txt")))


@functools.lru_cache(maxsize=64)
def _sections(language: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in (_FOLDER / f"{language}.txt").read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
            found[name] = []
        elif line.strip() and name == "s":
            found[name].append(line.strip())
        elif line.strip():
            found[name].extend(w.replace("\\ ", " ") for w in re.split(r"(?<!\\) +", line.strip()))
    return {k: tuple(v) for k, v in found.items()}


def nonsense(rng: np.random.Generator, syllables: int) -> str:
    """A pronounceable word rich in labials."""
    word = ""
    for k in range(syllables):
        labial = rng.random() < _LABIAL_SHARE
        word += str(rng.choice(_ONSETS[:_LABIAL_ONSETS] if labial else _ONSETS)) + str(rng.choice(_VOWELS))
        if k == syllables - 1:
            word += str(rng.choice(_CODAS))
    return word


def _number(rng: np.random.Generator) -> str:
    return str(int(rng.integers(1, rng.choice([12, 100, 2100]))))


def sentence(language: str, rng: np.random.Generator) -> str:
    """One random sentence."""
    held = _sections(language)

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "num":
            return _number(rng)
        if name == "non":
            return nonsense(rng, int(rng.integers(1, 4)))
        return str(rng.choice(held.get(name) or held["n"]))

    template = str(rng.choice(held["s"]))
    text = re.sub(r"\{(\w+)\}", fill, template)
    return text[:1].upper() + text[1:]
