"""When each unit of a transcript is spoken: Viterbi through a model's posteriors, or in proportion without.

Silence may lie before and after every word. Times that the transcript brings bound the search: a word is looked for
within SLACK of where it is said to be, and what is said to be after the sound's end is left out. Offline; knows no
audio.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from facerig.errors import InputError, check_option
from facerig.phones import Timed, unit_index, units
from facerig.stage import FPS
from facerig.transcript.pronounce import pronounced
from facerig.transcript.read import Transcript, Word
from facerig.transcript.tables import Floats

SLACK = 0.25  # seconds by which a word's given time may be off: aligners differ by 20 ms, subtitles by a quarter second
FLOOR = 1e-3  # no posterior is trusted to be less: one surprising frame must not forbid the right path
SAME_VISEME, SAME_KIND = 0.4, 0.2
SHORTEST = 2  # frames of a unit (33 ms)
OFF = -1e9
USUAL = {"vowel": 1.4, "stop": 0.9, "fricative": 1.1, "silence": 1.0}  # relative lengths of sounds; others are 1
PIECE = 20.0  # seconds of audio searched in one go where words have times
LONGEST = 300.0  # ... and where they have none


@dataclass(frozen=True)
class Path:
    """The states of a search: a unit each, whether it may be skipped (silence), and the frames it may lie in."""

    unit: NDArray[np.intp]
    optional: NDArray[np.bool_]
    low: NDArray[np.intp]
    high: NDArray[np.intp]


def within(transcript: Transcript, seconds: float) -> Transcript:
    """What of a transcript lies in so much sound; one of which nothing spoken does is an InputError."""
    limit = seconds + SLACK
    inside = Transcript(tuple(t for t in transcript.phones if t.start < limit),
                        tuple(w for w in transcript.words if w.start < limit), transcript.unknown)  # fmt: skip
    starts = [told.start for part in (_spoken(transcript.phones), transcript.words) for told in part]
    if starts and not _spoken(inside.phones) and not inside.words:
        raise InputError(f"transcript: runs from {min(starts):.1f} s, the sound has {seconds:.1f} s, accepted: times "
                         "within the sound; shift its times")
    return inside


def aligned(transcript: Transcript, posteriors: Floats, language: str = "en") -> list[Timed]:
    """Timed units of a transcript: its own phones, or its words found in the posteriors [frames, units]."""
    if transcript.phones:
        return list(transcript.phones)
    sounds = _sounds(transcript.words, language)
    out: list[Timed] = []
    for first, last, begin, end in pieces(transcript.words, len(posteriors)):
        shift = begin / FPS
        near = [Word(w.start - shift, w.end - shift, w.text) for w in transcript.words[first:last]]
        path = states(near, sounds[first:last], end - begin)
        if not path.optional.all() and end > begin:
            found = _timed(path, _best(path, np.log(np.maximum(posteriors[begin:end] @ likeness(), FLOOR))))
            out += [Timed(t.start + shift, t.end + shift, t.unit) for t in found]
    return out


def worded(transcript: Transcript, timed: Sequence[Timed], language: str = "en") -> tuple[Word, ...]:
    """The words with the times of their sounds among the timed units; beside phones they keep times of their own."""
    if transcript.phones and all(word.end > word.start for word in transcript.words):
        return transcript.words
    spoken, sounds = _spoken(timed), pronounced([word.text for word in transcript.words], language)
    places = _places([unit for own in sounds for unit in own], [t.unit for t in spoken])
    out: list[Word] = []
    at = 0
    for word, own in zip(transcript.words, sounds, strict=True):
        if own and spoken:
            start = max(spoken[places[at]].start, out[-1].end if out else 0.0)
            out.append(Word(start, max(start, spoken[places[at + len(own) - 1]].end), word.text))
        at += len(own)
    return tuple(out)


def _places(wanted: Sequence[str], spoken: Sequence[str]) -> list[int]:
    """Where each unit stands among those that were spoken: an engine says more or less than the dictionary has."""
    if list(wanted) == list(spoken):
        return list(range(len(wanted)))
    blocks = SequenceMatcher(None, wanted, spoken, autojunk=False).get_matching_blocks()
    pairs = [(-1, -1), *((a + k, b + k) for a, b, size in blocks for k in range(size)), (len(wanted), len(spoken))]
    near = np.interp(np.arange(len(wanted)), [a for a, _ in pairs], [b for _, b in pairs])
    return [min(max(round(place), 0), len(spoken) - 1) for place in near]


def _sounds(words: Sequence[Word], language: str) -> list[tuple[str, ...]]:
    sounds = pronounced([word.text for word in words], language)
    if words and not any(sounds):
        said = " ".join(word.text for word in words)
        raise InputError(f"transcript: got {said[:60]!r}, which holds no word that can be spoken, accepted: words")
    return sounds


def _spoken(timed: Sequence[Timed]) -> list[Timed]:
    silent = {unit.unit for unit in units() if unit.is_silence}
    return [t for t in timed if t.unit not in silent]


def placed(sounds: Sequence[tuple[str, ...]], posteriors: Floats) -> list[Timed]:
    """The units of words in a row, found in the posteriors [frames, units] of a clip that says them."""
    path = states([Word(0.0, 0.0, "") for _ in sounds], sounds, len(posteriors))
    return _timed(path, _best(path, np.log(np.maximum(posteriors @ likeness(), FLOOR))))


@functools.lru_cache(maxsize=1)
def likeness() -> Floats:
    """[units, units] how well a sound answers for another: dictionaries and speakers differ, most in vowels."""
    table = [[1.0 if a is b else SAME_VISEME if a.viseme15 == b.viseme15 else SAME_KIND if a.kind == b.kind else 0.0
              for a in units()] for b in units()]  # fmt: skip
    return np.array(table, np.float32)


def pieces(words: Sequence[Word], frames: int) -> list[tuple[int, int, int, int]]:
    """(first word, last, first frame, last): one search where times are unknown, else cuts of about PIECE seconds.

    A search needs memory for every frame and state, so hours are searched in parts; the cuts lie between words.
    """
    if not words or not all(word.end > word.start for word in words):
        check_option("transcript", f"{frames / FPS:.0f} s of sound and a text without times",
                     f"up to {LONGEST:.0f} s", frames <= LONGEST * FPS, "give one with times (.srt), or cut the sound")
        return [(0, len(words), 0, frames)]
    out, first, begin = [], 0, 0
    for k in range(1, len(words) + 1):
        if k == len(words) or words[k - 1].end - words[first].start > PIECE:
            middle = (words[k - 1].end + words[k].start) / 2 if k < len(words) else frames / FPS
            end = min(frames, max(begin, round(middle * FPS)))
            out.append((first, k, begin, end))
            first, begin = k, end
    return out


def states(words: Sequence[Word], sounds: Sequence[tuple[str, ...]], frames: int) -> Path:
    """Optional silence, then the units of each word and an optional silence after it."""
    rows: list[tuple[int, bool, int, int]] = [(0, True, 0, frames)]
    for word, own in zip(words, sounds, strict=True):
        known = word.end > word.start
        low = max(0, int((word.start - SLACK) * FPS)) if known else 0
        high = min(frames, int((word.end + SLACK) * FPS) + 1) if known else frames
        for unit in own:
            rows += [(unit_index(unit), False, low, high)] * SHORTEST
        if own:
            rows.append((0, True, 0, frames))
    table = np.array(rows, np.intp)
    return Path(table[:, 0], table[:, 1].astype(bool), table[:, 2], table[:, 3])


def _best(path: Path, logs: Floats) -> NDArray[np.intp]:
    """[frames] the state of each frame on the best path that visits every state that is not optional, in order."""
    frames, count = len(logs), len(path.unit)
    score = np.full(count, OFF)
    # The first required state may begin at once, or after the leading silence.
    score[: 2 if path.optional[0] else 1] = 0.0
    score = score + _emitted(path, logs, 0)
    came = np.zeros((frames, count), np.int8)
    # A skip jumps over one optional state; steps are 0 (stay), 1, 2.
    may_skip = np.zeros(count, bool)
    may_skip[2:] = path.optional[1:-1]
    for frame in range(1, frames):
        one = np.concatenate([[OFF], score[:-1]])
        two = np.where(may_skip, np.concatenate([[OFF, OFF], score[:-2]])[:count], OFF)
        options = np.stack([score, one, two])
        came[frame] = options.argmax(axis=0)
        score = options.max(axis=0) + _emitted(path, logs, frame)
    return _back(came, path, score)


def _emitted(path: Path, logs: Floats, frame: int) -> NDArray[np.float64]:
    inside = (path.low <= frame) & (frame < path.high)
    # Soft bounds: given times that cannot hold (too many sounds in too few frames) then stretch instead of failing.
    return np.asarray(logs[frame][path.unit] + np.where(inside, 0.0, -20.0), np.float64)


def _back(came: NDArray[np.int8], path: Path, score: NDArray[np.float64]) -> NDArray[np.intp]:
    count = len(path.unit)
    last = count - 1
    if count > 1 and path.optional[last] and score[last - 1] >= score[last]:
        last -= 1
    out = np.empty(len(came), np.intp)
    for frame in range(len(came) - 1, -1, -1):
        out[frame] = last
        last -= int(came[frame, last])
    return out


def _timed(path: Path, best: NDArray[np.intp]) -> list[Timed]:
    """Runs of a unit; the SHORTEST states of one unit are joined, two of the same unit in a row are not."""
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    names = [unit.unit for unit in units()]
    out: list[Timed] = []
    ends = [*starts[1:], len(best)]
    within = 0
    for first, last in zip(starts, ends, strict=True):
        state = best[first]
        name = names[path.unit[state]]
        within = 0 if path.optional[state] else within + 1
        begin, end = (int(first) - 0.5) / FPS, (int(last) - 0.5) / FPS
        if within > 1 and (within - 1) % SHORTEST and out and out[-1].unit == name:
            out[-1] = Timed(out[-1].start, end, name)
        else:
            out.append(Timed(max(begin, 0.0), end, name))
    return out


def in_proportion(sounds: Sequence[tuple[str, ...]], start: float, end: float) -> list[Timed]:
    """Units that share a stretch of time by their usual lengths, where nothing is known of the sound."""
    kinds = {unit.unit: unit.kind for unit in units()}
    names = [name for word in sounds for name in word]
    lengths = np.array([USUAL.get(kinds[name], 1.0) for name in names])
    edges = start + (end - start) * np.concatenate([[0.0], np.cumsum(lengths)]) / max(float(lengths.sum()), 1e-9)
    return [Timed(float(a), float(b), name) for a, b, name in zip(edges[:-1], edges[1:], names, strict=True)]


def unheard(transcript: Transcript, seconds: float | None = None, language: str = "en") -> list[Timed]:
    """Timed units with no sound to listen to: phones as they are, words in their times, text at a usual pace."""
    if transcript.phones:
        return list(transcript.phones)
    sounds = _sounds(transcript.words, language)
    if all(word.end > word.start for word in transcript.words):
        return [t for word, own in zip(transcript.words, sounds, strict=True)
                for t in in_proportion([own], word.start, word.end)]  # fmt: skip
    usual = 0.08 * sum(len(own) for own in sounds)
    return in_proportion(sounds, 0.2, 0.2 + usual if seconds is None else max(seconds - 0.2, 0.4))
