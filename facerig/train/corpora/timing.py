"""Where labels lie against the signal: median offset per source and kind of boundary, without any model.

A boundary's instant in the signal is where an energy crosses midway between its levels before and after the label;
offset = signal - label, so positive means that the label is early. Four kinds are clear enough for that:
  onset    silence -> vowel, nasal or approximant     full band, rising
  offset   vowel or nasal -> silence                  full band, falling
  closure  vowel -> voiceless stop                    full band, falling
  hiss     vowel -> s or sh (its start)               above 3.5 kHz, rising
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.signal import butter, sosfiltfilt

from facerig.phones import Timed, units
from facerig.train.corpora.base import Float, Int16

HOP = 0.002
REACH = 0.07  # seconds searched on either side
MAX_SHIFT = 0.025  # seconds: more is no bias but a failure
STEP_DB = 8.0  # a boundary whose level changes by less says nothing


def _kinds() -> dict[str, str]:
    return {u.unit: u.kind for u in units()}


def boundary_kind(before: str, after: str) -> str:
    """Which of the four a boundary is, or ''."""
    kinds = _kinds()
    a, b = kinds[before], kinds[after]
    if a == "silence" and b in ("vowel", "nasal", "approximant", "lateral"):
        return "onset"
    if a in ("vowel", "nasal") and b == "silence":
        return "offset"
    if a == "vowel" and after in ("p", "t", "k"):
        return "closure"
    return "hiss" if a == "vowel" and after in ("s", "sh") else ""


def level_db(samples: Float, rate: int) -> Float:
    """Energy in dB every HOP, 8 ms Hann windows centred on k * HOP."""
    hop, half = round(HOP * rate), round(0.004 * rate)
    window = np.hanning(2 * half + 1)
    smooth = np.convolve(samples**2, window / window.sum(), mode="same")
    floor = 1e-9 + 1e-7 * float(smooth.max(initial=0.0))
    return np.asarray(10 * np.log10(smooth[::hop] + floor))


def crossing(level: Float, at: float, rising: bool) -> float | None:
    """The instant where the level crosses midway between its two sides, or None where it hardly changes."""
    reach = round(REACH / HOP)
    centre = round(at / HOP)
    piece = level[max(centre - reach, 0) : centre + reach + 1]
    if centre - reach < 0 or len(piece) < 2 * reach + 1:
        return None
    piece = piece if rising else -piece
    low, high = np.percentile(piece[:reach], 20), np.percentile(piece[reach:], 80)
    if high - low < STEP_DB:
        return None
    above = piece > (low + high) / 2
    steps = np.flatnonzero(~above[:-1] & above[1:])
    if len(steps) == 0:
        return None
    best = steps[np.argmin(np.abs(steps - reach))]
    return float((centre - reach + best + 0.5) * HOP)


def offsets(samples: Int16, rate: int, timed: Sequence[tuple[float, float, str]]) -> list[tuple[str, float]]:
    """(kind, signal - label in seconds) of the clear boundaries of a clip."""
    wave = samples.astype(np.float64) / 32768
    full = level_db(wave, rate)
    high: Float | None = None
    found = []
    for (_, _, before), (start, _, after) in itertools.pairwise(timed):
        kind = boundary_kind(before, after)
        if not kind:
            continue
        if kind == "hiss" and high is None:
            sos = butter(4, min(3500, 0.4 * rate), "highpass", fs=rate, output="sos")
            high = level_db(sosfiltfilt(sos, wave), rate)
        level = high if kind == "hiss" and high is not None else full
        instant = crossing(level, start, kind in ("onset", "hiss"))
        if instant is not None:
            found.append((kind, instant - start))
    return found


def snap_pauses(samples: Int16, rate: int, timed: Sequence[Timed]) -> list[Timed]:
    """The labels with onsets after a pause and offsets before one moved to where the signal shows them."""
    full = level_db(samples.astype(np.float64) / 32768, rate)
    out = list(timed)
    for k in range(1, len(out)):
        kind = boundary_kind(out[k - 1].unit, out[k].unit)
        if kind not in ("onset", "offset"):
            continue
        instant = crossing(full, out[k].start, kind == "onset")
        if instant is not None and out[k - 1].start + HOP < instant < out[k].end - HOP:
            out[k - 1], out[k] = out[k - 1]._replace(end=instant), out[k]._replace(start=instant)
    return out


def bias(found: Iterable[tuple[str, float]]) -> float:
    """One shift for a voice's labels, in seconds: the median of the boundaries inside speech, at most MAX_SHIFT."""
    inside = [offset for kind, offset in found if kind in ("closure", "hiss")]
    return float(np.clip(np.median(inside), -MAX_SHIFT, MAX_SHIFT)) if len(inside) >= 10 else 0.0


def summary(found: Iterable[tuple[str, float]]) -> dict[str, tuple[int, float, float]]:
    """kind -> (count, median ms, half the middle 50 % in ms)."""
    held: dict[str, list[float]] = defaultdict(list)
    for kind, offset in found:
        held[kind].append(1000 * offset)
    quartiles = {k: np.percentile(v, [25, 50, 75]) for k, v in held.items()}
    return {k: (len(held[k]), round(float(q[1]), 1), round(float(q[2] - q[0]) / 2, 1)) for k, q in quartiles.items()}
