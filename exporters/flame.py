"""FLAME parameter files (.npz) in the names of smplx, DECA / EMOCA, SMIRK and VHAP / GaussianAvatars, both ways.

Everything is float32: readers of such files drop other types without a word. No file of theirs states its frame
rate, so ours carry an extra array `fps`, which they ignore; and `start` where the first frame is not 0.
"""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.base import ExportOptions
from exporters.rigs import to_rig
from exporters.timing import whole_rate
from facerig.curves import Curves, npz_bytes
from facerig.errors import CurvesError, RigError
from facerig.mesh import Head
from facerig.rig import rig

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]

RIG = "flame"
VERTICES = 5143  # of VHAP's FLAME with teeth, whose files hold static offsets
READ_FPS = 30
LIDS = ("eyelidLeft", "eyelidRight")
MAX_BYTES = 4_000_000_000  # twelve hours of a large rig

# array | joints whose axis-angle it holds, 3 numbers each
SMPLX = (("global_orient", ("global",)), ("neck_pose", ("neck",)), ("jaw_pose", ("jaw",)), ("leye_pose", ("leye",)),
         ("reye_pose", ("reye",)))
DECA = (("pose", ("global", "jaw")), ("neck_pose", ("neck",)), ("eye_pose", ("leye", "reye")))
SMIRK = (("pose_params", ("global",)), ("neck_pose_params", ("neck",)), ("jaw_params", ("jaw",)),
         ("eye_pose_params", ("leye", "reye")))
VHAP = (("rotation", ("global",)), ("neck_pose", ("neck",)), ("jaw_pose", ("jaw",)), ("eyes_pose", ("leye", "reye")))
Poses = tuple[tuple[str, tuple[str, ...]], ...]
Neutral = tuple[tuple[str, bool, tuple[int, ...]], ...]
# family | expression array | expressions | poses | arrays that stay neutral: name, whether a row a frame, shape
FAMILIES: dict[str, tuple[str, int, Poses, Neutral]] = {
    "smplx": ("expression", 100, SMPLX, (("betas", True, (10,)), ("transl", True, (3,)))),
    "deca": ("exp", 50, DECA, (("shape", True, (100,)), ("transl", True, (3,)))),
    "smirk": ("expression_params", 50, SMIRK, (("shape_params", True, (300,)),)),
    "vhap": ("expr", 100, VHAP, (("translation", True, (3,)), ("shape", False, (300,)),
                                 ("static_offset", False, (1, VERTICES, 3)), ("dynamic_offset", True, (1, 3)))),
}


