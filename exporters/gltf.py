"""glTF of a head that moves: a mesh a part, sparse shapes with normals, weights and joint rotations on one clock.

Lengths are metres. Time starts at 0, as the format wants; the first frame's number and the rate stand in the clip's
extras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.base import ExportOptions
from exporters.gltf_container import INDICES, VERTICES, Builder, Json
from exporters.keys import reduce
from exporters.normals import SMALL_TURN, NormalDeltas, trimmed, visible_shapes
from exporters.scene import Scene, quaternions, scene
from facerig.curves import Curves
from facerig.errors import HeadError
from facerig.mesh import Head, Part, Shape

Floats = NDArray[np.float32]

QUANTISATION = "KHR_mesh_quantization"
COLOURS = (("eye", (0.9, 0.9, 0.92)), ("teeth", (0.9, 0.88, 0.82)), ("tongue", (0.72, 0.36, 0.36)),
           ("gum", (0.72, 0.4, 0.4)), ("lash", (0.08, 0.06, 0.05)), ("brow", (0.2, 0.15, 0.1)))
SKIN = (0.8, 0.6, 0.5)


def write_glb(curves: Curves, head: Head, options: ExportOptions) -> bytes:
    builder, rest = _built(curves, head, options)
    return builder.glb(rest)


def write_gltf(curves: Curves, head: Head, options: ExportOptions) -> bytes:
    builder, rest = _built(curves, head, options)
    return builder.gltf(rest)


@dataclass(frozen=True)
class Frame:
    """How lengths are stored: stored = (metres - offset) / scale, as floats or as 16-bit fractions."""

    units: float
    offset: NDArray[np.float64]
    scale: float
    quantised: bool

    def places(self, vertices: Floats) -> NDArray[Any]:
        return self._stored((vertices.astype(np.float64) * self.units - self.offset) / self.scale)

    def offsets(self, deltas: Floats) -> NDArray[Any]:
        return self._stored(deltas.astype(np.float64) * self.units / self.scale)

    def _stored(self, values: NDArray[np.float64]) -> NDArray[Any]:
        return np.round(values * 32767).astype("<i2") if self.quantised else values.astype("<f4")

    def directions(self, vectors: Floats) -> NDArray[Any]:
        return np.round(np.clip(vectors, -1, 1) * 127).astype("i1") if self.quantised else vectors.astype("<f4")


def _frame(head: Head, quantised: bool) -> Frame:
    units = head.metres_per_unit
    if not quantised:
        return Frame(units, np.zeros(3), 1.0, False)
    low = np.min([p.vertices.min(axis=0, initial=np.inf) for p in head.parts], axis=0) * units
    high = np.max([p.vertices.max(axis=0, initial=-np.inf) for p in head.parts], axis=0) * units
    reach = max([np.abs(s.offsets).max(initial=0) for p in head.parts for s in p.shapes.values()], default=0) * units
    return Frame(units, (low + high) / 2, max(float(np.max(high - low)) / 2, float(reach), 1e-6), True)


def _built(curves: Curves, head: Head, options: ExportOptions) -> tuple[Builder, Json]:
    if not head.parts or not all(len(part.vertices) and len(part.triangles) for part in head.parts):
        raise HeadError(f"glTF: head {head.name!r} has a part without triangles; every part needs some")
    moving, builder, frame = scene(curves, head, options), Builder(), _frame(head, options.quantise)
    joints = len(head.joints) if options.joints else 0
    nodes: list[Json] = _joint_nodes(head) if joints else []
    roots = [number for number, joint in enumerate(head.joints[:joints]) if joint.parent < 0]
    meshes, shapes = [], []
    for number, part in enumerate(head.parts):
        kept = visible_shapes(part, head.metres_per_unit)
        names = list(kept)
        meshes.append(_mesh(builder, part, kept, moving, frame, number, bool(joints)))
        skinned = bool(joints) and part.joint_index is not None
        roots.append(len(nodes))
        shapes.append((len(nodes), names))
        nodes.append(_mesh_node(part, number, frame, skinned))
    rest: Json = {"asset": {"version": "2.0", "generator": "facerig"}, "scene": 0,
                  "scenes": [{"name": head.name, "nodes": roots}], "nodes": nodes, "meshes": meshes,
                  "materials": [_material(part) for part in head.parts]}
    if any("skin" in node for node in nodes):
        rest["skins"] = [_skin(builder, head, frame)]
    rest["animations"] = [_animation(builder, moving, shapes, options)]
    if options.audio is not None:
        view = builder.view(options.audio)
        rest["scenes"][0]["extras"] = {"facerig_audio": {"bufferView": view, "mimeType": "audio/wav"}}
    if frame.quantised:
        rest["extensionsUsed"] = rest["extensionsRequired"] = [QUANTISATION]
    return builder, rest


# ---- geometry -------------------------------------------------------------------------------------------------


def _mesh(builder: Builder, part: Part, shapes: dict[str, Shape], moving: Scene, frame: Frame, material: int,
          joints: bool) -> Json:
    attributes = {"POSITION": builder.accessor(frame.places(part.vertices), VERTICES, frame.quantised, True),
                  "NORMAL": builder.accessor(frame.directions(_unit(part.normals)), VERTICES, frame.quantised)}
    uvs = part.uvs * np.array([1, -1]) + np.array([0, 1])  # glTF counts v downwards
    attributes["TEXCOORD_0"] = builder.accessor(uvs.astype("<f4"), VERTICES)
    if joints and part.joint_index is not None and part.joint_weight is not None:
        index, weight = _four(part.joint_index, part.joint_weight)
        attributes["JOINTS_0"] = builder.accessor(index, VERTICES)
        attributes["WEIGHTS_0"] = builder.accessor(weight, VERTICES)
    wide = len(part.vertices) > 65535
    triangles = builder.accessor(part.triangles.ravel().astype("<u4" if wide else "<u2"), INDICES)
    primitive: Json = {"attributes": attributes, "indices": triangles, "material": material}
    mesh: Json = {"name": part.name, "primitives": [primitive]}
    if shapes:
        normals = NormalDeltas(part)
        primitive["targets"] = [_target(builder, part, shape, normals, frame) for shape in shapes.values()]
        mesh["weights"] = [float(moving.shape_values(name)[0]) for name in shapes]
        mesh["extras"] = {"targetNames": list(shapes)}
    return mesh


def _target(builder: Builder, part: Part, shape: Shape, normals: NormalDeltas, frame: Frame) -> Json:
    turns = trimmed(Shape(shape.index, normals.of(shape)), SMALL_TURN)
    count = len(part.vertices)
    return {"POSITION": builder.sparse(count, shape.index, frame.offsets(shape.offsets), frame.quantised),
            "NORMAL": builder.sparse(count, turns.index, frame.directions(turns.offsets), frame.quantised, False)}


def _unit(normals: Floats) -> Floats:
    length = np.linalg.norm(normals.astype(np.float64), axis=1, keepdims=True)
    unit: Floats = np.where(length > 1e-9, normals / np.maximum(length, 1e-9), [0, 0, 1]).astype(np.float32)
    return unit


def _four(index: NDArray[Any], weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The four strongest joints of each vertex; unused places hold joint 0, as validators ask."""
    order = np.argsort(-weight, axis=1, kind="stable")[:, :4]
    best, share = np.take_along_axis(index, order, 1), np.take_along_axis(weight, order, 1).astype(np.float64)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
    pad = ((0, 0), (0, 4 - best.shape[1]))
    best, share = np.pad(best, pad), np.pad(share, pad)
    return np.where(share > 0, best, 0).astype("u1" if index.max(initial=0) < 256 else "<u2"), share.astype("<f4")


