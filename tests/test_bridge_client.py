"""The C library, built with sanitizers, against a running server: frames, resume, barge-in. Long: it compiles C++."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "unreal_bridge" / "client"
BUILD = Path(os.environ.get("FACERIG_CLIENT_BUILD", ROOT / "build" / "client-sanitized"))
RATE = 24_000

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def programs() -> Path:
    """The built examples; built again only where the sources changed."""
    missing = [tool for tool in ("cmake", "g++", "protoc", "grpc_cpp_plugin", "pkg-config") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"missing: {', '.join(missing)} (apt-get install cmake g++ libgrpc++-dev protobuf-compiler-grpc)")
    configure = ["cmake", "-S", str(SOURCE), "-B", str(BUILD), "-DFACERIG_SANITIZE=ON"]
    targets = ["all", "facerig_trials", "facerig_memory"]
    for command in (configure, ["cmake", "--build", str(BUILD), "--target", *targets]):
        subprocess.run(command, check=True, capture_output=True)
    return BUILD


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that is warm: it says where it listens when it takes streams."""
    command = [sys.executable, "-m", "facerig", "serve", "--model", "fake", "--port", "0", "--a2f-port", "-1",
               "--http-port", "-1", "--set=pressure_ms=60000"]
    ran = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert ran.stdout is not None
    line = ran.stdout.readline()
    assert line, "the server did not start"
    yield f"127.0.0.1:{json.loads(line)['ports']['facerig']}"
    ran.terminate()
    ran.wait(20)
    ran.stdout.close()


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of something like syllables."""
    time = np.arange(RATE * 6) / RATE
    samples = np.sin(time * 900) * np.abs(np.sin(time * 12)) * 12_000
    file = tmp_path_factory.mktemp("client") / "voice.pcm"
    file.write_bytes(samples.astype("<i2").tobytes())
    return file


def run(program: Path, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1"}
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=timeout, env=environment)


def frames(output: str) -> tuple[list[str], np.ndarray]:  # type: ignore[type-arg]
    lines = [line.split() for line in output.splitlines()]
    channels = next(line[1:] for line in lines if line[0] == "channels")
    rows = [line for line in lines if line[0].isdigit()]
    assert [int(row[0]) for row in rows] == list(range(len(rows)))
    return channels, np.array([[float.fromhex(cell) for cell in row[1:]] for row in rows], np.float32)


def expected(voice: Path) -> np.ndarray:  # type: ignore[type-arg]
    from facerig.pipeline import Animator
    from facerig.retarget import retarget

    samples = np.frombuffer(voice.read_bytes(), "<i2")
    return retarget(Animator.load(model="fake", block=2).animate(samples, RATE), "arkit").values


def test_frames_are_those_of_the_library(programs: Path, server: str, voice: Path) -> None:
    ran = run(programs / "facerig_example", server, str(voice), str(RATE), "48000")
    assert ran.returncode == 0, ran.stderr
    channels, values = frames(ran.stdout)
    assert channels[17] == "jawOpen"
    assert "marker here 120" in ran.stdout
    assert np.abs(values - expected(voice)).max() <= 1e-5


class Cutter:
    """A proxy that cuts every connection after some bytes from the server: a network that breaks."""

    def __init__(self, target: str, after: int) -> None:
        self.target, self.after, self.cuts = int(target.rpartition(":")[2]), after, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.ends: list[socket.socket] = [self.listener]
        self.threads = [threading.Thread(target=self._serve)]
        self.threads[0].start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def close(self) -> None:
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)
        for end in self.ends:
            end.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                upstream = socket.create_connection(("127.0.0.1", self.target))
                self.ends += [client, upstream]
                for pair in ((client, upstream, 1 << 60), (upstream, client, self.after)):
                    self.threads.append(threading.Thread(target=self._pump, args=pair))
                    self.threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, limit: int) -> None:
        moved = 0
        with suppress(OSError):
            while moved < limit and (data := source.recv(4096)):
                sink.sendall(data)
                moved += len(data)
        self.cuts += moved >= limit
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_stream_survives_connections_that_break(programs: Path, server: str, voice: Path) -> None:
    cutter = Cutter(server, 20_000)
    ran = run(programs / "facerig_example", cutter.address, str(voice), str(RATE))
    cutter.close()
    assert ran.returncode == 0, ran.stderr
    assert cutter.cuts >= 2
    assert int(ran.stderr.rsplit("reconnects: ", 1)[1]) >= 2
    assert np.abs(frames(ran.stdout)[1] - expected(voice)).max() <= 1e-5


def test_barge_in_and_markers_from_cpp(programs: Path, server: str) -> None:
    ran = run(programs / "facerig_example_cpp", server)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    said = json.loads(ran.stdout)
    assert (said["interrupts"], said["markers"], said["done"]) == (1, 1, True)
    assert said["frames"] > 60
    assert said["jaw_at_end"] > 0.05  # the client said idle before the interrupt, and nothing since


def test_after_an_interrupt_the_voice_tells_the_state_on_every_server(programs: Path, server: str) -> None:
    """Connections break while the second line is spoken: the state of before the interrupt, idle, does not return."""
    cutter = Cutter(server, 9_000)
    ran = run(programs / "facerig_example_cpp", cutter.address)
    cutter.close()
    assert ran.returncode == 0, ran.stderr + ran.stdout
    said = json.loads(ran.stdout)
    assert said["reconnects"] >= 2
    assert (said["interrupts"], said["markers"], said["done"]) == (1, 1, True)
    assert said["jaw_at_end"] > 0.05


def test_no_interrupt_is_lost_where_one_follows_the_other(programs: Path, server: str) -> None:
    said = tried(programs, "again", server)
    assert (said["interrupts"], said["done"]) == (100, True)


@pytest.mark.parametrize(("trial", "most"), [("end", 84), ("far", 300)])
def test_a_line_given_to_its_end_can_be_interrupted(programs: Path, server: str, trial: str, most: int) -> None:
    """At frame 30; 20 s of audio that were sent at once do not stand in its way."""
    said = tried(programs, trial, server)
    assert (said["interrupts"], said["done"]) == (1, True)
    assert 30 < said["frames"] < most
    assert said["resumed_at"] == said["frames"]
    if trial == "end":  # FACERIG_INVALID for audio after facerig_end; FACERIG_DONE once all frames are out
        calls = ("send", "control", "look", "interrupt", "late", "late_control")
        assert [said[call] for call in calls] == [4, 0, 0, 0, 2, 2]


def test_little_audio_ahead_is_enough(programs: Path, server: str) -> None:
    """What a stream keeps to resume is no audio that waits: a second ahead is less than a server looks back."""
    said = tried(programs, "little", server)
    assert (said["pieces"], said["frames"], said["done"]) == (80, 8 * 60, True)


def tried(programs: Path, trial: str, server: str) -> dict[str, Any]:
    ran = run(programs / "facerig_trials", trial, server)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


def test_what_the_library_keeps_is_bounded_and_cut_by_an_interrupt(programs: Path) -> None:
    said = json.loads(run(programs / "facerig_memory").stdout)
    assert said["most"] < 12 * 60  # a control a frame, for ten minutes
    gains, state = 3, 4  # fields of Control; of the gains the jaw's stays, the brows' went with what was not shown
    assert said["kept"] == [[0, gains, 1], [10, state, 0], [16, gains, 2]]


def test_a_server_that_is_not_there_is_an_error_in_words(programs: Path, voice: Path) -> None:
    ran = run(programs / "facerig_example", f"127.0.0.1:{free_port()}", str(voice), str(RATE))
    assert ran.returncode == 1
    assert "127.0.0.1" in ran.stderr


def test_options_that_are_not_accepted_say_so(programs: Path, voice: Path) -> None:
    wrong = ("nowhere", "127.0.0.1:99999", "a:0", "a:", "a:1x", ":1", "::1", "::1:52100", "[]:1", "http://a:1")
    for server, rate, words in (*((text, "24000", "host:port") for text in wrong), ("a:1", "1", "8000 to 192000"),
                                ("[::1]:1", "1", "8000 to 192000")):
        ran = run(programs / "facerig_example", server, str(voice), rate)
        assert ran.returncode == 2
        assert words in ran.stderr


def test_the_header_is_plain_c_without_grpc() -> None:
    header = (SOURCE / "include" / "facerig_client.h").read_text()
    assert [line for line in header.splitlines() if line.startswith("#include")] == [
        "#include <stddef.h>", "#include <stdint.h>"]
    assert "grpc" not in header


def test_facerig_live_sends_what_the_server_makes(server: str, voice: Path) -> None:
    from unreal_bridge import livelink

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(60)
        command = [sys.executable, "-m", "facerig", "live", str(voice), "--pcm", "s16le:24000:1", "--server", server,
                   "--to", f"livelink://127.0.0.1:{ear.getsockname()[1]}", "--seconds", "2", "--json"]
        ran = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        packets = [livelink.decode(ear.recv(2048)) for _ in range(60)]
        output = ran.communicate(timeout=60)[0]
    assert ran.returncode == 0
    assert max(packet.values[17] for packet in packets if packet.values) > 0.05
    assert json.loads(output.splitlines()[-1])["faces"][0]["targets"][0]["failed"] == 0
