"""The command line as users meet it: the main job, and forty ways to get it wrong, each one line and an exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from facerig import cli
from facerig.curves import Curves
from facerig.rig import rig

RATE = 16_000


def facerig(*arguments: object) -> int:
    return cli.run([str(argument) for argument in arguments])


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    time = np.arange(RATE) / RATE
    samples = np.random.default_rng(0).standard_normal(RATE) * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1) * 0.2
    soundfile.write(tmp_path / "voice.wav", samples, RATE)
    return tmp_path / "voice.wav"


@pytest.mark.parametrize("suffix", [".csv", ".json", ".npz"])
@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60, 120])
def test_animate_writes_each_format_at_each_rate(voice: Path, suffix: str, fps: int, capsys: pytest.CaptureFixture[str],
                                                 ) -> None:
    out = voice.with_name(f"out{suffix}")
    assert facerig("animate", voice, "-o", out, "--fps", fps, "--model", "fake", "--json") == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])["done"]
    assert (done[0]["frames"], done[0]["fps"], done[0]["output"]) == (fps, fps, str(out))
    assert facerig("info", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == fps


@pytest.mark.parametrize(("name", "made"), [
    ("line v1.2.json", "line v1.2_take{}.json"), ("x.a2f.json", "x_take{}.a2f.json"), ("a2f.json", "a2f_take{}.json"),
    ("X.JSON", "X_take{}.JSON")])
def test_takes_are_counted_before_the_suffix(tmp_path: Path, name: str, made: str) -> None:
    from facerig.commands.animate import plan

    jobs = plan([tmp_path / "v.wav"], tmp_path / name, None, (0, 1))
    assert [job.target.name for job in jobs] == [made.format(1), made.format(2)]


@pytest.mark.parametrize("fps", [30, 60])
def test_live_link_csv_passes_the_independent_reader(voice: Path, fps: int, validators: Path) -> None:
    assert facerig("animate", voice, "-o", voice.with_name("out"), "--fps", fps, "--model", "fake") == 0
    out = voice.with_name("out") / "voice_1_facerig_cal.csv"
    judged = subprocess.run([sys.executable, validators / "v_llf_csv.py", out], capture_output=True, text=True)
    lines = judged.stdout.splitlines()
    assert judged.returncode == 0, judged.stdout
    assert not [line for line in lines if line.lstrip().startswith(("E ", "W ", "E:", "W:"))], judged.stdout


def test_one_bad_input_does_not_stop_the_rest(voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = voice.with_name("bad.wav")
    bad.write_bytes(b"no sound")
    out = voice.with_name("out")
    assert facerig("animate", bad, voice, "-o", out, "--format", "npz", "--model", "fake") == 3
    assert [path.name for path in out.iterdir()] == ["voice.npz"]
    assert "bad.wav: cannot be read as audio" in capsys.readouterr().err


def test_a_rig_and_an_own_map(voice: Path) -> None:
    out = voice.with_name("mh.npz")
    assert facerig("animate", voice, "-o", out, "--rig", "metahuman", "--model", "fake") == 0
    assert Curves.from_npz(out.read_bytes()).channels == rig("metahuman").names


def test_a_listener_hears_a_partner_and_where_he_is(voice: Path) -> None:
    """The file's own sound is silent: what moves otherwise than without a partner answers him."""
    time = np.arange(4 * RATE) / RATE
    voiced = np.sum([np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 9)], axis=0)
    talk = 0.1 * voiced * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    left, mono = voice.with_name("left.wav"), voice.with_name("mono.wav")
    soundfile.write(mono, talk, RATE)
    soundfile.write(left, np.stack([talk, 0.2 * talk], axis=1), RATE)
    soundfile.write(voice.with_name("silent.wav"), np.zeros(len(talk)), RATE)
    made = {}
    for name, more in (("alone", ()), ("talk", ("--partner", left)), ("mono", ("--partner", mono))):
        out = voice.with_name(f"{name}.npz")
        options = ("-o", out, "--model", "fake", "--rig", "facerig-full", *more)
        assert facerig("animate", voice.with_name("silent.wav"), *options) == 0
        made[name] = Curves.from_npz(out.read_bytes())
    assert not np.array_equal(made["mono"].values, made["alone"].values)
    turned, ahead = (made[name].values[-60:, made[name].channels.index("headYaw")].mean() for name in ("talk", "alone"))
    assert abs(turned - ahead) > 0.02
    assert facerig("animate", voice, voice, "--partner", voice) == 2
    assert facerig("animate", voice, "--partner", voice.with_name("none.wav"), "-o", voice.with_name("x.npz")) == 3


