"""The server that Unreal 5.6's source connects to, over real sockets, and what it streams."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from bridge_samples import control, port, pose, until
from test_bridge_ue56 import answers

from facerig.errors import ServiceError
from unreal_bridge import metahuman, ue56
from unreal_bridge.targets import make
from unreal_bridge.udp import at_port
from unreal_bridge.ue56_server import Ue56Target


class Unreal:
    """What Unreal does, from the stated layout: one TCP connection and a UDP port."""

    def __init__(self, server_port: int, ear: socket.socket, host: str = "127.0.0.1") -> None:
        self.link = socket.create_connection((host, server_port), 60)
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
    with socket.create_connection(("127.0.0.1", server.port), 60) as bad:
        bad.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert bad.recv(100) == b""  # refused and closed
    until(lambda: server.send(pose()) == 2)
    assert {ue56.decode(ear.recv(4096)).subject for _ in range(2)} == {"Ada-mha", "Ada-arkit"}
    assert "2 of 2" in server.status()
    for engine in engines:
        engine.link.close()


def test_a_silent_peer_is_dropped() -> None:
    target = Ue56Target("ue56", "127.0.0.1", 0, metahuman.offers("Ada"), ue56.Device("d", "Ada"), silence=0.0)
    with socket.create_connection(("127.0.0.1", target.port), 60) as link:
        assert link.recv(100) == b""
    target.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no socket here hears IPv4 and IPv6")
def test_everywhere_is_ipv4_and_ipv6(ear: socket.socket) -> None:
    target = Ue56Target("ue56", "::", 0, metahuman.offers("Ada"), ue56.Device("d", "Ada"))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.bind(("::1", 0))
        six.settimeout(60)
        engines = [Unreal(target.port, ear), Unreal(target.port, six, "::1")]
        for engine in engines:
            engine.begin()
        until(lambda: target.send(pose(77)) == 2)
        assert [ue56.decode(one.recv(4096)).frame for one in (ear, six)] == [77, 77]
    for engine in engines:
        engine.link.close()
    target.close()


def test_a_peer_of_the_own_network_keeps_its_interface() -> None:
    assert at_port(("fe80::1", 50_000, 0, 3), 7) == ("fe80::1", 7, 0, 3)
    assert at_port(("127.0.0.1", 50_000), 7) == ("127.0.0.1", 7)


def test_a_taken_port_is_a_plain_error(server: Ue56Target) -> None:
    with pytest.raises(ServiceError, match=f"{server.port}"):
        make(f"ue56://127.0.0.1:{server.port}")
