"""Gains by region and the size of speech; for a face that is not alive also states and gaze. Knows no audio, no time.

Takes curves with the controls beside them. A gain of one changes nothing, to the bit. mouthClose makes up for the open
jaw, so it goes with the jaw's gain and not the lips': a "p" closes under any mixture of gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facerig.controls import STATES, group, place
from facerig.post.lips import ARTICULATORS, MOODS
from facerig.rig import REGIONS, Rig
from facerig.stage import Frames, State

EYE_RANGE = 35.0  # degrees of yaw or pitch that a full eyeLook* shape stands for (Live Link's and ours)
_LIP_SCALE = place("lip_scale")
MOUTH = ("jaw", "lips", "tongue")
SILENT = tuple(name for name in STATES if name != "speaking")  # states in which the mouth rests

# channel, sign of the angle that moves it, which angle: both eyes in parallel
GAZE: tuple[tuple[str, float, str], ...] = (
    ("eyeLookOutLeft", 1, "look:yaw"), ("eyeLookInRight", 1, "look:yaw"),
    ("eyeLookInLeft", -1, "look:yaw"), ("eyeLookOutRight", -1, "look:yaw"),
    ("eyeLookUpLeft", 1, "look:pitch"), ("eyeLookUpRight", 1, "look:pitch"),
    ("eyeLookDownLeft", -1, "look:pitch"), ("eyeLookDownRight", -1, "look:pitch"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Gains:
    """The stage: [n, curves + controls] -> [n, curves]; no delay, no memory."""

    native: Rig
    still: bool = False
    """Whether states and gaze are done here, since no behaviour follows."""
    delay: int = 0
    memory: int = 0

    def start(self) -> State:
        return ()

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        curves, rows = frames[:, : len(self.native)], frames[:, len(self.native) :]
        out = curves * rows.take(self._gains, axis=1)
        size = rows[:, _LIP_SCALE]
        if np.count_nonzero(size != 1):
            out[:, self._speech] *= size[:, None]
        if self.still:
            out = self._looking(out, rows)
            quiet = np.minimum(_added(rows, [place(f"state:{name}") for name in SILENT]), 1)
            out[:, self._mouth] *= (1 - quiet)[:, None]
            out *= (1 - rows[:, place("state:off")])[:, None]
        return state, out

    def _looking(self, curves: Frames, rows: Frames) -> Frames:
        """Where the client holds the eyes they look there."""
        held = rows[:, place("look:held")]
        if not held.any():
            return curves
        wanted = np.clip(rows[:, self._angles] * self._signs / np.float32(EYE_RANGE), 0, 1)
        now = curves[:, self._eyes]
        curves[:, self._eyes] = np.where(held[:, None] > 0, now + held[:, None] * (wanted - now), now)
        return curves

    # ---- which columns ------------------------------------------------------------------------------------------

    @cached_property
    def _gains(self) -> NDArray[np.intp]:
        first = group("gain").start
        regions = ["jaw" if c.name == "mouthClose" else c.region for c in self.native.channels]
        return np.array([first + REGIONS.index(region) for region in regions], np.intp)

    @cached_property
    def _speech(self) -> list[int]:
        return _places(self.native, [n for n in self.native.names if n.startswith(ARTICULATORS) and n not in _moods()])

    @cached_property
    def _mouth(self) -> list[int]:
        return _places(self.native, self.native.region(*MOUTH))

    @cached_property
    def _eyes(self) -> list[int]:
        return _places(self.native, [name for name, *_ in GAZE])

    @cached_property
    def _angles(self) -> list[int]:
        return [place(angle) for _, _, angle in GAZE]

    @cached_property
    def _signs(self) -> Frames:
        return np.array([sign for _, sign, _ in GAZE], np.float32)


def _moods() -> set[str]:
    return {f"{stem}{side}" for stem in MOODS for side in ("", "Left", "Right")}


def _places(native: Rig, names: Sequence[str]) -> list[int]:
    return [native.index(name) for name in names]


def _added(rows: Frames, columns: Sequence[int]) -> Frames:
    """Summed one after the other: the same bits for any number of rows."""
    total = np.zeros(len(rows), np.float32)
    for column in columns:
        total += rows[:, column]
    return total
