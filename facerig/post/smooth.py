"""Smoothing with a binomial kernel: linear phase, finite memory, nothing overshoots."""

from __future__ import annotations

from math import comb

from facerig.errors import check_option
from facerig.stage import Fir

MAX_FRAMES = 12


def smooth(frames: int, width: int) -> Fir:
    """A stage that averages `frames` frames on each side (0: passes through), `frames` frames late.

    One frame (weights 1 2 1) takes off the frame-to-frame jitter and lowers a closure of 80 ms by less than 2 %; more
    than two rounds consonants off.
    """
    check_option("smooth", frames, f"whole frames from 0 to {MAX_FRAMES}", 0 <= frames <= MAX_FRAMES)
    row = [comb(2 * frames, k) for k in range(2 * frames + 1)]
    return Fir(tuple(weight / sum(row) for weight in row), width)
