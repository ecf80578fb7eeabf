"""The one way a file of ours comes to be on disk: bytes complete first, then an atomic rename. Knows no format."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from facerig.errors import OutputError

REPOSITORY = Path(__file__).resolve().parent.parent


def write_file(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write data under a temporary name beside path, then rename: path holds all of it or what it held before."""
    target = Path(path)
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise OutputError(f"{target}: is a folder; give a file name")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:  # after a success the name is gone already; after an interrupt too it must not stay
        _remove(temporary)
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove(path: str) -> None:
    if path and os.path.exists(path):
        os.unlink(path)


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
