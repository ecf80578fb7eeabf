"""Debian packages that corpora are made of: where they lie, and how they are had without installing anything."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from facerig.errors import InputError
from facerig.train.corpora.base import cache_folder

UNPACKED = "debs"  # in the cache


def roots() -> tuple[Path, ...]:
    """Where packages may lie: unpacked in the cache, or installed."""
    return cache_folder() / UNPACKED, Path("/")


def fetch(cache: Path, names: Sequence[str]) -> list[str]:
    """Get packages with apt and unpack them into the cache; those that are there stay, and one that cannot be had does
    not keep the others away. Returns the names of those that are missing."""
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise InputError(f"corpora: {program} is not here; on Debian, or install by hand: {' '.join(names)}")
    debs = cache / UNPACKED
    debs.mkdir(parents=True, exist_ok=True)
    missed = []
    for name in names:
        why = "" if (debs / f".{name}").is_file() else _fetched(name, debs)
        print(f"{name}: {why or 'here'}", flush=True)
        missed += [name] if why else []
    return missed


def _fetched(name: str, debs: Path) -> str:
    """Why a package could not be got and unpacked; empty where it was."""
    with tempfile.TemporaryDirectory() as folder:
        done = ran(["apt-get", "download", name], folder)
        for file in sorted(Path(folder).glob("*.deb")) if not done else ():
            done = done or ran(["dpkg-deb", "-x", str(file), str(debs.resolve())], folder)
    if not done:
        (debs / f".{name}").touch()  # unpacked wholly
    return done


def ran(command: list[str], folder: str) -> str:
    """What a program complains of; empty where it went well."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1][:200] if done.returncode else ""
