"""VMC, iFacialMocap, FaceMotion3D and VTube Studio packets, and the signs of heads and eyes."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from bridge_samples import HEAD, NAMES, WEIGHTS, face
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.errors import ProtocolError
from unreal_bridge import face as faces
from unreal_bridge import ifacialmocap, osc, vmc, vts
from unreal_bridge.face import Face, Turn

ANGLE = st.floats(-1.2, 1.2)
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=20)


# ---- OSC and VMC ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(arguments=st.lists(st.integers(-2**31, 2**31 - 1) | st.floats(width=32, allow_nan=False, allow_infinity=False)
                          | TEXT, max_size=6), name=TEXT)
def test_python_osc_reads_our_messages(arguments: list[int | float | str], name: str) -> None:
    reference = pytest.importorskip("pythonosc.osc_message")
    message = reference.OscMessage(osc.message("/" + name, *arguments))
    assert message.address == "/" + name
    assert message.params == arguments
    assert osc.decode(osc.message("/" + name, *arguments)) == [("/" + name, tuple(arguments))]


def test_we_read_python_oscs_bundles() -> None:
    builder = pytest.importorskip("pythonosc.osc_bundle_builder")
    messages = pytest.importorskip("pythonosc.osc_message_builder")
    outer, inner = (builder.OscBundleBuilder(builder.IMMEDIATELY) for _ in range(2))
    for target, value in ((inner, 0.25), (outer, 0.5)):
        message = messages.OscMessageBuilder("/VMC/Ext/Blend/Val")
        message.add_arg("A", "s")
        message.add_arg(value, "f")
        target.add_content(message.build())
    outer.add_content(inner.build())
    assert osc.decode(outer.build().dgram) == [("/VMC/Ext/Blend/Val", ("A", 0.5)), ("/VMC/Ext/Blend/Val", ("A", 0.25))]


@pytest.mark.parametrize("bad", [
    b"/a", b"/a\0\0,i\0\0\0\0", b"/a\0\0i\0\0\0", b"nothing\0", b"/a\0x,\0\0\0",
    b"#bundle\0" + bytes(8) + b"\0\0\0\5ab", b"/a\0\0,f\0\0\x7f\xc0\0\0", b"/\xff\0\0,\0\0\0",
])
def test_broken_osc_is_refused(bad: bytes) -> None:
    with pytest.raises(ProtocolError):
        osc.decode(bad)


def test_bundles_nested_without_end_are_refused() -> None:
    data = osc.message("/a")
    for _ in range(20):
        data = osc.bundle([data])
    with pytest.raises(ProtocolError, match="deep"):
        osc.decode(data)


@pytest.mark.parametrize("argument", [float("nan"), float("inf"), 1e300, 2**31, "a\0b", "\ud800"])
def test_osc_arguments_that_do_not_fit_are_refused(argument: int | float | str) -> None:
    with pytest.raises(ProtocolError):
        osc.message("/a", argument)


def test_vmc_frame_is_split_under_the_mtu_and_applied_once_at_the_end() -> None:
    datagrams = vmc.encode(NAMES, WEIGHTS, 1.5)
    assert len(datagrams) == 2
    assert max(map(len, datagrams)) <= 1400
    addresses = [address for data in datagrams for address, _ in osc.decode(data)]
    assert addresses.count("/VMC/Ext/Blend/Val") == 52
    assert addresses[-1] == "/VMC/Ext/Blend/Apply"
    assert addresses.count("/VMC/Ext/Blend/Apply") == 1


def test_vmc_receiver_gathers_until_apply() -> None:
    receiver = vmc.Receiver()
    datagrams = vmc.encode(NAMES, WEIGHTS, 1.5, {"head": HEAD, "left_eye": Turn(0.1)})
    assert [receiver.feed(data) for data in datagrams[:-1]] == [[]] * (len(datagrams) - 1)
    (frame,) = receiver.feed(datagrams[-1])
    assert frame == {name: float(value) for name, value in zip(NAMES, WEIGHTS, strict=True)}
    assert receiver.turns["head"].right == pytest.approx(HEAD.right)
    assert set(receiver.turns) == {"head", "left_eye"}


def test_vmc_receiver_ignores_wrong_types_and_remembers_no_more_than_its_limit() -> None:
    receiver = vmc.Receiver(limit=10)
    wrong = osc.bundle([osc.message("/VMC/Ext/Blend/Val", "A", 1), osc.message("/VMC/Ext/Blend/Apply")])
    assert receiver.feed(wrong) == []
    for number in range(100):
        receiver.feed(osc.message("/VMC/Ext/Blend/Val", f"n{number}", 0.5))
    (frame,) = receiver.feed(osc.message("/VMC/Ext/Blend/Apply"))
    assert len(frame) == 10


# ---- signs ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(right=ANGLE, down=ANGLE, tilt=ANGLE)
def test_a_turn_survives_its_quaternion(right: float, down: float, tilt: float) -> None:
    back = Turn.of_quaternion(*Turn(right, down, tilt).quaternion())
    assert (back.right, back.down, back.tilt) == pytest.approx((right, down, tilt), abs=1e-6)


def rotated(turn: Turn, vector: tuple[float, float, float]) -> np.ndarray:
    """By the quaternion, in Unity's world: x right, y up, z ahead."""
    x, y, z, w = turn.quaternion()
    axis, v = np.array([x, y, z]), np.array(vector)
    return v + 2 * np.cross(axis, np.cross(axis, v) + w * v)


