"""A transcript reaches the lips from the command line and from a batch, and a missing one changes nothing."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

import facerig
from facerig import cli

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo.wav"
GUIDE = DEMO.parent.parent / "docs" / "TRANSCRIPTS.md"
SAID = ("Hello! This is facerig. Bright brown bears may bump my big map, five fresh fish fly over the wave, "
        "and you choose whose shoes to use.")


def made(arguments: list[object]) -> None:
    assert cli.run([str(argument) for argument in arguments]) == 0


def test_batch_and_animate_say_the_same_with_a_transcript(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "said.txt").write_text(SAID)
    rows = ("audio,character,transcript,formats", f'{DEMO},ann,"{SAID}",npz', f"{DEMO},bob,,npz")
    (tmp_path / "lines.csv").write_text("\n".join(rows))
    made(["animate", DEMO, "-o", tmp_path / "plain.npz"])
    made(["animate", DEMO, "-o", tmp_path / "said.npz", "--transcript", tmp_path / "said.txt"])
    capsys.readouterr()
    made(["batch", tmp_path / "lines.csv", "--out", tmp_path / "out", "--json"])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert not [line["warnings"] for line in report["lines"] if line["warnings"]]
    first, second = sorted((tmp_path / "out").rglob("*.npz"))
    plain, said = facerig.load(tmp_path / "plain.npz"), facerig.load(tmp_path / "said.npz")
    assert {facerig.load(first), facerig.load(second)} == {plain, said}
    assert plain != said
    assert not plain.marks
    closures = sum(mark.kind == "phone" and mark.label in ("p", "b", "m") for mark in said.marks)
    assert closures == SAID.lower().count("b") + SAID.lower().count("m") + SAID.lower().count("p")


SUBTITLES = "1\n{0}:00:00,200 --> {0}:00:02,000\nHello there, my friend\n\n2\n00:01:00,0 --> 00:01:02,0\nunheard\n"


def test_subtitles_come_back_as_words(tmp_path: Path) -> None:
    (tmp_path / "said.srt").write_text(SUBTITLES.format("00"))
    made(["animate", DEMO, "-o", tmp_path / "found.srt", "--transcript", tmp_path / "said.srt"])
    words = facerig.load(tmp_path / "found.srt").marks
    assert [word.label for word in words] == ["Hello", "there,", "my", "friend"]
    assert all(one.end <= other.start for one, other in pairwise(words))
    assert words[-1].end < 60 * 3


@pytest.mark.parametrize("model", ["auto", "fake"])
@pytest.mark.parametrize(("name", "text", "message"), [
    ("late.srt", SUBTITLES.format("01"), "from 60.0 s, the sound has 8.1 s"),
    ("dots.txt", "... !!! ---", "no word that can be spoken"),
])  # fmt: skip
def test_a_transcript_of_nothing_that_is_heard_writes_nothing(
        name: str, text: str, message: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text(text)
    arguments = ["animate", DEMO, "-o", tmp_path / "out.csv", "--transcript", tmp_path / name, "--model", model]
    assert cli.run([str(argument) for argument in arguments]) == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_the_guides_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO, "talk.wav")
    Path("talk.srt").write_text(SUBTITLES.format("00"))
    phones = '"IntervalTier" "phones" 0 1 2 0 0.5 "M" 0.5 1 "AA1"'
    Path("talk.TextGrid").write_text(f'File type = "ooTextFile"\nObject class = "TextGrid"\n0 1 <exists> 1 {phones}\n')
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        exec(example, {})
