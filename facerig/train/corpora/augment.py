"""Augmentation of a labelled clip at 24 kHz: any microphone, room, line, loudness and voice, and sounds not spoken.

`augment(audio, labels, rng)` is a pure function of its generator and keeps the number of frames. Speed is applied
first and comes back as `positions`, so that motion targets can follow. `strength` ramps all of it in. The vocal
tract is warped on mel features (`warp_mels`), where it costs nothing. Knows the index of silence and noise, no net.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from facerig.train.corpora import sounds
from facerig.train.corpora.sounds import RATE, Audio

FRAME = 400
SILENCE, NOISE, UNLABELLED = 0, 1, 255
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Options:
    """Chances (of one clip) and ranges; `strength` 0..1 scales the chances and the noise."""

    strength: float = 1.0
    speed: float = 0.5
    speed_range: tuple[float, float] = (0.85, 1.18)
    # played faster: pitch, formants and tempo rise together
    whisper: float = 0.04
    reverb: float = 0.3
    rt60: tuple[float, float] = (0.1, 0.8)
    eq: float = 0.5
    noise: float = 0.5
    snr: tuple[float, float] = (0.0, 30.0)
    # dB, over the speech frames
    events: float = 0.3
    # a breath, cough, click or tone in a pause (or over speech)
    overlap: float = 0.3
    # of the events that fall on speech
    whole: float = 0.02
    # the clip becomes a sound that is not speech
    band: float = 0.2
    # a band limit down to 300..3400 Hz
    codec: float = 0.15
    # mu-law, or the holes a perceptual codec leaves
    gain_db: tuple[float, float] = (-40.0, 0.0)
    clip: float = 0.05
    # overdriven

    def scaled(self) -> Options:
        chances = ("speed", "whisper", "reverb", "eq", "noise", "events", "whole", "band", "codec", "clip")
        low = self.snr[1] + (self.snr[0] - self.snr[1]) * self.strength
        return replace(self, snr=(low, self.snr[1]), **{c: getattr(self, c) * self.strength for c in chances})


class Augmented(NamedTuple):
    """The clip after it; positions[i] is the frame of the input (fractional) that output frame i shows."""

    audio: Audio
    labels: Labels
    positions: NDArray[np.float64]


def augment(audio: Audio, labels: Labels, rng: np.random.Generator, options: Options | None = None) -> Augmented:
    """One random version of a clip; audio has 400 samples a frame."""
    use = (options or Options()).scaled()
    if rng.random() < use.whole:
        return non_speech(len(labels), rng)
    audio, labels, positions = _sped(audio, labels, rng, use)
    if rng.random() < use.whisper:
        audio = whisper(audio, rng)
    if rng.random() < use.events:
        audio, labels = add_event(audio, labels, rng, use.overlap)
    if rng.random() < use.reverb:
        audio = sounds.in_room(audio, sounds.room(rng, rng.uniform(*use.rt60), rng.uniform(0.6, 1.6)))
    if rng.random() < use.eq:
        audio = equalise(audio, rng)
    if rng.random() < use.noise:
        audio = mix(audio, sounds.any_noise(len(audio), rng), float(rng.uniform(*use.snr)), labels)
    return Augmented(_line(audio, rng, use), labels, positions)


def _line(audio: Audio, rng: np.random.Generator, use: Options) -> Audio:
    """What microphone, line and codec do."""
    if rng.random() < use.clip:
        audio = np.clip(audio * np.float32(10 ** rng.uniform(0.2, 1.0)), -1, 1)
    if rng.random() < use.band:
        audio = band_limit(audio, float(rng.uniform(20, 300)), float(np.exp(rng.uniform(np.log(3400), np.log(11000)))))
    if rng.random() < use.codec:
        audio = mu_law(audio) if rng.random() < 0.4 else holes(audio, rng)
    return set_gain(audio, float(rng.uniform(*use.gain_db)))


def _sped(audio: Audio, labels: Labels, rng: np.random.Generator, use: Options) -> Augmented:
    factor = float(rng.uniform(*use.speed_range)) if rng.random() < use.speed else 1.0
    return speed(audio, labels, factor)


def speed(audio: Audio, labels: Labels, factor: float) -> Augmented:
    """Played `factor` times faster, same number of frames: cut, or padded with silence that is unlabelled."""
    frames = len(labels)
    positions = np.arange(frames, dtype=np.float64) * factor
    if factor == 1.0:
        return Augmented(audio, labels, positions)
    at = np.arange(frames * FRAME, dtype=np.float64) * factor
    out = _cubic(audio, at[at < len(audio) - 1])
    out = np.pad(out, (0, frames * FRAME - len(out)))
    index = np.round(positions).astype(np.int64)
    found = np.where(index < frames, labels[np.minimum(index, frames - 1)], UNLABELLED).astype(np.uint8)
    return Augmented(out, found, positions)


def _cubic(audio: Audio, at: NDArray[np.float64]) -> Audio:
    """Catmull-Rom interpolation: flat enough to 8 kHz at these small changes of rate."""
    low = at.astype(np.int64)
    t = (at - low).astype(np.float32)
    padded = np.concatenate([audio[:1], audio, audio[-1:], audio[-1:]])
    a, b, c, d = padded[low], padded[low + 1], padded[low + 2], padded[low + 3]
    half = np.float32(0.5)
    return np.asarray(b + half * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))), np.float32)


def rms(audio: Audio, labels: Labels | None = None) -> float:
    """Root mean square over the frames that are speech (all, where none is labelled)."""
    if labels is not None:
        speech = (labels != SILENCE) & (labels != NOISE)
        if speech.any() and len(audio) == len(labels) * FRAME:
            return float(np.sqrt(np.mean(audio.reshape(-1, FRAME)[speech] ** 2) + 1e-12))
    return float(np.sqrt(np.mean(audio**2) + 1e-12))


def mix(audio: Audio, noise: Audio, snr_db: float, labels: Labels | None = None) -> Audio:
    """Noise added at a signal-to-noise ratio over the speech frames."""
    scale = rms(audio, labels) / (rms(noise) + 1e-9) * 10 ** (-snr_db / 20)
    return np.asarray(audio + np.float32(scale) * noise, dtype=np.float32)


def set_gain(audio: Audio, peak_db: float) -> Audio:
    """Scaled so that the peak lies at peak_db under full scale."""
    peak = float(np.max(np.abs(audio), initial=0.0))
    return np.asarray(audio * np.float32(10 ** (peak_db / 20) / peak), np.float32) if peak > 1e-6 else audio


def band_limit(audio: Audio, low: float, high: float, order: int = 4) -> Audio:
    """A line that passes low..high Hz."""
    sos = butter(order, [low, min(high, 0.49 * RATE)], "bandpass", fs=RATE, output="sos")
    return np.asarray(sosfilt(sos, audio), dtype=np.float32)


def equalise(audio: Audio, rng: np.random.Generator) -> Audio:
    """A microphone's colour: a tilt and two resonances of up to 8 dB, as one short minimum-delay filter."""
    sections = [_peaking(float(rng.uniform(-8, 8)), float(np.exp(rng.uniform(np.log(120), np.log(8000)))), 0.7)
                for _ in range(3)]  # fmt: skip
    return np.asarray(sosfilt(np.array(sections), audio), dtype=np.float32)


