"""What a voice does from frame to frame, out of log-mel alone: timbre, level, pitch, voicing, and how they change.

Nothing here depends on the gain of the microphone but the level itself (column 0), which the statistics of a window
(facerig/emotion/window.py) only ever use as a difference. Causal, fixed reach, no statistic of the clip.

Pitch comes from a small network over the 36 lowest bands of three frames, 33 ms apart from first to last: log-mel bands
are 28 Hz wide down there, so that harmonics show; it answers with shares over 36 semitones from 70 Hz, and unvoiced.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facerig.features import BANDS, FEATURES
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


def _cosines() -> Frames:
    angle = np.pi * np.arange(CEPSTRA)[None] * (np.arange(BANDS)[:, None] + 0.5) / BANDS
    basis = np.cos(angle) * 2 / BANDS
    basis[:, 0] /= 2
    return np.ascontiguousarray(basis, np.float32)


_COSINES = _cosines()
_KNOWN = np.append(np.arange(SEMITONES), 0).astype(np.float32)[:, None]
_EVEN = np.full(BANDS, 1 / BANDS, np.float32)
_EVENLY = np.full((3 * LOW_BANDS, 1), 1 / (3 * LOW_BANDS), np.float32)
_SEEN = FLUX + 1


@dataclass(frozen=True, eq=False)
class Voice:
    """[..., REACH + n, 128] log-mel -> [..., n, COLUMNS]; matrices and offsets of the pitch network."""

    layers: tuple[tuple[Frames, Frames], ...] = field(repr=False)

    def __call__(self, feats: Frames) -> Frames:
        first, second = feats[..., :BANDS], feats[..., BANDS:]
        both = (first + second) * np.float32(0.5)
        shares = self.pitch_shares(both)
        voiced = 1 - shares[..., -1]
        known = shares @ _KNOWN
        now = both[..., 2 * SPACING :, :]
        seen = np.empty((*now.shape[:-1], _SEEN), np.float32)
        np.matmul(now, _COSINES, out=seen[..., CEPS])
        seen[..., VOICED] = voiced
        seen[..., PITCH] = known[..., 0] / (voiced + np.float32(1e-4))
        seen[..., FLUX] = np.abs(second - first)[..., 2 * SPACING :, :] @ _EVEN
        return _described(seen)

    def silence(self) -> Frames:
        """[1, COLUMNS]: how digital silence is described."""
        return self(np.full((REACH + 1, FEATURES), SILENCE, np.float32))

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
    centred: Frames = seen - seen @ _EVENLY
    return centred


def _described(seen: Frames) -> Frames:
    """[..., CHANGE + n, cepstra, voiced, pitch, flux] -> [..., n, COLUMNS]."""
    now, before = seen[..., CHANGE:, :], seen[..., :-CHANGE, :]
    out = np.empty((*now.shape[:-1], COLUMNS), np.float32)
    out[..., :_SEEN] = now
    out[..., VOICED_CHANGE] = np.abs(now[..., VOICED] - seen[..., CHANGE - 1 : -1, VOICED])
    out[..., PITCH_CHANGE] = now[..., PITCH] - before[..., PITCH]
    out[..., BOTH_VOICED] = now[..., VOICED] * before[..., VOICED]
    np.abs(now[..., CEPS] - before[..., CEPS], out=out[..., CHANGES])
    return out


def padded(feats: Frames) -> Frames:
    """A clip's features with the past that a new stream has: REACH rows of silence."""
    return np.concatenate([np.full((REACH, FEATURES), SILENCE, np.float32), feats])


SILENCE = np.float32((np.log(1e-10) + 13.0) / 4.5)  # what LogMel gives for digital silence
