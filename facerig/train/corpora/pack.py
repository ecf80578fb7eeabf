"""Packing: one source's clips as flat arrays at 24 kHz and 60 fps, and their reader. The trainer reads only this."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from facerig.errors import InputError
from facerig.files import write_file
from facerig.phones import Timed, rasterise
from facerig.train.corpora.base import Float, Int16, Row, cache_folder, read_manifest, remove_unfinished, save_array

RATE, FPS, UNLABELLED = 24000, 60, 255
SAMPLES_PER_FRAME = RATE // FPS


@dataclass(frozen=True)
class PackedClip:
    """Where a clip lies. start and frames count 60 fps frames; its audio is frames * 400 samples from start * 400."""

    id: str
    source: str
    language: str
    speaker: str
    split: str
    trust: float
    label_kind: str
    start: int
    frames: int
    target_start: int = -1  # frame in the targets, -1 where none

    @property
    def is_val(self) -> bool:
        return self.split == "val"


@dataclass(frozen=True)
class PackedSet:
    """Clips of several sources over memory-mapped arrays; `only(split)` narrows it."""

    clips: tuple[PackedClip, ...]
    arrays: dict[str, tuple[Int16, NDArray[np.uint8], NDArray[np.float32] | None]]
    columns: dict[str, tuple[str, ...]]
    digests: dict[str, str] = field(default_factory=dict)
    """Of the manifests that sources were packed from; see `digest`."""

    def __len__(self) -> int:
        return len(self.clips)

    def audio(self, clip: PackedClip, first: int = 0, frames: int | None = None) -> Int16:
        """int16 samples of the clip, from frame `first` on."""
        a, b = self._span(clip, first, frames)
        return self.arrays[clip.source][0][a * SAMPLES_PER_FRAME : b * SAMPLES_PER_FRAME]

    def labels(self, clip: PackedClip, first: int = 0, frames: int | None = None) -> NDArray[np.uint8]:
        """Unit index of each frame, 255 where unlabelled."""
        a, b = self._span(clip, first, frames)
        return self.arrays[clip.source][1][a:b]

    def targets(self, clip: PackedClip, first: int = 0, frames: int | None = None) -> NDArray[np.float32] | None:
        """[frames, columns] measured motion, NaN where invalid; None where the clip has none."""
        held = self.arrays[clip.source][2]
        if held is None or clip.target_start < 0:
            return None
        a, b = self._span(clip, first, frames)
        return held[a - clip.start + clip.target_start : b - clip.start + clip.target_start]

    def only(self, split: str | None = None, sources: Iterable[str] | None = None) -> PackedSet:
        """The clips of a split and of sources."""
        names = None if sources is None else set(sources)
        kept = [c for c in self.clips if split in (None, c.split) and (names is None or c.source in names)]
        return self.of(kept)

    def of(self, clips: Iterable[PackedClip]) -> PackedSet:
        """These clips of it."""
        return replace(self, clips=tuple(clips))

    def digest(self, source: str) -> str:
        """Another one where a source was packed anew from other clips or sound; of its arrays where it was never on
        disk."""
        if source in self.digests:
            return self.digests[source]
        audio, labels, _ = self.arrays[source]
        return hashlib.sha256(audio.tobytes() + labels.tobytes()).hexdigest()[:12]

    def hours(self) -> float:
        return sum(c.frames for c in self.clips) / FPS / 3600

    @staticmethod
    def _span(clip: PackedClip, first: int, frames: int | None) -> tuple[int, int]:
        count = clip.frames - first if frames is None else min(frames, clip.frames - first)
        return clip.start + first, clip.start + first + max(count, 0)


@functools.lru_cache(maxsize=16)
def _ratio(rate: int) -> tuple[int, int]:
    common = math.gcd(rate, RATE)
    return RATE // common, rate // common


def to_24k(samples: Int16, rate: int) -> Int16:
    """int16 at 24 kHz; the audio's first instant stays the first instant."""
    up, down = _ratio(rate)
    if up == down:
        return samples
    out: Float = resample_poly(samples.astype(np.float32), up, down)
    return np.clip(np.round(out), -32768, 32767).astype(np.int16)


def _frame_labels(row: Row, frames: int) -> NDArray[np.uint8]:
    if row.label_kind == "none":
        return np.full(frames, UNLABELLED, np.uint8)
    return rasterise([Timed(*t) for t in row.timed], frames, FPS, UNLABELLED).astype(np.uint8)


def _packed_targets(folder: Path, row: Row, frames: int) -> NDArray[np.float32]:
    held = np.load(folder / row.targets, mmap_mode="r")
    found = held[row.target_offset : row.target_offset + min(row.target_frames, frames)]
    out = np.full((frames, held.shape[1]), np.nan, np.float32)
    out[: len(found)] = found
    return out


