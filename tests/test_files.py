"""The one function that writes files: whole or not at all, through links, into pipes and devices, with the umask."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from facerig.errors import OutputError
from facerig.files import check_writable, write_file


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    assert write_file(path, b"one") == path
    assert write_file(path, b"two") == path
    assert path.read_bytes() == b"two"
    assert [one.name for one in path.parent.iterdir()] == ["a.csv"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, said in ((".", "is a folder"), ("file/x.csv", "cannot be written"), ("loop", "cannot be written")):
        with pytest.raises(OutputError, match=said):
            write_file(tmp_path / name, b"x")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "loop"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, there: bool) -> None:
    target, link = tmp_path / "elsewhere" / "take.csv", tmp_path / "here" / "latest.csv"
    link.parent.mkdir()
    link.symlink_to(target)
    if there:
        write_file(target, b"old")
    assert write_file(link, b"new") == link
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()
    assert len(list(target.parent.iterdir())) == len(list(link.parent.iterdir())) == 1


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, data = tmp_path / "pipe", os.urandom(300_000)  # more than a pipe holds
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_file(pipe, data)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    reader.join(60)
    assert read == [data]


def test_a_device_is_written_into(tmp_path: Path) -> None:
    """A terminal, whose folder lets nobody replace it; /dev/null would be gone for all where this fails."""
    ours, theirs = os.openpty()
    try:
        link = tmp_path / "screen"
        link.symlink_to(os.ttyname(theirs))
        write_file(link, b"x\n")
        assert os.read(ours, 100) == b"x\r\n"
        assert link.is_symlink()
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_umask_counts_and_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that makes a file meanwhile would get a file that everybody may write."""
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("the umask is the whole process's"))
            path = write_file(tmp_path / "a.csv", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(("name", "good"), [("new.csv", True), ("a/b/new.csv", True), ("old.csv", True),
                                            ("folder", False), ("old.csv/new.csv", False)])
def test_whether_a_file_can_be_written_is_told_before(tmp_path: Path, name: str, good: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.csv").write_bytes(b"old")
    if good:
        check_writable(tmp_path / name)
    else:
        with pytest.raises(OutputError, match=r"is a folder|cannot be written"):
            check_writable(tmp_path / name)
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "old.csv"}
    assert (tmp_path / "old.csv").read_bytes() == b"old"
