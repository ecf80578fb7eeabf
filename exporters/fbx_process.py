"""Reads one FBX file with ufbx and prints its animation as one JSON object. Runs in a process of its own; imports
nothing of ours.

usage: fbx_process.py FILE whole|own [JOINT ...]

whole: frames at the whole rate next to the file's; own: the file's own frames, if 29.97 of them are a second. Joints
are those whose turns are wanted (letters only, lower case). A weight that is never animated is given once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

TRANSFORMS = ("Lcl Translation", "Lcl Rotation", "Lcl Scaling", "Visibility")
Moved = list[tuple[Any, str, Any]]  # element, property, its animated value


def _listed(found: Any, kept: list[Any]) -> list[Any]:
    """By index, and held on to: iterating the binding's lists frees what they show."""
    out = [found[number] for number in range(len(found))]
    kept.extend(out)
    return out


def _answer(path: str, own: bool, joints: list[str]) -> dict[str, Any]:
    import ufbx

    kept: list[Any] = []
    scene = ufbx.load_file(path)
    kept.append(scene)
    takes = [(stack, _moved(stack, kept)) for stack in _listed(scene.anim_stacks, kept)]
    if not takes:
        return {"error": "holds no animation"}
    shapes = _listed(scene.blend_channels, kept)
    faces = [take for take in takes if any(_of_a_face(ufbx, *each[:2], joints, not shapes) for each in take[1])]
    stack, moved = (faces or takes)[0]
    rate = _rate(float(scene.settings.frames_per_second), own)
    frames = range(round(stack.time_begin * rate), _last(stack, moved, rate, kept) + 1)
    animation = stack.anim
    kept.append(animation)
    animated = {element.element_id for element, _, _ in moved if isinstance(element, ufbx.BlendChannel)}
    weights = [(channel.element_id, [ufbx.evaluate_blend_weight(animation, channel, frame / rate) for frame in
                                     (frames if not animated or channel.element_id in animated else frames[:1])])
               for channel in shapes]
    turned = [node for node, name, _ in moved if _of_a_face(ufbx, node, name, joints, False) and name == "Lcl Rotation"]
    return {"fps": round(rate), "start": frames[0], "frames": len(frames), "take": stack.name,
            "weights": dict(weights), "names": _names(scene, shapes, kept),
            "numbers": {} if shapes else _numbers(ufbx, moved, rate, frames),
            "turns": [{"joint": node.name, "bind": _bind(node, kept), "turns": [
                _quaternion(ufbx.evaluate_transform(animation, node, frame / rate)) for frame in frames]}
                for node in turned],
            "others": [other.name for other, _ in faces[1:]]}


def _rate(stated: float, own: bool) -> float:
    """29.97 stands for 30000 frames in 1001 seconds, which an hour of them tells from 29.97."""
    whole = round(stated)
    if not own or abs(stated - whole) < 1e-6:
        return whole
    times = stated * 1.001
    return round(times) / 1.001 if abs(times - round(times)) < 1e-3 else stated


def _names(scene: Any, shapes: list[Any], kept: list[Any]) -> list[Any]:
    """A row a deformer: its name, and number and name of each of its channels; channels of none in a row of their
    own."""
    rows: list[Any] = [[deformer.name, [[each.element_id, each.name] for each in _listed(deformer.channels, kept)]]
                       for deformer in _listed(scene.blend_deformers, kept)]
    held = {number for _, channels in rows for number, _ in channels}
    return [*rows, ["", [[each.element_id, each.name] for each in shapes if each.element_id not in held]]]


def _moved(stack: Any, kept: list[Any]) -> Moved:
    props = [prop for layer in _listed(stack.layers, kept) for prop in _listed(layer.anim_props, kept)]
    moved = [(prop.element, prop.prop_name, prop.anim_value) for prop in props]
    kept.append(moved)
    return moved


def _of_a_face(ufbx: Any, element: Any, prop: str, joints: list[str], numbers: bool) -> bool:
    """Whether it is a shape's weight or a wanted joint's turn; with `numbers` also a bone's own property."""
    if isinstance(element, ufbx.Node):
        joint = prop == "Lcl Rotation" and re.sub(r"[^a-z]", "", element.name.lower()) in joints
        return joint or (numbers and prop not in TRANSFORMS)
    return isinstance(element, ufbx.BlendChannel)


def _last(stack: Any, moved: Moved, rate: float, kept: list[Any]) -> int:
    """The last frame; a take of one frame is written as long as two, with one key a curve."""
    first: int = round(stack.time_begin * rate)
    last: int = round(stack.time_end * rate)
    curves = [curve for _, _, value in moved for curve in _listed(value.curves, kept) if curve is not None]
    return first if last == first + 1 and all(len(curve.keyframes) == 1 for curve in curves) else last


def _numbers(ufbx: Any, moved: Moved, rate: float, frames: range) -> dict[str, list[float]]:
    """The animated numbers that are no transforms: a bone's user properties."""
    columns: dict[str, list[float]] = {}
    for element, name, value in moved:
        if isinstance(element, ufbx.Node) and name not in TRANSFORMS and name not in columns:
            columns[name] = [ufbx.evaluate_anim_value_real(value, frame / rate) for frame in frames]
    return columns


def _bind(node: Any, kept: list[Any]) -> list[Any] | None:
    """Columns of the joint's matrices to the world and to its parent in the pose that the mesh was bound in."""
    pose = node.bind_pose
    kept.append(pose)
    for row in _listed(pose.bone_poses, kept) if pose is not None else []:
        if row.bone_node.element_id == node.element_id:
            return [[[axis.x, axis.y, axis.z] for axis in (matrix.c0, matrix.c1, matrix.c2)]
                    for matrix in (row.bone_to_world, row.bone_to_parent)]
    return None


def _quaternion(transform: Any) -> list[float]:
    turn = transform.rotation
    return [turn.x, turn.y, turn.z, turn.w]


if __name__ == "__main__":
    try:
        print(json.dumps(_answer(sys.argv[1], sys.argv[2] == "own", sys.argv[3:])))
    except Exception as problem:
        print(json.dumps({"error": f"cannot be read ({type(problem).__name__}: {problem})"}))
    sys.stdout.flush()
    os._exit(0)  # the binding's clean-up is what crashes
