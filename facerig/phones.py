"""Phones: one articulatory unit set for all languages, tables from every notation to it, and its clock.

A unit is an IPA sound as lips, jaw and tongue see it (`assets/phones/units.csv`, one row a unit). Notations are
`assets/phones/<notation>.csv`, one row a symbol; a diphthong is a sequence of two units. `noise` (breath, cough,
anything that is not speech) is a silence for the lips. Knows no audio, no words, no curves.
"""

from __future__ import annotations

import csv
import functools
import logging
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerig.errors import InputError
from facerig.files import assets_folder

VISEMES15 = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
DIPHTHONG_SPLIT = 0.55  # the first target of a diphthong is held a little longer than the glide
AFFRICATE_SPLIT = 0.45  # closure against frication

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unit:
    """One sound as the face sees it. rounding 0..1; height and backness only for vowels."""

    unit: str
    ipa: str
    kind: str
    place: str
    height: str
    backness: str
    rounding: float
    voiced: bool
    viseme15: str
    azure22: int
    bilabial: bool
    labiodental: bool

    @property
    def is_silence(self) -> bool:
        return self.kind == "silence"

    @property
    def is_vowel(self) -> bool:
        return self.kind == "vowel"


class Timed(NamedTuple):
    """A unit between two instants, in seconds from the first sample of the audio."""

    start: float
    end: float
    unit: str


def _rows(name: str) -> list[dict[str, str]]:
    path = assets_folder() / "phones" / f"{name}.csv"
    if not path.is_file():
        raise InputError(f"phone notation: got {name!r}, accepted: {', '.join(notations())}")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def notations() -> tuple[str, ...]:
    """Names that to_units takes."""
    folder: Path = assets_folder() / "phones"
    return tuple(sorted(p.stem for p in folder.glob("*.csv") if p.stem not in ("units", "diacritics")))


def _unit(row: dict[str, str]) -> Unit:
    return Unit(
        unit=row["unit"], ipa=row["ipa"], kind=row["kind"], place=row["place"], height=row["height"],
        backness=row["backness"], rounding=float(row["rounding"]), voiced=row["voiced"] == "1",
        viseme15=row["viseme15"], azure22=int(row["azure22"]), bilabial=row["bilabial"] == "1",
        labiodental=row["labiodental"] == "1",
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def units() -> tuple[Unit, ...]:
    """All units in the order of their indices; index 0 is `sil`."""
    return tuple(_unit(row) for row in _rows("units"))


@functools.lru_cache(maxsize=1)
def _indices() -> dict[str, int]:
    return {unit.unit: i for i, unit in enumerate(units())}


def unit_index(name: str) -> int:
    """The index of a unit by name."""
    found = _indices().get(name)
    if found is None:
        raise InputError(f"unit: got {name!r}, accepted: {' '.join(_indices())}")
    return found


@functools.lru_cache(maxsize=1)
def viseme15_of_units() -> NDArray[np.int64]:
    """[units] the index into VISEMES15 of each unit."""
    return np.array([VISEMES15.index(unit.viseme15) for unit in units()], dtype=np.int64)


@functools.lru_cache(maxsize=1)
def azure22_of_units() -> NDArray[np.int64]:
    """[units] the Azure viseme id of each unit."""
    return np.array([unit.azure22 for unit in units()], dtype=np.int64)


def flag_of_units(flag: str) -> NDArray[np.bool_]:
    """[units] one boolean a unit: `bilabial`, `labiodental`, `is_silence`, `is_vowel` or `voiced`."""
    return np.array([bool(getattr(unit, flag)) for unit in units()])


@functools.lru_cache(maxsize=32)
def _table(notation: str) -> dict[str, tuple[str, ...]]:
    return {unicodedata.normalize("NFD", row["symbol"]): tuple(row["units"].split()) for row in _rows(notation)}


@functools.lru_cache(maxsize=1)
def _marks() -> frozenset[str]:
    return frozenset(row["mark"] for row in _rows("diacritics")) | frozenset("0123456789")


def _longest_prefixes(symbol: str, table: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """Units of a symbol read as a chain of known symbols with diacritics between, or None."""
    found: list[str] = []
    rest = symbol
    while rest:
        size = next((n for n in range(len(rest), 0, -1) if rest[:n] in table), 0)
        if size:
            found.extend(table[rest[:size]])
        elif rest[0] not in _marks():
            return None
        rest = rest[max(size, 1) :]
    return tuple(found) or None


@functools.lru_cache(maxsize=8192)
def to_units(symbol: str, notation: str) -> tuple[str, ...]:
    """The units of one symbol of a notation; diphthongs give two.

    A symbol that the table lacks is read without its diacritics (stress, length, tone, ties), then as a chain of
    known symbols; that is logged for every notation but IPA, where it is the rule.
    """
    table = _table(notation)
    symbol = unicodedata.normalize("NFD", symbol)
    if symbol in table:
        return table[symbol]
    bare = "".join(c for c in symbol if c not in _marks() or c in table)  # 6 is a vowel in SAMPA
    found = table.get(bare) or _longest_prefixes(bare, table) or _longest_prefixes(symbol, table)
    if not found:
        raise InputError(f"phone: got {symbol!r}, which notation {notation!r} does not know; add it to its table")
    if notation != "ipa" and bare not in table:
        _log.info("phone %r read as %s in notation %r", symbol, " ".join(found), notation)
    return found


def is_symbol(label: str, notation: str) -> bool:
    """Whether a table has it, diacritics apart. A chain of symbols is none: most words are one in some notation."""
    table = _table(notation)
    symbol = unicodedata.normalize("NFD", label)
    return symbol in table or "".join(c for c in symbol if c not in _marks() or c in table) in table


def spread(start: float, end: float, names: Sequence[str]) -> list[Timed]:
    """Share a stretch of time among units: 55/45 for a diphthong, 45/55 for an affricate, else evenly."""
    if not names:
        return []
    first = 1.0 / len(names)
    if len(names) == 2:
        vowel = units()[unit_index(names[0])].is_vowel
        first = DIPHTHONG_SPLIT if vowel else AFFRICATE_SPLIT
    shares = [first] + [(1.0 - first) / max(len(names) - 1, 1)] * (len(names) - 1)
    edges = start + (end - start) * np.concatenate([[0.0], np.cumsum(shares)])
    edges[-1] = end
    return [Timed(float(a), float(b), name) for a, b, name in zip(edges[:-1], edges[1:], names, strict=True)]


def timed_units(rows: Iterable[tuple[float, float, str]], notation: str) -> list[Timed]:
    """Timed units from (start, end, symbol) rows of a notation; rows without length are dropped."""
    found: list[Timed] = []
    for start, end, symbol in rows:
        if end > start:
            found.extend(spread(start, end, to_units(symbol, notation)))
    return found


def rasterise(timed: Sequence[Timed], frames: int, fps: int = 60, fill: int = 0) -> NDArray[np.int64]:
    """[frames] the unit index at the instants i / fps; fill (silence) where nothing is labelled.

    A unit holds its start and not its end; where two overlap the later row wins.
    """
    out = np.full(frames, fill, dtype=np.int64)
    for start, end, name in timed:
        first, last = int(np.ceil(start * fps - 1e-6)), int(np.ceil(end * fps - 1e-6))
        out[max(first, 0) : max(min(last, frames), 0)] = unit_index(name)
    return out
