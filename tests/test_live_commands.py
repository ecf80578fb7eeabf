"""facerig live and facerig record end to end, the view, and the bench's figures."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from live_kit import Seen, loop_of, rows

import exporters
from facerig import cli
from facerig.live.buffer import Buffer
from facerig.live.view import View, bars, summary, target_rows
from unreal_bridge import livelink
from unreal_bridge.clock import Clock
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose
from unreal_bridge.receive import LISTENERS, Heard, Recorder
from unreal_bridge.targets import make

# ---- recording ----------------------------------------------------------------------------------------------------


def note(frame: int, value: float | None = 0.5, subject: str = "A", fps: int = 60) -> Heard:
    values = None if value is None else np.full(61, value, np.float32)
    return Heard(subject, values, frame, fps)


def test_recorder_lays_frames_on_the_senders_grid_and_holds_gaps() -> None:
    recorder = Recorder()
    for frame, value in ((100, 0.1), (101, 0.2), (104, 0.5), (103, 0.9), (104, 0.9), (105, None)):
        recorder.add(note(frame, value), 0.0)
    recorder.add(note(106, 0.7, "B"), 0.0)
    take = recorder.curves()
    assert take["JawOpen"].tolist() == pytest.approx([0.1, 0.2, 0.2, 0.2, 0.5, 0.5])
    assert (recorder.held, recorder.late, recorder.foreign) == (2, 2, 1)


def test_recorder_goes_on_when_the_sender_begins_anew() -> None:
    recorder = Recorder()
    for frame in (5_000_000, 5_000_001, 3, 4):
        recorder.add(note(frame), 0.0)
    assert (len(recorder.rows), recorder.held) == (4, 0)


def test_recorder_without_frame_numbers_goes_by_arrival() -> None:
    recorder = Recorder()
    for when in (0.0, 0.017, 0.034, 0.1):
        recorder.add(Heard("vmc", np.zeros(61, np.float32)), when)
    assert (len(recorder.rows), recorder.held) == (7, 3)


@pytest.mark.parametrize("scheme", sorted(LISTENERS))
def test_what_is_sent_is_recorded_as_it_was(scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A target of ours into facerig record, over the wire, and into a CSV."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    out, codes, tick = tmp_path / "take.csv", [], threading.Event()
    address = f"{scheme}://127.0.0.1:{free}"
    command = ["record", address, "-o", str(out), "--seconds", "0.4", "--json"]
    recording = threading.Thread(target=lambda: codes.append(cli.run(command)))
    recording.start()
    target, frame = make(address), 1000
    while recording.is_alive():
        target.send(Pose(rows(1, jawOpen=0.5, mouthLeft=0.25), frame))
        frame += 1
        tick.wait(1 / 60)
    target.close()
    assert codes == [0]
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["bad"], figures["foreign"], figures["frames"] > 0) == (0, 0, True)
    take = exporters.read(out)
    assert take["JawOpen"].tolist() == pytest.approx([0.5] * take.frames, abs=0.005)
    assert take["MouthLeft"].tolist() == pytest.approx([0.25] * take.frames, abs=0.005)


# ---- commands -----------------------------------------------------------------------------------------------------


def test_two_faces_from_one_process_have_their_own_subjects(voice: Path, ear: socket.socket,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    bob = voice.with_name("bob.wav")
    bob.write_bytes(voice.read_bytes())
    target = f"livelink://127.0.0.1:{ear.getsockname()[1]}"
    assert cli.run(["live", str(voice), str(bob), "--to", target, "--model", "fake", "--seconds", "1", "--json"]) == 0
    packets: list[livelink.Packet] = []
    while {packet.subject for packet in packets} != {"ada", "bob"}:  # whose model is ready first begins first
        packets.append(livelink.decode(ear.recv(2048)))
    assert len({packet.device for packet in packets}) == 2
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [face["targets"][0]["failed"] for face in figures["faces"]] == [0, 0]


@pytest.mark.usefixtures("patient")
def test_live_ends_with_the_file_and_reports(voice: Path, ear: socket.socket,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    target = f"livelink://127.0.0.1:{ear.getsockname()[1]}/Ada"
    assert cli.run(["live", str(voice), "--to", target, "--model", "fake"]) == 0
    told = re.search(r"(\d+) frames.*?(\d+) sent, (\d+) dropped, 0 failed", capsys.readouterr().err, re.DOTALL)
    assert told is not None
    frames, sent, dropped = map(int, told.groups())
    assert sent > dropped  # those that came while the address was looked up
    assert frames == sent + dropped >= 60  # more where the model was not ready in time and a frame went out again


def test_ctrl_c_ends_a_live_face_well(voice: Path, ear: socket.socket, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(40))

    def wait(_: Clock) -> int:
        for tick in ticks:
            return tick
        raise KeyboardInterrupt

    monkeypatch.setattr(Clock, "wait", wait)
    target = f"livelink://127.0.0.1:{ear.getsockname()[1]}"
    assert cli.run(["live", str(voice), "--to", target, "--model", "fake", "--loop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["faces"][0]["frames"] <= 40


@pytest.mark.parametrize(("arguments", "code"), [
    (["live", "VOICE"], 2),
    (["live", "VOICE", "--to", "nothing://x"], 2),
    (["live", "absent.wav", "--to", "livelink://127.0.0.1"], 3),
    (["live", "absent.npz", "--to", "livelink://127.0.0.1"], 3),
    (["live", "VOICE", "VOICE", "--to", "livelink://127.0.0.1"], 2),
    (["live", "-", "-", "--to", "livelink://127.0.0.1"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--seconds", "0"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--lead", "0"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--gains", "absent.json"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--offset-ms", "1e9"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--model", "nowhere/none"], 6),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--server", "nowhere"], 2),
    (["record", "vmc://127.0.0.1", "-o", "x.nothing"], 2),
    (["record", "osf://127.0.0.1", "-o", "x.csv"], 2),
    (["record", "vmc://127.0.0.1:0", "-o", "x.csv", "--wait", "0.1"], 3),
    (["record", "vmc://127.0.0.1:0", "-o", "x.csv", "--wait", "0"], 2),
    (["record", "vmc://127.0.0.1:99999", "-o", "x.csv"], 2),
    (["record", "vmc://256.0.0.1", "-o", "x.csv"], 7),
    (["record", "vmc://127.0.0.1", "-o", "x.csv", "--fps", "7"], 2),
])
def test_mistakes_are_one_line_and_a_code(arguments: list[str], code: int, voice: Path,
                                          capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(voice.parent)
    assert cli.run([str(voice) if a == "VOICE" else a for a in arguments]) == code
    *before, said = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("facerig: error: ")
    assert before == [] or before[0].startswith("listening at")
    assert not list(voice.parent.glob("x.*"))


def test_the_view_shows_targets_and_the_strongest_channels() -> None:
    from rich.console import Console

    buffer = Buffer()
    buffer.put(rows(5, jawOpen=0.75, mouthFunnel=0.2))
    buffer.end()
    loop, _ = loop_of(buffer)
    loop.faces[0].fan = Fan([Seen()])
    loop.run()
    assert [name for name, _, _ in bars(loop.faces[0])][:2] == ["jawOpen", "mouthFunnel"]
    out = io.StringIO()
    Console(file=out, width=100).print(View(loop).picture())
    assert "jawOpen" in out.getvalue()
    assert "seen" in out.getvalue()
    assert target_rows(loop.faces[0])[0][0] == "seen"
    assert summary(loop, 1.0)["faces"][0]["frames"] == 5
    loop.close()


def test_bench_figures_tell_jitter_from_drift() -> None:
    from facerig.live.bench import figures

    frames = np.arange(36_000)
    steady = frames / 60 + np.where(frames % 50 == 0, 0.010, 0.0)
    told = figures(steady, frames)
    assert told["drift_frames"] == 0.0
    assert told["jitter_p99_ms"] == pytest.approx(10.0, abs=0.01)
    assert figures(steady * 1.0001, frames)["drift_frames"] == pytest.approx(3.6, abs=0.1)
    gone = np.delete(np.arange(36_000), [5, 6, 7])
    assert figures(steady[gone], frames[gone])["missing"] == 3
