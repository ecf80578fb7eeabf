"""Targets over real sockets of this machine; no test waits for a fixed time."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_samples import NAMES, port, pose, until

from facerig.errors import FacerigError, OptionError, ServiceError
from unreal_bridge import ifacialmocap, livelink, osc
from unreal_bridge.lanes import Lane
from unreal_bridge.pose import Pose
from unreal_bridge.targets import SCHEMES, make, parse
from unreal_bridge.udp import Place, UdpTarget, vmc_encoder

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


class Cut:
    """A socket that can send no more."""

    def __init__(self, number: int) -> None:
        self.number, self.open = number, True

    def send(self, _: bytes) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def close(self) -> None:
        self.open = False


def cut(target: Any, number: int) -> Cut:
    """The target's socket gone bad."""
    assert isinstance(target, UdpTarget)
    target.close()
    bad = Cut(number)
    target._socket = bad  # type: ignore[assignment]
    return bad


@pytest.mark.parametrize("lost", ["ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EINVAL", "EADDRNOTAVAIL"])
def test_a_target_goes_on_when_our_own_address_has_changed(lost: str, ear: socket.socket) -> None:
    target = make(f"livelink://127.0.0.1:{port(ear)}")
    assert target.send(pose(1)) == 1
    bad = cut(target, getattr(errno, lost))
    with pytest.raises(OSError, match=r".+"):
        target.send(pose(2))
    assert not bad.open
    assert target.send(pose(3)) == 1
    assert [livelink.decode(ear.recv(2048)).frame for _ in range(2)] == [1, 3]
    target.close()


@pytest.mark.parametrize(("number", "words"), [("EAGAIN", ""), ("ENOBUFS", ""), ("EMSGSIZE", "long")])
def test_a_socket_that_is_only_full_is_kept(number: str, words: str, ear: socket.socket) -> None:
    target = make(f"livelink://127.0.0.1:{port(ear)}")
    bad = cut(target, getattr(errno, number))
    if words:
        with pytest.raises(OSError, match=words):
            target.send(pose())
    else:
        assert target.send(pose()) == 0
        assert target.status() == "the network is full"
    assert (bad.open, target.prompt) == (True, True)


def found(*ears: tuple[str, int]) -> list[tuple[Any, ...]]:
    """What a name server would say: IPv6 addresses and IPv4."""
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM, 17, "",
             (host, number, 0, 0) if ":" in host else (host, number)) for host, number in ears]


def test_a_name_is_looked_up_again_where_its_address_has_no_way(ear: socket.socket,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as moved:
        moved.bind(("127.0.0.1", 0))
        moved.settimeout(60)
        places = [port(ear), port(ear), port(moved)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(("127.0.0.1", places.pop(0))))
        target = make("livelink://studio")
        for frame, seconds in enumerate((5.0, 5.0, 0.0, 0.0)):  # not oftener than that
            monkeypatch.setattr("unreal_bridge.udp.RESOLVE_SECONDS", seconds)
            assert target.send(pose(frame)) == 1
            cut(target, errno.ENETUNREACH)
            with pytest.raises(OSError, match="unreachable"):
                target.send(pose())
        assert [livelink.decode(ear.recv(2048)).frame for _ in range(3)] == [0, 1, 2]
        assert livelink.decode(moved.recv(2048)).frame == 3


@pytest.mark.parametrize("scheme", ["livelink", "vmc", "ifm", "osf"])
def test_a_name_with_both_addresses_is_sent_to_by_ipv4(scheme: str, ear: socket.socket,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    both = found(("::1", port(ear)), ("127.0.0.1", port(ear)))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    target = make(f"{scheme}://studio")
    assert target.send(pose()) == 1
    assert ear.recv(4096)
    target.close()


def test_a_name_with_ipv6_alone_is_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ear:
        try:
            ear.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        ear.settimeout(60)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(("::1", port(ear))))
        target = make("livelink://studio")
        assert target.send(pose(7)) == 1
        assert livelink.decode(ear.recv(2048)).frame == 7
        target.close()


class Nowhere(Place):
    """An address that there is no way to."""

    def connected(self) -> socket.socket:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")


def test_a_host_is_reached_by_whichever_address_has_a_way(ear: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Nowhere(socket.AF_INET, socket.SOCK_DGRAM, 17, ())
    places = [lost, Place(socket.AF_INET, socket.SOCK_DGRAM, 17, ("127.0.0.1", port(ear)))]
    monkeypatch.setattr("unreal_bridge.udp._resolve", lambda *_: places)
    target = make("livelink://studio")
    assert target.send(pose()) == 1
    assert livelink.decode(ear.recv(2048)).subject == "facerig"
    target.close()
    places.pop()
    with pytest.raises(OSError, match="unreachable"):
        target.send(pose())


def test_a_name_that_cannot_be_asked_for_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise UnicodeError("label empty or too long")

    monkeypatch.setattr(socket, "getaddrinfo", refuses)
    with pytest.raises(ServiceError, match=r"studio: label empty.*again"):
        make("livelink://studio").send(pose())


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
    "livelink://studio..local", "vmc://" + "a" * 70, "ue56://x..y", "vts://.x", "ifm://x..y?mode=phone",
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
    with pytest.raises(OptionError, match=r"no port after 65535 for the face 'b', accepted: a port of at most 65534"):
        make("ue56://127.0.0.1:65535", "b", 1, several=True)
    with pytest.raises(OptionError, match="65534"):
        make("ifm://127.0.0.1:65535?mode=phone", "b", 1, several=True)
    assert len(NAMES) == 52
    made = make("livelink://127.0.0.1", "b", 1, several=True)
    assert made.name == "livelink://127.0.0.1"
