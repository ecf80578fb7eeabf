"""Protocols with a conversation: the phone's side of iFacialMocap, and VTube Studio over a real websocket."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from bridge_samples import port, pose, until

from facerig.errors import FacerigError
from unreal_bridge import ifacialmocap
from unreal_bridge.phone import PhoneTarget
from unreal_bridge.vts_client import VtsTarget

# ---- the phone's side ---------------------------------------------------------------------------------------------


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
        pc.settimeout(60)
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


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no socket here hears IPv4 and IPv6")
@pytest.mark.parametrize(("listens", "asks"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
@pytest.mark.parametrize("tcp", [False, True])
def test_phone_answers_by_both_families(listens: str, asks: str, tcp: bool) -> None:
    family = socket.AF_INET6 if ":" in asks else socket.AF_INET
    with socket.create_server((asks, 0), family=family) as pc, socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.bind((asks, 0))
        for link in (pc, asker):
            link.settimeout(60)
        phone = PhoneTarget("ifm", listens, 0, reply_port=port(asker), tcp_port=port(pc))
        dialect = next(d for d in ifacialmocap.REQUESTS.values() if d.tcp == tcp)
        asker.sendto(ifacialmocap.request(dialect), (asks, phone.port))
        until(lambda: phone.send(pose(jawOpen=0.5)) == 1)
        assert "1 PC" in phone.status()
        if tcp:
            with pc.accept()[0] as link:
                assert b"jawOpen" in link.recv(4096)
        else:
            assert b"jawOpen" in asker.recv(4096)
        phone.close()


# ---- VTube Studio -------------------------------------------------------------------------------------------------


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
        one = pose(jawOpen=0.5)
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
        thread.join(60)
    with pytest.raises(FacerigError, match=r"again|API"):
        VtsTarget("vts", "127.0.0.1", address[1], token_file=tmp_path / "other").send(one)
