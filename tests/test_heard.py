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
from facerig.emotion.weights import load, save
from facerig.errors import ModelError
from facerig.features import FEATURES, log_mel
from facerig.model.tensors import packed, unpacked
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


@pytest.mark.parametrize("block", [12, 30])
def test_other_blocks_give_the_same_but_for_rounding(block: int) -> None:
    frames = sound(120)
    assert np.abs(chopped(HEARD, frames, block) - chopped(HEARD, frames)).max() < 1e-3


def test_no_frame_knows_of_a_later_one() -> None:
    frames = sound(40 * BLOCK)
    other = frames.copy()
    cut = 37 * BLOCK + 2
    other[cut:, :FEATURES] = sound(len(frames), 9)[cut:, :FEATURES]
    ours, theirs = chopped(HEARD, frames), chopped(HEARD, other)
    assert np.abs(ours[:cut] - theirs[:cut]).max() < 1e-6
    assert np.abs(ours - theirs).max() > 1e-3


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


def window_of(feats: Frames, ear: Ear) -> Frames:
    """[WINDOW, COLUMNS]: the last of a clip, after silence."""
    past = np.repeat(ear.voice.silence(), window.WINDOW, axis=0)
    return np.concatenate([past, ear.voice(voice.padded(feats))])[-window.WINDOW :]


def statistics_of(feats: Frames, ear: Ear) -> Frames:
    return window.statistics(window_of(feats, ear))[0]


# ---- statistics, against a plain reference --------------------------------------------------------------------------


def some_window(seed: int) -> Frames:
    """Frames such as the voice describes: a level that comes and goes, voicing between 0 and 1."""
    rng = np.random.default_rng(seed)
    frames = rng.standard_normal((window.WINDOW, voice.COLUMNS)).astype(np.float32)
    frames[:, voice.VOICED] = rng.random(window.WINDOW)
    frames[:, voice.BOTH_VOICED] = rng.random(window.WINDOW)
    frames[: rng.integers(0, 120), voice.LEVEL] = voice.SILENCE
    return frames


def part(statistics: Frames, name: str) -> Frames:
    ends = dict(zip((n for n, _ in window.PARTS), np.cumsum([w for _, w in window.PARTS]), strict=True))
    return statistics[..., ends[name] - dict(window.PARTS)[name] : ends[name]]


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_statistics_are_those_of_a_plain_reference(seed: int) -> None:
    frames = some_window(seed).astype(np.float64)
    found, seconds = window.statistics(frames.astype(np.float32))
    voiced, level = frames[:, voice.VOICED], frames[:, voice.LEVEL]
    loud = (voiced * level).sum() / voiced.sum()
    near = frames[(level > loud - window.NEAR) & (level > voice.SILENCE + window.SOME)]
    relative = near - np.eye(voice.COLUMNS)[voice.LEVEL] * loud
    assert seconds == pytest.approx(voiced.sum() / 60, rel=1e-4)
    mean = np.concatenate([part(found, "level, near"), part(found, "mean, near")])
    assert np.abs(mean - relative.mean(0)).max() < 2e-3
    assert np.abs(part(found, "spread, near") - near.std(0)).max() < 2e-3
    ranks = np.percentile(relative, window.SHARES * 100, axis=0, method="nearest")
    assert np.abs(part(found, "percentiles, near").reshape(ranks.shape) - ranks).max() < 2e-3
    timbre = (voiced[:, None] * frames[:, 1 : voice.CEPSTRA]).sum(0) / voiced.sum()
    assert np.abs(part(found, "timbre, voiced") - timbre).max() < 2e-3
    pitch = frames[:, voice.PITCH]
    middle = (voiced * pitch).sum() / voiced.sum()
    assert part(found, "pitch, spread") == pytest.approx(np.sqrt((voiced * (pitch - middle) ** 2).sum() / voiced.sum()),
                                                         abs=2e-3)


@given(st.integers(0, 10_000), st.integers(0, 60))
@settings(deadline=None, max_examples=20)
def test_digital_silence_in_a_window_counts_for_nothing(seed: int, pause: int) -> None:
    """A gap in the recording between two words is no part of the voice."""
    frames, still = some_window(seed), some_window(seed)
    gap = np.zeros(voice.COLUMNS, np.float32)
    gap[voice.LEVEL] = voice.SILENCE
    frames[:120], still[:120] = gap, gap
    still[:120, voice.CEPSTRA + 6 :] = pause  # whatever else a silent frame says
    one, two = (part(window.statistics(x)[0], "percentiles, near") for x in (frames, still))
    assert np.abs(one - two).max() < 1e-6


def test_a_window_without_a_frame_is_finite() -> None:
    nothing = np.zeros((window.WINDOW, voice.COLUMNS), np.float32)
    nothing[:, voice.LEVEL] = voice.SILENCE
    found, seconds = window.statistics(nothing)
    assert np.isfinite(found).all()
    assert seconds == 0


@given(st.floats(0.1, 5.0))
@settings(deadline=None, max_examples=15)
def test_a_gain_changes_next_to_nothing(gain: float) -> None:
    """Microphones differ: loudness alone must not be an emotion."""
    ear = any_ear()
    quiet, loud = (statistics_of(voiced(3.5, g), ear) for g in (1.0, gain))
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
    assert unpacked(safetensors.save(ours), "ours", "").keys() == ours.keys()


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_weights_or_a_model_error(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        unpacked(data, "ours", "")


def test_arrays_that_do_not_fit_are_a_model_error() -> None:
    ours = arrays(any_ear())
    with pytest.raises(ModelError, match="do not fit"):
        ear_of({**ours, "matrix": ours["matrix"][:-1]})
    with pytest.raises(ModelError, match="do not fit"):
        ear_of({k: v for k, v in ours.items() if k != "pitch.1.matrix"})
