"""One stream on the event loop: takes bytes and controls in, lets rows out when they are due. Knows no message.

Both fronts are translations of this. A session owns a slot, its controls and a pacer; each interrupt begins a new
segment (new samples on the same slot), and frame numbers run on. Memory is bounded: `push` waits while more than
`backlog` and `FURTHER` seconds of audio are not yet computed, and the engine waits while `lead` seconds of rows have
not yet left.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from facerig.controls import MAX_CHANGES, Controls
from facerig.errors import FacerigError, ProtocolError, check_option
from facerig.pipeline import NATIVE_RIG
from facerig.resample import Resample
from facerig.server import asks, outlet
from facerig.server.echo import Echo
from facerig.server.engine import Finish, Made, Moods, Release, Segment
from facerig.server.flow import Flow, Sound
from facerig.server.hearing import Mixing
from facerig.server.news import Described, Noticed, Reached, Released
from facerig.server.pacing import Pacer, Pacing
from facerig.server.worker import Seat, Worker
from facerig.stage import FPS, SAMPLES, Frames

MIN_FPS, MAX_FPS = 1, 120
MAX_MARKERS = 256
AHEAD = 1.0  # seconds of rows that may be computed before they are due
FURTHER, FURTHER_BYTES = 8.0, 2 * 1_048_576  # read beyond a full backlog, so that an interrupt behind it is heard
QUIET = tuple(f"state:{name}" for name in ("listening", "idle", "off"))  # in which nobody need speak
MAX_RELEASE_MS = 2_000


@dataclass(frozen=True)
class Plan:
    """What a client asked for."""

    sound: Sound
    rig: str = "arkit"
    fps: int = FPS
    pacing: Pacing = field(default_factory=Pacing)
    echo: bool = False
    moods: bool = False
    backlog: float = 2.0
    """Seconds of audio that may wait before its sender has said enough for now."""
    seed: int = 0
    """Of everything random in the face."""
    partner: int = 0
    """Channels of the partner's sound, two of which say where it comes from (0: as many as the stream has)."""
    mixing: Mixing | None = None
    """How a heard emotion and the one asked for are mixed, where not as everywhere."""

    def __post_init__(self) -> None:
        check_option("fps", self.fps, f"{MIN_FPS} to {MAX_FPS}", MIN_FPS <= self.fps <= MAX_FPS)
        check_option("channels", self.sound.channels, "1 to 8", 1 <= self.sound.channels <= 8)
        check_option("partner_channels", self.partner, "0 to 8", 0 <= self.partner <= 8)

    @cached_property
    def other(self) -> Sound:
        """The partner's sound."""
        return replace(self.sound, channels=self.partner or self.sound.channels)


@dataclass(frozen=True)
class Resumption:
    """Where a broken stream goes on."""

    last_frame: int
    first_sample: int = 0
    segment_frame: int = 0
    last_values: tuple[float, ...] = ()


@dataclass(slots=True)
class Row:
    """A frame on its way out."""

    index: int
    values: Frames
    mood: Frames | None = None
    audio: bytes = b""
    first_sample: int = 0
    waited: float = 0.0
    """Seconds between the arrival of the last sample that it needs and now."""


Item = Row | Reached | Released | Described | Noticed


