"""Wavefront OBJ text -> arrays: positions, texture places and polygons with their material or group. It knows no names
of heads, no normals (they are computed) and no curves or lines (they are skipped)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError
from facerig.heads.placing import vertex_places
from facerig.mesh import Floats, Ints

MAX_BYTES = 256 << 20  # an OBJ of two million vertices; more is no head
MAX_CORNERS = 64  # of one polygon


@dataclass(frozen=True, eq=False)
class ObjMesh:
    """Polygons in file order, cut into triangles that remember their polygon, group and material."""

    positions: Floats  # [V, 3]
    places: Floats  # [N, 2] texture coordinates
    triangles: Ints  # [F, 3] into positions
    triangle_places: Ints  # [F, 3] into places, -1 where there is none
    group: tuple[str, ...]  # name per triangle
    material: tuple[str, ...]
    polygon: Ints  # [F] number of the polygon a triangle came from

    def vertex_places(self) -> Floats:
        """One texture place a vertex [V, 2]: the last corner that names one (seams are not split)."""
        return vertex_places(len(self.positions), self.triangles, self.triangle_places, self.places)

    def triangles_of(self, first: int, last: int) -> Ints:
        """The triangles of polygons first <= n < last."""
        return self.triangles[(self.polygon >= first) & (self.polygon < last)]


def read_obj(path: Path) -> ObjMesh:
    """Read a file; anything malformed is a HeadError that names the line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise HeadError(f"{path.name}: {path.stat().st_size >> 20} MiB, accepted: up to {MAX_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise HeadError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_obj(text, path.name)


def parse_obj(text: str, name: str = "obj") -> ObjMesh:
    positions: list[list[float]] = []
    places: list[list[float]] = []
    corners: list[list[tuple[int, int]]] = []
    labels: list[tuple[str, str]] = []
    group = material = ""
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            if fields[0] == "v":
                positions.append([float(x) for x in fields[1:4]])
            elif fields[0] == "vt":
                places.append([float(x) for x in fields[1:3]])
            elif fields[0] == "f":
                corners.append([_corner(f, len(positions), len(places)) for f in fields[1:]])
                labels.append((group, material))
            elif fields[0] in ("g", "o"):
                group = " ".join(fields[1:])
            elif fields[0] == "usemtl":
                material = " ".join(fields[1:])
        except ValueError as error:
            raise HeadError(f"{name}: line {number}: {line.strip()[:60]!r} is not OBJ ({error})") from error
    return _mesh(name, positions, places, corners, labels)


def _corner(field: str, positions: int, places: int) -> tuple[int, int]:
    numbers = field.split("/")
    vertex = int(numbers[0])
    place = int(numbers[1]) if len(numbers) > 1 and numbers[1] else 0
    # Numbers count from 1, or backwards from the newest where they are negative.
    vertex = vertex - 1 if vertex > 0 else positions + vertex
    return vertex, (place - 1 if place > 0 else places + place if place else -1)


def _mesh(name: str, positions: list[list[float]], places: list[list[float]],
          corners: list[list[tuple[int, int]]], labels: list[tuple[str, str]]) -> ObjMesh:
    points = _table(name, "vertices", positions, 3)
    flat = _table(name, "texture places", places, 2)
    rows = list(_fans(name, corners))
    table = np.array([row for row, _ in rows], np.int64).reshape(-1, 3, 2)
    polygon = np.array([number for _, number in rows], np.int32)
    for column, count, what in ((0, len(points), "vertex"), (1, len(flat), "texture place")):
        if table.size and (table[..., column].max() >= count or table[..., column].min() < -column):
            raise HeadError(f"{name}: a face names {what} {int(table[..., column].max()) + 1} of {count}")
    return ObjMesh(points, flat, table[..., 0].astype(np.int32), table[..., 1].astype(np.int32),
                   tuple(labels[n][0] for n in polygon), tuple(labels[n][1] for n in polygon), polygon)


def _fans(name: str, corners: list[list[tuple[int, int]]]) -> Iterator[tuple[list[tuple[int, int]], int]]:
    for number, polygon in enumerate(corners):
        if not 3 <= len(polygon) <= MAX_CORNERS:
            raise HeadError(f"{name}: a face has {len(polygon)} corners, accepted: 3 to {MAX_CORNERS}")
        for k in range(1, len(polygon) - 1):
            yield [polygon[0], polygon[k], polygon[k + 1]], number


def _table(name: str, what: str, rows: list[list[float]], width: int) -> NDArray[np.float32]:
    if any(len(row) != width for row in rows):
        raise HeadError(f"{name}: {what} with fewer than {width} numbers")
    with np.errstate(over="ignore"):
        table = np.array(rows, np.float64).reshape(-1, width).astype(np.float32)
    if not np.isfinite(table).all():
        raise HeadError(f"{name}: {what} hold a NaN or an infinity")
    return table
