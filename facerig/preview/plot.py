"""Curves drawn under their sound, with phones, words and emotions marked; two takes may be laid over each other."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from facerig.curves import Curves
from facerig.errors import MissingExtra, OptionError
from facerig.mesh import Floats

log = logging.getLogger(__name__)

MOST = 12  # channels drawn where none are named: those that move most
COLOURS = ("#2f6fb0", "#d0672b", "#3b8f5a", "#a3449a", "#8a6d1f", "#4a4a4a")
KINDS = {"phone": "#e9eef5", "word": "#f3efe2", "emotion": "#f5e4e4"}


def plot(curves: Curves, audio: tuple[Floats, int] | None = None, channels: Sequence[str] = (),
         other: Curves | None = None, suffix: str = ".png") -> bytes:
    """A picture (.png, .svg or .pdf) of the channels, one row each; `other` is drawn dashed."""
    pyplot = _pyplot()
    names = _chosen(curves, channels)
    _check_common(names, other)
    rows = len(names) + (1 if audio else 0)
    figure, axes = pyplot.subplots(rows, 1, figsize=(12, 0.9 + 0.72 * rows), sharex=True, squeeze=False,
                                   layout="constrained")
    try:
        column = list(axes[:, 0])
        if audio:
            _waveform(column.pop(0), *audio)
        for row, (axis, name) in enumerate(zip(column, names, strict=True)):
            _row(axis, curves, other, name, COLOURS[row % len(COLOURS)], labels=row == 0)
        column[-1].set_xlabel("seconds")
        stream = io.BytesIO()
        figure.savefig(stream, format=suffix.lstrip("."), dpi=110)
        return stream.getvalue()
    finally:
        pyplot.close(figure)


def _chosen(curves: Curves, channels: Sequence[str]) -> list[str]:
    if not curves.frames or not curves.channels:
        raise OptionError("curves: got none, accepted: one channel and one frame or more")
    if channels:
        return [curves.channels[curves.index(name)] for name in channels]
    travel = np.abs(np.diff(curves.values, axis=0)).sum(axis=0)
    order = np.argsort(-travel, kind="stable")[:MOST]
    return [curves.channels[k] for k in sorted(int(k) for k in order)]


def _check_common(names: Sequence[str], other: Curves | None) -> None:
    lacking = [name for name in names if other is not None and name not in other]
    if other is not None and len(lacking) == len(names):
        raise OptionError(f"the take to compare with: got {', '.join(other.channels[:MOST])}, accepted: some of "
                          f"{', '.join(names)}; facerig convert --rig brings both to one rig")
    if lacking:
        log.warning("the take to compare with has no %s; not drawn dashed", ", ".join(lacking))


def _waveform(axis: Any, samples: Floats, rate: int) -> None:
    """Extremes of short windows, from frame 0 on: a line through all samples would take as long and show less."""
    step = max(1, len(samples) // 4000)
    cut = samples[: len(samples) // step * step].reshape(-1, step)
    seconds = np.arange(len(cut)) * step / rate
    axis.fill_between(seconds, cut.min(axis=1, initial=0), cut.max(axis=1, initial=0), color="#6b7480", linewidth=0)
    axis.set_yticks([])
    axis.set_ylabel("sound", rotation=0, ha="right", va="center")


def _row(axis: Any, curves: Curves, other: Curves | None, name: str, colour: str, labels: bool) -> None:
    shown = [mark for mark in curves.marks if mark.kind in KINDS]
    for mark in sorted(shown, key=lambda mark: mark.start - mark.end):  # a word lies behind its phones
        start, end = mark.start / curves.fps, mark.end / curves.fps
        axis.axvspan(start, end, color=KINDS[mark.kind], linewidth=0, alpha=0.9)
        axis.axvline(start, color="#c9ced6", linewidth=0.5)
        if labels:
            height = {"phone": 1.06, "word": 1.32, "emotion": 1.58}[mark.kind]
            axis.text((start + end) / 2, height, mark.label, ha="center", fontsize=7, clip_on=False,
                      transform=axis.get_xaxis_transform())
    seconds = (curves.start + np.arange(curves.frames)) / curves.fps
    axis.plot(seconds, curves[name], color=colour, linewidth=1.3)
    if other is not None and name in other:
        time = (other.start + np.arange(other.frames)) / other.fps
        axis.plot(time, other[name], color="#222222", linewidth=1.0, linestyle="--")
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    low, high = float(curves[name].min()), float(curves[name].max())
    axis.set_ylim(min(0.0, low) - 0.05, max(1.0, high) + 0.05)
    axis.set_yticks([0, 1])
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0)


def _pyplot() -> Any:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtra("plot", "preview", str(error)) from error
    return pyplot
