"""glTF 2.0 (.glb, .gltf) -> Head: every mesh with its morph targets, placed by its node or, at rest, by its skin.
Animation is left.

Written for files that strangers send: every count, offset and link is checked against the bytes that are there before
anything is allocated, nodes may form no ring, and outside files must lie in the same folder.
"""

from __future__ import annotations

import base64
import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError
from facerig.heads.ict import sparse_shape
from facerig.heads.placing import Doubles, Place, placed_part
from facerig.mesh import Head, Part

log = logging.getLogger(__name__)

Json = dict[str, Any]

MAX_BYTES = 512 << 20
MAX_DEPTH = 64
MAX_SETS = 8  # of four joints a vertex
COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
# Beginnings of extensions that a file may need: they change nothing of the geometry, or are read here.
HARMLESS = ("KHR_mesh_quantization", "KHR_materials_", "KHR_texture_", "EXT_texture_", "MSFT_texture_", "KHR_lights_",
            "KHR_xmp", "VRM")
TRIANGLES, STRIP, FAN = 4, 5, 6
# words in a material's or mesh's name -> our material
MATERIALS = (("lash", "lash"), ("brow", "hair"), ("hair", "hair"), ("eye", "eye"), ("iris", "eye"), ("sclera", "eye"),
             ("teeth", "teeth"), ("tooth", "teeth"), ("gum", "gum"), ("tongue", "tongue"), ("mouth", "mouth"))


def read_gltf(path: Path) -> Head:
    if path.stat().st_size > MAX_BYTES:
        raise HeadError(f"{path.name}: {path.stat().st_size >> 20} MiB, accepted: up to {MAX_BYTES >> 20} MiB")
    data = path.read_bytes()
    try:
        document, binary = _opened(data, path.name)
        return _Reader(document, binary, path).head()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error, RecursionError) as error:
        raise HeadError(f"{path.name}: not a glTF head ({type(error).__name__}: {error})") from error


def _opened(data: bytes, name: str) -> tuple[Json, bytes]:
    if data[:4] != b"glTF":
        return json.loads(data.decode("utf-8")), b""
    if len(data) < 20:
        raise HeadError(f"{name}: cut off after {len(data)} bytes")
    version, total = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise HeadError(f"{name}: glTF version {version}, accepted: 2")
    if total > len(data):
        raise HeadError(f"{name}: says {total} bytes but holds {len(data)}; the file is cut off")
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= total:
        length, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + length > len(data):
            raise HeadError(f"{name}: a chunk says {length} bytes, {len(data) - at - 8} are left")
        chunks.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length
    if b"JSON" not in chunks:
        raise HeadError(f"{name}: holds no JSON chunk")
    return json.loads(chunks[b"JSON"].decode("utf-8")), chunks.get(b"BIN\0", b"")


