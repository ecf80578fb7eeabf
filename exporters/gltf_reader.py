"""glTF back to curves: the animated weights of its meshes by target name, and the turns of head and eye joints."""

from __future__ import annotations

from typing import Any

import numpy as np

from exporters.gltf_container import Json, parse, read_accessor
from exporters.keys import hermite
from exporters.scene_reader import angles_of, is_read, keep_moving, tell_others
from exporters.timing import check_span, guess_rate
from facerig.curves import Curves
from facerig.errors import CurvesError
from facerig.turns import Doubles, matrices_of

STEP_SLACK = 0.05  # of a frame: a time is a float32, which lies so far beside its frame after hours


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    """The first animation that moves a face; a shape that several meshes have is taken from the first that moves it."""
    document, binary = parse(data, name)
    try:
        return _read(document, binary, name, fps)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise CurvesError(f"{name}: its animation cannot be read ({error!r})") from None


def _read(document: Json, binary: bytes, name: str, fps: int | None) -> Curves:
    clip = _clip(document, name)
    extras = clip.get("extras", {})
    samples = [(channel["target"], *_sampler(document, binary, clip["samplers"][channel["sampler"]], name))
               for channel in clip["channels"] if "node" in channel["target"]]
    times = [time for _, time, _, _ in samples]
    densest = max(times, key=len)
    stated = extras["fps"] if isinstance(extras.get("fps"), int) else None
    rate = stated or fps or guess_rate(densest)  # glTF itself knows instants alone
    first, last = round(min(t[0] for t in times) * rate), round(max(t[-1] for t in times) * rate)
    check_span(name, last - first, sum(values.shape[-1] for _, _, values, _ in samples))
    grid = np.arange(first, last + 1)
    columns: dict[str, Doubles] = {}
    for target, time, values, kind in samples:
        wanted = (grid + STEP_SLACK if kind == "STEP" else grid) / rate
        for channel, column in _channels(document, target, _evaluated(time, values, kind, wanted), name):
            keep_moving(columns, channel, column)
    if not columns:
        raise CurvesError(f"{name}: its animation moves no shapes, head or eyes")
    start = first + (extras["start"] if isinstance(extras.get("start"), int) and rate == stated else 0)
    return Curves(tuple(columns), rate, np.stack(list(columns.values()), axis=1).astype(np.float32), start)


def _clip(document: Json, name: str) -> Json:
    clips: list[Json] = document.get("animations", [])
    if not clips:
        raise CurvesError(f"{name}: holds no animation")
    if not any(clip["channels"] for clip in clips):
        raise CurvesError(f"{name}: its animation has no channels")
    faces = [(clip, str(clip.get("name", f"animation {number}"))) for number, clip in enumerate(clips)
             if any(_moves_a_face(document, channel["target"]) for channel in clip["channels"])]
    if not faces:
        raise CurvesError(f"{name}: its animation moves no shapes, head or eyes")
    clip, first = faces[0]
    tell_others(name, first, [other for _, other in faces[1:]])
    return clip


def _moves_a_face(document: Json, target: Json) -> bool:
    """Not where it names no node: extensions animate other things so."""
    if "node" not in target:
        return False
    node = document["nodes"][target["node"]]
    return target["path"] == "weights" or (target["path"] == "rotation" and is_read(node.get("name", "")))


def _sampler(document: Json, binary: bytes, sampler: Json, name: str) -> tuple[Doubles, Doubles, str]:
    """Times, values [keys, 1 or 3, components], interpolation."""
    times = read_accessor(document, binary, sampler["input"], name)[:, 0]
    output = read_accessor(document, binary, sampler["output"], name)
    kind = sampler.get("interpolation", "LINEAR")
    rows = 3 if kind == "CUBICSPLINE" else 1
    if not len(times) or output.size % (len(times) * rows):
        raise CurvesError(f"{name}: {len(times)} times with {output.size} values")
    return times, output.reshape(len(times), rows, -1), kind


def _evaluated(times: Doubles, values: Doubles, kind: str, wanted: Doubles) -> Doubles:
    if len(times) == 1:
        return np.repeat(values[:, values.shape[1] // 2], len(wanted), axis=0)
    at = np.clip(wanted, times[0], times[-1])
    left = np.clip(np.searchsorted(times, at, "right") - 1, 0, len(times) - 2)
    width = np.diff(times)[left][:, None]
    u = (at - times[left])[:, None] / width
    if kind == "CUBICSPLINE":
        return hermite(u, width, values[left, 1], values[left + 1, 1], values[left, 2], values[left + 1, 0])
    if kind == "STEP":
        u = np.floor(u)
    straight: Doubles = values[left, 0] * (1 - u) + values[left + 1, 0] * u
    return straight


def _channels(document: Json, target: Json, values: Doubles, name: str) -> list[tuple[str, Doubles]]:
    node: dict[str, Any] = document["nodes"][target["node"]]
    if target["path"] == "weights":
        mesh = document["meshes"][node["mesh"]]
        numbered = [f"{mesh.get('name', 'shape')}{number}" for number in range(values.shape[1])]
        names = mesh.get("extras", {}).get("targetNames") or numbered
        if len(names) != values.shape[1]:
            raise CurvesError(f"{name}: {len(names)} names for the {values.shape[1]} weights of mesh "
                              f"{mesh.get('name', node['mesh'])!r}")
        return list(zip(map(str, names), values.T, strict=True))
    if target["path"] == "rotation":
        return list(angles_of(node.get("name", ""), matrices_of(values)).items())
    return []
