"""Where a face attends to: a person, a sound, a place that the client names, or away from them. Knows no eyes, no head.

Fixations come from a skeleton whose rate is the state's. They hang together in episodes: each fixation begins a new one
by chance, and an episode is spent on the person or away. Directions are degrees, left and up, in the room's frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

import facerig.behaviour.random as random
from facerig.behaviour.random import bell, even, pick, places
from facerig.behaviour.scene import Array, Floats, Scene, abreast, clipped
from facerig.behaviour.skeleton import Skeleton
from facerig.behaviour.states import IDLE, THINKING
from facerig.behaviour.tables import DIRECTIONS, Tuning
from facerig.stage import FPS, State

LOOK_BACK = 16  # fixations that an episode is looked for behind
# What is drawn for a frame, all at once: whether each of the last fixations begins an episode; then where the fixation
# lies and where the tremor, left and up. Index: fixation and tremor by these factors, and so much on.
_DRAWS = places(*LOOK_BACK * ["gaze"], *2 * ["gaze:scatter"], *2 * ["gaze:tremor"])
_OF_FIXATION, _OF_TREMOR = np.array([1] * LOOK_BACK + [2, 2, 0, 0]), np.array([0] * (LOOK_BACK + 2) + [2, 2])
_ON = np.array([-k for k in range(LOOK_BACK)] + [0, 1, 0, 1])
_EPISODE_DRAWS = places("gaze:mode", "gaze:direction", "gaze:scatter", "gaze:size")
_DIRECTION_EDGES = np.cumsum(DIRECTIONS)[:-1]
_ANGLES = np.radians(45.0 * np.arange(len(DIRECTIONS)))
_FAN = np.radians(14)  # on each side of a direction


@dataclass(frozen=True)
class Attention:
    """The behaviour: fills `attention`, `aim` and `near` of the scene."""

    tuning: Tuning = field(default_factory=Tuning)
    memory: int = 0

    @cached_property
    def skeleton(self) -> Skeleton:
        return Skeleton("gaze", self.tuning["gaze.sigma"])

    @cached_property
    def tremor(self) -> Skeleton:
        return Skeleton("gaze:tremor", self.tuning["gaze.sigma"])

    def start(self) -> State:
        return (*self.skeleton.start(), *self.tremor.start())

    def act(self, state: State, scene: Scene) -> State:
        rate = self._rates.take(scene.told)
        fixations, where = self.skeleton.look(state[:2], scene.seeds, scene.numbers * rate, rate)
        tremors, small = self.tremor.look(state[2:], scene.seeds, scene.numbers * self._quick, self._quick)
        self._attend(scene, where.number, small.number)
        return (*fixations, *tremors)

    @cached_property
    def _rates(self) -> Floats:
        """[states] fixations a frame; those of `off` are never seen."""
        seconds = self.tuning.by_state("gaze.fixation")
        return np.asarray(1 / (FPS * np.where(seconds > 0, seconds, 1)), np.float64)

    @cached_property
    def _quick(self) -> Floats:
        """Tremors a frame."""
        return np.array(self.tuning["gaze.tremor_rate"] / FPS)

    def _attend(self, scene: Scene, fixation: Array, tremor: Array) -> None:
        index = fixation[..., None] * _OF_FIXATION + tremor[..., None] * _OF_TREMOR + _ON
        drawn = random.drawn(scene.keys.take(_DRAWS, axis=-1), index)
        episode = self._episode(scene, fixation, even(drawn[..., :LOOK_BACK]))
        scattered = clipped(bell(drawn[..., LOOK_BACK:]), -2.5, 2.5)
        of_episode = even(random.drawn(scene.keys.take(_EPISODE_DRAWS, axis=-1), episode[..., None]))
        held, sound = scene.exact("look:held"), scene.exact("sound:level")
        averted = (of_episode[..., 0] >= self._contact(scene)) * (1 - held) * (1 - sound)
        away = self._away(scene, of_episode) * averted[..., None] if np.count_nonzero(averted) else 0.0
        scene.attention = self._place(scene, held, sound) + away
        free = 1 - 0.7 * np.maximum(held, sound)
        spread = np.where(averted > 0.5, self._spread_away.take(scene.told), self.tuning["gaze.scatter"]) * free
        small = scattered[..., 2:] * self.tuning["gaze.tremor"]
        scene.aim = scene.attention + scattered[..., :2] * spread[..., None] + small
        scene.near = 1 - averted

    def _episode(self, scene: Scene, fixation: Array, drawn: Floats) -> Array:
        """The number of the fixation with which the present episode began."""
        begins = drawn < self._renewal.take(scene.told)[..., None]
        begins[..., -1] = True
        return np.asarray(fixation - begins.argmax(axis=-1), np.int64)

    @cached_property
    def _renewal(self) -> Floats:
        return self.tuning.by_state("gaze.renewal")

    @cached_property
    def _spread_away(self) -> Floats:
        return np.where(np.arange(5) == IDLE, self.tuning["gaze.scatter_idle"], self.tuning["gaze.scatter_away"])

    def _contact(self, scene: Scene) -> Floats:
        """[B, n]: the chance that an episode is spent on the person."""
        averse = self._averse.take(scene.told) * scene.by_mood(self._aversion)
        return np.asarray(1 - clipped(averse, 0, 1), np.float64)

    @cached_property
    def _averse(self) -> Floats:
        return 1 - self.tuning.by_state("gaze.contact")

    @cached_property
    def _aversion(self) -> Floats:
        return self.tuning.by_mood("gaze.aversion")

    def _away(self, scene: Scene, drawn: Floats) -> Floats:
        """[B, n, 2] degrees off the person in an averted episode; `drawn` [B, n, 4] for it."""
        tuning = self.tuning
        angle = _ANGLES.take(pick(_DIRECTION_EDGES, drawn[..., 1]))
        turned = angle + _FAN * (2 * drawn[..., 2] - 1)
        size = tuning["gaze.size_least"] - tuning["gaze.size"] * np.log(1 - drawn[..., 3])
        size = np.minimum(size, tuning["gaze.size_most"])
        thinks = scene.told == THINKING
        up = size * np.sin(turned) * tuning["gaze.flat"] + tuning["gaze.thinking_up"] * thinks
        return abreast(size * np.cos(turned), up - scene.from_mood(self._lowered))

    @cached_property
    def _lowered(self) -> Floats:
        return self.tuning.by_mood("gaze.lowered")

    def _place(self, scene: Scene, held: Floats, sound: Floats) -> Floats:
        """[B, n, 2]: the person (straight ahead), the place that is named, or the sound."""
        yaw = scene.control("look:yaw") * held
        pitch = scene.control("look:pitch") * held
        heard = clipped(scene.control("sound:azimuth"), -110, 110)
        return abreast(yaw + (heard - yaw) * sound, pitch * (1 - sound))
