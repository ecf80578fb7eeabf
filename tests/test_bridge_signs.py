"""Which way is left: every shape, head and eye angle from the rig to every wire."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from bridge_samples import pose

import exporters
from facerig.rig import rig
from unreal_bridge import face as faces
from unreal_bridge import ifacialmocap, livelink, metahuman, openseeface, ue56, vmc, vts
from unreal_bridge.pose import Pose
from unreal_bridge.udp import ifacialmocap_line, livelink_encoder, vmc_encoder

# ---- conventions --------------------------------------------------------------------------------------------------


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


# ---- head and eyes on every wire -----------------------------------------------------------------------------------

# What the person does, as channels of facerig-full.
ACTS = {
    "left": {"headYaw": 0.2}, "down": {"headPitch": 0.2}, "tilt": {"headRoll": 0.2},
    "look left": {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5},
    "look up": {"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5},
}
DEGREES = float(np.degrees(0.2))


def on_livelink(sent: Pose) -> dict[str, float]:
    (data,) = livelink_encoder("a", "d" * 36)(sent)
    packet = livelink.decode(data)
    assert packet.values is not None
    return dict(zip(rig("livelink").names, packet.values, strict=True))


def on_ue56(sent: Pose, place: int) -> dict[str, float]:
    offer = metahuman.offers("a")[place]
    head = metahuman.head_degrees(sent.face().head)
    data = ue56.decode(ue56.encode(offer.subject.id, 1, offer.values(sent), head))
    return dict(zip((*offer.subject.controls, *ue56.HEAD), (*data.values, *data.head), strict=True))


def on_vmc(sent: Pose) -> dict[str, float]:
    receiver = vmc.Receiver()
    frames = [frame for data in vmc_encoder("arkit", True, 1400)(sent) for frame in receiver.feed(data)]
    assert len(frames) == 1
    turns = {f"{part}.{axis}": getattr(turn, axis) for part, turn in receiver.turns.items()
             for axis in ("right", "down", "tilt")}
    return {**frames[0], **turns}


def on_ifm(sent: Pose, dialect: ifacialmocap.Dialect) -> dict[str, float]:
    """The numbers as they stand in the line: Unity's Euler angles x, y, z in degrees."""
    text = ifacialmocap_line(sent, dialect).decode()
    found = {}
    for part in ("head", "leftEye", "rightEye"):
        numbers = text.split(f"{part}#")[1].split("|")[0].split(",")
        found |= {f"{part}.{axis}": float(number) for axis, number in zip("xyz", numbers, strict=False)}
    return found


def on_osf(sent: Pose) -> dict[str, float]:
    record = openseeface.from_face(sent.face(), 0.0)
    turn, at = openseeface.head_turn(record), np.array(record.points).reshape(70, 3)
    return {"right": turn.right, "down": turn.down, "tilt": turn.tilt, "gaze.x": (at[66] - at[68])[0],
            "gaze.y": (at[66] - at[68])[1]}


