"""`Buffer`: frames between a source that makes them and a clock that sends them. Knows neither.

A source that can wait (a file) is made to wait when the buffer is full; one that cannot (a microphone) loses the oldest
frames, so that delay never grows.
"""

from __future__ import annotations

import threading
from collections import deque

from facerig.curves import Curves

CAPACITY = 240  # frames, 4 s: what a file may be ahead


class Buffer:
    """Rows of curves in order; `take` never waits."""

    def __init__(self, capacity: int = CAPACITY, waits: bool = True) -> None:
        self.capacity, self.waits = capacity, waits
        self.lost = 0
        self.error: BaseException | None = None
        self._rows: deque[Curves] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ended(self) -> bool:
        """Nothing is left and nothing will come."""
        with self._changed:
            return self._ended and not self._rows

    @property
    def closed(self) -> bool:
        """Nobody takes any more."""
        return self._closed

    @property
    def complete(self) -> bool:
        """The source has said all it has to say."""
        return self._ended

    def put(self, curves: Curves) -> bool:
        """Every row of these curves; False where nobody takes any more."""
        for row in range(curves.frames):
            one = curves.slice(curves.start + row, curves.start + row + 1)
            with self._changed:
                while self.waits and len(self._rows) >= self.capacity and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return False
                if len(self._rows) >= self.capacity:
                    self._rows.popleft()
                    self.lost += 1
                self._rows.append(one)
        return not self._closed

    def take(self) -> Curves | None:
        with self._changed:
            if not self._rows:
                return None
            self._changed.notify()
            return self._rows.popleft()

    def end(self, error: BaseException | None = None) -> None:
        """The source is done, or broken."""
        with self._changed:
            self._ended, self.error = True, error

    def close(self) -> None:
        """Nobody takes any more: a waiting source is let go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
