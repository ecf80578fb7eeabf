"""The expression head: nothing under a neutral condition, regions apart, streams exact, and learnable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facerig.emotion import code, looks  # noqa: E402
from facerig.features import FEATURES  # noqa: E402
from facerig.model.checkpoint import to_onnx, weights_of  # noqa: E402
from facerig.model.config import FELT, PACES, NetConfig  # noqa: E402
from facerig.model.net import Net  # noqa: E402
from facerig.model.runtime import OnnxModel  # noqa: E402
from facerig.model.torch_model import TorchModel  # noqa: E402
from facerig.phones import units  # noqa: E402
from facerig.rig import rig  # noqa: E402
from facerig.train import expression, moods  # noqa: E402

UPPER = [channel.region in looks.UPPER_REGIONS for channel in rig("facerig").channels]


@pytest.fixture(scope="module")
def plain() -> Net:
    torch.manual_seed(6)
    config = NetConfig("small", rig("facerig").names, tuple(unit.unit for unit in units()), width=32, encoder="c1 a4",
                       spread=1, heads=2, decoder_width=32, decoder="c1 a4")
    net = Net(config)
    torch.nn.init.normal_(net.decoder.curves.weight, std=0.02)
    return net.eval()


@pytest.fixture(scope="module")
def felt(plain: Net) -> Net:
    """With a head of random weights inside its masks."""
    torch.manual_seed(4)
    net = expression.with_head(plain, 24)
    head = net.decoder.expression
    assert head is not None
    torch.nn.init.normal_(head.out.weight, std=0.3)
    with torch.no_grad():
        for layer, mask in expression.masks(head):
            layer.weight.mul_(mask)
    return net.eval()


def rows(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, FEATURES)).astype(np.float32)


def asked(frames: int, seed: int = 0) -> np.ndarray:
    return moods.course(np.random.default_rng(seed), frames)


def out(net: Net, condition: np.ndarray | None, frames: int = 80) -> np.ndarray:
    model = TorchModel.of(net)
    feats = rows(frames) if condition is None else np.concatenate([rows(frames), condition], axis=1)
    return model.push(model.start(), feats)[1]


def test_a_neutral_condition_adds_exactly_nothing(plain: Net, felt: Net) -> None:
    neutral = out(felt, np.zeros((80, code.WIDTH), np.float32))
    assert neutral.tobytes() == out(felt, None).tobytes()
    assert np.array_equal(neutral, out(plain, None))
    assert np.abs(out(felt, asked(80)) - neutral)[:, :68].max() > 0.01


def test_regions_are_apart(felt: Net) -> None:
    one = np.zeros((80, code.WIDTH), np.float32)
    one[:, 0] = one[:, code.UPPER.start + 1] = 1
    other_upper, other_whole = one.copy(), one.copy()
    other_upper[:, code.UPPER] = np.roll(one[:, code.UPPER], 3, axis=1)
    other_whole[:, code.WHOLE] = np.roll(one[:, code.WHOLE], 3, axis=1)
    base = out(felt, one)[:, :68]
    upper, whole = (np.abs(out(felt, changed)[:, :68] - base).max(0) for changed in (other_upper, other_whole))
    assert not upper[~np.array(UPPER)].any()
    assert upper[UPPER].max() > 1e-3
    assert not whole[UPPER].any()
    assert whole[~np.array(UPPER)].max() > 1e-3


def test_an_emotion_comes_without_a_jump_and_goes_without_a_trace(felt: Net) -> None:
    condition = np.zeros((160, code.WIDTH), np.float32)
    condition[40:80, [0, code.UPPER.start]] = 1
    neutral = out(felt, None, 160)
    change = (out(felt, condition, 160) - neutral)[:, :68]
    assert not change[:40].any()
    assert not change[80 + FELT :].any()
    assert np.abs(np.diff(change, axis=0)).max() < 0.45 * np.abs(change).max()


def test_streams_and_graph_agree(felt: Net) -> None:
    torch_model, onnx = TorchModel.of(felt), OnnxModel(felt.config, to_onnx(felt), weights_of(felt))
    frames = np.concatenate([rows(60), asked(60, 2)], axis=1)
    whole = torch_model.push(torch_model.start(), frames)[1]
    assert np.abs(onnx.push(onnx.start(), frames)[1] - whole).max() < 1e-5
    state, parts = onnx.start(), []
    for at in range(0, 60, 6):
        state, part = onnx.push(state, frames[at : at + 6])
        parts.append(part)
    assert np.abs(np.concatenate(parts) - whole).max() < 1e-5
    assert felt.config.memory == replace(felt.config, expression=0).memory or felt.config.memory >= FELT - 1


def test_what_is_trained_on_is_what_is_shipped(felt: Net) -> None:
    """The trainer's shortcut over a whole clip equals the network that streams."""
    feats, condition = rows(90), np.repeat(asked(1, 5), 90, axis=0)
    clip = expression.said(felt, feats)
    shortcut = expression.shown(felt, clip, condition)
    late = felt.config.lookahead
    quiet = np.full((late, FEATURES), feats.min(), np.float32)
    model = TorchModel.of(felt)
    state = list(model.start())
    state[-1] = state[-1].copy()
    state[-1][:, :-1] = condition[0]
    frames = np.concatenate([np.concatenate([feats, quiet]), np.repeat(condition[:1], 90 + late, 0)], axis=1)
    made = np.clip(model.push(tuple(state), frames)[1][late:, :68], 0, 1)
    assert np.abs(made - shortcut).max() < 5e-3  # what the head hears is kept as float16


def test_the_head_learns_the_teacher_and_leaves_the_rest_alone(plain: Net, tmp_path: Path) -> None:
    clips = [expression.said(plain, rows(150, seed)) for seed in range(3)]
    net = expression.with_head(plain, 24)
    before = expression.judged(net, clips)
    expression.Trainer(net, clips, expression.Plan(batch=8, frames=60, folder=tmp_path)).train(60, steps=500)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {row["part"] for row in log} == {"expression"}
    assert len(log) > 4
    after = expression.judged(net, clips)
    assert after["upper_mae"] < 0.8 * before["upper_mae"]
    assert after["mouth_mae"] < before["mouth_mae"]
    old = plain.state_dict()
    assert all(torch.equal(tensor, old[key]) for key, tensor in net.state_dict().items() if key in old)
    head = net.decoder.expression
    assert head is not None
    assert all(not (layer.weight * (1 - mask)).any() for layer, mask in expression.masks(head))


def test_kernels_are_those_of_the_tables() -> None:
    assert looks.kernels().shape == (PACES, FELT)
    assert np.allclose(looks.kernels().sum(1), 1)
