"""Clock, lanes and targets over real sockets of this machine; no test waits for a fixed time."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bridge_samples import NAMES, control
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bridge_ue56 import answers

from facerig.curves import Curves
from facerig.errors import FacerigError, OptionError, ServiceError
from facerig.rig import rig
from unreal_bridge import face as faces
from unreal_bridge import ifacialmocap, livelink, metahuman, ue56
from unreal_bridge.clock import Clock, timecode
from unreal_bridge.lanes import DEPTH, Fan, Lane
from unreal_bridge.phone import PhoneTarget
from unreal_bridge.pose import Pose
from unreal_bridge.targets import SCHEMES, make, parse
from unreal_bridge.ue56_server import Ue56Target

FULL = rig("facerig-full").names


def pose(frame: int = 600, **channels: float) -> Pose:
    values = np.zeros((1, len(FULL)), np.float32)
    for name, value in channels.items():
        values[0, FULL.index(name)] = value
    return Pose(Curves(FULL, 60, values), frame, 60, 0.25)


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def port(link: socket.socket) -> int:
    return int(link.getsockname()[1])


def until(met: Callable[[], bool], link: socket.socket | None = None) -> None:
    """Wait for another thread, up to 5 s."""
    event = threading.Event()
    for _ in range(1000):
        if met():
            return
        event.wait(0.005)
    raise AssertionError("did not happen within 5 s")


# ---- conventions -------------------------------------------------------------------------------------------------


def test_head_turns_keep_their_sign_from_rig_to_every_wire() -> None:
    """Yaw to the own left, nose down, crown to the own right shoulder."""
    turned = pose(headYaw=0.3, headPitch=0.2, headRoll=0.1)
    head = turned.face().head
    assert (head.right, head.down, head.tilt) == pytest.approx((-0.3, 0.2, 0.1), abs=1e-4)
    assert turned.values("livelink")[52:55] == pytest.approx(np.degrees([0.3, 0.2, 0.1]) / 50, abs=1e-4)
    roll, pitch, yaw, *place = metahuman.head_degrees(head)
    assert (roll, pitch, yaw) == pytest.approx(np.degrees([0.1, -0.2, -0.3]), abs=0.01)
    assert place == [0.0, 0.0, 0.0]
    assert metahuman.head_legacy(head)[2] == pytest.approx(np.degrees(-0.3) / 50, abs=1e-3)


@pytest.mark.parametrize(("shape", "slot", "sign"), [
    ("eyeLookOutLeft", "LeftEyeYaw", -1), ("eyeLookInLeft", "LeftEyeYaw", 1), ("eyeLookOutRight", "RightEyeYaw", 1),
    ("eyeLookInRight", "RightEyeYaw", -1), ("eyeLookUpLeft", "LeftEyePitch", -1),
    ("eyeLookDownRight", "RightEyePitch", 1)])
def test_gaze_shapes_come_with_the_eye_angles_of_a_phone(shape: str, slot: str, sign: int) -> None:
    values = pose(**{shape: 0.5}).values("livelink")
    angles = {name: float(values[k]) for k, name in enumerate(rig("livelink").names) if k >= faces.SHAPES}
    assert angles.pop(slot) * sign > 0.2
    assert not any(angles.values())


@pytest.mark.parametrize("name", rig("arkit").names)
def test_no_shape_changes_its_side_or_its_name(name: str) -> None:
    """jawLeft stays JawLeft in Live Link's order, which is not the CSV's."""
    values = pose(**{name: 0.5}).values("livelink")[: faces.SHAPES]
    moved = [rig("livelink").names[k] for k in np.flatnonzero(values)]
    assert moved == [name[0].upper() + name[1:]]


@pytest.mark.parametrize(("channel", "side"), [(f"{n}{s}", s) for n in (
    "eyeBlink", "mouthSmile", "mouthFrown", "mouthUpperUp", "mouthPress", "browDown", "noseSneer", "cheekSquint")
    for s in ("Left", "Right")])
def test_metahuman_controls_move_on_the_same_side(channel: str, side: str) -> None:
    names = rig("metahuman").names
    moved = [names[k] for k in np.flatnonzero(pose(**{channel: 0.5}).values("metahuman"))]
    assert moved
    assert all(name.endswith(side[0]) for name in moved)


def test_metahuman_gets_what_arkit_cannot_say() -> None:
    names = rig("metahuman").names
    values = dict(zip(names, pose(tongueTipUp=0.5, jawOpen=0.4, mouthClose=0.2).values("metahuman"), strict=True))
    assert values["CTRL_expressions_tongueTipUp"] == pytest.approx(0.5)
    assert values["CTRL_expressions_mouthLipsTogetherUL"] == pytest.approx(0.5)
    sticky = dict(zip(names, metahuman.with_sticky(np.array(list(values.values())), names), strict=True))
    assert sticky["CTRL_expressions_mouthStickyUOUTL"] == pytest.approx(1.0)
    assert sticky["CTRL_expressions_mouthStickyUC"] == 0.0


# ---- clock -------------------------------------------------------------------------------------------------------


class Fake:
    """A clock of a test: sleeping moves it, a little more or less than asked."""

    def __init__(self, error: float = 0.0) -> None:
        self.time, self.error, self.slept = 100.0, error, 0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.time += max(1e-5, seconds + self.error)


@settings(deadline=None, max_examples=20)
@given(error=st.floats(-0.004, 0.004))
def test_an_hour_of_frames_has_no_drift(error: float) -> None:
    fake = Fake(error)
    clock = Clock(60, fake.now, fake.sleep)
    for frame in range(600):
        assert clock.wait() == frame
        assert 0 <= fake.time - (100.0 + frame / 60) < 0.005
    assert clock.due(216_000) == 100.0 + 3600.0


def test_a_long_stop_is_left_out_and_a_short_one_made_up() -> None:
    fake = Fake()
    clock = Clock(60, fake.now, fake.sleep)
    clock.wait()
    fake.time += 0.1
    assert [clock.wait() for _ in range(7)] == list(range(1, 8))
    assert clock.skipped == 0
    fake.time += 10.0
    frame = clock.wait()
    assert fake.time - clock.due(frame) < 2 / 60
    assert clock.skipped == frame - 8 > 590


def test_timecode_of_the_day() -> None:
    assert timecode(60, 3600.0) == (216_000, 0.0)
    frame, sub = timecode(60, 86_399.9999999)
    assert frame == 5_183_999
    assert 0 <= sub < 1


# ---- lanes -------------------------------------------------------------------------------------------------------


class Slow:
    """A target that hangs until it is let go."""

    name, fps, prompt = "slow", 60, False

    def __init__(self) -> None:
        self.gate, self.seen = threading.Event(), []

    def prepare(self, pose: Pose) -> None:
        pass

    def send(self, sent: Pose) -> int:
        self.gate.wait(5)
        self.seen.append(sent.frame)
        return 1

    def status(self) -> str:
        return ""

    def close(self) -> None:
        pass


class Broken(Slow):
    name = "broken"

    def send(self, sent: Pose) -> int:
        self.seen.append(sent.frame)
        raise OSError("out of reach")


def test_a_stalled_target_delays_nobody_and_gets_the_present_again() -> None:
    slow, quick = Slow(), Slow()
    quick.gate.set()
    fan = Fan([slow, quick])
    for frame in range(50):
        fan.put(pose(frame))
        until(lambda frame=frame: len(quick.seen) == frame + 1)
    assert quick.seen == list(range(50))
    assert slow.seen == []
    slow.gate.set()
    until(lambda: len(slow.seen) == DEPTH + 1)
    assert slow.seen[-DEPTH:] == [47, 48, 49]
    assert fan.lanes[0].counts.dropped == 50 - DEPTH - 1
    fan.close()


def test_a_failing_target_is_tried_again_with_every_pose() -> None:
    broken = Broken()
    lane = Lane(broken)
    for frame in range(3):
        lane.put(pose(frame))
        until(lambda frame=frame: lane.counts.failed == frame + 1)
    assert lane.describe() == "out of reach"
    lane.close()


def test_lower_rates_get_every_nth_frame_under_its_own_number(ear: socket.socket) -> None:
    lane = Lane(make(f"livelink://127.0.0.1:{port(ear)}?fps=30"))
    for frame in range(600, 604):
        lane.put(pose(frame, jawOpen=0.5))
    got = [livelink.decode(ear.recv(2048)) for _ in range(2)]
    assert [(p.frame, p.numerator) for p in got] == [(300, 30), (301, 30)]
    lane.close()


# ---- datagram targets --------------------------------------------------------------------------------------------


def test_livelink_target_sends_what_its_address_says(ear: socket.socket) -> None:
    target = make(f"livelink://127.0.0.1:{port(ear)}/J%C3%BCrgen")
    assert target.send(pose(5_375_735, jawLeft=0.5, headYaw=0.1)) == 1
    packet = livelink.decode(ear.recv(2048))
    assert (packet.subject, packet.device) == ("Jürgen", livelink.device_id("Jürgen"))
    assert (packet.frame, packet.subframe, packet.numerator, packet.denominator) == (5_375_735, 0.25, 60, 1)
    assert packet.values is not None
    assert packet.values[15] == 0.5
    target.send(Pose(None, 5_375_736))
    assert livelink.decode(ear.recv(2048)).values is None
    target.close()


def test_a_target_that_is_absent_and_comes_back() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = port(probe)
    target = make(f"livelink://127.0.0.1:{free}")
    until(lambda: (target.send(pose()), target.status())[1] == "nobody listens")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind(("127.0.0.1", free))
        back.settimeout(5)
        until(lambda: target.send(pose()) == 1 and target.send(pose()) == 1)
        assert livelink.decode(back.recv(2048)).subject == "facerig"
    target.close()


def test_a_host_without_an_address_is_reported_and_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def nobody(host: str, *_: object, **__: object) -> None:
        tries.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    target = make("livelink://no.such.host")
    for _ in range(3):
        with pytest.raises(ServiceError, match="again"):
            target.send(pose())
    assert tries == ["no.such.host"]


def test_vmc_receiver_of_others_is_content(validators: Path) -> None:
    pytest.importorskip("pythonosc")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = port(probe)
    command = [sys.executable, str(validators / "v_vmc.py"), "--port", str(free), "--frames", "5", "--names",
               str(validators / "arkit52_pascal.txt")]
    ran = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    target = make(f"vmc://127.0.0.1:{free}")
    until(lambda: (target.send(pose(jawOpen=0.5, headYaw=0.2)), ran.poll() is not None)[1])
    output = ran.communicate()[0]
    assert ran.returncode == 0, output
    assert "note:" not in output  # nothing above the MTU
    target.close()


@pytest.mark.parametrize(("names", "expected"), [
    ("vrm0", "A"), ("vrm", "aa"), ("arkit", "jawOpen"), ("meta", "JAW_DROP")])
def test_vmc_speaks_the_names_that_are_asked_for(ear: socket.socket, names: str, expected: str) -> None:
    from unreal_bridge import vmc

    target, receiver, frames = make(f"vmc://127.0.0.1:{port(ear)}?names={names}"), vmc.Receiver(), []
    target.send(pose(jawOpen=0.6))
    while not frames:
        frames = receiver.feed(ear.recv(2048))
    assert frames[0][expected] > 0.1
    target.close()


def test_openseeface_and_pushed_ifacialmocap_arrive(ear: socket.socket) -> None:
    for scheme, size in (("osf", 1785), ("ifm", None), ("fm3d", None)):
        target = make(f"{scheme}://127.0.0.1:{port(ear)}")
        target.send(pose(jawOpen=0.5, mouthLeft=0.25))
        data = ear.recv(4096)
        if size:
            assert len(data) == size
        else:
            assert ifacialmocap.decode(data).weights["mouthLeft"] == 0.25
        target.close()


# ---- the phone's side --------------------------------------------------------------------------------------------


def test_phone_answers_whoever_asks_until_it_stops(ear: socket.socket) -> None:
    phone = PhoneTarget("ifm", "127.0.0.1", 0, reply_port=port(ear))
    assert phone.send(pose()) == 0
    ear.sendto(ifacialmocap.request(ifacialmocap.FM3D), ("127.0.0.1", phone.port))
    until(lambda: phone.send(pose(eyeBlinkLeft=1.0)) == 1)
    assert b"eyeBlinkLeft&100|" in ear.recv(4096)
    ear.sendto(ifacialmocap.STOP.encode(), ("127.0.0.1", phone.port))
    until(lambda: phone.send(pose()) == 0)
    phone.close()


def test_phone_connects_by_tcp_where_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as pc, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        pc.settimeout(5)
        phone = PhoneTarget("ifm", "127.0.0.1", 0, tcp_port=port(pc))
        dialect = next(d for d in ifacialmocap.REQUESTS.values() if d.tcp)
        asker.sendto(ifacialmocap.request(dialect), ("127.0.0.1", phone.port))
        until(lambda: phone.send(pose(jawOpen=0.5)) == 1)
        link, _ = pc.accept()
        with link:
            data = b""
            while not data.endswith(ifacialmocap.TCP_END):
                data += link.recv(4096)
            assert ifacialmocap.decode(data.split(ifacialmocap.TCP_END)[0]).weights["jawOpen"] == 0.5
        until(lambda: phone.send(pose()) == 0)  # the PC has gone
        phone.close()


# ---- the 5.6 server ----------------------------------------------------------------------------------------------


class Unreal:
    """What Unreal does, from the stated layout: one TCP connection and a UDP port."""

    def __init__(self, server_port: int, ear: socket.socket) -> None:
        self.link = socket.create_connection(("127.0.0.1", server_port), 5)
        self.ear, self.number, self.session = ear, 0, "handshake"

    def ask(self, path: str, **body: object) -> dict:  # type: ignore[type-arg]
        self.number += 1
        self.link.sendall(control(path, self.session, self.number, **body))
        data = b""
        while len(data) < 17 or len(data) < 17 + int.from_bytes(data[13:17], "little"):
            data += self.link.recv(65_536)
        (answer,) = answers(data)
        assert answer["transactionId"] == self.number
        return answer

    def begin(self, subject: int = 0) -> dict:  # type: ignore[type-arg]
        self.session = self.ask("/session/start")["body"]["sessionId"]
        chosen = self.ask("/stream/subjects")["body"]["subjects"][subject]
        entry = {"id": chosen["id"], "name": chosen["name"]}
        assert "error" not in self.ask("/stream/start", streamPort=port(self.ear), subjects=[entry])
        return chosen


@pytest.fixture
def server() -> Iterator[Ue56Target]:
    target = Ue56Target("ue56", "127.0.0.1", 0, metahuman.offers("Ada"), ue56.Device("d", "Ada"))
    yield target
    target.close()


@pytest.mark.parametrize(("subject", "kind", "control_name"), [
    (0, "mha", "CTRL_expressions_jawLeft"), (1, "arkit", "JawLeft")])
def test_unreal_gets_the_controls_that_were_announced(server: Ue56Target, ear: socket.socket, subject: int, kind: str,
                                                      control_name: str) -> None:
    engine = Unreal(server.port, ear)
    chosen = engine.begin(subject)
    assert chosen["animationMetadata"]["type"] == kind
    until(lambda: server.send(pose(77, jawLeft=0.5, headYaw=-0.1)) == 1)
    datagram = ue56.decode(ear.recv(4096))
    assert (datagram.subject, datagram.frame, datagram.numerator) == (chosen["id"], 77, 60)
    controls = chosen["animationMetadata"]["controls"]
    moved = {name: value for name, value in zip(controls, datagram.values, strict=True) if value}
    assert moved == {control_name: pytest.approx(0.5, abs=1 / 65_535)}
    assert datagram.head[2] == pytest.approx(np.degrees(0.1), abs=0.01)
    engine.link.close()


def test_streams_end_with_the_connection_and_begin_again_with_a_new_one(server: Ue56Target, ear: socket.socket) -> None:
    first = Unreal(server.port, ear)
    first.begin()
    until(lambda: server.send(pose()) == 1)
    first.link.close()
    until(lambda: server.send(pose()) == 0)
    again = Unreal(server.port, ear)
    again.begin()
    until(lambda: server.send(pose()) == 1)
    assert "error" not in again.ask("/session/keep-alive")
    assert "error" not in again.ask("/stream/stop")
    assert server.send(pose()) == 0
    again.link.close()


def test_two_engines_are_served_and_a_bad_peer_harms_neither(server: Ue56Target, ear: socket.socket) -> None:
    engines = [Unreal(server.port, ear) for _ in range(2)]
    for number, engine in enumerate(engines):
        engine.begin(number)
    with socket.create_connection(("127.0.0.1", server.port), 5) as bad:
        bad.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert bad.recv(100) == b""  # refused and closed
    until(lambda: server.send(pose()) == 2)
    assert {ue56.decode(ear.recv(4096)).subject for _ in range(2)} == {"Ada-mha", "Ada-arkit"}
    assert "2 of 2" in server.status()
    for engine in engines:
        engine.link.close()


def test_a_silent_peer_is_dropped() -> None:
    target = Ue56Target("ue56", "127.0.0.1", 0, metahuman.offers("Ada"), ue56.Device("d", "Ada"), silence=0.0)
    with socket.create_connection(("127.0.0.1", target.port), 5) as link:
        assert link.recv(100) == b""
    target.close()


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_every_target_can_be_described_after_its_end(scheme: str) -> None:
    if scheme == "vts":
        pytest.importorskip("websockets")
    serves = "?mode=phone" if scheme in ("ifm", "fm3d") else ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = port(probe)
    lane = Lane(make(f"{scheme}://127.0.0.1:{free}{serves}"))
    lane.put(pose())
    lane.close(10)
    assert lane.describe()


def test_a_taken_port_is_a_plain_error(server: Ue56Target) -> None:
    with pytest.raises(ServiceError, match=f"{server.port}"):
        make(f"ue56://127.0.0.1:{server.port}")


# ---- addresses ---------------------------------------------------------------------------------------------------


def test_addresses_have_defaults() -> None:
    for scheme, row in SCHEMES.items():
        address = parse(f"{scheme}://10.0.0.5")
        assert (address.host, address.port, address.subject, address.fps) == ("10.0.0.5", row.port, "facerig", 60)
    assert parse("livelink://[::1]:5/A").host == "::1"


@pytest.mark.parametrize("text", [
    "", "livelink", "nothing://x", "livelink://x:0", "livelink://x:99999", "livelink://x:a", "livelink://x?colour=1",
    "livelink://x?fps=25", "livelink://x?fps=-1", "livelink://x#a", "livelink://[x", "vmc://x?names=none",
    "vmc://x?bones=perhaps", "vmc://x?size=1", "ue56://127.0.0.1?first=x", "ue56://127.0.0.1?controls=x",
    "ue56://127.0.0.1?head=x", "ifm://x?mode=y", "livelink://x\n",
])
def test_wrong_addresses_say_what_is_accepted(text: str) -> None:
    with pytest.raises(OptionError, match="accepted"):
        make(text)


def test_names_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(FacerigError, match="300 bytes"):
        make("livelink://127.0.0.1/" + "x" * 300)


def test_further_faces_get_their_own_port_or_are_refused() -> None:
    with pytest.raises(OptionError, match="several faces"):
        make("vmc://127.0.0.1", "b", 1)
    assert len(NAMES) == 52
    made = make("livelink://127.0.0.1", "b", 1)
    assert made.name == "livelink://127.0.0.1"
