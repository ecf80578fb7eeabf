"""What commands share about the files they make: none over one that is read, and one bad input stops no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from facerig.errors import FacerigError, OptionError

Job = TypeVar("Job")
Place = str | os.PathLike[str]


def check_targets(targets: Iterable[Place], read: Iterable[tuple[str, Place | None]]) -> None:
    """Refuse, before any work is done, two results in one file and a result in a file that is read.

    `read` says what each is and where; words that name no file, as a mixture of emotions, do no harm.
    """
    kept = {os.path.realpath(path): what for what, path in read if path is not None}
    taken = set()
    for target in targets:
        place = os.path.realpath(target)
        if place in kept:
            raise OptionError(f"{target} would overwrite {kept[place]}; give another name or folder")
        if place in taken:
            raise OptionError(f"two results would be written to {target}; rename one or give each its own --out")
        taken.add(place)


def one_file(sources: Sequence[Path], out: Path | None, format: str | None) -> str | None:
    """The format of the one file that --out names; None where it names a folder or nothing, and --format counts.

    A name is a file's where it ends in a format. Another with a suffix is a folder's where --format names the format.
    """
    import exporters

    if out is None or not out.suffix or os.path.isdir(out):
        return None
    try:
        suffix = exporters.format_of(out)
    except OptionError:
        if format is None or os.path.exists(out):
            raise
        return None
    if len(sources) > 1:
        raise OptionError(f"--out: got the file {out} for {len(sources)} inputs, accepted: a folder")
    if format is not None and exporters.format_of(format) != suffix:
        raise OptionError(f"--format: got {format} for {out}, which is {suffix}; accepted: an --out with the format's "
                          f"suffix, or a folder")
    return suffix


def each(jobs: Sequence[Job], make: Callable[[Job], dict[str, object]]
         ) -> tuple[list[dict[str, object]], list[FacerigError]]:  # fmt: skip
    """What was made, and why the rest was not; an error is told at once where other jobs go on."""
    from facerig.console import say

    done, errors = [], []
    for job in jobs:
        try:
            done.append(make(job))
        except FacerigError as error:
            errors.append(error)
            if len(jobs) > 1:
                say(f"facerig: error: {error}")
    return done, errors


def report(done: Sequence[dict[str, object]], errors: Sequence[FacerigError], as_json: bool,
           line: Callable[[dict[str, Any]], str]) -> None:  # fmt: skip
    """Tell what was made, as JSON or a line each; leave with the first error's code where something was not."""
    from facerig.console import emit, emit_json, say

    if as_json:
        emit_json({"done": done, "errors": [{"error": str(e), "exit_code": e.exit_code} for e in errors]})
    else:
        for row in done:
            emit(line(row))
    if errors and len(done) + len(errors) > 1:
        say(f"{len(errors)} of {len(done) + len(errors)} could not be made; the others are there")
        raise typer.Exit(errors[0].exit_code)
    if errors:
        raise errors[0]