def _peaking(gain_db: float, frequency: float, q: float) -> list[float]:
    """A peaking biquad as a row of second-order sections (Bristow-Johnson's audio EQ cookbook)."""
    a, w = 10 ** (gain_db / 40), 2 * np.pi * frequency / RATE
    alpha, cosine = np.sin(w) / (2 * q), np.cos(w)
    first = 1 + alpha / a
    return [(1 + alpha * a) / first, -2 * cosine / first, (1 - alpha * a) / first, 1.0, -2 * cosine / first,
            (1 - alpha / a) / first]  # fmt: skip


def mu_law(audio: Audio, bits: int = 8) -> Audio:
    """Companded to 8 bits and back, full scale at the clip's own peak as a line's gain control would set it."""
    peak = float(np.max(np.abs(audio), initial=0.0)) + 1e-9
    levels = np.float32(2 ** (bits - 1) - 1)
    small = np.sign(audio) * np.log1p(255 * np.abs(audio) / peak) / np.float32(np.log(256))
    back = np.round(small * levels) / levels
    return np.asarray(np.sign(back) * (np.float32(256) ** np.abs(back) - 1) / 255 * peak, dtype=np.float32)


def _frames_of(audio: Audio, size: int, hop: int) -> NDArray[np.float32]:
    padded = np.pad(audio, (size - hop, size))
    count = (len(padded) - size) // hop + 1
    return np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop]


