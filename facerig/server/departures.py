"""One clock for all streams that wait: those that are due within a few milliseconds wake up together.

A timer a frame and stream costs more than the frame itself, and frames that leave together share a system call on
their connection. A wait ends up to TICK late and never early. Knows no frame.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

TICK = 1 / 240  # seconds: a quarter of a frame

Wake = Callable[[], None]


class Departures:
    """Lives on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Wake]] = {}

    def after(self, seconds: float, wake: Wake) -> None:
        """Call `wake` in so many seconds, once; whoever does not care any more ignores it."""
        now = time.monotonic()
        tick = math.ceil((now + seconds) / TICK)
        waiting = self._waiting.get(tick)
        if waiting is None:
            waiting = self._waiting[tick] = []
            asyncio.get_running_loop().call_later(tick * TICK - now, self._go, tick)
        waiting.append(wake)

    def _go(self, tick: int) -> None:
        for wake in self._waiting.pop(tick):
            wake()