def pack(cache: Path, source: str, columns: Sequence[str] = ()) -> Path:
    """Pack one source; unchanged manifests, which tell sound from other sound, are not packed again. Returns its json;
    an InputError where no clip has as much as a frame. What killed processes were writing is removed."""
    folder, out = cache / source, cache / "packed"
    for written in (folder, out):
        remove_unfinished(written)
    digest = hashlib.sha256((folder / "manifest.jsonl").read_bytes()).hexdigest()[:12]
    index = out / f"{source}.json"
    if index.is_file() and json.loads(index.read_text("utf-8"))["digest"] == digest:
        return index
    out.mkdir(parents=True, exist_ok=True)
    stem = f"{source}-{digest}"
    clips = _write_arrays(folder, out / stem, bool(columns))
    files = {"audio": f"{stem}.audio.npy", "labels": f"{stem}.labels.npy"}
    if columns:
        files["targets"] = f"{stem}.targets.npy"
    held = {"digest": digest, "files": files, "columns": list(columns), "clips": [asdict(c) for c in clips]}
    write_file(index, json.dumps(held, ensure_ascii=False).encode("utf-8"))
    _remove_older(out, source, stem)
    return index


def _write_arrays(folder: Path, stem: Path, has_targets: bool) -> list[PackedClip]:
    raw = stem.with_name(stem.name + f".{os.getpid()}.raw")
    try:
        clips, labels, targets = _write_raw(folder, raw)
        if not clips:
            raise InputError("no clip could be made")
        save_array(stem.with_name(stem.name + ".audio.npy"), np.memmap(raw, dtype=np.int16, mode="r"))
    finally:
        raw.unlink(missing_ok=True)
    save_array(stem.with_name(stem.name + ".labels.npy"), np.concatenate(labels))
    if has_targets:
        save_array(stem.with_name(stem.name + ".targets.npy"), np.concatenate(targets))
    return clips


def _write_raw(folder: Path, raw: Path) -> tuple[list[PackedClip], list[NDArray[np.uint8]], list[NDArray[np.float32]]]:
    """The audio of all clips into one file; the clips, their labels and their targets."""
    clips: list[PackedClip] = []
    labels, targets, at, measured = [], [], 0, 0
    shards: dict[str, Int16] = {}
    with raw.open("wb") as stream:
        for row in read_manifest(folder):
            if row.audio not in shards:
                shards = {row.audio: np.load(folder / row.audio, mmap_mode="r")}
            audio = to_24k(np.asarray(shards[row.audio][row.offset : row.offset + row.samples]), row.rate)
            frames = len(audio) // SAMPLES_PER_FRAME
            if not frames:
                continue
            stream.write(audio[: frames * SAMPLES_PER_FRAME].tobytes())
            labels.append(_frame_labels(row, frames))
            target_start = -1
            if row.targets:
                targets.append(_packed_targets(folder, row, frames))
                target_start, measured = measured, measured + frames
            clips.append(_clip(row, at, frames, target_start))
            at += frames
    return clips, labels, targets


def _clip(row: Row, at: int, frames: int, target_start: int) -> PackedClip:
    return PackedClip(
        row.id, row.source, row.language, row.speaker, row.split, row.trust, row.label_kind, at, frames, target_start
    )


def _remove_older(out: Path, source: str, stem: str) -> None:
    for path in out.glob(f"{source}-*.npy"):
        if not path.name.startswith(stem + ".") and path.name[len(source) + 1 :].split(".")[0].isalnum():
            path.unlink()


def load_packed(cache: str | os.PathLike[str] | None = None, sources: Iterable[str] | None = None) -> PackedSet:
    """The packed sources (all that are there by default) as one set, memory-mapped."""
    folder = cache_folder(cache) / "packed"
    present = sorted(p.stem for p in folder.glob("*.json"))
    names = present if sources is None else list(sources)
    clips: list[PackedClip] = []
    arrays, columns, digests = {}, {}, {}
    for name in names:
        if name not in present:
            raise InputError(f"packed source: got {name!r}, accepted: {', '.join(present) or 'none is built yet'}")
        held = json.loads((folder / f"{name}.json").read_text("utf-8"))
        files = held["files"]
        targets = np.load(folder / files["targets"], mmap_mode="r") if "targets" in files else None
        maps = [np.load(folder / files[kind], mmap_mode="r") for kind in ("audio", "labels")]
        arrays[name] = (maps[0], maps[1], targets)
        columns[name], digests[name] = tuple(held["columns"]), held["digest"]
        clips.extend(PackedClip(**raw) for raw in held["clips"])
    return PackedSet(tuple(clips), arrays, columns, digests)
