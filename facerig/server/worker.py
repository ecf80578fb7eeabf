"""The border between the event loop and blocking maths: a thread runs each engine, and nothing else of ours does maths.

The event loop's side feeds segments and is called back with their rows; the thread's side waits until blocks are ready,
asks the beat who goes, and steps those at once. Knows no wire and no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from facerig.errors import FacerigError, ServiceError
from facerig.pipeline import Animator
from facerig.server.beat import Beat
from facerig.server.departures import Departures
from facerig.server.engine import Engine, Made, Segment, Step
from facerig.stage import FPS

log = logging.getLogger("facerig.server")

SMOOTHING = 0.05  # of the moving averages


@dataclass
class Load:
    """What the thread reports of itself; read by metrics and by admission."""

    steps: int = 0
    blocks: int = 0
    step_seconds: float = 0.0
    batch: float = 0.0
    queue_age: float = 0.0
    busy: float = 0.0
    last_batch: int = 0
    last_step: float = 0.0
    observers: list[Callable[[int, float, float], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, batch: int, seconds: float, age: float, idle: float) -> None:
        with self._lock:  # every lane notes
            self._note(batch, seconds, age, idle)

    def _note(self, batch: int, seconds: float, age: float, idle: float) -> None:
        self.steps += 1
        self.blocks += batch
        self.step_seconds += seconds
        self.last_batch, self.last_step = batch, seconds
        self.batch += SMOOTHING * (batch - self.batch)
        self.queue_age += SMOOTHING * (age - self.queue_age)
        self.busy += SMOOTHING * (seconds / max(1e-9, seconds + idle) - self.busy)
        for observe in self.observers:
            observe(batch, seconds, age)


class Lane:
    """One engine and the thread that runs it."""

    def __init__(self, engine: Engine, max_batch: int, load: Load, name: str, offset: float = 0.0) -> None:
        self.engine, self.load = engine, load
        self.beat = Beat(engine.animator.block, max_batch, offset)
        self.running = 0
        self.free = deque(range(engine.batch.slots))
        self._due: deque[Segment] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Blocking."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self.engine.batch.close()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def nudge(self, segment: Segment) -> None:
        """Something changed for this segment: audio, its end, or room in its queue."""
        if not segment.waits():  # as nearly always: nothing to lock for
            return
        with self._lock:  # both threads nudge; twice in one batch would step a slot twice
            if segment.waits():
                segment.due, segment.since = True, time.monotonic()
                self._due.append(segment)
                self._wake.set()

    # ---- the thread's side ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """The batch of the next turn begins as soon as one is computed; only then are its rows handed out."""
        before: _Timed | None = None
        free_since = time.monotonic()
        while not self._stopping:
            if before is None:
                self._await()
            else:
                self._collect(before)
                free_since = before.end
                if self.beat.turns < 2:  # the next batch is the same streams
                    self._finish(before)
                    before = None
            self._wake.clear()
            now = self._begin(self._next(), free_since)
            if before is not None:
                self._finish(before)
            before = now
            if before is None and self._due:
                time.sleep(self.beat.wait(time.monotonic()))
                self._wake.set()

    def _await(self) -> None:
        """Until there is something to do."""
        if not self._wake.is_set():
            self._wake.wait()
            self.beat.rest(time.monotonic())

    def _next(self) -> list[Segment]:
        waiting = [self._due.popleft() for _ in range(len(self._due))]
        chosen = self.beat.choose(waiting, self.running, time.monotonic())
        going = set(chosen)
        self._due.extendleft(segment for segment in reversed(waiting) if segment not in going)
        return chosen

    def _begin(self, segments: list[Segment], free_since: float) -> _Timed | None:
        if not segments:
            return None
        begin = time.monotonic()
        age = max(begin - segment.since for segment in segments) - self.beat.patience
        batch = _Timed(segments, [one for one in segments if not one.dead], begin, max(0.0, age), begin - free_since)
        with self._guarded(batch):
            batch.step = self.engine.begin(batch.live)
        return batch

    def _collect(self, batch: _Timed) -> None:
        if batch.step is not None:
            with self._guarded(batch):
                self.engine.collect(batch.step)
        batch.end = time.monotonic()

    def _finish(self, batch: _Timed) -> None:
        made: list[Made] = []
        if batch.step is not None:
            with self._guarded(batch):
                made = self.engine.finish(batch.step)
        if batch.fault is not None:
            made = [Made(segment, last=True, error=batch.fault) for segment in batch.live]
        for segment in batch.segments:
            segment.due = False
        self._call(made)
        self.load.note(len(batch.live), batch.end - batch.begin, batch.age, max(0.0, batch.idle))
        for segment in batch.live:
            self.nudge(segment)

    @contextlib.contextmanager
    def _guarded(self, batch: _Timed) -> Iterator[None]:
        """What goes wrong ends these streams with a message, and not the thread in silence."""
        try:
            yield
        except FacerigError as error:
            log.error("a batch of %d was lost: %s", len(batch.live), error)
            batch.step, batch.fault = None, error
        except Exception as error:
            log.exception("the engine failed on a batch of %d", len(batch.live))
            batch.step, batch.fault = None, ServiceError(f"a fault of the server's own: {type(error).__name__}")

    def _call(self, made: list[Made]) -> None:
        if made and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(_deliver, made)
            except RuntimeError:  # the loop was closed under us: the process is on its way out
                self._stopping = True


@dataclass(eq=False)
class _Timed:
    """A batch in a lane: whose blocks, since when, and what became of it."""

    segments: list[Segment]
    live: list[Segment]
    begin: float
    age: float
    idle: float
    step: Step | None = None
    fault: FacerigError | None = None
    end: float = 0.0


class Seat(NamedTuple):
    """A stream's place: which lane, and which slot of its engine."""

    lane: int
    slot: int


