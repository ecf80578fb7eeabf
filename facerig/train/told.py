"""What training tells on its way: rows of figures, printed and kept in a run's log."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

LOG = "log.jsonl"


def tell(part: str, figures: Mapping[str, object], folder: Path | None = None) -> None:
    """A line of JSON; in the folder's log too where there is one."""
    line = json.dumps({"time": time.strftime("%H:%M:%S"), "part": part, **figures})
    print(line, flush=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
