"""Labels made sharper by our own encoder: Viterbi over the units that a clip is known to hold, beside their old places.

The encoder reads with its longest taught look-ahead. Silences may be left out, sounds may not; each lasts two frames
at least. What the encoder finds impossible (another word was said) becomes unlabelled rather than wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerig.phones import flag_of_units
from facerig.train.data import UNLABELLED, Float

NEAR = 4  # frames (67 ms) within which the old labels are taken to be right as often as not
ELSEWHERE = 0.05  # what a unit counts outside of its old place, against 1 inside
SURE = 0.6  # probability from which a guess counts as a label
IMPOSSIBLE = 0.004  # mean probability of a sound over its stretch, under which it is not what was said

Labels = NDArray[np.uint8]


def sequence(labels: Labels) -> list[int]:
    """The units of a clip in order; neighbours of one unit are one."""
    known = labels[labels != UNLABELLED]
    if not len(known):
        return []
    return [int(unit) for unit in known[np.flatnonzero(np.diff(known.astype(np.int64), prepend=-1))]]


def realigned(labels: Labels, heard: Float) -> Labels:
    """New labels of a clip from its old ones and the posteriors [T, units] heard in it."""
    units = sequence(labels)
    path = viterbi(evidence(labels, heard), units)
    if path is None:
        return labels
    out = np.asarray(units, np.uint8)[path]
    for first, last in _stretches(path):
        unit = int(out[first])
        if not flag_of_units("is_silence")[unit] and heard[first:last, unit].mean() < IMPOSSIBLE:
            out[first:last] = UNLABELLED
    return out


def evidence(labels: Labels, heard: Float) -> NDArray[np.float64]:
    """[T, units] log score of every unit: what is heard, and whether the old label lies near."""
    score = np.log(heard + 1e-4) + np.log(_nearby(labels, heard.shape[1]) + ELSEWHERE)
    return np.asarray(score, np.float64)


def _nearby(labels: Labels, units: int) -> Float:
    """[T, units] 1 where the old label lies within NEAR frames."""
    out = np.zeros((len(labels), units), np.float32)
    rows = np.arange(len(labels))
    for shift in range(-NEAR, NEAR + 1):
        at = np.clip(rows + shift, 0, len(labels) - 1)
        known = labels[at] != UNLABELLED
        out[rows[known], labels[at][known]] = 1.0
    return out


class Walk(NamedTuple):
    """The states of a known sequence: two to a sound, so that it lasts two frames at least, one to a silence."""

    owner: NDArray[np.int64]
    """Which unit of the sequence a state belongs to."""
    stays: NDArray[np.bool_]
    optional: NDArray[np.bool_]

    @classmethod
    def of(cls, units: Sequence[int]) -> Walk:
        silence = flag_of_units("is_silence")
        owner = np.array([k for k, unit in enumerate(units) for _ in range(1 if silence[unit] else 2)], np.int64)
        optional = np.array([silence[units[k]] for k in owner], bool)
        return cls(owner, np.append(owner[1:] != owner[:-1], True)[: len(owner)], optional)


def viterbi(score: NDArray[np.float64], units: Sequence[int]) -> NDArray[np.int64] | None:
    """[T] the place in `units` of each frame on the best path; None where the clip is too short for its units."""
    owner, stays, optional = Walk.of(units)
    if not len(owner):
        return None
    entry = score[:, np.asarray(units)[owner]]
    best = np.full(len(owner), -np.inf)
    best[0] = entry[0, 0]
    if optional[0] and len(owner) > 1:
        best[1] = entry[0, 1]
    came = np.zeros((len(score), len(owner)), np.int8)
    for t in range(1, len(score)):
        stay = np.where(stays, best, -np.inf)
        step = np.concatenate([[-np.inf], best[:-1]])
        skip = np.concatenate([[-np.inf, -np.inf], np.where(optional[1:-1], best[:-2], -np.inf)])[: len(owner)]
        choices = np.stack([stay, step, skip])
        came[t] = choices.argmax(0)
        best = choices.max(0) + entry[t]
    return _traced(best, came, owner, bool(optional[-1]))


def _traced(best: NDArray[np.float64], came: NDArray[np.int8], owner: NDArray[np.int64],
            may_skip: bool) -> NDArray[np.int64] | None:
    at = len(best) - 1
    if may_skip and len(best) > 1 and best[-2] > best[-1]:
        at -= 1
    if not np.isfinite(best[at]):
        return None
    path = np.empty(len(came), np.int64)
    for t in range(len(came) - 1, -1, -1):
        path[t] = owner[at]
        at -= int(came[t, at]) if t else 0
    return path


def _stretches(path: NDArray[np.int64]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(path, prepend=-1, append=-1))
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def guessed(heard: Float) -> Labels:
    """Labels of a clip without a transcript: what the encoder is sure of, the rest unlabelled."""
    best = heard.argmax(1)
    return np.where(heard.max(1) >= SURE, best, UNLABELLED).astype(np.uint8)
