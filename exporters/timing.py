"""The clock of a file that stores instants and no frame rate: which integer grid do they lie on? Knows no format."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerig.curves import MAX_FPS, Curves
from facerig.errors import CurvesError

COMMON_RATES = (24, 25, 30, 48, 50, 60, 72, 90, 96, 100, 120)
# Frames by which an instant may be off and still be its row's: some writers put milliseconds in the place of the
# frame's thousandths, which shifts a row by nearly one. A dropped frame shifts all that follow by a whole one.
JITTER = 0.99
MAX_FRAMES = 5_000_000  # 23 hours at 60: a file that spans more has a damaged time
MAX_CELLS = 300_000_000
NEAR = 0.02  # a recording whose measured rate is within 2 % of a common one was meant to have that one


def on_grid(name: str, channels: tuple[str, ...], seconds: ArrayLike, values: ArrayLike,
            fps: int | None = None) -> Curves:
    """Curves from rows at instants; dropped frames are filled linearly, times that go back are refused."""
    times = np.asarray(seconds, np.float64)
    rows = np.asarray(values, np.float64).reshape(len(times), len(channels))
    if len(times) and not np.isfinite(times).all():
        raise CurvesError(f"{name}: a time is not a finite number")
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        raise CurvesError(f"{name}: time goes back after row {int(back[0]) + 1} "
                          f"({times[back[0]]:g} s, then {times[back[0] + 1]:g} s)")
    rate = fps or guess_rate(times)
    return _gridded(name, channels, rate, times, rows)


def check_span(name: str, frames: float, channels: int) -> None:
    """A single damaged instant must not ask for all the memory there is."""
    if not frames <= MAX_FRAMES or frames * channels > MAX_CELLS:
        raise CurvesError(f"{name}: spans {frames:.0f} frames of {channels} channels, accepted: up to {MAX_FRAMES} "
                          f"frames and {MAX_CELLS} values; is a time damaged?")


def guess_rate(seconds: NDArray[np.float64]) -> int:
    """The whole rate that the instants follow: the common one nearby, else the nearest; 60 where there is no step."""
    if len(seconds) < 2 or seconds[-1] <= seconds[0]:
        return 60
    steps = np.diff(seconds)
    rate = 1 / float(np.median(steps)) if np.median(steps) > 0 else 0.0
    mean = (len(seconds) - 1) / float(seconds[-1] - seconds[0])
    for candidate in (rate, mean):
        near = [common for common in COMMON_RATES if abs(common - candidate) <= NEAR * common]
        if near:
            return min(near, key=lambda common: abs(common - candidate))
    return int(min(max(round(mean), 1), MAX_FPS))


def _gridded(name: str, channels: tuple[str, ...], rate: int, times: NDArray[np.float64],
             rows: NDArray[np.float64]) -> Curves:
    if not len(times) or not channels:
        start = round(float(times[0]) * rate) if len(times) else 0
        return Curves(channels, rate, rows.astype(np.float32), start)
    start = round(float(times[0]) * rate)
    ideal = (start + np.arange(len(times))) / rate
    if np.abs(ideal - times).max() < JITTER / rate:  # every row is its own frame
        return Curves(channels, rate, rows.astype(np.float32), start)
    check_span(name, float(times[-1] - times[0]) * rate, len(channels))
    instants = times[0] + np.arange(round(float(times[-1] - times[0]) * rate) + 1) / rate  # in step with the first row
    filled = np.stack([np.interp(instants, times, column) for column in rows.T], axis=1)
    return Curves(channels, rate, filled.astype(np.float32), start)
