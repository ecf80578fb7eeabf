"""The readers of real sets: when a segment ends, and files that are cut, empty, missing or of another kind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from facerig.errors import InputError
from facerig.train.corpora import base, builder, motion, pack, speech
from facerig.train.corpora.base import Lost, Made, Part, Row
from facerig.train.evaluate import sets
from facerig.train.teacher.measured import grid_clips, grid_names

LABELS = 'item [1]:\n name = "phones"\n xmin = 0\n xmax = 1\n intervals [1]:\n  xmin = 0\n  xmax = 1\n  text = "M"\n'
CLIPS = [f"LJ{k}" for k in range(8)]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set after LJSpeech's fashion: eight clips of a second, each labelled as one long m."""
    folder = tmp_path / "ljspeech"
    for name in ("audio", "textgrid"):
        (folder / name).mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    for name in CLIPS:
        soundfile.write(folder / "audio" / f"{name}.flac", noise, 16_000)
        (folder / "textgrid" / f"{name}.TextGrid").write_text(LABELS)
    (folder / "metadata.csv").write_text("".join(f"{name}|mm|mm\n" for name in CLIPS))
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path))
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def test_a_sentence_of_emu_begins_behind_its_pause(shared_data: Path) -> None:
    path = next((shared_data / "emu" / "dfg91").glob("*/*_bndl/*.wav"))
    timed = motion._dfg91(path).row.timed
    assert timed[0] == (0.0, 0.8799, "sil")
    assert timed[1] == (0.8799, 0.9399, "m")
    silence = [b - a for a, b, unit in timed if unit == "sil"]
    assert all(b > a for a, b, _ in timed)
    assert len(silence) > 1


def test_labels_of_the_articulograph_fit_the_measured_lips(shared_data: Path) -> None:
    from facerig.train.evaluate.motion import EmaMotion
    from facerig.train.evaluate.systems import taught

    assert shared_data.is_dir()
    clip = next(clip for clip in sets.load("ema") if clip.speaker == "dfg91")
    judge = EmaMotion()
    judge.add(clip, taught(clip))
    figures = judge.figures()["lips"]["clips"][clip.stem]
    assert figures["r"] > 0.5
    assert abs(figures["lag_ms"]) <= 50


@pytest.mark.parametrize(("break_it", "file"), [
    (cut, "audio/LJ2.flac"), (emptied, "audio/LJ2.flac"), (emptied, "textgrid/LJ2.TextGrid"),
    (os.remove, "textgrid/LJ2.TextGrid"),
])  # fmt: skip
def test_one_bad_file_costs_one_clip(break_it: object, file: str, reader: Path) -> None:
    assert callable(break_it)
    whole = [clip.id for clip in sets.load("ljspeech", 4)]
    assert whole == [f"ljspeech/{CLIPS[k]}" for k in (0, 2, 4, 6)]
    break_it(reader / file)
    bad: list[Lost] = []
    assert [clip.id for clip in sets.load("ljspeech", 4, lost=bad.append)] == [whole[0], *whole[2:]]
    assert [one.name for one in bad] == ["ljspeech/LJ2"]
    assert str(reader / "audio" / "LJ2.flac") in bad[0].why


def test_half_a_clip_is_no_clip(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000)
    for name, kind in (("a.wav", None), ("b.opus", "OPUS")):
        path = tmp_path / name
        soundfile.write(path, noise, 16_000, subtype=kind, format="OGG" if kind else None)
        assert len(speech.read_audio(path)[0]) == pytest.approx(48_000, abs=400)
        cut(path)
        with pytest.raises(InputError, match="cut short"):
            speech.read_audio(path)
    soundfile.write(tmp_path / "none.wav", noise[:0], 16_000)
    with pytest.raises(InputError, match="holds no sound"):
        speech.read_audio(tmp_path / "none.wav")


def test_a_set_without_its_index_is_left_out_whole(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (reader / "metadata.csv").unlink()
    assert sets.load("ljspeech") == []
    said = capsys.readouterr().err
    assert said.startswith("ljspeech: left out: ")
    assert "metadata.csv" in said
    assert sets.load("emodb") == []
    assert "emodb is absent" in capsys.readouterr().err


def test_a_cut_bundle_of_the_articulograph_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "emu" / "ema"
    folder.mkdir(parents=True)
    (folder / "one_bndl.json").write_text(json.dumps({"mediaFile": {"data": "AAAA"}})[:-9])
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path))
    (bad,) = motion._ema()
    assert isinstance(bad, Lost)
    assert bad.name == "ema/one_bndl"
    assert "JSONDecodeError" in bad.why


def test_a_cut_clip_of_grid_is_left_out(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = tmp_path / "grid"
    (grid / "audio").mkdir(parents=True)
    names = grid_names("train")[:3]
    for name in ("tracks.npz", "neutral.json", "phones", "words"):
        (grid / name).symlink_to(shared_data / "grid" / name)
    for name in names:
        shutil.copyfile(shared_data / "grid" / "audio" / f"{name}.opus", grid / "audio" / f"{name}.opus")
    cut(grid / "audio" / f"{names[1]}.opus")
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path))
    bad: list[Lost] = []
    assert [clip.name for clip in grid_clips("train", 3, bad.append)] == [names[0], names[2]]
    assert [one.name for one in bad] == [f"grid/{names[1]}"]


def test_damaged_tracks_are_a_set_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = tmp_path / "grid"
    for name in ("audio", "phones", "words"):
        (grid / name).mkdir(parents=True)
    (grid / "neutral.json").write_text("{}")
    (grid / "tracks.npz").write_bytes(b"PK\x03\x04 broken")
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path))
    assert "grid cannot be read" in sets.missing("grid")
    assert sets.load("grid") == []


def test_a_build_leaves_out_what_it_cannot_read_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("toy/a", "toy", "en", "s", "train", 16_000, 0.5, "hand", 1.0, [(0.0, 0.5, "p")])

    def unlisted() -> list[Made | Lost]:
        raise FileNotFoundError("metadata.csv is not there")

    parts = [Part("all", lambda: [Lost("toy/b", "b.flac: holds no sound"), Made(row, np.zeros(8000, np.int16))])]
    held = [base.Source("unlisted", [Part("all", unlisted)]), base.Source("toy", parts)]
    monkeypatch.setattr(builder, "all_sources", lambda hours, only="": held)
    builder.build(tmp_path, [], 1, 1.0)
    said = capsys.readouterr()
    assert "unlisted: part all cannot be made: metadata.csv is not there" in said.out
    assert "toy/b: left out: b.flac: holds no sound; put it right and remove" in said.err
    assert str(tmp_path / "toy" / "all.jsonl") in said.err
    assert [clip.id for clip in pack.load_packed(tmp_path).clips] == ["toy/a"]
