"""Timed transcripts from files: TextGrid, SRT, VTT, CTM, JSON (Whisper, MFA, Polly, ElevenLabs, Azure, our own), text.

A transcript holds what the file knows, phones or words or text alone; what it lacks is worked out later, against the
sound (`align`). Knows no sound and no pronunciation.
"""

from __future__ import annotations

import html
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facerig.errors import InputError, OptionError
from facerig.phones import Timed, is_symbol, notations, timed_units, to_units, units

SILENT = ("", "sil", "sp", "<eps>", "<sil>", "SIL", "SP", "#", "_", "<p:>", "<nib>", "<s>", "</s>")
# Labels, in lower case, of what is spoken and nobody knows: words that an aligner's dictionary lacks.
UNKNOWN = ("spn", "<unk>", "[unk]", "<spoken_noise>", "<usb>")
NOTATIONS = ("arpabet", "ipa", "sampa_de", "festival_en")  # tried in this order where a file does not say
# Words that are symbols of phones as well.
BOTH = {"a", "A", "e", "i", "I", "o", "O", "u", "y", "ah", "aw", "eh", "er", "oh", "ow", "uh"}
MAX_BYTES = 64_000_000
ACCEPTED = ".TextGrid, .srt, .vtt, .ctm, .json, .jsonl, .lab, .txt"
TICK = 1e-7  # seconds in Azure's and HTK's clock
LEAST = 0.02  # seconds of a word whose times are one instant, as Whisper's are now and then
USUAL = 0.35  # ... of a word at the beginning or the end whose time is missing


