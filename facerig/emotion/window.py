"""Statistics of a voice over the last seconds, for each frame anew: what emotion is read from. Knows no emotion.

Every frame looks at its own last WINDOW frames and at nothing else: no running sums (their rounding would never be
forgotten), no clip statistic. Means and spreads are weighted by how voiced, how active or how loud a frame is
*within the window*, so a pause counts for nothing and a gain changes nothing. That is the only speaker normalisation.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facerig.emotion import voice
from facerig.stage import FPS, Frames

WINDOW = 180
"""Frames: 3 s. One sentence; half of it decides nothing, twice of it answers late."""
STEEP = np.float32(6)  # of the gates on level: from 10 % to 90 % within 3 nepers of power / 4.5
ACTIVE = np.float32(1)  # below the mean level of voiced frames by 4.5 nepers (20 dB): no speech any more
PITCH_STEEP = np.float32(2)  # a semitone above the window's mean counts 88 % as high
SLIGHT = np.float32(1e-3)

_CEPS = voice.CEPSTRA
_MEAN_U, _CHANGE_V, _CHANGE_A, _MEAN_L = 12, 16, 6, 16
PARTS: tuple[tuple[str, int], ...] = (
    ("timbre, voiced", _CEPS - 1), ("spread, voiced", _CEPS), ("unvoiced less voiced", _MEAN_U),
    ("change, voiced", _CHANGE_V), ("change, active", _CHANGE_A), ("timbre, loud", _MEAN_L - 1), ("pitch", 7),
    ("rate", 4), ("energy", 4),
)  # fmt: skip
WIDTH = sum(width for _, width in PARTS)


def statistics(frames: Frames, count: int) -> tuple[Frames, Frames]:
    """[..., WINDOW - 1 + count, COLUMNS] -> ([..., count, WIDTH], [..., count] seconds of voice in the window)."""
    band = _band(frames.shape[-2], count)
    level, voiced = _column(frames, voice.LEVEL), _column(frames, voice.VOICED)
    ceps = frames[..., voice.CEPS]
    pitch = frames[..., voice.PITCH : voice.PITCH + 1]
    flux, tone = frames[..., voice.FLUX : voice.FLUX + 1], frames[..., :1]
    changes = frames[..., voice.CHANGES]

    weight = band * voiced
    seen = _means(weight, ceps, ceps * ceps, changes[..., :_CHANGE_V], pitch, pitch * pitch, flux, tone * pitch,
                  tone * tone * tone)
    mean, square, change, high, high2, flux_v, product, cube = _split(
        seen, (_CEPS, _CEPS, _CHANGE_V, 1, 1, 1, 1, 1))
    loud = mean[..., :1]
    active = band * _gate(STEEP * (level - loud + ACTIVE))
    louder = weight * _gate(STEEP * (level - loud))
    higher = weight * _gate(PITCH_STEEP * (_column(frames, voice.PITCH) - high))
    around = _means(active, tone, tone * tone, frames[..., voice.VOICED : voice.VOICED + 1],
                    frames[..., voice.VOICED_CHANGE : voice.VOICED_CHANGE + 1], flux, changes[..., :_CHANGE_A])
    energy, energy2, share, flicker, flux_a, change_a = _split(around, (1, 1, 1, 1, 1, _CHANGE_A))
    timbre_l = _means(louder, ceps[..., 1:_MEAN_L])
    timbre_u = _means(active * (1 - voiced), ceps[..., :_MEAN_U])
    moved = _moved(band * _column(frames, voice.BOTH_VOICED), frames)
    above = _means(higher, pitch) - high
    below = _means(weight - higher, pitch) - high
    spread = _root(square - mean * mean)
    off = energy - loud
    around_loud = energy2 - 2 * energy * loud + loud * loud
    skew = cube - 3 * loud * square[..., :1] + 2 * loud * loud * loud
    whole = np.concatenate([
        mean[..., 1:], spread, timbre_u - mean[..., :_MEAN_U], change, change_a, timbre_l,
        high, _root(high2 - high * high), above, below, moved,
        share, flicker, flux_a, flux_v, off, _root(around_loud), product - loud * high, skew,
    ], axis=-1)  # fmt: skip
    return whole, weight.sum(-1) / np.float32(FPS)


@lru_cache(maxsize=64)
def _band(length: int, count: int) -> Frames:
    """[count, length]: one where the row's frame sees the column's."""
    age = np.arange(count)[:, None] + WINDOW - 1 - np.arange(length)[None]
    return ((age >= 0) & (age < WINDOW)).astype(np.float32)


def _column(frames: Frames, place: int) -> Frames:
    """[..., 1, length], to stand beside weights."""
    column: Frames = frames[..., None, :, place]
    return column


def _means(weights: Frames, *columns: Frames) -> Frames:
    """Weighted means [..., count, widths]; nothing where there is no weight."""
    sums = weights @ np.concatenate(columns, axis=-1)
    means: Frames = sums / (weights.sum(-1, keepdims=True) + SLIGHT)
    return means


def _moved(weights: Frames, frames: Frames) -> Frames:
    """How pitch moves where it is known at both ends: mean size, mean, root of mean square."""
    change = frames[..., voice.PITCH_CHANGE : voice.PITCH_CHANGE + 1]
    means = _means(weights, np.abs(change), change, change * change)
    return np.concatenate([means[..., :2], _root(means[..., 2:])], axis=-1)


def _split(values: Frames, widths: tuple[int, ...]) -> list[Frames]:
    ends = np.cumsum(widths)
    return [values[..., end - width : end] for end, width in zip(ends, widths, strict=True)]


def _root(values: Frames) -> Frames:
    return np.asarray(np.sqrt(np.maximum(values, np.float32(0))), np.float32)


def _gate(values: Frames) -> Frames:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, np.float32(-30), np.float32(30)))), np.float32)
