"""Statistics of a voice over the last seconds: what emotion is read from. Knows no emotion.

A window is looked at by itself and at nothing else: no running sums (their rounding would never be forgotten), no clip
statistic. Means, spreads and percentiles are taken over frames that are voiced, active or loud *within the window*, so
a pause counts for nothing and a gain changes nothing. That is the only speaker normalisation.

All sums are one product: a row of weights for every kind of frame, times the columns and their squares. What is taken
from them stands in two tables, of differences and of spreads; the percentiles are one sort.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facerig.emotion import voice
from facerig.stage import FPS, Frames

WINDOW = 175
"""Frames: 2.9 s, so that all that a stream remembers is four. Half of it decides nothing, twice of it answers late."""
EVERY = 6
"""Frames that share a window, that of the first of them: what is heard over 3 s changes little in a tenth of one."""
STEEP = np.float32(6)  # of the gates on level: from 10 % to 90 % within 3 nepers of power / 4.5
ACTIVE = np.float32(1)  # below the mean level of voiced frames by 4.5 nepers (20 dB): no speech any more
NEAR = np.float32(2)  # below it by 40 dB: not even breath or room between the words; of 1, 1.5, 2, 2.5 about the best
PITCH_STEEP = np.float32(2)  # a semitone above the window's mean counts 88 % as high
SLIGHT = np.float32(1e-3)  # frames
SOME = np.float32(0.05)  # above digital silence, which is never counted: it is a gap in the recording
SHARES = np.array((0.2, 0.5, 0.8), np.float32)  # percentiles; .1 and .9 beside them added nothing
BEYOND = np.float32(1e6)  # added to what is not to be ranked, which so comes last

# Kinds of frames. "high" is voiced and above the window's mean pitch, "moving" voiced before and after.
_KINDS = ("voiced", "active", "loud", "high", "unvoiced", "moving", "near")
# Columns of what is summed: a described frame, its squares, the size of pitch changes, one, nothing.
_ALL = voice.COLUMNS
_MOVE, _ONE, _NOTHING = 2 * _ALL, 2 * _ALL + 1, 2 * _ALL + 2
_WIDE = 2 * _ALL + 3
_CEPS, _TIMBRE = range(voice.CEPSTRA), range(1, voice.CEPSTRA)
_CHANGES = range(voice.CHANGES.start, voice.CHANGES.stop)
_NONE = ("voiced", (_NOTHING,))
_Sums = tuple[str, tuple[int, ...]]


def _of(kind: str, *columns: int) -> _Sums:
    return kind, columns


# Means, each with what is taken off it. 12, 16, 6, 15: how many of the coarsest are worth a statistic.
_DIFFERENCES: tuple[tuple[str, _Sums, _Sums], ...] = (
    ("timbre, voiced", _of("voiced", *_TIMBRE), _NONE),
    ("unvoiced less voiced", _of("unvoiced", *_CEPS[:12]), _of("voiced", *_CEPS[:12])),
    ("change, voiced", _of("voiced", *_CHANGES[:16]), _NONE),
    ("change, active", _of("active", *_CHANGES[:6]), _NONE),
    ("timbre, loud", _of("loud", *_TIMBRE[:15]), _NONE),
    ("pitch", _of("voiced", voice.PITCH), _NONE),
    ("pitch, high", _of("high", voice.PITCH), _of("voiced", voice.PITCH)),
    ("pitch, moving", _of("moving", _MOVE, voice.PITCH_CHANGE), _NONE),
    ("rate", _of("active", voice.VOICED, voice.VOICED_CHANGE, voice.FLUX), _NONE),
    ("flux, voiced", _of("voiced", voice.FLUX), _NONE),
    ("energy", _of("active", voice.LEVEL), _of("voiced", voice.LEVEL)),
    ("level, near", _of("near", voice.LEVEL), _of("voiced", voice.LEVEL)),
    ("mean, near", _of("near", *range(1, _ALL)), _NONE),
)  # fmt: skip
_SPREADS: tuple[tuple[str, _Sums], ...] = (
    ("spread, voiced", _of("voiced", *_CEPS)), ("pitch, spread", _of("voiced", voice.PITCH)),
    ("pitch, jumps", _of("moving", voice.PITCH_CHANGE)), ("energy, spread", _of("active", voice.LEVEL)),
    ("spread, near", _of("near", *range(_ALL))),
)  # fmt: skip
PARTS: tuple[tuple[str, int], ...] = (
    *((name, len(sums[1])) for name, sums, _ in _DIFFERENCES), *((name, len(sums[1])) for name, sums in _SPREADS),
    ("percentiles, near", len(SHARES) * _ALL), ("across, near", _ALL),
)
WIDTH = sum(width for _, width in PARTS)


def _places(*all_of_them: _Sums) -> NDArray[np.intp]:
    """Where sums stand among the flattened products."""
    return np.array([_KINDS.index(kind) * _WIDE + column for kind, columns in all_of_them for column in columns])


def _as_wide(sums: _Sums, as_: _Sums) -> _Sums:
    return (sums[0], sums[1] * len(as_[1])) if sums is _NONE else sums


_PLUS = _places(*(sums for _, sums, _ in _DIFFERENCES))
_MINUS = _places(*(_as_wide(less, sums) for _, sums, less in _DIFFERENCES))
_MEAN = _places(*(sums for _, sums in _SPREADS))
_SQUARE = _MEAN + _ALL
_LOUD = _places(_of("voiced", voice.LEVEL))


def windows(frames: Frames, count: int) -> Frames:
    """[..., WINDOW - 1 + count, columns] -> [..., groups, WINDOW, columns], of EVERY frames one."""
    if count <= EVERY:
        return frames[..., None, :WINDOW, :]  # as a stream goes: nothing is copied
    return np.stack([frames[..., at : at + WINDOW, :] for at in range(0, count, EVERY)], axis=-3)


def statistics(frames: Frames) -> tuple[Frames, Frames]:
    """[..., WINDOW, COLUMNS] -> ([..., WIDTH], [...] seconds of voice in the window)."""
    rows = kinds(frames)
    sums = rows @ _summed(frames)
    counts = sums[..., _ONE : _ONE + 1]
    means = (sums / (counts + SLIGHT)).reshape(*sums.shape[:-2], -1)
    middle = means[..., _MEAN]
    spreads = np.sqrt(np.maximum(means[..., _SQUARE] - middle * middle, np.float32(0)))
    ranks = percentiles(frames, rows[..., -1, :], counts[..., -1, :])
    ranks[..., voice.LEVEL] -= means[..., _LOUD]
    across = ranks[..., -1, :] - ranks[..., 0, :]
    parts = (means[..., _PLUS] - means[..., _MINUS], spreads, ranks.reshape(*across.shape[:-1], -1), across)
    return np.concatenate(parts, axis=-1), counts[..., 0, 0] / np.float32(FPS)


def kinds(frames: Frames) -> Frames:
    """[..., WINDOW, COLUMNS] -> [..., kinds, WINDOW]: how much of each kind a frame is, 0 to 1."""
    level, voiced, pitch = (frames[..., k] for k in (voice.LEVEL, voice.VOICED, voice.PITCH))
    sums = voiced[..., None, :] @ frames[..., : voice.PITCH + 1]
    means = sums[..., 0, :] / (voiced.sum(-1, keepdims=True) + SLIGHT)
    above = level - means[..., voice.LEVEL : voice.LEVEL + 1]
    rows = np.empty((*level.shape[:-1], len(_KINDS), level.shape[-1]), np.float32)
    rows[..., 0, :] = voiced
    np.multiply(above, STEEP, out=rows[..., 2, :])
    np.add(rows[..., 2, :], STEEP * ACTIVE, out=rows[..., 1, :])
    np.multiply(pitch - means[..., voice.PITCH : voice.PITCH + 1], PITCH_STEEP, out=rows[..., 3, :])
    _gate(rows[..., 1:4, :])
    np.multiply(rows[..., 1, :], 1 - voiced, out=rows[..., 4, :])
    rows[..., 2:4, :] *= voiced[..., None, :]
    rows[..., 5, :] = frames[..., voice.BOTH_VOICED]
    rows[..., 6, :] = (above > -NEAR) & (level > voice.SILENCE + SOME)
    return rows


def percentiles(frames: Frames, chosen: Frames, number: Frames) -> Frames:
    """[..., SHARES, COLUMNS] of the chosen frames, [..., 1] in number: the nearest ranks; zeros of less than two."""
    shape = (len(SHARES), frames.shape[-1])
    ranked = (frames + ((1 - chosen) * BEYOND)[..., None]).reshape(-1, *frames.shape[-2:])
    ranked.sort(axis=-2)
    last = np.maximum(number.reshape(-1, 1) - 1, np.float32(0))
    found = ranked[np.arange(len(ranked))[:, None], np.rint(last * SHARES).astype(np.intp)]
    found *= (last > 0)[..., None]
    out: Frames = found.reshape(*frames.shape[:-2], *shape)
    return out


def _summed(frames: Frames) -> Frames:
    """[..., WINDOW, COLUMNS] -> [..., WINDOW, 2 COLUMNS + 3]."""
    out = np.empty((*frames.shape[:-1], _WIDE), np.float32)
    out[..., :_ALL] = frames
    np.multiply(frames, frames, out=out[..., _ALL:_MOVE])
    np.abs(frames[..., voice.PITCH_CHANGE], out=out[..., _MOVE])
    out[..., _ONE], out[..., _NOTHING] = 1, 0
    return out


def _gate(values: Frames) -> None:
    """The logistic function in place; exponents that float32 has not are cut off."""
    np.minimum(np.maximum(values, np.float32(-30), out=values), np.float32(30), out=values)
    np.exp(np.negative(values, out=values), out=values)
    values += 1
    np.reciprocal(values, out=values)
