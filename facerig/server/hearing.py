"""Heard emotion where each stream may blend it in its own way: what Audio2Face's emotion parameters ask for. A stage.

    scores -> contrast -> the strongest few -> live blend, transition -> mixed with what is asked -> strength

That is the order of NVIDIA's own post-processing (Audio2Face-3D SDK). A stream that asks for nothing of its own goes
exactly through `facerig.emotion.heard`, so its frames keep their bits. What the face then shows, and what was heard
before any of it was smoothed or mixed, can be read off the state for those who report it. Knows no wire.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from functools import lru_cache

import numpy as np

from facerig import controls
from facerig.controls import EMOTIONS
from facerig.emotion.blend import MAX_TRANSITION, Blending, felt, smoothed
from facerig.emotion.ear import Reading
from facerig.emotion.heard import Heard
from facerig.errors import check_option
from facerig.face import Face
from facerig.features import FEATURES
from facerig.stage import Frames, State

PART = "heard"  # the stage's name in a face
TOLD, SHOWN = -2, -1  # places in its state: the stream's own parameters; the last block's report
MOST_COEF = 0.99  # of the live blend: at 1 nothing would ever change
ENGAGED = 0.25  # a mixture whose weights add up to so much counts with its whole share; below, an emotion fades in
_EMOTION, _INTENSITY, _HEARD = (controls.group(name) for name in ("emotion", "intensity", "heard"))
_LONGEST = len(Blending(live_blend_coef=MOST_COEF, transition_time=MAX_TRANSITION).kernel) - 1


@dataclass(frozen=True)
class Mixing:
    """One stream's parameters, in NVIDIA's sense; defaults are NVIDIA's too."""

    contrast: float = 1.0
    live: float = 0.7
    preferred: float = 0.5
    """Share of what is asked, where something is."""
    strength: float = 0.6
    """Of the result."""
    most: int = 3
    transition: float = 0.5

    @property
    def row(self) -> Frames:
        """As a slot keeps it; a stream without parameters of its own has zeros."""
        return np.array([1.0, *astuple(self)], np.float32)


@lru_cache(maxsize=1024)
def _own(row: bytes) -> tuple[Mixing, Blending]:
    """What a slot's row says, and the part of it that the heard emotion goes through."""
    told = [round(float(one), 5) for one in np.frombuffer(row, np.float32)]  # .99 would be out of its range else
    _, contrast, live, preferred, strength, most, transition = told
    mixing = Mixing(contrast, live, preferred, strength, int(most), transition)
    return mixing, Blending(contrast, live, preferred, 1.0, int(most), transition)


_PLAIN = np.zeros(len(Mixing().row), np.float32)


@dataclass(frozen=True, eq=False)
class Hearing:
    """State: that of `Heard` (whose last array are the mixtures of late) with mixtures of the longest memory, then the
    stream's `Mixing` and the last block's report."""

    heard: Heard
    block: int

    def __post_init__(self) -> None:
        check_option("block", self.block, f"up to {self._kept}, the frames of mixtures kept", self.block <= self._kept)

    @property
    def delay(self) -> int:
        return self.heard.delay

    @property
    def memory(self) -> int:
        return self.heard.memory - self._kept + _LONGEST

    @property
    def _kept(self) -> int:
        return len(self.heard.blending.kernel) - 1

    def start(self) -> State:
        """Silence."""
        width = len(EMOTIONS)
        return (*self.heard.start()[:-1], np.zeros((_LONGEST, width), np.float32), _PLAIN.copy(),
                np.zeros((self.block, 2 * width), np.float32))

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        state, rows = self.push_batch(tuple(array[None] for array in state), frames[None])
        return tuple(array[0] for array in state), rows[0]

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked: states [B, ...], frames [B, n, 128 + WIDTH] -> [B, n, WIDTH]."""
        feats, asked = frames[..., :FEATURES], frames[..., FEATURES:]
        *sounds, past, told, shown = state
        inner, reading, smooth = self.heard.hear((*sounds, past[:, _LONGEST - self._kept :]), feats)
        out = self.heard.blended(asked, smooth)
        fresh = inner[-1][:, -feats.shape[1] :]
        if told[:, 0].any():
            out, fresh = self._each(past, told, reading, asked, out, fresh)
        felt_now = out[..., _EMOTION] * out[..., _INTENSITY]
        shown = np.concatenate([shown, np.concatenate([felt_now, fresh], axis=-1)], axis=1)[:, -self.block :]
        kept = np.concatenate([past, fresh], axis=1)[:, -_LONGEST:]
        return (*inner[:-1], kept.copy(), told, shown.copy()), out

    def _each(self, past: Frames, told: Frames, reading: Reading, asked: Frames, out: Frames,
              fresh: Frames) -> tuple[Frames, Frames]:
        """Those streams put right that have parameters of their own."""
        out, fresh = out.copy(), fresh.copy()
        for stream in np.flatnonzero(told[:, 0]):
            mixing, blending = _own(told[stream].tobytes())
            fresh[stream] = felt(reading.scores[stream], reading.sure[stream], blending)
            before = past[stream, _LONGEST - len(blending.kernel) + 1 :]
            out[stream] = mixed(asked[stream], smoothed(before, fresh[stream], blending), mixing)
        return out, fresh


def mixed(asked: Frames, heard: Frames, mixing: Mixing) -> Frames:
    """[n, WIDTH] control rows whose emotion is that of asked and heard [n, 12]; the control `heard` is the share."""
    out: Frames = asked.copy()
    wanted, share = asked[:, _EMOTION] * asked[:, _INTENSITY], asked[:, _HEARD]
    together = strengthened(wanted, heard, mixing)
    out[:, _EMOTION] = np.clip(wanted + share * (together - wanted), 0, 1)
    out[:, _INTENSITY] = 1.0
    return out


def unheard(asked: Frames, mixing: Mixing) -> Frames:
    """[n, WIDTH] control rows mixed with a silence, in which nothing more is to be heard."""
    out = mixed(asked, np.zeros((len(asked), len(EMOTIONS)), np.float32), mixing)
    out[:, _HEARD] = 0
    return out


def strengthened(wanted: Frames, heard: Frames, mixing: Mixing) -> Frames:
    """[..., 12]: both mixed, times the strength."""
    engaged = np.minimum(wanted.sum(-1, keepdims=True) / np.float32(ENGAGED), 1) * np.float32(mixing.preferred)
    out: Frames = np.float32(mixing.strength) * (heard + engaged * (wanted - heard))
    return out


def calm(face: Face, asked: Frames) -> Frames:
    """[n, WIDTH] control rows as the face takes them that `hearing` gave, where it hears nothing in the voice."""
    if not isinstance(face.heard, Hearing):
        return asked
    return face.heard.heard.blended(asked, np.zeros((len(asked), len(EMOTIONS)), np.float32))


def hearing(face: Face, block: int) -> Face:
    """The same face, each of whose streams may blend what is heard in its own way; one that hears nothing as it is."""
    return replace(face, heard=Hearing(face.heard, block)) if isinstance(face.heard, Heard) else face
