"""Real faces beside their phones and loudness: GRID clips as the calibration and the comparison read them.

Reads the shared data directly, so neither needs the built corpora. Knows no head and no channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.phones import Timed, timed_units
from facerig.train.corpora.base import Lost, data_folder, each, told
from facerig.train.corpora.labels import read_columns
from facerig.train.corpora.motion import GRID_DROPPED, GRID_FPS, closed_lips, grid_validation, to_60fps
from facerig.train.corpora.speech import read_sound
from facerig.transcript.articulation import loudness, soft_raster

FPS = 60
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GridClip:
    """One sentence: all tracks [frames at 60, columns] less the talker's closed rest, NaN where not measured."""

    name: str
    timed: list[Timed]
    belief: Floats
    values: Floats
    energy: Floats
    columns: tuple[str, ...] = field(repr=False)
    path: Path = Path()

    def tracks(self, names: Sequence[str]) -> Floats:
        return self.values[:, [self.columns.index(name) for name in names]]


@functools.lru_cache(maxsize=1)
def _tracks() -> tuple[NDArray[np.float32], dict[str, slice], tuple[str, ...]]:
    with np.load(data_folder() / "grid" / "tracks.npz") as held:
        values, offsets = held["tracks"], list(held["offset"])
        ids, columns = [str(i) for i in held["ids"]], tuple(str(c) for c in held["columns"])
    return values, {name: slice(offsets[k], offsets[k + 1]) for k, name in enumerate(ids)}, columns


def grid_names(split: str) -> list[str]:
    """Names of the clips of a split ("train" or "val"), sorted."""
    names = [name for name in _tracks()[1] if name not in GRID_DROPPED]
    held = grid_validation(names)
    return sorted(name for name in names if (name in held) == (split == "val"))


def grid_clips(split: str, limit: int = 10_000, lost: Callable[[Lost], None] = told) -> list[GridClip]:
    """The first `limit` clips of a split, but for those that cannot be read, which are told to `lost`."""
    return grid_read(grid_names(split)[:limit], lost)


def grid_read(names: Iterable[str], lost: Callable[[Lost], None] = told) -> list[GridClip]:
    """Clips by their names, but for those that cannot be read."""
    closed_lips()  # without which none can be
    audio, clips = data_folder() / "grid" / "audio", []
    for found in each("grid", (audio / f"{name}.opus" for name in names), lambda path: grid_clip(path.stem)):
        if isinstance(found, Lost):
            lost(found)
        else:
            clips.append(found)
    return clips


def grid_clip(name: str) -> GridClip:
    folder = data_folder() / "grid"
    values, where, columns = _tracks()
    path = folder / "audio" / f"{name}.opus"
    sound, rate = read_sound(path, "float32")
    samples = sound[:, 0]
    frames = len(samples) * FPS // rate
    timed = timed_units(read_columns(folder / "phones" / f"{name}.txt"), "arpabet")
    raw = values[where[name]]
    tracks = to_60fps(raw, GRID_FPS, frames, raw[:, columns.index("valid")] > 0) - _neutral(columns)
    energy = loudness(samples, rate, frames)
    return GridClip(name, timed, soft_raster(timed, frames), tracks, energy, columns, path)


def _neutral(columns: tuple[str, ...]) -> Floats:
    closed = closed_lips()
    return np.array([closed[c] for c in columns], np.float32)
