"""Targets over real sockets of this machine; no test waits for a fixed time."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bridge_samples import NAMES, port, pose, until

from facerig.errors import FacerigError, OptionError, ServiceError
from unreal_bridge import ifacialmocap, livelink, osc
from unreal_bridge.lanes import Lane
from unreal_bridge.pose import Pose
from unreal_bridge.targets import SCHEMES, make, parse
from unreal_bridge.udp import vmc_encoder

# ---- datagram targets ---------------------------------------------------------------------------------------------


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
        back.settimeout(60)
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


# ---- addresses ----------------------------------------------------------------------------------------------------


def test_addresses_have_defaults() -> None:
    for scheme, row in SCHEMES.items():
        address = parse(f"{scheme}://10.0.0.5")
        assert (address.host, address.port, address.subject, address.fps) == ("10.0.0.5", row.port, "facerig", 60)
    assert parse("livelink://[::1]:5/A").host == "::1"


@pytest.mark.parametrize("text", [
    "", "livelink", "nothing://x", "livelink://x:0", "livelink://x:99999", "livelink://x:a", "livelink://x?colour=1",
    "livelink://x?fps=25", "livelink://x?fps=-1", "livelink://x#a", "livelink://[x", "vmc://x?names=none",
    "vmc://x?bones=perhaps", "vmc://x?size=1", "ue56://127.0.0.1?first=x", "ue56://127.0.0.1?controls=x",
    "ue56://127.0.0.1?head=x", "ifm://x?mode=y", "osf://x/Ada", "vmc://x:1/Ada", "livelink://x\n",
])
def test_wrong_addresses_say_what_is_accepted(text: str) -> None:
    with pytest.raises(OptionError, match="accepted"):
        make(text)


def test_names_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(FacerigError, match="300 bytes"):
        make("livelink://127.0.0.1/" + "x" * 300)


@pytest.mark.parametrize("number", [0, 1])
def test_several_faces_do_not_share_one_subject(number: int) -> None:
    with pytest.raises(OptionError, match="one subject for several faces"):
        make("livelink://127.0.0.1/Ada", "bob", number, several=True)


@pytest.mark.parametrize("base", [0, 20 * 3600 * 60, 60 * 86_400 - 60])
def test_vmc_counts_steady_seconds_at_any_hour(base: int) -> None:
    encode = vmc_encoder("arkit-pascal", True, 1400)
    times = [float(arguments[0]) for k in range(240) for data in encode(pose(base + k))
             for where, arguments in osc.decode(data) if where == "/VMC/Ext/T"]
    assert np.diff(times) == pytest.approx(1 / 60, abs=1e-4)


def test_further_faces_get_their_own_port_or_are_refused() -> None:
    with pytest.raises(OptionError, match="several faces"):
        make("vmc://127.0.0.1", "b", 1)
    assert len(NAMES) == 52
    made = make("livelink://127.0.0.1", "b", 1, several=True)
    assert made.name == "livelink://127.0.0.1"
