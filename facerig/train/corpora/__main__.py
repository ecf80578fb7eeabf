"""`python -m facerig.train.corpora fetch|build|pack|status`: packages with recordings, and what makes all corpora."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from facerig.errors import FacerigError, InputError
from facerig.train.corpora import packages, prompts, quotes, talkies
from facerig.train.corpora.base import cache_folder
from facerig.train.corpora.builder import build, chosen, pack_source
from facerig.train.corpora.pack import load_packed


def status(cache: Path) -> None:
    """One line a packed source: clips, hours, split, label kinds."""
    held = load_packed(cache)
    for name in held.columns:
        own = held.only(sources=[name])
        val = own.only("val")
        kinds = ",".join(sorted({c.label_kind for c in own.clips}))
        print(f"{name:18} {len(own):6} clips {own.hours():7.3f} h, val {len(val):5} {val.hours():6.3f} h, {kinds}")


def fetch(cache: Path) -> None:
    """The packages with recordings and with texts; an InputError names those that cannot be had."""
    names = sorted(prompts.needed() | quotes.needed())
    missed = packages.fetch(cache, names)
    talkies.unpack(cache / packages.UNPACKED)
    if missed:
        raise InputError(f"corpora: {len(missed)} of {len(names)} packages cannot be had: {' '.join(missed)}; run "
                         "apt-get update first, or go on without what is in them")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m facerig.train.corpora", description=__doc__)
    parser.add_argument("command", choices=("fetch", "build", "pack", "status"))
    parser.add_argument("--cache", help="folder of the corpora (default $FACERIG_CACHE or ~/.cache/facerig/corpora)")
    parser.add_argument("--only", default="", help="sources, comma-separated")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--hours", type=float, default=10.0, help="synthetic speech to make")
    got = parser.parse_args(arguments)
    cache = cache_folder(got.cache)
    os.environ["FACERIG_CACHE"] = str(cache)  # for those who look into it by themselves, in other processes too
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    only = [name for name in got.only.split(",") if name]
    try:
        if got.command == "fetch":
            fetch(cache)
        elif got.command == "build":
            build(cache, only, got.jobs, got.hours)
        elif got.command == "pack":
            for source in chosen(only, got.hours):
                if (cache / source.name / "manifest.jsonl").is_file():
                    print(f"{source.name}: {pack_source(cache, source)}")
        else:
            status(cache)
    except FacerigError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