class Word(NamedTuple):
    """A word between two instants in seconds; end <= start says that its time is not known."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """Phones win over words, words over nothing. Between the instants of `unknown` something is said that the file
    does not know."""

    phones: tuple[Timed, ...] = ()
    words: tuple[Word, ...] = ()
    unknown: tuple[tuple[float, float], ...] = ()

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


def _told(spoken: Rows, words: Rows, notation: str) -> Transcript:
    """From rows of phones and of words, either of which may be none."""
    labelled = spoken or _each(words)
    unknown = tuple((start, end) for start, end, label in labelled if _is_unknown(label) and end > start)
    return Transcript(phones(spoken, notation) if spoken else (), _said(words), unknown)


def _is_unknown(label: str) -> bool:
    return label.lower() in UNKNOWN


def _is_known(label: str) -> bool:
    return label not in SILENT and not _is_unknown(label)


def phones(rows: Rows, notation: str = "") -> tuple[Timed, ...]:
    """Timed units from (start, end, label), without what is unknown; the notation is guessed where it is not given."""
    chosen = notation or guess_notation([label for _, _, label in rows])
    spoken = [(a, b, label) for a, b, label in rows if _is_known(label)]
    silent = [Timed(a, b, "sil") for a, b, label in rows if label in SILENT and b > a]
    return tuple(sorted([*timed_units(spoken, chosen), *silent]))


def guess_notation(labels: Iterable[str]) -> str:
    """The first notation that has every label, else the first in which all can be read as chains of its symbols."""
    wanted = {label for label in labels if _is_known(label)}
    for knows in (is_symbol, _known):
        for notation in NOTATIONS:
            if all(knows(label, notation) for label in wanted):
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


_PHONES = re.compile(r"phon|segment|^mau$")  # of BAS WebMAUS, MAU alone: its ORT-MAU and KAN-MAU are words
_WORDS = re.compile(r"word|ort|kan|text|trans")  # a tier that is named like both is phones only where no other is


def _of_tiers(tiers: dict[str, list[tuple[float, float, str]]], notation: str) -> Transcript:
    """A tier named like phones or words; of several (speakers), the first."""
    named = [name for name in tiers if _PHONES.search(name) and "word" not in name]
    first = next((name for name in named if not _WORDS.search(name)), named[0] if named else None)
    words = next((rows for name, rows in tiers.items() if _WORDS.search(name) and name != first), None)
    spoken = None if first is None else tiers[first]
    if spoken is None and words is None:
        raise InputError(f"tiers {', '.join(tiers) or 'none'}; accepted: one named phones or words")
    return _told(spoken or (), words or (), notation)


def _said(rows: Rows) -> tuple[Word, ...]:
    """The words of (start, end, word or line) that are known."""
    return tuple(word for word in _each(rows) if not _is_unknown(word.text))


def _each(rows: Rows) -> list[Word]:
    """Every word of (start, end, word or line), silences apart; without times where no row has any."""
    timed = any(end > start for start, end, _ in rows)
    spoken = [(start, end, text.split()) for start, end, text in rows if text not in SILENT]
    return [word for start, end, said in spoken
            for word in (shared(start, end, said) if timed else (Word(0.0, 0.0, one) for one in said))]  # fmt: skip


_INSTANT = r"(?:(\d+):)?(\d+):(\d+)(?:[.,](\d+))?"
_TIMES = re.compile(rf"\s*{_INSTANT}\s*-->\s*{_INSTANT}")
_MARKUP = re.compile(r"<[^>]*>|\{[^}]*\}")
_NOISES = re.compile(r"\[[^\]]*\]|\([^)]*\)")  # [MUSIC] (laughs)
_SPEAKER = re.compile(r"^[-\s]*[A-Z][^\n:a-z]*:(?=\s|$)", re.M)  # ANNA:


def _subtitles(text: str, _: str) -> Transcript:
    """SRT and VTT: the words of a cue share its time, in proportion to their letters."""
    lines = text.splitlines()
    # What is spoken may hold an arrow, too.
    heads = [k for k, line in enumerate(lines) if "-->" in line and line.lstrip()[:1].isdecimal()]
    words: list[Word] = []
    for head, following in itertools.pairwise([*heads, len(lines)]):
        found = _TIMES.match(lines[head])
        if found is None:
            raise InputError(f"line {head + 1}: got {lines[head].strip()[:60]!r}, accepted: times as "
                             "00:00:01,000 --> 00:00:02,000")
        body = lines[head + 1 : following]
        if following < len(lines) and body and body[-1].strip().isdecimal():
            body.pop()  # the next cue's number
        cue = "\n".join(itertools.takewhile(str.strip, body))
        said = _SPEAKER.sub(" ", _NOISES.sub(" ", html.unescape(_MARKUP.sub(" ", cue))))
        words += shared(_clock(found.groups()[:4]), _clock(found.groups()[4:]), said.split())
    return Transcript(words=tuple(words))


def _clock(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return _time(int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}"))


def shared(start: float, end: float, words: Sequence[str]) -> list[Word]:
    """Words that share a stretch of time, each by its letters; none is so short that its time would be unknown."""
    end = max(end, start + LEAST * len(words))
    sizes = [len(word) + 1 for word in words]
    edges = [*(start + (end - start) * sum(sizes[:k]) / sum(sizes) for k in range(len(words))), end]
    return [Word(a, b, word) for a, b, word in zip(edges[:-1], edges[1:], words, strict=True)]


def _ctm(text: str, notation: str) -> Transcript:
    """file channel start duration label; all phones where the labels look like phones. [noise] is not spoken."""
    rows = []
    for line in text.splitlines():
        cells = line.split()
        if cells and not line.startswith(";;"):
            if _NOISES.fullmatch(cells[4]) and not _is_unknown(cells[4]):
                continue
            start = _time(cells[2])
            rows.append((start, start + _time(cells[3]), cells[4]))
    return _phones_or_words(rows, notation, words=True)


def _lab(text: str, notation: str) -> Transcript:
    """start end label, in seconds or in HTK's 100 ns; phones, unless the labels are words."""
    cells = [line.split() for line in text.splitlines() if line.strip()]
    scale = TICK if all("." not in c[0] + c[1] for c in cells) and float(cells[-1][1]) > 10_000 else 1.0
    rows = [(_time(float(c[0]) * scale), _time(float(c[1]) * scale), c[2]) for c in cells]
    return _phones_or_words(rows, notation, words=False)


