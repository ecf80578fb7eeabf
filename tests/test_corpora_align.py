"""Alignment without an engine's times: our own aligner, bias, pauses moved to the signal."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from facerig.phones import Timed
from facerig.train.corpora import hmm, motion, pico, texts, timing
from facerig.train.corpora.base import Int16, rng_for
from facerig.transcript import engines

RATE = 16000


def _tones(names: tuple[str, ...], rng: np.random.Generator) -> tuple[Int16, list[Timed]]:
    """Each unit a tone of its own, pauses near silence; lengths at random."""
    pitch = {"a": 700.0, "iy": 2300.0, "s": 5200.0, "m": 300.0}
    pieces, timed, at = [], [], 0.0
    for name in names:
        length = float(rng.uniform(0.06, 0.16))
        time = np.arange(round(length * RATE)) / RATE
        wave = 6000 * np.sin(2 * np.pi * pitch[name] * time) if name in pitch else 5 * rng.standard_normal(len(time))
        pieces.append(wave)
        timed.append(Timed(at, at + len(time) / RATE, name))
        at += len(time) / RATE
    return np.concatenate(pieces).astype(np.int16), timed


def test_aligner_learns_units_from_their_order_alone() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(25):
        inner = [str(n) for n in rng.choice(["a", "iy", "s", "m"], 8)]
        inner = [n for k, n in enumerate(inner) if k == 0 or n != inner[k - 1]]
        held.append((("sil", *inner, "sil"), *_tones(("sil", *inner, "sil"), rng)))
    utterances = [hmm.Utterance(hmm.features(samples, RATE), names) for names, samples, _ in held]
    aligner = hmm.Aligner()
    assert np.isfinite(aligner.learn(utterances, 5))
    errors = []
    for (timed, _), (_, _, true) in zip(aligner.align(utterances), held, strict=True):
        assert [t.unit for t in timed] == [t.unit for t in true]
        errors += [abs(a.start - b.start) for a, b in zip(timed[1:], true[1:], strict=True)]
    assert np.median(errors) < 0.010


def test_optional_pause_is_kept_only_where_there_is_one() -> None:
    rng = np.random.default_rng(1)
    held = []
    for k in range(24):
        names = ("sil", "a", "m", *(("sil",) if k % 2 else ()), "iy", "s", "sil")
        held.append((k % 2, *_tones(names, rng)))
    wanted = ("sil", "a", "m", hmm.OPTIONAL, "iy", "s", "sil")
    utterances = [hmm.Utterance(hmm.features(samples, RATE), wanted) for _, samples, _ in held]
    aligner = hmm.Aligner()
    aligner.learn(utterances, 6)
    for (timed, _), (paused, _, _) in zip(aligner.align(utterances), held, strict=True):
        names = [t.unit for t in timed]
        assert names.count("sil") == 2 + paused


def test_features_have_a_frame_every_hop() -> None:
    found = hmm.features(np.zeros(RATE, np.int16), RATE)
    assert found.shape == (round(1 / hmm.HOP) + 1, 2 * hmm.CEPSTRA)
    assert np.isfinite(found).all()


def test_bias_needs_enough_and_is_bounded() -> None:
    assert timing.bias([("closure", 0.01)] * 5) == 0.0
    assert timing.bias([("closure", 0.01)] * 12 + [("onset", 0.5)] * 50) == pytest.approx(0.01)
    assert timing.bias([("hiss", 0.2)] * 12) == timing.MAX_SHIFT


def test_pauses_move_to_the_signal() -> None:
    samples, true = _tones(("sil", "a", "sil", "m", "sil"), np.random.default_rng(3))
    late = [Timed(t.start + 0.015 * (k % 2), t.end + 0.015 * ((k + 1) % 2), t.unit) for k, t in enumerate(true)]
    mended = timing.snap_pauses(samples, RATE, late)
    assert all(a.end == b.start for a, b in itertools.pairwise(mended))
    before = np.mean([abs(a.start - b.start) for a, b in zip(late[2:-1], true[2:-1], strict=True)])
    after = np.mean([abs(a.start - b.start) for a, b in zip(mended[2:-1], true[2:-1], strict=True)])
    assert after < 0.5 * before


def test_pico_reading_makes_inner_pauses_optional() -> None:
    if why := engines.missing_engine("espeak"):
        pytest.skip(why)
    found = pico.reading("Papa, komm mit.", "de", "de")
    assert found[0] == found[-1] == hmm.PAUSE
    assert hmm.OPTIONAL in found
    assert hmm.PAUSE not in found[1:-1]
    assert found.count("p") == 2


def test_pico_clips_are_labelled() -> None:
    pytest.importorskip("py_nanotts", reason="the optional package py-nanotts is not installed")
    if why := engines.missing_engine("espeak"):
        pytest.skip(why)
    made = list(pico.clips(pico.VOICES[0], "test", 25.0))
    assert made
    for clip in made:
        assert engines.covers([Timed(*t) for t in clip.row.timed], clip.row.seconds)
        assert clip.row.timed[0][2] == clip.row.timed[-1][2] == "sil"


def test_grid_schwas(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("0.0 0.1 W one\n0.1 0.2 AH one\n0.2 0.3 N one\n0.3 0.4 AH again\n", "utf-8")
    assert [s for _, _, s in motion.grid_phones(path)] == ["W", "AH", "N", "AH0"]


def test_texts_are_seeded() -> None:
    assert texts.sentence("de", rng_for("x")) == texts.sentence("de", rng_for("x"))
