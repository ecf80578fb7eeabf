"""Where a face attends to: a person, a sound, a place that the client names, or away from them. Knows no eyes, no head.

Fixations come from a skeleton whose rate is the state's. They hang together in episodes: each fixation begins a new one
by chance, and an episode is spent on the person or away. Directions are degrees, left and up, in the room's frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.random import normal, pick, uniform
from facerig.behaviour.scene import Array, Floats, Scene, clipped
from facerig.behaviour.skeleton import Skeleton
from facerig.behaviour.states import IDLE, THINKING
from facerig.behaviour.tables import DIRECTIONS, Tuning
from facerig.stage import FPS, State

_SIDES = np.arange(2)
LOOK_BACK = 16  # fixations that an episode is looked for behind


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
        rate = self._rates[scene.told]
        fixations, where = self.skeleton.look(state[:2], scene.seeds, scene.numbers * rate, rate)
        quick = np.full(scene.numbers.shape, self.tuning["gaze.tremor_rate"] / FPS)
        tremors, small = self.tremor.look(state[2:], scene.seeds, scene.numbers * quick, quick)
        self._attend(scene, where.number, small.number)
        return (*fixations, *tremors)

    @cached_property
    def _rates(self) -> Floats:
        """[states] fixations a frame; those of `off` are never seen."""
        seconds = self.tuning.by_state("gaze.fixation")
        return np.asarray(1 / (FPS * np.where(seconds > 0, seconds, 1)), np.float64)

    def _attend(self, scene: Scene, fixation: Array, tremor: Array) -> None:
        episode = self._episode(scene, fixation)
        seeds, held = scene.seeds[:, None], np.asarray(scene.control("look:held"), np.float64)
        sound = np.asarray(scene.control("sound:level"), np.float64)
        contact = self._contact(scene)
        averted = (uniform(seeds, "gaze:mode", episode) >= contact) * (1 - held) * (1 - sound)
        away = self._away(scene, episode) * averted[..., None] if averted.any() else np.zeros((*averted.shape, 2))
        free = 1 - 0.7 * np.maximum(held, sound)
        spread = np.where(averted > 0.5, self._spread_away[scene.told], self.tuning["gaze.scatter"]) * free
        scattered = normal(seeds[..., None], "gaze:scatter", 2 * fixation[..., None] + _SIDES)
        trembling = normal(seeds[..., None], "gaze:tremor", 2 * tremor[..., None] + _SIDES)
        place = self._place(scene, held, sound)
        scene.attention = place + away
        small = clipped(trembling, -2.5, 2.5) * self.tuning["gaze.tremor"]
        scene.aim = scene.attention + clipped(scattered, -2.5, 2.5) * spread[..., None] + small
        scene.near = 1 - averted

    def _episode(self, scene: Scene, fixation: Array) -> Array:
        """The number of the fixation with which the present episode began."""
        numbers = fixation[..., None] - np.arange(LOOK_BACK)
        begins = uniform(scene.seeds[:, None, None], "gaze", numbers) < self._renewal[scene.told][..., None]
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
        averse = (1 - self.tuning.by_state("gaze.contact")[scene.told]) * scene.by_mood(self._aversion)
        return np.asarray(1 - clipped(averse, 0, 1), np.float64)

    @cached_property
    def _aversion(self) -> Floats:
        return self.tuning.by_mood("gaze.aversion")

    def _away(self, scene: Scene, episode: Array) -> Floats:
        """[B, n, 2] degrees off the person in an averted episode."""
        seeds, tuning = scene.seeds[:, None], self.tuning
        angle = np.radians(45.0 * pick(DIRECTIONS, uniform(seeds, "gaze:direction", episode)))
        turned = angle + np.radians(14) * (2 * uniform(seeds, "gaze:scatter", episode) - 1)
        size = tuning["gaze.size_least"] - tuning["gaze.size"] * np.log(1 - uniform(seeds, "gaze:size", episode))
        size = np.minimum(size, tuning["gaze.size_most"])
        thinks = scene.told == THINKING
        up = size * np.sin(turned) * tuning["gaze.flat"] + tuning["gaze.thinking_up"] * thinks
        sad = (scene.mood * self._lowered).sum(axis=-1)
        return np.stack([size * np.cos(turned), up - sad], axis=-1)

    @cached_property
    def _lowered(self) -> Floats:
        return self.tuning.by_mood("gaze.lowered")

    def _place(self, scene: Scene, held: Floats, sound: Floats) -> Floats:
        """[B, n, 2]: the person (straight ahead), the place that is named, or the sound."""
        yaw = scene.control("look:yaw") * held
        pitch = scene.control("look:pitch") * held
        heard = clipped(scene.control("sound:azimuth"), -110, 110)
        return np.stack([yaw + (heard - yaw) * sound, pitch * (1 - sound)], axis=-1)