def test_rigs_info_doctor_and_bench_list_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("rigs", "rigs arkit", "rigs arkit --json", "rigs --json", "info --model fake", "doctor",
                    "doctor --json", "bench", "--version", "--help", "animate --help"):
        assert facerig(*command.split()) == 0
        assert capsys.readouterr().out.strip()


def test_python_dash_m(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "facerig", "animate", "absent.wav"], capture_output=True, text=True,
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)})
    assert done.returncode == 3
    assert done.stderr == "facerig: error: absent.wav: no such file\n"


# ---- forty mistakes ---------------------------------------------------------------------------------------------


def made(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name
    return make


def take(**changes: object) -> bytes:
    return Curves(("jawOpen",), 60, np.zeros((3, 1))).to_npz()


V = "VOICE"  # stands for a good file
MISTAKES: dict[str, tuple[list[object], int, str]] = {
    "no command": ([], 2, ""),
    "unknown command": (["animte", V], 2, "animte"),
    "unknown option": (["animate", V, "--speed", "2"], 2, "--speed"),
    "no input": (["animate"], 2, ""),
    "absent": (["animate", "absent.wav"], 3, "no such file"),
    "folder": (["animate", "."], 3, "is a folder"),
    "empty file": (["animate", made("e.wav", b"")], 3, "is empty"),
    "text as wav": (["animate", made("t.wav", b"hello " * 99)], 3, "cannot be read as audio"),
    "zeros as flac": (["animate", made("z.flac", bytes(999))], 3, "cannot be read as audio"),
    "text as mp4": (["animate", made("t.mp4", b"hello " * 99)], 3, "cannot be read as audio"),
    "cut wav": (["animate", made("c.wav", b"RIFF\x24\0\0\0WAVEfmt ")], 3, "cannot be read as audio"),
    "raw without a word": (["animate", made("r.raw", bytes(100))], 3, "s16le:16000:1"),
    "raw of odd length": (["animate", made("r.raw", bytes(99)), "--pcm", "s16le"], 3, "99 bytes"),
    "bad pcm": (["animate", V, "--pcm", "s17"], 2, "TYPE:RATE:CHANNELS"),
    "pcm rate": (["animate", V, "--pcm", "s16le:100"], 2, "100 Hz"),
    "fps word": (["animate", V, "--fps", "fast"], 2, "--fps"),
    "fps 29": (["animate", V, "--fps", "29"], 2, "24, 25, 30, 50, 60, 120"),
    "fps 0": (["animate", V, "--fps", "0"], 2, "got 0"),
    "fps negative": (["animate", V, "--fps", "-30"], 2, "got -30"),
    "unknown rig": (["animate", V, "--rig", "arkt"], 2, "arkit"),
    "unknown model": (["animate", V, "--model", "huge"], 6, "huge"),
    "model of text": (["animate", V, "--model", made("m.onnx", b"text")], 6, "m"),
    "block 0": (["animate", V, "--block", "0"], 2, "1 to 60"),
    "block 999": (["animate", V, "--block", "999"], 2, "1 to 60"),
    "smooth -1": (["animate", V, "--smooth", "-1"], 2, "0 to 12"),
    "smooth 99": (["animate", V, "--smooth", "99"], 2, "0 to 12"),
    "out to a dash": (["animate", V, "-o", "-"], 2, "/dev/stdout"),
    "in from a dash": (["animate", "-", "--pcm", "s16le"], 2, "/dev/stdin"),
    "unknown suffix": (["animate", V, "-o", "face.xyz"], 2, "xyz"),
    "unknown format": (["animate", V, "-o", "folder", "--format", "xyz"], 2, "xyz"),
    "two into one file": (["animate", V, V, "-o", "one.csv"], 2, "a folder"),
    "same target twice": (["animate", V, V, "-o", "folder"], 2, "two results would be written"),
    "out below a file": (["animate", V, "-o", "VOICE/x.csv", "--model", "fake"], 5, "cannot be written"),
    "absent map": (["animate", V, "--map", "absent.json", "--model", "fake"], 3, "absent.json"),
    "map of text": (["animate", V, "--map", made("m.json", b"not json"), "--model", "fake"], 3, "m.json"),
    "map of a list": (["animate", V, "--map", made("m.json", b"[1]"), "--model", "fake"], 3, "m.json"),
    "absent transcript": (["animate", V, "--transcript", "absent.txt", "--model", "fake"], 3, "absent.txt"),
    "transcript of zeros": (["animate", V, "--transcript", made("t.TextGrid", bytes(99))], 3, "t.TextGrid"),
    "one transcript for two": (["animate", V, "other.wav", "-o", "out", "--transcript", V], 2, "one input"),
    "info absent": (["info", "absent.csv"], 3, "absent.csv"),
    "info unknown suffix": (["info", made("a.xyz", b"1")], 2, "xyz"),
    "info broken npz": (["info", made("a.npz", b"PK\x03\x04 broken")], 3, "a.npz"),
    "info cut npz": (["info", made("a.npz", take()[:-9])], 3, "a.npz"),
    "info json text": (["info", made("a.json", b"{")], 3, "a.json"),
    "info json list": (["info", made("a.json", b"[]")], 3, "a.json"),
    "info json NaN": (["info", made("a.json", b'{"format": "facerig", "values": [[NaN]]}')], 3, "a.json"),
    "info csv of text": (["info", made("a.csv", b"just, some, words\n1, 2\n")], 3, "a.csv"),
    "info csv binary": (["info", made("a.csv", bytes(range(256)))], 3, "a.csv"),
    "info empty": (["info", made("a.csv", b"")], 3, "empty"),
    "rig unknown": (["rigs", "nosuch"], 3, "nosuch"),
    "rig empty": (["rigs", ""], 3, ""),
    "rig as a path": (["rigs", "../../etc/passwd"], 3, "passwd"),
    "decoder without encoder": (["train", "small", "--decoder"], 2, "--start FILE"),
    "mean of one": (["train", "small", "--mean", "VOICE"], 2, "two .safetensors files or more"),
    "mean of files that are not there": (["train", "--mean", "a.safetensors", "--mean", "b.safetensors"], 2, "b.saf"),
    "mean of no models": (["train", "--mean", V, "--mean", V], 6, ".json is missing"),
    "mean and a run": (["train", "--mean", V, "--mean", V, "--decoder", "--start", V], 2, "it is no run"),
    "train into a file": (["train", "tiny", "-o", lambda p: made("a", b"")(p) / "models"], 5, "a folder that can be"),
    "train seed": (["train", "tiny", "--seed", "-1"], 2, "0 or more"),
    "expression from": (["train", "--expression", "--batch", "2"], 2, "beside --batch', accepted: alone or"),
    "mean and the options of a run": (["train", "--mean", V, "--mean", V, "--batch", "2", "--seed", "3"], 2,
                                      "--mean: got 'beside --batch, --seed'"),
    "decoder and batch": (["train", "--decoder", "--start", V, "--batch", "2"], 2, "--decoder: got 'beside --batch'"),
    "behaviour of a model": (["eval", "--behaviour", "--model", "nosuch", "--no-baselines", "--quick"], 2,
                             "beside --model, --no-baselines', accepted: alone or with --quick, --json"),
    "emotion of sets": (["eval", "--emotion", "--sets", "nonsense"], 2, "--emotion: got 'beside --sets'"),
    "emotion and behaviour": (["eval", "--behaviour", "--emotion", "--quick"], 2, "beside --emotion"),
    "ear of a rival": (["eval", "--heard", "--rival", "x=/nope"], 2, "--heard: got 'beside --rival'"),
    "ear and head": (["train", "--heard", "--expression"], 2, "beside --expression"),
    "bench unknown": (["bench", "nosuch"], 2, "accepted"),
    "info model unknown": (["info", "--model", "nosuch"], 6, "nosuch"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_an_exit_code(name: str, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capfd: pytest.CaptureFixture[str]) -> None:
    arguments, code, reason = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    line = [str(a(tmp_path)) if callable(a) else str(a).replace("VOICE", str(voice)) for a in arguments]
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert facerig(*line) == code
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err + captured.out
    assert sorted(path.name for path in tmp_path.rglob("*")) == before, "something was left behind"
    if reason:
        assert captured.err.startswith("facerig: error: ")
        assert captured.err.count("\n") == 1
        assert reason in captured.err


def test_forty_mistakes() -> None:
    assert len(MISTAKES) >= 40


def test_a_fault_of_ours_is_one_line_too(voice: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("facerig.pipeline.Animator.load", broken)
    assert facerig("animate", voice) == 1
    assert "a fault of facerig's own: ZeroDivisionError: oops" in capsys.readouterr().err
    monkeypatch.setenv("FACERIG_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        facerig("animate", voice)


def test_interrupted_leaves_nothing(voice: Path, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    assert facerig("animate", voice, "-o", voice.with_name("out.csv"), "--model", "fake") == 130
    assert not voice.with_name("out.csv").exists()
    assert capsys.readouterr().err == "facerig: error: interrupted; nothing half-written is left\n"


def test_several_inputs_have_an_error_each_and_a_sum(voice: Path, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    bad = [tmp_path / "empty.wav", tmp_path / "text.wav"]
    for file, data in zip(bad, (b"", b"hello"), strict=True):
        file.write_bytes(data)
    assert facerig("animate", *bad, voice, "-o", tmp_path / "out", "--model", "fake") == 3
    *errors, last = capsys.readouterr().err.splitlines()
    assert [str(file) in line for file, line in zip(bad, errors, strict=True)] == [True, True]
    assert last == "2 of 3 could not be made; the others are there"
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_names_keep_their_letters_without_accents(voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = voice.rename(voice.with_name("Énoncé n°1 [fin].wav"))
    assert facerig("animate", odd, "--model", "fake") == 0
    assert re.search(r"/Enonce-n1-fin-[0-9a-f]{8}_1_facerig_cal\.csv ", capsys.readouterr().out)


def test_two_names_are_never_one_live_link_file(tmp_path: Path) -> None:
    from facerig.commands.animate import file_name

    names = ["take one", "take-one", "-take-one", "take.one", "こんにちは", "さようなら", "voice", "ana",
             "aña", "caf\udce9"]
    made = {name: file_name(tmp_path / f"{name}.wav", ".csv") for name in names}
    assert len(set(made.values())) == len(names)
    assert all(name.isascii() and name.count("_") == 3 for name in made.values())
    assert (made["take-one"], made["voice"]) == ("take-one_1_facerig_cal.csv", "voice_1_facerig_cal.csv")
    assert file_name(tmp_path / "take_one.wav", ".csv") == made["take-one"]  # as most takes are named
    assert made == {name: file_name(tmp_path / "elsewhere" / f"{name}.mp3", ".csv") for name in names}
    assert file_name(tmp_path / "こんにちは.wav", ".csv", 2) == made["こんにちは"].replace("_1_", "_2_")


# ---- nothing is written over what is read -----------------------------------------------------------------------


@pytest.mark.parametrize(("option", "name"), [
    ("--emotion", "voice.json"), ("--transcript", "voice.srt"), ("--map", "voice.json"), ("--style", "voice.json"),
    ("--head", "voice.glb"), ("--partner", "voice.json"),
])  # fmt: skip
def test_what_animate_reads_is_never_overwritten(option: str, name: str, voice: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """Refused before it is looked at: that it holds no such thing does not matter."""
    kept = voice.with_name(name)
    kept.write_text("edited by hand")
    out = "-o", voice.parent / "." / name  # the same file by another spelling
    emotion = ("--emotion", "happy") if option == "--style" else ()
    for target in (("--format", kept.suffix), out):
        if option == "--emotion":
            kept.write_text('[{"time": 0, "emotion": "happy"}]')
        assert facerig("animate", voice, option, kept, *target, *emotion, "--model", "fake") == 2
        assert f"would overwrite the file of {option}; give another name" in capsys.readouterr().err
    link = voice.with_name(f"link{kept.suffix}")
    link.symlink_to(kept)
    assert facerig("animate", voice, option, kept, "-o", link, "--model", "fake") == 2


def test_raw_samples_are_not_overwritten(tmp_path: Path) -> None:
    raw = tmp_path / "voice.json"
    raw.write_bytes(bytes(3200))
    assert facerig("animate", raw, "--pcm", "s16le", "-o", raw, "--model", "fake") == 2
    assert raw.read_bytes() == bytes(3200)


# ---- a name that cannot be read stops nothing -------------------------------------------------------------------

LONG = "n" * 304


def process(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    root = str(Path(__file__).resolve().parent.parent)
    return subprocess.run([sys.executable, "-m", "facerig", *arguments, "--model", "fake"], capture_output=True,
                          cwd=folder, env={**os.environ, "PYTHONPATH": root, **environment})


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is text")
def test_a_name_that_cannot_be_read_stops_no_other(voice: Path) -> None:
    odd = voice.with_name("caf\udce9.wav")  # Latin-1 bytes, as Python holds them
    odd.write_bytes(voice.read_bytes())
    out = voice.with_name("out")
    line = "animate", f"{LONG}.wav", odd.name, "voice.wav", "-o", "out", "--format", "npz", "--json"
    done = process(voice.parent, *line)
    assert done.returncode == 3
    errors = json.loads(done.stdout)["errors"]
    assert [error["exit_code"] for error in errors] == [3, 3]
    assert errors[0]["error"] == f"{LONG}.wav: cannot be read: File name too long"
    assert errors[1]["error"] == f"{odd.name}: cannot be read: its name is no text in utf-8; rename it"
    assert [path.name for path in out.iterdir()] == ["voice.npz"]


@pytest.mark.parametrize(("options", "code"), [
    (("--partner", f"{LONG}.wav"), 3), (("--head", LONG, "--format", "glb"), 2), (("--emotion", f"{LONG}.json"), 3),
    (("-o", LONG), 5), (("-o", f"{LONG}.npz"), 5), (("--transcript", f"{LONG}.txt"), 3), (("--map", f"{LONG}.json"), 3),
    (("--style", f"{LONG}.json"), 3), (("--emotion", f"happy:0.{LONG.replace('n', '1')}"), 0), (("--model", LONG), 6),
])  # fmt: skip
def test_a_name_that_is_too_long_is_no_fault_of_ours(options: tuple[str, ...], code: int, voice: Path,
                                                     monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(voice.parent)
    assert facerig("animate", voice, "--model", "fake", *options) == code
    assert "fault" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["", "--partner", "--head", "--emotion", "-o"])
def test_a_folder_that_may_not_be_entered(option: str, voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = voice.with_name("locked")
    locked.mkdir()
    locked.chmod(0)
    if os.access(locked, os.X_OK):
        pytest.skip("whoever runs this may enter every folder")
    try:
        named = [option, locked / "x.glb", "--format", "glb"] if option else [locked / "x.wav"]
        assert facerig("animate", voice, *named, "--model", "fake") in (2, 3, 5)
    finally:
        locked.chmod(0o700)
    assert "fault" not in capsys.readouterr().err


def test_a_terminal_of_few_letters_is_told_all_the_same(voice: Path) -> None:
    odd = voice.rename(voice.with_name("こんにちは é.wav"))
    for more in ([], ["--json"]):
        done = process(voice.parent, "animate", odd.name, "--format", "npz", *more, PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, b"")
        last = done.stdout.decode("ascii").splitlines()[-1]
        assert json.loads(last)["done"][0]["input"] == odd.name if more else "frames at 60 fps" in last


@pytest.mark.skipif(sys.platform != "linux", reason="devices of its own kind")
def test_curves_go_to_standard_output_by_its_devices_name(voice: Path) -> None:
    words = "animate", "voice.wav", "-o", "/dev/stdout", "--format", "json"
    done = process(voice.parent, *words)
    assert json.loads(done.stdout)["format"] == "facerig-curves"
    assert b"/dev/stdout  60 frames" in done.stderr
    (voice.parent / "sent.json").write_bytes(b"what was there\n")  # and stays, as by a shell's >>
    with (voice.parent / "sent.json").open("ab") as file:
        root = str(Path(__file__).resolve().parent.parent)
        subprocess.run([sys.executable, "-m", "facerig", *words, "--model", "fake"], stdout=file, cwd=voice.parent,
                       env={**os.environ, "PYTHONPATH": root}, check=True)
    assert (voice.parent / "sent.json").read_bytes() == b"what was there\n" + done.stdout
    for more in (["--takes", "2"], ["voice.wav"]):
        assert process(voice.parent, *words, *more).returncode == 2


@pytest.mark.skipif(sys.platform != "linux", reason="pipes of its own kind")
@pytest.mark.parametrize("arguments", [("formats",), ("style", "list"), ("export", "--help")])
def test_a_reader_that_went_away_is_no_mistake(arguments: tuple[str, ...]) -> None:
    """`facerig formats | head -1`: an end of the pipe that is closed before anything is written."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run([sys.executable, "-m", "facerig", *arguments], stdout=pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_leaves_the_old_file(voice: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    out = voice.with_name("out.csv")
    out.write_text("the last good take")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert facerig("animate", voice, "-o", out, "--model", "fake") == 5
    assert out.read_text() == "the last good take"
    assert [path.name for path in voice.parent.iterdir() if path.name.startswith(".")] == []
    assert "No space left" in capsys.readouterr().err


def test_every_command_stands_in_the_docs_and_has_a_help_text(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    page = (Path(__file__).resolve().parent.parent / "docs" / "CLI.md").read_text()
    commands = typer.main.get_command(cli.application()).commands  # type: ignore[attr-defined]
    assert {"animate", "info", "rigs", "convert", "bench", "doctor"} <= set(commands)
    for name in commands:
        assert f"facerig {name}" in page, name
        assert facerig(name, "--help") == 0
        assert len(capsys.readouterr().out) > 100


def test_the_table_of_the_face_holds_for_its_commands() -> None:
    import typer

    page = (Path(__file__).resolve().parent.parent / "docs" / "CLI.md").read_text().split("## The face")[1]
    every = re.findall(r"`(\w+)`", page.split("take the same words")[0])
    assert every == ["animate", "say", "batch", "live", "stream"]
    commands = typer.main.get_command(cli.application()).commands  # type: ignore[attr-defined]
    takes = {name: {option for each in command.params for option in each.opts} for name, command in commands.items()}
    for row in re.findall(r"^\| (`--.*)$", page, re.MULTILINE):
        options, what = row.split(" | ", 1)
        some = re.match(r"\(([a-z, ]+)\)", what)
        for option in re.findall(r"--\w+", options):
            assert not [n for n in (some[1].split(", ") if some else every) if option not in takes[n]], option


def test_no_help_text_loses_its_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich takes [word] for markup, and says nothing of it."""
    import typer

    def check(command: typer.core.TyperCommand, *path: str) -> None:
        assert facerig(*path, "--help") == 0
        shown = capsys.readouterr().out
        helps = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
        wanted = [word for text in helps for word in (text or "").replace("\\[", "[").split() if "[" in word]
        assert [word for word in wanted if word not in shown] == [], path
        for name, inner in getattr(command, "commands", {}).items():
            check(inner, *path, name)

    check(typer.main.get_command(cli.application()))
