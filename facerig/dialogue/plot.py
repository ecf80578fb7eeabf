"""A dialogue as a picture: who speaks when, mouths, eyes and heads, and where the moods go. By matplotlib."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from facerig.curves import Curves
from facerig.dialogue.mood import Mood
from facerig.dialogue.play import Performance
from facerig.errors import MissingExtra
from facerig.stage import FPS, RATE, Frames

COLOURS = ("#2f6fb0", "#d0672b", "#3b8f5a", "#a3449a", "#8a6d1f", "#4a4a4a")
EYES = 35.0  # degrees of a full eyeLook shape
POINTS = 4_000


def picture(made: Performance, suffix: str = ".png") -> bytes:
    """PNG, SVG or PDF."""
    pyplot = _pyplot()
    names = list(made.tracks)
    rows = 3 * len(names) + 1
    figure, axes = pyplot.subplots(rows, 1, figsize=(13, 1.0 + 0.95 * rows), sharex=True, squeeze=False,
                                   layout="constrained")  # fmt: skip
    try:
        for k, name in enumerate(names):
            sound, mouth, gaze = axes[3 * k : 3 * k + 3, 0]
            _sound(sound, made, name, COLOURS[k % len(COLOURS)])
            _mouth(mouth, made, name)
            _gaze(gaze, made.tracks[name])
        _moods(axes[-1, 0], made)
        axes[-1, 0].set_xlabel("seconds")
        axes[-1, 0].set_xlim(0, made.frames / FPS)
        stream = io.BytesIO()
        figure.savefig(stream, format=suffix.lstrip("."), dpi=100)
        return stream.getvalue()
    finally:
        pyplot.close(figure)


def _spans(axis: Any, made: Performance, name: str) -> None:
    for each in made.placed:
        own = each.line.who == name
        axis.axvspan(each.start / FPS, each.end / FPS, color="#f3e9d2" if own else "#eef1f5", linewidth=0)
    axis.spines[["top", "right"]].set_visible(False)


def _sound(axis: Any, made: Performance, name: str, colour: str) -> None:
    _spans(axis, made, name)
    samples = made.sounds[name]
    step = max(1, len(samples) // POINTS)
    cut = samples[: len(samples) // step * step].reshape(-1, step)
    seconds = np.arange(len(cut)) * step / RATE
    axis.fill_between(seconds, cut.min(axis=1, initial=0), cut.max(axis=1, initial=0), color=colour, linewidth=0)
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontweight="bold")
    axis.set_yticks([])
    top = axis.get_xaxis_transform()
    for each in made.placed:
        if each.line.who == name:
            said = " · ".join(part for part in (each.line.act, each.line.emotion, each.line.preset) if part)
            axis.text(each.start / FPS, 1.03, said, fontsize=7, transform=top, clip_on=False)


def _mouth(axis: Any, made: Performance, name: str) -> None:
    _spans(axis, made, name)
    track = made.tracks[name]
    for channel, colour in (("jawOpen", "#222222"), ("mouthSmileLeft", "#d0672b"), ("browInnerUp", "#3b8f5a"),
                            ("eyeBlinkLeft", "#9aa4b1")):  # fmt: skip
        if channel in track:
            axis.plot(_seconds(track), track[channel], color=colour, linewidth=0.9, label=channel)
    axis.set_ylim(-0.05, 1.05)
    _legend(axis)
    axis.set_ylabel("mouth, brow, lid", rotation=0, ha="right", va="center", fontsize=7)


def _gaze(axis: Any, track: Curves) -> None:
    axis.axhline(0, color="#c9ced6", linewidth=0.5)
    eyes = EYES * (track["eyeLookOutLeft"] - track["eyeLookInLeft"])
    axis.plot(_seconds(track), eyes, color="#2f6fb0", linewidth=0.9, label="eyes, degrees left")
    for channel, colour, label in (("headYaw", "#222222", "head yaw"), ("headPitch", "#a3449a", "head pitch (down)")):
        if channel in track:
            axis.plot(_seconds(track), np.degrees(track[channel]), color=colour, linewidth=0.9, label=label)
    _legend(axis)
    axis.set_ylabel("gaze, head", rotation=0, ha="right", va="center", fontsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _moods(axis: Any, made: Performance) -> None:
    """Valence full, arousal dashed; from line to line, and home in between."""
    axis.axhline(0, color="#c9ced6", linewidth=0.5)
    for k, name in enumerate(made.tracks):
        seconds, moods = _mood_of(made, name)
        for part, dash, label in ((0, "-", "valence"), (1, "--", "arousal")):
            axis.plot(seconds, moods[:, part], dash, color=COLOURS[k % len(COLOURS)], linewidth=1.1,
                      label=f"{name} {label}")  # fmt: skip
    axis.set_ylim(-1, 1)
    _legend(axis)
    axis.set_ylabel("mood", rotation=0, ha="right", va="center", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _mood_of(made: Performance, name: str) -> tuple[Frames, Frames]:
    who = made.script.character(name)
    mood = Mood.of(who.personality, who.mood)
    changes = [felt for felt in made.log if felt.who == name]
    seconds = np.arange(0, made.frames, 6) / FPS
    out = []
    for at in seconds:
        while changes and changes[0].frame / FPS <= at:
            mood = Mood(who.personality, changes[0].mood, changes.pop(0).frame / FPS)
        out.append(mood.at(float(at)).state)
    return seconds.astype(np.float32), np.array(out, np.float32).reshape(-1, 3)


def _legend(axis: Any) -> None:
    """Beside the curves, not over them."""
    axis.legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, labelspacing=0.25)


def _seconds(track: Curves) -> Frames:
    return np.asarray((track.start + np.arange(track.frames)) / track.fps, np.float32)


def _pyplot() -> Any:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtra("the dialogue's picture", "preview", str(error)) from error
    return pyplot
