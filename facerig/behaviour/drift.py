"""What wanders by itself all the time: one slow noise a row of a table, looked up at once for all who use it.

Each is a function of the frame number, so it never repeats and never drifts away. Knows no head and no brow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.random import noise, places
from facerig.behaviour.scene import Floats, Scene
from facerig.behaviour.tables import Tuning
from facerig.stage import FPS, State

AXES = 3  # of the head: left, up, to the shoulder
SLOW, QUICK, BROWS = slice(0, AXES), slice(AXES, 2 * AXES), 2 * AXES  # columns of `drift`
# stream of randomness, channel of its noise, the parameter that says how fast, how far it is ahead of the first
DRIFTS: tuple[tuple[str, int, str, float], ...] = (
    *(("sway", k, "head.sway_slow", 0.37 * k) for k in range(AXES)),  # axes do not turn at one moment
    *(("sway", k, "head.sway_quick", 0.37 * k) for k in range(AXES, 2 * AXES)),
    ("react", 5, "brow.sway_rate", 0.0),
)
_PLACES = places(*(stream for stream, *_ in DRIFTS))
_CHANNELS = np.array([channel for _, channel, *_ in DRIFTS], np.int64)
_APART = np.array([apart for *_, apart in DRIFTS])


@dataclass(frozen=True)
class Drift:
    """The behaviour: fills `drift` of the scene."""

    tuning: Tuning = field(default_factory=Tuning)
    memory: int = 0

    def start(self) -> State:
        return ()

    def act(self, state: State, scene: Scene) -> State:
        seconds = scene.numbers / FPS
        scene.drift = noise(scene.keys.take(_PLACES, axis=-1), seconds[..., None] * self._rates + _APART, _CHANNELS)
        return state

    @cached_property
    def _rates(self) -> Floats:
        return np.array([self.tuning[rate] for _, _, rate, _ in DRIFTS])