def write_smplx(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return _written(curves, "smplx")


def write_deca(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return _written(curves, "deca")


def write_smirk(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return _written(curves, "smirk")


def write_vhap(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return _written(curves, "vhap")


def _written(curves: Curves, family: str) -> bytes:
    table = _as_flame(curves)
    expression, count, poses, neutral = FAMILIES[family]
    arrays: dict[str, NDArray[Any]] = {expression: _expressions(table, count)}
    if family != "smirk" and any(lid in table and table[lid].any() for lid in LIDS):
        log.warning("%s: such files hold no lids; %s are left out", family, ", ".join(LIDS))
    for name, joints in poses:
        arrays[name] = table.select([f"{joint}_{axis}" for joint in joints for axis in "xyz"]).values
    if family == "smirk":
        arrays["eyelid_params"] = table.select(LIDS, fill=0.0).values
    for name, by_frame, shape in neutral:
        arrays[name] = np.zeros((table.frames, *shape) if by_frame else shape, np.float32)
    arrays["fps"] = np.array(table.fps, np.int32)
    if table.start:
        arrays["start"] = np.array(table.start, np.int64)
    return npz_bytes(arrays)


def _as_flame(curves: Curves) -> Curves:
    if "jaw_x" in curves and "expression000" in curves:
        _tell_lost(curves, [name for name in curves.channels if name not in rig(RIG).names])
        return curves.select(rig(RIG).names, fill=0.0)
    try:
        return to_rig(curves, RIG)
    except RigError as error:
        raise RigError(f"FLAME npz: needs FLAME's expressions and joints, which depend on a head's geometry; convert "
                       f"the curves with a FLAME head first ({error})") from None


def _expressions(table: Curves, count: int) -> Floats:
    names = _expression_names(table.channels)
    _tell_lost(table, names[count:])
    return table.select(names[:count]).values


def _expression_names(channels: Sequence[str]) -> list[str]:
    return [name for name in channels if name.startswith("expression")]


def _tell_lost(curves: Curves, names: Sequence[str]) -> None:
    lost = [name for name in names if np.any(curves[name])]
    if lost:
        log.warning("FLAME npz: %d moving channels do not fit and are left out: %s", len(lost), ", ".join(lost[:5]))


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    """Any of our own or of the four families, told apart by the arrays' names."""
    _check_size(data, name)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            if "head" in archive.files:
                return Curves.from_npz(data, name)
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, MemoryError) as error:
        raise CurvesError(f"{name}: not an .npz of plain arrays ({_first_line(error)})") from None
    for family, (expression, _, poses, _) in FAMILIES.items():
        if expression in arrays and any(pose in arrays for pose, _ in poses):
            return _read(arrays, family, name, fps)
    raise CurvesError(f"{name}: arrays {', '.join(list(arrays)[:6])}; accepted: facerig's own or FLAME parameters "
                      f"named as in {', '.join(FAMILIES)}")


def _check_size(data: bytes, name: str) -> None:
    """A small file can claim to unpack to any size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise CurvesError(f"{name}: not an .npz file ({_first_line(error)})") from None
    if size > MAX_BYTES:
        raise CurvesError(f"{name}: unpacks to {size} bytes, accepted: up to {MAX_BYTES}")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _read(arrays: Mapping[str, NDArray[Any]], family: str, name: str, fps: int | None) -> Curves:
    expression, _, poses, _ = FAMILIES[family]
    names = rig(RIG).names
    frames = len(np.atleast_2d(arrays[expression]))
    coefficients = _rows(arrays, expression, frames, name).T
    known = _expression_names(names)
    lost = int(coefficients[len(known) :].any(axis=1).sum())
    if lost:
        log.warning("%s: %d expressions, of which the first %d are read; %d moving ones are left out", name,
                    len(coefficients), len(known), lost)
    columns = dict(zip(known, coefficients, strict=False))
    for array, joints in poses:
        angles = [f"{joint}_{axis}" for joint in joints for axis in "xyz"]
        if array in arrays:
            columns |= dict(zip(angles, _rows(arrays, array, frames, name, len(angles)).T, strict=True))
    if "eyelid_params" in arrays:
        lids = _rows(arrays, "eyelid_params", frames, name, 2).T
        columns |= dict(zip(LIDS, lids, strict=True))
    values = np.zeros((frames, len(names)), np.float32)
    for number, channel in enumerate(names):
        if channel in columns:
            values[:, number] = columns[channel]
    stated, start = _single(arrays, "fps"), _single(arrays, "start")
    rate = (fps or READ_FPS) if stated is None else whole_rate(name, "array 'fps'", stated, fps)
    return Curves(names, rate, values, start if isinstance(start, int) else 0)


def _single(arrays: Mapping[str, NDArray[Any]], key: str) -> object:
    """The one value of an array of any shape; None where there is none or are several."""
    return arrays[key].item() if key in arrays and arrays[key].size == 1 else None


def _rows(arrays: Mapping[str, NDArray[Any]], key: str, frames: int, name: str, width: int | None = None) -> Floats:
    try:
        rows = np.asarray(arrays[key], np.float32).reshape(frames, -1)
    except (TypeError, ValueError):
        raise CurvesError(f"{name}: array {key!r} has shape {arrays[key].shape}, expected {frames} rows") from None
    if width is not None and rows.shape[1] != width:
        raise CurvesError(f"{name}: array {key!r} has {rows.shape[1]} columns, expected {width}")
    return rows
