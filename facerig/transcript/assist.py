"""A transcript beside the audio: what the model heard is corrected by what is known to be said.

The curves move by the difference between the rule face of the corrected belief and that of the model's own belief, and
the contacts become those of the phones; all that the model knows beyond phones (loudness, manner) stays, and so does
all that it heard where the transcript knows a word only as unknown. No transcript changes nothing: this path is not
taken. Offline, since a transcript is aligned to the whole clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from facerig.curves import Curves, Mark
from facerig.errors import check_option
from facerig.model.runtime import ModelStage
from facerig.phones import Timed, flag_of_units, units
from facerig.resample import Resample
from facerig.rig import rig
from facerig.stage import FPS, RATE, SAMPLES, Chain, Frames, Stage, State, run
from facerig.transcript.align import aligned, unheard, within, worded
from facerig.transcript.articulation import Style, expected, loudness, soft_raster, teach
from facerig.transcript.read import Transcript, Word
from facerig.transcript.tables import Floats, native_channels

TRUST = 0.9  # share of the phones in the corrected belief; the rest is for labels that are wrong
BLOCK = 60


@dataclass(frozen=True)
class Assistance:
    """What a transcript gave: curves, and when each unit was found to be spoken."""

    curves: Curves
    timed: tuple[Timed, ...]


@dataclass(frozen=True, eq=False)
class Located:
    """A clip whose units were found: what the model heard, and what was said."""

    native: Frames
    timed: tuple[Timed, ...]
    words: tuple[Word, ...]
    features: Frames
    model: ModelStage | None
    belief: Floats | None
    unknown: tuple[tuple[float, float], ...] = ()

    def columns(self, trust: float = TRUST, condition: Frames | None = None, before: Frames | None = None) -> Frames:
        """[frames, columns of the model], corrected; `condition` has a row a frame, zeros where it is left out. With
        `before`, the condition of silent frames before the clip, their columns stand before the clip's."""
        if self.model is None or self.belief is None:  # a model without posteriors: the face by rule
            return np.asarray(teach(self.timed, len(self.native), loud(self.native)), np.float32)
        features, lead = self.features, 0 if before is None else len(before)
        if condition is not None or before is not None:
            features = self._with(condition, before, self.model.delay)
        raw, evidence, _ = self.model.posteriors(features)
        count, energy = len(self.native), loud(self.native)
        sure, own = trust * (1 - shares(self.unknown, count)), slice(lead, lead + count)
        raw[own], evidence[own] = corrected(self.model, raw[own], evidence[own], self.belief, self.timed, energy, sure)
        return np.concatenate([raw, evidence], axis=1)[: lead + count].astype(np.float32)

    def _with(self, condition: Frames | None, before: Frames | None, late: int) -> Frames:
        """Features with the condition beside them, as late as the output that it is for; silent ones for `before`."""
        width = next(one.shape[1] for one in (condition, before) if one is not None)
        nothing, own = np.zeros((0, width), np.float32), np.zeros((len(self.native), width), np.float32)
        earlier, own = nothing if before is None else before, own if condition is None else condition
        silence = self.features.min(axis=0, initial=0)[None]
        features = np.concatenate([np.repeat(silence, len(earlier), axis=0), self.features,
                                   np.repeat(silence, late, axis=0)])
        held = np.concatenate([np.zeros((late, width), np.float32), earlier, own])
        return np.concatenate([features, held], axis=1)


def located(stages: Sequence[Stage], native: Frames, transcript: Transcript, language: str = "en") -> Located:
    """When each unit of a transcript is spoken in [frames, 400] of sound."""
    transcript = within(transcript, len(native) / FPS)
    place = next((k for k, stage in enumerate(stages) if isinstance(stage, ModelStage)), None)
    if place is None:  # the words in proportion
        timed = unheard(transcript, len(native) / FPS, language)
        return Located(native, tuple(timed), worded(transcript, timed, language), native, None, None)
    model = stages[place]
    assert isinstance(model, ModelStage)
    features = run(Chain(tuple(stages[:place])), native, BLOCK)
    _, _, belief = model.posteriors(features)
    timed = aligned(transcript, belief, language)
    words = worded(transcript, timed, language)
    return Located(native, tuple(timed), words, features, model, belief, transcript.unknown)


