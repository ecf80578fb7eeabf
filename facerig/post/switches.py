"""What decides that a contact is on: hysteresis on a probability over frames, with finite memory, and its ramps.

Knows no mouth and no stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facerig.stage import Frames
from facerig.windows import highest

LATELY = 8  # frames (133 ms): longer than a closure takes to be recognised, shorter than two in a row
_NEVER = np.array(-1, np.int32)


@dataclass(frozen=True)
class Switch:
    """Hysteresis on a probability, and the shape of what it switches, in frames."""

    enter: float
    leave: float
    rise: int  # frames of ramp before it is fully on
    fall: int  # frames of ramp after
    hold: int = 0  # frames it stays fully on after its evidence
    longest: int = 30  # frames without fresh evidence at `enter` after which it lets go (0.5 s)
    release: float = 0.0  # share of the highest evidence of the last LATELY frames under which it lets go

    @property
    def reach(self) -> int:
        """Frames of evidence that decide on one frame."""
        return self.longest + (LATELY - 1 if self.release else 0)

    @property
    def span(self) -> int:
        """Frames of evidence before a frame that can still show in it."""
        return self.reach + self.hold + self.fall


def switched(evidence: Frames, *switches: Switch) -> NDArray[np.bool_]:
    """[..., switches, n] -> which frames are on: `enter` was reached within the last `longest` frames, and nothing
    under `leave` since."""
    at = np.arange(evidence.shape[-1], dtype=np.int32)
    enter, longest = (_each(field, *switches) for field in ("enter", "longest"))
    strong = np.maximum.accumulate(np.where(evidence >= enter, at, _NEVER), axis=-1)
    weak = np.maximum.accumulate(np.where(evidence < _lowest(evidence, *switches), at, _NEVER), axis=-1)
    return np.asarray((strong > weak) & (at - strong < longest), np.bool_)


def _lowest(evidence: Frames, *switches: Switch) -> Frames:
    """Evidence under which a contact lets go."""
    leave, release = (_each(field, *switches) for field in ("leave", "release"))
    return np.asarray(np.maximum(leave, release * _highest(evidence)), np.float32)


def _highest(evidence: Frames) -> Frames:
    """The largest value of the last LATELY frames."""
    seen = np.zeros((*evidence.shape[:-1], LATELY - 1 + evidence.shape[-1]), np.float32)
    seen[..., LATELY - 1 :] = evidence
    return highest(seen, LATELY)


@lru_cache(maxsize=64)
def _each(field: str, *switches: Switch) -> Frames:
    """[switches, 1] of a field."""
    return np.array([[getattr(switch, field)] for switch in switches], np.float32)


@lru_cache(maxsize=16)
def ramps(*switches: Switch) -> tuple[Frames, int]:
    """[switches, 1, frames] weights of the frames around the one that is shown, the oldest first, and how many of them
    are older."""
    back, ahead = max(s.fall + s.hold for s in switches), max(s.rise for s in switches)
    weights = [[_ramp(shift, switch) for shift in range(-back, ahead + 1)] for switch in switches]
    return np.array(weights, np.float32)[:, None], back


def _ramp(shift: int, switch: Switch) -> float:
    """Weight of a frame that is on, `shift` frames from the one that is shown (positive: to come)."""
    if shift > 0:
        return max(0.0, 1 - shift / (switch.rise + 1))
    return max(0.0, min(1.0, 1 - (-shift - switch.hold) / (switch.fall + 1)))