def test_head_turns_where_its_fields_say() -> None:
    assert rotated(Turn(right=0.3), (0, 0, 1))[0] > 0.2  # the nose goes to the right
    assert rotated(Turn(down=0.3), (0, 0, 1))[1] < -0.2  # the nose goes down
    assert rotated(Turn(tilt=0.3), (0, 1, 0))[0] > 0.2  # the crown goes to the right


def test_livelink_angles_round_trip_with_their_signs() -> None:
    whole = Face(NAMES, WEIGHTS, HEAD, Turn(0.1, 0.2, 0.0), Turn(-0.1, 0.2, 0.0))
    values = faces.to_livelink(whole)
    back = faces.from_livelink(values, NAMES)
    for part in ("head", "left_eye", "right_eye"):
        sent, read = getattr(whole, part), getattr(back, part)
        assert (read.right, read.down, read.tilt) == pytest.approx((sent.right, sent.down, sent.tilt))
    assert values[55] == pytest.approx(0.1)
    assert values[56] == pytest.approx(0.2)


def test_eye_angles_have_the_signs_of_real_captures(shared_data: Path) -> None:
    rows = list(csv.reader((shared_data / "captures/alex_rom_3.csv").read_text().splitlines()))
    column = {name: np.array([float(row[k]) for row in rows[1:]]) for k, name in enumerate(rows[0]) if k > 1}
    for side, away in (("Left", -1), ("Right", 1)):
        out = column[f"EyeLookOut{side}"] - column[f"EyeLookIn{side}"]
        up = column[f"EyeLookUp{side}"] - column[f"EyeLookDown{side}"]
        part = f"{side.lower()}_eye"
        signs = {axis: sign for name, axis, sign in faces.ANGLES if name == part}
        assert np.corrcoef(signs["right"] * column[f"{side}EyeYaw"], away * out)[0, 1] > 0.99
        assert np.corrcoef(signs["down"] * column[f"{side}EyePitch"], -up)[0, 1] > 0.99


# ---- iFacialMocap and FaceMotion3D ------------------------------------------------------------------------------


def test_ifacialmocap_line_has_the_stated_form() -> None:
    text = ifacialmocap.encode(("jawOpen", "mouthSmileRight", "jawLeft"), np.array([0.5, 1.0, 0.014], np.float32),
                               Turn(right=math.pi / 2)).decode()
    assert text.startswith("jawOpen-50|mouthSmile_R-100|jawLeft-1|=head#0.000000,90.000000,")
    assert text.endswith("|rightEye#0.000000,0.000000,0.000000|leftEye#0.000000,0.000000,0.000000|")
    assert text.count("=") == 1


@pytest.mark.parametrize("dialect", sorted(set(ifacialmocap.REQUESTS.values()), key=str))
def test_every_dialect_is_read_back(dialect: ifacialmocap.Dialect) -> None:
    data = ifacialmocap.encode(NAMES, WEIGHTS, HEAD, Turn(0.1), Turn(0.2), (0.1, 0.2, 0.3), dialect)
    assert data.endswith(b"___iFacialMocap") == dialect.tcp
    line = ifacialmocap.decode(data)
    assert tuple(line.weights) == NAMES
    assert list(line.weights.values()) == pytest.approx(WEIGHTS.tolist(), abs=0.00501)
    assert (line.head.right, line.head.down, line.head.tilt) == pytest.approx((0.3, -0.2, 0.1), abs=1e-6)
    assert (line.left_eye.right, line.right_eye.right) == pytest.approx((0.1, 0.2), abs=1e-6)
    assert line.position == pytest.approx((0.1, 0.2, 0.3))


def test_the_line_that_facemotion3d_documents_is_read() -> None:
    line = ifacialmocap.decode(b"eyeLookOutLeft&3|mouthPressRight&14|FM_SAD&0|=head#-22.1,0.45,-4.9,-0.03,-0.04,-0.45|"
                               b"rightEye#12.75,5.5,1.2|leftEye#12.8,1.2,0.28|")
    assert line.weights == {"eyeLookOutLeft": 0.03, "mouthPressRight": 0.14, "FM_SAD": 0.0}
    assert line.head.down == pytest.approx(math.radians(-22.1))
    assert line.position == (-0.03, -0.04, -0.45)


