"""Voices and texts out of old adventure games that their makers gave away and Debian packages: actors in two languages.

Formats as ScummVM, which plays these games, reads them; every field that is used is named here. `unpack` writes each
line's sound beside a table of the texts, once; the corpora read the table. A line whose text does not fit its sound is
left out there (prompts.STRICT), so a misread text costs a line and no more.
"""

from __future__ import annotations

import bisect
import io
import re
import struct
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

from facerig.errors import InputError
from facerig.files import write_file
from facerig.train.corpora import rnc

GAMES = "usr/share/scummvm"
VOICES, TABLE = "voices", "voices.tsv"
APART = re.compile(r"2[0-4]....P")  # what five characters of the first game say: nobody learns from them
RATE = 11025
Line = tuple[str, str, bytes, str]  # name, text, sound, suffix


def unpack(root: Path) -> None:
    """The voices of every game whose package lies unpacked under `root`, as files and a table beside it."""
    for game, lines in READERS.items():
        held = root / GAMES / game
        if held.is_dir() and not (held / TABLE).is_file():
            try:
                _written(held / VOICES, lines(held))
            except (OSError, KeyError, IndexError, ValueError, struct.error) as error:
                raise InputError(f"{held}: not the game as Debian has it: {error}") from error


def _written(out: Path, lines: Iterator[Line]) -> None:
    """The lines that say something; the table last, since it tells that all is there."""
    rows = []
    for name, text, sound, suffix in lines:
        if any(letter.isalpha() for letter in text):
            write_file(out / f"{name}{suffix}", sound)
            rows.append(f"{name}{suffix}\t{text}\n")
    write_file(out.parent / TABLE, "".join(rows).encode())


def listed(game: Path) -> Iterator[tuple[str, str, Path]]:
    """(name, text, file) of what `unpack` wrote in a game's folder."""
    for row in (game / TABLE).read_text("utf-8").splitlines():
        file, _, text = row.partition("\t")
        yield file.partition(".")[0], text, game / VOICES / file


# ---- Flight of the Amazon Queen -------------------------------------------------------------------------------------

ENTRY = struct.Struct(">12sBII")  # name, bundle, offset, size
HEADER = 20  # bytes of AMOS before the data of a dialogue or a scene
BRANCHES, LEVEL = 32, 96  # bytes before a dialogue's tree, and of each of its levels
RESPONSES = 40  # lines of the hero that describe nothing: they come first where his sounds are counted
COMMAND = re.compile(r"\*(?:XY\d\d\(\d+,\d+\)|..)")  # stage directions inside a text


def queen(folder: Path) -> Iterator[Line]:
    """Every line that has a sound; MP3 of 11 kHz."""
    data = (folder / "queen.1c").read_bytes()
    files = dict(_queen_files(data))
    for name, text in _queen_texts(files):
        if sound := files.get(f"{name}.SB"):
            yield name, text, sound, ".mp3"


def _queen_files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The archive: "QTBL", version[6], 2 bytes, compression u8 (1 is MP3), entries u16, then the table of entries."""
    if data[:4] != b"QTBL" or data[12] != 1:
        raise InputError("queen.1c: not the English talking version as Debian has it")
    for k in range(struct.unpack_from(">H", data, 13)[0]):
        name, _, start, size = ENTRY.unpack_from(data, 15 + ENTRY.size * k)
        yield name.split(b"\0")[0].decode("latin1"), data[start : start + size]


def _queen_texts(files: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """(name of the sound, text) of dialogues, scenes and descriptions; most have a sound."""
    for name, held in files.items():
        if name.endswith(".DOG"):
            yield from _dialogue(held[HEADER:])
        elif name.endswith(".CUT"):
            yield from _scene(name.removesuffix(".CUT"), held[HEADER:])
    described = files["QUEEN2.JAS"].decode("latin1").split("\r\n")
    for k, text in enumerate(described[: _descriptions(files["QUEEN.JAS"][HEADER:])], RESPONSES + 1):
        yield from _segments(f"JOE{k:04d}", text)


def _descriptions(data: bytes) -> int:
    """How many descriptions QUEEN2.JAS begins with: u16 rooms, names, objects, descriptions."""
    return int(struct.unpack_from(">4H", data)[3])


def _dialogue(data: bytes) -> Iterator[tuple[str, str]]:
    """i16 levels, own key, key of the sounds, lines of the hero (J), of the other (P), 12 bytes, u16 start of P's."""
    levels, _, key, own, other = struct.unpack_from(">5h", data)
    person = struct.unpack_from(">H", data, 22)[0]
    for who, start, count in (("P", person, other), ("J", BRANCHES + abs(levels) * LEVEL, own)):
        for line, text in _lines(data, start, count):
            yield from _segments(f"{key:02d}{line & 0xFFFF:04X}{who}", text)


