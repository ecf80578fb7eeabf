"""What the decoder learns from: features with the teacher's curves, and measured motion where a set has it.

GRID's tracks are judged through a head's linear mouth map (weights -> millimetres), FACEGOOD's solved curves through
sums of channels that mean the same thing in both rigs; each with a scale and an offset of its own, which are learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.features import MEAN, SPREAD
from facerig.phones import units
from facerig.rig import rig
from facerig.train import shards
from facerig.train.corpora import PackedSet
from facerig.train.corpora.base import data_folder
from facerig.train.corpora.motion import EYES_MM, closed_lips
from facerig.train.data import UNLABELLED, Float, Soft, Store, store
from facerig.train.teacher import expected

BLUR = (0.25, 0.5, 0.25)  # of one-hot labels over neighbouring frames, as a label edge lies anywhere between them
CLEAR = 2.0  # power of soft labels: two sounds at an edge stay halves, a tenth of doubt about a "p" does not open it

# measure of the mouth map, GRID's track, weight
GRID_MEASURES: tuple[tuple[str, str, float], ...] = (
    ("gap", "gap_inner", 2.0),
    ("outer_height", "outer_height", 1.0),
    ("width", "width_outer", 1.5),
    ("jaw_drop", "jaw_drop", 2.0),
    ("lower_lip_y", "llip_in_y", 1.0),
    ("upper_lip_y", "ulip_in_y", 0.5),
)

# what is compared, FACEGOOD's columns (its sides are equal, so one counts), our channels, weight
FACEGOOD_SUMS: tuple[tuple[str, str, str, float], ...] = (
    ("jaw", "mouth_stretch_c", "jawOpen", 2.0),
    ("rounding", "mouth_oh_c mouth_oo_c mouth_funnel_dl mouth_funnel_ul mouth_pucker_l",
     "mouthFunnel mouthPucker", 4.0),
    ("closing", "mouth_suck_dl mouth_suck_ul mouth_press_l", "mouthRollLower mouthRollUpper mouthPress*", 1.5),
    ("lower", "mouth_lowerLipDepress_*", "mouthLowerDown*", 0.7),
    ("upper", "mouth_upperLipRaise_*", "mouthUpperUp*", 0.7),
    ("corners", "mouth_lipCornerPull_* mouth_lipStretch_*", "mouthSmile* mouthStretch*", 0.5),
)
MEASURES = len(GRID_MEASURES) + len(FACEGOOD_SUMS)


@dataclass(frozen=True)
class Motion:
    """A store with curves for every frame, and measures (NaN where there are none)."""

    store: Store
    teacher: NDArray[np.float16]  # [N, 68]
    known: NDArray[np.bool_]  # [N] the teacher had a label
    measures: Float  # [N, MEASURES]

    def __add__(self, other: Motion) -> Motion:
        """The clips of both."""
        return Motion(shards.joined(self.store, other.store), np.concatenate([self.teacher, other.teacher]),
                      np.concatenate([self.known, other.known]), np.concatenate([self.measures, other.measures]))


def energy(feats: Float) -> Float:
    """[n] loudness in dB from log-mel features."""
    return np.asarray(10 * np.log10(np.exp(feats * SPREAD + MEAN).mean(1)), np.float32)


def belief(labels: NDArray[np.uint8], soft: Soft | None = None) -> Float:
    """[n, units] the soft labels where there are any; else one-hot, blurred over neighbours, unlabelled as silence."""
    hot = np.eye(len(units()), dtype=np.float32)[np.where(labels == UNLABELLED, 0, labels)]
    padded = np.pad(hot, ((1, 1), (0, 0)), mode="edge")
    blurred = np.asarray(sum(w * padded[k : k + len(hot)] for k, w in enumerate(BLUR)), np.float32)
    if soft is None:
        return blurred
    shares = (soft[:, 1].astype(np.float32) / 255) ** CLEAR
    given = shares.sum(1, keepdims=True)
    out = np.zeros_like(blurred)
    rows = np.arange(len(out))
    for unit, share in zip(soft[:, 0].T, (shares / np.maximum(given, 1e-6)).T, strict=True):
        out[rows, unit] += share
    return np.where(given > 0, out, blurred)


def taught(feats: Float, labels: NDArray[np.uint8], heard: Callable[[Float], Float] | None,
           soft: Soft | None = None) -> Float:
    """The teacher's curves of a clip: from its labels, or from what a network heard where it has none."""
    labelled = (labels != UNLABELLED).any()
    believed = belief(labels, soft) if labelled or heard is None else heard(feats)
    return expected(believed, energy(feats))