class Session:
    """Opened by a front once the header is understood."""

    def __init__(
        self, worker: Worker, plan: Plan, finish: Finish | None = None, resume: Resumption | None = None
    ) -> None:
        self.worker, self.plan, self._finish = worker, plan, finish
        animator = worker.animator
        self.channels, self._mapper = outlet.mapper(NATIVE_RIG, animator.channels, plan.rig)
        heard = {"heard": 1.0} if animator.heard else None  # until the client says otherwise
        self.controls = Controls(heard, limit=MAX_CHANGES)
        self.pacer = Pacer(plan.pacing, plan.fps)
        self._queue: deque[tuple[int, Frames, Frames | None, float]] = deque()
        self._events: deque[Item] = deque()
        self._markers: deque[Reached] = deque()
        self._sleeper: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._rest = b""
        self.ended = self._done = False
        self._repeated = resume is not None
        self._error: FacerigError | None = None
        self._last_values: Frames | None = None
        self._last_mood: Frames | None = None
        self.audio_samples = 0
        self.next_frame = 0 if resume is None else resume.last_frame + 1
        self.seat: Seat | None = worker.claim()
        try:
            self.segment = self._segment(0, None) if resume is None else self._resumed(resume)
        except FacerigError:
            self._stand_up()
            raise
        self._most = plan.backlog + min(FURTHER, FURTHER_BYTES / (plan.sound.rate * plan.sound.width))
        """Seconds of audio that wait when the sender is held back."""
        if self.segment.release is not None:
            worker.nudge(self.segment)

    # ---- segments -----------------------------------------------------------------------------------------------

    def _segment(self, base: int, flow: Flow | None, next_row: int = 0) -> Segment:
        plan, seat = self.plan, self.seat
        assert seat is not None
        flow = flow or Flow(self.worker.animator, plan.sound, other=plan.other)
        self._echo = Echo(plan.sound.width, plan.echo, first=flow.received)
        ahead = AHEAD + plan.pacing.lead if plan.pacing.mode != "burst" else 4 * AHEAD
        return Segment(
            flow, seat.slot, outlet.Sampler(plan.fps, len(self.worker.animator.channels), next_row), self.controls,
            self._mapper, plan.seed, base, -(-base * FPS // plan.fps), None, self._finish,
            Moods() if plan.moods else None, plan.mixing, urgent=plan.pacing.mode != "burst",
            limit=max(8, int(ahead * plan.fps)), deliver=self._deliver, lane=seat.lane,
        )

    def _resumed(self, resume: Resumption) -> Segment:
        row = max(0, resume.last_frame + 1 - resume.segment_frame)
        animator, sound = self.worker.animator, self.plan.sound
        native = outlet.native_floor(row, self.plan.fps)
        point = animator.restore_point(native)
        needed = Resample(sound.rate).first_sample(point)
        check_option("resume.first_sample", resume.first_sample, f"0 to {needed} for frame {resume.last_frame + 1}",
                     0 <= resume.first_sample <= needed, f"keep {animator.context_seconds + 0.2:.1f} s of audio")
        flow = Flow(animator, sound, point, needed, skip=native, other=self.plan.other)
        self._skip = needed - resume.first_sample
        segment = self._segment(resume.segment_frame, flow, row)
        if len(resume.last_values) != len(self.channels):
            return segment
        self._last_values = np.asarray(resume.last_values, np.float32)
        finite = bool(np.isfinite(self._last_values).all())
        check_option("resume.last_values", "one that is none", "finite numbers", finite)
        owed = resume.segment_frame - resume.last_frame - 1  # of a release that the client has not got
        if 0 < owed <= MAX_RELEASE_MS * MAX_FPS // 1000:
            segment.release = Release(self.next_frame, owed, self._last_values)
        return segment

    _skip = 0  # samples that a client sends again and that lie too far back

    # ---- in -----------------------------------------------------------------------------------------------------

    async def push(self, data: bytes, partner: bytes = b"") -> None:
        """Bytes of audio, cut anywhere; waits while too much is waiting. A partner's are whole samples, as long."""
        self._check()
        width, other = self.plan.sound.width, self.plan.other.width
        if partner:
            data = data or bytes(len(partner) // other * width)
            fits = len(data) * other == len(partner) * width and not len(partner) % other and not self._rest
            got = f"{len(partner)} bytes beside {len(data)}"
            check_option("partner", got, "whole samples, as many as of data", fits)
        if self.ended:
            raise ProtocolError("audio after the end: got audio, accepted: nothing more")
        if self._skip:
            data, partner = self._skipped(data, partner)
        data = self._rest + data if self._rest else data
        whole = len(data) - len(data) % width
        data, self._rest = data[:whole], data[whole:]
        if data:
            flow = self.segment.flow
            flow.feed(data, partner)
            self.audio_samples += len(data) // width
            self._echo.add(data, flow.received, time.monotonic())
            self.worker.nudge(self.segment)
        while self.segment.flow.backlog > self._most and not self._done and self._error is None:
            self._room.clear()
            await self._room.wait()
        self._check()

    def _skipped(self, data: bytes, partner: bytes) -> tuple[bytes, bytes]:
        width = self.plan.sound.width
        cut = min(self._skip * width, len(data) - len(data) % width)
        self._skip -= cut // width
        return data[cut:], partner[cut // width * self.plan.other.width :]

    def end(self) -> None:
        """No more audio: the rest comes out."""
        self.ended = True
        self.segment.flow.finish()
        self.worker.nudge(self.segment)

    @property
    def slowed(self) -> bool:
        """Whether the sender has said enough for now, so that its silence is ours."""
        return self.segment.flow.backlog > self.plan.backlog

    @property
    def deaf(self) -> bool:
        """Whether the emotion in the voice is to count and nobody here hears any."""
        return not self.worker.animator.heard and self.controls.awaits(("heard",), self.now())

    @property
    def quiet(self) -> bool:
        """Whether a state is asked for in which a client may be silent for long."""
        return self.controls.awaits(QUIET, self.now())

    def now(self, frame: int | None = None) -> int:
        """The native frame at which a control takes effect: that of row `frame`, or where it stands in the audio."""
        if frame is not None:
            return -(-frame * FPS // self.plan.fps)
        flow = self.segment.flow
        return self.segment.native_base + -(-flow.received * FPS // flow.sound.rate)

    def hold(self) -> None:
        """What is asked from here on leaves alone what went into the model already, but for controls of a resumed
        stream that are said again: they are as old as they were."""
        segment, flow = self.segment, self.segment.flow
        if not (self._repeated and segment.fresh):
            step = flow.block if segment.due else 0  # it may be on its way
            self.controls.floor = min(segment.native_base + flow.position + step, self.now())

    def set_state(self, row: int | None, name: str) -> None:
        """A state by name from a row on; the empty name: told by the voice."""
        asks.state(self.controls, self.now(row), name)

    def marker(self, name: str, frame: int | None = None) -> None:
        check_option(
            "markers", len(self._markers) + 1, f"up to {MAX_MARKERS} that wait", len(self._markers) < MAX_MARKERS
        )
        check_option("marker id", f"{len(name)} characters", "1 to 200", 0 < len(name) <= 200)
        flow = self.segment.flow
        here = self.segment.base + -(-flow.received * self.plan.fps // flow.sound.rate)
        row = here if frame is None else frame
        self._markers.append(Reached(name, row))
        self._markers = deque(sorted(self._markers, key=lambda one: one.frame))
        self._wake()

    def tell(self, item: Described | Noticed) -> None:
        """Something that leaves before all rows that wait."""
        self._events.append(item)
        self._wake()

    def interrupt(self, release_ms: int = 100) -> None:
        """Barge-in: drop what has not been shown and what was asked for there, let the mouth go, begin a new segment;
        the voice tells the state."""
        check_option("release_ms", release_ms, f"0 to {MAX_RELEASE_MS}", 0 <= release_ms <= MAX_RELEASE_MS)
        self._check()
        first, now = self.next_frame, time.monotonic()
        old = self.segment
        old.dead = True
        shown = max(0, first - old.base) * old.flow.sound.rate // self.plan.fps
        frames = max(1, round(release_ms * self.plan.fps / 1000)) if self._last_values is not None else 0
        self._queue.clear()
        self._rest = b""
        self._events.append(Released(first, first + frames, max(0, old.flow.received - shown)))
        for one in self._markers:
            self._events.append(Reached(one.id, first))
        self._markers.clear()
        self.controls.cut(max(1, self.now(first)))  # what the header asks for holds whatever comes
        self.set_state(first, "")
        self._repeated = False
        self.segment, self._done = self._segment(first + frames, None), False
        if self._last_values is not None:
            self.segment.release = Release(first, frames, self._last_values, self._last_mood)
            self.worker.nudge(self.segment)
        self.pacer.restart(first, now)
        if self.ended:
            self.end()
        self._room.set()
        self._wake()

    # ---- out ------------------------------------------------------------------------------------------------------

    async def items(self) -> AsyncIterator[list[Item]]:
        """Everything that leaves, in order, when it is due; ends after the last frame."""
        while True:
            due = self._due_now()
            if due:
                yield due
                continue
            self._check()
            if self._done and not self._queue:
                return
            await self._until_news()

    def _due_now(self) -> list[Item]:
        out: list[Item] = list(self._events)
        self._events.clear()
        now = time.monotonic()
        most = self.plan.fps if self.plan.pacing.mode == "burst" else 8
        while len(out) < most:
            if self._markers and (self._markers[0].frame <= self.next_frame or (self._done and not self._queue)):
                out.append(self._markers.popleft())
            elif self._queue and self.pacer.leaves(self._queue[0][0], now) <= 0:
                out.append(self._leave(now))
            else:
                break
        return out

    def _leave(self, now: float) -> Row:
        index, values, mood, ready = self._queue.popleft()
        self.pacer.left(index, ready)
        self.next_frame = index + 1
        self._last_values, self._last_mood = values, mood
        segment = self.segment
        if index < segment.base:  # a release: no audio belongs to it
            return Row(index, values, mood)
        segment.consumed += 1
        self.worker.nudge(segment)
        row, rate = index - segment.base, segment.flow.sound.rate
        start, end = row * rate // self.plan.fps, (row + 1) * rate // self.plan.fps
        came = self._echo.arrival(self._last_sample(row))
        audio = self._echo.cut(start, end) if self.plan.echo else b""
        return Row(index, values, mood, audio, start, now - came if came is not None else 0.0)

    def _last_sample(self, row: int) -> int:
        """Number of the last input sample that a row needs: its own, the model's look-ahead, the resampler's."""
        flow = self.segment.flow
        native = -(-row * FPS // self.plan.fps)
        return ((native + 1 + flow.delay) * SAMPLES - 1) * flow.sound.rate // (FPS * SAMPLES) + flow.edge.half

    async def _until_news(self) -> None:
        """Until the next row is due, or something happens before that."""
        sleeper = self._sleeper = asyncio.get_running_loop().create_future()
        if self._queue:
            wait = self.pacer.leaves(self._queue[0][0], time.monotonic())
            if wait <= 0:
                return
            self.worker.departures.after(wait, self._wake)
        await sleeper

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def _deliver(self, made: Made) -> None:
        """Called on the event loop with what the engine made."""
        now = time.monotonic()
        idle = not self._queue  # else it sleeps until the first row is due
        moods = made.moods
        for row, values in enumerate(made.values):
            self._queue.append((made.first + row, values, None if moods is None else moods[row], now))
        if made.error is not None:
            self._error = made.error
        self._done = self._done or made.last
        if not self._room.is_set() and (self._done or self.segment.flow.backlog <= self._most - self.plan.backlog / 2):
            self._room.set()
        if idle or self._done or self._error is not None:
            self._wake()

    # ---- the end ------------------------------------------------------------------------------------------------

    def fail(self, error: FacerigError) -> None:
        """End `items` with this error, after nothing more."""
        self._error = error
        self._queue.clear()
        self._wake()
        self._room.set()

    def close(self) -> None:
        """Give the slot back; safe to call twice."""
        self.segment.dead = True
        self._stand_up()
        self._room.set()
        self._wake()

    def _stand_up(self) -> None:
        if self.seat is not None:
            self.worker.release(self.seat)
            self.seat = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

