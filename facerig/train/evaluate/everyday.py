"""Sounds of a street and a home that are no speech, for judging alone: no part of training makes or hears them.

24 kHz float32, all synthetic, each from a seed of its own. What training makes (`corpora.sounds`) is not used here, so
that a mouth that stays shut at these has learnt what speech is, and not what those generators sound like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from facerig.stage import RATE

PEAK = 10 ** (-6 / 20)
Floats = NDArray[np.float32]
Wave = NDArray[np.float64]
Random = np.random.Generator


def everyday_sounds(seconds: float = 4.0) -> dict[str, Floats]:
    """Every sound by its name, peak at -6 dB."""
    count = int(seconds * RATE)
    made = {name: make(count, np.random.default_rng(seed)) for seed, (name, make) in enumerate(SOUNDS.items())}
    return {name: (sound * (PEAK / np.abs(sound).max())).astype(np.float32) for name, sound in made.items()}


# ---- what the sounds are made of --------------------------------------------------------------------------


def _time(count: int) -> Wave:
    return np.arange(count) / RATE


def _harmonics(hertz: Wave, partials: int, fall: float = 1.0) -> Wave:
    """A tone of a moving pitch; partial k is 1 / k ** fall as loud, and none passes 11 kHz."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    parts = [np.sin(k * phase) * (hertz * k < 11_000) / k**fall for k in range(1, partials + 1)]
    return np.asarray(np.sum(parts, axis=0))


def _band(sound: Wave, low: float, high: float, order: int = 2) -> Wave:
    sos = butter(order, [low, high], "bandpass", fs=RATE, output="sos")
    return np.asarray(sosfilt(sos, sound), np.float64)


def _struck(seconds: float, partials: Sequence[tuple[float, float, float]]) -> Wave:
    """Something hit: partials of (hertz, loudness, seconds until 1 / e)."""
    time = _time(int(seconds * RATE))
    ringing = [loud * np.sin(2 * np.pi * hertz * time) * np.exp(-time / fade) for hertz, loud, fade in partials]
    return np.asarray(np.sum(ringing, axis=0))


def _burst(seconds: float, fade: float, low: float, high: float, rng: Random) -> Wave:
    """A puff of noise with a sharp beginning."""
    count = int(seconds * RATE)
    return _band(rng.standard_normal(count), low, high) * np.exp(-_time(count) / fade)


def _laid(count: int, pieces: Sequence[tuple[float, Wave]]) -> Wave:
    """Pieces at their seconds; what hangs over the end is cut."""
    out = np.zeros(count)
    for start, piece in pieces:
        at = int(start * RATE)
        if 0 <= at < count:
            out[at : at + len(piece)] += piece[: count - at]
    return out


def _times(count: int, every: float, rng: Random, jitter: float = 0.0) -> list[float]:
    """Beats through a sound, from a tenth of a second on."""
    beats = np.arange(0.1, count / RATE, every)
    return [float(t) for t in beats + rng.uniform(-jitter, jitter, len(beats))]


def _scattered(count: int, a_second: float, rng: Random) -> list[float]:
    """Moments that know nothing of each other."""
    seconds = count / RATE
    return [float(t) for t in rng.uniform(0, seconds, int(a_second * seconds))]


# ---- the sounds --------------------------------------------------------------------------------------------


def siren(count: int, rng: Random) -> Wave:
    """A wail through a horn, up and down in two seconds."""
    return _band(_harmonics(1000 + 450 * np.sin(np.pi * _time(count) - np.pi / 2), 8), 500, 4000)


def sweep(count: int, rng: Random) -> Wave:
    """A test tone from 100 Hz to 8 kHz."""
    return _harmonics(np.geomspace(100, 8000, count), 1)


