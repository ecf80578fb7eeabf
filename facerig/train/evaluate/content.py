"""How well phones are heard: visemes, units, speech, contact events, rounding. Needs labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facerig.phones import VISEMES15, flag_of_units, rasterise, units, viseme15_of_units
from facerig.train.evaluate.events import FPS, NEITHER, Event, Matches, percent, runs, spoken_events, stretches
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.systems import BAR, CHANNELS, Output, System

Floats = NDArray[np.float32]
BARS = tuple((k / 100, k / 100 * BAR[1] / BAR[0]) for k in range(4, 96, 2))  # that a system's own is chosen from
ROUND, SPREAD = 0.5, 0.15  # a unit's rounding from which it counts as round, up to which as not


@dataclass
class Content:
    """Adds up over clips; `figures` gives percentages."""

    frames: int = 0
    spoken: int = 0
    right: int = 0
    right_spoken: int = 0
    units_right: int = 0
    speech_right: int = 0
    bilabial: Matches = field(default_factory=Matches)
    labiodental: Matches = field(default_factory=Matches)
    round_scores: list[Floats] = field(default_factory=list)
    spread_scores: list[Floats] = field(default_factory=list)

    def add(self, clip: Clip, output: Output) -> None:
        truth = rasterise(clip.timed, clip.frames, FPS, fill=-1)
        if output.units is not None:
            self._frames(truth, output.units)
        for name, counted in (("bilabial", self.bilabial), ("labiodental", self.labiodental)):
            if name in output.contacts:
                found = self._found(output.contacts[name], output.bar, truth)
                either = stretches(clip.timed, NEITHER) if name == "bilabial" else ()
                counted.add(spoken_events(clip.timed, name), found, either)
        if output.curves is not None:
            self._rounding(truth, output.curves)

    @staticmethod
    def _found(signal: Floats, bar: tuple[float, float], truth: NDArray[np.int64]) -> list[Event]:
        """Events in the labelled part: what lies wholly where nothing is labelled counts neither way."""
        labelled = truth >= 0
        return [e for e in runs(signal, *bar)
                if labelled[int(e.start * FPS) : int(e.end * FPS) + 1].any()]  # fmt: skip

    def _frames(self, truth: NDArray[np.int64], posteriors: Floats) -> None:
        known = truth >= 0
        silent, viseme = flag_of_units("is_silence"), viseme15_of_units()
        guess = (posteriors @ np.eye(len(VISEMES15), dtype=np.float32)[viseme]).argmax(axis=1)
        right = known & (guess == viseme[truth])
        spoken = known & ~silent[truth]
        self.frames += int(known.sum())
        self.spoken += int(spoken.sum())
        self.right += int(right.sum())
        self.right_spoken += int((right & spoken).sum())
        self.units_right += int((known & (posteriors.argmax(axis=1) == truth)).sum())
        quiet = posteriors[:, silent].sum(axis=1) > 0.5
        self.speech_right += int((known & (quiet == silent[truth])).sum())

    def _rounding(self, truth: NDArray[np.int64], curves: Floats) -> None:
        score = curves[:, CHANNELS.index("mouthPucker")] + curves[:, CHANNELS.index("mouthFunnel")]
        degree = np.array([unit.rounding for unit in units()])[truth]
        vowel = flag_of_units("is_vowel")[truth] & (truth >= 0)
        self.round_scores.append(score[vowel & (degree >= ROUND)])
        self.spread_scores.append(score[vowel & (degree <= SPREAD)])

    def figures(self) -> dict[str, float | int | None]:
        return {
            "viseme15": percent(self.right, self.frames),
            "viseme15_in_speech": percent(self.right_spoken, self.spoken),
            "units": percent(self.units_right, self.frames),
            "speech_silence": percent(self.speech_right, self.frames),
            **self.bilabial.figures("pbm_"),
            **self.labiodental.figures("fv_"),
            "rounding_auc": auc(self.round_scores, self.spread_scores),
        }


def own_bar(system: System, clips: Sequence[Clip]) -> tuple[float, float]:
    """Where recall and precision of p b m cross on training-side clips that it did not learn from, as `BAR` was found;
    scores of different systems mean different things, and by another's bar one may seem to hear nothing."""
    contacts = [(clip, system.run(clip).contacts) for clip in clips]

    def apart(bar: tuple[float, float]) -> float:
        heard = Content()
        for clip, held in contacts:
            heard.add(clip, Output(contacts=held, bar=bar))
        events = heard.bilabial
        return abs(events.hits / events.wanted - events.hits / events.found) if events.hits else np.inf

    return min(BARS, key=apart)


def auc(high: Sequence[Floats], low: Sequence[Floats]) -> float | None:
    """How often a value of `high` is above one of `low` (ties count half)."""
    a, b = (np.concatenate(list(part)) if part else np.zeros(0) for part in (high, low))
    if not len(a) or not len(b):
        return None
    order = np.sort(b)
    below, upto = np.searchsorted(order, a, "left"), np.searchsorted(order, a, "right")
    return round(float((below + upto).mean() / 2 / len(b)), 3)
