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

from facerig.curves import Curves
from facerig.errors import CurvesError, MissingExtra

CHILD = Path(__file__).with_name("fbx_process.py")
TIMEOUT = 120  # seconds; a file that keeps the reader busy for longer is not an animation of a face


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    """Weights of blend shape channels, or the animated numbers of a bone where there are none."""
    if importlib.util.find_spec("ufbx") is None:
        raise MissingExtra("reading FBX files", "fbx")
    with tempfile.TemporaryDirectory(prefix="facerig-fbx-") as folder:
        copy = Path(folder) / "face.fbx"
        copy.write_bytes(data)
        document = _asked(copy, name)
    if document.get("error") or not document.get("channels"):
        raise CurvesError(f"{name}: {document.get('error') or 'holds no animated shapes'}")
    values = np.array(document["values"], np.float64).reshape(len(document["channels"]), -1).T
    return Curves(tuple(document["channels"]), document["fps"], values.astype(np.float32), document["start"])


def _asked(path: Path, name: str) -> dict[str, Any]:
    command = [sys.executable, "-I", str(CHILD), str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
        answer = json.loads(done.stdout.decode().strip().splitlines()[-1]) if done.stdout.strip() else {}
    except (subprocess.TimeoutExpired, json.JSONDecodeError, UnicodeDecodeError):
        answer = {}
    if not isinstance(answer, dict) or not answer:
        raise CurvesError(f"{name}: the FBX reader could not open it; is it a binary FBX file?")
    return answer
