"""FBX of a head that moves, or of curves alone on a `root` bone (what goes onto a MetaHuman face skeleton).

Lengths are centimetres, the axes Y up and Z to the front, values of shapes 0..100, of a bone's own properties 0..1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exporters.base import ExportOptions
from exporters.fbx_animation import Animation
from exporters.fbx_container import Node, double, doubles, integer, integers, leaf, long, text
from exporters.fbx_document import SHADING, Document, prop, properties, vector
from exporters.keys import Track, tracks
from exporters.normals import NormalDeltas, visible_shapes
from exporters.scene import Scene, scene
from facerig.curves import Curves
from facerig.errors import CurvesError
from facerig.mesh import Head, Part, Shape

CENTIMETRES = 100
ROOT = "root"
GREY = (0.8, 0.8, 0.8)
DEGREES = 180 / np.pi


def write(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    """A head's scene, or without a head the curves alone."""
    if head is None:
        return write_curves(curves, None, options)
    document, moving = Document(), scene(curves, head, options)
    first, last = _span(curves)
    scale = head.metres_per_unit * CENTIMETRES
    joints = _joints(document, head, scale) if options.joints else []
    channels: list[tuple[int, Track]] = []
    for part in head.parts:
        channels += _part(document, part, moving, scale, joints)
    if joints:
        _bind_pose(document, head, joints, scale)
    animation = Animation(document, options.name, curves.fps, first, last)
    for channel, track in channels:
        animation.add(channel, "DeformPercent", "DeformPercent", {"DeformPercent": track}, 100)
    for number, turn in moving.joint_tracks.items():
        axes = {axis.upper(): track for axis, track in turn.items()}
        animation.add(joints[number], "Lcl Rotation", "R", axes, DEGREES)
    return document.bytes(options.name, curves.fps, first, last, options.fbx_version)


