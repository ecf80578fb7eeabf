"""What the trainer draws from: log-mel features of the packed corpora in memory, and crops of them. Knows no network.

Features are computed once per packed source and kept as float16 in a file that is named by the clips, by what they were
packed from and by how features are made; a file that nothing asks for any more is left where it is. A crop is filled
with as many clips as it needs, each played at a rate of its own; the feature row belongs to the same instant as the
label row.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.errors import InputError
from facerig.features import BANDS, FEATURES, FFT, FLOOR, HIGHEST, HOPS, LOWEST, MEAN, SPREAD, WINDOW, LogMel
from facerig.files import write_file
from facerig.stage import SAMPLES
from facerig.train.corpora import PackedClip, PackedSet

UNLABELLED = 255
PIECE = 3600  # frames of audio turned into features at a time
GROUPED = 12_000  # frames that go through an encoder together
KEPT = 4  # units that a soft label names
MADE_BY = (BANDS, HOPS, WINDOW, FFT, LOWEST, HIGHEST, FLOOR, MEAN, SPREAD)  # features of other settings are others
NOBODY = -1
QUIET = -2.2  # a feature of digital silence
FOLLOWED = 0.85  # how often a clip is followed by the next of its speaker

Half = NDArray[np.float16]
Float = NDArray[np.float32]
Soft = NDArray[np.uint8]
"""[n, 2, KEPT]: units, and the share of each in 255ths; all shares 0 where the hard label counts."""


def with_labels(data: Store, new: Mapping[str, NDArray[np.uint8]], soft: Mapping[str, Soft]) -> Store:
    """The same clips with other labels where there are any for their id."""
    old = [data.clip(k)[1] for k in range(len(data.ids))]
    labels = [new.get(name, rows) for name, rows in zip(data.ids, old, strict=True)]
    softer = [soft.get(name, hard(len(rows))) for name, rows in zip(data.ids, old, strict=True)]
    return replace(data, labels=np.concatenate(labels), soft=np.concatenate(softer))


def hard(count: int) -> Soft:
    """Soft labels that say nothing."""
    return np.zeros((count, 2, KEPT), np.uint8)


@dataclass(frozen=True)
class Store:
    """Clips head to tail: features [N, 128], unit labels [N], and where each clip lies."""

    feats: Half
    labels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    trust: Float
    source: NDArray[np.object_]
    ids: tuple[str, ...]
    soft: Soft = field(default_factory=lambda: hard(0))
    speakers: tuple[str, ...] = ()
    """Who speaks each clip; "" where nobody knows."""

    def __post_init__(self) -> None:
        if len(self.soft) != len(self.labels):
            object.__setattr__(self, "soft", hard(len(self.labels)))
        if len(self.speakers) != len(self.ids):
            object.__setattr__(self, "speakers", ("",) * len(self.ids))

    @property
    def hours(self) -> float:
        return float(self.counts.sum()) / 60 / 3600

    def clip(self, k: int) -> tuple[Float, NDArray[np.uint8]]:
        """Features and labels of one clip."""
        span = slice(int(self.starts[k]), int(self.starts[k] + self.counts[k]))
        return self.feats[span].astype(np.float32), self.labels[span]


def audio_features(samples: NDArray[np.int16]) -> Float:
    """Features of one clip from rest: int16 at 24 kHz -> [n, 128]."""
    frames = (samples[: len(samples) // SAMPLES * SAMPLES].astype(np.float32) / 32768.0).reshape(-1, SAMPLES)
    stage, rows = LogMel(), []
    state = stage.start()
    for at in range(0, len(frames), PIECE):
        state, out = stage.push(state, frames[at : at + PIECE])
        rows.append(out)
    return np.concatenate(rows) if rows else np.zeros((0, FEATURES), np.float32)


def store(packed: PackedSet, cache: Path, relabelled: Mapping[str, NDArray[np.uint8]] | None = None,
          softened: Mapping[str, Soft] | None = None) -> Store:
    """The clips of a packed set with their features; `relabelled` replaces the labels of clips by id, `softened` gives
    them soft ones."""
    clips = [clip for clip in packed.clips if clip.frames > 0]
    feats, labels, soft = [], [], []
    for source in dict.fromkeys(clip.source for clip in clips):
        own = packed.only(sources=[source])
        table = _source_features(own, source, cache)
        for clip in own.clips:
            feats.append(table[clip.id])
            labels.append(labels_of(packed, clip, relabelled or {}))
            soft.append((softened or {}).get(clip.id, hard(len(labels[-1]))))
    order = [clip for source in dict.fromkeys(c.source for c in clips) for clip in packed.only(sources=[source]).clips]
    counts = np.array([len(rows) for rows in labels], np.int64)
    return Store(
        np.concatenate(feats), np.concatenate(labels), np.concatenate([[0], np.cumsum(counts)[:-1]]), counts,
        np.array([clip.trust for clip in order], np.float32), np.array([clip.source for clip in order], object),
        tuple(clip.id for clip in order), np.concatenate(soft), tuple(clip.speaker for clip in order),
    )  # fmt: skip


def labels_of(packed: PackedSet, clip: PackedClip, relabelled: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Of a clip, the new ones where it has some; an InputError where these are of another length."""
    new = relabelled.get(clip.id, np.asarray(packed.labels(clip)))
    if len(new) != clip.frames:
        raise InputError(f"{clip.id}: got new labels for {len(new)} frames, accepted: {clip.frames}, as the clip has; "
                         "remove the labels.npz that they are from, it is made again")  # fmt: skip
    return new


