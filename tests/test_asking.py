"""What people type about the face: options and table columns become controls, takes differ, mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from facerig.asking import Asked, assignments, seeds
from facerig.cli import run
from facerig.controls import COLUMNS, CONTROLS, place
from facerig.curves import Curves
from facerig.errors import OptionError
from facerig.pipeline import Animator
from facerig.rig import rig


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    path = tmp_path / "voice.wav"
    soundfile.write(path, rng.standard_normal(16_000) * 0.2 * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1), 16_000)
    return path


def test_words_become_rows() -> None:
    row = Asked(("gain:jaw=0.5", "look:yaw=-20", "gain:jaw=0.7"), "happy:0.7,surprise:0.2", "whispered", "thinking"
                ).controls().rows(0, 1)[0]  # fmt: skip
    wanted = {"gain:jaw": 0.7, "look:yaw": -20, "emotion:happy": 0.7, "emotion:surprise": 0.2, "state:thinking": 1}
    for name, value in wanted.items():
        assert row[place(name)] == np.float32(value)
    assert row[place("style:0")] < 0


def test_keyframes_from_a_file_count_from_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "mood.json").write_text('[{"time": 0.5, "emotion": "sad:0.6", "fade": 0}]')
    rows = Asked(emotion="mood.json").controls(100, tmp_path).rows(100, 60)[:, place("emotion:sad")]
    assert np.array_equal(np.flatnonzero(rows), np.arange(30, 60))


def test_what_is_asked_for_holds_from_the_first_frame_and_keyframes_change_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "feel.json").write_text('[{"time": 0, "emotion": "happy:0.7"}, {"time": 4, "emotion": "neutral", '
                                        '"style": "whispered", "set": {"gain:jaw": 1.2}}]')
    asked = Asked(("gain:lips=1.5", "gain:jaw=0.5"), "feel.json", "lively", "thinking")
    rows = asked.controls(0, tmp_path).rows(0, 400)
    lively, whispered = (Asked(style=style).controls().rows(0, 1)[0] for style in ("lively", "whispered"))
    codes = slice(place("style:0"), place("style:7") + 1)
    assert (rows[:, place("gain:lips")] == 1.5).all()
    assert (rows[:, place("state:thinking")] == 1).all()
    assert (rows[:240, codes] == lively[codes]).all()
    assert (rows[260:, codes] == whispered[codes]).all()
    assert (rows[:240, place("gain:jaw")] == 0.5).all()
    assert rows[399, [place("gain:jaw"), place("emotion:happy")]].tolist() == [np.float32(1.2), 0]
    assert rows[200, place("emotion:happy")] == np.float32(0.7)


def test_who_asks_for_heard_is_listened_to(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('[{"time": 0, "set": {"heard": 0}}, {"time": 1, "set": {"heard": 0.5}}]')
    assert Asked(("heard=0.5",)).hears == Asked(("heard=0", "heard=1"), "happy:0.5").hears == "auto"
    assert Asked(("heard=0",)).hears == Asked(("gain:jaw=1",), "happy:0.5").hears == "off"
    assert Asked(emotion="keys.json").hearing(tmp_path) == "auto"


def test_the_control_heard_moves_the_face_as_auto_does(tmp_path: Path) -> None:
    demo = Path(__file__).parent.parent / "assets" / "demo.wav"

    def animated(*words: str) -> Curves:
        assert run(["animate", str(demo), "-o", str(tmp_path / "x.npz"), *words]) == 0
        return read(tmp_path / "x.npz")

    off, auto, asked = animated(), animated("--emotion", "auto"), animated("--set", "heard=1")
    assert np.array_equal(asked.values, auto.values)
    assert not np.array_equal(off.values, auto.values)


@pytest.mark.parametrize("text", ["", "off", "auto", " Auto "])
def test_off_and_auto_ask_for_nothing(text: str) -> None:
    asked = Asked(emotion=text)
    assert asked.controls().neutral
    assert asked.hears == ("auto" if "auto" in text.lower() else "off")


@pytest.mark.parametrize(("asked", "message"), [
    (Asked(("gain:jow=1",)), "did you mean gain:jaw"), (Asked(("gain:jaw",)), "NAME=VALUE"),
    (Asked(("gain:jaw=x",)), "a number"), (Asked(("gain:jaw=nan",)), "0 to 2"), (Asked(("gain:jaw=3",)), "0 to 2"),
    (Asked(emotion="hapy"), "did you mean happy"), (Asked(emotion="no.json"), "cannot be read"),
    (Asked(state="dancing"), "speaking, listening"), (Asked(style="whispring"), "did you mean whispered"),
])  # fmt: skip
def test_mistakes_say_what_is_accepted(asked: Asked, message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        asked.controls()
    assert type(caught.value).__module__ == "facerig.errors"


@pytest.mark.parametrize(("first", "takes"), [(-1, 1), (2**63, 1), (0, 0), (0, 101)])
def test_seeds_and_takes_have_ranges(first: int, takes: int) -> None:
    with pytest.raises(OptionError):
        seeds(first, takes)
    assert assignments(()) == {}


def read(path: Path) -> Curves:
    return Curves.from_npz(path.read_bytes())


def test_takes_of_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, voice = tmp_path / "out", tmp_path / "long.wav"
    soundfile.write(voice, np.random.default_rng(0).standard_normal(80_000) * 0.1, 8_000)  # ten seconds: blinks, surely
    assert run(["animate", str(voice), "-o", str(out / "a.npz"), "--model", "fake", "--seed", "5", "--takes", "2",
                "--json"]) == 0  # fmt: skip
    rows = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["done"]
    assert [(Path(row["output"]).name, row["seed"], row["take"]) for row in rows] == [
        ("a_take1.npz", 5, 1), ("a_take2.npz", 6, 2)]
    one, two = (read(out / f"a_take{k}.npz") for k in (1, 2))
    assert run(["animate", str(voice), "-o", str(out / "b.npz"), "--model", "fake", "--seed", "6"]) == 0
    assert read(out / "b.npz") == two
    mouth = [one.channels.index(name) for name in rig("facerig").region("jaw", "lips", "tongue")]
    assert np.array_equal(one.values[:, mouth], two.values[:, mouth])
    assert not np.array_equal(one.values, two.values)


def test_live_link_counts_takes_in_its_own_name(voice: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["animate", str(voice), str(voice.with_name("voice.wav")), "-o", str(out), "--model", "fake"]) == 2
    assert run(["animate", str(voice), "-o", str(out), "--model", "fake", "--takes", "2"]) == 0
    names = sorted(path.name for path in out.iterdir())
    assert len(names) == 2
    assert "_1_" in names[0]
    assert "_2_" in names[1]


def test_animate_does_what_is_asked(voice: Path, tmp_path: Path) -> None:
    common = ["--model", "fake", "--still"]
    assert run(["animate", str(voice), "-o", str(tmp_path / "a.npz"), *common]) == 0
    assert run(["animate", str(voice), "-o", str(tmp_path / "b.npz"), *common, "--set", "gain:jaw=0.5"]) == 0
    assert run(["animate", str(voice), "-o", str(tmp_path / "c.npz"), *common, "--state", "off"]) == 0
    plain, half, off = (read(tmp_path / f"{name}.npz") for name in "abc")
    assert plain.channels == rig("facerig").names
    assert np.allclose(half["jawOpen"], plain["jawOpen"] / 2)
    assert plain.values.any()
    assert not off.values.any()


def test_a_preset_comes_on_top(voice: Path, tmp_path: Path) -> None:
    common = ["--model", "fake", "--set", "gain:jaw=0.5"]
    assert run(["animate", str(voice), "-o", str(tmp_path / "a.npz"), *common]) == 0
    assert run(["animate", str(voice), "-o", str(tmp_path / "b.npz"), *common, "--preset", "hesitant"]) == 0
    plain, hesitant = (read(tmp_path / f"{name}.npz") for name in "ab")
    assert np.array_equal(plain["jawOpen"], hesitant["jawOpen"])
    assert plain != hesitant


@pytest.mark.parametrize("option", [["--set", "gain:jaw=9"], ["--emotion", "hapy"], ["--state", "x"], ["--takes", "0"],
                                    ["--preset", "hesistant"]])
def test_mistakes_write_nothing(voice: Path, tmp_path: Path, option: list[str]) -> None:
    before = sorted(tmp_path.iterdir())
    assert run(["animate", str(voice), "-o", str(tmp_path / "a.npz"), "--model", "fake", *option]) == 2
    assert sorted(tmp_path.iterdir()) == before


def test_info_lists_every_control(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--controls", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["controls"]
    assert [row["name"] for row in listed] == list(COLUMNS)
    assert all(row["what"] for row in listed)
    assert run(["info", "--controls"]) == 0
    shown = capsys.readouterr().out
    assert all(control.name in shown for control in CONTROLS)


def test_batch_lines_ask_for_themselves(voice: Path, tmp_path: Path) -> None:
    table = tmp_path / "lines.csv"
    table.write_text("audio,character,emotion,Seed,gain:jaw,State\nvoice.wav,a,,,,\nvoice.wav,b,sad:0.5,4,0.5,\n"
                     "voice.wav,c,,,,off\nvoice.wav,d,hapy,,,\nvoice.wav,e,,x,,\n")  # fmt: skip
    out, common = tmp_path / "out", ["--format", "npz", "--model", "fake", "--still"]
    assert run(["batch", str(table), "-o", str(out), *common]) == 3
    report = json.loads((out / "report.json").read_text())
    assert [row["status"] for row in report["lines"]] == ["done", "done", "done", "failed", "failed"]
    plain, half, off = (read(out / name / "voice.npz") for name in "abc")
    assert np.allclose(half["jawOpen"], plain["jawOpen"] / 2)
    assert not off.values.any()
    expected = Animator.load("fake", alive=False).animate(voice, controls=Asked(("gain:jaw=0.5",)).controls(), seed=4)
    assert np.array_equal(half.values, expected.values)
    table.write_text(table.read_text().replace("b,sad:0.5,4,0.5", "b,sad:0.5,4,0.25"))
    run(["batch", str(table), "-o", str(out), *common])
    report = json.loads((out / "report.json").read_text())
    assert [row["status"] for row in report["lines"]] == ["skipped", "done", "skipped", "failed", "failed"]


def test_a_mixture_may_be_longer_than_a_files_name(voice: Path, tmp_path: Path) -> None:
    mixture = f"happy:0.{'1' * 304}"
    table = tmp_path / "lines.csv"
    table.write_text(f"audio,emotion\nvoice.wav,{mixture}\n")
    assert run(["batch", str(table), "-o", str(tmp_path / "out"), "--emotion", mixture, "--model", "fake"]) == 0
