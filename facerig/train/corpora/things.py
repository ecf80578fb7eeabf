"""Sounds that things and animals make, in three broad families: tones that move, what is struck, noise that surges.

Each draw has another pitch, rate, band and course, so that what learns to rest at them learns what speech is not, and
not how a bell or a dog sounds. Tones begin above most voices' pitch: a gliding hum at a hundred hertz is a voice.
24 kHz float32, peak about 1; pure functions of their generator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from facerig.train.corpora.sounds import RATE, Audio

HIGHEST = 11_000.0
PITCH = (250.0, 3500.0)
Wave = NDArray[np.float64]
Random = np.random.Generator


def tones(samples: int, rng: Random) -> Audio:
    """One to three tones that hold, glide or waver, blown or bowed or sung by no human, on and off as they like."""
    made = [_tone(samples, rng) * _gates(samples, rng) for _ in range(int(rng.integers(1, 4)))]
    return _peak(np.sum(made, axis=0))


def strokes(samples: int, rng: Random) -> Audio:
    """Hits on something that rings, rattles or thuds: one now and then, or a row of them."""
    out = np.zeros(samples + RATE)
    partials = [(_log(rng, 60, 7000), rng.uniform(0.1, 1), _log(rng, 0.003, 0.4))
                for _ in range(int(rng.integers(1, 6)))]  # fmt: skip
    hiss, low, fade = rng.uniform(0, 1.5), _log(rng, 100, 4000), _log(rng, 0.002, 0.1)
    time = np.arange(RATE) / RATE
    for start in _moments(samples, rng):
        off = rng.uniform(0.97, 1.03)
        ring = sum(loud * np.sin(2 * np.pi * hertz * off * time) * np.exp(-time / die) for hertz, loud, die in partials)
        puff = hiss * _band(rng.standard_normal(RATE), low, 3 * low) * np.exp(-time / fade)
        out[start : start + RATE] += rng.uniform(0.3, 1) * (ring + puff)
    return _peak(out[:samples])


def surges(samples: int, rng: Random) -> Audio:
    """One or two bands of noise that swell, flutter or come in bursts: wind, water, crowds, machines."""
    out = np.zeros(samples)
    for _ in range(int(rng.integers(1, 3))):
        low = _log(rng, 60, 4000)
        out += _band(rng.standard_normal(samples), low, low * rng.uniform(1.3, 8)) * _course(samples, rng)
    return _peak(out)


def scene(samples: int, rng: Random) -> Audio:
    """Two of them at once."""
    one, other = rng.choice(len(FAMILIES), 2, replace=False)
    return _peak(FAMILIES[one](samples, rng) + rng.uniform(0.1, 1) * FAMILIES[other](samples, rng))


FAMILIES = (tones, strokes, surges)
THINGS: dict[str, Callable[[int, Random], Audio]] = {
    "moving tones": tones, "strokes": strokes, "surges": surges, "scene": scene,
}  # fmt: skip


def _tone(samples: int, rng: Random) -> Wave:
    knots = max(2, int(samples / RATE / _log(rng, 0.08, 2.0)) + 1)
    course = np.cumsum(rng.normal(0, rng.choice([0.0, 0.05, 0.3]), knots))
    at = np.linspace(0, samples, knots)
    steps = np.interp(np.arange(samples), at, course)
    if rng.random() < 0.3:  # notes instead of glides
        steps = course[np.minimum((np.arange(samples) * knots // samples), knots - 1)]
    waver = rng.uniform(0, 0.02) * np.sin(2 * np.pi * rng.uniform(3, 12) * np.arange(samples) / RATE)
    rough = rng.choice([0.0, 0.0, 0.06]) * rng.standard_normal(samples)
    hertz = np.clip(_log(rng, *PITCH) * np.exp(steps + waver + rough), PITCH[0] / 2, HIGHEST)
    phase, fall = 2 * np.pi * np.cumsum(hertz) / RATE, rng.uniform(0.4, 2.5)
    parts = [np.sin(k * phase) * (k * hertz < HIGHEST) / k**fall for k in range(1, int(rng.integers(2, 17)))]
    out: Wave = np.sum(parts, axis=0)
    return out


def _gates(samples: int, rng: Random) -> Wave:
    """On all the time, or on and off, with edges of its own."""
    length = _log(rng, 0.06, 1.5)
    edges = np.cumsum(rng.uniform(0.5, 1.5, int(samples / RATE / length * 2) + 4) * length) * RATE
    on = (np.searchsorted(edges, np.arange(samples)) % 2).astype(np.float64)
    if rng.random() < 0.3 or not on.any():
        return np.ones(samples)
    edge = np.hanning(min(int(_log(rng, 0.003, 0.2) * RATE), samples // 2) + 2)[1:-1]
    return np.convolve(on, edge / edge.sum(), "same")


def _course(samples: int, rng: Random) -> Wave:
    """How loud a noise is: a random curve, slow or fluttering."""
    knots = max(3, int(samples / RATE * _log(rng, 0.5, 30)))
    held: Wave = np.interp(np.arange(samples), np.linspace(0, samples, knots), rng.uniform(0, 1, knots) ** 2)
    return held


def _moments(samples: int, rng: Random) -> NDArray[np.int64]:
    """Where hits fall: on a beat, more or less, or anywhere."""
    a_second = _log(rng, 0.5, 25)
    count = max(1, int(samples / RATE * a_second))
    if rng.random() < 0.5:
        return rng.integers(0, samples, count)
    beats = np.arange(count) / a_second + rng.normal(0, rng.uniform(0, 0.2) / a_second, count)
    return np.clip(beats * RATE, 0, samples - 1).astype(np.int64)


def _band(sound: Wave, low: float, high: float) -> Wave:
    sos = butter(2, [low, min(high, HIGHEST)], "bandpass", fs=RATE, output="sos")
    return np.asarray(sosfilt(sos, sound), np.float64)


def _log(rng: Random, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _peak(out: Wave) -> Audio:
    return np.asarray(out / (np.abs(out).max(initial=0.0) + 1e-9), np.float32)
