"""What a segment's audio leaves behind: the bytes that are sent back, and when each sample came. Knows no stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Echo:
    """Raw bytes of a segment that have not been sent back yet, and when each sample arrived."""

    width: int
    keep: bool
    data: bytearray = field(default_factory=bytearray)
    first: int = 0
    arrivals: deque[tuple[int, float]] = field(default_factory=deque)

    def add(self, data: bytes, total: int, now: float) -> None:
        if self.keep:
            self.data += data
        self.arrivals.append((total, now))

    def cut(self, start: int, end: int) -> bytes:
        """Samples start to end; what lies before is forgotten."""
        at = max(0, start - self.first) * self.width
        out = bytes(self.data[at : max(at, (end - self.first) * self.width)])
        gone = min(len(self.data), max(0, end - self.first) * self.width)
        del self.data[:gone]
        self.first += gone // self.width
        return out

    def arrival(self, sample: int) -> float | None:
        """When sample number `sample` came; calls go forward in time."""
        while len(self.arrivals) > 1 and self.arrivals[0][0] <= sample:
            self.arrivals.popleft()
        return self.arrivals[0][1] if self.arrivals else None
