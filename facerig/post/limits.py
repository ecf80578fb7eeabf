"""The last stage: every channel inside its rig's range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerig.stage import Frames, State


@dataclass(frozen=True, eq=False)
class Limits:
    """Clips each channel to [low, high]; no delay, no memory."""

    low: Frames
    high: Frames
    delay: int = 0
    memory: int = 0

    def start(self) -> State:
        return ()

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        return state, np.clip(frames, self.low, self.high)
