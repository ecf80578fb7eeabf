"""How something is said: voicing, pitch around the speaker's middle, loudness, stressed syllables, ends of phrases.

A stage: native frames of audio [n, 400] -> [n, P], the columns of PROSODY, `delay` frames late so that a stressed
syllable is known when the face that says it is shown. Everything is a sum, a maximum or a median over a finite window
(no recursive filter), so a stream is rebuilt from its last `memory` frames. Knows no words and no face.

Pitch: autocorrelation of 50 ms at 6 kHz, divided by the window's own (Boersma, IFA Proceedings 17, 1993: 97-110).
Stress: a syllable stands out by loudness and pitch together (Silipo and Greenberg, ICPhS 1999: 2351-2354, energy and
duration lead, pitch adds); the weights here are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import check_option
from facerig.stage import RATE, SAMPLES, Frames, State, exact_div
from facerig.windows import highest, windows

Array = NDArray[Any]

PROSODY = ("voice", "voiced", "pitch", "energy", "accent", "phrase_end", "onset")
"""voice: 0..1, somebody speaks (short gaps are filled); voiced: 0 or 1, this frame; pitch: semitones around the
speaker's middle, 0 where unvoiced; energy: 0..1 between the running floor and the running level; accent: 0..1 on the
one frame of a stressed syllable's nucleus; phrase_end: 1 on the one frame 200 ms after speech stopped for 300 ms;
onset: 1 on the one frame where speech begins after a pause."""
VOICE, VOICED, PITCH, ENERGY, ACCENT, PHRASE_END, ONSET = range(len(PROSODY))

# ---- pitch
STEP = 4  # decimation: 24 -> 6 kHz
LOW_RATE = exact_div(RATE, STEP)
LOW_SAMPLES = exact_div(SAMPLES, STEP)  # a frame at 6 kHz
TAPS = 32  # of the decimating low-pass, 1.2 kHz: five harmonics of a high voice are enough
EIGHT = exact_div(TAPS, STEP)  # low samples that the low-pass reaches over
WINDOW = 3 * LOW_SAMPLES  # 50 ms, three periods of the lowest voice; one frame each side of the middle one
FFT = 640  # at least twice the window
SHORTEST, LONGEST = 12, 86  # lags: 500 to 70 Hz
LAG_COST = 0.08  # per octave downwards: of two near peaks the shorter period counts (Boersma has .01 and a path search)
VOICED_FROM = 0.5  # normalised correlation (Boersma's voicing threshold .45; noise of 50 ms reaches .4)
QUIET_DB = -55.0  # of full scale: nothing below counts as a voice
BELOW_LEVEL_DB = 32.0  # under the loudest of the last second: the room after a word is not the word
MIDDLE = 240  # frames (4 s) of the running speaker middle ...
PRIOR_SEMITONES, PRIOR_FRAMES = 8.7, 20.0  # ... which begins at 165 Hz (between men's 120 and women's 210)
# ---- level, stress, phrases
SPAN = 150  # frames (2.5 s) of the running floor and level
MIN_RANGE_DB, MAX_RANGE_DB = 15.0, 40.0  # between floor and level: noise is not blown up, silence is no floor
ACCENT_HALF = 4  # frames on each side that a nucleus must top: syllables are 100-250 ms long
ACCENT_FROM, ACCENT_FULL = 0.35, 1.1  # prominence where an accent begins, and where it is 1
PITCH_SHARE = 0.12  # prominence a semitone above the middle; 10 dB above the mean of 1 s are 1
MEAN_SPAN = 60
GAP_BACK, GAP_AHEAD = 14, 5  # frames: unvoiced stretches up to 0.3 s belong to speech
PAUSE_BEHIND, PAUSE_AHEAD = 12, 6  # a phrase ended: nothing voiced from 200 ms ago to 100 ms ahead
PHRASE = 60  # frames before the end ...
PHRASE_VOICED = 12  # ... that hold at least 0.2 s of voice

DELAY = 8  # as the shipped model and its lips: prosody costs no latency of its own
_LOOK = 1  # frames ahead that the pitch window reaches
_RAW = ("strength", "semitones", "decibels")
_KEPT = MIDDLE + MEAN_SPAN + 2 * ACCENT_HALF + DELAY  # frames of raw measures that a stream remembers


@dataclass(frozen=True)
class Prosody:
    """The stage. What a row says is known DELAY frames later and no sooner; given out with a shorter `delay` it is said
    of a later frame, by the rest: gestures then follow the voice, and the lips need not wait for them."""

    delay: int = DELAY

    def __post_init__(self) -> None:
        check_option("delay", self.delay, f"frames from 0 to {DELAY}", 0 <= self.delay <= DELAY)

    @property
    def memory(self) -> int:
        return _KEPT + 2 + DELAY

    def start(self) -> State:
        raw = np.zeros((_KEPT, len(_RAW)), np.float32)
        raw[:, 2] = -100.0
        return (np.zeros(2 * SAMPLES + TAPS, np.float32), raw)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        state, out = self.push_batch(tuple(array[None] for array in state), frames[None])
        return tuple(array[0] for array in state), out[0]

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked: states [B, ...], frames [B, n, 400] -> [B, n, P]."""
        samples = np.concatenate([state[0], frames.reshape(len(frames), -1)], axis=1)
        raw = np.concatenate([state[1], _measures(samples, frames.shape[1])], axis=1)
        out = _columns(raw, frames.shape[1], DELAY)
        return (samples[:, frames.shape[1] * SAMPLES :], raw[:, frames.shape[1] :]), out


