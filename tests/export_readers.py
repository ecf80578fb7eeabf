"""Somebody else's readers as functions: each gives what it read, or skips the test where it is not installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def node_folder(package: str) -> Path:
    folder = Path(os.environ.get("NODE_DIR") or ROOT / ".node")
    if not shutil.which("node") or not (folder / "node_modules" / package).is_dir():
        pytest.skip(f"no node with {package} in {folder.name} (make test installs it, or set NODE_DIR)")
    return folder


def needs(module: str, extra: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed (extra {extra})")


def three(path: Path, rate: int, frames: int, first: int = 0) -> dict[str, Any]:
    """Morph weights, joint turns and largest deltas as three.js plays them."""
    folder = node_folder("three")
    command = ["node", str(HERE / "export_three.mjs"), str(path), str(rate), str(frames), str(first)]
    return _json(subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NODE_DIR": str(folder)},
                                timeout=60))


def gltf_issues(path: Path, validators: Path) -> list[str]:
    """Errors and warnings of Khronos' validator."""
    folder = node_folder("gltf-validator")
    done = subprocess.run(["node", str(validators / "v_gltf.mjs"), str(path)], capture_output=True, text=True,
                          env={**os.environ, "NODE_DIR": str(folder)}, timeout=60)
    assert done.stdout.startswith("validator"), done.stderr[-2000:]
    return [line for line in done.stdout.splitlines() if line.startswith(("ERROR", "WARN"))]


UFBX = """
import json, sys, ufbx
kept = []
def listed(found):
    out = [found[n] for n in range(len(found))]; kept.append(out); return out
scene = ufbx.load_file(sys.argv[1]); kept.append(scene)
rate, frames, first = map(int, sys.argv[2:5])
stack = listed(scene.anim_stacks)[0]; anim = stack.anim; kept.append(anim)
times = [(first + n) / rate for n in range(frames)]
weights = [(c.name, [ufbx.evaluate_blend_weight(anim, c, t) for t in times]) for c in listed(scene.blend_channels)]
numbers = {v.name: [ufbx.evaluate_anim_value_real(v, t) for t in times] for v in listed(scene.anim_values)}
shapes = [(c.name, [(k.shape.name, len(k.shape.offset_vertices)) for k in listed(c.keyframes)])
          for c in listed(scene.blend_channels)]
bones = {n.name: [[q.x, q.y, q.z, q.w] for q in (ufbx.evaluate_transform(anim, n, t).rotation for t in times)]
         for n in listed(scene.nodes) if int(n.attrib_type) == 5}
print(json.dumps({"warnings": [w.description for w in listed(scene.metadata.warnings)], "weights": weights,
    "numbers": numbers, "shapes": shapes, "bones": bones, "range": [stack.time_begin, stack.time_end],
    "rate": scene.settings.frames_per_second, "mode": int(scene.settings.time_mode),
    "meshes": {m.name: [m.num_vertices, m.num_faces, len(listed(m.skin_deformers))] for m in listed(scene.meshes)},
    "version": scene.metadata.version}))
sys.stdout.flush()
import os; os._exit(0)
"""


def ufbx(path: Path, rate: int, frames: int, first: int = 0) -> dict[str, Any]:
    """What ufbx evaluates, in a process of its own (the binding crashes when it cleans up)."""
    needs("ufbx", "fbx")
    return _json(subprocess.run([sys.executable, "-c", UFBX, str(path), str(rate), str(frames), str(first)],
                                capture_output=True, text=True, timeout=60))


def fbx_records(path: Path, validators: Path) -> str:
    """What a strict dumper of records says; it fails on wrong offsets, sentinels or footers."""
    done = subprocess.run([sys.executable, str(validators / "fbxdump.py"), str(path), "1"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout.strip(), done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
