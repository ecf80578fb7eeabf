"""Runs inside Blender: takes of facerig (Live Link Face CSV, CSV with seconds, facerig JSON) onto a head's shape keys.

    blender head.blend --background --python blender_import.py -- take.csv [more.json ...] [--save out.blend]

or from Blender's text editor: run it, then `import_takes(["/path/take.csv"])`. Every mesh whose shape keys bear a
channel's name (letter case aside) gets an action a take; the scene gets the take's frame rate and length. Needs nothing
but Blender. Run in headless Blender 3.4; other versions through the same calls, not run.
"""

from __future__ import annotations

import csv
import json
import os
import sys


def read_take(path):
    """(names, frames a second, first frame, rows) of a file."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        if path.lower().endswith(".json"):
            document = json.load(stream)
            return document["channels"], document["fps"], document.get("start", 0), document["values"]
        rows = [row for row in csv.reader(stream) if row]
    if rows[0][0].lower() == "timecode":
        times, names, first = [timecode(row[0]) for row in rows[1:]], rows[0][2:], 2
    else:
        times, names, first = [float(row[0]) for row in rows[1:]], rows[0][1:], 1
    fps = frame_rate(times)
    values = [[float(cell) for cell in row[first:]] for row in rows[1:]]
    return names, fps, round(times[0] * fps), values


def timecode(text):
    """Seconds of HH:MM:SS:FF.mmm; FF counts sixtieths of a second at any frame rate."""
    hours, minutes, seconds, frames = (float(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + seconds + frames / 60


def frame_rate(times):
    """Whole frames a second of evenly spaced instants."""
    return max(1, round((len(times) - 1) / (times[-1] - times[0]))) if len(times) > 1 and times[-1] > times[0] else 60


def matching(names, key_names):
    """Column of each shape key that a channel drives."""
    columns = {name.lower(): column for column, name in enumerate(names)}
    return {key: columns[key.lower()] for key in key_names if key.lower() in columns}


def import_takes(paths, objects=None):
    """An action a mesh and take; the last take stays the active one. Returns the number of curves written."""
    import bpy

    meshes = [o for o in objects or bpy.context.scene.objects if o.type == "MESH" and o.data.shape_keys]
    if not meshes:
        raise RuntimeError("no mesh with shape keys in the scene: open or import a head first")
    written = 0
    for path in paths:
        names, fps, first, rows = read_take(path)
        scene = bpy.context.scene
        scene.render.fps, scene.render.fps_base = fps, 1.0
        scene.frame_start, scene.frame_end = first, first + max(len(rows) - 1, 1)
        for mesh in meshes:
            keys = mesh.data.shape_keys
            columns = matching(names, [block.name for block in keys.key_blocks[1:]])
            if columns:
                title = os.path.splitext(os.path.basename(path))[0]
                written += animate(keys, f"{title}_{mesh.name}", columns, first, rows)
    if not written:
        raise RuntimeError("no shape key bears the name of a channel; retarget with facerig convert --rig first")
    return written


def animate(keys, title, columns, first, rows):
    """A curve with straight lines on each shape key."""
    import bpy

    action = bpy.data.actions.new(title)
    action.use_fake_user = True  # kept in the file although the next take replaces it
    keys.animation_data_create()
    keys.animation_data.action = action
    for name, column in columns.items():
        path = f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'
        curve = new_curve(action, keys, path)
        curve.keyframe_points.add(len(rows))
        points = [number for frame, row in enumerate(rows, first) for number in (frame, row[column])]
        curve.keyframe_points.foreach_set("co", points)
        curve.keyframe_points.foreach_set("interpolation", [1] * len(rows))  # 1: linear
        curve.update()
        block = keys.key_blocks[name]
        low, high = min(row[column] for row in rows), max(row[column] for row in rows)
        block.slider_min, block.slider_max = min(block.slider_min, low), max(block.slider_max, high, 1.0)
    return len(columns)


def new_curve(action, owner, path):
    """Up to Blender 4 an action holds its curves; from 5 on it holds them by what they animate."""
    if hasattr(action, "fcurves"):
        return action.fcurves.new(path)
    return action.fcurve_ensure_for_datablock(owner, path)


def main(arguments):
    import bpy

    save = None
    if "--save" in arguments:
        at = arguments.index("--save")
        save = arguments[at + 1]
        del arguments[at : at + 2]
    count = import_takes(arguments)
    print(f"facerig: {count} curves from {len(arguments)} takes")
    if save:
        bpy.ops.wm.save_as_mainfile(filepath=os.path.abspath(save))


if __name__ == "__main__" and "--" in sys.argv:
    main(sys.argv[sys.argv.index("--") + 1 :])
