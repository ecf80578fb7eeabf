"""Field evolution, judged by buf: what clients of 0.1.0 were built against must stay readable (test_proto.py too)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "tests" / "golden" / "proto-0.1.0.binpb"  # `buf build proto --exclude-source-info -o ...` of 0.1.0


def buf(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    own = ROOT / ".node" / "node_modules" / ".bin" / "buf"
    found = str(own) if own.exists() else shutil.which("buf")
    if not found:
        pytest.skip("buf is missing (npm installs it: tests/readers/package.json)")
    return subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=ROOT)


def test_buf_finds_the_protocol_in_order() -> None:
    done = buf("lint", "proto")
    assert not done.returncode, done.stdout + done.stderr


def test_nothing_that_was_published_breaks() -> None:
    done = buf("breaking", "proto", "--against", PUBLISHED)
    assert not done.returncode, done.stdout + done.stderr


def test_buf_would_notice_a_moved_number(tmp_path: Path) -> None:
    changed = tmp_path / "proto"
    shutil.copytree(ROOT / "proto", changed)
    source = changed / "facerig" / "v1" / "animation.proto"
    source.write_text(source.read_text("utf-8").replace("bytes data = 1;", "bytes data = 7;"), "utf-8")
    done = buf("breaking", changed, "--against", PUBLISHED)
    assert done.returncode
    assert "data" in done.stdout
