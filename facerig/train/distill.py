"""Soft labels for real speech: what an offline reader hears, held to what is known to be said.

Forward-backward over the units of the transcript gives every frame the probability of each of them, so that a boundary
is as unsure as it sounds; a share of what the reader hears freely is mixed in, since people do not say all that is
written. The student then hears the clip augmented and is taught what the teacher heard in the clean one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerig.curves import npz_bytes
from facerig.files import write_file
from facerig.train.align import Labels, Walk, evidence, guessed, realigned, sequence
from facerig.train.data import KEPT, UNLABELLED, Float, Soft, hard

FREE = 0.25  # share of what is heard freely in a clip whose text is known
SCALE = 0.6  # of the log score: neighbouring frames say much the same, and counted in full they leave no doubt
FULL = 255
SOFT = "soft/"  # before a clip's id in the file: its soft labels
MADE_OF = "made of/"  # before a source's name: what it was when its clips were heard (`data.stamp`)


def occupancies(score: NDArray[np.float64], units: Sequence[int]) -> Float | None:
    """[T, all units] the probability of each on all paths through `units`; None where there is no path."""
    walk = Walk.of(units)
    if not len(walk.owner):
        return None
    names = np.asarray(units)[walk.owner]
    likely = np.exp(score[:, names] - score[:, names].max(1, keepdims=True))
    forward = _passed(likely, walk.stays, walk.optional)
    backward = _passed(likely[::-1, ::-1], walk.stays[::-1], walk.optional[::-1])[::-1, ::-1]
    both = forward * backward / np.maximum(likely, 1e-300)  # both count the frame itself
    total = both.sum(1, keepdims=True)
    if not np.isfinite(both).all() or (total <= 0).any():
        return None
    out = np.zeros(score.shape, np.float32)
    for state, unit in enumerate(names):
        out[:, unit] += (both[:, state] / total[:, 0]).astype(np.float32)
    return out


def _passed(likely: NDArray[np.float64], stays: NDArray[np.bool_], optional: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[T, states] how probable the clip up to a frame is, ending in each state; every row sums to 1."""
    out = np.zeros_like(likely)
    out[0, 0] = likely[0, 0]
    if optional[0] and likely.shape[1] > 1:
        out[0, 1] = likely[0, 1]
    may_skip = np.concatenate([[False, False], optional[1:-1]])[: likely.shape[1]]
    for t in range(1, len(likely)):
        before = out[t - 1] / max(out[t - 1].sum(), 1e-300)
        now = before * stays
        now[1:] += before[:-1]
        now[2:] += before[:-2] * may_skip[2:]
        out[t] = now * likely[t]
    totals: NDArray[np.float64] = out / np.maximum(out.sum(1, keepdims=True), 1e-300)
    return totals


def softened(labels: Labels, heard: Float) -> Soft:
    """Soft labels of a clip from its old labels, unlabelled where it has no text, and what is heard in it."""
    if not (labels != UNLABELLED).any():
        return kept(heard)
    held = occupancies(SCALE * evidence(labels, heard), sequence(labels))
    return hard(len(labels)) if held is None else kept((1 - FREE) * held + FREE * heard)


def kept(shares: Float) -> Soft:
    """The KEPT greatest shares of every frame, in 255ths of all that is kept."""
    best = np.argsort(-shares, axis=1)[:, :KEPT]
    values = np.take_along_axis(shares, best, axis=1)
    parts = np.round(FULL * values / values.sum(1, keepdims=True))
    return np.stack([best, parts], axis=1).astype(np.uint8)


class Changed(NamedTuple):
    """Clips with new labels; of their frames with old ones, how many there are, have another now, have none."""

    clips: int = 0
    known: int = 0
    moved: int = 0
    struck: int = 0

    def with_more(self, other: Changed) -> Changed:
        return Changed(*(one + more for one, more in zip(self, other, strict=True)))

    def figures(self) -> dict[str, float]:
        total = max(self.known, 1)
        return {"clips": self.clips, "moved": self.moved / total, "struck_out": self.struck / total}


def sharpened(names: Sequence[str], old: Sequence[Labels],
              heard: Iterable[Float]) -> tuple[dict[str, Labels], dict[str, Soft], Changed]:
    """Hard and soft labels of clips by what is heard in them, and what is new in them."""
    hard_ones: dict[str, Labels] = {}
    soft_ones: dict[str, Soft] = {}
    changed = Changed()
    for name, before, posteriors in zip(names, old, heard, strict=True):
        known = before != UNLABELLED
        new = realigned(before, posteriors) if known.any() else guessed(posteriors)
        soft = softened(before, posteriors) * (new != UNLABELLED)[:, None, None]
        hard_ones[name], soft_ones[name] = new, soft.astype(np.uint8)
        changed = changed.with_more(Changed(1, int(known.sum()), int((new != before)[known].sum()),
                                            int((new[known] == UNLABELLED).sum())))
    return hard_ones, soft_ones, changed


def write(names: Sequence[str], old: Sequence[Labels], heard: Iterable[Float], path: Path,
          stamps: Mapping[str, str] | None = None) -> Changed:
    """Write hard and soft labels of clips by what is heard in them, beside those of other clips that `read` still gives
    back; `stamps` say what the clips' sources are now."""
    own, softer = read(path, stamps) if stamps else ({}, {})
    new, soft, changed = sharpened(names, old, heard)
    arrays: dict[str, NDArray[np.uint8]] = {**own, **new}
    arrays |= {SOFT + name: rows for name, rows in {**softer, **soft}.items()}
    arrays |= {MADE_OF + source: np.frombuffer(now.encode(), np.uint8) for source, now in (stamps or {}).items()}
    write_file(path, npz_bytes(dict(arrays)))
    return changed


def read(path: Path, stamps: Mapping[str, str] | None = None) -> tuple[dict[str, Labels], dict[str, Soft]]:
    """(labels, soft labels) by clip id; none where there is no file. With `stamps`, only of clips whose source is still
    what it was when they were made."""
    if not path.is_file():
        return {}, {}
    with np.load(path, allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    made_of = {name: held.pop(name).tobytes().decode() for name in list(held) if name.startswith(MADE_OF)}
    if stamps is not None:
        same = {name for name, now in stamps.items() if made_of.get(MADE_OF + name) == now}
        held = {name: rows for name, rows in held.items() if name.removeprefix(SOFT).partition("/")[0] in same}
    plain = {name: rows for name, rows in held.items() if not name.startswith(SOFT)}
    return plain, {name.removeprefix(SOFT): rows for name, rows in held.items() if name.startswith(SOFT)}
