"""The whole face as one stage: sound and controls in, curves out. Says what meets what, and when; computes nothing.

    row = [400 samples | controls]                        (controls may be left out: then all have their defaults)
    samples -> LogMel -> model(features | condition of the controls) -> express -> Lips -> Gains -> smooth --+
    samples -> Prosody -----------------------------------------------------------------------------------+--+-> Life
    controls (the emotion among them mixed with the one that Heard hears) --------------------------------+        |
                                                                                                    Limits <-------+

Each consumer needs the control row of the very frame it works on, so controls run beside the signal through a delay
line with taps. The model uses the condition that it is given at step t for the output t - look-ahead: its tap is as
late as that output. Parts that are None are left out; without Life the face is still.

A stream begins as a face that has been silent for PRIME frames under the controls of those frames: what it is asked for
is there in its first frame, and it has been looking and swaying before. The speech path is run through them only where
something shows in it; else it begins as it is, and a neutral stream has the bits of the speech path alone. Life hears
nothing of a voice before the stream's first frame, though the rows come earlier: what a voice makes it do begins where
it can be seen, and an eye that is to turn is not there already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from facerig.controls import DEFAULTS, PRIME, WIDTH, group, rows_of
from facerig.errors import check_option
from facerig.fake import FakeModel
from facerig.features import LogMel
from facerig.many import Way, one_stream, way_of
from facerig.model.runtime import ModelStage
from facerig.post.gains import Gains
from facerig.post.limits import Limits
from facerig.post.lips import Lips
from facerig.stage import SAMPLES, Delay, Fir, Frames, Hush, Stage, State, run
from facerig.transcript.assist import Told

Condition = Callable[[Frames], Frames]
BLOCK = 60  # frames at a time where a whole clip is there
_RAISE = group("raise")


class Seeded(Protocol):
    """A stage with randomness: the frame number and the seed are part of its state."""

    @property
    def delay(self) -> int: ...

    @property
    def memory(self) -> int: ...

    def start(self, frame: int = 0, seed: int = 0) -> State: ...

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]: ...


@dataclass(frozen=True, eq=False)
class Face:
    """Rows [n, 400] or [n, 400 + WIDTH] -> [n, channels]."""

    model: ModelStage | FakeModel | Told
    gains: Gains
    limits: Limits
    mel: LogMel = field(default_factory=LogMel)
    condition: Condition | None = None
    express: Stage | None = None
    lips: Lips | None = None
    smooth: Fir | None = None
    heard: Stage | None = None
    """[features | controls] -> controls."""
    prosody: Stage | None = None
    """[samples] -> what behaviour hears in them."""
    life: Seeded | None = None
    """[curves | prosody | controls] -> channels of the full rig."""

    def __post_init__(self) -> None:
        check_option("heard", f"a delay of {self._lag}", f"up to {self.model.delay}", self._lag <= self.model.delay)
        check_option("life", "no prosody", "both or none", (self.life is None) == (self.prosody is None))

    # ---- what it costs in time ----------------------------------------------------------------------------------

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The speech path alone, for those who put a transcript beside it: each takes what the one before gives."""
        parts = (self.mel, self.model, self.lips, self.smooth, self.limits_of_speech)
        return tuple(stage for stage in parts if stage is not None)

    @cached_property
    def parts(self) -> tuple[tuple[str, Stage | Seeded], ...]:
        """All stages by name, in the order of their states."""
        named: tuple[tuple[str, Stage | Seeded | None], ...] = (
            ("mel", self.mel), ("heard", self.heard), ("line", self._line), ("model", self.model),
            ("express", self.express), ("lips", self.lips), ("gains", self.gains), ("smooth", self.smooth),
            ("wait", self._wait), ("prosody", self.prosody), ("voice", self._voice), ("hush", self._hush),
            ("life", self.life), ("limits", self.limits),
        )  # fmt: skip
        return tuple((name, stage) for name, stage in named if stage is not None)

    @property
    def delay(self) -> int:
        return self._before_life + _delay(self.life)

    @property
    def memory(self) -> int:
        """The longest way from an old sample to the present frame.

        The condition's way is no longer than the features': the model's memory counts its encoder's reach, which is
        longer than the look-ahead by which the condition comes later.
        """
        model = self.mel.memory + self.model.memory
        if self.heard is not None:
            model = max(model, self.mel.memory + self.heard.memory + self._reach + self.model.memory)
        speech = model + sum(_memory(part) for part in (self.express, self.lips, self.gains, self.smooth, self._wait))
        voice = _memory(self.prosody) + _memory(self._voice)
        felt = 0 if self.heard is None else self.mel.memory + self.heard.memory + self._reach
        return max(speech, voice, felt) + _memory(self.life)

    @cached_property
    def limits_of_speech(self) -> Limits:
        """The ranges of the channels that the model moves."""
        width = len(self.gains.native)
        return Limits(self.limits.low[:width], self.limits.high[:width])

    # ---- going through ------------------------------------------------------------------------------------------

    def start(self, frame: int = 0, seed: int = 0, before: Frames | None = None) -> State:
        """A stream whose first row is frame `frame`; `before`: the control rows of the silent frames just before it."""
        rows = rows_of(PRIME) if before is None else before
        state = self._nothing(frame - len(rows), seed, rows[0], len(rows))
        silence = np.zeros((len(rows), SAMPLES), np.float32)
        if self.shows(rows):
            return self.push(state, _beside(silence, rows))[0]
        walk = _Walk(self, state, lambda name: one_stream)
        seen = walk.seen(rows)
        if self.life is not None:
            still = np.zeros((len(rows), len(self.gains.native) + self._voices), np.float32)
            walk.through("hush", still)
            walk.through("life", _beside(still, self._tap(seen, silence, self._before_life)))
        return walk.state

    def shows(self, rows: Frames) -> bool:
        """Whether controls ask for what the speech path itself shows, and takes some frames to come to."""
        felt = self.condition is not None and bool(self.condition(rows).any())
        return felt or (self.express is not None and bool(rows[:, _RAISE].any()))

    def _nothing(self, frame: int, seed: int, row: Frames, silent: int) -> State:
        """Every part as it is made, before frame `frame`; the controls' line holds `row`, and the first `silent` frames
        are before the stream."""
        states: list[State] = []
        for name, stage in self.parts:
            if name == "life" and self.life is not None:  # the rows of the line reach it first, with numbers below
                states.append(self.life.start(frame - self._before_life, seed))
            elif name == "hush":
                states.append((np.array([silent + self._before_life], np.int64),))
            else:
                states.append((np.repeat(row[None], self._reach, axis=0),) if name == "line" else stage.start())
        return tuple(array for own in states for array in own)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        return self._walk(state, frames, lambda name: one_stream)

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """States [B, ...] and rows [B, n, ...] of many streams."""
        return self._walk(state, frames, self._ways.__getitem__)

    def _walk(self, state: State, frames: Frames, way: Callable[[str], Way]) -> tuple[State, Frames]:
        walk = _Walk(self, state, way)
        samples, rows = frames[..., :SAMPLES], _controls(frames)
        samples = np.ascontiguousarray(samples)
        feats = walk.through("mel", samples)
        if self.heard is not None:
            rows = walk.through("heard", _beside(feats, rows))
        seen = walk.seen(rows)
        shown = self._tap(seen, frames, self._before_model)
        columns = walk.through("model", self._conditioned(feats, shown))
        if self.express is not None:
            columns = walk.through("express", _beside(columns, shown))
        curves = walk.through("lips", columns)
        curves = walk.through("gains", _beside(curves, self._tap(seen, frames, self._before_gains)))
        curves = walk.through("wait", walk.through("smooth", curves))
        if self.life is not None:
            voice = walk.through("hush", walk.through("voice", walk.through("prosody", samples)))
            curves = walk.through("life", _beside(curves, voice, self._tap(seen, frames, self._before_life)))
        curves = walk.through("limits", curves)
        return walk.state, curves

    def felt(self, native: Frames, rows: Frames) -> Frames:
        """The control rows of a whole clip, after what is heard in it."""
        if self.heard is None:
            return rows
        return run(self.heard, _beside(run(self.mel, native, BLOCK), rows), BLOCK)

    def _conditioned(self, feats: Frames, rows: Frames) -> Frames:
        if self.condition is None or not isinstance(self.model, ModelStage):
            return feats
        return _beside(feats, self.condition(rows))

    # ---- what meets when ----------------------------------------------------------------------------------------

    @cached_property
    def _spans(self) -> tuple[tuple[str, slice], ...]:
        """Where the parts' own states lie among all."""
        ends = np.cumsum([0, *(len(stage.start()) for _, stage in self.parts)]).tolist()
        return tuple((name, slice(*ends[k : k + 2])) for k, (name, _) in enumerate(self.parts))

    @cached_property
    def _stages(self) -> dict[str, Stage | Seeded]:
        return dict(self.parts)

    @property
    def _lag(self) -> int:
        """Frames by which the controls have fallen behind before the line."""
        return _delay(self.heard)

    @cached_property
    def _before_model(self) -> int:
        return self.model.delay

    @cached_property
    def _before_gains(self) -> int:
        return self._before_model + _delay(self.express) + _delay(self.lips)

    @cached_property
    def _before_wait(self) -> int:
        return self._before_gains + _delay(self.smooth)

    @cached_property
    def _before_life(self) -> int:
        return max(self._before_wait, _delay(self.prosody))

    @property
    def _reach(self) -> int:
        return self._before_life - self._lag

    @cached_property
    def _line(self) -> Delay:
        return Delay(self._reach, DEFAULTS)

    @cached_property
    def _wait(self) -> Stage | None:
        """Where prosody takes longer than the model: curves wait for it."""
        late = self._before_life - self._before_wait
        return Delay(late, np.zeros(len(self.gains.native), np.float32)) if late else None

    @cached_property
    def _voice(self) -> Stage | None:
        late = self._before_life - _delay(self.prosody)
        if self.prosody is None or not late:
            return None
        return Delay(late, np.zeros(self._voices, np.float32))

    @property
    def _hush(self) -> Hush | None:
        return None if self.life is None else Hush()

    @cached_property
    def _voices(self) -> int:
        """Columns of prosody."""
        if self.prosody is None:
            return 0
        _, out = self.prosody.push(self.prosody.start(), np.zeros((1, SAMPLES), np.float32))
        return int(out.shape[1])

    def _tap(self, seen: Frames, frames: Frames, delay: int) -> Frames:
        """The control rows of the frames that are `delay` late, out of all rows that the line holds."""
        first = self._before_life - delay
        return seen[..., first : first + frames.shape[-2], :]

    @cached_property
    def _ways(self) -> dict[str, Way]:
        """How each part steps many streams; noise goes through once to see what each makes of it."""
        mel, feats = way_of(self.mel, SAMPLES)
        ways = {"mel": mel}
        if self.heard is not None:
            ways["heard"], _ = way_of(self.heard, feats + WIDTH)
        ways["model"], columns = way_of(self.model, feats)
        if self.express is not None:
            ways["express"], columns = way_of(self.express, columns + WIDTH)
        if self.lips is not None:
            ways["lips"], columns = way_of(self.lips, columns)
        ways["gains"], columns = way_of(self.gains, columns + WIDTH)
        for name, stage in (("smooth", self.smooth), ("wait", self._wait)):
            if stage is not None:
                ways[name], _ = way_of(stage, columns)
        if self.life is not None and self.prosody is not None:
            ways["prosody"], voice = way_of(self.prosody, SAMPLES)
            if self._voice is not None:
                ways["voice"], _ = way_of(self._voice, voice)
            ways["hush"], _ = way_of(Hush(), voice)
            ways["life"], columns = way_of(self.life, columns + voice + WIDTH)
        ways["limits"], _ = way_of(self.limits, columns)
        return ways


