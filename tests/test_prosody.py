"""Prosody: pitch, speech, stresses and phrase ends of signals whose answers are known; and the laws of a stage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig import prosody
from facerig.errors import OptionError
from facerig.prosody import ACCENT, ENERGY, ONSET, PHRASE_END, PITCH, PROSODY, VOICE, VOICED, Prosody
from facerig.stage import FPS, RATE, SAMPLES, Frames, run
from facerig.windows import windows

STAGE = Prosody()


def voice(hertz: Frames | float, seconds: float, loud: Frames | float = 1.0) -> Frames:
    """A buzz with eight harmonics: [n, 400]."""
    count = int(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, count)) / RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 9)) * 0.1 * loud
    return np.asarray(sound, np.float32).reshape(-1, SAMPLES)


def silence(seconds: float) -> Frames:
    return np.zeros((int(seconds * FPS), SAMPLES), np.float32)


def heard(*parts: Frames, block: int = 6) -> Frames:
    return run(STAGE, np.concatenate(parts), block)


@pytest.mark.parametrize("hertz", [85, 130, 220, 330])
def test_pitch_goes_to_zero_around_the_speakers_own_middle(hertz: float) -> None:
    rows = heard(voice(hertz, 5))
    settled = rows[-30:]
    assert (settled[:-3, VOICED] == 1).all()
    prior = 12 * np.log2(165 / hertz) * 20 / 260  # what is left of the middle that every stream begins with
    assert np.abs(settled[:-3, PITCH] + prior).max() < 0.3


@pytest.mark.parametrize("semitones", [-5, -2, 3, 6])
def test_a_step_of_pitch_is_heard_as_its_semitones(semitones: float) -> None:
    rows = heard(voice(150, 4), voice(150 * 2 ** (semitones / 12), 0.5))
    before, after = np.median(rows[200:235, PITCH]), np.median(rows[245:255, PITCH])
    assert abs(after - before - semitones) < 0.5


def test_no_octave_errors_on_a_sweep() -> None:
    hertz = np.linspace(90, 320, 6 * RATE)
    rows = heard(voice(hertz, 6))
    assert rows[10:-10, VOICED].mean() > 0.98
    assert np.abs(np.diff(rows[10:-10, PITCH])).max() < 2


def test_silence_and_noise_are_no_voice() -> None:
    noise = np.random.default_rng(0).standard_normal((180, SAMPLES)).astype(np.float32) * 0.05
    assert not heard(silence(3))[:, [VOICE, VOICED, ACCENT, PHRASE_END]].any()
    assert heard(noise)[:, VOICED].mean() < 0.02


def test_a_stressed_syllable_is_marked_where_it_is() -> None:
    time = np.arange(3 * RATE) / RATE
    peaks = (0.6, 1.3, 2.2)
    loud = 0.12 + sum(np.exp(-(((time - peak) / 0.06) ** 2)) for peak in peaks)
    rows = heard(voice(140 + 30 * loud, 3, loud))
    marked = np.flatnonzero(rows[:, ACCENT] > 0.5) / FPS
    assert len(marked) == len(peaks)
    assert np.abs(marked - peaks).max() < 0.06


def test_phrases_begin_and_end_once() -> None:
    rows = heard(silence(0.5), voice(140, 1), silence(0.15), voice(150, 1), silence(1), voice(140, 0.8), silence(1))
    ends, onsets = (np.flatnonzero(rows[:, column]) / FPS for column in (PHRASE_END, ONSET))
    assert len(ends) == len(onsets) == 2
    assert np.abs(ends - [2.65 + 0.2, 4.45 + 0.2]).max() < 0.08
    assert np.abs(onsets - [0.5, 3.65]).max() < 0.08
    assert rows[30:150, VOICE].min() > 0.5  # the short gap is filled
    assert rows[190:215, VOICE].max() == 0


def test_energy_lies_between_floor_and_level() -> None:
    rows = heard(voice(140, 1, 0.05), voice(140, 1, 1.0), voice(140, 1, 0.05))
    assert rows[70:115, ENERGY].min() > 0.9
    assert rows[130:175, ENERGY].max() < 0.4
    assert rows.min() >= -24
    assert rows[:, [VOICE, VOICED, ENERGY, ACCENT]].max() <= 1


def speechlike(frames: int, seed: int) -> Frames:
    rng = np.random.default_rng(seed)
    sound = voice(150 + 20 * np.sin(np.arange(frames * SAMPLES) / 9000), frames / FPS)
    return np.asarray(sound * (rng.random((frames, 1)) > 0.3) + rng.standard_normal(sound.shape) * 1e-3, np.float32)


@given(st.integers(0, 5), st.sampled_from([1, 2, 5, 10]))
@settings(deadline=None, max_examples=8)
def test_streaming_is_offline(seed: int, block: int) -> None:
    frames = speechlike(80, seed)
    assert run(STAGE, frames, block).tobytes() == run(STAGE, frames, 80).tobytes()


def test_a_batch_is_its_streams() -> None:
    clips = np.stack([speechlike(60, seed) for seed in range(5)])
    state = tuple(np.stack([array] * 5) for array in STAGE.start())
    parts = []
    for at in range(0, 60, 6):
        state, rows = STAGE.push_batch(state, clips[:, at : at + 6])
        parts.append(rows)
    together = np.concatenate(parts, axis=1)[:, STAGE.delay :]
    for clip, rows in zip(clips, together, strict=True):
        assert run(STAGE, clip, 6)[: len(rows)].tobytes() == rows.tobytes()


def test_what_is_older_than_memory_is_forgotten() -> None:
    tail = speechlike(STAGE.memory + 60, 1)
    one, two = (np.concatenate([speechlike(60, seed), tail]) for seed in (2, 3))
    first = 60 + STAGE.memory
    assert run(STAGE, one, 6)[first:].tobytes() == run(STAGE, two, 6)[first:].tobytes()


def test_a_push_changes_no_argument() -> None:
    state, frames = STAGE.start(), speechlike(6, 0)
    kept = [array.tobytes() for array in (*state, frames)]
    _, rows = STAGE.push(state, frames)
    assert [array.tobytes() for array in (*state, frames)] == kept
    assert rows.shape == (6, len(PROSODY))
    assert rows.dtype == np.float32


def test_told_sooner_it_says_the_same_of_a_later_frame() -> None:
    sound = np.concatenate([silence(0.5), voice(150, 1), silence(1)])
    late, soon = Prosody(), Prosody(1)
    assert (late.delay, soon.delay) == (8, 1)
    assert late.memory == soon.memory
    one, other = (stage.push(stage.start(), sound)[1] for stage in (late, soon))
    np.testing.assert_array_equal(one, other)
    for wrong in (-1, 9):
        with pytest.raises(OptionError, match="frames from 0 to 8"):
            Prosody(wrong)


# ---- the fast ways are the plain ones, to the bit -------------------------------------------------------------------


@pytest.mark.parametrize(("streams", "frames"), [(1, 1), (1, 2), (3, 1), (5, 7)])
def test_the_low_pass_sums_as_numpy_does(streams: int, frames: int) -> None:
    samples = np.random.default_rng(streams).standard_normal((streams, (2 + frames) * SAMPLES + prosody.TAPS))
    samples = samples.astype(np.float32)
    samples[0, :600] = 0
    plain = windows(samples, prosody.TAPS, prosody.STEP, prosody.STEP) * prosody._LOW_PASS.ravel()
    assert prosody._lowered(samples).tobytes() == plain.sum(axis=-1).tobytes()


def test_the_median_is_that_of_the_voiced_ones() -> None:
    rng = np.random.default_rng(1)
    semitones = rng.integers(-4, 5, (50, 40)).astype(np.float32)  # with many that are equal
    voiced = rng.random((50, 40)) < 0.7
    found = prosody._median(semitones, voiced)
    for row, place in zip(*np.nonzero(voiced[:, 1:-1]), strict=True):
        near = slice(place, place + 3)
        known = np.sort(semitones[row, near][voiced[row, near]])
        assert found[row, place] == known[(len(known) - 1) // 2]
