"""Log-mel features: native frames of audio [n, 400] -> [n, 128], two vectors of 64 bands a frame. No clip statistic.

Each vector looks at the 600 samples (25 ms) that end with its hop of 200, so the stage is causal. The scaling is fixed:
ln of the band's mean power, floored at -100 dB of full scale, shifted and divided to about zero mean and unit variance
on speech at -25 dBFS. Bands end at 7.6 kHz, so that 16 kHz material and better look alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerig.stage import RATE, SAMPLES, Frames, State, exact_div
from facerig.windows import by_rows, windows

HOPS = 2  # per native frame: 8.3 ms resolves a stop's burst, which 16.7 ms blurs
HOP = exact_div(SAMPLES, HOPS)
WINDOW = 600
FFT = 1024
BANDS = 64
LOWEST, HIGHEST = 60.0, 7600.0
FLOOR = 1e-10
MEAN, SPREAD = -13.0, 4.5  # of ln power at -25 dBFS; measured on 30 GRID clips (-13.8, 4.6), rounded

FEATURES = HOPS * BANDS
PAST = WINDOW - HOP  # samples of the frame before that the first window needs


@dataclass(frozen=True)
class LogMel:
    """The stage; `memory` is one frame because PAST (400 samples) is one frame."""

    delay: int = 0
    memory: int = exact_div(PAST, SAMPLES)

    def start(self) -> State:
        return (np.zeros(PAST, np.float32),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        samples = np.concatenate([state[0], frames.reshape(-1)])
        return (samples[len(samples) - PAST :],), log_mel(samples)

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked: states [B, PAST], frames [B, n, 400] -> [B, n, FEATURES]."""
        samples = np.concatenate([state[0], frames.reshape(len(frames), -1)], axis=1)
        return (np.ascontiguousarray(samples[:, samples.shape[1] - PAST :]),), log_mel(samples)


def log_mel(samples: Frames) -> Frames:
    """[..., PAST + n x 400] samples -> [..., n, FEATURES]."""
    spectrum = np.fft.rfft(windows(samples, WINDOW, HOP) * _HANN, FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    bands = np.log(by_rows(power, _FILTERS) + np.float32(FLOOR))
    scaled = (bands - np.float32(MEAN)) / np.float32(SPREAD)
    return np.ascontiguousarray(scaled.reshape(*samples.shape[:-1], -1, FEATURES), np.float32)


def _mel(hertz: float) -> float:
    return 2595.0 * float(np.log10(1 + hertz / 700.0))


def _filters() -> Frames:
    """[FFT / 2 + 1, BANDS] triangles on the mel scale; each sums to one over the window's own power gain."""
    edges = 700.0 * (10 ** (np.linspace(_mel(LOWEST), _mel(HIGHEST), BANDS + 2) / 2595.0) - 1)
    bins = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    # Below 400 Hz a triangle is narrower than a bin and may hold none: give it the nearest one.
    empty = triangles.sum(axis=0) == 0
    triangles[np.abs(bins - middle).argmin(axis=0)[empty], np.flatnonzero(empty)] = 1.0
    gain = float((_HANN.astype(np.float64) ** 2).sum())
    return np.asarray(triangles / triangles.sum(axis=0) / gain, np.float32)


_HANN: Frames = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
_FILTERS: Frames = _filters()
