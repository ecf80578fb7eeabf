"""Augmentation in the log-mel domain: another voice, room, microphone and neighbours for the price of a few sums.

Powers of sounds that are not correlated add, so noise, babble, gain, EQ, telephone bands and reverberation act on band
powers nearly as on samples. What needs the waveform (codecs, whisper, pitch) is done by `corpora.augment`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from facerig.features import BANDS, FEATURES, FLOOR, HOPS, MEAN, SPREAD

DB = float(np.log(10) / 10)
VOICES = 4  # of the batch's other crops that babble is made of
# Power of noise in a band scatters as a gamma variable of this shape, from the lowest band (one bin wide) to the
# highest (eight); windows of 25 ms every 8.3 ms overlap, so neighbours in time agree by half.
SHAPE, WIDEST = 1.3, 8.0
OVERLAP = (0.3, 1.0, 0.3)


@dataclass(frozen=True)
class MelAugment:
    """How often and how strongly; `strength` 0..1 scales it all and is ramped in by the trainer."""

    noise: float = 0.75
    """Share of crops with noise, babble or tones."""
    snr: tuple[float, float] = (0.0, 24.0)
    reverb: float = 0.3
    gain: tuple[float, float] = (-22.0, 8.0)
    warp: float = 0.14
    """Vocal-tract warp: bands move by up to this share."""
    tilt: float = 8.0
    """dB of random equalisation, each way."""
    narrow: float = 0.15
    """Share of crops through a telephone or a poor loudspeaker."""
    empty: float = 0.03
    """Share of crops that hold noise alone, labelled silence."""
    masks: int = 2

    def __call__(self, feats: Tensor, labels: Tensor, rng: np.random.Generator,
                 strength: float) -> tuple[Tensor, Tensor]:
        """(features [B, T, 128], labels [B, T]) -> the same shapes; the label 0 is silence."""
        batch, frames, _ = feats.shape
        bands = feats.reshape(batch, frames * HOPS, BANDS)
        bands = _warped(bands, _column(rng.uniform(-1, 1, batch) * self.warp * strength))
        power = torch.exp(bands * SPREAD + MEAN)
        empty = torch.from_numpy(rng.random(batch) < self.empty * strength)
        power = torch.where(empty[:, None, None], torch.full_like(power, FLOOR), power)
        labels = torch.where(empty[:, None], torch.zeros_like(labels), labels)
        if rng.random() < self.reverb * 2 * strength:
            power = self._reverberated(power, rng)
        power = power * self._equaliser(batch, rng, strength)
        power = power + self._noise(power, empty, rng, strength)
        power = power * self._channel(batch, rng, strength)
        out = (torch.log(power + FLOOR) - MEAN) / SPREAD
        self._mask(out, rng, strength)
        return out.reshape(batch, frames, FEATURES), labels

    def _reverberated(self, power: Tensor, rng: np.random.Generator) -> Tensor:
        """Half the crops get an exponential tail: T60 .15 to .9 s, direct to reverberant 12 to -3 dB."""
        batch = len(power)
        decay = _column(10.0 ** (-6.0 / (rng.uniform(0.15, 0.9, batch) * 120.0)))[:, 0]
        wet = _column(10.0 ** (-rng.uniform(-3, 12, batch) / 10.0) * (rng.random(batch) < 0.5))[:, 0] * (1 - decay)
        tail, rows = torch.zeros_like(power[:, 0]), []
        for row in power.unbind(1):
            tail = tail * decay + row
            rows.append(tail)
        return power + torch.stack(rows, 1) * wet[:, None]

    def _equaliser(self, batch: int, rng: np.random.Generator, strength: float) -> Tensor:
        """Microphone and voice: a smooth random curve over the bands."""
        return torch.exp(_smooth_curves(batch, rng, self.tilt * strength) * DB)[:, None]

    def _channel(self, batch: int, rng: np.random.Generator, strength: float) -> Tensor:
        """Gain, and for some a pass band: telephone (8 kHz) or a small loudspeaker."""
        gain = torch.exp(_column(rng.uniform(*self.gain, batch) * strength) * DB)
        band = torch.arange(BANDS)[None, None]
        narrow = rng.random(batch) < self.narrow * strength
        low = _column(np.where(narrow, rng.uniform(0, 9, batch), -9))
        high = _column(np.where(narrow, rng.uniform(40, 58, batch), 99))
        lost = F.relu(low - band) + F.relu(band - high)
        return gain * torch.exp(-lost * 6.0 * DB)

    def _noise(self, power: Tensor, empty: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
        """Stationary noise, babble of the batch's other crops, or tones, at a random ratio to the crop's level."""
        batch, hops, _ = power.shape
        kind = rng.integers(0, 4, batch)
        colour = torch.exp(_smooth_curves(batch, rng, 15.0) * DB)[:, None]
        grain = _grain(batch, hops, rng)
        swing = torch.exp(_swings(batch, hops, rng) * 8.0 * DB)
        steady = colour * grain * torch.where(torch.from_numpy(kind == 1)[:, None, None], swing, torch.ones(1))
        babble = sum(power.roll(k, 0) for k in range(1, VOICES + 1)) if batch > VOICES else steady
        choice = torch.from_numpy(kind)[:, None, None]
        sound = torch.where(choice == 2, babble, torch.where(choice == 3, _tones(batch, hops, rng) * swing, steady))
        level = power.mean((1, 2), keepdim=True)
        level = torch.where(empty[:, None, None], torch.exp(_column(rng.uniform(-60, -25, batch)) * DB), level)
        ratio = torch.exp(-_column(rng.uniform(self.snr[0] + 20 * (1 - strength), self.snr[1], batch)) * DB)
        wanted = torch.from_numpy(rng.random(batch) < self.noise * strength) | empty
        scale = torch.where(empty[:, None, None], torch.ones(1), ratio) * level
        return sound / (sound.mean((1, 2), keepdim=True) + FLOOR) * scale * wanted[:, None, None]

    def _mask(self, bands: Tensor, rng: np.random.Generator, strength: float) -> None:
        """Bands and moments struck out (in place), so that no single cue is leant on."""
        batch, hops, _ = bands.shape
        for row in range(batch):
            for _ in range(rng.integers(0, self.masks + 1)):
                width = int(rng.integers(0, 1 + int(10 * strength)))
                low = int(rng.integers(0, BANDS - width))
                bands[row, :, low : low + width] = 0.0
                long = int(rng.integers(0, 1 + int(12 * strength)))
                first = int(rng.integers(0, hops - long))
                bands[row, first : first + long] = 0.0


def _column(values: ArrayLike) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))[:, None, None]


def _smooth_curves(batch: int, rng: np.random.Generator, size: float) -> Tensor:
    """[batch, BANDS] sums of slow cosines within about +-size."""
    band = np.linspace(0, np.pi, BANDS)
    order = np.arange(1, 5)
    weights = rng.uniform(-1, 1, (batch, 4)) / order
    return torch.from_numpy((size * weights @ np.cos(np.outer(order, band))).astype(np.float32))


def _grain(batch: int, hops: int, rng: np.random.Generator) -> Tensor:
    """[batch, hops, BANDS] how the power of steady noise scatters about its mean of 1."""
    kernel = np.array(OVERLAP, np.float32)
    shape = (SHAPE + (WIDEST - SHAPE) * np.linspace(0, 1, BANDS) ** 1.5) * (kernel**2).sum() / kernel.sum() ** 2
    raw = rng.standard_gamma(shape.astype(np.float32), (batch, hops + 2, BANDS), np.float32) / shape.astype(np.float32)
    mixed = sum(weight * raw[:, k : k + hops] for k, weight in enumerate(kernel / kernel.sum()))
    return torch.from_numpy(np.asarray(mixed, np.float32))


def _swings(batch: int, hops: int, rng: np.random.Generator) -> Tensor:
    """[batch, hops, 1] slow random levels within about +-1."""
    knots = torch.from_numpy(rng.uniform(-1, 1, (batch, 1, 8)).astype(np.float32))
    return F.interpolate(knots, size=hops, mode="linear", align_corners=True).transpose(1, 2)


def _tones(batch: int, hops: int, rng: np.random.Generator) -> Tensor:
    """[batch, hops, BANDS] a few narrow bands that sound in turn, as notes do."""
    out = np.full((batch, hops, BANDS), 1e-4, np.float32)
    for row in range(batch):
        for _ in range(6):
            first, band = int(rng.integers(0, hops)), int(rng.integers(2, BANDS - 2))
            long = int(rng.integers(10, 120))
            fall = np.exp(-np.arange(min(long, hops - first)) / 40.0).astype(np.float32)
            out[row, first : first + long, band] += fall
            out[row, first : first + long, band + 1] += 0.3 * fall
    return torch.from_numpy(out)


def _warped(bands: Tensor, amount: Tensor) -> Tensor:
    """Bands read at b * (1 + amount), between the bands."""
    place = (torch.arange(BANDS)[None, None] * (1 + amount)).clamp(0, BANDS - 1)
    low = place.long().clamp(max=BANDS - 2)
    part = place - low
    low = low.expand(-1, bands.shape[1], -1)
    return torch.lerp(bands.gather(2, low), bands.gather(2, low + 1), part.expand_as(bands))
