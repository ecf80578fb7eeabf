"""Other lip-sync tools' output as rivals: rhubarb's mouth shapes (TSV: seconds, shape) under the same rulers.

A shape is turned into the face that its drawing shows; closed shapes (A, X) close the lips. Knows no other format.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facerig.errors import InputError, OptionError
from facerig.train.evaluate.events import FPS
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.systems import CHANNELS, Output

# shape: what rhubarb's own documentation draws, as channels; A closed with slight pressure, X idle
SHAPES: dict[str, dict[str, float]] = {
    "A": {"mouthPressLeft": 0.15, "mouthPressRight": 0.15},
    "B": {"jawOpen": 0.08, "mouthStretchLeft": 0.2, "mouthStretchRight": 0.2, "mouthLowerDownLeft": 0.15,
          "mouthLowerDownRight": 0.15},
    "C": {"jawOpen": 0.25, "mouthLowerDownLeft": 0.12, "mouthLowerDownRight": 0.12},
    "D": {"jawOpen": 0.5, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    "E": {"jawOpen": 0.25, "mouthFunnel": 0.3, "mouthPucker": 0.2},
    "F": {"jawOpen": 0.1, "mouthFunnel": 0.2, "mouthPucker": 0.7},
    "G": {"jawOpen": 0.08, "mouthRollLower": 0.36, "mouthUpperUpLeft": 0.13, "mouthUpperUpRight": 0.13},
    "H": {"jawOpen": 0.25, "tongueTipUp": 0.6},
    "X": {},
}  # fmt: skip
CLOSED = ("A", "X")


class Rhubarb:
    """A rival given as name=FILE (one clip's TSV, matched by its stem) or name=FOLDER (of such files)."""

    def __init__(self, text: str) -> None:
        name, _, path = text.partition("=")
        if not name or not path:
            raise OptionError(f"--rival: got {text!r}, accepted: NAME=FILE.tsv or NAME=FOLDER")
        self.name = name
        self.files = {file.stem: file for file in _files(Path(path))}

    def run(self, clip: Clip) -> Output:
        """Curves and closures of a clip, or nothing where there is no file for it."""
        path = self.files.get(clip.stem)
        if path is None:
            return Output()
        shapes = read_tsv(path)
        curves = np.zeros((clip.frames, len(CHANNELS)), np.float32)
        closed = np.zeros(clip.frames, np.float32)
        for (start, shape), (end, _) in zip(shapes, [*shapes[1:], (clip.seconds + 1, "X")], strict=True):
            rows = slice(int(np.ceil(start * FPS)), int(np.ceil(end * FPS)))
            for channel, value in SHAPES[shape].items():
                curves[rows, CHANNELS.index(channel)] = value
            closed[rows] = shape in CLOSED
        return Output(curves, None, None, {"bilabial": closed})


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.tsv"))
        if found:
            return found
    elif path.is_file():
        return [path]
    raise InputError(f"{path}: no rhubarb output; accepted: a .tsv file or a folder of them, named like the clips")


def read_tsv(path: Path) -> list[tuple[float, str]]:
    """Rows (start in seconds, shape) of rhubarb's TSV."""
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        try:
            start, shape = float(cells[0]), cells[1]
        except (ValueError, IndexError):
            raise InputError(f"{path}, line {number}: got {line[:60]!r}, accepted: SECONDS <tab> SHAPE") from None
        if shape not in SHAPES or not np.isfinite(start):
            raise InputError(f"{path}, line {number}: shape {shape!r}, accepted: {' '.join(SHAPES)}")
        rows.append((start, shape))
    if not rows:
        raise InputError(f"{path}: is empty; accepted: rhubarb's TSV output")
    return rows
