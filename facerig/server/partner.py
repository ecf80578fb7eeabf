"""What the partner in a talk says, heard beside a stream: samples -> the `partner:*` controls of each native frame.

Prosody is known a little later than it is spoken (its delay, an eighth of a second), which is less than people take to
react; so nothing is delayed for it. Knows no wire.
"""

from __future__ import annotations

import numpy as np

from facerig.controls import CONTROLS, place
from facerig.prosody import ENERGY, PHRASE_END, PITCH, VOICE, Prosody
from facerig.resample import Resample
from facerig.stage import SAMPLES, Frames

# control, column of prosody
HEARD = (("partner:voice", VOICE), ("partner:energy", ENERGY), ("partner:pitch", PITCH),
         ("partner:phrase_end", PHRASE_END))  # fmt: skip
_PLACES = [place(name) for name, _ in HEARD]
_LOW, _HIGH = (np.array([getattr(CONTROLS[k], side) for k in _PLACES], np.float32) for side in ("low", "high"))


class Partner:
    """One partner's voice, frame by frame beside the stream's own."""

    def __init__(self, edge: Resample, frame: int, samples: int) -> None:
        """Silent so far: `samples` samples have been, of which frame `frame` is the next to be made."""
        first = edge.first_sample(frame)
        self._edge, self._prosody = edge, Prosody()
        self._state, self._frames = edge.push(edge.start(frame, first), np.zeros(max(0, samples - first), np.float32))
        self._heard = self._prosody.start()

    def feed(self, samples: Frames) -> None:
        self._state, frames = self._edge.push(self._state, samples)
        self._frames = np.concatenate([self._frames, frames])

    def take(self, count: int) -> Frames:
        """[count, 4] of the next frames; silence where nothing came."""
        frames, self._frames = self._frames[:count], self._frames[count:]
        silence = np.zeros((count - len(frames), SAMPLES), np.float32)
        self._heard, found = self._prosody.push(self._heard, np.concatenate([frames, silence]))
        return np.asarray(np.clip(found[:, [column for _, column in HEARD]], _LOW, _HIGH), np.float32)


def told(rows: Frames, heard: Frames) -> Frames:
    """Control rows with what was heard in them."""
    out: Frames = rows.copy()
    out[:, _PLACES] = heard
    return out
