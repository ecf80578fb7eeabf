"""Soft labels: probabilities of the units that are known to be said, by an offline reader that learns from labels."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facerig.model import preset  # noqa: E402
from facerig.model.net import Encoder  # noqa: E402
from facerig.phones import flag_of_units, unit_index, units  # noqa: E402
from facerig.rig import rig  # noqa: E402
from facerig.train import distill, recipe, run  # noqa: E402
from facerig.train.align import Walk  # noqa: E402
from facerig.train.corpora.pack import PackedClip, PackedSet  # noqa: E402
from facerig.train.data import UNLABELLED, with_labels  # noqa: E402

SIL, M, AA = unit_index("sil"), unit_index("m"), unit_index("aa")

def brute(score: np.ndarray, said: list[int]) -> np.ndarray:
    """The same by counting every path."""
    walk, out = Walk.of(said), np.zeros_like(score)
    last = len(walk.owner) - 1
    starts = {0, 1} if walk.optional[0] else {0}
    ends = {last, last - 1} if walk.optional[-1] else {last}
    for path in itertools.product(range(last + 1), repeat=len(score)):
        if path[0] not in starts or path[-1] not in ends or not all(
                _may(walk, one, other) for one, other in itertools.pairwise(path)):
            continue
        names = [said[walk.owner[state]] for state in path]
        weight = np.exp(sum(score[t, name] for t, name in enumerate(names)))
        for t, name in enumerate(names):
            out[t, name] += weight
    return np.asarray(out / out.sum(1, keepdims=True))


def _may(walk: Walk, one: int, other: int) -> bool:
    if other == one:
        return bool(walk.stays[one])
    return other == one + 1 or (other == one + 2 and bool(walk.optional[one + 1]))


@pytest.mark.parametrize("said", [[SIL, M, AA, SIL], [M, AA], [SIL, M, SIL, AA], [M, AA, M]])
def test_occupancies_are_those_of_all_paths(said: list[int]) -> None:
    score = np.random.default_rng(len(said)).normal(size=(7, len(units())))
    got = distill.occupancies(score, said)
    assert got is not None
    np.testing.assert_allclose(got, brute(score, said), atol=1e-5)


def test_a_clip_too_short_for_its_text_has_none() -> None:
    assert distill.occupancies(np.zeros((3, len(units()))), [M, AA, M]) is None
    assert distill.occupancies(np.zeros((3, len(units()))), []) is None


def test_a_long_clip_whose_text_is_far_off_is_still_finite() -> None:
    score = np.full((2000, len(units())), -20.0)
    score[:, SIL] = 0.0
    got = distill.occupancies(score, [M, AA] * 40)
    assert got is None or np.isfinite(got).all()


def heard(labels: np.ndarray, sure: float = 0.8) -> np.ndarray:
    out = np.full((len(labels), len(units())), (1 - sure) / (len(units()) - 1), np.float32)
    out[np.arange(len(labels)), labels] = sure
    return out


def test_soft_labels_are_sure_inside_and_unsure_at_the_edges() -> None:
    labels = np.repeat([SIL, M, AA, SIL], 8).astype(np.uint8)
    sounds = heard(labels)
    sounds[15] = sounds[16] = (sounds[14] + sounds[17]) / 2
    soft = distill.softened(labels, sounds)
    share = soft[:, 1].astype(float) / soft[:, 1].sum(1, keepdims=True)
    assert (soft[:, 0, 0][[4, 12, 20, 28]] == [SIL, M, AA, SIL]).all()
    assert share[[4, 12, 20, 28], 0].min() > 0.85
    assert share[15:17, 0].max() < 0.8


def test_what_is_not_in_the_text_is_hardly_taught() -> None:
    labels = np.repeat([M, AA], 10).astype(np.uint8)
    sounds = heard(np.repeat([M, SIL], 10), 0.9)
    soft = distill.softened(labels, sounds)
    assert (soft[13:, 0, 0] == AA).all()
    assert (soft[13:, 0, 1] == SIL).all()


def test_a_clip_without_text_is_taught_what_is_heard() -> None:
    sounds = heard(np.repeat([M, AA], 10))
    soft = distill.softened(np.full(20, UNLABELLED, np.uint8), sounds)
    assert (soft[:, 0, 0] == np.repeat([M, AA], 10)).all()


def test_labels_written_are_labels_read(tmp_path: Path) -> None:
    labels = [np.repeat([SIL, M, AA], 8).astype(np.uint8), np.full(10, UNLABELLED, np.uint8)]
    sounds = [heard(np.roll(labels[0], 2)), heard(np.repeat([AA], 10), 0.5)]
    changed = distill.write(["a", "b/c"], labels, sounds, tmp_path / "labels.npz")
    hard, soft = distill.read(tmp_path / "labels.npz")
    assert changed.moved > 0
    assert set(hard) == set(soft) == {"a", "b/c"}
    assert soft["a"].shape == (24, 2, 4)
    assert (hard["b/c"] == UNLABELLED).all()  # heard too unsurely to count as a label
    assert (soft["b/c"] == 0)[:, 1].all()
    assert flag_of_units("is_silence")[hard["a"][0]]


def test_no_file_no_labels(tmp_path: Path) -> None:
    assert distill.read(tmp_path / "none.npz") == ({}, {})


def packed(seconds: int) -> PackedSet:
    """Half hiss, half hum, in a set that an aligner labelled late, one that has no labels, and two of an engine."""
    rng, frames, clips = np.random.default_rng(0), seconds * 60, []
    arrays: dict[str, tuple[Any, Any, Any]] = {}
    hum = np.sin(np.arange(frames * 400) * 0.05) * 8000
    hiss = rng.normal(size=frames * 400) * 3000
    turn = np.arange(frames) // 12 % 2 == 0
    audio = np.where(np.repeat(turn, 400), hum, hiss).astype(np.int16)
    true = np.where(turn, AA, unit_index("s")).astype(np.uint8)
    unknown = np.full(frames, UNLABELLED, np.uint8)
    for source, labels, kind in (("speechocean", np.roll(true, 2), "aligned"), ("synthetic", true, "engine"),
                                 ("quotes", true, "engine"), ("facegood", unknown, "none")):
        clips += [PackedClip(f"{source}/{k}", source, "en", "x", "train", 0.6, kind, k * 60, 60)
                  for k in range(seconds)]
        arrays[source] = (audio, labels, None)
    return PackedSet(tuple(clips), arrays, dict.fromkeys(arrays, ()))


def small_encoder() -> Encoder:
    names = tuple(unit.unit for unit in units())
    return Encoder(preset("tiny", rig("facerig").names, names, width=32, encoder="c1 c1", decoder_width=24,
                          decoder="c1")).eval()  # fmt: skip


def test_sharpening_labels_whatever_an_aligner_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    held = packed(6)
    monkeypatch.setattr(run, "load_packed", lambda: held)
    plan = run.Plan("tiny", minutes=0.5, folder=tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(run.smoother, "trained", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.sharpen(small_encoder(), plan, plan.labels)
    assert len(run.unsharpened(plan)) == 12  # what only the encoder heard is no label yet
    changed = run.sharpen(small_encoder(), plan, plan.labels)
    assert [path.name for path in tmp_path.rglob("*.npz")] == ["labels.npz"]
    hard, soft = distill.read(plan.labels)
    assert changed["clips"] == 12
    assert set(hard) == set(soft) == {clip.id for clip in held.clips if clip.label_kind != "engine"}
    rows = soft["speechocean/2"]
    assert np.isin(rows[:, 0, 0], [AA, unit_index("s")]).all()  # what is said; the rest is only heard
    assert (rows[:, 1].sum(1, dtype=int) > 240).all()
    data = run.relabelled(plan)
    newer = with_labels(data, hard, soft)
    assert not run.unsharpened(plan)
    k = newer.ids.index("speechocean/2")
    assert (newer.clip(k)[1] == hard["speechocean/2"]).all()
    assert (newer.clip(newer.ids.index("synthetic/1"))[1] == data.clip(data.ids.index("synthetic/1"))[1]).all()


def test_runs_of_a_preset_sharpen_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, plan, trained = packed(2), run.Plan("tiny", minutes=0.01, folder=tmp_path), run.smoother.trained

    def while_another_does(*args: Any) -> run.smoother.Smoother:
        monkeypatch.setattr(run.smoother, "trained", trained)
        run.sharpen(small_encoder(), replace(plan, seed=2), plan.labels)
        return trained(*args)

    monkeypatch.setattr(run, "load_packed", lambda: held)
    monkeypatch.setattr(run.smoother, "trained", while_another_does)
    assert run.sharpen(small_encoder(), plan, plan.labels)["clips"] == 4
    assert not run.unsharpened(plan)


def test_clips_without_labels_and_those_of_a_source_that_changed_are_sharpened_alone(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, plan = packed(4), run.Plan("tiny", folder=tmp_path)

    def write(names: set[str], unit: int) -> None:
        own = [clip for clip in held.clips if clip.id in names]
        distill.write([clip.id for clip in own], [held.labels(clip) for clip in own],
                      [heard(np.full(60, unit, np.uint8))] * len(own), plan.labels, recipe.stamps(held))

    monkeypatch.setattr(run, "load_packed", lambda: held)
    assert run.unsharpened(plan) == {clip.id for clip in held.clips if clip.label_kind == "none"} | {
        clip.id for clip in held.clips if clip.label_kind == "aligned"}
    write(run.unsharpened(plan) - {"speechocean/3"}, AA)
    assert run.unsharpened(plan) == {"speechocean/3"}
    write({"speechocean/3"}, AA)
    before, _ = distill.read(plan.labels, recipe.stamps(held))
    audio, labels, _ = held.arrays["facegood"]
    held = replace(held, arrays={**held.arrays, "facegood": (audio[::-1].copy(), labels, None)})
    due = run.unsharpened(plan)
    assert due == {clip.id for clip in held.clips if clip.source == "facegood"}
    write(due, M)
    after, soft = distill.read(plan.labels, recipe.stamps(held))
    assert not run.unsharpened(plan)
    assert set(after) == set(soft) == set(before)
    assert (after["facegood/0"] == M).all()
    np.testing.assert_array_equal(after["speechocean/0"], before["speechocean/0"])


def test_clips_are_listened_to_some_hours_at_a_time_each_as_among_all(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    held = packed(6)
    monkeypatch.setattr(run, "load_packed", lambda: held)
    data, encoder = run.relabelled(run.Plan("tiny", folder=tmp_path)), small_encoder()
    clips = np.arange(len(data.ids))[::-1].copy()
    cut = run.parts(data, clips, hours=2.5 / 3600)
    assert np.concatenate(cut).tolist() == clips.tolist()
    assert {len(part) for part in cut[:-1]} <= {2, 3}  # of a second each
    some, whole = (run.smoother.Listened(encoder, data, half=False, clips=which) for which in (cut[1], None))
    for k in cut[1]:
        assert torch.allclose(some.clip(int(k)), whole.clip(int(k)), atol=2e-3)
    assert set(np.flatnonzero(some.starts >= 0)) == set(cut[1])


def test_a_reader_learns_from_what_was_listened_to_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = packed(6)
    monkeypatch.setattr(run, "load_packed", lambda: held)
    data = run.relabelled(run.Plan("tiny", folder=tmp_path))
    heard = run.smoother.Listened(small_encoder(), data, half=False, clips=np.array([1, 4]))
    edges = run.smoother._edges(heard, {"speechocean": 2.0})
    drawn = set(np.searchsorted(edges, np.random.default_rng(0).random(200)).tolist())
    assert drawn == {1, 4}


def test_labels_made_before_a_run_was_broken_off_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, plan = packed(6), run.Plan("tiny", minutes=0.01, folder=tmp_path)
    monkeypatch.setattr(run, "load_packed", lambda: held)
    monkeypatch.setattr(run, "parts", lambda data, clips, hours=run.PART_HOURS: np.array_split(clips, 3))
    write, calls = distill.write, []

    def broken(*args: Any) -> distill.Changed:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(*args)

    monkeypatch.setattr(distill, "write", broken)
    with pytest.raises(KeyboardInterrupt):
        run.sharpen(small_encoder(), plan, plan.labels)
    assert len(run.unsharpened(plan)) == 4
    before, _ = distill.read(plan.labels)
    assert run.sharpen(small_encoder(), plan, plan.labels)["clips"] == 4
    after, _ = distill.read(plan.labels)
    assert not run.unsharpened(plan)
    assert all((after[name] == before[name]).all() for name in before)
