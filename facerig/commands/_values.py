"""Options that several commands take, judged as they are parsed: what nothing accepts is a wrong option (exit code 2)
before any work is done, in the same words everywhere."""

from __future__ import annotations

import os
from typing import Any


def known_rig(name: str | None) -> str | None:
    """--rig"""
    from facerig.errors import OptionError, RigError
    from facerig.rig import rig

    try:
        if name:
            rig(name)
    except RigError as error:
        raise OptionError(f"--rig: {error}") from None
    return name


def possible_fps(fps: int | None) -> int | None:
    """--fps of whatever resamples to any rate."""
    from facerig.curves import MAX_FPS
    from facerig.errors import check_option

    check_option("--fps", fps, f"1 to {MAX_FPS}", fps is None or 1 <= fps <= MAX_FPS)
    return fps


def possible_bound(bound: float) -> float:
    """--bound of reduced keys."""
    from facerig.errors import check_option

    check_option("--bound", bound, "the largest error of the keys, above 0 and up to 1", 0 < bound <= 1)
    return bound


def named_head(name: str) -> Any:
    """--head: by name or file. A name that there is not is a wrong option, a file that cannot be used is bad input."""
    from facerig.errors import HeadError, OptionError
    from facerig.heads import load_head

    try:
        return load_head(name)
    except HeadError as error:
        if os.path.exists(name) or os.path.basename(name) != name or os.path.splitext(name)[1]:
            raise
        raise OptionError(f"--head: {error}") from None
