"""Which way is left: every shape, head and eye angle from the rig to every wire."""

from __future__ import annotations

import numpy as np
import pytest
from bridge_samples import pose

from facerig.rig import rig
from unreal_bridge import face as faces
from unreal_bridge import metahuman

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
