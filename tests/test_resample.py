"""The edge of the chain: any rate and type in, the same frames out however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.errors import AudioError, OptionError
from facerig.resample import Resample, mono
from facerig.stage import RATE, SAMPLES, Frames

RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000, 37813)


def pushed(edge: Resample, samples: Frames, cuts: list[int]) -> Frames:
    state, parts = edge.start(), []
    for part in np.split(samples, sorted(min(cut, len(samples)) for cut in cuts)):
        state, frames = edge.push(state, part)
        parts.append(frames)
    return np.concatenate([*parts, edge.flush(state)])


@given(st.sampled_from(RATES), st.integers(0, 9000), st.lists(st.integers(0, 9000), max_size=6), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_streaming_equals_offline(rate: int, length: int, cuts: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).standard_normal(length).astype(np.float32)
    edge = Resample(rate)
    whole = pushed(edge, samples, [])
    assert pushed(edge, samples, cuts).tobytes() == whole.tobytes()
    assert len(whole) == edge.frames_of(length)


@given(st.sampled_from(RATES), st.integers(0, 20), st.integers(0, 50))
@settings(deadline=None, max_examples=40)
def test_restarted_in_the_middle_it_is_the_same(rate: int, frame: int, seed: int) -> None:
    samples = np.random.default_rng(seed).standard_normal(rate // 2).astype(np.float32)
    edge = Resample(rate)
    whole, first = pushed(edge, samples, []), edge.first_sample(frame)
    _, rest = edge.push(edge.start(frame, first), samples[first:])
    assert len(rest) >= 28 - frame
    assert rest.tobytes() == whole[frame : frame + len(rest)].tobytes()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [100, 1000, 3000])
def test_a_tone_comes_through_in_time_and_level(rate: int, hertz: int) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(rate // 2) / rate).astype(np.float32)
    out = pushed(Resample(rate), tone, []).reshape(-1)
    wanted = np.sin(2 * np.pi * hertz * np.arange(len(out)) / RATE)
    inner = slice(800, len(out) - 800)
    assert np.abs(out - wanted)[inner].max() < 2e-3


@pytest.mark.parametrize("rate", [48000, 96000, 192000])
def test_what_24_khz_cannot_hold_is_gone(rate: int) -> None:
    tone = np.sin(2 * np.pi * 14_000 * np.arange(rate // 2) / rate).astype(np.float32)
    out = pushed(Resample(rate), tone, []).reshape(-1)
    assert np.abs(out[800:-800]).max() < 1e-3


@pytest.mark.parametrize("rate", RATES)
def test_impulse_stays_in_its_frame(rate: int) -> None:
    samples = np.zeros(rate, np.float32)
    at = rate // 2 + rate // 120  # the middle of frame 30
    samples[at] = 1
    energy = (pushed(Resample(rate), samples, []) ** 2).sum(axis=1)
    assert int(energy.argmax()) == 30
    assert energy[30] > 0.99 * energy.sum()


@pytest.mark.parametrize("rate", [0, 7999, 192001, 16000.0, "16000", -1])
def test_bad_rates(rate: object) -> None:
    with pytest.raises(OptionError, match="8000 to 192000"):
        Resample(rate)  # type: ignore[arg-type]


@pytest.mark.parametrize(("array", "value"), [
    (np.array([-32768, 16384], np.int16), [-1, 0.5]),
    (np.array([0, 192], np.uint8), [-1, 0.5]),
    (np.array([-(2**31), 2**30], np.int32), [-1, 0.5]),
    (np.array([-128, 64], np.int8), [-1, 0.5]),
    (np.array([-1.0, 0.5]), [-1, 0.5]),
    (np.array([[1.0, 0.0], [0.25, 0.75]], np.float32), [0.5, 0.5]),
    (np.full((2, 8), 0.25), [0.25, 0.25]),
    ([], []),
])
def test_mono_scales_and_mixes(array: object, value: list[float]) -> None:
    out = mono(array)  # type: ignore[arg-type]
    assert out.dtype == np.float32
    assert out.tolist() == value


@pytest.mark.parametrize(("array", "reason"), [
    (np.array([0, np.nan]), "sample 1 is not a finite number"),
    (np.array([np.inf]), "sample 0"),
    (np.array([[0, 0], [0, -1e30]]), r"sample 1 is -1e\+30, accepted: -1 to 1, at most 1e\+10"),
    (np.array([1e300]), "sample 0"),
    (np.zeros((2, 3, 4)), "shape"),
    (np.zeros((2, 65)), "shape"),
    (np.array(["a"]), "type <U1"),
    (np.array([1 + 2j]), "type complex"),
    (np.array([2**40]), "type int64"),
])
def test_mono_refuses(array: object, reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        mono(array)  # type: ignore[arg-type]


def test_24_khz_passes_bit_for_bit() -> None:
    samples = np.random.default_rng(1).standard_normal(SAMPLES * 5).astype(np.float32)
    assert pushed(Resample(RATE), samples, [3, 777]).tobytes() == samples.tobytes()