class _Reader:
    def __init__(self, document: Json, binary: bytes, path: Path) -> None:
        if not isinstance(document, dict):
            raise HeadError(f"{path.name}: not a glTF document")
        self.document, self.binary, self.path = document, binary, path
        needed = [str(name) for name in document.get("extensionsRequired", []) if not str(name).startswith(HARMLESS)]
        if needed:
            raise HeadError(f"{path.name}: needs {', '.join(needed)}, which is not read; save it without (compression "
                            f"off, no instances)")
        self._buffers: dict[int, bytes] = {}
        self._worlds: dict[int, Doubles] = {}

    def head(self) -> Head:
        parts: list[Part] = []
        lost: list[str] = []
        for node, matrix in self._meshes():
            row = self.document["meshes"][node["mesh"]]
            for number, primitive in enumerate(row["primitives"]):
                if primitive.get("mode", TRIANGLES) not in (TRIANGLES, STRIP, FAN):
                    lost.append(str(row.get("name") or f"mesh {node['mesh']}"))
                elif "POSITION" in primitive["attributes"]:
                    parts.append(self._part(node, number, primitive, matrix, len(parts)))
        if lost:
            log.warning("%s: %d primitives of lines or points are left out: %s", self.path.name, len(lost),
                        ", ".join(dict.fromkeys(lost)))
        if not parts:
            raise HeadError(f"{self.path.name}: holds no triangle mesh")
        return Head(self.path.stem, tuple(parts), (), 1.0)

    def _meshes(self) -> Iterator[tuple[Json, Doubles]]:
        """The nodes with a mesh, in world space; all meshes where there are no nodes."""
        nodes = self.document.get("nodes", [])
        if not nodes:
            yield from (({"mesh": mesh}, np.eye(4)) for mesh in range(len(self.document.get("meshes", []))))
            return
        placed = list(self._placed(nodes))
        self._worlds = dict(placed)
        yield from ((nodes[number], matrix) for number, matrix in placed if "mesh" in nodes[number])

    def _placed(self, nodes: list[Json]) -> Iterator[tuple[int, Doubles]]:
        """Nodes in world space; one that is met twice on one way down is a ring."""
        children = {int(c) for node in nodes for c in node.get("children", [])}
        scene = self.document.get("scenes", [{}])[self.document.get("scene", 0)]
        roots = scene.get("nodes") or [n for n in range(len(nodes)) if n not in children]
        if not roots:
            raise HeadError(f"{self.path.name}: its nodes form a ring")
        stack: list[tuple[int, Doubles, tuple[int, ...]]] = [(int(n), np.eye(4), ()) for n in reversed(roots)]
        visited = 0
        while stack:
            number, above, way = stack.pop()
            visited += 1
            if number in way or len(way) > MAX_DEPTH or visited > 10_000:
                raise HeadError(f"{self.path.name}: its nodes form a ring, or lie more than {MAX_DEPTH} deep")
            matrix = above @ _local(nodes[number])
            yield number, matrix
            stack += [(int(c), matrix, (*way, number)) for c in reversed(nodes[number].get("children", []))]

    def _part(self, node: Json, number: int, primitive: Json, matrix: Doubles, order: int) -> Part:
        row = self.document["meshes"][node["mesh"]]
        attributes = primitive["attributes"]
        if not {"bufferView", "sparse"} & self.document["accessors"][attributes["POSITION"]].keys():
            raise HeadError(f"{self.path.name}: the points of a mesh are not there (packed by "
                            f"{', '.join(primitive.get('extensions', {})) or 'nothing'}); save it without compression")
        points = self._accessor(attributes["POSITION"], 3)
        corners = self._accessor(primitive["indices"], 1).ravel() if "indices" in primitive else np.arange(len(points))
        triangles = _triangles(corners.astype(np.int64), primitive.get("mode", TRIANGLES))
        if triangles.size and (triangles.min() < 0 or triangles.max() >= len(points)):
            raise HeadError(f"{self.path.name}: a triangle names vertex {int(triangles.max())} of {len(points)}")
        uvs = self._accessor(attributes["TEXCOORD_0"], 2) if "TEXCOORD_0" in attributes else np.zeros((len(points), 2))
        skinned = "skin" in node and "JOINTS_0" in attributes
        place = Place(self._bound(int(node["skin"]), attributes, len(points), matrix) if skinned else matrix)
        names = _target_names(row, primitive, len(primitive.get("targets", [])))
        shapes = {}
        for name, target in zip(names, primitive.get("targets", []), strict=True):
            delta = self._accessor(target["POSITION"], 3) if "POSITION" in target else np.zeros_like(points)
            if delta.shape != points.shape:
                raise HeadError(f"{self.path.name}: target {name} has {len(delta)} vertices, its mesh {len(points)}")
            if not np.isfinite(delta).all():
                raise HeadError(f"{self.path.name}: target {name} holds a NaN or an infinity")
            shape = sparse_shape(place.offsets(delta), 1e-7)
            if len(shape.index):
                shapes[name] = shape
        label = str(row.get("name") or f"part{order}")
        flipped = np.stack([uvs[:, 0], 1 - uvs[:, 1]], axis=1).astype(np.float32)
        kept = [self._accessor(attributes["NORMAL"], 3)] if "NORMAL" in attributes else []  # its edges are meant
        split = np.concatenate([points, *kept], axis=1).astype(np.float32)
        return placed_part(f"{label}{number or ''}", self._material(primitive, label), place.points(points),
                           place.triangles(triangles), flipped, shapes, split)

    def _bound(self, skin: int, attributes: Json, count: int, without: Doubles) -> Doubles:
        """A matrix a vertex [V, 4, 4]: its joints' as they stand, by its weights, whatever the mesh's own node says.
        `without` is for vertices that no joint holds."""
        row = self.document["skins"][skin]
        missing = [joint for joint in row["joints"] if joint not in self._worlds]
        if missing:
            raise HeadError(f"{self.path.name}: the joint {missing[0]} of a skin is not in its scene")
        worlds = np.stack([self._worlds[joint] for joint in row["joints"]])
        if "inverseBindMatrices" in row:
            inverse = self._accessor(row["inverseBindMatrices"], 16).reshape(-1, 4, 4).transpose(0, 2, 1)
            worlds = worlds @ inverse[: len(worlds)]
        sums, total = np.zeros((count, 4, 4)), np.zeros(count)
        for number in range(MAX_SETS):
            if f"JOINTS_{number}" not in attributes:
                break
            joints = self._accessor(attributes[f"JOINTS_{number}"], 4)
            weights = self._accessor(attributes[f"WEIGHTS_{number}"], 4)
            if joints.shape != (count, 4) or weights.shape != (count, 4):
                raise HeadError(f"{self.path.name}: {len(joints)} rows of joints, {len(weights)} of weights for a mesh "
                                f"of {count} vertices")
            for column in range(4):
                sums += weights[:, column, None, None] * worlds[joints[:, column].astype(np.int64)]
            total += weights.sum(axis=1)
        held = total > 0
        sums[held] /= total[held, None, None]
        sums[~held] = without
        return sums

    def _material(self, primitive: Json, label: str) -> str:
        materials = self.document.get("materials", [])
        named = materials[primitive["material"]].get("name", "") if "material" in primitive else ""
        return material_for(f"{named} {label}")

    def _accessor(self, number: int, width: int) -> Doubles:
        """Numbers [count, width]; sizes are checked before memory is taken."""
        accessor = self.document["accessors"][number]
        kind, count = np.dtype(COMPONENTS[accessor["componentType"]]), int(accessor["count"])
        if WIDTHS[accessor["type"]] != width or count < 0:
            got = f"{accessor['type']} x {count}"
            raise HeadError(f"{self.path.name}: accessor {number} is {got}, not of width {width}")
        if "bufferView" in accessor:
            values = self._view(accessor["bufferView"], int(accessor.get("byteOffset", 0)), kind, count, width)
        else:
            self._check_claim(count)
            values = np.zeros((count, width), kind)
        out = values.astype(np.float64)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            some = int(sparse["count"])
            where = self._view(sparse["indices"]["bufferView"], int(sparse["indices"].get("byteOffset", 0)),
                               np.dtype(COMPONENTS[sparse["indices"]["componentType"]]), some, 1).ravel()
            if some and int(where.max()) >= count:
                raise HeadError(f"{self.path.name}: a sparse index {int(where.max())} of {count}")
            out[where] = self._view(sparse["values"]["bufferView"], int(sparse["values"].get("byteOffset", 0)), kind,
                                    some, width)
        if accessor.get("normalized"):
            out = np.maximum(out / np.iinfo(kind).max, -1.0)
        return out

    def _check_claim(self, count: int) -> None:
        if count > 20_000_000:
            raise HeadError(f"{self.path.name}: claims {count} elements, accepted: up to 20000000")

    def _view(self, number: int, offset: int, kind: np.dtype[Any], count: int, width: int) -> NDArray[Any]:
        view = self.document["bufferViews"][number]
        buffer = self._buffer(int(view["buffer"]))
        start = int(view.get("byteOffset", 0)) + offset
        stride = int(view.get("byteStride", kind.itemsize * width))
        end = start + (stride * (count - 1) + kind.itemsize * width if count else 0)
        if start < 0 or offset < 0 or stride < kind.itemsize * width or end > len(buffer):
            raise HeadError(f"{self.path.name}: a view of bytes {start}..{end} in a buffer of {len(buffer)}")
        values: NDArray[Any] = np.ndarray((count, width), kind, buffer, start, (stride, kind.itemsize)).copy()
        return values

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            self._buffers[number] = self._loaded(self.document["buffers"][number])
        return self._buffers[number]

    def _loaded(self, buffer: Json) -> bytes:
        uri: str | None = buffer.get("uri")
        if uri is None:
            return self.binary
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2], validate=True)
        place = (self.path.parent / unquote(uri)).resolve()
        if place.parent != self.path.parent.resolve() or not place.is_file():
            raise HeadError(f"{self.path.name}: its buffer {uri!r} is not in the same folder")
        if place.stat().st_size > MAX_BYTES:
            raise HeadError(f"{uri}: {place.stat().st_size >> 20} MiB, accepted: up to {MAX_BYTES >> 20} MiB")
        return place.read_bytes()


