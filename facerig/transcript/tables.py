"""The articulation tables (`assets/articulation`): what each unit asks of lips, jaw and tongue, and how fast they obey.

`targets.csv` has a row a unit: the value each gesture would reach if the sound were held, and how strongly the sound
insists on it (`d_<group>`). `gestures.csv` has a row a gesture: the channels it drives and how far it reaches into the
sounds before and after. Knows no time and no audio.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerig.files import assets_folder
from facerig.phones import units
from facerig.rig import rig

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Gesture:
    """One movement. lead and lag are the reach (one sigma, seconds) before and after the sound that asks for it."""

    name: str
    group: str
    channels: tuple[str, ...]
    lead: float
    lag: float
    effort: float  # exponent on the vocal effort


@dataclass(frozen=True)
class Articulation:
    """The tables as arrays: targets and dominance are [units, gestures]."""

    gestures: tuple[Gesture, ...]
    targets: Floats
    dominance: Floats

    def index(self, gesture: str) -> int:
        return next(i for i, g in enumerate(self.gestures) if g.name == gesture)


def _rows(name: str) -> list[dict[str, str]]:
    with (assets_folder() / "articulation" / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _gesture(row: dict[str, str]) -> Gesture:
    return Gesture(
        row["gesture"],
        row["group"],
        tuple(row["channels"].split()),
        float(row["lead_ms"]) / 1000,
        float(row["lag_ms"]) / 1000,
        float(row["effort"]),
    )


@functools.lru_cache(maxsize=1)
def articulation() -> Articulation:
    """The shipped tables, rows in the order of the units."""
    gestures = tuple(_gesture(row) for row in _rows("gestures.csv"))
    by_unit = {row["unit"]: row for row in _rows("targets.csv")}
    rows = [by_unit[unit.unit] for unit in units()]
    targets = np.array([[float(row[g.name]) for g in gestures] for row in rows], np.float32)
    dominance = np.array([[float(row[f"d_{g.group}"]) for g in gestures] for row in rows], np.float32)
    return Articulation(gestures, targets, dominance)


def native_channels() -> tuple[str, ...]:
    """The channels of the native rig, in their order."""
    return rig("facerig").names
