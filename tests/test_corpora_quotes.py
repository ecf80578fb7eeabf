"""Voices that read what people wrote: which sentences are taken, who reads them, what is said where nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facerig.phones import Timed
from facerig.train.corpora import packages, pico, quotes, synthetic
from facerig.train.corpora.base import Part
from facerig.transcript import engines

SAYINGS = """Ein Satz, der lang genug ist und auf zwei
Zeilen steht. Hm. Kurz ist der hier! "Und dieser steht in Zeichen?"
\t\t-- Niemand (1749-1832)
%
Zehn 10 Äpfel sind keine Birnen, sagt man.
%
Ein Satz, der lang genug ist und auf zwei Zeilen steht.
%
Ohne Ende hört er einfach auf und geht
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(packages, "roots", lambda: (tmp_path / "empty", tmp_path))
    quotes.sentences.cache_clear()
    yield tmp_path
    quotes.sentences.cache_clear()


def _written(root: Path, name: str = "zitate") -> None:
    folder = root / quotes.WRITTEN["de"][1]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(SAYINGS, "utf-8")
    (folder / f"{name}.dat").write_bytes(bytes(range(200, 256)))


def test_whole_sentences_of_plain_words_once_and_without_their_author(root: Path) -> None:
    _written(root)
    assert quotes.sentences("de") == (
        "Ein Satz, der lang genug ist und auf zwei Zeilen steht.",
        "Und dieser steht in Zeichen?",
    )


def test_drawings_and_lists_are_left_out(root: Path) -> None:
    _written(root, quotes.LEFT_OUT[1])
    assert quotes.sentences("de") == ()


def test_without_packages_the_source_says_what_to_do(root: Path) -> None:
    source = quotes.sources(10.0)[0]
    assert not source.parts
    assert "fetch" in source.missing


def test_voices_of_a_language_that_is_there_read_it(root: Path) -> None:
    if why := engines.missing_engine("espeak"):
        pytest.skip(why)
    _written(root)
    parts = {part.name: part for part in quotes.sources(0.02)[0].parts}
    assert {name.rsplit("-", 1)[0] for name in parts} <= {"espeak-de", "pico-de-DE"}
    made = list(parts["espeak-de-12s"].make())
    assert made
    for clip in made:
        assert (clip.row.source, clip.row.language, clip.row.label_kind) == ("quotes", "de", "engine")
        assert any(sentence in clip.row.transcript for sentence in quotes.sentences("de"))
        assert engines.covers([Timed(*t) for t in clip.row.timed], clip.row.seconds)


def test_fewer_hours_at_first_leave_nothing_short(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _written(root)
    made: dict[str, float] = {}

    def part(_: object, name: str, seconds: float) -> Part:
        made.setdefault(name, seconds)  # what is there is not made again
        return Part(name, list)

    monkeypatch.setattr(synthetic, "voices", lambda: [synthetic.Voice("espeak", "de", "de")])
    monkeypatch.setattr(pico, "missing", lambda: "")
    monkeypatch.setattr(synthetic, "part", part)
    monkeypatch.setattr(quotes, "_pico_part", part)
    for hours in (1.0, 10.0):
        names = [part.name for part in quotes.sources(hours)[0].parts]
        assert sum(made[name] for name in names) == pytest.approx((240 + 900) * quotes.TIMES * hours, abs=2)
    assert names[:2] == ["espeak-de-000", "espeak-de-001"]
    assert all(name.rpartition("-")[2].isdigit() for name in names)


def test_pico_reads_them_too(root: Path) -> None:
    if why := pico.missing():
        pytest.skip(why)
    _written(root)
    made = list(pico.clips(pico.VOICES[0], "test", 20.0, "quotes", quotes.sentence))
    assert made
    for clip in made:
        assert clip.row.id.startswith("quotes/test/")
        assert clip.row.transcript in quotes.sentences("de")


def test_a_draw_is_repeated_by_its_seed(root: Path) -> None:
    _written(root)
    drawn = [[quotes.sentence("de", np.random.default_rng(3)) for _ in range(5)] for _ in range(2)]
    assert drawn[0] == drawn[1]
