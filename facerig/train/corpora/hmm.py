"""A small aligner of our own: one speaker, known unit sequences, three-state Gaussians from a flat start.

For engines that speak well and tell no times (SVOX Pico), in languages pocketsphinx has no model for. It learns from
the very clips it aligns; a pause between words is optional. Knows no words and no dictionary.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from facerig.phones import Timed
from facerig.train.corpora.base import Float, Int16

HOP = 0.005
WINDOW = 0.02
STATES = 3  # per unit: at least 15 ms
CEPSTRA = 13
BANDS = 26
PAUSE = "sil"
OPTIONAL = "sil?"  # a pause that may be skipped
MIN_VARIANCE = 0.05  # of features whose variance over the corpus is 1
ITERATIONS = 6
DITHER = 2e-4  # of full scale: digital silence and an engine's own pauses must look alike

Features = NDArray[np.float32]
Path = NDArray[np.int64]


@dataclass(frozen=True)
class Utterance:
    """A clip to align: its features and its units, pauses included."""

    features: Features
    units: tuple[str, ...]


def features(samples: Int16, rate: int) -> Features:
    """[frames, 26] cepstra and their slopes every HOP, frame k centred on k * HOP."""
    hop, size = round(HOP * rate), round(WINDOW * rate)
    wave = samples.astype(np.float64) / 32768
    wave += DITHER * np.random.default_rng(0).standard_normal(len(wave))
    wave = np.append(wave[:1], wave[1:] - 0.97 * wave[:-1])
    padded = np.pad(wave, (size // 2, size))
    count = len(samples) // hop + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop][:count]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), 512)) ** 2
    logs = np.log(power @ _mel_bank(rate) + 1e-7)
    cepstra = dct(logs, axis=1, norm="ortho")[:, :CEPSTRA]
    slope = np.gradient(cepstra, axis=0) if len(cepstra) > 1 else np.zeros_like(cepstra)
    wide = (np.roll(slope, 2, 0) + np.roll(slope, -2, 0) + slope) / 3
    return np.concatenate([cepstra, wide], axis=1).astype(np.float32)


def _mel_bank(rate: int) -> Float:
    def mel(f: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(2595 * np.log10(1 + np.asarray(f) / 700))

    edges = np.linspace(float(mel(60)), float(mel(min(7600, rate / 2))), BANDS + 2)
    at = mel(np.asarray(np.fft.rfftfreq(512, 1 / rate), dtype=np.float64))[:, None]
    up, down = (at - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.asarray(np.clip(np.minimum(up, down), 0, None))


class Aligner:
    """Learns from utterances of one voice, then gives each its times."""

    def __init__(self) -> None:
        self._mean: dict[str, Float] = {}
        self._variance: dict[str, Float] = {}
        self._scale = np.ones(2 * CEPSTRA)
        self._centre = np.zeros(2 * CEPSTRA)

    def learn(self, utterances: Sequence[Utterance], iterations: int = ITERATIONS) -> float:
        """Flat start, then Viterbi training; returns the last mean log likelihood of a frame."""
        stacked = np.concatenate([u.features for u in utterances])
        self._centre, self._scale = stacked.mean(axis=0), stacked.std(axis=0) + 1e-6
        held = [(self._normal(u.features), u.units) for u in utterances]
        self._estimate([(x, _flat(x, units), units) for x, units in held])
        score = 0.0
        for _ in range(iterations):
            found = [(x, *self._viterbi(x, units)) for x, units in held]
            score = float(np.mean([s for _, _, _, s in found]))
            self._estimate([(x, path, units) for x, path, units, _ in found])
        return score

    def align(self, utterance: Utterance) -> tuple[list[Timed], float]:
        """Timed units and the mean log likelihood of a frame."""
        path, units, score = self._viterbi(self._normal(utterance.features), utterance.units)
        edges = np.flatnonzero(np.diff(path // STATES)) + 1
        starts, ends = np.append(0, edges), np.append(edges, len(path))
        # frame k is centred on k * HOP: a boundary lies half a hop before its first frame
        timed = [Timed(max(float(a - 0.5) * HOP, 0.0), float(b - 0.5) * HOP, units[path[a] // STATES])
                 for a, b in zip(starts, ends, strict=True)]  # fmt: skip
        return timed, score

    def _normal(self, raw: Features) -> Float:
        return np.asarray((raw - self._centre) / self._scale, dtype=np.float64)

    def _estimate(self, held: Sequence[tuple[Float, Path, Sequence[str]]]) -> None:
        frames: dict[str, list[Float]] = {}
        for x, path, units in held:
            edges = np.append(np.append(0, np.flatnonzero(np.diff(path)) + 1), len(path))
            for a, b in itertools.pairwise(edges):
                frames.setdefault(f"{units[path[a] // STATES]}/{path[a] % STATES}", []).append(x[a:b])
        for name, parts in frames.items():
            stacked = np.concatenate(parts)
            self._mean[name] = stacked.mean(axis=0)
            share = len(stacked) / (len(stacked) + 20.0)  # few frames: nearer to the whole corpus' variance of 1
            self._variance[name] = np.maximum(share * stacked.var(axis=0) + (1 - share), MIN_VARIANCE)

    def _viterbi(self, x: Float, units: Sequence[str]) -> tuple[Path, tuple[str, ...], float]:
        """The best path; optional pauses it skipped are left out of the units that the path indexes."""
        plain = tuple(PAUSE if u == OPTIONAL else u for u in units)
        likelihood = self._likelihood(x, plain)
        skip = np.zeros(likelihood.shape[1], bool)  # states that may be entered from before an optional pause
        for k, unit in enumerate(units[:-1]):
            if unit == OPTIONAL and k > 0:
                skip[(k + 1) * STATES] = True
        path, score = _best(likelihood, skip, units[-1] == OPTIONAL, units[0] == OPTIONAL)
        used = np.unique(path // STATES)
        renumbered = np.searchsorted(used, path // STATES) * STATES + path % STATES
        return renumbered, tuple(plain[k] for k in used), score

    def _likelihood(self, x: Float, units: Sequence[str]) -> Float:
        names = sorted(set(units))
        table = {}
        for name in names:
            for s in range(STATES):
                mean = self._mean.get(f"{name}/{s}", np.zeros(x.shape[1]))
                variance = self._variance.get(f"{name}/{s}", np.ones(x.shape[1]))
                table[name, s] = -0.5 * (((x - mean) ** 2 / variance).sum(axis=1) + np.log(variance).sum())
        return np.stack([table[unit, s] for unit in units for s in range(STATES)], axis=1)


def _flat(x: Float, units: Sequence[str]) -> Path:
    """Equal shares between the first and the last loud frame; pauses within are left out."""
    loud = np.flatnonzero(x[:, 0] > np.percentile(x[:, 0], 95) - 2.0)
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(x))
    inner = [k for k, u in enumerate(units) if u not in (PAUSE, OPTIONAL)]
    states = np.array([k * STATES + s for k in inner for s in range(STATES)])
    path = states[np.minimum((np.arange(last - first) * len(states)) // max(last - first, 1), len(states) - 1)]
    head = np.minimum(np.arange(first) * STATES // max(first, 1), STATES - 1)
    rest = len(x) - last
    tail = (len(units) - 1) * STATES + np.minimum(np.arange(rest) * STATES // max(rest, 1), STATES - 1)
    return np.concatenate([head, path, tail]).astype(np.int64)


def _best(likelihood: Float, skip: NDArray[np.bool_], open_end: bool, open_start: bool) -> tuple[Path, float]:
    frames, states = likelihood.shape
    total = np.full(states, -np.inf)
    total[0] = likelihood[0, 0]
    if open_start:
        total[STATES] = likelihood[0, STATES]
    back = np.zeros((frames, states), np.int8)
    for t in range(1, frames):
        one = np.append(-np.inf, total[:-1])
        leap = np.where(skip, np.append(np.full(STATES + 1, -np.inf), total[: -STATES - 1]), -np.inf)
        stacked = np.stack([total, one, leap])
        back[t] = stacked.argmax(axis=0)
        total = stacked.max(axis=0) + likelihood[t]
    state = states - 1
    if open_end and total[states - 1 - STATES] > total[state]:
        state = states - 1 - STATES
    score = float(total[state]) / frames
    path = np.zeros(frames, np.int64)
    step = np.array([0, 1, STATES + 1])
    for t in range(frames - 1, -1, -1):
        path[t] = state
        state = max(state - int(step[back[t, state]]), 0)
    return path, score
