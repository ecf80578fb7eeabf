"""Real speech with hand-made or published labels: LJSpeech, CSS10, EMO-DB, LibriVox, EMU "ae", Thorsten, A2F clips.

Validation only: nobody trains on these people. Each reader handles its set's traps, named beside it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from facerig.errors import InputError
from facerig.phones import Timed, timed_units
from facerig.train.corpora.base import Int16, Made, Part, Row, Source, data_folder, plain
from facerig.train.corpora.labels import Rows, read_emu_file, read_textgrid, read_xlabel

EMODB_CUT = 2.0  # seconds: the clips end here, the labels do not


def read_audio(path: Path) -> tuple[Int16, int]:
    """Any file soundfile reads, as int16 mono."""
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1).round().astype(np.int16)
    return mono, int(rate)


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


def one_part(name: str, folder: Path, make: object, columns: tuple[str, ...] = ()) -> Source:
    """A source of a single part that needs a folder of the shared data."""
    if not folder.is_dir():
        return Source(name, (), f"{folder} is absent", columns)
    assert callable(make)
    return Source(name, (Part("all", make),), "", columns)


def _without_oov(rows: Rows) -> Rows:
    """MFA's spn is a word the aligner did not know: spoken, so left unlabelled instead of called noise."""
    return [r for r in rows if r[2] != "spn"]


def _ljspeech() -> Iterator[Made]:
    folder = data_folder() / "ljspeech"
    texts = {}
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        for line in csv.reader(stream, delimiter="|", quoting=csv.QUOTE_NONE):
            texts[line[0]] = line[-1]
    for path in sorted((folder / "audio").glob("*.flac")):
        rows = _without_oov(read_textgrid(_beside(folder, path, "TextGrid"), "phones"))
        timed = timed_units(rows, "arpabet")
        yield clip("ljspeech", path, "en", "lj", "aligned", timed, transcript=texts.get(path.stem, ""))


def _beside(folder: Path, audio: Path, suffix: str) -> Path:
    found = next(folder.glob(f"*/{audio.stem}.{suffix}"), None)
    if found is None:
        raise InputError(f"{audio.name}: its {suffix} file is missing")
    return found


def _css10() -> Iterator[Made]:
    folder = data_folder() / "css10_es"
    texts = {}
    for line in (folder / "19demarzolistold.txt").read_text("utf-8-sig").splitlines():
        words = line.split("|")
        texts[Path(words[0]).stem] = words[1]
    for path in sorted((folder / "audio").glob("*.flac")):
        rows = _without_oov(read_textgrid(_beside(folder, path, "TextGrid"), "phones"))
        timed = timed_units(rows, "ipa")
        yield clip("css10_es", path, "es", "css10_es", "aligned", timed, transcript=texts.get(path.stem, ""))


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


def _emodb() -> Iterator[Made]:
    folder = data_folder() / "emodb"
    labelled = {p.stem[:7]: p for p in sorted((folder / "lablaut").glob("*.lablaut"))}
    for path in sorted((folder / "audio").glob("*.flac")):
        speaker = f"emodb{path.stem[:2]}"
        found = read_xlabel(labelled[path.stem]) if path.stem in labelled else []  # three files hold no label
        rows = lablaut_rows(found, EMODB_CUT)
        yield clip("emodb", path, "de", speaker, "hand" if rows else "none", timed_units(rows, "sampa_de"))


def _ae() -> Iterator[Made]:
    for path in sorted((data_folder() / "emu" / "ae").glob("*/*_bndl/*.wav")):
        rows = read_emu_file(path.with_name(f"{path.stem}_annot.json"), "Phonetic")
        joined = [(a, b, s) for a, b, s in _aspirations(rows)]
        yield clip("emu_ae", path, "en", "msajc", "hand", timed_units(joined, "sampa_au"))


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


def _librivox() -> Iterator[Made]:
    for path in sorted((data_folder() / "librivox").glob("*.wav")):
        held = json.loads(path.with_suffix(".state.json").read_text("utf-8"))
        rows = [(p["b"], p["b"] + p["d"], p["t"]) for word in held["w"] for p in word.get("w", [])]
        text = path.with_suffix(".txt").read_text("utf-8").strip()
        kind = "aligned" if rows else "none"
        yield clip("librivox", path, "en", "austen", kind, timed_units(rows, "arpabet"), transcript=text)


def _unlabelled(source: str, folder: Path, pattern: str, language: str, speaker: str) -> Iterator[Made]:
    for path in sorted(folder.glob(pattern)):
        own = "cmn" if "mandarin" in path.stem else language
        yield clip(source, path, own, speaker, "none")


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
