"""Closures and other short events: from labels, from probabilities, from lip gaps; matched one to one. Knows no audio.

Two events match where their stretches, one widened by TOLERANCE, overlap ("near"), or more strictly where their onsets
are within TOLERANCE ("onset"). Every event takes part in one match at most, the closest onsets first, so that
flickering is punished as false alarms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerig.phones import Timed, units

FPS = 60
TOLERANCE = 0.040
# Spanish "b" between vowels (phonetic beta): lips come near and do not meet, so neither a closure nor a missing one is
# an error; half of CSS10's b are labelled so.
NEITHER = ("bh",)
Floats = NDArray[np.float32]


class Event(NamedTuple):
    """A stretch of time in seconds."""

    start: float
    end: float


@dataclass
class Matches:
    """Counts that add up over clips."""

    wanted: int = 0
    found: int = 0
    hits: int = 0
    onset_hits: int = 0
    offsets: list[float] = field(default_factory=list)  # found minus wanted onset of each hit, seconds

    def add(self, wanted: Sequence[Event], found: Sequence[Event], either: Sequence[Event] = ()) -> None:
        """`either`: stretches where finding something is neither right nor wrong, if nothing that is wanted is near."""
        found = [event for event in found
                 if any(near(w, event) for w in wanted) or not any(near(e, event) for e in either)]  # fmt: skip
        pairs = matched(wanted, found, near)
        self.wanted += len(wanted)
        self.found += len(found)
        self.hits += len(pairs)
        self.onset_hits += len(matched(wanted, found, same_onset))
        self.offsets += [found[j].start - wanted[i].start for i, j in pairs]

    def figures(self, prefix: str = "") -> dict[str, float | int | None]:
        """Percent and milliseconds; None where there was nothing to count."""
        offsets = np.array(self.offsets) * 1000
        return {
            f"{prefix}recall": percent(self.hits, self.wanted),
            f"{prefix}precision": percent(self.hits, self.found),
            f"{prefix}onset_recall": percent(self.onset_hits, self.wanted),
            f"{prefix}onset_precision": percent(self.onset_hits, self.found),
            f"{prefix}onset_error_ms": round(float(np.median(np.abs(offsets))), 1) if len(offsets) else None,
            f"{prefix}onset_bias_ms": round(float(np.median(offsets)), 1) if len(offsets) else None,
            f"{prefix}events": self.wanted,
        }


def percent(part: float, whole: float) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def near(wanted: Event, found: Event) -> bool:
    return found.start < wanted.end + TOLERANCE and found.end > wanted.start - TOLERANCE


def same_onset(wanted: Event, found: Event) -> bool:
    return abs(found.start - wanted.start) <= TOLERANCE


Rule = Callable[[Event, Event], bool]


def matched(wanted: Sequence[Event], found: Sequence[Event], rule: Rule) -> list[tuple[int, int]]:
    """Pairs (wanted, found), the closest onsets first, each used once."""
    pairs = [(abs(f.start - w.start), i, j) for i, w in enumerate(wanted) for j, f in enumerate(found) if rule(w, f)]
    taken: list[tuple[int, int]] = []
    left, right = set(range(len(wanted))), set(range(len(found)))
    for _, i, j in sorted(pairs):
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            taken.append((i, j))
    return taken


def spoken_events(timed: Sequence[Timed], flag: str) -> list[Event]:
    """The labelled stretches of units with this flag; neighbours that touch are one event (a lip that stays closed)."""
    return stretches(timed, {unit.unit for unit in units() if getattr(unit, flag)})


def stretches(timed: Sequence[Timed], flagged: Collection[str]) -> list[Event]:
    """The labelled stretches of these units."""
    out: list[Event] = []
    for start, end, name in timed:
        if name in flagged:
            if out and start - out[-1].end < 0.005:
                out[-1] = Event(out[-1].start, end)
            else:
                out.append(Event(start, end))
    return out


def runs(signal: Floats, enter: float, leave: float | None = None, join: int = 1) -> list[Event]:
    """Stretches where a signal is over `enter` (until under `leave`); gaps of up to `join` frames are bridged.

    Edges are placed between frames, where the signal crosses `enter`: finer than 60 frames a second.
    """
    on = _hysteresis(signal, enter, enter if leave is None else leave)
    padded = np.concatenate([[False], on, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    out: list[Event] = []
    before = -join - 1
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        event = Event(_crossing(signal, first, -1, enter), _crossing(signal, last - 1, 1, enter))
        if first - before <= join:
            event = Event(out.pop().start, event.end)
        out.append(event)
        before = int(last)
    return out


def _hysteresis(signal: Floats, enter: float, leave: float) -> NDArray[np.bool_]:
    at = np.arange(len(signal))
    strong = np.maximum.accumulate(np.where(signal >= enter, at, -1))
    weak = np.maximum.accumulate(np.where(signal < leave, at, -1))
    return np.asarray(strong > weak, np.bool_)


def _crossing(signal: Floats, inside: int, step: int, level: float) -> float:
    """Seconds at which the signal crosses the level beside the frame `inside`."""
    outside = inside + step
    if not 0 <= outside < len(signal):
        return inside / FPS
    high, low = float(signal[inside]), float(signal[outside])
    share = (high - level) / (high - low) if high > level > low else 0.5
    return (inside + step * share) / FPS
