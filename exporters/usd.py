"""USD of a head that moves: UsdSkel blend shapes, joints, and a skeleton that carries the animation (alone, where
there is no head); or Audio2Face's layout.

One time code is one frame. USD interpolates straight between samples, so every frame is written. Needs usd-core.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters import zip_container
from exporters.base import ExportOptions
from exporters.normals import NormalDeltas, visible_shapes
from exporters.rigs import to_rig
from exporters.scene import Scene, quaternions, scene
from facerig.curves import Curves
from facerig.errors import MissingExtra, OutputError
from facerig.mesh import Head, Joint, Part
from facerig.rig import rig

A2F_RIG = "arkit"
A2F_ANIMATION = "/World/BlendShapeAnimation"


def pxr() -> Any:
    """The library, or the error that names the extra."""
    try:
        from pxr import Gf, Sdf, Usd, UsdGeom, UsdSkel, Vt
    except ImportError:
        raise MissingExtra("USD files", "usd") from None
    return SimpleNamespace(Gf=Gf, Sdf=Sdf, Usd=Usd, UsdGeom=UsdGeom, UsdSkel=UsdSkel, Vt=Vt)


def write_usda(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return _file(_stage(curves, head, options), "usda")


def write_usdc(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return _file(_stage(curves, head, options), "usdc")


def write_usdz(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return _file(_stage(curves, head, options), "usdz")


def write_a2f_usda(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return write_usda(curves, head, replace(options, layout="a2f"))


def write_a2f_usdc(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return write_usdc(curves, head, replace(options, layout="a2f"))


def _file(stage: Any, suffix: str) -> bytes:
    """USD writes files only: through a folder of our own, so that nothing half-made is left."""
    with tempfile.TemporaryDirectory(prefix="facerig-usd-") as folder:
        layer = Path(folder) / f"face.{'usdc' if suffix == 'usdz' else suffix}"
        if not stage.GetRootLayer().Export(str(layer)):
            raise OutputError("USD: the library could not write the layer")
        data = layer.read_bytes()
        return zip_container.stored({layer.name: data}) if suffix == "usdz" else data


def _stage(curves: Curves, head: Head | None, options: ExportOptions) -> Any:
    u = pxr()
    stage = u.Usd.Stage.CreateInMemory()
    u.UsdGeom.SetStageUpAxis(stage, u.UsdGeom.Tokens.y)
    u.UsdGeom.SetStageMetersPerUnit(stage, head.metres_per_unit if head else 0.01)
    stage.SetTimeCodesPerSecond(curves.fps)
    stage.SetFramesPerSecond(curves.fps)
    stage.SetStartTimeCode(curves.start)
    stage.SetEndTimeCode(curves.end - 1)
    if options.layout == "a2f":
        _audio2face(u, stage, curves)
    elif head is None:
        _alone(u, stage, curves)
    else:
        _skel(u, stage, scene(curves, head, options), options)
    return stage


# ---- UsdSkel ------------------------------------------------------------------------------------------------------


def _alone(u: Any, stage: Any, curves: Curves) -> None:
    """No mesh: the skeleton carries an animation of every channel, to be bound to a head of one's own."""
    _, _, animation = _root(u, stage, "curves")
    _weights(u, animation, list(curves.channels), curves.values.astype(np.float64), curves)


def _root(u: Any, stage: Any, name: str, joints: tuple[Joint, ...] = ()) -> tuple[Any, Any, Any]:
    """Root, skeleton, and the animation that it carries."""
    root = u.UsdSkel.Root.Define(stage, f"/{_identifier(name)}")
    stage.SetDefaultPrim(root.GetPrim())
    path = root.GetPath()
    skeleton = u.UsdSkel.Skeleton.Define(stage, path.AppendChild("Skeleton"))
    if joints:
        _rest(u, skeleton, joints)
    animation = u.UsdSkel.Animation.Define(stage, path.AppendChild("Animation"))
    u.UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    return root, skeleton, animation


