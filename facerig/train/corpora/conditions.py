"""The robustness table's fixed conditions: audio at 24 kHz in, the same length out, always the same result."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile
from scipy.signal import correlate, resample_poly

from facerig.train.corpora import augment, sounds
from facerig.train.corpora.augment import Labels
from facerig.train.corpora.sounds import RATE, Audio

_SEED = 7


def _rng() -> np.random.Generator:
    return np.random.default_rng(_SEED)


def _noise(snr_db: float) -> Callable[[Audio, Labels | None], Audio]:
    def run(audio: Audio, labels: Labels | None = None) -> Audio:
        noise = sounds.piece(sounds.bank(_SEED)["pink"], len(audio), _rng())
        return augment.mix(audio, noise, snr_db, labels)

    return run


def _telephone(audio: Audio, labels: Labels | None = None) -> Audio:
    """Truly 8 kHz, 300..3400 Hz, mu-law, and back to 24 kHz."""
    narrow = resample_poly(augment.band_limit(audio, 300, 3400), 1, 3)
    back = resample_poly(augment.mu_law(narrow.astype(np.float32)), 3, 1)
    return _fit(back.astype(np.float32), len(audio))


def _fit(audio: Audio, samples: int) -> Audio:
    return np.asarray(np.pad(audio, (0, max(samples - len(audio), 0)))[:samples], dtype=np.float32)


def _codec(kind: str, subtype: str, level: float) -> Callable[[Audio, Labels | None], Audio]:
    def run(audio: Audio, labels: Labels | None = None) -> Audio:
        peak = float(np.max(np.abs(audio), initial=1e-6))
        held = io.BytesIO()
        safe = audio * np.float32(min(1.0, 0.9 / peak))
        soundfile.write(held, safe, RATE, format=kind, subtype=subtype, compression_level=level)
        held.seek(0)
        back, rate = soundfile.read(held, dtype="float32")
        if rate != RATE:
            back = resample_poly(back, RATE, rate).astype(np.float32)
        return _aligned(back / np.float32(min(1.0, 0.9 / peak)), audio)

    return run


def _aligned(back: Audio, audio: Audio) -> Audio:
    """Without the encoder's delay, which a player would remove too."""
    size = min(len(audio), len(back), RATE * 4)
    lag = int(np.argmax(correlate(back[:size], audio[:size], "full", "fft")) - (size - 1))
    moved = back[lag:] if lag >= 0 else np.pad(back, (-lag, 0))
    return _fit(moved, len(audio))


def _reverb(audio: Audio, labels: Labels | None = None) -> Audio:
    return sounds.in_room(audio, sounds.room(_rng(), 0.5))


def _quiet(audio: Audio, labels: Labels | None = None) -> Audio:
    return np.asarray(audio * np.float32(10 ** (-30 / 20)), dtype=np.float32)


def _whisper(audio: Audio, labels: Labels | None = None) -> Audio:
    return augment.whisper(audio, _rng())


def _clean(audio: Audio, labels: Labels | None = None) -> Audio:
    return audio


CONDITIONS: dict[str, Callable[[Audio, Labels | None], Audio]] = {
    "clean": _clean,
    "snr20": _noise(20), "snr10": _noise(10), "snr5": _noise(5), "snr0": _noise(0),
    "telephone": _telephone,
    "mp3": _codec("MP3", "MPEG_LAYER_III", 0.9),
    "opus": _codec("OGG", "OPUS", 0.9),
    "reverb": _reverb,
    "-30dB": _quiet,
    "whisper": _whisper,
}  # fmt: skip


def non_speech_sounds(seconds: float = 4.0) -> dict[str, Audio]:
    """Sounds on which the mouth must stay shut, peak at -6 dB."""
    samples = int(seconds * RATE)
    made = {name: make(samples, _rng()) for name, make in sounds.SOUNDS.items()}
    made["hum"] = sounds.hum(samples, _rng())
    made["white"] = sounds.piece(sounds.bank(_SEED)["white"], samples, _rng())
    made["digital silence"] = np.zeros(samples, np.float32)
    return {name: augment.set_gain(sound, -6.0) for name, sound in made.items()}
