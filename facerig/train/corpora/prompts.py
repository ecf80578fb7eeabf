"""Recorded people in Debian packages: telephone prompts, words for children, the talk of two fish, actors in games.

Professional and volunteer speakers in ten languages, at 11 to 44 kHz, and no times. A dictionary (American speakers) or
espeak-ng reads the transcript word by word, the shipped model hears the recording, and a search through its posteriors
places the sounds; the trainer sharpens them once more. A recording that does not say its text is left out (`Keep`).
`packages` knows where they lie.
"""

from __future__ import annotations

import functools
import gzip
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig import audio
from facerig.errors import FacerigError
from facerig.model import runtime
from facerig.phones import Timed, rasterise, to_units, units, viseme15_of_units
from facerig.stage import FPS
from facerig.train.corpora import packages, talkies
from facerig.train.corpora.base import Int16, Made, Part, Row, Source, plain, to_int16
from facerig.train.corpora.pack import to_24k
from facerig.transcript import engines
from facerig.transcript.align import SHORTEST, placed
from facerig.transcript.pronounce import pronounced

TRUST = 0.8
PART_CLIPS = 240
HEAP = 64  # words that espeak-ng reads at a time
BLOCK = 60  # frames that the model hears at a time
AMERICAN = "en-us"  # what espeak-ng calls it
CMU = Path("/usr/share/festival/dicts/cmu/cmudict-0.4.out")
MARKS = ".,;:!?\"'()-\u2026\u00a1\u00bf"


@dataclass(frozen=True)
class Keep:
    """The rule: a recording stays if all hold."""

    agreement: float = 0.33
    # share of its spoken frames where the model hears the viseme that the text has there; right texts lie at .4 to .8,
    # a text of the same length that is another one's at .2 to .45
    shortest: float = 0.4
    longest: float = 20.0
    # seconds; the search looks at the whole clip
    hurried: float = 0.035
    dragged: float = 0.22
    # seconds a sound, pauses counted: outside of these something else is said
    pressed: float = 0.8
    # share of its sounds that got no more than the shortest time: they were looked for and not found, as in a tone. Of
    # right texts 25 in 17,000 recordings have more


KEEP = Keep()
STRICT = Keep(agreement=0.45)  # of texts that a game's files give: a tenth of wrong ones passes, 94 % of right ones
SOURCES = ("prompts", "talkies")
Found = Iterator[tuple[str, str, Path]]  # (name, text, file)


@dataclass(frozen=True)
class Voice:
    """One speaker, or a few in one package: who, where, how espeak-ng reads the language."""

    name: str
    packages: tuple[str, ...]
    reader: str
    language: str
    found: Callable[[Path], Found]
    split: str = "train"
    source: str = "prompts"
    keep: Keep = KEEP


# ---- where recordings and their texts lie ---------------------------------------------------------------------------


def _asterisk(folder: str, language: str) -> Callable[[Path], Found]:
    """Prompts of a telephone exchange: "name: text" lines, comments and [sounds] left out."""

    def found(root: Path) -> Found:
        sounds = root / "usr/share/asterisk/sounds" / folder
        name = f"asterisk-core-sounds-{language}"
        texts = root / f"usr/share/doc/{name}/core-sounds-{language}.txt.gz"
        for line in gzip.decompress(texts.read_bytes()).decode("utf-8", "replace").splitlines():
            key, colon, text = line.strip("\ufeff ").partition(":")
            if colon and not key.startswith(";") and "[" not in text:
                yield key, re.sub(r"\([^)]*\)", " ", text), sounds / f"{key}.g722"

    return found


def _stamps(language: str) -> Callable[[Path], Found]:
    """Descriptions of pictures: NAME_desc_XX.ogg beside NAME.txt, whose lines are "XX.utf8=text"."""

    def found(root: Path) -> Found:
        base = root / "usr/share/tuxpaint/stamps"
        for file in sorted(base.glob(f"**/*_desc_{language}.ogg")):
            texts = file.with_name(file.name.removesuffix(f"_desc_{language}.ogg") + ".txt")
            lines = texts.read_text("utf-8", "replace").splitlines() if texts.is_file() else []
            own = [line.partition("=")[2] for line in lines if line.startswith(f"{language}.utf8=")]
            if own:
                yield str(file.relative_to(base).with_suffix("")), re.sub(r"\([^)]*\)", " ", own[0]), file

    return found


