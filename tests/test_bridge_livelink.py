"""Live Link Face packets against real recordings and other people's readers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bridge_samples import NAMES, livelink_packet, tape
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.errors import ProtocolError
from unreal_bridge import livelink

ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw",
          "RightEyePitch", "RightEyeRoll")
SLOTS = tuple(name[0].upper() + name[1:] for name in NAMES) + ANGLES
BITS32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def test_real_recording_is_rewritten_byte_for_byte(shared_data: Path) -> None:
    files = sorted((shared_data / "livelink_packets/examples").glob("*.gesichter"))
    assert len(files) > 60
    for path in files:
        for packet in tape(path):
            assert livelink.encode(livelink.decode(packet)) == packet, path.name


def test_real_recording_says_what_is_known_of_it(shared_data: Path) -> None:
    packets = [livelink.decode(p) for p in tape(shared_data / "livelink_packets/examples/dao.gesichter")]
    assert {(p.device, p.subject) for p in packets} == {("DEADC0DE-1337-1337-1337-CAFEBABE", "LLV Default Device")}
    assert packets[0].frame == 5375735
    assert {(p.numerator, p.denominator) for p in packets} == {(60, 1)}
    assert all(0.12 <= p.subframe <= 0.24 for p in packets)


@pytest.mark.parametrize("slot", range(61), ids=SLOTS)
def test_each_sweep_moves_its_own_slot_alone(shared_data: Path, slot: int) -> None:
    """Left and right, jaw and mouth: the file that sweeps one shape moves that shape's slot and no other."""
    path = shared_data / f"livelink_packets/examples/debug-{SLOTS[slot].lower()}.gesichter"
    values = np.array([livelink.decode(packet).values for packet in tape(path)])
    assert np.flatnonzero(values.any(axis=0)).tolist() == [slot]


@pytest.mark.parametrize("slot", range(61), ids=SLOTS)
def test_pylivelinkface_finds_each_channel_under_its_own_name(slot: int) -> None:
    pylivelinkface = pytest.importorskip("pylivelinkface")
    values = [0.0] * 61
    values[slot] = 0.625
    data = livelink.encode(livelink.Packet("facerig", livelink.device_id("facerig"), 9, values=tuple(values)))
    seen, face = pylivelinkface.PyLiveLinkFace.decode(data)
    assert seen
    assert face.name == "facerig"
    for shape in pylivelinkface.FaceBlendShape:
        assert face.get_blendshape(shape) == (0.625 if shape.name == SLOTS[slot] else 0.0)


def test_strict_reader_accepts_our_packet_without_a_warning(validators: Path, tmp_path: Path) -> None:
    values = tuple(float(v) for v in np.linspace(-1, 1, 61).astype(np.float32))
    packet = livelink.Packet("facerig", livelink.device_id("facerig"), 5375735, 0.25, values=values)
    (tmp_path / "packet").write_bytes(livelink.encode(packet))
    ran = subprocess.run([sys.executable, str(validators / "v_llf_packet.py"), str(tmp_path / "packet")],
                         capture_output=True, text=True, check=True)
    read = json.loads(ran.stdout)
    assert read["warnings"] == []
    assert tuple(read["values"]) == values
    assert (read["frame"], read["subframe"], read["num"], read["den"]) == (5375735, 0.25, 60, 1)
    assert (read["device"], read["subject"]) == (packet.device, "facerig")
    if "error" not in read["pylivelinkface"]:
        assert read["pylivelinkface"]["values_equal"] is True


def test_packet_with_the_stated_length() -> None:
    packet = livelink.Packet("facerig", livelink.device_id("facerig"), values=(0.0,) * 61)
    assert len(livelink.encode(packet)) == 313


@settings(deadline=None)
@given(values=st.lists(BITS32, min_size=61, max_size=61), subject=st.text(max_size=60),
       frame=st.integers(-2**31, 2**31 - 1))
def test_any_values_come_back_as_the_same_float32(values: list[float], subject: str, frame: int) -> None:
    packet = livelink.Packet(subject, livelink.device_id("x"), frame, 0.5, values=tuple(values))
    assert livelink.decode(livelink.encode(packet)) == packet


@pytest.mark.parametrize("version", range(1, 7))
def test_every_version_survives(version: int) -> None:
    values = (0.5,) * (51 if version == 1 else 61)
    packet = livelink.Packet("Jürgen", "d" * 36 if version >= 4 else "", values=values, version=version)
    fields = {1: {"seconds": 12.5, "frame": 9, "numerator": 60}, 5: {"timecode": (1, 2, 3, 4), "numerator": 30}}
    packet = dataclasses.replace(packet, **fields.get(version, {"frame": 9}))
    data = livelink.encode(packet)
    assert data[0] == version
    assert livelink.decode(data) == packet
    absent = dataclasses.replace(packet, values=None)
    assert livelink.decode(livelink.encode(absent)) == absent


def test_packet_without_a_face_stops_after_its_header() -> None:
    data = livelink.encode(livelink.Packet("s", "d" * 36, 5))
    assert len(data) == 1 + 4 + 36 + 4 + 1 + 16
    assert livelink.decode(data).values is None


def test_names_up_to_the_longest_that_unreal_has_room_for() -> None:
    longest = "é" * 128
    packet = livelink.Packet(longest, livelink.device_id(longest), values=(0.0,) * 61)
    data = livelink.encode(packet)
    assert len(data) <= 774
    assert livelink.decode(data).subject == longest


def test_subjects_of_one_sender_have_their_own_device() -> None:
    ids = {livelink.device_id(name) for name in ("Ada", "Bob", "Ädä")}
    assert len(ids) == 3
    assert {len(name) for name in ids} == {36}
    assert livelink.device_id("Ada") == livelink.device_id("Ada")


GOOD = livelink.Packet("s", "d" * 36, values=(0.0,) * 61)


@pytest.mark.parametrize(("bad", "words"), [
    (dataclasses.replace(GOOD, subject="x" * 257), "257 bytes"),
    (dataclasses.replace(GOOD, subject="\ud800"), "UTF-8"),
    (dataclasses.replace(GOOD, device="d" * 250, subject="x" * 256), "shorten"),
    (dataclasses.replace(GOOD, values=(0.0,) * 60), "got 60"),
    (dataclasses.replace(GOOD, values=(float("nan"),) * 61), "value 0 is nan"),
    (dataclasses.replace(GOOD, values=(0.0,) * 60 + (1e39,)), "value 60 is inf"),
    (dataclasses.replace(GOOD, frame=2**31), "fit"),
    (dataclasses.replace(GOOD, subframe=float("nan")), "finite"),
    (dataclasses.replace(GOOD, version=7), "1 to 6"),
])
def test_what_cannot_be_sent_is_refused(bad: livelink.Packet, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        livelink.encode(bad)


@pytest.mark.parametrize(("bad", "words"), [
    (b"", "version"),
    (b"\x07" + livelink_packet()[1:], "version 7"),
    (livelink_packet()[:-1], "values needs"),
    (livelink_packet() + b"\0", "after the last"),
    (b"\x06\x7f\xff\xff\xff", "2147483647 bytes"),
    (b"\x06\xff\xff\xff\xff" + bytes(300), "-1 bytes"),
    (b"\x06\0\0\0\2\xff\xff" + bytes(300), "UTF-8"),
    (livelink_packet()[:-245] + b"\x3c" + bytes(240), "60 values"),
    (livelink_packet()[:-4] + b"\x7f\xc0\0\0", "NaN"),
])
def test_what_breaks_the_layout_is_refused(bad: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        livelink.decode(bad)
