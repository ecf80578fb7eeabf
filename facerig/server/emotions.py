"""What the server knows of emotions: names, NVIDIA's ten as mixtures of ours, and what each adds to a neutral face.

A stand-in for a model that was trained on emotion: additive shapes on brows, lids, cheeks, nose and mouth corners,
after the action units of the FACS literature (AU6+12 happy, 1+4+15 sad, 4+5+7+23 angry, 1+2+4+5+20 fear, 9+10
disgust, 1+2+5+26 surprise, 12+14 on one side contempt). None touches a channel that closes the lips, so a smiling "p"
still closes. """

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

# emotion, then channel stem (both sides where it has sides) = weight at full intensity
FACES: tuple[tuple[str, dict[str, float]], ...] = (
    ("neutral", {}),
    ("happy", {"mouthSmile": 0.55, "cheekSquint": 0.45, "eyeSquint": 0.25}),
    ("sad", {"browInnerUp": 0.65, "browDown": 0.15, "mouthFrown": 0.45, "eyeSquint": 0.15, "eyeLookDown": 0.10}),
    ("angry", {"browDown": 0.75, "eyeWide": 0.20, "eyeSquint": 0.25, "noseSneer": 0.30, "mouthFrown": 0.15}),
    ("fear", {"browInnerUp": 0.60, "browOuterUp": 0.35, "browDown": 0.15, "eyeWide": 0.60, "mouthStretch": 0.35}),
    ("disgust", {"noseSneer": 0.65, "browDown": 0.35, "cheekSquint": 0.25, "eyeSquint": 0.25, "mouthFrown": 0.20}),
    ("surprise", {"browInnerUp": 0.60, "browOuterUp": 0.65, "eyeWide": 0.55}),
    ("contempt", {"mouthSmileLeft": 0.35, "mouthDimpleLeft": 0.40, "eyeSquint": 0.10, "browOuterUpLeft": 0.15}),
)

# NVIDIA's name -> ours
A2F: tuple[tuple[str, dict[str, float]], ...] = (
    ("amazement", {"surprise": 1.0}),
    ("anger", {"angry": 1.0}),
    ("cheekiness", {"happy": 0.5, "contempt": 0.5}),
    ("disgust", {"disgust": 1.0}),
    ("fear", {"fear": 1.0}),
    ("grief", {"sad": 1.0, "fear": 0.2}),
    ("joy", {"happy": 1.0}),
    ("outofbreath", {"surprise": 0.3, "fear": 0.2}),
    ("pain", {"disgust": 0.6, "sad": 0.5}),
    ("sadness", {"sad": 1.0}),
)

A2F_NAMES = tuple(name for name, _ in A2F)
NAMES = tuple(name for name, _ in FACES) + tuple(name for name in A2F_NAMES if name not in dict(FACES))


def mixture(weights: Mapping[str, float]) -> dict[str, float]:
    """Any of NAMES -> our eight."""
    faces, foreign, total = dict(FACES), dict(A2F), dict.fromkeys(dict(FACES), 0.0)
    for name, weight in weights.items():
        for part, share in ({name: 1.0} if name in faces else foreign[name]).items():
            total[part] += share * weight
    return {name: weight for name, weight in total.items() if weight}


def face(weights: Mapping[str, float], channels: Sequence[str]) -> Vector:
    """What a mixture adds to each channel."""
    out, faces = np.zeros(len(channels), np.float32), dict(FACES)
    for name, weight in mixture(weights).items():
        for stem, amount in faces[name].items():
            for place, channel in enumerate(channels):
                if channel in (stem, f"{stem}Left", f"{stem}Right"):
                    out[place] += np.float32(weight * amount)
    return out
