"""Sending to many targets at once: one lane (thread and mailbox) a target, so that none can delay another.

A target that cannot wait (an open datagram socket) is served at once, since every change of threads costs time on a
busy machine. All others have a thread; its mailbox holds the newest poses only, so that a target that stalls loses
frames and gets the present again when it comes back. Knows neither protocols nor faces.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from facerig.errors import FacerigError, OutputError
from unreal_bridge.pose import Pose

DEPTH = 3  # poses that may wait: 50 ms, more would only show the past


class Unread(OutputError):
    """Whoever read what a target sent has gone, having had enough: nobody is to be sent any more."""


class Target(Protocol):
    """Somewhere to send to. Whatever `send` raises, the next pose is tried all the same."""

    name: str
    fps: int

    @property
    def prompt(self) -> bool:
        """Whether `send` is sure not to wait for anybody now."""
        ...

    def prepare(self, pose: Pose) -> None:
        """Do what takes long the first time (maps are read from files), sending nothing."""
        ...

    def send(self, pose: Pose) -> int:
        """Hand one pose over; returns how many receivers it went to."""
        ...

    def status(self) -> str:
        """A few words for people."""
        ...

    def close(self) -> None: ...


@dataclass
class Counts:
    """What became of a target's poses."""

    sent: int = 0
    dropped: int = 0  # waited for too long in the mailbox
    failed: int = 0
    error: str = ""


class Lane:
    """One target, its thread and its mailbox."""

    def __init__(self, target: Target) -> None:
        self.target, self.counts = target, Counts()
        self._box: deque[Pose] = deque()
        self._ready = threading.Condition()
        self._busy = threading.Lock()  # held while a pose is being sent, by whichever thread
        self._open = True
        self.unread = False
        self._thread = threading.Thread(target=self._run, name=f"lane {target.name}", daemon=True)
        self._thread.start()

    def put(self, pose: Pose) -> None:
        """Never waits. Frames that the target's rate has no place for are left out here."""
        thinned = pose.every(self.target.fps)
        if thinned is None:
            return
        if self.target.prompt and not self._box and self._busy.acquire(blocking=False):
            try:
                self._send(thinned)
            finally:
                self._busy.release()
            return
        with self._ready:
            if len(self._box) >= DEPTH:
                self._box.popleft()
                self.counts.dropped += 1
            self._box.append(thinned)
            self._ready.notify()

    def close(self, seconds: float = 1.0) -> None:
        """Send what waits, then stop; a target that hangs is left behind."""
        with self._ready:
            self._open = False
            self._ready.notify()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self.target.close()

    def describe(self) -> str:
        return self.counts.error or self.target.status()

    def _run(self) -> None:
        while self._waits():
            with self._busy:  # before it is taken out, or a newer pose would find the box empty and go first
                with self._ready:
                    pose = self._box.popleft()
                self._send(pose)

    def _waits(self) -> bool:
        """Whether a pose is there to be sent; waits for one until the lane is closed."""
        with self._ready:
            while not self._box and self._open:
                self._ready.wait()
            return bool(self._box)

    def _send(self, pose: Pose) -> None:
        try:
            self.counts.sent += bool(self.target.send(pose))
            self.counts.error = ""
        except Exception as error:  # of libraries too: a lane that ended would lose every frame that comes, unseen
            self.unread = isinstance(error, Unread)
            self.counts.failed += 1
            known = str(error) if isinstance(error, OSError | FacerigError) else ""
            self.counts.error = known or f"{type(error).__name__}: {error}".removesuffix(": ")


class Fan:
    """All lanes together."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self.lanes = [Lane(target) for target in targets]

    def add(self, target: Target) -> None:
        self.lanes.append(Lane(target))

    def prepare(self, pose: Pose) -> None:
        """Before the clock starts, so that the first frames are not held up."""
        for lane in self.lanes:
            lane.target.prepare(pose)

    def put(self, pose: Pose) -> None:
        for lane in self.lanes:
            lane.put(pose)

    @property
    def unread(self) -> bool:
        return any(lane.unread for lane in self.lanes)

    def close(self) -> None:
        """All of them, whichever fails: then its error is raised."""
        with ExitStack() as closing:
            for lane in reversed(self.lanes):
                closing.callback(lane.close)
