"""Trains the ear of emotion in minutes and writes assets/models/emotion.*: `python -m facerig.train.heard`.

The pitch network first, from ordinary readers; then the scores, from acted clips and changed copies of them. The
figures in the json come from speakers left out; the weights that are written know all of them, and the styled clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facerig.emotion import voice, weights, window
from facerig.emotion.ear import CLASSES, Ear, arrays
from facerig.emotion.voice import COLUMNS, Voice
from facerig.errors import InputError
from facerig.files import assets_folder
from facerig.stage import Frames
from facerig.train import heard_pitch
from facerig.train.heard_data import Acted, changed, emodb, features, styled
from facerig.train.heard_fit import (
    FOUR,
    RECIPES,
    Outcome,
    Recipe,
    Scorer,
    Set,
    confusion,
    fit,
    leave_one_out,
    recall,
    recall_of,
)

STRENGTHS = (0.25, 0.5, 0.5, 0.75, 1.0)  # of the changes to the copies of a clip
Tell = Callable[[str], None]


def described(ear_voice: Voice, samples: Frames) -> Frames:
    """[frames, COLUMNS] of a clip, as a stream hears it."""
    return ear_voice(voice.padded(features(samples)))


def row(frames: Frames) -> Frames:
    """[WIDTH]: the statistics of the window at a clip's end, which is what the stream has there."""
    past = np.zeros((window.WINDOW, COLUMNS), np.float32)
    seen = np.concatenate([past, frames])[-window.WINDOW :]
    return np.asarray(window.statistics(seen, 1)[0][0], np.float32)


def set_of(clips: Sequence[Acted], ear_voice: Voice, seed: int = 0, strengths: Sequence[float] = STRENGTHS) -> Set:
    """The clips and their changed copies as statistics."""
    rows = []
    for place, clip in enumerate(clips):
        rng = np.random.default_rng((seed, place))
        sounds = [clip.samples, *(changed(clip.samples, rng, strength) for strength in strengths)]
        rows.append([row(described(ear_voice, sound)) for sound in sounds])
    labels = np.array([CLASSES.index(clip.label) for clip in clips], np.int64)
    return Set(np.array(rows, np.float32), labels, tuple(clip.speaker for clip in clips),
               np.array([clip.weight for clip in clips], np.float32))


def usual(outcome: Outcome) -> Recipe:
    """The recipe that most speakers' choices agree on; the first of them where they are as many."""
    chosen = list(outcome.recipes.values())
    return max(RECIPES, key=chosen.count)


def judged(data: Set, outcome: Outcome) -> dict[str, Any]:
    """Unseen speakers, per clip at its end."""
    labels, copies = data.labels, outcome.changed.shape[1]
    again = np.repeat(labels, copies)
    loud = outcome.changed.reshape(-1, len(CLASSES))
    by_speaker = {name: round(recall(labels[own], outcome.scores[own].argmax(-1)), 3)
                  for name in outcome.recipes for own in [np.array([s == name for s in data.speakers])]}
    return {
        "uar7": round(recall_of(labels, outcome.scores), 4), "uar4": round(recall_of(labels, outcome.scores, FOUR), 4),
        "accuracy7": round(float((outcome.scores.argmax(-1) == labels).mean()), 4),
        "uar7_changed_sound": round(recall_of(again, loud), 4),
        "uar4_changed_sound": round(recall_of(again, loud, FOUR), 4),
        "by_speaker": by_speaker, "classes": list(CLASSES), "confusion": confusion(labels, outcome.scores),
        "clips": len(labels), "recipes": {name: list(recipe) for name, recipe in outcome.recipes.items()},
    }


def elsewhere(scorer: Scorer, ear_voice: Voice, clips: Sequence[Acted]) -> list[dict[str, Any]]:
    """Clips of speakers and languages that the scorer does not know."""
    out = []
    for clip in clips:
        scores = scorer(row(described(ear_voice, clip.samples)))
        best = int(scores.argmax())
        out.append({"clip": clip.name, "meant": clip.label, "heard": CLASSES[best],
                    "score": round(float(scores[best]), 2)})
    return out


def train(folder: Path, seed: int = 0, tell: Tell = lambda text: None) -> dict[str, Any]:
    """All of it; returns the figures that stand in the json."""
    torch.manual_seed(seed)
    clips, extra = emodb(), styled()
    if len({clip.speaker for clip in clips}) < 3:
        raise InputError("EMO-DB is not at hand; accepted: the folder of data sets in $FACERIG_DATA or ../shared/data")
    tell("pitch")
    ear_voice, pitch = heard_pitch.train(seed)
    return learn(folder, clips, extra, ear_voice, {"pitch": pitch}, seed, tell)


def learn(folder: Path, clips: Sequence[Acted], extra: Sequence[Acted], ear_voice: Voice, known: dict[str, Any],
          seed: int, tell: Tell) -> dict[str, Any]:
    """Scores over a pitch network that is there already."""
    tell("statistics")
    data = set_of(clips, ear_voice, seed)
    outcome = leave_one_out(data, tell=tell)
    recipe = usual(outcome)
    found = {**judged(data, outcome), **known, "recipe": list(recipe),
             "other_speakers": elsewhere(fit(data, recipe), ear_voice, extra)}
    scorer = fit(data.joined(set_of(extra, ear_voice, seed + 1)) if extra else data, recipe)
    ear = Ear(ear_voice, scorer.middle, scorer.spread, scorer.matrix, scorer.offset)
    card = {"config": {"classes": list(CLASSES), "window": window.WINDOW, "statistics": window.WIDTH},
            "figures": found, "trained_on": "EMO-DB (8 speakers), Thorsten's styles, Claire's clips"}
    weights.save(arrays(ear), card, folder)
    return found


def figures() -> dict[str, Any]:
    """What the shipped ear's training run found for unseen speakers; `facerig eval --heard` finds it anew."""
    found: dict[str, Any] = weights.load()[1]["figures"]
    return found


def main() -> None:
    from facerig.console import emit_json, say

    emit_json(train(assets_folder() / "models", tell=say))


if __name__ == "__main__":
    main()
