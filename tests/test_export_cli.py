"""facerig export, convert, keys and formats: what they write, what they refuse, what they print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from export_samples import ARKIT, take

import exporters
from exporters.fbx_container import MAGIC
from facerig.cli import application, run
from facerig.files import write_file
from facerig.rig import identify


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_file(tmp_path / "take.json", exporters.export(take(60, start=6), "json"))


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


def test_export_writes_what_the_suffix_says(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(source), "-o", str(tmp_path / "x.curves.fbx"), "--rig", "metahuman", "--json"]) == 0
    assert (tmp_path / "x.curves.fbx").read_bytes().startswith(MAGIC)
    assert run(["export", str(source), "-o", str(tmp_path / "x.anim"), "--keys", "--node", "face_BS"]) == 0
    text = (tmp_path / "x.anim").read_text()
    assert "fixed fixed" in text
    assert "jawOpen face_BS" in text
    assert "60 frames at 60 fps" in capsys.readouterr().out


def test_a_head_makes_a_scene(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("facerig.heads.builtin")
    assert run(["export", str(source), "-o", str(tmp_path / "x.glb"), "--head", "builtin", "--quantise"]) == 0
    read = exporters.read(tmp_path / "x.glb")
    kept = [name for name in ARKIT if name in read.channels]
    assert len(kept) > 40
    assert np.abs(read.select(kept).values - take(60).select(kept).values).max() < 1e-4


def test_a_format_that_needs_a_head_gets_the_built_in_one(source: Path, tmp_path: Path) -> None:
    for words in (["export", "{}", "-o"], ["convert", "{}"]):
        assert run([word.format(source) for word in words] + [str(tmp_path / "x.glb")]) == 0
        assert "jawOpen" in exporters.read(tmp_path / "x.glb").channels
        assert run([word.format(source) for word in words] + [str(tmp_path / "x.fbx")]) == 0
        assert (tmp_path / "x.fbx").stat().st_size < (tmp_path / "x.glb").stat().st_size / 10


@pytest.mark.parametrize(("suffix", "words", "told"), [
    ("json", ["--keys", "--bound", "0.1"], "--keys"), ("json", ["--quantise"], "--quantise"),
    ("csv", ["--fbx-version", "7500"], "--fbx-version"), ("npz", ["--node", "face", "--raw"], "--raw, --node"),
    ("curves.fbx", ["--bound", "0.1"], "--bound without --keys"), ("npz", ["--head", "builtin"], "--head"),
    ("json", ["--take", "1"], "--take"), ("wide.csv", ["--name", "me", "--no-joints"], "--name, --no-joints"),
    ("csv", ["--raw", "--take", "2"], ""), ("curves.fbx", ["--keys", "--bound", "0.1", "--name", "me"], ""),
])
def test_an_option_that_a_format_does_not_heed_is_told(source: Path, tmp_path: Path, suffix: str, words: list[str],
                                                       told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(source), "-o", str(tmp_path / f"x.{suffix}"), *words]) == 0
    wanted = f".{suffix} does not heed {told}; `facerig formats` says who does\n" if told else ""
    assert capsys.readouterr().err == wanted


def test_a_format_that_undoes_the_rig_says_so_and_counts_its_own(source: Path, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", str(source), str(tmp_path / "x.csv"), "--rig", "metahuman", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["channels"] == 61
    assert told.err.startswith("--rig: .csv holds the 61 channels of livelink-csv, whatever comes: metahuman is turned")
    assert run(["convert", str(source), str(tmp_path / "x.azure.json"), "--fps", "30", "--json"]) == 0
    found = printed(capsys)
    assert (found["channels"], found["fps"], found["frames"]) == (55, 60, 60)
    assert run(["export", str(source), "-o", str(tmp_path / "x.npz"), "--rig", "metahuman", "--json"]) == 0
    told = capsys.readouterr()
    assert (json.loads(told.out)["done"][0]["channels"], told.err) == (251, "")


def test_the_page_on_rigs_asks_for_what_it_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parent.parent
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.wav").symlink_to(root / "assets" / "demo.wav")
    page = (root / "docs" / "RIGS.md").read_text()
    asked = re.findall(r"^facerig (animate line.wav -o (\S+) --rig (\w+))$", page, re.MULTILINE)
    assert asked
    for words, out, rig in asked:
        assert run([*words.split(), "--model", "fake"]) == 0
        found = identify(exporters.read(out).channels)
        assert found is not None
        assert found.name == rig


def test_live_link_files_get_unreals_name(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["export", str(source), "-o", str(out), "--format", "csv", "--take", "4", "--subject", "Ann"]) == 0
    assert [path.name for path in out.iterdir()] == ["take_4_Ann_cal.csv"]
    assert run(["export", str(source), "-o", str(out / "my slate.csv"), "--take", "4", "--raw"]) == 0
    assert (out / "my-slate-6e3dd259_4_facerig_raw.csv").is_file()
    odd = write_file(tmp_path / "tëst é.json", source.read_bytes())
    assert run(["export", str(odd), "--take", "1", "--format", "csv", "-o", str(tmp_path / "u")]) == 0
    (made,) = (tmp_path / "u").iterdir()
    assert re.fullmatch(r"test-e-[0-9a-f]{8}_1_facerig_cal\.csv", made.name)


def test_a_folder_may_have_a_suffix(source: Path, tmp_path: Path) -> None:
    assert run(["export", str(source), "-o", str(tmp_path / "night.v2"), "--format", "npz"]) == 0
    assert [path.name for path in (tmp_path / "night.v2").iterdir()] == ["take.npz"]
    assert run(["export", str(source), "-o", str(tmp_path / "x.a2f.json"), "--format", "a2f.json"]) == 0
    assert (tmp_path / "x.a2f.json").is_file()


def test_the_sound_of_a_glb_is_never_overwritten(source: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    voice = write_file(tmp_path / "voice.wav", b"RIFF\x24\0\0\0WAVEfmt " + bytes(20))
    kept = voice.read_bytes()
    link = tmp_path / "link.glb"
    link.symlink_to(voice)
    for target in (["-o", str(voice), "--format", "glb"], ["-o", str(link)]):
        out = [*target, "--audio", str(voice), "--head", "builtin"]
        assert run(["export", str(source), *out]) == 2
        assert voice.read_bytes() == kept
    assert "overwrite the sound of --audio" in capsys.readouterr().err


def test_a_fit_and_a_style_write_scenes(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy")
    from facerig.heads.builtin import builtin_head
    from facerig.mesh import deform

    head = builtin_head()
    np.save(tmp_path / "verts.npy", deform(head, take(3, channels=("jawOpen",))))
    assert run(["fit", str(tmp_path / "verts.npy"), "-o", str(tmp_path / "fit.glb"), "--head", "builtin"]) == 0
    assert "jawOpen" in exporters.read(tmp_path / "fit.glb").channels
    assert run(["style", "learn", str(write_file(tmp_path / "long.json", exporters.export(take(360), "json"))), "-o",
                str(tmp_path / "a.style.json")]) == 0
    apply = ["style", "apply", str(source), "--style", str(tmp_path / "a.style.json"), "-o", str(tmp_path / "sa.glb")]
    assert run([*apply, "--head", "builtin"]) == 0
    assert exporters.read(tmp_path / "sa.glb").frames == 60


def test_many_inputs_go_to_a_folder(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_file(tmp_path / "other.npz", exporters.export(take(30), "npz"))
    assert run(["export", str(source), str(other), "-o", str(tmp_path / "o"), "--format", "a2f.csv", "--fps", "30",
                "--json"]) == 0
    done = printed(capsys)["done"]
    assert isinstance(done, list)
    assert [(Path(row["output"]).name, row["frames"], row["fps"]) for row in done] == [
        ("take.a2f.csv", 30, 30), ("other.a2f.csv", 15, 30)]


def test_one_bad_file_does_not_stop_the_rest(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, out = write_file(tmp_path / "bad.csv", b"no curves"), tmp_path / "o"
    also = write_file(tmp_path / "also.json", source.read_bytes())
    assert run(["export", str(bad), str(source), str(also), "-o", str(out), "--format", "npz", "--json"]) == 3
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert [Path(row["output"]).name for row in told["done"]] == ["take.npz", "also.npz"]
    assert [(error["exit_code"], "bad.csv" in error["error"]) for error in told["errors"]] == [(3, True)]
    assert captured.err.splitlines()[-1] == "1 of 3 could not be made; the others are there"


def test_convert_goes_both_ways(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = tmp_path / "x.csv", tmp_path / "y.npz"
    assert run(["convert", str(source), str(there), "--start", "0", "--json"]) == 0
    assert printed(capsys)["start"] == 0
    assert run(["convert", str(there), str(back), "--rig", "arkit"]) == 0
    read = exporters.read(back)
    assert (read.channels, read.start, read.fps) == (ARKIT, 0, 60)
    assert np.abs(read.values - take(60).values).max() < 1e-6
    assert run(["convert", str(back), str(tmp_path / "z.json"), "--fps", "24"]) == 0
    assert exporters.read(tmp_path / "z.json").fps == 24


@pytest.mark.parametrize("suffix", ["csv", "npz", "json", "a2f.json", "anim"])
def test_a_rate_of_the_input_keeps_its_frames_and_fps_its_seconds(source: Path, tmp_path: Path, suffix: str,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / f"x.{suffix}"
    assert run(["convert", str(source), str(there)]) == 0
    assert run(["convert", str(there), str(tmp_path / "y.json"), "--read-fps", "30", "--json"]) == 0
    told = printed(capsys)
    assert (told["frames"], told["fps"]) == (60, 30)
    assert run(["export", str(there), "-o", str(tmp_path / "z.npz"), "--read-fps", "30", "--fps", "60"]) == 0
    assert "120 frames at 60 fps" in capsys.readouterr().out


def test_keys_says_how_few(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", str(source), "--json", "-o", str(tmp_path / "x.json")]) == 0
    said = printed(capsys)
    assert 0 < float(str(said["share"])) < 0.5
    assert float(str(said["error"])) <= 0.02
    rebuilt = exporters.read(tmp_path / "x.json")
    assert 0 < np.abs(rebuilt.values - take(60).values).max() <= 0.02 + 1e-6
    assert run(["keys", str(source)]) == 0
    assert "jawOpen" in capsys.readouterr().out


def test_keys_that_all_channels_share_are_counted_so(source: Path, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    counted = {}
    for suffix in ("anim", "glb"):
        assert run(["keys", str(source), "--json", "-o", str(tmp_path / f"x.{suffix}"), "--head", "builtin"]) == 0
        counted[suffix] = printed(capsys)
    assert int(str(counted["glb"]["keys"])) % len(ARKIT) == 0
    assert float(str(counted["glb"]["share"])) > 1.5 * float(str(counted["anim"]["share"]))


def test_formats_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["formats", "--json"]) == 0
    assert printed(capsys).keys() == exporters.EXPORTERS.keys()
    assert run(["formats"]) == 0
    assert ".a2f.csv" in capsys.readouterr().out


def test_formats_names_options_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["formats", "--json"]) == 0
    named = {suffix: str(row["options"]).split() for suffix, row in printed(capsys).items()}  # type: ignore[index]
    assert named[".csv"] == ["--raw", "--take", "--subject"]
    assert named[".fbx"] == ["--no-joints", "--name", "--keys", "--fbx-version", "--bound"]
    typed = {option for command in typer.main.get_command(application()).commands["export"].params
             for option in command.opts}
    assert {option for options in named.values() for option in options} <= typed


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["export", "{s}", "-o", "{t}/x.docx"], 2, "accepted"),
    (["export", "{s}"], 2, "--format"),
    (["export", "{s}", "{s}", "-o", "{t}/x.csv"], 2, "accepted: a folder"),
    (["export", "{t}/none.json", "-o", "{t}/x.csv"], 3, "cannot be read"),
    (["export", "{s}", "-o", "{t}/x.glb", "--head", "none"], 3, "needs a head"),
    (["export", "{s}", "-o", "-"], 2, "/dev/stdout"),
    (["export", "{s}", "-o", "/dev/stdout"], 2, "--format: got none for /dev/stdout"),
    (["animate", "{t}/v.wav", "-o", "/dev/fd/1"], 2, "--format: got none for /dev/fd/1"),
    (["export", "{s}", "-o", "/dev/stdout", "--format", "csv", "--take", "1"], 2, "--take: names a file"),
    (["export", "{s}", "-o", "{t}/x.json", "--rig", "nonsense"], 2, "no rig"),
    (["export", "{s}", "-o", "{t}/x.fbx", "--fbx-version", "6100"], 2, "7400 or 7500"),
    (["export", "{s}", "-o", "{t}/x.fbx", "--keys", "--bound", "0"], 2, "keys"),
    (["export", "{s}", "-o", "{t}/x.glb", "--audio", "{s}"], 2, "no wav file"),
    (["export", "{s}", "-o", "{t}/x.glb", "--audio", "{t}/none.wav"], 3, "cannot be read"),
    (["export", "{s}", "-o", "{t}/x.csv", "--take", "1", "--subject", "a b"], 2, "subject"),
    (["export", "{s}", "--format", "json"], 2, "overwrite the input"),
    (["export", "{s}", "-o", "{t}/h.glb", "--head", "{t}/h.glb"], 2, "overwrite the file of --head"),
    (["export", "{s}", "-o", "{t}/wrong.json", "--format", "fbx"], 2, "which is .json; accepted"),
    (["animate", "{t}/v.wav", "-o", "{t}/wrong.json", "--format", "fbx"], 2, "which is .json; accepted"),
    (["animate", "{t}/v.wav", "{t}/w.wav", "-o", "{t}/x.v2"], 2, "accepted"),
    (["export", "{s}", "-o", "{t}/x.csv", "--subject", "Ann"], 2, "without --take"),
    (["fit", "{t}/none.npy", "-o", "{t}/fit.nope"], 2, "accepted"),
    (["fit", "{t}/none.npy", "-o", "{t}/fit.json", "--smooth", "-1"], 2, "--smooth: got -1.0"),
    (["style", "apply", "{s}", "--style", "{t}/none.style.json", "-o", "{t}/x.nope"], 2, "accepted"),
    (["convert", "{s}", "{t}/./take.json", "--fps", "24"], 2, "overwrite the input"),
    (["convert", "{s}", "{t}/m.json", "--map", "{t}/m.json"], 2, "overwrite the file of --map"),
    (["keys", "{s}", "-o", "{s}"], 2, "overwrite the input"),
    (["fit", "{t}/t.csv", "-o", "{t}/t.csv"], 2, "overwrite the input"),
    (["style", "apply", "{s}", "--style", "{t}/a.style.json", "-o", "{s}"], 2, "overwrite the input"),
    (["stream", "x.wav", "--emotion", "e.json", "--describe", "e.json"], 2, "overwrite the file of --emotion"),
    (["stream", "x.wav", "--emotion", "e.json", "--to", "e.json"], 2, "overwrite the file of --emotion"),
    (["export", "{s}", "-o", "{t}/x.flame.npz"], 3, "geometry"),
    (["export", "{s}", "-o", "{t}/x.json", "--fps", "0"], 2, "--fps: got 0, accepted: 1 to 1000"),
    (["convert", "{s}", "{t}/x"], 2, "accepted"),
    (["convert", "{s}", "{t}/x.csv", "--read-fps", "0"], 2, "1 to 1000 frames a second"),
    (["convert", "{s}", "{t}/x.srt"], 3, "no words"),
    (["convert", "{t}/none.csv", "{t}/x.json"], 3, "cannot be read"),
    (["keys", "{s}", "--bound", "2"], 2, "keys"),
    (["keys", "{s}", "--bound", "0"], 2, "--bound: got 0.0"),
    (["convert", "{s}", "{t}/x.json", "--fps", "0"], 2, "--fps: got 0, accepted: 1 to 1000"),
    (["fit", "{t}/none.npy", "-o", "{t}/fit.json", "--fps", "0"], 2, "--fps: got 0, accepted: 1 to 1000"),
    (["convert", "{s}", "{t}/x.json", "--rig", "nonsense"], 2, "--rig: no rig"),
    (["convert", "{s}", "{t}/x.json", "--head", "nobody"], 2, "--head: no head 'nobody'"),
    (["export", "{s}", "-o", "{t}/x.glb", "--head", "nobody"], 2, "--head: no head 'nobody'"),
    (["export", "{s}", "-o", "{t}/x.glb", "--head", "{t}/none.glb"], 3, "no head"),
    (["fit", "{t}/none.npy", "-o", "{t}/fit.json", "--head", "nobody"], 2, "--head: no head 'nobody'"),
    (["export", "{t}", "-o", "{t}/x.json"], 3, "is a folder; give a curves file (.csv"),
    (["info", "{t}"], 3, "is a folder; give a curves file (.csv"),
    (["info", "{t}/nosuch"], 3, "nosuch: cannot be read: No such file"),
    (["preview", "{s}", "-o", "{t}/x.png", "--fps", "0"], 2, "--fps: got 0, accepted: 1 to 1000"),
    (["export", "{s}", "-o", "{t}/take.json/x.csv"], 5, "cannot be written"),
])
def test_mistakes_are_one_line(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
                               code: int, said: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run([argument.format(s=source, t=tmp_path) for argument in arguments]) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err
    assert sorted(tmp_path.rglob("*")) == before
