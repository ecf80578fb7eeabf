"""Where a sound comes from, out of two channels: a direction per frame, for `sound:azimuth` and `sound:level`.

Two cues are known. Where one channel is later than the other, they are two microphones: the delay, found by correlation
with whitened spectra (GCC-PHAT; Knapp and Carter, IEEE ASSP 24, 1976), is the sine of the angle times their distance.
Where they are simultaneous, it is a panned mix: levels follow the sine-cosine law of a mixing desk, and hard left is
90 degrees. Degrees grow towards the face's own left: the left channel is the listener's left ear. Knows no face.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerig.controls import Controls
from facerig.errors import AudioError, check_option
from facerig.stage import FPS

Floats = NDArray[np.float64]

SPACING = 0.18  # metres between the microphones: a head's width
SOUND_SPEED = 343.0  # metres a second, at 20 degrees Celsius
WINDOW_SECONDS = 0.1
QUIET_DB, FULL_DB = -55.0, -40.0  # of full scale: below nothing is heard, above it counts fully
CLEAR = 0.25  # peak of the whitened correlation from which a delay is believed
FINE = 16  # steps of delay a sample
LEAST_DELAY = 2.5e-5  # seconds: less is a panned mix (2.7 degrees of two microphones 18 cm apart)
LOWEST_RATE = 8_000


def azimuth_of(samples: ArrayLike, rate: int, spacing: float = SPACING) -> float:
    """Degrees to the own left of the sound in samples [n, 2]; 0 where nothing is heard."""
    return bearing(_stereo(samples, rate), rate, spacing)[0]


def directions(samples: ArrayLike, rate: int, spacing: float = SPACING) -> Floats:
    """[frames, 2] at 60 a second: (azimuth, level); each looks at the 100 ms that end with its frame."""
    check_option("spacing", spacing, "0.01 to 1 m", 0.01 <= spacing <= 1)
    stereo = _stereo(samples, rate)
    window, frames = int(WINDOW_SECONDS * rate), len(stereo) * FPS // rate
    padded = np.concatenate([np.zeros((window, 2)), stereo])
    rows, last = np.zeros((frames, 2)), 0.0
    for frame in range(frames):
        end = (frame + 1) * rate // FPS + window
        azimuth, level = bearing(padded[end - window : end], rate, spacing)
        last = azimuth if level > 0 else last  # what fell silent is still where it was
        rows[frame] = last, level
    return rows


def changes(rows: Floats, step: float = 5.0, least: int = 6) -> Iterator[tuple[int, dict[str, float]]]:
    """(frame, controls) where the direction moved by `step` degrees or the level by a quarter, `least` frames on."""
    azimuth, level, since = 0.0, 0.0, -least
    for frame, (now, loud) in enumerate(rows):
        moved = abs(now - azimuth) >= step and loud > 0
        if frame - since >= least and (moved or abs(loud - level) >= 0.25):
            azimuth, level, since = float(now), float(loud), frame
            yield frame, {"sound:azimuth": azimuth, "sound:level": level}


def follow(controls: Controls, samples: ArrayLike, rate: int, frame: int = 0) -> None:
    """Let a stream turn to the sound in samples [n, 2] that begin at its native frame `frame`."""
    for at, values in changes(directions(samples, rate)):
        controls.set(frame + at, values)


def _stereo(samples: ArrayLike, rate: int) -> Floats:
    stereo = np.asarray(samples)
    check_option("rate", rate, f"{LOWEST_RATE} or more", rate >= LOWEST_RATE)
    if stereo.ndim != 2 or stereo.shape[1] != 2:
        raise AudioError(f"sound direction: got samples of shape {stereo.shape}, accepted: [n, 2], left and right")
    scale = np.iinfo(stereo.dtype).max if stereo.dtype.kind == "i" else 1
    checked = stereo.astype(np.float64) / scale
    if not np.isfinite(checked).all():
        raise AudioError("sound direction: got samples that are not finite; accepted: finite ones")
    return checked


def bearing(stereo: Floats, rate: int, spacing: float = SPACING) -> tuple[float, float]:
    """(azimuth, level) of a window [n, 2]."""
    power = (stereo**2).mean(axis=0) if len(stereo) else np.zeros(2)
    decibels = 10 * np.log10(power.sum() + 1e-12)
    level = float(np.clip((decibels - QUIET_DB) / (FULL_DB - QUIET_DB), 0, 1))
    if level <= 0:
        return 0.0, 0.0
    delay = _delay(stereo, rate, spacing)
    if abs(delay) >= LEAST_DELAY:
        return float(np.degrees(np.arcsin(np.clip(delay * SOUND_SPEED / spacing, -1, 1)))), level
    left, right = np.sqrt(power)
    return float(90 - 2 * np.degrees(np.arctan2(right, left))), level


def _delay(stereo: Floats, rate: int, spacing: float) -> float:
    """Seconds by which the right channel is later; 0 where no delay is clear or one channel is silent."""
    size = 1 << int(np.ceil(np.log2(2 * len(stereo))))
    spectra = np.fft.rfft(stereo * np.hanning(len(stereo))[:, None], size, axis=0)
    power = np.abs(spectra)
    cross = np.conj(spectra[:, 0]) * spectra[:, 1]
    strong = power.min(axis=1) > 1e-3 * power.max(initial=0)  # bins that hold no sound have no direction
    if not strong.any():
        return 0.0
    white = np.where(strong, cross / np.maximum(np.abs(cross), 1e-20), 0)
    fine = np.fft.irfft(white, size * FINE) * FINE * size / (2 * strong.sum())
    most = int(np.ceil(spacing / SOUND_SPEED * rate * FINE)) + 1
    around = np.concatenate([fine[-most:], fine[: most + 1]])
    best = int(around.argmax())
    return (best - most) / (rate * FINE) if around[best] >= CLEAR else 0.0
