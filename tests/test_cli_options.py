"""What several commands share: places that are looked at before the work, heads, and options that change nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import exporters
import facerig
from facerig import cli
from facerig.asking import Asked
from facerig.curves import Curves
from facerig.errors import CurvesError, OptionError
from facerig.live.setup import Plan
from facerig.rig import rig


def still(start: int = 0) -> Curves:
    names = rig("arkit").names
    return Curves(names, 60, np.zeros((3, len(names))), start)


def run(*arguments: object) -> int:
    return cli.run([str(argument) for argument in arguments])


@pytest.fixture
def place(voice: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a voice, a script and a table, where nothing may be animated."""
    folder = voice.parent
    lines = "".join(f"- {{who: {name}, audio: ada.wav}}\n" for name in ("anna", "ben"))
    (folder / "scene.yaml").write_text(f"version: 1\ncharacters: {{anna: {{}}, ben: {{}}}}\nlines:\n{lines}")
    (folder / "lines.csv").write_text("audio\nada.wav\n")
    monkeypatch.chdir(folder)
    return folder


def work(*_: object, **__: object) -> None:
    pytest.fail("work was done before the places were looked at")


@pytest.mark.parametrize(("arguments", "folder", "said"), [
    ("animate ada.wav -o d.npz", "d.npz", "d.npz: is a folder; give a file name"),
    ("animate ada.wav other.wav -o d.npz", "d.npz", "d.npz: is a folder; give a file name"),
    ("animate ada.wav -o out --format npz", "out/ada.npz", "ada.npz: is a folder"),
    ("export take.npz -o d.json", "d.json", "d.json: is a folder; give a file name"),
    ("say hello -o s7.wav --format npz", "s7.npz", "s7.npz: is a folder"),
    ("dialogue scene.yaml -o out --format npz", "out/ben.npz", "ben.npz: is a folder"),
    ("dialogue scene.yaml -o out --memory ada.wav", "", "cannot be written"),
    ("batch lines.csv --out ada.wav", "", "cannot be written"),
    ("style learn take.npz -o a.style.json", "a.style.json", "is a folder"),
    ("plot take.npz -o a.png", "a.png", "is a folder"),
    ("preview take.npz -o a.png", "a.png", "is a folder"),
])  # fmt: skip
def test_places_are_looked_at_before_the_work(arguments: str, folder: str, said: str, place: Path,
                                              monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    if folder:
        (place / folder).mkdir(parents=True)
    for name in ("session", "animate", "animate_source", "animate_said"):
        monkeypatch.setattr(f"facerig.pipeline.Animator.{name}", work)
    monkeypatch.setattr("facerig.transcript.speak.speak", work)
    monkeypatch.setattr("exporters.read", work)
    before = sorted(place.rglob("*"))
    model = ["--model", "fake"] if arguments.split()[0] in ("animate", "say", "dialogue", "batch") else []
    assert run(*arguments.split(), *model) == 5
    assert said in capsys.readouterr().err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("command", ["animate ada.wav -o x.csv", "say hello -o x.wav --command tts{text}{wav}",
                                     "dialogue scene.yaml -o out", "batch lines.csv -o out"])
def test_a_head_that_there_is_not_is_refused_by_every_format(command: str, place: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.rglob("*"))
    assert run(*command.split(), "--model", "fake", "--head", "nosuch") == 2
    assert "--head: no head 'nosuch'" in capsys.readouterr().err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("command", ["animate ada.wav -o x.csv", "dialogue scene.yaml -o out", "batch lines.csv -o out",
                                     "convert take.npz x.csv", "keys take.npz -o x.csv"])
def test_a_head_that_the_format_does_not_use_is_noted(command: str, place: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    (place / "take.npz").write_bytes(still().to_npz())
    model = [] if command.split()[0] in ("convert", "keys") else ["--model", "fake"]
    assert run(*command.split(), *model) == 0
    assert "--head" not in capsys.readouterr().err
    assert run(*command.split(), *model, "--head", "builtin") == 0
    assert ".csv does not heed --head; `facerig formats` says who does" in capsys.readouterr().err


def test_what_still_drops_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["animate", "ada.wav", "-o", "x.npz", "--model", "fake", "--set", "blink_rate=40", "--set", "gain:jaw=0.5"]
    assert run(*words, "--partner", "ada.wav") == 0
    assert "--still" not in capsys.readouterr().err
    assert run(*words, "--partner", "ada.wav", "--still") == 0
    assert "--still drops --set blink_rate, --partner: no behaviour runs" in capsys.readouterr().err
    words = ["--model", "fake", "--still", "--set", "pose:yaw=5"]
    for command in ("batch lines.csv -o out", "live ada.wav --to y.npz --no-view"):
        assert run(*command.split(), *words) == 0
        assert "--still drops --set pose:yaw" in capsys.readouterr().err


def test_a_negative_start_names_the_option_that_moves_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "take.npz").write_bytes(still(-5).to_npz())
    assert run("convert", "take.npz", "x.csv") == 3
    assert "facerig convert --start 0" in capsys.readouterr().err
    assert run("convert", "take.npz", "x.csv", "--start", "0") == 0


@pytest.mark.parametrize(("arguments", "said"), [
    ("live ada.wav", "--to: got none, accepted: at least one target"),
    ("live ada.wav --to foo", "a FILE (facerig formats), - or terminal"),
    ("live ada.wav --to nothing://x", "a FILE (facerig formats), - or terminal"),
    ("live ada.wav --to x.csv --block 0", "--block: got 0, accepted: a whole number from 1 to 60"),
    ("live a2f://127.0.0.1:1?audio=ada.wav --to x.csv --emotion contempt", "--emotion: got 'contempt', accepted"),
    ("stream ada.wav --describe adir", "--describe: got 'adir', accepted: a file name that ends in .json"),
    ("stream ada.wav --pacing lead:", "--pacing: got 'lead:', accepted"),
    ("stream ada.wav --pacing burst:20", "--pacing: got 'burst:20', accepted"),
    ("stream ada.wav --fps 0 --to x.csv", "fps: got 0"),
    ("stream ada.wav --rig nosuch", "--rig: no rig"),
    ("animate ada.wav --pcm s16le:0:1", "pcm: got 0 Hz"),
    ("live - --to x.csv --pcm s16le:0:1", "pcm: got 0 Hz"),
])  # fmt: skip
def test_wrong_values_are_named_as_they_were_typed(arguments: str, said: str, place: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments.split()) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert "[]" not in told
    assert "Path(" not in told
    assert not (place / "x.csv").exists()


def test_a_stream_looks_at_its_file_before_it_draws(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stream", "nosuch.wav", "--server", "127.0.0.1:1") == 3
    assert capsys.readouterr().err == "facerig: error: nosuch.wav: no such file\n"


def test_an_error_behind_the_bars_has_a_line_of_its_own(place: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    from facerig.client import Frame
    from facerig.errors import ServiceError

    def frames(*_: object, **__: object) -> object:
        yield Frame(0, (0.25,) * 52)
        raise ServiceError("the server went away")

    monkeypatch.setattr("facerig.client.simple.stream", frames)
    assert run("stream", "ada.wav") == 7
    assert "\nfacerig: error: the server went away\n" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"\0"])
def test_standard_input_without_a_sample_is_an_error(data: bytes, place: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("facerig.live.sources._raw_stdin", lambda: io.BytesIO(data))
    assert run("live", "-", "--to", "l.csv", "--no-view", "--pcm", "s16le:16000:1", "--model", "fake") == 3
    assert "standard input: holds no samples" in capsys.readouterr().err
    assert not (place / "l.csv").exists()


def test_a_block_of_a_plan_is_checked_however_it_comes() -> None:
    with pytest.raises(OptionError, match="1 to 60"):
        Plan(["ada.wav"], ["terminal"], block=0)


# ---- in Python ----------------------------------------------------------------------------------------------------


def test_wrong_types_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(CurvesError, match="curves: got NoneType, accepted: Curves"):
        facerig.save(None, tmp_path / "x.csv")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="emotion: got 3, accepted: text"):
        Asked(emotion=3).controls()  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="sets: got 'gain:jaw=1', accepted"):
        Asked("gain:jaw=1").controls()  # type: ignore[arg-type]
    (tmp_path / "base.npz").write_bytes(still().to_npz())
    for fps in ("x", 29.97, True):
        with pytest.raises(OptionError, match="accepted: 1 to 1000 frames a second"):
            exporters.read(tmp_path / "base.npz", fps=fps)  # type: ignore[arg-type]
    assert exporters.read(tmp_path / "base.npz", fps=np.int64(30)).fps == 30  # type: ignore[arg-type]
