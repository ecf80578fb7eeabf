"""Real motion with sound: GRID's measured mouth tracks, FACEGOOD's solved curves, the articulograph sentences.

Targets are float32 at 60 fps (frame i at i / 60 s), linearly interpolated, NaN where the measurement is invalid.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from facerig.errors import InputError
from facerig.phones import Timed, timed_units
from facerig.train.corpora.base import (
    UNREADABLE,
    Lost,
    Made,
    Part,
    Row,
    Source,
    cache_folder,
    data_folder,
    each,
    plain,
    reason,
    stable_hash,
)
from facerig.train.corpora.labels import Rows, Track, read_columns, read_emu, read_ssff, read_xlabel
from facerig.train.corpora.speech import clip

FPS = 60
GRID_FPS, FACEGOOD_FPS = 25, 30
GRID_VALIDATION = 100
EYES_MM = 63.0  # GRID's unit, the distance between an adult's eyes
GRID_DROPPED = ("pbio7a",)  # corrupt in every copy of the corpus
FACEGOOD_VALIDATION = ("1114_2_04", "1114_3_15")  # one clip of each kind; 3_15 is the only running one with curves
FACEGOOD_PREFIXES = ("mouth_", "jaw_", "tooth_", "cheek_")
EMA_LONGEST = 0.5  # seconds: a last segment of 0.9 s runs over the pause after the sentence; left unlabelled
EMA_POINTS = ("jaw", "lower_lip", "upper_lip", "t_tip", "t_mid", "t_back")


def to_60fps(values: NDArray[np.floating], fps: float, frames: int, valid: NDArray[np.bool_] | None = None
             ) -> NDArray[np.float32]:  # fmt: skip
    """[T, C] at fps to [frames, C] at 60; frames that lean on an invalid one, or lie past the end, are NaN."""
    at = np.arange(frames) / FPS * fps
    low = np.clip(np.floor(at + 1e-9).astype(int), 0, len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = np.clip(at - low, 0.0, 1.0)[:, None]
    out = (values[low] * (1 - share) + values[high] * share).astype(np.float32)
    bad = at > len(values) - 1 + 0.5
    if valid is not None:
        bad |= ~valid[low] | (~valid[high] & (share[:, 0] > 0))
    out[bad] = np.nan
    return np.asarray(out, dtype=np.float32)


def _with_targets(made: Made, targets: NDArray[np.float32]) -> Made:
    return Made(made.row, made.audio, targets)


def grid_columns() -> tuple[str, ...]:
    with (data_folder() / "grid" / "tracks.npz").open("rb") as stream, np.load(stream) as held:  # np closes no bad one
        return tuple(str(c) for c in held["columns"])


def closed_lips() -> dict[str, float]:
    """Where each track of GRID's talker lies when his lips are closed; the set's own file tells."""
    path = data_folder() / "grid" / "neutral.json"
    try:
        closed: dict[str, float] = json.loads(path.read_text("utf-8"))["s1"]["closed"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read ({error}), and GRID's lips are measured from it; set $FACERIG_DATA "
                         f"to the folder of the real sets, or remove {cache_folder() / 'packed' / 'grid.json'} to "
                         "learn without GRID") from error
    return closed


def grid_validation(ids: list[str]) -> frozenset[str]:
    """A hundred clips fixed by hash, whatever else is in the folder."""
    return frozenset(sorted(ids, key=lambda i: (stable_hash(f"grid/{i}"), i))[:GRID_VALIDATION])


def grid_phones(path: Path) -> Rows:
    """GRID's phones; they bear no stress, and of its 51 words only "one" has a full AH, the rest a schwa."""
    words = [line.split()[3] for line in path.read_text("utf-8").splitlines() if line.strip()]
    rows = zip(read_columns(path), words, strict=True)
    return [(a, b, "AH0" if s == "AH" and word != "one" else s) for (a, b, s), word in rows]


def _grid_ids() -> list[str]:
    with np.load(data_folder() / "grid" / "tracks.npz") as held:
        return [str(i) for i in held["ids"] if str(i) not in GRID_DROPPED]


def _grid() -> Iterator[Made | Lost]:
    folder = data_folder() / "grid"
    with np.load(folder / "tracks.npz") as held:
        tracks, offsets = held["tracks"], held["offset"]
        ids, columns = [str(i) for i in held["ids"]], [str(c) for c in held["columns"]]
    validation = grid_validation([i for i in ids if i not in GRID_DROPPED])
    bounds = [*list(offsets), len(tracks)] if len(offsets) == len(ids) else list(offsets)
    where = {name: slice(int(bounds[k]), int(bounds[k + 1])) for k, name in enumerate(ids) if name not in GRID_DROPPED}

    def split(path: Path) -> str:
        return "val" if path.stem in validation else "train"

    def made(path: Path) -> Made:
        name = path.stem
        timed = timed_units(grid_phones(folder / "phones" / f"{name}.txt"), "arpabet")
        words = " ".join(w for _, _, w in read_columns(folder / "words" / f"{name}.txt") if w != "sil")
        own = clip("grid", path, "en", "grid_s1", "aligned", timed, split=split(path), transcript=words)
        values = tracks[where[name]]
        valid = values[:, columns.index("valid")] > 0
        frames = len(own.audio) * FPS // own.row.rate
        return _with_targets(own, to_60fps(values, GRID_FPS, frames, valid))

    yield from each("grid", [folder / "audio" / f"{name}.opus" for name in where], made, split)


