"""Targets of the live loop that are no protocol: a take in a file, lines on standard output, the terminal.

    --to take.csv     any format that facerig writes, complete when the face ends
    --to -            a JSON object a frame on standard output, for programs
    --to terminal     nothing but the view
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TextIO

import numpy as np

import exporters
from facerig.curves import Curves
from facerig.errors import OptionError, OutputError
from facerig.files import check_writable, write_file
from facerig.stage import FPS, Frames
from unreal_bridge.lanes import Target, Unread
from unreal_bridge.pose import Pose
from unreal_bridge.targets import SCHEMES
from unreal_bridge.targets import make as make_wire

STDOUT, TERMINAL = "-", "terminal"
LONGEST = 4 * 60 * 60 * FPS  # frames that a take may have
LONGEST_GAP = 10 * FPS  # frames held where none came; more is a new beginning


def make(text: str, subject: str, number: int, several: bool) -> Target:
    """The target that --to names: a protocol's address, a file, `-` or `terminal`."""
    if text == TERMINAL:
        return TerminalTarget()
    if text == STDOUT:
        return LinesTarget(subject)
    path = file_of(text, subject, several)
    if path is not None:
        return FileTarget(path)
    if text.partition("://")[0] not in SCHEMES:
        wires = ", ".join(f"{name}://" for name in SCHEMES)
        raise OptionError(f"--to: got {text!r}, accepted: {wires}, as in livelink://192.168.1.20:11111/Ada; a FILE "
                          f"(facerig formats), {STDOUT} or {TERMINAL}")
    return make_wire(text, subject, number, several)


def file_of(text: str, subject: str, several: bool) -> Path | None:
    """The file that --to names, of a face among several its own; None where it names something else."""
    if "://" in text or text in (TERMINAL, STDOUT):
        return None
    path = Path(text)
    try:
        suffix = exporters.format_of(path)
    except OptionError:
        if path.suffix and ":" not in text:
            raise
        return None
    return path.with_name(f"{path.name[:-len(suffix)]}_{subject}{suffix}") if several else path


class TerminalTarget:
    """Takes everything and keeps nothing: the view shows it."""

    name, fps, prompt = TERMINAL, FPS, True

    def prepare(self, pose: Pose) -> None: ...

    def send(self, pose: Pose) -> int:
        return int(pose.curves is not None)

    def status(self) -> str:
        return "shown here"

    def close(self) -> None: ...


_LINES = threading.Lock()  # several faces write to one stream, each in a thread of its own


class LinesTarget:
    """{"subject", "frame", "weights": {name: value}} a line; weights is null where no face is in view."""

    name, fps, prompt = "standard output", FPS, False

    def __init__(self, subject: str, stream: TextIO | None = None) -> None:
        self._subject, self._stream = subject, stream or sys.stdout

    def prepare(self, pose: Pose) -> None: ...

    def send(self, pose: Pose) -> int:
        weights = None
        if pose.curves is not None:
            weights = dict(zip(pose.curves.channels, np.round(pose.curves.values[0].astype(float), 5).tolist(),
                               strict=True))
        line = json.dumps({"subject": self._subject, "frame": pose.frame, "weights": weights})
        try:
            with _LINES:
                self._stream.write(line + "\n")
                self._stream.flush()
        except BrokenPipeError:
            raise Unread("standard output: its reader has gone") from None
        except ValueError:  # closed
            raise OutputError("standard output is closed") from None
        return 1

    def status(self) -> str:
        return "writing"

    def close(self) -> None: ...


class FileTarget:
    """What was sent, as a take: one row a frame of the clock, gaps held."""

    fps, prompt = FPS, True

    def __init__(self, path: Path) -> None:
        exporters.format_of(path)
        check_writable(path)
        self.name, self._path = str(path), path
        self._rows: list[Frames] = []
        self._channels: tuple[str, ...] = ()
        self._next = 0

    def prepare(self, pose: Pose) -> None:
        """A format that needs what a live face has not refuses now, not when the take is over."""
        if pose.curves is not None:
            exporters.export(pose.curves, self._path)

    def send(self, pose: Pose) -> int:
        if pose.curves is None and not self._rows:
            return 0
        row = self._rows[-1] if pose.curves is None else pose.curves.values[0]
        self._channels = self._channels if pose.curves is None else pose.curves.channels
        gap = pose.frame - self._next if self._rows else 0
        if len(self._rows) >= LONGEST:
            raise OutputError(f"{self._path}: holds {LONGEST} frames, which is all that a take may have")
        if 0 < gap <= LONGEST_GAP:
            self._rows += [self._rows[-1]] * gap
        self._rows.append(row)
        self._next = pose.frame + 1
        return 1

    def status(self) -> str:
        return f"{len(self._rows)} frames to be written"

    def close(self) -> None:
        if self._rows:
            curves = Curves(self._channels, FPS, np.array(self._rows, np.float32))
            write_file(self._path, exporters.export(curves, self._path))
