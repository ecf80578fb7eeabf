"""USD (.usd, .usda, .usdc, .usdz) -> Head: meshes with their UsdSkel blend shapes, at rest. Needs the extra usd."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError, MissingExtra
from facerig.heads.gltf import material_for
from facerig.heads.placing import Doubles, Place, placed_part, vertex_places
from facerig.mesh import Floats, Head, Part, Shape

MAX_BYTES = 512 << 20
UPRIGHT = {"Z": np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])}  # up axis -> turn to +Y


def read_usd(path: Path) -> Head:
    _check_size(path)
    try:
        from pxr import Tf, Usd, UsdGeom
    except ImportError as error:
        raise MissingExtra("reading USD", "usd", str(error)) from error
    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException as error:
        raise HeadError(f"{path.name}: not a USD file ({str(error).strip().splitlines()[0][:120]})") from error
    meshes = [prim for prim in stage.Traverse(Usd.TraverseInstanceProxies()) if prim.IsA(UsdGeom.Mesh)]
    if not meshes:
        raise HeadError(f"{path.name}: holds no mesh")
    cache = UsdGeom.XformCache()
    upright = UPRIGHT.get(str(UsdGeom.GetStageUpAxis(stage)), np.eye(4))
    # USD multiplies rows
    parts = tuple(_part(prim, upright @ np.array(cache.GetLocalToWorldTransform(prim)).T, path.name) for prim in meshes)
    return Head(path.stem, parts, (), float(UsdGeom.GetStageMetersPerUnit(stage)))


def _check_size(path: Path) -> None:
    """A usdz is a zip that must store and not compress, so what it claims cannot exceed what it is."""
    size = path.stat().st_size
    if path.suffix.lower() == ".usdz":
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError) as error:
            raise HeadError(f"{path.name}: not a usdz archive ({error})") from error
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise HeadError(f"{path.name}: a compressed member, accepted: usdz archives store their files")
        size = max(size, sum(member.file_size for member in members))
    if size > MAX_BYTES:
        raise HeadError(f"{path.name}: {size >> 20} MiB, accepted: up to {MAX_BYTES >> 20} MiB")


def _part(prim: Any, matrix: Doubles, where: str) -> Part:
    from pxr import UsdGeom

    mesh = UsdGeom.Mesh(prim)
    points = np.array(mesh.GetPointsAttr().Get() or [], np.float64).reshape(-1, 3)
    counts = np.array(mesh.GetFaceVertexCountsAttr().Get() or [], np.int64)
    corners = np.array(mesh.GetFaceVertexIndicesAttr().Get() or [], np.int64)
    if counts.sum() != len(corners) or (len(counts) and counts.min() < 3):
        raise HeadError(f"{where}: {prim.GetName()}: {int(counts.sum())} corners in faces, {len(corners)} given")
    if len(corners) and (corners.min() < 0 or corners.max() >= len(points)):
        raise HeadError(f"{where}: {prim.GetName()}: a face names vertex {int(corners.max())} of {len(points)}")
    place = Place(matrix, str(mesh.GetOrientationAttr().Get()) == "leftHanded")
    shapes = dict(_shapes(prim, len(points), place, where))
    return placed_part(prim.GetName(), material_for(prim.GetName()), place.points(points),
                       place.triangles(_fans(counts, corners)), _uvs(prim, corners, len(points)), shapes)


def _uvs(prim: Any, corners: NDArray[np.int64], count: int) -> Floats:
    """The primvar st, or the first other one of texture places; given for corners or for vertices."""
    from pxr import UsdGeom

    found = [v for v in UsdGeom.PrimvarsAPI(prim).GetPrimvarsWithValues()
             if v.GetTypeName().role == "TextureCoordinate" or v.GetPrimvarName() == "st"]
    for primvar in sorted(found, key=lambda v: str(v.GetPrimvarName()) != "st"):
        places = np.array(primvar.ComputeFlattened() or [], np.float64)
        where = corners if str(primvar.GetInterpolation()) == "faceVarying" else np.arange(count)
        if places.ndim == 2 and places.shape[1] >= 2 and len(places) == len(where):
            return vertex_places(count, where, np.arange(len(where)), places[:, :2])
    return np.zeros((count, 2), np.float32)


def _fans(counts: Any, corners: Any) -> Any:
    starts = np.cumsum(counts) - counts
    rows = [corners[[s, s + k, s + k + 1]] for s, n in zip(starts, counts, strict=True) for k in range(1, n - 1)]
    return np.array(rows, np.int32).reshape(-1, 3)


def _shapes(prim: Any, count: int, place: Place, where: str) -> Any:
    from pxr import UsdSkel

    binding = UsdSkel.BindingAPI(prim)
    names = [str(n) for n in binding.GetBlendShapesAttr().Get() or []]
    targets = binding.GetBlendShapeTargetsRel().GetTargets()
    for name, target in zip(names, targets, strict=False):
        shape = UsdSkel.BlendShape(prim.GetStage().GetPrimAtPath(target))
        offsets = np.array(shape.GetOffsetsAttr().Get() or [], np.float64).reshape(-1, 3)
        given = shape.GetPointIndicesAttr().Get()
        index = np.array(given, np.int64) if given else np.arange(len(offsets))
        if len(index) != len(offsets) or (len(index) and (index.min() < 0 or index.max() >= count)):
            raise HeadError(f"{where}: shape {name} names vertices that its mesh has not")
        order = np.unique(index, return_index=True)[1]
        index = index[order]
        yield name, Shape(index.astype(np.int32), place.offsets(offsets[order], index))
