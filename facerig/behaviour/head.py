"""The head: it follows the gaze, nods with stressed syllables, sways, and takes the pose it is given. Knows no lips.

Each part is a sum over the last frames: what is attended to through a kernel of one smooth turn, stresses through a
kernel of one nod. The sway is noise that is looked up by frame number, so it never repeats and never drifts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.drift import AXES, QUICK, SLOW
from facerig.behaviour.random import drawn, even, places, uniform
from facerig.behaviour.scene import Floats, Scene, abreast, clipped, columns, recall, weigh
from facerig.behaviour.tables import Tuning
from facerig.controls import place
from facerig.prosody import ACCENT, ENERGY, PITCH
from facerig.stage import State

TURNS = columns("headYaw", "headPitch", "headRoll")
NOD_PEAK = 0.4  # of its length: down faster than up
_POSE = slice(place("pose:yaw"), place("pose:roll") + 1)
_MELODY = slice(PITCH, ENERGY + 1)
_TILT = places("tilt")
_COINS = np.arange(4)[:, None]
_SHARES = np.array([1.0, 0.7, 0.6])  # of the sway: left, up, to the shoulder


@dataclass(frozen=True)
class Head:
    """The behaviour: fills `head` of the scene and the three channels."""

    tuning: Tuning = field(default_factory=Tuning)

    @property
    def memory(self) -> int:
        return max(self._turn, self._nod, self._drift)

    @cached_property
    def _turn(self) -> int:
        return self.tuning.whole("head.delay") + self.tuning.whole("head.turn")

    @cached_property
    def _nod(self) -> int:
        return self.tuning.whole("head.nod_length")

    @cached_property
    def _drift(self) -> int:
        return self.tuning.whole("head.drift_span")

    def start(self) -> State:
        return (np.zeros((self._turn, 2)), np.zeros((self._nod, AXES)), np.zeros((self._drift, 2), np.float32))

    def act(self, state: State, scene: Scene) -> State:
        attended, turns = recall(state[0], self._followed(scene))
        stressed, nods = recall(state[1], self._stresses(scene))
        sounded, melody = recall(state[2], scene.prosody[..., _MELODY])
        pitch, roll, sway = (scene.by_state(self._by_body, slowly=True)[..., k] for k in range(3))
        own = np.zeros((*scene.numbers.shape, AXES))
        own[..., :2] = weigh(turns, self._turning)
        own += weigh(nods, self._nodding)
        own[..., 1] += self._melody(melody, scene)
        own += self._posture(scene, pitch, roll)
        own *= scene.gain("head")[..., None]
        own += self._sway(scene, sway) * scene.gain("idle")[..., None]
        scene.head = own
        return (attended, stressed, sounded)

    @cached_property
    def _by_body(self) -> Floats:
        """[3, states]"""
        return np.array([self.tuning.by_state(f"head.{name}") for name in ("pitch", "roll", "sway")])

    # ---- parts, in degrees left, up, to the right shoulder ------------------------------------------------------

    def _followed(self, scene: Scene) -> Floats:
        """[B, n, 2]: how far the head goes along with what is attended to; small shifts are the eyes' alone."""
        tuning, wanted = self.tuning, scene.attention
        beyond = np.sign(wanted) * np.maximum(np.abs(wanted) - tuning["head.eyes_only"], 0.0) * tuning["head.follow"]
        return np.asarray(clipped(beyond, -self._most, self._most), np.float64)

    @cached_property
    def _most(self) -> Floats:
        return np.array([self.tuning["head.yaw_most"], self.tuning["head.pitch_most"]])

    @cached_property
    def _turning(self) -> Floats:
        """Weights by lag: nothing for `delay` frames, then a turn of least jerk."""
        share = clipped((np.arange(self._turn + 2) - self.tuning.whole("head.delay")) / self.tuning["head.turn"], 0, 1)
        return np.diff(share**3 * (10 - 15 * share + 6 * share**2))

    @cached_property
    def _nodding(self) -> Floats:
        """One dip and back, 1 at its deepest."""
        share = (np.arange(self._nod + 1) + 0.5) / (self._nod + 1)
        one, two = 2.0, 2.0 * (1 - NOD_PEAK) / NOD_PEAK
        shape = share**one * (1 - share) ** two
        return np.asarray(shape / shape.max(), np.float64)

    def _stresses(self, scene: Scene) -> Floats:
        """[B, n, 3]: amplitudes of the nods that begin here, at stressed syllables."""
        strength = np.asarray(scene.heard(ACCENT), np.float64)
        sizes = np.zeros((*strength.shape, AXES))
        stressed = strength > 0
        if not np.count_nonzero(stressed):
            return sizes
        where, tuning = np.nonzero(stressed), self.tuning
        coins = uniform(scene.seeds[where[0]], "nod", 4 * scene.numbers[where] + _COINS)
        size = tuning["head.nod"] * strength[where] * (0.5 + coins[1]) * (coins[0] < tuning["head.nod_share"])
        size *= (scene.by_mood(self._amplitude) * scene.body[..., 0])[where]
        ways = np.stack([0.9 * coins[2] - 0.45, np.full(len(size), -1.0), 0.9 * coins[3] - 0.45], axis=-1)
        sizes[where] = size[:, None] * ways
        return sizes

    @cached_property
    def _amplitude(self) -> Floats:
        return self.tuning.by_mood("head.mood")

    def _melody(self, melody: Floats, scene: Scene) -> Floats:
        """The head rises a little with the pitch of the voice."""
        rise = weigh(np.multiply(melody[..., 0, :], melody[..., 1, :]), self._drifting)
        return clipped(rise * self.tuning["head.melody"], -3, 3) * scene.body[..., 0]

    @cached_property
    def _drifting(self) -> Floats:
        weights = np.hanning(self._drift + 3)[1:-1]
        return np.asarray(weights / weights.sum(), np.float64)

    def _posture(self, scene: Scene, pitch: Floats, roll: Floats) -> Floats:
        """[B, n, 3]: how a state and a mood hold the head."""
        up = pitch + scene.from_mood(self._mood_pitch)
        side = 2 * even(drawn(scene.keys.take(_TILT, axis=-1), 0)) - 1  # everybody has a side of his own
        back = self.tuning["head.attitude"] * scene.control("attitude") * scene.body[..., 1]
        return abreast(np.zeros(up.shape), up - back, roll * np.sign(side)[..., 0])

    @cached_property
    def _mood_pitch(self) -> Floats:
        return self.tuning.by_mood("head.mood_pitch")

    def _sway(self, scene: Scene, size: Floats) -> Floats:
        """[B, n, 3]: slow posture and small unrest, larger while speaking."""
        drift = scene.drift[..., SLOW] + self.tuning["head.sway_unrest"] * scene.drift[..., QUICK]
        return np.asarray(drift * _SHARES * (size * scene.by_mood(self._amplitude))[..., None], np.float64)


@dataclass(frozen=True)
class Pose:
    """The last word on the head: what behaviours made of it, and the pose that is asked for. Writes the channels."""

    memory: int = 0

    def start(self) -> State:
        return ()

    def act(self, state: State, scene: Scene) -> State:
        free = 1 - scene.exact("pose:held")
        scene.head = scene.head * free[..., None] + scene.controls[..., _POSE]
        turned = np.radians(scene.head).astype(np.float32)
        turned[..., 1] = 0.0 - turned[..., 1]
        scene.out[..., TURNS] = turned
        return state
