"""Every binary asset is named with its origin, licence and checksum."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parent.parent / "assets"
BINARY = {".wav", ".npz", ".onnx", ".safetensors", ".bin"}
LIMIT = 64 * 2**20


FILES = sorted(path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*") if path.suffix in BINARY)


@pytest.mark.parametrize("path", FILES)
def test_binary_assets_are_listed_with_their_checksum(path: str) -> None:
    data = (ASSETS / path).read_bytes()
    rows = [row for row in (ASSETS / "README.md").read_text().splitlines() if f"`{path}`" in row]
    assert len(rows) == 1, f"{path}: not in assets/README.md"
    assert hashlib.sha256(data).hexdigest() in rows[0], f"{path}: sha256 {hashlib.sha256(data).hexdigest()}"
    assert len(data) <= LIMIT


def test_listed_files_exist() -> None:
    for name in re.findall(r"^\| `([^`*]+)`", (ASSETS / "README.md").read_text(), re.MULTILINE):
        assert (ASSETS / name).exists(), name
