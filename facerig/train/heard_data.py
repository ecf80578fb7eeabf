"""Acted speech with labels for the ear of emotion: clips, how sure listeners were, and ways to change them as sound.

EMO-DB's emotion is the sixth letter of a name, its speaker the first two digits; `erkennung.txt` says what share of
twenty listeners heard the emotion meant. Thorsten's styles and Claire's clips have their label in their name. Changes
are those that must not matter: speaker size, microphone, room, noise, gain. Knows no network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.audio import read
from facerig.features import PAST, log_mel
from facerig.resample import Resample
from facerig.stage import RATE, SAMPLES, Frames
from facerig.train.corpora.base import data_folder

Float = NDArray[np.float64]

LETTERS = {"W": "angry", "L": "boredom", "E": "disgust", "A": "fear", "F": "happy", "T": "sad", "N": "neutral"}
# Clips of other speakers whose name says the style: (file, label). Thorsten's `surprised` and Claire's `outofbreath`
# are left out: one clip of one speaker would teach the speaker.
STYLED: tuple[tuple[str, str, str], ...] = (
    ("thorsten", "amused.flac", "happy"), ("thorsten", "disgusted.flac", "disgust"),
    ("thorsten", "neutral.flac", "neutral"), ("thorsten", "sleepy.flac", "boredom"),
    ("a2f_example_audio", "Claire_anger.wav", "angry"), ("a2f_example_audio", "Claire_joy_mandarin.wav", "happy"),
    ("a2f_example_audio", "Claire_neutral.wav", "neutral"), ("a2f_example_audio", "Claire_sadness.wav", "sad"),
)  # fmt: skip
# People who read aloud, as neutral speech of other languages and microphones: (folder, suffix, clips).
READERS = (("speechocean", "opus", 90), ("css10_es", "flac", 41), ("ljspeech", "flac", 26), ("grid", "opus", 20),
           ("librivox", "wav", 5), ("emu", "wav", 7))
PIECE = 3.0  # seconds of a styled clip that make one example
SIZES = 0.12  # of speakers: the larger or smaller by this much at full strength, as a logarithm
SURE = 0.5  # weight of a clip that no listener knew; 1 where all did
# Shares of the clips that are made running speech; guesses, never tuned.
JUST_BEGUN, AFTER_MORE, AFTER_PAUSE, BEFORE_PAUSE = 0.25, 0.5, 0.3, 0.4
_RATE = re.compile(r"(\d\d\w\d\d\w\w)\.wav\t(\d+),")


@dataclass(frozen=True)
class Acted:
    """One clip at 24 kHz."""

    name: str
    speaker: str
    label: str
    samples: Frames
    known: float
    """Share of the listeners who heard the label; 1 where nobody was asked."""

    @property
    def weight(self) -> float:
        return SURE + (1 - SURE) * self.known


def native(path: Path) -> Frames:
    """A file's samples at the native rate."""
    audio = read(path)
    edge = Resample(audio.rate)
    state, rows = edge.push(edge.start(), audio.samples)
    samples: Frames = np.concatenate([rows.reshape(-1), edge.flush(state).reshape(-1)])
    return samples


def emodb() -> list[Acted]:
    """All of EMO-DB that is at hand; an empty list where there is none."""
    folder = data_folder() / "emodb"
    rates = listener_rates()
    files = sorted((folder / "audio").glob("*.flac"))
    return [Acted(f.stem, f.stem[:2], LETTERS[f.stem[5]], native(f), rates.get(f.stem, 1.0)) for f in files]


def listener_rates() -> dict[str, float]:
    """Clip -> share of the listeners who heard what was meant."""
    path = data_folder() / "emodb" / "erkennung.txt"
    text = path.read_text("latin-1") if path.is_file() else ""
    return {name: int(rate) / 100 for name, rate in _RATE.findall(text)}


def styled() -> list[Acted]:
    """Thorsten's and Claire's clips, in pieces."""
    return [piece for folder, name, label in STYLED for piece in _pieces(data_folder() / folder / name, label)]


