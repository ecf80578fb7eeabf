"""What lives in a face beside speech: states, gaze, head, blinks, listening. `Life` is the stage; a file a behaviour.

Everything random is a function of (seed, frame number), everything remembered is a few rows of a signal; so a stream
taken up anywhere with the same controls goes on bit for bit, and many streams are one batch. Knows no audio (prosody
does), no wire, and no lips: it never moves what speech moves, but for letting go of it in silent states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from facerig.behaviour.attention import Attention
from facerig.behaviour.blink import Blink
from facerig.behaviour.drift import Drift
from facerig.behaviour.gaze import Gaze
from facerig.behaviour.head import Head, Pose
from facerig.behaviour.random import keyed
from facerig.behaviour.react import React
from facerig.behaviour.scene import CHANNELS, CURVES, INPUTS, Array, Behaviour, Scene
from facerig.behaviour.states import States
from facerig.behaviour.tables import Tuning
from facerig.errors import check_option
from facerig.prosody import PROSODY
from facerig.stage import Frames, State

__all__ = ["INPUTS", "Life", "Tuning"]
_VOICE_END = CURVES + len(PROSODY)


@dataclass(frozen=True)
class Life:
    """The stage: [n, 68 curves | prosody | controls] -> [n, 71] channels of the rig facerig-full."""

    tuning: Tuning = field(default_factory=Tuning)
    delay: int = 0

    @property
    def channels(self) -> tuple[str, ...]:
        return CHANNELS

    @cached_property
    def behaviours(self) -> tuple[Behaviour, ...]:
        """In the order in which one tells the next."""
        tuning = self.tuning
        parts = (Drift(tuning), Attention(tuning), Head(tuning), React(tuning), Pose())
        return (self._states, *parts, self._gaze, self._blink)

    @cached_property
    def _states(self) -> States:
        return States(self.tuning)

    @cached_property
    def _gaze(self) -> Gaze:
        return Gaze(self.tuning)

    @cached_property
    def _blink(self) -> Blink:
        return Blink(self.tuning)

    @cached_property
    def memory(self) -> int:
        """Who rules a frame depends on `hold` frames, and the rest on that; eyes tell lids."""
        alone = max(behaviour.memory for behaviour in self.behaviours)
        return self._states.hold + max(alone, self._gaze.memory + self._blink.memory)

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(len(behaviour.start()) for behaviour in self.behaviours)

    def start(self, frame: int = 0, seed: int = 0) -> State:
        """A stream whose first row is frame `frame`."""
        own = tuple(array for behaviour in self.behaviours for array in behaviour.start())
        return (np.array(frame, np.int64), np.array(_wrapped(seed), np.int64), *own)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        state, out = self.push_batch(tuple(array[None] for array in state), frames[None])
        return tuple(array[0] for array in state), out[0]

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked: states [B, ...], frames [B, n, INPUTS] -> [B, n, 71]."""
        check_option("life", f"{frames.shape[-1]} columns", f"{INPUTS} columns", frames.shape[-1] == INPUTS)
        first, seeds, *rest = state
        scene = _scene(first, seeds, frames)
        after: list[Array] = []
        at = 0
        for behaviour, size in zip(self.behaviours, self._sizes, strict=True):
            after.extend(behaviour.act(tuple(rest[at : at + size]), scene))
            at += size
        return (first + frames.shape[1], seeds, *after), scene.out


def _scene(first: Array, seeds: Array, frames: Frames) -> Scene:
    count = frames.shape[1]
    out = np.zeros((len(frames), count, len(CHANNELS)), np.float32)
    out[..., :CURVES] = frames[..., :CURVES]
    numbers = first[:, None] + np.arange(count, dtype=np.int64)
    return Scene(seeds, numbers, frames[..., CURVES:_VOICE_END], frames[..., _VOICE_END:], out, keyed(seeds))


def _wrapped(seed: int) -> int:
    """Any whole number as 64 bits with a sign."""
    return (seed + 2**63) % 2**64 - 2**63
