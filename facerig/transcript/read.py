"""Timed transcripts from files: TextGrid, SRT, VTT, CTM, JSON (Whisper, MFA, Polly, ElevenLabs, Azure, our own), text.

A transcript holds what the file knows, phones or words or text alone; what it lacks is worked out later, against the
sound (`align`). Knows no sound and no pronunciation.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from facerig.errors import InputError, OptionError
from facerig.phones import Timed, notations, timed_units, to_units, units

SILENT = ("", "sil", "sp", "spn", "<eps>", "<sil>", "SIL", "SP", "#", "_", "<p:>")
NOTATIONS = ("arpabet", "ipa", "sampa_de", "festival_en")  # tried in this order where a file does not say
MAX_BYTES = 64_000_000
ACCEPTED = ".TextGrid, .srt, .vtt, .ctm, .json, .jsonl, .lab, .txt"
TICK = 1e-7  # seconds in Azure's and HTK's clock


class Word(NamedTuple):
    """A word between two instants in seconds; end <= start says that its time is not known."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """Phones win over words, words over nothing."""

    phones: tuple[Timed, ...] = ()
    words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def read_transcript(path: Path, notation: str = "") -> Transcript:
    """Whatever the file is; a fault is an InputError that names the file."""
    if notation and notation not in notations():
        raise OptionError(f"notation: got {notation!r}, accepted: {', '.join(notations())}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes, accepted: transcripts of up to {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse(_decoded(data, path), path.suffix.lower(), str(path), notation)


def _decoded(data: bytes, path: Path) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8 or UTF-16 (byte {error.start})") from error


def parse(text: str, suffix: str, name: str = "transcript", notation: str = "") -> Transcript:
    """A transcript from text in the format that a suffix says."""
    reader = READERS.get(suffix)
    if reader is None:
        raise InputError(f"{name}: got a transcript {suffix!r}, accepted: {ACCEPTED}")
    try:
        found = reader(text, notation)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{name}: not a {suffix} transcript that can be read ({error})") from error
    if not found.phones and not found.words:
        raise InputError(f"{name}: holds no word and no phone")
    return found


# ---- phones in any notation -------------------------------------------------------------------------------


Rows = Sequence[tuple[float, float, str]]


def phones(rows: Rows, notation: str = "") -> tuple[Timed, ...]:
    """Timed units from (start, end, label); the notation is guessed where it is not given."""
    chosen = notation or guess_notation([label for _, _, label in rows])
    spoken = [(a, b, label) for a, b, label in rows if label not in SILENT]
    silent = [Timed(a, b, "sil") for a, b, label in rows if label in SILENT and b > a]
    return tuple(sorted([*timed_units(spoken, chosen), *silent]))


def guess_notation(labels: Iterable[str]) -> str:
    """The first notation that knows every label."""
    wanted = {label for label in labels if label not in SILENT}
    for notation in NOTATIONS:
        if all(_known(label, notation) for label in wanted):
            return notation
    unknown = sorted(label for label in wanted if not any(_known(label, n) for n in NOTATIONS))
    raise InputError(f"phones {' '.join(unknown[:8]) or 'of mixed notations'}: in none of {', '.join(NOTATIONS)}; "
                     f"name the notation ({', '.join(notations())})")  # fmt: skip


def _known(label: str, notation: str) -> bool:
    try:
        return bool(to_units(label, notation))
    except InputError:
        return False


def _time(value: Any) -> float:
    seconds = float(value)
    if not math.isfinite(seconds) or not -1 <= seconds <= 1e6:
        raise InputError(f"time: got {value!r}, accepted: seconds from 0 to 1000000")
    return max(seconds, 0.0)


# ---- one reader a format ----------------------------------------------------------------------------------


_TOKEN = re.compile(r'"((?:[^"]|"")*)"|([-+]?\d[\d.]*(?:[eE][-+]?\d+)?)')


def _textgrid(text: str, notation: str) -> Transcript:
    """Long and short form: without its words and brackets the long one is the short one."""
    bare = re.sub(r"\[\d*\]|<exists>", " ", text)
    tokens = [m.group(1).replace('""', '"') if m.group(2) is None else float(m.group(2)) for m in _TOKEN.finditer(bare)]
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    at = 0
    while "IntervalTier" in tokens[at:]:
        at = tokens.index("IntervalTier", at)
        name, count = str(tokens[at + 1]), int(tokens[at + 4])
        body = tokens[at + 5 : at + 5 + 3 * count]
        if len(body) < 3 * count:
            raise InputError(f"tier {name!r} ends early")
        tiers[name.lower()] = [(_time(a), _time(b), str(label).strip())
                               for a, b, label in zip(body[::3], body[1::3], body[2::3], strict=True)]  # fmt: skip
        at += 5 + 3 * count
    return _of_tiers(tiers, notation)


def _of_tiers(tiers: dict[str, list[tuple[float, float, str]]], notation: str) -> Transcript:
    """A tier named like phones or words; of several (speakers), the first."""
    spoken = next((rows for name, rows in tiers.items() if re.search(r"phone|phon|mau|segment", name)), None)
    words = next((rows for name, rows in tiers.items() if re.search(r"word|ort|text|trans", name)), None)
    if spoken is None and words is None:
        raise InputError(f"tiers {', '.join(tiers) or 'none'}; accepted: one named phones or words")
    said = tuple(Word(*row) for row in words or () if row[2] not in SILENT)
    return Transcript(phones(spoken, notation) if spoken else (), said)


_INSTANT = r"(?:(\d+):)?(\d+):(\d+)[.,](\d+)"
_CUE = re.compile(rf"{_INSTANT}\s*-->\s*{_INSTANT}[^\n]*\n(.*?)(?=\n\s*\n|\Z)", re.S)


def _subtitles(text: str, _: str) -> Transcript:
    """SRT and VTT: the words of a cue share its time, in proportion to their letters."""
    words: list[Word] = []
    for cue in _CUE.findall(text.replace("\r", "")):
        start, end = _clock(cue[:4]), _clock(cue[4:8])
        line = re.sub(r"<[^>]*>|\{[^}]*\}", " ", cue[8])
        words += shared(start, end, line.split())
    return Transcript(words=tuple(words))


def _clock(parts: Sequence[str]) -> float:
    hours, minutes, seconds, fraction = parts
    return _time(int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}"))


def shared(start: float, end: float, words: Sequence[str]) -> list[Word]:
    """Words that share a stretch of time, each by its letters."""
    sizes = [len(word) + 1 for word in words]
    edges = [start + (end - start) * sum(sizes[:k]) / max(sum(sizes), 1) for k in range(len(words) + 1)]
    return [Word(a, b, word) for a, b, word in zip(edges[:-1], edges[1:], words, strict=True)]


def _ctm(text: str, notation: str) -> Transcript:
    """file channel start duration label; all phones where no label is a word."""
    rows = []
    for line in text.splitlines():
        cells = line.split()
        if cells and not line.startswith(";;"):
            start = _time(cells[2])
            rows.append((start, start + _time(cells[3]), cells[4]))
    return _phones_or_words(rows, notation)


def _lab(text: str, notation: str) -> Transcript:
    """start end label, in seconds or in HTK's 100 ns."""
    cells = [line.split() for line in text.splitlines() if line.strip()]
    scale = TICK if all("." not in c[0] + c[1] for c in cells) and float(cells[-1][1]) > 10_000 else 1.0
    return _phones_or_words([(_time(float(c[0]) * scale), _time(float(c[1]) * scale), c[2]) for c in cells], notation)


