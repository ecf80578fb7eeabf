"""Training on toys: losses must fall, runs go on where they were, crops and shards keep what belongs together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from facerig.errors import MissingExtra, ModelError, OptionError  # noqa: E402
from facerig.features import BANDS, FEATURES, HOPS  # noqa: E402
from facerig.model import NetConfig, checkpoint, preset  # noqa: E402
from facerig.model.net import Encoder, Net  # noqa: E402
from facerig.phones import unit_index, units  # noqa: E402
from facerig.rig import rig  # noqa: E402
from facerig.train import loop, losses, shards, smoother  # noqa: E402
from facerig.train import mean as runs_mean  # noqa: E402
from facerig.train import run as run_module  # noqa: E402
from facerig.train.corpora import PackedSet  # noqa: E402
from facerig.train.data import QUIET, UNLABELLED, Crops, Store, following, hard, stretched  # noqa: E402
from facerig.train.decoder import DecoderRun, DecoderTrainer  # noqa: E402
from facerig.train.loop import EncoderTrainer, Run, aligned, contents, judged, posteriors, steps_at  # noqa: E402
from facerig.train.melaug import MelAugment, _grain  # noqa: E402
from facerig.train.motion import FACEGOOD_SUMS, GRID_MEASURES, Motion, belief, taught  # noqa: E402
from facerig.train.rests import KINDS, rests  # noqa: E402
from facerig.train.resume import averaged, load_shipped, neighbours, taken_over  # noqa: E402
from facerig.train.tempo import at_other_tempos  # noqa: E402

SAID = tuple(unit_index(name) for name in ("sil", "aa", "m", "s", "iy", "f"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def toy(seconds: int, seed: int, clips: int = 6) -> Store:
    """Units that sound each their own way, six frames each."""
    rng = np.random.default_rng(seed)
    sounds = np.random.default_rng(0).normal(size=(len(units()), FEATURES)).astype(np.float32)
    labels = np.repeat(rng.choice(SAID, seconds * 10), 6).astype(np.uint8)
    feats = (sounds[labels] + 0.3 * rng.normal(size=(len(labels), FEATURES))).astype(np.float16)
    size = len(labels) // clips
    counts = np.full(clips, size, np.int64)
    return Store(feats[: size * clips], labels[: size * clips], np.arange(clips) * size, counts,
                 np.ones(clips, np.float32), np.array(["toy"] * clips, object), tuple(f"toy/{k}" for k in range(clips)))


def small_config() -> NetConfig:
    names = tuple(unit.unit for unit in units())
    return preset("tiny", rig("facerig").names, names, width=32, encoder="c1 a8 c1", decoder_width=24, decoder="c1")


def small_run(folder: Path) -> Run:
    return Run(folder, 3600.0, steps=150, batch=6, frames=64, peak=8e-3, warm_steps=10, half=False, shares={"toy": 1.0})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[EncoderTrainer, list[float]]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    trainer = EncoderTrainer(small_config(), small_run(folder), toy(60, 1), {"toy": toy(6, 2)})
    trainer.augment = MelAugment(noise=0.1, reverb=0.0, empty=0.0, masks=0, warp=0.0)
    return trainer, trainer.train()


# ---- the encoder ----------------------------------------------------------------------------------------------------


def test_the_loss_falls_and_units_are_recognised(trained: tuple[EncoderTrainer, list[float]]) -> None:
    trainer, means = trained
    assert means[-1] < 0.7 * means[0]
    heard = judged(trainer.net, toy(6, 3), 6)["viseme15"]
    assert heard is not None
    assert heard > 40  # chance: 20


def test_the_log_has_a_line_for_every_judged_set(trained: tuple[EncoderTrainer, list[float]]) -> None:
    log = [json.loads(line) for line in (trained[0].run.folder / "log.jsonl").read_text().splitlines()]
    assert {row["part"] for row in log} == {"encoder"}
    assert [row for row in log if row.get("set") == "toy" and "bilabial_recall" in row]
    assert [row["step"] for row in log if "loss" in row] == sorted(row["step"] for row in log if "loss" in row)


def test_a_run_goes_on_where_it_was(trained: tuple[EncoderTrainer, list[float]],
                                    capsys: pytest.CaptureFixture[str]) -> None:
    trainer, _ = trained
    EncoderTrainer(trainer.config, replace(trainer.run, steps=300), toy(60, 1), {})
    spent = json.loads(trainer.path.with_suffix(".json").read_text())["spent"]
    assert f"goes on from minute {spent / 60:.1f} of" in capsys.readouterr().out
    again = EncoderTrainer(trainer.config, trainer.run, toy(60, 1), {})
    assert "is done: nothing left to train" in capsys.readouterr().out
    assert again.step == trainer.step
    for (name, one), (_, other) in zip(trainer.net.state_dict().items(), again.net.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    moments = [state["exp_avg"] for state in again.optimizer.state.values()]
    assert len(moments) == len(list(again.net.parameters()))
    assert again.train() == []  # its time is up


def test_making_labels_on_the_way_takes_none_of_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late, steps = [0.0], []

    def labels() -> None:
        late[0] += 500.0
        steps.append(trainer.step)

    real = loop.time.time
    monkeypatch.setattr(loop.time, "time", lambda: real() + late[0])
    run = replace(small_run(tmp_path), seconds=120.0, steps=12, save_every=0.0)
    trainer = EncoderTrainer(small_config(), run, toy(10, 1), {}, labels)
    trainer.train()
    assert steps == list(range(1, 13))
    assert json.loads((tmp_path / "encoder.json").read_text())["spent"] < 100


@pytest.mark.parametrize("change", [{"seed": 2}, {"start": Path(__file__)}, {"data": {"grid": "packed anew"}}])
def test_a_run_of_other_options_is_not_gone_on_with(trained: tuple[EncoderTrainer, list[float]],
                                                    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or `--seed 2` would be the weights of seed 1, a mean of both one run, and new corpora never learnt from."""
    monkeypatch.setattr(loop, "load_shipped", lambda *_: None)
    with pytest.raises(OptionError, match=f"holds a run of another {next(iter(change))}; accepted: .*--cache"):
        EncoderTrainer(small_config(), replace(trained[0].run, **change), toy(60, 1), {})


