"""The one way a file of ours comes to be on disk: bytes complete first, then an atomic rename. Knows no format."""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from pathlib import Path

from facerig.errors import OutputError

REPOSITORY = Path(__file__).resolve().parent.parent
OPENED = re.compile(r"/dev/(?:std(?P<name>out|err)|fd/(?P<number>\d+))")  # what the shell has opened for us


def write_file(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write data under a temporary name, then rename: path holds all of it or what it held before.

    A link stays, and what it leads to is written. A pipe or a device (/dev/stdout) takes the bytes as they come, and
    a file that the shell has opened for us (/dev/stdout >> FILE) where it stands.
    """
    target = Path(path)
    try:
        if opened := OPENED.fullmatch(str(target)):
            _into({"out": 1, "err": 2}[opened["name"]] if opened["name"] else int(opened["number"]), data)
            return target
        mode = _mode(target)
        if stat.S_ISDIR(mode):
            raise OutputError(f"{target}: is a folder; give a file name")
        if mode and not stat.S_ISREG(mode):
            target.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(target)), data)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target


def check_writable(path: str | os.PathLike[str]) -> None:
    """Whether `write_file` will get there, for whoever works long before: an OutputError now, and nothing is left."""
    target = Path(path)
    if OPENED.fullmatch(str(target)):  # written where it stands, whatever its folder
        return
    try:
        mode = _mode(target)
        if stat.S_ISDIR(mode):
            raise OutputError(f"{target}: is a folder; give a file name")
        if not mode or stat.S_ISREG(mode):
            folder = Path(os.path.realpath(target)).parent
            while not folder.exists():
                folder = folder.parent
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error


def _mode(path: Path) -> int:
    """What path is, links followed; 0 where there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0


def _into(descriptor: int, data: bytes) -> None:
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(data)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as stream:  # made by open, so that it has the rights that the umask leaves
            stream.write(data)
        os.replace(temporary, path)
    finally:  # after a success the name is gone already; after an interrupt too it must not stay
        temporary.unlink(missing_ok=True)


def assets_folder() -> Path:
    """Where tables and weights lie: inside the installed package, or assets/ of a checkout."""
    packaged = Path(__file__).resolve().parent / "assets"
    return packaged if packaged.is_dir() else REPOSITORY / "assets"


def user_folder() -> Path:
    """Where a user's own heads and caches are kept ($FACERIG_HOME, else the XDG data folder)."""
    home = os.environ.get("FACERIG_HOME")
    if home:
        return Path(home)
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "facerig"