def material_for(words: str) -> str:
    return next((material for word, material in MATERIALS if word in words.lower()), "skin")


def _triangles(corners: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    """Of a list, a strip (each corner ends one, every other is turned round) or a fan; a strip's flat joints go."""
    if mode == TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if mode == FAN:
        return np.stack([np.full(max(len(corners) - 2, 0), corners[:1].sum()), corners[1:-1], corners[2:]], axis=1)
    rows = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    rows[1::2] = rows[1::2, [1, 0, 2]]
    kept: NDArray[np.int64] = rows[(rows != np.roll(rows, 1, axis=1)).all(axis=1)]
    return kept


def _target_names(mesh: Json, primitive: Json, count: int) -> list[str]:
    names = mesh.get("extras", {}).get("targetNames") or primitive.get("extras", {}).get("targetNames")
    listed = [str(name) for name in names] if names else [f"shape{n}" for n in range(count)]
    if len(listed) != count or len(set(listed)) != count:
        raise HeadError(f"{len(listed)} names for {count} morph targets, or a name stands twice")
    return listed


def _local(node: Json) -> Doubles:
    if "matrix" in node:
        given: Doubles = np.array(node["matrix"], np.float64).reshape(4, 4).T
        return given
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    matrix: Doubles = np.eye(4)
    matrix[:3, :3] = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                               [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                               [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
    matrix[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix
