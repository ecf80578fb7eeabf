"""Randomness that needs no state: a number is a function of (seed, stream, index), the same on any day in any order.

Counter-based: the three are mixed by the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), whose output
passes the usual batteries. `STREAMS` gives every use its own number, so that two behaviours never share a coin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.uint64]
Floats = NDArray[np.float64]

STREAMS = {name: number for number, name in enumerate((
    "blink", "blink:kind", "blink:size", "blink:drawn", "blink:length", "blink:opening", "blink:second", "blink:evoked",
    "gaze", "gaze:mode", "gaze:size", "gaze:direction", "gaze:scatter", "gaze:tremor", "sway", "gesture",
    "gesture:kind", "accent", "nod", "nod:size", "nod:count", "react", "tilt",
), start=1)}  # fmt: skip

# Arrays without axes: with a numpy scalar an operation on a few numbers takes twice the time.
_GOLDEN = np.array(0x9E3779B97F4A7C15, np.uint64)
_FIRST, _SECOND = np.array(0xBF58476D1CE4E5B9, np.uint64), np.array(0x94D049BB133111EB, np.uint64)
_S30, _S27, _S31, _S11, _ONE = (np.array(k, np.uint64) for k in (30, 27, 31, 11, 1))
_UNIT, _TURN = np.array(2.0**-53), np.array(2 * np.pi * 2.0**-53)


def _mix(value: Bits) -> Bits:
    mixed: Bits = value ^ (value >> _S30)
    mixed *= _FIRST
    mixed ^= mixed >> _S27
    mixed *= _SECOND
    mixed ^= mixed >> _S31
    return mixed


def bits(seed: ArrayLike, stream: str | int, index: ArrayLike) -> Bits:
    """64 random bits for every pair of seed and index (broadcast)."""
    number = _KEYS[stream] if isinstance(stream, str) else _key(stream)
    return drawn(_mix(_unsigned(seed) + number), index)


def keyed(seeds: NDArray[np.int64]) -> Bits:
    """[B] -> [B, 1, STREAMS]: what every stream of randomness makes of a seed, for `drawn` of [B, n, draws]."""
    return _mix(_unsigned(seeds)[:, None, None] + _EVERY_KEY)


def places(*streams: str) -> NDArray[np.intp]:
    """Columns of `keyed`."""
    return np.array([STREAMS[name] - 1 for name in streams], np.intp)


def drawn(keys: Bits, index: ArrayLike) -> Bits:
    """64 random bits for every pair of a keyed seed and an index (broadcast)."""
    return _mix(keys + _unsigned(index) * _GOLDEN)


def _unsigned(numbers: ArrayLike) -> Bits:
    """Never a scalar: numpy warns when one of them overflows."""
    signed = np.asarray(numbers, np.int64)
    return (signed if signed.ndim else signed[None]).view(np.uint64)


def _key(number: int) -> Bits:
    """What a stream's number adds to a seed: far apart, so that no small seed meets another's stream."""
    return _mix(np.array([number], np.uint64) * _GOLDEN)


_KEYS = {name: _key(number) for name, number in STREAMS.items()}
_EVERY_KEY = np.concatenate([_KEYS[name] for name in STREAMS])


def uniform(seed: ArrayLike, stream: str | int, index: ArrayLike) -> Floats:
    """In [0, 1)."""
    return even(bits(seed, stream, index))


def even(random: Bits) -> Floats:
    """Bits as numbers in [0, 1)."""
    return np.asarray((random >> _S11) * _UNIT, np.float64)


def normal(seed: ArrayLike, stream: str | int, index: ArrayLike) -> Floats:
    """Standard normal."""
    return bell(bits(seed, stream, index))


def bell(random: Bits) -> Floats:
    """Bits as numbers that are standard normal (Box and Muller): two draws of one pair of uniforms."""
    radius = np.sqrt(-2 * np.log(((random >> _S11) + _ONE) * _UNIT))
    angle = _mix(random ^ _GOLDEN) >> _S11
    return np.asarray(radius * np.cos(_TURN * angle), np.float64)


def noise(keys: Bits, time: Floats, channel: int | NDArray[np.int64] = 0) -> Floats:
    """Value noise in -1..1: random values at whole times, joined by the quintic of Perlin's improved noise.

    Smooth to the second derivative; it never repeats, and any moment is looked up alone. Up to 8 channels a stream.
    """
    whole = np.floor(time)
    part = time - whole
    eased = part * part * part * (part * (part * 6 - 15) + 10)
    ends = np.empty((2, *time.shape), np.int64)
    np.add(whole.astype(np.int64) * 8, channel, out=ends[0])
    np.add(ends[0], 8, out=ends[1])
    first, last = even(drawn(keys, ends))
    return np.asarray(2 * (first + (last - first) * eased) - 1, np.float64)


def pick(edges: Floats, share: Floats) -> NDArray[np.int64]:
    """Which of several, by the edges between their shares of 0..1."""
    return np.searchsorted(edges, share, side="right").astype(np.int64)
