"""`python -m facerig.train.corpora build|pack|status`: the one command that makes the training corpora."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rich.progress import Progress

from facerig.errors import FacerigError, OptionError
from facerig.train.corpora.base import Source, cache_folder, write_manifest, write_part
from facerig.train.corpora.pack import load_packed, pack
from facerig.train.corpora.registry import all_sources


def _make(cache: str, source: str, part: str, hours: float) -> int:
    held = next(s for s in all_sources(hours, source) if s.name == source)
    return write_part(Path(cache) / source, next(p for p in held.parts if p.name == part))


def build(cache: Path, only: Sequence[str], jobs: int, hours: float) -> None:
    """Make the missing parts of the sources, then join and pack each source."""
    for source in _chosen(only, hours):
        if source.missing:
            print(f"{source.name}: left out: {source.missing}")
            continue
        _build_source(cache, source, jobs, hours)
        names = [p.name for p in source.parts]
        print(f"{source.name}: {write_manifest(cache / source.name, names)} clips, packed {_pack(cache, source)}")


def _chosen(only: Sequence[str], hours: float) -> list[Source]:
    held = all_sources(hours)
    names = [s.name for s in held]
    for name in only:
        if name not in names:
            raise OptionError(f"--only: got {name!r}, accepted: {', '.join(names)}")
    return [s for s in held if not only or s.name in only]


def _build_source(cache: Path, source: Source, jobs: int, hours: float) -> None:
    todo = [p for p in source.parts if not (cache / source.name / f"{p.name}.jsonl").is_file()]
    if not todo:
        return
    with Progress(disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(source.name, total=len(todo))
        if jobs < 2 or len(todo) < 2:
            for part in todo:
                write_part(cache / source.name, part)
                bar.advance(task)
            return
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            waiting = [pool.submit(_make, str(cache), source.name, p.name, hours) for p in todo]
            for done in as_completed(waiting):
                done.result()
                bar.advance(task)


def _pack(cache: Path, source: Source) -> str:
    return pack(cache, source.name, source.columns).name


def status(cache: Path) -> None:
    """One line a packed source: clips, hours, split, label kinds."""
    held = load_packed(cache)
    for name in held.columns:
        own = held.only(sources=[name])
        val = own.only("val")
        kinds = ",".join(sorted({c.label_kind for c in own.clips}))
        print(f"{name:18} {len(own):6} clips {own.hours():7.3f} h, val {len(val):5} {val.hours():6.3f} h, {kinds}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m facerig.train.corpora", description=__doc__)
    parser.add_argument("command", choices=("build", "pack", "status"))
    parser.add_argument("--cache", help="folder of the corpora (default $FACERIG_CACHE or ~/.cache/facerig/corpora)")
    parser.add_argument("--only", default="", help="sources, comma-separated")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--hours", type=float, default=10.0, help="synthetic speech to make")
    got = parser.parse_args(arguments)
    cache = cache_folder(got.cache)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    only = [name for name in got.only.split(",") if name]
    try:
        if got.command == "build":
            build(cache, only, got.jobs, got.hours)
        elif got.command == "pack":
            for source in _chosen(only, got.hours):
                if (cache / source.name / "manifest.jsonl").is_file():
                    print(_pack(cache, source))
        else:
            status(cache)
    except FacerigError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
