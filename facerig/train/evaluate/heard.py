"""How well emotion is heard from unseen speakers of EMO-DB: figures, chance, ceiling, baselines, and what it costs.

The shipped weights know all eight speakers, so they are never judged here: for each speaker new ones are fitted without
him, by the very code that trains the shipped ones. Acted German speech in a quiet room, and no more than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.controls import EMOTIONS, rows_of
from facerig.emotion import window
from facerig.emotion.ear import CLASSES, FACELESS, Ear, reading
from facerig.emotion.heard import Heard, load
from facerig.emotion.voice import Voice
from facerig.errors import InputError
from facerig.features import FEATURES
from facerig.pipeline import Animator
from facerig.stage import FPS, SAMPLES, Frames, Stage
from facerig.train.heard import described, judged, reading_of, row, set_of, usual
from facerig.train.heard_data import Acted, emodb, features, readers
from facerig.train.heard_fit import FOUR, JUDGED, RECIPES, Outcome, Recipe, Set, fit, leave_one_out, recall_of
from facerig.train.heard_spoken import ordinary, series

SHOWN_LABELS = ("angry", "happy", "sad", "fear", "disgust")
PLAIN_TO_SEE = 0.15  # a share from which on a face looks moved
TARGETS = {"uar7": 0.65, "uar4": 0.75, "cost_share": 0.20}
BLOCK, TIMED = 6, 300
Tell = Callable[[str], None]


def evaluate(quick: bool = False, tell: Tell = lambda text: None) -> dict[str, Any]:
    """One JSON object. `quick` fixes the recipe instead of choosing it: a figure to look at, not to report."""
    clips = emodb()
    if not clips:
        raise InputError("EMO-DB is not at hand; accepted: the folder of data sets in $FACERIG_DATA or ../shared/data")
    heard = load()
    ear_voice = heard.ear.voice
    tell("statistics of the clips")
    data = set_of(clips, ear_voice)
    plain = reading_of([*readers(), *ordinary()], data, ear_voice, 2)
    outcome = leave_one_out(data, RECIPES[2:3] if quick else RECIPES, tell, plain)
    tell("readers, prosody, answers in time, baselines, cost")
    recipe = usual(outcome)
    result = {
        "figures": judged(data, outcome),
        "chance": {"uar7": round(1 / len(CLASSES), 4), "uar4": round(1 / len(FOUR), 4)},
        "ceiling": ceiling(clips), "baselines": baselines(data, clips, ear_voice),
        "readers": unmoved(data, plain, recipe), "prosody": excited(heard.ear),
        "in_time": in_time(clips, heard, outcome), "cost": cost(heard),
        "look_ahead_frames": heard.delay, "memory_frames": heard.memory, "quick": quick,
        "speech": "acted, German, eight speakers, clips of at most 2 s, one quiet room",
        "judged": "per clip, at its end, by weights that never heard the speaker",
    }
    return {**result, "targets": verdicts(result)}


def verdicts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target beside what was reached."""
    got = {**result["figures"], "cost_share": result["cost"]["share"]}
    return [{"figure": name, "target": target, "got": got[name],
             "met": got[name] <= target if name == "cost_share" else got[name] >= target}
            for name, target in TARGETS.items()]


def ceiling(clips: Sequence[Acted]) -> dict[str, float]:
    """Twenty listeners' mean share of right answers, classes alike. They chose among seven, also for the four."""
    def mean(classes: Sequence[str]) -> float:
        return float(np.mean([np.mean([clip.known for clip in clips if clip.label == name]) for name in classes]))

    return {"uar7": round(mean(CLASSES), 4), "uar4": round(mean(FOUR), 4)}


# ---- beyond the acted clips -----------------------------------------------------------------------------------------


def unmoved(data: Set, plain: Set, recipe: Recipe) -> dict[str, dict[str, float]]:
    """People who read aloud, and an engine: how many are taken for moved, by weights that know no clip of their folder.

    `untold` is the share by weights that learnt nothing of readers at all.
    """
    untold = fit(data, recipe)
    out = {}
    for folder in sorted(set(plain.speakers)):
        rows = plain.only(folder).rows[:, 0]
        told = fit(data.joined(plain.but(folder)), recipe)
        out[folder] = {"pieces": len(rows), "moved": _moved(told(rows)), "untold": _moved(untold(rows))}
    return out


def _moved(scores: Frames) -> float:
    faced = [name not in FACELESS for name in CLASSES]
    return round(float(np.mean([faced[k] for k in scores.argmax(-1)])), 3)


def excited(ear: Ear) -> dict[str, Any]:
    """Rank correlation of how excited synthetic speech is meant to be with the intensity and arousal heard."""
    found = {}
    for name, sounds in series().items():
        rows = np.array([row(described(ear.voice, sound), ear.voice) for sound in sounds], np.float32)
        heard = reading(ear.scores(rows), np.ones(len(rows), np.float32))
        found[name] = heard.intensity, heard.vad[:, 1]
    if not found:
        return {"left out": "espeak-ng is not installed"}
    ranks = {what: [_ranked(pair[k]) for pair in found.values()] for k, what in enumerate(("intensity", "arousal"))}
    return {**{what: round(float(np.mean(each)), 3) for what, each in ranks.items()},
            "intensities": {name: [round(float(v), 2) for v in pair[0]] for name, pair in found.items()}}


