"""A model that hardly looks ahead: the whole face, gestures included, waits for nothing but the model itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from facerig.assembly import Options, build
from facerig.cli import run as cli
from facerig.model import checkpoint, preset
from facerig.model.net import Net
from facerig.model.runtime import load
from facerig.phones import units
from facerig.pipeline import Animator
from facerig.rig import rig
from facerig.stage import SAMPLES
from facerig.train.expression import with_head


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights in the preset's shape, but narrow."""
    import torch

    torch.manual_seed(0)
    sizes = {"width": 16, "encoder": "c1 a8", "decoder_width": 16, "decoder": "c1"}
    net = Net(preset("instant", rig("facerig").names, tuple(unit.unit for unit in units()), **sizes))
    torch.nn.init.normal_(net.decoder.curves.weight, std=0.3)
    return str(checkpoint.save(with_head(net, 8), tmp_path_factory.mktemp("weights")).with_suffix(".onnx"))


def sound(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, int(seconds * 24_000)).astype(np.float32)


def test_the_whole_face_is_one_frame_late(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["info", "--model", weights, "--block", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["delay frames"] == 1
    assert told["delay ms"] == 16.7
    assert told["latency ms"] == 33.3
    assert {stage["stage"]: stage["delay"] for stage in told["stages"]}["FeltLips"] == 0


@pytest.mark.parametrize("late", ["instant", "small"])
def test_emotion_is_judged_in_the_face_that_is_shown(late: str, tmp_path: Path) -> None:
    from facerig.train.evaluate.emotion import Faces

    net = Net(preset(late, rig("facerig").names, tuple(unit.unit for unit in units()), width=16, encoder="c1 a8",
                     decoder_width=16, decoder="c1"))  # fmt: skip
    stage = load(str(checkpoint.save(with_head(net, 8), tmp_path).with_suffix(".onnx")))
    judged, shown = Faces(stage).lips, build(Options(), stage).lips
    assert shown is not None
    assert asdict(judged) == asdict(shown)


@pytest.mark.parametrize("alive", [True, False])
def test_a_frame_comes_out_with_the_audio_of_the_next_and_not_before(weights: str, alive: bool) -> None:
    session = Animator.load(weights, block=1, alive=alive).session()
    samples = sound(0.5).reshape(-1, SAMPLES)
    lengths = [session.push(piece).frames for piece in samples]
    assert lengths == [0, *[1] * (len(samples) - 1)]
    assert session.flush().frames == 1


def test_what_comes_later_changes_no_frame_that_is_out(weights: str) -> None:
    animator = Animator.load(weights, block=1)
    one, other = sound(1.0), sound(1.0)
    other[30 * SAMPLES :] = 0
    first, second = (animator.animate(samples, 24_000).values for samples in (one, other))
    np.testing.assert_array_equal(first[:29], second[:29])
    assert np.abs(first[30:] - second[30:]).max() > 1e-3


def test_streams_are_the_clip_bit_for_bit_and_gestures_go_on(weights: str) -> None:
    animator, samples = Animator.load(weights, block=2), sound(3.0)
    whole = animator.animate(samples, 24_000).values
    session = animator.session()
    cuts = np.sort(np.random.default_rng(2).integers(0, len(samples), 9))
    parts = [session.push(piece) for piece in np.split(samples, cuts)] + [session.flush()]
    streamed = np.concatenate([part.values for part in parts])
    assert streamed.tobytes() == whole.tobytes()
    assert whole[:, animator.channels.index("eyeBlinkLeft")].max() > 0.5 or len(animator.channels) > 68