class _Walk:
    """One push through a face: hands each part its state and keeps the new one."""

    def __init__(self, face: Face, state: State, way: Callable[[str], Way]) -> None:
        self._way, self._stages = way, face._stages
        self._states = {name: state[span] for name, span in face._spans}

    def through(self, name: str, frames: Frames) -> Frames:
        """What a part makes of frames; the frames themselves where there is no such part."""
        if name not in self._stages:
            return frames
        self._states[name], out = self._way(name)(self._stages[name], self._states[name], frames)
        return out

    def seen(self, rows: Frames) -> Frames:
        """The controls' line with these rows at its end; it moves on by as many."""
        seen = np.concatenate([self._states["line"][0], rows], axis=-2)
        self._states["line"] = (seen[..., rows.shape[-2] :, :],)
        return seen

    @property
    def state(self) -> State:
        return tuple(array for own in self._states.values() for array in own)


def _controls(frames: Frames) -> Frames:
    """The control columns of rows; defaults where there are none."""
    if frames.shape[-1] > SAMPLES:
        return frames[..., SAMPLES:]
    return np.broadcast_to(DEFAULTS, (*frames.shape[:-1], WIDTH))


def _beside(*columns: Frames) -> Frames:
    return np.concatenate(columns, axis=-1)


def _delay(stage: Stage | Seeded | None) -> int:
    return 0 if stage is None else stage.delay


def _memory(stage: Stage | Seeded | None) -> int:
    return 0 if stage is None else stage.memory