def motion(packed: PackedSet, cache: Path, heard: Callable[[Float], Float] | None = None,
           relabelled: Mapping[str, NDArray[np.uint8]] | None = None,
           softened: Mapping[str, Soft] | None = None) -> Motion:
    """Everything for these clips; `heard` gives posteriors for clips without labels, `relabelled` and `softened` give
    better labels to those that have some."""
    spoken = {clip.id for clip in packed.clips if clip.label_kind != "none"}
    new = {name: rows for name, rows in (relabelled or {}).items() if name in spoken}
    held = store(packed, cache, new, softened)
    curves, known = [], []
    for k in range(len(held.ids)):
        feats, labels = held.clip(k)
        first = int(held.starts[k])
        curves.append(taught(feats, labels, heard, held.soft[first : first + len(labels)]).astype(np.float16))
        known.append((labels != UNLABELLED) | (heard is not None and not (labels != UNLABELLED).any()))
    return Motion(held, np.concatenate(curves), np.concatenate(known), _measures(packed, held))


def _measures(packed: PackedSet, held: Store) -> Float:
    out = np.full((len(held.labels), MEASURES), np.nan, np.float32)
    by_id = {clip.id: clip for clip in packed.clips}
    for k, name in enumerate(held.ids):
        clip = by_id[name]
        targets = packed.targets(clip)
        if targets is None:
            continue
        span = slice(int(held.starts[k]), int(held.starts[k] + held.counts[k]))
        columns = packed.columns[clip.source]
        if clip.source == "grid":
            out[span, : len(GRID_MEASURES)] = _grid(targets, columns)
        elif clip.source == "facegood":
            out[span, len(GRID_MEASURES) :] = _facegood(targets, columns)
    return out


def _grid(targets: Float, columns: Sequence[str]) -> Float:
    """Millimetres from the talker's closed lips."""
    closed = closed_lips()
    picked = [(targets[:, columns.index(track)] - closed[track]) * EYES_MM for _, track, _ in GRID_MEASURES]
    return np.stack(picked, 1)


def _facegood(targets: Float, columns: Sequence[str]) -> Float:
    return np.stack([targets[:, matching(names, columns)].sum(1) for _, names, _, _ in FACEGOOD_SUMS], 1)


def matching(names: str, columns: Sequence[str]) -> list[int]:
    """Indices of the columns that are named; `x*` stands for all that begin with x."""
    wanted = names.split()
    return [i for i, column in enumerate(columns)
            if any(column == w or (w.endswith("*") and column.startswith(w[:-1])) for w in wanted)]


def facegood_matrix() -> Float:
    """[68, FACEGOOD_SUMS] which of our channels each sum adds up."""
    channels = rig("facerig").names
    out = np.zeros((len(channels), len(FACEGOOD_SUMS)), np.float32)
    for k, (_, _, ours, _) in enumerate(FACEGOOD_SUMS):
        out[matching(ours, channels), k] = 1.0
    return out


def grid_matrix() -> Float:
    """[68, GRID_MEASURES] millimetres a unit of weight, on the scanned head where it is here, else the built-in one."""
    from facerig.heads.landmarks import mouth_measures

    folder = data_folder() / "heads" / "ict_facekit"
    if folder.is_dir():
        from facerig.heads.ict import load_ict

        head = load_ict(folder)
    else:
        from facerig.heads.builtin import builtin_head

        head = builtin_head()
    mouth = mouth_measures(head)
    return np.stack([mouth.matrix[:, mouth.index(name)] for name, _, _ in GRID_MEASURES], 1)