def test_runs_of_two_seeds_have_their_own_folders_and_one_set_of_labels(tmp_path: Path) -> None:
    one, other = (run_module.Plan(folder=tmp_path, seed=seed) for seed in (1, 2))
    assert one.run != other.run
    assert one.labels == other.labels


def test_posteriors_belong_to_their_frames(trained: tuple[EncoderTrainer, list[float]]) -> None:
    """Every look-ahead's output is aligned with the labels: a shift either way fits worse."""
    net, held = trained[0].net, toy(6, 4)
    feats, labels = held.clip(0)
    for ahead in (4, 6, 9):
        heard, _ = posteriors(net, feats, ahead, half=False)
        assert heard.shape == (len(labels), len(units()))
        fit = {shift: np.log(heard[20:-20][np.arange(len(labels) - 40), labels[20 + shift : len(labels) - 20 + shift]]
                             + 1e-9).mean() for shift in (-5, 0, 5)}
        assert fit[0] > fit[-5]
        assert fit[0] > fit[5]


def test_what_is_heard_is_the_mean_of_heads_that_heard_the_frame_at_their_own_time(
        trained: tuple[EncoderTrainer, list[float]]) -> None:
    net, (feats, labels) = trained[0].net, toy(6, 4).clip(0)
    assert net.config.heard_by == ((6, 1 / 2), (5, 1 / 3), (4, 1 / 6))
    content = contents(net, torch.from_numpy(feats)[None], half=False)[0]
    frames = len(labels) - 10
    heard = aligned(net, content, frames, 6)
    alone = replace(net.config, reads=())
    for part in range(2):
        by = {ahead: aligned(net, content, frames, ahead)[part] for ahead in (4, 5)}
        net.config = alone
        by[6] = aligned(net, content, frames, 6)[part]
        net.config = trained[0].config
        torch.testing.assert_close(heard[part], by[6] / 2 + by[5] / 3 + by[4] / 6)
        assert not torch.allclose(heard[part], by[6], atol=1e-3)


