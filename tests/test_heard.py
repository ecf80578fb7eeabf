"""The stage that hears emotion: laws of streaming, with an ear of arbitrary weights; gain and silence."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig import controls
from facerig.controls import EMOTIONS, rows_of
from facerig.emotion import voice, window
from facerig.emotion.blend import Blending
from facerig.emotion.ear import CLASSES, Ear, arrays, ear_of, reading
from facerig.emotion.heard import Heard
from facerig.emotion.heard import load as load_heard
from facerig.emotion.weights import load, packed, save, unpacked
from facerig.errors import ModelError
from facerig.features import FEATURES, log_mel
from facerig.stage import SAMPLES, Frames, same_state

BLOCK = 6


def any_ear(seed: int = 0) -> Ear:
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> Frames:
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    sizes = (3 * voice.LOW_BANDS, 16, 16, voice.SEMITONES + 1)
    layers = tuple((some(a, b), some(b)) for a, b in pairwise(sizes))
    return Ear(voice.Voice(layers), some(window.WIDTH), np.ones(window.WIDTH, np.float32),
               some(window.WIDTH, len(CLASSES)), some(len(CLASSES)))


HEARD = Heard(any_ear(), Blending(transition_time=0.2))


def sound(frames: int, seed: int = 0, share: float = 1.0) -> Frames:
    """[frames, 128 + WIDTH]: noise that swells, and controls that ask for something."""
    rng = np.random.default_rng(seed)
    feats = rng.standard_normal((frames, FEATURES)).astype(np.float32)
    rows = rows_of(frames)
    rows[:, controls.place("emotion:happy")] = 0.4
    rows[:, controls.place("heard")] = share
    return np.concatenate([feats, rows], axis=1)


def chopped(stage: Heard, frames: Frames, block: int = BLOCK) -> Frames:
    state, out = stage.start(), []
    for at in range(0, len(frames), block):
        state, rows = stage.push(state, frames[at : at + block])
        out.append(rows)
    return np.concatenate(out)


def test_it_adds_nothing_to_the_look_ahead_and_forgets_within_four_seconds() -> None:
    assert HEARD.delay == 0
    assert Heard(any_ear()).memory <= 240


def test_memory_is_as_declared_to_the_bit() -> None:
    blocks = -(-HEARD.memory // BLOCK) + 12
    frames = sound(blocks * BLOCK)
    other = frames.copy()
    other[: 6 * BLOCK, :FEATURES] = sound(6 * BLOCK, 9)[:, :FEATURES]
    first = 6 * BLOCK + HEARD.memory
    ours, theirs = chopped(HEARD, frames), chopped(HEARD, other)
    assert ours[first:].tobytes() == theirs[first:].tobytes()
    assert ours[: 7 * BLOCK].tobytes() != theirs[: 7 * BLOCK].tobytes()


def test_a_stream_restored_from_its_memory_goes_on_bit_for_bit() -> None:
    frames = sound((-(-HEARD.memory // BLOCK) + 20) * BLOCK)
    cut = 8 * BLOCK
    whole, restored = chopped(HEARD, frames), chopped(HEARD, frames[cut:])
    settled = -(-HEARD.memory // BLOCK) * BLOCK
    assert restored[settled:].tobytes() == whole[cut + settled :].tobytes()


@pytest.mark.parametrize("block", [1, 4, 30])
def test_other_blocks_give_the_same_but_for_rounding(block: int) -> None:
    frames = sound(120)
    assert np.abs(chopped(HEARD, frames, block) - chopped(HEARD, frames)).max() < 1e-3


def test_many_streams_in_one_call_are_each_alone_bit_for_bit() -> None:
    clips = [sound(5 * BLOCK, seed) for seed in range(5)]
    alone = [chopped(HEARD, clip) for clip in clips]
    state = tuple(np.stack([array] * 5) for array in HEARD.start())
    for at in range(0, 5 * BLOCK, BLOCK):
        state, rows = HEARD.push_batch(state, np.stack([clip[at : at + BLOCK] for clip in clips]))
        for k in range(5):
            assert rows[k].tobytes() == alone[k][at : at + BLOCK].tobytes()


def test_arguments_are_not_changed() -> None:
    state, frames = HEARD.start(), sound(BLOCK)
    kept, before = tuple(array.copy() for array in state), frames.copy()
    HEARD.push(state, frames)
    assert same_state(state, kept)
    assert frames.tobytes() == before.tobytes()


def test_a_share_of_nothing_leaves_the_rows_as_they_came() -> None:
    frames = sound(60, share=0.0)
    assert chopped(HEARD, frames).tobytes() == np.ascontiguousarray(frames[:, FEATURES:]).tobytes()


def test_only_emotion_and_intensity_are_touched() -> None:
    frames = sound(120)
    rows, asked = chopped(HEARD, frames), frames[:, FEATURES:]
    changed = {controls.COLUMNS[k] for k in np.flatnonzero((rows != asked).any(0))}
    assert changed
    assert changed <= {f"emotion:{name}" for name in EMOTIONS} | {"intensity"}
    assert rows.min() >= asked.min()
    assert np.isfinite(rows).all()


def voiced(seconds: float, gain: float = 1.0) -> Frames:
    """A gliding tone with harmonics and a hiss, in log-mel."""
    time = np.arange(int(seconds * 24_000)) / 24_000
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * time)) / 24_000
    tone = sum(np.sin(k * phase) / k for k in range(1, 30)) * (1 + 0.5 * np.sin(2 * np.pi * 4 * time)) * 0.05
    tone = (tone + 0.003 * np.random.default_rng(0).standard_normal(len(time))) * gain
    whole = np.concatenate([np.zeros(SAMPLES), tone]).astype(np.float32)
    return log_mel(whole)


def statistics_of(feats: Frames, ear: Ear) -> tuple[Frames, Frames]:
    frames = ear.voice(voice.padded(feats))
    past = np.zeros((window.WINDOW, voice.COLUMNS), np.float32)
    return window.statistics(np.concatenate([past, frames])[-window.WINDOW :], 1)


@given(st.floats(0.1, 5.0))
@settings(deadline=None, max_examples=15)
def test_a_gain_changes_next_to_nothing(gain: float) -> None:
    """Microphones differ: loudness alone must not be an emotion."""
    ear = any_ear()
    quiet, loud = (statistics_of(voiced(3.5, g), ear)[0][0] for g in (1.0, gain))
    assert np.abs(quiet - loud).max() < 0.05


def test_silence_is_no_emotion() -> None:
    heard = load_heard()
    state = tuple(array[None] for array in heard.start())
    silence = np.full((1, 300, FEATURES), voice.SILENCE, np.float32)
    _, found, mixture = heard.hear(state, silence)
    assert found.sure.max() == 0
    assert mixture.max() == 0
    assert found.intensity.max() == 0


def test_reading_follows_the_scores() -> None:
    scores = np.eye(len(CLASSES), dtype=np.float32)
    found = reading(scores, np.ones(len(CLASSES), np.float32))
    assert found.intensity.tolist() == [float(name not in ("boredom", "neutral")) for name in CLASSES]
    arousal = dict(zip(CLASSES, found.vad[:, 1], strict=True))
    assert arousal["angry"] > arousal["neutral"] == 0 > arousal["sad"] > arousal["boredom"]
    assert reading(scores, np.zeros(len(CLASSES), np.float32)).vad.any() == np.False_


# ---- files ----------------------------------------------------------------------------------------------------------


def test_weights_go_through_a_file(tmp_path: Path) -> None:
    folder = tmp_path
    save(arrays(any_ear()), {}, folder)
    back = ear_of(load(folder)[0])
    for name, array in arrays(any_ear()).items():
        assert arrays(back)[name].tobytes() == array.tobytes()
    data = (folder / "emotion.safetensors").read_bytes()
    (folder / "emotion.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="damaged"):
        load(folder)
    with pytest.raises(ModelError, match="cannot be read"):
        load(folder / "nowhere")


def test_another_reader_of_safetensors_agrees() -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="the train extra")
    ours = arrays(any_ear())
    theirs = safetensors.load(packed(ours))
    assert {name: array.tobytes() for name, array in theirs.items()} == {n: a.tobytes() for n, a in ours.items()}
    assert unpacked(safetensors.save(ours)).keys() == ours.keys()


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_weights_or_a_model_error(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        unpacked(data)


def test_arrays_that_do_not_fit_are_a_model_error() -> None:
    ours = arrays(any_ear())
    with pytest.raises(ModelError, match="do not fit"):
        ear_of({**ours, "matrix": ours["matrix"][:-1]})
    with pytest.raises(ModelError, match="do not fit"):
        ear_of({k: v for k, v in ours.items() if k != "pitch.1.matrix"})
