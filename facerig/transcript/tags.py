"""Inline tags of a text to be spoken: [happy:0.7] sets an emotion until the next one, [pause:0.5] inserts silence.

Gives the pieces to speak and the emotions by word; what an emotion looks like is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from facerig.emotion import space
from facerig.errors import OptionError

# name in a tag: the emotion it stands for; any other name of the space (facerig.emotion.space) stands for itself
EMOTIONS = {
    "neutral": "neutral", "calm": "neutral", "happy": "happiness", "happiness": "happiness", "joy": "happiness",
    "sad": "sadness", "sadness": "sadness", "angry": "anger", "anger": "anger", "afraid": "fear", "fear": "fear",
    "disgust": "disgust", "disgusted": "disgust", "surprised": "surprise", "surprise": "surprise",
    "bored": "boredom", "boredom": "boredom", "contempt": "contempt", "pain": "pain",
}  # fmt: skip
LONGEST_PAUSE = 10.0
_UNSPEAKABLE = re.compile("[\0\ud800-\udfff]")  # what no engine can be given: NUL, and what Python makes of stray bytes
_TAG = re.compile(r"\[\s*([a-zA-Z]+(?:\s+[a-zA-Z]+)*)\s*(?::\s*([^\]\s]*)\s*)?\]")


@dataclass(frozen=True)
class Feeling:
    """An emotion with its strength, from a word on (counted over the whole text) until the next feeling."""

    word: int
    name: str
    strength: float


@dataclass(frozen=True)
class Piece:
    """Text to be spoken in one go, and the seconds of silence after it."""

    text: str
    pause: float = 0.0


def tagged(text: str) -> tuple[list[Piece], list[Feeling]]:
    """The pieces and the feelings of a text with tags; other brackets are refused rather than read aloud."""
    if _UNSPEAKABLE.search(text):
        raise OptionError(f"text: got {text[:60]!r} with a NUL or bytes that are no UTF-8, accepted: text in UTF-8")
    pieces: list[Piece] = []
    feelings: list[Feeling] = []
    held, words, at = "", 0, 0
    for tag in _TAG.finditer(text):
        held += text[at : tag.start()] + " "  # a tag parts words, with blanks around it or without
        at = tag.end()
        name, value = " ".join(tag.group(1).lower().split()), tag.group(2)
        if name == "pause":
            words += len(held.split())
            pieces.append(Piece(" ".join(held.split()), _number(tag.group(), value, 0.3, LONGEST_PAUSE)))
            held = ""
        else:
            feelings.append(Feeling(words + len(held.split()), _emotion(name), _number(tag.group(), value, 1.0, 1.0)))
    held = " ".join((held + text[at:]).split())
    if re.search(r"[\[\]]", held):
        raise OptionError(f"tag: got {text[:60]!r} with a bracket that is no tag, accepted: [happy:0.7], [pause:0.5]")
    if held:
        pieces.append(Piece(held))
    if not any(piece.text for piece in pieces):
        raise OptionError(f"text: got {text[:60]!r}, accepted: words to speak")
    return pieces, feelings


def _emotion(name: str) -> str:
    if name in EMOTIONS:
        return EMOTIONS[name]
    if name in space.NAMES:
        return name
    accepted = sorted({*EMOTIONS, *space.NAMES})
    near = get_close_matches(name, accepted, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise OptionError(f"tag: got [{name}], accepted: pause, {', '.join(accepted)}{hint}")


def _number(tag: str, value: str | None, usual: float, most: float) -> float:
    if value is None or value == "":
        return usual
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise OptionError(f"tag: got {tag}, accepted: a number from 0 to {most:g} after the colon")
    return number
