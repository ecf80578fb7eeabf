"""The whole training, top to bottom: corpora -> encoder -> decoder -> shipped files. What `facerig train` runs.

Which sets are learnt from and which only judge is a table here, and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.errors import InputError
from facerig.model.config import NetConfig, preset
from facerig.model.runtime import DEFAULT
from facerig.phones import units
from facerig.rig import rig
from facerig.train import shards
from facerig.train.corpora import PackedClip, PackedSet, load_packed
from facerig.train.data import Soft, Store, chosen, stamp, store

# source, or the beginning of its clips' ids, and the weight of its hours in the encoder's crops; a source that was not
# built is left out
LEARNT: tuple[tuple[str, float], ...] = (
    ("synthetic", 0.5),
    ("synthetic/flite", 0.4),  # English, of which there is most
    ("synthetic/festival", 1.8),  # recorded diphones in languages of few vowels: nearest to real people
    ("synthetic/espeak-de", 2.5),  # the languages that are asked for beside English; without this weight a Spanish
    ("synthetic/espeak-es", 2.0),  # "o" was heard as an English schwa
    ("quotes", 0.7),  # the same voices with tens of thousands of words instead of some hundreds
    ("quotes/flite", 1.1),
    ("quotes/festival", 1.1),
    ("quotes/espeak-de", 1.7),
    ("quotes/pico", 1.4),  # nearer to people than formant synthesis
    ("quotes/pico-de", 2.4),
    ("neural", 5.0),  # nearest to people of all that is made
    ("neural/kokoro-de", 10.0),  # and what there is of such German
    ("neural/joe", 3.0),
    ("pico", 1.5),
    ("pico/de", 3.0),
    ("speechocean", 3.6),  # real people
    ("talkies", 4.0),  # real people: English by actors
    ("talkies/drascula-es", 7.0),
    ("prompts", 1.2),  # real people, in ten languages
    ("prompts/en", 4.0),
    ("prompts/es", 3.5),
    ("prompts/nl", 3.0),  # the nearest to German that there is
    ("grid", 0.6),  # one talker, 51 words: worth less than its length
    ("facegood", 1.0),  # Mandarin without labels: guessed ones, half-way
    ("augmented", 1.0),  # whisper, codecs, breath: see shards
)

MADE = ("synthetic", "quotes", "neural", "pico")  # by engines and networks
# Speech whose labels the encoder sharpens and softens (or, without a transcript, guesses) when it is good enough to:
# all that an aligner labelled. An engine's own times are right as they are.
RELABELLED = ("speechocean", "prompts", "talkies", "pico", "quotes", "neural", "grid", "facegood")
# Hours of synthetic speech beside it that the offline reader learns from, so that it keeps to the engines' times.
READER_HOURS = 1.0

# The decoder: hours of speech with the teacher's curves; sets with measured motion; weights of a set's hours.
MOVED_HOURS: tuple[tuple[str, float], ...] = (
    ("synthetic", 1.0), ("speechocean", 0.8), ("prompts", 0.8), ("talkies", 0.8),
)  # fmt: skip
MEASURED = ("grid", "facegood")
MOVED: tuple[tuple[str, float], ...] = (("grid", 0.6), ("facegood", 1.0), ("synthetic", 0.7))
MEASURED_COPIES = 3  # of the measured sets, at other tempos
MEASURED_JUDGES = 60
REST_MINUTES = 35.0  # of sounds that are no speech, to rest at

# Sets nobody learns from; the log watches them, no choice is made by them.
WATCHED = ("ljspeech", "css10_es", "emodb")
# Clips kept apart whose labels the shipped default model placed: kinder to that one than to its successor, so watched
# alone in its runs; networks of other presets are on neither side, and there they choose.
APART = ("prompts", "talkies", "neural")
# What choices are made by: clips kept apart whose labels are others', and a reader and words that nobody learns from.
CHOOSING = ("speechocean", "synthetic", "grid", "librivox")
# People of whom nothing is learnt: how readily a viseme is heard is set by their clips (`balance`).
STRANGERS = ("speechocean", "librivox", "prompts", "talkies")
STRANGERS_CLIPS = 250
WATCHED_CLIPS = 120
AUGMENTED_HOURS = 3.0
GUESSED = 0.5  # trust of labels that the encoder guessed
CHOOSING_CLIPS = 60


def config(name: str, **changes: object) -> NetConfig:
    """The preset with this version's channels and units."""
    return preset(name, rig("facerig").names, tuple(unit.unit for unit in units()), **changes)


