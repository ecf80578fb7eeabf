"""The model loop's body: take a block of every stream that is ready, step them as one batch, finish each one's rows.

Pure of threads, clocks and wires: `worker` runs it. A `Segment` is what the engine sees of a stream: its samples, its
slot, and what is done to its rows on the way out.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facerig.behaviour.partner import told
from facerig.controls import PRIME, Controls
from facerig.errors import FacerigError, ServiceError
from facerig.pipeline import Animator
from facerig.server import faults
from facerig.server.asks import moods as moods_of
from facerig.server.batch import BatchChain
from facerig.server.flow import Flow
from facerig.server.hearing import Mixing, calm, hearing, unheard
from facerig.server.lane import Lost, Remote
from facerig.server.outlet import Mapper, Sampler, between, native_ceiling, native_floor
from facerig.stage import SAMPLES, Frames, fallen

log = logging.getLogger("facerig.server")

Finish = Callable[[int, Frames, Frames], Frames]
"""(number of the first row, rows, moods) -> rows: what a front does to the values after rig and rate."""


@dataclass(frozen=True, eq=False)
class Release:
    """The rows between an interrupt and the segment after it: from the last values that were shown to a quiet face."""

    first: int
    """Row number, in the stream, of the first of them."""
    rows: int
    last: Frames
    """In the client's rig."""
    mood: Frames | None = None
    """What was felt in that row, where it is known."""


@dataclass(eq=False)
class Moods:
    """What is felt at native frames that went into the face and whose rows have not left yet."""

    first: int = -1
    """The segment's native frame of the first of them."""
    rows: Frames = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def add(self, first: int, rows: Frames) -> None:
        self.rows = np.concatenate([self.rows, rows]) if len(self.rows) else rows
        self.first = first if self.first < 0 else self.first

    def take(self, row: int, count: int, fps: int) -> Frames:
        """At each of these rows: read off the native frame at or before it; what lies before is forgotten."""
        native = [native_floor(number, fps) for number in range(row, row + count)]
        found: Frames = self.rows[np.array(native, np.intp) - self.first]
        done = max(0, native_floor(row + count, fps) - self.first)
        self.rows, self.first = self.rows[done:], self.first + done
        return found


@dataclass
class Waiting:
    """What the last blocks of a stream have in common."""

    frames: int = 0
    least: float = math.inf
    """Seconds that each of them waited for its turn."""
    left: float = math.inf
    """Blocks that waited behind each of them."""


@dataclass(eq=False)
class Segment:
    """A stretch of audio with a beginning of its own: the stream, or what follows an interrupt."""

    flow: Flow
    slot: int
    sampler: Sampler
    controls: Controls
    mapper: Mapper
    seed: int = 0
    base: int = 0
    """Row number, in the stream, of the segment's row 0."""
    native_base: int = 0
    """Native frame, on the controls' time, of the segment's native frame 0."""
    release: Release | None = None
    finish: Finish | None = None
    moods: Moods | None = None
    """What is felt, where the client wants to know."""
    mixing: Mixing | None = None
    """How a heard emotion and the one asked for are mixed, where the client says so."""
    urgent: bool = True
    limit: int = 60
    """Rows that may wait to leave; the engine does not run further ahead."""
    produced: int = 0
    consumed: int = 0
    deliver: Callable[[Made], None] = lambda made: None
    lane: int = 0
    fresh: bool = True
    generation: int = 0
    """Of the process that holds its state."""
    dead: bool = False
    due: bool = False
    since: float = 0.0
    """When it became ready (the worker's clock)."""
    turn: float = 0.0
    """When it may be stepped next (the worker's clock)."""
    behind: int = 0
    """Blocks by which it lags for no reason."""
    waiting: Waiting = field(default_factory=Waiting)

    def room(self) -> bool:
        return self.produced - self.consumed < self.limit

    def waits(self) -> bool:
        """Whether a step would do something for it and nobody has it in hand."""
        return not (self.due or self.dead) and self.ready and self.room()

    @property
    def ready(self) -> bool:
        """Whether there is something to do (cheap)."""
        return self.release is not None or self.flow.ready


