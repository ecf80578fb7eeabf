"""Stages: each keeps the length, has the delay it declares, forgets what it says it forgets, and streams exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.behaviour import INPUTS, Life
from facerig.errors import OptionError
from facerig.fake import FakeModel
from facerig.features import FEATURES, LogMel
from facerig.post.limits import Limits
from facerig.post.smooth import smooth
from facerig.prosody import Prosody
from facerig.stage import SAMPLES, Blocks, Chain, Fir, Frames, Hush, Stage, exact_div, run, same_state

WIDTH = 5
LIMITS = Limits(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
MODEL = FakeModel(("jawOpen", "mouthFunnel", "browInnerUp", "tongueOut", "cheekPuff"))

STAGES: dict[str, tuple[Callable[[], Stage], int]] = {
    "logmel": (LogMel, SAMPLES),
    "fake": (lambda: MODEL, FEATURES),
    "smooth0": (lambda: smooth(0, WIDTH), WIDTH),
    "smooth2": (lambda: smooth(2, WIDTH), WIDTH),
    "limits": (lambda: LIMITS, WIDTH),
    "hush": (Hush, WIDTH),
    "prosody": (Prosody, SAMPLES),
    "life": (Life, INPUTS),
    "chain": (lambda: Chain((LogMel(), MODEL, smooth(3, WIDTH), LIMITS)), SAMPLES),
}
every_stage = pytest.mark.parametrize("name", STAGES)


def noise(frames: int, width: int, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).standard_normal((frames, width)).astype(np.float32)


def chopped(stage: Stage, frames: Frames, block: int) -> Frames:
    state, outputs = stage.start(), []
    for at in range(0, len(frames), block):
        state, out = stage.push(state, frames[at : at + block])
        outputs.append(out)
    return np.concatenate(outputs)


@every_stage
@pytest.mark.parametrize("block", [1, 2, 6])
def test_length_is_kept_and_arguments_are_not_changed(name: str, block: int) -> None:
    make, width = STAGES[name]
    stage, frames = make(), noise(block, width)
    state, before = stage.start(), frames.copy()
    kept = tuple(array.copy() for array in state)
    after, out = stage.push(state, frames)
    assert out.shape[0] == block
    assert out.dtype == np.float32
    assert same_state(state, kept)
    assert frames.tobytes() == before.tobytes()
    assert len(after) == len(kept)


@every_stage
@pytest.mark.parametrize("block", [1, 3, 6])
def test_two_streams_do_not_touch(name: str, block: int) -> None:
    make, width = STAGES[name]
    stage, left, right = make(), noise(12 * block, width, 1), noise(12 * block, width, 2)
    states, outputs = [stage.start(), stage.start()], ([], [])
    for at in range(0, len(left), block):
        for k, frames in enumerate((left, right)):
            states[k], out = stage.push(states[k], frames[at : at + block])
            outputs[k].append(out)
    assert np.concatenate(outputs[0]).tobytes() == chopped(stage, left, block).tobytes()
    assert np.concatenate(outputs[1]).tobytes() == chopped(stage, right, block).tobytes()


@every_stage
def test_memory_is_as_declared(name: str) -> None:
    """What lies more than `memory` frames back changes nothing, to the bit."""
    make, width = STAGES[name]
    stage, block = make(), 6
    frames = noise(60 + 6 * block, width)
    other = frames.copy()
    other[: 6 * block] = noise(6 * block, width, 7)
    first = 6 * block + stage.memory
    assert chopped(stage, frames, block)[first:].tobytes() == chopped(stage, other, block)[first:].tobytes()


@pytest.mark.parametrize("name", ["smooth0", "smooth2", "limits"])
def test_impulse_comes_out_after_the_declared_delay(name: str) -> None:
    make, width = STAGES[name]
    stage, frames = make(), np.zeros((40, width), np.float32)
    frames[10] = 1
    out = chopped(stage, frames, 1).sum(axis=1)
    assert int(out.argmax()) == 10 + stage.delay


@pytest.mark.parametrize("frames_of_smoothing", [0, 3])
def test_a_burst_moves_the_jaw_after_the_chains_delay(frames_of_smoothing: int) -> None:
    chain = Chain((LogMel(), MODEL, smooth(frames_of_smoothing, WIDTH), LIMITS))
    assert chain.delay == MODEL.delay + frames_of_smoothing
    frames = np.zeros((60, SAMPLES), np.float32)
    frames[30:33] = noise(3, SAMPLES) * 0.3
    jaw = chopped(chain, frames, 1)[:, 0]
    moved = np.flatnonzero(jaw > jaw[:20].max() + 1e-3)
    # 3 loud frames, heard in one more by the 25 ms window, spread by the averages on both sides
    middle = (moved[0] + moved[-1]) / 2
    assert abs(middle - (31.5 + chain.delay)) <= 1
    aligned = run(chain, frames, 1)[:, 0]
    assert aligned.tobytes() == jaw[chain.delay :].tobytes() + aligned[len(jaw) - chain.delay :].tobytes()


@given(st.integers(1, 8), st.lists(st.integers(0, 30), max_size=8))
@settings(deadline=None)
def test_blocks_are_whole_and_in_order(size: int, lengths: list[int]) -> None:
    rows = noise(sum(lengths), 2)
    blocks, state, at, got = Blocks(size), Blocks(size).start((2,)), 0, []
    for length in lengths:
        state, new = blocks.push(state, rows[at : at + length])
        got.extend(new)
        at += length
    assert all(len(block) == size for block in got)
    assert np.concatenate([*got, state[0]]).tobytes() == rows.tobytes()
    assert len(state[0]) < size


def test_run_aligns_whatever_the_block() -> None:
    frames = noise(25, WIDTH)
    wanted = run(Fir((0.25, 0.5, 0.25), WIDTH), frames, 1)
    for block in (2, 5, 7, 40):
        assert run(Fir((0.25, 0.5, 0.25), WIDTH), frames, block).tobytes() == wanted.tobytes()
    assert np.abs(wanted[5] - (frames[4] / 4 + frames[5] / 2 + frames[6] / 4)).max() < 1e-6


@pytest.mark.parametrize(("a", "b"), [(24_000, 59), (10, 0), (1, -1)])
def test_a_rate_that_does_not_divide_fails_at_once(a: int, b: int) -> None:
    with pytest.raises(OptionError, match="whole number"):
        exact_div(a, b)


@pytest.mark.parametrize("frames", [-1, 13])
def test_smoothing_out_of_range(frames: int) -> None:
    with pytest.raises(OptionError, match="0 to 12"):
        smooth(frames, 2)
