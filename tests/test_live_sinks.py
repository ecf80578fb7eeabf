"""Targets that are no protocol: a take in a file, lines on standard output, the terminal; and --list."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from live_kit import rows

import exporters
from facerig import cli
from facerig.errors import OptionError
from facerig.live import sinks
from facerig.live.setup import SOURCES
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


def test_several_faces_get_a_file_each(tmp_path: Path) -> None:
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