def beeps(count: int, rng: Random) -> Wave:
    """A microwave oven that is done: 2 kHz, a third of a second, once a second."""
    return _laid(count, [(t, _harmonics(np.full(RATE // 3, 2000.0), 2, 2.0)) for t in _times(count, 1.0, rng)])


def phone(count: int, rng: Random) -> Wave:
    """An old telephone: two bells struck in turn twenty times a second, for two seconds."""
    bells = [_struck(0.3, [(f, 1, 0.12), (2.7 * f, 0.5, 0.06), (5.2 * f, 0.25, 0.03)]) for f in (1050.0, 1320.0)]
    return _laid(count, [(0.2 + k / 20, bells[k % 2]) for k in range(40)])


def horn(count: int, rng: Random) -> Wave:
    """A car's two-toned horn, a long and two short."""

    def blown(seconds: float) -> Wave:
        size = int(seconds * RATE)
        both = _harmonics(np.full(size, 415.0), 20, 0.6) + _harmonics(np.full(size, 523.0), 20, 0.6)
        return np.asarray(both * np.minimum(1, np.minimum(_time(size), _time(size)[::-1]) * 60))

    return _laid(count, [(0.2, blown(1.4)), (2.1, blown(0.4)), (2.8, blown(0.5))])


def applause(count: int, rng: Random) -> Wave:
    """Some forty pairs of hands, each with its own tempo and hollow."""
    pieces: list[tuple[float, Wave]] = []
    for _ in range(40):
        hollow, loud, late = rng.uniform(700, 1800), rng.uniform(0.2, 1), rng.uniform(-0.1, 0.2)
        for start in _times(count, rng.uniform(0.2, 0.32), rng, 0.03):
            pieces.append((start + late, loud * _burst(0.04, 0.006, hollow, hollow * 2.2, rng)))
    return _laid(count, pieces)


def barks(count: int, rng: Random) -> Wave:
    """A dog: a rough tone that jumps up and falls within a fifth of a second."""
    pieces = []
    for start in (0.3, 0.75, 1.5, 1.95, 2.9, 3.3):
        time = _time(int(0.2 * RATE))
        pitch = (320 + 260 * np.sin(np.pi * (time / 0.2) ** 0.6)) * (1 + 0.06 * rng.standard_normal(len(time)))
        voice = _harmonics(pitch, 18, 0.7) + 0.6 * rng.standard_normal(len(time))
        pieces.append((start, (_band(voice, 500, 1300) + 0.4 * _band(voice, 1900, 3200)) * np.sin(np.pi * time / 0.2)))
    return _laid(count, pieces)


def birds(count: int, rng: Random) -> Wave:
    """Trills and falling whistles between 2.5 and 6 kHz."""
    pieces = []
    for start in _times(count, 0.45, rng, 0.1):
        time, base = _time(int(rng.uniform(0.06, 0.25) * RATE)), rng.uniform(3000, 5000)
        pitch = base * (1 - rng.uniform(-0.8, 1.5) * time) + rng.uniform(100, 500) * np.sin(2 * np.pi * 28 * time)
        note = _harmonics(pitch, 2, 2.5) * np.sin(np.pi * time / time[-1])
        pieces += [(start + k * 1.3 * time[-1], note) for k in range(int(rng.integers(1, 4)))]
    return _laid(count, pieces)


def footsteps(count: int, rng: Random) -> Wave:
    """Hard shoes on a wooden floor: heel, board, then the sole."""
    pieces: list[tuple[float, Wave]] = []
    for start in _times(count, 0.52, rng, 0.02):
        heel = _burst(0.05, 0.006, 900, 4500, rng) + _struck(0.05, [(1900.0, 0.3, 0.01)])
        board = 1.5 * _struck(0.2, [(rng.uniform(85, 110), 1, 0.04), (210.0, 0.5, 0.02)])
        pieces += [(start, heel), (start, board), (start + 0.09, 0.35 * _burst(0.08, 0.02, 500, 3000, rng))]
    return _laid(count, pieces)


def keyboard(count: int, rng: Random) -> Wave:
    """Typing: every key knocks as it goes down and ticks as it comes up."""
    pieces: list[tuple[float, Wave]] = []
    for start in _times(count, 0.13, rng, 0.05):
        low, loud = rng.uniform(1500, 2600), rng.uniform(0.4, 1)
        down = _burst(0.05, 0.004, low, 3 * low, rng) + 0.6 * _struck(0.05, [(rng.uniform(250, 400), 1, 0.008)])
        pieces += [(start, loud * down), (start + 0.07, 0.4 * loud * _burst(0.02, 0.003, 3000, 9000, rng))]
    return _laid(count, pieces)


def rain(count: int, rng: Random) -> Wave:
    """Drops on a roof, each with a pitch of its own, over their own hiss."""
    drops = [(t, rng.exponential() * _struck(0.02, [(rng.uniform(1500, 7000), 1, rng.uniform(0.001, 0.004))]))
             for t in _scattered(count, 700, rng)]  # fmt: skip
    return _laid(count, drops) + 0.15 * _band(rng.standard_normal(count), 1000, 9000)


def wind(count: int, rng: Random) -> Wave:
    """Gusts round a corner: noise through a pipe whose pitch rises as it swells."""
    gust = 0.5 + 0.5 * np.sin(2 * np.pi * 0.4 * _time(count)) * np.sin(2 * np.pi * 0.13 * _time(count) + 1)
    noise = rng.standard_normal(count)
    low, high = _band(noise, 150, 450), _band(noise, 500, 900)
    return gust * (low * (1 - 0.6 * gust) + high * 0.6 * gust)


def engine(count: int, rng: Random) -> Wave:
    """A car that pulls away: four strokes of uneven strength through an exhaust, up a gear at two seconds."""
    time = _time(count)
    turns = np.where(time < 2, 14 + 14 * time, 20 + 8 * (time - 2))  # a second
    fired = np.floor(2 * np.cumsum(turns) / RATE).astype(int)
    phase = 2 * np.cumsum(turns) / RATE - fired
    shot = np.exp(-phase * 9) * (0.7 + 0.3 * rng.random(fired.max() + 1))[fired]
    return _band(shot - shot.mean(), 40, 900) + 0.3 * _band(shot * rng.standard_normal(count), 200, 3000)


def door(count: int, rng: Random) -> Wave:
    """A slam: the latch, the leaf in its frame, and the room after it; again at two seconds."""
    leaf = _struck(0.6, [(62.0, 1, 0.12), (118.0, 0.8, 0.08), (187.0, 0.5, 0.06), (320.0, 0.3, 0.03)])
    latch, room = _burst(0.06, 0.008, 1200, 6000, rng), 0.25 * _burst(1.2, 0.25, 150, 2500, rng)
    return _laid(count, [(t + d, part) for t in (0.4, 2.4) for d, part in ((0, latch), (0.02, leaf), (0.02, room))])


def drums(count: int, rng: Random) -> Wave:
    """Eight beats of a drum kit: bass drum, snare, hi-hat."""
    fall = 2 * np.pi * np.cumsum(50 + 110 * np.exp(-_time(RATE // 4) * 30)) / RATE
    kick = 1.3 * np.sin(fall) * np.exp(-_time(RATE // 4) * 14)
    pieces = [(0.1 + k * 0.25, 0.3 * _burst(0.06, 0.015, 6000, 11_000, rng)) for k in range(16)]
    for k in range(0, 8, 2):
        snare = _burst(0.2, 0.05, 800, 8000, rng) + 0.6 * _struck(0.2, [(190.0, 1, 0.05)])
        pieces += [(0.1 + k * 0.5, kick), (0.6 + k * 0.5, snare)]
    return _laid(count, pieces)


def violin(count: int, rng: Random) -> Wave:
    """A bowed melody with vibrato, half a second a note."""
    notes = np.array([440.0, 494, 523, 659, 587, 523, 494, 440])
    time = _time(count)
    each = np.minimum((time * 2).astype(int), len(notes) - 1)
    bowed = _harmonics(notes[each] * (1 + 0.008 * np.sin(2 * np.pi * 5.8 * time)), 16, 0.9)
    stroke = np.minimum(1, (time * 2 % 1) * 12) * np.minimum(1, (1 - time * 2 % 1) * 20)
    return np.asarray((_band(bowed, 350, 6000) + 0.05 * _band(rng.standard_normal(count), 2000, 8000)) * stroke)


SOUNDS: dict[str, Callable[[int, Random], Wave]] = {
    "siren": siren, "sweep": sweep, "beeps": beeps, "phone ring": phone, "car horn": horn, "applause": applause,
    "barking": barks, "birds": birds, "footsteps": footsteps, "keyboard": keyboard, "rain": rain, "wind": wind,
    "engine": engine, "slammed door": door, "drums": drums, "violin": violin,
}  # fmt: skip
