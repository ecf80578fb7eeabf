"""A dialogue as it is written down: who is there, who says what, how, and when. Reads YAML and JSON into `Script`.

    characters:
      anna: {voice: en-us+f3, seat: [-0.6, 0], personality: {extraversion: 0.8}, attitude: {ben: 0.4}}
      ben: {voice: en-us+m3}
    lines:
      - anna: Did you hear that?
      - {ben: "No. [pause:0.4] What was it?", emotion: worried, act: wh-question, gap: 0.6}

docs/DIALOGUE.md has the whole format. Whatever is wrong is an InputError with the file and the line.
"""

from __future__ import annotations

import math
import os.path
import re
from dataclasses import replace
from pathlib import Path

from facerig import controls
from facerig.dialogue import acts, labels, seats
from facerig.dialogue.mood import TRAITS, Personality
from facerig.dialogue.nodes import Value, choices, listed, parse, read_file
from facerig.dialogue.presets import preset
from facerig.dialogue.script import GAP, Character, Line, Script, file_name
from facerig.emotion.space import Vad
from facerig.errors import InputError
from facerig.transcript.tags import tagged

VERSION = 1
MOST_CHARACTERS, MOST_LINES = 32, 10_000
LONGEST_GAP, LONGEST_TIME, LONGEST_TEXT = 60.0, 7_200.0, 5_000
LEVELS = {"low": 0.2, "middle": 0.5, "high": 0.8}  # CPED notes personality as high and low
SCRIPT_KEYS = ("version", "title", "seed", "gap", "tail", "language", "characters", "lines")
CHARACTER_KEYS = ("voice", "seat", "eyes", "facing", "personality", "mood", "attitude", "preset", "contagion", "seed")
LINE_KEYS = ("who", "text", "audio", "emotion", "intensity", "act", "gap", "overlap", "at", "to", "preset",
             "interrupts", "controls")
MOOD_KEYS = ("valence", "arousal", "dominance")
_NAME = re.compile(r"[^\W_][\w .'-]{0,63}")


def read_script(path: str | Path) -> Script:
    """From a .yaml, .yml or .json file; audio files are found relative to it."""
    file = Path(path)
    return replace(script_of(read_file(file), file.parent), name=file.stem)


def script(text: str, folder: Path = Path(), as_json: bool = False) -> Script:
    """From text."""
    return script_of(parse(text, as_json=as_json), folder)


def script_of(root: Value, folder: Path) -> Script:
    top = root.fields("script", SCRIPT_KEYS)
    for key in ("characters", "lines"):
        if key not in top:
            raise root.wrong(f"script: {key} are missing, accepted: {listed(SCRIPT_KEYS)}")
    if "version" in top and top["version"].whole("version", 0, 1_000) != VERSION:
        raise top["version"].got("version", str(VERSION))
    characters = _characters(top["characters"])
    names = tuple(one.name for one in characters)
    entries = top["lines"].items("lines", "a list of lines", MOST_LINES)
    if not entries:
        raise top["lines"].got("lines", "a line or more")
    lines = tuple(_line(entry, number, names, folder) for number, entry in enumerate(entries))
    return Script(
        characters, lines,
        top["title"].text("title", most=200) if "title" in top else "",
        top["seed"].whole("seed", 0, 2**31 - 1) if "seed" in top else 0,
        top["gap"].number("gap", -LONGEST_GAP, LONGEST_GAP, "seconds") if "gap" in top else GAP,
        top["tail"].number("tail", 0, LONGEST_GAP, "seconds") if "tail" in top else 1.0,
        top["language"].text("language", most=20) if "language" in top else "en",
    )  # fmt: skip


# ---- characters -----------------------------------------------------------------------------------------------


def _characters(value: Value) -> tuple[Character, ...]:
    """A table of names, or a list of names where nothing is to be said of them."""
    if value.sequence:
        listing = value.items("characters", "names", MOST_CHARACTERS)
        given = [(each.text("characters: a name"), each) for each in listing]
    else:
        given = list(value.fields("characters").items())
    if not 1 <= len(given) <= MOST_CHARACTERS:
        raise value.wrong(f"characters: got {len(given)}, accepted: 1 to {MOST_CHARACTERS}")
    names = [name for name, _ in given]
    files: dict[str, str] = {}
    for name, each in given:
        if not _NAME.fullmatch(name) or name in LINE_KEYS:
            raise each.wrong(f"characters: got the name {name[:60]!r}, accepted: up to 64 letters, digits, - . ' and "
                             f"blanks, beginning with a letter or digit, none of {', '.join(LINE_KEYS)}")
        if (plain := file_name(name)) in files:
            raise each.wrong(f"characters: {name!r} and {files[plain]!r} would be written to the same file; rename one")
        files[plain] = name
    out = tuple(_character(name, each, names) for name, each in given)
    _check_seats(value, out)
    return out