def stamp(packed: PackedSet, sources: Iterable[str], *more: object) -> str:
    """A name for what is made of these sources' features: another one where a source was packed anew from other clips
    or features are made in another way."""
    what = f"{MADE_BY} {[(name, packed.digest(name)) for name in sorted(set(sources))]} {more}"
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def _source_features(own: PackedSet, source: str, cache: Path) -> dict[str, Half]:
    """Features by clip id, from the cache where this very set of clips was turned into features before."""
    what = "".join(f"{clip.id}/{clip.start}/{clip.frames};" for clip in own.clips)
    clips = hashlib.sha256(what.encode()).hexdigest()[:12]
    path = cache / f"{source}-{clips}-{stamp(own, [source])}.feats.npy"
    if not path.is_file():
        rows = [audio_features(np.asarray(own.audio(clip))).astype(np.float16) for clip in own.clips]
        held = io.BytesIO()
        np.save(held, np.concatenate(rows))
        write_file(path, held.getvalue())  # another run on the same cache may be writing it too
    table, at, found = np.load(path), 0, {}
    for clip in own.clips:
        found[clip.id] = table[at : at + clip.frames]
        at += clip.frames
    return found


def grouped(counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Clips of like length, about GROUPED frames together."""
    order, first = np.argsort(counts, kind="stable"), 0
    while first < len(order):
        last = first + 1
        while last < len(order) and counts[order[last]] * (last + 1 - first) <= GROUPED:
            last += 1
        yield order[first:last]
        first = last


def side_by_side(held: Store, clips: NDArray[np.int64], behind: int = 0) -> Float:
    """[clips, longest + behind, 128] features, quiet behind each."""
    feats = np.full((len(clips), int(held.counts[clips].max()) + behind, FEATURES), QUIET, np.float32)
    for row, k in enumerate(clips):
        feats[row, : held.counts[k]] = held.clip(int(k))[0]
    return feats


def share(clip: str, shares: Mapping[str, float]) -> float:
    """The weight of a clip's hours: of the longest key that its id begins with, 1 where none fits."""
    fitting = [key for key in shares if clip.startswith(key)]
    return shares[max(fitting, key=len)] if fitting else 1.0


@dataclass(frozen=True)
class Crops:
    """Draws batches from a store, by the caller's generator."""

    store: Store
    shares: Mapping[str, float]
    """Weight of the hours of clips whose id begins so; see `share`."""
    frames: int

    def __post_init__(self) -> None:
        weights = self.store.counts * np.array([share(name, self.shares) for name in self.store.ids])
        object.__setattr__(self, "_edges", np.cumsum(weights / weights.sum()))
        object.__setattr__(self, "_next", following(self.store))

    def draw(self, rng: np.random.Generator, batch: int, tempo: float) -> tuple[Float, NDArray[np.int64], Float, Soft]:
        """(features [B, T, 128], labels [B, T], trust [B, T], soft labels [B, T, 2, KEPT]); clips at rates within
        1 / (1 + tempo) .. 1 + tempo. What fills a crop behind a clip's end is mostly what its speaker says next, at the
        same rate: a network that hears one voice for long learns to make use of it."""
        feats = np.zeros((batch, self.frames, FEATURES), np.float32)
        labels = np.full((batch, self.frames), UNLABELLED, np.int64)
        trust = np.ones((batch, self.frames), np.float32)
        soft = np.stack([hard(self.frames)] * batch)
        for row in range(batch):
            at, clip, rate = 0, NOBODY, 1.0
            while at < self.frames:
                clip = self._following(clip) if clip != NOBODY and rng.random() < FOLLOWED else NOBODY
                if clip == NOBODY:
                    clip, rate = self._any(rng), float(np.exp(rng.uniform(-1, 1) * np.log1p(tempo)))
                at += self._fill(rng, clip, rate, feats[row, at:], labels[row, at:], trust[row, at:], soft[row, at:])
        return feats, labels, trust, soft

    def _any(self, rng: np.random.Generator) -> int:
        edges: Float = self._edges  # type: ignore[attr-defined]
        return min(int(np.searchsorted(edges, rng.random())), len(edges) - 1)

    def _following(self, clip: int) -> int:
        then: NDArray[np.int64] = self._next  # type: ignore[attr-defined]
        return int(then[clip])

    def _fill(self, rng: np.random.Generator, clip: int, rate: float, feats: Float, labels: NDArray[np.int64],
              trust: Float, soft: Soft) -> int:
        """Put a piece of a clip at the beginning of these rows; returns its length."""
        count = int(self.store.counts[clip])
        length = min(len(labels), max(1, int((count - 1) / rate)))
        spare = count - int(length * rate) - 1
        first = int(self.store.starts[clip]) + (int(rng.integers(0, spare + 1)) if spare > 0 else 0)
        last = int(self.store.starts[clip]) + count - 1
        feats[:length] = stretched(self.store.feats, first, last, length, rate)
        rows = np.minimum(first + np.round(np.arange(length) * rate).astype(np.int64), last)
        labels[:length], soft[:length] = self.store.labels[rows], self.store.soft[rows]
        trust[:length] = self.store.trust[clip]
        return length


def following(held: Store) -> NDArray[np.int64]:
    """The next clip of the same source that the same speaker says, NOBODY where there is none or nobody knows who it
    is. People and voices may take turns within a source, clip by clip."""
    then, last = np.full(len(held.ids), NOBODY, np.int64), dict[tuple[str, str], int]()
    for clip, who in enumerate(zip(held.source, held.speakers, strict=True)):
        if who[1]:
            if who in last:
                then[last[who]] = clip
            last[who] = clip
    return then


def stretched(feats: Half, first: int, last: int, length: int, rate: float) -> Float:
    """Rows first, first + rate, ... read between the hops."""
    if rate == 1.0:
        return feats[first : first + length].astype(np.float32)
    hops = feats[first : last + 1].reshape(-1, BANDS)
    instants = np.minimum(np.arange(length * HOPS) * rate, len(hops) - 1)
    low = instants.astype(np.int64)
    high = np.minimum(low + 1, len(hops) - 1)
    part = (instants - low).astype(np.float32)[:, None]
    mixed = hops[low].astype(np.float32) * (1 - part) + hops[high].astype(np.float32) * part
    rows: Float = mixed.reshape(length, FEATURES)
    return rows


def chosen(packed: PackedSet, sources: Sequence[str], split: str) -> PackedSet:
    """Clips of these sources (those that exist) in a split."""
    held = [name for name in sources if name in packed.columns]
    return packed.only(split, held)
