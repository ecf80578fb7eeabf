"""Blinks: when they come, how the lids move, and what moves with them. Knows no gaze but its shifts and lids' weights.

When: a skeleton with log-normal intervals at the present rate; most due blinks wait a little for the end of a phrase or
a gaze shift. How: closing in 5 frames, opening in 8, more slowly at the end; some are halves, some come twice. The lids
also follow the eyes up and down. A lid v that is closed by b is at v + b (1 - v), so a closed one stays closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.random import drawn, even, places, uniform
from facerig.behaviour.scene import Array, Floats, Scene, clipped, columns, recall
from facerig.behaviour.skeleton import Skeleton
from facerig.behaviour.tables import Tuning
from facerig.prosody import PHRASE_END
from facerig.stage import FPS, State

BLINK, WIDE, SQUINT = columns("eyeBlink*"), columns("eyeWide*"), columns("eyeSquint*")
DOWN, UP = columns("eyeLookDown*"), columns("eyeLookUp*")
CHEEK, BROW = columns("cheekSquint*"), columns("browDown*")
# How closed the lid is through the closing and the opening, at equal steps. Closing and both lengths: EmoFace's 13
# frames. Opening: the mean of 25 blinks of one recording (30 fps); EmoFace's own comes down in a straight line.
CLOSING = (0.0, 0.05, 0.25, 0.45, 0.70, 1.0)
OPENING = (1.0, 0.93, 0.80, 0.63, 0.47, 0.36, 0.26, 0.16, 0.07, 0.0)
_CLOSED_AT, _OPENED_AT = np.linspace(0, 1, len(CLOSING)), np.linspace(0, 1, len(OPENING))
_DRAWN = places("blink:drawn")
LONGEST = 2.0  # of the mean length


@dataclass(frozen=True)
class Blink:
    """The behaviour."""

    tuning: Tuning = field(default_factory=Tuning)

    @cached_property
    def skeleton(self) -> Skeleton:
        return Skeleton("blink", self.tuning["blink.sigma"])

    @cached_property
    def _wait(self) -> int:
        return self.tuning.whole("blink.wait")

    @cached_property
    def _reach(self) -> int:
        """Frames that a blink can last, the second of a double one too."""
        own = LONGEST * (self.tuning["blink.close"] + self.tuning["blink.open"])
        return int(np.ceil(own)) + self.tuning.whole("blink.double_gap")

    @property
    def memory(self) -> int:
        return self._wait + self._reach

    def start(self) -> State:
        return (*self.skeleton.start(), np.zeros((self._wait, 2), np.bool_), np.zeros((self._reach, 5)))

    def act(self, state: State, scene: Scene) -> State:
        skeleton, due = self._due(state[:2], scene)
        drawing = self._drawing(scene)
        waiting, lags = recall(state[2], np.stack((due, drawing), axis=-1))
        begins = self._begins(lags, scene)
        kinds, recent = recall(state[3], self._kinds(begins, scene))
        closed = self._closed(recent)
        self._move(scene, closed)
        return (*skeleton, waiting, kinds)

    # ---- when ---------------------------------------------------------------------------------------------------

    def rate(self, scene: Scene) -> Floats:
        """[B, n] blinks a minute."""
        asked = scene.exact("blink_rate")
        own = scene.by_state(self.tuning.by_state("blink.rate")) * scene.by_mood(self.tuning.by_mood("blink.mood"))
        return np.where(asked > 0, asked, np.maximum(own, 0.0))

    def _due(self, state: State, scene: Scene) -> tuple[State, Array]:
        rate = self.rate(scene) / (60 * FPS)
        state, where = self.skeleton.look(state, scene.seeds, scene.numbers * rate, rate)
        return state, where.event

    def _drawing(self, scene: Scene) -> Array:
        """Frames that draw a due blink: the end of somebody's phrase, a gaze shift."""
        ends = (scene.heard(PHRASE_END) > 0.5) | (scene.control("partner:phrase_end") > 0.5)
        return ends | (scene.shift > self.tuning["blink.shift"])

    def _begins(self, lags: Array, scene: Scene) -> Array:
        """[B, n]: a blink begins. `lags` [B, n, 2, wait + 1] of due and drawing."""
        due, drawing = lags[..., 0, :], lags[..., 1, :]
        if not np.count_nonzero(due):
            return self._evoked(scene)
        waits = even(drawn(scene.keys[..., _DRAWN], scene.numbers[..., None] - np.arange(self._wait + 1)))
        patient = waits < self.tuning["blink.drawn"]
        none_since = np.cumsum(drawing, axis=-1) - drawing <= drawing[..., :1]  # from its own frame to the last one
        ripe = drawing[..., :1] | (np.arange(self._wait + 1) == self._wait)
        begins = (due & patient & none_since & ripe).any(axis=-1) | (due[..., 0] & ~patient[..., 0])
        return np.asarray(begins | self._evoked(scene))

    def _evoked(self, scene: Scene) -> Array:
        """Large gaze shifts bring a blink with them."""
        low, high = self.tuning["blink.evoked_from"], self.tuning["blink.evoked_full"]
        chance = clipped((scene.shift - low) / (high - low), 0, 1)
        if not np.count_nonzero(chance):
            return np.zeros(chance.shape, np.bool_)
        return uniform(scene.seeds[:, None], "blink:evoked", scene.numbers) < chance

    # ---- how ----------------------------------------------------------------------------------------------------

    def _kinds(self, begins: Array, scene: Scene) -> Floats:
        """[B, n, 5]: size, closing and opening frames, second's lag and size; zeros where none begins."""
        kinds = np.zeros((*begins.shape, 5))
        if np.count_nonzero(begins):
            where = np.nonzero(begins)
            kinds[where] = self._drawn(scene.seeds[where[0]], scene.numbers[where])
        return kinds

    def _drawn(self, seeds: Array, numbers: Array) -> Floats:
        tuning = self.tuning

        def draw(stream: str) -> Floats:
            return uniform(seeds, f"blink:{stream}", numbers)

        kind, spread = draw("kind"), 2 * np.sqrt(3) * tuning["blink.length_spread"]
        low, high = tuning["blink.half_low"], tuning["blink.half_high"]
        half, double = kind < tuning["blink.half"], kind > 1 - tuning["blink.double"]
        size = np.where(half, low + (high - low) * draw("size"), 1.0)
        length = clipped(1 + spread * (draw("length") - 0.5), 0.5, LONGEST)
        opening = clipped(length * (1 + 0.3 * (draw("opening") - 0.5)), 0.5, LONGEST)
        frames = np.rint(tuning["blink.close"] * length), np.rint(tuning["blink.open"] * opening)
        second = 0.55 + 0.45 * draw("second")
        return np.stack([size, *frames, np.where(double, tuning["blink.double_gap"], 0), second * double], axis=-1)

    def _closed(self, recent: Floats) -> Floats:
        """[B, n] from [B, n, 5, lags]: the most closed of the blinks under way."""
        if not recent[..., 0, :].any():
            return np.zeros(recent.shape[:2])
        lag = np.arange(recent.shape[-1], dtype=np.float64)
        size, close, opens, gap, second = (recent[..., k, :] for k in range(5))
        first = size * _envelope(lag, close, opens)
        return np.asarray(np.maximum(first, second * _envelope(lag - gap, close, opens)).max(axis=-1), np.float64)

    # ---- what moves ---------------------------------------------------------------------------------------------

    def _move(self, scene: Scene, closed: Floats) -> None:
        gain = scene.gain("blink")
        lids = closed * gain
        down, up = scene.out[..., DOWN], scene.out[..., UP]
        follow = gain[..., None]
        if np.count_nonzero(gain):
            scene.lay(BLINK, follow * self.tuning["blink.lid_down"] * down)
            scene.lay(WIDE, follow * self.tuning["blink.lid_up"] * up * (1 - closed[..., None]))
        if np.count_nonzero(lids):
            scene.lay(BLINK, lids)
            for places, name in ((SQUINT, "squint"), (CHEEK, "cheek"), (BROW, "brow")):
                scene.lay(places, lids * self.tuning[f"blink.{name}"])


def _envelope(lag: Floats, close: Floats, opens: Floats) -> Floats:
    """How closed, `lag` frames after the first that moves; fully closed in the last frame of closing."""
    down = np.interp((lag + 1) / np.maximum(close, 1), _CLOSED_AT, CLOSING)
    up = np.interp((lag + 1 - close) / (opens + 1), _OPENED_AT, OPENING)
    return np.asarray(np.where((lag < 0) | (close == 0), 0, np.where(lag < close, down, up)), np.float64)
