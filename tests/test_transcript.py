"""Transcripts and sound: alignment finds times, evidence lowers errors."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from facerig.errors import InputError, OptionError
from facerig.features import FEATURES, LogMel
from facerig.model.config import EVIDENCE, preset
from facerig.model.runtime import ModelStage
from facerig.phones import Timed, unit_index, units
from facerig.post.lips import Lips
from facerig.rig import rig
from facerig.stage import Frames, State
from facerig.transcript.align import aligned, pieces, unheard, within, worded
from facerig.transcript.articulation import soft_raster, teach
from facerig.transcript.assist import assisted, phones_only, soundless
from facerig.transcript.pronounce import pronounced
from facerig.transcript.read import Transcript, Word, parse

# ---- alignment --------------------------------------------------------------------------------------------


TRUTH = [
    Timed(0.0, 0.4, "sil"), Timed(0.4, 0.5, "m"), Timed(0.5, 0.7, "aa"), Timed(0.7, 0.8, "m"), Timed(0.8, 1.0, "aa"),
    Timed(1.0, 1.6, "sil"), Timed(1.6, 1.7, "p"), Timed(1.7, 1.9, "aa"), Timed(1.9, 2.4, "sil"),
]  # fmt: skip


def vague(timed: list[Timed], frames: int, doubt: float = 0.6) -> Frames:
    """Posteriors that know the times but confuse sounds and jitter."""
    rng = np.random.default_rng(0)
    belief = (1 - doubt) * soft_raster(timed, frames) + doubt * rng.dirichlet(np.full(len(units()), 0.2), frames)
    # Place of articulation is what is heard worst: half of every "p" goes to "t", of "m" to "n".
    for one, other in (("p", "t"), ("m", "n")):
        half = belief[:, unit_index(one)] * 0.6
        belief[:, unit_index(one)] -= half
        belief[:, unit_index(other)] += half
    return np.asarray(belief, np.float32)


def test_alignment_finds_the_words_and_the_pause() -> None:
    found = aligned(Transcript(words=(Word(0, 0, "mama"), Word(0, 0, "pa"))), vague(TRUTH, 144))
    starts = {k: t.start for k, t in enumerate(t for t in found if t.unit in "mp")}
    np.testing.assert_allclose([starts[0], starts[1], starts[2]], [0.4, 0.7, 1.6], atol=0.035)
    assert any(t.unit == "sil" and t.start > 0.9 and t.end < 1.7 for t in found)


def test_given_times_bound_the_search() -> None:
    flat = np.full((144, len(units())), 1 / len(units()), np.float32)
    found = aligned(Transcript(words=(Word(1.5, 1.9, "pa"),)), flat)
    closure = next(t for t in found if t.unit == "p")
    assert 1.2 < closure.start < 2.2


def test_long_timed_transcripts_are_cut_and_untimed_refused() -> None:
    words = tuple(Word(k * 0.5, k * 0.5 + 0.4, "pa") for k in range(200))
    flat = np.full((6000, len(units())), 1 / len(units()), np.float32)
    found = aligned(Transcript(words=words), flat)
    assert sum(t.unit == "p" for t in found) == 200
    assert all(a.end <= b.start + 1e-6 for a, b in itertools.pairwise(found))
    with pytest.raises(OptionError, match="with times"):
        aligned(Transcript(words=(Word(0, 0, "pa"),)), np.broadcast_to(flat[:1], (60 * 400, flat.shape[1])))


def test_a_word_of_one_instant_moves_no_other() -> None:
    rows = [[k / 2, k / 2 + 0.4, "pa"] for k in range(200)]
    told = [rows, [*rows[:50], [25, 25, "pa"], *rows[51:]]]
    flat = np.full((6000, len(units())), 1 / len(units()), np.float32)
    plain, odd = (parse(json.dumps({"words": own}), ".json") for own in told)
    starts = [[t.start for t in aligned(said, flat) if t.unit == "p"] for said in (plain, odd)]
    np.testing.assert_allclose(starts[1], starts[0], atol=0.25)
    late = [*rows, [399, 399, "pa"]]
    assert len(pieces(parse(json.dumps({"words": late}), ".json").words, 60 * 400)) > 1


@pytest.mark.parametrize(("suffix", "text"), [
    (".srt", "1\n01:00:00,200 --> 01:00:02,000\nhello there\n"),
    (".json", '{"phones": [[100, 100.2, "HH"]]}'),
    (".json", '{"phones": [[0, 100, "sil"], [100, 100.2, "HH"]], "words": [[100, 100.2, "huh"]]}'),
])  # fmt: skip
def test_times_beyond_the_sound_are_refused(suffix: str, text: str) -> None:
    with pytest.raises(InputError, match=r"runs from (100|3600\.2).* s, the sound has 8\.1 s, .*shift its times"):
        within(parse(text, suffix), 8.1)


def test_what_lies_partly_in_the_sound_is_taken_as_far_as_it_does() -> None:
    words = (Word(0.3, 1, "a"), Word(7.9, 9, "b"), Word(8.3, 9, "c"), Word(8.4, 9, "d"))
    assert within(Transcript(words=words), 8.1).words == words[:3], "a little past the end is fine"
    phones = (Timed(0, 9, "sil"), Timed(9, 10, "aa"))
    assert within(Transcript(phones, words), 8.1) == Transcript(phones[:1], words[:3])
    for whole in (Transcript(), Transcript(phones[:1]), Transcript(words=(Word(0, 0, "a"),))):
        assert within(whole, 8.1) == whole


@pytest.mark.parametrize("said", ["... !!! ---", "\U0001f600 \U0001f600"])
def test_a_text_without_words_is_refused(said: str) -> None:
    wordless = parse(said, ".txt")
    for told in (lambda: aligned(wordless, vague(TRUTH, 144)), lambda: unheard(wordless, 2.0)):
        with pytest.raises(InputError, match="no word that can be spoken"):
            told()
    assert aligned(Transcript(), vague(TRUTH, 144)) == []


def test_words_lie_where_their_sounds_were_found() -> None:
    words = (Word(0, 0, "Mama,"), Word(0, 0, "--"), Word(0, 0, "pa"))
    timed = aligned(Transcript(words=words), vague(TRUTH, 144))
    found = worded(Transcript(words=words), timed)
    assert [word.text for word in found] == ["Mama,", "pa"]
    np.testing.assert_allclose([word[:2] for word in found], [(0.4, 1.0), (1.6, 1.9)], atol=0.035)
    own = (Word(0.3, 1.1, "mama"),)
    assert worded(Transcript(tuple(TRUTH), own), TRUTH) == own, "a TextGrid knows its words' times"
    assert worded(Transcript(tuple(TRUTH)), TRUTH) == ()


def test_words_are_found_among_sounds_that_the_dictionary_has_not() -> None:
    """An engine says a sentence otherwise than a dictionary its words."""
    mama, papa = pronounced(["mama", "papa"])
    said = [Timed(k / 10, (k + 1) / 10, unit) for k, unit in enumerate(("sil", "n", "l", *mama[:-1], "sil", *papa))]
    words = tuple(Word(0, 0, text) for text in ("mama", "papa"))
    one, two = worded(Transcript(tuple(said), words), said)
    assert (one.start, two.start, two.end) == pytest.approx((0.3, (3 + len(mama)) / 10, said[-1].end))
    assert one.end <= two.start
    assert worded(Transcript(words=words), said[:1]) == ()
    for spoken in (said[:2], said[:5], said[-1:]):
        found = worded(Transcript(words=words), spoken)
        assert all(a.start <= a.end <= b.start <= b.end for a, b in itertools.pairwise(found))


def test_unheard_text_has_a_usual_pace() -> None:
    found = unheard(Transcript(words=(Word(0, 0, "mama"), Word(0, 0, "papa"))))
    assert 0.4 < found[-1].end < 1.5
    timed = unheard(Transcript(words=(Word(1.0, 1.5, "mama"),)))
    assert timed[0].start == 1.0
    assert timed[-1].end == pytest.approx(1.5)


# ---- evidence ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard(ModelStage):
    """A model that hears what it is given, whatever the sound."""

    belief: Frames = field(default_factory=lambda: np.zeros((0, 0), np.float32), compare=False)

    def run(self, frames: Frames, state: State) -> list[Frames]:
        raise NotImplementedError

    def posteriors(self, feats: Frames, block: int = 60) -> tuple[Frames, Frames, Frames]:
        from facerig.transcript.articulation import expected

        assert feats.shape[1] == FEATURES
        belief = self.belief[: len(feats)]
        flat = np.full((len(belief), len(EVIDENCE)), 0.2, np.float32)
        flat[:, EVIDENCE.index("speech")] = 0.9
        return expected(belief), flat, belief


def heard(belief: Frames) -> tuple[LogMel, Heard, Lips]:
    config = preset("tiny", rig("facerig").names, tuple(unit.unit for unit in units()))
    model = Heard(config, belief)
    return LogMel(), model, Lips(model.columns)


def test_a_transcript_lowers_the_error_and_closes_the_lips() -> None:
    belief = vague(TRUTH, 144)
    stages = heard(belief)
    samples = np.random.default_rng(1).normal(0, 0.1, 24_000 * 144 // 60).astype(np.float32)
    made = assisted(stages, samples, 24_000, Transcript(words=(Word(0, 0, "mama"), Word(0, 0, "pa"))))
    truth, alone = teach(TRUTH, 144), stages[1].posteriors(np.zeros((144, FEATURES), np.float32))[0]
    mouth = [k for k, name in enumerate(made.curves.channels) if name.startswith(("jaw", "mouth"))]
    error, before = (np.abs(values[:, mouth] - truth[:, mouth]).mean() for values in (made.curves.values, alone))
    assert error < 0.6 * before
    jaw, close = made.curves["jawOpen"], made.curves["mouthClose"]
    for closure in (t for t in TRUTH if t.unit in "pm"):
        rows = slice(round(closure.start * 60) - 2, round(closure.end * 60) + 3)
        assert (jaw - close)[rows].min() < 0.02


def test_phones_alone_make_a_face() -> None:
    curves = phones_only(TRUTH)
    assert curves.frames == round(2.7 * 60)
    assert curves["jawOpen"].max() > 0.2
    assert [m.label for m in curves.marks] == ["m", "aa", "m", "aa", "p", "aa"]


def test_subtitles_alone_make_a_face() -> None:
    curves = soundless(parse("1\n00:00:01,000 --> 00:00:02,000\nmama papa\n", ".srt"))
    assert curves.seconds == pytest.approx(2.3, abs=0.02)
    assert curves["jawOpen"][:40].max() < 0.01
    assert curves["jawOpen"][60:120].max() > 0.15
    words = [mark for mark in curves.marks if mark.kind == "word"]
    assert [word.label for word in words] == ["mama", "papa"]
    assert (words[0].start, words[0].end, words[1].start, words[1].end) == (60, 90, 90, 120)
    assert sum(mark.kind == "phone" for mark in curves.marks) == 8


def test_a_model_without_posteriors_takes_the_words_in_proportion() -> None:
    from facerig.fake import FakeModel

    samples = np.random.default_rng(1).normal(0, 0.1, 24_000).astype(np.float32)
    mama = Transcript(words=(Word(0, 0, "mama"),))
    made = assisted([LogMel(), FakeModel(rig("facerig").names)], samples, 24_000, mama)
    assert made.curves.frames == 60
    assert made.timed[0].unit == "m"
    with pytest.raises(OptionError, match="trust"):
        assisted([], samples, 24_000, Transcript(), trust=2.0)


@dataclass(frozen=True)
class Sure(Heard):
    """One that hears no contact, and speech throughout."""

    def posteriors(self, feats: Frames, block: int = 60) -> tuple[Frames, Frames, Frames]:
        curves, flat, belief = super().posteriors(feats, block)
        return curves, flat * (flat > 0.5), belief


def test_a_word_that_nobody_knows_stays_as_it_was_heard() -> None:
    mel, model, lips = heard(vague(TRUTH, 144))
    stages = (mel, Sure(model.config, model.belief), lips)
    samples = np.random.default_rng(1).normal(0, 0.1, 24_000 * 144 // 60).astype(np.float32)
    known = tuple(t for t in TRUTH if t.end <= 1.0)
    told = {unknown: assisted(stages, samples, 24_000, Transcript((*known, Timed(1.9, 2.4, "sil")), (), unknown)).curves
            for unknown in ((), ((1.4, 1.9),))}  # fmt: skip
    alone = assisted(stages, samples, 24_000, Transcript(tuple(TRUTH)), trust=0.0).curves
    inside = slice(round(1.6 * 60), round(1.85 * 60))
    opening = [curves["jawOpen"] - curves["mouthClose"] for curves in (told[()], told[(1.4, 1.9),], alone)]
    assert opening[0][inside].max() < 0.5 * opening[2][inside].max()
    np.testing.assert_allclose(opening[1][inside], opening[2][inside], atol=0.03)
    assert opening[1][inside].max() > 0.1
