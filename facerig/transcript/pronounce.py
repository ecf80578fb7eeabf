"""Words to units: by espeak-ng where it is installed, else by rough letter rules. Knows no sound and no time."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

from facerig.errors import InputError, OptionError
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


SIGNS = "%&@€$£¥+=°"  # they have names
# What is not read of a word: a dash, stop or colon beside nothing, a dash between figures, a # that ends no letter.
_NOT_READ = re.compile(rf"(?<=\d)-(?=\d)|(?<!\w)-(?!\d)|-(?!\w)|[.,:](?!\w)|(?<!\w)[.,:]|(?<![^\W\d_])#|"
                       rf"[^\w'’.,:#{SIGNS}-]")  # fmt: skip
_PRICE = re.compile(r"(?<!\w)([€$£¥])(\d+(?:[.,]\d+)*)")  # the currency is written first and said last


def pronounced(words: Sequence[str], language: str = "en") -> list[tuple[str, ...]]:
    """Units of each word; punctuation has none."""
    bare = [read_as(word) for word in words]
    unique = tuple(dict.fromkeys(word for word in bare if word))
    known = dict(zip(unique, _spoken(unique, language), strict=True)) if unique else {}
    return [known.get(word, ()) for word in bare]


def read_as(word: str) -> str:
    """A word without what nobody reads aloud; "" where nothing is left."""
    if len(word) == 1 and word in SIGNS:
        return word
    if not re.search(r"[^\W_]", word):
        return ""
    whole = "".join(c for c in unicodedata.normalize("NFC", word) if unicodedata.category(c) != "Cf")  # soft hyphens
    return " ".join(_NOT_READ.sub(_mark, _PRICE.sub(r"\2\1", whole)).split())


def _mark(found: re.Match[str]) -> str:
    """Vowel signs of Indic and Thai words are marks and belong to them; all else parts them."""
    return found.group() if unicodedata.category(found.group()).startswith("M") else " "


@functools.lru_cache(maxsize=64)
def _spoken(words: tuple[str, ...], language: str) -> tuple[tuple[str, ...], ...]:
    program = shutil.which("espeak-ng")
    voice = ESPEAK_VOICES.get(language, language)
    if program:
        check_language(language)
    lines = _espeak(program, words, voice) if program else [""] * len(words)
    return tuple(as_meant(_ipa(line), voice.partition("-")[0]) or by_letters(word)
                 for word, line in zip(words, lines, strict=True))  # fmt: skip


@functools.lru_cache(maxsize=64)
def check_language(language: str) -> None:
    """A language that an installed espeak-ng does not speak is an OptionError: by letters it would be read as no
    language is."""
    program = shutil.which("espeak-ng")
    if program and _answer(program, ["a"], ESPEAK_VOICES.get(language, language)) is None:
        raise OptionError(f"language: got {language[:40]!r}, accepted: one that espeak-ng speaks, as en, de or es "
                          "(`espeak-ng --voices` lists them)")  # fmt: skip


def _espeak(program: str, words: Sequence[str], voice: str) -> list[str]:
    """IPA of each word, "" where espeak-ng cannot say it. Where it says more or fewer lines than there are words, its
    answers are sought in halves: one odd word leaves the others theirs."""
    lines = _answer(program, words, voice)
    if lines is not None and len(lines) == len(words):
        return lines
    if len(words) == 1:
        return [" ".join(lines or ())]
    half = len(words) // 2
    return [*_espeak(program, words[:half], voice), *_espeak(program, words[half:], voice)]


def _answer(program: str, words: Sequence[str], voice: str) -> list[str] | None:
    """Lines of IPA, or None where espeak-ng fails: every word is a paragraph, so a line."""
    text = "\n\n".join(words) + "\n"
    try:
        done = subprocess.run(
            [program, "-q", "--ipa", "-v", voice, "--stdin"],
            input=text, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else None


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
    """A rough reading of Latin letters; of others every second one reads as a vowel."""
    out: list[str] = []
    rest, others = word.lower(), 0
    while rest:
        found = next(((letters, sounds) for letters, sounds in LETTERS if rest.startswith(letters)), None)
        if found is None and rest[0].isalpha():
            others += 1
            out += ["ax"] * (others % 2)
        elif found is not None:
            out += found[1].split()
        rest = rest[len(found[0]) if found else 1 :]
    return tuple(out)
