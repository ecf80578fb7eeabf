"""Binary FBX (6100 to 7700) -> Head: meshes with their blend-shape channels, at rest. A reader of our own: it follows
the node tree, checks every length against the file, and unpacks arrays only to the size that they announce."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError
from facerig.heads.gltf import material_for
from facerig.mesh import Head, Part, Shape, vertex_normals

MAGIC = b"Kaydara FBX Binary  \x00"
MAX_BYTES = 512 << 20
MAX_ARRAY = 256 << 20  # bytes of one unpacked array
MAX_DEPTH = 64
ARRAYS = {b"f": "<f4", b"d": "<f8", b"l": "<i8", b"i": "<i4", b"b": "i1", b"c": "i1"}
NUMBERS = {b"Y": "<h", b"C": "<b", b"I": "<i", b"F": "<f", b"D": "<d", b"L": "<q"}


@dataclass
class Node:
    name: str
    values: list[Any] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    def first(self, name: str) -> Node | None:
        return next((child for child in self.children if child.name == name), None)

    def array(self, name: str) -> NDArray[Any]:
        child = self.first(name)
        if child is None or not child.values:
            return np.zeros(0)
        value = child.values[0]
        return value if isinstance(value, np.ndarray) else np.asarray(child.values, np.float64)


def read_fbx(path: Path) -> Head:
    if path.stat().st_size > MAX_BYTES:
        raise HeadError(f"{path.name}: {path.stat().st_size >> 20} MiB, accepted: up to {MAX_BYTES >> 20} MiB")
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise HeadError(f"{path.name}: not a binary FBX file (text FBX is not read)")
    try:
        return _head(_tree(data), path)
    except (struct.error, IndexError, KeyError, TypeError, ValueError, zlib.error, UnicodeDecodeError) as error:
        raise HeadError(f"{path.name}: a broken FBX file ({type(error).__name__}: {error})") from error


def _tree(data: bytes) -> Node:
    version = struct.unpack_from("<I", data, 23)[0]
    wide = version >= 7500
    root = Node("")
    at = 27
    while at < len(data):
        at, node = _node(data, at, wide, 0)
        if node is None:
            break
        root.children.append(node)
    return root


def _node(data: bytes, at: int, wide: bool, depth: int) -> tuple[int, Node | None]:
    form, size = ("<QQQB", 25) if wide else ("<IIIB", 13)
    end, count, length, letters = struct.unpack_from(form, data, at)
    if end == 0:
        return at + size, None
    start = at + size + letters
    if depth > MAX_DEPTH or not start + length <= end <= len(data):
        raise HeadError(f"a node at byte {at} ends at {end} of {len(data)}")
    node = Node(data[at + size : start].decode("utf-8", "replace"))
    place = start
    for _ in range(count):
        place, value = _value(data, place, start + length)
        node.values.append(value)
    place = start + length
    while place < end:
        place, child = _node(data, place, wide, depth + 1)
        if child is None:
            break
        node.children.append(child)
    return end, node


def _value(data: bytes, at: int, limit: int) -> tuple[int, Any]:
    if at >= limit:
        raise HeadError(f"more values than bytes at {at}")
    kind = data[at : at + 1]
    if kind in NUMBERS:
        form = NUMBERS[kind]
        return at + 1 + struct.calcsize(form), struct.unpack_from(form, data, at + 1)[0]
    if kind in (b"S", b"R"):
        length = struct.unpack_from("<I", data, at + 1)[0]
        if at + 5 + length > limit:
            raise HeadError(f"a text of {length} bytes at {at} runs past its node")
        raw = data[at + 5 : at + 5 + length]
        return at + 5 + length, raw.decode("utf-8", "replace") if kind == b"S" else raw
    if kind not in ARRAYS:
        raise HeadError(f"an unknown value {kind!r} at byte {at}")
    count, packed, length = struct.unpack_from("<III", data, at + 1)
    dtype = np.dtype(ARRAYS[kind])
    size = count * dtype.itemsize
    if at + 13 + length > limit or size > MAX_ARRAY:
        raise HeadError(f"an array of {count} numbers at byte {at} does not fit the file")
    raw = data[at + 13 : at + 13 + length]
    if packed:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(raw, size + 1)
    if len(raw) != size:
        raise HeadError(f"an array of {count} numbers at byte {at} holds {len(raw)} bytes")
    return at + 13 + length, np.frombuffer(raw, dtype)


def _head(root: Node, path: Path) -> Head:
    objects = root.first("Objects")
    links = root.first("Connections")
    if objects is None or links is None:
        raise HeadError(f"{path.name}: holds no objects")
    by_id = {node.values[0]: node for node in objects.children if node.values}
    into: dict[Any, list[Any]] = {}
    for link in links.children:
        if len(link.values) >= 3:
            into.setdefault(link.values[2], []).append(link.values[1])
    shared = any(isinstance(k, str) for k in by_id)  # before 7000 objects are named, and meshes lie in their models
    parts = [_part(node, by_id, into, shared) for node in objects.children if _is_mesh(node)]
    if not parts:
        raise HeadError(f"{path.name}: holds no mesh")
    return Head(path.stem, tuple(parts), (), _metres(root))


def _is_mesh(node: Node) -> bool:
    return node.first("Vertices") is not None and node.first("PolygonVertexIndex") is not None


def _metres(root: Node) -> float:
    """Centimetres a unit are among the settings; FBX means centimetres where they are silent."""
    settings = root.first("GlobalSettings")
    table = settings and (settings.first("Properties70") or settings.first("Properties60"))
    for row in table.children if table else []:
        if row.values and row.values[0] == "UnitScaleFactor":
            return float(row.values[-1]) / 100
    return 0.01


def _part(node: Node, by_id: dict[Any, Node], into: dict[Any, list[Any]], shared: bool) -> Part:
    points = np.asarray(node.array("Vertices"), np.float64).reshape(-1, 3).astype(np.float32)
    triangles = _fans(np.asarray(node.array("PolygonVertexIndex"), np.int64), len(points))
    shapes = dict(_inner_shapes(node, len(points)) if shared else _shapes(node.values[0], by_id, into, len(points)))
    label = _label(node)
    return Part(label, material_for(label), points, triangles, vertex_normals(points, triangles),
                np.zeros((len(points), 2), np.float32), shapes)


def _label(node: Node) -> str:
    text = next((v for v in node.values if isinstance(v, str) and v), "mesh")
    return text.split("\x00")[0].split("::")[-1] or "mesh"


def _fans(corners: NDArray[np.int64], count: int) -> Any:
    """A polygon's last corner is written as its complement."""
    ends = np.flatnonzero(corners < 0)
    clean = np.where(corners < 0, ~corners, corners)
    if len(clean) and (clean.min() < 0 or clean.max() >= count):
        raise HeadError(f"a face names vertex {int(clean.max())} of {count}")
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    rows = [clean[[s, s + k, s + k + 1]] for s, e in zip(starts, ends, strict=True) for k in range(1, e - s)]
    return np.array(rows, np.int32).reshape(-1, 3)


