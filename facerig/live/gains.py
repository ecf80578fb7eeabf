"""Gains: how strongly each channel is sent, from a small JSON file that may be edited while the face is live.

    {"*": 1.0, "lips": 1.1, "jawOpen": 0.8}

A key is a channel, a region of the rig, or * for all; factors multiply. A file that is broken while it is edited
changes nothing and is reported.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facerig.curves import Curves, Values
from facerig.errors import FacerigError, OptionError
from facerig.rig import REGIONS, Rig, nearest

HIGHEST = 4.0
LOOK_SECONDS = 0.5  # between looks at the file


def parse(text: str, rig: Rig, name: str = "gains") -> Values:
    """A factor for each channel of the rig; OptionError names what is wrong."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{name}: not JSON ({error})") from None
    if not isinstance(table, dict):
        raise OptionError(f'{name}: got {type(table).__name__}, accepted: an object such as {{"jawOpen": 0.8}}')
    factors = np.ones(len(rig), np.float32)
    for key, factor in table.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= HIGHEST:
            raise OptionError(f"{name}: {key!r} is {factor!r}, accepted: a number from 0 to {HIGHEST:g}")
        factors[_places(key, rig, name)] *= factor
    return factors


def _places(key: str, rig: Rig, name: str) -> list[int]:
    if key == "*":
        return list(range(len(rig)))
    if key in REGIONS:
        return [rig.index(channel) for channel in rig.region(key)]
    if key not in rig:
        raise OptionError(f"{name}: no channel {key!r}; {nearest(key, (*rig.names, *REGIONS))}")
    return [rig.index(key)]


class Gains:
    """The file's present factors, applied to curves of one rig and kept in its ranges."""

    def __init__(self, rig: Rig, path: Path | None = None) -> None:
        self.rig, self.path = rig, path
        self.factors = np.ones(len(rig), np.float32)
        self.error = ""
        self._stamp: tuple[int, int] | None = None
        self._looked = float("-inf")
        if path is not None:
            self.reload()
            if self.error:
                raise OptionError(self.error)

    def look(self, now: float) -> None:
        """Read the file again where it has changed; cheap enough for every frame."""
        if self.path is not None and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self.reload()

    def reload(self) -> None:
        assert self.path is not None
        try:
            stat = self.path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp != self._stamp:
                self.factors = parse(self.path.read_text("utf-8"), self.rig, str(self.path))
                self.error, self._stamp = "", stamp
        except FacerigError as error:
            self.error, self._stamp = str(error), stamp
        except (OSError, UnicodeDecodeError) as error:
            self.error = f"{self.path}: cannot be read: {error}"

    def apply(self, curves: Curves) -> Curves:
        """Channels of the rig multiplied; others (angles) untouched."""
        if not (self.factors != 1).any():
            return curves
        values = np.array(curves.values)
        for column, name in enumerate(curves.channels):
            if name in self.rig:
                place = self.rig.index(name)
                channel = self.rig.channels[place]
                values[:, column] = np.clip(values[:, column] * self.factors[place], channel.low, channel.high)
        return curves.with_values(values)
