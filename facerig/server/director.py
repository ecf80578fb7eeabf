"""What a client directs while a stream runs: emotion, gains, states, gaze. A function of the frame number alone.

Each track fades from what it was to a target, so the order of controls and their frames say everything: a stream that
is resumed with the same controls gives the same frames. Without controls rows pass through untouched. Knows no wire.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facerig.errors import OptionError, check_option
from facerig.rig import REGIONS, Rig
from facerig.server import emotions
from facerig.stage import FPS, Frames

Vector = NDArray[np.float32]
MOUTH = ("jaw", "lips", "tongue")
MAX_GAIN = 2.0
MAX_FADE_MS = 10_000
MAX_CHANGES = 1_024  # of a track that wait for their frame: a control costs memory only while it matters
STATE_FADE = 9  # frames: 150 ms
EYE_RANGE = 35.0  # degrees of yaw or pitch that a full eyeLook* shape stands for

# state -> gain on the mouth, gain on everything
STATES: dict[str, tuple[float, float]] = {
    "speaking": (1.0, 1.0),
    "listening": (0.0, 1.0),
    "thinking": (0.0, 1.0),
    "idle": (0.0, 1.0),
    "off": (0.0, 0.0),
}


@dataclass(frozen=True)
class Change:
    """From frame `start` on, over `frames` frames, towards `target`."""

    start: int
    frames: int
    before: Vector
    target: Vector

    def at(self, numbers: NDArray[np.int64]) -> Frames:
        """[n] frame numbers -> [n, width]."""
        share = np.clip((numbers - self.start + 1) / max(1, self.frames), 0, 1)
        eased = (share * share * (3 - 2 * share)).astype(np.float32)[:, None]
        mixed: Frames = self.before + (self.target - self.before) * eased
        mixed[share >= 1] = self.target  # exactly, so that a gain of one again changes nothing
        return mixed


@dataclass
class Track:
    """One vector over time. The event loop adds changes while the engine reads them, so the list is only replaced."""

    rest: Vector
    changes: list[Change] = field(default_factory=list)
    seen: int = -1
    """The engine has asked for frames up to here."""

    def change(self, start: int, frames: int, target: Vector) -> None:
        changes = self.changes
        if changes:
            start = max(start, changes[-1].start)  # time runs one way
        before = changes[-1].at(np.array([start - 1], np.int64))[0] if changes else self.rest
        past = max(0, bisect_right(changes, self.seen, key=_start) - 1)  # the one in force is kept
        check_option(
            "controls", len(changes) - past + 1, f"up to {MAX_CHANGES} ahead", len(changes) - past < MAX_CHANGES
        )
        self.changes = [*changes[past:], Change(start, frames, before, target)]

    def at(self, numbers: NDArray[np.int64]) -> Frames:
        changes = self.changes
        out: Frames = np.repeat((changes[0].before if changes else self.rest)[None], len(numbers), axis=0)
        if not len(numbers):
            return out
        first = max(0, bisect_right(changes, int(numbers[0]), key=_start) - 1)
        for change in changes[first : bisect_right(changes, int(numbers[-1]), key=_start)]:
            live = numbers >= change.start
            out[live] = change.at(numbers[live])
        return out

    @property
    def neutral(self) -> bool:
        return not self.changes


def _start(change: Change) -> int:
    return change.start


class Director:
    """The controls of one stream, on its native frames."""

    def __init__(self, native: Rig, low: Vector | None = None, high: Vector | None = None) -> None:
        self.native = native
        self._low, self._high = (native.low if low is None else low), (native.high if high is None else high)
        width = len(native)
        ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
        self._gain, self._state = Track(ones), Track(ones)
        self._mood = Track(np.zeros(len(emotions.NAMES), np.float32))
        self._gaze = Track(np.concatenate([zeros, zeros[:1]]))  # the eyes' shapes, then how much the client holds them
        self._faces = np.stack([emotions.face({name: 1.0}, native.names) for name in emotions.NAMES])
        self._eyes = np.array([name in native.region("gaze") for name in native.names])
        self.state = "speaking"

    # ---- controls -----------------------------------------------------------------------------------------------

    def emotion(self, frame: int, weights: Mapping[str, float], intensity: float = 1.0, fade_ms: float = 250) -> None:
        unknown = sorted(set(weights) - set(emotions.NAMES))
        check_option("emotion", ", ".join(unknown)[:60], ", ".join(emotions.NAMES), not unknown)
        _check_range("intensity", intensity, 0, 1)
        target = np.zeros(len(emotions.NAMES), np.float32)
        for name, weight in weights.items():
            _check_range(f"emotion {name}", weight, 0, 1)
            target[emotions.NAMES.index(name)] = weight * intensity
        self._mood.change(frame, fade_frames(fade_ms), target)

    def gains(self, frame: int, regions: Mapping[str, float], fade_ms: float = 100) -> None:
        target = self._gain.changes[-1].target.copy() if self._gain.changes else self._gain.rest.copy()
        for region, gain in regions.items():
            check_option("region", region[:40], ", ".join(("all", *REGIONS)), region in ("all", *REGIONS))
            _check_range(f"gain of {region}", gain, 0, MAX_GAIN)
            target[self._of(REGIONS if region == "all" else (region,))] = gain
        self._gain.change(frame, fade_frames(fade_ms), target)

    def set_state(self, frame: int, state: str) -> None:
        check_option("state", state, ", ".join(STATES), state in STATES)
        mouth, everything = STATES[state]
        target = np.full(len(self.native), everything, np.float32)
        target[self._of(MOUTH)] *= mouth
        self._state.change(frame, STATE_FADE, target)
        self.state = state

    def look_at(self, frame: int, yaw: float, pitch: float, fade_ms: float = 150, release: bool = False) -> None:
        _check_range("yaw", yaw, -90, 90)
        _check_range("pitch", pitch, -90, 90)
        target = np.zeros(len(self.native) + 1, np.float32)
        if not release:
            target[-1] = 1.0
            for name, value in _eye_shapes(yaw, pitch).items():
                if name in self.native:
                    target[self.native.index(name)] = value
        self._gaze.change(frame, fade_frames(fade_ms), target)

    # ---- what they do -------------------------------------------------------------------------------------------

    @property
    def neutral(self) -> bool:
        return all(track.neutral for track in (self._gain, self._state, self._mood, self._gaze))

    def push(self, first: int, values: Frames) -> Frames:
        """Rows from native frame `first` on, directed; the same array where there is nothing to do."""
        if self.neutral or not len(values):
            return values
        numbers = np.arange(first, first + len(values), dtype=np.int64)
        for track in (self._gain, self._state, self._mood, self._gaze):
            track.seen = first
        out = values * self._gain.at(numbers)
        if not self._mood.neutral:
            out = self._felt(out, self._mood.at(numbers))
        if not self._gaze.neutral:
            gaze = self._gaze.at(numbers)
            held = gaze[:, -1:] * self._eyes.astype(np.float32)
            out = out * (1 - held) + gaze[:, :-1]
        if not self._state.neutral:
            out = out * self._state.at(numbers)
        return np.asarray(np.clip(out, self._low, self._high), np.float32)

    def moods(self, first: int, count: int) -> Frames:
        """[count, emotions]: what is felt at these frames, in the order of `emotions.NAMES`."""
        return self._mood.at(np.arange(first, first + count, dtype=np.int64))

    def _felt(self, values: Frames, moods: Frames) -> Frames:
        """Added one emotion after the other: a matrix product may round otherwise for another number of rows."""
        for place in np.flatnonzero(moods.any(axis=0)):
            values = values + moods[:, place : place + 1] * self._faces[place]
        return values

    def _of(self, regions: Sequence[str]) -> NDArray[np.bool_]:
        return np.array([channel.region in regions for channel in self.native.channels])


def fade_frames(milliseconds: float) -> int:
    _check_range("fade_ms", milliseconds, 0, MAX_FADE_MS)
    return round(milliseconds * FPS / 1000)


def _check_range(name: str, got: float, low: float, high: float) -> None:
    if not low <= got <= high:  # NaN fails too
        raise OptionError(f"{name}: got {got:g}, accepted: {low:g} to {high:g}")


def _eye_shapes(yaw: float, pitch: float) -> dict[str, float]:
    """Both eyes in parallel: to the face's left the left eye looks out and the right eye in."""
    left, up = np.clip([yaw / EYE_RANGE, pitch / EYE_RANGE], -1, 1)
    return {
        "eyeLookOutLeft": max(left, 0), "eyeLookInRight": max(left, 0),
        "eyeLookInLeft": max(-left, 0), "eyeLookOutRight": max(-left, 0),
        "eyeLookUpLeft": max(up, 0), "eyeLookUpRight": max(up, 0),
        "eyeLookDownLeft": max(-up, 0), "eyeLookDownRight": max(-up, 0),
    }