def assisted(stages: Sequence[Stage], samples: Frames, rate: int, transcript: Transcript, language: str = "en",
             trust: float = TRUST) -> Assistance:  # fmt: skip
    """Neutral curves of a clip from a speech path's stages and a transcript; mono samples in -1..1."""
    check_option("trust", trust, "a number from 0 to 1", 0 <= trust <= 1)
    found = located(stages, resampled(samples, rate), transcript, language)
    columns = found.columns(trust)
    if found.model is not None:
        after = stages[list(stages).index(found.model) + 1 :]
        columns = run(Chain((Told(columns, found.model.delay), *after)), columns, BLOCK)  # as late as if it were heard
    return Assistance(_curves(columns), found.timed)


@dataclass(frozen=True, eq=False)
class Told:
    """Columns that are known already, in the place of a model: whatever it hears, it says them, `delay` frames late."""

    columns: Frames
    delay: int

    @property
    def memory(self) -> int:
        return self.delay

    def start(self) -> State:
        return (np.zeros(1, np.int64),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        count, first = len(frames), int(state[0][0]) - self.delay
        out = np.zeros((count, self.columns.shape[1]), np.float32)
        known = np.arange(max(0, first), max(0, min(first + count, len(self.columns))))
        out[known - first] = self.columns[known]
        return (state[0] + count,), out


def corrected(model: ModelStage, raw: Floats, evidence: Floats, belief: Floats, timed: Sequence[Timed], energy: Floats,
              trust: Floats) -> tuple[Floats, Floats]:  # fmt: skip
    """The model's curves and contacts, moved to where the phones say, in each frame as far as they are trusted."""
    known = soft_raster(timed, len(belief))
    better = (1 - trust[:, None]) * belief + trust[:, None] * known
    change = expected(better, energy) - expected(belief, energy)
    order = [native_channels().index(name) for name in model.channels]
    contacts = evidence.copy()
    names = [name.removeprefix("contact:") for name in model.columns if name.startswith("contact:")]
    speech = ~flag_of_units("is_silence")
    for name, flags, ahead in (("bilabial", flag_of_units("bilabial"), 0),
                               ("labiodental", flag_of_units("labiodental"), 0),
                               ("speech", speech, 0), ("soon", speech, model.delay)):  # fmt: skip
        if name in names:
            column, then = names.index(name), np.minimum(np.arange(len(known)) + ahead, len(known) - 1)
            contacts[:, column] += trust[then] * (known[then][:, flags].sum(axis=1) - contacts[:, column])
    return np.asarray(raw + change[:, order], np.float32), contacts


def shares(spans: Sequence[tuple[float, float]], frames: int) -> Floats:
    """[frames] the share of the 1/60 s around each frame's instant that lies in one of these spans."""
    edges = (np.arange(frames + 1) - 0.5) / FPS
    out = np.zeros(frames, np.float32)
    for start, end in spans:
        out += np.diff(np.clip(edges, start, max(start, end))).astype(np.float32) * FPS
    return np.minimum(out, 1)


def phones_only(timed: Sequence[Timed], seconds: float | None = None, style: Style | None = None) -> Curves:
    """The face of timed phones with no sound at all, until 0.3 s after the last of them."""
    end = max((t.end for t in timed), default=0.0) + 0.3
    return with_marks(_curves(teach(timed, int(np.ceil((seconds or end) * FPS)), style=style)), timed)


def soundless(transcript: Transcript, language: str = "en") -> Curves:
    """The face of a transcript without its sound: phones as timed, words in their times, text at a usual pace."""
    timed = unheard(transcript, None, language)
    return with_marks(phones_only(timed), (), worded(transcript, timed, language))


def with_marks(curves: Curves, timed: Sequence[Timed], words: Sequence[Word] = ()) -> Curves:
    """Curves that carry their phones and words as marks."""
    silent = {unit.unit for unit in units() if unit.is_silence}
    said = [*((t.start, t.end, "phone", t.unit) for t in timed if t.unit not in silent),
            *((word.start, word.end, "word", word.text) for word in words)]  # fmt: skip
    marks = [Mark(round(start * FPS), max(round(start * FPS), round(end * FPS)), kind, label)
             for start, end, kind, label in said]  # fmt: skip
    return replace(curves, marks=(*curves.marks, *marks))


def resampled(samples: Frames, rate: int) -> Frames:
    """[frames, 400] at the native rate."""
    edge = Resample(rate)
    state, frames = edge.push(edge.start(), np.asarray(samples, np.float32))
    return np.concatenate([frames, edge.flush(state)])


def loud(native: Frames) -> Floats:
    return loudness(native.reshape(-1), RATE, len(native.reshape(-1)) // SAMPLES)


def _curves(values: Floats) -> Curves:
    return Curves(rig("facerig").names, FPS, values)
