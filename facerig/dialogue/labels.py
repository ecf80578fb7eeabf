"""Labels of emotional dialogue data -> mixtures of the rig's twelve points, and where they lie. Knows no time.

The thirteen are those of CPED (Chen et al. 2022, arXiv 2205.14727: dialogues with 13 emotions, 19 dialogue acts and the
speakers' Big Five). Below them are words that other sets use (MELD and EmotionLines: joy, anger, sadness, ...; IEMOCAP:
excited, frustrated). Any name or mixture that `facerig.emotion.space` reads is accepted too.
"""

from __future__ import annotations

from typing import NamedTuple

from facerig.emotion import space
from facerig.emotion.space import Mixture, Vad
from facerig.errors import OptionError, did_you_mean


class Label(NamedTuple):
    """A label: its mixture, its place, and why."""

    mixture: Mixture
    vad: Vad
    why: str


_RATED = "rated by Russell and Mehrabian (1977)"
LABELS: dict[str, Label] = {
    "happy": Label({"happy": 1.0}, space.VAD["happy"], f"the point itself; {_RATED}"),
    "grateful": Label({"happy": 0.6}, Vad(0.61, 0.10, -0.13), f"a small smile; {_RATED} as thankful"),
    "relaxed": Label({"happy": 0.25}, Vad(0.55, -0.40, 0.15), "hardly a smile: low arousal shows little"),
    "positive-other": Label({"happy": 0.4}, Vad(0.50, 0.20, 0.20), "pleased in a way that no label names"),
    "neutral": Label({}, Vad(0.0, 0.0, 0.0), "the origin"),
    "angry": Label({"angry": 1.0}, space.VAD["angry"], f"the point itself; {_RATED}"),
    "sad": Label({"sad": 1.0}, space.VAD["sad"], f"the point itself; {_RATED}"),
    "fear": Label({"fear": 1.0}, space.VAD["fear"], f"the point itself; {_RATED} as fearful"),
    "depressed": Label({"sad": 0.7, "grief": 0.2}, Vad(-0.70, -0.30, -0.45), "sadness that weighs more and moves less"),
    "disgust": Label({"disgust": 1.0}, space.VAD["disgust"], f"the point itself; {_RATED}"),
    "astonished": Label({"surprise": 0.8, "amazement": 0.2}, space.VAD["surprise"], f"{_RATED} as surprised"),
    "worried": Label({"fear": 0.35, "sad": 0.3}, Vad(-0.45, 0.35, -0.35), "brows of both, a weaker mouth"),
    "negative-other": Label({"contempt": 0.25, "sad": 0.2}, Vad(-0.55, 0.16, -0.05),
                            f"displeased in a way that no label names; {_RATED} as displeased"),
}  # fmt: skip
THIRTEEN = tuple(LABELS)
ALIASES = {
    "anger": "angry", "sadness": "sad", "joy": "happy", "happiness": "happy", "depress": "depressed",
    "astonish": "astonished", "surprised": "astonished", "afraid": "fear", "fearful": "fear", "disgusted": "disgust",
    "gratitude": "grateful", "positive": "positive-other", "negative": "negative-other", "other-positive":
    "positive-other", "other-negative": "negative-other",
}  # fmt: skip
OTHERS: dict[str, Label] = {
    "excited": Label({"happy": 0.7, "amazement": 0.3}, Vad(0.62, 0.75, 0.38), f"IEMOCAP; {_RATED}"),
    "frustrated": Label({"angry": 0.45, "sad": 0.25}, Vad(-0.60, 0.40, -0.05), "IEMOCAP: anger that gets nowhere"),
}


def label(name: str) -> Label | None:
    """A label by any of its names."""
    known = name.strip().lower().replace("_", "-").replace(" ", "-")
    known = ALIASES.get(known, known)
    return LABELS.get(known) or OTHERS.get(known)


def mixture(asked: str) -> Mixture:
    """A label, or whatever the space of emotions reads (`happy:0.7,surprise:0.2`)."""
    known = label(asked)
    if known is not None:
        return dict(known.mixture)
    try:
        return space.mixture(asked)
    except OptionError as error:
        if ":" in asked or "," in asked:
            raise
        names = tuple(dict.fromkeys((*THIRTEEN, *OTHERS, *space.NAMES)))
        hint = did_you_mean(asked.lower(), names, 1)
        raise OptionError(f"emotion: got {asked[:60]!r}, accepted: {', '.join(names)}, or weights as "
                          f"happy:0.7,surprise:0.2{hint}") from error


def place(asked: str) -> Vad:
    """Valence, arousal and dominance of a label or a mixture."""
    known = label(asked)
    return known.vad if known is not None else space.vad(mixture(asked))
