"""The build: parts that are missing are made, by several processes if asked, then each source is joined and packed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
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
        if (jobs < 2 or len(todo) < 2) and not any(p.alone for p in todo):
            for part in todo:
                write_part(cache / source.name, part)
                bar.advance(task)
            return
        with ThreadPoolExecutor(max(jobs, 1)) as pool:
            waiting = [pool.submit(_alone, str(cache), source.name, p.name, hours) for p in todo]
            for done in as_completed(waiting):
                if done.result():
                    print(f"{source.name}: part {done.result()} failed and is left out; build again to retry")
                bar.advance(task)


def _alone(cache: str, source: str, part: str, hours: float) -> str:
    """Make a part in a process of its own, for an engine may crash on a text; returns the part's name if it did."""
    process = get_context("spawn").Process(target=_make, args=(cache, source, part, hours))
    process.start()
    process.join()
    return part if process.exitcode else ""


def pack_source(cache: Path, source: Source) -> str:
    return pack(cache, source.name, source.columns).name
