"""The files of the small network that hears emotion: arrays and a card, checked by SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facerig.errors import ModelError
from facerig.files import assets_folder, write_file
from facerig.model.tensors import Arrays, packed, unpacked
from facerig.stage import Frames

NAME = "emotion"
FORMAT = 1
HINT = "run `python -m facerig.train.heard` or reinstall facerig"


def save(arrays: Arrays, card: Mapping[str, Any], folder: Path, name: str = NAME) -> Path:
    """NAME.safetensors, then NAME.json with its SHA-256; returns the json's path."""
    data = packed(arrays)
    write_file(folder / f"{name}.safetensors", data)
    sums = {f"{name}.safetensors": hashlib.sha256(data).hexdigest()}
    whole = {"format": FORMAT, **card, "parameters": sum(a.size for a in arrays.values()), "sha256": sums}
    return write_file(folder / f"{name}.json", (json.dumps(whole, indent=1) + "\n").encode())


def load(folder: Path | None = None, name: str = NAME) -> tuple[dict[str, Frames], dict[str, Any]]:
    """(arrays, card) of the shipped files or of those in a folder; damage is a ModelError."""
    path = (folder or assets_folder() / "models") / f"{name}.safetensors"
    try:
        data, card = path.read_bytes(), json.loads(path.with_suffix(".json").read_bytes())
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror}); {HINT}") from error
    except ValueError as error:
        raise ModelError(f"{name}.json: not json ({str(error)[:80]}); {HINT}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelError(f"{name}.json: another format than {FORMAT}; {HINT}")
    sums = card.get("sha256")
    if not isinstance(sums, dict) or hashlib.sha256(data).hexdigest() != sums.get(path.name):
        raise ModelError(f"{path.name}: damaged, its SHA-256 is not the one in {name}.json; {HINT}")
    return unpacked(data, path.name, HINT), card