def _fish(language: str) -> Callable[[Path], Found]:
    """A game's dialogues: dialogId("NAME", ...) dialogStr("text") in lua, sound/LEVEL/XX/NAME.ogg."""
    pattern = re.compile(r'dialogId\("([^"]+)".*?\)\s*dialogStr\("((?:[^"\\]|\\.)*)"\)', re.S)

    def found(root: Path) -> Found:
        base = root / "usr/share/games/fillets-ng"
        for lines in sorted(base.glob(f"script/**/*dialogs_{language}.lua")):
            level = lines.parent.name
            for name, text in pattern.findall(lines.read_text("utf-8", "replace")):
                file = base / "sound" / level / language / f"{name}.ogg"
                yield f"{level}/{name}", text.replace("\\n", " ").replace("\\", ""), file

    return found


def _game(game: str, apart: bool) -> Callable[[Path], Found]:
    """Lines of an adventure that `fetch` unpacked; some of its characters are kept apart."""

    def found(root: Path) -> Found:
        for name, text, file in talkies.listed(root / talkies.GAMES / game):
            if bool(talkies.APART.match(name)) == apart:
                yield name, text, file

    return found


def _core(folder: str, language: str, reader: str, split: str = "train") -> Voice:
    packages = (f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722")
    return Voice(f"{language}-exchange", packages, reader, language, _asterisk(folder, language), split)


def _pictures(language: str, reader: str) -> Voice:
    return Voice(f"{language}-stamps", ("tuxpaint-stamps-default",), reader, language, _stamps(language))


def _dialogues(language: str) -> Voice:
    packages = ("fillets-ng-data", f"fillets-ng-data-{language}")
    return Voice(f"{language}-fish", packages, language, language, _fish(language))


def _talkie(name: str, game: str, reader: str, apart: bool = False, more: tuple[str, ...] = ()) -> Voice:
    packages, split = (game.partition("/")[0], *more), "val" if apart else "train"
    return Voice(name, packages, reader, reader[:2], _game(game, apart), split, "talkies", STRICT)


# Licences and names as the packages state them: docs/MODEL_CARD.md. The Italian of the exchange is kept apart: nobody
# learns from him, choices are made by him among others.
VOICES: tuple[Voice, ...] = (
    _core("es_MX_f_Allison", "es", "es-419"),
    _core("en_US_f_Allison", "en", "en-us"),
    _core("fr_CA_f_June", "fr", "fr"),
    _core("it_IT_m_Carlo", "it", "it", "val"),
    _core("ru_RU_f_IvrvoiceRU", "ru", "ru"),
    _pictures("es", "es"),
    _pictures("fr", "fr"),
    _pictures("ca", "ca"),
    _pictures("ro", "ro"),
    _pictures("ru", "ru"),
    _pictures("bg", "bg"),
    _pictures("el", "el"),
    _pictures("da", "da"),
    _dialogues("cs"),
    _dialogues("nl"),
    _talkie("queen", "flight-of-the-amazon-queen", "en-us"),
    _talkie("queen-apart", "flight-of-the-amazon-queen", "en-us", apart=True),
    _talkie("sky", "beneath-a-steel-sky", "en-gb"),
    _talkie("drascula-en", "drascula/en", "en-us"),
    _talkie("drascula-es", "drascula/es", "es", more=("drascula-spanish",)),
)


def _listed(voice: Voice) -> list[tuple[str, str, Path]]:
    """The recordings of a voice that are there, in order; none where its packages are absent."""
    for root in packages.roots():
        try:
            held = sorted({name: (name, text, file) for name, text, file in voice.found(root)}.values())
        except OSError:
            continue
        if present := [row for row in held if row[2].is_file()]:
            return present
    return []


def needed() -> set[str]:
    """The packages of all voices."""
    return {name for voice in VOICES for name in voice.packages}


# ---- what is said and when ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def american() -> dict[str, tuple[str, ...]]:
    """CMU's dictionary as festival has it: lines of ("word" part (((sounds) stress) ...)), none where it is not here.

    It reads "a", "the", "of" as people say them in a sentence, where espeak-ng, asked for one word, names the letter.
    """
    if not CMU.is_file():
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for word, sounds in re.findall(r'^\("([a-z]+)" \S+ (\(.*\))\)$', CMU.read_text("latin1"), re.M):
        names = (unit for label in re.findall("[a-z]+", sounds) for unit in to_units(label, "festival_en"))
        found.setdefault(word, tuple(names))
    return found


def lexicon(texts: Sequence[str], reader: str) -> dict[str, tuple[str, ...]]:
    """The units of every word of the texts: American ones by the dictionary, others asked of espeak-ng, some words at a
    time: it fails on a heap, not on all."""
    words = sorted({word for text in texts for word in text.split() if any(letter.isalnum() for letter in word)})
    quiet = {u.unit for u in units() if u.is_silence} | {"gs"}
    listed = american() if reader == AMERICAN else {}
    found = {word: listed[bare] for word in words if (bare := word.strip(MARKS).lower()) in listed}
    words = [word for word in words if word not in found]
    for first in range(0, len(words), HEAP):
        heap = words[first : first + HEAP]
        for word, sounds in zip(heap, pronounced(heap, reader), strict=True):
            found[word] = tuple(unit for unit in sounds if unit not in quiet)
    return found


def decoded(file: Path) -> tuple[Int16, int]:
    """int16 mono; G.722, which no header tells of, by its suffix."""
    if file.suffix != ".g722":
        held = audio.read(file)
        return to_int16(held.samples), held.rate
    import av

    with av.open(str(file), format="g722") as container:
        track = container.streams.audio[0]
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(track)]), int(track.rate)