# ---- what a frame is -------------------------------------------------------------------------------------------------


def _measures(samples: Frames, count: int) -> Frames:
    """2 frames + TAPS + count frames of samples -> [B, count, 3] of the frames that are _LOOK frames old."""
    correlation = _correlation(_lowered(samples), count)
    out = np.empty((len(samples), count, len(_RAW)), np.float32)
    out[..., 0], lag = _peak(correlation)
    out[..., 1] = 12 * np.log2(LOW_RATE / lag / 100.0)  # above 100 Hz
    own = samples[:, TAPS + SAMPLES : TAPS + (count + 1) * SAMPLES].reshape(len(samples), count, SAMPLES)
    power = np.add.reduce(own.astype(np.float64) ** 2, axis=-1) / SAMPLES
    out[..., 2] = 10 * np.log10(power + 1e-10)
    return out


def _lowered(samples: Frames) -> Frames:
    """[B, TAPS + 4 m] at 24 kHz -> [B, m] at 6 kHz.

    The sum over the taps is written out in the order of numpy's own (eight partial sums, then pairs), so that it runs
    along the samples and not along the taps: half the time. A BLAS product would differ by batch size.
    """
    count = samples.shape[1] // STEP - EIGHT
    phases = np.ascontiguousarray(samples.reshape(len(samples), -1, STEP).swapaxes(1, 2))
    batch, phase, sample = phases.strides
    shape, strides = (len(samples), EIGHT, STEP, count), (batch, sample, phase, sample)
    tapped = np.ndarray(shape, np.float32, phases, sample, strides) * _LOW_PASS
    part = np.add.reduce(tapped.reshape(len(samples), -1, EIGHT, count), axis=1)
    part = part[:, 0::2] + part[:, 1::2]
    part = part[:, 0::2] + part[:, 1::2]
    return np.asarray(part[:, 0] + part[:, 1], np.float32)


def _correlation(low: Frames, count: int) -> Frames:
    """[B, count, LONGEST + 2]: normalised autocorrelation of each frame's window."""
    own = windows(low, WINDOW, LOW_SAMPLES, count=count)
    centred = (own - np.add.reduce(own, axis=-1, keepdims=True) / _WIDTH) * _HANN
    spectrum = np.fft.rfft(centred, FFT)
    product = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, FFT)[..., : LONGEST + 2]
    return np.asarray(product / (product[..., :1] + 1e-9) / _OWN, np.float32)


def _peak(correlation: Frames) -> tuple[Frames, Frames]:
    """(strength, lag between samples) of the best period."""
    inner = correlation[..., SHORTEST : LONGEST + 1]
    left, right = correlation[..., SHORTEST - 1 : LONGEST], correlation[..., SHORTEST + 1 : LONGEST + 2]
    score = np.where((inner >= left) & (inner >= right), inner - _COST, _NO_PEAK)
    best = score.argmax(axis=-1)
    first = np.arange(0, correlation.size, correlation.shape[-1]).reshape(best.shape)  # of each row, all end to end
    before, here, after = np.take(correlation, first + (best + SHORTEST) + _AROUND)
    bend = before - 2 * here + after
    shift = np.where(bend < -1e-6, 0.5 * (before - after) / np.minimum(bend, np.float32(-1e-6)), np.float32(0))
    strength = here * (np.maximum.reduce(score, axis=-1) > _NO_PEAK)
    return strength, SHORTEST + best + np.minimum(np.maximum(shift, -0.5), 0.5)


