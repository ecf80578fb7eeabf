"""facerig live and facerig record end to end, the view, and the bench's figures."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from live_kit import Seen, loop_of, rows

import exporters
from facerig import cli
from facerig.live.buffer import Buffer
from facerig.live.setup import Plan, open_loop
from facerig.live.view import View, bars, summary, target_rows
from unreal_bridge import livelink
from unreal_bridge.clock import Clock
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose
from unreal_bridge.receive import LISTENERS, Ear, Heard, Recorder, listen, livelink_decoder
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


def sent(recorder: Recorder, frames: range, rate: tuple[int, int], value: float) -> None:
    """Real packets, decoded."""
    decode = livelink_decoder()
    for frame in frames:
        packet = livelink.Packet("A", "d" * 36, frame, 0.0, *rate, (value,) * 61)
        for heard in decode(livelink.encode(packet)):
            recorder.add(heard, 0.0)


@pytest.mark.parametrize(("rate", "count", "fps"), [((30_000, 1001), 17_982, 30), ((60_000, 1001), 3596, 60),
                                                    ((24_000, 1001), 1439, 24), ((60, 1), 3600, 60)])
def test_a_take_is_as_long_as_what_was_sent_at_any_rate(rate: tuple[int, int], count: int, fps: int) -> None:
    recorder = Recorder()
    sent(recorder, range(5_000_000, 5_000_000 + count), rate, 0.25)
    take = recorder.curves()
    assert take.fps == fps
    assert take.seconds == pytest.approx(count * rate[1] / rate[0], abs=1.1 / fps)
    assert recorder.late == 0


def test_numbers_that_begin_again_or_count_by_another_rate_lose_nothing() -> None:
    recorder = Recorder()
    sent(recorder, range(300), (60, 1), 0.25)
    sent(recorder, range(120), (60, 1), 0.5)
    sent(recorder, range(60, 120), (30, 1), 0.75)
    jaw = recorder.curves()["JawOpen"]
    assert [int((jaw == value).sum()) for value in (0.25, 0.5, 0.75)] == [300, 120, 119]  # 60 at 30: two rows each
    assert recorder.late == 0


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("pause", [9.0, 30.0])
def test_a_pause_is_held_however_long_it_is(pause: float, numbered: bool) -> None:
    recorder, away = Recorder(), round(pause * 60)
    for k in (*range(60), *range(60 + away, 120 + away)):
        recorder.add(Heard("A", np.full(61, k, np.float32), 1000 + k if numbered else None, 60), k / 60)
    jaw = recorder.curves()["JawOpen"]
    assert (len(jaw), recorder.held, recorder.late) == (120 + away, away, 0)
    assert jaw[[59, 59 + away, 60 + away]].tolist() == [59, 59, 60 + away]


def test_numbers_that_begin_elsewhere_after_a_pause_are_laid_by_arrival() -> None:
    for again in (7, 9_000_000):
        recorder = Recorder()
        for k in (*range(60), *range(360, 420)):
            recorder.add(note(5000 + k if k < 60 else again + k), k / 60)
        assert (len(recorder.rows), recorder.held, recorder.late) == (420, 300, 0)


def test_a_pause_fills_no_more_than_a_take_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreal_bridge.receive.LONGEST_TAKE", 50)
    recorder = Recorder()
    for when in (0.0, 3600.0):
        recorder.add(Heard("vmc", np.zeros(61, np.float32)), when)
    assert (len(recorder.rows), recorder.full) == (50, True)


@pytest.mark.parametrize("phone", ["a" * 80, "x..y", "::1"])
def test_a_phone_that_has_no_address_is_an_error_in_words(phone: str, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    command = ["record", "ifm://127.0.0.1:0", "-o", str(tmp_path / "take.npz"), "--phone", phone, "--wait", "0.1"]
    assert cli.run(command) == 7
    assert "--phone" in capsys.readouterr().err


def test_a_phone_that_cannot_be_reached_is_asked_again() -> None:
    ear = listen("ifm", "127.0.0.1", 0, "192.0.2.1")  # from the loopback there is no way to it
    try:
        assert list(ear.frames(None, patience=0.05)) == []
    finally:
        ear.close()


def test_of_two_that_arrive_in_one_place_the_newer_stays() -> None:
    recorder = Recorder()
    for when, value in ((0.0, 0.1), (0.010, 0.2), (0.022, 0.3), (0.050, 0.4)):
        recorder.add(Heard("vmc", np.full(61, value, np.float32)), when)
    assert recorder.curves()["JawOpen"].tolist() == pytest.approx([0.1, 0.3, 0.3, 0.4])
    assert (recorder.late, recorder.held) == (0, 1)


@pytest.mark.parametrize("name", ["folder.csv", "file/take.csv", "take.glb"])
def test_a_recording_that_cannot_be_written_does_not_begin(name: str, tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_bytes(b"")
    assert cli.run(["record", "vmc://127.0.0.1:0", "-o", str(tmp_path / name), "--wait", "0.1"]) in (3, 5)
    assert "listening" not in capsys.readouterr().err


def test_a_recording_that_is_full_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    def frames(_: Ear, seconds: float | None, stop: Callable[[], bool], patience: float | None,
               ) -> Iterator[tuple[Heard, float]]:
        assert (seconds, patience) == (None, None)
        for number in itertools.takewhile(lambda _: not stop(), itertools.count()):
            yield note(number), number / 60

    monkeypatch.setattr("unreal_bridge.receive.LONGEST_TAKE", 20)
    monkeypatch.setattr(Ear, "frames", frames)
    out = tmp_path / "take.npz"
    assert cli.run(["record", "vmc://127.0.0.1:0", "-o", str(out)]) == 0
    assert exporters.read(out).frames == 20
    assert "ended after 20 frames" in capsys.readouterr().err


def test_a_pipe_that_stays_open_is_no_fault_at_the_end(tmp_path: Path) -> None:
    """Whoever reads it waits there when the process ends."""
    command = [sys.executable, "-m", "facerig", "live", "-", "--to", str(tmp_path / "x.npz"), "--model", "fake",
               "--seconds", "0.2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        said = running.stderr.read()
        assert running.wait(60) == 0, said


@pytest.mark.skipif(os.name == "nt", reason="no signals")
def test_a_signal_ends_a_recording_and_the_take_is_there(tmp_path: Path) -> None:
    out, tick = tmp_path / "take.npz", threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    command = [sys.executable, "-m", "facerig", "record", f"livelink://127.0.0.1:{free}", "-o", str(out)]
    target, frame = make(f"livelink://127.0.0.1:{free}"), 1000
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        running.stderr.readline()  # listening
        while frame < 1030 or target.status() != "sending":
            target.send(Pose(rows(1, jawOpen=0.5), frame := frame + 1))
            tick.wait(1 / 60)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    target.close()
    assert running.returncode == 0
    assert exporters.read(out)["JawOpen"].max() == pytest.approx(0.5)


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


@pytest.mark.usefixtures("patient")
def test_two_faces_of_one_voice_live_apart(voice: Path) -> None:
    """One seed for all would have them nod and blink together."""
    bob, out = voice.with_name("bob.wav"), voice.with_name("take.npz")
    bob.write_bytes(voice.read_bytes())
    assert cli.run(["live", str(voice), str(bob), "--loop", "--to", str(out), "--model", "fake", "--seconds", "4"]) == 0
    ada, other = (exporters.read(voice.with_name(f"take_{name}.npz")) for name in ("ada", "bob"))
    both = min(ada.frames, other.frames)
    assert abs(np.corrcoef(ada["headPitch"][:both], other["headPitch"][:both])[0, 1]) < 0.5
    assert not np.array_equal(ada["eyeBlinkLeft"][:both], other["eyeBlinkLeft"][:both])


def test_a_still_face_can_be_made_by_an_audio2face_server(voice: Path) -> None:
    running = open_loop(Plan([f"a2f://127.0.0.1:1?audio={voice}"], ["terminal"], still=True))
    running.close()


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
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--offset-ms", "40"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--device", "0"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--seed", "-1"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--server", "127.0.0.1:1", "--model", "fake"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--server", "127.0.0.1:1", "--block", "4"], 2),
    (["live", "VOICE", "--to", "livelink://127.0.0.1", "--server", "a2f://127.0.0.1:1", "--seed", "5"], 2),
    (["live", "take.npz", "--to", "livelink://127.0.0.1", "--still"], 2),
    (["live", "take.npz", "--to", "livelink://127.0.0.1", "--seed", "5"], 2),
    (["live", "take.npz", "--to", "livelink://127.0.0.1", "--block", "4"], 2),
    (["live", "VOICE", "--to", "vmc://127.0.0.1/Ada"], 2),
    (["live", "VOICE", "take.npz", "--to", "livelink://127.0.0.1/Ada"], 2),
    (["live", "VOICE", "--to", "x.json", "--server", "127.0.0.1:1", "--seconds", "0.1"], 7),
    (["record", "vmc://127.0.0.1", "-o", "x.nothing"], 2),
    (["record", "osf://127.0.0.1", "-o", "x.csv"], 2),
    (["record", "vmc://127.0.0.1:0", "-o", "x.csv", "--wait", "0.1"], 3),
    (["record", "vmc://127.0.0.1:0", "-o", "x.csv", "--wait", "0"], 2),
    (["record", "vmc://127.0.0.1:99999", "-o", "x.csv"], 2),
    (["record", "vmc://256.0.0.1", "-o", "x.csv"], 7),
    (["record", "vmc://ü..y", "-o", "x.csv"], 7),
    (["record", "vmc://127.0.0.1", "-o", "x.csv", "--fps", "7"], 2),
    (["record", "vmc://127.0.0.1/Ada", "-o", "x.csv", "--wait", "0.1"], 2),
    (["record", "ifm://127.0.0.1/Ada", "-o", "x.csv", "--wait", "0.1"], 2),
    (["record", "fm3d://127.0.0.1/Ada", "-o", "x.csv", "--wait", "0.1"], 2),
])
def test_mistakes_are_one_line_and_a_code(arguments: list[str], code: int, voice: Path,
                                          capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(voice.parent)
    assert cli.run([str(voice) if a == "VOICE" else a for a in arguments]) == code
    *before, said = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("facerig: error: ")
    assert before == [] or before[0].startswith("listening at") or before[0].endswith("0 repeated")
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
