"""Rigs: which channels a face has, in which order and range, and what stands opposite what. One table file a rig.

The tables lie in `assets/rigs/<name>.csv`, a row a channel; this module reads and checks them and knows no channel by
name. It knows no geometry either: what a channel does to a head is the head's affair, and how one rig's channels become
another's is `facerig.retarget`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.errors import RigError
from facerig.files import assets_folder

KINDS = ("weight", "angle", "viseme", "emotion")
REGIONS = ("lids", "gaze", "brows", "cheeks", "nose", "jaw", "lips", "tongue", "head", "other")
COLUMNS = ("name", "low", "high", "kind", "mirror", "region")
MAX_TABLE_BYTES = 4_000_000  # a rig of ten thousand channels; more is a mistaken file


@dataclass(frozen=True)
class Channel:
    """One number of a rig: a shape's weight, an angle, a viseme's or an emotion's strength."""

    name: str
    low: float = 0.0
    high: float = 1.0
    kind: str = "weight"
    mirror: str = ""  # the left or right counterpart; the channel itself where it is central
    region: str = "other"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mirror", self.mirror or self.name)
        if not self.name.strip():
            raise RigError(f"channel name: got {self.name!r}, accepted: text that is not empty")
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise RigError(f"channel {self.name!r}: {self.low} to {self.high} is no range; low must be below high")
        for what, got, accepted in (("kind", self.kind, KINDS), ("region", self.region, REGIONS)):
            if got not in accepted:
                raise RigError(f"channel {self.name!r}: {what} {got!r}; accepted: {', '.join(accepted)}")

    @property
    def signed(self) -> bool:
        """Whether the value may be negative: angles and coefficients, not weights."""
        return self.low < 0


@dataclass(frozen=True)
class Rig:
    """An ordered set of channels. Two rigs are equal when they agree channel by channel."""

    name: str
    title: str
    channels: tuple[Channel, ...]
    _at: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.channels:
            raise RigError(f"rig {self.name!r}: got no channels, accepted: one or more")
        for place, channel in enumerate(self.channels):
            if channel.name in self._at:
                raise RigError(f"rig {self.name!r}: channel {channel.name!r} stands twice; names must differ")
            self._at[channel.name] = place
        for channel in self.channels:
            self._check_mirror(channel)

    def _check_mirror(self, channel: Channel) -> None:
        other = self._at.get(channel.mirror)
        if other is None or self.channels[other].mirror != channel.name:
            raise RigError(f"rig {self.name!r}: the mirror of {channel.name!r} is {channel.mirror!r}, which does not "
                           f"point back to it")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._at)

    @property
    def low(self) -> NDArray[np.float32]:
        return np.array([channel.low for channel in self.channels], np.float32)

    @property
    def high(self) -> NDArray[np.float32]:
        return np.array([channel.high for channel in self.channels], np.float32)

    def __len__(self) -> int:
        return len(self.channels)

    def __contains__(self, name: object) -> bool:
        return name in self._at

    def index(self, name: str) -> int:
        """Place of a channel; RigError with the nearest names where there is none."""
        try:
            return self._at[name]
        except KeyError:
            raise RigError(f"rig {self.name!r} has no channel {name!r}; {nearest(name, self.names)}") from None

    def channel(self, name: str) -> Channel:
        return self.channels[self.index(name)]

    def region(self, *regions: str) -> tuple[str, ...]:
        """Names of the channels in these regions, in the rig's order."""
        return tuple(channel.name for channel in self.channels if channel.region in regions)

    def mirrored(self) -> NDArray[np.intp]:
        """Place of each channel's counterpart: values[:, mirrored()] is the face seen in a mirror.

        For weights alone: an angle about the vertical or the forward axis changes sign as well.
        """
        return np.array([self._at[channel.mirror] for channel in self.channels], np.intp)


def rig(name: str) -> Rig:
    """The rig of that name (read once)."""
    if name not in rig_names():
        raise RigError(f"no rig {name!r}; {nearest(name, rig_names())}")
    return _shipped(name)


@cache
def rig_names() -> tuple[str, ...]:
    """Names of all rigs that are shipped."""
    return tuple(sorted(path.stem for path in (assets_folder() / "rigs").glob("*.csv")))


@cache
def _shipped(name: str) -> Rig:
    return read_rig(assets_folder() / "rigs" / f"{name}.csv")


def identify(channels: Sequence[str]) -> Rig | None:
    """The rig that has exactly these channels; of several the one whose order agrees best, then the one named first."""
    return _identified(tuple(channels))


@lru_cache(maxsize=256)  # a stream asks for every block
def _identified(wanted: tuple[str, ...]) -> Rig | None:
    same = [found for found in map(rig, _in_doubt_order()) if set(found.names) == set(wanted)]
    if not same or len(set(wanted)) != len(wanted):
        return None
    return max(same, key=lambda found: sum(map(str.__eq__, found.names, wanted)))  # the first of equals


# Rigs whose channels bear the same names: which one is meant where nothing else tells.
_FIRST = ("arkit", "arkit-pascal", "livelink", "metahuman")


def _in_doubt_order() -> tuple[str, ...]:
    return _FIRST + tuple(name for name in rig_names() if name not in _FIRST)


def nearest(name: str, names: Iterable[str]) -> str:
    """'did you mean ...', or a few of the accepted names, for the end of an error line."""
    known = tuple(names)
    folded = {known_name.lower(): known_name for known_name in known}
    close = [folded[hit] for hit in get_close_matches(str(name).lower(), folded, n=3, cutoff=0.5)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(known[:8])}" + (f", ... ({len(known)} in all)" if len(known) > 8 else "")


# ---- table files ----------------------------------------------------------------------------------------------


def read_rig(path: str | Path) -> Rig:
    """A rig from a table file: `# title: ...`, then a header line and a row a channel; the name is the file's."""
    path = Path(path)
    lines = _lines(path)
    table = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not table or tuple(_cells(table[0][1])[: len(COLUMNS)]) != COLUMNS:
        raise RigError(f"{path}: got no header, accepted: {','.join(COLUMNS)} and then a row a channel")
    titles = [line[8:].strip() for line in lines if line.startswith("# title:")]
    channels = tuple(_channel(path, number, _cells(line)) for number, line in table[1:])
    try:
        return Rig(path.stem, titles[0] if titles else path.stem, channels)
    except RigError as error:
        raise RigError(f"{path}: {error}") from None


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_TABLE_BYTES + 1)
        if len(data) > MAX_TABLE_BYTES:
            raise RigError(f"{path}: over {MAX_TABLE_BYTES} bytes; a rig table is a short text file")
        return data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise RigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise RigError(f"{path}: is no UTF-8 text; a rig table is a CSV file") from None


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]))]


def _channel(path: Path, number: int, cells: list[str]) -> Channel:
    if len(cells) < len(COLUMNS):
        raise RigError(f"{path}, line {number}: got {len(cells)} cells, accepted: {','.join(COLUMNS)}[,note]")
    name, low, high, kind, mirror, region = cells[: len(COLUMNS)]
    try:
        return Channel(name, float(low), float(high), kind, mirror, region)
    except ValueError:
        raise RigError(f"{path}, line {number}: the range of {name!r} is {low!r} to {high!r}; give numbers") from None
    except RigError as error:
        raise RigError(f"{path}, line {number}: {error}") from None
