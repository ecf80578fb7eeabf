"""`Curves`, the value that stands in the middle: named channels over frames of an integer rate.

What makes curves (models, readers, behaviour) and what uses them (exporters, bridges, previews) meet only here. A value
knows no rig, no file format and no clock: time is the integer frame `start + row` on the grid `fps`.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerig.errors import CurvesError, whole

Values = NDArray[np.float32]

MAX_FPS = 1000
# Everything that numpy and zipfile raise on a damaged archive.
BAD_ARCHIVE = (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, RuntimeError, NotImplementedError,
               zipfile.BadZipFile, zlib.error, struct.error)
# Half-width of the resampling kernel in periods of the slower rate: 4 keeps the stop band under -50 dB and a
# lip closure of 80 ms at more than 95 % of its depth from 60 to 30 frames a second.
KERNEL_PERIODS = 4
KAISER_BETA = 5.0


@dataclass(frozen=True, order=True)
class Mark:
    """A labelled stretch of frames [start, end) on the curves' own grid: a phone, a word, an emotion."""

    start: int
    end: int
    kind: str
    label: str


@dataclass(frozen=True, eq=False)
class Curves:
    """Immutable animation: values[row, channel] is the channel's value at frame `start + row` of `fps`."""

    channels: tuple[str, ...]
    fps: int
    values: Values
    start: int = 0
    marks: tuple[Mark, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", _checked_names(self.channels))
        object.__setattr__(self, "fps", whole("fps", self.fps, 1, MAX_FPS, CurvesError))
        object.__setattr__(self, "start", whole("start", self.start, -(2**53), 2**53, CurvesError))
        object.__setattr__(self, "values", _frozen_values(self.values, self.channels, self.start))
        object.__setattr__(self, "marks", tuple(sorted(self.marks)))

    # ---- what it is -------------------------------------------------------------------------------------

    @property
    def frames(self) -> int:
        return int(self.values.shape[0])

    @property
    def end(self) -> int:
        """First frame after the last one."""
        return self.start + self.frames

    @property
    def seconds(self) -> float:
        return self.frames / self.fps

    def index(self, channel: str) -> int:
        try:
            return self.channels.index(channel)
        except ValueError:
            raise CurvesError(f"no channel {channel!r}; there are {_listing(self.channels)}") from None

    def __getitem__(self, channel: str) -> Values:
        """The values of one channel."""
        column: Values = self.values[:, self.index(channel)]
        return column

    def __contains__(self, channel: object) -> bool:
        return channel in self.channels

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Curves):
            return NotImplemented
        return self._key() == other._key() and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self._key(), self.values.tobytes()))

    def _key(self) -> tuple[object, ...]:
        return (self.channels, self.fps, self.start, self.marks)

    def min(self) -> dict[str, float]:
        """Smallest value of each channel (empty for an empty take)."""
        return self._extreme(np.min)

    def max(self) -> dict[str, float]:
        """Largest value of each channel (empty for an empty take)."""
        return self._extreme(np.max)

    def _extreme(self, reduce: object) -> dict[str, float]:
        if not self.frames:
            return {}
        row = reduce(self.values, axis=0)  # type: ignore[operator]
        return {name: float(value) for name, value in zip(self.channels, row, strict=True)}

    # ---- other curves from it ---------------------------------------------------------------------------

    def slice(self, first: int, last: int) -> Curves:
        """Frames first <= frame < last, counted on the curves' own grid; cut to what there is."""
        first = min(max(first, self.start), self.end)
        last = min(max(last, first), self.end)
        rows = self.values[first - self.start : last - self.start]
        return replace(self, start=first, values=rows, marks=_cut(self.marks, first, last))

    def moved(self, start: int) -> Curves:
        """The same motion beginning at another frame."""
        shift = start - self.start
        marks = tuple(replace(m, start=m.start + shift, end=m.end + shift) for m in self.marks)
        return replace(self, start=start, marks=marks)

    def select(self, channels: Iterable[str], fill: float | None = None) -> Curves:
        """These channels in this order; a channel that is missing is an error, or `fill` where that is given."""
        names = tuple(channels)
        missing = [name for name in names if name not in self.channels]
        if missing and fill is None:
            raise CurvesError(f"no channel {', '.join(missing[:5])}; there are {_listing(self.channels)}")
        values = np.full((self.frames, len(names)), 0.0 if fill is None else fill, np.float32)
        for column, name in enumerate(names):
            if name in self.channels:
                values[:, column] = self[name]
        return replace(self, channels=names, values=values)

    def with_values(self, values: ArrayLike) -> Curves:
        """The same channels and clock with other values."""
        return replace(self, values=np.asarray(values, np.float32))

    def with_channels(self, columns: Mapping[str, ArrayLike]) -> Curves:
        """Channels replaced where they exist, appended where they do not."""
        names = self.channels + tuple(name for name in columns if name not in self.channels)
        values = np.array(self.select(names, fill=0.0).values)
        for name, column in columns.items():
            try:
                values[:, names.index(name)] = np.asarray(column, np.float32)
            except (TypeError, ValueError) as error:
                raise CurvesError(f"channel {name!r}: got {type(column).__name__} that does not fit, accepted: a "
                                  f"number, or one for each of the {self.frames} frames") from error
        return replace(self, channels=names, values=values)

    def resample(self, fps: int) -> Curves:
        """The same motion on another frame rate: band-limited, exact at the same rate.

        The result holds the frames whose instant lies in [start, end) of this one, so that parts resampled apart have
        the lengths of the whole. Values never leave the range of their neighbours (a sinc alone would ring below 0).
        """
        fps = whole("fps", fps, 1, MAX_FPS, CurvesError)
        if fps == self.fps:
            return self
        first, last = (-(-frame * fps // self.fps) for frame in (self.start, self.end))
        marks = tuple(_moved_mark(m, self.fps, fps) for m in self.marks)
        values = _resampled(self.values, self.start, self.fps, first, last, fps)
        return Curves(self.channels, fps, values, first, marks)

    # ---- round trip -------------------------------------------------------------------------------------

    def to_npz(self) -> bytes:
        """numpy's own container: values, channels and a JSON head; deterministic bytes, no pickle."""
        head = {"fps": self.fps, "start": self.start, "channels": self.channels,
                "marks": [[m.start, m.end, m.kind, m.label] for m in self.marks]}
        text = np.frombuffer(json.dumps(head, ensure_ascii=False).encode(), np.uint8)
        return npz_bytes({"values": self.values, "head": text})

    @classmethod
    def from_npz(cls, data: bytes, name: str = "curves.npz") -> Curves:
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                head = json.loads(arrays["head"].tobytes().decode())
                marks = tuple(Mark(*mark) for mark in head["marks"])
                return cls(tuple(head["channels"]), head["fps"], arrays["values"], head["start"], marks)
        except BAD_ARCHIVE as error:
            raise CurvesError(f"{name}: not a facerig .npz file ({error})") from error


def concat(parts: Sequence[Curves]) -> Curves:
    """One take from parts that follow each other frame by frame; a gap, an overlap or another clock is refused."""
    if not parts:
        raise CurvesError("nothing to join: got no curves, accepted: one or more")
    for left, right in pairwise(parts):
        _check_joint(left, right)
    marks = tuple(mark for part in parts for mark in part.marks)
    return replace(parts[0], values=np.concatenate([part.values for part in parts]), marks=marks)


def npz_bytes(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """An .npz whose bytes depend on the arrays alone (np.savez stamps the wall clock)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue(),
                             zipfile.ZIP_DEFLATED)
    return stream.getvalue()


# ---- laws ---------------------------------------------------------------------------------------------------


def _checked_names(channels: Iterable[str]) -> tuple[str, ...]:
    names = tuple(channels)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise CurvesError(f"channel name: got {name!r}, accepted: text that is not empty")
    if len(set(names)) != len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise CurvesError(f"channel {double!r} stands twice; names must differ")
    return names


def _frozen_values(values: ArrayLike, channels: tuple[str, ...], start: int) -> Values:
    try:
        # Doubles beyond float32 become infinite here and are refused below by name, so numpy need not warn.
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=np.float32, order="C", copy=True)
    except (TypeError, ValueError) as error:
        raise CurvesError(f"values: got {type(values).__name__}, accepted: numbers [frames, channels]") from error
    if array.ndim != 2 or array.shape[1] != len(channels):
        raise CurvesError(f"values: got shape {array.shape}, accepted: [frames, {len(channels)}] for "
                          f"{len(channels)} channels")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = (int(number) for number in bad[0])
        raise CurvesError(f"channel {channels[column]!r} is {array[row, column]} at frame {start + row}; "
                          f"values must be finite")
    array.setflags(write=False)
    return array


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 6 else shown or "none"


def _check_joint(left: Curves, right: Curves) -> None:
    if left.channels != right.channels:
        raise CurvesError("parts have different channels; select the same ones first")
    if left.fps != right.fps:
        raise CurvesError(f"parts run at {left.fps} and {right.fps} frames a second; resample first")
    if right.start != left.end:
        kind = "gap" if right.start > left.end else "overlap"
        raise CurvesError(f"{kind} of {abs(right.start - left.end)} frames: a part ends before frame {left.end}, "
                          f"the next starts at {right.start}")


# ---- marks and resampling -------------------------------------------------------------------------------------


def _cut(marks: Iterable[Mark], first: int, last: int) -> tuple[Mark, ...]:
    inside = (m for m in marks if m.end > first and m.start < last)
    return tuple(replace(m, start=max(m.start, first), end=min(m.end, last)) for m in inside)


def _moved_mark(mark: Mark, old: int, new: int) -> Mark:
    start, end = ((frame * new * 2 + old) // (2 * old) for frame in (mark.start, mark.end))
    return replace(mark, start=start, end=max(end, start))


def _resampled(values: Values, start: int, old: int, first: int, last: int, new: int) -> Values:
    """Each output frame is a fixed-length weighted sum around its instant: no statistic, no growing error."""
    count = last - first
    if not count or not len(values):
        return np.zeros((max(count, 0), values.shape[1]), np.float32)
    half = kernel_half_width(old, new)
    kernels = np.stack([resample_kernel(old, new, phase) for phase in range(new)])
    out = np.empty((count, values.shape[1]), np.float32)
    for begin in range(first, last, 4096):  # in pieces, so that takes of hours need little memory
        instants = np.arange(begin, min(begin + 4096, last), dtype=np.int64) * old  # in source frames, times `new`
        rows = instants[:, None] // new + np.arange(-half + 1, half + 1) - start
        window = values[np.clip(rows, 0, len(values) - 1)]
        piece = slice(begin - first, begin - first + len(instants))
        out[piece] = _weighted(window, kernels[instants % new], half, max(1, -(-old // (2 * new))))
    return out


def _weighted(window: Values, kernel: NDArray[np.float64], half: int, reach: int) -> Values:
    near = window[:, half - reach : half + reach]  # the neighbours inside half an output step bound the result
    mixed = np.einsum("tkc,tk->tc", window, kernel)
    bounded: Values = np.clip(mixed, near.min(axis=1), near.max(axis=1)).astype(np.float32)
    return bounded


def kernel_half_width(old: int, new: int) -> int:
    """Source frames on each side that an output frame looks at."""
    return KERNEL_PERIODS * max(1, -(-old // new))


@lru_cache(maxsize=4096)
def resample_kernel(old: int, new: int, phase: int) -> NDArray[np.float64]:
    """Kaiser-windowed sinc taps for an instant `phase / new` after a source frame; they sum to one."""
    half = kernel_half_width(old, new)
    distance = np.arange(-half + 1, half + 1) - phase / new
    cutoff = min(1.0, new / old)
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, 1))) / np.i0(KAISER_BETA)
    taps = np.sinc(cutoff * distance) * window
    taps = taps / taps.sum()
    taps.setflags(write=False)
    return np.asarray(taps, np.float64)
