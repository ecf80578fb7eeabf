"""From native rows to what a client asked for: its frame rate and its rig. Pure, streaming, and knows no wire.

Another rate is a sampling of the native grid: frame j of a segment shows the instant j / rate, read off the two
native frames around it. That is exact where the rate divides 60, adds at most one native frame of delay where it does
not, and cutting the stream elsewhere changes nothing. (`Curves.resample` is band-limited and looks 130 ms ahead:
right for files.) """

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from facerig.curves import Curves
from facerig.errors import RigError
from facerig.rig import rig
from facerig.stage import FPS, Frames

Mapper = Callable[[Frames], Frames]


class Sampler:
    """Native rows -> rows at `fps`, both numbered within the segment."""

    def __init__(self, fps: int, width: int, next_row: int = 0) -> None:
        self.fps, self.next_row = fps, next_row
        self._kept = np.zeros((0, width), np.float32)
        self._kept_first = 0

    def push(self, first: int, values: Frames, last: bool) -> tuple[int, Frames]:
        """Native rows that follow the ones before -> (number of the first row, rows)."""
        begin = self.next_row
        if self.fps == FPS:
            skip = min(len(values), max(0, begin - first))
            self.next_row = max(begin, first + len(values))
            return begin, values[skip:]
        if len(self._kept):
            values, first = np.concatenate([self._kept, values]), self._kept_first
        end = first + len(values)  # instants j * 60 / fps < end are known, up to end - 1 with both neighbours
        stop = rows_before(end, self.fps) if last else rows_within(end - 1, self.fps)
        rows = self._rows(first, values, begin, max(begin, stop))
        self.next_row = max(begin, stop)
        keep = max(first, self.next_row * FPS // self.fps) - first
        self._kept, self._kept_first = values[keep:].copy(), first + min(keep, len(values))
        return begin, rows

    def _rows(self, first: int, values: Frames, begin: int, stop: int) -> Frames:
        return between(values, first, begin, stop - begin, self.fps)


def rows_before(native: int, fps: int) -> int:
    """Number of rows whose instant lies before native frame `native`."""
    return -(-max(native, 0) * fps // FPS)


def rows_within(native: int, fps: int) -> int:
    """Number of rows whose instant lies at or before native frame `native`."""
    return native * fps // FPS + 1 if native >= 0 else 0


def native_floor(row: int, fps: int) -> int:
    """The native frame at or before a row's instant."""
    return row * FPS // fps


def native_ceiling(row: int, fps: int) -> int:
    """The native frame at or after a row's instant."""
    return -(-row * FPS // fps)


def between(values: Frames, begin: int, first: int, count: int, fps: int) -> Frames:
    """Rows `first` on, read off native values whose first is native frame `begin`; all are there."""
    at = np.arange(first, first + count, dtype=np.int64) * FPS
    low, part = at // fps - begin, (at % fps / fps).astype(np.float32)[:, None]
    high = np.minimum(low + (part[:, 0] > 0), len(values) - 1)
    rows: Frames = values[low] + (values[high] - values[low]) * part
    return rows


def sampled(values: Frames, fps: int) -> Frames:
    """The rows of a whole segment at `fps`: what a client receives, for tests and files."""
    return Sampler(fps, values.shape[1]).push(0, values, last=True)[1]


@lru_cache(maxsize=64)
def mapper(native: str, channels: tuple[str, ...], target: str) -> tuple[tuple[str, ...], Mapper]:
    """(channel names, function) from `channels` of rig `native` to the rig `target`."""
    wanted = rig(target)
    places = _places(channels, wanted.names)
    if places is not None:
        index = np.array(places, np.intp)
        if np.array_equal(index, np.arange(len(channels))):
            return wanted.names, lambda values: values
        return wanted.names, lambda values: np.ascontiguousarray(values[:, index])
    return wanted.names, _retargeted(channels, target)


def _places(channels: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each wanted channel stands, spelling with a small or a big first letter; None where one is missing."""
    known = {name[:1].lower() + name[1:]: place for place, name in enumerate(channels)}
    places = [known.get(name[:1].lower() + name[1:]) for name in wanted]
    return [place for place in places if place is not None] if None not in places else None


def _retargeted(channels: tuple[str, ...], target: str) -> Mapper:
    try:
        from facerig.retarget import retarget
    except ImportError as error:
        raise RigError(f"rig {target!r} needs a map from {channels[0]}, ...; this installation has none") from error
    wanted = rig(target)

    def convert(values: Frames) -> Frames:
        return retarget(Curves(channels, FPS, values), wanted).values

    return convert
