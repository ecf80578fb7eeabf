"""The border between the event loop and blocking maths: one thread runs the engine, and nothing else of ours does
maths.

The event loop's side feeds segments and is called back with their rows; the thread's side waits until a block is ready,
gathers a little longer when many streams run, and steps them all at once. Knows no wire and no message.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from facerig.errors import ServiceError
from facerig.pipeline import Animator
from facerig.server.engine import Engine, Made, Segment
from facerig.stage import FPS

log = logging.getLogger("facerig.server")

GATHER_PER_STREAM = 0.0002  # seconds of waiting for company that each running stream is worth ...
GATHER_MOST = 0.008  # ... up to half a frame: more would show in the latency, less wakes the model too often
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

    def note(self, batch: int, seconds: float, age: float, idle: float) -> None:
        self.steps += 1
        self.blocks += batch
        self.step_seconds += seconds
        self.last_batch, self.last_step = batch, seconds
        self.batch += SMOOTHING * (batch - self.batch)
        self.queue_age += SMOOTHING * (age - self.queue_age)
        self.busy += SMOOTHING * (seconds / max(1e-9, seconds + idle) - self.busy)
        for observe in self.observers:
            observe(batch, seconds, age)


class Worker:
    """Owns the engine and its thread."""

    def __init__(self, animator: Animator, slots: int, max_batch: int = 64) -> None:
        self.engine = Engine(animator, slots)
        self.animator = animator
        self.max_batch = max_batch
        self.load = Load()
        self.running = 0
        self.step_times: dict[int, float] = {}
        self._free = deque(range(slots))
        self._due: deque[Segment] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="facerig-engine", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    # ---- life ---------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Step every batch size once before anybody waits for it; blocking, so call it off the event loop."""
        most = min(self.max_batch, self.engine.batch.slots)
        sizes = [*(1 << k for k in range(most.bit_length()) if 1 << k < most), most]
        self.step_times = self.engine.warm_up(sizes, time.perf_counter)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join, 5.0)

    # ---- the event loop's side ------------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        return len(self._free)

    def claim(self) -> int:
        """A slot; the caller gives it back with `release`."""
        if not self._free:
            raise ServiceError("every slot is taken")
        self.running += 1
        return self._free.popleft()

    def release(self, slot: int) -> None:
        self.running -= 1
        self._free.append(slot)

    def nudge(self, segment: Segment) -> None:
        """Something changed for this segment: audio, its end, or room in its queue."""
        with self._lock:  # both threads nudge; twice in one batch would step a slot twice
            if segment.due or segment.dead or not segment.ready or not segment.room():
                return
            segment.due, segment.since = True, time.monotonic()
            self._due.append(segment)
        self._wake.set()

    # ---- the thread's side ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        free_since = time.monotonic()
        while not self._stopping:
            self._wake.wait()
            self._gather()
            self._wake.clear()
            free_since = self._step(self._next(), free_since)
            if len(self._due):
                self._wake.set()

    def _gather(self) -> None:
        wait = min(GATHER_MOST, GATHER_PER_STREAM * (self.running - 1))
        if wait > 0 and len(self._due) < self.running:
            time.sleep(wait)

    def _next(self) -> list[Segment]:
        waiting = [self._due.popleft() for _ in range(len(self._due))]
        waiting.sort(key=lambda segment: not segment.urgent)  # stable: those that came first go first
        self._due.extendleft(reversed(waiting[self.max_batch :]))
        return waiting[: self.max_batch]

    def _step(self, segments: list[Segment], free_since: float) -> float:
        if not segments:
            return free_since
        begin = time.monotonic()
        age = max((begin - segment.since for segment in segments), default=0.0)
        live = [segment for segment in segments if not segment.dead]
        made = self._made(live)
        for segment in segments:
            segment.due = False
        self._call(made)
        end = time.monotonic()
        self.load.note(len(live), end - begin, age, begin - free_since)
        for segment in live:
            self.nudge(segment)
        return end

    def _made(self, segments: list[Segment]) -> list[Made]:
        try:
            return self.engine.step(segments)
        except Exception as error:  # a fault of ours must end these streams with a message, not the thread in silence
            log.exception("the engine failed on a batch of %d", len(segments))
            fault = ServiceError(f"a fault of the server's own: {type(error).__name__}")
            return [Made(segment, last=True, error=fault) for segment in segments]

    def _call(self, made: list[Made]) -> None:
        if made and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(_deliver, made)
            except RuntimeError:  # the loop was closed under us: the process is on its way out
                self._stopping = True


def _deliver(made: list[Made]) -> None:
    for one in made:
        if not one.segment.dead:
            one.segment.deliver(one)


def capacity(step_times: dict[int, float], block: int, wire_seconds: float, share: float) -> int:
    """Real-time streams that fit: each needs 60 / block steps and `wire_seconds` of event loop a second.

    Thread and event loop share one interpreter, so their times add up; `share` is the part of a second to be used.
    """
    if not step_times:
        return 1
    per_block = min(seconds / size for size, seconds in step_times.items())
    return max(1, int(share / (per_block * FPS / block + wire_seconds)))
