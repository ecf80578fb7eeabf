"""Any file or folder with a head in it -> Head, its shapes under the rig's names; what fits no name is reported."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from facerig.errors import HeadError, OptionError
from facerig.heads.ict import sparse_shape
from facerig.heads.npz import head_from_npz
from facerig.heads.obj import read_obj
from facerig.matching import sides_spelt
from facerig.mesh import Head, Part, vertex_normals

log = logging.getLogger(__name__)

# Metres of one unit of length; files that name none are taken for metres.
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
SIZES = (0.05, 2.0)  # metres, of the longest side: from a mask to a whole body


@dataclass(frozen=True)
class Match:
    """How shape names of a file became channels."""

    renamed: dict[str, str]  # file's name -> channel
    unmatched: dict[str, str]  # file's name -> the nearest channel, or ""


def read_head(path: Path, units: str | None = None) -> tuple[Head, Match]:
    """Read by kind: a folder (ICT-FaceKit, MakeHuman, OBJ files) or a file by its suffix; `units` (of UNITS) counts
    before what the file says of its lengths."""
    if units is not None and units not in UNITS:
        raise OptionError(f"units: got {units!r}, accepted: {', '.join(UNITS)}")
    try:
        head = _read(path)
    except OSError as error:
        raise HeadError(f"{path}: cannot be read: {error.strerror or error}") from error
    if units is not None:
        head = replace(head, metres_per_unit=UNITS[units])
    _tell_size(head)
    return matched_head(head)


def _read(path: Path) -> Head:
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise HeadError(f"{path}: no such file or folder")
    if path.suffix.lower() not in READERS:
        raise HeadError(f"{path.name}: accepted: {', '.join(READERS)}, or a folder (OBJ, ICT-FaceKit, MakeHuman)")
    return READERS[path.suffix.lower()](path)


def _folder(path: Path) -> Head:
    from facerig.heads.ict import NEUTRAL, load_ict
    from facerig.heads.makehuman import BASE, load_makehuman

    if any((path / place / NEUTRAL).is_file() for place in (".", "FaceXModel")):
        return load_ict(path)
    if any((path / place / BASE).is_file() for place in (".", "3dobjs")):
        return load_makehuman(path)
    return obj_folder(path)


NEUTRAL_WORDS = frozenset(("neutral", "base", "basis", "rest"))
WORD = re.compile(r"[A-Z]*[a-z]+|[A-Z]+")
MAX_SHAPES = 2000


def obj_folder(path: Path) -> Head:
    """neutral.obj (or base, basis, rest, or with such a word in its name) and one OBJ a shape, all with the same
    vertices."""
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".obj")
    if not 1 <= len(files) <= MAX_SHAPES:
        raise HeadError(f"{path}: {len(files)} OBJ files, accepted: 1 to {MAX_SHAPES}, one of them neutral.obj")
    base = _at_rest(path, files)
    neutral = read_obj(base)
    shapes = {}
    for file in files:
        if file == base:
            continue
        other = read_obj(file)
        if other.positions.shape != neutral.positions.shape:
            raise HeadError(f"{file.name}: {len(other.positions)} vertices, {base.name} has {len(neutral.positions)}")
        shapes[file.stem] = sparse_shape(other.positions - neutral.positions, 1e-7)
    return Head(path.name, (_one_part(neutral.positions, neutral.triangles, neutral.vertex_places(), shapes),))


def _at_rest(folder: Path, files: list[Path]) -> Path:
    """The very word goes first; where several fit or none, nothing is guessed: an expression would become the face."""
    named = [file for file in files if file.stem.lower() in NEUTRAL_WORDS]
    worded = named or [file for file in files if NEUTRAL_WORDS & {word.lower() for word in WORD.findall(file.stem)}]
    fitting = files if len(files) == 1 else worded
    if len(fitting) != 1:
        got = ", ".join(file.name for file in fitting) or f"none of its {len(files)} OBJ files"
        raise HeadError(f"{folder}: the face at rest may be {got}; accepted: one whose name has the word neutral, "
                        f"base, basis or rest; call the face at rest neutral.obj")
    return fitting[0]


def _one_part(points: object, triangles: object, uvs: object, shapes: object) -> Part:
    p, t = cast(Any, points), cast(Any, triangles)
    return Part("face", "skin", p, t, vertex_normals(p, t), cast(Any, uvs), cast(Any, shapes))


def _obj(path: Path) -> Head:
    mesh = read_obj(path)
    return Head(path.stem, (_one_part(mesh.positions, mesh.triangles, mesh.vertex_places(), {}),))


def _npz(path: Path) -> Head:
    return head_from_npz(path.read_bytes(), path.name)


def _plain_mesh(path: Path) -> Head:
    """A still mesh through trimesh."""
    from facerig.errors import MissingExtra

    try:
        import trimesh
    except ImportError as error:
        raise MissingExtra(f"reading {path.suffix}", "preview", str(error)) from error
    try:
        mesh: Any = trimesh.load(path, force="mesh", process=False)
        points = np.asarray(mesh.vertices, np.float32)
        triangles = np.asarray(mesh.faces, np.int32)
    except Exception as error:  # trimesh lets whatever its parsers meet come through
        raise HeadError(f"{path.name}: not a {path.suffix} mesh ({type(error).__name__}: {error})") from error
    if not len(triangles):
        raise HeadError(f"{path.name}: holds no triangles")
    return Head(path.stem, (_one_part(points, triangles, np.zeros((len(points), 2), np.float32), {}),))


def _gltf(path: Path) -> Head:
    from facerig.heads.gltf import read_gltf

    return read_gltf(path)


def _usd(path: Path) -> Head:
    from facerig.heads.usd import read_usd

    return read_usd(path)


def _fbx(path: Path) -> Head:
    from facerig.heads.fbx import read_fbx

    return read_fbx(path)


READERS: dict[str, Callable[[Path], Head]] = {
    ".glb": _gltf, ".gltf": _gltf, ".fbx": _fbx, ".obj": _obj, ".npz": _npz, ".usd": _usd, ".usda": _usd,
    ".usdc": _usd, ".usdz": _usd, ".ply": _plain_mesh, ".stl": _plain_mesh,
}


def _tell_size(head: Head) -> None:
    if not head.vertex_count:
        return
    longest = float(np.ptp(head.vertices, axis=0).max()) * head.metres_per_unit
    if not SIZES[0] <= longest <= SIZES[1]:
        log.warning("%s: its longest side is %.3g m, that of a head %g to %g m; its unit counts as %g m, unless "
                    "facerig heads add --units %s says otherwise", head.name, longest, *SIZES, head.metres_per_unit,
                    "|".join(UNITS))


def matched_head(head: Head) -> tuple[Head, Match]:
    """The head with its shapes under the facerig rig's names, part by part: parts may write one shape's name in several
    ways."""
    matches = [match_names(tuple(part.shapes)) for part in head.parts]
    parts = tuple(replace(part, shapes={match.renamed.get(name, name): shape for name, shape in part.shapes.items()})
                  for part, match in zip(head.parts, matches, strict=True))
    renamed = {name: channel for match in matches for name, channel in match.renamed.items()}
    unmatched = {name: near for match in matches for name, near in match.unmatched.items() if name not in renamed}
    return replace(head, parts=parts), Match(renamed, unmatched)


def match_names(names: tuple[str, ...]) -> Match:
    """Names of one mesh that differ from a channel only in case, dividers, a prefix or how sides are written are the
    channel. The nearest kin goes first: the very name, then one without a prefix, then the longest ending."""
    channels = _channels()
    renamed: dict[str, str] = {}
    for found in (_itself, _by_whole, _by_ending):
        for name in names:
            channel = None if name in renamed else found(name)
            if channel and channel not in renamed.values():
                renamed[name] = channel
    near = {name: get_close_matches(_plain(name), channels, 1, 0.72) for name in names if name not in renamed}
    return Match(renamed, {name: channels[close[0]] if close else "" for name, close in near.items()})


@cache
def _channels() -> dict[str, str]:
    """Plain name -> channel."""
    from facerig.rig import rig

    return {_plain(channel): channel for channel in rig("facerig").names}


def _itself(name: str) -> str | None:
    return name if name in _channels().values() else None


def _by_whole(name: str) -> str | None:
    return _channels().get(_plain(name))


def _by_ending(name: str) -> str | None:
    key = _plain(name)
    fitting = [plain for plain in _channels() if key.endswith(plain) and len(plain) > 6]
    return _channels()[max(fitting, key=len)] if fitting else None


def _plain(name: str) -> str:
    text = name.rsplit(".", 1)[-1] if "." in name and not name.lower().endswith((".l", ".r")) else name
    return "".join(c for c in sides_spelt(text) if c.isalnum())