def test_labels_are_read_at_the_frame_that_the_lookahead_means() -> None:
    steps = steps_at(20, ahead=6, stride=2)
    assert steps[-1] == 13  # the last step is frame 19
    assert steps[0] == 1


def test_an_offline_reader_learns_from_what_the_encoder_hears(trained: tuple[EncoderTrainer, list[float]],
                                                              tmp_path: Path) -> None:
    net, held = trained[0].net, toy(40, 1)
    run = smoother.SmootherRun(3600.0, steps=60, batch=6, frames=64, peak=8e-3, half=False, folder=tmp_path)
    reader = smoother.trained(net, smoother.Listened(net, held, half=False), run)
    assert '"part": "reader", "step": 56' in (tmp_path / "log.jsonl").read_text()
    unseen = smoother.Listened(net, toy(6, 3), half=False)
    feats, labels = unseen.store.clip(0)
    got = smoother.smoothed(reader, unseen, 0, half=False)
    assert got.shape == (len(labels), len(units()))
    right = {shift: (got[20:-20].argmax(1) == labels[20 + shift : len(labels) - 20 + shift]).mean()
             for shift in (-5, 0, 5)}
    assert right[0] > 0.6 > max(right[-5], right[5])
    near = smoother.read(net, unseen, 0, 6)
    np.testing.assert_allclose(near, posteriors(net, feats, 6, half=False)[0], atol=5e-3)


def test_the_mean_of_two_encoders_is_chosen_by_what_chooses(trained: tuple[EncoderTrainer, list[float]]) -> None:
    good, bad = trained[0].net, Encoder(small_config())
    net = Encoder(small_config())
    for one, other, wanted in ((good, bad, run_module.START_SHARES[0]), (bad, good, run_module.START_SHARES[-1])):
        net.load_state_dict(one.state_dict())
        told = run_module.best_mean(net, other, {"grid": toy(6, 3), "ljspeech": toy(6, 4)})["share_of_start"]
        assert told["taken"] == max(run_module.START_SHARES, key=lambda share: told[str(share)])
        if one is good:
            assert told["taken"] == wanted


# ---- losses ---------------------------------------------------------------------------------------------------------


def target(*said: int) -> Tensor:
    """Hard targets [1, T, units]; a single unit is said for three frames."""
    labels = torch.tensor([said if len(said) > 1 else said * 3])
    return losses.targets(labels, torch.from_numpy(hard(labels.shape[1])[None]), len(units()))


def test_a_hard_label_shares_a_little_with_its_neighbours() -> None:
    got = target(3, 3, 5, UNLABELLED)[0]
    assert got[1, 3] == pytest.approx(1 - losses.BLUR)
    assert got[1, 5] == pytest.approx(losses.BLUR)
    assert got[:3].sum(1) == pytest.approx(1.0)
    assert got[3].sum() == 0.0


def test_a_soft_label_counts_where_there_is_one() -> None:
    soft = hard(3)[None]
    soft[0, 1] = [[7, 2, 0, 0], [100, 100, 0, 0]]
    got = losses.targets(torch.full((1, 3), 5), torch.from_numpy(soft), len(units()))[0]
    assert got[1, 7] == got[1, 2] == 0.5
    assert got[0, 5] == got[2, 5] == 1.0


def test_unlabelled_frames_cost_nothing_and_wrong_ones_more_than_right_ones() -> None:
    tables = losses.UnitTables.make()
    sure = torch.full((1, len(units())), -5.0)
    sure[0, SAID[1]] = 5.0
    trust = torch.ones(1)

    def cost(unit: int) -> float:
        return float(losses.unit_loss(sure, target(unit)[0, 1:2], trust, tables))

    assert cost(UNLABELLED) == 0.0
    assert cost(SAID[1]) < 0.1 < cost(SAID[2])