def _phones_or_words(rows: Rows, notation: str) -> Transcript:
    if notation or all(label in SILENT or any(_known(label, n) for n in ("arpabet",)) for _, _, label in rows):
        return Transcript(phones(rows, notation))
    return Transcript(words=tuple(Word(*row) for row in rows if row[2] not in SILENT))


def _plain(text: str, _: str) -> Transcript:
    return Transcript(words=tuple(Word(0.0, 0.0, word) for word in text.split()))


# ---- JSON, whose dialects are told apart by their keys ----------------------------------------------------


def _json(text: str, notation: str) -> Transcript:
    try:
        held: Any = json.loads(text)
    except json.JSONDecodeError:
        held = [json.loads(line) for line in text.splitlines() if line.strip()]  # speech marks: an object a line
    if isinstance(held, dict) and "time" in held and "type" in held:
        held = [held]
    if isinstance(held, dict):
        return _object(held, str(held.get("notation") or notation))
    return _list(held, notation)


def _object(held: dict[str, Any], notation: str) -> Transcript:
    if "tiers" in held:  # Montreal Forced Aligner
        tiers = {name.lower(): [(_time(a), _time(b), str(c)) for a, b, c in tier["entries"]]
                 for name, tier in held["tiers"].items()}  # fmt: skip
        return _of_tiers(tiers, notation)
    if "alignment" in held or "characters" in held:  # ElevenLabs
        return _characters(held.get("alignment") or held)
    if "segments" in held:  # Whisper
        rows = [w for segment in held["segments"] for w in segment.get("words") or [segment]]
        return Transcript(words=tuple(word for row in rows for word in _words(row)))
    spoken = tuple(_timed_rows(held.get("phones") or held.get("phonemes") or []))
    words = tuple(word for w in held.get("words") or [] for word in _words(w))
    if not spoken and not words and isinstance(held.get("text"), str):
        return _plain(held["text"], notation)
    return Transcript(phones(spoken, notation) if spoken else (), words)


