"""The model as a Stage, with random weights: streaming, memory, delay, both runtimes, files on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facerig.errors import ModelError
from facerig.features import FEATURES
from facerig.model import CONTACTS, EVIDENCE, NetConfig, OnnxModel, load, preset
from facerig.model.config import layers
from facerig.model.tensors import packed, unpacked
from facerig.stage import Frames, run

torch = pytest.importorskip("torch")

from facerig.model import checkpoint  # noqa: E402
from facerig.model.net import Encoder, Net, ShiftedSum  # noqa: E402
from facerig.model.torch_model import TorchModel  # noqa: E402

CHANNELS = tuple(f"c{k}" for k in range(5))
UNITS = tuple(f"u{k}" for k in range(7))


def random_net(name: str = "small", **changes: object) -> Net:
    torch.manual_seed(3)
    sizes: dict[str, object] = {"width": 32, "decoder_width": 24, "encoder": "c1 a6 c2", "decoder": "c1 a4"} | changes
    net = Net(preset(name, CHANNELS, UNITS, **sizes)).eval()
    for layer in (net.decoder.curves, net.decoder.condition):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return net


def random_feats(frames: int, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).normal(size=(frames, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint.save(random_net(), tmp_path_factory.mktemp("weights"), {"note": "random"})


@pytest.fixture(scope="module")
def both(saved: Path) -> tuple[OnnxModel, TorchModel]:
    net = checkpoint.load_net(saved.with_suffix(".safetensors"))
    return load(str(saved.with_suffix(".onnx"))), TorchModel.of(net)


def streamed(model: OnnxModel | TorchModel, feats: Frames, cuts: list[int]) -> Frames:
    state, rows = model.start(), []
    for piece in np.split(feats, cuts):
        state, out = model.push(state, piece)
        rows.append(out)
    return np.concatenate(rows)


# ---- laws ---------------------------------------------------------------------------------------------------------


def test_torch_and_onnx_agree(both: tuple[OnnxModel, TorchModel]) -> None:
    feats = random_feats(120)
    one, other = (streamed(model, feats, [60]) for model in both)
    assert one.shape == (120, len(CHANNELS) + len(EVIDENCE))
    assert np.abs(one).max() > 0.05
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("block", [1, 6])
def test_equal_blocks_give_equal_bits_wherever_a_stream_is_cut(both: tuple[OnnxModel, TorchModel], block: int) -> None:
    feats = random_feats(60)
    for model in both:
        whole = run(model, feats, block)
        state, rows = model.start(), []
        padded = np.concatenate([feats, np.zeros((-(-(60 + model.delay) // block) * block - 60, FEATURES), np.float32)])
        for at in range(0, len(padded), block):
            copied = tuple(array.copy() for array in state)  # a snapshot goes on as the session would
            state, out = model.push(copied, padded[at : at + block])
            rows.append(out)
        again = np.concatenate(rows)[model.delay : model.delay + 60]
        assert whole.tobytes() == again.tobytes()


def test_blocks_of_other_sizes_differ_in_last_bits_only(both: tuple[OnnxModel, TorchModel]) -> None:
    feats = random_feats(90)
    for model in both:
        np.testing.assert_allclose(streamed(model, feats, [1, 2, 40]), streamed(model, feats, [30, 60]), atol=2e-5)


def test_a_stream_goes_on_bit_for_bit_from_its_last_frames_alone(both: tuple[OnnxModel, TorchModel]) -> None:
    for model in both:
        memory, block = model.memory, 6
        lead = -(-memory // block) * block
        old, new = random_feats(lead, 1), random_feats(30, 2)
        longer = np.concatenate([random_feats(48, 3), old, new])
        whole = run_raw(model, longer, block)[-30:]
        alone = run_raw(model, np.concatenate([old, new]), block)[-30:]
        assert whole.tobytes() == alone.tobytes()


def test_the_memory_is_no_longer_than_stated_and_no_shorter(both: tuple[OnnxModel, TorchModel]) -> None:
    model = both[1]
    feats = random_feats(model.memory + 8)
    at = len(feats) - 1
    base = run_raw(model, feats, len(feats))[at]
    for age, changes in ((model.memory + 1, False), (model.memory, True)):
        other = feats.copy()
        other[at - age] += 100.0
        assert bool(np.any(run_raw(model, other, len(feats))[at] != base)) is changes


def test_an_impulse_shows_at_once_in_the_undelayed_output_and_never_before(both: tuple[OnnxModel, TorchModel]) -> None:
    model = both[0]
    feats = random_feats(80)
    other = feats.copy()
    other[40] += 1.0
    changed = np.abs(run_raw(model, feats, 8) - run_raw(model, other, 8)).max(axis=1)
    assert not changed[:40].any()
    assert changed[40] > 0


def run_raw(model: OnnxModel | TorchModel, feats: Frames, block: int) -> Frames:
    return streamed(model, feats, list(range(block, len(feats), block)))


def test_streams_in_a_batch_do_not_touch(both: tuple[OnnxModel, TorchModel]) -> None:
    for model in both:
        one, two = random_feats(12, 5), random_feats(12, 6)
        stacked = tuple(np.stack([array, array]) for array in model.start())
        _, out = model.push_batch(stacked, np.stack([one, two]))
        np.testing.assert_allclose(out[0], streamed(model, one, []), atol=1e-5)
        np.testing.assert_allclose(out[1], streamed(model, two, []), atol=1e-5)


def test_posteriors_are_aligned_with_their_frames(both: tuple[OnnxModel, TorchModel]) -> None:
    model = both[0]
    feats = random_feats(70)
    curves, contacts, units = model.posteriors(feats, block=10)
    padded = np.concatenate([feats, np.full((10, FEATURES), feats.min(), np.float32)])
    direct = run_raw(model, padded, 10)[model.delay : model.delay + 70]
    np.testing.assert_array_equal(curves, direct[:, : len(CHANNELS)])
    np.testing.assert_array_equal(contacts, direct[:, len(CHANNELS) :])
    np.testing.assert_allclose(units.sum(1), 1.0, atol=1e-5)


def test_a_condition_beside_the_features_moves_the_curves_and_zeros_do_not(both: tuple[OnnxModel, TorchModel]) -> None:
    for model in both:
        feats = random_feats(10)
        plain = streamed(model, feats, [])
        for value, same in ((0.0, True), (1.0, False)):
            beside = np.full((10, model.config.condition), value, np.float32)
            out = streamed(model, np.concatenate([feats, beside], axis=1), [])
            assert np.array_equal(out[:, : len(CHANNELS)], plain[:, : len(CHANNELS)]) is same
            np.testing.assert_array_equal(out[:, len(CHANNELS) :], plain[:, len(CHANNELS) :])


# ---- the network ------------------------------------------------------------------------------------------------


def test_training_on_every_second_frame_is_the_same_network() -> None:
    encoder = random_net().encoder
    feats = torch.from_numpy(random_feats(60))[None]
    with torch.no_grad():
        full, _ = encoder(feats, encoder.rest(feats, encoder.config.stride))
        half = encoder.phase(feats)
        encoder.train()
        trained = encoder.phase(feats)
    np.testing.assert_allclose(full[:, 1::2].numpy(), half.numpy(), atol=1e-5)
    np.testing.assert_allclose(half.numpy(), trained.numpy(), atol=1e-5)


def test_the_shifted_sum_has_the_right_gradient() -> None:
    seen = torch.randn(2, 20, 5, dtype=torch.double, requires_grad=True)
    taps = torch.randn(3, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: ShiftedSum.apply(a, b, 16, 2), (seen, taps))


def test_an_untrained_decoder_is_silent() -> None:
    net = Net(preset("tiny", CHANNELS, UNITS)).eval()
    out = TorchModel.of(net).posteriors(random_feats(12))[0]
    assert not out.any()


@pytest.mark.parametrize(("name", "most"), [("tiny", 1.0), ("instant", 5.0), ("small", 5.0), ("base", 30.0)])
def test_presets_are_as_small_as_they_say(name: str, most: float) -> None:
    net = Net(preset(name, tuple(f"c{k}" for k in range(68)), tuple(f"u{k}" for k in range(92))))
    assert sum(p.numel() for p in net.parameters()) <= most * 1e6


def test_every_taught_lookahead_can_be_read() -> None:
    config = preset("tiny", CHANNELS, UNITS)
    encoder = Encoder(config)
    content = torch.zeros(1, 4, config.width)
    for ahead in config.taught:
        units, contacts = encoder.read(content, ahead)
        assert units.shape[-1] == len(UNITS)
        assert contacts.shape[-1] == len(CONTACTS)


def test_a_head_that_nobody_taught_or_that_comes_too_late_is_not_read() -> None:
    for reads in (((6, 1.0), (3, 1.0)), ((9, 1.0),), ((6, 0.0),), ((6, float("nan")),), ((6, 1.0), (4, -1.0))):
        with pytest.raises(ModelError, match=r"accepted: of \[0, 2, 4, 5, 6\] frames, with weights over 0"):
            preset("tiny", CHANNELS, UNITS, reads=reads)


def test_a_model_of_one_head_has_no_line_of_content() -> None:
    """As all models were, whose files are still read."""
    one, more = preset("tiny", CHANNELS, UNITS, reads=()), preset("tiny", CHANNELS, UNITS)
    raw = {key: value for key, value in json.loads(one.to_json()).items() if key != "reads"}
    assert NetConfig.from_dict(raw) == one
    assert more.reread == 2
    assert len(more.pasts()) == len(one.pasts()) + 1
    assert more.memory == one.memory + more.reread


# ---- files --------------------------------------------------------------------------------------------------------


def test_a_config_survives_json(saved: Path) -> None:
    config = random_net().config
    assert NetConfig.from_dict(json.loads(config.to_json())) == config
    for kind in (".onnx", ".json", ".safetensors"):  # by any of its files
        assert load(str(saved.with_suffix(kind))).config == config


def test_layers_are_read_from_text() -> None:
    assert [(layer.kind, layer.span) for layer in layers("c1 a32 c4")] == [("conv", 1), ("attn", 32), ("conv", 4)]


def _broken(saved: Path, tmp_path: Path, suffix: str, data: bytes | None) -> Path:
    for kind in (".onnx", ".json", ".safetensors"):
        (tmp_path / f"small{kind}").write_bytes(saved.with_suffix(kind).read_bytes())
    path = tmp_path / f"small{suffix}"
    path.unlink() if data is None else path.write_bytes(data)
    return tmp_path / "small.onnx"


@pytest.mark.parametrize(("suffix", "data"), [
    (".onnx", None), (".onnx", b"no graph"), (".onnx", b""), (".json", None), (".json", b"{"), (".json", b"[]"),
    (".json", b'{"config": {"format": 99}}'), (".json", b"\xff\xfe"), (".json", b"[" * 100_000),
])  # fmt: skip
def test_missing_or_damaged_weights_are_a_model_error(saved: Path, tmp_path: Path, suffix: str,
                                                      data: bytes | None) -> None:
    with pytest.raises(ModelError) as caught:
        load(str(_broken(saved, tmp_path, suffix, data)))
    assert "\n" not in str(caught.value)
    assert "facerig train" in str(caught.value) or "format" in str(caught.value)


def test_damaged_safetensors_are_a_model_error(saved: Path, tmp_path: Path) -> None:
    path = _broken(saved, tmp_path, ".safetensors", b"xx").with_suffix(".safetensors")
    with pytest.raises(ModelError, match="SHA-256"):
        checkpoint.load_net(path)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="gigantic"):
        load("gigantic")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ModelError, match="tiny"):
        preset("huge", CHANNELS, UNITS)


def test_the_graph_holds_no_weights_and_names_them(saved: Path) -> None:
    """They lie once on the disk, in the .safetensors file; those of another file make another model."""
    graph, tensors = saved.with_suffix(".onnx").read_bytes(), saved.with_suffix(".safetensors").read_bytes()
    assert max(map(len, (name.encode() for name in unpacked(tensors, "it", "")))) < 128  # their length is a byte
    model = load(str(saved.with_suffix(".onnx")))
    frames = random_feats(4)
    halved = {name: array * np.float32(0.5) for name, array in unpacked(tensors, "it", "").items()}
    other = OnnxModel(model.config, graph, packed(halved))
    own, others = (one.push(one.start(), frames)[1] for one in (model, other))
    assert np.abs(own - others).max() > 1e-3
    with pytest.raises(ModelError, match="cannot be read"):
        OnnxModel(model.config, graph, b"no tensors")
