"""Sounds that are not speech, to which the decoder learns to rest: tones, hum, noise, breath, coughs, clicks, things.

Measured talkers part their lips before they speak, so a decoder that learns from them opens at whatever else it hears
before speech; speech itself never shows it a sound at which lips stay as they are. All synthetic, drawn anew for every
seed.
"""

from __future__ import annotations

import numpy as np

from facerig.phones import unit_index
from facerig.rig import rig
from facerig.train import shards
from facerig.train.corpora import sounds, things
from facerig.train.corpora.augment import set_gain
from facerig.train.data import Float, Half
from facerig.train.motion import MEASURES, Motion

SOURCE = "rests"
SECONDS = (3.0, 6.0)  # of one sound
GAIN_DB = (-40.0, -3.0)
KINDS = {**sounds.SOUNDS, "hum": sounds.hum, "noise": sounds.any_noise, **things.THINGS}


def rests(minutes: float, rng: np.random.Generator) -> Motion:
    """So many minutes of all kinds in turn, with the teacher's curves at rest and nothing measured."""
    kinds = list(KINDS)
    feats: list[Half] = []
    while sum(map(len, feats)) < minutes * 60 * 60:
        feats.append(_sound(kinds[len(feats) % len(kinds)], rng))
    silent = [np.full(len(rows), unit_index("sil"), np.uint8) for rows in feats]
    held = shards.stored(feats, silent, [f"{SOURCE}/{k}" for k in range(len(feats))], SOURCE)
    frames = len(held.labels)
    return Motion(held, np.zeros((frames, len(rig("facerig").names)), np.float16), np.ones(frames, np.bool_),
                  np.full((frames, MEASURES), np.nan, np.float32))


def _sound(kind: str, rng: np.random.Generator) -> Half:
    """Features of one sound at a loudness of its own."""
    sound: Float = KINDS[kind](int(rng.uniform(*SECONDS) * sounds.RATE), rng)
    return shards.sound_features(set_gain(sound, float(rng.uniform(*GAIN_DB))))
