"""Augmentation: same length, same result for the same generator, and each effect does what it says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.train.corpora import augment as aug
from facerig.train.corpora import conditions, sounds, things
from facerig.train.corpora.sounds import RATE

FRAMES = 90


def _voice(frames: int = FRAMES) -> tuple[sounds.Audio, aug.Labels]:
    """A buzz with formant-like bands, silent in its middle third."""
    time = np.arange(frames * 400) / RATE
    wave = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 25)) * 0.2
    labels = np.full(frames, 20, np.uint8)
    labels[frames // 3 : 2 * frames // 3] = aug.SILENCE
    return (wave * np.repeat(labels > 0, 400)).astype(np.float32), labels


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, FRAMES), st.floats(0, 1))
def test_length_finiteness_and_determinism(seed: int, frames: int, strength: float) -> None:
    audio, labels = _voice(frames)
    options = aug.Options(strength=strength)
    one, two = (aug.augment(audio, labels, np.random.default_rng(seed), options) for _ in range(2))
    assert one.audio.shape == audio.shape
    assert one.audio.dtype == np.float32
    assert one.labels.shape == labels.shape
    assert one.positions.shape == labels.shape
    assert np.isfinite(one.audio).all()
    assert np.abs(one.audio).max(initial=0) <= 1.001
    assert np.array_equal(one.audio, two.audio)
    assert np.array_equal(one.labels, two.labels)


def test_input_is_left_as_it_was() -> None:
    audio, labels = _voice()
    before = audio.copy(), labels.copy()
    for seed in range(20):
        aug.augment(audio, labels, np.random.default_rng(seed), aug.Options(events=1.0, codec=1.0, clip=1.0))
    assert np.array_equal(audio, before[0])
    assert np.array_equal(labels, before[1])


def test_strength_zero_only_sets_the_gain() -> None:
    audio, labels = _voice()
    out = aug.augment(audio, labels, np.random.default_rng(3), aug.Options(strength=0.0))
    assert np.array_equal(out.labels, labels)
    assert np.corrcoef(out.audio, audio)[0, 1] > 0.9999


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.18])
def test_speed_moves_labels_with_the_sound(factor: float) -> None:
    audio, labels = _voice()
    out = aug.speed(audio, labels, factor)
    known = out.labels != aug.UNLABELLED
    loud = np.sqrt(np.mean(out.audio.reshape(-1, 400) ** 2, axis=1)) > 0.02
    assert np.mean(loud[known] == (out.labels[known] > 0)) > 0.96
    assert out.positions[10] == pytest.approx(10 * factor)
    assert (out.labels[-5:] == aug.UNLABELLED).all() == (factor > 1.0)


def test_mix_reaches_the_ratio_over_speech() -> None:
    audio, labels = _voice()
    noise = np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32)
    out = aug.mix(audio, noise, 10.0, labels)
    assert 20 * np.log10(aug.rms(audio, labels) / aug.rms(out - audio)) == pytest.approx(10, abs=0.1)


def test_gain_band_and_law() -> None:
    audio, _ = _voice()
    assert np.abs(aug.set_gain(audio, -40)).max() == pytest.approx(0.01, rel=1e-3)
    spectrum = np.abs(np.fft.rfft(aug.band_limit(audio, 300, 1500)))
    frequency = np.fft.rfftfreq(len(audio), 1 / RATE)
    assert spectrum[frequency > 3300].max() < 0.02 * spectrum.max()
    error = aug.rms(aug.mu_law(audio) - audio)
    assert 0.001 < error / aug.rms(audio) < 0.1


def test_overlap_add_rebuilds() -> None:
    audio, _ = _voice(30)
    window = np.sin(np.pi * (np.arange(512, dtype=np.float32) + 0.5) / 512)
    frames = aug._frames_of(audio, 512, 256) * window * window
    assert np.abs(aug._overlap_add(frames, 256, len(audio)) - audio).max() < 1e-5


def test_whisper_removes_voicing_and_keeps_pauses() -> None:
    audio, _labels = _voice()
    out = aug.whisper(audio, np.random.default_rng(0))
    lag = round(RATE / 140)

    def periodicity(wave: sounds.Audio) -> float:
        piece = wave[:8000]
        return float(np.dot(piece[lag:], piece[:-lag]) / np.dot(piece, piece))

    assert periodicity(audio) > 0.9
    assert periodicity(out) < 0.3
    quiet = out.reshape(-1, 400)[35:55]
    assert aug.rms(quiet.reshape(-1)) < 0.02 * aug.rms(out)


def test_events_fall_in_pauses_and_are_labelled_noise() -> None:
    audio, labels = _voice()
    marked = 0
    for seed in range(10):
        out, found = aug.add_event(audio, labels, np.random.default_rng(seed), overlap=0.0)
        changed = np.abs((out - audio).reshape(-1, 400)).max(axis=1) > 0
        assert (labels[changed] == aug.SILENCE).all()
        assert set(found[found != labels]) <= {aug.NOISE}
        marked += int((found == aug.NOISE).sum())
    assert marked > 50


def test_non_speech_is_all_noise() -> None:
    out = aug.non_speech(50, np.random.default_rng(1))
    assert (out.labels == aug.NOISE).all()
    assert np.abs(out.audio).max() > 0.001


@pytest.mark.parametrize("make", [*sounds.SOUNDS.values(), *things.THINGS.values()])
@pytest.mark.parametrize("samples", [400, 24000])
def test_sounds(make: Callable[[int, np.random.Generator], sounds.Audio], samples: int) -> None:
    out = make(samples, np.random.default_rng(0))
    assert out.shape == (samples,)
    assert np.isfinite(out).all()
    assert np.abs(out).max() == pytest.approx(1.0, abs=0.01)


def test_room_keeps_the_direct_sound_in_place() -> None:
    click = np.zeros(12000, np.float32)
    click[3000] = 1.0
    out = sounds.in_room(click, sounds.room(np.random.default_rng(0), 0.4))
    assert np.argmax(np.abs(out)) == 3000
    assert np.abs(out[:2999]).max() < 1e-5
    assert np.abs(out[4000:]).max() > 1e-4


def test_mel_warp_moves_peaks_by_the_factor() -> None:
    centres = 700 * (10 ** (np.linspace(40, 2800, 80) / 2595) - 1)
    mels = np.exp(-(((centres - 1500) / 200) ** 2)).astype(np.float32)[None]
    for factor in (0.85, 1.0, 1.2):
        out = aug.warp_mels(mels, centres, factor)
        peak = centres[int(np.argmax(out[0]))]
        assert peak == pytest.approx(1500 * factor, rel=0.05)
    assert np.allclose(aug.warp_mels(mels, centres, 1.0), mels, atol=1e-6)


@pytest.mark.parametrize("name", list(conditions.CONDITIONS))
def test_conditions_keep_length_and_place(name: str) -> None:
    audio, labels = _voice()
    once, twice = (conditions.CONDITIONS[name](audio, labels) for _ in range(2))
    assert once.shape == audio.shape
    assert np.isfinite(once).all()
    assert np.array_equal(once, twice)
    loud = np.sqrt(np.mean(once.reshape(-1, 400) ** 2, axis=1))
    if name != "snr0":
        assert loud[5:25].mean() > 1.5 * loud[36:54].mean()


def test_non_speech_sounds_of_the_table() -> None:
    found = conditions.non_speech_sounds(0.5)
    assert len(found) >= 6
    assert all(len(s) == 12000 and np.isfinite(s).all() for s in found.values())
    assert not found["digital silence"].any()
