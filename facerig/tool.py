"""The command line of a module that makers run (`python -m facerig.train.heard`). Knows no tool.

Such a tool is `main(arguments) -> int`: it parses with `parser`, works inside `finished`, and writes nothing before its
options are read. The commands of `facerig` itself are `facerig/commands` and `cli.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from facerig.errors import FacerigError

INTERRUPTED = 130


def parser(module: str, about: str | None) -> argparse.ArgumentParser:
    """Of `python -m MODULE`; its help is what the module says of itself, line by line."""
    return argparse.ArgumentParser(prog=f"python -m {module}", description=about,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


def finished(work: Callable[[], object]) -> int:
    """Does the work and returns the exit code; a user's mistake is one line, with the codes of facerig/errors.py."""
    try:
        work()
    except FacerigError as error:
        print("facerig: error: " + " ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("facerig: error: interrupted; nothing half-written is left", file=sys.stderr)
        return INTERRUPTED
    return 0
