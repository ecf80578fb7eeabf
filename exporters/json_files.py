"""Which kind of JSON is this? One reader for the suffix, by the keys of the document. Knows no other format's
inside.
"""

from __future__ import annotations

import json
from typing import Any

from exporters.csv_text import text_of
from exporters.cues import read_json as read_rhubarb
from exporters.own import read_json as read_own
from exporters.services import read_a2f, read_azure
from exporters.tables import read_curve_table_json
from facerig.curves import Curves
from facerig.errors import CurvesError

# a key that only this kind has | its reader
ONE = (("channels", read_own), ("weightMat", read_a2f), ("mouthCues", read_rhubarb))
MANY = (("BlendShapes", read_azure), ("Name", read_curve_table_json))


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    document = _parsed(data, name)
    chunks = document if isinstance(document, list) else [document]
    if not all(isinstance(chunk, dict) for chunk in chunks):
        raise CurvesError(f"{name}: holds no animation (a list of {type(chunks[0]).__name__})")
    for key, reader in MANY:
        if chunks and key in chunks[0]:
            return reader(chunks, name, fps)
    if isinstance(document, dict):
        for key, one in ONE:
            if key in document:
                return one(document, name, fps)
    raise CurvesError(f"{name}: none of the JSON files that are known here (see docs/FORMATS.md)")


def _parsed(data: bytes, name: str) -> Any:
    text = text_of(data, name)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith("{") and lines[0].rstrip().endswith("}"):
            return _lines(lines, name)
        raise CurvesError(f"{name}: not JSON ({error})") from None


def _lines(lines: list[str], name: str) -> Any:
    """One document a line, as a stream of messages is often saved."""
    try:
        return [json.loads(line) for line in lines]
    except (json.JSONDecodeError, RecursionError) as error:
        raise CurvesError(f"{name}: not JSON ({error})") from None