@dataclass(frozen=True)
class Made:
    """Rows of one segment, ready to leave; or what went wrong with it."""

    segment: Segment
    first: int = 0
    values: Frames = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    moods: Frames | None = None
    last: bool = False
    error: FacerigError | None = None


@dataclass(eq=False)
class Step:
    """A batch on its way."""

    segments: Sequence[Segment]
    taken: list[tuple[Segment, Frames]] = field(default_factory=list)
    """Whose block is being computed, with that block and its control rows."""
    made: list[Made] = field(default_factory=list)
    """What needed no computing."""
    values: Frames = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))


class Engine:
    """Slots and steps. `batch` holds the faces' states: here, or with `options` (of `Animator.load`) in a process."""

    def __init__(self, animator: Animator, slots: int, options: dict[str, Any] | None = None) -> None:
        self.animator = animator
        face = hearing(animator.chain, animator.block)
        self.batch = BatchChain(face, slots) if options is None else Remote(face, slots, options)

    def step(self, segments: Sequence[Segment]) -> list[Made]:
        """One block of each segment."""
        step = self.begin(segments)
        self.collect(step)
        return self.finish(step)

    def begin(self, segments: Sequence[Segment]) -> Step:
        """Take the blocks and hand them to the faces, which may be at work elsewhere until `collect`."""
        step = Step(segments)
        for segment in segments:
            try:
                self._begin(segment, step)
            except Exception as error:
                step.made.append(_failed(segment, error))
        if step.taken:
            step.taken.sort(key=lambda pair: pair[0].slot)  # the same streams, however they came, are the same batch
            frames = np.stack([block for _, block in step.taken])
            self.batch.submit([segment.slot for segment, _ in step.taken], frames)
        return step

    def _begin(self, segment: Segment, step: Step) -> None:
        if segment.release is not None:
            release, segment.release = segment.release, None
            step.made.append(self._released(segment, release))
            if not segment.flow.ready:
                return
        block = self._take(segment)
        if block is not None:
            step.taken.append((segment, block))
        elif segment.flow.over:
            step.made.append(self._rows(segment, np.zeros((0, len(self.animator.channels)), np.float32)))

    def collect(self, step: Step) -> None:
        """Wait for what the faces make."""
        if step.taken:
            step.values = self.batch.collect()
            self._feel(step.taken)

    def finish(self, step: Step) -> list[Made]:
        """Number the rows and bring them to each client's rate and rig."""
        return [*step.made, *(self._own(segment, step.values[row]) for row, (segment, _) in enumerate(step.taken))]

    def _own(self, segment: Segment, values: Frames) -> Made:
        """A segment's rows, or what went wrong with them: that is its own affair, and not its batch's."""
        try:
            return self._rows(segment, values)
        except Exception as error:
            return _failed(segment, error)

    def _take(self, segment: Segment) -> Frames | None:
        if segment.fresh:
            segment.generation = self.batch.generation
            frame = segment.native_base + segment.flow.position
            self.batch.reset(segment.slot, frame, segment.seed, self._before(segment))
            if segment.mixing is not None and self.batch.face.heard is not None:
                self.batch.tell(segment.slot, segment.mixing.row)
            segment.fresh = False
        if segment.generation != self.batch.generation:
            raise Lost
        first = segment.native_base + segment.flow.position
        block = segment.flow.take()
        if block is None:
            return None
        rows = self.animator.asked(segment.controls, first, len(block))
        rows = rows if segment.flow.heard is None else told(rows, segment.flow.heard)
        return np.concatenate([block, rows], axis=1)

    def _before(self, segment: Segment) -> Frames | None:
        """What was asked before a segment; nothing where it is rebuilt from its last seconds, which forget that."""
        if segment.flow.position:
            return None
        rows = self.animator.before(segment.controls, segment.native_base, 0)
        return rows if segment.mixing is None else unheard(rows, segment.mixing)

    def _released(self, segment: Segment, release: Release) -> Made:
        """The face lives on, and what the shown one differs by is let go smoothly."""
        fps = segment.sampler.fps
        first, count = release.first - 1, release.rows + 1
        begin, end = native_floor(first, fps), native_ceiling(first + count - 1, fps) + 1
        quiet = self.animator.quiet(begin, end - begin, segment.controls, segment.seed, 0)
        rows = segment.mapper(between(quiet, begin, first, count, fps))
        return Made(segment, release.first, _finite(fallen(release.last, rows)), self._calmed(segment, release))

    def _calmed(self, segment: Segment, release: Release) -> Frames | None:
        """What is felt meanwhile: what is asked for, and what was felt beyond that is let go as the values are."""
        if segment.moods is None:
            return None
        rows = range(release.first - 1, release.first + release.rows)
        native = np.array([native_floor(row, segment.sampler.fps) for row in rows], np.intp)
        begin, end = int(native[0]), int(native[-1]) + 1
        asked = self.animator.asked(segment.controls, begin, end - begin)
        felt = moods_of(calm(self.batch.face, asked))[native - begin]
        return felt[1:] if release.mood is None else fallen(release.mood[: felt.shape[1]], felt)

    def _rows(self, segment: Segment, values: Frames) -> Made:
        flow = segment.flow
        if len(values):
            native = flow.give(_finite(values))
            first, values, last = native.first, native.values, native.last
        else:
            first, last = 0, True
        row, rows = segment.sampler.push(first, values, last)
        rows = segment.mapper(rows)
        segment.produced += len(rows)
        moods = segment.moods.take(row, len(rows), segment.sampler.fps) if segment.moods and len(rows) else None
        if segment.finish is not None and len(rows):
            rows = segment.finish(
                segment.base + row, rows, np.zeros((len(rows), 0), np.float32) if moods is None else moods
            )
        return Made(segment, segment.base + row, _finite(rows), moods, last)

    def _feel(self, taken: Sequence[tuple[Segment, Frames]]) -> None:
        """What the face feels in the blocks that were stepped: asked, or mixed with what is heard."""
        told = [(segment, block) for segment, block in taken if segment.moods is not None]
        if not told:
            return
        rows = [moods_of(block[:, SAMPLES:]) for _, block in told]
        if self.batch.face.heard is not None:
            slots = [segment.slot for segment, _ in taken]
            shown = self.batch.shown(slots)
            rows = [shown[slots.index(segment.slot)] for segment, _ in told]
        for (segment, _), own in zip(told, rows, strict=True):
            assert segment.moods is not None
            segment.moods.add(segment.flow.position, own)

    def warm_up(self, sizes: Iterable[int], clock: Callable[[], float], repeats: int = 3) -> dict[int, float]:
        """Least seconds of a step for each batch size, on the slots' own memory (streams must not be running).

        The least, since at a start-up other work often steals time, and a capacity that is too low stays.
        """
        times: dict[int, float] = {}
        rng = np.random.default_rng(0)
        felt = np.repeat(Controls({"emotion:happy": 1.0}).rows(0, 1), PRIME, axis=0)
        for size in sizes:
            frames = (rng.standard_normal((size, self.animator.block, SAMPLES)) * 0.05).astype(np.float32)
            rows = self.animator.asked(Controls(), 0, self.animator.block)
            frames = np.concatenate([frames, np.broadcast_to(rows, (size, *rows.shape))], axis=2)
            for slot in range(size):  # one as if it felt something: that is run through before its first block
                self.batch.reset(slot, before=None if slot else felt)
            self.batch.step(range(size), frames)
            taken = []
            for _ in range(repeats):
                begin = clock()
                self.batch.step(range(size), frames)
                taken.append(clock() - begin)
            times[size] = min(taken)
        return times


def _failed(segment: Segment, error: Exception) -> Made:
    """The end of a segment that went wrong by itself; nothing more is made of it."""
    segment.flow.over = True
    if not isinstance(error, FacerigError):
        log.error("a stream's own work failed", exc_info=error)
        error = ServiceError(faults.said(error))
    return Made(segment, last=True, error=error)


def _finite(rows: Frames) -> Frames:
    if not np.isfinite(rows).all():
        raise ServiceError("a fault of the server's own: values that are not finite")
    return rows
