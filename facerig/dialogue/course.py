"""Controls over time as a base and what comes on top: gestures that rise, hold and fall, and such that recur by chance.

A `Course` is `Controls` (set, replace) plus gestures; they add up and are cut to each control's range. All of it is a
function of the frame number: a stream resumed with the same course goes on with the same frames.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerig.controls import CONTROLS, Controls, place
from facerig.errors import check_option
from facerig.stage import FPS, Frames, eased

FOREVER = 1 << 53
LOW: Frames = np.array([control.low for control in CONTROLS], np.float32)
HIGH: Frames = np.array([control.high for control in CONTROLS], np.float32)


def draw(*keys: object) -> float:
    """A number from 0 to 1 that depends on the keys alone, on every machine."""
    digest = hashlib.blake2b(repr(keys).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / (1 << 56)


def frames(seconds: float) -> int:
    return math.floor(seconds * FPS + 0.5)


@dataclass(frozen=True, order=True)
class Gesture:
    """From frame `start` on up over `rise` frames, down over `fall` frames from frame `end` on."""

    start: int
    end: int
    rise: int
    fall: int
    key: tuple[int, ...]
    """What orders gestures that begin at once: sums then have the same bits however they were entered."""
    by: tuple[tuple[int, float], ...]
    """Columns and what they get at the top."""

    @classmethod
    def of(cls, start: int, end: int, rise: int, fall: int, key: tuple[int, ...], by: Mapping[str, float]) -> Gesture:
        check_option("gesture", f"{start} to {end}", "an end that is not before the start", start <= end)
        return cls(start, end, max(1, rise), max(1, fall), key, tuple((place(name), by[name]) for name in sorted(by)))

    @property
    def over(self) -> int:
        """First frame at which nothing is left of it."""
        return self.end + self.fall

    def share(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        up = _eased((numbers - self.start + 1) / self.rise)
        return up * (1 - _eased((numbers - self.end + 1) / self.fall))


def _eased(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return eased(np.clip(share, 0, 1))


@dataclass(frozen=True)
class Recurring:
    """A gesture of `least` to `most` seconds once in every `period` seconds, at a place in it that the seed chooses."""

    period: float
    least: float
    most: float
    rise: float
    fall: float
    by: Mapping[str, float]
    sided: bool = False
    """Whether the seed chooses the side (the sign) each time."""

    def within(self, first: int, last: int, origin: int, key: tuple[int, ...], seed: int) -> Iterator[Gesture]:
        """Those that touch frames first <= frame < last, of a course that began at frame `origin`."""
        period, fall = frames(self.period), frames(self.fall)
        for slot in range(max(0, (first - fall - origin) // period - 1), max(0, (last - origin) // period + 1)):
            long = frames(self.least + (self.most - self.least) * draw(seed, key, slot, "length"))
            room = max(0, period - long - fall)
            start = origin + slot * period + int(room * draw(seed, key, slot, "place"))
            if start < last and start + long + fall > first:
                side = -1.0 if self.sided and draw(seed, key, slot, "side") < 0.5 else 1.0
                by = {name: turned(name, amount, side) for name, amount in self.by.items()}
                yield Gesture.of(start, start + long, frames(self.rise), fall, (*key, slot), by)


def turned(name: str, amount: float, side: float) -> float:
    """What changes sign in a mirror: turns and tilts."""
    return amount * side if name.endswith((":yaw", ":roll", ":azimuth")) else amount


@dataclass(frozen=True)
class Habit:
    """A recurring gesture from a frame on until another."""

    what: Recurring
    start: int
    end: int
    key: tuple[int, ...]
    seed: int


class Course(Controls):
    """Controls with gestures and habits on top."""

    def __init__(self, base: Controls | None = None) -> None:
        super().__init__()
        self.base = Controls() if base is None else base
        self._tracks, self._over = self.base._tracks, self.base._over  # what is set or held changes the base
        self.gestures: list[Gesture] = []
        self.habits: list[Habit] = []

    @property
    def neutral(self) -> bool:
        return self.base.neutral and not self.gestures and not self.habits

    def add(self, gesture: Gesture) -> None:
        bisect.insort(self.gestures, gesture)

    def add_habit(self, habit: Habit) -> None:
        self.habits.append(habit)

    def end(self, frame: int, key: tuple[int, ...]) -> None:
        """What carries a key that begins with `key` ends at `frame` where it would have gone on."""
        ended = [g if g.key[: len(key)] != key or g.end <= frame else
                 Gesture(g.start, max(g.start, frame), g.rise, g.fall, g.key, g.by) for g in self.gestures]
        self.gestures = sorted(ended)
        self.habits = [h if h.key[: len(key)] != key or h.end <= frame else
                       Habit(h.what, h.start, max(h.start, frame), h.key, h.seed) for h in self.habits]  # fmt: skip

    def forget(self, before: int) -> None:
        """Drop what is over before a frame: the course of a stream without end stays small."""
        self.gestures = [gesture for gesture in self.gestures if gesture.over > before]
        self.habits = [habit for habit in self.habits if habit.end + FPS * 10 > before]

    def rows(self, first: int, count: int) -> Frames:
        out = self.base.rows(first, count)
        live = self.live(first, first + count)
        if not live or not count:
            return out
        numbers = np.arange(first, first + count, dtype=np.int64)
        touched = sorted({column for gesture in live for column, _ in gesture.by})
        total = out[:, touched].astype(np.float64)
        where = {column: at for at, column in enumerate(touched)}
        for gesture in live:
            share = gesture.share(numbers)
            for column, amount in gesture.by:
                total[:, where[column]] += amount * share
        out[:, touched] = np.clip(total, LOW[touched], HIGH[touched])
        return out

    def live(self, first: int, last: int) -> list[Gesture]:
        """All gestures that touch frames first <= frame < last, in their order."""
        found = [gesture for gesture in self.gestures if gesture.start < last and gesture.over > first]
        for habit in self.habits:
            stop = min(last, habit.end + frames(habit.what.fall))
            found += [_cut(gesture, habit.end) for gesture in
                      habit.what.within(first, stop, habit.start, habit.key, habit.seed) if gesture.start < habit.end]
        return sorted(found)


def _cut(gesture: Gesture, end: int) -> Gesture:
    if gesture.end <= end:
        return gesture
    return Gesture(gesture.start, max(gesture.start, end), gesture.rise, gesture.fall, gesture.key, gesture.by)