def _skel(u: Any, stage: Any, moving: Scene, options: ExportOptions) -> None:
    head = moving.head
    joints = head.joints if options.joints else ()
    root, skeleton, animation = _root(u, stage, head.name, joints)
    path = root.GetPath()
    names = [name for name in head.shape_names if name in moving.channels]
    values = np.stack([moving.shape_values(name) for name in names], axis=1) if names else None
    _weights(u, animation, names, values, moving.curves)
    if joints:
        _turns(u, animation, joints, moving)
    taken = {"Skeleton", "Animation"}
    for part in head.parts:
        _mesh(u, stage, path.AppendChild(_unused(part.name, taken)), part, skeleton, head, bool(joints))
    root.CreateExtentAttr(u.UsdGeom.Boundable.ComputeExtentFromPlugins(root, u.Usd.TimeCode.Default()))


def _weights(u: Any, animation: Any, names: list[str], values: NDArray[np.float64] | None, curves: Curves) -> None:
    animation.CreateBlendShapesAttr(names)
    attribute = animation.CreateBlendShapeWeightsAttr()
    if values is None:
        return
    for frame, row in enumerate(np.ascontiguousarray(values, np.float32), curves.start):
        attribute.Set(u.Vt.FloatArray.FromNumpy(row), frame)


def _paths(joints: tuple[Joint, ...]) -> list[str]:
    """UsdSkel names a joint by its path from the root."""
    paths: list[str] = []
    for joint in joints:
        own = _identifier(joint.name)
        paths.append(f"{paths[joint.parent]}/{own}" if joint.parent >= 0 else own)
    return paths


def _local(joints: tuple[Joint, ...]) -> NDArray[np.float64]:
    places = np.array([joint.position for joint in joints], np.float64)
    return places - np.array([joints[j.parent].position if j.parent >= 0 else (0, 0, 0) for j in joints], np.float64)


def _rest(u: Any, skeleton: Any, joints: tuple[Joint, ...]) -> None:
    def matrices(places: NDArray[np.float64]) -> list[Any]:
        return [u.Gf.Matrix4d().SetTranslate(u.Gf.Vec3d(*place.tolist())) for place in places]

    skeleton.CreateJointsAttr(_paths(joints))
    skeleton.CreateBindTransformsAttr(matrices(np.array([joint.position for joint in joints], np.float64)))
    skeleton.CreateRestTransformsAttr(matrices(_local(joints)))


def _turns(u: Any, animation: Any, joints: tuple[Joint, ...], moving: Scene) -> None:
    """All joints at once: translations and scales rest, rotations follow the turns."""
    animation.CreateJointsAttr(_paths(joints))
    animation.CreateTranslationsAttr([u.Gf.Vec3f(*place.tolist()) for place in _local(joints)])
    animation.CreateScalesAttr([u.Gf.Vec3h(1, 1, 1)] * len(joints))
    rotations = animation.CreateRotationsAttr([u.Gf.Quatf(1, 0, 0, 0)] * len(joints))
    turns = {number: quaternions(turn).tolist() for number, turn in moving.joint_turns.items()}
    if not turns:
        return
    still = u.Gf.Quatf(1, 0, 0, 0)
    for row, frame in enumerate(range(moving.curves.start, moving.curves.end)):
        now = {number: u.Gf.Quatf(q[row][3], *q[row][:3]) for number, q in turns.items()}
        rotations.Set(u.Vt.QuatfArray([now.get(number, still) for number in range(len(joints))]), frame)


