"""Words to units: by espeak-ng where it is installed, else by rough letter rules. Knows no sound and no time."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence

from facerig.errors import InputError
from facerig.phones import to_units

SECONDS = 20.0  # more than espeak-ng needs for a book
ESPEAK_VOICES = {"en": "en-us", "zh": "cmn"}
# Longest first. Lips are forgiving: a vowel slightly off looks right, a missing "m" does not.
LETTERS: tuple[tuple[str, str], ...] = (
    ("sch", "sh"), ("tch", "ch"), ("igh", "a ih"),
    ("sh", "sh"), ("ch", "ch"), ("th", "th"), ("ph", "f"), ("ng", "ng"), ("ck", "k"), ("qu", "k w"), ("wh", "w"),
    ("ee", "iy"), ("ea", "iy"), ("oo", "uw"), ("ou", "a uh"), ("ow", "o uh"), ("ai", "e ih"), ("ay", "e ih"),
    ("oi", "ao ih"), ("oy", "ao ih"), ("au", "ao"), ("aw", "ao"), ("ll", "l"), ("ss", "s"), ("tt", "t"), ("pp", "p"),
    ("bb", "b"), ("mm", "m"), ("nn", "n"), ("ff", "f"), ("dd", "d"), ("gg", "g"), ("rr", "r"),
    ("a", "ae"), ("b", "b"), ("c", "k"), ("d", "d"), ("e", "eh"), ("f", "f"), ("g", "g"), ("h", "h"), ("i", "ih"),
    ("j", "jh"), ("k", "k"), ("l", "l"), ("m", "m"), ("n", "n"), ("o", "o"), ("p", "p"), ("q", "k"), ("r", "rw"),
    ("s", "s"), ("t", "t"), ("u", "ah"), ("v", "v"), ("w", "w"), ("x", "k s"), ("y", "iy"), ("z", "z"),
    ("ä", "eh"), ("ö", "oe"), ("ü", "yy"), ("ß", "s"), ("é", "e"), ("è", "eh"), ("ñ", "ny"), ("ç", "s"),
)  # fmt: skip


def pronounced(words: Sequence[str], language: str = "en") -> list[tuple[str, ...]]:
    """Units of each word; punctuation has none."""
    bare = [re.sub(r"[^\w'’-]", "", word) for word in words]
    unique = tuple(dict.fromkeys(word for word in bare if word))
    known = dict(zip(unique, _spoken(unique, language), strict=True)) if unique else {}
    return [known.get(word, ()) for word in bare]


@functools.lru_cache(maxsize=64)
def _spoken(words: tuple[str, ...], language: str) -> tuple[tuple[str, ...], ...]:
    program = shutil.which("espeak-ng")
    lines = _espeak(program, words, ESPEAK_VOICES.get(language, language)) if program else None
    if lines is None:
        return tuple(by_letters(word) for word in words)
    return tuple(_ipa(line) or by_letters(word) for word, line in zip(words, lines, strict=True))


def _espeak(program: str, words: Sequence[str], voice: str) -> list[str] | None:
    """IPA of each word, or None where espeak-ng cannot say: every word is a paragraph, so a line."""
    text = "\n\n".join(words) + "\n"
    try:
        done = subprocess.run(
            [program, "-q", "--ipa", "-v", voice, "--stdin"],
            input=text, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines if done.returncode == 0 and len(lines) == len(words) else None


def _ipa(line: str) -> tuple[str, ...]:
    try:
        return tuple(unit for word in re.sub(r"\([^)]*\)", "", line).split() for unit in to_units(word, "ipa"))
    except InputError:
        return ()


def by_letters(word: str) -> tuple[str, ...]:
    """A rough reading of Latin letters; a word of others reads as a vowel for every second letter."""
    out: list[str] = []
    rest = word.lower()
    while rest:
        found = next(((letters, sounds) for letters, sounds in LETTERS if rest.startswith(letters)), None)
        if found is None and rest[0].isalpha() and len(out) % 2 == 0:
            out.append("ax")
        elif found is not None:
            out += found[1].split()
        rest = rest[len(found[0]) if found else 1 :]
    return tuple(out)