def test_contacts_follow_the_unit_tables() -> None:
    tables = losses.UnitTables.make()
    logits = torch.tensor([[8.0, -8.0, 8.0, -8.0]])
    right, wrong = (float(losses.contact_loss(logits, target(unit_index(name))[0, 1:2], torch.ones(1), tables))
                    for name in ("m", "f"))
    assert right < 0.1 < wrong


def test_a_still_curve_loss_is_zero_and_grows_with_error_and_jitter() -> None:
    target = torch.zeros(1, 10, 3)
    known, weight, silent = torch.ones(1, 10, 3), torch.ones(3), torch.ones(1, 10)
    off = target + 0.2
    jitter = target + 0.2 * torch.tensor([1.0, -1.0] * 5)[None, :, None]
    cost = [float(losses.curve_loss(curves, target, known, weight, silent)) for curves in (target, off, jitter)]
    assert cost[0] == 0.0
    assert cost[0] < cost[1] < cost[2]


# ---- the decoder ----------------------------------------------------------------------------------------------------


def toy_motion(seconds: int, seed: int) -> Motion:
    held = toy(seconds, seed)
    curves = np.concatenate([taught(*held.clip(k), None) for k in range(len(held.ids))]).astype(np.float16)
    measures = np.full((len(curves), len(GRID_MEASURES) + len(FACEGOOD_SUMS)), np.nan, np.float32)
    measures[:, 0] = curves[:, rig("facerig").names.index("jawOpen")].astype(np.float32) * 30
    return Motion(held, curves, np.ones(len(curves), bool), measures)


def test_the_teacher_shows_soft_labels_where_there_are_any() -> None:
    sil, aa = unit_index("sil"), unit_index("aa")
    labels, soft = np.full(9, aa, np.uint8), hard(9)
    soft[4], soft[5] = [[aa, sil, 1, 2], [51, 204, 0, 0]], [[aa, sil, 1, 2], [127, 127, 0, 0]]
    believed = belief(labels, soft)
    assert believed[4, [sil, aa]] == pytest.approx([16 / 17, 1 / 17])
    assert believed[5, [sil, aa]] == pytest.approx([0.5, 0.5])
    assert (believed[[0, 3, 6]] == belief(labels)[[0, 3, 6]]).all()
    jaw = rig("facerig").names.index("jawOpen")
    feats = np.zeros((9, FEATURES), np.float32)
    assert taught(feats, labels, None, soft)[4, jaw] < taught(feats, labels, None)[4, jaw]


def test_the_decoder_learns_curves_and_leaves_the_encoder_alone(trained: tuple[EncoderTrainer, list[float]]) -> None:
    net = Net(small_config())
    net.encoder.load_state_dict(trained[0].ema.weights)
    before = {key: value.clone() for key, value in net.encoder.state_dict().items()}
    run = DecoderRun(3600.0, steps=80, batch=4, frames=80, half=False, strengths=(0.0, 0.1))
    trainer = DecoderTrainer(net, run, toy_motion(20, 5), {"toy": toy_motion(4, 6)})
    means = trainer.train()
    assert means[-1] < 0.8 * means[0]
    assert trainer.judge()["toy"]["gap_r"] > 0.3
    assert all(torch.equal(before[key], value) for key, value in net.encoder.state_dict().items())


def test_an_interrupted_decoder_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(7)
    net, data = Net(small_config()), toy_motion(12, 5)
    run = DecoderRun(3600.0, steps=6, batch=2, frames=40, half=False, strengths=(0.0,), folder=tmp_path / "run",
                     path=tmp_path / "run" / "own")  # fmt: skip
    DecoderTrainer(net, run, data, {}).train()
    shipped = {key: value.clone() for key, value in net.decoder.state_dict().items()}
    other = Net(small_config())  # another process: the decoder begins anew, the encoder is the one that was trained
    other.encoder.load_state_dict(net.encoder.state_dict())
    longer = DecoderTrainer(other, replace(run, steps=12), data, {})
    assert longer.step == 6
    assert "goes on from minute 0.0" in capsys.readouterr().out
    assert longer.optimizer.state[longer.parameters[0]]["step"] == 6
    done = DecoderTrainer(other, run, data, {})
    assert "is done: nothing left to train" in capsys.readouterr().out
    assert done.train() == []
    assert not done.heard  # which takes minutes
    assert all(torch.equal(shipped[key], value) for key, value in other.decoder.state_dict().items())
    longer.train()
    assert longer.step == 12
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(row["part"], row["step"]) for row in log] == [("decoder", step) for step in range(1, 13)]