def _character(name: str, value: Value, names: list[str]) -> Character:
    if value.empty or value.scalar:  # `anna:` alone, or a list of names
        if not value.empty and value.text(name) != name:
            raise value.got(f"characters: {name}", f"a table with {listed(CHARACTER_KEYS)}")
        return Character(name)
    what = f"characters: {name}"
    got = value.fields(what, CHARACTER_KEYS)

    def number(key: str, low: float, high: float, unit: str, usual: float) -> float:
        return got[key].number(f"{what}: {key}", low, high, unit) if key in got else usual

    return Character(
        name,
        got["voice"].text(f"{what}: voice", most=100) if "voice" in got else "",
        _seat(f"{what}: seat", got["seat"]) if "seat" in got else None,
        number("eyes", 0.1, 10, "metres", seats.EYES),
        number("facing", -360, 360, "degrees", 0) if "facing" in got else None,
        _personality(f"{what}: personality", got["personality"]) if "personality" in got else Personality(),
        _mood(f"{what}: mood", got["mood"]) if "mood" in got else None,
        _attitude(f"{what}: attitude", got["attitude"], name, names) if "attitude" in got else {},
        _preset(f"{what}: preset", got["preset"]) if "preset" in got else "",
        number("contagion", 0, 1, "", 0.0),
        got["seed"].whole(f"{what}: seed", 0, 2**31 - 1) if "seed" in got else None,
    )


def _seat(what: str, value: Value) -> tuple[float, float]:
    accepted = "[x, y] in metres, seen from above, or {azimuth: degrees, distance: metres}"
    if value.sequence:
        pair = value.items(what, accepted, 2)
        if len(pair) != 2:
            raise value.got(what, accepted)
        return pair[0].number(what, -100, 100, "metres"), pair[1].number(what, -100, 100, "metres")
    if not value.table:
        raise value.got(what, accepted)
    got = value.fields(what, ("azimuth", "distance"))
    if "azimuth" not in got:
        raise value.wrong(f"{what}: azimuth is missing, accepted: {accepted}")
    angle = math.radians(got["azimuth"].number(f"{what}: azimuth", -360, 360, "degrees"))
    far = got["distance"].number(f"{what}: distance", 0.1, 100, "metres") if "distance" in got else seats.RADIUS
    return far * math.cos(angle), far * math.sin(angle)


def _check_seats(value: Value, characters: tuple[Character, ...]) -> None:
    seen: list[Character] = []
    for one in characters:
        for other in seen:
            if one.seat and other.seat and max(abs(one.seat[k] - other.seat[k]) for k in (0, 1)) < seats.CLOSEST:
                raise value.wrong(f"characters: {one.name} and {other.name} sit on one seat; accepted: seats "
                                  f"{seats.CLOSEST:g} m apart or more")
        seen.append(one)
    if 0 < sum(one.seat is not None for one in characters) < len(characters):
        missing = next(one.name for one in characters if one.seat is None)
        raise value.wrong(f"characters: {missing} has no seat; accepted: a seat for everybody, or for nobody")


def _personality(what: str, value: Value) -> Personality:
    if value.sequence:
        five = value.items(what, "five numbers", 5)
        if len(five) != 5:
            raise value.wrong(f"{what}: got {len(five)} numbers, accepted: five ({', '.join(TRAITS)})")
        return Personality(*(each.number(f"{what}: {trait}", 0, 1) for each, trait in zip(five, TRAITS, strict=True)))
    got = value.fields(what, TRAITS)
    return Personality(**{trait: _level(f"{what}: {trait}", each) for trait, each in got.items()})


def _level(what: str, value: Value) -> float:
    if value.scalar and (word := str(value.node.value).strip().lower()) in LEVELS:
        return LEVELS[word]
    try:
        return value.number(what, 0, 1)
    except InputError:
        raise value.got(what, f"0 to 1, or {', '.join(LEVELS)}") from None


def _mood(what: str, value: Value) -> Vad:
    if value.table:
        got = value.fields(what, MOOD_KEYS)
        return Vad(*(got[key].number(f"{what}: {key}", -1, 1) if key in got else 0.0 for key in MOOD_KEYS))
    asked = value.text(what, f"an emotion, or a table with {', '.join(MOOD_KEYS)}")
    return value.through(what, lambda: labels.place(asked))


def _attitude(what: str, value: Value, name: str, names: list[str]) -> dict[str, float]:
    others = [other for other in names if other != name]
    return {other: each.number(f"{what}: {other}", -1, 1) for other, each in value.fields(what, others).items()}


