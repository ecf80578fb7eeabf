"""The stage that hears emotion: [features 128 | controls] -> controls whose emotion is the blend of heard and asked.

It adds nothing to the look-ahead. Emotion is slow: a frame is judged by its own last three seconds (and the transition
time of `Blending`), by windows that forget exactly, so memory is finite and streaming equals offline bit for bit.
Where the control `heard` is 0 a row leaves as it came. Knows no sound and no face.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from facerig import controls
from facerig.controls import EMOTIONS
from facerig.emotion import ear as ears
from facerig.emotion.blend import Blending, blend, felt, smoothed
from facerig.emotion.ear import Ear, Reading, held, reading
from facerig.emotion.voice import REACH, SILENCE
from facerig.emotion.window import EVERY, WINDOW
from facerig.features import FEATURES
from facerig.stage import Frames, State

_EMOTION = controls.group("emotion")
_INTENSITY, _HEARD = controls.group("intensity"), controls.group("heard")


@lru_cache(maxsize=1)
def shipped() -> Ear:
    """The ear that is installed, read once."""
    return ears.load()[0]


@dataclass(frozen=True, eq=False)
class Heard:
    """State: features not yet described, described frames of the window, heard mixtures not yet smoothed."""

    ear: Ear = field(default_factory=shipped, repr=False)
    blending: Blending = field(default_factory=Blending)
    delay: int = 0

    @property
    def memory(self) -> int:
        return REACH + EVERY - 1 + WINDOW - 1 + len(self.blending.kernel) - 1

    def start(self) -> State:
        """Silence."""
        described = np.repeat(self.ear.voice.silence(), WINDOW - 1, axis=0)
        return (np.full((REACH, FEATURES), SILENCE, np.float32), described,
                np.zeros((len(self.blending.kernel) - 1, len(EMOTIONS)), np.float32))

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        state, rows = self.push_batch(tuple(array[None] for array in state), frames[None])
        return tuple(array[0] for array in state), rows[0]

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked: states [B, ...], frames [B, n, 128 + WIDTH] -> [B, n, WIDTH]."""
        state, _, _, heard = self._listen(state, frames[..., :FEATURES])
        return state, self.blended(frames[..., FEATURES:], heard)

    def hear(self, state: State, feats: Frames) -> tuple[State, Reading, Frames]:
        """The listening half: [B, n, 128] -> what is heard, and the mixture [B, n, 12] that it makes of a face."""
        state, scores, sure, heard = self._listen(state, feats)
        count = feats.shape[-2]
        return state, reading(held(scores, count), held(sure[..., None], count)[..., 0]), heard

    def _listen(self, state: State, feats: Frames) -> tuple[State, Frames, Frames, Frames]:
        """The new state, scores and how sure they are (of EVERY frames one), the smoothed mixture of each."""
        count = feats.shape[-2]
        sound = np.concatenate([state[0], feats], axis=-2)
        frames = np.concatenate([state[1], self.ear.voice(sound)], axis=-2)
        scores, sure = self.ear.judge(frames, count)
        mixture = held(felt(scores, sure, self.blending), count)
        heard = smoothed(state[2], mixture, self.blending)
        kept = np.concatenate([state[2], mixture], axis=-2)
        state = tuple(array[..., count:, :].copy() for array in (sound, frames, kept))
        return state, scores, sure, heard

    def blended(self, rows: Frames, heard: Frames) -> Frames:
        """Control rows with the emotion group and intensity replaced."""
        out: Frames = rows.copy()
        mixture, intensity = blend(rows[..., _EMOTION], rows[..., _INTENSITY], heard, rows[..., _HEARD], self.blending)
        out[..., _EMOTION], out[..., _INTENSITY] = mixture, intensity
        return out


def load(folder: str | Path | None = None, blending: Blending | None = None) -> Heard:
    """With the shipped weights, or those of a folder; missing or damaged ones are a ModelError."""
    return Heard(shipped() if folder is None else ears.load(Path(folder))[0], blending or Blending())
