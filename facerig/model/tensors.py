"""Arrays in .safetensors files, with numpy alone. Never a pickle.

A file is a little-endian u64, that many bytes of JSON ({name: {dtype, shape, data_offsets}}), then the data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from facerig.errors import ModelError
from facerig.stage import Frames

Arrays = Mapping[str, Frames]


def packed(arrays: Arrays) -> bytes:
    """The bytes of a file of float32 arrays."""
    head: dict[str, Any] = {}
    at = 0
    for name, array in arrays.items():
        head[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(a, "<f4").tobytes()
                                                          for a in arrays.values())


def unpacked(data: bytes, file: str, hint: str) -> dict[str, Frames]:
    """The arrays of such a file, or a ModelError that names it and what to do."""
    try:
        (size,) = struct.unpack_from("<Q", data)
        head, rest = json.loads(data[8 : 8 + size]), memoryview(data)[8 + size :]
        return {key: _array(rest, entry) for key, entry in head.items() if key != "__metadata__"}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: cannot be read ({str(error)[:80]}); {hint}") from error


def _array(data: memoryview, entry: dict[str, Any]) -> Frames:
    if entry["dtype"] != "F32":
        raise ValueError(f"dtype {entry['dtype']!r}, accepted: F32")
    first, last = entry["data_offsets"]
    array: Frames = np.frombuffer(data[first:last], "<f4").reshape(entry["shape"]).astype(np.float32)
    return array
