"""From audio to curves: `Animator`, loaded once and shared, and `Session`, one per stream. Knows no file and no wire.

    audio -> Resample -> Face (features, model, post, behaviour; controls beside it) -> Curves at 60 frames a second

Offline is `session.push(everything)` and `session.flush()`; there is no second path, so a stream cut anywhere gives the
same bits. A session's state is finite: `snapshot` holds all of it, and `Animator.restore` rebuilds it from the last
seconds of audio.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from facerig.asking import MOST_SEED
from facerig.assembly import FULL_RIG as FULL_RIG  # named so by those who use an Animator
from facerig.assembly import NATIVE_RIG as NATIVE_RIG
from facerig.assembly import Options, build, load_model
from facerig.audio import Audio, AudioSource, open_audio
from facerig.controls import PRIME, Controls
from facerig.controls import place as place_of
from facerig.curves import BAD_ARCHIVE, Curves, concat, npz_bytes
from facerig.errors import ModelError, check_option, whole
from facerig.face import Face
from facerig.model import device as devices
from facerig.model.runtime import OnnxModel
from facerig.phones import Timed
from facerig.resample import Resample, mono
from facerig.stage import FPS, RATE, SAMPLES, Blocks, Frames, State, fallen
from facerig.transcript.assist import Told, located, resampled, with_marks
from facerig.transcript.read import Transcript

MAX_RELEASE_MS = 2_000
MOST_START = 2**53  # as of curves
STATE_PARTS = ("edge", "blocks", "chain")
Progress = Callable[[int, "int | None"], None]
Ask = Callable[[Sequence[Timed]], Controls]


@dataclass(frozen=True)
class Animator:
    """A model with what goes before and after it. Stateless: any number of sessions share one."""

    chain: Face
    channels: tuple[str, ...]
    block: int
    model: str
    seed: int = 0
    heard: bool = False
    """Whether the emotion in the voice is heard; a stream whose controls do not say how much then follows it."""

    @classmethod
    def load(cls, model: str = "auto", block: int = Options.block, smooth: int = Options.smooth,
             seed: int = Options.seed, alive: bool = Options.alive, emotion: str = Options.emotion,
             device: str = Options.device, runtime: str = Options.runtime,
             precision: str = Options.precision) -> Animator:
        """Load by name or path; a missing or damaged model is a ModelError that says what to do."""
        options = Options(model, block, smooth, seed, alive, emotion, device, runtime, precision)
        stage = load_model(options)
        return cls(build(options, stage), options.rig.names, options.block, stage.name, options.seed, emotion == "auto")

    @cached_property
    def fingerprint(self) -> str:
        """Stands for the weights and the parts: two models of one name are not taken for each other."""
        models = [stage.graph + stage.weights for stage in self.chain.stages if isinstance(stage, OnnxModel)]
        parts = "+".join(name for name, _ in self.chain.parts)
        others = [f"{self.runtime}-{mark[:16]}" for mark in [devices.digest(self.chain.model)] if mark]
        return "-".join([self.model, *(hashlib.sha256(model).hexdigest()[:16] for model in models), *others, parts])

    @property
    def runtime(self) -> str:
        """What computes the network, and where: `onnx cpu`, `torch cpu`, `cuda fp16`."""
        return devices.said(self.chain.model)

    # ---- what it costs in time ------------------------------------------------------------------------------

    @property
    def delay(self) -> int:
        """Native frames between sound and the curves that show it, computing time apart."""
        return self.chain.delay

    def latency_ms(self, rate: int = RATE) -> float:
        """Longest wait of a frame for the audio that it needs: delay, the rest of its block, the resampler."""
        return (self.delay + self.block) * 1000 / FPS + Resample(rate).look_ahead_ms

    @property
    def context(self) -> int:
        """Native frames of audio before a frame from which a stream can be continued bit for bit (R)."""
        return self.chain.memory - self.delay + self.block

    @property
    def context_seconds(self) -> float:
        return self.context / FPS

    # ---- making curves ------------------------------------------------------------------------------------------

    def session(self, rate: int = RATE, start: int = 0, controls: Controls | None = None,
                seed: int | None = None) -> Session:
        """A new stream of audio at `rate`; its first frame has the number `start`."""
        edge, place = Resample(rate), self._place(start, 0, seed, controls)
        return Session(self, edge, place, edge.start(), self.blocks.start((SAMPLES,)))

    def _place(self, start: int, position: int, seed: int | None, controls: Controls | None,
               begun: int | None = None) -> Place:
        """Of a stream, from what a caller gave."""
        seed = self.seed if seed is None else whole("seed", seed, 0, MOST_SEED)
        start = whole("start", start, -MOST_START, MOST_START)
        begun = start if begun is None else whole("begun", begun, -MOST_START, start)
        return Place(start, position, seed, _meant(controls), begun)

    def animate(self, audio: ArrayLike | str | os.PathLike[str], rate: int | None = None, start: int = 0,
                progress: Progress | None = None, controls: Controls | None = None, seed: int | None = None) -> Curves:
        """The curves of a whole clip: a file's path, or samples [n] or [n, channels] of any type at `rate`."""
        if isinstance(audio, str | os.PathLike):
            with open_audio(audio) as source:
                return self.animate_source(source, start, progress, controls, seed)
        session = self.session(RATE if rate is None else rate, start, _own(controls), seed)
        return concat([session.push(audio), session.flush()])

    def animate_source(self, source: AudioSource, start: int = 0, progress: Progress | None = None,
                       controls: Controls | None = None, seed: int | None = None) -> Curves:
        """The curves of an open file, read block by block; `progress` is told the samples done and their total."""
        session, parts, done = self.session(source.rate, start, _own(controls), seed), [], 0
        for samples in source.blocks:
            parts.append(session.push(samples))
            done += len(samples)
            if progress:
                progress(done, source.samples)
        return concat([*parts, session.flush()])

    def animate_said(self, audio: Audio, transcript: Transcript, language: str = "en",
                     controls: Controls | Ask | None = None, seed: int | None = None, start: int = 0) -> Curves:
        """With what is said as evidence: all of the clip at once, since a transcript is aligned to the whole of it.

        `controls` may be a function of the units and their times, for what is asked by the word.
        """
        found = located(self.chain.stages, resampled(audio.samples, audio.rate), transcript, language)
        asked = _own(controls(found.timed) if callable(controls) else controls)
        rows = self.chain.felt(found.native, self.asked(asked, start, len(found.native)))
        condition = self.chain.condition(rows) if self.chain.condition is not None else None
        before = self.before(asked, start, start)
        columns = found.columns(
            condition=condition if condition is not None and condition.any() else None,
            before=self.chain.condition(before) if self.chain.condition and self.chain.shows(before) else None)
        told = replace(self.chain, model=Told(columns, self.chain.model.delay))
        curves = replace(self, chain=told).animate(audio.samples, audio.rate, start, controls=asked, seed=seed)
        return with_marks(curves, found.timed, found.words)

    @cached_property
    def blocks(self) -> Blocks:
        return Blocks(self.block)

    def asked(self, controls: Controls, first: int, count: int) -> Frames:
        """[count, controls.WIDTH] from frame `first` on; what the voice tells counts unless the controls say."""
        rows = controls.rows(first, count)
        if self.heard and not controls.says("heard"):
            rows[:, place_of("heard")] = 1.0
        return rows

    def before(self, controls: Controls, first: int, begun: int) -> Frames:
        """[PRIME, controls.WIDTH]: what was asked in the frames before `first`. Before the stream had `begun` it was
        what is asked in its first frame: that has then come about when it begins."""
        since = min(first, max(begun, first - PRIME))
        rows = self.asked(controls, since, max(1, first - since))
        return np.concatenate([np.repeat(rows[:1], PRIME - len(rows), axis=0), rows])

    def begin(self, first: int, controls: Controls, seed: int, begun: int) -> State:
        """The chain of a stream, or of what follows an interrupt, whose first row is frame `first`: of a face that has
        done what was asked of it, and heard nothing."""
        return self.chain.start(first, seed, self.before(controls, first, begun))

    def released(self, last: Frames, first: int, count: int, controls: Controls, seed: int, begun: int) -> Frames:
        """[count, channels]: from the values of frame `first` - 1 to a face that lives on and says nothing."""
        return fallen(last, self.quiet(first - 1, count + 1, controls, seed, begun))

    def quiet(self, first: int, count: int, controls: Controls, seed: int, begun: int) -> Frames:
        """[count, channels]: a face to which nobody has said anything, from frame `first` on, in a stream that began at
        frame `begun`."""
        length = count + self.delay
        length += -length % self.block
        rows = self.asked(controls, first, length)
        frames = np.concatenate([np.zeros((length, SAMPLES), np.float32), rows], axis=1)
        state, parts = self.begin(first, controls, seed, begun), []
        for at in range(0, length, self.block):
            state, out = self.chain.push(state, frames[at : at + self.block])
            parts.append(out)
        return np.concatenate(parts)[self.delay : self.delay + count]

    # ---- going on elsewhere ---------------------------------------------------------------------------------------

    def resume(self, snapshot: bytes) -> Session:
        """The session that `Session.snapshot` saved, exactly where it was."""
        try:
            with np.load(io.BytesIO(snapshot), allow_pickle=False) as arrays:
                head = json.loads(arrays["head"].tobytes().decode())
                states = [tuple(arrays[f"{part}{k}"] for k in range(head[part])) for part in STATE_PARTS]
                own, last = (head["face"], head["block"], head["delay"]), arrays["last"]
                place = Place(head["start"], head["position"], head["seed"], Controls.restored(head["controls"]),
                              head["begun"])
                rate, skip, waiting = head["rate"], head["from"], arrays["waiting"]
        except BAD_ARCHIVE as error:
            raise ModelError(f"snapshot: not one of a facerig session ({error})") from error
        if own != (self.fingerprint, self.block, self.delay):
            raise ModelError(f"snapshot: made with the face {own[0]!r}, block {own[1]}, delay {own[2]}; this animator "
                             f"has {self.fingerprint!r}, {self.block}, {self.delay}: load it as the other was")
        session = Session(self, Resample(rate), place, states[0], states[1], states[2])
        session.last = last if last.size else None
        session.skip_to(skip)
        if waiting.ndim > 1:
            session.waiting = Curves(self.channels, FPS, waiting, head["waiting"])
        return session

    def restore_point(self, frame: int) -> int:
        """The native frame of audio from which a session must be fed so that it goes on with output `frame`."""
        first = frame - self.context + self.block  # the oldest input that output `frame` depends on
        return max(0, first // self.block * self.block)

    def restore(self, audio: ArrayLike, first_sample: int, frame: int, rate: int = RATE, start: int = 0,
                controls: Controls | None = None, seed: int | None = None, begun: int | None = None) -> Session:
        """A session that goes on with frame `start + frame`, from the last seconds of audio, controls and seed.

        `audio` begins with sample number `first_sample` of the stream and must reach back `context_seconds` before
        the frame (or to the beginning of the stream). Audio that is newer than what the lost session had seen may be
        included: its frames come with the next push. Of a session that was interrupted, `start` and the samples are
        those since then, and `begun` the session's own.
        """
        edge, point = Resample(rate), self.restore_point(frame)
        needed = edge.first_sample(point)
        check_option("first_sample", first_sample, f"0 to {needed} to continue at frame {frame}",
                     0 <= first_sample <= needed, f"keep the last {self.context_seconds + 0.1:.1f} s of audio")
        samples = mono(audio)[needed - first_sample :]
        place = self._place(start, point, seed, controls, begun)
        state = self.chain.start(place.start + point, place.seed) if point else ()
        session = Session(self, edge, place, edge.start(point, needed), self.blocks.start((SAMPLES,)), state)
        session.skip_to(place.start + frame)
        session.waiting = session.push(samples)
        return session


def _meant(controls: Controls | None) -> Controls:
    own = Controls() if controls is None else controls
    check_option("controls", own, "facerig.controls.Controls({name: value})", isinstance(own, Controls))
    return own


def _own(controls: Controls | None) -> Controls:
    """For a whole clip: what was asked for frames that are past may be forgotten, and the caller may want it again."""
    own = _meant(controls)
    return own.copy() if type(own) is Controls else own


@dataclass(frozen=True)
class Place:
    """Where a stream stands and what was asked of it."""

    start: int
    """Number of its first frame."""
    position: int
    """Native frames that went into the chain."""
    seed: int
    controls: Controls
    begun: int
    """Number of its first frame before any interrupt."""


class Session:
    """One stream. `push` audio as it comes, get the frames that are ready; `flush` when the audio ends.

    `controls` may be changed at any time; what was computed already stays, and what is asked for a frame whose row
    has been read begins at the next one that has not: the rows of `delay` frames are read before their curves come, and
    a fade that began among them would be cut.
    """

    def __init__(self, animator: Animator, edge: Resample, place: Place, edge_state: State, blocks_state: State,
                 chain_state: State = ()) -> None:
        """Without a state the chain begins with its first block, by the controls as they are then."""
        self.animator, self.edge = animator, edge
        self.start, self.seed, self.controls, self.begun = place.start, place.seed, place.controls, place.begun
        self._edge, self._blocks, self._chain = edge_state, blocks_state, chain_state
        self._position = place.position
        self._from = place.start
        self.controls.floor = self.start + self._position if self._position else min(0, self.start)
        self.waiting: Curves | None = None
        self.last: Frames | None = None
        """Values of the frame that was given last."""
        self.closed = False

    @property
    def frame(self) -> int:
        """Number of the next frame to come."""
        return max(self._from, self.start + max(0, self._position - self.animator.delay))

    def skip_to(self, frame: int) -> None:
        """Leave out frames before this one (they were delivered before)."""
        self._from = max(self._from, frame)

    def push(self, samples: ArrayLike) -> Curves:
        """Take audio (any length, none too) and return the frames it completes."""
        check_option("push", "samples after flush", "samples before flush", not self.closed, "open a new session")
        self._edge, frames = self.edge.push(self._edge, mono(samples))
        return self._with_waiting(self._advance(frames))

    def flush(self) -> Curves:
        """The frames that are left; silence follows the clip, so a mouth closes by itself."""
        check_option("flush", "a second flush", "one flush a session", not self.closed, "open a new session")
        frames = self.edge.flush(self._edge)
        end = self._position + len(self._blocks[0]) + len(frames)
        tail = self.animator.delay + -(end + self.animator.delay) % self.animator.block
        silence = np.zeros((tail, SAMPLES), np.float32)
        out = self._with_waiting(self._advance(np.concatenate([frames, silence])))
        self.closed = True
        return out.slice(out.start, self.start + end)

    def interrupt(self, release_ms: float = 100) -> Curves:
        """Barge-in: what was heard and not yet shown is dropped; the frames in which the mouth comes to rest.

        The face lives on; a state that was asked for ends, so that the voice tells it. Audio that is pushed from now
        on begins right after these frames.
        """
        check_option("interrupt", "an interrupt after flush", "one before it", not self.closed, "open a new session")
        check_option("release_ms", release_ms, f"0 to {MAX_RELEASE_MS}", 0 <= release_ms <= MAX_RELEASE_MS)
        first, width = self.frame, len(self.animator.channels)
        count = 0 if self.last is None else max(1, round(release_ms * FPS / 1000))
        self.controls.floor = first  # the rows that were read beyond it are read again
        self.controls.replace(first, "state", {}, release_ms)
        values = np.zeros((0, width), np.float32)
        if self.last is not None:
            values = self.animator.released(self.last, first, count, self.controls, self.seed, self.begun)
            self.last = values[-1]
        self.start = self._from = self.controls.floor = first + count
        self._position, self.waiting = 0, None
        self._edge, self._blocks = self.edge.start(), self.animator.blocks.start((SAMPLES,))
        self._chain = ()
        return Curves(self.animator.channels, FPS, values, first)

    def snapshot(self) -> bytes:
        """All that the session knows, for `Animator.resume` in this or another process."""
        parts = dict(zip(STATE_PARTS, (self._edge, self._blocks, self._chain), strict=True))
        head = {"face": self.animator.fingerprint, "block": self.animator.block, "delay": self.animator.delay,
                "position": self._position, "start": self.start, "rate": self.edge.rate, "seed": self.seed,
                "begun": self.begun, "from": self._from, "controls": self.controls.saved(),
                "waiting": 0 if self.waiting is None else self.waiting.start,
                **{name: len(state) for name, state in parts.items()}}
        arrays = {f"{name}{k}": array for name, state in parts.items() for k, array in enumerate(state)}
        none = np.zeros(0, np.float32)
        arrays["last"] = none if self.last is None else self.last
        arrays["waiting"] = none if self.waiting is None else self.waiting.values
        return npz_bytes({"head": np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays})

    # ---- inside -------------------------------------------------------------------------------------------------

    def _advance(self, frames: Frames) -> Curves:
        first = self._position - self.animator.delay
        self._blocks, blocks = self.animator.blocks.push(self._blocks, frames)
        outputs = [np.zeros((0, len(self.animator.channels)), np.float32)]
        if blocks and not self._chain:
            self._chain = self.animator.begin(self.start, self.controls, self.seed, self.begun)
        for block in blocks:
            self.controls.floor = self.start + self._position + len(block)  # before they are read: others may be asking
            rows = self.animator.asked(self.controls, self.start + self._position, len(block))
            self._chain, out = self.animator.chain.push(self._chain, np.concatenate([block, rows], axis=1))
            outputs.append(out)
            self._position += len(block)
        return self._numbered(np.concatenate(outputs), self.start + first)

    def _numbered(self, values: Frames, first: int) -> Curves:
        """Curves from rows whose first one is frame `first`, without what lies before the stream's beginning."""
        skipped = min(len(values), max(0, self._from - first))
        return Curves(self.animator.channels, FPS, values[skipped:], max(first + skipped, self._from))

    def _with_waiting(self, curves: Curves) -> Curves:
        waiting, self.waiting = self.waiting, None
        out = concat([waiting, curves]) if waiting is not None and waiting.frames else curves
        if out.frames:
            self.last = out.values[-1]
        return out
