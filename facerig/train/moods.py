"""Random courses of the condition for training: emotions alone and mixed, the upper face's own, styles, fades.

Every course is a walk between asked states, with fades of nothing to two thirds of a second, as `Controls` makes them.
"""

from __future__ import annotations

import numpy as np

from facerig.controls import EMOTIONS, STYLE
from facerig.emotion.code import WIDTH
from facerig.emotion.styles import STYLES
from facerig.stage import Frames, eased

INTENSITIES = (1 / 3, 2 / 3, 1.0)
LONGEST_FADE = 40  # frames
STAY = 110  # frames for which a state is kept, on the average


def course(rng: np.random.Generator, frames: int) -> Frames:
    """[frames, 32]."""
    out = np.repeat(state(rng)[None], frames, axis=0)
    at = int(rng.exponential(STAY))
    while at < frames:
        fade, target = int(rng.integers(0, LONGEST_FADE + 1)), state(rng)
        share = np.clip((np.arange(frames - at) + 1) / max(1, fade), 0, 1)[:, None]
        out[at:] += (target - out[at - 1 if at else 0]) * eased(share)
        at += fade + 1 + int(rng.exponential(STAY))
    return np.asarray(out, np.float32)


def state(rng: np.random.Generator) -> Frames:
    """[32] of something one may ask for: in a tenth of all cases nothing."""
    if rng.random() < 0.1:
        return np.zeros(WIDTH, np.float32)
    whole = mixture(rng) if rng.random() < 0.85 else np.zeros(len(EMOTIONS), np.float32)
    upper = mixture(rng) if rng.random() < 0.25 else whole
    return np.concatenate([whole, upper, style(rng)]).astype(np.float32)


def mixture(rng: np.random.Generator) -> Frames:
    """[12]: mostly one emotion, at one of three intensities or any."""
    out = np.zeros(len(EMOTIONS), np.float32)
    count = int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))
    picked = rng.choice(len(EMOTIONS), count, replace=False)
    intensity = float(rng.choice(INTENSITIES)) if rng.random() < 0.6 else float(rng.random())
    out[picked] = rng.dirichlet(np.ones(count)) * intensity
    return out


def style(rng: np.random.Generator) -> Frames:
    """[8]: none, a named one by some share, or any few numbers."""
    kind = rng.random()
    if kind < 0.45:
        return np.zeros(STYLE, np.float32)
    if kind < 0.7:
        names = list(STYLES)
        named = np.array(STYLES[names[int(rng.integers(len(names)))]], np.float32)
        return np.asarray(named * rng.choice([0.5, 1.0]), np.float32)
    return np.asarray(rng.uniform(-1, 1, STYLE) * (rng.random(STYLE) < 0.4), np.float32)
