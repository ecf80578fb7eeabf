"""Gains: how strongly each channel is sent, and what is asked of the face, from a small JSON file that may be edited
while the face is live.

    {"*": 1.0, "lips": 1.1, "jawOpen": 0.8, "emotion:happy": 0.6, "life:blink": 0}

A key is a channel, a region of the rig, or * for all, whose factors multiply; or a control by its name in
`facerig.controls`. A file that is broken while it is edited changes nothing and is reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Protocol

import numpy as np

from facerig.controls import COLUMNS, checked
from facerig.curves import Curves, Values
from facerig.errors import FacerigError, OptionError
from facerig.rig import REGIONS, Rig, nearest

HIGHEST = 4.0
LOOK_SECONDS = 0.5  # between looks at the file


class Steered(Protocol):
    """What takes the controls that a file asks for."""

    def change(self, values: Mapping[str, float]) -> None: ...


def parse(text: str, rig: Rig, name: str = "gains") -> tuple[Values, dict[str, float]]:
    """A factor for each channel of the rig, and controls; OptionError names what is wrong."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{name}: not JSON ({error})") from None
    if not isinstance(table, dict):
        raise OptionError(f'{name}: got {type(table).__name__}, accepted: an object such as {{"jawOpen": 0.8}}')
    factors, controls = np.ones(len(rig), np.float32), {}
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise OptionError(f"{name}: {key!r} is {value!r}, accepted: a number")
        if key in COLUMNS:
            controls[key] = _control(key, value, name)
        else:
            factors[_places(key, rig, name)] *= _factor(key, value, name)
    return factors, controls


def _factor(key: str, value: float, name: str) -> float:
    if not 0 <= value <= HIGHEST:
        raise OptionError(f"{name}: {key!r} is {value!r}, accepted: a number from 0 to {HIGHEST:g}")
    return value


def _control(key: str, value: float, name: str) -> float:
    try:
        return checked(key, float(value))
    except OverflowError:  # a whole number of hundreds of digits
        return _control(key, inf if value > 0 else -inf, name)
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from None


def _places(key: str, rig: Rig, name: str) -> list[int]:
    if key == "*":
        return list(range(len(rig)))
    if key in REGIONS:
        return [rig.index(channel) for channel in rig.region(key)]
    if key not in rig:
        raise OptionError(f"{name}: no channel, region or control {key!r}; "
                          f"{nearest(key, (*rig.names, *REGIONS, *COLUMNS))}")
    return [rig.index(key)]


class Recorded:
    """In the place of a face that could be steered, where recorded curves are sent as they are."""

    def __init__(self, path: str) -> None:
        self.path = path

    def change(self, values: Mapping[str, float]) -> None:
        if values:
            raise OptionError(f"--gains: got {', '.join(values)} for the curves {self.path}, accepted: channels and "
                              "regions; recorded curves take no controls, which need an audio source")


class Gains:
    """The file's present factors, applied to curves of one rig and kept in its ranges."""

    def __init__(self, rig: Rig, path: Path | None = None, steered: Steered | None = None) -> None:
        self.rig, self.path, self._steered = rig, path, steered
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
                # Some editors put a mark at the beginning of what they write in UTF-8.
                self.factors, controls = parse(self.path.read_text("utf-8-sig"), self.rig, str(self.path))
                if self._steered is not None:
                    self._steered.change(controls)
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
