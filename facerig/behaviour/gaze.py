"""The eyes: saccades towards the aim, against the head's motion, each eye a little inwards. Knows no reason to look.

A jump of the aim becomes a saccade whose length grows with its size (the main sequence) and whose course has the least
jerk; it is a sum over the last frames' jumps, so a second one may begin before the first ends. The aim is the room's:
what the head turns, the eyes turn back (vestibulo-ocular reflex), within their limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.scene import Array, Floats, Scene, clipped, columns, recall
from facerig.behaviour.tables import Tuning
from facerig.stage import FPS, State

# Degrees at a weight of 1, as assets/maps (fitted to two phone recordings: .6, .612 and .46 radians).
SIDEWAYS, DOWNWARDS, UPWARDS = 34.4, 35.1, 26.4
# Left and right eye in turn: towards the own left, the own right, up, down.
EYES = columns("eyeLookOutLeft", "eyeLookInRight", "eyeLookInLeft", "eyeLookOutRight", "eyeLookUp*", "eyeLookDown*")
_INWARDS = np.array([-1.0, 1.0])  # each eye
NEARBY = 12  # frames over which the eyes turn in or out
TINY = 0.05  # degrees: no jump


@dataclass(frozen=True)
class Gaze:
    """The behaviour: fills `shift` of the scene and the eight channels."""

    tuning: Tuning = field(default_factory=Tuning)

    @cached_property
    def memory(self) -> int:
        """Frames of the longest saccade, with the frame before it."""
        return int(np.ceil(self._frames(np.array(160.0)))) + 1

    def start(self) -> State:
        return (np.zeros((self.memory, 2)), np.zeros((self.memory, 1)))

    def act(self, state: State, scene: Scene) -> State:
        aims, lags = recall(state[0], scene.aim)
        inwards, near = recall(state[1], scene.near[..., None])
        jumps = np.ascontiguousarray(lags[..., :-1] - lags[..., 1:])
        sizes = np.sqrt(jumps[..., 0, :] ** 2 + jumps[..., 1, :] ** 2)
        scene.shift = sizes[..., 0] * (sizes[..., 0] > TINY)
        left = self._unfinished(sizes)[..., None, :]
        now = lags[..., 0] - np.add.reduce(jumps * left, axis=-1)
        self._look(scene, now, np.add.reduce(near[..., 0, :NEARBY], axis=-1) / NEARBY)
        return (aims, inwards)

    def _frames(self, degrees: Floats) -> Floats:
        """The main sequence: how many frames a saccade takes."""
        return np.asarray((self.tuning["gaze.saccade"] + self.tuning["gaze.saccade_slope"] * degrees) * FPS / 1000)

    def _unfinished(self, sizes: Floats) -> Floats:
        """[..., lags]: the share of each jump that is still to go."""
        share = np.minimum(self._ages / self._frames(sizes), 1)
        return np.asarray(1 - share**3 * (10 - 15 * share + 6 * share**2), np.float64)

    @cached_property
    def _ages(self) -> Floats:
        return np.arange(1.0, self.memory + 1)

    def _look(self, scene: Scene, direction: Floats, near: Array) -> None:
        tuning, gain = self.tuning, scene.gain("gaze")
        if not np.count_nonzero(gain):
            return
        to = direction - scene.head[..., :2]
        inwards = tuning["gaze.vergence_far"] + (tuning["gaze.vergence"] - tuning["gaze.vergence_far"]) * near
        most = tuning["gaze.yaw_most"]
        turned = clipped(to[..., :1] + inwards[..., None] * _INWARDS, -most, most) / SIDEWAYS
        up = clipped(to[..., 1:], -tuning["gaze.down_most"], tuning["gaze.up_most"])
        rows = np.empty((*gain.shape, 8))
        rows[..., 0:2], rows[..., 2:4] = turned, -turned
        rows[..., 4:6], rows[..., 6:8] = up / UPWARDS, -up / DOWNWARDS
        scene.lay(EYES, clipped(rows, 0, 1) * gain[..., None])