def facegood_columns() -> tuple[str, ...]:
    names = (data_folder() / "facegood" / "channel_names.txt").read_text("utf-8").split()
    return tuple(n for n in names if n.startswith(FACEGOOD_PREFIXES))


def _facegood() -> Iterator[Made | Lost]:
    folder = data_folder() / "facegood"
    names = (folder / "channel_names.txt").read_text("utf-8").split()
    keep = [names.index(c) for c in facegood_columns()]

    def split(path: Path) -> str:
        return "val" if path.stem in FACEGOOD_VALIDATION else "train"

    def made(path: Path) -> Made:
        own = clip("facegood", path, "cmn", "facegood", "none", split=split(path))
        curves = folder / "curves" / f"{path.stem}.npz"
        if not curves.is_file():
            return own
        with curves.open("rb") as stream, np.load(stream) as held:
            values = held["curves"][:, keep]
        frames = len(own.audio) * FPS // own.row.rate
        return _with_targets(own, to_60fps(values, FACEGOOD_FPS, frames))

    yield from each("facegood", sorted((folder / "audio").glob("*.flac")), made, split)


def ema_columns() -> tuple[str, ...]:
    return tuple(f"{p}_{axis}" for p in EMA_POINTS for axis in "xyz")


def ema_targets(tracks: dict[str, Track], frames: int) -> NDArray[np.float32]:
    """[frames, points * 3] positions in the file's own units (mm or cm: see the log); NaN where absent."""
    times = np.arange(frames) / FPS
    out = np.full((frames, 3 * len(EMA_POINTS)), np.nan, np.float32)
    for p, point in enumerate(EMA_POINTS):
        track = tracks.get(point)
        for a, axis in enumerate("xyz"):
            name = next((c for c in track.columns if c.endswith(f"pos{axis}")), "") if track else ""
            if track and name:
                out[:, 3 * p + a] = track.at(times, name)
    return out


def _dfg91(path: Path) -> Made:
    """A sentence whose labels say, after xlabel's custom, where each segment ENDS; the first, at 0, only begins it."""
    ends = read_xlabel(path.with_suffix(".MAU"))
    rows = [(a, b, s) for (a, _), (b, s) in itertools.pairwise(ends)]
    made = clip("ema", path, "de", "dfg91", "aligned", timed_units(rows, "sampa_de"))
    tracks = {p: read_ssff(path.with_suffix(f".{p}").read_bytes()) for p in EMA_POINTS}
    return _with_targets(made, ema_targets(tracks, len(made.audio) * FPS // made.row.rate))


def _ema_bundle(path: Path) -> Made:
    held = json.loads(path.read_text("utf-8"))
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(held["mediaFile"]["data"])), dtype="int16")
    tracks = {f["fileExtension"]: read_ssff(base64.b64decode(f["data"])) for f in held["ssffFiles"]}
    rows = [r for r in read_emu(held["annotation"], "Segment") if r[2].startswith("&") or r[1] - r[0] < EMA_LONGEST]
    timed: list[Timed] = timed_units(rows, "sampa_de")
    row = Row(
        f"ema/{path.stem}", "ema", "de", "dfgspp_mo1", "val", int(rate), len(audio) / rate, "aligned", 1.0,
        plain(timed),
    )  # fmt: skip
    return Made(row, audio, ema_targets(tracks, len(audio) * FPS // int(rate)))


def _ema() -> Iterator[Made | Lost]:
    emu = data_folder() / "emu"
    yield from each("ema", sorted((emu / "dfg91").glob("*/*_bndl/*.wav")), _dfg91)
    yield from each("ema", sorted((emu / "ema").glob("*_bndl.json")), _ema_bundle)


def sources() -> list[Source]:
    """The sets with measured motion."""
    data = data_folder()
    found = []
    for name, folder, needed, make, columns in (
        ("grid", "grid", ("tracks.npz", "neutral.json", "audio", "phones", "words"), _grid, grid_columns),
        ("facegood", "facegood", ("channel_names.txt", "audio"), _facegood, facegood_columns),
        ("ema", "emu", (), _ema, ema_columns),
    ):
        absent = [path for path in (data / folder, *(data / folder / part for part in needed)) if not path.exists()]
        if absent:
            found.append(Source(name, (), f"{absent[0]} is absent"))
            continue
        try:
            found.append(Source(name, (Part("all", make),), "", columns()))
        except UNREADABLE as error:
            found.append(Source(name, (), f"{data / folder} cannot be read: {reason(error)}"))
    return found
