"""What a viewer sees of the curves: lips that meet on a head, a mouth at rest in silence, smooth motion in range.

"Closed" is a lip gap on the head of at most the neutral face's own plus CLOSED_MM: as closed as when nobody speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facerig.heads.landmarks import MouthMap, mouth_measures
from facerig.mesh import Head
from facerig.phones import Timed, units
from facerig.train.corpora.base import data_folder
from facerig.train.evaluate.events import (
    FPS,
    NEITHER,
    TOLERANCE,
    Event,
    Matches,
    matched,
    near,
    percent,
    runs,
    spoken_events,
    stretches,
)
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.systems import CHANNELS, Floats, Output

CLOSED_MM = 0.5
OPEN_HEIGHTS = ("open", "near-open", "open-mid")
SHORTEST_VOWEL = 0.06  # seconds: shorter ones are reduced and may be closed on a real face too
FAR_FROM_SPEECH = 0.2  # seconds beside speech in which an opening or closing mouth is no fault
AFTER_END = 0.2
TAIL = 1.0  # seconds of silence appended to see the mouth close
JAW = CHANNELS.index("jawOpen")
MOUTH = [i for i, name in enumerate(CHANNELS) if name.startswith(("jaw", "mouth"))]


@lru_cache(maxsize=1)
def reference_head() -> Head:
    """The head that lips are judged on: ICT-FaceKit's where its data is at hand, else the built-in one."""
    folder = data_folder() / "heads" / "ict_facekit"
    if folder.is_dir():
        from facerig.heads.ict import load_ict

        return load_ict(folder)
    from facerig.heads.builtin import builtin_head

    return builtin_head()


@lru_cache(maxsize=1)
def reference_mouth() -> MouthMap:
    return mouth_measures(reference_head(), CHANNELS)


def lip_gap(curves: Floats) -> Floats:
    """[frames] millimetres over the neutral face's gap."""
    mouth = reference_mouth()
    column = mouth.index("gap")
    return np.asarray(curves @ mouth.matrix[:, column], np.float32)


@dataclass
class Shown:
    """Adds up over clips; `figures` gives the rates."""

    closures: Matches = field(default_factory=Matches)
    wanted: int = 0
    closed: int = 0
    vowels: int = 0
    vowels_closed: int = 0
    silence: list[Floats] = field(default_factory=list)
    silence_gap: list[Floats] = field(default_factory=list)
    jerks: list[float] = field(default_factory=list)
    jitters: list[float] = field(default_factory=list)
    values: int = 0
    outside: int = 0

    def add(self, clip: Clip, output: Output) -> None:
        if output.curves is None:
            return
        gap = lip_gap(output.curves)
        if clip.timed:
            self._closures(clip, gap)
            still = far_silence(clip.timed, clip.frames)
            self.silence.append(output.curves[still, JAW])
            self.silence_gap.append(gap[still])
        self._smoothness(output.curves)
        raw = output.raw if output.raw is not None else output.curves
        self.values += raw.size
        self.outside += int(((raw < -0.02) | (raw > 1.02)).sum())

    def _closures(self, clip: Clip, gap: Floats) -> None:
        wanted = spoken_events(clip.timed, "bilabial")
        shut = runs(-gap, -CLOSED_MM)
        self.wanted += len(wanted)
        self.closed += sum(_touched(event, shut, TOLERANCE) for event in wanted)
        vowels = open_vowels(clip.timed, wanted)
        self.vowels += len(vowels)
        self.vowels_closed += sum(_touched(event, shut, 0.0) for event in vowels)
        hits = {found for _, found in matched(wanted, shut, near)}
        claims = [event for k, event in enumerate(shut) if k in hits or _in_speech(event, clip.timed)]
        self.closures.add(wanted, claims, stretches(clip.timed, NEITHER))

    def _smoothness(self, curves: Floats) -> None:
        mouth = curves[:, MOUTH]
        if len(mouth) < 8:
            return
        speed = np.abs(np.diff(mouth, axis=0)).mean()
        if speed > 1e-6:
            self.jerks.append(float(np.abs(np.diff(mouth, 3, axis=0)).mean() / speed))
            spectrum = np.abs(np.fft.rfft(mouth - mouth.mean(axis=0), axis=0)) ** 2
            fast = np.fft.rfftfreq(len(mouth), 1 / FPS) > 12.0  # lips hardly move faster than that
            self.jitters.append(float(spectrum[fast].sum() / max(spectrum.sum(), 1e-9)))

    def figures(self) -> dict[str, float | int | None]:
        silence, gap = (np.concatenate(x) if x else np.zeros(0) for x in (self.silence, self.silence_gap))
        return {
            "closed_at_pbm": percent(self.closed, self.wanted),
            "closed_in_open_vowels": percent(self.vowels_closed, self.vowels),
            **{k: v for k, v in self.closures.figures("gap_").items() if k in ("gap_recall", "gap_precision",
                                                                               "gap_onset_error_ms")},
            "jaw_in_silence": round(float(silence.mean()), 4) if len(silence) else None,
            "gap_in_silence_mm": round(float(gap.mean()), 3) if len(gap) else None,
            "open_in_silence": percent(float((gap > 1.0).sum()), len(gap)),
            "jerk": round(float(np.mean(self.jerks)), 3) if self.jerks else None,
            "jitter": round(float(np.mean(self.jitters)), 4) if self.jitters else None,
            "out_of_range": percent(self.outside, self.values),
        }  # fmt: skip


