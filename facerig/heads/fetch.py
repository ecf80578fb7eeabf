"""The open heads' published files: which, from where, under which licence. Downloads on request, and checks all of it.

Every file is checked before it is kept: by SHA-256, or, where the published file itself was never at hand
(ICT-FaceKit's expressions), by what it does to the neutral head. It knows no head's layout beyond that.
"""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facerig.errors import HeadError, OptionError, ServiceError
from facerig.files import write_file
from facerig.heads.published import ICT_NEUTRAL, ICT_TRAVEL, MAKEHUMAN_BASE, MAKEHUMAN_TARGETS
from facerig.mesh import Floats

GITHUB = "https://raw.githubusercontent.com/"
MAX_BYTES = 64 << 20  # of one file
MAX_TARGET = 16 << 20  # of one file in an archive
TRAVEL_TOLERANCE = 0.01  # of an expression's travel
NEUTRAL = "generic_neutral_mesh.obj"
ICT_VERTICES = 26719
Shown = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Source:
    """A published head."""

    title: str
    licence: str
    attribution: str
    pages: tuple[str, ...]  # where a person gets a copy
    files: tuple[tuple[str, str], ...]  # path below GITHUB, SHA-256 or "" where its contents are checked


ICT = "ICT-VGL/ICT-FaceKit/master/FaceXModel/"
TARGETS = "met4citizen/TalkingHead/main/blender/MPFB/talkinghead-targets.zip"
SOURCES = {
    "ict": Source(
        "ICT-FaceKit (light)", "MIT", "Copyright (c) 2020 USC Institute for Creative Technologies",
        ("https://github.com/ICT-VGL/ICT-FaceKit (folder FaceXModel)",),
        ((ICT + NEUTRAL, ICT_NEUTRAL), *((f"{ICT}{name}.obj", "") for name in ICT_TRAVEL))),
    "makehuman": Source(
        "MakeHuman base mesh, with TalkingHead's ARKit targets", "CC0 1.0; the targets MIT",
        "MakeHuman Community, released as CC0 in September 2020; targets Copyright (c) 2023-2024 Mika Suominen",
        ("https://github.com/makehumancommunity/makehuman (makehuman/data/3dobjs/base.obj)",
         "https://github.com/met4citizen/TalkingHead (blender/MPFB/talkinghead-targets.zip, unpacked beside it)"),
        (("makehumancommunity/makehuman/master/makehuman/data/3dobjs/base.obj", MAKEHUMAN_BASE), (TARGETS, ""))),
}


def licence_text(name: str) -> str:
    source = source_of(name)
    return f"{source.title}: licence {source.licence}. {source.attribution}. From {'; '.join(source.pages)}"


def source_of(name: str) -> Source:
    if name not in SOURCES:
        raise OptionError(f"head: got {name!r}, accepted: {', '.join(SOURCES)}, flame, or the path of a file or folder")
    return SOURCES[name]


def digests(name: str) -> dict[str, str]:
    """File name -> SHA-256, for what is known by one."""
    known = {Path(path).name: digest for path, digest in source_of(name).files if digest}
    return known | ({f"{n}.target": d for n, d in MAKEHUMAN_TARGETS.items()} if name == "makehuman" else {})


def check_files(name: str, folder: Path) -> list[str]:
    """What differs from the published files, in words (empty: all is as published)."""
    notes = []
    for path, digest in digests(name).items():
        local = next(iter(folder.rglob(path)), None)
        if local is None:
            notes.append(f"{path} is not there")
        elif (found := sha256(local.read_bytes())) != digest:
            notes.append(f"{path} differs from the published file (SHA-256 {found[:16]}...)")
    return notes


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(name: str, folder: Path, shown: Shown, unverified: bool = False, mirror: str = GITHUB) -> None:
    """Download the published files into a folder; shown(file, bytes so far, bytes in all) is told of progress.

    `mirror` is the address in the place of GITHUB; `unverified` takes files that differ from the published ones.
    """
    source = source_of(name)
    for path, digest in source.files:
        data = _download(mirror.rstrip("/") + "/" + path, Path(path).name, shown, name)
        if digest and not unverified:
            _same(Path(path).name, data, digest)
        if path == TARGETS:
            _unpack(data, folder, unverified)
        else:
            if not digest and not unverified:
                _travels_as_published(Path(path).stem, data, folder / NEUTRAL)
            write_file(folder / Path(path).name, data)


def _same(name: str, data: bytes, digest: str) -> None:
    if sha256(data) != digest:
        raise HeadError(f"{name}: SHA-256 {sha256(data)}, expected {digest}; nothing was kept. If the publisher "
                        "changed it and you trust it, add --unverified")


def _unpack(data: bytes, folder: Path, unverified: bool) -> None:
    """The targets that are wanted out of the archive, each checked; names inside never become paths."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {Path(info.filename).name: info for info in archive.infolist()}
            for name, digest in MAKEHUMAN_TARGETS.items():
                info = members.get(f"{name}.target")
                if info is None:
                    raise HeadError(f"{Path(TARGETS).name}: no {name}.target in it; nothing was kept")
                if info.file_size > MAX_TARGET:
                    raise HeadError(f"{name}.target: claims {info.file_size >> 20} MiB; nothing was kept")
                with archive.open(info) as member:
                    target = member.read(MAX_TARGET + 1)
                if not unverified:
                    _same(f"{name}.target", target, digest)
                write_file(folder / f"{name}.target", target)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise HeadError(f"{Path(TARGETS).name}: not a zip that can be read ({error}); nothing was kept") from error


def _travels_as_published(name: str, data: bytes, neutral: Path) -> None:
    moved, rest = obj_places(data, name), obj_places(neutral.read_bytes(), NEUTRAL)
    travel = float(np.linalg.norm((moved - rest).astype(np.float64), axis=1).sum())
    if not abs(travel - ICT_TRAVEL[name]) <= TRAVEL_TOLERANCE * max(ICT_TRAVEL[name], 1.0):
        raise HeadError(f"{name}.obj: moves the head by {travel:.1f} cm in all, the published one by "
                        f"{ICT_TRAVEL[name]:.1f}; nothing was kept. If you trust it, add --unverified")


def obj_places(data: bytes, name: str) -> Floats:
    """The vertices of an OBJ file [V, 3] and nothing else."""
    lines = [line.split()[1:4] for line in data.split(b"\n") if line.startswith(b"v ")]
    try:
        places = np.array(lines, dtype=np.float32)
    except ValueError as error:
        raise HeadError(f"{name}: a vertex that is no three numbers; nothing was kept") from error
    if places.shape != (ICT_VERTICES, 3) or not np.isfinite(places).all():
        raise HeadError(f"{name}: vertices of shape {places.shape}, accepted: ({ICT_VERTICES}, 3); nothing was kept")
    return places


def _download(address: str, file: str, shown: Shown, head: str) -> bytes:
    pieces, got = [], 0
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while piece := answer.read(1 << 16):
                got += len(piece)
                if got > MAX_BYTES:
                    raise HeadError(f"{file}: more than {MAX_BYTES >> 20} MiB; nothing was kept")
                pieces.append(piece)
                shown(file, got, total)
    except (urllib.error.URLError, TimeoutError, ValueError, OSError) as error:
        raise ServiceError(f"{address}: cannot be fetched ({error}). Without network: bring a copy of "
                           f"{' and '.join(source_of(head).pages)}, then facerig heads add {head} PATH") from error
    if got < total:
        raise ServiceError(f"{address}: ended after {got} of {total} bytes; nothing was kept, try again")
    return b"".join(pieces)