def _mesh_node(part: Part, mesh: int, frame: Frame, skinned: bool) -> Json:
    node: Json = {"name": part.name, "mesh": mesh}
    if skinned:
        node["skin"] = 0  # a skinned mesh's own transform does not count: the skin's matrices carry it
    elif frame.quantised:
        node |= {"translation": frame.offset.tolist(), "scale": [frame.scale] * 3}
    return node


def _joint_nodes(head: Head) -> list[Json]:
    nodes: list[Json] = []
    for number, joint in enumerate(head.joints):
        origin = head.joints[joint.parent].position if joint.parent >= 0 else (0.0, 0.0, 0.0)
        at = [(own - base) * head.metres_per_unit for own, base in zip(joint.position, origin, strict=True)]
        node: Json = {"name": joint.name, "translation": at}
        children = [child for child, other in enumerate(head.joints) if other.parent == number]
        nodes.append({**node, "children": children} if children else node)
    return nodes


def _skin(builder: Builder, head: Head, frame: Frame) -> Json:
    matrices = np.zeros((len(head.joints), 4, 4))
    for matrix, joint in zip(matrices, head.joints, strict=True):  # columns one after the other
        matrix[:] = np.diag([frame.scale] * 3 + [1.0])
        matrix[3, :3] = frame.offset - np.asarray(joint.position) * head.metres_per_unit
    return {"joints": list(range(len(head.joints))),
            "inverseBindMatrices": builder.accessor(matrices.reshape(-1, 16).astype("<f4"))}


