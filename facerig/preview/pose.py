"""Which channels turn which joints of a head, and how: table of names, angles in radians unless said otherwise."""

from __future__ import annotations

import numpy as np

from facerig.curves import Curves
from facerig.mesh import Floats, Head

PHONE_UNIT = float(np.radians(50))  # Live Link's HeadYaw runs from -1 to 1, which Unreal turns into 50 degrees
# joint (lower case), channel prefix (lower case)
TURNED = (("head", "head"), ("neck", "neck"), ("jaw", "jaw"))
AXES = (("pitch", 0), ("yaw", 1), ("roll", 2))  # about +X, +Y, +Z: to the head's left and downwards positive


def rotations_of(curves: Curves, head: Head) -> dict[str, Floats]:
    """Rotation vectors [T, 3] for each joint that some channel turns (gaze moves through shapes)."""
    by_name = {name.lower(): name for name in curves.channels}
    out = {}
    for joint, prefix in TURNED:
        names = {axis: by_name[prefix + word] for word, axis in AXES if prefix + word in by_name}
        bone = next((j.name for j in head.joints if j.name.lower() == joint), None)
        if names and bone:
            out[bone] = _vectors(curves, names)
    return out


def _vectors(curves: Curves, names: dict[int, str]) -> Floats:
    vectors = np.zeros((curves.frames, 3), np.float32)
    for axis, name in names.items():
        vectors[:, axis] = curves[name] * (PHONE_UNIT if name[0].isupper() else 1.0)
    return vectors


def matched(curves: Curves, head: Head) -> Curves:
    """The curves under the head's own spelling of the channels (case and a dividing _ do not count)."""
    own = {_plain(name): name for name in head.shape_names}
    names = [own.get(_plain(name), name) for name in curves.channels]
    if len(set(names)) != len(names):
        return curves
    return Curves(tuple(names), curves.fps, curves.values, curves.start, curves.marks)


def _plain(name: str) -> str:
    for ending, word in (("_l", "left"), ("_r", "right")):
        if name.lower().endswith(ending):
            name = name[:-2] + word
    return name.lower().replace("_", "")