def open_vowels(timed: Sequence[Timed], contacts: Sequence[Event]) -> list[Event]:
    """The middle halves of open vowels, clear of every bilabial's tolerance."""
    heights = {unit.unit for unit in units() if unit.is_vowel and unit.height in OPEN_HEIGHTS}
    out = []
    for start, end, name in timed:
        if name in heights and end - start >= SHORTEST_VOWEL:
            quarter = (end - start) / 4
            event = Event(start + quarter, end - quarter)
            if not any(_touched(event, [contact], TOLERANCE) for contact in contacts):
                out.append(event)
    return out


def _touched(event: Event, others: Sequence[Event], within: float) -> bool:
    return any(other.start < event.end + within and other.end > event.start - within for other in others)


def _in_speech(event: Event, timed: Sequence[Timed]) -> bool:
    """Whether half of it or more lies in spoken units: lips that meet in a pause are no claim of a "p", and those of a
    mouth at rest part a little after the first sound has begun, or meet a little before the last has ended."""
    silent = {unit.unit for unit in units() if unit.is_silence}
    spoken = (min(t.end, event.end) - max(t.start, event.start) for t in timed if t.unit not in silent)
    return sum(max(0.0, part) for part in spoken) >= (event.end - event.start) / 2


def far_silence(timed: Sequence[Timed], frames: int) -> NDArray[np.bool_]:
    """[frames] labelled silence at least FAR_FROM_SPEECH from any spoken unit."""
    silent = {unit.unit for unit in units() if unit.is_silence}
    still = np.zeros(frames, bool)
    for start, end, name in timed:
        if name in silent:
            still[max(0, int(np.ceil(start * FPS))) : int(end * FPS)] = True
    reach = FAR_FROM_SPEECH
    for start, end, name in timed:
        if name not in silent:
            still[max(0, int((start - reach) * FPS)) : int(np.ceil((end + reach) * FPS)) + 1] = False
    return still


def with_tail(clip: Clip) -> Clip:
    """The clip cut where its speech ends hard (its last loud sample), followed by a second of digital silence."""
    samples = np.concatenate([clip.samples, np.zeros(round(TAIL * clip.rate), np.float32)])
    return Clip(f"{clip.id}+tail", clip.set, clip.language, clip.speaker, samples, clip.rate)


def after_end(clip: Clip, output: Output) -> tuple[float, float]:
    """(largest jaw, largest gap in mm) from 200 ms after the sound's end, for a clip made by `with_tail`."""
    assert output.curves is not None
    first = round((clip.seconds - TAIL + AFTER_END) * FPS)
    rest = output.curves[first:]
    return float(rest[:, JAW].max(initial=0)), float(lip_gap(rest).max(initial=0))
