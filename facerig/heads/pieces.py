"""Cutting one foreign mesh into a Head's parts by ranges of vertices and polygons, and its shapes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facerig.heads.obj import ObjMesh
from facerig.mesh import Floats, Ints, Part, Shape, vertex_normals


@dataclass(frozen=True)
class Piece:
    """Vertices [first, end) and polygons [first_polygon, end_polygon) of the file become one part."""

    name: str
    material: str
    first: int
    end: int
    first_polygon: int
    end_polygon: int


def parts_of(mesh: ObjMesh, pieces: Sequence[Piece], shapes: Mapping[str, Shape]) -> tuple[Part, ...]:
    """Parts that keep the file's order of vertices; triangles that reach outside a piece's range are dropped."""
    places = mesh.vertex_places()
    return tuple(_part(piece, mesh, places, shapes) for piece in pieces)


def _part(piece: Piece, mesh: ObjMesh, places: Floats, shapes: Mapping[str, Shape]) -> Part:
    rows = slice(piece.first, piece.end)
    triangles = mesh.triangles_of(piece.first_polygon, piece.end_polygon)
    inside = ((triangles >= piece.first) & (triangles < piece.end)).all(axis=1)
    triangles = (triangles[inside] - piece.first).astype(np.int32)
    points = np.ascontiguousarray(mesh.positions[rows])
    own = {name: cut for name, shape in shapes.items() if len((cut := cut_shape(shape, piece.first, piece.end)).index)}
    return Part(piece.name, piece.material, points, triangles, vertex_normals(points, triangles), places[rows], own)


def cut_shape(shape: Shape, first: int, end: int) -> Shape:
    """The part of a shape that moves vertices [first, end), renumbered from 0."""
    inside = (shape.index >= first) & (shape.index < end)
    index: Ints = (shape.index[inside] - first).astype(np.int32)
    return Shape(index, shape.offsets[inside])


def merge_shapes(shapes: Mapping[str, Shape], halves: Mapping[str, Sequence[str]],
                 dropped: Sequence[str] = ()) -> dict[str, Shape]:
    """Add up halves that a rig has as one channel; leave out what the rig does not know."""
    taken = {sides_in_words(name) for pair in halves.values() for name in pair}
    gone = taken | {sides_in_words(name) for name in dropped}
    merged = {name: shape for name, shape in shapes.items() if name not in gone}
    for name, pair in halves.items():
        sides = [shapes[key] for key in map(sides_in_words, pair) if key in shapes]
        if sides:
            merged[name] = added(sides)
    return merged


def added(shapes: Sequence[Shape]) -> Shape:
    """The sum of shapes."""
    index = np.unique(np.concatenate([shape.index for shape in shapes])).astype(np.int32)
    offsets = np.zeros((len(index), 3), np.float32)
    for shape in shapes:
        offsets[np.searchsorted(index, shape.index)] += shape.offsets
    return Shape(index, offsets)


def sides_in_words(name: str) -> str:
    """browDown_L -> browDownLeft."""
    for ending, word in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name[: -len(ending)] + word
    return name
