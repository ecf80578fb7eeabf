"""ICT-FaceKit's published head (MIT, USC Institute for Creative Technologies) -> Head, vertex numbers kept.

Reads the neutral OBJ with either an .npz of deltas or the repository's own OBJ files, one an expression. Knows the file
layout as tables; downloads nothing (facerig.heads.store does).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from facerig.errors import HeadError
from facerig.heads.obj import ObjMesh, read_obj
from facerig.heads.pieces import Piece, merge_shapes, parts_of, sides_in_words
from facerig.mesh import Floats, Head, Joint, Shape

NEUTRAL = "generic_neutral_mesh.obj"
DELTAS = "ict_expressions.npz"
VERTICES = 26719

# name, material, first vertex, end, first polygon, end (the table of ICT-FaceKit's README)
PIECES = (
    Piece("face", "skin", 0, 14062, 0, 14034),
    Piece("gums_tongue", "tongue", 14062, 17039, 14034, 17006),
    Piece("teeth", "teeth", 17039, 21451, 17006, 21496),
    Piece("eyes", "eye", 21451, 24591, 21496, 24692),
    Piece("wet", "wet", 24591, 25351, 24692, 25304),
    Piece("lashes", "lash", 25351, 26719, 25304, 26384),
)
# Two halves that ARKit has as one shape.
HALVES = {"browInnerUp": ("browInnerUp_L", "browInnerUp_R"), "cheekPuff": ("cheekPuff_L", "cheekPuff_R")}
NOT_ARKIT = ("PupilDilate_L", "PupilDilate_R", "cheekRaiser_L", "cheekRaiser_R")
# Joint, parent, place in cm: the jaw's from the line of the ear canals, the eyes' the centres of the eyeballs.
JOINTS = (
    Joint("neck", -1, (0.0, -9.0, -1.0)),
    Joint("head", 0, (0.0, -3.5, 0.5)),
    Joint("jaw", 1, (0.0, -0.2, 1.6)),
    Joint("leftEye", 1, (3.165, 3.59, 7.98)),
    Joint("rightEye", 1, (-3.165, 3.59, 7.98)),
)
# The 68 points of Multi-PIE as ICT-FaceKit numbers them, from the subject's right.
POINTS68 = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268, 493, 1914,
    2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537,
    1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957,
    5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966)
TEETH = {"tooth_upper": 18074, "tooth_lower": 20276}  # edges of a central incisor


def load_ict(folder: Path) -> Head:
    """The head from a folder that holds the neutral OBJ and the expressions (as .npz or as OBJ files)."""
    mesh = read_obj(_neutral(folder))
    if len(mesh.positions) != VERTICES:
        raise HeadError(f"{folder.name}: {len(mesh.positions)} vertices, accepted: ICT-FaceKit's {VERTICES}")
    shapes = merge_shapes(_deltas(folder, mesh), HALVES, NOT_ARKIT)
    landmarks = {f"point{n}": vertex for n, vertex in enumerate(POINTS68)} | TEETH
    return Head("ict", parts_of(mesh, PIECES, shapes), JOINTS, 0.01, landmarks)


def _neutral(folder: Path) -> Path:
    for place in (folder / NEUTRAL, folder / "FaceXModel" / NEUTRAL):
        if place.is_file():
            return place
    raise HeadError(f"{folder}: no {NEUTRAL}; give the folder FaceXModel of a copy of ICT-FaceKit")


def _deltas(folder: Path, mesh: ObjMesh) -> Mapping[str, Shape]:
    packed = folder / DELTAS
    named = _from_npz(packed) if packed.is_file() else _from_objs(_neutral(folder).parent, mesh)
    return {sides_in_words(name): shape for name, shape in named}


def _from_npz(path: Path) -> Iterable[tuple[str, Shape]]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            names, deltas = [str(n) for n in arrays["names"]], arrays["deltas"]
    except (OSError, ValueError, KeyError) as error:
        raise HeadError(f"{path.name}: no arrays names and deltas ({error})") from error
    if deltas.shape != (len(names), VERTICES, 3):
        raise HeadError(f"{path.name}: deltas have shape {deltas.shape}, accepted: ({len(names)}, {VERTICES}, 3)")
    return [(name, sparse_shape(delta.astype(np.float32))) for name, delta in zip(names, deltas, strict=True)]


def _from_objs(folder: Path, mesh: ObjMesh) -> Iterable[tuple[str, Shape]]:
    found = []
    for path in sorted(folder.glob("*_[LR].obj")) + sorted(folder.glob("[jm]*[a-z].obj")):
        other = read_obj(path)
        if len(other.positions) == VERTICES:
            found.append((path.stem, sparse_shape(other.positions - mesh.positions)))
    if not found:
        raise HeadError(f"{folder}: no expressions; accepted: {DELTAS} or ICT-FaceKit's OBJ files beside {NEUTRAL}")
    return found


def sparse_shape(delta: Floats, least: float = 1e-5) -> Shape:
    """Dense [V, 3] -> Shape; what is smaller than `least` (in the head's units) is rounding and left out."""
    index = np.flatnonzero(np.abs(delta).max(axis=1) > least).astype(np.int32)
    return Shape(index, delta[index].astype(np.float32))
