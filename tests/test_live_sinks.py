"""Targets that are no protocol: a take in a file, lines on standard output, the terminal; and --list."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from live_kit import loop_of, rows

import exporters
from facerig import cli
from facerig.errors import OptionError, OutputError
from facerig.live import sinks
from facerig.live.buffer import Buffer
from facerig.live.setup import SOURCES
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose
from unreal_bridge.targets import SCHEMES


def test_a_take_has_a_row_for_every_frame_of_the_clock_and_holds_gaps(tmp_path: Path) -> None:
    target = sinks.FileTarget(tmp_path / "take.npz")
    assert target.send(Pose(None, 99)) == 0
    for frame, jaw in ((100, 0.25), (101, 0.5), (104, 0.75)):
        assert target.send(Pose(rows(1, jawOpen=jaw), frame)) == 1
    target.send(Pose(None, 105))
    assert not (tmp_path / "take.npz").exists()
    target.close()
    take = exporters.read(tmp_path / "take.npz")
    assert take["jawOpen"].tolist() == [0.25, 0.5, 0.5, 0.5, 0.75, 0.75]
    assert take.fps == 60


def test_nothing_is_written_where_nothing_was_sent(tmp_path: Path) -> None:
    sinks.FileTarget(tmp_path / "take.csv").close()
    assert not list(tmp_path.iterdir())


def test_lines_are_json_and_a_closed_pipe_is_an_error_of_the_target() -> None:
    out = io.StringIO()
    target = sinks.LinesTarget("Ada", out)
    target.send(Pose(rows(1, jawOpen=0.5), 7))
    target.send(Pose(None, 8))
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["subject"], first["frame"], first["weights"]["jawOpen"]) == ("Ada", 7, 0.5)
    assert second["weights"] is None
    out.close()
    with pytest.raises(sinks.OutputError):
        target.send(Pose(None, 9))


class Stream(io.StringIO):
    """Remembers what was written in one go; another thread may come in between."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.broken = broken

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError
        self.pieces.append(text)
        return len(text)


def test_lines_of_several_faces_are_not_torn() -> None:
    out = Stream()
    faces = [threading.Thread(target=lambda name=name: sinks.LinesTarget(name, out).send(Pose(rows(1), 7)))
             for name in "abcdef"]
    for face in faces:
        face.start()
    for face in faces:
        face.join(60)
    assert sorted(json.loads(piece)["subject"] for piece in out.pieces) == list("abcdef")
    assert all(piece.endswith("\n") for piece in out.pieces)


def test_a_reader_that_has_gone_ends_the_loop() -> None:
    buffer = Buffer()
    buffer.put(rows(10))  # and never another one: the loop would go on for ever
    loop, _ = loop_of(buffer)
    loop.faces[0].fan = Fan([sinks.LinesTarget("x", Stream(broken=True))])
    assert loop.run() > 0
    loop.close()


def test_every_take_is_written_where_another_cannot_be(tmp_path: Path) -> None:
    """A folder has come to be where the first take was to go."""
    loop, _ = loop_of(Buffer())
    other, _ = loop_of(Buffer())
    names = [tmp_path / name for name in ("one.npz", "two.npz", "three.npz")]
    one, two, three = map(sinks.FileTarget, names)
    loop.faces[0].fan, other.faces[0].fan = Fan([one, two]), Fan([three])
    for target in (one, two, three):
        target.send(Pose(rows(3), 7))
    names[0].mkdir()
    loop.faces = [*loop.faces, *other.faces]
    with pytest.raises(OutputError, match="is a folder"):
        loop.close()
    assert [exporters.read(path).frames for path in names[1:]] == [1, 1]


