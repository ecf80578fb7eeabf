"""The open heads' published files: which, from where, with which SHA-256, under which licence. Downloads on request.

A digest that is known and does not match is refused. ICT-FaceKit's expression files have no digest here yet (they were
never fetched where this was written): they are taken only with unverified=True. MakeHuman's targets have no one public
place; they are read from a local folder.
"""

from __future__ import annotations

import hashlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facerig.errors import HeadError, OptionError, ServiceError

MAX_BYTES = 64 << 20  # of one file


# ICT-FaceKit's expressions, each an OBJ file of its own.
ICT_SIDES = ("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink", "eyeLookDown",
             "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown",
             "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer")
ICT_WHOLE = ("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker",
             "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper")
ICT_EXPRESSIONS = (*(f"{name}_{side}.obj" for name in ICT_SIDES for side in "LR"), *(f"{n}.obj" for n in ICT_WHOLE))


@dataclass(frozen=True)
class Source:
    """A published head."""

    title: str
    licence: str
    attribution: str
    base: str  # address that file names are put behind
    files: tuple[tuple[str, str], ...]  # path below base, SHA-256


SOURCES = {
    "ict": Source(
        "ICT-FaceKit (light)", "MIT", "Copyright (c) 2020 USC Institute for Creative Technologies",
        "https://raw.githubusercontent.com/USC-ICT/ICT-FaceKit/master/FaceXModel/",
        (("generic_neutral_mesh.obj", "eedbc2576d8e5ea57f55255b8f98263213a1efb5431d8bfceed1d7aef10271f9"),
         *((name, "") for name in ICT_EXPRESSIONS))),
    "makehuman": Source(
        "MakeHuman base mesh", "CC0 1.0", "MakeHuman Community, released as CC0 in September 2020",
        "https://raw.githubusercontent.com/makehumancommunity/makehuman/master/makehuman/data/3dobjs/",
        (("base.obj", "8e761e6624b8f54536409135d1636da63b32486a90d4897f84e121d144f6fb4c"),)),
}


def licence_text(name: str) -> str:
    source = source_of(name)
    return f"{source.title}: licence {source.licence}. {source.attribution}. From {source.base}"


def source_of(name: str) -> Source:
    if name not in SOURCES:
        raise OptionError(f"head: got {name!r}, accepted: {', '.join(SOURCES)}, flame, or the path of a file or folder")
    return SOURCES[name]


def check_files(name: str, folder: Path) -> list[str]:
    """What differs from the published files, in words (empty: all is as published)."""
    notes = []
    for path, digest in (row for row in source_of(name).files if row[1]):
        local = next(iter(folder.rglob(path)), None)
        if local is None:
            notes.append(f"{path} is not there")
        elif sha256(local.read_bytes()) != digest:
            notes.append(f"{path} differs from the published file (SHA-256 {sha256(local.read_bytes())[:16]}...)")
    return notes


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(name: str, shown: Callable[[str, int, int], None], unverified: bool = False) -> Path:
    """Download the published files into a fresh folder; shown(file, bytes so far, bytes in all) is told of progress."""
    source = source_of(name)
    if name == "makehuman":
        raise OptionError("makehuman: its targets have no one public place; give a local folder with --from")
    if not unverified and any(not digest for _, digest in source.files):
        raise OptionError(f"{name}: the digests of its expressions are not known; add --unverified, or --from FOLDER")
    folder = Path(tempfile.mkdtemp(prefix=f"facerig-{name}-"))
    for path, digest in source.files:
        data = _download(source.base + path, path, shown)
        if digest and sha256(data) != digest:
            raise HeadError(f"{path}: SHA-256 {sha256(data)}, expected {digest}; it was not kept")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def _download(address: str, name: str, shown: Callable[[str, int, int], None]) -> bytes:
    pieces, got = [], 0
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while piece := answer.read(1 << 16):
                got += len(piece)
                if got > MAX_BYTES:
                    raise HeadError(f"{name}: more than {MAX_BYTES >> 20} MiB; it was not kept")
                pieces.append(piece)
                shown(name, got, total)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise ServiceError(f"{address}: cannot be fetched ({error}); give a local folder with --from") from error
    return b"".join(pieces)
