"""Figures that others published of rhubarb on the clips of two sets, and ours by the same measure. Runs no rhubarb.

The measure: labelled p b m with closed lips within 40 ms, open vowels with closed lips inside, silences with open lips
inside. Rhubarb's shapes A and X are closed, the others open; ours are closed and open as everywhere here (`shown`: at
most 0.5 mm, over 1 mm on a head). What "inside" meant there is not known, so two readings are counted: wrong at any
instant of the stretch's middle half, the strictest, by which the verdict goes; and wrong at its very middle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from facerig.phones import Timed, units
from facerig.train.evaluate.events import TOLERANCE, Event, percent, runs, spoken_events, stretches
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.shown import CLOSED_MM, lip_gap, open_vowels
from facerig.train.evaluate.systems import Output

APART_MM = 1.0  # as `shown` counts open lips in silence
SHORTEST_SILENCE = 0.1  # seconds: in shorter ones lips hardly have the time to meet
KINDS = ("missed", "closed_vowels", "open_silences")
MIDDLE = ("missed", "closed_vowels_at_middle", "open_silences_at_middle")
SOURCE = ("rhubarb 1.14, phonetic recogniser, on the same 26 and 41 clips: figures of another's run, which the program "
          "here could not repeat; labels and the edges of vowels and silences may differ from ours")  # fmt: skip
# set: percent of p b m missed, of open vowels with closed lips, of silences with open lips
CLIPS = {"ljspeech": 26, "css10_es": 41}  # that the figures are of
RHUBARB: dict[str, tuple[float, float, float]] = {"ljspeech": (53.0, 5.0, 44.0), "css10_es": (25.0, 14.0, 20.0)}


@dataclass
class Measure:
    """Adds up over clips; `figures` gives percentages of errors."""

    wrong: Counter[str] = field(default_factory=Counter)
    of: Counter[str] = field(default_factory=Counter)

    def add(self, clip: Clip, output: Output) -> None:
        if output.curves is None or not clip.timed:
            return
        gap = lip_gap(output.curves)
        shut, apart = runs(-gap, -CLOSED_MM), runs(gap, APART_MM)
        wanted = spoken_events(clip.timed, "bilabial")
        vowels, silences = open_vowels(clip.timed, wanted), silent(clip.timed)
        self._count("missed", [not _touched(event, shut, TOLERANCE) for event in wanted])
        for kind, held, fault in (("closed_vowels", vowels, shut), ("open_silences", silences, apart)):
            self._count(kind, [_touched(event, fault) for event in held])
            self._count(f"{kind}_at_middle", [_touched(_middle(event), fault) for event in held])

    def _count(self, kind: str, wrong: Sequence[bool]) -> None:
        self.wrong[kind] += sum(wrong)
        self.of[kind] += len(wrong)

    def figures(self) -> dict[str, float | None]:
        return {kind: percent(self.wrong[kind], self.of[kind]) for kind in (*KINDS, *MIDDLE[1:])}


def silent(timed: Sequence[Timed]) -> list[Event]:
    """The middle halves of labelled silences."""
    held = stretches(timed, {unit.unit for unit in units() if unit.is_silence})
    quarters = [(event, (event.end - event.start) / 4) for event in held]
    return [Event(start + q, end - q) for (start, end), q in quarters if end - start >= SHORTEST_SILENCE]


def _touched(event: Event, others: Sequence[Event], within: float = 0.0) -> bool:
    return any(other.start < event.end + within and other.end > event.start - within for other in others)


def _middle(event: Event) -> Event:
    return Event((event.start + event.end) / 2, (event.start + event.end) / 2)


def compared(table: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Per set that was run and published: both sides' errors, and how many times fewer ours are, kind by kind and in
    all (sums of the three percentages), in both readings. Figures of fewer clips than theirs stand beside nothing."""
    out: dict[str, Any] = {}
    short: dict[str, str] = {}
    for name, theirs in RHUBARB.items():
        held = table.get(name, {})
        if held and held["clips"] != CLIPS[name]:
            short[name] = f"not compared: {held['clips']} of the {CLIPS[name]} clips were run that the figures are of"
            continue
        ours = held.get("systems", {}).get(model, {}).get("errors")
        if not ours or None in ours.values():
            continue
        rows = {kind: _beside(ours[kind], other) for kinds in (KINDS, MIDDLE)
                for kind, other in zip(kinds, theirs, strict=True)}  # fmt: skip
        rows["all"] = _beside(sum(ours[kind] for kind in KINDS), sum(theirs))
        rows["all_at_middle"] = _beside(sum(ours[kind] for kind in MIDDLE), sum(theirs))
        out[name] = rows
    return {"source": SOURCE, "sets": out, "left_out": short} if out or short else {}


def _beside(ours: float, theirs: float) -> dict[str, float | None]:
    ours = round(ours, 1)
    return {"ours": ours, "published": theirs, "times_fewer": round(theirs / ours, 2) if ours else None}
