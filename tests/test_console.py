"""What people read: tables that leave nothing out, in a terminal and in a pipe, and the sound devices of doctor."""

from __future__ import annotations

import builtins
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from facerig.cli import run
from facerig.console import table
from facerig.rig import rig

LONG = "CTRL_expressions_browRaiseOuterL"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 80 columns."""
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")


def test_every_name_of_a_rig_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rigs", "metahuman"]) == 0
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert [row[2].strip() for row in rows] == list(rig("metahuman").names)


@pytest.mark.usefixtures("terminal")
def test_names_are_whole_in_a_narrow_terminal_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rigs", "metahuman"]) == 0
    told = capsys.readouterr().out
    assert all(f" {name} " in told for name in rig("metahuman").names)
    assert "…" not in told
    assert run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert " prometheus_client " in told
    assert "…" not in told


@pytest.mark.usefixtures("terminal")
def test_what_is_too_wide_is_broken_and_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table("T", ("name", "what", "more"), [(LONG, "z" * 50, "a b c"), ("x", "y", "m" * 30)], whole=("name",))
    told = capsys.readouterr().out
    assert LONG in told
    assert (told.count("z"), told.count("…")) == (50, 0)


def test_a_row_is_a_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    table("T", ("name", "what"), [(LONG, "w" * 200), ("x", "[y] z")])
    told = capsys.readouterr().out
    assert "w" * 200 in told
    assert "[y] z" in told


@pytest.mark.usefixtures("terminal")
def test_a_heard_mixture_is_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    mixture = "angry:0.42,happy:0.37,fear:0.11,disgust:0.05"
    entry = {"time": 0.0, "sure": True, "emotion": mixture, "intensity": 0.5, "valence": 0.5, "arousal": 0.5,
             **dict.fromkeys(("neutral", "angry", "disgust", "fear", "happy", "sad", "boredom"), 0.1)}
    heard = SimpleNamespace(entries=lambda every: [entry])
    monkeypatch.setattr("facerig.emotion.listen.listen", lambda audio, blending: heard)
    assert run(["emotions", "a.wav"]) == 0
    assert mixture in capsys.readouterr().out


# ---- doctor's devices -----------------------------------------------------------------------------------------------


class Refused(Exception):
    pass


def asked(query: Callable[[], object]) -> SimpleNamespace:
    """A sounddevice that answers so."""
    return SimpleNamespace(query_devices=query, PortAudioError=Refused, __spec__=ModuleSpec("sounddevice", None))


def devices(*found: tuple[str, int, int]) -> SimpleNamespace:
    """One that finds devices of a name with so many channels in and out."""
    return asked(lambda: [{"name": name, "max_input_channels": into, "max_output_channels": out}
                          for name, into, out in found])


def told_by_doctor(capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert run(["doctor", "--json"]) == 0
    return text.partition("Sound devices")[2], json.loads(capsys.readouterr().out)["sound"]


def test_doctor_lists_microphones_and_loudspeakers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                                   ) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", devices(("USB mic", 1, 0), ("HDA: analog [0]", 2, 2)))
    text, listed = told_by_doctor(capsys)
    rows = [line.split("│")[1:3] for line in text.splitlines() if "│" in line]
    assert [(way.strip(), name.strip()) for way, name in rows] == [
        ("input (mic:NAME)", "USB mic"), ("input (mic:NAME)", "HDA: analog [0]"),
        ("output", "HDA: analog [0]")]
    assert listed == {"inputs": ["USB mic", "HDA: analog [0]"], "outputs": ["HDA: analog [0]"], "problem": ""}


def test_doctor_says_where_there_are_no_devices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                                ) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", devices())
    text, listed = told_by_doctor(capsys)
    assert text.count("none found") == 2
    assert listed == {"inputs": [], "outputs": [], "problem": ""}


@pytest.mark.parametrize(("error", "said"), [
    (ImportError("No module named 'sounddevice'"), 'sounddevice is not installed: pip install "facerig[live]"'),
    (OSError("PortAudio library not found"), "PortAudio is missing: apt-get install libportaudio2"),
])
def test_doctor_says_why_no_devices_can_be_listed(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name == "sounddevice":
            raise error
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", importing)
    text, listed = told_by_doctor(capsys)
    assert said in text
    assert listed == {"inputs": [], "outputs": [], "problem": said}


def test_a_portaudio_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise Refused("Error initializing PortAudio")

    monkeypatch.setitem(sys.modules, "sounddevice", asked(fail))
    text, listed = told_by_doctor(capsys)
    assert "Error initializing PortAudio" in text
    assert listed["problem"] == "PortAudio cannot list the devices: Error initializing PortAudio"
