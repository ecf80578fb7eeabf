"""Who gets in: capacity that was measured, pressure that is felt now, limits of the key, and the door while draining.

Whoever is let in keeps its latency; the others are told at once. Also holds what both fronts share: worker, config,
metrics, and the list of running sessions that the sweeper and the drain walk over. Knows no message.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from facerig.server.config import ServerConfig, cores
from facerig.server.faults import Draining, Handover, Idle, Refused
from facerig.server.metrics import Metrics
from facerig.server.security import Key, Keys, ended
from facerig.server.session import Session
from facerig.server.worker import SMOOTHING, Worker, capacity

log = logging.getLogger("facerig.server")

FRESH = 1.0  # seconds for which a measurement of pressure counts
Answer = TypeVar("Answer")


@dataclass(eq=False)
class Guest:
    """A stream that was let in."""

    front: str
    key: Key
    session: Session | None = None
    entered: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    left: bool = False
    break_off: Callable[[], None] | None = None
    """Ends the call though a write hangs."""
    writing: float = math.inf
    """Since when it writes what the client does not take."""

    def hand(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Each of the answers, on its way until the next one is asked for."""
        for answer in answers:
            self.writing = time.monotonic()
            yield answer
            self.writing = math.inf


class House:
    """What a server consists of, behind its fronts."""

    def __init__(self, worker: Worker, config: ServerConfig, keys: Keys, metrics: Metrics) -> None:
        self.worker, self.config, self.keys, self.metrics = worker, config, keys, metrics
        self.guests: set[Guest] = set()
        self.capacity = config.capacity or config.sessions
        self.draining = False
        self.ready = False
        self.loop_lag = 0.0
        self._felt = 0.0
        self._unheard: set[asyncio.Task[None]] = set()
        worker.load.observers.append(self._note_step)

    def measure(self) -> None:
        """Capacity from the fastest steps that were seen."""
        config, block = self.config, self.worker.animator.block
        lanes = len(self.worker.lanes) if self.worker.remote else 0
        found = capacity(self.worker.step_times, block, config.wire_ms / 1000, config.capacity_share, lanes, cores())
        self.capacity = min(config.sessions, config.capacity or found)

    # ---- coming and going ---------------------------------------------------------------------------------------

    def enter(self, front: str, metadata: Sequence[tuple[str, str | bytes]] | None, resuming: bool = False) -> Guest:
        """Let a stream in, or say why not. One that another replica has lost is let in while there is a slot."""
        self.check_open()
        if not resuming:
            self._check_room()
        key = self.keys.find(metadata)
        if key is None:  # the interceptor has refused it already; this guards against a front without one
            raise Refused("no known API key")
        reason = key.take(time.monotonic())
        if reason:
            raise Refused(reason)
        guest = Guest(front, key)
        self.guests.add(guest)
        self.metrics.sessions.labels(front).inc()
        self.metrics.opened.labels(front).inc()
        return guest

    def leave(self, guest: Guest) -> None:
        if guest.left:
            return
        guest.left, guest.break_off = True, None
        self.guests.discard(guest)
        guest.key.running -= 1
        if guest.session is not None:
            self.metrics.late.inc(guest.session.pacer.late)
            self.metrics.audio.inc(guest.session.audio_samples / guest.session.plan.sound.rate)
            guest.session.close()
        self.metrics.sessions.labels(guest.front).dec()
        self._log(guest)

    def _log(self, guest: Guest) -> None:
        fields = {"front": guest.front, "key": guest.key.name, "seconds": round(time.monotonic() - guest.entered, 3)}
        if guest.session is not None:
            plan, session = guest.session.plan, guest.session
            fields |= {"rig": plan.rig, "fps": plan.fps, "pacing": plan.pacing.mode, "frames": session.next_frame,
                       "audio_seconds": round(session.audio_samples / plan.sound.rate, 3), "late": session.pacer.late}
        log.info("stream ended", extra={"fields": fields})

    def breaker(self, context: Any) -> Callable[[], None]:
        """Ends the call that asks for it though a write hangs: its coroutine at once, gRPC's side when the client takes
        something again."""
        call = asyncio.current_task()

        def break_off() -> None:
            if call is not None:
                call.cancel()
                reason = f"nothing was taken for {self.config.idle_seconds:g} s; read, or resume"
                told = asyncio.create_task(ended(context, "DEADLINE_EXCEEDED", reason, None))
                self._unheard.add(told)  # or nothing would hold it
                told.add_done_callback(self._unheard.discard)

        return break_off

    def check_open(self) -> None:
        """What can be said before a stream's header has come."""
        if self.draining or not self.ready:
            raise Draining("this server takes no new streams (it is starting or going away); try another one")
        if not self.worker.free:
            raise Refused(f"full: all {len(self.guests)} slots are taken; try another server or later")

    def _check_room(self) -> None:
        running = len(self.guests)
        if running >= self.capacity:
            raise Refused(f"full: {running} streams run, capacity {self.capacity}; try another server or later")
        if running and self.pressed:
            waits, lag = self.worker.load.queue_age * 1000, self.loop_lag * 1000
            raise Refused(f"busy: {running} streams run, frames wait {waits:.0f} ms, the event loop is {lag:.0f} ms "
                          "late; try another server or later")

    @property
    def pressed(self) -> bool:
        """Whether those who are in would suffer from one more."""
        if time.monotonic() - self._felt > FRESH:
            return False
        most = self.config.pressure_ms / 1000
        return self.worker.load.queue_age > most or self.loop_lag > most

    def _note_step(self, batch: int, seconds: float, age: float) -> None:
        self._felt = time.monotonic()
        known = self.worker.step_times.get(batch)
        if batch and known is not None and seconds < known:  # start-up was disturbed: there is more room than it said
            self.worker.step_times[batch] = seconds
            self.measure()
        self.metrics.batch.observe(batch)
        self.metrics.step.observe(seconds)
        self.metrics.queue_age.observe(age)

    # ---- housekeeping -------------------------------------------------------------------------------------------

    async def watch(self, every: float = 0.05) -> None:
        """Feel the event loop's lag and end streams that have fallen silent; runs as long as the server."""
        while True:
            begin = time.monotonic()
            await asyncio.sleep(every)
            now = time.monotonic()
            self.loop_lag += 4 * SMOOTHING * (now - begin - every - self.loop_lag)
            self._sweep(now)
            self._tell()

    def _sweep(self, now: float) -> None:
        most = self.config.idle_seconds
        for guest in list(self.guests):
            session = guest.session
            if now - guest.writing > most:
                self._break_off(guest)
            elif session is None or session.ended:
                continue
            elif session.slowed:
                guest.heard = now
            elif now - guest.heard > most and not session.quiet:
                session.fail(Idle(f"nothing was heard for {most:g} s; send audio, or the state idle"))

    def _break_off(self, guest: Guest) -> None:
        """A client that takes nothing can be told nothing: its call is cancelled, and it may resume."""
        guest.writing = math.inf
        self.metrics.errors.labels("idle").inc()
        log.warning("a client took nothing for %g s", self.config.idle_seconds)
        if guest.break_off is not None:
            guest.break_off()

    def _tell(self) -> None:
        self.metrics.capacity.set(self.capacity)
        self.metrics.busy.set(self.worker.load.busy)
        self.metrics.loop_lag.set(self.loop_lag)
        self.metrics.serving.set(self.ready and not self.draining)

    async def drain(self, seconds: float) -> None:
        """Take nothing new; wait for those who are in, then hand them over."""
        self.draining = True
        deadline = time.monotonic() + seconds
        while self.guests and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for guest in list(self.guests):
            if guest.session is not None:
                guest.session.fail(Handover("this server goes away; resume on another one"))
        for _ in range(100):
            if not self.guests:
                return
            await asyncio.sleep(0.02)
        log.warning("%d streams did not leave", len(self.guests))
