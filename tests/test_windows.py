"""The plain views are numpy's own windows, for any cut of a signal, and never reach past its end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerig.windows import highest, windows


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_they_are_numpys(streams: int, size: int, length: int, step: int, first: int, strided: bool) -> None:
    signal = np.arange(2 * streams * (size + 14), dtype=np.float32).reshape(streams, -1, 2)
    signal = signal[..., 1] if strided else np.ascontiguousarray(signal[..., 0])
    known = np.lib.stride_tricks.sliding_window_view(signal[:, first:], length, axis=-1)[:, ::step]
    assert np.array_equal(windows(signal, length, step, first), known)
    assert np.array_equal(windows(signal, length, step, first, count=1), known[:, :1])


def test_they_end_with_the_signal_and_are_only_read() -> None:
    signal = np.zeros((2, 10), np.float32)
    with pytest.raises(AssertionError):
        windows(signal, 4, first=5, count=3)
    with pytest.raises(ValueError, match="read-only"):
        windows(signal, 4)[0, 0, 0] = 1


@given(st.integers(1, 3), st.integers(1, 40), st.integers(0, 30))
def test_running_maxima_are_those_of_the_windows(streams: int, length: int, more: int) -> None:
    signal = np.random.default_rng(more).standard_normal((streams, length + more)).astype(np.float32)
    assert np.array_equal(highest(signal, length), windows(signal, length).max(axis=-1))