def _pieces(path: Path, label: str) -> Iterator[Acted]:
    if not path.is_file():
        return
    samples, step = native(path), int(PIECE * RATE)
    for at in range(0, max(1, len(samples) - step // 2), step):
        yield Acted(f"{path.stem}@{at // step}", path.parent.name, label, samples[at : at + step], 1.0)


def readers() -> list[Acted]:
    """A piece of each reader's clip, from its middle; `speaker` is the folder."""
    out = []
    for folder, suffix, count in READERS:
        found = sorted((data_folder() / folder).rglob(f"*.{suffix}"))
        for path in found[:: max(1, len(found) // count)][:count]:
            samples = native(path)
            first = max(0, (len(samples) - int(PIECE * RATE)) // 2)
            if len(samples) >= RATE:
                out.append(Acted(path.stem, folder, "neutral", samples[first : first + int(PIECE * RATE)], 1.0))
    return out


def features(samples: Frames) -> Frames:
    """Whole frames of log-mel."""
    whole = np.concatenate([np.zeros(PAST, np.float32), samples[: len(samples) // SAMPLES * SAMPLES]])
    return log_mel(whole)


# ---- changes ------------------------------------------------------------------------------------------------------

_KNOTS = np.array([0, 0.2, 0.5, 1, 2, 4, 8, 12]) * 1000.0  # Hz at which a random equaliser is set


def changed(samples: Frames, rng: np.random.Generator, strength: float, size: float | None = None) -> Frames:
    """The clip as another speaker, microphone, room and gain would give it; strength 0 is the gain alone.

    `size` is the most that a speaker may be larger or smaller (as a logarithm), whatever the strength.
    """
    most = SIZES * strength if size is None else size
    return recorded(resized(samples, float(np.exp(rng.uniform(-most, most)))), rng, strength)


def recorded(samples: Frames, rng: np.random.Generator, strength: float) -> Frames:
    """As `changed`, by the same speaker."""
    sound = _channel(samples.astype(np.float64), rng, strength)
    level = float(np.sqrt((sound**2).mean())) + 1e-9
    if rng.random() < 0.7 * strength:
        sound = sound + _noise(len(sound), rng) * level * 10 ** (-rng.uniform(8, 40) / 20)
    return (sound / level * 10 ** (rng.uniform(-38, -14) / 20)).astype(np.float32)


def running(clips: Sequence[Acted], place: int, rng: np.random.Generator) -> Frames:
    """A clip as it may stand in running speech: after more of the same, after a pause, before a pause, just begun.

    EMO-DB's clips are two seconds and begin with the first word; a window of a stream is three and begins anywhere.
    """
    clip = clips[place]
    if rng.random() < JUST_BEGUN:
        return clip.samples[: int(RATE * rng.uniform(0.6, 1.4))]
    parts = [clip.samples]
    mates = [k for k, other in enumerate(clips)
             if k != place and (other.speaker, other.label) == (clip.speaker, clip.label)]
    if mates and rng.random() < AFTER_MORE:
        mate = clips[int(rng.choice(mates))].samples
        parts = [mate[-int(RATE * rng.uniform(0.3, 1.5)) :], _gap(rng, 0.05, 0.4), *parts]
    if rng.random() < AFTER_PAUSE:
        parts = [_gap(rng, 0.1, 1.0), *parts]
    if rng.random() < BEFORE_PAUSE:
        parts = [*parts, _gap(rng, 0.05, 0.5)]
    return np.concatenate(parts)


def _gap(rng: np.random.Generator, least: float, most: float) -> Frames:
    return np.zeros(int(RATE * rng.uniform(least, most)), np.float32)


def resized(sound: Frames, speed: float) -> Frames:
    """Pitch, tract and rate by one factor, as smaller and larger speakers differ."""
    places = np.arange(int(len(sound) / speed)) * speed
    return np.asarray(np.interp(places, np.arange(len(sound)), sound), np.float32)


def _quick(count: int) -> int:
    """The next size that a Fourier transform is quick at: clips have prime lengths, which cost twenty times as much."""
    return min(odd << max(0, math.ceil(math.log2(count / odd))) for odd in (1, 3, 5, 9, 15))


def _channel(sound: Float, rng: np.random.Generator, strength: float) -> Float:
    """An equaliser, sometimes band limits, sometimes a room."""
    size = _quick(2 * len(sound))
    spectrum = np.fft.rfft(sound, size)
    hertz = np.linspace(0, RATE / 2, len(spectrum))
    spectrum *= 10 ** (np.interp(hertz, _KNOTS, rng.normal(0, 4 * strength, len(_KNOTS))) / 20)
    if rng.random() < 0.25 * strength:
        spectrum[hertz > rng.uniform(3400, 7000)] *= 0.003
    if rng.random() < 0.2 * strength:
        spectrum[hertz < rng.uniform(100, 300)] *= 0.03
    if rng.random() < 0.35 * strength:
        spectrum *= np.fft.rfft(_room(rng), size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(sound)], np.float64)


def _room(rng: np.random.Generator) -> Float:
    time = np.arange(int(RATE * rng.uniform(0.1, 0.5))) / RATE
    tail = rng.normal(0, 1, len(time)) * np.exp(-6.9 * time / time[-1])
    tail *= 10 ** (-rng.uniform(3, 14) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1
    return np.asarray(tail, np.float64)


def _noise(count: int, rng: np.random.Generator) -> Float:
    """Of unit power, between rumble and hiss."""
    size = _quick(count)
    spectrum = np.fft.rfft(rng.normal(0, 1, size))
    spectrum *= np.linspace(0.01, 12, len(spectrum)) ** rng.uniform(-1, 0.2)
    sound = np.fft.irfft(spectrum, size)[:count]
    return np.asarray(sound / np.sqrt((sound**2).mean()), np.float64)