WIRES: dict[str, Callable[[Pose], dict[str, float]]] = {
    "livelink": on_livelink, "mha": lambda sent: on_ue56(sent, 0), "arkit": lambda sent: on_ue56(sent, 1),
    "vmc": on_vmc,
    "ifm": lambda sent: on_ifm(sent, ifacialmocap.IFM), "fm3d": lambda sent: on_ifm(sent, ifacialmocap.FM3D),
    "vts": lambda sent: vts.values(sent.face()), "osf": on_osf, "csv": lambda sent: on_csv(sent),
}
MHA = "CTRL_expressions_eyeLook"
# wire, what the person does, the number on the wire, its value
TABLE = [
    ("livelink", "left", "HeadYaw", DEGREES / 50), ("livelink", "down", "HeadPitch", DEGREES / 50),
    ("livelink", "tilt", "HeadRoll", DEGREES / 50), ("livelink", "look left", "LeftEyeYaw", -0.3),
    ("livelink", "look left", "RightEyeYaw", -0.3), ("livelink", "look up", "LeftEyePitch", -0.23),
    ("livelink", "look up", "RightEyePitch", -0.23), ("livelink", "look left", "EyeLookOutLeft", 0.5),
    ("csv", "left", "HeadYaw", DEGREES / 50), ("csv", "down", "HeadPitch", DEGREES / 50),
    ("csv", "tilt", "HeadRoll", DEGREES / 50), ("csv", "look left", "LeftEyeYaw", -0.3),
    ("csv", "look up", "RightEyePitch", -0.23),
    ("mha", "left", "yaw", -DEGREES), ("mha", "down", "pitch", -DEGREES), ("mha", "tilt", "roll", DEGREES),
    ("mha", "look left", MHA + "LeftL", 0.5), ("mha", "look left", MHA + "LeftR", 0.5),
    ("mha", "look up", MHA + "UpL", 0.5), ("mha", "look up", MHA + "UpR", 0.5),
    ("arkit", "left", "yaw", -DEGREES), ("arkit", "down", "pitch", -DEGREES), ("arkit", "tilt", "roll", DEGREES),
    ("arkit", "look left", "EyeLookOutLeft", 0.5), ("arkit", "look left", "EyeLookInRight", 0.5),
    ("vmc", "left", "head.right", -0.2), ("vmc", "down", "head.down", 0.2), ("vmc", "tilt", "head.tilt", 0.2),
    ("vmc", "look left", "left_eye.right", -0.3), ("vmc", "look left", "right_eye.right", -0.3),
    ("vmc", "look up", "left_eye.down", -0.23), ("vmc", "look left", "eyeLookOutLeft", 0.5),
    *((wire, act, name, value) for wire in ("ifm", "fm3d") for act, name, value in (
        ("left", "head.y", -DEGREES), ("down", "head.x", DEGREES), ("tilt", "head.z", -DEGREES),
        ("look left", "leftEye.y", float(np.degrees(-0.3))), ("look left", "rightEye.y", float(np.degrees(-0.3))),
        ("look up", "leftEye.x", float(np.degrees(-0.23))))),
    ("vts", "left", "FaceAngleX", DEGREES), ("vts", "down", "FaceAngleY", -DEGREES),
    ("vts", "tilt", "FaceAngleZ", -DEGREES), ("vts", "look left", "EyeLeftX", 0.5),
    ("vts", "look left", "EyeRightX", 0.5), ("vts", "look up", "EyeLeftY", 0.5), ("vts", "look up", "EyeRightY", 0.5),
    ("osf", "left", "right", -0.2), ("osf", "down", "down", 0.2), ("osf", "tilt", "tilt", 0.2),
    ("osf", "look left", "gaze.x", -0.0191), ("osf", "look up", "gaze.y", -0.0144),
]


@pytest.mark.parametrize(("wire", "act", "name", "value"), TABLE)
def test_head_and_eyes_have_their_sign_and_unit_on_every_wire(wire: str, act: str, name: str, value: float) -> None:
    rest, moved = WIRES[wire](pose())[name], WIRES[wire](pose(**ACTS[act]))[name]
    assert rest == pytest.approx(0.0, abs=1e-6)
    assert moved == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize(("act", "still"), [("left", "head"), ("look left", "eye")])
def test_a_head_that_turns_leaves_the_eyes_and_the_other_way_round(act: str, still: str) -> None:
    moved = pose(**ACTS[act]).face()
    turned = {"head": moved.head, "eye": moved.left_eye}
    other = turned["eye" if still == "head" else "head"]
    assert (other.right, other.down, other.tilt) == pytest.approx((0, 0, 0), abs=1e-6)


def on_csv(sent: Pose) -> dict[str, float]:
    """The Live Link recording that `facerig export` writes of the same frame."""
    import csv as table

    assert sent.curves is not None
    lines = list(table.reader(exporters.export(sent.curves, ".csv").decode().splitlines()))
    return dict(zip(lines[0][2:], map(float, lines[1][2:]), strict=True))
