"""Labels softened by what several networks hear together, and which heads weigh in a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from facerig.features import FEATURES  # noqa: E402
from facerig.model import preset  # noqa: E402
from facerig.model.checkpoint import save  # noqa: E402
from facerig.model.net import Encoder, Net  # noqa: E402
from facerig.phones import unit_index, units  # noqa: E402
from facerig.rig import rig  # noqa: E402
from facerig.train import loop, recipe, together  # noqa: E402
from facerig.train.data import UNLABELLED, Store  # noqa: E402
from facerig.train.loop import EncoderTrainer, Run, posteriors  # noqa: E402

AA, S = unit_index("aa"), unit_index("s")
NAMES = tuple(unit.unit for unit in units())


def config(name: str = "tiny") -> loop.NetConfig:
    return preset(name, rig("facerig").names, NAMES, width=32, encoder="c1 a8 c1", decoder_width=24, decoder="c1")


def encoder(seed: int, name: str = "tiny") -> Encoder:
    torch.manual_seed(seed)
    return Encoder(config(name)).eval()


def clips(counts: tuple[int, ...] = (90, 40)) -> Store:
    """The first all "aa", the second without labels in its first half and "s" behind."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.full(counts[0], AA), np.full(counts[1] // 2, UNLABELLED), np.full(counts[1] // 2, S)])
    starts = np.cumsum((0, *counts))[:-1]
    return Store(rng.normal(size=(sum(counts), FEATURES)).astype(np.float16), labels.astype(np.uint8), starts,
                 np.array(counts), np.ones(2, np.float32), np.array(["a", "b"], object), ("a/0", "b/0"))  # fmt: skip


def shares(soft: np.ndarray) -> np.ndarray:
    """[frames, units] from soft labels."""
    out = np.zeros((len(soft), len(NAMES)))
    for k in range(soft.shape[2]):
        out[np.arange(len(soft)), soft[:, 0, k]] += soft[:, 1, k]
    return out / np.maximum(out.sum(1, keepdims=True), 1)


def test_half_of_a_label_is_what_the_networks_hear() -> None:
    data = clips()
    soft = shares(together.heard([encoder(1), encoder(2)], data))
    assert (soft[:90].argmax(1) == AA).all()
    assert (soft[5:85, AA] < 0.95).all()
    assert (soft[5:85, AA] > 0.45).all()  # what is known, and a little of what is heard of the others
    assert (soft[110 + 2 :].argmax(1) == S).all()


def test_what_has_no_label_gets_none() -> None:
    soft = together.heard([encoder(1)], clips())
    assert not soft[90:109, 1].any()


def test_networks_count_alike_whatever_they_look_ahead() -> None:
    data, one, other = clips(), encoder(1), encoder(2, "instant")
    both, alone = (shares(together.heard(nets, data)) for nets in ([one, other], [other, other]))
    assert not np.allclose(both, alone)
    assert np.allclose(alone, shares(together.heard([other], data)))


def test_a_sure_network_names_what_it_hears_at_the_frame_where_it_is() -> None:
    """Heads of all look-aheads are read where they speak of the same frame."""
    data, net = clips((60, 60)), encoder(3)
    feats = data.clip(0)[0]
    with torch.no_grad():
        for head in net.heads.values():
            head.weight.mul_(40.0)
    heads = [ahead for ahead in net.config.taught if ahead >= net.config.lookahead - together.NEARER]
    mean = np.mean([posteriors(net, feats, ahead)[0] if ahead != net.config.lookahead else _one(net, feats, ahead)
                    for ahead in heads], axis=0)  # fmt: skip
    got = shares(together.heard([net], data))[:60]
    known = np.zeros_like(got)
    known[:, AA] = 1.0
    kept = got > 0
    wanted = np.where(kept, (known + mean) / 2, 0)
    wanted /= wanted.sum(1, keepdims=True)
    inside = slice(0, 60 - max(heads))  # behind the clip both hear quiet, but not as much of it
    assert np.abs(got - wanted)[inside].max() < 0.05


def _one(net: Encoder, feats: np.ndarray, ahead: int) -> np.ndarray:
    padded = np.concatenate([feats, np.full((ahead + 2, FEATURES), feats.min(), np.float32)])
    content = loop.contents(net, torch.from_numpy(padded)[None])[0]
    heard: np.ndarray = net.read(content[ahead : ahead + len(feats)], ahead)[0].softmax(-1).detach().numpy()
    return heard


def test_what_was_heard_is_kept_until_a_model_or_a_label_is_another(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        files.append(save(Net(config()).eval(), tmp_path / str(seed), {}))
    times = []
    real = together.heard
    monkeypatch.setattr(together, "heard", lambda *a: times.append(len(a[0])) or real(*a))
    weights = [Path(file).with_suffix(".safetensors") for file in files]
    first = together.softened_by(weights, clips(), tmp_path / "run")
    again = together.softened_by(weights, clips(), tmp_path / "run")
    assert times == [2]
    assert (first.soft == again.soft).all()
    together.softened_by(weights[:1], clips(), tmp_path / "run")
    moved = replace(clips(), labels=np.roll(clips().labels, 1))
    together.softened_by(weights[:1], moved, tmp_path / "run")
    assert times == [2, 1, 1]
    assert together.stamps(weights) != together.stamps(weights[::-1])


def test_heads_weigh_as_they_are_read(tmp_path: Path) -> None:
    run = Run(tmp_path, 60.0, aside=0.4)
    weights = EncoderTrainer(recipe.config("tiny", width=32, encoder="c1"), run, clips(), {})._weights()
    assert weights[6] == 1
    assert weights[5] == pytest.approx(2 / 3)
    assert weights[4] == pytest.approx(1 / 3)
    assert sum(weights[ahead] for ahead in (0, 2, 9, 15)) == pytest.approx(0.4)
