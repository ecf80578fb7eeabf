"""The small network that hears emotion, as arrays: reads and writes .safetensors with numpy alone. Never a pickle.

A file is a little-endian u64, that many bytes of JSON ({name: {dtype, shape, data_offsets}}), then the data.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facerig.errors import ModelError
from facerig.files import assets_folder, write_file
from facerig.stage import Frames

NAME = "emotion"
FORMAT = 1
HINT = "run `python -m facerig.train.heard` or reinstall facerig"
Arrays = Mapping[str, Frames]


def packed(arrays: Arrays) -> bytes:
    """The bytes of a .safetensors file of float32 arrays."""
    head: dict[str, Any] = {}
    at = 0
    for name, array in arrays.items():
        head[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(a, "<f4").tobytes()
                                                          for a in arrays.values())


def unpacked(data: bytes, name: str = NAME) -> dict[str, Frames]:
    """The arrays of such a file, or a ModelError that names it."""
    try:
        (size,) = struct.unpack_from("<Q", data)
        head = json.loads(data[8 : 8 + size])
        return {key: _array(data[8 + size :], entry) for key, entry in head.items() if key != "__metadata__"}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{name}.safetensors: cannot be read ({str(error)[:80]}); {HINT}") from error


def _array(data: bytes, entry: dict[str, Any]) -> Frames:
    if entry["dtype"] != "F32":
        raise ValueError(f"dtype {entry['dtype']!r}, accepted: F32")
    first, last = entry["data_offsets"]
    array: Frames = np.frombuffer(data[first:last], "<f4").reshape(entry["shape"]).astype(np.float32)
    return array


def save(arrays: Arrays, card: Mapping[str, Any], folder: Path, name: str = NAME) -> Path:
    """NAME.safetensors, then NAME.json with its SHA-256; returns the json's path."""
    data = packed(arrays)
    write_file(folder / f"{name}.safetensors", data)
    sums = {f"{name}.safetensors": hashlib.sha256(data).hexdigest()}
    whole = {"format": FORMAT, **card, "parameters": sum(a.size for a in arrays.values()), "sha256": sums}
    return write_file(folder / f"{name}.json", (json.dumps(whole, indent=1) + "\n").encode())


def load(folder: Path | None = None, name: str = NAME) -> tuple[dict[str, Frames], dict[str, Any]]:
    """(arrays, card) of the shipped files or of those in a folder; damage is a ModelError."""
    path = (folder or assets_folder() / "models") / f"{name}.safetensors"
    try:
        data, card = path.read_bytes(), json.loads(path.with_suffix(".json").read_bytes())
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror}); {HINT}") from error
    except ValueError as error:
        raise ModelError(f"{name}.json: not json ({str(error)[:80]}); {HINT}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelError(f"{name}.json: another format than {FORMAT}; {HINT}")
    sums = card.get("sha256")
    if not isinstance(sums, dict) or hashlib.sha256(data).hexdigest() != sums.get(path.name):
        raise ModelError(f"{path.name}: damaged, its SHA-256 is not the one in {name}.json; {HINT}")
    return unpacked(data, name), card