# ---- what it means among its neighbours ----------------------------------------------------------------------------


def _columns(raw: Frames, count: int, delay: int) -> Frames:
    """[B, KEPT + count, 3] -> [B, count, P] of the frames that are `delay` frames old."""
    at = raw.shape[1] - count - (delay - _LOOK)  # the row of the first frame that is shown
    strength, semitones, decibels = np.ascontiguousarray(raw.transpose(2, 0, 1))
    floor = np.minimum.reduce(_window(decibels, at, count, SPAN - 1, 0), axis=-1)
    level = np.maximum.reduce(_window(decibels, at, count, SPAN - 1, 2), axis=-1)
    level = np.maximum(level, QUIET_DB + MIN_RANGE_DB)
    voiced = (strength > VOICED_FROM) & (decibels > QUIET_DB) & (decibels > _levels(decibels) - BELOW_LEVEL_DB)
    span = np.minimum(np.maximum(level - floor, MIN_RANGE_DB), MAX_RANGE_DB)
    energy = (decibels[:, at : at + count] - (level - span)) / span
    counts = np.cumsum(voiced, axis=1)
    relative = _relative(semitones, voiced, counts, at, count)
    spoken = _run(voiced)
    out = np.empty((*floor.shape, len(PROSODY)), np.float32)
    out[..., VOICE] = _near(spoken, at, count)
    out[..., VOICED] = voiced[:, at : at + count]
    out[..., PITCH] = relative[:, ACCENT_HALF:-ACCENT_HALF]
    out[..., ENERGY] = np.minimum(np.maximum(energy, 0), 1)
    out[..., ACCENT] = _accents(decibels, voiced, counts, relative, at, count)
    out[..., PHRASE_END] = _ends(spoken, at, count)
    out[..., ONSET] = _onsets(spoken, at, count)
    return out


def _window(signal: Array, at: int, count: int, back: int, ahead: int) -> Array:
    """[B, count, back + 1 + ahead]: the neighbourhood of each shown frame."""
    return windows(signal, back + 1 + ahead, first=at - back, count=count)


def _levels(decibels: Frames) -> Array:
    """The loudest of the second before, at every remembered frame, as far as it is remembered."""
    padded = np.empty((len(decibels), MEAN_SPAN + decibels.shape[1]), decibels.dtype)
    padded[:, :MEAN_SPAN], padded[:, MEAN_SPAN:] = decibels[:, :1], decibels
    return highest(padded, MEAN_SPAN + 1)


def _run(voiced: Array) -> Array:
    """Voiced for two frames on end: a click is no voice."""
    out = np.zeros_like(voiced)
    np.logical_and(voiced[:, 1:], voiced[:, :-1], out=out[:, 1:])
    return out


def _relative(semitones: Frames, voiced: Array, counts: Array, at: int, count: int) -> Array:
    """Pitch around the speaker's middle, for the shown frames and ACCENT_HALF on each side; 0 where unvoiced. `counts`:
    of voiced frames so far."""
    first, wide = at - ACCENT_HALF, count + 2 * ACCENT_HALF
    spans = _window(semitones * voiced.astype(np.float64), first, wide, MIDDLE - 1, 0)
    total = np.add.reduce(spans, axis=-1) + PRIOR_FRAMES * PRIOR_SEMITONES
    middle = total / (_lately(counts, first, wide, MIDDLE) + PRIOR_FRAMES)
    own = _median(semitones[:, first - 1 : first + wide + 1], voiced[:, first - 1 : first + wide + 1])
    around = np.minimum(np.maximum(own - middle, -24), 24)
    return np.asarray(np.where(voiced[:, first : first + wide], around, 0))


def _lately(counts: Array, first: int, wide: int, span: int) -> Array:
    """[B, wide]: by how much a count has grown over the last `span` frames."""
    return np.asarray(counts[:, first : first + wide] - counts[:, first - span : first + wide - span])


def _median(semitones: Frames, voiced: Array) -> Frames:
    """[B, n + 2] -> [B, n]: of a voiced frame and its voiced neighbours; the lower one of two."""
    heard = np.where(voiced, semitones, _UNHEARD)
    before, own, after = heard[:, :-2], heard[:, 1:-1], heard[:, 2:]
    low, high = np.minimum(before, own), np.maximum(before, own)
    all_three = voiced[:, :-2] & voiced[:, 2:]
    return np.where(all_three, np.maximum(low, np.minimum(high, after)), np.minimum(low, after))


