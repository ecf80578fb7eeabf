"""Instructions in a few plain words -> control changes: "brows up", "a little softer, more jaw", "look left".

The vocabulary is closed and is a table; an instruction changes the controls that it names and no others, and an empty
one changes nothing. It goes on from where the controls are: "more jaw" twice is more than once. Knows no face.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from facerig.controls import COLUMNS, CONTROLS, DEFAULTS, FADE_MS, Controls, place
from facerig.emotion.styles import AXES
from facerig.errors import OptionError, did_you_mean

STEP = 0.35  # of an offset or a style's number: seen at once, and three of them are all there is
GAIN = 0.25  # of a gain


class Step(NamedTuple):
    """A control goes on by `amount`, or (`absolute`) to it."""

    control: str
    amount: float
    absolute: bool = False


def _axis(name: str) -> str:
    return f"style:{[axis.name for axis in AXES].index(name)}"


def _zero(*groups: str) -> tuple[Step, ...]:
    return tuple(Step(name, float(DEFAULTS[place(name)]), True) for name in COLUMNS if name.split(":")[0] in groups)


# what is said: what it does. Of phrases that share a line the first is the one that is told to users.
_TABLE: tuple[tuple[str, tuple[Step, ...]], ...] = (
    ("brows up|raise brows|higher brows", (Step("raise:brows", STEP),)),
    ("brows down|lower brows|frown brows", (Step("raise:brows", -STEP),)),
    ("eyes wider|wider eyes|open eyes", (Step("raise:lids", STEP),)),
    ("eyes narrower|narrower eyes|squint", (Step("raise:lids", -STEP),)),
    ("cheeks up|raise cheeks", (Step("raise:cheeks", STEP),)),
    ("cheeks down|lower cheeks", (Step("raise:cheeks", -STEP),)),
    ("corners up|smile more|smile", (Step("raise:corners", STEP),)),
    ("corners down|smile less|frown", (Step("raise:corners", -STEP),)),
    ("jaw down|open mouth|mouth open", (Step("raise:jaw", STEP),)),
    ("jaw up|close mouth|mouth closed", (Step("raise:jaw", -STEP),)),
    ("more brows", (Step("gain:brows", GAIN),)),
    ("less brows", (Step("gain:brows", -GAIN),)),
    ("more lids|more eyes", (Step("gain:lids", GAIN),)),
    ("less lids|less eyes", (Step("gain:lids", -GAIN),)),
    ("more cheeks", (Step("gain:cheeks", GAIN),)),
    ("less cheeks", (Step("gain:cheeks", -GAIN),)),
    ("more jaw", (Step("gain:jaw", GAIN),)),
    ("less jaw", (Step("gain:jaw", -GAIN),)),
    ("more lips", (Step("gain:lips", GAIN),)),
    ("less lips", (Step("gain:lips", -GAIN),)),
    ("more tongue", (Step("gain:tongue", GAIN),)),
    ("less tongue", (Step("gain:tongue", -GAIN),)),
    ("bigger mouth|more mouth|articulate more", (Step("lip_scale", GAIN),)),
    ("smaller mouth|less mouth|articulate less", (Step("lip_scale", -GAIN),)),
    ("softer|weaker|less intense", (Step("intensity", -0.25),)),
    ("stronger|more intense", (Step("intensity", 0.25),)),
    ("less expression|calmer", (Step("expression_strength", -0.25),)),
    ("more expression", (Step("expression_strength", 0.25),)),
    ("tenser|tense up", (Step(_axis("tension"), STEP),)),
    ("looser|relax", (Step(_axis("tension"), -STEP),)),
    ("crisper|clearer", (Step(_axis("tempo"), STEP),)),
    ("lazier|more slurred", (Step(_axis("tempo"), -STEP),)),
    ("livelier|more lively", (Step(_axis("liveliness"), STEP),)),
    ("stiller brows|less lively", (Step(_axis("liveliness"), -STEP),)),
    ("more awake|more alert", (Step(_axis("alertness"), STEP),)),
    ("sleepier|more tired", (Step(_axis("alertness"), -STEP),)),
    ("more lopsided|more to the left", (Step(_axis("asymmetry"), STEP),)),
    ("more to the right", (Step(_axis("asymmetry"), -STEP),)),
    ("happier", (Step("emotion:happy", STEP),)),
    ("sadder", (Step("emotion:sad", STEP),)),
    ("angrier", (Step("emotion:angry", STEP),)),
    ("more afraid", (Step("emotion:fear", STEP),)),
    ("more disgusted", (Step("emotion:disgust", STEP),)),
    ("more surprised", (Step("emotion:surprise", STEP),)),
    ("more contemptuous", (Step("emotion:contempt", STEP),)),
    ("more amazed", (Step("emotion:amazement", STEP),)),
    ("cheekier", (Step("emotion:cheekiness", STEP),)),
    ("no emotion|neutral", _zero("emotion", "upper")),
    ("no style|plain", _zero("style")),
    ("head still", (Step("life:head", 0.0, True),)),
    ("more head", (Step("life:head", GAIN),)),
    ("less head", (Step("life:head", -GAIN),)),
    ("no blinks|do not blink", (Step("life:blink", 0.0, True),)),
    ("eyes still", (Step("life:gaze", 0.0, True),)),
    ("look left", (Step("look:yaw", 15.0), Step("look:held", 1.0, True))),
    ("look right", (Step("look:yaw", -15.0), Step("look:held", 1.0, True))),
    ("look up", (Step("look:pitch", 10.0), Step("look:held", 1.0, True))),
    ("look down", (Step("look:pitch", -10.0), Step("look:held", 1.0, True))),
    ("look ahead|look at me",
     (Step("look:yaw", 0.0, True), Step("look:pitch", 0.0, True), Step("look:held", 1.0, True))),
    ("look freely", (Step("look:held", 0.0, True),)),
)
DEGREES = {"a little": 0.5, "slightly": 0.5, "a bit": 0.5, "much": 2.0, "a lot": 2.0, "far": 2.0}
PHRASES: dict[str, tuple[Step, ...]] = {phrase: steps for line, steps in _TABLE for phrase in line.split("|")}
VOCABULARY = tuple(line.split("|")[0] for line, _ in _TABLE)
_ORDERED = tuple(sorted(DEGREES, key=len, reverse=True))


def instruct(text: str, now: Mapping[str, float] | None = None) -> dict[str, float]:
    """New values of the controls that the text names; `now` holds the present ones (defaults where it is silent)."""
    out: dict[str, float] = {}
    for phrase in _phrases(text):
        steps, degree = _looked_up(phrase)
        for control, amount, absolute in steps:
            at = place(control)
            have = out.get(control, (now or {}).get(control, float(DEFAULTS[at])))
            wanted = amount if absolute else have + amount * degree
            out[control] = round(min(CONTROLS[at].high, max(CONTROLS[at].low, wanted)), 4)
    return out


def apply(controls: Controls, frame: int, text: str, fade_ms: float = 2 * FADE_MS) -> dict[str, float]:
    """From this frame on; gives what it changed. Nothing is touched where the text is empty."""
    phrases = _phrases(text)
    if not phrases:
        return {}
    now = {name: controls.last(name) for phrase in phrases for name, *_ in _looked_up(phrase)[0]}
    changed = instruct(text, now)
    controls.set(frame, changed, fade_ms)
    return changed


def _phrases(text: str) -> list[str]:
    pieces = re.split(r"[,;.\n]|\band\b", text.lower())
    return [" ".join(piece.split()) for piece in pieces if piece.strip()]


def _looked_up(phrase: str) -> tuple[tuple[Step, ...], float]:
    """The steps of a phrase and the degree that it names."""
    rest, degree = phrase, 1.0
    for words in _ORDERED:
        if re.search(rf"\b{words}\b", rest):
            rest, degree = " ".join(re.sub(rf"\b{words}\b", " ", rest).split()), DEGREES[words]
            break
    rest = rest.removeprefix("the ").removesuffix(" please")
    if rest not in PHRASES:
        hint = did_you_mean(rest.lower(), PHRASES)
        raise OptionError(f"instruction: got {phrase[:60]!r}, accepted: {', '.join(VOCABULARY)}{hint}")
    return PHRASES[rest], degree