class Worker:
    """The lanes: one in this process, or, with `options` (of `Animator.load`), `lanes` of them in their own."""

    def __init__(self, animator: Animator, slots: int, max_batch: int = 64, lanes: int = 0,
                 options: dict[str, Any] | None = None) -> None:
        self.animator = animator
        self.max_batch = max_batch
        self.load = Load()
        self.departures = Departures()
        self.step_times: dict[int, float] = {}
        self.remote = lanes > 0
        share = -(-slots // max(1, lanes))
        self.lanes = tuple(Lane(Engine(animator, share, options if lanes else None), max_batch, self.load,
                                f"facerig-engine-{number}", number / max(1, lanes))
                           for number in range(max(1, lanes)))  # fmt: skip

    # ---- life ---------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The first lane's."""
        return self.lanes[0].engine

    def warm_up(self, leave: Callable[[], bool]) -> None:
        """Step every batch size once before anybody waits for it, or until `leave`; blocking, so call it off the event
        loop."""
        if leave():
            return
        for lane in self.lanes:
            lane.engine.batch.open()
        for lane in self.lanes:
            most = min(self.max_batch, lane.engine.batch.slots)
            sizes = [*(1 << k for k in range(most.bit_length()) if 1 << k < most), most]
            self.step_times = lane.engine.warm_up(takewhile(lambda _: not leave(), sizes), time.perf_counter)
            lane.beat.measured(self.step_times)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        for lane in self.lanes:
            lane.start(loop)

    async def stop(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, lane.stop) for lane in self.lanes))

    @property
    def alive(self) -> bool:
        return all(lane.alive for lane in self.lanes)

    # ---- the event loop's side ------------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        return sum(len(lane.free) for lane in self.lanes)

    @property
    def running(self) -> int:
        return sum(lane.running for lane in self.lanes)

    def claim(self) -> Seat:
        """A seat in the lane that has most room; the caller gives it back with `release`."""
        number, lane = max(enumerate(self.lanes), key=lambda pair: len(pair[1].free))
        if not lane.free:
            raise ServiceError("every slot is taken")
        lane.running += 1
        return Seat(number, lane.free.popleft())

    def release(self, seat: Seat) -> None:
        self.lanes[seat.lane].running -= 1
        self.lanes[seat.lane].free.append(seat.slot)

    def nudge(self, segment: Segment) -> None:
        """Something changed for this segment: audio, its end, or room in its queue."""
        self.lanes[segment.lane].nudge(segment)


def _deliver(made: list[Made]) -> None:
    for one in made:
        if not one.segment.dead:
            one.segment.deliver(one)


def capacity(step_times: dict[int, float], block: int, wire_seconds: float, share: float, lanes: int = 0,
             cores: int = 1) -> int:
    """Real-time streams that fit: each needs 60 / block steps and `wire_seconds` of event loop a second.

    In one process thread and event loop share one interpreter, so their times add up. With lanes beside it each has
    its own; then what is full first counts: the wire, the lanes, or the cores that all of them run on. `share` is the
    part of a second to be used.
    """
    if not step_times:
        return 1
    maths = min(seconds / size for size, seconds in step_times.items()) * FPS / block
    if not lanes:
        return max(1, int(share / (maths + wire_seconds)))
    most = min(1 / wire_seconds, lanes / maths, cores / (maths + wire_seconds))
    return max(1, int(share * most))
