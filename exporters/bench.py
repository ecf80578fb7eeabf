"""`facerig bench export`: seconds, memory and size of the heavy formats, each in a process of its own.

The take is 60 s at 60 frames a second on 52 channels; the head is ICT-FaceKit's where a copy lies beside the
repository, else a made one of that size. Also: key reduction of the same take, and our glTF writer against
pygltflib for the same document.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from facerig.curves import Curves
from facerig.mesh import Floats, Head, Ints, Part, Shape
from facerig.rig import rig

SUFFIXES = (".fbx", ".glb", ".usdc", ".csv")
SECONDS, FPS = 60, 60
VERTICES = 27_000
REPEATS = 3
SEED = 5
ICT = Path(__file__).resolve().parents[2] / "shared" / "data" / "heads" / "ict_facekit" / "ict_expressions.npz"
HALVES = {"_L": "Left", "_R": "Right"}

CHILD = """
import json, resource, sys, time
from exporters import bench
print(json.dumps(bench.measure(sys.argv[1])))
"""


def bench_export() -> dict[str, Any]:
    """Figures by format: seconds (best and median), peak memory of a process that does nothing else, file size."""
    head = bench_head()
    figures: dict[str, Any] = {"head": head.name, "vertices": head.vertex_count, "shapes": len(head.shape_names),
                               "frames": SECONDS * FPS, "channels": 52}
    for suffix in SUFFIXES:
        figures[suffix[1:]] = _in_a_process(suffix)
    figures["keys"] = _keys()
    figures["gltf_json"] = _against_pygltflib()
    return figures


def _in_a_process(suffix: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", CHILD, suffix], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).resolve().parents[1])
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"error": (done.stderr.strip().splitlines() or ["nothing said"])[-1][:200]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def measure(suffix: str) -> dict[str, Any]:
    """In the child: the first export pays for imports, as a user's only one does."""
    import resource

    import exporters

    head, curves, took, processor, data = bench_head(), speech(), [], [], b""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(REPEATS):
        started, busy = time.process_time(), time.process_time()
        data = exporters.export(curves, suffix, head)
        took.append(time.process_time() - started)
        processor.append(time.process_time() - busy)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": round(sorted(took)[REPEATS // 2], 3), "first": round(took[0], 3),
            "cpu": round(sorted(processor)[REPEATS // 2], 3), "mb": round(len(data) / 1e6, 2),
            "peak_rss_mb": round(peak / 1024, 1), "head_and_take_rss_mb": round(before / 1024, 1)}


def speech(seconds: int = SECONDS) -> Curves:
    """Motion with the bandwidth of speech: a new target every 80 ms or so, smoothed over 150 ms."""
    rng = np.random.default_rng(SEED)
    names, count = rig("arkit").names, seconds * FPS
    edges = np.cumsum(rng.integers(4, 7, count // 4))
    targets = rng.random((len(edges) + 1, len(names))) * (rng.random((len(edges) + 1, len(names))) < 0.3)
    rows = targets[np.searchsorted(edges, np.arange(count), side="right")]
    kernel = np.hanning(11)[1:-1]
    smooth = np.apply_along_axis(lambda column: np.convolve(column, kernel / kernel.sum(), "same"), 0, rows)
    return Curves(names, FPS, smooth.astype(np.float32))


def bench_head() -> Head:
    return _ict() if ICT.is_file() else _made()


def _ict() -> Head:
    """ICT-FaceKit's vertices and deltas in one part; triangles between neighbours stand in for its own."""
    with np.load(ICT) as file:
        base, deltas = file["base"].astype(np.float32), file["deltas"]
        names = [str(name) for name in file["names"]]
    wanted = rig("arkit").names
    plain = {n[:-2] + HALVES[n[-2:]] if n[-2:] in HALVES else n: column for column, n in enumerate(names)}
    shapes: dict[str, Shape] = {}
    for name in wanted:
        found = [plain[each] for each in (name, f"{name}Left", f"{name}Right") if each in plain]
        offsets = deltas[found].astype(np.float32).sum(axis=0) if found else _bump(base, 0.02)
        index = np.flatnonzero(np.abs(offsets).max(axis=1) > 0).astype(np.int32)
        shapes[name] = Shape(index, np.ascontiguousarray(offsets[index]))
    return Head("ict_facekit", (_part(base, shapes),), (), 0.01)


def _bump(base: Floats, share: float) -> Floats:
    """A shape that the data lack: the vertices furthest forward, pushed on."""
    offsets = np.zeros_like(base)
    offsets[np.argsort(base[:, 2])[-int(share * len(base)) :], 2] = 1
    return offsets


def _made() -> Head:
    """A bulging sheet of that size, a third of it moved by each shape."""
    rng, side = np.random.default_rng(SEED), int(VERTICES**0.5) + 1
    u, v = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side)))
    base = np.stack([20 * u - 10, 20 * v - 10, 8 * np.sin(np.pi * u) * np.sin(np.pi * v)], 1).astype(np.float32)
    shapes = {}
    for name in rig("arkit").names:
        middle = rng.random(2)
        near = np.exp(-((u - middle[0]) ** 2 + (v - middle[1]) ** 2) / 0.03).astype(np.float32)
        index = np.flatnonzero(near > 0.05).astype(np.int32)
        shapes[name] = Shape(index, (near[index, None] * rng.normal(0, 0.3, 3)).astype(np.float32))
    return Head("made", (_part(base, shapes),), (), 0.01)


def _part(base: Floats, shapes: dict[str, Shape]) -> Part:
    """Triangles between vertices that follow each other in the file: as many as a real head has."""
    count = len(base)
    first = np.arange(count - 2, dtype=np.int32)
    triangles: Ints = np.concatenate([np.stack([first, first + 1, first + 2], 1)] * 2)
    normals = base - base.mean(axis=0)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    uvs = (base[:, :2] - base[:, :2].min(axis=0)) / np.maximum(np.ptp(base[:, :2], axis=0), 1e-6)
    return Part("face", "skin", base, triangles, normals.astype(np.float32), uvs.astype(np.float32), shapes)


def _keys() -> dict[str, Any]:
    from exporters.keys import BOUND, reduce

    curves, took = speech(), []
    for _ in range(REPEATS):
        started = time.process_time()
        kept = reduce(curves, BOUND)
        took.append(time.process_time() - started)
    frames = np.arange(curves.frames)
    error = max(float(np.abs(track.at(frames) - curves[name]).max()) for name, track in kept.items())
    count = sum(len(track.frames) for track in kept.values())
    return {"cpu": round(sorted(took)[REPEATS // 2], 3), "share": round(count / curves.values.size, 4),
            "error": round(error, 5)}


def _against_pygltflib() -> dict[str, Any]:
    """The same document and buffer through pygltflib, to see what it would cost."""
    import exporters
    from exporters.gltf_container import parse

    data = exporters.export(speech(), ".glb", bench_head())
    started = time.process_time()
    try:
        import pygltflib
    except ImportError:
        return {"pygltflib": "not installed"}
    imported = time.process_time() - started
    document, binary = parse(data, "bench.glb")
    started = time.process_time()
    theirs = pygltflib.GLTF2().from_json(json.dumps(document))
    theirs.set_binary_blob(binary)
    built = time.process_time() - started
    started = time.process_time()
    size = len(b"".join(theirs.save_to_bytes()))
    return {"pygltflib_import": round(imported, 3), "pygltflib_build": round(built, 3),
            "pygltflib_save": round(time.process_time() - started, 3), "pygltflib_mb": round(size / 1e6, 2)}
