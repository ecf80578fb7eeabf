"""Speaking, listening, thinking, idle, off: by the client's word, or by who is heard. And a mouth that is let go.

A state told by voices holds on over pauses; a change fades over `state.fade` frames. Where the client says listening,
thinking or idle, the speech movements of the mouth leave within `state.release` frames, whatever the audio says: that
is how an interrupted line ends. Smiles stay. Knows no blink and no gaze.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig import controls
from facerig.behaviour.scene import (
    CHANNELS,
    CURVES,
    Array,
    Floats,
    Scene,
    clipped,
    columns,
    raised_cosine,
    recall,
    weigh,
)
from facerig.behaviour.tables import Tuning
from facerig.controls import STATES
from facerig.post.lips import ARTICULATORS, MOODS
from facerig.prosody import VOICE
from facerig.stage import State

SPEAKING, LISTENING, THINKING, IDLE, OFF = range(len(STATES))
SILENT = slice(LISTENING, IDLE + 1)  # the mouth rests in them
_STATE, _LIFE, _EMOTION = (controls.group(name) for name in ("state", "life", "emotion"))
MOUTH = columns(*(name for name in CHANNELS[:CURVES] if name.startswith(ARTICULATORS) and not name.startswith(MOODS)))
FULL = 1 - 1e-6
_NUMBERS = np.arange(len(STATES))


@dataclass(frozen=True)
class States:
    """The first behaviour: who rules the frame."""

    tuning: Tuning = field(default_factory=Tuning)

    @property
    def memory(self) -> int:
        """Of the fades; who rules a frame depends on `hold` frames more."""
        return max(self._fade, self._slow, self._release)

    @property
    def hold(self) -> int:
        return self._back

    @cached_property
    def _fade(self) -> int:
        return self.tuning.whole("state.fade")

    @cached_property
    def _slow(self) -> int:
        return self.tuning.whole("state.body_fade")

    @cached_property
    def _release(self) -> int:
        return self.tuning.whole("state.release")

    @cached_property
    def _back(self) -> int:
        return max(self._holds)

    @cached_property
    def _holds(self) -> tuple[int, int, int]:
        """Frames that a state told by a voice holds on: speaking and listening by the own one, by the partner's."""
        speaking, listening, partner = (f"state.{name}_hold" for name in ("speaking", "listening", "partner"))
        return self.tuning.whole(speaking), self.tuning.whole(listening), self.tuning.whole(partner)

    def start(self) -> State:
        idle = np.zeros((max(self._fade, self._slow) - 1, len(STATES)))
        idle[:, IDLE] = 1
        return (np.zeros((self._back, 2), np.float32), idle, np.zeros(self._release - 1))

    def act(self, state: State, scene: Scene) -> State:
        voices = np.stack((scene.heard(VOICE), scene.control("partner:voice")), axis=-1)
        heard, lags = recall(state[0], voices)
        asked = scene.controls[..., _STATE].astype(np.float64)
        free = clipped(1 - np.add.reduce(asked, axis=-1), 0, 1)
        told = self._by_voice(lags)
        scene.told = np.where(free > 0.5, told, asked.argmax(axis=-1))
        target = (told[..., None] == _NUMBERS) * free[..., None] + asked
        faded, steps = recall(state[1], target)
        scene.weights = weigh(steps[..., : self._fade], raised_cosine(self._fade))
        scene.body = weigh(steps[..., : self._slow], raised_cosine(self._slow))
        off = scene.weights[..., OFF]
        scene.awake = np.where(off > FULL, 0.0, 1 - clipped(off, 0, 1))
        scene.gains = scene.controls[..., _LIFE] * scene.awake[..., None]
        released, rest = recall(state[2], clipped(np.add.reduce(asked[..., SILENT], axis=-1), 0, 1))
        if np.count_nonzero(rest):
            self._let_go(scene, weigh(rest, self._evenly))
        scene.mood = _mood(scene)
        scene.felt = bool(np.count_nonzero(scene.mood))
        return (heard, faded, released)

    @cached_property
    def _evenly(self) -> Floats:
        """The smallest steps."""
        return np.full(self._release, 1 / self._release)

    def _by_voice(self, lags: Array) -> Array:
        """[B, n] states from [B, n, 2, lags] of own and partner's voice."""
        on = lags > 0.5
        partner = np.logical_or.reduce(on[..., 1, : self._holds[2]], axis=-1)
        own = on[..., 0, :]
        speaks = np.logical_or.reduce(own[..., : self._holds[0]], axis=-1)
        waits = np.logical_or.reduce(own[..., : self._holds[1]], axis=-1) | partner
        return np.where(speaks, SPEAKING, np.where(waits, LISTENING, IDLE))

    def _let_go(self, scene: Scene, rest: Floats) -> None:
        kept = np.where(rest > FULL, 0, 1 - rest).astype(np.float32)
        scene.out[..., MOUTH] *= kept[..., None]


def _mood(scene: Scene) -> Floats:
    """[B, n, emotions]: the whole face's mixture, at most one in all."""
    shares = scene.controls[..., _EMOTION].astype(np.float64)
    if not np.count_nonzero(shares):
        return shares
    strength = scene.control("intensity") * clipped(scene.control("expression_strength"), 0, 1)
    whole = np.maximum(np.add.reduce(shares, axis=-1), 1)
    return np.asarray(shares * (strength / whole)[..., None], np.float64)
