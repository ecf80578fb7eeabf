"""The validation clips of every data set: sound, phones where they are known, measured motion where there is any.

Only clips that training leaves apart (split "val"); read from the data folder itself, so that no cache is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facerig.errors import OptionError
from facerig.features import LogMel
from facerig.phones import Timed
from facerig.resample import Resample
from facerig.train.corpora import motion, speech
from facerig.train.corpora.base import Made, Source
from facerig.train.teacher.measured import FPS, GridClip, grid_clips, grid_names
from facerig.transcript.articulation import loudness

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip to be judged on. `motion` is [frames, columns] at 60 fps, NaN where not measured."""

    id: str
    set: str
    language: str
    speaker: str
    samples: Floats
    rate: int
    timed: list[Timed] = field(default_factory=list)
    motion: Floats | None = None
    columns: tuple[str, ...] = ()
    text: str = ""  # what is said, where it is known

    @property
    def frames(self) -> int:
        """Frames whose instant lies in the clip."""
        return -(-len(self.samples) * FPS // self.rate)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def stem(self) -> str:
        return self.id.split("/")[-1]

    @functools.cached_property
    def energy(self) -> Floats:
        return loudness(self.samples, self.rate, self.frames)

    @functools.cached_property
    def mel(self) -> Floats:
        return features(self.samples, self.rate, self.frames)

    def column(self, name: str) -> Floats:
        assert self.motion is not None
        return self.motion[:, self.columns.index(name)]


def features(samples: Floats, rate: int, frames: int) -> Floats:
    """[frames, 128] log-mel of a whole clip, as the pipeline computes them."""
    edge = Resample(rate)
    state, blocks = edge.push(edge.start(), samples)
    native = np.concatenate([blocks, edge.flush(state)])
    front = LogMel()
    made = front.push(front.start(), native)[1]
    return fitted(made, frames)


def fitted(rows: Floats, frames: int) -> Floats:
    """Exactly `frames` rows; the last one is repeated where some are missing."""
    if len(rows) < frames:
        rows = np.concatenate([rows, np.repeat(rows[-1:], frames - len(rows), axis=0)])
    return rows[:frames]


# set, clips of a full run, clips of a quick run (spread evenly over the set), what it is there for
SETS: tuple[tuple[str, int, int, str], ...] = (
    ("ljspeech", 26, 6, "English, one reader, aligned phones"),
    ("emodb", 132, 16, "German, eight speakers, phones by hand"),
    ("css10_es", 41, 6, "Spanish, one reader, aligned phones"),
    ("emu_ae", 7, 2, "Australian English, phones by hand"),
    ("grid", 100, 10, "measured lips, one British talker"),
    ("facegood", 2, 1, "solved curves, Mandarin"),
    ("ema", 3, 1, "lips and jaw of two Germans by articulograph, talkers never seen"),
)


def set_names() -> tuple[str, ...]:
    return tuple(row[0] for row in SETS)


def load(name: str, limit: int | None = None, quick: bool = False) -> list[Clip]:
    """Validation clips of a set, evenly thinned to its size in SETS (or `limit`); empty where the data is absent."""
    row = next((row for row in SETS if row[0] == name), None)
    if row is None:
        raise OptionError(f"--sets: got {name!r}, accepted: {', '.join(set_names())}")
    return _READERS[name](limit or (row[2] if quick else row[1]))


def thinned(count: int, limit: int) -> list[int]:
    """Indices of `limit` out of `count`, evenly spread."""
    return [k * count // limit for k in range(limit)] if limit < count else list(range(count))


def _from_source(name: str) -> Callable[[int], list[Clip]]:
    def read(limit: int) -> list[Clip]:
        source = next(s for s in (*speech.sources(), *_measured()) if s.name == name)
        made = [m for m in _made(source) if m.row.split == "val" and (m.row.timed or m.targets is not None)]
        return [as_clip(made[k], source.columns) for k in thinned(len(made), limit)]

    return read


def _measured() -> list[Source]:
    return [source for source in motion.sources() if source.name in ("facegood", "ema")]


def _made(source: Source) -> Iterator[Made]:
    for part in source.parts:
        yield from part.make()


def as_clip(made: Made, columns: tuple[str, ...]) -> Clip:
    """A corpus row as a clip to be judged on."""
    row = made.row
    timed = [Timed(*t) for t in row.timed]
    samples = made.audio.astype(np.float32) / np.float32(32768)
    return Clip(row.id, row.source, row.language, row.speaker, samples, row.rate, timed, made.targets, columns,
                row.transcript)  # fmt: skip


def missing(name: str) -> str:
    """Why a set with measured motion cannot be read, or nothing."""
    return next(source.missing for source in motion.sources() if source.name == name)


def _read_grid(limit: int) -> list[Clip]:
    if missing("grid"):
        return []
    names = grid_names("val")
    keep = {names[k] for k in thinned(len(names), limit)}
    return [grid_as_clip(held) for held in grid_clips("val") if held.name in keep]


def grid_as_clip(held: GridClip) -> Clip:
    import soundfile

    samples, rate = soundfile.read(held.path, dtype="float32")
    return Clip(f"grid/{held.name}", "grid", "en", "grid_s1", samples, rate, held.timed, held.values, held.columns)


_READERS: dict[str, Callable[[int], list[Clip]]] = {
    name: _read_grid if name == "grid" else _from_source(name) for name in set_names()
}
