"""One monotonic clock for everything that is sent. Knows frames and seconds, and nothing of what a frame holds.

Frame k is due at `begin + k / fps`, computed from the whole number k each time, so nothing adds up over an hour. What
was missed (a sleeping laptop) is left out, not sent in a burst.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SECONDS_A_DAY = 86_400
# Longer than this behind, frames are left out; below, they are sent late so that no target loses one.
PATIENCE = 0.25


@dataclass
class Clock:
    """Due times of frames from `begin` on; `wait` sleeps up to the next one."""

    fps: int = 60
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    begin: float = field(default=-1.0)
    frame: int = 0  # the next frame
    skipped: int = 0

    def __post_init__(self) -> None:
        if self.begin < 0:
            self.begin = self.now()

    def restart(self) -> None:
        """Frame 0 is due now."""
        self.begin, self.frame, self.skipped = self.now(), 0, 0

    def due(self, frame: int) -> float:
        return self.begin + frame / self.fps

    def wait(self) -> int:
        """Sleep until a frame is due and return its number."""
        late = self.now() - self.due(self.frame)
        if late > PATIENCE:
            behind = int(late * self.fps)
            self.frame += behind
            self.skipped += behind
        # One sleep is seldom exact: what is left is slept again, which corrects a short one.
        while (left := self.due(self.frame) - self.now()) > 0:
            self.sleep(left)
        self.frame += 1
        return self.frame - 1


def timecode(fps: int, seconds_today: float) -> tuple[int, float]:
    """Frame number of the day and sub-frame, 0 <= x < 1, for a time since midnight."""
    exact = seconds_today % SECONDS_A_DAY * fps
    whole = int(exact)
    return whole, min(exact - whole, 0.999999)


def seconds_today() -> float:
    """The wall clock since midnight, local: what timecodes of other devices are set to."""
    now = time.time()
    local = time.localtime(now)
    return local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + now % 1
