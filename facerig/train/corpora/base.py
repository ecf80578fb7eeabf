"""What all sources share: the row of a clip, parts on disk, the builder's protocol. Knows no set in particular."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from facerig.errors import FacerigError, InputError
from facerig.files import REPOSITORY, write_file
from facerig.phones import Timed

Int16 = NDArray[np.int16]
Float = NDArray[np.float64]
Read = TypeVar("Read")
# what a file that is cut, emptied, missing or of another kind makes its reader raise
UNREADABLE = (OSError, EOFError, ValueError, LookupError, InputError, soundfile.SoundFileError, zipfile.BadZipFile,
              zlib.error)  # fmt: skip

WHOLE_HOURS = 10.0  # of synthetic speech, which most ask for: parts are cut to fit them
UNFINISHED = re.compile(r".+\.(\d+)\.(?:raw|tmp)")  # a file that is being written, and the process that writes it


@dataclass(frozen=True)
class Row:
    """One clip. `timed` is empty where label_kind is "none"; `targets` names a float32 .npy beside the part."""

    id: str
    source: str
    language: str
    speaker: str
    split: str  # "train" | "val"
    rate: int
    seconds: float
    label_kind: str  # "engine" | "hand" | "aligned" | "none"
    trust: float
    timed: list[tuple[float, float, str]] = field(default_factory=list)
    transcript: str = ""
    audio: str = ""
    offset: int = 0
    samples: int = 0
    targets: str = ""
    target_offset: int = 0
    target_frames: int = 0
    digest: str = ""
    """Of the sound and the targets, so that rows differ where these do; "" in parts older than it."""


@dataclass(frozen=True)
class Made:
    """A clip as a builder makes it, before it lies in a part."""

    row: Row
    audio: Int16
    targets: NDArray[np.float32] | None = None  # [frames at 60 fps, columns]


@dataclass(frozen=True)
class Lost:
    """A clip that cannot be read, in its place among the others, or a whole source; and why."""

    name: str
    why: str
    split: str = "val"

    def __str__(self) -> str:
        return f"{self.name}: left out: {self.why}"


@dataclass(frozen=True)
class Part:
    """A piece of work with a name of its own: resumable, independent of every other.

    alone: always in a fresh process (espeak-ng may crash, and carries state from one text to the next).
    """

    name: str
    make: Callable[[], Iterable[Made | Lost]]
    alone: bool = False


@dataclass(frozen=True)
class Source:
    """A corpus: its parts (empty where the engine or folder is absent: `missing` says why) and target columns."""

    name: str
    parts: Sequence[Part]
    missing: str = ""
    columns: tuple[str, ...] = ()


def cache_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """The cache: the argument, else $FACERIG_CACHE, else ~/.cache/facerig/corpora."""
    return Path(cache or os.environ.get("FACERIG_CACHE") or Path.home() / ".cache" / "facerig" / "corpora")


def data_folder() -> Path:
    """The shared real data: $FACERIG_DATA, else ../shared/data beside the repository."""
    return Path(os.environ.get("FACERIG_DATA") or REPOSITORY.parent / "shared" / "data")


def stable_hash(text: str) -> int:
    """The same number for the same text on every run and machine."""
    return zlib.crc32(text.encode("utf-8"))


def pieces(rate: float, hours: float, longest: float, digits: int = 3) -> list[tuple[str, float]]:
    """(what its name ends with, seconds) of the parts that make `rate` seconds for each of so many hours.

    A part that is there is not made again, so what its name stands for must not depend on the hours. Numbered parts are
    as long as those of WHOLE_HOURS, about `longest`. What is no whole number of them ends with a part that is named by
    its seconds: from half as long to half as long again, for an aligner that learns from one part needs enough of it.
    """
    length = rate * WHOLE_HOURS / max(1, round(rate * WHOLE_HOURS / longest))
    whole = max(1, round(rate * hours / length)) - 1
    parts = [(f"{k:0{digits}d}", length) for k in range(whole + 1)]
    last = rate * hours - whole * length
    if not math.isclose(last, length):
        parts[-1] = f"{math.ceil(last)}s", float(math.ceil(last))
    return parts


def told(lost: Lost) -> None:
    """The note on stderr of what is left out."""
    print(lost, file=sys.stderr)


def reason(error: BaseException) -> str:
    """Why something of the kinds of UNREADABLE was raised, in one line."""
    text = " ".join(str(error).split())
    tells = isinstance(error, FacerigError | OSError | soundfile.SoundFileError)
    return text if tells else f"{type(error).__name__}: {text}"


def each(source: str, paths: Iterable[Path], make: Callable[[Path], Read | None],
         split: Callable[[Path], str] = lambda _: "val") -> Iterator[Read | Lost]:  # fmt: skip
    """What is made of each file, `Lost` for those that cannot be read (one bad file ends no run), nothing for None."""
    for path in paths:
        made: Read | Lost | None
        try:
            made = make(path)
        except UNREADABLE as error:
            why = reason(error)
            made = Lost(f"{source}/{path.stem}", why if str(path) in why else f"{path}: {why}", split(path))
        if made is not None:
            yield made


def rng_for(*names: object) -> np.random.Generator:
    """A generator whose seed is the names."""
    return np.random.default_rng(stable_hash("/".join(str(n) for n in names)))


def to_int16(samples: NDArray[np.floating]) -> Int16:
    """Float -1..1 to int16, clipped."""
    return np.clip(np.round(np.asarray(samples) * 32767.0), -32768, 32767).astype(np.int16)


def plain(timed: Iterable[Timed]) -> list[tuple[float, float, str]]:
    """Timed units as json holds them, to a tenth of a millisecond; neighbours of one unit are kept apart."""
    return [(round(t.start, 4), round(t.end, 4), t.unit) for t in timed]


def write_part(folder: Path, part: Part) -> int:
    """Make a part and write it, the rows last: a part with rows is whole. Returns its clips, and tells of those that
    cannot be read; an InputError where what lists them cannot be read."""
    made = _readable(folder, part)
    rows, at, frames = [], 0, 0
    for clip in made:
        targets = clip.targets
        extra = {"audio": f"{part.name}.npy", "offset": at, "samples": len(clip.audio)}
        if targets is not None:
            extra |= {"targets": f"{part.name}.targets.npy", "target_offset": frames, "target_frames": len(targets)}
            frames += len(targets)
        rows.append(asdict(clip.row) | extra | {"digest": _digest(clip)})
        at += len(clip.audio)
    folder.mkdir(parents=True, exist_ok=True)
    save_array(folder / f"{part.name}.npy", np.concatenate([c.audio for c in made]) if made else np.zeros(0, np.int16))
    if frames:
        measured = [c.targets for c in made if c.targets is not None]
        save_array(folder / f"{part.name}.targets.npy", np.concatenate(measured))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_file(folder / f"{part.name}.jsonl", text.encode("utf-8"))
    return len(rows)


def _readable(folder: Path, part: Part) -> list[Made]:
    try:
        found = list(part.make())
    except UNREADABLE as error:
        raise InputError(f"part {part.name} cannot be made: {reason(error)}") from error
    again = f"put it right and remove {folder / part.name}.jsonl to have it made again"
    for lost in found:
        if isinstance(lost, Lost):
            print(f"{lost}; {again}", file=sys.stderr)
    return [made for made in found if isinstance(made, Made)]


def _digest(clip: Made) -> str:
    told = hashlib.sha256(np.ascontiguousarray(clip.audio).tobytes())
    if clip.targets is not None:
        told.update(np.ascontiguousarray(clip.targets).tobytes())
    return told.hexdigest()[:12]


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array under a temporary name, then rename: arrays may be too large to be bytes first."""
    temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        np.save(stream, array)
    os.replace(temporary, path)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed were writing there; what a living one writes stays."""
    for path in folder.glob("*"):
        found = UNFINISHED.fullmatch(path.name)
        if found and not _lives(int(found[1])):
            path.unlink(missing_ok=True)  # another process may be clearing up too


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's process, or no number of one: then better let it be
        return True
    return True


def write_manifest(folder: Path, names: Sequence[str]) -> int:
    """Join the rows of the parts that exist; returns the clips."""
    texts = [(folder / f"{n}.jsonl").read_text("utf-8") for n in names if (folder / f"{n}.jsonl").is_file()]
    text = "".join(texts)
    write_file(folder / "manifest.jsonl", text.encode("utf-8"))
    return text.count("\n")


def read_manifest(folder: Path) -> Iterator[Row]:
    """The rows of a source."""
    with (folder / "manifest.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            raw = json.loads(line)
            raw["timed"] = [(float(a), float(b), str(u)) for a, b, u in raw["timed"]]
            yield Row(**raw)
