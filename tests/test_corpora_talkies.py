"""Voices and texts of old games: each format from a small file made here, unpacking, damaged files."""

from __future__ import annotations

import contextlib
import re
import struct
import wave
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.errors import InputError
from facerig.train.corpora import packages, prompts, rnc, talkies

# ---- packing --------------------------------------------------------------------------------------------------------


class Words:
    """What `rnc._Bits` reads: bits in words that are begun when their first bit is due, bytes between them."""

    def __init__(self) -> None:
        self.out, self.word, self.used = bytearray(), 0, 16

    def bits(self, value: int, count: int) -> None:
        for k in range(count):
            if self.used == 16:
                self.word, self.used = len(self.out), 0
                self.out += b"\0\0"
            self.out[self.word + self.used // 8] |= (value >> k & 1) << self.used % 8
            self.used += 1

    def coded(self, value: int) -> None:
        """Sixteen codes of four bits: code n is n, its highest bit first."""
        code = value.bit_length()
        self.bits(int(f"{code:04b}"[::-1], 2), 4)
        if code > 1:
            self.bits(value & ~(1 << (code - 1)), code - 1)


def packed(steps: Sequence[tuple[bytes, int, int]]) -> tuple[bytes, bytes]:
    """(file, what it holds) of literals, each followed by a copy (distance, length) but the last."""
    words, out = Words(), bytearray()
    words.bits(0, 2)
    for _ in range(3):
        words.bits(16, 5)
        for _ in range(16):
            words.bits(4, 4)
    words.bits(len(steps), 16)
    for k, (literals, distance, length) in enumerate(steps):
        words.coded(len(literals))
        words.out += literals
        out += literals
        if k < len(steps) - 1:
            near = min(distance, len(out))
            words.coded(near - 1)
            words.coded(length - 2)
            for _ in range(length):
                out.append(out[-near])
    return rnc.HEAD.pack(rnc.MAGIC, len(out), len(words.out), 0, 0, 0, 1) + bytes(words.out), bytes(out)


STEPS = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 300), st.integers(2, 80)), min_size=1)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_was_packed_comes_back(steps: list[tuple[bytes, int, int]]) -> None:
    file, held = packed(steps)
    assert rnc.unpacked(file) == held


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_damage_is_an_error_or_other_bytes(steps: list[tuple[bytes, int, int]], at: int, bad: bytes) -> None:
    file, _ = packed(steps)
    at = 4 + at % max(1, len(file) - 4)
    with contextlib.suppress(InputError):  # anything else fails
        rnc.unpacked(file[:at] + bad + file[at + len(bad) :])


def test_what_is_not_packed_comes_back_as_it_is() -> None:
    assert rnc.unpacked(b"\x80\x7f" * 50) == b"\x80\x7f" * 50


# ---- the games ------------------------------------------------------------------------------------------------------


def _said(text: str, align: int, at: int) -> bytes:
    """A text with its length, filled up to where the next one begins."""
    held = bytes([len(text)]) + text.encode()
    return held + bytes(-(at + len(held)) % align) if text else held


def _lines(lines: Sequence[tuple[int, str]], start: int) -> bytes:
    """What one side of a dialogue says, from there on."""
    out = b""
    for line, text in lines:
        out += struct.pack(">hh", 0, line)
        out += _said(text, 4, start + len(out))
    return out


