"""A model without weights: deterministic, causal but for its declared delay, good for tests and for seeing a face move.

Loudness opens the jaw; the balance of low and high bands rounds or spreads the lips. It knows no phones, so it never
closes a "p": use it to test what carries curves, never to judge them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerig.features import BANDS, FEATURES, HOPS
from facerig.stage import Frames, State

SPAN = 4  # frames on each side over which loudness is averaged: the delay, like a real model's look-ahead

# channel, gain on loudness, gain on (high bands - low bands); values are clipped to 0..1
RULES: tuple[tuple[str, float, float], ...] = (
    ("jawOpen", 0.55, 0.0),
    ("mouthLowerDownLeft", 0.30, 0.0),
    ("mouthLowerDownRight", 0.30, 0.0),
    ("mouthUpperUpLeft", 0.15, 0.0),
    ("mouthUpperUpRight", 0.15, 0.0),
    ("mouthStretchLeft", 0.0, 0.25),
    ("mouthStretchRight", 0.0, 0.25),
    ("mouthFunnel", 0.0, -0.25),
    ("mouthPucker", 0.0, -0.15),
    ("browInnerUp", 0.08, 0.0),
)
SILENCE, LOUD = -1.6, 0.6  # mean feature of a quiet room and of a raised voice


@dataclass(frozen=True)
class FakeModel:
    """Features [n, 128] -> channels [n, C], SPAN frames late."""

    channels: tuple[str, ...]
    name: str = "fake"
    delay: int = SPAN
    memory: int = 2 * SPAN

    def start(self) -> State:
        return (np.full((self.memory, FEATURES), SILENCE, np.float32),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        seen = np.concatenate([state[0], frames])
        bands = seen.reshape(len(seen), HOPS, BANDS).mean(axis=1)
        loud = np.clip((bands.mean(axis=1) - SILENCE) / (LOUD - SILENCE), 0, 1)
        tilt = np.clip(bands[:, BANDS // 2 :].mean(axis=1) - bands[:, : BANDS // 2].mean(axis=1) + 0.5, -1, 1) * loud
        loud, tilt = _centred(loud, len(frames)), _centred(tilt, len(frames))
        out = np.zeros((len(frames), len(self.channels)), np.float32)
        for channel, on_loudness, on_tilt in RULES:
            if channel in self.channels:
                out[:, self.channels.index(channel)] = np.clip(loud * on_loudness + tilt * on_tilt, 0, 1)
        return (seen[len(frames) :],), out


def _centred(signal: Frames, count: int) -> Frames:
    """Mean over SPAN frames on both sides, added up in a fixed order."""
    total = np.zeros(count, np.float32)
    for lag in range(2 * SPAN + 1):
        total += signal[lag : lag + count]
    return np.asarray(total / np.float32(2 * SPAN + 1), np.float32)
