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

    if out is not None and str(out) == "-":
        raise OptionError("--out: got -, accepted: a file or a folder; /dev/stdout with --format is standard output")
    if out is None or os.path.isdir(out):
        return None
    if not out.suffix:
        return _stream_format(out, format) if _is_stream(out, sources) else None
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


def _is_stream(out: Path, sources: Sequence[Path]) -> bool:
    """A pipe or a device, which takes one file; /dev/stdout is one wherever the shell sends it."""
    stream = out.parent in (Path("/dev"), Path("/dev/fd")) or (os.path.exists(out) and not os.path.isfile(out))
    if stream and len(sources) > 1:
        raise OptionError(f"--out: got {out} for {len(sources)} inputs, accepted: a folder")
    return stream


def _stream_format(out: Path, format: str | None) -> str:
    import exporters

    if format is None:
        raise OptionError(f"--format: got none for {out}, accepted: a format (facerig formats)")
    return exporters.format_of(format)


def load_head(name: str | None, *suffixes: str) -> Any:
    """The head of that name or file; where none was asked for, the built-in one for a format that needs a head."""
    from exporters import EXPORTERS
    from facerig.heads import load_head as named_head

    if name is None and any(EXPORTERS[suffix].head == "needed" for suffix in suffixes):
        name = "builtin"
    return None if name in (None, "none") else named_head(name)


def head_for(suffix: str, name: str) -> Any:
    """The head of that name or file where a format holds one."""
    from exporters import EXPORTERS

    return None if EXPORTERS[suffix].head == "no" else load_head(name)


def tell_undone(rig: str | None, suffixes: Iterable[str]) -> None:
    """A note where a format turns what --rig asked for back into channels of its own."""
    from exporters import undone
    from facerig.console import say

    for suffix in dict.fromkeys(suffixes):
        note = undone(rig, suffix)
        if note:
            say(f"--rig: {note}")


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
        for row in done:  # behind what was written there, a line would spoil it
            (say if os.path.realpath(str(row["output"])) == os.path.realpath("/dev/stdout") else emit)(line(row))
    if errors and len(done) + len(errors) > 1:
        say(f"{len(errors)} of {len(done) + len(errors)} could not be made; the others are there")
        raise typer.Exit(errors[0].exit_code)
    if errors:
        raise errors[0]
