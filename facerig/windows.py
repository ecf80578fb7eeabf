"""Sliding windows over the last axis as a view: what `sliding_window_view` gives, without its cost a call; and products
of rows that do not depend on their number.

A block of 33 ms looks through some thirty windows of a few rows each; there numpy's own checks cost more than the sums.
Knows no meaning of a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def windows(signal: Array, length: int, step: int = 1, first: int = 0, count: int | None = None) -> Array:
    """[..., n] -> [..., count, length]: a window every `step`, from `first` on; as many as there are without `count`.

    A view where the signal is in C order, of a copy otherwise; never to be written to.
    """
    seen = np.ascontiguousarray(signal)
    there = (seen.shape[-1] - first - length) // step + 1
    count = there if count is None else count
    assert first >= 0
    assert count <= there  # else it would read past the end
    stride = seen.strides[-1]
    shape, strides = (*seen.shape[:-1], count, length), (*seen.strides[:-1], step * stride, stride)
    view: Array = np.ndarray(shape, seen.dtype, seen, first * stride, strides)
    view.flags.writeable = False
    return view


def by_rows(rows: Array, matrix: Array) -> Array:
    """[..., n, k] @ [k, m], each row by itself: what a product of many rows gives to one of them depends, in the last
    bit and on some processors (Zen 5), on how many they are, and a stream would differ from a file."""
    out: Array = (rows[..., None, :] @ matrix)[..., 0, :]
    return out


def highest(signal: Array, length: int) -> Array:
    """[..., n] -> [..., n - length + 1]: what `windows(signal, length).max(axis=-1)` gives, by doubling the window."""
    size, tops = 1, signal
    while 2 * size <= length:
        tops, size = np.maximum(tops[..., :-size], tops[..., size:]), 2 * size
    rest = length - size
    return np.maximum(tops[..., : tops.shape[-1] - rest], tops[..., rest:]) if rest else tops
