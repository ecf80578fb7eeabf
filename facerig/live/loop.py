"""`LiveLoop`: one clock, some faces, many targets. Takes a frame of each face when it is due and hands it on.

It computes nothing: sources fill buffers in their own threads, targets send in theirs, so that nothing keeps the clock
waiting.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from facerig.curves import Curves
from facerig.live.gains import Gains
from facerig.live.servers import FULL_RIG
from facerig.live.sources import Feed
from facerig.rig import rig
from facerig.stage import FPS
from unreal_bridge.clock import Clock, seconds_today, timecode
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose

# A thread that computes in Python gives way this often; the default of 5 ms would be a third of a frame.
SWITCH_SECONDS = 0.001
REST = 0.02  # a mouth whose weights are all below this is at rest
SPEECH = ("jaw", "lips", "tongue")  # a living face blinks, looks about and breathes in every pause
PAUSE_FRAMES = 60  # of rest or of nothing new, before a pause is called one
TOO_FULL = 6  # frames above the lead, of a source that cannot wait: its clock is faster than ours


@dataclass
class Face:
    """One subject: where its frames come from and where they go."""

    feed: Feed
    fan: Fan
    gains: Gains
    lead: int = 6  # frames that wait before the first is sent: what the source may be late by
    served: bool = False  # a server makes the frames
    block: int = 1  # frames that come at once
    row: Curves | None = None
    started: bool = False
    still: int = 0  # frames since the mouth last moved or the face was renewed
    repeated: int = 0  # nothing new was there, the last frame went out again
    left_out: int = 0  # to catch up with a source whose clock is faster, or after the machine stood still
    owed: int = 0  # frames that are still to be left out
    sent: int = 0

    def next(self) -> Curves | None:
        """The row to send now: new, or the last one again."""
        buffer = self.feed.buffer
        if not self.started:
            self.started = len(buffer) >= self.lead or (buffer.complete and len(buffer) > 0)
            if not self.started:
                return None
        if not self.feed.spec.waits and len(buffer) > self.lead + max(TOO_FULL, self.block):
            self.owed = 1
        while self.owed and len(buffer) > 1:
            buffer.take()
            self.owed -= 1
            self.left_out += 1
        row = buffer.take()
        if row is None:
            self.repeated += not buffer.complete
            self.still += 1
            return self.row
        self.row = self.gains.apply(row)
        spoken = self.row.values[:, _speech(self.row.channels)]
        self.still = self.still + 1 if float(abs(spoken).max(initial=0.0)) < REST else 0
        return self.row

    @property
    def paused(self) -> bool:
        return self.still >= PAUSE_FRAMES

    @property
    def done(self) -> bool:
        return self.feed.buffer.ended

    @property
    def broken(self) -> BaseException | None:
        """What ended the source, where it did not end well."""
        return self.feed.buffer.error

    def close(self) -> None:
        with ExitStack() as closing:
            closing.callback(self.fan.close)
            closing.callback(self.feed.close)


@dataclass
class LiveLoop:
    """Runs until every source has ended, a reader has gone, `stop` is set or `frames` have passed."""

    faces: Sequence[Face]
    clock: Clock = field(default_factory=lambda: Clock(FPS))
    absent_in_pauses: bool = False  # Live Link's packet without a face while the mouth rests
    frames: int | None = None
    stop: bool = False
    begin: float | None = None  # when frame 0 of the first face was due: what the voice is placed by
    _base: int = 0
    _skipped: int = 0
    _sub: float = 0.0

    def run(self, each: Callable[[int], None] | None = None) -> int:
        """Send until the end; returns how many ticks there were."""
        self.clock.restart()
        self._base, self._sub = timecode(self.clock.fps, seconds_today())
        ticks = 0
        with quick_switching():
            while not self.stop and (self.frames is None or ticks < self.frames):
                tick = self.clock.wait()
                if all(face.done for face in self.faces) or any(face.fan.unread for face in self.faces):
                    break
                self.tick(tick)
                ticks += 1
                if each is not None:
                    each(tick)
        return ticks

    def tick(self, tick: int) -> None:
        """One frame of every face; all carry the same frame number."""
        missed, self._skipped = self.clock.skipped - self._skipped, self.clock.skipped
        for face in self.faces:
            face.gains.look(self.clock.due(tick))
            if face.done:
                continue
            if face.started and missed:
                self._catch_up(face, missed)
            before = face.repeated
            row = face.next()
            if row is None:
                continue
            if self.begin is None:
                self.begin = self.clock.due(tick)
            # A source that had nothing to say has had no sound either: the voice goes on later by as much.
            self.begin += (face.repeated - before) / self.clock.fps
            absent = self.absent_in_pauses and face.paused
            face.fan.put(Pose(None if absent else row, self._base + tick, self.clock.fps, self._sub))
            face.sent += 1

    def _catch_up(self, face: Face, missed: int) -> None:
        """After the machine stood still: the voice of a file has gone on meanwhile.

        That of a pipe has where it waits here already; what comes later is said later, and is not left out.
        """
        if face.feed.spec.kind == "stdin":
            waits = max(0, len(face.feed.buffer) - face.lead)
            if self.begin is not None:
                self.begin += max(0, missed - waits) / self.clock.fps
            missed = min(missed, waits)
        if face.feed.spec.waits:
            face.owed += missed

    def close(self) -> None:
        """All faces, whichever fails: each has its own takes to write."""
        with ExitStack() as closing:
            for face in reversed(self.faces):
                closing.callback(face.close)

    def raise_errors(self) -> None:
        """What broke a source, if anything did."""
        for face in self.faces:
            if face.broken is not None:
                raise face.broken


@lru_cache(maxsize=8)
def _speech(channels: tuple[str, ...]) -> list[int]:
    """The columns of what speaks."""
    native = rig(FULL_RIG)
    moved = {name for region in SPEECH for name in native.region(region)}
    return [column for column, name in enumerate(channels) if name in moved]


@contextmanager
def quick_switching() -> Iterator[None]:
    """While live, computing threads give the clock its turn sooner."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
