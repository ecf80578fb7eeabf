"""Dialogue acts: what each does to brows, head and gaze around its line, and to the mood. One table, no face, no time.

The names are ours; CPED's nineteen and the usual ones of Switchboard are accepted for them. What goes with what is from
Ekman (1979, About brows: emotional and conversational signals): raised brows with yes-no questions, drawn ones with
wh-questions and with doubt; Chovil (1991, Res. Lang. Soc. Interaction 25: 163-194): displays by speaker and listener;
McClave (2000, J. Pragmatics 32: 855-878): shakes with negation and intensity, nods with agreement, averted head while
planning; Kendon (1967, Acta Psychologica 26: 22-63): looking away at the beginning and back at the end of a turn.
Amplitudes and times are ours, in the middle of what those describe.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from facerig.emotion.space import Vad
from facerig.errors import OptionError, did_you_mean


class Move(NamedTuple):
    """A rise, a hold and a fall of some controls; seconds."""

    where: str
    """`begin`, `end` (both count `at` from there) or `whole` (from begin to end, `hold` unused)."""
    at: float
    rise: float
    hold: float
    fall: float
    by: dict[str, float]
    """Added to the controls, in their units."""
    sided: bool = False
    """Whether the seed chooses the side: yaw, roll and tilt may change sign together."""


STILL = Vad(0.0, 0.0, 0.0)


class Act(NamedTuple):
    """A dialogue act."""

    what: str
    moves: tuple[Move, ...] = ()
    feeling: Vad = STILL
    """What saying it adds to the own mood."""
    warmth: float = 0.0
    """What it tells the person spoken to, -1 to 1: their attitude moves by it."""
    style: tuple[tuple[str, float], ...] = ()
    """Controls over the whole line."""


def _brows(where: str, at: float, rise: float, hold: float, fall: float, up: float) -> Move:
    """Brows up or down beside whatever the face feels."""
    return Move(where, at, rise, hold, fall, {"raise:brows": up})


def _nods(where: str, at: float, count: int, down: float) -> tuple[Move, ...]:
    """Nods of about 2.2 Hz, each smaller than the one before (Hadar et al. 1983: ordinary head movement 1.8-3.7 Hz)."""
    return tuple(Move(where, at + 0.45 * k, 0.18, 0.0, 0.24, {"pose:pitch": -down * 0.75**k}) for k in range(count))


def _shakes(where: str, at: float, count: int, wide: float) -> tuple[Move, ...]:
    sides = ((-1) ** k * wide * 0.8**k for k in range(count))
    return tuple(Move(where, at + 0.30 * k, 0.16, 0.0, 0.20, {"pose:yaw": side}, True) for k, side in enumerate(sides))


def _tilt(where: str, at: float, hold: float, degrees: float) -> Move:
    return Move(where, at, 0.35, hold, 0.5, {"pose:roll": degrees}, True)


_LIVELY, _FLAT = (("style:6", 0.3),), (("style:6", -0.2),)

ACTS: dict[str, Act] = {
    "statement": Act("says what is; the head goes with the voice alone", (
        Move("end", -0.35, 0.20, 0.05, 0.35, {"pose:pitch": -2.0}),)),
    "opinion": Act("says what it thinks; a brow flash at the point", (
        _brows("begin", 0.15, 0.15, 0.20, 0.40, 0.2), _tilt("begin", 0.2, 0.6, 2.5)), style=_LIVELY),
    "question": Act("asks for yes or no: brows up, head forward and up at the end", (
        _brows("end", -0.70, 0.30, 0.75, 0.45, 0.45),
        Move("end", -0.50, 0.30, 0.55, 0.50, {"pose:pitch": 3.0}), _tilt("end", -0.6, 0.6, 3.0))),
    "wh-question": Act("asks who, what, why: brows drawn together, head tilted", (
        _brows("begin", 0.0, 0.25, 0.50, 0.45, -0.3), _brows("end", -0.50, 0.25, 0.50, 0.45, -0.2),
        _tilt("end", -0.7, 0.8, 4.0))),
    "exclamation": Act("calls out: a flash of the brows, the head thrown up, lively", (
        _brows("begin", -0.05, 0.12, 0.30, 0.45, 0.5), Move("begin", -0.05, 0.15, 0.15, 0.40, {"pose:pitch": 4.0})),
        Vad(0.0, 0.12, 0.03), style=(("style:6", 0.5),)),
    "answer": Act("answers: back to the asker at once, a small nod", (*_nods("end", -0.30, 1, 4.0),)),
    "agreement": Act("agrees: two nods", (*_nods("begin", 0.0, 2, 7.0),), Vad(0.06, 0.0, 0.0), 0.5),
    "disagreement": Act("disagrees: shakes the head, brows together", (
        *_shakes("begin", 0.0, 3, 7.0), _brows("begin", 0.0, 0.2, 0.5, 0.5, -0.3)), Vad(-0.08, 0.06, 0.05), -0.4),
    "refusal": Act("refuses: one turn away, eyes away, lips firm", (
        *_shakes("begin", 0.0, 2, 8.0), Move("end", -0.6, 0.3, 0.5, 0.6, {"look:yaw": 12.0, "look:held": 1.0}, True)),
        Vad(-0.08, 0.05, 0.10), -0.5, (("style:2", 0.3),)),
    "apology": Act("is sorry: brows up inside, head and eyes down, less movement", (
        Move("whole", -0.1, 0.35, 0.0, 0.60, {"pose:pitch": -5.0, "look:pitch": -9.0, "look:held": 0.5}),
        Move("whole", -0.1, 0.35, 0.0, 0.60, {"upper:sad": 0.45, "upper:held": 0.6, "raise:brows": 0.15})),
        Vad(-0.10, -0.04, -0.15), 0.4, _FLAT),
    "thanking": Act("thanks: a bow of the head, a warmer face", (
        Move("begin", 0.0, 0.25, 0.15, 0.45, {"pose:pitch": -6.0}),), Vad(0.10, 0.02, -0.03), 0.6,
        (("raise:corners", 0.15),)),
    "appreciation": Act("praises: brows up, a nod, a warmer face", (
        _brows("begin", 0.0, 0.15, 0.30, 0.40, 0.3), *_nods("end", -0.4, 1, 5.0)), Vad(0.10, 0.06, 0.0), 0.7,
        (("raise:corners", 0.2), ("style:6", 0.3))),
    "greeting": Act("greets: the brow flash of a sixth of a second, head up and down", (
        _brows("begin", -0.15, 0.12, 0.17, 0.35, 0.5), Move("begin", -0.10, 0.18, 0.05, 0.25, {"pose:pitch": 4.0}),
        Move("begin", 0.35, 0.18, 0.05, 0.30, {"pose:pitch": -4.0})), Vad(0.05, 0.05, 0.0), 0.3,
        (("raise:corners", 0.15),)),
    "farewell": Act("takes leave: nods, eyes leave at the end", (
        *_nods("begin", 0.1, 2, 5.0),
        Move("end", 0.1, 0.3, 0.8, 0.6, {"look:yaw": 10.0, "look:pitch": -6.0, "look:held": 1.0}, True)),
        Vad(0.02, -0.05, 0.0), 0.1),
    "backchannel": Act("shows that it listens: one nod, short brows", (
        *_nods("begin", -0.05, 1, 5.0), _brows("begin", 0.0, 0.12, 0.10, 0.30, 0.15)), warmth=0.15),
    "command": Act("tells what to do: head forward and down, steady eyes, hard lids", (
        Move("whole", -0.1, 0.25, 0.0, 0.45, {"pose:pitch": -3.0, "look:held": 0.3}), *_nods("end", -0.35, 1, 5.0)),
        Vad(0.0, 0.08, 0.15), -0.2, (("style:2", 0.25), ("style:3", 0.2))),
    "irony": Act("means the opposite: one side of the mouth, lids low, head back", (
        Move("whole", 0.0, 0.3, 0.0, 0.5, {"pose:pitch": 2.5, "upper:contempt": 0.3, "upper:held": 0.5,
                                             "raise:lids": -0.25}),
        _tilt("end", -0.5, 0.5, 4.0)), Vad(0.0, 0.03, 0.08), -0.3, (("style:4", 0.5), ("style:6", -0.2))),
    "comfort": Act("comforts: brows up inside, head tilted, slow", (
        Move("whole", -0.1, 0.4, 0.0, 0.6, {"upper:sad": 0.35, "upper:held": 0.5, "raise:brows": 0.12}),
        _tilt("begin", 0.0, 1.2, 5.0)),
        Vad(0.03, -0.08, 0.03), 0.7, (("style:2", -0.2), ("style:6", -0.1))),
    "hesitation": Act("does not know yet: eyes up and away, brows together, head aside", (
        Move("begin", 0.0, 0.2, 0.9, 0.4,
             {"look:yaw": 14.0, "look:pitch": 9.0, "look:held": 1.0, "pose:yaw": 4.0}, True),
        _brows("begin", 0.0, 0.2, 0.7, 0.4, -0.2)), Vad(-0.03, 0.03, -0.08), style=_FLAT),
}  # fmt: skip

# names of CPED (19), DailyDialog and Switchboard -> ours
ALIASES = {
    "statement-non-opinion": "statement", "statement-opinion": "opinion", "sd": "statement", "sv": "opinion",
    "inform": "statement", "quotation": "statement", "other": "statement", "yes-no-question": "question",
    "qy": "question", "qw": "wh-question", "acknowledge": "backchannel", "acknowledgement": "backchannel",
    "accept": "agreement", "agree": "agreement", "disagree": "disagreement", "reject": "refusal", "refuse": "refusal",
    "apologize": "apology",
    "apologise": "apology", "thanks": "thanking", "thank": "thanking", "greet": "greeting", "conventional-closing":
    "farewell", "closing": "farewell", "goodbye": "farewell", "interjection": "exclamation", "directive": "command",
    "order": "command", "praise": "appreciation", "ask": "question", "hesitate": "hesitation",
}  # fmt: skip

# first words, lower case -> act; English, since a guess from words alone needs a language. Punctuation comes after.
_FIRST = (
    ("backchannel", r"(mm+|mhm+|uh[- ]?huh|i see|go on)\W*$"),
    ("greeting", r"(hi|hello|hey( there)?|good (morning|evening|afternoon)|welcome)\b"),
    ("farewell", r"(bye|goodbye|see you|good night|farewell)\b"),
    ("thanking", r"(thanks|thank you|many thanks)\b"),
    ("apology", r"((i'?m|i am) (so |very |really )?sorry|sorry|forgive me|my apologies|excuse me)\b"),
    ("hesitation", r"((er+|uh+m*|um+|hm+)\b|well\W*(,|\.\.|…))"),
)
_SECOND = (
    ("agreement", r"(yes|yeah|yep|right|exactly|of course|sure|okay|ok|agreed|true|indeed)\b"),
    ("disagreement", r"(no|nope|never|not at all|nonsense)\b"),
)
_ASKS = (r"(and |but |so |then )?(what|who|whom|whose|where|when|why|how|which|wer|was|wo|wann|warum|wie|qu[eé]|"
         r"qui[eé]n|d[oó]nde|cu[aá]ndo|c[oó]mo|qui|quoi|o[uù]|quand|pourquoi|comment)\b")


def act(name: str) -> Act:
    return ACTS[known(name)]


def known(name: str) -> str:
    """Our name for an act's name."""
    given = name.strip().lower().replace("_", "-").replace(" ", "-")
    found = ALIASES.get(given, given)
    if found not in ACTS:
        hint = did_you_mean(given, (*ACTS, *ALIASES), 1)
        raise OptionError(f"act: got {name[:60]!r}, accepted: {', '.join(ACTS)}{hint}")
    return found


def guessed(text: str) -> str:
    """An act from punctuation and first words; `statement` where they say nothing that is known."""
    plain = re.sub(r"\[[^\]]*\]", " ", text).strip().lower().lstrip("¿¡\"'“„»- ")
    for name, pattern in _FIRST:
        if re.match(pattern, plain):
            return name
    end = plain.rstrip("\"'”“» ")[-3:]
    if "?" in end or "？" in end:
        asked = re.split(r"(?<=[.!?…])\s+", plain)[-1].lstrip("¿ ")
        return "wh-question" if re.match(_ASKS, asked) else "question"
    for name, pattern in _SECOND:
        if re.match(pattern, plain):
            return name
    return "exclamation" if "!" in end or "！" in end else "statement"
