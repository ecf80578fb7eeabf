"""The unit set, the notations and the clock of phones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig import phones
from facerig.errors import InputError
from facerig.phones import Timed, rasterise, spread, timed_units, to_units, unit_index, units

NAMES = [u.unit for u in units()]


def test_units_are_whole() -> None:
    assert NAMES[0] == "sil"
    assert len(set(NAMES)) == len(NAMES)
    assert 50 <= len(NAMES) <= 70
    assert {u.viseme15 for u in units()} == set(phones.VISEMES15)
    assert {u.azure22 for u in units()} <= set(range(22))
    assert all(0 <= u.rounding <= 1 for u in units())
    assert all(bool(u.height) == u.is_vowel and bool(u.backness) == u.is_vowel for u in units())


def test_contacts_are_the_ones_that_touch() -> None:
    assert {u.unit for u in units() if u.bilabial} == {"p", "b", "m"}
    assert {u.unit for u in units() if u.labiodental} == {"f", "v"}
    assert {u.unit for u in units() if u.is_silence} == {"sil", "noise"}


def test_arrays_follow_the_units() -> None:
    visemes = phones.viseme15_of_units()
    assert [phones.VISEMES15[v] for v in visemes] == [u.viseme15 for u in units()]
    assert list(np.flatnonzero(phones.flag_of_units("bilabial"))) == [unit_index(n) for n in ("p", "b", "m")]
    assert list(phones.azure22_of_units()) == [u.azure22 for u in units()]


@pytest.mark.parametrize("notation", phones.notations())
def test_every_table_leads_to_units(notation: str) -> None:
    for symbol, found in phones._table(notation).items():
        assert found, symbol
        assert all(name in NAMES for name in found), symbol


def test_every_unit_with_an_ipa_sign_is_read_back() -> None:
    for unit in units():
        if unit.ipa and unit.unit not in ("er",):
            assert to_units(unit.ipa, "ipa")[0] == unit.unit


@pytest.mark.parametrize(
    ("symbol", "notation", "expected"),
    [
        ("AY1", "arpabet", ("a", "ih")),
        ("AH0", "arpabet", ("ax",)),
        ("AH1", "arpabet", ("ah",)),
        ("tʃ", "ipa", ("ch",)),
        ("t͡ʃʲ", "ipa", ("ch",)),
        ("t̪", "ipa", ("t",)),
        ("aɪ", "ipa", ("a", "ih")),
        ("ɔ̃ː", "ipa", ("ao",)),
        ("ç", "ipa", ("cx",)),
        ("OY", "sampa_de", ("ao", "ih")),
        ("E6", "sampa_de", ("eh", "ar")),
        ("db", "sampa_au", ("d", "b")),
        ("Ow", "sampa_au", ("w",)),  # O: a sonorant without voice, after s or t
        ("Or", "sampa_au", ("rw",)),
        ("ʃˈaː", "ipa", ("sh", "a")),
    ],
)
def test_symbols(symbol: str, notation: str, expected: tuple[str, ...]) -> None:
    assert to_units(symbol, notation) == expected


@pytest.mark.parametrize(("symbol", "notation"), [("💋", "ipa"), ("XYZ", "arpabet"), ("a", "no_such_notation")])
def test_unknown_is_an_error_that_names_it(symbol: str, notation: str) -> None:
    with pytest.raises(InputError, match="got"):
        to_units(symbol, notation)


def test_unknown_unit_is_an_error() -> None:
    with pytest.raises(InputError, match="blah"):
        unit_index("blah")


def test_diphthongs_split_55_to_45_and_cover_their_time() -> None:
    first, second = spread(1.0, 2.0, ("a", "ih"))
    assert (first.unit, second.unit) == ("a", "ih")
    assert first.end == second.start == pytest.approx(1.55)
    assert (first.start, second.end) == (1.0, 2.0)
    assert spread(0.0, 1.0, ("p", "f"))[0].end == pytest.approx(0.45)
    assert spread(0.0, 1.0, ()) == []


@settings(deadline=None)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6), st.floats(0, 100), st.floats(1e-3, 10))
def test_spread_covers_without_gaps(names: list[str], start: float, length: float) -> None:
    found = spread(start, start + length, names)
    assert found[0].start == start
    assert found[-1].end == start + length
    assert all(a.end == b.start for a, b in itertools.pairwise(found))


def test_rows_without_length_are_dropped() -> None:
    assert timed_units([(0.1, 0.1, "AA"), (0.1, 0.2, "P")], "arpabet") == [Timed(0.1, 0.2, "p")]


def test_rasterise_shows_the_instant() -> None:
    timed = [Timed(0.0, 0.1, "p"), Timed(0.1, 0.2, "a")]
    found = rasterise(timed, 15)
    assert list(found[:6]) == [unit_index("p")] * 6
    assert list(found[6:12]) == [unit_index("a")] * 6  # frame 6 is the instant 0.1: the vowel's first
    assert list(found[12:]) == [0, 0, 0]
    assert list(rasterise([], 3, fill=255)) == [255, 255, 255]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.02, 0.5), st.sampled_from(NAMES)), min_size=1, max_size=20),
    st.sampled_from([24, 30, 50, 60, 120]),
)
def test_every_frame_shows_the_unit_that_holds_it(lengths: list[tuple[float, str]], fps: int) -> None:
    timed, at = [], 0.0
    for length, name in lengths:
        timed.append(Timed(at, at + length, name))
        at += length
    frames = int(at * fps)
    found = rasterise(timed, frames, fps)
    assert found.shape == (frames,)
    for i in range(frames):
        holding = [t.unit for t in timed if t.start - 1e-5 <= i / fps < t.end + 1e-5]
        assert NAMES[found[i]] in holding
