"""Where a batch's files lie and what is known of them: so that a second run does only what is new or changed.

Beside the outputs, `.facerig/` holds one small JSON file a line: the hash of all that the line was made from, and
the hashes of what was written. It is written last, so an interrupted line is simply made again.
"""

from __future__ import annotations

import hashlib
import json
import os.path
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import facerig
from facerig.batch.table import DEFAULT_CHARACTER, DEFAULT_FOLDER, Line
from facerig.batch.work import Result, Settings, files_read
from facerig.errors import InputError
from facerig.files import write_file
from facerig.mesh import Head

NOTES = ".facerig"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Store:
    """The output folder of a batch."""

    folder: Path
    model: str = ""
    """what stands for the model's weights: two models of one name must not be taken for each other"""
    head: str = ""
    """the digest of the head, where formats want one"""

    def key(self, line: Line, settings: Settings) -> str:
        """The hash of everything that the line's files depend on; InputError where the audio cannot be read."""
        known = {"facerig": facerig.__version__, "model": self.model, "head": self.head, "settings": asdict(settings),
                 "character": line.character, "emotion": line.emotion, "transcript": line.transcript,
                 "formats": line.formats, "name": line.name, "audio": file_hash(line.audio),
                 "asked": [line.seed, line.style, line.state, *line.sets],
                 "files": [file_hash(path) for path in files_read(line, settings)[1:]]}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def done(self, line: Line, key: str, names: dict[str, str]) -> Result | None:
        """The earlier result, where the line is unchanged and its files lie there as they were written."""
        try:
            note = json.loads(self._note(line, names).read_bytes())
            same = note["key"] == key and note["files"].keys() == set(names.values())
            if not same or any(file_hash(self.folder / name) != digest for name, digest in note["files"].items()):
                return None
            known: dict[str, Any] = note["result"]
            return Result(line.number, "skipped", known["seconds"], known["frames"], 0.0, "", tuple(known["warnings"]),
                          known["plot"], {}, tuple(note["files"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
            return None

    def write(self, line: Line, key: str, result: Result, names: dict[str, str]) -> Result:
        """The files, then the note that they are complete."""
        hashes = {}
        for suffix, data in result.files.items():
            write_file(self.folder / names[suffix], data)
            hashes[names[suffix]] = hashlib.sha256(data).hexdigest()
        known = {"seconds": result.seconds, "frames": result.frames, "warnings": result.warnings, "plot": result.plot}
        note = {"key": key, "files": hashes, "result": known}
        write_file(self._note(line, names), json.dumps(note, ensure_ascii=False).encode())
        return result.written(tuple(hashes))

    def _note(self, line: Line, names: dict[str, str]) -> Path:
        """By the files that it tells of, not by row: a row that moves in the table keeps them, and two rows of one
        clip have their own."""
        known = "\n".join([f"{line.folder}/{line.audio.stem}", *sorted(names.values())])
        label = hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return self.folder / NOTES / f"{line.name[:40]}.{label}.json"


def file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


def head_digest(head: Head | None) -> str:
    """A hash of the geometry."""
    if head is None:
        return ""
    digest = hashlib.sha256(f"{head.name} {head.metres_per_unit} {head.joints}".encode())
    for part in head.parts:
        digest.update(f"{part.name} {part.material}".encode())
        for array in (part.vertices, part.triangles, part.normals, part.uvs, part.joint_index, part.joint_weight):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        for name, shape in part.shapes.items():
            digest.update(name.encode() + shape.index.tobytes() + np.ascontiguousarray(shape.offsets).tobytes())
    return digest.hexdigest()


def file_names(line: Line) -> dict[str, str]:
    """Where each format goes: a folder a character; Live Link's CSV by the rule that Unreal's importer reads."""
    from exporters.livelink_csv import file_name, slate_of, spelt

    subject = DEFAULT_CHARACTER if line.folder == DEFAULT_FOLDER else spelt(line.folder, DEFAULT_CHARACTER)
    live_link = file_name(slate_of(line.audio.stem), 1, subject)
    names = {suffix: live_link if suffix == ".csv" else f"{line.name}{suffix}" for suffix in line.formats}
    return {suffix: f"{line.folder}/{name}" for suffix, name in names.items()}


def clashes(lines: list[Line]) -> dict[int, str]:
    """Lines whose files an earlier line writes already, with the reason."""
    taken: dict[str, int] = {}
    out: dict[int, str] = {}
    for line in lines:
        for name in file_names(line).values():
            first = taken.setdefault(name, line.number)
            if first != line.number:
                out[line.number] = f"row {first} writes {name} already; rename the audio file or the character"
    return out


def overwriting(lines: list[Line], settings: Settings, folder: Path) -> dict[int, str]:
    """Lines whose files would lie over one that a line reads, with the reason."""
    read = {os.path.realpath(path): line.number for line in lines for path in files_read(line, settings)}
    out: dict[int, str] = {}
    for line in lines:
        for name in file_names(line).values():
            reader = read.get(os.path.realpath(folder / name))
            if reader is not None:
                out[line.number] = f"{name} would overwrite what row {reader} reads; give another --out or character"
    return out
