"""Words to units: by espeak-ng where it is installed, else by rough letter rules. Knows no sound and no time."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from itertools import pairwise

from facerig.errors import InputError
from facerig.phones import to_units, units

SECONDS = 20.0  # more than espeak-ng needs for a book
ESPEAK_VOICES = {"en": "en-us", "zh": "cmn"}
GARBLED, MENDED = "??", "ʊɾ"  # espeak-ng 1.51 has no IPA for the sound of the German "durch" and "kurz"
# Where its IPA misleads: language -> unit it gives -> unit that is meant (heard and labelled by everybody else)
MISREAD: Mapping[str, Mapping[str, str]] = {
    "en": {"dx": "d"},  # the tap of "butter": a T or D in English, the same tap an R in Spanish
    "de": {"er": "ar"},  # -er is an open vowel without an r
    "cmn": {"rx": "x"},  # pinyin h
    "ru": {"yy": "ix"},  # written y for the unrounded vowel of "ty"
    "pt": {"yy": "ih"},  # the same letter for Brazil's final -e
    "vi": {"yy": "uu"},
}
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
    bare = [re.sub(r"[^\w'’-]", "", word) if re.search(r"[^\W_]", word) else "" for word in words]
    unique = tuple(dict.fromkeys(word for word in bare if word))
    known = dict(zip(unique, _spoken(unique, language), strict=True)) if unique else {}
    return [known.get(word, ()) for word in bare]


@functools.lru_cache(maxsize=64)
def _spoken(words: tuple[str, ...], language: str) -> tuple[tuple[str, ...], ...]:
    program = shutil.which("espeak-ng")
    voice = ESPEAK_VOICES.get(language, language)
    lines = _espeak(program, words, voice) if program else None
    if lines is None:
        return tuple(by_letters(word) for word in words)
    return tuple(as_meant(_ipa(line), voice.partition("-")[0]) or by_letters(word)
                 for word, line in zip(words, lines, strict=True))  # fmt: skip


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


def mended(ipa: str) -> str:
    """espeak-ng's IPA with what its German data garble put right; taken as it is, it reads as a glottal stop."""
    return ipa.replace(GARBLED, MENDED)


def as_meant(names: Sequence[str], language: str) -> tuple[str, ...]:
    """The units that espeak-ng's reading means: MISREAD put right, and a German r as people say it. Theirs comes from
    the throat, and where no vowel follows it is a vowel itself ("wir", "durch")."""
    table = MISREAD.get(language, {})
    plain = tuple(table.get(name, name) for name in names)
    if language != "de":
        return plain
    kinds = {unit.unit: unit.kind for unit in units()}
    return tuple(name if name not in ("r", "dx") else "rx" if kinds[after] == "vowel" else "ar"
                 for name, after in pairwise((*plain, "sil")))  # fmt: skip


def _ipa(line: str) -> tuple[str, ...]:
    bare = re.sub(r"\([^)]*\)", "", mended(line))
    try:
        return tuple(unit for word in bare.split() for unit in to_units(word, "ipa"))
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