def _timed_rows(rows: Sequence[Any]) -> Iterable[tuple[float, float, str]]:
    for row in rows:
        if isinstance(row, dict):
            label = next(row[key] for key in ("phone", "phoneme", "label", "text") if key in row)
            yield _time(row["start"]), _time(row["end"]), str(label)
        else:
            yield _time(row[0]), _time(row[1]), str(row[2])


def _words(row: Any) -> list[Word]:
    """A word, or a whole line whose words share its time."""
    if not isinstance(row, dict):
        return [Word(_time(row[0]), _time(row[1]), str(row[2]))]
    text = str(next(row[key] for key in ("word", "text", "label", "value") if key in row)).strip()
    return shared(_time(row["start"]), _time(row["end"]), text.split())


def _characters(held: dict[str, Any]) -> Transcript:
    letters, starts, ends = (held[key] for key in ("characters", "character_start_times_seconds",
                                                   "character_end_times_seconds"))  # fmt: skip
    words, k = [], 0
    for word in re.finditer(r"\S+", "".join(letters)):
        k = word.end() - 1
        words.append(Word(_time(starts[word.start()]), _time(ends[k]), word.group()))
    return Transcript(words=tuple(words))


def _list(held: list[Any], notation: str) -> Transcript:
    if held and isinstance(held[0], dict) and "type" in held[0]:  # Amazon Polly: milliseconds, no ends
        marks = sorted((_time(m["time"] / 1000), str(m["value"])) for m in held if m["type"] == "word")
        ends = [start for start, _ in marks[1:]] + [marks[-1][0] + 0.4 if marks else 0.0]
        return Transcript(words=tuple(Word(a, b, w) for (a, w), b in zip(marks, ends, strict=True)))
    if held and isinstance(held[0], dict) and "viseme_id" in held[0]:  # Azure: ticks, no ends
        return Transcript(_azure(held))
    if held and isinstance(held[0], dict) and ("word" in held[0] or "text" in held[0]):
        return Transcript(words=tuple(word for row in held for word in _words(row)))
    return Transcript(phones(list(_timed_rows(held)), notation))


def _azure(rows: Sequence[dict[str, Any]]) -> tuple[Timed, ...]:
    names: dict[int, str] = {}
    for unit in units():
        names.setdefault(unit.azure22, unit.unit)
    times = [_time(row["audio_offset"] * TICK if "audio_offset" in row else row["offset_ms"] / 1000) for row in rows]
    ends = [*times[1:], times[-1] + 0.1]
    return tuple(Timed(a, b, names.get(int(row["viseme_id"]), "ax"))
                 for a, b, row in zip(times, ends, rows, strict=True) if b > a)  # fmt: skip


READERS: dict[str, Callable[[str, str], Transcript]] = {
    ".textgrid": _textgrid,
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".ctm": _ctm,
    ".lab": _lab,
    ".json": _json,
    ".jsonl": _json,
    ".txt": _plain,
}
