"""Measured motion at other tempos: the same lips, said slower and faster. Few minutes were measured, and a decoder that
hears each of them in one way only learns them by heart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facerig.train.data import Float, Store, stretched
from facerig.train.motion import Motion

TEMPO = 0.2  # clips are played at rates within 1 / 1.2 .. 1.2


def at_other_tempos(data: Motion, sources: Sequence[str], copies: int, rng: np.random.Generator) -> Motion:
    """The clips, and so many copies of those of these sources, each at a tempo of its own."""
    picked = [k for k in range(len(data.store.ids)) if data.store.source[k] in sources] * copies
    rates = np.exp(rng.uniform(-1, 1, len(picked)) * np.log1p(TEMPO))
    return data + _copied(data, picked, rates) if picked else data


def _copied(data: Motion, clips: list[int], rates: NDArray[np.float64]) -> Motion:
    held, feats, low, part, counts = data.store, [], [], [], []
    for k, rate in zip(clips, rates, strict=True):
        first, count = int(held.starts[k]), int((held.counts[k] - 1) / rate)
        last = first + int(held.counts[k]) - 1
        feats.append(stretched(held.feats, first, last, count, float(rate)).astype(np.float16))
        place = np.minimum(first + np.arange(count) * rate, last)
        low.append(np.minimum(place.astype(np.int64), last - 1))
        part.append(place - low[-1])
        counts.append(count)
    rows, share = np.concatenate(low), np.concatenate(part).astype(np.float32)
    near = rows + (share > 0.5)
    store = Store(np.concatenate(feats), held.labels[near], np.cumsum([0, *counts[:-1]]), np.array(counts, np.int64),
                  held.trust[clips], held.source[clips], tuple(held.ids[k] for k in clips), held.soft[near])
    teacher = _between(data.teacher.astype(np.float32), rows, share).astype(np.float16)
    return Motion(store, teacher, data.known[near], _between(data.measures, rows, share))


def _between(values: Float, rows: NDArray[np.int64], share: Float) -> Float:
    """Rows read between two frames; unknown where either is."""
    out: Float = values[rows] * (1 - share[:, None]) + values[rows + 1] * share[:, None]
    return out