@pytest.mark.parametrize(("name", "code"), [("folder.csv", 5), ("file/take.csv", 5), ("take.glb", 3), ("take.srt", 3)])
def test_a_take_that_cannot_be_written_is_refused_before_the_clock_starts(
        name: str, code: int, voice: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (voice.parent / "folder.csv").mkdir()
    (voice.parent / "file").write_bytes(b"")
    monkeypatch.setattr("facerig.live.loop.LiveLoop.run", lambda *_: pytest.fail("the clock has started"))
    out = voice.with_name("good.csv")
    assert cli.run(["live", str(voice), "--to", str(voice.parent / name), "--to", str(out), "--model", "fake"]) == code
    assert "facerig: error: " in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("extra", [["--to", "ada.wav.npz"], ["--to", "gains.json", "--gains", "gains.json"],
                                   ["--to", "keys.json", "--emotion", "keys.json"],
                                   ["--to", "a.csv", "--to", "./a.csv"]])
def test_no_take_is_written_over_what_is_read_or_another_take(extra: list[str], voice: Path,
                                                              capsys: pytest.CaptureFixture[str],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(voice.parent)
    Path("ada.wav.npz").write_bytes(rows(5).to_npz())
    Path("gains.json").write_text('{"jawOpen": 0.5}')
    Path("keys.json").write_text('[{"time": 0, "emotion": "happy"}]')
    before = {path.name: path.read_bytes() for path in voice.parent.iterdir()}
    source = "ada.wav.npz" if "ada.wav.npz" in extra else "ada.wav"
    model = [] if source.endswith("npz") else ["--model", "fake"]
    assert cli.run(["live", source, *model, *extra, "--seconds", "0.2"]) == 2
    said = capsys.readouterr().err
    assert "would overwrite" in said or "two results" in said
    assert {path.name: path.read_bytes() for path in voice.parent.iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
@pytest.mark.usefixtures("at_a_terminal")
def test_a_signal_ends_a_live_face_and_its_take_is_there(number: int, voice: Path) -> None:
    out = voice.with_name("take.npz")
    command = [sys.executable, "-m", "facerig", "live", str(voice), "--loop", "--to", str(out), "--to", "-", "--model",
               "fake", "--no-view"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        for _ in range(3):
            running.stdout.readline()
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode == 0
    assert exporters.read(out).frames >= 3


def test_several_faces_get_a_file_each(tmp_path: Path) -> None:
    assert sinks.make(str(tmp_path / "a.unreal.csv"), "ada", 0, True).name == str(tmp_path / "a_ada.unreal.csv")
    assert sinks.make(str(tmp_path / "take.csv"), "ada", 0, True).name == str(tmp_path / "take_ada.csv")
    assert sinks.make(str(tmp_path / "take.csv"), "ada", 0, False).name == str(tmp_path / "take.csv")


@pytest.mark.parametrize(("text", "words"), [("take.xyz", ".csv"), ("127.0.0.1:11111", "livelink://"),
                                             ("x://y", "livelink://"), ("", "livelink://")])
def test_what_is_no_target_says_what_is(text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        sinks.make(text, "a", 0, False)


@pytest.mark.usefixtures("patient")
def test_what_was_sent_is_what_the_file_holds(voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = voice.with_name("take.npz")
    assert cli.run(["live", str(voice), "--to", str(out), "--to", "-", "--to", "terminal", "--model", "fake"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    take = exporters.read(out)
    assert take.frames >= 60  # more where the model was not ready in time and a frame went out again
    by_frame = {line["frame"]: line["weights"]["jawOpen"] for line in said}
    # Standard output has a thread of its own and may lose frames on a busy machine, the first ones too; those it has
    # are the file's.
    frames, wanted, written = np.array(sorted(by_frame)), [by_frame[k] for k in sorted(by_frame)], take["jawOpen"]
    places = frames - frames[0]
    assert any(np.allclose(written[places + first], wanted, atol=1e-5) for first in range(take.frames - places[-1]))
    assert max(by_frame.values()) > 0.05


def test_the_list_names_every_source_and_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["live", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name, _ in SOURCES)
    assert all(f"{name}://HOST:{row.port}" in out and row.about in out for name, row in SCHEMES.items())
