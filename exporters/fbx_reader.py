"""FBX back to curves through the optional ufbx, in a process of its own: the binding can crash, and must not take
us along.

That process runs fbx_process.py, which prints one JSON object.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from exporters.scene_reader import READ_JOINTS, angles_of, keep_moving, tell_others
from facerig.curves import Curves
from facerig.errors import CurvesError, MissingExtra
from facerig.matching import bare_names
from facerig.turns import Doubles, matrices_of

CHILD = Path(__file__).with_name("fbx_process.py")
TIMEOUT = 120  # seconds; a file that keeps the reader busy for longer is not an animation of a face


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    """The first take that moves a face: weights of blend shape channels, or the animated numbers of a bone where there
    are none, and the turns of head and eye joints."""
    if importlib.util.find_spec("ufbx") is None:
        raise MissingExtra("reading FBX files", "fbx")
    with tempfile.TemporaryDirectory(prefix="facerig-fbx-") as folder:
        copy = Path(folder) / "face.fbx"
        copy.write_bytes(data)
        document = _asked(copy, name, "whole" if fps is None else "own")
    columns = _columns(document)
    if document.get("error") or not columns:
        raise CurvesError(f"{name}: {document.get('error') or 'holds no animated shapes, head or eyes'}")
    tell_others(name, document["take"], document["others"])
    values = np.stack(list(columns.values()), axis=1).astype(np.float32)
    return Curves(tuple(columns), document["fps"], values, document["start"])


def _columns(document: dict[str, Any]) -> dict[str, Doubles]:
    columns = _weights(document) or {name: np.array(values) for name, values in document.get("numbers", {}).items()}
    for row in document.get("turns", []):
        angles = angles_of(row["joint"], _from_bind(matrices_of(np.array(row["turns"])), row["bind"]))
        columns |= {channel: angle for channel, angle in angles.items() if channel not in columns}
    return columns


def _weights(document: dict[str, Any]) -> dict[str, Doubles]:
    """Weights of shapes by name, in the file's order of channels."""
    named: dict[str, str] = {}
    for deformer, channels in document.get("names", []):
        bare = bare_names([name for _, name in channels], deformer)
        named |= {str(number): name for (number, _), name in zip(channels, bare, strict=True)}
    columns: dict[str, Doubles] = {}
    for key, values in document.get("weights", {}).items():
        column = np.empty(document["frames"])
        column[:] = values  # one where it rests
        keep_moving(columns, named[key], column)
    return columns


def _from_bind(matrices: Doubles, bind: list[Any] | None) -> Doubles:
    """A joint's turns in its parent's axes -> away from the pose that the mesh was bound in, about the file's axes. As
    they are where the file holds no such pose."""
    if bind is None:
        return matrices
    axes = np.array(bind, np.float64)
    world, parent = np.swapaxes(axes / np.maximum(np.linalg.norm(axes, axis=-1, keepdims=True), 1e-12), 1, 2)
    turned: Doubles = world @ parent.T @ matrices @ world.T
    return turned


def _asked(path: Path, name: str, frames: str) -> dict[str, Any]:
    command = [sys.executable, "-I", str(CHILD), str(path), frames, *READ_JOINTS]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
        answer = json.loads(done.stdout.decode().strip().splitlines()[-1]) if done.stdout.strip() else {}
    except (subprocess.TimeoutExpired, json.JSONDecodeError, UnicodeDecodeError):
        answer = {}
    if not isinstance(answer, dict) or not answer:
        raise CurvesError(f"{name}: the FBX reader could not open it; is it a binary FBX file?")
    return answer
