"""Quick measures for the training log: frame accuracy and contact events from posteriors. The scoreboard is `eval`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from facerig.phones import VISEMES15, flag_of_units, viseme15_of_units
from facerig.train.data import UNLABELLED

THRESHOLD = 0.4
NEAR = 2.4  # frames: 40 ms

Float = NDArray[np.float32]
Run: TypeAlias = tuple[int, int]


@dataclass
class Tally:
    """Adds up clips; `figures` gives the rates."""

    right: int = 0
    frames: int = 0
    speech_right: int = 0
    found: dict[str, list[int]] = field(default_factory=lambda: {"bilabial": [0, 0, 0, 0], "labiodental": [0, 0, 0, 0]})
    onsets: list[float] = field(default_factory=list)

    def add(self, posteriors: Float, labels: NDArray[np.uint8]) -> None:
        """posteriors [T, units] aligned with labels [T]."""
        known = labels != UNLABELLED
        safe = np.where(known, labels, 0)
        groups = np.eye(len(VISEMES15), dtype=np.float32)[viseme15_of_units()]
        guess = (posteriors @ groups).argmax(1)
        silence = flag_of_units("is_silence")
        self.right += int(((guess == viseme15_of_units()[safe]) & known).sum())
        quiet = (posteriors @ silence.astype(np.float32)) > 0.5
        self.speech_right += int(((quiet == silence[safe]) & known).sum())
        self.frames += int(known.sum())
        for flag, counts in self.found.items():
            units = flag_of_units(flag)
            self._events(counts, _runs((posteriors @ units.astype(np.float32) > THRESHOLD) & known),
                         _runs(units[safe] & known), flag == "bilabial")

    def _events(self, counts: list[int], guessed: list[Run], real: list[Run], timed: bool) -> None:
        for start, end in real:
            near = [g for g in guessed if g[0] < end + NEAR and g[1] > start - NEAR]
            counts[0] += bool(near)
            if near and timed:
                self.onsets.append(min(abs(g[0] - start) for g in near) / 0.06)
        counts[1] += len(real)
        counts[2] += sum(any(g[0] < r[1] + NEAR and g[1] > r[0] - NEAR for r in real) for g in guessed)
        counts[3] += len(guessed)

    def figures(self) -> dict[str, float | None]:
        """Percent; onset error in ms, None where no event was found."""
        total = max(self.frames, 1)
        out = {"viseme15": 100 * self.right / total, "speech": 100 * self.speech_right / total}
        for flag, (hit, real, good, guessed) in self.found.items():
            out[f"{flag}_recall"] = 100 * hit / max(real, 1)
            out[f"{flag}_precision"] = 100 * good / max(guessed, 1)
        rounded: dict[str, float | None] = {key: round(value, 2) for key, value in out.items()}
        rounded["onset_ms"] = round(float(np.median(self.onsets)), 2) if self.onsets else None
        return rounded


def _runs(flags: NDArray[np.bool_]) -> list[Run]:
    """[start, end) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
