"""The emotion heard in a whole clip: values over time, and keyframes that people edit. Streams as a session does."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from facerig.audio import AudioSource, open_audio
from facerig.controls import EMOTIONS
from facerig.emotion import space
from facerig.emotion.blend import Blending
from facerig.emotion.ear import CLASSES
from facerig.emotion.heard import load
from facerig.features import LogMel
from facerig.resample import Resample, mono
from facerig.stage import FPS, SAMPLES, Frames

BLOCK = 6
VAD = ("valence", "arousal", "dominance")
COLUMNS = (*CLASSES, "sure", "intensity", *VAD)
SLIGHT = 0.02  # shares below this are not written down


@dataclass(frozen=True, eq=False)
class Course:
    """A row for every native frame. Scores are weighted by how sure they are: in a long pause nothing is heard."""

    scores: Frames
    sure: Frames
    intensity: Frames
    vad: Frames
    mixture: Frames
    """[frames, 12]: what a face would get where nothing is asked."""

    @property
    def seconds(self) -> Frames:
        return (np.arange(len(self.scores)) / FPS).astype(np.float32)

    def at(self, frame: int) -> dict[str, float]:
        """All numbers of a frame by name."""
        row = (*self.scores[frame], self.sure[frame], self.intensity[frame], *self.vad[frame])
        return {name: round(float(value), 3) for name, value in zip(COLUMNS, row, strict=True)}

    def mixed(self, frame: int) -> dict[str, float]:
        row = self.mixture[frame]
        return {name: round(float(w), 2) for name, w in zip(EMOTIONS, row, strict=True) if w >= SLIGHT}

    def frames(self, every: float) -> list[int]:
        """Frames that stand for the clip: one each `every` seconds, and the last."""
        count = len(self.scores)
        places = list(range(0, count, max(1, round(every * FPS))))
        return [*places, count - 1] if count and places[-1] != count - 1 else places

    def entries(self, every: float) -> list[dict[str, Any]]:
        return [{"time": round(k / FPS, 3), **self.at(k), "emotion": space.named(self.mixed(k))}
                for k in self.frames(every)]

    def summary(self, every: float) -> dict[str, Any]:
        """The course, and the clip as a whole: the mean over frames that were surely voiced."""
        shares = self.scores.sum(0) / max(float(self.sure.sum()), 1e-6)
        mean = {name: round(float(share), 3) for name, share in zip(CLASSES, shares, strict=True)}
        heard = bool(self.sure.sum() > 0)
        return {"seconds": round(len(self.scores) / FPS, 3), "voice_heard": heard, "mean_scores": mean if heard else {},
                "most": max(mean, key=lambda name: mean[name]) if heard else None, "course": self.entries(every)}


def listen(path: str | Path, blending: Blending | None = None) -> Course:
    """An audio file from its beginning to its end, block by block."""
    heard, mel = load(None, blending), LogMel()
    own, past = tuple(array[None] for array in heard.start()), mel.start()
    parts: list[tuple[Frames, ...]] = []
    with open_audio(path) as source:
        blocks, count = _native(source)
    for block in blocks:
        past, feats = mel.push(past, block)
        own, reading, mixture = heard.hear(own, feats[None])
        parts.append((*(column[0] for column in reading), mixture[0]))
    scores, sure, intensity, vad, mixtures = (np.concatenate(column)[:count] for column in zip(*parts, strict=True))
    return Course(scores * sure[:, None], sure, intensity, vad, mixtures)


def _native(source: AudioSource) -> tuple[list[Frames], int]:
    """Blocks of native frames, the last one filled up with silence, and how many frames are the clip's."""
    edge = Resample(source.rate)
    state, rows = edge.start(), [np.zeros((0, SAMPLES), np.float32)]
    for samples in source.blocks:
        state, new = edge.push(state, mono(samples))
        rows.append(new)
    whole = np.concatenate([*rows, edge.flush(state)])
    padded = np.concatenate([whole, np.zeros((-len(whole) % BLOCK or (0 if len(whole) else BLOCK), SAMPLES),
                                             np.float32)])
    return [padded[at : at + BLOCK] for at in range(0, len(padded), BLOCK)], len(whole)


# ---- keyframes ------------------------------------------------------------------------------------------------------


def keyframes(course: Course, every: float) -> list[dict[str, Any]]:
    """Entries that facerig/emotion/keyframes.py reads; a keyframe fades over the time since the one before."""
    places = course.frames(every)
    fades = [0.0, *((b - a) / FPS for a, b in pairwise(places))]
    starts = [0, *places[:-1]]
    return [{"time": round(start / FPS, 3), "fade": round(fade, 3), "emotion": space.named(course.mixed(place))}
            for start, fade, place in zip(starts, fades, places, strict=True)]


def keyframe_json(course: Course, every: float) -> bytes:
    lines = ",\n ".join(json.dumps(entry) for entry in keyframes(course, every))
    return f"[{lines}]\n".encode()


def keyframe_csv(course: Course, every: float) -> bytes:
    stream = io.StringIO()
    table = csv.DictWriter(stream, ("time", "fade", "emotion"), lineterminator="\n")
    table.writeheader()
    table.writerows(keyframes(course, every))
    return stream.getvalue().encode()
