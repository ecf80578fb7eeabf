"""Tools that makers run with `python -m`: --help writes nothing, and a mistake is one line with an exit code."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from facerig.errors import InputError
from facerig.files import assets_folder
from facerig.tool import finished

# module -> what its help names: where it writes, or what it needs
TOOLS = {
    "facerig.client.lean": "--server", "facerig.client.load": "--server", "facerig.demo": "FOLDER",
    "facerig.heads.builtin.__main__": "--out", "facerig.train.corpora.__main__": "--cache",
    "facerig.train.evaluate.behaviour_pictures": "FOLDER", "facerig.train.evaluate.critics": "--out",
    "facerig.train.evaluate.emotion_pictures": "FOLDER", "facerig.train.expression": "--out",
    "facerig.train.habits": "--out", "facerig.train.heard": "--out", "facerig.train.purify": "--out",
    "facerig.train.teacher.calibrate": "--out",
}


def tool(module: str) -> object:
    if module.startswith("facerig.train"):
        pytest.importorskip("torch", reason="extra torch is not installed")
    return importlib.import_module(module)


def kept(*folders: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*")}


@pytest.mark.parametrize("module", TOOLS)
def test_help_tells_and_writes_nothing(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    main = tool(module).main  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    before = kept(tmp_path, assets_folder())
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: python -m {module.removesuffix('.__main__')} ")
    assert TOOLS[module] in told
    assert kept(tmp_path, assets_folder()) == before


@pytest.mark.parametrize(("module", "words", "code", "said"), [
    ("facerig.heads.builtin.__main__", ["nowhere"], 3, "nowhere: holds no folder ict_facekit and no folder makehuman"),
    ("facerig.demo", ["a.wav", "nowhere"], 3, "nowhere: holds no demo.json"),
    ("facerig.client.lean", ["--server", "x"], 2, "server: got 'x', accepted: HOST:PORT"),
    ("facerig.client.lean", ["--server", "127.0.0.1:1"], 7, "127.0.0.1:1: cannot be reached: "),
    ("facerig.client.load", ["--server", "x"], 2, "server: got 'x', accepted: HOST:PORT"),
    ("facerig.train.habits", ["--models", "nowhere"], 6, "model 'small': small.json is missing"),
    ("facerig.train.expression", ["--models", "nowhere"], 6, "model 'small': small.json is missing"),
    ("facerig.train.purify", ["--models", "nowhere"], 6, "model 'small': small.json is missing"),
    ("facerig.train.heard", ["--out", "out"], 3, "EMO-DB is not at hand; accepted: "),
    ("facerig.train.heard", ["--out", "file/x"], 5, "file/x/emotion.json: cannot be written"),
    ("facerig.train.teacher.calibrate", ["--out", "out"], 3, "GRID is not at hand; accepted: "),
    ("facerig.train.evaluate.critics", ["--out", "out"], 3, "no clips to train on; run `python -m "),
    ("facerig.train.evaluate.critics", ["--out", "file/x"], 5, "file/x/critics.json: cannot be written"),
])
def test_a_mistake_is_one_line_and_leaves_nothing(module: str, words: list[str], code: int, said: str, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                                  ) -> None:
    main = tool(module).main  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FACERIG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").write_bytes(b"no folder")
    before = kept(tmp_path, assets_folder())
    assert main(words) == code
    told = capsys.readouterr().err
    assert told.startswith(f"facerig: error: {said}")
    assert told.count("\n") == 1
    assert kept(tmp_path, assets_folder()) == before


@pytest.mark.parametrize("module", ["emotion_pictures", "behaviour_pictures"])
def test_pictures_go_where_they_are_asked_for(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = tool(f"facerig.train.evaluate.{module}")
    asked: list[Path] = []
    monkeypatch.setattr(pictures, "draw" if module == "emotion_pictures" else "draw_all", asked.append)
    assert pictures.main([str(tmp_path)]) == 0  # type: ignore[attr-defined]
    assert pictures.main([]) == 0  # type: ignore[attr-defined]
    assert asked == [tmp_path, Path("docs/img")]


def test_the_work_is_done_or_told(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise InputError("x: got\n2")

    def stopped() -> None:
        raise KeyboardInterrupt

    assert [finished(work) for work in (lambda: None, wrong, stopped)] == [0, 3, 130]
    assert capsys.readouterr().err.splitlines() == [
        "facerig: error: x: got 2", "facerig: error: interrupted; nothing half-written is left"]
