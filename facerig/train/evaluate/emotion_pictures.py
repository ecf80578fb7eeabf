"""The pictures of docs/EMOTION.md, speaking the demo: python -m facerig.train.evaluate.emotion_pictures FOLDER."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.audio import read
from facerig.controls import EMOTIONS, Controls
from facerig.curves import Curves
from facerig.files import assets_folder, write_file
from facerig.heads import load_head
from facerig.pipeline import Animator
from facerig.preview.gl import Style
from facerig.preview.pictures import sheet
from facerig.tool import pictures

BASIC, FURTHER = EMOTIONS[:7], EMOTIONS[7:]
STEPS = {"1/3": 1 / 3, "2/3": 2 / 3, "1": 1.0}
WORDS = 7  # instants of the same words
WORDS_AT = (0.5, 2.2)  # seconds of the demo
Pose = Mapping[str, float]


def spoken(animator: Animator, emotion: str = "", intensity: float = 0.0) -> Curves:
    """The demo under an emotion, the face held still beside speech."""
    demo = read(assets_folder() / "demo.wav")
    controls = Controls({f"emotion:{emotion}": 1.0, "intensity": intensity} if emotion else {})
    return animator.animate(demo.samples, demo.rate, controls=controls)


def pose(curves: Curves, frame: int) -> Pose:
    return dict(zip(curves.channels, map(float, curves.values[frame]), strict=True))


def intensities(animator: Animator, emotions: Iterable[str]) -> tuple[dict[str, Pose], int]:
    """(poses by label, columns): a row an intensity, on the widest open vowel of neutral speech."""
    neutral, names = spoken(animator), tuple(emotions)
    frame = int(neutral["jawOpen"].argmax())
    poses: dict[str, Pose] = {}
    for number, (label, step) in enumerate(STEPS.items()):
        poses["neutral" + " " * number] = pose(neutral, frame)
        poses |= {f"{name} {label}": pose(spoken(animator, name, step), frame) for name in names}
    return poses, 1 + len(names)


def words(animator: Animator) -> tuple[dict[str, Pose], int]:
    """A row an emotion, the same instants of the same words."""
    poses: dict[str, Pose] = {}
    for row, name in enumerate(("", *BASIC)):
        curves = spoken(animator, name, 1.0)
        for column, second in enumerate(np.linspace(*WORDS_AT, WORDS)):
            label = (name or "neutral") if not column else " " * (row * WORDS + column)
            poses[label] = pose(curves, round(float(second) * curves.fps))
    return poses, WORDS


def small_png(picture: NDArray[np.uint8]) -> bytes:
    """In 128 colours: a third of the size, and nobody sees it."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).quantize(128).save(stream, "PNG")
    return stream.getvalue()


def draw(folder: Path) -> None:
    animator, head = Animator.load(alive=False), load_head("builtin")
    for name, size, (poses, columns) in (("intensities", 220, intensities(animator, BASIC)),
                                         ("more", 220, intensities(animator, FURTHER)),
                                         ("words", 160, words(animator))):
        picture = sheet(poses, head, Style(size, size, close=True), columns)
        write_file(folder / f"emotion_{name}.png", small_png(picture))


def main(arguments: Sequence[str] | None = None) -> int:
    return pictures(draw, "facerig.train.evaluate.emotion_pictures", __doc__, "three", arguments)


if __name__ == "__main__":
    sys.exit(main())