def test_a_decoder_of_other_data_is_refused_and_one_of_another_encoder_begins_anew(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or more minutes for a run that was broken off in its decoder would end where its encoder has had them."""
    run = DecoderRun(3600.0, steps=1, batch=2, frames=40, half=False, strengths=(0.0,), path=tmp_path / "run" / "own")
    DecoderTrainer(Net(small_config()), run, toy_motion(6, 5), {}).train()
    with pytest.raises(OptionError, match=r"holds a run of another data; accepted: .*--cache"):
        DecoderTrainer(Net(small_config()), replace(run, data={"grid": "anew"}), toy_motion(6, 5), {})
    anew = DecoderTrainer(Net(small_config()), run, toy_motion(6, 5), {})
    assert "is of the encoder as it was: begins anew" in capsys.readouterr().out
    assert anew.step == 0
    anew.train()
    assert DecoderTrainer(anew.net, run, toy_motion(6, 5), {}).step == 1


def test_measured_lips_go_with_their_sound_at_any_tempo() -> None:
    held = toy_motion(12, 8)
    loud = held.store.feats.astype(np.float32).mean(1)
    measures = held.measures.copy()
    measures[:, 0], measures[::50, 1] = loud, 1.0
    data = at_other_tempos(replace(held, measures=measures), ["toy"], 2, np.random.default_rng(2))
    clips, first = len(held.store.ids), len(held.measures)
    assert data.store.ids == held.store.ids * 3
    assert np.array_equal(data.measures[:first], measures, equal_nan=True)
    assert len(data.measures) == len(data.store.labels) == data.store.starts[-1] + data.store.counts[-1]
    rates = np.tile(held.store.counts, 2) / data.store.counts[clips:]
    assert 1 / 1.25 < rates.min() < 0.98 < 1.02 < rates.max() < 1.25
    heard = data.store.feats[first:].astype(np.float32).mean(1)
    assert np.corrcoef(heard, data.measures[first:, 0])[0, 1] > 0.93
    assert np.isnan(data.measures[first:, 1]).all()  # what was measured in single frames lies between none


def test_sounds_that_are_no_speech_are_rested_at_and_joined_with_the_rest() -> None:
    made = rests(1.0, np.random.default_rng(3))
    held = made.store
    assert 60 <= held.counts.sum() / 60 < 66
    assert len(held.ids) >= len(KINDS)  # so every kind is there
    assert not made.teacher.any()
    assert made.known.all()
    assert np.isnan(made.measures).all()
    loud = [held.clip(k)[0].max() for k in range(len(held.ids))]
    assert np.min(loud) > QUIET  # and each of them is heard
    speech = toy_motion(12, 8)
    both = speech + made
    assert both.store.ids == speech.store.ids + held.ids
    last = len(both.store.ids) - 1
    assert np.array_equal(both.store.clip(last)[0], held.clip(len(held.ids) - 1)[0])
    assert len(both.teacher) == len(both.known) == len(both.measures) == both.store.counts.sum()


# ---- data -----------------------------------------------------------------------------------------------------------


def test_crops_keep_features_and_labels_together() -> None:
    held = toy(20, 7)
    sounds = np.random.default_rng(0).normal(size=(len(units()), FEATURES)).astype(np.float32)
    feats, labels, trust, _ = Crops(held, {}, 128).draw(np.random.default_rng(0), 5, tempo=0.2)
    assert feats.shape == (5, 128, FEATURES)
    assert (trust == 1).all()
    nearest = ((feats[..., None, :] - sounds[list(SAID)]) ** 2).sum(-1).argmin(-1)
    agree = np.asarray(SAID)[nearest] == labels
    assert agree.mean() > 0.85  # a stretched row between two units may be either


def spoken_by(speakers: str, frames: int = 20) -> Store:
    """Clips of so many frames, the speaker's place in the alphabet in every label."""
    count = len(speakers)
    rows = np.repeat([ord(speaker) - ord("a") for speaker in speakers], frames).astype(np.uint8)
    return Store(np.zeros((count * frames, FEATURES), np.float16), rows, np.arange(count) * frames,
                 np.full(count, frames), np.ones(count, np.float32), np.array(["toy"] * count, object),
                 tuple(f"toy/{k}" for k in range(count)), speakers=tuple(speakers))


@pytest.mark.parametrize("speakers", ["aaaaaaabbbbbbb", "ababababababab"])
def test_what_fills_a_crop_is_mostly_what_its_speaker_says_next(speakers: str) -> None:
    """A clip gives 19 frames; behind the last of a speaker comes anybody. Speakers may take turns."""
    _, labels, _, _ = Crops(spoken_by(speakers), {}, 38).draw(np.random.default_rng(0), 200, tempo=0.0)
    assert 0.8 < (labels[:, 0] == labels[:, -1]).mean() < 0.95


def test_behind_a_clip_of_nobody_known_comes_anybody() -> None:
    unknown = replace(spoken_by("aaaaaaabbbbbbb"), speakers=("",) * 14)
    _, labels, _, _ = Crops(unknown, {}, 38).draw(np.random.default_rng(0), 200, tempo=0.0)
    assert 0.35 < (labels[:, 0] == labels[:, -1]).mean() < 0.65


def test_clips_are_followed_within_their_source_alone() -> None:
    mixed = replace(spoken_by("aaba"), source=np.array(["one", "one", "one", "two"], object))
    assert following(mixed).tolist() == [1, -1, -1, -1]


def test_stretching_reads_between_hops() -> None:
    hops = np.arange(20, dtype=np.float16)[:, None].repeat(BANDS, 1).reshape(-1, FEATURES)
    out = stretched(hops, 0, 9, 4, 1.5).reshape(4 * HOPS, BANDS)[:, 0]
    np.testing.assert_allclose(out, np.arange(8) * 1.5)


def test_augmentation_keeps_shapes_is_finite_and_is_nothing_at_strength_zero() -> None:
    rng = np.random.default_rng(0)
    feats = torch.randn(8, 40, FEATURES).clamp(-1.5, 2.0)  # under -2.2 lies the floor
    labels = torch.randint(0, 5, (8, 40))
    for strength in (0.0, 1.0):
        out, marks = MelAugment()(feats, labels, rng, strength)
        assert out.shape == feats.shape
        assert torch.isfinite(out).all()
        if strength == 0.0:
            torch.testing.assert_close(out, feats, atol=0.02, rtol=0.02)
            assert torch.equal(marks, labels)


def test_empty_crops_are_labelled_silence() -> None:
    out, marks = MelAugment(empty=1.0)(torch.randn(4, 40, FEATURES), torch.ones(4, 40, dtype=torch.long),
                                       np.random.default_rng(0), 1.0)
    assert not marks.any()
    assert torch.isfinite(out).all()


def test_a_shard_survives_its_file(tmp_path: Path) -> None:
    held = toy(6, 8)
    shards.save(held, tmp_path / "shard.npz")
    again = shards.joined(held, shards.read(tmp_path / "shard.npz"))
    assert len(again.ids) == 2 * len(held.ids)
    for k in range(len(held.ids)):
        one, other = again.clip(k), again.clip(k + len(held.ids))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_fresh_data_is_taken_on_the_way_and_not_after_the_end(tmp_path: Path) -> None:
    asked: list[int] = []

    def fresh() -> Store | None:
        asked.append(1)
        return toy(12, 9) if len(asked) == 1 else None

    run = Run(tmp_path, 3600.0, steps=6, batch=2, frames=32, warm_steps=2, half=False, save_every=0.0)
    trainer = EncoderTrainer(small_config(), run, toy(6, 1), {}, fresh)
    told: list[float] = []
    trainer.train(told.append)
    assert len(asked) == 6
    assert trainer.crops.store.hours == pytest.approx(12 / 3600)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_graph_that_could_not_be_written_is_told_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.check_export()
    monkeypatch.setattr(checkpoint.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(MissingExtra, match=r"facerig\[train\].*onnxscript"):
        checkpoint.check_export()


# ---- going on from shipped weights ----------------------------------------------------------------------------------


def test_a_new_run_begins_with_shipped_weights_and_full_augmentation(tmp_path: Path) -> None:
    torch.manual_seed(5)
    net = Net(small_config())
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    run = replace(small_run(tmp_path / "run"), start=tmp_path / "a.safetensors", ramp=0.0)
    trainer = EncoderTrainer(small_config(), run, toy(10, 1), {})
    for key, value in net.encoder.state_dict().items():
        assert torch.equal(trainer.net.state_dict()[key], value)
        assert torch.equal(trainer.ema.weights[key], value)
    assert trainer.schedule.strength(0) == 1.0


def test_an_average_lies_between_and_leaves_the_other_alone() -> None:
    one, other = Encoder(small_config()), Encoder(small_config())
    before, theirs = one.input.weight.detach().clone(), other.input.weight.detach().clone()
    averaged(one, other, 0.3)
    torch.testing.assert_close(one.input.weight.detach(), 0.7 * before + 0.3 * theirs)
    assert torch.equal(other.input.weight, theirs)


def test_the_mean_of_runs_counts_each_as_much_and_has_no_expression_head(tmp_path: Path) -> None:
    nets = [Net(replace(small_config(), expression=4)) for _ in range(3)]
    files = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for net, file in zip(nets, files, strict=True):
        save_file(net.state_dict(), file)
    found = runs_mean.of(files, small_config()).state_dict()
    parts = [net.state_dict() for net in nets]
    assert not [key for key in found if "expression" in key]
    for key, value in found.items():
        torch.testing.assert_close(value, sum(part[key] for part in parts) / 3)
    with pytest.raises(ModelError, match=r"1\.safetensors: no encoder of this shape"):
        runs_mean.of(files[1:], replace(small_config(), width=48))


def test_a_mean_keeps_what_its_models_tell_alike_of_their_start(tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for file, taken in zip(files, (0.3, 0.3, 0.5), strict=True):
        checkpoint.save(Net(small_config()), tmp_path, {"share_of_start": {"taken": taken}}, file.stem)
    assert runs_mean.kept_share(files[:2]) == {"share_of_start": {"taken": 0.3}}
    assert runs_mean.kept_share(files) == {}


def test_a_decoder_alone_is_taught_on_the_encoder_of_a_shipped_file(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "load_packed", lambda: PackedSet((), {}, {}))  # so no clip is without labels
    theirs, ours = Net(small_config()), Net(small_config())
    figures = {"content": {"grid": 1}, "share_of_start": 0.5, "motion": {"grid": 2}, "expression": {"clips": 3},
               "mean_of": 2}
    checkpoint.save(theirs, tmp_path, figures)
    start = tmp_path / "tiny.safetensors"
    plan = run_module.Plan("tiny", folder=tmp_path, start=start, decoder=True)
    assert run_module.kept_encoder(ours, plan, start) == {"content": {"grid": 1}, "share_of_start": 0.5}
    for one, other in zip(theirs.encoder.parameters(), ours.encoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_file(Net(small_config()).state_dict(), tmp_path / "a.safetensors")
    other = replace(small_config(), width=48)
    with pytest.raises(ModelError, match=r"a\.safetensors: no encoder of this shape"):
        load_shipped(tmp_path / "a.safetensors", Encoder(other), "encoder")


def test_a_model_of_another_look_ahead_takes_over_all_but_the_heads_it_must_make(tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = Net(replace(small_config(), taught=(0, 2, 6), reads=()))
    checkpoint.save(net, tmp_path, name="far")
    other = replace(small_config(), name="near", lookahead=1, taught=(0, 1, 2, 9), reads=())
    near = Encoder(other)
    load_shipped(tmp_path / "far.safetensors", near, "encoder")
    theirs, ours = net.encoder.state_dict(), near.state_dict()
    for key in set(theirs) & set(ours):
        assert torch.equal(theirs[key], ours[key]), key
    between = (theirs["heads.0.weight"] + theirs["heads.2.weight"]) / 2
    torch.testing.assert_close(ours["heads.1.weight"], between)
    assert torch.equal(ours["heads.9.bias"], theirs["heads.6.bias"])
    said = taken_over(tmp_path / "far.safetensors", other)
    for part in ("heads for 0, 33 ms", "made of their neighbours: 17, 150 ms", "left out: heads for 100 ms",
                 "was the head for 100 ms, now it is that for 17 ms"):
        assert part in said
    with pytest.raises(ModelError, match=r"far\.safetensors: its width is 32, that of near is 48"):
        taken_over(tmp_path / "far.safetensors", replace(other, width=48))


def test_a_deeper_network_goes_on_from_a_shallower_one_as_the_same_function(tmp_path: Path) -> None:
    torch.manual_seed(4)
    net = Net(small_config())
    checkpoint.save(net, tmp_path, name="flat")
    deep = replace(small_config(), encoder=f"{small_config().encoder} a4 c2")
    grown = Encoder(deep)
    load_shipped(tmp_path / "flat.safetensors", grown, "encoder")
    feats = torch.randn(2, 24, FEATURES)
    assert torch.equal(grown.phase(feats), net.encoder.phase(feats))
    assert "new layers behind its own, which begin by adding nothing: a4 c2" in taken_over(
        tmp_path / "flat.safetensors", deep, deeper=True)
    for other, accepted in ((deep, "the same sizes$"),
                            (replace(deep, encoder=f"c3 {deep.encoder}"), "the first layers of that encoder$")):
        with pytest.raises(ModelError, match=f"its encoder is .*{accepted}"):
            taken_over(tmp_path / "flat.safetensors", other, deeper=other is not deep)
    with pytest.raises(ModelError, match="no encoder of this shape"):
        load_shipped(tmp_path / "flat.safetensors", Encoder(replace(small_config(), encoder="a4 c1")), "encoder")


def test_the_share_of_a_shallower_start_lessens_what_new_layers_add(tmp_path: Path) -> None:
    torch.manual_seed(6)
    checkpoint.save(Net(small_config()), tmp_path, name="flat")
    taught = Encoder(replace(small_config(), encoder=f"{small_config().encoder} c1"))
    start = run_module.shipped(tmp_path / "flat.safetensors", taught)
    last = f"layers.{len(small_config().encoder_layers)}."
    before = {key: value.clone() for key, value in taught.state_dict().items()}
    averaged(taught, start, 0.25)
    for key, value in taught.state_dict().items():
        if key.startswith(last):
            kept = 0.75 if ".down." in key else 1.0
            torch.testing.assert_close(value, kept * before[key])


@given(st.sets(st.integers(0, 20), min_size=1), st.integers(0, 20))
def test_neighbours_stand_for_a_look_ahead(have: set[int], ahead: int) -> None:
    found = neighbours(sorted(have), ahead)
    assert {n for n, _ in found} <= have
    assert sum(share for _, share in found) == pytest.approx(1)
    if ahead in have:
        assert found == [(ahead, 1.0)]
    elif min(have) < ahead < max(have):
        assert sum(n * share for n, share in found) == pytest.approx(ahead)


def test_noise_scatters_about_its_mean_most_in_low_bands() -> None:
    grain = _grain(8, 600, np.random.default_rng(0)).numpy()
    assert abs(grain.mean() - 1) < 0.02
    assert grain[..., 0].var() > 3 * grain[..., -1].var()
    near = np.corrcoef(grain[:, :-1, 0].ravel(), grain[:, 1:, 0].ravel())[0, 1]
    far = np.corrcoef(grain[:, :-4, 0].ravel(), grain[:, 4:, 0].ravel())[0, 1]
    assert near > 0.4
    assert abs(far) < 0.1
