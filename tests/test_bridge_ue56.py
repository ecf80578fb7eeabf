"""The Unreal 5.6 source: the whole conversation, its refusals, and its datagrams."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_samples import NAMES, control
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.errors import ProtocolError
from facerig.rig import rig
from unreal_bridge import metahuman, ue56

SUBJECTS = (ue56.Subject("mh", "Ada", "mha", ("CTRL_expressions_jawOpen", "CTRL_expressions_mouthLeft")),
            ue56.Subject("ak", "Ada ARKit", "arkit", NAMES))


def session() -> ue56.Session:
    return ue56.Session(ue56.Device("device", "facerig"), SUBJECTS, iter("ABCDEF").__next__, lambda: 1234)


def answers(data: bytes) -> list[dict[str, Any]]:
    """Read by the stated layout, not by our own reader."""
    out = []
    while data:
        assert data[:11] == b"CPSCONTROL\0"
        version, length = struct.unpack_from("<HI", data, 11)
        assert version == 1
        out.append(json.loads(data[17 : 17 + length]))
        data = data[17 + length :]
    return out


def ask(talk: ue56.Session, path: str, session_id: str = "A", number: int = 5, **body: object) -> dict[str, Any]:
    (answer,) = answers(talk.feed(control(path, session_id, number, **body)))
    assert (answer["addressPath"], answer["transactionId"], answer["type"]) == (path, number, "response")
    assert answer["timestamp"] == 1234
    return answer


def begun() -> ue56.Session:
    talk = session()
    assert ask(talk, "/session/start", "handshake")["body"] == {"sessionId": "A"}
    return talk


def test_the_order_of_requests_that_unreal_makes() -> None:
    talk = begun()
    info = ask(talk, "/information")["body"]
    assert set(info) == {"id", "name", "model", "platformName", "platformVersion", "softwareName", "softwareVersion",
                         "exportPort"}
    subjects = ask(talk, "/stream/subjects")["body"]["subjects"]
    assert [(s["id"], s["name"], s["animationMetadata"]["type"]) for s in subjects] == [
        ("mh", "Ada", "mha"), ("ak", "Ada ARKit", "arkit")]
    assert subjects[1]["animationMetadata"]["controls"] == list(NAMES)
    assert talk.stream is None
    started = ask(talk, "/stream/start", streamPort=50_000, subjects=[{"id": "mh", "name": "Ada"}])
    assert "body" not in started
    assert "error" not in started
    assert talk.stream == ue56.Stream(50_000, ("mh",))
    assert "error" not in ask(talk, "/session/keep-alive")
    assert "error" not in ask(talk, "/stream/stop")
    assert talk.stream is None
    assert "error" not in ask(talk, "/session/stop")
    assert talk.closing


@pytest.mark.parametrize(("path", "body", "error"), [
    ("/stream/nothing", {}, "unknownPath"),
    ("/stream/start", {"streamPort": 0, "subjects": [{"id": "mh"}]}, "invalidPort"),
    ("/stream/start", {"streamPort": 70_000, "subjects": [{"id": "mh"}]}, "invalidPort"),
    ("/stream/start", {"streamPort": True, "subjects": [{"id": "mh"}]}, "invalidPort"),
    ("/stream/start", {"streamPort": "9", "subjects": [{"id": "mh"}]}, "invalidPort"),
    ("/stream/start", {"streamPort": 9}, "invalidSubjects"),
    ("/stream/start", {"streamPort": 9, "subjects": []}, "invalidSubjects"),
    ("/stream/start", {"streamPort": 9, "subjects": ["mh"]}, "unknownSubject"),
    ("/stream/start", {"streamPort": 9, "subjects": [{"id": "who"}]}, "unknownSubject"),
])
def test_wrong_requests_get_the_error_form_and_change_nothing(path: str, body: dict[str, Any], error: str) -> None:
    talk = begun()
    answer = ask(talk, path, **body)
    assert answer["error"] == error
    assert answer["description"]
    assert "body" not in answer
    assert talk.stream is None
    assert "error" not in ask(talk, "/session/keep-alive")


def test_requests_outside_a_session_are_refused() -> None:
    assert ask(session(), "/information")["error"] == "invalidSession"
    assert ask(begun(), "/information", "someone else's")["error"] == "invalidSession"
    talk = begun()
    ask(talk, "/session/stop")
    assert ask(talk, "/stream/subjects")["error"] == "invalidSession"


def test_a_second_start_on_the_connection_begins_anew() -> None:
    talk = begun()
    ask(talk, "/stream/start", streamPort=9, subjects=[{"id": "mh"}])
    assert ask(talk, "/session/start", "handshake")["body"] == {"sessionId": "B"}
    assert talk.stream is None
    assert ask(talk, "/session/keep-alive", "A")["error"] == "invalidSession"
    assert "error" not in ask(talk, "/session/keep-alive", "B")


def test_requests_may_come_in_any_pieces() -> None:
    data = control("/session/start", "handshake") + control("/information", "A")
    whole, pieces = session().feed(data), session()
    assert b"".join(pieces.feed(data[k : k + 1]) for k in range(len(data))) == whole


def test_answers_and_updates_from_the_other_side_are_not_answered() -> None:
    message = {"sessionId": "A", "addressPath": "/session/keep-alive", "transactionId": 1, "type": "response"}
    assert begun().feed(ue56.pack_control(message)) == b""


@pytest.mark.parametrize("number", [None, -1, 2**32, 1.5, "7", True])
def test_a_transaction_without_a_number_is_refused(number: object) -> None:
    message = {"sessionId": "A", "addressPath": "/information", "transactionId": number, "type": "request"}
    (answer,) = answers(begun().feed(ue56.pack_control(message)))
    assert answer["error"] == "invalidRequest"
    assert answer["transactionId"] == 0


@pytest.mark.parametrize(("bad", "words"), [
    (b"GET / HTTP/1.1\r\n", "CPSCONTROL"),
    (b"CPSCONTROL\0" + struct.pack("<HI", 2, 2) + b"{}", "version 2"),
    (b"CPSCONTROL\0" + struct.pack("<HI", 1, 2**32 - 1), "4294967295"),
    (b"CPSCONTROL\0" + struct.pack("<HI", 1, 2) + b"[]", "list"),
    (b"CPSCONTROL\0" + struct.pack("<HI", 1, 2) + b"{\xff", "UTF-8"),
    (b"CPSCONTROL\0" + struct.pack("<HI", 1, 100_000) + b"[" * 100_000, "not JSON"),
])
def test_a_broken_stream_is_refused(bad: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        session().feed(bad)


@settings(deadline=None)
@given(values=st.lists(st.floats(0, 1), max_size=260), subject=st.text(max_size=40),
       frame=st.integers(-2**31, 2**31 - 1), head=st.lists(st.floats(-180, 180, width=32), min_size=6, max_size=6))
def test_datagrams_hold_values_to_one_step(values: list[float], subject: str, frame: int, head: list[float]) -> None:
    read = ue56.decode(ue56.encode(subject, frame, values, head, 0.25, (60, 1)))
    assert (read.subject, read.frame, read.subframe, read.numerator, read.denominator) == (subject, frame, 0.25, 60, 1)
    assert read.head == tuple(head)
    assert len(read.values) == len(values)
    assert all(abs(a - b) <= 1 / 65_535 for a, b in zip(read.values, values, strict=True))


def test_datagram_layout_field_by_field() -> None:
    data = ue56.encode("Adä", 77, [0.0, 0.5, 1.0, 2.0, -1.0], (1, 2, 3, 4, 5, 6), 0.5, (30, 1))
    name = "Adä".encode()
    expected = struct.pack("<HH", 1, 4) + name + struct.pack("<ifii", 77, 0.5, 30, 1)
    expected += struct.pack("<H5H", 5, 0, 32768, 65535, 65535, 0) + struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    assert data == expected


@pytest.mark.parametrize(("values", "head"), [
    ([float("nan")], (0.0,) * 6),
    ([float("inf")], (0.0,) * 6),
    ([0.0], (float("nan"),) * 6),
    ([0.0], (0.0,) * 5),
    ([0.0] * 1100, (0.0,) * 6),
])
def test_what_the_datagram_cannot_hold_is_refused(values: list[float], head: tuple[float, ...]) -> None:
    with pytest.raises(ProtocolError):
        ue56.encode("s", 0, values, head)


def test_all_metahuman_controls_fit_unreals_buffer() -> None:
    assert len(ue56.encode("a" * 36, 0, np.zeros(251))) <= 2048


@pytest.mark.parametrize("name", metahuman.CONTROLS)
def test_sticky_corners_move_controls_that_every_metahuman_has(name: str, reference: Path) -> None:
    """Ten of them, within 0..1, none while the lips are apart or sealed."""
    known = [set((reference / f"metahuman_controls_{year}.txt").read_text().split()) for year in ("2022", "ue58")]
    controls = rig(name).names
    rest = np.zeros(len(controls), np.float32)
    for together in (0.0, 0.25, 0.5, 1.0):
        rest[controls.index("CTRL_expressions_mouthLipsTogetherUL")] = together
        moved = {control: value for control, value in zip(controls, metahuman.with_sticky(rest, controls), strict=True)
                 if "ticky" in control and value}
        assert bool(moved) == (0 < together < 1)
        assert all(0 < value <= 1 for value in moved.values())
        assert all(set(moved) <= one for one in known)