def _mesh(u: Any, stage: Any, path: Any, part: Part, skeleton: Any, head: Head, joints: bool) -> None:
    mesh = u.UsdGeom.Mesh.Define(stage, path)
    places = u.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(part.vertices))
    mesh.CreatePointsAttr(places)
    mesh.CreateFaceVertexCountsAttr(u.Vt.IntArray.FromNumpy(np.full(len(part.triangles), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(u.Vt.IntArray.FromNumpy(np.ascontiguousarray(part.triangles.ravel(), np.int32)))
    mesh.CreateNormalsAttr(u.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(part.normals)))
    mesh.SetNormalsInterpolation(u.UsdGeom.Tokens.vertex)
    mesh.CreateSubdivisionSchemeAttr(u.UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(u.UsdGeom.PointBased.ComputeExtent(places))
    uvs = u.UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", u.Sdf.ValueTypeNames.TexCoord2fArray,
                                                    u.UsdGeom.Tokens.vertex)
    uvs.Set(u.Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(part.uvs)))
    binding = u.UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    if joints and part.joint_index is not None and part.joint_weight is not None:
        size = part.joint_index.shape[1]
        binding.CreateJointIndicesPrimvar(False, size).Set(
            u.Vt.IntArray.FromNumpy(np.ascontiguousarray(part.joint_index.ravel(), np.int32)))
        binding.CreateJointWeightsPrimvar(False, size).Set(
            u.Vt.FloatArray.FromNumpy(np.ascontiguousarray(part.joint_weight.ravel(), np.float32)))
        binding.CreateGeomBindTransformAttr(u.Gf.Matrix4d(1))
    _blend_shapes(u, stage, path, part, binding, head)


def _blend_shapes(u: Any, stage: Any, path: Any, part: Part, binding: Any, head: Head) -> None:
    shapes = visible_shapes(part, head.metres_per_unit)
    if not shapes:
        return
    normals, targets, taken = NormalDeltas(part), [], set[str]()
    for name, shape in shapes.items():
        target = u.UsdSkel.BlendShape.Define(stage, path.AppendChild(_unused(name, taken)))
        target.CreateOffsetsAttr(u.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(shape.offsets, np.float32)))
        target.CreateNormalOffsetsAttr(u.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(normals.of(shape))))
        target.CreatePointIndicesAttr(u.Vt.IntArray.FromNumpy(np.ascontiguousarray(shape.index, np.int32)))
        targets.append(target.GetPath())
    binding.CreateBlendShapesAttr(list(shapes))
    binding.CreateBlendShapeTargetsRel().SetTargets(targets)


def _identifier(name: str) -> str:
    """A prim's name: letters of any script, digits and underscores."""
    plain = "".join(letter if f"_{letter}".isidentifier() else "_" for letter in name)
    return plain if plain.isidentifier() else f"_{plain}"


def _unused(name: str, taken: set[str]) -> str:
    wanted, number = _identifier(name), 1
    while wanted in taken:
        wanted, number = f"{_identifier(name)}_{number}", number + 1
    taken.add(wanted)
    return wanted


# ---- Audio2Face -----------------------------------------------------------------------------------------------------


def _audio2face(u: Any, stage: Any, curves: Curves) -> None:
    """What Omniverse Audio2Face exports: a SkelAnimation of ARKit names, the MetaHuman controls beside it."""
    world = u.UsdGeom.Xform.Define(stage, "/World")
    stage.SetDefaultPrim(world.GetPrim())
    arkit = to_rig(curves, A2F_RIG)
    animation = u.UsdSkel.Animation.Define(stage, A2F_ANIMATION)
    _weights(u, animation, list(arkit.channels), arkit.values.astype(np.float64), arkit)
    animation.CreateJointsAttr(["jaw", "eye_L", "eye_R"])
    animation.CreateTranslationsAttr([u.Gf.Vec3f(0, 0, 0)] * 3)
    animation.CreateRotationsAttr([u.Gf.Quatf(1, 0, 0, 0)] * 3)
    animation.CreateScalesAttr([u.Gf.Vec3h(1, 1, 1)] * 3)
    controls = _controls(arkit)
    prim = animation.GetPrim()
    prim.CreateAttribute("custom:mh_curveNames", u.Sdf.ValueTypeNames.TokenArray, True,
                         u.Sdf.VariabilityUniform).Set(list(controls.channels))
    values = prim.CreateAttribute("custom:mh_curveValues", u.Sdf.ValueTypeNames.FloatArray, True)
    for frame, row in enumerate(controls.values, controls.start):
        values.Set(u.Vt.FloatArray.FromNumpy(np.ascontiguousarray(row)), frame)
    stage.GetRootLayer().customLayerData = {"audio2faceSettings": {"export_fps": float(curves.fps), "trackPath": ""}}


def _controls(arkit: Curves) -> Curves:
    """The MetaHuman controls that ARKit can move at all, whatever this take does."""
    everything = np.concatenate([np.eye(len(arkit.channels)), np.ones((1, len(arkit.channels)))])
    moved = to_rig(Curves(arkit.channels, arkit.fps, everything.astype(np.float32)), "metahuman")
    names = [name for name in rig("metahuman").names if np.ptp(moved[name]) > 0]
    return to_rig(arkit, "metahuman").select(names)
