"""Training without a run: the clock, alignment of labels, measures and the recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facerig.errors import InputError  # noqa: E402
from facerig.model.net import Encoder  # noqa: E402
from facerig.phones import Timed, rasterise, unit_index, units  # noqa: E402
from facerig.train import align, data, recipe, run, shards  # noqa: E402
from facerig.train.corpora import PackedSet, builder  # noqa: E402
from facerig.train.corpora.base import Part, Source  # noqa: E402
from facerig.train.corpora.pack import PackedClip  # noqa: E402
from facerig.train.data import UNLABELLED, audio_features, store  # noqa: E402
from facerig.train.measures import Tally  # noqa: E402
from facerig.train.schedule import Schedule  # noqa: E402


def test_the_rate_warms_up_and_reaches_its_floor_when_the_time_is_up() -> None:
    schedule = Schedule(100.0, 200.0, peak=1.0, floor=0.02, warm_steps=10)
    assert Schedule(100.0, 200.0, steps=40).progress(10, 100.0) == 0.25
    assert schedule.rate(0, 100.0) == pytest.approx(0.1)
    assert schedule.rate(50, 100.0) == pytest.approx(1.0)
    assert schedule.rate(50, 200.0) == schedule.rate(50, 900.0) == pytest.approx(0.02)
    assert schedule.strength(0, 100.0) == pytest.approx(0.1)
    assert schedule.strength(0, 120.0) == 1.0


def test_alignment_moves_a_boundary_to_where_the_sound_is() -> None:
    said = [unit_index(name) for name in ("sil", "m", "aa", "sil")]
    true = np.repeat(said, (20, 8, 12, 20)).astype(np.uint8)
    late = np.repeat(said, (23, 8, 9, 20)).astype(np.uint8)
    heard = np.full((60, len(units())), 0.002, np.float32)
    heard[np.arange(60), true] = 0.8
    np.testing.assert_array_equal(align.realigned(late, heard), true)


def test_alignment_may_leave_out_silence_but_no_sound() -> None:
    sil, m, aa = (unit_index(name) for name in ("sil", "m", "aa"))
    score = np.full((12, len(units())), -5.0)
    score[:6, m] = score[6:, aa] = 0.0
    path = align.viterbi(score, [sil, m, sil, aa, sil])
    assert path is not None
    assert set(path) == {1, 3}
    assert align.viterbi(score[:3], [m, aa]) is None  # too short for two sounds


def test_what_is_heard_to_be_impossible_is_struck_out() -> None:
    m, aa = unit_index("m"), unit_index("aa")
    labels = np.repeat([m, aa], 10).astype(np.uint8)
    heard = np.zeros((20, len(units())), np.float32)
    heard[:, aa] = 1.0
    out = align.realigned(labels, heard)
    assert UNLABELLED in out
    assert m not in out


def test_guesses_keep_to_what_is_sure() -> None:
    heard = np.zeros((4, len(units())), np.float32)
    heard[:2, 5], heard[2:, 5], heard[2:, 6] = 0.9, 0.5, 0.5
    assert align.guessed(heard).tolist() == [5, 5, UNLABELLED, UNLABELLED]


def test_a_perfect_listener_scores_full_marks_and_a_deaf_one_does_not() -> None:
    timed = [Timed(0.2, 0.4, "aa"), Timed(0.4, 0.5, "m"), Timed(0.5, 0.8, "iy"), Timed(0.8, 0.9, "f")]
    labels = rasterise(timed, 72).astype(np.uint8)
    perfect, deaf = Tally(), Tally()
    perfect.add(np.eye(len(units()), dtype=np.float32)[labels], labels)
    deaf.add(np.eye(len(units()), dtype=np.float32)[np.zeros(len(labels), int)], labels)
    best, worst = perfect.figures(), deaf.figures()
    assert best["viseme15"] == best["bilabial_recall"] == best["labiodental_precision"] == best["speech"] == 100.0
    assert best["onset_ms"] == 0.0
    assert worst["bilabial_recall"] == 0.0
    assert worst["onset_ms"] is None
    assert worst["viseme15"] is not None
    assert worst["viseme15"] < 50


def test_sets_that_judge_are_never_learnt_from() -> None:
    assert not set(recipe.WATCHED) & {name for name, _ in recipe.LEARNT}
    assert not set(recipe.WATCHED) & set(recipe.RELABELLED)
    assert not set(recipe.WATCHED) & {name for name, _ in recipe.MOVED_HOURS}


def test_the_recipe_builds_every_preset() -> None:
    for name in ("tiny", "instant", "small", "base"):
        config = recipe.config(name)
        assert len(config.channels) == 68
        assert config.lookahead in config.taught
    assert isinstance(Encoder(recipe.config("tiny")), Encoder)


# ---- caches ---------------------------------------------------------------------------------------------------------


def packed(seed: int) -> PackedSet:
    """Two clips of noise, all of one unit; sound and unit go with the seed, names and lengths do not."""
    clips = tuple(PackedClip(f"synthetic/a/{k}", "synthetic", "en", "x", "train", 1.0, "engine", at, frames)
                  for k, (at, frames) in enumerate(((0, 30), (30, 20))))
    audio = np.random.default_rng(seed).normal(0, 3000, 50 * 400).astype(np.int16)
    return PackedSet(clips, {"synthetic": (audio, np.full(50, 5 + seed, np.uint8), None)}, {"synthetic": ()})


def own(held: PackedSet) -> np.ndarray:
    return np.concatenate([audio_features(np.asarray(held.audio(clip))) for clip in held.clips]).astype(np.float16)


def test_features_are_those_of_the_sound_that_is_packed_now(tmp_path: Path) -> None:
    for held in (packed(1), packed(2), packed(1)):
        np.testing.assert_array_equal(store(held, tmp_path).feats, own(held))
    assert len(list(tmp_path.iterdir())) == 2


def test_features_of_other_settings_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(packed(1), tmp_path)
    monkeypatch.setattr(data, "MADE_BY", (64, 2))
    store(packed(1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_augmented_clips_are_of_what_is_packed_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "AUGMENTED_HOURS", 0.5 / 3600)
    for seed in (1, 2):
        learnt = recipe.learnt(tmp_path, packed=packed(seed))
        told = learnt.labels[50:]
        assert set(told[(told != UNLABELLED) & (told != 1)]) <= {0, 5 + seed}  # beside noise and pauses


def test_augmented_clips_have_the_labels_and_the_trust_of_those_they_are_of(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "AUGMENTED_HOURS", 2.0 / 3600)
    monkeypatch.setattr(shards, "OPTIONS", replace(shards.OPTIONS, whole=0.0, events=0.0))
    held = packed(1)
    held = held.of([replace(clip, trust=0.25) for clip in held.clips])
    ids = [clip.id for clip in held.clips]
    for units_of, trust in (({}, [0.25]), (dict.fromkeys(ids, 9), [1.0]), (dict.fromkeys(ids, 11), [1.0]),
                            ({ids[0]: 9}, [0.25, 1.0])):  # fmt: skip
        new = {clip.id: np.full(clip.frames, units_of[clip.id], np.uint8) for clip in held.clips if clip.id in units_of}
        for _ in range(2):  # made, then read
            learnt = recipe.learnt(tmp_path, new, packed=held)
            own = list(range(len(ids), len(learnt.ids)))
            told = np.unique(np.concatenate([learnt.clip(k)[1] for k in own]))
            assert set(told) - {UNLABELLED} == {units_of.get(name, 6) for name in ids}
            assert sorted({float(trusted) for trusted in learnt.trust[own]}) == trust
    assert len(list(tmp_path.glob("augmented-*.npz"))) == 4


def test_new_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"synthetic/a/0: got new labels for 29 frames, accepted: 30.*labels\.npz"):
        store(packed(1), tmp_path, {"synthetic/a/0": np.zeros(29, np.uint8)})


def test_what_is_missing_of_the_corpora_is_built_and_what_is_learnt_from_is_said(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FACERIG_CACHE", str(tmp_path))
    monkeypatch.setattr(run, "load_packed", lambda: packed(1))
    sources = [Source("synthetic", (Part("x", list),)), Source("grid", (Part("all", list),)),
               Source("pico", (), "no such voice")]  # fmt: skip
    monkeypatch.setattr(builder, "all_sources", lambda hours: sources)
    asked: list[list[str]] = []
    monkeypatch.setattr(builder, "build", lambda cache, only, jobs, hours: asked.append(only))
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "synthetic.json").touch()  # and nothing else: a build that was broken off
    run.build_corpora(1.0)
    assert asked == [["grid"]]
    said = capsys.readouterr().out.splitlines()
    assert said == ["learnt from: synthetic 0.0 h", "left out: grid (no clip could be made), pico (no such voice)"]


def test_lips_that_cannot_be_measured_are_told_of_before_the_training(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path / "nothere"))
    monkeypatch.setattr(run, "build_corpora", lambda hours: None)
    monkeypatch.setattr(run, "load_packed", lambda: PackedSet((), {}, {"grid": ()}))
    monkeypatch.setattr(run, "encoder_trainer", lambda *_: pytest.fail("training has begun"))
    with pytest.raises(InputError, match=r"neutral\.json: cannot be read .*FACERIG_DATA"):
        run.train(run.Plan("tiny", folder=tmp_path))
