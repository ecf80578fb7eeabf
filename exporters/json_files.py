"""Which kind of JSON is this? One reader for the suffix, by the keys of the document. Knows no other format's inside."""

from __future__ import annotations

import json
from typing import Any

from exporters.csv_text import text_of
from exporters.own import FORMAT
from exporters.own import read_json as read_own
from exporters.tables import read_curve_table_json
from facerig.curves import Curves
from facerig.errors import CurvesError


def read(data: bytes, name: str, fps: int | None = None) -> Curves:
    document = _parsed(data, name)
    if isinstance(document, list):
        return _from_list(document, name, fps)
    if isinstance(document, dict) and document.get("format") == FORMAT:
        return read_own(document, name, fps)
    raise CurvesError(f"{name}: none of the JSON files that are known here (see docs/FORMATS.md)")


def _from_list(document: list[Any], name: str, fps: int | None) -> Curves:
    return read_curve_table_json(document, name, fps)


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(text_of(data, name))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CurvesError(f"{name}: not JSON ({error})") from None