def _overlap_add(frames: NDArray[np.floating], hop: int, samples: int) -> Audio:
    count, size = frames.shape
    out = np.zeros((count + size // hop - 1) * hop, np.float32)
    for k in range(size // hop):
        part = frames[:, k * hop : (k + 1) * hop].reshape(-1)
        out[k * hop : k * hop + len(part)] += part
    return out[size - hop : size - hop + samples]


def holes(audio: Audio, rng: np.random.Generator) -> Audio:
    """What a low-rate perceptual codec leaves: quiet bins are gone, the rest is coarse, the top is cut."""
    size, hop = 512, 256
    window = np.sin(np.pi * (np.arange(size, dtype=np.float32) + 0.5) / size)
    spectrum = np.fft.rfft(_frames_of(audio, size, hop) * window, axis=1)
    magnitude = np.abs(spectrum)
    band = magnitude.reshape(len(magnitude), -1)[:, :256].reshape(len(magnitude), 16, 16).max(axis=2)
    limit = np.repeat(band * np.float32(rng.uniform(0.05, 0.35)), 16, axis=1)
    kept = spectrum[:, :256] * (magnitude[:, :256] > limit)
    kept[:, int(rng.uniform(80, 250)) :] = 0
    spectrum = np.concatenate([kept, np.zeros_like(spectrum[:, :1])], axis=1)
    return _overlap_add(np.fft.irfft(spectrum, size, axis=1) * window, hop, len(audio))


def whisper(audio: Audio, rng: np.random.Generator) -> Audio:
    """Voicing removed: the spectral envelope of each frame, driven by noise; lows and loudness fall as they do."""
    size, hop = 512, 128
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(_frames_of(audio, size, hop) * window, axis=1)
    log = np.log(np.abs(spectrum) + 1e-6)
    cepstrum = np.fft.irfft(log, axis=1)
    keep = 30  # quefrencies: an envelope without the pitch
    cepstrum[:, keep : size - keep + 1] = 0
    envelope = np.exp(np.fft.rfft(cepstrum, axis=1).real)
    hiss = np.fft.rfft(_frames_of(sounds.piece(sounds.bank()["white"], len(audio), rng), size, hop) * window, axis=1)
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    tilt = np.clip(frequency / 700, 0.05, 1.0)
    out = np.fft.irfft(hiss * envelope * tilt, size, axis=1) * window
    done = _overlap_add(out, hop, len(audio))
    return np.asarray(done * (0.3 * rms(audio) / (rms(done) + 1e-9)), dtype=np.float32)


def _pauses(labels: Labels, least: int) -> list[tuple[int, int]]:
    quiet = np.concatenate([[False], (labels == SILENCE) | (labels == NOISE), [False]])
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least]


def add_event(audio: Audio, labels: Labels, rng: np.random.Generator, overlap: float = 0.0) -> tuple[Audio, Labels]:
    """A breath, cough, click or tone in a pause, whose frames become `noise`; over speech, labels stay."""
    pauses = _pauses(labels, 12)
    if not pauses or rng.random() < overlap:
        start = int(rng.integers(max(len(labels) - 20, 1)))
        end = min(start + int(rng.integers(12, 60)), len(labels))
        level = 10 ** (rng.uniform(-25, -8) / 20)
    else:
        first, last = pauses[int(rng.integers(len(pauses)))]
        size = int(rng.integers(10, min(last - first, 60) + 1))
        start = first + int(rng.integers(last - first - size + 1))
        end = start + size
        level = 10 ** (rng.uniform(-22, 3) / 20)
    name = str(rng.choice(["breath", "breath", "cough", "clicks", "tones"]))
    sound = sounds.SOUNDS[name]((end - start) * FRAME, rng)
    out, marked = audio.copy(), labels.copy()
    out[start * FRAME : end * FRAME] += sound * np.float32(level * 3 * rms(audio, labels))
    own = marked[start:end]
    own[own == SILENCE] = NOISE
    return out, marked


def non_speech(frames: int, rng: np.random.Generator) -> Augmented:
    """A whole clip of sounds that are not speech, all labelled noise."""
    samples = frames * FRAME
    out = np.zeros(samples, np.float32)
    for name in rng.choice(list(sounds.SOUNDS), int(rng.integers(1, 3)), replace=False):
        out += sounds.SOUNDS[str(name)](samples, rng) * np.float32(rng.uniform(0.3, 1))
    gained = set_gain(out, float(rng.uniform(-40, 0)))
    return Augmented(gained, np.full(frames, NOISE, np.uint8), np.arange(frames, dtype=np.float64))


def mel_warp_matrix(centres_hz: NDArray[np.floating], factor: float) -> NDArray[np.float32]:
    """[bands, bands]: mels @ matrix are the mels of a vocal tract whose resonances lie `factor` times higher."""
    centres = np.asarray(centres_hz, dtype=np.float64)
    wanted = np.clip(centres / factor, centres[0], centres[-1])
    at = np.interp(wanted, centres, np.arange(len(centres)))
    low = np.minimum(at.astype(int), len(centres) - 2)
    share = at - low
    out = np.zeros((len(centres), len(centres)), np.float32)
    column = np.arange(len(centres))
    np.add.at(out, (low, column), 1 - share)
    np.add.at(out, (low + 1, column), share)
    return out


def warp_mels(mels: NDArray[np.float32], centres_hz: NDArray[np.floating], factor: float) -> NDArray[np.float32]:
    """[..., bands] log-mels with the vocal tract shortened (factor > 1) or lengthened."""
    return np.asarray(mels @ mel_warp_matrix(centres_hz, factor), dtype=np.float32)
