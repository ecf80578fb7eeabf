"""The user's heads: one .npz each in the user's folder, added by facerig heads add. Knows no foreign format."""

from __future__ import annotations

import re
from pathlib import Path

from facerig.errors import HeadError, OptionError
from facerig.files import user_folder, write_file
from facerig.heads.npz import head_from_npz, head_to_npz
from facerig.mesh import Head

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def heads_folder() -> Path:
    return user_folder() / "heads"


def stored_names() -> list[str]:
    return sorted(path.stem for path in heads_folder().glob("*.npz") if NAME.fullmatch(path.stem))


def check_name(name: str) -> str:
    """The name, where it may be one."""
    if not NAME.fullmatch(name) or name == "builtin":
        raise OptionError(f"head name: got {name!r}, accepted: 1 to 40 small letters, digits, - and _, not builtin; "
                          "--name gives another")
    return name


def store(name: str, head: Head) -> Path:
    """Keep a head under this name, in the place of one that has it already."""
    check_name(name)
    return write_file(heads_folder() / f"{name}.npz", head_to_npz(head))


def stored(name: str) -> Head:
    path = _path(name)
    return head_from_npz(path.read_bytes(), path.name)


def remove(name: str) -> Path:
    path = _path(name)
    path.unlink()
    return path


def _path(name: str) -> Path:
    path = heads_folder() / f"{name}.npz"
    if not NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(["builtin", *stored_names()])
        raise HeadError(f"no head {name!r}; there are {known}; facerig heads add brings more")
    return path
