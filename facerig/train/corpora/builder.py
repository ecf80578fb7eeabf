"""The build: parts that are missing are made, by several processes if asked, then each source is joined and packed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rich.progress import Progress

from facerig.errors import InputError, OptionError
from facerig.train.corpora.base import Part, Source, write_manifest, write_part
from facerig.train.corpora.pack import pack
from facerig.train.corpora.registry import all_sources


def _make(cache: str, source: str, part: str, hours: float) -> None:
    held = next(s for s in all_sources(hours, source) if s.name == source)
    try:
        write_part(Path(cache) / source, next(p for p in held.parts if p.name == part))
    except InputError as error:
        sys.exit(f"{source}: {error}")  # one line, and a code that says the part is not there


def build(cache: Path, only: Sequence[str], jobs: int, hours: float) -> None:
    """Make the missing parts of the sources, then join and pack each source."""
    for source in chosen(only, hours):
        if source.missing:
            print(f"{source.name}: left out: {source.missing}")
            continue
        _build_source(cache, source, jobs, hours)
        count = write_manifest(cache / source.name, [p.name for p in source.parts])
        print(f"{source.name}: {count} clips, {pack_source(cache, source)}")


def unfinished(cache: Path, hours: float) -> list[str]:
    """Sources that are to be built: those that are not packed, and those of which a part is missing. What was packed
    elsewhere has no parts here, and is whole."""
    return [source.name for source in all_sources(hours) if not source.missing
            and (not (cache / "packed" / f"{source.name}.json").is_file()
                 or ((cache / source.name).is_dir() and _unmade(cache, source)))]  # fmt: skip


def left_out(cache: Path, hours: float) -> dict[str, str]:
    """Sources that are not packed, and why."""
    return {source.name: source.missing or "no clip could be made" for source in all_sources(hours)
            if not (cache / "packed" / f"{source.name}.json").is_file()}  # fmt: skip


def chosen(only: Sequence[str], hours: float) -> list[Source]:
    held = all_sources(hours)
    names = [s.name for s in held]
    for name in only:
        if name not in names:
            raise OptionError(f"--only: got {name!r}, accepted: {', '.join(names)}")
    return [s for s in held if not only or s.name in only]


def _build_source(cache: Path, source: Source, jobs: int, hours: float) -> None:
    todo = _unmade(cache, source)
    if not todo:
        return
    with Progress(disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(source.name, total=len(todo))
        if (jobs < 2 or len(todo) < 2) and not any(p.alone for p in todo):
            for part in todo:
                try:
                    write_part(cache / source.name, part)
                except InputError as error:
                    print(f"{source.name}: {error}; it is left out; build again to retry")
                bar.advance(task)
            return
        with ThreadPoolExecutor(max(jobs, 1)) as pool:
            waiting = [pool.submit(_alone, str(cache), source.name, p.name, hours) for p in todo]
            for done in as_completed(waiting):
                if done.result():
                    print(f"{source.name}: part {done.result()} failed and is left out; build again to retry")
                bar.advance(task)


def _unmade(cache: Path, source: Source) -> list[Part]:
    return [part for part in source.parts if not (cache / source.name / f"{part.name}.jsonl").is_file()]


def _alone(cache: str, source: str, part: str, hours: float) -> str:
    """Make a part in a process of its own, for an engine may crash on a text; returns the part's name if it did."""
    process = get_context("spawn").Process(target=_make, args=(cache, source, part, hours))
    process.start()
    process.join()
    return part if process.exitcode else ""


def pack_source(cache: Path, source: Source) -> str:
    """Packs it; says what came of that."""
    try:
        return f"packed {pack(cache, source.name, source.columns).name}"
    except InputError as error:
        return f"left out: {error}"
