"""Real speech with hand-made or published labels: LJSpeech, CSS10, EMO-DB, LibriVox, EMU "ae", Thorsten, A2F clips.

Validation only: nobody trains on these people. Each reader handles its set's traps, named beside it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from facerig.errors import InputError
from facerig.lengths import cut_short
from facerig.phones import Timed, timed_units
from facerig.train.corpora.base import Int16, Lost, Made, Part, Row, Source, data_folder, each, plain
from facerig.train.corpora.labels import Rows, read_emu_file, read_textgrid, read_xlabel

EMODB_CUT = 2.0  # seconds: the clips end here, the labels do not


def read_sound(path: Path, kind: str) -> tuple[NDArray[Any], int]:
    """[samples, channels] of any file soundfile reads; an InputError where it holds nothing, or less than was meant:
    half a clip beside the labels of a whole one is no clip."""
    with soundfile.SoundFile(path) as file:
        samples, rate = file.read(dtype=kind, always_2d=True), int(file.samplerate)
        note = cut_short(path, file.format, len(samples) / rate) if len(samples) else f"{path}: holds no sound"
    if note:
        raise InputError(note)
    return samples, rate


def read_audio(path: Path) -> tuple[Int16, int]:
    """Any file soundfile reads, as int16 mono."""
    samples, rate = read_sound(path, "int16")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1).round().astype(np.int16)
    return mono, rate


def clip(
    source: str, path: Path, language: str, speaker: str, kind: str, timed: Iterable[Timed] = (),
    trust: float = 1.0, split: str = "val", transcript: str = "",
) -> Made:  # fmt: skip
    """A made clip from a file on disk; labels are cut to the audio."""
    audio, rate = read_audio(path)
    seconds = len(audio) / rate
    kept = [Timed(t.start, min(t.end, seconds), t.unit) for t in timed if t.start < seconds]
    row = Row(
        f"{source}/{path.stem}", source, language, speaker, split, rate, round(seconds, 4), kind, trust,
        plain(kept), transcript,
    )  # fmt: skip
    return Made(row, audio)


def one_part(
    name: str, folder: Path, make: Callable[[], Iterable[Made | Lost]], columns: tuple[str, ...] = ()
) -> Source:
    """A source of a single part that needs a folder of the shared data."""
    if not folder.is_dir():
        return Source(name, (), f"{folder} is absent", columns)
    return Source(name, (Part("all", make),), "", columns)


def _without_oov(rows: Rows) -> Rows:
    """MFA's spn is a word the aligner did not know: spoken, so left unlabelled instead of called noise."""
    return [r for r in rows if r[2] != "spn"]


def _ljspeech() -> Iterator[Made | Lost]:
    folder = data_folder() / "ljspeech"
    texts = {}
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        for line in csv.reader(stream, delimiter="|", quoting=csv.QUOTE_NONE):
            texts[line[0]] = line[-1]

    def made(path: Path) -> Made:
        rows = _without_oov(read_textgrid(_beside(folder, path, "TextGrid"), "phones"))
        timed = timed_units(rows, "arpabet")
        return clip("ljspeech", path, "en", "lj", "aligned", timed, transcript=texts.get(path.stem, ""))

    yield from each("ljspeech", sorted((folder / "audio").glob("*.flac")), made)


def _beside(folder: Path, audio: Path, suffix: str) -> Path:
    found = next(folder.glob(f"*/{audio.stem}.{suffix}"), None)
    if found is None:
        raise InputError(f"{audio.name}: its {suffix} file is missing")
    return found


def _css10() -> Iterator[Made | Lost]:
    folder = data_folder() / "css10_es"
    texts = {}
    for line in (folder / "19demarzolistold.txt").read_text("utf-8-sig").splitlines():
        words = line.split("|")
        texts[Path(words[0]).stem] = words[1]

    def made(path: Path) -> Made:
        rows = _without_oov(read_textgrid(_beside(folder, path, "TextGrid"), "phones"))
        timed = timed_units(rows, "ipa")
        return clip("css10_es", path, "es", "css10_es", "aligned", timed, transcript=texts.get(path.stem, ""))

    yield from each("css10_es", sorted((folder / "audio").glob("*.flac")), made)


