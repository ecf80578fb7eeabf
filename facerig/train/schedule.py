"""Learning rate by the clock: warm up, then a cosine that ends when the time is up, on a fast or a busy machine."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """From `begin` to `end`, in seconds of the wall clock."""

    begin: float
    end: float
    peak: float = 2e-3
    floor: float = 0.02
    """Share of the peak that is left at the end."""
    warm_steps: int = 200
    ramp: float = 0.15
    """Share of the time after which augmentation has its full strength; 0: at once."""

    steps: int = 0
    """Ends it earlier where it is not 0: a short run then does the same on any machine."""

    def progress(self, step: int, now: float | None = None) -> float:
        """0 at the beginning, 1 when the time is up or the steps are done."""
        moment = time.time() if now is None else now
        clock = (moment - self.begin) / max(self.end - self.begin, 1e-9)
        return min(1.0, max(0.0, clock, step / self.steps if self.steps else 0.0))

    def rate(self, step: int, now: float | None = None) -> float:
        """The learning rate of a step."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress(step, now)))
        return self.peak * min(1.0, (step + 1) / self.warm_steps) * (self.floor + (1 - self.floor) * cosine)

    def strength(self, step: int, now: float | None = None) -> float:
        """How strong augmentation is: a tenth at first, full after the ramp."""
        ramped = self.progress(step, now) / self.ramp if self.ramp > 0 else 1.0
        return min(1.0, 0.1 + 0.9 * ramped)


def is_eighth(step: int, steps: int) -> bool:
    """Whether a run that is counted in steps has done another eighth of them: when it writes a log line."""
    return steps > 0 and step % max(1, steps // 8) == 0
