"""Transcripts from files: every format says the same, and faults are one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from facerig.errors import FacerigError, InputError, OptionError
from facerig.phones import Timed
from facerig.transcript.pronounce import by_letters, check_language, pronounced, read_as
from facerig.transcript.read import Word, parse, read_transcript

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.0
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.0
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.4
            text = "bob"
        intervals [2]:
            xmin = 0.4
            xmax = 1.0
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.0
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = "B"
        intervals [2]:
            xmin = 0.1
            xmax = 0.3
            text = "AA1"
        intervals [3]:
            xmin = 0.3
            xmax = 0.4
            text = "B"
        intervals [4]:
            xmin = 0.4
            xmax = 1.0
            text = "sil"
"""
SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
1.0
<exists>
1
"IntervalTier"
"phones"
0
1.0
4
0
0.1
"B"
0.1
0.3
"AA1"
0.3
0.4
"B"
0.4
1.0
""
'''
BOB = (Timed(0.0, 0.1, "b"), Timed(0.1, 0.3, "aa"), Timed(0.3, 0.4, "b"), Timed(0.4, 1.0, "sil"))
PHONES = [
    (".textgrid", LONG),
    (".textgrid", SHORT),
    (".ctm", "a 1 0.0 0.1 B\na 1 0.1 0.2 AA1\na 1 0.3 0.1 B\na 1 0.4 0.6 SIL\n"),
    (".lab", "0.0 0.1 B\n0.1 0.3 AA1\n0.3 0.4 B\n0.4 1.0 sil\n"),
    (".lab", "0 1000000 B\n1000000 3000000 AA1\n3000000 4000000 B\n4000000 10000000 sil\n"),
    (".json", '{"phones": [[0, 0.1, "B"], [0.1, 0.3, "AA1"], [0.3, 0.4, "B"], [0.4, 1.0, "sil"]]}'),
    (".json", '{"tiers": {"phones": {"entries": [[0, 0.1, "b"], [0.1, 0.3, "ɑ"], [0.3, 0.4, "b"], [0.4, 1, ""]]}}}'),
]
WORDS = [
    (".srt", "1\n00:00:01,500 --> 00:00:02,500\n<i>good morning</i>\n\n"),
    (".vtt", "WEBVTT\n\n00:01.500 --> 00:02.500\ngood morning\n"),
    (".ctm", "a 1 1.5 0.4 good\na 1 1.9 0.6 morning\n"),
    (".json", '{"segments": [{"words": [{"start": 1.5, "end": 1.9, "word": " good"}, {"start": 1.9, "end": 2.5, '
              '"word": " morning"}]}]}'),
    (".json", '{"segments": [{"start": 1.5, "end": 2.5, "text": " good morning"}]}'),
    (".json", '{"words": [{"start": 1.5, "end": 1.9, "text": "good"}, [1.9, 2.5, "morning"]]}'),
    (".jsonl", '{"time": 1500, "type": "word", "value": "good"}\n{"time": 1900, "type": "word", "value": "morning"}\n'),
    (".txt", "good morning\n"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "text"), PHONES)
def test_phones_of_every_format(suffix: str, text: str) -> None:
    found = parse(text, suffix).phones
    assert [t.unit for t in found] == [t.unit for t in BOB]
    np.testing.assert_allclose([t[:2] for t in found], [t[:2] for t in BOB], atol=1e-6)


@pytest.mark.parametrize(("suffix", "text"), WORDS)
def test_words_of_every_format(suffix: str, text: str) -> None:
    found = parse(text, suffix)
    assert found.text == "good morning"
    if suffix != ".txt":
        assert found.words[0].start == pytest.approx(1.5)
        assert 1.7 < found.words[0].end < 2.1


def tiers(*named: tuple[str, str]) -> str:
    """A short TextGrid; the labels of each tier lie a second each."""
    rows = []
    for name, labels in named:
        own = labels.split("|")
        rows.append(f'"IntervalTier" "{name}" 0 {len(own)} {len(own)}')
        rows += [f'{k} {k + 1} "{label}"' for k, label in enumerate(own)]
    return "\n".join(rows)


@pytest.mark.parametrize(("suffix", "text"), [
    (".textgrid", tiers(("words", "hi|<unk>|hi"), ("phones", "HH|spn|HH"))),
    (".textgrid", tiers(("words", "hi|<UNK>|hi"))),
    (".ctm", "a 1 0 1 HH\na 1 1 1 SPN\na 1 2 1 HH\n"),
    (".ctm", "a 1 0 0 <s>\na 1 0 1 hi\na 1 1 1 <unk>\na 1 2 1 hi\na 1 3 1 [noise]\na 1 4 1 </s>\n"),
    (".lab", "0.0 1.0 HH\n1.0 2.0 spn\n2.0 3.0 HH\n"),
    (".json", '{"phones": [[0, 1, "HH"], [1, 2, "spn"], [2, 3, "HH"]]}'),
    (".json", '{"words": [[0, 1, "hi"], [1, 2, "<unk>"], [2, 3, "hi"]]}'),
    (".json", '{"words": [[0, 2, "hello <unk>"], [2, 3, "hi"]]}'),
])
def test_what_is_said_and_unknown_is_neither_silence_nor_a_word(suffix: str, text: str) -> None:
    found = parse(text, suffix)
    assert found.unknown == ((1.0, 2.0),)
    assert {t.unit for t in found.phones} <= {"h"}
    assert {word.text for word in found.words} <= {"hi", "hello"}


@pytest.mark.parametrize("named", [
    (("ORT-MAU", "guten tag"), ("KAN-MAU", "gu:t@n ta:k"), ("MAU", "g|u:|<p:>")),
    (("Kandinsky - words", "guten tag"), ("Kandinsky - phones", "g|u:|")),
    (("phonological words", "guten tag"), ("phonetic transcription", "g|u:|")),
])
def test_a_tier_of_words_is_not_read_as_phones(named: tuple[tuple[str, str], ...]) -> None:
    found = parse(tiers(*named), ".textgrid")
    assert [t.unit for t in found.phones] == ["g", "uw", "sil"]
    assert found.text == "guten tag"


def test_characters_with_times() -> None:
    held = {"characters": list("hi yo"), "character_start_times_seconds": [0, 0.1, 0.2, 0.3, 0.4],
            "character_end_times_seconds": [0.1, 0.2, 0.3, 0.4, 0.5]}  # fmt: skip
    assert parse(json.dumps({"alignment": held}), ".json").words == (Word(0.0, 0.2, "hi"), Word(0.3, 0.5, "yo"))


def test_azure_visemes() -> None:
    rows = [{"audio_offset": 0, "viseme_id": 21}, {"audio_offset": 1_000_000, "viseme_id": 2}]
    found = parse(json.dumps(rows), ".json").phones
    assert found[0].unit in "pbm"
    assert found[1].start == pytest.approx(0.1)


def timed_rows(rows: list[tuple[float, float, str]], suffix: str) -> str:
    """The rows in a format."""
    lines = {".ctm": (f"f 1 {a} {b - a:.3f} {label}" for a, b, label in rows),
             ".lab": (f"{a} {b} {label}" for a, b, label in rows),
             ".textgrid": ('"IntervalTier" "phones" 0 9', str(len(rows)), *(f'{a} {b} "{c}"' for a, b, c in rows))}
    return "\n".join(lines[suffix])


@pytest.mark.parametrize(("labels", "spoken"), [
    ("sil m aɪ p ɛ sil", "m a ih p eh"), ("sil m aI p E", "m a ih p eh"), ("M AY1 P EH0", "m a ih p eh"),
    ("hh ax l ow", "h ax l o uh"), ("pau b ae t", "b ae t"), ("tʃ iː p", "ch iy p"),
])  # fmt: skip
def test_phones_of_any_notation_are_the_same_in_every_format(labels: str, spoken: str) -> None:
    rows = [(k / 2, k / 2 + 0.5, label) for k, label in enumerate(labels.split())]
    first, *others = [parse(timed_rows(rows, suffix), suffix) for suffix in (".textgrid", ".ctm", ".lab")]
    assert not first.words
    assert [t.unit for t in first.phones if t.unit != "sil"] == spoken.split()
    for other in others:
        assert [t.unit for t in other.phones] == [t.unit for t in first.phones]
        np.testing.assert_allclose([t[:2] for t in other.phones], [t[:2] for t in first.phones], atol=1e-3)


def test_labels_that_may_be_words_are_phones_in_a_lab_alone() -> None:
    for said in ("a I", "I see a big map", "oh er hello", "the cat sat"):
        rows = [(k / 2, k / 2 + 0.5, word) for k, word in enumerate(said.split())]
        assert parse(timed_rows(rows, ".ctm"), ".ctm").text == said
        assert bool(parse(timed_rows(rows, ".lab"), ".lab").phones) == (said == "a I")
    unknown = [(0.0, 1.0, "m"), (1.0, 2.0, "p"), (2.0, 3.0, "%%")]
    for suffix in (".ctm", ".lab"):
        with pytest.raises(InputError, match="phones %%: in none of"):
            parse(timed_rows(unknown, suffix), suffix)


CUES = ["", "Hello there", "one\ntwo", "<i>Rock &amp; roll</i>&nbsp;now", "[MUSIC] (laughs)\n- ANNA: hi\nBOB:\nyou"]


@pytest.mark.parametrize("gap", ["\n\n", "\n"])
@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_empty_cue_is_silent(empty: int, gap: str) -> None:
    said = ["Hello there", "my friend"]
    said.insert(empty, "")
    cues = [f"{k + 1}\n00:00:0{k},000 --> 00:00:0{k + 1},000\n" + (text + gap if text else "\n" * (len(gap) - 1))
            for k, text in enumerate(said)]  # fmt: skip
    found = parse("".join(cues), ".srt").words
    assert [word.text for word in found] == ["Hello", "there", "my", "friend"]
    assert [round(found[k].start) for k in (0, 2)] == [k for k in range(3) if k != empty]


def test_subtitles_hold_what_is_spoken_alone() -> None:
    cues = [f"00:0{k}.000 --> 00:0{k}.900 align:start\n{text}\n\n" for k, text in enumerate(CUES)]
    found = parse("WEBVTT - a film\n\nNOTE\nnothing\n\n" + "".join(cues), ".vtt")
    assert found.text == "Hello there one two Rock & roll now hi you"
    with pytest.raises(InputError, match=r"line 4: got '2 --> 3', accepted: times as"):
        parse("1\n00:00:01 --> 00:00:02\nhi\n2 --> 3\nyou", ".srt")
    assert parse("1\n00:00:01 --> 00:00:02\nleft --> right", ".srt").text == "left --> right"
    assert parse("12345\n" * 8000 + "00:00:01,0 --> 00:00:02,0\nhi", ".srt").text == "hi", "in no time"


ALIGNED = {"characters": ["h", "i"], "character_start_times_seconds": [0, 0.1],
           "character_end_times_seconds": [0.1, 0.2]}  # fmt: skip
HELLO = [{"word": "Hello", "start": 0.1, "end": 0.5}, {"word": "there", "start": 0.6, "end": 1.0}]
IN_2014 = [{"word": "In", "start": 0.1, "end": 0.5}, {"word": "2014"}, {"word": "we", "start": 1.5, "end": 1.9}]
DIALECTS = [
    ({"words": HELLO, "segments": [{"start": 0, "end": 2, "text": " Hello there"}]}, "Hello 0.1 0.5 there 0.6 1.0"),
    ({"words": HELLO, "segments": None}, "Hello 0.1 0.5 there 0.6 1.0"),
    ({"words": [], "segments": [{"start": 0, "end": 1.2, "text": " Hello there"}]}, "Hello 0.0 0.6 there 0.6 1.2"),
    ({"segments": [{"start": 0, "end": 2, "words": HELLO}]}, "Hello 0.1 0.5 there 0.6 1.0"),
    ({"segments": [{"words": IN_2014[:2]}, {"words": IN_2014[2:]}]}, "In 0.1 0.5 2014 0.59 1.41 we 1.5 1.9"),
    ({"words": IN_2014[1:]}, "2014 1.15 1.46 we 1.5 1.9"),
    ({"words": IN_2014[:2]}, "In 0.1 0.5 2014 0.54 0.85"),
    ({"words": [["", None, "Hello"]]}, None),
    ({"words": [{"word": "Hello"}, {"word": "there"}]}, "Hello 0 0 there 0 0"),
    ({"words": [{"start": 0, "end": 1}]}, None),
    ({"words": [{"word": "Hello", "start": 1, "end": 1}, {"word": "there", "start": 1, "end": 1.5}]},
     "Hello 1 1.02 there 1 1.5"),
    ({"words": [[0, 1.2, "Hello there"]]}, "Hello 0 0.6 there 0.6 1.2"),
    ({"alignment": ALIGNED, "normalized_alignment": None}, "hi 0 0.2"),
    ({"alignment": None, "normalized_alignment": ALIGNED}, "hi 0 0.2"),
]


@pytest.mark.parametrize(("held", "words"), DIALECTS)
def test_dialects_of_json(held: dict[str, object], words: str | None) -> None:
    if words is None:
        with pytest.raises(InputError, match="talk"):
            parse(json.dumps(held), ".json", "talk")
        return
    cells = words.split()
    found = parse(json.dumps(held), ".json").words
    assert [word.text for word in found] == cells[::3]
    np.testing.assert_allclose([word[:2] for word in found],
                               [(float(a), float(b)) for a, b in zip(cells[1::3], cells[2::3], strict=True)], atol=0.01)


def test_a_line_has_the_same_words_in_every_format() -> None:
    line = "my mother made pumpkin pie"
    held = ({"words": [[4, 6, line]]}, {"tiers": {"words": {"entries": [[4, 6, line]]}}},
            {"segments": [{"start": 4, "end": 6, "text": line}]})
    found = [parse(f'"IntervalTier" "text" 0 8 3 0 4 "" 4 6 "{line}" 6 8 "sil"', ".textgrid"),
             parse(f"1\n00:00:04,000 --> 00:00:06,000\n{line}\n", ".srt"),
             *(parse(json.dumps(one), ".json") for one in held)]
    assert all(one == found[0] for one in found)
    assert [word.text for word in found[0].words] == line.split()


@pytest.mark.parametrize(("suffix", "text", "message"), [
    (".doc", "x", "accepted: .TextGrid"),
    (".json", "{", "not a .json transcript"),
    (".json", "[" * 100_000, "not a .json transcript"),
    (".json", "{}", "no word and no phone"),
    (".json", '{"phones": [[0, 1, "%%"]]}', "name the notation"),
    (".json", '{"words": [[0, 1e12, "a"]]}', "accepted: seconds"),
    (".json", '{"words": [[0, NaN, "a"]]}', "accepted: seconds"),
    (".textgrid", '"IntervalTier" "phones" 0 1 5 0 1 "a"', "ends early"),
    (".textgrid", "nothing", "accepted: one named phones or words"),
    (".srt", "hello", "no word and no phone"),
    (".ctm", "a b c", "not a .ctm transcript"),
    (".txt", "  ", "no word"),
])  # fmt: skip
def test_faults_are_one_line_that_names_the_file(suffix: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(text, suffix, "talk")
    assert str(caught.value).startswith("talk")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".textgrid", ".srt", ".ctm", ".lab", ".json", ".jsonl", ".txt"])
def test_rubbish_gives_our_errors_only(suffix: str) -> None:
    rng = np.random.default_rng(3)
    pool = [LONG, SHORT, *(text for _, text in WORDS), *(text for _, text in PHONES)]
    for _ in range(60):
        text = list(pool[rng.integers(len(pool))])
        for _ in range(int(rng.integers(1, 20))):
            text[rng.integers(len(text))] = chr(rng.integers(32, 126))
        try:
            parse("".join(text), suffix)
        except FacerigError:
            continue


def test_files_in_utf16_and_wrong_ones(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_text(SHORT, encoding="utf-16")
    assert read_transcript(tmp_path / "a.TextGrid").phones[1].unit == "aa"
    (tmp_path / "b.txt").write_bytes(b"\xff\x00\x80")
    with pytest.raises(InputError, match="is not text"):
        read_transcript(tmp_path / "b.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_transcript(tmp_path / "none.txt")
    with pytest.raises(OptionError, match="notation"):
        read_transcript(tmp_path / "b.txt", "klingon")


def test_letters_keep_the_lips_right() -> None:
    assert by_letters("Bump") == ("b", "ah", "m", "p")
    assert by_letters("phone")[0] == "f"
    assert pronounced(["--", "mama"])[0] == ()
    assert pronounced(["Hello", "--", "---", "_", "my"]) == [pronounced(["Hello", "my"])[0], (), (), (),
                                                             pronounced(["Hello", "my"])[1]]  # fmt: skip
    assert [unit for unit in pronounced(["mama"])[0] if unit in "pbm"] == ["m", "m"]


@pytest.mark.parametrize(("word", "read"), [
    ("3.14", "3.14"), ("10:30.", "10:30"), ("(50%)", "50%"), ("$5,", "5$"), ("U.S.", "U.S"), ("and/or", "and or"),
    ("AT&T", "AT&T"), ("-5", "-5"), ("C++!", "C++"), ("“Nein!”", "Nein"), ("-Hi", "Hi"), ("well-known", "well-known"),
    ("1-800", "1 800"), ("Hello!Goodbye", "Hello Goodbye"), ("[[x]]", "x"), ("%", "%"), ("...", ""), ("_", ""),
    ("co\u00adop", "coop"), ("cafe\u0301", "café"), ("हिन्दी।", "हिन्दी"),
])
def test_signs_that_are_said_stay_and_others_go(word: str, read: str) -> None:
    assert read_as(word) == read


@pytest.fixture
def espeak() -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")


@pytest.mark.usefixtures("espeak")
def test_figures_and_signs_are_read_as_people_say_them() -> None:
    found = pronounced(["50%", "fifty", "percent", "3.5", "three", "point", "five", "$5", "dollar"])
    assert found[0] == found[1] + found[2]
    assert found[3] == found[4] + found[5] + found[6]
    assert found[7] == found[6] + found[8]


@pytest.mark.usefixtures("espeak")
def test_an_odd_character_leaves_the_other_words_theirs() -> None:
    words = ["Please", "meet", "my", "mother"]
    assert pronounced(["\u2460", *words]) == [(), *pronounced(words)]


@pytest.mark.usefixtures("espeak")
def test_a_language_that_nobody_speaks_is_refused() -> None:
    for told in (lambda: pronounced(["hello"], "qqq"), lambda: check_language("qqq")):
        with pytest.raises(OptionError, match="language: got 'qqq', accepted: one that espeak-ng speaks"):
            told()
    check_language("de")


def test_every_second_letter_that_no_rule_has_is_a_vowel() -> None:
    assert by_letters("здравствуйте") == ("ax",) * 6