def _queen(folder: Path) -> None:
    tree = bytes(talkies.LEVEL)
    start = talkies.BRANCHES + len(tree)
    joe = _lines([(9, "Fine.")], start)
    lines = [(7, "Hello there.*AO*XY00(237,112)How are you?"), (0x1F, "*FRWhat?")]
    person = _lines(lines, start + len(joe))
    dialogue = struct.pack(">5h", -1, 3, 5, 1, 2) + bytes(12) + struct.pack(">H", start + len(joe))
    talk = dialogue.ljust(talkies.BRANCHES, b"\0") + tree + joe + person
    texts = bytes(10)
    for text in ("*FL", "", "Look out!*04"):
        texts += _said(text, 2, len(texts))
    scene = struct.pack(">Hh", 0, 2) + bytes(4) + struct.pack(">H", 10) + texts[10:]
    files = {
        "AND1.DOG": bytes(talkies.HEADER) + talk,
        "C1A.CUT": bytes(talkies.HEADER) + scene,
        "QUEEN.JAS": bytes(talkies.HEADER) + struct.pack(">4H", 9, 9, 9, 2),
        "QUEEN2.JAS": b"It is a stone*24\r\nNo sound*02\r\nA door\r\n",
        "050007P1.SB": b"one", "050007P3.SB": b"two", "05001FP2.SB": b"three", "050009J1.SB": b"four",
        "C1A__021.SB": b"five", "JOE00411.SB": b"six", "JOE00431.SB": b"seven",
    }  # fmt: skip
    head = b"QTBLCEM10\0\0\0\1" + struct.pack(">H", len(files))
    at, table = len(head) + talkies.ENTRY.size * len(files), b""
    for name, held in files.items():
        table += talkies.ENTRY.pack(name.encode(), 1, at, len(held))
        at += len(held)
    (folder / "queen.1c").write_bytes(head + table + b"".join(files.values()))


def test_a_dialogue_a_scene_and_a_description(tmp_path: Path) -> None:
    _queen(tmp_path)
    assert sorted(line[:3] for line in talkies.queen(tmp_path)) == [
        ("050007P1", "Hello there.", b"one"),
        ("050007P3", "How are you?", b"two"),
        ("050009J1", "Fine.", b"four"),
        ("05001FP2", "What?", b"three"),
        ("C1A__021", "Look out!", b"five"),
        ("JOE00411", "It is a stone", b"six"),
    ]


def _letters(text: str) -> list[int]:
    """The bits of a text in the tree of the game."""
    codes: dict[str, list[int]] = {}

    def walk(node: talkies.Node, path: list[int]) -> None:
        if isinstance(node, str):
            codes.setdefault(node, path)
            return
        for bit in (0, 1):
            walk(node[bit], [*path, bit])

    walk(talkies._tree(talkies.TREE, 0)[0], [])
    return [bit for letter in text + "\0" for bit in codes[letter]]


