"""Sounds that are not speech, all synthetic: coloured noise, breath, cough, clicks, hum, music-like tones, rooms.

24 kHz float32, peak about 1. Every function is a pure function of its generator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, oaconvolve, sosfilt

RATE = 24000
COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0, "speech": 1.5}  # power falls as 1 / f ** value
BANK_SECONDS = 20

Audio = NDArray[np.float32]


def coloured(samples: int, exponent: float, rng: np.random.Generator) -> Audio:
    """Noise whose power falls as 1 / f ** exponent, rms 1; flat under 60 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 60.0)
    out = np.fft.irfft(spectrum * frequency ** (-exponent / 2), samples)
    return np.asarray(out / (np.sqrt(np.mean(out**2)) + 1e-12), dtype=np.float32)


@functools.lru_cache(maxsize=4)
def bank(seed: int = 0) -> dict[str, Audio]:
    """Twenty seconds of each colour, to cut pieces from."""
    rng = np.random.default_rng(seed)
    return {name: coloured(RATE * BANK_SECONDS, exponent, rng) for name, exponent in COLOURS.items()}


def piece(noise: Audio, samples: int, rng: np.random.Generator) -> Audio:
    """A random stretch of a longer noise, wrapped at its end."""
    start = int(rng.integers(len(noise)))
    out = np.resize(np.roll(noise, -start) if samples > len(noise) - start else noise[start:], samples)
    return np.asarray(out, dtype=np.float32)


def any_noise(samples: int, rng: np.random.Generator) -> Audio:
    """A stretch of one colour, sometimes slowly swelling, sometimes with mains hum."""
    held = bank()
    out = piece(held[str(rng.choice(list(held)))], samples, rng)
    if rng.random() < 0.3:
        swell = np.interp(np.arange(samples), np.linspace(0, samples, 9), rng.uniform(0.2, 1.6, 9))
        out = out * swell.astype(np.float32)
    if rng.random() < 0.2:
        out = out + hum(samples, rng)
    return out


def hum(samples: int, rng: np.random.Generator) -> Audio:
    """Mains hum with harmonics."""
    base = float(rng.choice([50.0, 60.0]))
    time = np.arange(samples, dtype=np.float32) / RATE
    out = np.zeros(samples, np.float32)
    for k in (1, 2, 3, 5):
        out += np.float32(rng.uniform(0.1, 1.0) / k) * np.sin(2 * np.pi * base * k * time, dtype=np.float32)
    return out


def _band(noise: Audio, low: float, high: float) -> Audio:
    sos = butter(2, [low, min(high, 11500)], "bandpass", fs=RATE, output="sos")
    return np.asarray(sosfilt(sos, noise), dtype=np.float32)


def _peak(out: NDArray[np.floating]) -> Audio:
    return np.asarray(out / (np.max(np.abs(out), initial=0.0) + 1e-9), dtype=np.float32)


def breath(samples: int, rng: np.random.Generator) -> Audio:
    """One breath over the whole stretch: band noise that swells and fades."""
    noise = piece(bank()["white"], samples, rng)
    shape = np.sin(np.pi * np.linspace(0, 1, samples) ** rng.uniform(0.6, 1.6)) ** rng.uniform(1, 2.5)
    low = rng.uniform(300, 1200)
    return _peak(_band(noise, low, low * rng.uniform(3, 8)) * shape)


def cough(samples: int, rng: np.random.Generator) -> Audio:
    """One to three bursts with a hollow resonance and a fast decay."""
    out = np.zeros(samples)
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(max(samples - RATE // 5, 1)))
        size = min(int(RATE * rng.uniform(0.12, 0.35)), samples - start)
        centre = rng.uniform(400, 1100)
        burst = _band(piece(bank()["white"], size, rng), centre, centre * 2.2)
        burst = burst + 0.5 * _band(piece(bank()["white"], size, rng), 1500, 5000)
        out[start : start + size] += burst * np.exp(-np.arange(size) / (RATE * rng.uniform(0.03, 0.09)))
    return _peak(out)


def clicks(samples: int, rng: np.random.Generator) -> Audio:
    """Clicks, taps, typing: short decaying impulses."""
    out = np.zeros(samples)
    size = min(RATE // 50, samples)
    for _ in range(int(rng.integers(1, 2 + samples * 6 // RATE))):
        start = int(rng.integers(max(samples - size, 1)))
        decay = np.exp(-np.arange(size) / (RATE * rng.uniform(0.0005, 0.006)))
        out[start : start + size] += rng.uniform(0.2, 1) * rng.standard_normal(size) * decay
    return _peak(out)


def tones(samples: int, rng: np.random.Generator) -> Audio:
    """Music-like: chords of decaying harmonic tones on a beat, sometimes with drums."""
    out = np.zeros(samples, np.float32)
    beat = int(RATE * rng.uniform(0.18, 0.6))
    root = rng.uniform(80, 500)
    for start in range(0, samples, beat):
        size = min(int(beat * rng.uniform(0.8, 3.0)), samples - start)
        time = np.arange(size, dtype=np.float32) / RATE
        note = np.zeros(size, np.float32)
        for step in rng.choice([0, 2, 3, 4, 5, 7, 9, 12], int(rng.integers(1, 4)), replace=False):
            frequency = root * 2 ** (step / 12)
            for k in range(1, int(rng.integers(2, 7))):
                note += np.sin(2 * np.pi * frequency * k * time, dtype=np.float32) * np.float32(rng.uniform(0.2, 1) / k)
        out[start : start + size] += note * np.exp(-time * np.float32(rng.uniform(1, 8)))
        if rng.random() < 0.3:
            drum = min(RATE // 10, size)
            out[start : start + drum] += 2 * piece(bank()["white"], drum, rng) * np.exp(-time[:drum] * 40)
    return _peak(out)


def steady(samples: int, rng: np.random.Generator) -> Audio:
    """Noise without events, as a sound of its own."""
    return _peak(any_noise(samples, rng))


SOUNDS: dict[str, Callable[[int, np.random.Generator], Audio]] = {
    "breath": breath, "cough": cough, "clicks": clicks, "tones": tones, "steady": steady,
}  # fmt: skip


def room(rng: np.random.Generator, rt60: float, direct: float = 1.0) -> Audio:
    """An impulse response: the direct sound at sample 0, some early reflections, a decaying tail."""
    size = max(int(RATE * rt60 * 0.7), 64)
    time = np.arange(size) / RATE
    tail = rng.standard_normal(size) * np.exp(-6.9 * time / rt60)
    tail[: int(RATE * 0.003)] = 0
    for _ in range(6):
        tail[int(rng.integers(40, max(min(size, RATE // 25), 41)))] += rng.uniform(-3, 3)
    tail *= 0.9 / np.sqrt(np.sum(tail**2) + 1e-9)
    tail[0] = direct
    return tail.astype(np.float32)


def in_room(audio: Audio, response: Audio) -> Audio:
    """The sound in a room, same length, same loudness, no delay of the direct sound."""
    out = oaconvolve(audio, response)[: len(audio)]
    before, after = np.sqrt(np.mean(audio**2) + 1e-12), np.sqrt(np.mean(out**2) + 1e-12)
    return np.asarray(out * (before / after), dtype=np.float32)
