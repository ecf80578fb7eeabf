"""Where an FBX scene puts its meshes: the nodes' places, turns, sizes and pivots up to the root, and its axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from facerig.errors import HeadError
from facerig.heads.placing import Doubles

if TYPE_CHECKING:
    from facerig.heads.fbx import Node

MAX_DEPTH = 64
ORDERS = ("xyz", "xzy", "yzx", "yxz", "zxy", "zyx")  # by RotationOrder; the axis written first turns first
AXES = (("CoordAxis", 0), ("UpAxis", 1), ("FrontAxis", 2))  # what X, Y and Z are called, and the file's axis by default

Table = dict[str, list[Any]]


def table_of(node: Node | None) -> Table:
    """A node's properties: name -> kind, flags and values."""
    rows = node and (node.first("Properties70") or node.first("Properties60"))
    return {row.values[0]: row.values[1:] for row in (rows.children if rows else []) if row.values}


def world_axes(settings: Table) -> Doubles:
    """The turn that brings the scene's axes to +Y up, +Z to the front; none where they do not make a system."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for row, (name, default) in enumerate(AXES):
        axis = int(settings.get(name, [default])[-1])
        if axis not in (0, 1, 2):
            return np.eye(4)
        matrix[row, axis] = -1 if int(settings.get(f"{name}Sign", [1])[-1]) < 0 else 1
    return matrix if abs(np.linalg.det(matrix)) > 0.5 else np.eye(4)


def world(node: Node, parent_of: Callable[[Node], Node | None]) -> Doubles:
    """A mesh's matrix: its own geometric offset, and all the nodes above it."""
    table = table_of(node)
    matrix = _moved(table, "GeometricTranslation") @ _turned(table, "GeometricRotation") @ _sized(
        table, "GeometricScaling")
    above: Node | None = node
    for _ in range(MAX_DEPTH):
        if above is None:
            return matrix
        matrix = _local(table_of(above)) @ matrix
        above = parent_of(above)
    raise HeadError(f"its nodes form a ring, or lie more than {MAX_DEPTH} deep")


def _local(table: Table) -> Doubles:
    turn, turn_back = _moved(table, "RotationPivot"), _moved(table, "RotationPivot", -1)
    size, size_back = _moved(table, "ScalingPivot"), _moved(table, "ScalingPivot", -1)
    order = int(table.get("RotationOrder", [0])[-1])
    rotation = (_turned(table, "PreRotation") @ _turned(table, "Lcl Rotation", ORDERS[order] if order < 6 else "xyz")
                @ _turned(table, "PostRotation").T)
    matrix: Doubles = (
        _moved(table, "Lcl Translation") @ _moved(table, "RotationOffset") @ turn @ rotation @ turn_back
        @ _moved(table, "ScalingOffset") @ size @ _sized(table, "Lcl Scaling") @ size_back)
    return matrix


def _vector(table: Table, name: str, default: float) -> Doubles:
    vector = np.array(table[name][-3:] if name in table else [default] * 3, np.float64).reshape(3)
    if not np.isfinite(vector).all():
        raise HeadError(f"a node's {name} holds a NaN or an infinity")
    return vector


def _moved(table: Table, name: str, sign: float = 1) -> Doubles:
    matrix: Doubles = np.eye(4)
    matrix[:3, 3] = sign * _vector(table, name, 0)
    return matrix


def _sized(table: Table, name: str) -> Doubles:
    matrix: Doubles = np.diag([*_vector(table, name, 1), 1.0])
    return matrix


def _turned(table: Table, name: str, order: str = "xyz") -> Doubles:
    matrix: Doubles = np.eye(4)
    angles = np.deg2rad(_vector(table, name, 0))
    for axis in ("xyz".index(letter) for letter in order):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        about = np.eye(4)
        about[first, first] = about[second, second] = np.cos(angles[axis])
        about[second, first], about[first, second] = np.sin(angles[axis]), -np.sin(angles[axis])
        matrix = about @ matrix
    return matrix
