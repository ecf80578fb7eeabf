"""The validation clips of every data set: sound, phones where they are known, measured motion where there is any.

Only clips that training leaves apart (split "val"); read from the data folder itself, so that no cache is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facerig.errors import OptionError
from facerig.features import LogMel
from facerig.phones import Timed
from facerig.resample import Resample
from facerig.train.corpora import motion, speech
from facerig.train.corpora.base import UNREADABLE, Lost, Made, Source, reason, told
from facerig.train.teacher.measured import FPS, GridClip, grid_names, grid_read
from facerig.transcript.articulation import loudness

Floats = NDArray[np.float32]
Reader = Callable[[int], "tuple[list[Clip], list[Lost]]"]


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


def load(name: str, limit: int | None = None, quick: bool = False, lost: Callable[[Lost], None] = told) -> list[Clip]:
    """Validation clips of a set, evenly thinned to its size in SETS (or `limit`); empty where the data is absent.

    What cannot be read is told to `lost` and left out; the other clips are those that they would be without that.
    """
    row = next((row for row in SETS if row[0] == name), None)
    if row is None:
        raise OptionError(f"--sets: got {name!r}, accepted: {', '.join(set_names())}")
    if why := missing(name):
        lost(Lost(name, why))
        return []
    try:
        clips, bad = _READERS[name](limit or (row[2] if quick else row[1]))
    except UNREADABLE as error:  # what lists its clips
        clips, bad = [], [Lost(name, reason(error))]
    for one in bad or ([] if clips else [Lost(name, "none of its clips with labels is on this machine")]):
        lost(one)
    return clips


def thinned(count: int, limit: int) -> list[int]:
    """Indices of `limit` out of `count`, evenly spread."""
    return [k * count // limit for k in range(limit)] if limit < count else list(range(count))


def _from_source(name: str) -> Reader:
    def read(limit: int) -> tuple[list[Clip], list[Lost]]:
        source = _source(name)
        held = [one for one in made(source) if _judged(one)]
        picked = [held[k] for k in thinned(len(held), limit)]
        clips = [as_clip(one, source.columns) for one in picked if isinstance(one, Made)]
        return clips, [one for one in picked if isinstance(one, Lost)]

    return read


def _source(name: str) -> Source:
    return next(source for source in (*speech.sources(), *motion.sources()) if source.name == name)


def made(source: Source) -> list[Made | Lost]:
    """All clips of a source, those that cannot be read in their places."""
    return [one for part in source.parts for one in part.make()]


def _judged(one: Made | Lost) -> bool:
    if isinstance(one, Lost):
        return one.split == "val"
    return one.row.split == "val" and bool(one.row.timed or one.targets is not None)


def as_clip(made: Made, columns: tuple[str, ...]) -> Clip:
    """A corpus row as a clip to be judged on."""
    row = made.row
    timed = [Timed(*t) for t in row.timed]
    samples = made.audio.astype(np.float32) / np.float32(32768)
    return Clip(row.id, row.source, row.language, row.speaker, samples, row.rate, timed, made.targets, columns,
                row.transcript)  # fmt: skip


def missing(name: str) -> str:
    """Why a set cannot be read, or nothing."""
    return _source(name).missing


def _read_grid(limit: int) -> tuple[list[Clip], list[Lost]]:
    names = grid_names("val")
    bad: list[Lost] = []
    held = grid_read((names[k] for k in thinned(len(names), limit)), bad.append)
    return [grid_as_clip(one) for one in held], bad


def grid_as_clip(held: GridClip) -> Clip:
    import soundfile

    samples, rate = soundfile.read(held.path, dtype="float32")
    return Clip(f"grid/{held.name}", "grid", "en", "grid_s1", samples, rate, held.timed, held.values, held.columns)


_READERS: dict[str, Reader] = {
    name: _read_grid if name == "grid" else _from_source(name) for name in set_names()
}
