"""A small aligner of our own: one speaker, known unit sequences, three-state Gaussians from a flat start.

For engines that speak well and tell no times (SVOX Pico), in languages pocketsphinx has no model for. It learns from
the very clips it aligns; a pause between words is optional. Knows no words and no dictionary.
"""

from __future__ import annotations

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
BATCH = 48  # utterances walked at once
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
        self._columns: dict[tuple[str, int], int] = {}
        self._mean = np.zeros((0, 2 * CEPSTRA))
        self._variance = np.ones((0, 2 * CEPSTRA))
        self._scale = np.ones(2 * CEPSTRA)
        self._centre = np.zeros(2 * CEPSTRA)

    def learn(self, utterances: Sequence[Utterance], iterations: int = ITERATIONS) -> float:
        """Flat start, then Viterbi training; returns the last mean log likelihood of a frame."""
        stacked = np.concatenate([u.features for u in utterances])
        self._centre, self._scale = stacked.mean(axis=0), stacked.std(axis=0) + 1e-6
        held = [(self._normal(u.features), _plain(u.units), u.units) for u in utterances]
        names = sorted({(n, s) for _, plain, _ in held for n in plain for s in range(STATES)})
        self._columns = {name: k for k, name in enumerate(names)}
        self._estimate([(x, _flat(x, units), plain) for x, plain, units in held])
        score = 0.0
        for _ in range(iterations):
            found = self._viterbi([(x, units) for x, _, units in held])
            score = float(np.mean([s for _, s in found]))
            self._estimate([(x, path, plain) for (x, plain, _), (path, _) in zip(held, found, strict=True)])
        return score

    def align(self, utterances: Sequence[Utterance]) -> list[tuple[list[Timed], float]]:
        """Timed units and the mean log likelihood of a frame, for each utterance."""
        found = self._viterbi([(self._normal(u.features), u.units) for u in utterances])
        return [(_timed(path, u.units), score) for u, (path, score) in zip(utterances, found, strict=True)]

    def _normal(self, raw: Features) -> Float:
        return np.asarray((raw - self._centre) / self._scale, dtype=np.float64)

    def _estimate(self, held: Sequence[tuple[Float, Path, Sequence[str]]]) -> None:
        """Mean and variance of each state's frames; with few frames nearer to the whole corpus', which are 0 and 1."""
        frames = np.concatenate([x for x, _, _ in held])
        columns = np.concatenate([self._states(plain)[path] for _, path, plain in held])
        count = np.bincount(columns, minlength=len(self._columns)).astype(np.float64)[:, None]
        total, square = np.zeros((2, len(self._columns), frames.shape[1]))
        np.add.at(total, columns, frames)
        np.add.at(square, columns, frames**2)
        self._mean = total / np.maximum(count, 1)
        share = count / (count + 20.0)
        spread = square / np.maximum(count, 1) - self._mean**2
        self._variance = np.maximum(share * spread + (1 - share), MIN_VARIANCE)

    def _states(self, plain: Sequence[str]) -> Path:
        """The column of each state of a unit sequence."""
        return np.array([self._columns[n, s] for n in plain for s in range(STATES)], dtype=np.int64)

    def _likelihood(self, x: Float) -> NDArray[np.float32]:
        """[frames, columns] log likelihoods of diagonal Gaussians."""
        precision = 1 / self._variance
        constant = (self._mean**2 * precision + np.log(self._variance)).sum(axis=1)
        out = -0.5 * (x**2 @ precision.T - 2 * x @ (self._mean * precision).T + constant)
        return np.asarray(out, dtype=np.float32)

    def _viterbi(self, held: Sequence[tuple[Float, Sequence[str]]]) -> list[tuple[Path, float]]:
        """The best path of each utterance, in batches of like length."""
        order = sorted(range(len(held)), key=lambda k: len(held[k][0]))
        found: dict[int, tuple[Path, float]] = {}
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            pieces = [self._likelihood(held[k][0])[:, self._states(_plain(held[k][1]))] for k in batch]
            for k, best in zip(batch, _best_paths(pieces, [held[k][1] for k in batch]), strict=True):
                found[k] = best
        return [found[k] for k in range(len(held))]


def _plain(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(PAUSE if n == OPTIONAL else n for n in names)


def _timed(path: Path, names: Sequence[str]) -> list[Timed]:
    """Frame k is centred on k * HOP: a boundary lies half a hop before its first frame."""
    plain = _plain(names)
    edges = np.flatnonzero(np.diff(path // STATES)) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(path))
    return [
        Timed(max(float(a - 0.5) * HOP, 0.0), float(b - 0.5) * HOP, plain[path[a] // STATES])
        for a, b in zip(starts, ends, strict=True)
    ]


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


def _best_paths(pieces: Sequence[NDArray[np.float32]], names: Sequence[Sequence[str]]) -> list[tuple[Path, float]]:
    """Viterbi over [frames, states] log likelihoods, all at once; an optional pause may be leapt over."""
    lengths = np.array([len(p) for p in pieces])
    states = np.array([p.shape[1] for p in pieces])
    likelihood = np.full((lengths.max(), len(pieces), states.max()), -1e30, np.float32)
    leap = np.zeros(likelihood.shape[1:], bool)  # states that may be entered from before an optional pause
    for b, (piece, own) in enumerate(zip(pieces, names, strict=True)):
        likelihood[: len(piece), b, : piece.shape[1]] = piece
        leap[b, [(k + 1) * STATES for k, n in enumerate(own[:-1]) if n == OPTIONAL]] = True
    total = np.full(leap.shape, -1e30, np.float32)
    total[:, 0] = likelihood[0, :, 0]
    back = np.zeros(likelihood.shape, np.int8)
    last = np.zeros(leap.shape, np.float32)
    for t in range(1, len(likelihood)):
        total, back[t] = _step(total, leap)
        total += likelihood[t]
        ending = lengths == t + 1
        last[ending] = total[ending]
    scores = last[np.arange(len(pieces)), states - 1] / lengths
    paths = _traced(back, lengths, states)
    return [(paths[b, : lengths[b]], float(scores[b])) for b in range(len(pieces))]


def _step(total: NDArray[np.float32], leap: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """The best way into each state: staying, from the state before, or over an optional pause."""
    best, how = total.copy(), np.zeros(total.shape, np.int8)
    moved = np.full_like(total, -1e30)
    moved[:, 1:] = total[:, :-1]
    leapt = np.full_like(total, -1e30)
    leapt[:, STATES + 1 :] = total[:, : -STATES - 1]
    leapt[~leap] = -1e30
    for name, other in ((1, moved), (STATES + 1, leapt)):
        better = other > best
        best[better] = other[better]
        how[better] = name
    return best, how


def _traced(back: NDArray[np.int8], lengths: Path, states: Path) -> Path:
    """[utterances, frames] the states, from each utterance's own end."""
    frames, count = back.shape[:2]
    out = np.zeros((count, frames), np.int64)
    state = states - 1
    every = np.arange(count)
    for t in range(frames - 1, -1, -1):
        active = t < lengths
        out[active, t] = state[active]
        state = np.where(active, np.maximum(state - back[t, every, state], 0), state)
    return out