def _sky(folder: Path, texts: Sequence[str], sounds: dict[int, bytes]) -> None:
    """A game of one section."""
    blocks = (len(texts) + 31) // 32
    bits: list[int] = []
    lengths = bytearray()
    steps = []
    for text in texts:
        own = _letters(text)
        own += [0] * (-len(own) % 16)  # eight steps of two bits
        bits += own
        steps.append(len(own) // 2)
        lengths.append(0x80 | len(own) // 16)
    table = b"".join(struct.pack("<H", sum(steps[32 * k : 32 * k + 32])) for k in range(blocks - 1))
    head = struct.pack("<HH", 4 + len(table), 4 + len(table) + len(lengths)) + table + bytes(lengths)
    held = head + bytes(int("".join(map(str, bits[k : k + 8])), 2) for k in range(0, len(bits), 8))
    files = {talkies.WRITTEN: (held, 0x80)}
    files |= {number: (bytes(talkies.PICTURE) + sound, 0) for number, sound in sounds.items()}
    disk, index = bytearray(bytes(16)), struct.pack("<I", len(files))
    for number, (content, flag) in files.items():
        at = len(disk) >> 4
        index += struct.pack("<H", number) + struct.pack("<I", at | 0x800000)[:3]
        index += struct.pack("<I", len(content) | flag << 16)[:3]
        disk += content + bytes(-len(content) % 16)
    (folder / "sky.dsk").write_bytes(bytes(disk))
    (folder / "sky.dnr").write_bytes(index)


def test_texts_of_two_blocks_and_packed_sounds(tmp_path: Path) -> None:
    texts = [f"Line {k % 5} is HERE." for k in range(40)]
    file, sound = packed([(bytes(range(100, 140)), 7, 30), (b"\x80" * 20, 1, 2)])
    _sky(tmp_path, texts, {talkies.SPOKEN: file, talkies.SPOKEN + 33: file, talkies.SPOKEN + 39: file})
    lines = list(talkies.sky(tmp_path))
    assert [line[:2] for line in lines] == [(f"{talkies.SPOKEN + k}", texts[k].lower()) for k in (0, 33, 39)]
    (tmp_path / "a.wav").write_bytes(lines[0][2])
    with wave.open(str(tmp_path / "a.wav")) as held:
        assert (held.getframerate(), held.readframes(1000)) == (11025, sound)


def _drascula(folder: Path, table: Sequence[str]) -> None:
    """Rooms that are no texts, then fifteen tables in six languages."""

    def texts(lines: Sequence[str]) -> bytes:
        out = bytes(2) + struct.pack(">H", talkies.ALIGNED)
        for line in lines:
            held = line.encode("cp850") + b"\0"
            held += bytes(-(len(held) + 2) % talkies.ALIGNED)
            out += bytes(2) + struct.pack(">H", len(held) + 4) + held
        return out + bytes(2)

    out = b"DRASCULA" + struct.pack(">40H", *range(40)) + struct.pack(">H", 6)
    for k in range(talkies.TABLES):
        out += struct.pack(">H", len(table) + 1)
        for language in range(6):
            held = texts([f"{line} {k} {language}" for line in table])
            out += struct.pack(">H", len(held)) + held
    (folder / "drascula.dat").write_bytes(out)


def test_a_table_in_its_own_language(tmp_path: Path) -> None:
    for language in ("en", "es"):
        folder = tmp_path / language
        folder.mkdir()
        _drascula(folder, ["NOT REALLY", "¿QUÉ?", "..."])
        for name in ("1", "2", "D2", "S1"):
            (folder / f"{name}.ALS").write_bytes(b"\x80" * 50)
        assert [line[:2] for line in talkies.drascula(folder)] == [
            ("1", f"not really 0 {talkies.TONGUES[language]}"),
            ("2", f"¿qué? 0 {talkies.TONGUES[language]}"),
            ("D2", f"¿qué? 1 {talkies.TONGUES[language]}"),
        ]


def test_unpacked_once_and_some_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    game = tmp_path / talkies.GAMES / "flight-of-the-amazon-queen"
    game.mkdir(parents=True)
    _queen(game)
    talkies.unpack(tmp_path)
    (game / "queen.1c").unlink()
    talkies.unpack(tmp_path)  # nothing to do
    monkeypatch.setattr(talkies, "APART", re.compile("05....P"))
    monkeypatch.setattr(packages, "roots", lambda: (tmp_path,))
    both = {voice.name: [name for name, _, _ in prompts._listed(voice)] for voice in prompts.VOICES}
    assert both["queen"] == ["050009J1", "C1A__021", "JOE00411"]
    assert both["queen-apart"] == ["050007P1", "050007P3", "05001FP2"]
    assert both["sky"] == []


@pytest.mark.parametrize("held", [b"", b"QTBL", b"QTBLCEM10\0\0\0\1\xff\xff" + bytes(40), bytes(500)])
def test_another_file_is_named(tmp_path: Path, held: bytes) -> None:
    game = tmp_path / talkies.GAMES / "flight-of-the-amazon-queen"
    game.mkdir(parents=True)
    (game / "queen.1c").write_bytes(held)
    with pytest.raises(InputError, match=r"queen|amazon"):
        talkies.unpack(tmp_path)
    assert not (game / talkies.TABLE).exists()


def test_no_tables_in_a_file_of_zeros(tmp_path: Path) -> None:
    folder = tmp_path / "en"
    folder.mkdir()
    (folder / "drascula.dat").write_bytes(bytes(3000))
    with pytest.raises(InputError, match="no tables"):
        list(talkies.drascula(folder))