def write_curves(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    """A bone `root` with an animated number property for every channel."""
    if not curves.channels:
        raise CurvesError("FBX: the take has no channels; it needs at least one")
    document = Document()
    first, last = _span(curves)
    numbers = [prop(name, "Number", "", "A+U", double(float(curves[name][0]))) for name in curves.channels]
    bone = _bone(document, ROOT, (0, 0, 0), numbers)
    document.link(bone, 0)
    animation = Animation(document, options.name, curves.fps, first, last)
    for name, track in tracks(curves, options.keys).items():
        animation.add(bone, name, name, {name: track}, 1)
    return document.bytes(options.name, curves.fps, first, last, options.fbx_version)


def _span(curves: Curves) -> tuple[int, int]:
    """First and last frame; a take of one frame lasts one frame, as importers refuse no length at all."""
    return curves.start, max(curves.end - 1, curves.start + 1)


# ---- bones ----------------------------------------------------------------------------------------------------


def _bone(document: Document, name: str, place: tuple[float, float, float], numbers: list[Node]) -> int:
    rows = (prop("RotationActive", "bool", "", "", integer(1)), prop("InheritType", "enum", "", "", integer(1)),
            vector("Lcl Translation", "Lcl Translation", place, "A"), *numbers)
    bone = document.add("Model", name, "LimbNode", (leaf("Version", integer(232)), properties(*rows), SHADING))
    kind = document.add("NodeAttribute", name, "LimbNode", (leaf("TypeFlags", text("Skeleton")),))
    document.link(kind, bone)
    return bone


def _joints(document: Document, head: Head, scale: float) -> list[int]:
    bones: list[int] = []
    for joint in head.joints:
        origin = head.joints[joint.parent].position if joint.parent >= 0 else (0.0, 0.0, 0.0)
        x, y, z = ((own - base) * scale for own, base in zip(joint.position, origin, strict=True))
        bones.append(_bone(document, joint.name, (x, y, z), []))
    for joint, bone in zip(head.joints, bones, strict=True):
        document.link(bone, bones[joint.parent] if joint.parent >= 0 else 0)
    return bones


def _placed(position: tuple[float, float, float], scale: float) -> NDArray[np.float64]:
    """A translation matrix as FBX stores it: columns one after the other."""
    matrix = np.eye(4)
    matrix[3, :3] = np.asarray(position) * scale
    return matrix.ravel()


def _bind_pose(document: Document, head: Head, joints: list[int], scale: float) -> None:
    rows = [Node("PoseNode", (), (leaf("Node", long(bone)), leaf("Matrix", doubles(_placed(joint.position, scale)))))
            for joint, bone in zip(head.joints, joints, strict=True)]
    document.add("Pose", "BindPose", "BindPose", (leaf("Type", text("BindPose")), leaf("Version", integer(100)),
                                                  leaf("NbPoseNodes", integer(len(rows))), *rows))


def _skin(document: Document, part: Part, head: Head, joints: list[int], geometry: int, scale: float) -> None:
    if part.joint_index is None or part.joint_weight is None:
        return
    skin = document.add("Deformer", part.name, "Skin", (leaf("Version", integer(101)),
                                                        leaf("Link_DeformAcuracy", double(50))))
    document.link(skin, geometry)
    for number, (joint, bone) in enumerate(zip(head.joints, joints, strict=True)):
        share = np.where(part.joint_index == number, part.joint_weight, 0).sum(axis=1)
        held = np.flatnonzero(share > 0)
        if not len(held):
            continue
        back = _placed((-joint.position[0], -joint.position[1], -joint.position[2]), scale)
        cluster = document.add("SubDeformer", joint.name, "Cluster", (
            leaf("Version", integer(100)), leaf("UserData", text(""), text("")), leaf("Indexes", integers(held)),
            leaf("Weights", doubles(share[held])), leaf("Transform", doubles(back)),
            leaf("TransformLink", doubles(_placed(joint.position, scale)))))
        document.link(cluster, skin)
        document.link(bone, cluster)


# ---- meshes ---------------------------------------------------------------------------------------------------


def _part(document: Document, part: Part, moving: Scene, scale: float, joints: list[int]) -> list[tuple[int, Track]]:
    """The part's mesh with its deformers; returns the channels that the curves move."""
    geometry = document.add("Geometry", part.name, "Mesh", _mesh(part, scale))
    model = document.add("Model", part.name, "Mesh", (leaf("Version", integer(232)), properties(
        prop("DefaultAttributeIndex", "int", "Integer", "", integer(0))),
        SHADING, leaf("Culling", text("CullingOff"))))
    document.link(model, 0)
    document.link(geometry, model)
    material = document.add("Material", part.material or part.name, "", (
        leaf("Version", integer(102)), leaf("ShadingModel", text("lambert")), leaf("MultiLayer", integer(0)),
        properties(vector("DiffuseColor", "Color", GREY, "A"))))
    document.link(material, model)
    if joints:
        _skin(document, part, moving.head, joints, geometry, scale)
    shapes = visible_shapes(part, moving.head.metres_per_unit)
    return _blend_shapes(document, part, shapes, moving, geometry, scale) if shapes else []


def _mesh(part: Part, scale: float) -> tuple[Node, ...]:
    polygons = np.array(part.triangles, np.int32)
    polygons[:, 2] = ~polygons[:, 2]  # the last corner of a polygon is stored inverted
    layers = ("LayerElementNormal", "LayerElementUV", "LayerElementMaterial")
    return (
        leaf("Vertices", doubles(part.vertices.astype(np.float64) * scale)),
        leaf("PolygonVertexIndex", integers(polygons)), leaf("GeometryVersion", integer(124)),
        _layer("LayerElementNormal", "", "ByVertice", "Direct", leaf("Normals", doubles(part.normals))),
        _layer("LayerElementUV", "map1", "ByPolygonVertex", "IndexToDirect", leaf("UV", doubles(part.uvs)),
               leaf("UVIndex", integers(part.triangles))),
        _layer("LayerElementMaterial", "", "AllSame", "IndexToDirect", leaf("Materials", integers([0]))),
        Node("Layer", (integer(0),), (leaf("Version", integer(100)), *(
            Node("LayerElement", (), (leaf("Type", text(layer)), leaf("TypedIndex", integer(0))))
            for layer in layers))))


def _layer(kind: str, name: str, mapping: str, reference: str, *data: Node) -> Node:
    return Node(kind, (integer(0),), (
        leaf("Version", integer(101)), leaf("Name", text(name)), leaf("MappingInformationType", text(mapping)),
        leaf("ReferenceInformationType", text(reference)), *data))


def _blend_shapes(document: Document, part: Part, shapes: dict[str, Shape], moving: Scene, geometry: int,
                  scale: float) -> list[tuple[int, Track]]:
    deformer = document.add("Deformer", f"{part.name}_shapes", "BlendShape", (leaf("Version", integer(100)),))
    document.link(deformer, geometry)
    normals, animated = NormalDeltas(part), []
    for name, shape in shapes.items():
        track = moving.shape_tracks.get(name)
        rest = float(track.values[0]) * 100 if track else 0.0
        channel = document.add("SubDeformer", name, "BlendShapeChannel", (
            leaf("Version", integer(100)), leaf("DeformPercent", double(rest)),
            leaf("FullWeights", doubles([100]))))
        target = document.add("Geometry", name, "Shape", _shape(shape, normals, scale))
        document.link(channel, deformer)
        document.link(target, channel)
        if track:
            animated.append((channel, track))
    return animated


def _shape(shape: Shape, normals: NormalDeltas, scale: float) -> tuple[Node, ...]:
    return (leaf("Version", integer(100)), leaf("Indexes", integers(shape.index)),
            leaf("Vertices", doubles(shape.offsets.astype(np.float64) * scale)),
            leaf("Normals", doubles(normals.of(shape))))