@functools.lru_cache(maxsize=1)
def _model() -> runtime.OnnxModel:
    return runtime.load()


def heard(samples: Int16, rate: int) -> NDArray[np.float32]:
    """[frames, units] what the shipped model hears."""
    from facerig.train.data import audio_features

    return _model().posteriors(audio_features(to_24k(samples, rate)), BLOCK)[2]


def agreement(timed: list[Timed], posteriors: NDArray[np.float32]) -> float:
    """Share of spoken frames where the likeliest viseme is the label's."""
    visemes, silent = viseme15_of_units(), np.array([u.is_silence for u in units()])
    labels = rasterise(timed, len(posteriors), FPS)
    spoken = ~silent[labels]
    guess = (posteriors @ np.eye(visemes.max() + 1, dtype=np.float32)[visemes]).argmax(1)
    return float((guess == visemes[labels])[spoken].mean()) if spoken.any() else 0.0


def pressed(timed: list[Timed]) -> float:
    """Share of the sounds that lie in the shortest time that a sound is given."""
    silent = {u.unit for u in units() if u.is_silence}
    frames = [round((one.end - one.start) * FPS) for one in timed if one.unit not in silent]
    return sum(count <= SHORTEST for count in frames) / max(len(frames), 1)


def _made(voice: Voice, name: str, text: str, file: Path, known: Mapping[str, tuple[str, ...]]) -> Made | None:
    """The clip, or None where the voice's rule does not hold or nothing can be read."""
    words = [known[word] for word in text.split() if known.get(word)]
    try:
        samples, rate = decoded(file)
    except (FacerigError, OSError, ValueError):  # a file without sound, as some packages hold
        return None
    seconds, count = len(samples) / rate, sum(len(word) for word in words)
    keep = voice.keep
    if not count or not keep.shortest < seconds < keep.longest or not keep.hurried < seconds / count < keep.dragged:
        return None
    posteriors = heard(samples, rate)
    timed = placed(words, posteriors)
    if agreement(timed, posteriors) < keep.agreement or pressed(timed) > keep.pressed:
        return None
    row = Row(
        f"{voice.source}/{voice.name}/{name}", voice.source, voice.language, f"{voice.source}:{voice.name}",
        voice.split, rate, round(seconds, 4), "aligned", TRUST, plain(timed), text.strip(),
    )  # fmt: skip
    return Made(row, samples)


def _clips(voice: Voice, first: int) -> Iterator[Made]:
    rows = _listed(voice)[first : first + PART_CLIPS]
    known = lexicon([text for _, text, _ in rows], voice.reader)
    for name, text, file in rows:
        made = _made(voice, name, text, file, known)
        if made is not None:
            yield made


def _part(voice: Voice, first: int) -> Part:
    return Part(f"{voice.name}-{first:04d}", lambda: _clips(voice, first), alone=True)


def sources(only: str = "") -> list[Source]:
    """The voices whose packages are here: prompts and their like, and the games' actors; `only` names one of both."""
    names = [name for name in SOURCES if only in ("", name)]
    if why := engines.missing_engine("espeak"):
        return [Source(name, (), why) for name in names]
    if runtime.DEFAULT not in runtime.installed():
        return [Source(name, (), "no trained model is here to place their sounds") for name in names]
    return [_source(name) for name in names]


def _source(name: str) -> Source:
    own = [v for v in VOICES if v.source == name]
    parts = [_part(v, first) for v in own for first in range(0, len(_listed(v)), PART_CLIPS)]
    why = "" if parts else "no package is here; `python -m facerig.train.corpora fetch` gets them with apt"
    return Source(name, parts, why)
