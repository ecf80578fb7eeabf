"""The space of emotions: names as mixtures of the twelve points of `controls.EMOTIONS`, and where the points lie.

`neutral` is the origin. Our eight and NVIDIA's ten are the points themselves (NVIDIA's joy, anger and sadness are our
happy, angry and sad); other words that users type are mixtures. Any weighted mixture is legal: weights of 0 to 1, and
where they add up to more than 1 the face shows their proportions (`facerig.emotion.code`). Knows no face and no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerig.controls import EMOTIONS
from facerig.errors import OptionError, did_you_mean

OURS = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise", "contempt")
A2F_NAMES = ("amazement", "anger", "cheekiness", "disgust", "fear", "grief", "joy", "outofbreath", "pain", "sadness")

# A word that is no point of its own, and what it stands for.
WORDS: dict[str, dict[str, float]] = {
    "neutral": {}, "calm": {}, "none": {},
    "joy": {"happy": 1.0}, "happiness": {"happy": 1.0}, "amused": {"happy": 0.7, "cheekiness": 0.3},
    "sadness": {"sad": 1.0}, "boredom": {"sad": 0.3, "contempt": 0.2}, "bored": {"sad": 0.3, "contempt": 0.2},
    "anger": {"angry": 1.0}, "annoyed": {"angry": 0.45}, "afraid": {"fear": 1.0}, "worried": {"fear": 0.35, "sad": 0.3},
    "disgusted": {"disgust": 1.0}, "surprised": {"surprise": 1.0}, "amazed": {"amazement": 1.0},
    "contemptuous": {"contempt": 1.0}, "cheeky": {"cheekiness": 1.0}, "grieving": {"grief": 1.0},
    "out of breath": {"outofbreath": 1.0}, "in pain": {"pain": 1.0},
}  # fmt: skip
NAMES = tuple(dict.fromkeys((*OURS, *A2F_NAMES, *EMOTIONS, *WORDS)))


class Vad(NamedTuple):
    """Valence, arousal, dominance: -1 to 1, 0 is neutral."""

    valence: float
    arousal: float
    dominance: float


# Means that Russell and Mehrabian (1977) report for the words happy, sad, angry, fearful, disgusted, surprised; the
# rest is placed by us beside them: no published rating of these very words was used.
VAD: dict[str, Vad] = {
    "neutral": Vad(0.0, 0.0, 0.0),
    "happy": Vad(0.81, 0.51, 0.46),
    "sad": Vad(-0.63, -0.27, -0.33),
    "angry": Vad(-0.51, 0.59, 0.25),
    "fear": Vad(-0.64, 0.60, -0.43),
    "disgust": Vad(-0.60, 0.35, 0.11),
    "surprise": Vad(0.40, 0.67, -0.13),
    "contempt": Vad(-0.35, 0.05, 0.35),
    "amazement": Vad(0.65, 0.75, -0.05),
    "cheekiness": Vad(0.60, 0.35, 0.50),
    "grief": Vad(-0.80, 0.20, -0.55),
    "outofbreath": Vad(-0.15, 0.65, -0.25),
    "pain": Vad(-0.70, 0.55, -0.50),
}
Mixture = dict[str, float]


def point(name: str) -> Mixture:
    """What a name stands for, as weights of the twelve."""
    known = name.strip().lower()
    if known in EMOTIONS:
        return {known: 1.0}
    if known not in WORDS:
        raise OptionError(f"emotion: got {name[:60]!r}, accepted: {', '.join(NAMES)}{did_you_mean(known, NAMES)}")
    return dict(WORDS[known])


def mixture(asked: str | Mapping[str, float]) -> Mixture:
    """`happy:0.7,surprise:0.2`, `anger`, `neutral` or a mapping of any names -> weights of the twelve."""
    total: Mixture = {}
    for name, weight in (parts(asked) if isinstance(asked, str) else list(asked.items())):
        if not 0 <= weight <= 1:  # NaN fails too
            raise OptionError(f"emotion {name[:60]}: got {weight:g}, accepted: 0 to 1")
        for column, share in point(name).items():
            total[column] = min(1.0, total.get(column, 0.0) + share * weight)
    return {name: total[name] for name in EMOTIONS if total.get(name)}


def parts(text: str) -> list[tuple[str, float]]:
    """`happy:0.7,surprise` -> [("happy", 0.7), ("surprise", 1.0)]; names are not looked up yet."""
    out: list[tuple[str, float]] = []
    for piece in text.replace("=", ":").split(","):
        name, _, number = (side.strip() for side in piece.partition(":"))
        weight = _number(text, number) if number or ":" in piece else 1.0
        if not name or name.lower() in [seen.lower() for seen, _ in out]:
            what = f"{name[:60]!r} twice" if name else f"{text[:60]!r}"
            raise OptionError(f"emotion: got {what}, accepted: names with weights, as happy:0.7,surprise:0.2")
        out.append((name, weight))
    return out


def _number(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise OptionError(f"emotion: got {text[:60]!r}, accepted: names with weights from 0 to 1, as happy:0.7,sad:0.2")
    return value


def named(mixed: Mapping[str, float]) -> str:
    """The text that `mixture` reads: strongest first; `neutral` where nothing is left."""
    strong = sorted(((weight, name) for name, weight in mixed.items() if weight > 0), key=lambda pair: -pair[0])
    return ",".join(f"{name}:{round(weight, 3):g}" for weight, name in strong) or "neutral"


def columns(mixed: Mapping[str, float], group: str = "emotion") -> dict[str, float]:
    """Values for `Controls.replace(frame, group, ...)`: group is `emotion` or `upper`."""
    return {f"{group}:{name}": float(weight) for name, weight in mixed.items()}


def vector(mixed: Mapping[str, float]) -> NDArray[np.float32]:
    """[12] in the order of EMOTIONS."""
    return np.array([mixed.get(name, 0.0) for name in EMOTIONS], np.float32)


def vad(mixed: Mapping[str, float], intensity: float = 1.0) -> Vad:
    """Where a mixture lies: the weighted sum of its points (their mean where the weights exceed 1)."""
    total = max(1.0, sum(mixed.values()))
    sums = [sum(weight * VAD[name][axis] for name, weight in mixed.items()) * intensity / total for axis in range(3)]
    return Vad(*sums)


def a2f(mixed: Mapping[str, float]) -> dict[str, float]:
    """Weights under NVIDIA's ten names; what they have no name for goes to the nearest (`vad`)."""
    own = {"anger": "angry", "joy": "happy", "sadness": "sad"}
    out = {name: mixed.get(own.get(name, name), 0.0) for name in A2F_NAMES}
    out["amazement"] = min(1.0, out["amazement"] + mixed.get("surprise", 0.0))
    out["disgust"] = min(1.0, out["disgust"] + 0.5 * mixed.get("contempt", 0.0))
    out["cheekiness"] = min(1.0, out["cheekiness"] + 0.5 * mixed.get("contempt", 0.0))
    return out