def _shapes(mesh: Any, by_id: dict[Any, Node], into: dict[Any, list[Any]], count: int) -> Iterator[tuple[str, Shape]]:
    """mesh <- BlendShape <- BlendShapeChannel <- Shape; of in-between shapes the last, full one counts."""
    for skin in into.get(mesh, []):
        for channel in into.get(skin, []):
            node = by_id.get(channel)
            if node is None or "BlendShapeChannel" not in node.values:
                continue
            targets = [by_id[t] for t in into.get(channel, []) if t in by_id and by_id[t].first("Indexes")]
            if targets:
                yield _label(node).rsplit(".", 1)[-1], _shape(targets[-1], count)


def _inner_shapes(node: Node, count: int) -> Iterator[tuple[str, Shape]]:
    for child in node.children:
        if child.name == "Shape" and child.values:
            yield str(child.values[0]), _shape(child, count)


def _shape(node: Node, count: int) -> Shape:
    index = np.asarray(node.array("Indexes"), np.int64)
    offsets = np.asarray(node.array("Vertices"), np.float64).reshape(-1, 3)
    if len(index) != len(offsets) or (len(index) and (index.min() < 0 or index.max() >= count)):
        what = f"{len(index)} vertex numbers for {len(offsets)} offsets, or one outside"
        raise HeadError(f"shape {_label(node)!r}: {what}")
    order = np.unique(index, return_index=True)[1]
    return Shape(index[order].astype(np.int32), offsets[order].astype(np.float32))
