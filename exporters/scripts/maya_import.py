"""Runs inside Maya: takes of facerig (facerig JSON, Live Link Face CSV, CSV with seconds) onto blend shapes.

    import maya_import
    maya_import.import_take("/path/take.json", ["blendShape1"])      # a take onto blendShape nodes or any nodes
    maya_import.import_folder("/path/folder", ["blendShape1"])       # each take behind the one before, one second apart

A channel drives the attribute of its name (letter case aside) on each node. Files that `facerig export --format anim`
wrote can also be imported by Maya itself (File > Import, plug-in animImportExport). Never run in a running Maya: made
from Maya's documentation; its reading and matching are tested outside.
"""

from __future__ import annotations

import csv
import json
import os

TIME_UNITS = {24: "film", 25: "pal", 30: "ntsc", 48: "show", 50: "palf", 60: "ntscf"}


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
    return names, fps, round(times[0] * fps), [[float(cell) for cell in row[first:]] for row in rows[1:]]


def timecode(text):
    """Seconds of HH:MM:SS:FF.mmm; FF counts sixtieths of a second at any frame rate."""
    hours, minutes, seconds, frames = (float(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + seconds + frames / 60


def frame_rate(times):
    """Whole frames a second of evenly spaced instants."""
    return max(1, round((len(times) - 1) / (times[-1] - times[0]))) if len(times) > 1 and times[-1] > times[0] else 60


def attributes(node):
    """The node's attributes that can be keyed, targets of a blendShape by their alias, by lower-case name."""
    from maya import cmds

    if cmds.nodeType(node) == "blendShape":
        aliases = cmds.aliasAttr(node, query=True) or []
        return {alias.lower(): alias for alias in aliases[0::2]}
    return {name.lower(): name for name in cmds.listAttr(node, keyable=True) or []}


def import_take(path, nodes, start=None):
    """Linear keys on every frame. `start` moves the first frame. Returns (curves written, frame after the last)."""
    from maya import cmds

    names, fps, first, rows = read_take(path)
    cmds.currentUnit(time=TIME_UNITS.get(fps, f"{fps}fps"))
    first = first if start is None else start
    written = 0
    for node in nodes:
        known = attributes(node)
        for column, name in enumerate(names):
            if name.lower() in known:
                key(f"{node}.{known[name.lower()]}", first, [row[column] for row in rows])
                written += 1
    if not written:
        raise RuntimeError(f"{', '.join(nodes)}: no attribute bears the name of a channel; retarget with facerig "
                           "convert --rig first")
    cmds.playbackOptions(minTime=first, maxTime=first + len(rows) - 1)
    return written, first + len(rows)


def key(attribute, first, values):
    """One curve, in one call: setKeyframe a frame would take minutes for a long take."""
    from maya import cmds
    from maya.api import OpenMaya, OpenMayaAnim

    cmds.cutKey(attribute, clear=True)
    selection = OpenMaya.MSelectionList()
    selection.add(attribute)
    curve = OpenMayaAnim.MFnAnimCurve()
    curve.create(selection.getPlug(0))
    unit = OpenMaya.MTime.uiUnit()
    times = OpenMaya.MTimeArray([OpenMaya.MTime(frame, unit) for frame in range(first, first + len(values))])
    linear = OpenMayaAnim.MFnAnimCurve.kTangentLinear
    curve.addKeys(times, OpenMaya.MDoubleArray(values), linear, linear)


def import_folder(folder, nodes):
    """All takes of a folder in the order of their names, behind each other. Returns {file: first frame}."""
    starts, at = {}, 0
    for name in sorted(os.listdir(folder)):
        if name.lower().endswith((".csv", ".json")) and not name.startswith(("report", ".")):
            path = os.path.join(folder, name)
            starts[name] = at
            _, end = import_take(path, nodes, at)
            at = end + read_take(path)[1]
    return starts
