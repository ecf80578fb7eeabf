"""Reads one FBX file with ufbx and prints its animation as one JSON object. Runs in a process of its own; imports
nothing of ours.

usage: fbx_process.py FILE
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

TRANSFORMS = ("T", "R", "S", "DeformPercent")


def _listed(found: Any, kept: list[Any]) -> list[Any]:
    """By index, and held on to: iterating the binding's lists frees what they show."""
    out = [found[number] for number in range(len(found))]
    kept.extend(out)
    return out


def _answer(path: str) -> dict[str, Any]:
    import ufbx

    kept: list[Any] = []
    scene = ufbx.load_file(path)
    kept.append(scene)
    stacks = _listed(scene.anim_stacks, kept)
    if not stacks:
        return {"error": "holds no animation"}
    stack = stacks[0]
    animation = stack.anim
    kept.append(animation)
    rate = round(scene.settings.frames_per_second)
    first, last = round(stack.time_begin * rate), round(stack.time_end * rate)
    columns: dict[str, list[float]] = {}
    for channel in _listed(scene.blend_channels, kept):
        if channel.name not in columns:
            columns[channel.name] = [ufbx.evaluate_blend_weight(animation, channel, frame / rate)
                                     for frame in range(first, last + 1)]
    if not columns:
        columns = _numbers(ufbx, scene, kept, rate, first, last)
    return {"fps": rate, "start": first, "channels": list(columns), "values": list(columns.values())}


def _numbers(ufbx: Any, scene: Any, kept: list[Any], rate: int, first: int, last: int) -> dict[str, list[float]]:
    """The animated numbers that are no transforms: a bone's user properties."""
    columns: dict[str, list[float]] = {}
    for value in _listed(scene.anim_values, kept):
        if value.name not in TRANSFORMS and value.name not in columns:
            columns[value.name] = [ufbx.evaluate_anim_value_real(value, frame / rate)
                                   for frame in range(first, last + 1)]
    return columns


if __name__ == "__main__":
    try:
        print(json.dumps(_answer(sys.argv[1])))
    except Exception as problem:
        print(json.dumps({"error": f"cannot be read ({type(problem).__name__}: {problem})"}))
    sys.stdout.flush()
    os._exit(0)  # the binding's clean-up is what crashes
