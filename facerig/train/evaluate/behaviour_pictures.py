"""The pictures of docs/BEHAVIOUR.md: python -m facerig.train.evaluate.behaviour_pictures FOLDER. Real speech if any.

Speaks and listens to clips of the shared data (the shipped demo where they are absent), a minute each, and is idle.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facerig.audio import read
from facerig.behaviour import Life, Tuning
from facerig.behaviour.blink import CLOSING, OPENING
from facerig.behaviour.gaze import DOWNWARDS, SIDEWAYS, UPWARDS
from facerig.controls import Controls, place
from facerig.curves import Curves
from facerig.errors import extra_module
from facerig.files import assets_folder, write_file
from facerig.pipeline import Animator
from facerig.prosody import ENERGY, PHRASE_END, PITCH, VOICE, Prosody
from facerig.stage import RATE, SAMPLES, Frames, run
from facerig.tool import pictures
from facerig.train.corpora.base import data_folder
from facerig.train.evaluate import captures
from facerig.train.evaluate.behaviour import gaze, held, jumps, shown

SECONDS, PAUSE = 60, 0.9
# label, (channel, factor) ...: what one row of a picture adds up
ROWS: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = (
    ("left lid", (("eyeBlinkLeft", 1),)),
    ("eyes, degrees left", (("eyeLookOutLeft", SIDEWAYS), ("eyeLookInLeft", -SIDEWAYS))),
    ("eyes, degrees up", (("eyeLookUpLeft", UPWARDS), ("eyeLookDownLeft", -DOWNWARDS))),
    ("head, degrees left", (("headYaw", 57.3),)),
    ("head, degrees up", (("headPitch", -57.3),)),
    ("head, to the right shoulder", (("headRoll", 57.3),)),
    ("outer brow", (("browOuterUpLeft", 1),)),
    ("smile", (("mouthSmileLeft", 1),)),
    ("jaw", (("jawOpen", 1),)),
)


class Partner(Controls):
    """Controls in which somebody else speaks."""

    def __init__(self, voice: Frames) -> None:
        super().__init__({"attitude": 0.3})
        self.heard = run(Prosody(), voice[: len(voice) // SAMPLES * SAMPLES].reshape(-1, SAMPLES), 6)

    def rows(self, first: int, count: int) -> Frames:
        out = super().rows(first, count)
        numbers = np.arange(first, first + count)
        inside = (numbers >= 0) & (numbers < len(self.heard))
        for name, column in (("voice", VOICE), ("energy", ENERGY), ("pitch", PITCH), ("phrase_end", PHRASE_END)):
            out[inside, place(f"partner:{name}")] = self.heard[numbers[inside], column]
        return out


def speech(corpus: str) -> Frames:
    """A minute of clips with pauses between them, at 24 kHz."""
    clips = sorted((data_folder() / corpus / "audio").glob("*")) or [assets_folder() / "demo.wav"] * 20
    parts: list[Frames] = []
    while sum(map(len, parts)) < SECONDS * RATE:
        clip = read(clips[len(parts) // 2 % len(clips)])
        time = np.arange(int(len(clip.samples) / clip.rate * RATE)) * clip.rate / RATE
        parts.append(np.interp(time, np.arange(len(clip.samples)), clip.samples).astype(np.float32))
        parts.append(np.zeros(int(PAUSE * RATE), np.float32))
    return np.concatenate(parts)[: SECONDS * RATE]


def takes(seed: int = 7) -> dict[str, tuple[Curves, Frames]]:
    """name -> (curves, what is heard: the own voice or the partner's)."""
    animator, own, other = Animator.load(seed=seed), speech("ljspeech"), speech("css10_es")
    silence = np.zeros(SECONDS * RATE, np.float32)
    return {"speaking": (animator.animate(own, RATE), own),
            "listening": (animator.animate(silence, RATE, controls=Partner(other)), other),
            "idle": (animator.animate(silence, RATE), silence)}  # fmt: skip


def draw(take: Curves, sound: Frames) -> bytes:
    """A row a motion, under the sound."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(len(ROWS) + 1, 1, figsize=(11, 8), sharex=True, layout="constrained")
    seconds = np.arange(take.frames) / take.fps
    axes[0].plot(np.arange(len(sound))[::40] / RATE, sound[::40], linewidth=0.3, color="#6b7480")
    for axis, (label, parts) in zip(axes[1:], ROWS, strict=True):
        axis.plot(seconds, sum(take[name] * factor for name, factor in parts), linewidth=0.9, color="#2f6fb0")
        axis.axhline(0, linewidth=0.4, color="#c0c4ca")
        _label(axis, label)
    _label(axes[0], "sound")
    axes[-1].set_xlabel("seconds")
    return _png(pyplot, figure)


def draw_eyes() -> bytes:
    """Our blink beside recorded ones; lengths of our saccades by their sizes beside the main sequence."""
    pyplot = _pyplot()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for name in captures.TAKES:
        path = data_folder() / "captures" / f"{name}.csv"
        if path.is_file():
            time, course = captures.typical(path)
            left.plot(time, course, linewidth=1, label=f"recording {name[-1]}")
    ours = [*CLOSING, *OPENING[1:]]
    left.plot((np.arange(len(ours)) - len(CLOSING) + 1) * 1000 / 60, ours, "k.-", label="ours")
    left.set_xlabel("ms around the closed lid")
    left.legend()
    rows, still = held(600, {"state:speaking": 1, "life:blink": 0}), Life(Tuning({"gaze.tremor": 0}))
    _, sizes, lengths = jumps(gaze(shown(rows, life=still)))
    right.plot(sizes, lengths, ".", markersize=2)
    right.plot([0, 25], [21, 21 + 2.2 * 25], "k", linewidth=1)
    right.set_xlabel("degrees of a saccade")
    right.set_ylabel("ms")
    right.set_ylim(0, 120)
    return _png(pyplot, figure)


def _label(axis: Any, text: str) -> None:
    axis.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0)


def _pyplot() -> Any:
    extra_module("matplotlib", "pictures of behaviour", "preview").use("Agg")
    return extra_module("matplotlib.pyplot", "pictures of behaviour", "preview")


def _png(pyplot: Any, figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=70)
    pyplot.close(figure)
    return stream.getvalue()


def draw_all(folder: Path) -> None:
    for name, (take, sound) in takes().items():
        write_file(folder / f"behaviour_{name}.png", draw(take, sound))
    write_file(folder / "behaviour_blink.png", draw_eyes())


def main(arguments: Sequence[str] | None = None) -> int:
    return pictures(draw_all, "facerig.train.evaluate.behaviour_pictures", __doc__, "four", arguments)


if __name__ == "__main__":
    sys.exit(main())