def _preset(what: str, value: Value) -> str:
    asked = value.text(what, "a preset's name")
    return value.through(what, lambda: preset(asked).name)


# ---- lines ----------------------------------------------------------------------------------------------------


def _line(value: Value, number: int, names: tuple[str, ...], folder: Path) -> Line:
    what = f"lines: {number + 1}"
    got = value.fields(what, (*LINE_KEYS, *names))
    who, said = _speaker(what, value, got, names)
    if said is not None:
        got["text"] = said
    text = got["text"].text(f"{what}: text", "words to speak", LONGEST_TEXT) if "text" in got else ""
    audio = _audio(f"{what}: audio", got["audio"], folder) if "audio" in got else None
    if not text and audio is None:
        raise value.wrong(f"{what}: got neither text nor audio, accepted: one of them, or both")
    if text:
        got_text = text
        _ = got["text"].through("text", lambda: tagged(got_text))
    emotion = got["emotion"].text(f"{what}: emotion", "an emotion") if "emotion" in got else ""
    if emotion:
        got["emotion"].through("emotion", lambda: labels.mixture(emotion))
    gap, at = _when(what, value, got, number)
    return Line(
        who, text, audio, emotion,
        got["intensity"].number(f"{what}: intensity", 0, 1) if "intensity" in got else 1.0,
        _act(what, got["act"]) if "act" in got else acts.guessed(text), "act" not in got, gap, at,
        _to(f"{what}: to", got["to"], who, names) if "to" in got else (),
        _preset(f"{what}: preset", got["preset"]) if "preset" in got else "",
        "interrupts" in got and got["interrupts"].truth(f"{what}: interrupts"),
        _asked(f"{what}: controls", got["controls"]) if "controls" in got else {},
        number, value.line,
    )  # fmt: skip


def _speaker(what: str, value: Value, got: dict[str, Value], names: tuple[str, ...]) -> tuple[str, Value | None]:
    """`- anna: words` or `who: anna`."""
    short = [name for name in names if name in got]
    if len(short) + ("who" in got) != 1:
        count = len(short) + ("who" in got)
        raise value.wrong(f"{what}: got {count} speakers, accepted: one, as `{names[0]}: words` or `who: {names[0]}`")
    if short:
        if "text" in got:
            raise value.wrong(f"{what}: got text twice, accepted: `{short[0]}: words` or `text: words`")
        words = got.pop(short[0])
        return short[0], None if words.empty else words
    who = got["who"].text(f"{what}: who", "a character")
    if who not in names:
        raise got["who"].wrong(f"{what}: who: got {who[:60]!r}, accepted: {choices(who, names)}")
    return who, None


def _act(what: str, value: Value) -> str:
    asked = value.text(f"{what}: act", "a dialogue act")
    return value.through("act", lambda: acts.known(asked))


def _audio(what: str, value: Value, folder: Path) -> Path:
    path = folder / value.text(what, "a file", 1000)
    if not os.path.isfile(path):
        raise value.wrong(f"{what}: {path}: no such file; it is looked for beside the script")
    return path


def _when(what: str, value: Value, got: dict[str, Value], number: int) -> tuple[float | None, float | None]:
    given = [key for key in ("gap", "overlap", "at") if key in got]
    if len(given) > 1:
        raise value.wrong(f"{what}: got {' and '.join(given)}, accepted: one of gap, overlap, at")
    if "at" in got:
        return None, got["at"].number(f"{what}: at", 0, LONGEST_TIME, "seconds")
    if "overlap" in got:
        return -got["overlap"].number(f"{what}: overlap", 0, LONGEST_GAP, "seconds"), None
    return (got["gap"].number(f"{what}: gap", -LONGEST_GAP, LONGEST_GAP, "seconds") if "gap" in got else None), None


def _to(what: str, value: Value, who: str, names: tuple[str, ...]) -> tuple[str, ...]:
    given = value.items(what, "names", MOST_CHARACTERS) if value.sequence else [value]
    others = [name for name in names if name != who]
    out = []
    for each in given:
        name = each.text(what, "a character")
        if name not in others:
            raise each.wrong(f"{what}: got {name[:60]!r}, accepted: {choices(name, others) or 'nobody'}")
        out.append(name)
    return tuple(dict.fromkeys(out))


def _asked(what: str, value: Value) -> dict[str, float]:
    """Controls over the line, added as a preset's are."""
    out = {}
    for name, each in value.fields(what, controls.COLUMNS).items():
        control = controls.CONTROLS[controls.place(name)]
        out[name] = each.number(f"{what}: {name}", -control.span, control.span, control.unit)
    return out
