"""The live loop: buffers, gains, the voice's place in time, sources, and the commands end to end."""

from __future__ import annotations

import io
import json
import socket
import threading
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exporters
from facerig import cli
from facerig.audio import Pcm
from facerig.curves import Curves
from facerig.errors import FacerigError, OptionError
from facerig.files import write_file
from facerig.live import gains as gain_files
from facerig.live.buffer import Buffer
from facerig.live.gains import Gains
from facerig.live.loop import PAUSE_FRAMES, Face, LiveLoop
from facerig.live.player import JUMP, SLACK, Track
from facerig.live.sources import Feed, Spec, open_feed, spec, stdin_blocks
from facerig.live.view import View, bars, summary, target_rows
from facerig.pipeline import Animator
from facerig.rig import rig
from unreal_bridge import livelink
from unreal_bridge.clock import Clock
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose
from unreal_bridge.receive import LISTENERS, Heard, Recorder
from unreal_bridge.targets import make
from unreal_bridge.vts_client import VtsTarget

NATIVE = rig("facerig")
RATE = 16_000


def rows(count: int, start: int = 0, **channels: float) -> Curves:
    values = np.zeros((count, len(NATIVE)), np.float32)
    values[:, 0] = np.arange(start, start + count) / 10_000  # each row its own number
    for name, value in channels.items():
        values[:, NATIVE.index(name)] = value
    return Curves(NATIVE.names, 60, values, start)


def number(pose: Pose) -> int:
    assert pose.curves is not None
    return round(float(pose.curves.values[0, 0]) * 10_000)


class Seen:
    """A target that remembers."""

    name, fps, prompt = "seen", 60, False

    def __init__(self) -> None:
        self.poses: list[Pose] = []

    def prepare(self, pose: Pose) -> None:
        pass

    def send(self, pose: Pose) -> int:
        self.poses.append(pose)
        return 1

    def status(self) -> str:
        return "fine"

    def close(self) -> None:
        pass


class Straight(Fan):
    """A fan without threads, so that a test sees every pose at once."""

    def __init__(self, target: Seen) -> None:
        self.lanes = []
        self.target = target

    def put(self, pose: Pose) -> None:
        self.target.send(pose)


