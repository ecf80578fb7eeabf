"""JSON of other speech-to-face services: Omniverse Audio2Face's export and Azure's viseme frames, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from exporters.base import ExportOptions, float_rows, joined
from exporters.rigs import to_rig
from exporters.timing import whole_rate
from facerig.curves import Curves
from facerig.errors import CurvesError
from facerig.mesh import Head
from facerig.rig import rig

A2F_RIG = "arkit"
AZURE_RIG = "azure"
AZURE_FPS = 60  # the only rate that the service knows


def write_a2f(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return joined(_a2f(to_rig(curves, A2F_RIG)))


def _a2f(curves: Curves) -> Iterator[str]:
    head = {"exportFps": float(curves.fps), "trackPath": "", "numPoses": len(curves.channels),
            "numFrames": curves.frames, "facsNames": curves.channels}
    yield json.dumps(head)[:-1] + ', "weightMat": ['
    yield from _matrix(curves)
    yield "]}\n"


def _matrix(curves: Curves) -> Iterator[str]:
    before = "\n"
    for row in float_rows(curves):
        yield f"{before}[{row}]"
        before = ",\n"
    yield "\n"


def write_azure(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return joined(_azure(as_azure(curves)))


def as_azure(curves: Curves) -> Curves:
    """Azure's channels at Azure's rate."""
    return to_rig(curves, AZURE_RIG).resample(AZURE_FPS)


def _azure(curves: Curves) -> Iterator[str]:
    yield f'{{"FrameIndex":{curves.start},"BlendShapes":['
    yield from _matrix(curves)
    yield "]}\n"


def read_a2f(document: dict[str, Any], name: str, fps: int | None = None) -> Curves:
    try:
        channels = tuple(document["facsNames"])
        rate = whole_rate(name, "exportFps", document.get("exportFps", 60), fps)
        values = np.array(document["weightMat"], np.float32).reshape(len(document["weightMat"]), len(channels))
    except (KeyError, TypeError, ValueError) as error:
        raise CurvesError(f"{name}: not an Audio2Face JSON file ({error!r})") from None
    return Curves(channels, rate, values)


def read_azure(chunks: list[dict[str, Any]], name: str, fps: int | None = None) -> Curves:
    """One chunk or several that follow each other."""
    try:
        chunks = sorted(chunks, key=lambda chunk: int(chunk["FrameIndex"]))
        rows = [row for chunk in chunks for row in chunk["BlendShapes"]]
        expected = int(chunks[0]["FrameIndex"])
        for chunk in chunks:
            if int(chunk["FrameIndex"]) != expected:
                raise CurvesError(f"{name}: a chunk starts at frame {chunk['FrameIndex']}, expected {expected}")
            expected += len(chunk["BlendShapes"])
        values = np.array(rows, np.float32).reshape(len(rows), len(rig(AZURE_RIG)))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise CurvesError(f"{name}: not Azure's viseme JSON ({error!r})") from None
    return Curves(rig(AZURE_RIG).names, fps or AZURE_FPS, values, int(chunks[0]["FrameIndex"]))
