"""Trains the ear of emotion in minutes and writes assets/models/emotion.*: `python -m facerig.train.heard`.

The pitch network first, from ordinary readers; then the scores, from acted clips and changed copies of them. The
figures in the json come from speakers left out; the weights that are written know all of them, and the styled clips.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facerig.emotion import voice, weights, window
from facerig.emotion.ear import CLASSES, Ear, arrays, reading
from facerig.emotion.voice import Voice
from facerig.errors import InputError
from facerig.files import assets_folder, check_writable
from facerig.stage import Frames
from facerig.tool import finished, parser
from facerig.train import heard_pitch
from facerig.train.heard_data import Acted, changed, emodb, features, readers, running, styled
from facerig.train.heard_fit import (
    FOUR,
    RECIPES,
    Outcome,
    Recipe,
    Scorer,
    Set,
    between,
    confusion,
    fit,
    leave_one_out,
    recall,
    recall_of,
)
from facerig.train.heard_spoken import ordinary

STRENGTHS = (0.25, 0.5, 0.5, 0.75, 1.0)  # of the changes to the copies of a clip
READ = 0.5  # what readers weigh, all of them, beside acted neutral: half and one were tried
WIDER = 0.25  # of the second five copies: sizes of speakers from women that pass for children to large men
Tell = Callable[[str], None]


def described(ear_voice: Voice, samples: Frames) -> Frames:
    """[frames, COLUMNS] of a clip, as a stream hears it."""
    return ear_voice(voice.padded(features(samples)))


def row(frames: Frames, ear_voice: Voice) -> Frames:
    """[WIDTH]: the statistics of the window at a clip's end, which is what the stream has there."""
    past = np.repeat(ear_voice.silence(), window.WINDOW, axis=0)
    return window.statistics(np.concatenate([past, frames])[-window.WINDOW :])[0]


def set_of(clips: Sequence[Acted], ear_voice: Voice, seed: int = 0) -> Set:
    """The clips as statistics, their five changed copies, and as many in running speech to learn from alone."""
    rows = []
    for place, clip in enumerate(clips):
        rng = np.random.default_rng((seed, place))
        sounds = [clip.samples, *(changed(clip.samples, rng, strength) for strength in STRENGTHS),
                  *(changed(running(clips, place, rng), rng, strength, WIDER) for strength in STRENGTHS)]
        rows.append([row(described(ear_voice, sound), ear_voice) for sound in sounds])
    labels = np.array([CLASSES.index(clip.label) for clip in clips], np.int64)
    return Set(np.array(rows, np.float32), labels, tuple(clip.speaker for clip in clips),
               np.array([clip.weight for clip in clips], np.float32))


def usual(outcome: Outcome) -> Recipe:
    """The recipe that most speakers' choices agree on; the first of them where they are as many."""
    chosen = list(outcome.recipes.values())
    return max(RECIPES, key=chosen.count)


def reading_of(clips: Sequence[Acted], data: Set, ear_voice: Voice, seed: int = 0) -> Set:
    """Readers as examples of neutral, that weigh together READ times what the acted neutral clips of `data` do."""
    found = set_of(clips, ear_voice, seed)
    acted = float(data.weights[data.labels == CLASSES.index("neutral")].sum())
    return replace(found, weights=np.full(len(clips), READ * acted / max(1, len(clips)), np.float32))


def judged(data: Set, outcome: Outcome) -> dict[str, Any]:
    """Unseen speakers, per clip at its end."""
    labels, copies = data.labels, outcome.changed.shape[1]
    again = np.repeat(labels, copies)
    loud = outcome.changed.reshape(-1, len(CLASSES))
    by_speaker = {name: round(recall(labels[own], outcome.scores[own].argmax(-1)), 3)
                  for name in outcome.recipes for own in [np.array([s == name for s in data.speakers])]}
    return {
        "uar7": round(recall_of(labels, outcome.scores), 4), "uar4": round(recall_of(labels, outcome.scores, FOUR), 4),
        "uar7_between": between(labels, outcome.scores, data.speakers),
        "uar4_between": between(labels, outcome.scores, data.speakers, FOUR),
        "accuracy7": round(float((outcome.scores.argmax(-1) == labels).mean()), 4),
        "uar7_changed_sound": round(recall_of(again, loud), 4),
        "uar4_changed_sound": round(recall_of(again, loud, FOUR), 4), "vad": placed(labels, outcome.scores),
        "by_speaker": by_speaker, "classes": list(CLASSES), "confusion": confusion(labels, outcome.scores),
        "clips": len(labels), "recipes": {name: list(recipe) for name, recipe in outcome.recipes.items()},
    }


def placed(labels: NDArray[np.int64], scores: Frames) -> dict[str, float]:
    """Correlation of heard valence, arousal and dominance with those of the emotion meant; of intensity, with whether
    one was meant at all."""
    meant, heard = (reading(rows, np.ones(len(rows), np.float32)) for rows in
                    (np.eye(len(CLASSES), dtype=np.float32)[labels], scores))
    pairs = {name: (meant.vad[:, k], heard.vad[:, k]) for k, name in enumerate(("valence", "arousal", "dominance"))}
    pairs["intensity"] = meant.intensity, heard.intensity
    return {name: round(float(np.corrcoef(one, two)[0, 1]), 3) for name, (one, two) in pairs.items()}


def elsewhere(scorer: Scorer, ear_voice: Voice, clips: Sequence[Acted]) -> list[dict[str, Any]]:
    """Clips of speakers and languages that the scorer does not know."""
    out = []
    for clip in clips:
        scores = scorer(row(described(ear_voice, clip.samples), ear_voice))
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
    tell("statistics")
    data = set_of(clips, ear_voice, seed)
    plain = reading_of([*readers(), *ordinary()], data, ear_voice, seed + 2)
    outcome = leave_one_out(data, tell=tell, always=plain)
    recipe, known = usual(outcome), data.joined(plain)
    found = {**judged(data, outcome), "pitch": pitch, "recipe": list(recipe),
             "other_speakers": elsewhere(fit(known, recipe), ear_voice, extra)}
    scorer = fit(known.joined(set_of(extra, ear_voice, seed + 1)) if extra else known, recipe)
    ear = Ear(ear_voice, scorer.middle, scorer.spread, scorer.matrix, scorer.offset)
    card = {"config": {"classes": list(CLASSES), "window": window.WINDOW, "statistics": window.WIDTH},
            "figures": found,
            "trained_on": "EMO-DB (8 speakers), Thorsten's styles, Claire's clips; as neutral: readers, espeak-ng"}
    weights.save(arrays(ear), card, folder)
    return found


def figures() -> dict[str, Any]:
    """What the shipped ear's training run found for unseen speakers; `facerig eval --heard` finds it anew."""
    found: dict[str, Any] = weights.load()[1]["figures"]
    return found


def work(folder: Path, seed: int) -> None:
    from facerig.console import emit_json, say

    check_writable(folder / "emotion.json")
    emit_json(train(folder, seed, say))


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.train.heard", __doc__)
    asked.add_argument("--out", type=Path, default=assets_folder() / "models",
                       help="folder for emotion.json and emotion.safetensors (default: the assets, which are replaced)")
    asked.add_argument("--seed", type=int, default=0, help="of everything random (default %(default)s)")
    options = asked.parse_args(arguments)
    return finished(lambda: work(options.out, options.seed))


if __name__ == "__main__":
    sys.exit(main())
