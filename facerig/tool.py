"""The command line of a module that makers run (`python -m facerig.train.heard`). Knows no tool.

Such a tool is `main(arguments) -> int`: it parses with `parser`, works inside `finished`, and writes nothing before its
options are read. The commands of `facerig` itself are `facerig/commands` and `cli.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from facerig.errors import INTERRUPTED, STOPPED, FacerigError, failed


def parser(module: str, about: str | None) -> argparse.ArgumentParser:
    """Of `python -m MODULE`; its help is what the module says of itself, line by line."""
    return argparse.ArgumentParser(prog=f"python -m {module}", description=about,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


def pictures(draw: Callable[[Path], object], module: str, about: str | None, many: str,
             arguments: Sequence[str] | None) -> int:
    """The command of a module that draws a page's pictures into one folder."""
    asked = parser(module, about)
    asked.add_argument("folder", nargs="?", type=Path, default=Path("docs/img"), metavar="FOLDER",
                       help=f"where the {many} pictures go (default %(default)s)")
    options = asked.parse_args(arguments)
    return finished(lambda: draw(options.folder))


def finished(work: Callable[[], object]) -> int:
    """Does the work and returns the exit code; a user's mistake is one line, with the codes of facerig/errors.py."""
    try:
        work()
    except FacerigError as error:
        return failed(str(error), error.exit_code)
    except KeyboardInterrupt:
        return failed(STOPPED, INTERRUPTED)
    return 0
