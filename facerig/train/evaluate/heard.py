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

from facerig.controls import rows_of
from facerig.emotion import window
from facerig.emotion.ear import CLASSES
from facerig.emotion.heard import Heard, load
from facerig.emotion.voice import Voice
from facerig.errors import InputError
from facerig.features import FEATURES
from facerig.pipeline import Animator
from facerig.stage import SAMPLES, Frames, Stage
from facerig.train.heard import described, judged, set_of
from facerig.train.heard_data import Acted, emodb
from facerig.train.heard_fit import FOUR, RECIPES, Outcome, Recipe, Set, leave_one_out, recall_of

TARGETS = {"uar7": 0.65, "uar4": 0.75, "cost_share": 0.20}
BLOCK, TIMED = 6, 300
Tell = Callable[[str], None]


def evaluate(quick: bool = False, tell: Tell = lambda text: None) -> dict[str, Any]:
    """One JSON object. `quick` fixes the recipe instead of choosing it: a figure to look at, not to report."""
    clips = emodb()
    if not clips:
        raise InputError("EMO-DB is not at hand; accepted: the folder of data sets in $FACERIG_DATA or ../shared/data")
    heard = load()
    tell("statistics of the clips")
    data = set_of(clips, heard.ear.voice)
    outcome = leave_one_out(data, RECIPES[1:2] if quick else RECIPES, tell)
    found = judged(data, outcome)
    tell("baselines and cost")
    result = {
        "figures": found, "chance": {"uar7": round(1 / len(CLASSES), 4), "uar4": round(1 / len(FOUR), 4)},
        "ceiling": ceiling(clips), "baselines": baselines(data, clips, heard.ear.voice), "cost": cost(heard),
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


# ---- baselines ------------------------------------------------------------------------------------------------------


def baselines(data: Set, clips: Sequence[Acted], voice: Voice) -> dict[str, dict[str, float]]:
    """The same speakers left out, with less: always one answer, energy alone, statistics of the whole clip."""
    flat = replace(data, rows=np.zeros((len(clips), 1, 1), np.float32))
    where = window.WIDTH - dict(window.PARTS)["energy"]
    energy = replace(data, rows=data.rows[:, :, where:])
    whole = replace(data, rows=np.array([[functionals(described(voice, clip.samples))] for clip in clips], np.float32))
    return {"majority": majority(flat), "energy alone": _figures(energy),
            "whole-clip statistics, linear": _figures(whole)}


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