def _ranked(values: Frames) -> float:
    """Spearman's correlation with the order."""
    places = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return float(np.corrcoef(places, np.arange(len(values)))[0, 1])


def in_time(clips: Sequence[Acted], heard: Heard, outcome: Outcome) -> dict[str, Any]:
    """Two neutral clips of an unseen speaker, then two of an emotion: when the face shows it, how often it changes."""
    waits, changes, minutes, cases = [], 0, 0.0, 0
    for name, scorer in outcome.scorers.items():
        own = [clip for clip in clips if clip.speaker == name]
        ear = Ear(heard.ear.voice, scorer.middle, scorer.spread, scorer.matrix, scorer.offset)
        for label in SHOWN_LABELS:
            parts = [*_first(own, "neutral"), *_first(own, label)]
            if len(parts) < 4:
                continue
            seen = strongest(_mixtures(replace(heard, ear=ear), [part.samples for part in parts]))
            onset = sum(len(part.samples) for part in parts[:2]) // SAMPLES
            right = np.flatnonzero(seen[onset:] == EMOTIONS.index(label))
            waits += [right[0] / FPS] if len(right) else []
            changes, cases = changes + int((np.diff(seen) != 0).sum()), cases + 1
            minutes += len(seen) / FPS / 60
    return {"cases": cases, "shown": round(len(waits) / max(1, cases), 3),
            "median_seconds": round(float(median(waits)), 2) if waits else None,
            "changes_a_minute": round(changes / max(minutes, 1e-6), 1),
            "changes_due_a_minute": round(cases / max(minutes, 1e-6), 1)}


def _first(clips: Sequence[Acted], label: str) -> list[Acted]:
    return [clip for clip in clips if clip.label == label][:2]


def _mixtures(heard: Heard, sounds: Sequence[Frames]) -> Frames:
    """[frames, 12] of the sounds one after the other."""
    feats = features(np.concatenate(sounds))
    state, out = tuple(array[None] for array in heard.start()), []
    for at in range(0, len(feats) - BLOCK + 1, BLOCK):
        state, _, mixture = heard.hear(state, feats[None, at : at + BLOCK])
        out.append(mixture[0])
    return np.concatenate(out)


def strongest(mixtures: Frames) -> NDArray[np.int64]:
    """[frames]: which emotion shows most, or -1 where none does to speak of."""
    return np.where(mixtures.max(-1) >= PLAIN_TO_SEE, mixtures.argmax(-1), -1)


# ---- baselines ------------------------------------------------------------------------------------------------------


def baselines(data: Set, clips: Sequence[Acted], voice: Voice) -> dict[str, dict[str, float]]:
    """The same speakers left out, with less: always one answer, energy alone, statistics of the whole clip."""
    flat = replace(data, rows=np.zeros((len(clips), 1, 1), np.float32))
    energy = replace(data, rows=data.rows[:, : 1 + JUDGED][:, :, _columns("energy", "energy, spread", "level, near")])
    whole = replace(data, rows=np.array([[functionals(described(voice, clip.samples))] for clip in clips], np.float32))
    return {"majority": majority(flat), "energy alone": _figures(energy),
            "whole-clip statistics, linear": _figures(whole)}


def _columns(*names: str) -> NDArray[np.intp]:
    """Where parts of the statistics stand."""
    return np.flatnonzero(np.concatenate([np.full(width, name in names) for name, width in window.PARTS]))


def majority(data: Set) -> dict[str, float]:
    """The class that is most frequent, always."""
    scores = np.zeros((len(data.labels), len(CLASSES)), np.float32)
    counts = np.bincount(data.labels, minlength=len(CLASSES))
    scores += counts
    return _both(data, scores)


def functionals(frames: Frames) -> Frames:
    """What toolkits of acoustic statistics take: mean, spread, percentiles and range of each column over the clip."""
    low, middle, high = np.percentile(frames, (20, 50, 80), axis=0)
    return np.concatenate([frames.mean(0), frames.std(0), low, middle, high, high - low]).astype(np.float32)


def _figures(data: Set) -> dict[str, float]:
    recipe = Recipe(min(2, data.rows.shape[1] - 1), 1e-2)
    outcome: Outcome = leave_one_out(data, (recipe,))
    return _both(data, outcome.scores)


def _both(data: Set, scores: Frames) -> dict[str, float]:
    return {"uar7": round(recall_of(data.labels, scores), 4), "uar4": round(recall_of(data.labels, scores, FOUR), 4)}


# ---- cost -----------------------------------------------------------------------------------------------------------


def cost(heard: Heard) -> dict[str, float]:
    """Processor time of one push of six frames: the ear, and the still content chain beside it, taken in turns."""
    rng = np.random.default_rng(0)
    sound = (rng.standard_normal((BLOCK, SAMPLES)) * 0.05).astype(np.float32)
    rows = np.concatenate([rng.standard_normal((BLOCK, FEATURES)).astype(np.float32), rows_of(BLOCK)], axis=1)
    chain = Animator.load(alive=False).chain
    own, base = [], []
    for _ in range(TIMED):
        own.append(_timed(heard, rows))
        base.append(_timed(chain, sound))
    ear, content = median(own), median(base)
    return {"heard_ms": round(ear * 1000, 3), "content_ms": round(content * 1000, 3), "share": round(ear / content, 3)}


def _timed(stage: Stage, frames: Frames) -> float:
    state = stage.start()
    begin = time.process_time()
    stage.push(state, frames)
    return time.process_time() - begin
