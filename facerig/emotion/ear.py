"""What a window's statistics say about emotion: scores of seven classes, a mixture, intensity, valence and the like.

The classes are EMO-DB's. A face shows five of them; boredom has no face of its own here and counts as neutral (it still
lowers arousal). The other points of the space - surprise, contempt, amazement, cheekiness, grief, outofbreath, pain -
are never heard: no data at hand says how they sound. Learnt from acted German speech and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facerig.controls import EMOTIONS
from facerig.emotion import weights, window
from facerig.emotion.space import VAD, Vad
from facerig.emotion.voice import REACH, Voice
from facerig.errors import ModelError
from facerig.features import FEATURES
from facerig.stage import Frames

CLASSES = ("angry", "boredom", "disgust", "fear", "happy", "sad", "neutral")
FACELESS = ("boredom", "neutral")
BORED = Vad(-0.65, -0.62, -0.33)  # Russell and Mehrabian (1977) for "bored"
CLIP = np.float32(4)  # standard deviations: what lies further was never met and counts as this far
ENOUGH = np.float32(1.0)  # seconds of voice in the window from which on a score counts whole ...
LITTLE = np.float32(0.3)  # ... and up to which it counts nothing

# [classes, 12]: which column of a mixture a class is.
SHOWN: Frames = np.array([[float(name == emotion) for emotion in EMOTIONS] for name in CLASSES], np.float32)
_PLACES: Frames = np.array([BORED if name == "boredom" else VAD[name] for name in CLASSES], np.float32)


class Reading(NamedTuple):
    """What was heard, a row a frame."""

    scores: Frames
    """[..., 7] in the order of CLASSES; they add up to 1."""
    sure: Frames
    """[...] 0 to 1: how much voice there was to hear it in."""
    intensity: Frames
    """[...] 0 to 1: how far from neutral and boredom."""
    vad: Frames
    """[..., 3] valence, arousal, dominance."""


@dataclass(frozen=True, eq=False)
class Ear:
    """The networks: voice -> statistics -> scores. `members` are read side by side and their logits averaged."""

    voice: Voice
    middle: Frames = field(repr=False)
    spread: Frames = field(repr=False)
    matrix: Frames = field(repr=False)
    """[statistics, classes]"""
    offset: Frames = field(repr=False)

    def scores(self, statistics: Frames) -> Frames:
        """[..., WIDTH] -> [..., 7]."""
        usual = (statistics - self.middle) / self.spread
        logits = np.minimum(np.maximum(usual, -CLIP), CLIP) @ self.matrix + self.offset
        raised = np.exp(logits - logits.max(-1, keepdims=True))
        shares: Frames = raised / raised.sum(-1, keepdims=True)
        return shares

    def read(self, frames: Frames, count: int) -> Reading:
        """Described frames [..., WINDOW - 1 + count, COLUMNS] -> what is heard at the last `count`."""
        scores, sure = self.judge(frames, count)
        return reading(held(scores, count), held(sure[..., None], count)[..., 0])

    def judge(self, frames: Frames, count: int) -> tuple[Frames, Frames]:
        """Scores [..., groups, 7] and how sure they are [..., groups], one for each `window.EVERY` frames."""
        statistics, seconds = window.statistics(window.windows(frames, count))
        return self.scores(statistics), np.minimum(np.maximum((seconds - LITTLE) / (ENOUGH - LITTLE), 0), 1)


def held(groups: Frames, count: int) -> Frames:
    """[..., groups, columns] -> [..., count, columns]: each for all frames of its group."""
    return np.repeat(groups, window.EVERY, axis=-2)[..., :count, :]


def reading(scores: Frames, sure: Frames) -> Reading:
    """Intensity and VAD that follow from the scores."""
    faceless = [CLASSES.index(name) for name in FACELESS]
    intensity: Frames = (1 - scores[..., faceless].sum(-1)) * sure
    return Reading(scores, sure, intensity, (scores @ _PLACES) * sure[..., None])


# ---- as files -------------------------------------------------------------------------------------------------------


def arrays(ear: Ear) -> dict[str, Frames]:
    """Everything that is learnt, by name."""
    pitch = {f"pitch.{k}.{what}": array for k, layer in enumerate(ear.voice.layers)
             for what, array in zip(("matrix", "offset"), layer, strict=True)}
    return {**pitch, "middle": ear.middle, "spread": ear.spread, "matrix": ear.matrix, "offset": ear.offset}


def ear_of(found: Mapping[str, Frames], name: str = weights.NAME) -> Ear:
    """The ear that `arrays` took apart; arrays that do not fit are a ModelError."""
    try:
        layers = tuple((found[f"pitch.{k}.matrix"], found[f"pitch.{k}.offset"]) for k in range(3))
        ear = Ear(Voice(layers), found["middle"], found["spread"], found["matrix"], found["offset"])
        assert ear.matrix.shape == (window.WIDTH, len(CLASSES))
        ear.read(ear.voice(np.zeros((window.WINDOW + REACH, FEATURES), np.float32)), 1)
    except (KeyError, ValueError, AssertionError) as error:
        raise ModelError(f"{name}: its arrays do not fit this version ({str(error)[:60]}); {weights.HINT}") from error
    return ear


def load(folder: Path | None = None) -> tuple[Ear, dict[str, Any]]:
    """The shipped ear (or that of a folder) and its card."""
    found, card = weights.load(folder)
    return ear_of(found), card
