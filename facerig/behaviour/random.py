"""Randomness that needs no state: a number is a function of (seed, stream, index), the same on any day in any order.

Counter-based: the three are mixed by the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), whose output
passes the usual batteries. `STREAMS` gives every use its own number, so that two behaviours never share a coin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.uint64]
Floats = NDArray[np.float64]

STREAMS = {name: number for number, name in enumerate((
    "blink", "blink:kind", "blink:size", "blink:drawn", "blink:length", "blink:opening", "blink:second", "blink:evoked",
    "gaze", "gaze:mode", "gaze:size", "gaze:direction", "gaze:scatter", "gaze:tremor", "sway", "gesture",
    "gesture:kind", "accent", "nod", "nod:size", "nod:count", "react", "tilt",
), start=1)}  # fmt: skip

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = (np.uint64(k) for k in (30, 27, 31, 11))


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
    return _mix(_mix(_unsigned(seed) + number) + _unsigned(index) * _GOLDEN)


def _unsigned(numbers: ArrayLike) -> Bits:
    """Never a scalar: numpy warns when one of them overflows."""
    signed = np.asarray(numbers, np.int64)
    return (signed if signed.ndim else signed[None]).view(np.uint64)


def _key(number: int) -> Bits:
    """What a stream's number adds to a seed: far apart, so that no small seed meets another's stream."""
    return _mix(np.array([number], np.uint64) * _GOLDEN)


_KEYS = {name: _key(number) for name, number in STREAMS.items()}


def uniform(seed: ArrayLike, stream: str | int, index: ArrayLike) -> Floats:
    """In [0, 1)."""
    return np.asarray((bits(seed, stream, index) >> _S11) * 2.0**-53, np.float64)


def normal(seed: ArrayLike, stream: str | int, index: ArrayLike) -> Floats:
    """Standard normal (Box and Muller): two draws of one pair of uniforms."""
    drawn = bits(seed, stream, index)
    radius = np.sqrt(-2 * np.log(((drawn >> _S11) + np.uint64(1)) * 2.0**-53))
    angle = _mix(drawn ^ _GOLDEN) >> _S11
    return np.asarray(radius * np.cos(2 * np.pi * 2.0**-53 * angle), np.float64)


def noise(seed: ArrayLike, stream: str | int, time: Floats, channel: int | NDArray[np.int64] = 0) -> Floats:
    """Value noise in -1..1: random values at whole times, joined by the quintic of Perlin's improved noise.

    Smooth to the second derivative; it never repeats, and any moment is looked up alone. Up to 8 channels a stream.
    """
    whole = np.floor(time)
    part = time - whole
    eased = part * part * part * (part * (part * 6 - 15) + 10)
    places = whole.astype(np.int64) * 8 + channel
    ends = uniform(seed, stream, np.stack([places, places + 8]))
    return np.asarray(2 * (ends[0] + (ends[1] - ends[0]) * eased) - 1, np.float64)


def pick(chances: Any, drawn: Floats) -> NDArray[np.int64]:
    """Which of several, by their chances (they add up to one)."""
    return np.searchsorted(np.cumsum(chances)[:-1], drawn, side="right").astype(np.int64)
