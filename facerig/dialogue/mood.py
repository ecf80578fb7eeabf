"""A person's mood over a dialogue: a point in valence, arousal, dominance that lines move and time brings home.

    next = previous + weight(personality) * (PULL * strength * (line's emotion - previous) + act)
    between lines: towards the personality's own baseline, by half every HALF_LIFE seconds

Baseline and weights are a linear function of the Big Five: the regression of Mehrabian (1996), Analysis of the Big-Five
personality factors in terms of the PAD temperament model, Australian Journal of Psychology 48(2): 86-92. It counts
emotional stability, the opposite of neuroticism. That a dialogue's next emotion is the last one plus a change that
personality weighs is the form of Wen et al. (2021, Findings of ACL: personality-affected emotion transition).
Everything is bounded and a function of the lines alone. For animation: it says nothing about real people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facerig.emotion import space
from facerig.emotion.space import Mixture, Vad

Array = NDArray[np.float64]

TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
# rows valence, arousal, dominance; columns as TRAITS, for traits from -1 to 1. Mehrabian's weights of emotional
# stability (.19 for pleasure, -.57 for arousability) stand with the other sign under neuroticism.
MEHRABIAN: Array = np.array([
    [0.00, 0.00, 0.21, 0.59, -0.19],
    [0.15, 0.00, 0.00, 0.30, 0.57],
    [0.25, 0.17, 0.60, -0.32, 0.00],
])  # fmt: skip
SPREAD = 0.5  # how far personality moves a weight from 1; ours: from half to one and a half at the extremes
PULL = 0.6  # share of the way to a line's emotion at full strength; ours: with 1.5 above it still never overshoots
HALF_LIFE = 20.0  # seconds; ours: emotional episodes last from seconds to minutes
LONGEST_STEP = 3_600.0
NOWHERE = Vad(0.0, 0.0, 0.0)
# ---- what is seen of a mood
SHOWN = 0.35  # share of a mood that shows where no line asks for an emotion; ours: a face at rest is mild
SHOWN_POINTS = ("happy", "sad", "angry", "fear", "disgust", "surprise", "contempt", "grief")
QUIET = 0.12  # weight below which nothing shows: small moods are a neutral face
FAINT = 0.02  # share of a point that is left out
ROUNDS = 200  # of the search for the mixture: far beyond its convergence, and always the same


@dataclass(frozen=True)
class Personality:
    """The Big Five, each 0 to 1; 0.5 is the middle of people."""

    openness: float = 0.5
    conscientiousness: float = 0.5
    extraversion: float = 0.5
    agreeableness: float = 0.5
    neuroticism: float = 0.5

    @property
    def signed(self) -> Array:
        """-1 to 1, in the order of TRAITS."""
        return np.array([2 * getattr(self, trait) - 1 for trait in TRAITS])

    @property
    def baseline(self) -> Vad:
        """Where the mood rests."""
        return _bounded(MEHRABIAN @ self.signed)

    def weights(self, change: Array) -> Array:
        """[3], 0.5 to 1.5: what goes with the temperament is taken to heart, what goes against it less."""
        return np.asarray(1 + SPREAD * np.sign(change) * np.array(self.baseline), np.float64)

    @property
    def half_life(self) -> float:
        """Seconds; those who are easily aroused stay so for longer."""
        return HALF_LIFE * float(1 + SPREAD * (2 * self.neuroticism - 1))


@dataclass(frozen=True)
class Mood:
    """A person's state at `seconds`."""

    personality: Personality = field(default_factory=Personality)
    state: Vad = NOWHERE
    seconds: float = 0.0

    @classmethod
    def of(cls, personality: Personality, start: Vad | None = None) -> Mood:
        return cls(personality, personality.baseline if start is None else _bounded(np.array(start)))

    def at(self, seconds: float) -> Mood:
        """After a while in which nothing happened."""
        passed = min(max(0.0, seconds - self.seconds), LONGEST_STEP)
        left = 0.5 ** (passed / self.personality.half_life)
        home = np.array(self.personality.baseline)
        return Mood(self.personality, _bounded(home + (np.array(self.state) - home) * left), max(seconds, self.seconds))

    def moved(self, felt: Vad | None, strength: float, act: Vad = NOWHERE) -> Mood:
        """After a line: `felt` is its emotion (None: it names none), `act` what its dialogue act adds."""
        before = np.array(self.state)
        pull = np.zeros(3) if felt is None else PULL * strength * (np.array(felt) - before)
        change = pull + np.array(act)
        return Mood(self.personality, _bounded(before + self.personality.weights(change) * change), self.seconds)

    @property
    def settled(self) -> bool:
        """Whether it is home for all that can be seen."""
        return bool(np.abs(np.array(self.state) - np.array(self.personality.baseline)).max() < 0.02)

    def shown(self, asked: Mixture | None = None, intensity: float = 1.0) -> Mixture:
        """What the face shows: the emotion asked for at its intensity, and of the mood what room that leaves."""
        own = {} if asked is None else {name: weight * intensity for name, weight in asked.items()}
        room = SHOWN * max(0.0, 1.0 - (0.0 if asked is None else intensity))
        for name, weight in expressed(self.state).items():
            own[name] = own.get(name, 0.0) + room * weight
        return {name: min(1.0, round(weight, 4)) for name, weight in own.items() if weight >= FAINT}


def expressed(state: Vad) -> Mixture:
    """The mixture of points that lies nearest to a mood, with few points and none for what is too small to see.

    Least squares with non-negative weights and a price on their sum (soft thresholding), a fixed number of rounds.
    """
    target = np.array(state)
    weights = np.zeros(len(SHOWN_POINTS))
    for _ in range(ROUNDS):
        slope = _POINTS @ (weights @ _POINTS - target) + QUIET * _NORMS
        weights = np.maximum(0.0, weights - slope / _STEEPEST)
    return {name: float(min(1.0, weight)) for name, weight in zip(SHOWN_POINTS, weights, strict=True) if weight > 1e-3}


def _bounded(values: Array) -> Vad:
    return Vad(*(float(min(1.0, max(-1.0, value))) if math.isfinite(value) else 0.0 for value in values))


_POINTS: Array = np.array([space.VAD[name] for name in SHOWN_POINTS])
_NORMS: Array = np.sqrt((_POINTS**2).sum(axis=1))
_STEEPEST = float(np.linalg.eigvalsh(_POINTS @ _POINTS.T)[-1])
