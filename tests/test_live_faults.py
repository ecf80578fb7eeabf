"""What goes wrong while a face is live: microphones, sources among several, and people who are impatient."""

from __future__ import annotations

import io
import itertools
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from live_kit import Device, loop_of
from rich.console import Console

import exporters
from facerig import cli
from facerig.errors import AudioError
from facerig.files import write_file
from facerig.live.buffer import Buffer
from facerig.live.sinks import FileTarget
from facerig.live.view import View, summary
from unreal_bridge.clock import Clock
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose
from unreal_bridge.receive import Ear, Heard


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("source", ["VOICE", "mic"])
def test_a_long_lead_begins_all_the_same(source: str, voice: Path, device: Device,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    """Also where little may wait, as changes of the gains shall show soon."""
    gains = voice.with_name("gains.json")
    gains.write_text("{}")
    device.blocks, device.ends = [np.full((48_000, 1), 0.5, np.float32)], True
    command = ["live", source.replace("VOICE", str(voice)), "--gains", str(gains), "--lead", "60", "--to", "terminal",
               "--model", "fake", "--seconds", "2", "--json"]
    assert cli.run(command) == 0
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1])["faces"][0]["frames"] > 0
    assert told.err.count("no sound comes") == (source == "mic")


@pytest.mark.usefixtures("patient")
def test_what_breaks_one_of_several_faces_is_told_at_once_and_the_others_reported(
        voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = voice.with_name("bad.wav")
    soundfile.write(broken, np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    assert cli.run(["live", str(voice), str(broken), "--to", "terminal", "--model", "fake"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"{broken}: broken: ")
    assert said[1].startswith(f"{voice}: ")
    assert said[3].startswith(f"{broken}: broken, 0 frames")
    assert said[-1].startswith("facerig: error: ")
    assert sum("not a finite number" in line for line in said) == 2


def test_the_view_shows_what_is_wrong_with_a_source() -> None:
    buffer = Buffer()
    loop, _ = loop_of(buffer)
    loop.faces[0].feed.notes += ["first", "microphone: no sound comes", "microphone: sound comes again"]
    buffer.end(AudioError("ada.wav: is [damaged]"))
    loop.faces[0].fan = Fan([])
    out = io.StringIO()
    Console(file=out, width=100).print(View(loop).picture())
    assert "x: broken, 0 frames" in out.getvalue()
    assert "broken: ada.wav: is [damaged]" in out.getvalue()
    assert "sound comes again" in out.getvalue()
    assert "first" not in out.getvalue()  # the last ones are enough
    assert summary(loop, 1.0)["faces"][0]["error"] == "ada.wav: is [damaged]"


@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("command", ["live", "record"])
def test_no_ctrl_c_disturbs_the_writing(command: str, first: bool, voice: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a second one nor, where the work ended by itself, a first."""
    out, ticks, sent = voice.with_name("take.npz"), itertools.count(), threading.Event()
    send = FileTarget.send

    def noted(target: FileTarget, pose: Pose) -> int:
        sent.set()
        return send(target, pose)

    def until_sent(_: Clock) -> int:
        if first and sent.wait(0.01):
            signal.raise_signal(signal.SIGINT)
        return next(ticks)

    def frames(*_: object, **__: object) -> Iterator[tuple[Heard, float]]:
        yield Heard("vmc", np.full(61, 0.5, np.float32)), 0.0
        if first:
            signal.raise_signal(signal.SIGINT)

    def write_slowly(path: Path, data: bytes) -> Path:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        return write_file(path, data)

    monkeypatch.setattr(FileTarget, "send", noted)
    monkeypatch.setattr(Clock, "wait", until_sent)
    monkeypatch.setattr(Ear, "frames", frames)
    for place in ("facerig.live.sinks.write_file", "facerig.files.write_file"):
        monkeypatch.setattr(place, write_slowly)
    how = {"live": [str(voice), *(["--loop"] if first else []), "--to", str(out), "--model", "fake", "--lead", "1"],
           "record": ["vmc://127.0.0.1:0", "-o", str(out)]}
    assert cli.run([command, *how[command]]) == 0
    assert exporters.read(out).frames > 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