def _material(part: Part) -> Json:
    what = f"{part.name} {part.material}".lower()
    colour = next((colour for word, colour in COLOURS if word in what), SKIN)
    return {"name": part.material or part.name,
            "pbrMetallicRoughness": {"baseColorFactor": [*colour, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6}}


# ---- animation ------------------------------------------------------------------------------------------------


def _animation(builder: Builder, moving: Scene, shapes: list[tuple[int, list[str]]], options: ExportOptions) -> Json:
    curves = moving.curves
    clip = _Clip(builder, curves, options.keys)
    for node, names in shapes:
        if any(name in moving.channels for name in names):
            clip.add(node, "weights", tuple(names), np.stack([moving.shape_values(name) for name in names], axis=1))
    for joint, turn in moving.joint_turns.items():
        clip.add(joint, "rotation", ("x", "y", "z", "w"), quaternions(turn))
    return {"name": options.name, "channels": clip.channels, "samplers": clip.samplers,
            "extras": {"fps": curves.fps, "start": curves.start}}


class _Clip:
    def __init__(self, builder: Builder, curves: Curves, bound: float | None) -> None:
        self._builder, self._curves, self._bound = builder, curves, bound
        self._times: dict[bytes, int] = {}
        self.channels: list[Json] = []
        self.samplers: list[Json] = []

    def add(self, node: int, path: str, names: tuple[str, ...], values: NDArray[np.float64]) -> None:
        """values [frames, components]; the components of one target share their keys, as the format wants."""
        if self._bound is None or len(values) < 3:
            frames, rows, kind = np.arange(len(values)), values, "LINEAR"
        else:
            # An angle is twice as far off as its quaternion.
            frames, rows = self._reduced(names, values, self._bound / (2.5 if path == "rotation" else 1))
            kind = "CUBICSPLINE"
        output = self._builder.accessor(rows.reshape(-1, 1 if path == "weights" else 4).astype("<f4"))
        self.channels.append({"sampler": len(self.samplers), "target": {"node": node, "path": path}})
        self.samplers.append({"input": self._input(frames), "output": output, "interpolation": kind})

    def _input(self, frames: NDArray[np.int64]) -> int:
        key = frames.tobytes()
        if key not in self._times:
            self._times[key] = self._builder.accessor((frames / self._curves.fps).astype("<f4"), bounds=True)
        return self._times[key]

    def _reduced(self, names: tuple[str, ...], values: NDArray[np.float64], bound: float
                 ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Frames, and per frame the tangents in, the values, the tangents out (value a second)."""
        curves = Curves(names, self._curves.fps, values.astype(np.float32), 0, self._curves.moved(0).marks)
        kept = list(reduce(curves, bound, together=True).values())
        at = np.stack([track.values for track in kept], axis=1)
        bend = np.stack([np.zeros(len(at)) if t.slopes is None else t.slopes for t in kept], 1) * curves.fps
        return kept[0].frames, np.stack([bend, at, bend], axis=1)
