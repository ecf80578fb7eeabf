"""What the codes tell: the decoder kept from the voice, probes that find what is there and nothing else, references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facerig.model.config import POOLED, NetConfig  # noqa: E402
from facerig.model.net import Net  # noqa: E402
from facerig.phones import units  # noqa: E402
from facerig.rig import rig  # noqa: E402
from facerig.train import purify  # noqa: E402
from facerig.train.evaluate import codes, emotion, manner, probes  # noqa: E402
from facerig.train.evaluate.sets import Clip  # noqa: E402

NAMES = rig("facerig").names


@pytest.fixture
def net() -> Net:
    torch.manual_seed(3)
    config = NetConfig("small", NAMES, tuple(unit.unit for unit in units()), width=32, encoder="c1 a4", spread=1,
                       heads=2, decoder_width=32, decoder="c1 a4")
    made = Net(config)
    torch.nn.init.normal_(made.decoder.curves.weight, std=0.1)
    return made.eval()


WORD, VOICE, NEED, IDLE = 0, 1, 2, 3  # rows of `axes`


@pytest.fixture
def axes(net: Net) -> torch.Tensor:
    """Directions of the content that no posterior sees, orthogonal to one another; WORD is one that they do see."""
    head = net.encoder.heads[str(net.config.lookahead)]
    with torch.no_grad():
        frame, _ = torch.linalg.qr(torch.randn(net.config.width, net.config.width))
        head.weight -= head.weight @ frame[:, 1:4] @ frame[:, 1:4].T
        reads = net.decoder.input.weight
        reads[:, : net.config.width] -= reads[:, : net.config.width] @ frame[:, 3:4] @ frame[:, 3:4].T
    return frame[:, :4].T.contiguous()


def clips(axes: torch.Tensor, count: int = 40) -> list[tuple[str, torch.Tensor]]:
    """Random content of two languages; every clip has a voice of its own along one axis, and its words along others."""
    made = []
    for k in range(count):
        content = torch.randn(120, axes.shape[1])
        made.append(("de" if k % 2 else "en", content + 3 * torch.randn(1) * axes[VOICE] + 2.0 * (k % 2) * axes[NEED]))
    return made


def decoded(net: Net, content: torch.Tensor) -> tuple[torch.Tensor, ...]:
    pasts = net.rest(len(content))[net.config.split :]
    loudness = content.new_zeros(*content.shape[:2], POOLED)
    with torch.no_grad():
        return net.decode(loudness, content.new_zeros(*content.shape[:2], net.config.condition), content, pasts)[:3]


def change(net: Net, content: torch.Tensor, axis: torch.Tensor) -> float:
    """How far the curves go where the content goes along an axis."""
    return float((decoded(net, content)[0] - decoded(net, content + 2 * axis)[0]).abs().max())


def test_a_voice_is_erased_and_words_and_what_is_needed_stay(net: Net, axes: torch.Tensor) -> None:
    content = torch.randn(1, 50, net.config.width)
    before = decoded(net, content)
    assert min(change(net, content, axes[k]) for k in (WORD, VOICE, NEED)) > 1e-2
    purify.purify(net, 1, 20, clips(axes))
    purify.settle(net)
    after = decoded(net, content)
    assert torch.equal(before[1], after[1])  # contacts and units are those of before, to the bit
    assert torch.equal(before[2], after[2])
    assert change(net, content, axes[VOICE]) < 0.2 * change(net, content, axes[NEED])
    assert purify.read(net.decoder).shape == (net.config.width, 20)
    assert isinstance(net.decoder.input, torch.nn.Linear)


def test_a_projection_is_one_and_keeps_what_is_read(net: Net, axes: torch.Tensor) -> None:
    parts = purify.split(net.encoder, clips(axes))
    reads = net.decoder.input.weight[:, : net.config.width].detach()
    matrix = purify.projection(parts, reads, 1, 30)
    assert torch.allclose(matrix @ matrix, matrix, atol=1e-3)
    assert torch.linalg.matrix_rank(matrix, rtol=1e-3) == 30
    whole = purify.projection(parts, reads, 0, net.config.width)
    assert torch.allclose(whole, torch.eye(net.config.width), atol=1e-3)


def test_with_nothing_erased_nothing_changes(net: Net, axes: torch.Tensor) -> None:
    content = torch.randn(1, 50, net.config.width)
    before = decoded(net, content)[0]
    purify.purify(net, 0, net.config.width, clips(axes))
    assert (decoded(net, content)[0] - before).abs().max() < 1e-3


def test_no_step_of_a_training_brings_the_voice_back(net: Net, axes: torch.Tensor) -> None:
    purify.purify(net, 1, 8, clips(axes))
    optimizer = torch.optim.AdamW(net.decoder.parameters(), lr=1e-2, weight_decay=0.1)
    content = torch.randn(2, 30, net.config.width)
    pasts = net.rest(2)[net.config.split :]
    old = purify.read(net.decoder)
    for _ in range(3):
        curves = net.decode(content.new_zeros(2, 30, POOLED), content.new_zeros(2, 30, net.config.condition), content,
                            pasts)[0]
        curves.square().sum().backward()
        optimizer.step()
    held = {key: value.clone() for key, value in net.decoder.state_dict().items()}
    net.decoder.load_state_dict(held)  # as a trainer does with its running mean
    purify.settle(net)
    new = purify.read(net.decoder)
    assert new.shape == old.shape
    assert torch.allclose(old @ old.T, new @ new.T, atol=1e-3)


def test_the_codes_of_a_file_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's name says nothing: `small.onnx` elsewhere is not the shipped `small`."""
    asked: list[Path] = []
    for name in ("real", "parallel"):
        monkeypatch.setattr(codes, name, lambda path, quick: asked.append(path))
    assert emotion.codes_read(str(tmp_path / "small.onnx"), True) is None  # its weights are not there
    (tmp_path / "small.safetensors").touch()
    emotion.codes_read(str(tmp_path / "small.onnx"), True)
    assert asked == [tmp_path / "small.safetensors"] * 2


