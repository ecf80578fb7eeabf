"""Lids of recorded faces beside ours: the course of a blink, how lids follow the gaze. Reads Live Link recordings."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.behaviour.blink import CLOSING, OPENING
from facerig.behaviour.tables import Tuning
from facerig.train.corpora.base import data_folder

Floats = NDArray[np.float64]

TAKES = {"alex_rom_3": "the opening comes from it", "alex_rom_4": "checks the opening"}
FPS = 30  # of the recordings
BEFORE, AFTER = 5, 8  # frames around the peak


def compare() -> dict[str, Any]:
    """Figures for every recording at hand, beside ours; empty where there is none."""
    figures: dict[str, Any] = {"ours": _ours()}
    for name, role in TAKES.items():
        path = data_folder() / "captures" / f"{name}.csv"
        if path.is_file():
            figures[name] = {"role": role, **_measured(_read(path))}
    return figures


def typical(path: Path) -> tuple[Floats, Floats]:
    """(milliseconds, how closed): the median of a recording's blinks around their peaks."""
    take = _read(path)
    courses = _courses((take["EyeBlinkLeft"] + take["EyeBlinkRight"]) / 2)
    return np.arange(-BEFORE, AFTER + 1) * 1000 / FPS, np.median(courses, axis=0)


def _read(path: Path) -> dict[str, Floats]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    width = len(rows[0])
    values = np.array([[float(cell) for cell in row[2:]] for row in rows[1:] if len(row) == width])
    return {name: values[:, k] for k, name in enumerate(rows[0][2:])}


def _measured(take: dict[str, Floats]) -> dict[str, Any]:
    lid, down, up, wide = ((take[f"Eye{name}Left"] + take[f"Eye{name}Right"]) / 2
                           for name in ("Blink", "LookDown", "LookUp", "Wide"))  # fmt: skip
    courses = _courses(lid)
    open_eyes = lid < 0.5
    inputs = np.stack([down[open_eyes], np.ones(int(open_eyes.sum()))], axis=1)
    follow = float(np.linalg.lstsq(inputs, lid[open_eyes], rcond=None)[0][0])
    mean = np.median(courses, axis=0)
    return {"blinks": len(courses), "lid_per_look_down": round(follow, 3),
            "wide_per_look_up": round(float(np.polyfit(up, wide, 1)[0]), 3), **_shape(mean),
            "correlation_with_ours": round(float(np.corrcoef(mean, _our_course())[0, 1]), 3)}  # fmt: skip


def _courses(lid: Floats) -> Floats:
    """[blinks, frames] from 0 to 1 around the peaks of quick, full blinks."""
    found = []
    for k in range(20, len(lid) - 30):
        near = lid[k - 8 : k + 9]
        quick = lid[k - 15 : k].min() < 0.45 and lid[k : k + 22].min() < 0.45
        if lid[k] >= 0.75 and lid[k] == near.max() and quick:
            low = max(lid[k - 15 : k].min(), lid[k : k + 25].min())
            found.append(np.clip((lid[k - BEFORE : k + AFTER + 1] - low) / (lid[k] - low), 0, 1))
    return np.array(found).reshape(len(found), BEFORE + AFTER + 1)


def _our_course() -> Floats:
    """Ours at the recordings' rate, around the peak."""
    tuning, lag = Tuning(), np.arange(-BEFORE, AFTER + 1) * 60 / FPS
    closing = np.interp(1 + lag / tuning["blink.close"], np.linspace(0, 1, len(CLOSING)), CLOSING)
    opening = np.interp(lag / (tuning["blink.open"] + 1), np.linspace(0, 1, len(OPENING)), OPENING)
    return np.where(lag <= 0, closing, opening)


def _ours() -> dict[str, Any]:
    tuning = Tuning()
    return {"lid_per_look_down": tuning["blink.lid_down"], "wide_per_look_up": tuning["blink.lid_up"],
            **_shape(_our_course())}  # fmt: skip


def _shape(course: Floats) -> dict[str, float]:
    """Milliseconds from half closed to closed, and back to half."""
    fine = np.interp(np.arange(0, BEFORE + AFTER, 0.01), np.arange(BEFORE + AFTER + 1), course)
    half = np.flatnonzero(fine >= 0.5)
    peak = BEFORE * 100
    return {"closing_half_ms": round((peak - int(half[0])) / 100 * 1000 / FPS, 1),
            "opening_half_ms": round((int(half[-1]) - peak) / 100 * 1000 / FPS, 1)}  # fmt: skip