def _near(spoken: Array, at: int, count: int) -> Array:
    """Speech around: 1 from 80 ms before a voiced stretch to 230 ms after it, with edges of a few frames."""
    return np.asarray(np.maximum.reduce(_window(spoken, at, count, GAP_BACK, GAP_AHEAD) * _NEAR, axis=-1))


def _accents(decibels: Frames, voiced: Array, counts: Array, relative: Array, at: int, count: int) -> Array:
    """Strength on the frame whose prominence tops its neighbours' and stands out of the last second; else 0."""
    first, wide = at - ACCENT_HALF, count + 2 * ACCENT_HALF
    heard = _window(np.where(voiced, decibels, np.float32(0)), first, wide, MEAN_SPAN, 0)
    known = _lately(counts, first, wide, MEAN_SPAN + 1)
    average = np.add.reduce(heard, axis=-1) / np.maximum(known, 1)
    local = np.add.reduce(_window(decibels, first, wide, 2, 2) * _SMOOTH, axis=-1)
    loud = np.where(known > 0, (local - average) / 10, 0)
    prominence = np.where(voiced[:, first : first + wide], 0.5 + loud + PITCH_SHARE * relative, 0)
    near = windows(prominence, 2 * ACCENT_HALF + 1)
    own = near[..., ACCENT_HALF]
    above = own > np.maximum.reduce(near[..., :ACCENT_HALF], axis=-1)
    top = above & (own >= np.maximum.reduce(near[..., ACCENT_HALF + 1 :], axis=-1))
    strength = np.minimum(np.maximum((own - ACCENT_FROM) / (ACCENT_FULL - ACCENT_FROM), 0), 1)
    return np.where(top, strength, 0)


def _ends(spoken: Array, at: int, count: int) -> Array:
    """1 where the last voiced frame is PAUSE_BEHIND frames old, none comes soon, and enough was said before."""
    since = _window(spoken, at, count, PAUSE_BEHIND, PAUSE_AHEAD)
    quiet = since[..., 0] & ~np.logical_or.reduce(since[..., 1:], axis=-1)
    said = np.add.reduce(_window(spoken, at, count, PAUSE_BEHIND + PHRASE, 0), axis=-1)
    return np.asarray(quiet & (said >= PHRASE_VOICED))


def _onsets(spoken: Array, at: int, count: int) -> Array:
    """1 where speech begins after a pause of PAUSE_BEHIND + PAUSE_AHEAD frames."""
    before = _window(spoken, at, count, PAUSE_BEHIND + PAUSE_AHEAD, 0)
    return np.asarray(before[..., -1] & ~np.logical_or.reduce(before[..., :-1], axis=-1))


def _low_pass() -> Frames:
    """[EIGHT, STEP, 1]: windowed sinc, 1.2 kHz at 24 kHz."""
    time = np.arange(TAPS) - (TAPS - 1) / 2
    taps = np.sinc(2 * 1200 / RATE * time) * np.hamming(TAPS)
    return np.asarray(taps / taps.sum(), np.float32).reshape(EIGHT, STEP, 1)


def _window_correlation() -> Frames:
    spectrum = np.fft.rfft(_HANN.astype(np.float64), FFT)
    own = np.fft.irfft(np.abs(spectrum) ** 2, FFT)[: LONGEST + 2]
    return np.asarray(own / own[0], np.float32)


_LOW_PASS: Frames = _low_pass()
_WIDTH: Frames = np.array(WINDOW, np.float32)
_HANN: Frames = np.hanning(WINDOW + 2)[1:-1].astype(np.float32)
_OWN: Frames = _window_correlation()
_NO_PEAK, _UNHEARD = np.array(-1, np.float32), np.array(np.inf, np.float32)
_AROUND = np.array([-1, 0, 1]).reshape(3, 1, 1)
_COST: Frames = (LAG_COST * np.log2(np.arange(SHORTEST, LONGEST + 1) / SHORTEST)).astype(np.float32)
_NEAR: Array = np.concatenate([np.linspace(0.2, 1, 5), np.ones(GAP_BACK - 4), np.linspace(0.8, 0, GAP_AHEAD)])
_SMOOTH: Frames = np.array([1, 2, 3, 2, 1], np.float32) / np.float32(9)
