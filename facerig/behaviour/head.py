"""The head: it follows the gaze, nods with stressed syllables, sways, and takes the pose it is given. Knows no lips.

Each part is a sum over the last frames: what is attended to through a kernel of one smooth turn, stresses through a
kernel of one nod. The sway is noise that is looked up by frame number, so it never repeats and never drifts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.random import noise, uniform
from facerig.behaviour.scene import CHANNELS, Floats, Scene, clipped, recall, weigh
from facerig.behaviour.tables import Tuning
from facerig.prosody import ACCENT, ENERGY, PITCH
from facerig.stage import FPS, State

YAW, PITCH_OUT, ROLL = (CHANNELS.index(name) for name in ("headYaw", "headPitch", "headRoll"))
NOD_PEAK = 0.4  # of its length: down faster than up
AXES = 3
_SWAYS = np.arange(2 * AXES)
_APART = 0.37 * _SWAYS  # the axes do not turn at one moment
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
        voice = np.stack([scene.heard(PITCH), scene.heard(ENERGY)], axis=-1)
        sounded, melody = recall(state[2], voice)
        own = np.zeros((*scene.numbers.shape, AXES))
        own[..., :2] = weigh(turns, self._turning)
        own += weigh(nods, self._nodding)
        own[..., 1] += self._melody(melody, scene)
        own += self._posture(scene)
        own *= (scene.control("life:head") * scene.awake)[..., None]
        own += self._sway(scene) * (scene.control("life:idle") * scene.awake)[..., None]
        scene.head = own
        return (attended, stressed, sounded)

    # ---- parts, in degrees left, up, to the right shoulder ------------------------------------------------------

    def _followed(self, scene: Scene) -> Floats:
        """[B, n, 2]: how far the head goes along with what is attended to; small shifts are the eyes' alone."""
        tuning, wanted = self.tuning, scene.attention
        beyond = np.sign(wanted) * np.maximum(np.abs(wanted) - tuning["head.eyes_only"], 0) * tuning["head.follow"]
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
        where = np.nonzero(strength > 0)
        if not len(where[0]):
            return sizes
        seeds, numbers, tuning = scene.seeds[where[0]], scene.numbers[where], self.tuning
        drawn = [uniform(seeds, "nod", 4 * numbers + k) for k in range(4)]
        size = tuning["head.nod"] * strength[where] * (0.5 + drawn[1]) * (drawn[0] < tuning["head.nod_share"])
        size *= scene.by_mood(self._amplitude)[where] * scene.body[..., 0][where]
        ways = np.stack([0.9 * drawn[2] - 0.45, np.full(len(size), -1.0), 0.9 * drawn[3] - 0.45], axis=-1)
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

    def _posture(self, scene: Scene) -> Floats:
        """[B, n, 3]: how a state and a mood hold the head."""
        tuning = self.tuning
        up = scene.by_state(tuning.by_state("head.pitch"), slowly=True) + (scene.mood * self._mood_pitch).sum(axis=-1)
        side = 2 * uniform(scene.seeds, "tilt", np.zeros(1, np.int64))[:, None] - 1  # everybody has a side of his own
        roll = scene.by_state(tuning.by_state("head.roll"), slowly=True) * np.sign(side)
        back = tuning["head.attitude"] * scene.control("attitude") * scene.body[..., 1]
        return np.stack([np.zeros(up.shape), up - back, roll], axis=-1)

    @cached_property
    def _mood_pitch(self) -> Floats:
        return self.tuning.by_mood("head.mood_pitch")

    def _sway(self, scene: Scene) -> Floats:
        """[B, n, 3]: slow posture and small unrest, larger while speaking."""
        tuning, seconds = self.tuning, scene.numbers / FPS
        size = scene.by_state(tuning.by_state("head.sway"), slowly=True) * scene.by_mood(self._amplitude)
        drawn = noise(scene.seeds[:, None, None], "sway", seconds[..., None] * self._sway_rates + _APART, _SWAYS)
        slow, quick = drawn[..., :AXES], drawn[..., AXES:]
        return np.asarray((slow + tuning["head.sway_unrest"] * quick) * _SHARES * size[..., None], np.float64)

    @cached_property
    def _sway_rates(self) -> Floats:
        return np.repeat([self.tuning["head.sway_slow"], self.tuning["head.sway_quick"]], AXES)


@dataclass(frozen=True)
class Pose:
    """The last word on the head: what behaviours made of it, and the pose that is asked for. Writes the channels."""

    memory: int = 0

    def start(self) -> State:
        return ()

    def act(self, state: State, scene: Scene) -> State:
        free = 1 - np.asarray(scene.control("pose:held"), np.float64)
        asked = np.stack([scene.control(f"pose:{axis}") for axis in ("yaw", "pitch", "roll")], axis=-1)
        scene.head = scene.head * free[..., None] + asked
        turned = np.radians(scene.head).astype(np.float32)
        scene.out[..., YAW], scene.out[..., PITCH_OUT], scene.out[..., ROLL] = (
            turned[..., 0], 0.0 - turned[..., 1], turned[..., 2])  # fmt: skip
        return state
