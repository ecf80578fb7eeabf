"""What tests share: where the data and the other people's readers lie (beside the repository, if at all)."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real speech, motion and heads; the test skips where it is absent."""
    return _needed(SHARED / "data")


@pytest.fixture(scope="session")
def validators() -> Path:
    """Independent readers of files and packets; the test skips where they are absent."""
    return _needed(SHARED / "validators")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Tables of names to compare with; the test skips where they are absent."""
    return _needed(SHARED / "reference")


def _needed(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder
