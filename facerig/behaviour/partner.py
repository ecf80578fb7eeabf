"""What a partner says, as controls of the face that listens: samples -> the `partner:*` columns of each native frame;
where they have two channels, the `sound:*` columns too: the face turns to where it is spoken.

Prosody is known a little later than it is spoken (its delay, an eighth of a second), which is less than people take to
react; so nothing is delayed for it. A direction is looked for every tenth of a second in the last one, and is held
through the pauses of a turn. All of it is told by the last seconds alone, so a stream that is resumed goes on with the
same bits. `Partnered` is the same for a whole clip. Knows no wire.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerig.behaviour.direction import bearing
from facerig.controls import CONTROLS, Controls, place
from facerig.errors import AudioError
from facerig.prosody import ENERGY, PHRASE_END, PITCH, VOICE, Prosody
from facerig.resample import Resample, mono
from facerig.stage import RATE, SAMPLES, Frames, State, eased
from facerig.windows import windows

# control, column of prosody
HEARD = (("partner:voice", VOICE), ("partner:energy", ENERGY), ("partner:pitch", PITCH),
         ("partner:phrase_end", PHRASE_END))  # fmt: skip
PLACES = [place(name) for name, _ in HEARD]
AZIMUTH, LEVEL = place("sound:azimuth"), place("sound:level")
_LOW, _HIGH = (np.array([getattr(CONTROLS[k], side) for k in PLACES], np.float32) for side in ("low", "high"))

LOOK = 6  # frames: the window in which a direction is looked for, and how often
HOLD, FADE = 75, 45  # frames: pauses inside a turn are mostly under a second (see `state.speaking_hold`)
RISE = 9  # frames over which the level comes: what `Controls` fades over, where nothing is said
RECENT = 8.0  # frames: of earlier directions a third counts after so many
_SPAN = HOLD + FADE
_HELD = np.concatenate([np.ones(HOLD), 1 - eased(np.arange(1, FADE + 1) / FADE)])[::-1].astype(np.float64)
_NEWER = np.exp(-np.arange(_SPAN) / RECENT)[::-1]


class Partner:
    """One partner's voice, frame by frame beside the stream's own."""

    def __init__(self, edge: Resample, frame: int = 0, samples: int = 0, stereo: bool = False) -> None:
        """Silent so far: `samples` samples have been, of which frame `frame` is the next to be made."""
        self._sound, self._prosody = _Cut(edge, frame, samples), Prosody()
        self._heard = self._prosody.start()
        self._bearing = _Bearing(edge, frame, samples) if stereo else None

    def feed(self, samples: ArrayLike) -> None:
        """[n], or [n, 2] where it is stereo; of any sample type."""
        given = np.asarray(samples)
        if self._bearing is None:
            self._sound.feed(mono(given))
            return
        if given.ndim != 2 or given.shape[1] != 2:
            raise AudioError(f"partner: got samples of shape {given.shape}, accepted: [n, 2], left and right")
        left, right = mono(given[:, 0], "partner"), mono(given[:, 1], "partner")
        self._sound.feed((left + right) / np.float32(2))
        self._bearing.feed(left, right)

    def finish(self) -> None:
        """Nothing more comes but silence."""
        self._sound.finish()
        if self._bearing is not None:
            self._bearing.finish()

    def take(self, count: int) -> Frames:
        """[count, 4] of the next frames, [count, 6] where it is stereo; silence where nothing came."""
        self._heard, found = self._prosody.push(self._heard, self._sound.take(count))
        said = np.asarray(np.clip(found[:, [column for _, column in HEARD]], _LOW, _HIGH), np.float32)
        if self._bearing is None:
            return said
        return np.concatenate([said, self._bearing.take(count)], axis=1).astype(np.float32)


class _Cut:
    """Samples -> native frames of one channel."""

    def __init__(self, edge: Resample, frame: int, samples: int) -> None:
        first = edge.first_sample(frame)
        self._edge = edge
        self._state: State
        self._state, self._frames = edge.push(edge.start(frame, first), np.zeros(max(0, samples - first), np.float32))

    def feed(self, samples: Frames) -> None:
        self._state, frames = self._edge.push(self._state, samples)
        self._frames = np.concatenate([self._frames, frames])

    def finish(self) -> None:
        self._frames = np.concatenate([self._frames, self._edge.flush(self._state)])

    def take(self, count: int) -> Frames:
        frames, self._frames = self._frames[:count], self._frames[count:]
        return np.concatenate([frames, np.zeros((count - len(frames), SAMPLES), np.float32)])


class _Bearing:
    """Two channels -> (azimuth, level) a frame."""

    def __init__(self, edge: Resample, frame: int, samples: int) -> None:
        self._sides = _Cut(edge, frame, samples), _Cut(edge, frame, samples)
        self._next = frame
        self._window = np.zeros((LOOK * SAMPLES, 2))
        self._looks = np.zeros((_SPAN + RISE - 2, 2))
        self._last = (0.0, 0.0)

    def feed(self, left: Frames, right: Frames) -> None:
        for side, samples in zip(self._sides, (left, right), strict=True):
            side.feed(samples)

    def finish(self) -> None:
        for side in self._sides:
            side.finish()

    def take(self, count: int) -> NDArray[np.float64]:
        frames = np.stack([side.take(count) for side in self._sides], axis=-1).astype(np.float64)
        rows = np.array([self._look(frame) for frame in frames]).reshape(count, 2)
        seen = np.concatenate([self._looks, rows])
        self._looks = seen[len(seen) - len(self._looks) :]
        return _held(seen, count)

    def _look(self, frame: NDArray[np.float64]) -> tuple[float, float]:
        self._window = np.concatenate([self._window[SAMPLES:], frame])
        if self._next % LOOK == LOOK - 1:
            self._last = bearing(self._window, RATE)
        self._next += 1
        return self._last


def _held(looks: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Looks [_SPAN + RISE - 2 + count, 2] -> [count, 2]: loud ones count, the newest most, and their level is held."""
    azimuth, level = (windows(column, _SPAN) for column in looks.T)
    held = (level * _HELD).max(axis=-1)
    weight = (level * _NEWER)[len(level) - count :]
    total = weight.sum(axis=-1)
    mean = (weight * azimuth[len(azimuth) - count :]).sum(axis=-1) / np.maximum(total, 1e-300)
    return np.stack([np.where(total > 0, mean, 0), windows(held, RISE).mean(axis=-1)], axis=-1)


def told(rows: Frames, heard: Frames) -> Frames:
    """Control rows with what was heard in them; a direction that the client names (its level is above 0) stays."""
    out: Frames = rows.copy()
    out[:, PLACES] = heard[:, : len(PLACES)]
    if heard.shape[1] > len(PLACES):
        free = rows[:, LEVEL] <= 0
        out[free, AZIMUTH], out[free, LEVEL] = heard[free, len(PLACES)], heard[free, len(PLACES) + 1]
    return out


class Partnered(Controls):
    """Controls of a face beside whom a whole clip [n] or [n, 2] at `rate` is spoken, from its frame `start` on.

    Rows are asked for in order, as a session does.
    """

    def __init__(self, controls: Controls, samples: ArrayLike, rate: int = RATE, start: int = 0) -> None:
        super().__init__()
        self.course, self._start = controls, start
        self._partner = Partner(Resample(rate), stereo=np.ndim(samples) == 2 and np.shape(samples)[1] == 2)
        self._partner.feed(samples)
        self._partner.finish()
        self._heard = self._partner.take(0)

    @property
    def neutral(self) -> bool:
        return False

    def says(self, name: str) -> bool:
        return self.course.says(name)

    def rows(self, first: int, count: int) -> Frames:
        end = first + count - self._start
        more = self._partner.take(max(0, end - len(self._heard)))
        self._heard = np.concatenate([self._heard, more])
        before = np.zeros((max(0, self._start - first), self._heard.shape[1]), np.float32)
        heard = np.concatenate([before, self._heard[max(0, first - self._start) : max(0, end)]])
        return told(self.course.rows(first, count), heard)
