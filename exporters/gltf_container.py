"""glTF 2.0 as a container: accessors over one buffer, .glb and .gltf bytes both ways. Knows no mesh and no face."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import CurvesError

Json = dict[str, Any]
Array = NDArray[Any]

BYTE, UNSIGNED_BYTE, SHORT, UNSIGNED_SHORT, UNSIGNED_INT, FLOAT = 5120, 5121, 5122, 5123, 5125, 5126
COMPONENTS = {"int8": BYTE, "uint8": UNSIGNED_BYTE, "int16": SHORT, "uint16": UNSIGNED_SHORT, "uint32": UNSIGNED_INT,
              "float32": FLOAT}
DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in COMPONENTS.items()}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
VERTICES, INDICES = 34962, 34963  # GPU targets of buffer views

MAGIC, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942


class Builder:
    """Collects binary data and describes it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[Json] = []
        self.accessors: list[Json] = []

    def view(self, data: bytes, **more: int) -> int:
        self.data += bytes(-len(self.data) % 4)
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **more})
        self.data += data
        return len(self.views) - 1

    def accessor(self, values: Array, target: int | None = None, normalized: bool = False, bounds: bool = False) -> int:
        """Rows of numbers; rows whose size is no multiple of 4 bytes are padded where they are vertex attributes."""
        rows = np.ascontiguousarray(values)
        rows = rows.reshape(len(rows), -1)
        size = rows.shape[1] * rows.dtype.itemsize
        more: dict[str, int] = {} if target is None else {"target": target}
        data = rows
        if target == VERTICES and size % 4:
            data = np.zeros((len(rows), -(-size // 4) * 4 // rows.dtype.itemsize), rows.dtype)
            data[:, : rows.shape[1]] = rows
            more["byteStride"] = data.shape[1] * data.dtype.itemsize
        return self._accessor(rows, {"bufferView": self.view(data.tobytes(), **more)}, normalized, bounds)

    def sparse(self, count: int, index: Array, values: Array, normalized: bool = False, bounds: bool = True) -> int:
        """`count` rows of zeros but for some; bounds then include the zero rows."""
        if not len(index):
            return self._accessor(np.zeros((count, 3), values.dtype), {}, normalized, bounds)
        small = index.astype("<u2" if count <= 65536 else "<u4")
        described = {"sparse": {
            "count": len(index),
            "indices": {"bufferView": self.view(small.tobytes()), "componentType": COMPONENTS[small.dtype.name]},
            "values": {"bufferView": self.view(np.ascontiguousarray(values).tobytes())}}}
        whole = values if len(index) == count else np.concatenate([values, np.zeros((1, 3), values.dtype)])
        return self._accessor(whole, described, normalized, bounds, count)

    def _accessor(self, rows: Array, where: Json, normalized: bool, bounds: bool, count: int | None = None) -> int:
        entry: Json = {**where, "componentType": COMPONENTS[rows.dtype.name],
                       "count": len(rows) if count is None else count, "type": TYPES[rows.shape[1]]}
        if normalized:
            entry["normalized"] = True
        if bounds:
            entry["min"], entry["max"] = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def document(self, rest: Json) -> Json:
        """The complete JSON, its buffer still without a place."""
        self.data += bytes(-len(self.data) % 4)
        return {**rest, "accessors": self.accessors, "bufferViews": self.views,
                "buffers": [{"byteLength": len(self.data)}]}

    def glb(self, rest: Json) -> bytes:
        text = _json(self.document(rest))
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + len(self.data)
        return b"".join((struct.pack("<III", MAGIC, 2, size), struct.pack("<II", len(text), JSON_CHUNK), text,
                         struct.pack("<II", len(self.data), BIN_CHUNK), self.data))

    def gltf(self, rest: Json) -> bytes:
        """One text file that carries its buffer in base64."""
        document = self.document(rest)
        document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        return _json(document)


def _json(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


# ---- reading --------------------------------------------------------------------------------------------------


def parse(data: bytes, name: str) -> tuple[Json, bytes]:
    """Document and binary chunk of a .glb or of a .gltf that carries its buffer."""
    try:
        document, binary = _glb(data, name) if data[:4] == b"glTF" else (json.loads(data), b"")
    except (ValueError, RecursionError, struct.error) as error:
        raise CurvesError(f"{name}: not a glTF file ({error})") from None
    if not isinstance(document, dict) or "asset" not in document:
        raise CurvesError(f"{name}: not a glTF file (no asset)")
    packed = [each for each in document.get("extensionsRequired") or () if "meshopt" in str(each)]
    if packed:
        raise CurvesError(f"{name}: needs {', '.join(map(str, packed))}, which is not read; save it without")
    return document, binary


def _glb(data: bytes, name: str) -> tuple[Any, bytes]:
    _, version, length = struct.unpack_from("<III", data)
    if version != 2 or length > len(data):
        raise CurvesError(f"{name}: glTF version {version} with {length} bytes announced and {len(data)} there; "
                          f"accepted: a complete version 2 file")
    chunks: dict[int, bytes] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    return json.loads(chunks.get(JSON_CHUNK, b"{}")), chunks.get(BIN_CHUNK, b"")


def read_accessor(document: Json, binary: bytes, number: int, name: str) -> NDArray[np.float64]:
    """Rows of one accessor as numbers; normalised integers as fractions. Sparse accessors are not for animations."""
    try:
        entry = document["accessors"][number]
        view = document["bufferViews"][entry["bufferView"]]
        source = _buffer(document, binary, view["buffer"], name)
        dtype, width = DTYPES[entry["componentType"]], WIDTHS[entry["type"]]
        start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
        stored = np.frombuffer(source, dtype, entry["count"] * width, start).reshape(-1, width)
        with np.errstate(invalid="ignore"):  # a NaN of the kind that signals; refused below
            values = stored.astype(np.float64)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CurvesError(f"{name}: accessor {number} cannot be read ({error!r})") from None
    if not np.isfinite(values).all():
        raise CurvesError(f"{name}: accessor {number} holds a NaN or an infinity")
    if entry.get("normalized"):
        values = np.maximum(values / np.iinfo(dtype).max, -1)
    return values


def _buffer(document: Json, binary: bytes, number: int, name: str) -> bytes:
    uri = document["buffers"][number].get("uri")
    if uri is None:
        return binary
    if not uri.startswith("data:"):
        raise CurvesError(f"{name}: its data lie in another file ({uri[:60]}); give a .glb, or a .gltf that carries "
                          f"them")
    try:
        return base64.b64decode(uri.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise CurvesError(f"{name}: buffer {number} is not base64 ({error})") from None
