"""The same clips through bad rooms, lines and microphones, and sounds that are no speech. The model alone is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from facerig.phones import Timed, rasterise
from facerig.resample import Resample
from facerig.stage import RATE
from facerig.train.corpora.conditions import CONDITIONS
from facerig.train.evaluate.content import Content
from facerig.train.evaluate.events import FPS
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.shown import JAW, Shown, lip_gap
from facerig.train.evaluate.systems import Floats, Output, System

RAISED = 1.25  # a child's voice, roughly: pitch, formants and tempo a quarter up
KEPT = ("viseme15", "speech_silence", "pbm_recall", "pbm_precision", "pbm_onset_error_ms")


def at_24k(clip: Clip) -> Clip:
    """The clip at the native rate, where the conditions work."""
    edge = Resample(clip.rate)
    state, blocks = edge.push(edge.start(), clip.samples)
    native = np.concatenate([blocks, edge.flush(state)]).reshape(-1)
    return replace(clip, samples=native, rate=RATE)


def raised(clip: Clip) -> Clip:
    """Played a quarter faster; the labels follow."""
    at = np.arange(int(len(clip.samples) / RAISED)) * RAISED
    samples = np.interp(at, np.arange(len(clip.samples)), clip.samples).astype(np.float32)
    timed = [Timed(t.start / RAISED, t.end / RAISED, t.unit) for t in clip.timed]
    return replace(clip, id=f"{clip.id}+raised", samples=samples, timed=timed, motion=None)


def worsened(clips: Sequence[Clip]) -> Iterator[tuple[str, list[Clip]]]:
    """Every condition with the clips in it, clean first."""
    native = [at_24k(clip) for clip in clips]
    for name, change in CONDITIONS.items():
        out = []
        for clip in native:
            labels = rasterise(clip.timed, clip.frames, FPS).astype(np.uint8)
            samples = np.asarray(change(clip.samples, labels), np.float32)
            out.append(replace(clip, id=f"{clip.id}+{name}", samples=samples))
        yield name, out
    yield "raised voice", [raised(clip) for clip in native]


def robustness(model: System, clips: Sequence[Clip]) -> dict[str, dict[str, float | int | None]]:
    """Figures a condition; `jaw_kept` is the jaw's movement against the clean clips'."""
    table: dict[str, dict[str, float | int | None]] = {}
    clean: list[float] = []
    for name, changed in worsened(clips):
        content, shown, jaws = Content(), Shown(), []
        for clip in changed:
            output = model.run(clip)
            content.add(clip, output)
            shown.add(clip, output)
            jaws.append(_movement(output))
        clean = clean or jaws
        kept = float(np.mean(jaws) / max(float(np.mean(clean)), 1e-6))
        heard, seen = content.figures(), shown.figures()
        table[name] = {key: heard[key] for key in KEPT} | {
            "closed_at_pbm": seen["closed_at_pbm"],
            "jaw_kept": round(kept, 3),
        }
    return table


def _movement(output: Output) -> float:
    return float(output.curves[:, JAW].std()) if output.curves is not None else 0.0


def not_speech(model: System, sounds: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    """Mean jaw and lip gap on sounds at which a mouth should stay shut."""
    table = {}
    for name, samples in sounds.items():
        output = model.run(Clip(f"sound/{name}", "sound", "", "", np.asarray(samples, np.float32), RATE))
        curves: Floats = output.curves if output.curves is not None else np.zeros((1, JAW + 1), np.float32)
        table[name] = {
            "mean_jaw": round(float(curves[:, JAW].mean()), 4),
            "mean_gap_mm": round(float(lip_gap(curves).mean()), 3) if curves.shape[1] > JAW + 1 else 0.0,
        }
    return table
