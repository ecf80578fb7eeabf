"""Heard and asked in one mixture, with the parameters that Audio2Face gives its users. Pure functions on rows.

    heard scores -> contrast -> the strongest few -> strength -> smoothed (in the stage) -> mixed with what is asked
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from facerig.emotion.ear import SHOWN
from facerig.errors import check_option
from facerig.stage import FPS, Frames

A2F_FPS = 30  # the rate at which `live_blend_coef` is applied
TAIL = 0.01  # of the live blend: what is left of it is cut, so that memory ends
MAX_TRANSITION = 1.0  # seconds: the memory of a stream is paid in audio

RANGES = (("contrast", 0.3, 3.0), ("live_blend_coef", 0.0, 0.99), ("preferred_strength", 0.0, 1.0),
          ("strength", 0.0, 1.0), ("max_emotions", 1, 6), ("transition_time", 0.0, MAX_TRANSITION))


@dataclass(frozen=True)
class Blending:
    """Defaults are Audio2Face's."""

    contrast: float = 1.0
    """0.3 to 3: above 1 the strongest emotion takes more, below 1 all come closer."""
    live_blend_coef: float = 0.7
    """0 to 1 (not 1 itself): how much of the last thirtieth of a second is kept."""
    preferred_strength: float = 0.5
    """0 to 1: the share of what is asked where something is asked; where nothing is, the heard one counts whole."""
    strength: float = 0.6
    """0 to 1: of the heard emotion as a whole."""
    max_emotions: int = 3
    """1 to 6: how many may show at once; the strongest stay."""
    transition_time: float = 0.5
    """0 to 1 second over which the heard emotion changes."""

    def __post_init__(self) -> None:
        for name, low, high in RANGES:
            value = getattr(self, name)
            check_option(name, value, f"{low:g} to {high:g}", low <= value <= high)
        check_option("max_emotions", self.max_emotions, "a whole number", self.max_emotions == int(self.max_emotions))

    @cached_property
    def kernel(self) -> Frames:
        """Weights of the last frames, oldest first: the transition (a raised cosine) after the live blend."""
        frames = max(1, round(self.transition_time * FPS))
        rise = 1 - np.cos(2 * np.pi * (np.arange(frames) + 0.5) / frames)
        kept = self.live_blend_coef ** (np.arange(FPS // 2) * A2F_FPS / FPS)
        whole = np.convolve(rise, kept[kept > TAIL])[::-1]
        return np.ascontiguousarray(whole / whole.sum(), np.float32)


def felt(scores: Frames, sure: Frames, blending: Blending) -> Frames:
    """[..., CLASSES] scores that add up to 1 and how sure they are [...] -> [..., 12] shares for a face.

    Contrast works on all classes, so that much `neutral` makes a weak mixture; boredom shows as neutral.
    """
    shown = _sharpened(scores, blending.contrast) @ SHOWN
    place = shown.shape[-1] - blending.max_emotions
    few = shown * (shown >= np.sort(shown, axis=-1)[..., place : place + 1])
    out: Frames = few * (sure * np.float32(blending.strength))[..., None]
    return out


def _sharpened(scores: Frames, contrast: float) -> Frames:
    if contrast == 1:
        return scores
    sharp = np.maximum(scores, np.float32(1e-6)) ** np.float32(contrast)
    shares: Frames = sharp / sharp.sum(-1, keepdims=True)
    return shares


def smoothed(past: Frames, rows: Frames, blending: Blending) -> Frames:
    """[..., len(kernel) - 1 + n, 12] through the kernel: [..., n, 12]. `past` comes before `rows`."""
    out: Frames = _banded(blending, rows.shape[-2]) @ np.concatenate([past, rows], axis=-2)
    return out


@lru_cache(maxsize=64)
def _banded(blending: Blending, count: int) -> Frames:
    """[count, len(kernel) - 1 + count]: the kernel once for each row, each time a frame later."""
    span = len(blending.kernel)
    matrix = np.zeros((count, span - 1 + count), np.float32)
    for row in range(count):
        matrix[row, row : row + span] = blending.kernel
    return matrix


def blend(asked: Frames, intensity: Frames, heard: Frames, share: Frames, blending: Blending) -> tuple[Frames, Frames]:
    """(mixture [..., 12], intensity [..., 1]) of asked and heard; `share` [..., 1] is the control `heard`.

    Where it is 0 both are what was asked, bit for bit. Their product goes evenly from the one to the other.
    """
    wanted = asked * intensity
    engaged = np.minimum(wanted.sum(-1, keepdims=True), 1) * np.float32(blending.preferred_strength)
    together = heard + engaged * (wanted - heard)
    whole = wanted + share * (together - wanted)
    level = intensity + share * (1 - intensity)
    mixture = np.minimum(np.maximum(whole / np.maximum(level, np.float32(1e-6)), 0), 1)  # np.clip takes twice as long
    silent = share <= 0
    if not silent.any():
        return mixture, level
    return np.where(silent, asked, mixture), np.where(silent, intensity, level)