# ---- probes ---------------------------------------------------------------------------------------------------------


def test_probes_find_what_is_there() -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((600, 6)).astype(np.float32)
    groups = np.arange(600) % 3
    along = (features[:, 0] > 0).astype(np.int64)
    either = ((features[:, 0] > 0) ^ (features[:, 1] > 0)).astype(np.int64)
    nothing = rng.integers(0, 2, 600)
    assert probes.crossed(features, along, groups, 2) > 90
    assert probes.crossed(features, either, groups, 2) < 60
    assert probes.crossed(features, either, groups, 2, probes.network) > 80
    assert all(abs(probes.crossed(features, nothing, groups, 2, probe) - 50) < 10 for probe in probes.PROBES.values())


def test_a_group_is_never_judged_by_its_own() -> None:
    """What only names the group tells nothing of a label that the group alone has."""
    groups = np.repeat(np.arange(4), 50)
    features = np.eye(4, dtype=np.float32)[groups]
    assert probes.crossed(features, groups % 2, groups, 2) <= 50


def test_a_frame_and_a_clip_are_asked_apart() -> None:
    rng = np.random.default_rng(2)
    held = []
    for k in range(24):
        view = rng.standard_normal((90, 4)).astype(np.float32)
        view[:, 0] += 0.5 * (k % 2)
        clip = Clip(str(k), "x", "en", str(k // 8), np.zeros(90 * 400, np.float32), 24000)
        held.append(codes.Coded(clip, np.ones(90, np.int64), {"content": view}))
    found = codes.asked(held, "content", np.arange(24) % 2, np.arange(24) // 8)
    assert found["chance"] == 50
    assert found["clip"]["linear"] > 90 > found["frame"]["linear"] > 50


# ---- references -----------------------------------------------------------------------------------------------------


def babble(jaw: float = 1.0, smile: float = 0.1) -> np.ndarray:
    wave = 0.5 + 0.5 * np.sin(np.arange(600) / 4)
    values = np.full((600, len(NAMES)), 0.02, np.float32)
    values[:, NAMES.index("jawOpen")] = 0.3 * jaw * wave
    for side in ("Left", "Right"):
        values[:, NAMES.index(f"mouthSmile{side}")] = smile
        values[:, NAMES.index(f"mouthLowerDown{side}")] = 0.2 * wave
    return values


def test_the_way_to_a_reference_is_gone_wholly_halfway_or_not_at_all() -> None:
    neutral, wanted = babble(), babble(1.5, 0.5)
    assert manner.shares([(neutral, wanted, wanted)])["jaw"] == 1
    assert manner.shares([(neutral, wanted, neutral)])["smile"] == 0
    assert manner.shares([(neutral, wanted, babble(1.5, 0.3))])["smile"] == pytest.approx(0.5, abs=0.01)
    beyond = manner.shares([(neutral, wanted, babble(1.5, 0.9))])["smile"]
    assert beyond == pytest.approx(0, abs=0.01)
    assert manner.shares([(neutral, wanted, wanted)])["sides"] is None