def choosing(name: str) -> tuple[str, ...]:
    """The sets by which choices are made in a run of a preset."""
    return CHOOSING if name == DEFAULT else (*CHOOSING, *APART)


def learnt(cache: Path, relabelled: Mapping[str, NDArray[np.uint8]] | None = None,
           softened: Mapping[str, Soft] | None = None, packed: PackedSet | None = None) -> Store:
    """Labelled clips of the training split of all sets that are learnt from, and the augmented ones, whose labels are
    as new as theirs."""
    held = packed or load_packed()
    clips = chosen(held, [name for name, _ in LEARNT], "train")
    new = relabelled or {}
    usable = [c for c in clips.clips if c.label_kind != "none" or c.id in new]
    if not usable:
        raise InputError("no labelled corpus is packed; run `python -m facerig.train.corpora build`")
    trusted = [replace(c, trust=_trust(c, new)) for c in usable]
    own = held.of(trusted)
    spoken = labelled(own)
    made = stamp(spoken, (clip.source for clip in spoken.clips), AUGMENTED_HOURS, shards.OPTIONS,
                 _told(spoken, new))
    shard = cache / f"augmented-{made}.npz"
    if not shard.is_file():
        shards.save(shards.augmented(spoken, AUGMENTED_HOURS, new), shard)
    return shards.joined(store(own, cache, new, softened), shards.read(shard))


def stamps(packed: PackedSet) -> dict[str, str]:
    """Of every source that is learnt from: what it is now. What was made of another one is made anew."""
    names = dict.fromkeys(name.partition("/")[0] for name, _ in (*LEARNT, *MOVED_HOURS))
    return {name: stamp(packed, [name]) for name in (*names, *MEASURED) if name in packed.columns}


def _told(packed: PackedSet, new: Mapping[str, NDArray[np.uint8]]) -> str:
    """Another one where clips have other new labels, or are trusted otherwise."""
    told = hashlib.sha256()
    for clip in dict.fromkeys(packed.clips):
        told.update(f"{clip.id} {clip.trust} ".encode())
        if clip.id in new:
            told.update(new[clip.id].tobytes())
    return told.hexdigest()[:12]


def _trust(clip: PackedClip, new: Mapping[str, NDArray[np.uint8]]) -> float:
    """Sharpened labels count in full, guessed ones half."""
    if clip.id not in new:
        return clip.trust
    return GUESSED if clip.label_kind == "none" else 1.0


def labelled(packed: PackedSet) -> PackedSet:
    """Real speech as often as synthetic."""
    real = [c for c in packed.clips if c.source not in MADE and c.label_kind != "none"]
    made = [c for c in packed.clips if c.source in MADE]
    times = max(1, len(made) // max(1, len(real)))
    return packed.of((*made, *real * times))


def judges(cache: Path, packed: PackedSet | None = None) -> dict[str, Store]:
    """Some clips of every set that is watched or that choices are made by."""
    held = packed or load_packed()
    return {**_apart(held, cache, WATCHED, WATCHED_CLIPS), **_apart(held, cache, (*APART, *CHOOSING), CHOOSING_CLIPS)}


def strangers(cache: Path, packed: PackedSet | None = None) -> list[Store]:
    """Clips of people of whom nothing is learnt."""
    return list(_apart(packed or load_packed(), cache, STRANGERS, STRANGERS_CLIPS).values())


def _apart(held: PackedSet, cache: Path, names: tuple[str, ...], count: int) -> dict[str, Store]:
    """About so many labelled clips of each set's validation split, evenly."""
    out = {}
    for name in (n for n in names if n in held.columns):
        clips = [c for c in held.only("val", [name]).clips if c.label_kind != "none"]
        if clips:
            out[name] = store(held.of(clips[:: max(1, len(clips) // count)][:count]), cache)
    return out
