"""facerig's own files: .npz (numpy) and .json (schema in docs/FORMATS.md). Both give every bit back, marks
included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from exporters.base import ExportOptions, float_rows, joined
from facerig.curves import Curves, Mark
from facerig.errors import CurvesError
from facerig.mesh import Head

FORMAT = "facerig-curves"
VERSION = 1


def write_npz(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return curves.to_npz()


def write_json(curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
    return joined(_json(curves))


def _json(curves: Curves) -> Iterator[str]:
    head = {"format": FORMAT, "version": VERSION, "fps": curves.fps, "start": curves.start,
            "channels": curves.channels, "marks": [[m.start, m.end, m.kind, m.label] for m in curves.marks]}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "values": ['
    before = "\n"
    for row in float_rows(curves):
        yield f"{before}[{row}]"
        before = ",\n"
    yield "\n]}\n"


def read_json(document: dict[str, Any], name: str, fps: int | None = None) -> Curves:
    if document.get("version") != VERSION:
        raise CurvesError(f"{name}: version {document.get('version')!r}, accepted: {VERSION}")
    try:
        channels = tuple(document["channels"])
        values = np.array(document["values"], np.float64).reshape(len(document["values"]), len(channels))
        marks = tuple(Mark(int(m[0]), int(m[1]), str(m[2]), str(m[3])) for m in document.get("marks", ()))
        return Curves(channels, fps or document["fps"], values.astype(np.float32), document.get("start", 0), marks)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise CurvesError(f"{name}: not a facerig .json file ({error!r})") from None