def _phones_or_words(rows: Rows, notation: str, words: bool) -> Transcript:
    """Phones where most labels are symbols of one notation; `words` says what labels are that may be either.

    Most and not all: a symbol that nobody knows must be refused as a phone, not be spoken as a word.
    """
    labels = {label for _, _, label in rows if _is_known(label)}
    telling = labels - BOTH or (set() if words else labels)
    known = max(sum(is_symbol(label, name) for label in telling) for name in NOTATIONS)
    if notation or 2 * known > len(telling) or not labels:
        return _told(rows, (), notation)
    return _told((), rows, notation)


def _plain(text: str, _: str) -> Transcript:
    return _told((), [(0.0, 0.0, text)], "")


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
    letters = held.get("alignment") or held.get("normalized_alignment") or ("characters" in held and held)
    if letters:  # ElevenLabs
        return _characters(letters)
    spoken = tuple(_timed_rows(held.get("phones") or held.get("phonemes") or []))
    rows = held.get("words") or [  # Whisper's segments hold their words, or are lines
        row for segment in held.get("segments") or () for row in segment.get("words") or [segment]]
    if not spoken and not rows and isinstance(held.get("text"), str):
        return _plain(held["text"], notation)
    return _told(spoken, _worded(rows), notation)


def _timed_rows(rows: Sequence[Any]) -> Iterable[tuple[float, float, str]]:
    for row in rows:
        if isinstance(row, dict):
            yield _time(row["start"]), _time(row["end"]), _label(row, ("phone", "phoneme", "label", "text"))
        else:
            yield _time(row[0]), _time(row[1]), str(row[2])


def _label(row: dict[str, Any], names: Sequence[str]) -> str:
    found = next((row[name] for name in names if name in row), None)
    if found is None:
        raise InputError(f"got {str(row)[:60]}, accepted: an object with {' or '.join(names)}")
    return str(found)


def _worded(rows: Sequence[Any]) -> Rows:
    """(start, end, text) of rows, each a word or a line; a time that is missing is put between those beside it."""
    texts: list[str] = []
    times: list[Any] = []
    for row in rows:
        named = isinstance(row, dict)
        texts.append(_label(row, ("word", "text", "label", "value")).strip() if named else str(row[2]))
        times += [row.get("start"), row.get("end")] if named else row[:2]
    at = [k + side for k in range(len(rows)) for side in (0.0, 0.9)]  # in words: a pause is shorter than a word
    known = [(place, _time(time)) for place, time in zip(at, times, strict=True) if time is not None]
    if not known:
        return [(0.0, 0.0, text) for text in texts]
    (first, begin), (last, end) = known[0], known[-1]
    known = [(at[0], max(begin - USUAL * (first - at[0]), 0.0)), *known, (at[-1], end + USUAL * (at[-1] - last))]
    found = np.interp(at, [place for place, _ in known], [time for _, time in known]).tolist()
    return list(zip(found[::2], found[1::2], texts, strict=True))


def _characters(held: dict[str, Any]) -> Transcript:
    letters, starts, ends = (held[key] for key in ("characters", "character_start_times_seconds",
                                                   "character_end_times_seconds"))  # fmt: skip
    rows = [(_time(starts[word.start()]), _time(ends[word.end() - 1]), word.group())
            for word in re.finditer(r"\S+", "".join(letters))]  # fmt: skip
    return Transcript(words=_said(rows))


def _list(held: list[Any], notation: str) -> Transcript:
    if held and isinstance(held[0], dict) and "type" in held[0]:  # Amazon Polly: milliseconds, no ends
        marks = sorted((_time(m["time"] / 1000), str(m["value"])) for m in held if m["type"] == "word")
        ends = [start for start, _ in marks[1:]] + [marks[-1][0] + 0.4 if marks else 0.0]
        return Transcript(words=_said([(a, b, word) for (a, word), b in zip(marks, ends, strict=True)]))
    if held and isinstance(held[0], dict) and "viseme_id" in held[0]:  # Azure: ticks, no ends
        return Transcript(_azure(held))
    if held and isinstance(held[0], dict) and ("word" in held[0] or "text" in held[0]):
        return _told((), _worded(held), notation)
    return _told(list(_timed_rows(held)), (), notation)


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
