"""Brows that speak along, and a listener's answers: nods, smiles and raised brows at the ends of the partner's phrases.

An answer is drawn once, at the frame that calls for it, and then runs its course; attitude shifts what is drawn. Mouth
corners move only while the face listens: speech is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.drift import BROWS
from facerig.behaviour.random import uniform
from facerig.behaviour.scene import Array, Floats, Scene, abreast, clipped, columns, recall, weigh
from facerig.behaviour.skeleton import Skeleton
from facerig.behaviour.states import LISTENING, SPEAKING, THINKING
from facerig.behaviour.tables import Tuning
from facerig.prosody import ACCENT
from facerig.stage import FPS, State, eased

INNER, OUTER, FURROW = columns("browInnerUp"), columns("browOuterUp*"), columns("browDown*")
SMILE, CHEEK, FROWN, SQUINT = (columns(f"{name}*") for name in ("mouthSmile", "cheekSquint", "mouthFrown", "eyeSquint"))
NOD, SHAKE, COUNT, WAIT, BROW, SMILES = range(6)  # columns of an answer
SPAN = 120  # frames in which an answer is over
_LAGS = np.arange(SPAN + 1, dtype=np.float64)


@dataclass(frozen=True)
class React:
    """The behaviour: writes brows and mouth corners, and adds nods to `head` of the scene."""

    tuning: Tuning = field(default_factory=Tuning)
    memory: int = SPAN

    @cached_property
    def skeleton(self) -> Skeleton:
        return Skeleton("gesture", self.tuning["react.sigma"])

    @cached_property
    def _flash_span(self) -> int:
        return self.tuning.whole("brow.flash_length")

    def start(self) -> State:
        return (*self.skeleton.start(), np.zeros((SPAN, 6)), np.zeros((self._flash_span, 1)), np.zeros((1, 2)))

    def act(self, state: State, scene: Scene) -> State:
        skeleton, where = self.skeleton.look(state[:2], scene.seeds, scene.numbers * self._rate, self._rate)
        ends, edges = recall(state[4], abreast(scene.control("partner:phrase_end"), scene.awake))
        called = (edges[..., 0, 0] > 0.5) & (edges[..., 0, 1] <= 0.5)
        midway = where.event & (scene.control("partner:voice") > 0.5) & ~called
        answers, lags = recall(state[2], self._answers(scene, called, midway))
        flashes, recent = recall(state[3], self._flashes(scene)[..., None])
        gain = scene.gain("react")
        if np.count_nonzero(gain):
            self._answer(scene, lags, gain)
            self._brows(scene, recent[..., 0, :], gain)
        self._sway(scene)
        return (*skeleton, answers, flashes, ends)

    @cached_property
    def _rate(self) -> Floats:
        """Answers a frame in the middle of a phrase."""
        return np.array(self.tuning["react.rate"] / (60 * FPS))

    # ---- listening ----------------------------------------------------------------------------------------------

    def _answers(self, scene: Scene, called: Array, midway: Array) -> Floats:
        """[B, n, 6]: what begins here."""
        rows = np.zeros((*called.shape, 6))
        begins = (called | midway) & (scene.told == LISTENING)
        if np.count_nonzero(begins):
            where = np.nonzero(begins)
            attitude = np.asarray(scene.control("attitude")[where], np.float64)
            rows[where] = self._drawn(scene.seeds[where[0]], scene.numbers[where], attitude, called[where])
        return rows

    def _drawn(self, seeds: Array, numbers: Array, attitude: Floats, called: Array) -> Floats:
        tuning = self.tuning
        drawn = uniform(seeds, "react", 8 * numbers + np.arange(8)[:, None])
        warm, cold = np.maximum(attitude, 0), np.maximum(-attitude, 0)
        size = tuning["react.nod"] * (0.6 + 0.8 * drawn[0]) * np.where(called, 1.0, 0.6)
        nods = drawn[1] < clipped(tuning["react.nod_share"] * (1 - cold) + 0.15 * warm, 0, 1)
        shakes = ~nods & (drawn[1] > 1 - 0.5 * cold)
        count = 1 + np.floor(3 * drawn[2] ** 2 * np.where(called, 1, 0.5))
        wait = np.rint(tuning["react.wait"] * (0.5 + drawn[3]))
        brow = tuning["react.brow"] * (0.5 + drawn[4]) * (drawn[5] < tuning["react.brow_share"]) * called
        smiles = drawn[7] < clipped(tuning["react.smile_share"] * (1 + warm) * (1 - cold), 0, 1)
        smile = tuning["react.smile"] * (0.5 + drawn[6]) * smiles * called
        return np.stack([size * nods, 0.8 * size * shakes, count, wait, brow, smile], axis=-1)

    def _answer(self, scene: Scene, lags: Floats, gain: Array) -> None:
        listens = scene.body[..., LISTENING] * gain
        under_way = bool(lags[..., COUNT, :].any())
        if under_way:
            since = _LAGS - lags[..., WAIT, :]
            scene.head = scene.head + self._gestures(lags, since) * listens[..., None]
        if not np.count_nonzero(listens):
            return
        attitude = scene.exact("attitude")
        warm, cold = np.maximum(attitude, 0), np.maximum(-attitude, 0)
        brow, smile = np.zeros(listens.shape), self.tuning["react.warmth"] * warm
        if under_way:
            brow = (lags[..., BROW, :] * _bell(since, 10, 14, 24)).max(axis=-1)
            smile = smile + (lags[..., SMILES, :] * _bell(since, 27, 30, 41)).max(axis=-1)
        scene.lay(INNER, 0.8 * brow * listens)
        scene.lay(OUTER, brow * listens)
        scene.lay(SMILE, np.minimum(smile, 1) * listens)
        scene.lay(CHEEK, 0.5 * np.minimum(smile, 1) * listens)
        scene.lay(FURROW, self.tuning["react.furrow"] * cold * listens)
        scene.lay(FROWN, self.tuning["react.frown"] * cold * listens)

    def _gestures(self, lags: Floats, since: Floats) -> Floats:
        """[B, n, 3] degrees: nods and shakes under way; each swing is smaller than the one before."""
        cycle = since / self.tuning["react.cycle"]
        under_way = (cycle >= 0) & (cycle < lags[..., COUNT, :])
        fading = np.where(under_way, 0.75 ** np.floor(np.maximum(cycle, 0)), 0)
        nod = -lags[..., NOD, :] * fading * np.sin(np.pi * cycle) ** 2
        ease = np.sin(np.pi * clipped(cycle / np.maximum(lags[..., COUNT, :], 1), 0, 1))
        shake = lags[..., SHAKE, :] * under_way * ease * np.sin(2 * np.pi * cycle)
        return np.stack([shake.sum(axis=-1), nod.sum(axis=-1), np.zeros(nod.shape[:2])], axis=-1)

    # ---- brows --------------------------------------------------------------------------------------------------

    def _flashes(self, scene: Scene) -> Floats:
        """[B, n]: heights of the brow flashes that begin here, at strong stresses."""
        strength = np.asarray(scene.heard(ACCENT), np.float64)
        heights = np.zeros(strength.shape)
        strong = strength > self.tuning["brow.flash_from"]
        if np.count_nonzero(strong):
            where = np.nonzero(strong)
            drawn = uniform(scene.seeds[where[0]], "accent", 2 * scene.numbers[where] + np.arange(2)[:, None])
            chosen = drawn[0] < self.tuning["brow.flash_share"]
            heights[where] = self.tuning["brow.flash"] * strength[where] * (0.5 + drawn[1]) * chosen
        return heights * scene.body[..., SPEAKING]

    @cached_property
    def _flash(self) -> Floats:
        """Up within a quarter, down over the rest."""
        share = (np.arange(self._flash_span + 1) + 0.5) / (self._flash_span + 1)
        shape = share * (1 - share) ** 2
        return np.asarray(shape / shape.max() * np.sin(np.pi * np.minimum(2 * share, 0.5)), np.float64)

    def _sway(self, scene: Scene) -> None:
        """Brows are never quite still: a part of `idle`, whatever becomes of answers."""
        idle, rest = scene.gain("idle"), scene.drift[..., BROWS]
        scene.lay(INNER, np.maximum(rest, 0) * self.tuning["brow.sway"] * idle)
        scene.lay(OUTER, np.maximum(-rest, 0) * self.tuning["brow.sway"] * idle)

    def _brows(self, scene: Scene, recent: Floats, gain: Array) -> None:
        if recent.any():
            flash = np.minimum(weigh(recent, self._flash), 1) * gain
            scene.lay(INNER, 0.7 * flash)
            scene.lay(OUTER, flash)
        thinking = scene.body[..., THINKING]
        if np.count_nonzero(thinking):
            scene.lay(FURROW, self.tuning["brow.thinking"] * thinking * gain)
            scene.lay(SQUINT, self.tuning["brow.thinking"] * 0.6 * thinking * gain)


def _bell(since: Floats, rise: float, hold: float, fall: float) -> Floats:
    """0 to 1 within `rise` frames, 1 for `hold`, back within `fall`; smooth at its ends."""
    up, down = clipped(since / rise, 0, 1), clipped((since - rise - hold) / fall, 0, 1)
    return np.asarray(eased(up) * (1 - eased(down)), np.float64)
