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
OUT_LEFT, IN_LEFT = columns("eyeLookOutLeft"), columns("eyeLookInLeft")
OUT_RIGHT, IN_RIGHT = columns("eyeLookOutRight"), columns("eyeLookInRight")
EYES = np.concatenate([OUT_LEFT, IN_LEFT, IN_RIGHT, OUT_RIGHT, columns("eyeLookUp*", "eyeLookDown*")])
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
        scene.shift = np.where(sizes[..., 0] > TINY, sizes[..., 0], 0)
        left = self._unfinished(sizes)[..., None, :]
        now = lags[..., 0] - (jumps * left).sum(axis=-1)
        self._look(scene, now, near[..., :12].mean(axis=-1)[..., 0])
        return (aims, inwards)

    def _frames(self, degrees: Floats) -> Floats:
        """The main sequence: how many frames a saccade takes."""
        return np.asarray((self.tuning["gaze.saccade"] + self.tuning["gaze.saccade_slope"] * degrees) * FPS / 1000)

    def _unfinished(self, sizes: Floats) -> Floats:
        """[..., lags]: the share of each jump that is still to go."""
        share = np.minimum((np.arange(sizes.shape[-1]) + 1) / self._frames(sizes), 1)
        return np.asarray(1 - share**3 * (10 - 15 * share + 6 * share**2), np.float64)

    def _look(self, scene: Scene, direction: Floats, near: Array) -> None:
        tuning, gain = self.tuning, scene.control("life:gaze") * scene.awake
        if not gain.any():
            return
        side = direction[..., 0] - scene.head[..., 0]
        inwards = tuning["gaze.vergence_far"] + (tuning["gaze.vergence"] - tuning["gaze.vergence_far"]) * near
        most = tuning["gaze.yaw_most"]
        left, right = (clipped(side + sign * inwards, -most, most) / SIDEWAYS for sign in (-1, 1))
        up = clipped(direction[..., 1] - scene.head[..., 1], -tuning["gaze.down_most"], tuning["gaze.up_most"])
        rise, sink = np.maximum(up, 0) / UPWARDS, np.maximum(-up, 0) / DOWNWARDS
        rows = np.stack([np.maximum(left, 0), np.maximum(-left, 0), np.maximum(right, 0), np.maximum(-right, 0),
                         rise, rise, sink, sink], axis=-1)  # fmt: skip
        scene.lay(EYES, np.minimum(rows, 1) * gain[..., None])
