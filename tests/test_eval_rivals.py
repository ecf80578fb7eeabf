"""Rivals of the scoreboard: what their files say, which clips they are of, and what cannot be compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facerig.errors import InputError
from facerig.train.evaluate import report
from facerig.train.evaluate.events import runs
from facerig.train.evaluate.rivals import Rhubarb, check_rivals, covered, read_tsv
from facerig.train.evaluate.scoreboard import Options, evaluate
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.shown import lip_gap

SHAPES = "0.00\tX\n0.50\tA\n0.60\tD\n1.10\tX\n"


def rival(folder: Path, name: str = "r", stems: str = "a", text: str = SHAPES) -> Rhubarb:
    folder.mkdir(exist_ok=True)
    for stem in stems:
        (folder / f"{stem}.tsv").write_text(text)
    return Rhubarb(f"{name}={folder}")


def test_a_mouth_that_idles_claims_no_closure_though_its_lips_are_closed(tmp_path: Path) -> None:
    out = rival(tmp_path).run(Clip("toy/a", "toy", "en", "", np.zeros(32_000, np.float32), 16_000))
    assert [(event.start, event.end) for event in runs(out.contacts["bilabial"], 0.4)] == [
        (pytest.approx(0.5, abs=0.02), pytest.approx(0.6, abs=0.02))]
    assert out.curves is not None
    assert lip_gap(out.curves)[[5, 32, 80]].max() < 0.5


def test_the_mark_of_some_editors_before_utf8_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(SHAPES, "utf-8-sig")
    assert read_tsv(tmp_path / "a.tsv")[0] == (0.0, "X")


@pytest.mark.parametrize(("data", "message"), [
    (b"0.0\tX\n0.1\tA\xff\n", "cannot be read .*UTF-8"),
    (b"0.0\tX\n0.5\tA\n0.2\tB\n", "line 3: got 0.2 s, accepted: more than 0.5 s"),
    (b"0.0\tX\n0.0\tA\n", "line 2: got 0 s"),
    (b"-0.2\tX\n", "accepted: 0 s or more"),
])  # fmt: skip
def test_bad_files_are_refused_before_anything_is_computed(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(data)
    with pytest.raises(InputError, match=message):
        Rhubarb(f"r={tmp_path}")


def test_a_clip_given_twice_under_one_name_is_refused(tmp_path: Path) -> None:
    one, two = rival(tmp_path / "one", "r", "ab"), rival(tmp_path / "two", "r", "bc")
    with pytest.raises(InputError, match=r"got b both in .*one and in .*two"):
        check_rivals([one, two], "abc")
    check_rivals([one, rival(tmp_path / "two", "s", "bc")], "abc")
    check_rivals([one, rival(tmp_path / "three", "r", "c")], "abc")


def test_a_folder_that_fits_no_clip_is_refused_with_the_names_that_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"with z\.tsv and the like, accepted: .*2 clips of this run \(a\.tsv, b\.tsv"):
        check_rivals([rival(tmp_path, stems="z")], "ab")
    check_rivals([rival(tmp_path, stems="a")], "ab")
    check_rivals([rival(tmp_path)], [])  # no set is at hand, which is told by itself


def test_how_many_clips_a_rival_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = [rival(tmp_path / "one", "r", "ab"), rival(tmp_path / "two", "r", "c"), rival(tmp_path / "three", "s", "z")]
    assert covered(held, "abcd") == {"r": 3, "s": 0}
    result = {"model": "m", "sets": {"toy": {"language": "en", "clips": 4, "rivals": {"r": 3, "s": 4}, "systems": {}}}}
    report.show(result)
    said = capsys.readouterr().err
    assert "toy: r has 3 of 4 clips" in said
    assert "toy: s" not in said


def test_figures_say_what_was_left_out_and_whom_a_rival_met(shared_data: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shared_data / "emu" / "ae", tmp_path / "emu" / "ae")
    waves = sorted((tmp_path / "emu" / "ae").glob("*/*_bndl/*.wav"))
    waves[0].chmod(0o600)
    waves[0].write_bytes(waves[0].read_bytes()[:20_000])
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path))
    told: list[str] = []
    options = Options(("emu_ae", "ema"), "fake", (f"r={_one(tmp_path, waves[1].stem)}",), baselines=False)
    result = evaluate(options, warn=lambda lost: told.append(str(lost)))
    assert [row["name"] for row in result["left_out"]] == [f"emu_ae/{waves[0].stem}", "ema"]
    assert "cut short" in result["left_out"][0]["why"]
    assert told == [f"{row['name']}: left out: {row['why']}" for row in result["left_out"]]
    assert result["sets"]["emu_ae"]["clips"] == len(waves) - 1
    assert result["sets"]["emu_ae"]["rivals"] == {"r": 1}


def _one(folder: Path, stem: str) -> Path:
    path = folder / f"{stem}.tsv"
    path.write_text(SHAPES)
    return path
