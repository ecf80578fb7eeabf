"""The shipped weights: whole, alike in both runtimes, and able to hear real people (where their recordings are)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from facerig.features import LogMel
from facerig.files import assets_folder
from facerig.model import EVIDENCE, OnnxModel, installed, load
from facerig.model.runtime import read_card
from facerig.phones import VISEMES15, Timed, rasterise, units, viseme15_of_units
from facerig.pipeline import Animator
from facerig.resample import Resample
from facerig.rig import rig
from facerig.stage import Frames

FOLDER = assets_folder() / "models"
pytestmark = pytest.mark.skipif(not installed(), reason="no weights are installed")


@pytest.fixture(scope="module", params=installed())
def model(request: pytest.FixtureRequest) -> OnnxModel:
    return load(request.param)


def features(samples: Frames, rate: int) -> Frames:
    edge, front = Resample(rate), LogMel()
    state, native = edge.push(edge.start(), samples.astype(np.float32))
    return front.push(front.start(), np.concatenate([native, edge.flush(state)]))[1]


def test_every_file_is_the_one_in_the_card(model: OnnxModel) -> None:
    card = read_card(FOLDER / f"{model.name}.json")
    assert set(card["sha256"]) == {f"{model.name}.onnx", f"{model.name}.safetensors"}
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    assert card["parameters"] <= {"tiny": 1e6, "instant": 5e6, "small": 5e6}.get(model.name, 3e7)
    assert card["figures"]["content"]["ljspeech"]["viseme15"] > 40


def test_columns_are_the_native_rig_and_units_those_of_the_tables(model: OnnxModel) -> None:
    assert model.channels == rig("facerig").names
    assert model.columns[len(model.channels) :] == tuple(f"contact:{name}" for name in EVIDENCE)
    assert model.config.units == tuple(unit.unit for unit in units())


def test_both_runtimes_agree_to_a_hundred_thousandth(model: OnnxModel) -> None:
    pytest.importorskip("torch")
    from facerig.model.checkpoint import load_net
    from facerig.model.torch_model import TorchModel

    torch_model = TorchModel.of(load_net(FOLDER / f"{model.name}.safetensors"))
    noise = np.random.default_rng(0).normal(size=(24000, 1)).astype(np.float32)[:, 0] * 0.05
    feats = features(noise, 24000)
    for one, other in zip(model.posteriors(feats), torch_model.posteriors(feats), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_silence_keeps_the_mouth_shut(model: OnnxModel) -> None:
    """What is asked is asked of the whole chain; a network that hears nothing ahead may hedge a little more itself."""
    curves, contacts, _ = model.posteriors(features(np.zeros(48000, np.float32), 24000))
    jaw = curves[:, model.channels.index("jawOpen")]
    assert jaw[12:].max() < (0.02 if model.delay > 1 else 0.04)
    chain = Animator.load(model.name, alive=False).animate(np.zeros(48000, np.int16), 24000)
    assert chain.values[:, list(chain.channels).index("jawOpen")].max() <= np.float32(0.02)
    assert contacts[12:, EVIDENCE.index("speech")].max() < 0.3


def test_soon_is_the_speech_that_is_heard_before_it_is_shown(model: OnnxModel) -> None:
    """What the network says of the newest frame is what it says of that frame when it shows it."""
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(assets_folder() / "demo.wav", dtype="float32")
    _, evidence, _ = model.posteriors(features(samples, rate))
    speech, soon = (evidence[:, EVIDENCE.index(name)] > 0.5 for name in ("speech", "soon"))
    agreed = [(soon[: len(soon) - ahead] == speech[ahead:]).mean() for ahead in (0, model.delay)]
    assert agreed[1] > 0.9
    assert agreed[1] > agreed[0] or model.delay == 1  # a frame tells too little


def test_real_speech_is_heard_and_moves_the_jaw(model: OnnxModel, shared_data: Path) -> None:
    """An English reader that nobody trained on; the bar is far under the figures of the model card."""
    pytest.importorskip("soundfile")
    from facerig.train.corpora.speech import sources

    rows = next(source for source in sources() if source.name == "ljspeech").parts[0].make()
    right = total = 0
    for _, made in zip(range(3), rows, strict=False):
        feats = features(made.audio.astype(np.float32) / 32768, made.row.rate)
        curves, _, heard = model.posteriors(feats)
        truth = rasterise([Timed(*row) for row in made.row.timed], len(feats), fill=-1)
        guess = (heard @ np.eye(len(VISEMES15), dtype=np.float32)[viseme15_of_units()]).argmax(1)
        right += int(((guess == viseme15_of_units()[truth]) & (truth >= 0)).sum())
        total += int((truth >= 0).sum())
        assert curves[:, model.channels.index("jawOpen")].std() > 0.02
    assert right / total > (0.5 if model.name == "small" else 0.4)
