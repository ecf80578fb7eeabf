"""Workers that die or take long: stand in for `make` in the tests of batches, and must be importable by processes."""

from __future__ import annotations

import os
import threading
from typing import Any

from facerig.batch.table import Line
from facerig.batch.work import Result, Settings


def make_or_die(line: Line, settings: Settings, head: Any = None) -> Result:
    if line.name.startswith("deadly"):
        os._exit(9)
    return Result(line.number, "done", 1.0, 60, files={suffix: line.name.encode() for suffix in line.formats})


def make_and_wait(line: Line, settings: Settings, head: Any = None) -> Result:
    line.audio.with_suffix(".begun").touch()
    threading.Event().wait(60)
    return Result(line.number, "done")
