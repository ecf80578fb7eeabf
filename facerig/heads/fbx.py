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
from facerig.heads.fbx_places import MAX_DEPTH, table_of, world, world_axes
from facerig.heads.gltf import material_for
from facerig.heads.placing import Doubles, Place, placed_part, vertex_places
from facerig.matching import bare_names
from facerig.mesh import Floats, Head, Part, Shape

MAGIC = b"Kaydara FBX Binary  \x00"
MAX_BYTES = 512 << 20
MAX_ARRAY = 256 << 20  # bytes of one unpacked array
MAX_PARTS = 10_000
MAX_POINTS = 20_000_000  # of all meshes, each as often as it stands in the scene: that costs the file next to nothing
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
    except (struct.error, LookupError, TypeError, ValueError, OverflowError, zlib.error) as error:
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


class _Links:
    """The objects and what hangs on what."""

    def __init__(self, objects: Node, links: Node) -> None:
        self.nodes = {node.values[0]: node for node in objects.children if node.values}
        self.below: dict[Any, list[Any]] = {}
        self.above: dict[Any, list[Any]] = {}
        for link in links.children:
            if len(link.values) >= 3 and link.values[0] == "OO":
                self.below.setdefault(link.values[2], []).append(link.values[1])
                self.above.setdefault(link.values[1], []).append(link.values[2])

    def models(self, node: Node) -> list[Node]:
        """The nodes of the scene that an object hangs on."""
        found = (self.nodes.get(key) for key in self.above.get(node.values[0], []))
        return [model for model in found if model is not None and model.name == "Model"]

    def parent(self, node: Node) -> Node | None:
        return next(iter(self.models(node)), None)


def _head(root: Node, path: Path) -> Head:
    objects = root.first("Objects")
    links = root.first("Connections")
    if objects is None or links is None:
        raise HeadError(f"{path.name}: holds no objects")
    linked = _Links(objects, links)
    settings = table_of(root.first("GlobalSettings"))
    axes = world_axes(settings)
    meshes = [node for node in objects.children if _is_mesh(node)]
    # Before 7000 a mesh lies in its model; later ones hang on a model, or on several.
    pairs = [(mesh, model) for mesh in meshes for model in ([mesh] if mesh.name == "Model" else linked.models(mesh))]
    if not pairs:  # geometry alone
        pairs = [(mesh, mesh) for mesh in meshes]
    if not pairs:
        raise HeadError(f"{path.name}: holds no mesh")
    count = sum(len(mesh.array("Vertices")) // 3 for mesh, _ in pairs)
    if len(pairs) > MAX_PARTS or count > MAX_POINTS:
        raise HeadError(f"{path.name}: {count} vertices in {len(pairs)} meshes, accepted: up to {MAX_POINTS} in "
                        f"{MAX_PARTS}")
    parts = [_part(mesh, model, axes @ world(model, linked.parent), linked) for mesh, model in pairs]
    # Centimetres a unit are among the settings; FBX means centimetres where they are silent.
    return Head(path.stem, tuple(parts), (), float(settings.get("UnitScaleFactor", [1.0])[-1]) / 100)


def _is_mesh(node: Node) -> bool:
    return node.first("Vertices") is not None and node.first("PolygonVertexIndex") is not None


def _part(node: Node, model: Node, matrix: Doubles, linked: _Links) -> Part:
    place = Place(matrix)
    points = np.asarray(node.array("Vertices"), np.float64).reshape(-1, 3)
    corners, ends = _corners(node, len(points))
    shapes = dict(_shapes(node.values[0], linked, len(points), place)) or dict(_inner_shapes(node, len(points), place))
    label = _label(node) or _label(model) or "mesh"
    return placed_part(label, material_for(label), place.points(points), place.triangles(_fans(corners, ends)),
                       _uvs(node, corners, len(points)), shapes)


def _uvs(node: Node, corners: NDArray[np.int64], count: int) -> Floats:
    """The first layer of texture places, given for corners or for vertices, with numbers or in their order."""
    layer = node.first("LayerElementUV")
    if layer is None:
        return np.zeros((count, 2), np.float32)
    places = np.asarray(layer.array("UV"), np.float64).reshape(-1, 2)
    by_corner = "Polygon" in str(_value_of(layer, "MappingInformationType"))
    named = np.asarray(layer.array("UVIndex"), np.int64)
    where = corners if by_corner else np.arange(count)
    numbers = named if len(named) else np.arange(len(places))
    shared = min(len(where), len(numbers))
    return vertex_places(count, where[:shared], numbers[:shared], places)


def _value_of(node: Node, name: str) -> Any:
    child = node.first(name)
    return child.values[0] if child is not None and child.values else None


def _label(node: Node) -> str:
    text = next((v for v in node.values if isinstance(v, str) and v), "")
    return text.split("\x00")[0].split("::")[-1]


def _corners(node: Node, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The vertex of each corner, and which corners are the last of their polygon (written as their complement)."""
    corners = np.asarray(node.array("PolygonVertexIndex"), np.int64)
    clean = np.where(corners < 0, ~corners, corners)
    if len(clean) and (clean.min() < 0 or clean.max() >= count):
        raise HeadError(f"a face names vertex {int(clean.max())} of {count}")
    return clean, np.flatnonzero(corners < 0)


def _fans(corners: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int32]:
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    rows = [corners[[s, s + k, s + k + 1]] for s, e in zip(starts, ends, strict=True) for k in range(1, e - s)]
    return np.array(rows, np.int32).reshape(-1, 3)


def _shapes(mesh: Any, linked: _Links, count: int, place: Place) -> Iterator[tuple[str, Shape]]:
    """mesh <- BlendShape <- BlendShapeChannel <- Shape; of in-between shapes the last, full one counts."""
    for skin in linked.below.get(mesh, []):
        below = (linked.nodes.get(channel) for channel in linked.below.get(skin, []))
        channels = [node for node in below if node is not None and "BlendShapeChannel" in node.values]
        deformer = linked.nodes.get(skin)
        names = bare_names([_label(node) or "mesh" for node in channels], _label(deformer) if deformer else "")
        for name, node in zip(names, channels, strict=True):
            found = (linked.nodes.get(target) for target in linked.below.get(node.values[0], []))
            targets = [target for target in found if target is not None and target.first("Indexes")]
            if targets:
                yield name, _shape(targets[-1], count, place)


def _inner_shapes(node: Node, count: int, place: Place) -> Iterator[tuple[str, Shape]]:
    """Before 7200 shapes may lie in their mesh."""
    for child in node.children:
        if child.name == "Shape" and child.values:
            yield str(child.values[0]), _shape(child, count, place)


def _shape(node: Node, count: int, place: Place) -> Shape:
    index = np.asarray(node.array("Indexes"), np.int64)
    offsets = np.asarray(node.array("Vertices"), np.float64).reshape(-1, 3)
    if len(index) != len(offsets) or (len(index) and (index.min() < 0 or index.max() >= count)):
        what = f"{len(index)} vertex numbers for {len(offsets)} offsets, or one outside"
        raise HeadError(f"shape {_label(node)!r}: {what}")
    order = np.unique(index, return_index=True)[1]
    index = index[order]
    return Shape(index.astype(np.int32), place.offsets(offsets[order], index))
