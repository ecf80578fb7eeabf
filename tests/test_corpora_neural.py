"""Neural voices that packages carry: how they are asked, what is read, and what is said where they are not here."""

from __future__ import annotations

import numpy as np
import pytest

from facerig.train.corpora import neural, packages, quotes
from facerig.transcript import engines
from facerig.transcript.pronounce import as_meant, mended


def _needs_espeak() -> None:
    if why := engines.missing_engine("espeak"):
        pytest.skip(why)


def _needs_voices() -> None:
    if why := neural.missing():
        pytest.skip(why)


@pytest.mark.parametrize(
    ("language", "ipa", "wanted"),
    [
        ("en", "tˈeɪk ðɪs bˈɜːd tʃˈaɪld", "tˈAk ðɪs bˈɜɹd ʧˈIld"),
        ("de", "vˈʊɾm bɾˈaʊn rˈoːt dɛɾ mˈʊtɜ", "vˈʊɐm bʁˈaʊn ʁˈoːt dɛɐ mˈʊtɐ"),
        ("de", "hˈɛrən fˈyːrɪç fˈɪʏ", "hˈɛʁən fˈyːʁɪç fˈɪy"),
        ("es", "mutʃˈatʃo", "muʧˈaʧo"),
    ],
)
def test_sounds_are_spelt_as_kokoro_knows_them(language: str, ipa: str, wanted: str) -> None:
    assert neural.spelt(ipa, language) == wanted


def test_a_german_r_is_a_vowel_where_none_follows_and_comes_from_the_throat_elsewhere() -> None:
    assert as_meant(("v", "iy", "dx"), "de") == ("v", "iy", "ar")
    assert as_meant(("d", "uh", "dx", "cx"), "de") == ("d", "uh", "ar", "cx")
    assert as_meant(("b", "dx", "a", "uh", "n"), "de") == ("b", "rx", "a", "uh", "n")
    assert as_meant(("m", "uh", "t", "er"), "de") == ("m", "uh", "t", "ar")
    assert as_meant(("p", "e", "dx", "o"), "es") == ("p", "e", "dx", "o")


def test_what_espeak_has_no_letters_for_is_no_glottal_stop() -> None:
    assert mended("d??ç") == "dʊɾç"
    _needs_espeak()
    assert "??" not in engines.espeak().sounds("durch kurz", "de")
    assert "gs" not in {t.unit for t in engines.espeak().speak("durch", "de").timed}


def test_clauses_keep_their_marks() -> None:
    _needs_espeak()
    assert neural.clauses("No, never!", "en-us") == "nˈoʊ, nˈɛvɚ!"


def test_a_text_is_read_between_its_pauses() -> None:
    _needs_espeak()
    reader = next(r for r in neural.READERS if r.language == "de")
    assert neural.reading("Wir, und", reader) == [("v", "iy", "ar"), ("uh", "n", "t")]


def test_without_the_packages_the_source_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neural, "PACKAGES", ("no_such_voice", "json"))
    source = neural.sources(10.0)[0]
    assert not source.parts
    assert "no-such-voice" in source.missing
    assert "json" not in source.missing


def test_without_texts_the_source_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neural, "missing", lambda: "")
    monkeypatch.setattr(packages, "roots", lambda: ())
    quotes.sentences.cache_clear()
    source = neural.sources(10.0)[0]
    quotes.sentences.cache_clear()
    assert not source.parts
    assert "fetch" in source.missing


def test_one_voice_is_kept_apart_and_never_blended() -> None:
    judges = {reader.voice for reader in neural.READERS if reader.judge}
    assert judges
    assert judges.isdisjoint(reader.voice for reader in neural.READERS if not reader.judge)
    _needs_voices()
    rng = np.random.default_rng(1)
    names = {name for _ in range(50) for name in neural.style(neural.KOKORO, rng)[0].split("+")}
    assert not any(judge in name for name in names for judge in judges)


@pytest.mark.parametrize("voice", [neural.JOE, neural.KOKORO])
def test_a_voice_says_what_can_be_heard_in_it_again(voice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _needs_voices()
    monkeypatch.setattr(quotes, "sentence", lambda language, rng: "People who are in love make poor decisions.")
    reader = next(r for r in neural.READERS if r.voice == voice and r.language == "en")
    clip = next(neural._clips(reader, "test", 2.0))
    said = [unit for _, _, unit in clip.row.timed if unit != "sil"]
    assert said[:3] == ["p", "iy", "p"]
    assert clip.row.seconds == pytest.approx(len(clip.audio) / clip.row.rate, abs=1e-3)
    assert clip.row.timed[-1][1] == pytest.approx(clip.row.seconds, abs=0.05)