def lablaut_rows(labels: list[tuple[float, str]], end: float) -> Rows:
    """EMO-DB: a label's time is the START of its unit; bursts and aspiration belong to their stop.

    A label of diacritics alone ('', '+sth') says that the unit before goes on. Nothing past `end` is kept.
    """
    starts: list[tuple[float, str]] = []
    for time, label in labels:
        symbol = re.sub(r"asp$", "", re.sub(r"^[!_]", "", re.split(r"[+\s]", label)[0].lstrip("-")))
        if symbol in ("", "sth", "lar", "nas", "beh", "hoe", "tie", "[") or label.startswith(("+", "-")):
            continue
        starts.append((time, {"dsap": "d", "gas": "g"}.get(symbol, symbol)))
    if not starts:
        return []
    rows: Rows = [(0.0, min(starts[0][0], end), ".")]
    for (a, symbol), b in zip(starts, [t for t, _ in starts[1:]] + [end], strict=True):
        if a < end:
            rows.append((a, min(b, end), symbol))
    return rows


def _emodb() -> Iterator[Made | Lost]:
    folder = data_folder() / "emodb"
    labelled = {p.stem[:7]: p for p in sorted((folder / "lablaut").glob("*.lablaut"))}

    def made(path: Path) -> Made:
        speaker = f"emodb{path.stem[:2]}"
        found = read_xlabel(labelled[path.stem]) if path.stem in labelled else []  # three files hold no label
        rows = lablaut_rows(found, EMODB_CUT)
        return clip("emodb", path, "de", speaker, "hand" if rows else "none", timed_units(rows, "sampa_de"))

    yield from each("emodb", sorted((folder / "audio").glob("*.flac")), made)


def _ae() -> Iterator[Made | Lost]:
    def made(path: Path) -> Made:
        rows = read_emu_file(path.with_name(f"{path.stem}_annot.json"), "Phonetic")
        joined = [(a, b, s) for a, b, s in _aspirations(rows)]
        return clip("emu_ae", path, "en", "msajc", "hand", timed_units(joined, "sampa_au"))

    yield from each("emu_ae", sorted((data_folder() / "emu" / "ae").glob("*/*_bndl/*.wav")), made)


def _aspirations(rows: Rows) -> Rows:
    """'H' is the aspiration of the stop before: part of that stop. Outside the labelled stretch is silence."""
    found: Rows = []
    for a, b, symbol in rows:
        if symbol == "H" and found:
            found[-1] = (found[-1][0], b, found[-1][2])
        else:
            found.append((a, b, symbol))
    if found:
        found.insert(0, (0.0, found[0][0], "H"))
        found.append((found[-1][1], found[-1][1] + 10.0, "H"))
    return found


def _librivox() -> Iterator[Made | Lost]:
    def made(path: Path) -> Made:
        held = json.loads(path.with_suffix(".state.json").read_text("utf-8"))
        rows = [(p["b"], p["b"] + p["d"], p["t"]) for word in held["w"] for p in word.get("w", [])]
        text = path.with_suffix(".txt").read_text("utf-8").strip()
        kind = "aligned" if rows else "none"
        return clip("librivox", path, "en", "austen", kind, timed_units(rows, "arpabet"), transcript=text)

    yield from each("librivox", sorted((data_folder() / "librivox").glob("*.wav")), made)


def _unlabelled(source: str, folder: Path, pattern: str, language: str, speaker: str) -> Iterator[Made | Lost]:
    def made(path: Path) -> Made:
        own = "cmn" if "mandarin" in path.stem else language
        return clip(source, path, own, speaker, "none")

    yield from each(source, sorted(folder.glob(pattern)), made)


def sources() -> list[Source]:
    """The validation-only sets of real speech."""
    data = data_folder()
    thorsten, a2f = data / "thorsten", data / "a2f_example_audio"
    return [
        one_part("ljspeech", data / "ljspeech", _ljspeech),
        one_part("css10_es", data / "css10_es", _css10),
        one_part("emodb", data / "emodb", _emodb),
        one_part("emu_ae", data / "emu", _ae),
        one_part("librivox", data / "librivox", _librivox),
        one_part("thorsten", thorsten, lambda: _unlabelled("thorsten", thorsten, "*.flac", "de", "thorsten")),
        one_part("a2f_example_audio", a2f, lambda: _unlabelled("a2f_example_audio", a2f, "*.wav", "en", "claire")),
    ]
