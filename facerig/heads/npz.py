"""Head <-> .npz bytes: the one form in which heads are stored, built in or added by the user. No pickle."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from facerig.curves import npz_bytes
from facerig.errors import HeadError
from facerig.mesh import Head, Joint, Part, Shape

FORMAT = 1
MAX_UNPACKED = 1 << 30  # bytes of all arrays together
# What numpy, zipfile and zlib raise on bytes that are no archive of arrays.
DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, NotImplementedError, RuntimeError,
          zipfile.BadZipFile, zlib.error, struct.error)
OLD_EXPRESSION = re.compile(r"expr(\d\d?)")  # of a FLAME head that was stored before its shapes had the rig's names
PART_ARRAYS = ("vertices", "triangles", "normals", "uvs")


def head_to_npz(head: Head, half: bool = False) -> bytes:
    """Deterministic bytes. half: offsets as float16 (a tenth of a micrometre on a centimetre head's millimetre)."""
    arrays: dict[str, Any] = {}
    listing = []
    for number, part in enumerate(head.parts):
        for what in PART_ARRAYS:
            arrays[f"{number}/{what}"] = getattr(part, what)
        if part.joint_index is not None and part.joint_weight is not None:
            arrays[f"{number}/joint_index"], arrays[f"{number}/joint_weight"] = part.joint_index, part.joint_weight
        names = list(part.shapes)
        counts = [len(part.shapes[name].index) for name in names]
        offsets = [part.shapes[name].offsets for name in names] or [np.zeros((0, 3), np.float32)]
        indices = [part.shapes[name].index for name in names] or [np.zeros(0, np.int32)]
        arrays[f"{number}/shape_index"] = np.concatenate(indices)
        arrays[f"{number}/shape_offsets"] = np.concatenate(offsets).astype(np.float16 if half else np.float32)
        listing.append({"name": part.name, "material": part.material, "shapes": names, "counts": counts})
    meta = {"format": FORMAT, "name": head.name, "metres_per_unit": head.metres_per_unit, "parts": listing,
            "joints": [[j.name, j.parent, list(j.position)] for j in head.joints], "landmarks": dict(head.landmarks)}
    text = np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8)
    return npz_bytes({"head": text} | arrays)


def head_from_npz(data: bytes, name: str = "head.npz") -> Head:
    try:
        _check_size(data, name)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            meta = json.loads(arrays["head"].tobytes().decode())
            if meta["format"] != FORMAT:
                raise HeadError(f"{name}: format {meta['format']}, accepted: {FORMAT}")
            flame = any(joint[0] == "global" for joint in meta["joints"])
            parts = tuple(_part(arrays, number, row, flame) for number, row in enumerate(meta["parts"]))
            joints = tuple(Joint(j, int(p), (float(x[0]), float(x[1]), float(x[2]))) for j, p, x in meta["joints"])
            marks = {str(k): int(v) for k, v in meta["landmarks"].items()}
            return Head(meta["name"], parts, joints, float(meta["metres_per_unit"]), marks)
    except DAMAGE as error:
        raise HeadError(f"{name}: not a stored head ({error})") from error


def _check_size(data: bytes, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > MAX_UNPACKED:
        raise HeadError(f"{name}: unpacks to {total >> 20} MiB, accepted: up to {MAX_UNPACKED >> 20} MiB")


def _part(arrays: Any, number: int, row: dict[str, Any], flame: bool) -> Part:
    vertices, triangles, normals, uvs = (arrays[f"{number}/{what}"] for what in PART_ARRAYS)
    cuts = np.cumsum(np.array(row["counts"], int))[:-1]
    index = np.split(arrays[f"{number}/shape_index"].astype(np.int32), cuts)
    offsets = np.split(arrays[f"{number}/shape_offsets"].astype(np.float32), cuts)
    names = [_now(name) for name in row["shapes"]] if flame else row["shapes"]
    shapes = {key: Shape(i, o) for key, i, o in zip(names, index, offsets, strict=False)}
    joints = f"{number}/joint_index" in arrays
    return Part(row["name"], row["material"], vertices.astype(np.float32), triangles.astype(np.int32),
                normals.astype(np.float32), uvs.astype(np.float32), shapes,
                arrays[f"{number}/joint_index"].astype(np.int32) if joints else None,
                arrays[f"{number}/joint_weight"].astype(np.float32) if joints else None)


def _now(shape: str) -> str:
    """The name that a FLAME head's shape has today."""
    from facerig.heads.flame import EXPRESSIONS, expression_names

    old = OLD_EXPRESSION.fullmatch(shape)
    return expression_names(EXPRESSIONS)[int(old[1])] if old else shape