def test_negative_numbers_of_the_second_version_are_read() -> None:
    assert ifacialmocap.decode(b"jawOpen&-12|").weights == {"jawOpen": -0.12}


def test_requests_name_their_dialect() -> None:
    for text, dialect in ifacialmocap.REQUESTS.items():
        assert ifacialmocap.asked(text.encode()) == dialect
        assert ifacialmocap.request(dialect) == text.encode()
    assert ifacialmocap.asked(b"hello") is None
    assert ifacialmocap.asked(b"x" * 5000) is None


@pytest.mark.parametrize("bad", [b"", b"|||", b"jawOpen|", b"jawOpen-x|", b"jawOpen-nan|", b"jawOpen-1e99|", b"\xff",
                                 b"=head#a,b,c|", b"a-1|" * 600, b"-5|"])
def test_lines_that_mean_nothing_are_refused(bad: bytes) -> None:
    with pytest.raises(ProtocolError):
        ifacialmocap.decode(bad)


def test_directions_are_not_sides() -> None:
    assert [ifacialmocap.spelled(n, ifacialmocap.IFM) for n in ("mouthLeft", "mouthFrownLeft", "jawRight")] == [
        "mouthLeft", "mouthFrown_L", "jawRight"]
    assert all(re.fullmatch(r"[a-zA-Z]+(_[LR])?", ifacialmocap.spelled(name, ifacialmocap.IFM)) for name in NAMES)


# ---- VTube Studio -----------------------------------------------------------------------------------------------


def told(kind: str, **data: object) -> str:
    return json.dumps(vts.API | {"timestamp": 1, "requestID": "x", "messageType": kind, "data": data})


def kinds(texts: list[str]) -> list[str]:
    return [json.loads(text)["messageType"] for text in texts]


def test_first_meeting_asks_for_a_token_then_creates_parameters() -> None:
    session = vts.Session(own=("FacerigJawOpen", "FacerigJawLeft"))
    assert kinds(session.open()) == ["AuthenticationTokenRequest"]
    (asked,) = session.feed(told("AuthenticationTokenResponse", authenticationToken="T"))
    assert json.loads(asked)["data"]["authenticationToken"] == "T"
    assert session.state == "authenticate"
    assert kinds(session.feed(told("AuthenticationResponse", authenticated=True))) == ["ParameterCreationRequest"]
    assert kinds(session.feed(told("ParameterCreationResponse", parameterName="x"))) == ["ParameterCreationRequest"]
    assert session.feed(told("ParameterCreationResponse", parameterName="y")) == []
    assert session.state == "ready"


def test_a_known_token_is_not_asked_for_again_and_a_revoked_one_is() -> None:
    session = vts.Session(token="old")
    assert kinds(session.open()) == ["AuthenticationRequest"]
    assert kinds(session.feed(told("AuthenticationResponse", authenticated=False))) == ["AuthenticationTokenRequest"]
    assert session.token == ""


def test_refusal_by_the_user_ends_the_attempt_with_its_reason() -> None:
    session = vts.Session()
    session.open()
    assert session.feed(told("APIError", errorID=50, message="User has denied")) == []
    assert session.state == "refused"
    assert "denied" in session.reason


def test_injection_has_the_documented_form() -> None:
    numbers = vts.values(dataclasses.replace(face(jawOpen=0.5, eyeBlinkLeft=1.0), head=Turn(right=0.1)))
    message = json.loads(vts.Session().inject(numbers))
    assert (message["apiName"], message["apiVersion"], message["messageType"]) == (
        "VTubeStudioPublicAPI", "1.0", "InjectParameterDataRequest")
    assert message["data"]["mode"] == "set"
    assert message["data"]["faceFound"] is True
    sent = {entry["id"]: entry["value"] for entry in message["data"]["parameterValues"]}
    assert sent["MouthOpen"] == 0.5
    assert sent["EyeOpenLeft"] == 0.0
    assert sent["EyeOpenRight"] == 1.0
    assert sent["FacerigJawOpen"] == 0.5
    assert sent["FaceAngleX"] == pytest.approx(-math.degrees(0.1), abs=1e-4)


def test_own_parameters_keep_to_the_rules_for_names() -> None:
    own = vts.own_parameters(NAMES)
    assert len(set(own)) == 52
    assert all(4 <= len(name) <= 32 and name.isalnum() for name in own)
    vts.Session(own=own)
    with pytest.raises(ProtocolError):
        vts.Session(own=("no spaces",))
    with pytest.raises(ProtocolError):
        vts.Session(own=tuple(f"name{k}" for k in range(101)))
    with pytest.raises(ProtocolError):
        vts.Session().inject({"MouthOpen": float("nan")})
