"""Every error that a user can cause, in one tree. Each says what was got, what is accepted and what to do.

FacerigError                 exit code 1
├── OptionError              2  an argument or option has a value that nothing accepts
├── InputError               3  a file or value given by the user cannot be used
│   ├── AudioError              audio that is broken, empty or in an unknown format
│   ├── CurvesError             curves that break a law of `Curves`, or a curves file that cannot be read
│   ├── RigError                a rig, a channel name or a retarget map that does not fit
│   ├── HeadError               a head or mesh that is malformed
│   └── ProtocolError           bytes from the wire that do not follow their protocol
├── MissingExtra             4  a feature needs a package that is not installed
├── OutputError              5  the result could not be written
├── ModelError               6  weights are missing, damaged or of another version
└── ServiceError             7  a server, peer or device cannot be reached or refuses

Exit code 1 is left for faults of our own; 130 is Ctrl-C. `assert` guards invariants of ours, never a user's input.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from difflib import get_close_matches
from importlib import import_module
from numbers import Integral
from typing import Any

INTERRUPTED = 130
STOPPED = "interrupted; nothing half-written is left"


class FacerigError(Exception):
    """Root of the tree; the message is one line that a person can act on."""

    exit_code = 1


class OptionError(FacerigError):
    exit_code = 2


class InputError(FacerigError):
    exit_code = 3


class AudioError(InputError):
    pass


class CurvesError(InputError):
    pass


class RigError(InputError):
    pass


class HeadError(InputError):
    pass


class ProtocolError(InputError):
    pass


class MissingExtra(FacerigError):
    """Names the extra and its install command at the moment of use; no extra: a package that is always needed."""

    exit_code = 4

    def __init__(self, feature: str, extra: str, detail: str = "") -> None:
        self.feature, self.extra = feature, extra
        tail = f" ({detail})" if detail else ""
        wanted = f'the extra "{extra}": pip install "facerig[{extra}]"' if extra else "facerig whole; install it anew"
        super().__init__(f"{feature} needs {wanted}{tail}")


class OutputError(FacerigError):
    exit_code = 5


class ModelError(FacerigError):
    exit_code = 6


class ServiceError(FacerigError):
    exit_code = 7


def did_you_mean(name: str, accepted: Collection[str], most: int = 3) -> str:
    """"; did you mean ...?" for the end of an error line, or nothing where no accepted name is near."""
    near = get_close_matches(name, list(accepted), most)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def extra_module(name: str, feature: str, extra: str) -> Any:
    """A module of an optional extra, or the error that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(feature, extra) from error


def check_option(name: str, got: object, accepted: object, ok: bool, hint: str = "") -> None:
    """Raise OptionError in the house's form unless ok."""
    if not ok:
        raise OptionError(f"{name}: got {got!r}, accepted: {accepted}" + (f"; {hint}" if hint else ""))


def whole(name: str, got: object, low: int, high: int, kind: type[FacerigError] = OptionError) -> int:
    """A whole number, numpy's too, as int; an error in the house's form where it is none or out of range."""
    if isinstance(got, bool) or not isinstance(got, Integral) or not low <= int(got) <= high:
        raise kind(f"{name}: got {got!r}, accepted: a whole number from {low} to {high}")
    return int(got)


def failed(message: str, code: int) -> int:
    """Tells people, in one line, what ended a command line; gives its exit code."""
    print("facerig: error: " + " ".join(message.split()), file=sys.stderr)
    return code
