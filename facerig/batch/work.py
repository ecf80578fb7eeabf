"""One line of a batch, from audio to the bytes of its files. Runs anywhere: here, in a worker process, on a cluster.

It writes nothing and raises nothing: what goes wrong is told in the result. A model is loaded once a process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from facerig.asking import Asked
from facerig.audio import open_audio
from facerig.batch.table import Line
from facerig.curves import Curves
from facerig.errors import FacerigError
from facerig.mesh import Head

log = logging.getLogger(__name__)

PLOT_POINTS = 160
# Drawn in the report: the channels that show speech best.
PLOTTED = ("jawOpen", "mouthClose", "mouthFunnel", "eyeBlinkLeft")
MOUTH = ("jaw", "mouth", "tongue", "viseme")  # parts of names of channels that speech moves, in most rigs
QUIET = 0.02  # a take whose channels all move by less shows nothing


@dataclass(frozen=True)
class Settings:
    """What all lines of a batch share."""

    model: str = "auto"
    fps: int = 60
    rig: str | None = None
    keys: float | None = None
    seed: int | None = None
    language: str = "en"
    """of the transcripts"""
    emotion: str = ""
    """of lines that name none"""
    sets: tuple[str, ...] = ()
    """NAME=VALUE controls of every line; a line's own columns come on top"""
    still: bool = False
    style: str = ""
    """of lines that name none, as `state`"""
    state: str = ""
    only_needed: bool = False
    """nobody asked for a head: formats that do without one get none"""


@dataclass(frozen=True)
class Result:
    """What became of a line. `files` holds bytes by suffix until they are written."""

    line: int
    status: str
    """done, failed or skipped"""
    seconds: float = 0.0
    """of the clip"""
    frames: int = 0
    took: float = 0.0
    error: str = ""
    warnings: tuple[str, ...] = ()
    plot: dict[str, list[float]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    """names of the written files, relative to the batch's folder"""

    def written(self, outputs: tuple[str, ...], took: float | None = None) -> Result:
        return replace(self, files={}, outputs=outputs, took=self.took if took is None else took)


def make(line: Line, settings: Settings, head: Head | None = None) -> Result:
    """Animate and export one line; faults of ours are told too, so that one line never stops the rest."""
    started = time.perf_counter()
    with _heard() as warnings:
        try:
            curves = _animated(line, settings)
            files = _exported(line, curves, settings, head)
        except FacerigError as error:
            return Result(line.number, "failed", took=_since(started), error=str(error), warnings=tuple(warnings))
        except Exception as error:
            fault = f"a fault of facerig's own: {type(error).__name__}: {error}"
            return Result(line.number, "failed", took=_since(started), error=fault, warnings=tuple(warnings))
    return Result(line.number, "done", curves.seconds, curves.frames, _since(started),
                  warnings=(*warnings, *_remarks(curves)), plot=_plot(curves), files=files)


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)


@lru_cache(maxsize=4)
def _animator(model: str, alive: bool, emotion: str) -> Any:
    from facerig.pipeline import Animator

    return Animator.load(model=model, alive=alive, emotion=emotion)


def asked(line: Line, settings: Settings) -> Asked:
    """What a line and its batch ask for."""
    return Asked((*settings.sets, *line.sets), line.emotion or settings.emotion, line.style or settings.style,
                 line.state or settings.state)


def files_read(line: Line, settings: Settings) -> tuple[Path, ...]:
    """Every file that a line is made from, be it there or not: the audio first."""
    said = line.transcript_file
    return (line.audio, *asked(line, settings).files(line.audio.parent), *(() if said is None else (said,)))


def _animated(line: Line, settings: Settings) -> Curves:
    wanted = asked(line, settings)
    animator = _animator(settings.model, not settings.still, wanted.hearing(line.audio.parent))
    controls = wanted.controls(folder=line.audio.parent)
    seed = line.seed if line.seed is not None else settings.seed or 0
    with open_audio(line.audio) as source:
        if line.transcript:
            curves = animator.animate_said(source.whole(), _transcript(line), settings.language, controls, seed)
        else:
            curves = animator.animate_source(source, controls=controls, seed=seed)
    for note in source.notes:
        log.warning("%s", note)
    if settings.rig:
        from facerig.retarget import retarget

        curves = retarget(curves, settings.rig)
    resampled: Curves = curves.resample(settings.fps)
    return resampled


def _transcript(line: Line) -> Any:
    from facerig.transcript.read import parse, read_transcript

    if line.transcript_file is not None:
        return read_transcript(line.transcript_file)
    return parse(line.transcript, ".txt", f"transcript of {line.name}")


def _exported(line: Line, curves: Curves, settings: Settings, head: Head | None) -> dict[str, bytes]:
    import exporters

    options = exporters.ExportOptions(name=line.name, keys=settings.keys)
    bare = {suffix for suffix in line.formats if settings.only_needed and exporters.EXPORTERS[suffix].head != "needed"}
    return {suffix: exporters.export(curves, suffix, None if suffix in bare else head, options)
            for suffix in line.formats}


def _remarks(curves: Curves) -> list[str]:
    remarks = []
    spoken = [k for k, name in enumerate(curves.channels) if any(part in name.lower() for part in MOUTH)]
    moved = curves.values[:, spoken] if spoken else curves.values  # a face that is alive moves in silence too
    if curves.frames and max(np.ptp(moved, axis=0), default=0) < QUIET:
        remarks.append("the mouth hardly moves: is the clip silent?")
    if curves.seconds < 0.2:
        remarks.append(f"the clip lasts only {curves.seconds:.2f} s")
    return remarks


def _plot(curves: Curves) -> dict[str, list[float]]:
    """A few points of a few channels, each the largest value of its stretch."""
    lower = {name.lower(): name for name in curves.channels}
    names = [lower[name.lower()] for name in PLOTTED if name.lower() in lower] or list(curves.channels[:3])
    if not curves.frames:
        return {}
    edges = np.unique(np.linspace(0, curves.frames, PLOT_POINTS + 1).astype(int)[:-1])
    return {name: np.round(np.maximum.reduceat(curves[name], edges), 3).tolist() for name in names}


class _Listener(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.heard:
            self.heard.append(text)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What our modules warn of meanwhile goes into the report, and not onto a screen that shows a progress bar."""
    heard: list[str] = []
    listener, loggers = _Listener(heard), [logging.getLogger(name) for name in ("facerig", "exporters")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.propagate = False
    try:
        yield heard
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(listener)
            logger.propagate = propagate
