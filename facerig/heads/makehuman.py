"""MakeHuman's base mesh (CC0) with ARKit targets (`vertex dx dy dz` text) -> Head: what lies above the collar.

The body is cut at a height, its helper meshes become eyes, teeth, tongue and lashes. Downloads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from facerig.errors import HeadError
from facerig.heads.obj import ObjMesh, read_obj
from facerig.mesh import Head, Ints, Joint, Part, Shape, vertex_normals

BASE = "base.obj"
VERTICES = 19158
COLLAR = 5.35  # decimetres: below the larynx, above the shoulders' slope
MAX_TARGET = 16 << 20
# part, material, OBJ groups
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("face", "skin", ("body",)),
    ("tongue", "tongue", ("helper-tongue",)),
    ("teeth", "teeth", ("helper-upper-teeth", "helper-lower-teeth")),
    ("eyes", "eye", ("helper-l-eye", "helper-r-eye")),
    ("lashes", "lash", ("helper-l-eyelashes-1", "helper-l-eyelashes-2", "helper-r-eyelashes-1",
                        "helper-r-eyelashes-2")),
)
JOINTS = (
    Joint("neck", -1, (0.0, 5.9, 0.0)),
    Joint("head", 0, (0.0, 6.55, 0.15)),
    Joint("jaw", 1, (0.0, 6.95, 0.25)),
    Joint("leftEye", 1, (0.31, 7.16, 1.04)),
    Joint("rightEye", 1, (-0.31, 7.16, 1.04)),
)


def load_makehuman(folder: Path) -> Head:
    """The head from a folder with base.obj and *.target files (beside it or in a folder below)."""
    places = [p for p in (folder / BASE, folder / "3dobjs" / BASE) if p.is_file()]
    if not places:
        raise HeadError(f"{folder}: no {BASE}; give the folder with MakeHuman's base mesh and its targets")
    mesh = read_obj(places[0])
    if len(mesh.positions) != VERTICES:
        raise HeadError(f"{folder.name}: {len(mesh.positions)} vertices, accepted: MakeHuman's {VERTICES}")
    targets = {p.stem: read_target(p) for p in sorted(folder.rglob("*.target"))}
    if not targets:
        raise HeadError(f"{folder}: no .target files; accepted: MakeHuman's ARKit targets")
    return head_from(mesh, targets)


def head_from(mesh: ObjMesh, targets: Mapping[str, Shape]) -> Head:
    parts = tuple(_part(mesh, *row, targets) for row in GROUPS)
    return Head("makehuman", parts, JOINTS, 0.1)


def kept_vertices(mesh: ObjMesh, groups: Sequence[str]) -> tuple[Ints, Ints]:
    """The numbers in the file of a part's vertices, and its triangles in the file's numbers."""
    wanted = np.isin(np.array(mesh.group), groups)
    triangles = mesh.triangles[wanted]
    above = (mesh.positions[triangles][:, :, 1] > COLLAR).all(axis=1)
    triangles = triangles[above]
    return np.unique(triangles).astype(np.int32), triangles


def _part(mesh: ObjMesh, name: str, material: str, groups: tuple[str, ...], targets: Mapping[str, Shape]) -> Part:
    kept, triangles = kept_vertices(mesh, groups)
    local = np.searchsorted(kept, triangles).astype(np.int32)
    points = mesh.positions[kept]
    shapes = {key: own for key, target in targets.items() if len((own := _own(target, kept)).index)}
    return Part(name, material, points, local, vertex_normals(points, local), mesh.vertex_places()[kept], shapes)


def _own(target: Shape, kept: Ints) -> Shape:
    hit = np.isin(target.index, kept)
    return Shape(np.searchsorted(kept, target.index[hit]).astype(np.int32), target.offsets[hit])


def read_target(path: Path) -> Shape:
    """One target file: lines of a vertex number and three offsets; # starts a comment."""
    if path.stat().st_size > MAX_TARGET:
        raise HeadError(f"{path.name}: {path.stat().st_size >> 20} MiB, accepted: up to {MAX_TARGET >> 20} MiB")
    rows = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.strip() and not line.startswith("#")]
    try:
        index = np.array([int(row[0]) for row in rows], np.int32)
        offsets = np.array([[float(x) for x in row[1:4]] for row in rows], np.float32).reshape(-1, 3)
    except (ValueError, IndexError) as error:
        raise HeadError(f"{path.name}: not a target file ({error})") from error
    if len(index) and (index.min() < 0 or index.max() >= VERTICES or not np.isfinite(offsets).all()):
        raise HeadError(f"{path.name}: a vertex outside 0..{VERTICES - 1}, or a NaN")
    order = np.unique(index, return_index=True)[1]
    return Shape(index[order], offsets[order])
