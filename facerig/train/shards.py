"""Clips augmented as sound and turned into features once: whisper, codecs, breath, coughs, rooms, clipped microphones.

What acts on band powers alone is done anew at every step (`melaug`); this is for what needs the waveform.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.features import FEATURES
from facerig.files import write_file
from facerig.train.corpora import PackedSet
from facerig.train.corpora.augment import Options, augment
from facerig.train.data import Store, audio_features, labels_of

SOURCE = "augmented"
OPTIONS = Options(whisper=0.15, events=0.5, whole=0.12, band=0.25, codec=0.4, speed=0.3, gain_db=(-25.0, 0.0))
SCALE = np.float32(1 / 32768)


def augmented(packed: PackedSet, hours: float, relabelled: Mapping[str, NDArray[np.uint8]] | None = None,
              seed: int = 0) -> Store:
    """Random clips, each in one random version, until there are `hours` of them; with their trust, and with new labels
    where `relabelled` has some for their id. Hard ones alone: soft ones would have to follow the sound through other
    tempos, and there are none for what is laid over it."""
    rng = np.random.default_rng(seed)
    feats: list[NDArray[np.float16]] = []
    labels: list[NDArray[np.uint8]] = []
    ids: list[str] = []
    trust: list[float] = []
    total = 0
    while total < hours * 3600 * 60 and packed.clips:
        clip = packed.clips[int(rng.integers(len(packed.clips)))]
        audio = np.asarray(packed.audio(clip)).astype(np.float32) * SCALE
        made = augment(audio, np.array(labels_of(packed, clip, relabelled or {})), rng, OPTIONS)
        if not np.isfinite(made.audio).all():
            continue
        rows = sound_features(made.audio)
        feats.append(rows)
        labels.append(made.labels[: len(rows)])
        ids.append(f"{SOURCE}/{len(ids)}")
        trust.append(clip.trust)
        total += len(rows)
    return replace(stored(feats, labels, ids, SOURCE), trust=np.array(trust, np.float32))


def sound_features(sound: NDArray[np.float32]) -> NDArray[np.float16]:
    """Features of a sound in -1..1, as those of a recording of it."""
    return audio_features(np.clip(sound * 32767, -32768, 32767).astype(np.int16)).astype(np.float16)


def stored(feats: list[NDArray[np.float16]], labels: list[NDArray[np.uint8]], ids: list[str], source: str) -> Store:
    """Clips of one source as a store."""
    counts = np.array([len(rows) for rows in labels], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    empty_rows, empty = np.zeros((0, FEATURES), np.float16), np.zeros(0, np.uint8)
    return Store(np.concatenate([empty_rows, *feats]), np.concatenate([empty, *labels]), starts[: len(counts)], counts,
                 np.ones(len(counts), np.float32), np.array([source] * len(counts), object), tuple(ids))


def save(data: Store, path: Path) -> None:
    """Keep the shard."""
    held = io.BytesIO()
    np.savez(held, feats=data.feats, labels=data.labels, counts=data.counts, trust=data.trust)
    write_file(path, held.getvalue())


def read(path: Path) -> Store:
    """A kept shard."""
    with np.load(path, allow_pickle=False) as held:
        counts = held["counts"]
        cuts = np.cumsum(counts)[:-1]
        clips = stored(np.split(held["feats"], cuts), np.split(held["labels"], cuts),
                       [f"{SOURCE}/{k}" for k in range(len(counts))], SOURCE)
        return replace(clips, trust=held["trust"])


def joined(one: Store, other: Store) -> Store:
    """Two stores as one."""
    return Store(np.concatenate([one.feats, other.feats]), np.concatenate([one.labels, other.labels]),
                 np.concatenate([one.starts, other.starts + len(one.labels)]),
                 np.concatenate([one.counts, other.counts]), np.concatenate([one.trust, other.trust]),
                 np.concatenate([one.source, other.source]), one.ids + other.ids,
                 np.concatenate([one.soft, other.soft]), one.speakers + other.speakers)


__all__ = ["SOURCE", "augmented", "joined", "read", "save", "sound_features", "stored"]
