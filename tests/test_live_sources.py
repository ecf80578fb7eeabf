"""Where live frames come from, and the voice's place in time."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_kit import NATIVE, RATE

import exporters
from facerig.asking import Asked
from facerig.audio import Pcm
from facerig.curves import Curves
from facerig.errors import OptionError
from facerig.files import write_file
from facerig.live import servers
from facerig.live.gains import Gains
from facerig.live.loop import Face, LiveLoop
from facerig.live.player import JUMP, SLACK, Track
from facerig.live.sources import (
    Feed,
    Sound,
    Spec,
    _buffer,
    open_feed,
    read_take,
    sent_rig,
    spec,
    stdin_blocks,
    unbroken,
)
from facerig.live.steer import Steering
from facerig.pipeline import Animator
from facerig.rig import rig
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose

# ---- the voice ----------------------------------------------------------------------------------------------------


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


# ---- sources ------------------------------------------------------------------------------------------------------


def drained(feed: Feed) -> Curves:
    got = []
    while not feed.buffer.ended:
        row = feed.buffer.take()
        if row is not None:
            got.append(row.values)
    assert feed.buffer.error is None
    return Curves(feed.channels, 60, np.concatenate(got))


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


def test_a_pipe_that_does_not_wait_has_not_ended() -> None:
    """Whoever opened it may have made it so: a read without sound is no end."""
    answers = iter([None, b"\x01\x00\x02", None, None, b"\x00\x03\x00", None, b""])

    class Hasty(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]
            return next(answers)

    heard_of = np.concatenate(list(stdin_blocks(Pcm.parse("s16le:16000:1"), Hasty())))
    assert (heard_of * 32768).tolist() == [1, 2, 3]


def test_a_pipes_broken_samples_are_silence_and_told_of_once(voice: Path) -> None:
    data = np.frombuffer(voice.read_bytes()[44:], "<i2").astype("<f4") / 32768
    data[12_000], data[14_000:14_010] = np.nan, np.inf
    feed = open_feed(spec("-"), fake, stdin=io.BytesIO(data.tobytes()), pcm=Pcm.parse("f32le:16000:1"))
    data[12_000] = data[14_000:14_010] = 0
    assert drained(feed).values.tolist() == fake().animate(data, RATE).values.tolist()
    assert (feed.faults.silenced, len(feed.notes)) == (11, 1)
    assert "sample 12000 is nan" in feed.notes[0]


@pytest.mark.parametrize(("kind", "prompt"), [("mic", False), ("audio", True), ("audio", False), ("stdin", True)])
def test_a_buffer_has_room_for_the_lead_and_the_block_on_top_of_it(kind: str, prompt: bool) -> None:
    for lead, block in ((4, 2), (31, 2), (120, 60), (62, 60)):
        assert _buffer(Spec("x", kind, "x"), prompt, lead, block).capacity >= lead + block
    assert _buffer(Spec("x", kind, "x"), True, 4, 2).capacity == 30  # no more delay than is asked for


class Paused(io.BytesIO):
    """A pipe that says its beginning and then nothing until it is let go."""

    def __init__(self, data: bytes, beginning: int) -> None:
        super().__init__(data)
        self.beginning, self.go = beginning, threading.Event()

    def read1(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.beginning:
            self.go.wait(60)
        return self.read(size)


def test_a_pipe_that_pauses_is_silent_meanwhile_and_loses_nothing() -> None:
    data = np.arange(1, 1601, dtype="<i2")
    pipe, blocks = Paused(data.tobytes(), 1600), []
    for block in unbroken(Sound(RATE, stdin_blocks(Pcm.parse("s16le:16000:1"), pipe)), lambda: 0, 4):
        blocks.append(block)
        if sum(not one.any() for one in blocks) >= 10:
            pipe.go.set()
    heard_again = np.concatenate([block for block in blocks if block.any()])
    assert np.array_equal(heard_again, data.astype(np.float32) / 32768)


def test_no_silence_comes_while_frames_are_waiting() -> None:
    pipe, looks = Paused(np.arange(1, 1601, dtype="<i2").tobytes(), 1600), []

    def waiting() -> int:
        looks.append(1)
        if len(looks) > 30:
            pipe.go.set()
        return 1

    blocks = unbroken(Sound(RATE, stdin_blocks(Pcm.parse("s16le:16000:1"), pipe)), waiting, 4)
    assert all(block.any() for block in blocks)


@pytest.mark.parametrize("beginning", [0, 19_200])
def test_a_source_that_is_closed_waits_for_no_pipe(voice: Path, beginning: int) -> None:
    pipe = Paused(voice.read_bytes()[44:], beginning)
    feed = open_feed(spec("-"), fake, stdin=pipe, pcm=Pcm.parse("s16le:16000:1"))
    feed.close()
    assert feed._thread is not None
    feed._thread.join(60)
    assert not feed._thread.is_alive()
    pipe.go.set()


def test_the_face_closes_its_mouth_while_the_pipe_pauses(voice: Path) -> None:
    """And lives on: head and lids move."""
    pipe = Paused(voice.read_bytes()[44:], 19_200)
    feed = open_feed(spec("-"), lambda: Animator.load(model="fake", block=2, alive=True), stdin=pipe, lead=4,
                     pcm=Pcm.parse("s16le:16000:1"))
    seen: list[Curves] = []
    loop = LiveLoop([Face(feed, Fan([]), Gains(NATIVE), 4)], frames=60 * 60)

    def each(_: int) -> None:
        row = loop.faces[0].row
        seen.extend([] if row is None else [row])
        open_once = any(one["jawOpen"][0] > 0.05 for one in seen)
        loop.stop = open_once and len(seen) > 90 and all(one["jawOpen"][0] < 0.02 for one in seen[-30:])

    loop.run(each)
    pipe.go.set()
    loop.close()
    assert loop.stop
    assert len({one.values.tobytes() for one in seen[-30:]}) > 20


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


@pytest.mark.parametrize("name", ["take.npz", "take.csv"])
def test_a_phones_take_reaches_live_link_as_it_was(name: str, tmp_path: Path) -> None:
    """Its angles of the eyes too, which its gaze shapes do not tell."""
    channels = rig("livelink").names
    values = np.random.default_rng(3).uniform(0.05, 0.95, (20, 61)).astype(np.float32)
    values[:, 52:] -= 0.5
    write_file(tmp_path / name, exporters.export(Curves(channels, 60, values), tmp_path / name))
    take = read_take(str(tmp_path / name))
    assert set(take.channels) == {*rig("facerig-full").names, *(n for n in channels if "EyeYaw" in n or "EyePitch" in n
                                                                or "EyeRoll" in n)}
    sent = np.stack([Pose(take.slice(frame, frame + 1), frame).values("livelink") for frame in range(20)])
    assert np.abs(sent - values).max() < 1e-3  # the CSV's steps
    face = Pose(take.slice(4, 5), 4).face()
    assert face.left_eye.tilt == pytest.approx(values[4, channels.index("LeftEyeRoll")], abs=1e-3)


def test_gains_of_the_gaze_hold_for_a_phones_angles_too(tmp_path: Path) -> None:
    take = Curves(rig("livelink").names, 60, np.full((3, 61), 0.25, np.float32))
    write_file(tmp_path / "take.npz", take.to_npz())
    write_file(tmp_path / "gains.json", b'{"gaze": 0.5, "LeftEyeRoll": 0}')
    row = Gains(sent_rig(), tmp_path / "gains.json").apply(read_take(str(tmp_path / "take.npz"))).slice(0, 1)
    sent = dict(zip(rig("livelink").names, Pose(row, 0).values("livelink").tolist(), strict=True))
    assert (sent["RightEyeYaw"], sent["EyeLookInLeft"], sent["LeftEyeRoll"], sent["JawOpen"]) == (0.125, 0.125, 0, 0.25)


def test_a_looped_file_goes_on(voice: Path) -> None:
    feed = open_feed(spec(str(voice)), fake, loop=True)
    taken = 0
    while taken < 200:
        taken += feed.buffer.take() is not None
    feed.close()


def test_a_server_can_make_the_frames(voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facerig import client

    asked: list[object] = []

    def stream(samples: Iterator[np.ndarray], target: client.Target, rate: int, opened: object,
               **wish: object) -> Iterator[client.Frame]:
        asked.extend((target.addresses, rate, wish["rig"], wish["controls"], wish["seed"], sum(map(len, samples))))
        yield from (client.Frame(k, (0.25,) * len(rig("facerig-full"))) for k in range(3))

    monkeypatch.setattr(client, "stream", stream)
    server, _ = servers.parse("a:1,b:2")
    feed = open_feed(spec(str(voice)), fake, server=server, steering=Steering(Asked(emotion="happy:0.5"), 7))
    got = []
    while not feed.buffer.ended:
        row = feed.buffer.take()
        got += [] if row is None else [float(row["jawOpen"][0])]
    assert got == [0.25] * 3
    assert asked == [("a:1", "b:2"), RATE, "facerig-full", {"emotion:happy": 0.5}, 7, RATE]


def test_controls_reach_the_model_that_runs_here(voice: Path) -> None:
    held = drained(open_feed(spec(str(voice)), fake, steering=Steering(Asked(("gain:jaw=0",)))))
    plain = drained(open_feed(spec(str(voice)), fake))
    assert not held["jawOpen"].any()
    assert plain["jawOpen"].max() > 0.05


def test_recorded_curves_take_no_controls(tmp_path: Path) -> None:
    write_file(tmp_path / "take.npz", Curves(NATIVE.names, 60, np.zeros((3, len(NATIVE)), np.float32)).to_npz())
    with pytest.raises(OptionError, match="recorded curves"):
        open_feed(spec(str(tmp_path / "take.npz")), fake, steering=Steering(Asked(emotion="happy")))


@pytest.mark.parametrize(("text", "protocol", "addresses", "audio"), [
    ("h:1,i:2", "facerig", ("h:1", "i:2"), ""),
    ("a2f://10.0.0.5", "a2f", ("10.0.0.5:52000",), ""),
    ("a2f://h:1,i?audio=voice.wav", "a2f", ("h:1", "i:52000"), "voice.wav"),
    ("facerig://?audio=mic:USB", "facerig", ("127.0.0.1:52100",), "mic:USB"),
    ("a2f://[::1]?tls=on", "a2f", ("[::1]:52000",), ""),
])
def test_servers_have_addresses_and_voices(text: str, protocol: str, addresses: tuple[str, ...], audio: str) -> None:
    server, voice_of = servers.parse(text)
    assert (server.protocol, server.target.addresses, voice_of) == (protocol, addresses, audio)
    assert server.target.tls == ("tls=on" in text)


def test_a_source_may_name_its_server(tmp_path: Path) -> None:
    assert spec("a2f://h:1?audio=x/ada.wav") == Spec("a2f://h:1?audio=x/ada.wav", "audio", "ada", "x/ada.wav",
                                                      "a2f://h:1?audio=x/ada.wav")
    assert (spec("facerig://h").kind, spec("a2f://h?audio=-").kind) == ("mic", "stdin")


@pytest.mark.parametrize("text", ["a2f://h:1?audio=take.csv", "a2f://h:1?audio=a2f://h", "a2f://h?loud=1", "a2f://h:x",
                                  "a2f://h?tls=perhaps"])
def test_wrong_server_sources_say_what_is_accepted(text: str) -> None:
    with pytest.raises(OptionError, match="accepted"):
        spec(text)


@pytest.mark.parametrize(("source", "options"), [("-", {"loop": True}), ("mic", {"loop": True})])
def test_only_files_can_be_looped(source: str, options: dict[str, bool]) -> None:
    with pytest.raises(OptionError, match="accepted: a file"):
        open_feed(spec(source), fake, **options)  # type: ignore[arg-type]
