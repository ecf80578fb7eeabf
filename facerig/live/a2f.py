"""Frames of an Audio2Face server as native curves: its names turned into ours, its times onto our grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from facerig.client.a2f import Shown
from facerig.curves import Curves
from facerig.errors import ProtocolError, ServiceError
from facerig.retarget import retarget
from facerig.rig import rig
from facerig.stage import FPS, Frames

RIG = "a2f68"  # NVIDIA's 52 shapes and 16 of the tongue
FEWEST = 10  # shapes that must be known by name; fewer are another rig
LONGEST_GAP = 5.0  # seconds between two frames; more is a broken clock
NEAR = 1e-4  # seconds: on the grid


@dataclass
class Grid:
    """Frames at any times -> native frames, straight lines between; the first holds from the beginning on."""

    frame: int = 0  # the next native frame
    seconds: float = 0.0
    values: Frames | None = None

    def push(self, seconds: float, values: Frames) -> Frames:
        """[n, C]: the native frames up to this time."""
        if not -1.0 <= seconds - self.seconds <= LONGEST_GAP:
            raise ProtocolError(f"Audio2Face frame at {seconds:g} s after one at {self.seconds:g} s, accepted: steps "
                                f"of up to {LONGEST_GAP:g} s")
        before = values if self.values is None else self.values
        out: list[Frames] = []
        while self.frame / FPS <= seconds + NEAR:
            out.append(self._between(self.frame / FPS, before, seconds, values))
            self.frame += 1
        self.seconds, self.values = seconds, values
        return np.array(out, np.float32).reshape(len(out), len(values))

    def _between(self, at: float, before: Frames, seconds: float, values: Frames) -> Frames:
        if abs(at - seconds) <= NEAR or seconds <= self.seconds:
            return values
        share = np.float32(max(0.0, (at - self.seconds) / (seconds - self.seconds)))
        between: Frames = before + (values - before) * share
        return between


def columns(names: tuple[str, ...]) -> list[tuple[int, int]]:
    """(place in RIG, place in the server's frame) of the shapes that both know, letter case apart."""
    known = {name.lower(): place for place, name in enumerate(rig(RIG).names)}
    pairs = [(known[name.lower()], place) for place, name in enumerate(names) if name.lower() in known]
    if len(pairs) < FEWEST:
        raise ServiceError(f"Audio2Face server: {len(pairs)} of its {len(names)} blend shapes ({', '.join(names[:4])}, "
                           f"...) are ARKit's, accepted: {FEWEST} or more")
    return pairs


def native(shown: Iterable[Shown], full_rig: str) -> Iterator[Curves]:
    """Curves of `full_rig` on the native grid, from frame 0."""
    grid, pairs, low, high = Grid(), None, rig(full_rig).low, rig(full_rig).high
    for one in shown:
        pairs = pairs or columns(one.names)
        values = np.zeros(len(rig(RIG)), np.float32)
        for place, source in pairs:
            values[place] = one.values[source]
        first = grid.frame
        rows = grid.push(one.seconds, values)
        if len(rows):
            curves = retarget(Curves(rig(RIG).names, FPS, rows, first), full_rig)
            yield curves.with_values(np.clip(curves.values, low, high))
