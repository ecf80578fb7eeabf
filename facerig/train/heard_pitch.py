"""Teaches the pitch network: log-mel of ordinary readers in, their pitch by autocorrelation as the answer.

No emotional speech is used, so that no acted speaker is known to any part of the ear before he is judged. Readers are
resampled by .65 to 1.9 so that the network knows all pitches from 70 to 560 Hz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facerig.emotion.voice import PITCH_BASE, SEMITONES, SPACING, Voice, low_bands
from facerig.features import BANDS, HOPS
from facerig.stage import RATE, SAMPLES, Frames
from facerig.train.corpora.base import data_folder
from facerig.train.heard_data import features, native, recorded, resized

Float = NDArray[np.float64]
LONGEST = 4  # seconds of a clip
LOWEST, HIGHEST = 62, 600  # Hz that the tracker looks for
FRAME = 840  # samples that are compared with as many later ones: 35 ms
VOICED, UNVOICED = 0.8, 0.5  # autocorrelation; between them no answer is taught
SHORT_FIRST = 0.05  # a shorter period wins where it is as good as the best within this: against octaves
WIDTH = 64
STEPS, BATCH = 3000, 512
# folder, suffix, clips taken
READERS = (("ljspeech", "wav", 26), ("css10_es", "wav", 41), ("speechocean", "opus", 160), ("grid", "flac", 15),
           ("facegood", "wav", 12), ("ljspeech", "flac", 26), ("css10_es", "flac", 41), ("speechocean", "flac", 160),
           ("grid", "wav", 15), ("speechocean", "wav", 160), ("speechocean", "ogg", 160))


def track(samples: Frames) -> tuple[Float, Float]:
    """(Hz, autocorrelation) for each whole frame, around the middle of the window that its features see."""
    lags = np.arange(RATE // HIGHEST, RATE // LOWEST + 1)
    span = FRAME + int(lags[-1])
    sound = np.concatenate([np.zeros(span), samples.astype(np.float64), np.zeros(span)])
    count = len(samples) // SAMPLES
    first = span + SAMPLES * np.arange(count) + SAMPLES // 2 - span // 2
    pieces = sound[first[:, None] + np.arange(span)]
    pieces -= pieces.mean(1, keepdims=True)
    size = 1 << (2 * span - 1).bit_length()
    lagged = np.fft.irfft(np.conj(np.fft.rfft(pieces[:, :FRAME], size)) * np.fft.rfft(pieces, size), size)[:, lags]
    energy = np.concatenate([np.zeros((count, 1)), np.cumsum(pieces**2, 1)], 1)
    power = energy[:, lags + FRAME] - energy[:, lags]
    likeness = lagged / np.sqrt(power * energy[:, FRAME : FRAME + 1] + 1e-6)
    found = np.array([_period(row) for row in likeness]).reshape(count, 2)
    loud = energy[:, FRAME] / FRAME > 1e-5
    return RATE / (lags[0] + found[:, 0]), found[:, 1] * loud


def _period(likeness: Float) -> tuple[float, float]:
    """(place between the lags, likeness) of the shortest period that is about as good as any."""
    peaks = 1 + np.flatnonzero((likeness[1:-1] > likeness[:-2]) & (likeness[1:-1] >= likeness[2:]))
    if not len(peaks):
        return 0.0, 0.0
    best = peaks[np.flatnonzero(likeness[peaks] > likeness[peaks].max() - SHORT_FIRST)[0]]
    before, here, after = likeness[best - 1 : best + 2]
    bend = 2 * here - before - after
    return best + (after - before) / (2 * bend) if bend > 1e-9 else float(best), float(here)


def readers() -> list[Path]:
    """Clips of many ordinary readers."""
    out: list[Path] = []
    for folder, suffix, count in READERS:
        found = sorted((data_folder() / folder).rglob(f"*.{suffix}"))
        out += found[:: max(1, len(found) // count)][:count]
    return out


def examples(seed: int = 0) -> tuple[Frames, Float]:
    """(what the network sees, Hz or 0) of frames whose voicing is plain."""
    rng, seen, heard = np.random.default_rng(seed), [], []
    for path in readers():
        speed = float(np.exp(rng.uniform(np.log(0.65), np.log(1.9)))) if rng.random() < 0.75 else 1.0
        sound = resized(native(path)[: 6 * RATE], speed)[: LONGEST * RATE].astype(np.float32)
        if len(sound) < RATE // 2:
            continue
        hertz, sure = track(sound)
        plain = (sure > VOICED) | (sure < UNVOICED)
        for variant in (sound, recorded(sound, rng, 1.0), recorded(sound, rng, 1.0)):
            seen.append(_seen(features(variant))[plain])
            heard.append(np.where(sure > VOICED, hertz, 0)[plain])
    return np.concatenate(seen), np.concatenate(heard)


def _seen(feats: Frames) -> Frames:
    """[frames, inputs]: as `Voice.pitch_shares` puts them, for a clip whose first frame stands before its beginning."""
    both = feats.reshape(len(feats), HOPS, BANDS).mean(1)
    return low_bands(np.concatenate([np.repeat(both[:1], 2 * SPACING, 0), both]))


def answers(hertz: Float) -> Frames:
    """[frames, SEMITONES + 1]: a bump around the pitch, or all of it in the last column."""
    place = 12 * np.log2(np.maximum(hertz, 1) / PITCH_BASE)
    place = np.where(hertz > 0, place, 0)
    bump = np.exp(-0.5 * ((np.arange(SEMITONES) - place[:, None]) / 0.8) ** 2)
    whole = np.concatenate([bump / bump.sum(1, keepdims=True) * (hertz > 0)[:, None], (hertz <= 0)[:, None]], 1)
    return np.asarray(whole, np.float32)


def train(seed: int = 0) -> tuple[Voice, dict[str, float]]:
    """The network, and how it does on the last clips, which it does not learn from."""
    seen, hertz = examples(seed)
    kept = int(0.93 * len(seen))
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(seen.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(),
                        nn.Linear(WIDTH, SEMITONES + 1))
    rng = np.random.default_rng(seed)
    inputs, wanted = torch.from_numpy(seen[:kept]), torch.from_numpy(answers(hertz[:kept]))
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS)
    for _ in range(STEPS):
        batch = torch.from_numpy(rng.integers(0, kept, BATCH))
        loss = -(wanted[batch] * net(inputs[batch]).log_softmax(1)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    voice = Voice(tuple((layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy())
                        for layer in net if isinstance(layer, nn.Linear)))
    return voice, measured(voice, seen[kept:], hertz[kept:])


def measured(voice: Voice, seen: Frames, hertz: Float) -> dict[str, float]:
    """Voicing right, and semitones of error where voiced."""
    shares = voice.shares_of(seen)
    voiced = hertz > 0
    error = np.abs(shares[voiced, :-1].argmax(1) - 12 * np.log2(hertz[voiced] / PITCH_BASE))
    right = float(((shares[:, -1] < 0.5) == voiced).mean())
    return {"voicing_right": round(right, 4), "median_semitones": round(float(np.median(error)), 3),
            "beyond_1.5_semitones": round(float((error > 1.5).mean()), 4), "frames": len(hertz)}
