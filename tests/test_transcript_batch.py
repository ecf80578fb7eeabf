"""A transcript reaches the lips from the command line and from a batch, and a missing one changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import facerig
from facerig import cli

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo.wav"
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