def _lines(data: bytes, start: int, count: int) -> Iterator[tuple[int, str]]:
    """Two bytes, i16 line, text; each begins at a multiple of four."""
    at = start
    for _ in range(count):
        if at + 5 > len(data):
            return
        line = struct.unpack_from(">h", data, at + 2)[0]
        text, at = _text(data, at + 4, 4)
        yield line, text


def _text(data: bytes, at: int, align: int) -> tuple[str, int]:
    """A text with its length before it, and where the next thing begins."""
    size = data[at] if at < len(data) else 0
    end = at + 1 + size
    return data[at + 1 : end].decode("latin1"), (end + align - 1) // align * align if size else end


def _scene(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """u16 panel, i16 objects, 4 bytes, u16 start of the texts: one to enter with, then one of each object."""
    objects, at = abs(struct.unpack_from(">h", data, 2)[0]), struct.unpack_from(">H", data, 8)[0]
    _, at = _text(data, at, 2)
    for k in range(1, objects + 1):
        text, at = _text(data, at, 2)
        yield from _segments(f"{name:_<5}{k:02d}", text)


def _segments(prefix: str, text: str) -> Iterator[tuple[str, str]]:
    """A text is cut at its stage directions; each piece has a sound of its own, counted from 1."""
    for k, piece in enumerate(COMMAND.split(text), 1):
        yield f"{prefix}{k:X}", " ".join(piece.split())


# ---- Beneath a Steel Sky --------------------------------------------------------------------------------------------

SPOKEN, WRITTEN = 50000, 60600  # numbers of the first line's sound and of the first section of texts
SECTIONS = (0, 600, 1100, 2430, 3380, 4530, 5080, 5230)  # first line of each section
PICTURE = 22  # bytes of a header that sounds have too
LONGEST = 400  # letters of a text
# The tree of the letters in version 0.0372: an inner node (┬) is followed by its two branches, that of bit 0 first; ¤
# stands for letters of other languages and for branches of such letters.
TREE = (
    "┬┬┬ ┬ea┬┬┬os┬tn┬┬.ir┬┬┬┬┬\0Eu┬mA┬┬┬lI┬dR┬┬NST┬┬┬┬┬Ohc┬Dg┬┬┬LC┬pU┬┬!yM┬┬┬┬┬PvH┬?b┬┬┬'f,┬GB┬┬┬┬┬VkF┬qw┬┬┬K-W┬J*"
    '┬┬┬┬zY┬j+┬┬┬Q¤)┬┬Z¤<┬┬┬┬┬¤¤¤┬¤:┬┬┬¤]#┬┬xX¤┬┬┬┬┬¤`2┬┬0¤1┬┬┬/(=┬¤^┬┬┬┬39┬¤4┬┬┬}8\\┬"¤┬┬┬┬&¤┬56¤¤'
)
Node = str | tuple["Node", "Node"]


def sky(folder: Path) -> Iterator[Line]:
    """Every line that has a sound; 8 bits at 11 kHz."""
    disk, files = (folder / "sky.dsk").read_bytes(), dict(_sky_files((folder / "sky.dnr").read_bytes()))
    tree, _ = _tree(TREE, 0)
    for number, (start, size, packed) in sorted(files.items()):
        section = bisect.bisect_right(SECTIONS, number - SPOKEN) - 1
        if SPOKEN <= number < WRITTEN - 1 and packed:
            begin, length, _ = files[WRITTEN + section]
            text = _sky_text(disk[begin : begin + length], number - SPOKEN - SECTIONS[section], tree)
            yield f"{number}", text.lower(), _wav(rnc.unpacked(disk[start + PICTURE : start + size])), ".wav"


def _sky_files(index: bytes) -> Iterator[tuple[int, tuple[int, int, bool]]]:
    """(number, (start, size, may be packed)): u32 files, then of each u16 number, u24 start (its top bit: counted in 16
    bytes), u24 size (its top bit: not packed, the next: without a header)."""
    for k in range(struct.unpack_from("<I", index)[0]):
        entry = index[4 + 8 * k : 12 + 8 * k]
        number, start, size = (int.from_bytes(entry[a:b], "little") for a, b in ((0, 2), (2, 5), (5, 8)))
        at = start & 0x7FFFFF
        yield number, (at << 4 if start >> 23 else at, size & 0x3FFFFF, not size >> 23)


def _tree(text: str, at: int) -> tuple[Node, int]:
    """The node that begins there, and where the next one does."""
    if text[at] != "┬":
        return text[at], at + 1
    first, at = _tree(text, at + 1)
    second, at = _tree(text, at)
    return (first, second), at


def _sky_text(section: bytes, number: int, tree: Node) -> str:
    """u16 size of the blocks' table, u16 start of the letters, u16 length of each block of 32 texts, u8 length of each
    text in two bits' steps (its top bit: in eight times as much)."""
    blocks, first = struct.unpack_from("<HH", section)
    steps = sum(struct.unpack_from(f"<{number >> 5}H", section, 4))
    lengths = section[(number & ~31) + blocks :][: number & 31]
    steps += sum((size & 0x7F) << 3 if size & 0x80 else size for size in lengths)
    letters: list[str] = []
    bit = first * 8 + steps * 2
    while len(letters) < LONGEST:
        node = tree
        while not isinstance(node, str):
            if bit >> 3 >= len(section):
                return ""
            node = node[section[bit >> 3] >> (7 - bit % 8) & 1]
            bit += 1
        if node == "\0":
            break
        letters.append(node)
    return "".join(letters)


def _wav(sound: bytes) -> bytes:
    """Unsigned bytes at 11 kHz as a file."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(RATE)
        file.writeframes(sound)
    return held.getvalue()


# ---- Drascula -------------------------------------------------------------------------------------------------------

TONGUES = {"en": 0, "es": 1}  # places of the languages that are spoken too; the Italian package speaks English
SPEAKERS = ("", "D", "B", "BJ", "E", "I", "L", "P", "T", "VB")  # of the first tables of texts; the rest is not spoken
TABLES = 15  # of texts, at the end of the file
ALIGNED = 4


def drascula(folder: Path) -> Iterator[Line]:
    """Every line that has a sound; 8 bits at 11 kHz."""
    data = (folder / "drascula.dat").read_bytes()
    for speaker, table in zip(SPEAKERS, _drascula_tables(data), strict=False):
        for k, text in enumerate(_drascula_texts(data, *table[TONGUES[folder.name]])):
            sound = folder / f"{speaker}{k}.ALS"
            if sound.is_file():
                yield f"{speaker}{k}", text.lower(), _wav(sound.read_bytes()), ".wav"


def _drascula_tables(data: bytes) -> list[list[tuple[int, int]]]:
    """[table][language] (start, size): u16 languages, then the tables to the end of the file: u16 texts, then of each
    language u16 size and the texts. Before it are rooms and fonts, so the place where that holds is looked for."""
    for at in range(len(data) - 2):
        if tables := _tables_from(data, at):
            return tables
    raise InputError("drascula.dat: no tables of texts; not the version that Debian has")


def _tables_from(data: bytes, at: int) -> list[list[tuple[int, int]]]:
    """The tables if they begin here, else none."""
    languages, at, out = int.from_bytes(data[at : at + 2], "big"), at + 2, []
    if not max(TONGUES.values()) < languages < 16:
        return []
    for _ in range(TABLES):
        at, held = at + 2, []
        for _ in range(languages):
            size = int.from_bytes(data[at : at + 2], "big")
            held.append((at + 2, size))
            at += 2 + size
        if at > len(data):
            return []
        out.append(held)
    return out if at == len(data) else []


def _drascula_texts(data: bytes, start: int, size: int) -> Iterator[str]:
    """Texts by number; two bytes before each stand the bytes to the next one. The first is never said."""
    at, end = start + ALIGNED, start + size
    yield ""
    while at + 2 < end and (step := int.from_bytes(data[at - 2 : at], "big")):
        at += step
        yield data[at:end].partition(b"\0")[0].decode("cp850")


READERS: dict[str, Callable[[Path], Iterator[Line]]] = {
    "flight-of-the-amazon-queen": queen,
    "beneath-a-steel-sky": sky,
    "drascula/en": drascula,
    "drascula/es": drascula,
}
