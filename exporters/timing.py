"""The clock of a file: which whole rate do its instants lie on, or does it state one? Knows no format."""

from __future__ import annotations

import math
from typing import Any, cast

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
# How near their frames instants lie that a writer took from a whole rate: in frames, and in seconds, as a timecode
# counts sixtieths by the thousandth, and two of them are compared.
EXACT, EXACT_SECONDS = 1e-3, 2e-5
EVEN = 0.25  # of a frame by which a step may differ from whole frames, where a clock is even
BROKEN = 2e-4  # a rate that lies further from a whole one is another: 29.97 by a thousandth
NEAR = 0.02  # a recording whose measured rate is within 2 % of a common one was meant to have that one


def rows_on_grid(name: str, channels: tuple[str, ...], seconds: ArrayLike, values: ArrayLike,
                 fps: int | None = None) -> Curves:
    """Curves of a file whose rows are frames. With `fps` they stay what they are, if 29.97 of them are a second."""
    times = np.asarray(seconds, np.float64)
    numbers = None if fps is None else _frames(times, fps)
    if numbers is None or fps is None:
        return on_grid(name, channels, seconds, values)
    return on_grid(name, channels, numbers / fps, values, fps)


def _frames(times: NDArray[np.float64], fps: int) -> NDArray[np.float64] | None:
    """The frame of each row by an even clock, some dropped; None where the clock is uneven or says too little."""
    if not np.isfinite(times).all() or not len(times):
        return None
    if len(times) == 1:
        return np.round(times * fps)
    steps = np.diff(times)
    middle = float(np.median(steps))
    usual = steps[np.abs(steps - middle) < EVEN * middle]
    exact = steps / usual.mean() if len(usual) else np.zeros(1)
    counts = np.round(exact)
    if counts.min() < 1 or np.abs(exact - counts).max() > EVEN:
        return None
    rate = float(counts.sum() / (times[-1] - times[0]))
    whole = guess_rate(times)
    first = round(float(times[0]) * (whole if abs(rate - whole) < BROKEN * whole else rate))
    return first + np.concatenate([[0.0], np.cumsum(counts)])


def whole_rate(name: str, what: str, stated: object, fps: int | None) -> int:
    """The whole rate that a file states, or the one that is given in its place."""
    if fps is not None:
        return fps
    try:
        rate = float(cast(Any, stated))
    except (TypeError, ValueError):
        rate = math.nan
    if not 1 <= rate <= MAX_FPS or abs(rate - round(rate)) > 1e-6:
        raise CurvesError(f"{name}: {what}, its frame rate, is {stated}, accepted: a whole number from 1 to {MAX_FPS}; "
                          f"frames of another rate are read with --read-fps, at a whole one")
    return round(rate)


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
    """The whole rate that the instants follow: the one that they all lie on, else the common one nearby, else the
    nearest; 60 where there is no step."""
    if len(seconds) < 2 or seconds[-1] <= seconds[0]:
        return 60
    steps = np.diff(seconds)
    rate = 1 / float(np.median(steps)) if np.median(steps) > 0 else 0.0
    mean = (len(seconds) - 1) / float(seconds[-1] - seconds[0])
    for candidate in (rate, mean):
        nearest = round(min(candidate, MAX_FPS))
        frames = (seconds - seconds[0]) * nearest
        if nearest >= 1 and np.abs(frames - np.round(frames)).max() < max(EXACT, EXACT_SECONDS * nearest):
            return nearest
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
