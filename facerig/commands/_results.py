"""What commands share about the files they make: none over one that is read, and one bad input stops no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from facerig.commands._values import named_head
from facerig.errors import FacerigError, OptionError

Job = TypeVar("Job")
Place = str | os.PathLike[str]


def check_targets(targets: Iterable[Place], read: Iterable[tuple[str, Place | None]]) -> None:
    """Refuse, before any work is done, results that cannot all be written: as `check_overwrites`, and each alone."""
    from facerig.files import check_writable

    wanted = list(targets)
    check_overwrites(wanted, read)
    for target in wanted:
        check_writable(target)


def check_overwrites(targets: Iterable[Place], read: Iterable[tuple[str, Place | None]]) -> None:
    """Refuse, before any work is done, two results in one file and a result in a file that is read.

    For results that stand by themselves, one of which stops no other; `each` looks whether there is a place for it.
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

    A name is a file's where it ends in a format, though a folder is called so, which is refused. Another with a suffix
    is a folder's where --format names the format.
    """
    import exporters
    from facerig.files import check_writable

    if out is not None and str(out) == "-":
        raise OptionError("--out: got -, accepted: a file or a folder; /dev/stdout with --format is standard output")
    if out is None or (os.path.isdir(out) and not _ends_in_a_format(out)):
        return None
    if not out.suffix:
        return _stream_format(out, format) if _is_stream(out, sources) else None
    try:
        suffix = exporters.format_of(out)
    except OptionError:
        if format is None or os.path.exists(out):
            raise
        return None
    if os.path.isdir(out):
        check_writable(out)  # which says that it is a folder
    if len(sources) > 1:
        raise OptionError(f"--out: got the file {out} for {len(sources)} inputs, accepted: a folder")
    if format is not None and exporters.format_of(format) != suffix:
        raise OptionError(f"--format: got {format} for {out}, which is {suffix}; accepted: an --out with the format's "
                          f"suffix, or a folder")
    return suffix


def _ends_in_a_format(out: Path) -> bool:
    import exporters

    try:
        return bool(exporters.format_of(out))
    except OptionError:
        return False


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


def load_head(name: str | None, *suffixes: str, made: bool = False, heeded: bool = False) -> Any:
    """The head of that name or file; none, with a note, where no format heeds it and nothing else does (`heeded`).

    Where none was asked for it is the built-in one, for a format that needs a head, and for any that can hold one where
    a face is `made` and not just written anew.
    """
    from exporters import EXPORTERS

    kinds = {EXPORTERS[suffix].head for suffix in suffixes}
    if name is None and ("needed" in kinds or (made and "optional" in kinds)):
        name = "builtin"
    if name is None or name == "none":
        return None
    head = named_head(name)  # an unknown one is refused, be it heeded or not
    if kinds != {"no"} or heeded:
        return head
    tell_unheeded(suffixes, ["--head"])
    return None


def tell_unheeded(suffixes: Iterable[str], options: Sequence[str]) -> None:
    """A note of what was asked for and changes nothing in these formats."""
    from facerig.console import say

    named = sorted(set(suffixes))
    if options:
        say(f"{', '.join(named)} {'do' if len(named) > 1 else 'does'} not heed {', '.join(options)}; `facerig formats` "
            "says who does")


def tell_undone(rig: str | None, suffixes: Iterable[str]) -> None:
    """A note where a format turns what --rig asked for back into channels of its own."""
    from exporters import undone
    from facerig.console import say

    for suffix in dict.fromkeys(suffixes):
        note = undone(rig, suffix)
        if note:
            say(f"--rig: {note}")


def each(jobs: Sequence[Job], make: Callable[[Job], dict[str, object]], target: Callable[[Job], Place]
         ) -> tuple[list[dict[str, object]], list[FacerigError]]:  # fmt: skip
    """What was made, and why the rest was not; an error is told at once where other jobs go on. Nothing is made whose
    `target` cannot be written."""
    from facerig.console import say
    from facerig.files import check_writable

    done, errors = [], []
    for job in jobs:
        try:
            check_writable(target(job))
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
