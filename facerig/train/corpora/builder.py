"""The build: parts that are missing are made, by several processes if asked, then each source is joined and packed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rich.progress import Progress

from facerig.errors import OptionError
from facerig.train.corpora.base import Source, write_manifest, write_part
from facerig.train.corpora.pack import pack
from facerig.train.corpora.registry import all_sources


def _make(cache: str, source: str, part: str, hours: float) -> int:
    held = next(s for s in all_sources(hours, source) if s.name == source)
    return write_part(Path(cache) / source, next(p for p in held.parts if p.name == part))


def build(cache: Path, only: Sequence[str], jobs: int, hours: float) -> None:
    """Make the missing parts of the sources, then join and pack each source."""
    for source in chosen(only, hours):
        if source.missing:
            print(f"{source.name}: left out: {source.missing}")
            continue
        _build_source(cache, source, jobs, hours)
        names = [p.name for p in source.parts]
        print(f"{source.name}: {write_manifest(cache / source.name, names)} clips, packed {pack_source(cache, source)}")


def chosen(only: Sequence[str], hours: float) -> list[Source]:
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


def pack_source(cache: Path, source: Source) -> str:
    return pack(cache, source.name, source.columns).name
