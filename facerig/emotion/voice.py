"""What a voice does from frame to frame, out of log-mel alone: timbre, level, pitch, voicing, and how they change.

Nothing here depends on the gain of the microphone but the level itself (column 0), which the statistics of a window
(facerig/emotion/window.py) only ever use as a difference. Causal, fixed reach, no statistic of the clip.

Pitch comes from a small network over the 36 lowest bands of three frames, 33 ms apart from first to last: log-mel bands
are 28 Hz wide down there, so that harmonics show; it answers with shares over 36 semitones from 70 Hz, and unvoiced.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facerig.features import BANDS, FEATURES, HOPS
from facerig.stage import Frames

CEPSTRA = 24
LOW_BANDS = 36  # up to 1.3 kHz
SPACING = 2  # frames between the three that the pitch network sees
CHANGE = 3  # frames over which a change is taken: 50 ms, the length of a short phone
REACH = 2 * SPACING + CHANGE
SEMITONES = 36
PITCH_BASE = 70.0  # Hz of the lowest of them: 70 to 560 Hz holds speech that is shouted by women too

# columns of a described frame
LEVEL, CEPS = 0, slice(0, CEPSTRA)  # cepstrum 0 is the level: mean of the scaled log bands
VOICED, PITCH, FLUX, VOICED_CHANGE, PITCH_CHANGE, BOTH_VOICED = range(CEPSTRA, CEPSTRA + 6)
CHANGES = slice(CEPSTRA + 6, 2 * CEPSTRA + 6)
COLUMNS = CHANGES.stop
LAYERS = 3


def _cosines() -> Frames:
    angle = np.pi * np.arange(CEPSTRA)[None] * (np.arange(BANDS)[:, None] + 0.5) / BANDS
    basis = np.cos(angle) * 2 / BANDS
    basis[:, 0] /= 2
    return np.ascontiguousarray(basis, np.float32)


_COSINES = _cosines()
_SEMITONES = np.arange(SEMITONES, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Voice:
    """[..., REACH + n, 128] log-mel -> [..., n, COLUMNS]; matrices and offsets of the pitch network."""

    layers: tuple[tuple[Frames, Frames], ...] = field(repr=False)

    def __call__(self, feats: Frames) -> Frames:
        bands = feats.reshape(*feats.shape[:-1], HOPS, BANDS)
        first, second = bands[..., 0, :], bands[..., 1, :]
        now = 2 * SPACING
        both = (first + second) * np.float32(0.5)
        shares = self.pitch_shares(both)
        cepstra = (both @ _COSINES)[..., now:, :]
        flux = np.abs(second - first)[..., now:, :].mean(-1, keepdims=True)
        voiced = 1 - shares[..., -1:]
        pitch = (shares[..., :-1] @ _SEMITONES)[..., None] / (voiced + np.float32(1e-4))
        return _described(cepstra, voiced, pitch, flux)

    def pitch_shares(self, both: Frames) -> Frames:
        """[..., 2 SPACING + n, BANDS] -> [..., n, SEMITONES + 1], the last one unvoiced."""
        return self.shares_of(low_bands(both))

    def shares_of(self, seen: Frames) -> Frames:
        """The network alone, on rows of its input."""
        out = seen
        for place, (matrix, offset) in enumerate(self.layers):
            out = out @ matrix + offset
            if place < len(self.layers) - 1:
                out = np.maximum(out, 0)
        out = np.exp(out - out.max(-1, keepdims=True))
        shares: Frames = out / out.sum(-1, keepdims=True)
        return shares


def low_bands(both: Frames) -> Frames:
    """[..., 2 SPACING + n, BANDS] -> [..., n, 3 LOW_BANDS]: three frames, without their common level."""
    low, count = both[..., :LOW_BANDS], both.shape[-2] - 2 * SPACING
    seen = np.concatenate([low[..., k * SPACING : k * SPACING + count, :] for k in range(3)], axis=-1)
    centred: Frames = seen - seen.mean(-1, keepdims=True)
    return centred


def _described(cepstra: Frames, voiced: Frames, pitch: Frames, flux: Frames) -> Frames:
    before, after = slice(None, -CHANGE), slice(CHANGE, None)

    def change(column: Frames) -> Frames:
        delta: Frames = column[..., after, :] - column[..., before, :]
        return delta

    last = voiced[..., CHANGE - 1 : -1, :]
    together = voiced[..., after, :] * voiced[..., before, :]
    parts = (cepstra[..., after, :], voiced[..., after, :], pitch[..., after, :], flux[..., after, :],
             np.abs(voiced[..., after, :] - last), change(pitch), together, np.abs(change(cepstra)))
    return np.concatenate(parts, axis=-1)


def padded(feats: Frames) -> Frames:
    """A clip's features with the past that a new stream has: REACH rows of silence."""
    return np.concatenate([np.full((REACH, FEATURES), SILENCE, np.float32), feats])


SILENCE = np.float32((np.log(1e-10) + 13.0) / 4.5)  # what LogMel gives for digital silence