class Time:
    """Time of a test: it passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 50.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(seconds, 1e-9)


def loop_of(buffer: Buffer, lead: int = 3, kind: str = "audio", **options: object) -> tuple[LiveLoop, Seen]:
    seen, time = Seen(), Time()
    face = Face(Feed(Spec("x", kind, "x"), buffer), Straight(seen), Gains(NATIVE), lead)
    return LiveLoop([face], Clock(60, time.now, time.sleep), **options), seen  # type: ignore[arg-type]


# ---- buffer and loop ---------------------------------------------------------------------------------------------


def test_every_row_is_sent_once_in_order_with_rising_frame_numbers() -> None:
    buffer = Buffer()
    buffer.put(rows(100))
    buffer.end()
    loop, seen = loop_of(buffer)
    assert loop.run() == 100
    assert [number(pose) for pose in seen.poses] == list(range(100))
    frames = [pose.frame for pose in seen.poses]
    assert np.diff(frames).tolist() == [1] * 99
    assert len({pose.subframe for pose in seen.poses}) == 1
    assert 0 <= seen.poses[0].subframe < 1


def test_frame_numbers_begin_at_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facerig.live.loop.seconds_today", lambda: 3600.5)
    buffer = Buffer()
    buffer.put(rows(3))
    buffer.end()
    loop, seen = loop_of(buffer)
    loop.run()
    assert seen.poses[0].frame == 216_030


def test_nothing_is_sent_before_the_lead_is_there_and_gaps_repeat_the_last_frame() -> None:
    buffer = Buffer()
    loop, seen = loop_of(buffer, lead=4, frames=10)

    def each(tick: int) -> None:
        if tick == 2:
            buffer.put(rows(4))

    loop.run(each)
    assert [number(pose) for pose in seen.poses] == [0, 1, 2, 3, 3, 3, 3]
    assert loop.faces[0].repeated == 3


def test_the_face_goes_on_where_the_voice_is_after_the_machine_stood_still() -> None:
    buffer = Buffer(capacity=500)
    buffer.put(rows(300))
    buffer.end()
    loop, seen = loop_of(buffer, frames=100)

    def each(tick: int) -> None:
        if tick == 50:
            loop.clock.sleep(2.0)

    loop.run(each)
    shown = {pose.frame - seen.poses[0].frame: number(pose) for pose in seen.poses}
    assert len(shown) == 100
    assert loop.clock.skipped > 100
    assert all(frame == row for frame, row in shown.items())


def test_the_voice_waits_while_its_source_has_nothing_to_say() -> None:
    buffer = Buffer()
    buffer.put(rows(10))
    loop, seen = loop_of(buffer, kind="stdin", frames=60)

    def each(tick: int) -> None:
        if tick == 39:
            buffer.put(rows(20, 10))

    loop.run(each)
    assert loop.begin is not None
    first_again = next(k for k, pose in enumerate(seen.poses) if number(pose) == 10)
    # Sample 10/60 s of the voice is due when frame 10 is.
    assert loop.begin + 10 / 60 == pytest.approx(loop.clock.due(first_again))


def test_a_source_that_cannot_wait_never_falls_behind() -> None:
    """A microphone whose clock is 2 % fast: frames are left out, the delay stays."""
    buffer = Buffer(capacity=30, waits=False)
    loop, _ = loop_of(buffer, lead=3, kind="mic", frames=2000)
    made = 0

    def each(tick: int) -> None:
        nonlocal made
        while made < tick * 1.02:
            buffer.put(rows(1, made))
            made += 1
        assert len(buffer) < 14

    loop.run(each)
    assert loop.faces[0].left_out > 20
    assert buffer.lost == 0


def test_a_full_buffer_makes_a_file_wait_and_a_microphone_forget() -> None:
    deaf = Buffer(capacity=5, waits=False)
    deaf.put(rows(8))
    assert (len(deaf), deaf.lost) == (5, 3)
    patient = Buffer(capacity=5)
    worker = threading.Thread(target=lambda: patient.put(rows(8)))
    worker.start()
    got = []
    while len(got) < 8:
        row = patient.take()
        if row is not None:
            got.append(row.start)
    worker.join(5)
    assert got == list(range(8))


def test_closing_lets_a_waiting_source_go() -> None:
    buffer, done = Buffer(capacity=1), []
    worker = threading.Thread(target=lambda: done.append(buffer.put(rows(5))))
    worker.start()
    buffer.close()
    worker.join(5)
    assert done == [False]


def test_pauses_are_sent_without_a_face_on_request_and_end_at_once() -> None:
    buffer = Buffer(capacity=500)
    still = np.zeros((PAUSE_FRAMES + 40, len(NATIVE)), np.float32)
    buffer.put(Curves(NATIVE.names, 60, still))
    buffer.put(rows(5, jawOpen=0.5))
    buffer.end()
    loop, seen = loop_of(buffer, absent_in_pauses=True)
    loop.run()
    absent = [pose.curves is None for pose in seen.poses]
    assert absent == [False] * (PAUSE_FRAMES - 1) + [True] * 41 + [False] * 5


def test_several_faces_share_the_clock_and_end_apart() -> None:
    loops, seens = zip(*(loop_of(Buffer()) for _ in range(2)), strict=True)
    for length, loop in zip((10, 30), loops, strict=True):
        loop.faces[0].feed.buffer.put(rows(length))
        loop.faces[0].feed.buffer.end()
    both = LiveLoop([loop.faces[0] for loop in loops], loops[0].clock)
    assert both.run() == 30
    assert [len(seen.poses) for seen in seens] == [10, 30]
    assert seens[0].poses[5].frame == seens[1].poses[5].frame


# ---- gains -------------------------------------------------------------------------------------------------------


def test_gains_by_channel_region_and_all_are_multiplied_and_kept_in_range() -> None:
    factors = gain_files.parse('{"*": 0.5, "jawOpen": 3, "lips": 2}', NATIVE)
    assert factors[NATIVE.index("jawOpen")] == 1.5
    assert factors[NATIVE.index("mouthClose")] == 1.0
    assert factors[NATIVE.index("browInnerUp")] == 0.5
    gains = Gains(NATIVE)
    gains.factors = factors
    out = gains.apply(rows(1, jawOpen=0.9, browInnerUp=0.5))
    assert out["jawOpen"][0] == 1.0
    assert out["browInnerUp"][0] == 0.25


@pytest.mark.parametrize("text", ["", "[]", '{"jawOpne": 1}', '{"jawOpen": -1}', '{"jawOpen": 5}', '{"jawOpen": true}',
                                  '{"jawOpen": NaN}', '{"jawOpen": "1"}', "[" * 100_000])
def test_broken_gains_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(OptionError):
        gain_files.parse(text, NATIVE)


def test_gains_are_read_again_when_the_file_changes_and_kept_while_it_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    write_file(file, b'{"jawOpen": 0.5}')
    gains, jaw = Gains(NATIVE, file), NATIVE.index("jawOpen")
    assert gains.factors[jaw] == 0.5
    write_file(file, b'{"jawOpen": 2.25}')
    gains.look(1.0)
    assert gains.factors[jaw] == 2.25
    write_file(file, b'{"jawOpen": ')
    gains.look(1.1)  # too soon to look
    assert gains.error == ""
    gains.look(2.0)
    assert (gains.factors[jaw], "JSON" in gains.error) == (2.25, True)
    file.unlink()
    gains.look(3.0)
    assert "cannot be read" in gains.error
    write_file(file, b"{}")
    gains.look(4.0)
    assert (gains.factors[jaw], gains.error) == (1.0, "")
    with pytest.raises(OptionError):
        Gains(NATIVE, tmp_path / "absent.json")


# ---- the voice ---------------------------------------------------------------------------------------------------


def heard(track: Track, callbacks: int, first: float, size: int = 160, drift: float = 0.0) -> np.ndarray:
    """What a device plays that asks for `size` samples at a time and is heard from `first` on."""
    step = size / track.rate * (1 + drift)
    return np.concatenate([track.fill(size, first + k * step) for k in range(callbacks)])


@settings(deadline=None)
@given(lead=st.floats(0, 0.2), size=st.integers(1, 1000))
def test_the_first_sample_is_heard_when_it_is_due(lead: float, size: int) -> None:
    track = Track(RATE)
    track.put(np.ones(RATE, np.float32))
    out = heard(track, int(RATE * 0.4 / size) + 2, -lead, size)
    first = int(np.flatnonzero(out)[0])
    assert abs(first / RATE - lead) <= SLACK + 1 / RATE


@pytest.mark.parametrize("drift", [-300e-6, 0.0, 300e-6])
def test_voice_and_face_stay_together_for_ten_minutes_whatever_the_device_clock(drift: float) -> None:
    track = Track(1000)
    track.put(np.ones(700_000, np.float32))
    worst = 0.0
    for k in range(60_000):
        track.fill(10, k * 0.01 * (1 + drift))
        worst = max(worst, abs(track.late))
    assert worst < SLACK + 0.002


def test_a_device_that_stopped_is_caught_up_with_at_once() -> None:
    track = Track(RATE)
    track.put(np.arange(RATE * 4, dtype=np.float32))
    track.fill(160, 0.0)
    out = track.fill(160, 1.0 + JUMP)
    assert out[0] == pytest.approx((1.0 + JUMP) * RATE, abs=2)


def test_a_voice_that_has_not_arrived_is_silence() -> None:
    track = Track(RATE)
    assert not track.fill(100, 0.0).any()
    assert track.position == 0


# ---- sources -----------------------------------------------------------------------------------------------------


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """A second of sound."""
    file = tmp_path / "ada.wav"
    samples = (np.sin(np.arange(RATE) / 20) * 12_000).astype("<i2")
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())
    return file


def drained(feed: Feed) -> Curves:
    got = []
    while not feed.buffer.ended:
        row = feed.buffer.take()
        if row is not None:
            got.append(row.values)
    assert feed.buffer.error is None
    return Curves(NATIVE.names, 60, np.concatenate(got))


def fake() -> Animator:
    return Animator.load(model="fake")


def test_a_file_gives_the_frames_of_the_offline_path(voice: Path) -> None:
    from facerig.audio import read

    sound = read(voice)
    feed = open_feed(spec(str(voice)), fake, play=True)
    assert drained(feed).values.tolist() == fake().animate(sound.samples, sound.rate).values.tolist()
    assert feed.track is not None
    assert np.array_equal(feed.track.fill(len(sound.samples), 0.0), sound.samples)
    assert spec(str(voice)).subject == "ada"


@pytest.mark.parametrize("cut", [1, 7, 640, 100_000])
def test_standard_input_may_come_in_any_pieces(voice: Path, cut: int) -> None:
    data = voice.read_bytes()[44:]

    class Pipe(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return self.read(min(cut, size or cut))

    blocks = list(stdin_blocks(Pcm.parse("s16le:16000:1"), Pipe(data + b"\x01")))
    assert np.array_equal(np.concatenate(blocks), np.frombuffer(data, "<i2").astype(np.float32) / 32768)


def test_a_take_of_another_rig_is_sent_too(tmp_path: Path) -> None:
    take = Curves(rig("livelink").names, 30, np.full((10, 61), 0.25, np.float32))
    write_file(tmp_path / "take.npz", take.to_npz())
    feed = open_feed(spec(str(tmp_path / "take.npz")), fake)
    row = feed.buffer.take()
    while row is None:
        row = feed.buffer.take()
    assert "jawOpen" in row.channels
    assert row["jawOpen"][0] == pytest.approx(0.25)
    feed.close()


def test_a_looped_file_goes_on(voice: Path) -> None:
    feed = open_feed(spec(str(voice)), fake, loop=True)
    taken = 0
    while taken < 200:
        taken += feed.buffer.take() is not None
    feed.close()


def test_a_server_can_make_the_frames(voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facerig import client

    asked: list[object] = []

    def stream(samples: Iterator[np.ndarray], target: client.Target, rate: int,
               **wish: object) -> Iterator[client.Frame]:
        asked.extend((target.addresses, rate, wish["rig"], sum(map(len, samples))))
        yield from (client.Frame(k, (0.25,) * len(rig("facerig-full"))) for k in range(3))

    monkeypatch.setattr(client, "stream", stream)
    feed = open_feed(spec(str(voice)), fake, server="a:1,b:2")
    got = []
    while not feed.buffer.ended:
        row = feed.buffer.take()
        got += [] if row is None else [float(row["jawOpen"][0])]
    assert got == [0.25] * 3
    assert asked == [("a:1", "b:2"), RATE, "facerig-full", RATE]


@pytest.mark.parametrize(("source", "options"), [("-", {"loop": True}), ("mic", {"loop": True})])
def test_only_files_can_be_looped(source: str, options: dict[str, bool]) -> None:
    with pytest.raises(OptionError, match="accepted: a file"):
        open_feed(spec(source), fake, **options)  # type: ignore[arg-type]


# ---- VTube Studio over a real websocket --------------------------------------------------------------------------


def test_vtube_studio_asks_creates_injects_and_comes_back(tmp_path: Path) -> None:
    server_module = pytest.importorskip("websockets.sync.server")
    injected: list[dict[str, object]] = []
    replies = {"AuthenticationTokenRequest": ("AuthenticationTokenResponse", {"authenticationToken": "T"}),
               "AuthenticationRequest": ("AuthenticationResponse", {"authenticated": True}),
               "ParameterCreationRequest": ("ParameterCreationResponse", {})}
    asked: list[str] = []

    def studio(link: object) -> None:
        for text in link:  # type: ignore[attr-defined]
            message = json.loads(text)
            asked.append(message["messageType"])
            if message["messageType"] == "InjectParameterDataRequest":
                injected.append(message["data"])
                link.send(json.dumps({"messageType": "InjectParameterDataResponse", "data": {}}))  # type: ignore[attr-defined]
            else:
                kind, data = replies[message["messageType"]]
                link.send(json.dumps({"messageType": kind, "data": data}))  # type: ignore[attr-defined]

    with server_module.serve(studio, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = server.socket.getsockname()
        target = VtsTarget("vts", "127.0.0.1", address[1], token_file=tmp_path / "token")
        one = Pose(rows(1, jawOpen=0.5), 0)
        while not injected:
            target.send(one)
        assert asked.count("ParameterCreationRequest") == 52
        values = {entry["id"]: entry["value"] for entry in injected[0]["parameterValues"]}  # type: ignore[attr-defined]
        assert values["FacerigJawOpen"] == 0.5
        assert (tmp_path / "token").read_text() == "T"
        assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
        target.close()
        again = VtsTarget("vts", "127.0.0.1", address[1], token_file=tmp_path / "token")
        asked.clear()
        while again.send(one) == 0:
            pass
        assert asked[0] == "AuthenticationRequest"
        again.close()
        server.shutdown()
        thread.join(5)
    with pytest.raises(FacerigError, match=r"again|API"):
        VtsTarget("vts", "127.0.0.1", address[1], token_file=tmp_path / "other").send(one)


# ---- recording ---------------------------------------------------------------------------------------------------


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


# ---- commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def test_two_faces_from_one_process_have_their_own_subjects(voice: Path, ear: socket.socket,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    bob = voice.with_name("bob.wav")
    bob.write_bytes(voice.read_bytes())
    target = f"livelink://127.0.0.1:{ear.getsockname()[1]}"
    assert cli.run(["live", str(voice), str(bob), "--to", target, "--model", "fake", "--seconds", "0.3", "--json"]) == 0
    packets = [livelink.decode(ear.recv(2048)) for _ in range(20)]
    assert {packet.subject for packet in packets} == {"ada", "bob"}
    assert len({packet.device for packet in packets}) == 2
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [face["targets"][0]["failed"] for face in figures["faces"]] == [0, 0]


def test_live_ends_with_the_file_and_reports(voice: Path, ear: socket.socket,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    target = f"livelink://127.0.0.1:{ear.getsockname()[1]}/Ada"
    assert cli.run(["live", str(voice), "--to", target, "--model", "fake"]) == 0
    said = capsys.readouterr().err
    assert "60 frames" in said
    assert "60 sent, 0 dropped, 0 failed" in said


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
    (["record", "vmc://127.0.0.1:0", "-o", "x.csv", "--seconds", "0.1"], 3),
    (["record", "vmc://127.0.0.1:99999", "-o", "x.csv"], 2),
    (["record", "vmc://256.0.0.1", "-o", "x.csv"], 7),
    (["record", "vmc://127.0.0.1", "-o", "x.csv", "--fps", "7"], 2),
])
def test_mistakes_are_one_line_and_a_code(arguments: list[str], code: int, voice: Path,
                                          capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(voice.parent)
    assert cli.run([str(voice) if a == "VOICE" else a for a in arguments]) == code
    said = capsys.readouterr().err.strip()
    assert said.startswith("facerig: error: ")
    assert len(said.splitlines()) == 1
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
