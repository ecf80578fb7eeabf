"""USD back to curves: the weights of its first skeletal animation that moves a face, and the turns of head and eye
joints. Needs usd-core.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from exporters.scene_reader import angles_of, is_read, tell_others
from exporters.timing import on_grid
from exporters.usd import pxr
from facerig.curves import Curves
from facerig.errors import CurvesError, FacerigError
from facerig.turns import Doubles, matrices_of


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    """The library opens files only: a copy in a folder of our own, so that the reader takes bytes like all others."""
    pxr()
    with tempfile.TemporaryDirectory(prefix="facerig-usd-") as folder:
        copy = Path(folder) / f"face{Path(name).suffix}"
        copy.write_bytes(data)
        return read_file(copy, name, fps)


def read_file(path: Path, name: str, fps: int | None = None) -> Curves:
    """Where it lies: a shot may be made of layers and references beside it."""
    u = pxr()
    try:
        return _curves(u, u.Usd.Stage.Open(str(path)), name, fps)
    except FacerigError:
        raise
    except Exception as error:  # the library's own type, with a page of C++ places: it reads a value when asked
        raise CurvesError(f"{name}: not a USD file that can be read ({type(error).__name__})") from None


def _curves(u: Any, stage: Any, name: str, fps: int | None) -> Curves:
    every = stage.Traverse(u.Usd.TraverseInstanceProxies())
    animations = [prim for prim in every if prim.IsA(u.UsdSkel.Animation)]
    if not animations:
        raise CurvesError(f"{name}: holds no skeletal animation")
    faces = [prim for prim in animations if _moves_a_face(u.UsdSkel.Animation(prim))]
    animation = u.UsdSkel.Animation((faces or animations)[0])
    tell_others(name, str(animation.GetPrim().GetName()), [str(prim.GetName()) for prim in faces[1:]])
    rate = float(stage.GetTimeCodesPerSecond())
    weights = animation.GetBlendShapeWeightsAttr()
    names = [str(token) for token in animation.GetBlendShapesAttr().Get() or ()]
    times = np.array(weights.GetTimeSamples(), np.float64)
    rotations = animation.GetRotationsAttr()
    if not len(times):
        times = np.array(rotations.GetTimeSamples(), np.float64)
    if not len(times):
        raise CurvesError(f"{name}: its animation has no time samples")
    columns: dict[str, Doubles] = {}
    if names:
        rows = [weights.Get(time) for time in times]
        for time, row in zip(times, rows, strict=True):
            if row is None or len(row) != len(names):
                raise CurvesError(f"{name}: {len(names)} shapes, but {len(row or ())} weights at time {time:g}")
        columns |= dict(zip(names, np.array(rows, np.float64).T, strict=True))
    columns |= _turns(animation, rotations, times)
    if not columns:
        raise CurvesError(f"{name}: its animation moves no shapes, head or eyes")
    whole = round(rate) if abs(rate - round(rate)) < 1e-6 and rate >= 1 else fps  # a time code is a frame
    return on_grid(name, tuple(columns), times / (whole or rate), np.stack(list(columns.values()), axis=1), whole)


def _moves_a_face(animation: Any) -> bool:
    joints = _joints(animation) if animation.GetRotationsAttr().GetNumTimeSamples() else []
    shapes = animation.GetBlendShapesAttr().Get() and animation.GetBlendShapeWeightsAttr().GetNumTimeSamples()
    return bool(shapes) or any(map(is_read, joints))


def _joints(animation: Any) -> list[str]:
    return [str(token).rsplit("/", 1)[-1] for token in animation.GetJointsAttr().Get() or ()]


def _turns(animation: Any, rotations: Any, times: Doubles) -> dict[str, Doubles]:
    columns: dict[str, Doubles] = {}
    if not rotations.GetNumTimeSamples():
        return columns
    turns = [rotations.Get(time) for time in times]
    for number, joint in enumerate(_joints(animation)):
        if is_read(joint):
            q = np.array([[*turn[number].GetImaginary(), turn[number].GetReal()] for turn in turns], np.float64)
            columns |= angles_of(joint, matrices_of(q))
    return columns
