"""Other lip-sync tools' output as rivals: rhubarb's mouth shapes (TSV: seconds, shape) under the same rulers.

A shape is turned into the face that its drawing shows; A and X close the lips, but only A says that a p b m is spoken:
X is how the mouth idles. Knows no other format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
PRESSED = "A"  # the shape of p b m
Shapes = list[tuple[float, str]]


class Rhubarb:
    """A rival given as name=FILE (one clip's TSV, matched by its stem) or name=FOLDER (of such files), all read here: a
    bad one should not end a run that is nearly done."""

    def __init__(self, text: str) -> None:
        name, _, path = text.partition("=")
        if not name or not path:
            raise OptionError(f"--rival: got {text!r}, accepted: NAME=FILE.tsv or NAME=FOLDER")
        self.name, self.path = name, path
        self.shapes = {file.stem: read_tsv(file) for file in _files(Path(path))}

    def run(self, clip: Clip) -> Output:
        """Curves and closures of a clip, or nothing where there is no file for it."""
        shapes = self.shapes.get(clip.stem)
        if shapes is None:
            return Output()
        curves = np.zeros((clip.frames, len(CHANNELS)), np.float32)
        pressed = np.zeros(clip.frames, np.float32)
        for (start, shape), (end, _) in zip(shapes, [*shapes[1:], (clip.seconds + 1, "X")], strict=True):
            rows = slice(int(np.ceil(start * FPS)), int(np.ceil(end * FPS)))
            for channel, value in SHAPES[shape].items():
                curves[rows, CHANNELS.index(channel)] = value
            pressed[rows] = shape == PRESSED
        return Output(curves, None, None, {"bilabial": pressed})


def check_rivals(rivals: Sequence[Rhubarb], clips: Iterable[str]) -> None:
    """An InputError where a rival has a clip twice, or what is given of it none of the clips (by stem) of the run."""
    held: dict[tuple[str, str], Rhubarb] = {}
    wanted = sorted(clips)
    for rival in rivals:
        for stem in rival.shapes:
            if before := held.get((rival.name, stem)):
                raise InputError(f"--rival {rival.name}: got {stem} both in {before.path} and in {rival.path}, "
                                 "accepted: each clip once; leave one out, or give each a name of its own")  # fmt: skip
            held[rival.name, stem] = rival
        if wanted and not rival.shapes.keys() & set(wanted):
            names = ", ".join(f"{stem}.tsv" for stem in wanted[:3])
            raise InputError(f"--rival {rival.name}: got {rival.path} with {next(iter(rival.shapes))}.tsv and the "
                             f"like, accepted: files named like the {len(wanted)} clips of this run ({names} ...); "
                             "ask for their --sets, or name them so")  # fmt: skip


def covered(rivals: Sequence[Rhubarb], clips: Collection[str]) -> dict[str, int]:
    """How many of the clips each rival has."""
    out = dict.fromkeys((rival.name for rival in rivals), 0)
    for rival in rivals:
        out[rival.name] += len(rival.shapes.keys() & set(clips))
    return out


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.tsv"))
        if found:
            return found
    elif path.is_file():
        return [path]
    raise InputError(f"{path}: no rhubarb output; accepted: a .tsv file or a folder of them, named like the clips")


def read_tsv(path: Path) -> Shapes:
    """Rows (start in seconds, shape) of rhubarb's TSV, with or without the mark that some editors put before it."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}), accepted: rhubarb's TSV output, which is UTF-8 text; "
                         "write it anew") from error
    rows: Shapes = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        try:
            start, shape = float(cells[0]), cells[1]
        except (ValueError, IndexError):
            raise InputError(f"{path}, line {number}: got {line[:60]!r}, accepted: SECONDS <tab> SHAPE") from None
        if shape not in SHAPES or not np.isfinite(start):
            raise InputError(f"{path}, line {number}: shape {shape!r}, accepted: {' '.join(SHAPES)}")
        if start < 0 or (rows and start <= rows[-1][0]):
            after = f"more than {rows[-1][0]:g} s, as times rise" if rows else "0 s or more"
            raise InputError(f"{path}, line {number}: got {start:g} s, accepted: {after}; sort or mend the lines")
        rows.append((start, shape))
    if not rows:
        raise InputError(f"{path}: is empty; accepted: rhubarb's TSV output")
    return rows
