"""Where the network runs: the choice, and the CUDA stage's own lines on the CPU (no graph is captured here)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from facerig.errors import MissingExtra, ModelError, OptionError, ServiceError
from facerig.features import FEATURES
from facerig.model import NetConfig, device, installed, preset
from facerig.model.runtime import OnnxModel
from facerig.pipeline import Animator
from facerig.server.batch import BatchChain
from facerig.stage import SAMPLES, Frames, State

torch = pytest.importorskip("torch")

from facerig.model.checkpoint import save  # noqa: E402
from facerig.model.cuda import CudaModel, OnDevice, bucket, device_of  # noqa: E402
from facerig.model.net import Net  # noqa: E402
from facerig.model.torch_model import TorchModel  # noqa: E402
from facerig.rig import rig  # noqa: E402

BLOCK = 2
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")


def small() -> NetConfig:
    sizes = {"width": 32, "decoder_width": 24, "encoder": "c1 a6 c2", "decoder": "c1 a4", "expression": 12}
    return preset("tiny", rig("facerig").names, ("u0", "u1", "u2"), **sizes)


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(3)
    made = Net(small()).eval()
    for layer in (made.decoder.curves, made.decoder.condition):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return made


@pytest.fixture(scope="module")
def path(net: Net, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(net, tmp_path_factory.mktemp("weights"), {}).with_suffix(".onnx"))


@pytest.fixture(scope="module")
def plain(path: str) -> OnnxModel:
    model = device.load(path)
    assert isinstance(model, OnnxModel)
    return model


def noise(*shape: int, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def begun(model: OnnxModel, count: int) -> State:
    return tuple(np.repeat(array[None], count, axis=0) for array in model.start())


# ---- the same numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "atol"), [("fp32", 1e-5), ("fp16", 5e-3), ("bf16", 4e-2)])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_device_path_gives_what_onnx_gives(net: Net, plain: OnnxModel, precision: str, atol: float,
                                               count: int) -> None:
    model = CudaModel.of(net, "cpu", precision)
    mine = theirs = begun(plain, count)
    for step in range(4):
        block = noise(count, BLOCK, FEATURES + plain.config.condition, seed=step)
        mine, got = model.push_batch(mine, block)
        theirs, wanted = plain.push_batch(theirs, block)
        assert got.dtype == np.float32
        assert np.abs(wanted).max() > 0.05
        np.testing.assert_allclose(got, wanted, atol=atol)
    assert {type(array) for array in mine} == {OnDevice}
    for one, other in zip(mine, theirs, strict=True):
        assert np.asarray(one).dtype == np.float32
        np.testing.assert_allclose(one, other, atol=10 * atol)


def test_eager_torch_gives_what_onnx_gives(path: str, plain: OnnxModel) -> None:
    model = device.load(path, runtime="torch")
    assert isinstance(model, TorchModel)
    block = noise(5, BLOCK, FEATURES)
    (_, got), (_, wanted) = (one.push_batch(begun(plain, 5), block) for one in (model, plain))
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.skipif(not installed(), reason="no weights are installed")
def test_half_precision_of_the_shipped_model_stays_within_what_is_taken_for_rounding() -> None:
    from facerig.model.checkpoint import load_net

    try:
        weights, plain = load_net(device.weights(None)), device.load()
    except ModelError as error:
        pytest.skip(f"weights are being written: {error}")
    for precision, rounding in device.ROUNDING.items():
        device.trusted(CudaModel.of(weights, "cpu", precision), plain, rounding)


# ---- buckets --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 5000))
def test_a_bucket_is_the_least_power_of_two_that_holds_them(count: int) -> None:
    size = bucket(count)
    assert size.bit_count() == 1
    assert size // 2 < count <= size


def test_what_a_larger_batch_left_in_a_bucket_does_not_show(net: Net, plain: OnnxModel) -> None:
    used, fresh = CudaModel.of(net, "cpu", "fp32"), CudaModel.of(net, "cpu", "fp32")
    used.push_batch(begun(plain, 4), np.full((4, BLOCK, FEATURES), 50, np.float32))
    block = noise(3, BLOCK, FEATURES)
    assert len(used._steps) == 1
    (_, one), (_, other) = (model.push_batch(begun(plain, 3), block) for model in (used, fresh))
    assert len(used._steps) == 1, "three streams use the memory of four"
    np.testing.assert_array_equal(one, other)


def test_a_state_that_was_given_is_not_changed_by_later_steps(net: Net, plain: OnnxModel) -> None:
    model = CudaModel.of(net, "cpu", "fp16")
    state, _ = model.push_batch(begun(plain, 2), noise(2, BLOCK, FEATURES))
    before = [np.array(array) for array in state]
    _, first = model.push_batch(state, noise(2, BLOCK, FEATURES, seed=1))
    _, again = model.push_batch(state, noise(2, BLOCK, FEATURES, seed=1))
    np.testing.assert_array_equal(first, again)
    for array, kept in zip(state, before, strict=True):
        np.testing.assert_array_equal(array, kept)


# ---- slots on the device --------------------------------------------------------------------------------------------


def face_on(path: str, model: CudaModel | None) -> Animator:
    from dataclasses import replace

    animator = Animator.load(path, block=BLOCK)
    return animator if model is None else replace(animator, chain=replace(animator.chain, model=model))


def test_streams_out_of_step_in_device_slots_give_what_numpy_slots_give(net: Net, path: str) -> None:
    """Joining, leaving, stepping alone and coming back: gather and scatter by slot number."""
    chains = [BatchChain(face_on(path, model).chain, 6) for model in (None, CudaModel.of(net, "cpu", "fp32"))]
    courses = [(0, 1, 2), (0, 1, 2), (1,), (1, 4), (0, 2, 4), (4,), (4,), (0, 1, 2, 4), (0, 1, 2, 4)]
    for chain in chains:
        for slot in range(5):
            chain.reset(slot)
    for step, slots in enumerate(courses):
        if step == 5:
            for chain in chains:
                chain.reset(4)
        block = noise(len(slots), BLOCK, SAMPLES, seed=step) * np.float32(0.1)
        wanted, got = (chain.step(slots, block) for chain in chains)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_session_on_the_device_saves_and_restores(net: Net, path: str) -> None:
    animator = face_on(path, CudaModel.of(net, "cpu", "fp16"))
    sound = noise(24_000) * np.float32(0.1)
    whole = animator.animate(sound, 24_000).values
    session = animator.session(24_000)
    head = session.push(sound[:9_000]).values
    again = animator.resume(session.snapshot())
    tail = [again.push(sound[9_000:]).values, again.flush().values]
    np.testing.assert_array_equal(np.concatenate([head, *tail]), whole)


# ---- the choice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"device": "gpu"}, {"runtime": "jax"}, {"precision": "int4"},
                                     {"device": "cuda", "runtime": "onnx"}])
def test_what_does_not_exist_or_go_together_is_an_option_error(options: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="accepted"):
        Animator.load("fake", **options)  # type: ignore[arg-type]


def test_the_fake_model_is_not_pretended_to_run_on_cuda() -> None:
    with pytest.raises(OptionError, match="fake"):
        Animator.load("fake", device="cuda")
    assert Animator.load("fake", device="auto").runtime == "numpy cpu"


def test_what_runs_is_said_and_marks_the_fingerprint(path: str) -> None:
    onnx, eager = Animator.load(path), Animator.load(path, runtime="torch")
    assert (onnx.runtime, eager.runtime) == ("onnx cpu", "torch cpu")
    assert onnx.fingerprint != eager.fingerprint
    assert eager.fingerprint == Animator.load(path, runtime="torch").fingerprint


@needs_no_gpu
def test_cuda_without_a_device_says_what_to_do(path: str) -> None:
    with pytest.raises(ServiceError, match=r"no CUDA device.*use cpu"):
        device.load(path, "cuda")
    with pytest.raises(ServiceError):
        device_of("cuda")


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"runtime": "torch"}])
def test_without_torch_the_extra_is_named(path: str, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match="torch"):
        device.load(path, **options)


def test_auto_without_a_driver_is_onnx(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_driver", lambda: False)
    assert device.said(device.load(path, "auto")) == "onnx cpu"


@needs_no_gpu
def test_auto_with_a_driver_and_no_device_says_why_and_uses_the_cpu(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "has_driver", lambda: True)
    assert device.said(device.load(path, "auto")) == "onnx cpu"
    assert "no CUDA device" in caplog.text


def test_auto_takes_the_device_only_where_it_gives_the_same(net: Net, path: str, monkeypatch: pytest.MonkeyPatch,
                                                            caplog: pytest.LogCaptureFixture) -> None:
    good = CudaModel.of(net, "cpu", "fp16")
    wrong = Net(small()).eval()
    torch.nn.init.normal_(wrong.decoder.curves.weight, std=0.5)
    monkeypatch.setattr(device, "has_driver", lambda: True)
    monkeypatch.setattr(device, "load_cuda", lambda name, precision: good)
    assert device.load(path, "auto") is good
    monkeypatch.setattr(device, "load_cuda", lambda name, precision: CudaModel.of(wrong, "cpu"))
    assert device.said(device.load(path, "auto")) == "onnx cpu"
    assert "differs from onnx cpu" in caplog.text


def test_weights_without_their_safetensors_are_a_model_error(path: str, tmp_path: Path) -> None:
    for suffix in (".onnx", ".json"):
        source = Path(path).with_suffix(suffix)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    for runtime in ("onnx", "torch"):
        with pytest.raises(ModelError, match="safetensors"):
            device.load(str(tmp_path / Path(path).name), runtime=runtime)


def test_serve_shows_and_checks_the_choice() -> None:
    from facerig.cli import application

    shown = CliRunner().invoke(application(), ["serve", "--device", "cpu", "--set", "runtime=torch", "--show-config"])
    assert [line for line in shown.output.splitlines() if line.startswith(("device", "runtime"))] == [
        f'device = {chr(34)}cpu{chr(34):<20} # flag', f'runtime = {chr(34)}torch{chr(34):<18} # flag']
