"""The edge of the chain: samples of any rate and type -> whole native frames of 24 kHz mono. Knows no file.

A polyphase Kaiser-windowed sinc, evaluated at exact integer phases and always on one frame (400 outputs) at a time, so
that the result depends neither on how the input was cut nor on where a restored stream begins. A library resampler
(soxr) sounds as good but keeps hidden state, which can neither be snapshot nor rebuilt from the last seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerig.errors import AudioError, whole
from facerig.stage import FPS, RATE, SAMPLES, Frames, State

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000
ZERO_CROSSINGS = 16  # of the sinc on each side: 1 ms at 16 kHz
KAISER_BETA = 8.0  # stop band near -80 dB
ROLL_OFF = 0.94  # of the lower Nyquist frequency: the transition ends just above it
MAX_CHANNELS = 64
LOUDEST = 1e10  # full scale is 1, 32 bits that nobody scaled reach 2.1e9; the squares of 1e16 overflow in a spectrum


@dataclass(frozen=True)
class Resample:
    """Mono float samples at `rate` -> native frames [n, 400]; time-aligned, looking `half` input samples ahead."""

    rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", whole("sample rate", self.rate, LOWEST_RATE, HIGHEST_RATE))

    @property
    def half(self) -> int:
        """Input samples that an output looks ahead (and back)."""
        return 0 if self.rate == RATE else -(-ZERO_CROSSINGS * max(self.rate, RATE) // RATE)

    @property
    def look_ahead_ms(self) -> float:
        return 1000 * self.half / self.rate

    def first_sample(self, frame: int) -> int:
        """The first input sample that native frame `frame` is made of."""
        return max(0, frame * SAMPLES * self.rate // RATE - max(self.half - 1, 0))

    def frames_of(self, samples: int) -> int:
        """Native frames of a clip: the last one may be filled up with silence."""
        return -(-samples * FPS // self.rate)

    def start(self, frame: int = 0, first_sample: int = 0) -> State:
        """A stream whose next frame is `frame` and whose next input sample has the number `first_sample`."""
        return np.zeros(0, np.float32), np.array([first_sample, frame], np.int64)

    def push(self, state: State, samples: Frames) -> tuple[State, Frames]:
        held, (origin, frame) = np.concatenate([state[0], samples]), state[1]
        ready = self._ready(int(origin) + len(held))
        frames = self._frames(held, int(origin), int(frame), max(int(frame), ready))
        frame = max(int(frame), ready)
        keep = min(len(held), max(0, self.first_sample(frame) - int(origin)))
        return (held[keep:].copy(), np.array([origin + keep, frame], np.int64)), frames

    def flush(self, state: State) -> Frames:
        """The frames that are left when the clip ends here: silence follows."""
        held, (origin, frame) = state[0], (int(number) for number in state[1])
        last = self.frames_of(origin + len(held)) if origin + len(held) else 0
        reach = self._position((last + 1) * SAMPLES)[0] + self.half + 1
        silence = np.zeros(max(0, reach - origin - len(held)), np.float32)
        return self._frames(np.concatenate([held, silence]), origin, frame, max(frame, last))

    # ---- inside ---------------------------------------------------------------------------------------------

    @cached_property
    def _ratio(self) -> tuple[int, int]:
        common = gcd(self.rate, RATE)
        return RATE // common, self.rate // common

    def _position(self, output: int) -> tuple[int, int]:
        """Input sample and phase (in 1/up samples) of an output sample."""
        up, down = self._ratio
        return output * down // up, output * down % up

    def _ready(self, total: int) -> int:
        """How many frames `total` input samples complete."""
        up, down = self._ratio
        # last output of frame f needs input (400 (f + 1) - 1) * down // up + half
        outputs = ((total - self.half) * up - 1) // down + 1 if total > self.half else 0
        return outputs // SAMPLES

    @cached_property
    def _taps(self) -> NDArray[np.float32]:
        up, down = self._ratio
        cutoff = ROLL_OFF * min(1.0, up / down)
        distance = np.arange(-self.half + 1, self.half + 1) - np.arange(up)[:, None] / up
        shape = np.sqrt(np.clip(1 - (distance / self.half) ** 2, 0, 1))
        taps = cutoff * np.sinc(cutoff * distance) * np.i0(KAISER_BETA * shape) / np.i0(KAISER_BETA)
        return np.asarray(taps / taps.sum(axis=1, keepdims=True), np.float32)

    def _frames(self, held: Frames, origin: int, first: int, last: int) -> Frames:
        out = np.empty((last - first, SAMPLES), np.float32)
        for row, frame in enumerate(range(first, last)):
            out[row] = self._frame(held, origin, frame)
        return out

    def _frame(self, held: Frames, origin: int, frame: int) -> Frames:
        if self.rate == RATE:
            at = frame * SAMPLES - origin
            return held[at : at + SAMPLES]
        up, down = self._ratio
        instants = np.arange(frame * SAMPLES, (frame + 1) * SAMPLES, dtype=np.int64) * down
        centre = instants // up - origin
        rows = centre[:, None] + np.arange(-self.half + 1, self.half + 1)
        window = np.where(rows >= 0, held[np.maximum(rows, 0)], np.float32(0)) if rows[0, 0] < 0 else held[rows]
        mixed: Frames = np.einsum("ij,ij->i", window, self._taps[instants % up])
        return mixed


def mono(samples: ArrayLike, where: str = "audio") -> Frames:
    """Any sample type and any number of channels -> float32 mono in -1..1; NaN and absurd loudness are refused."""
    try:
        array = np.asarray(samples)
    except ValueError as error:  # rows of unequal length
        raise AudioError(f"{where}: got no array ({error}), accepted: [samples] or [samples, channels]") from error
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= MAX_CHANNELS):
        raise AudioError(f"{where}: got shape {array.shape}, accepted: [samples] or [samples, channels] with at most "
                         f"{MAX_CHANNELS} channels")
    scaled = _scaled(array, where)
    _check_size(scaled, where)
    if scaled.ndim == 2:
        total = scaled[:, 0].copy()
        for channel in range(1, scaled.shape[1]):
            total += scaled[:, channel]
        scaled = total / np.float32(scaled.shape[1]) if scaled.shape[1] > 1 else total
    return np.asarray(scaled, np.float32)


def _check_size(samples: Frames, where: str) -> None:
    good = np.abs(samples) <= LOUDEST  # not so for NaN
    if not good.all():
        place = int(np.argmin(good)) // max(1, samples[0].size)
        value = samples.flat[int(np.argmin(good))]
        said = f"{value:.3g}, accepted: -1 to 1, at most {LOUDEST:.0g}" if np.isfinite(value) else "not a finite number"
        raise AudioError(f"{where}: sample {place} is {said}")


def _scaled(array: NDArray[np.generic], where: str) -> Frames:
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    scales = {"int16": 2.0**15, "int32": 2.0**31, "int8": 2.0**7}
    if array.dtype.name in scales:
        return np.asarray(array.astype(np.float64) / scales[array.dtype.name], np.float32)
    if array.dtype == np.uint8:
        return ((array.astype(np.float32) - 128) / 128).astype(np.float32)
    if array.size == 0:
        return np.zeros(array.shape, np.float32)
    raise AudioError(f"{where}: got samples of type {array.dtype}, accepted: uint8, int8, int16, int32, float")
