"""OpenSeeFace records: the layout, and what its own receiver makes of our heads, eyes and mouths."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from bridge_samples import HEAD, NAMES, WEIGHTS, face
from hypothesis import given, settings
from hypothesis import strategies as st

from unreal_bridge import landmarks, openseeface
from unreal_bridge.face import Face, Turn

ANGLE = st.floats(-0.8, 0.8)


def points(made: Face, shape: int = 3) -> np.ndarray:  # type: ignore[type-arg]
    record = openseeface.from_face(made, 0.0)
    return np.array(record.points if shape == 3 else record.landmarks).reshape(-1, shape)


def test_record_has_the_stated_layout() -> None:
    data = openseeface.encode(openseeface.from_face(Face(NAMES, WEIGHTS, HEAD), 12.5))
    assert len(data) == 1785
    fields = struct.unpack("=di2f2fB1f4f3f3f68f136f210f14f", data)
    assert fields[0] == 12.5
    assert fields[6] == 1


def test_records_come_back() -> None:
    record = openseeface.from_face(face(jawOpen=0.5, eyeBlinkRight=0.25), 1.0)
    (read, again) = openseeface.decode(openseeface.encode(record) * 2)
    assert read == again
    assert openseeface.encode(read) == openseeface.encode(record)
    assert (read.left_eye_open, read.right_eye_open) == (1.0, 0.75)


# ---- what the tracker's own receiver does (facts of OpenSee.cs and OpenSeeIKTarget.cs) ------------------------------


def converted(raw: tuple[float, ...]) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([-raw[1], -raw[0], raw[2], raw[3]])


def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    (ax, ay, az, aw), (bx, by, bz, bw) = a, b
    return np.array([aw * bx + ax * bw + ay * bz - az * by, aw * by - ax * bz + ay * bw + az * bx,
                     aw * bz + ax * by - ay * bx + az * bw, aw * bw - ax * bx - ay * by - az * bz])


@settings(deadline=None)
@given(right=ANGLE, down=ANGLE, tilt=ANGLE)
def test_the_head_of_a_receiver_that_was_calibrated_straight_turns_as_ours(right: float, down: float,
                                                                           tilt: float) -> None:
    turn = Turn(right, down, tilt)
    rest, raw = openseeface.head_quaternion(Turn()), openseeface.head_quaternion(turn)
    shown = times(converted(raw), converted(rest) * (-1, -1, -1, 1))
    own = np.array(turn.quaternion())
    assert np.abs(shown * np.sign(shown @ own) - own).max() < 1e-9
    record = openseeface.from_face(Face(NAMES, WEIGHTS, turn), 0.0)
    back = openseeface.head_turn(record)
    assert (back.right, back.down, back.tilt) == pytest.approx((right, down, tilt), abs=1e-6)


def test_a_straight_head_has_the_angles_that_receivers_take_off() -> None:
    x, y, z = openseeface.head_euler(Turn())
    assert ((x + 180) % 360, y, z - 90) == pytest.approx((0, 0, 0), abs=1e-9)


@pytest.mark.parametrize("turn", [Turn(0.3), Turn(down=0.3), Turn(tilt=0.3), Turn(0.3, -0.2, 0.1)])
def test_angles_and_quaternion_are_one_rotation(turn: Turn) -> None:
    """Rz Ry Rx of the angles is the inverse of the quaternion's rotation, as in the tracker."""
    x, y, z = np.radians(openseeface.head_euler(turn))
    about = [np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]),
             np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]),
             np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])]
    qx, qy, qz, qw = openseeface.head_quaternion(turn)
    rotation = np.array([[1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy - qw * qz), 2 * (qx * qz + qw * qy)],
                         [2 * (qx * qy + qw * qz), 1 - 2 * (qx * qx + qz * qz), 2 * (qy * qz - qw * qx)],
                         [2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx), 1 - 2 * (qx * qx + qy * qy)]])
    assert np.abs(about[2] @ about[1] @ about[0] - rotation.T).max() < 1e-9


@pytest.mark.parametrize(("eye", "pupil", "ball"), [("right_eye", 66, 68), ("left_eye", 67, 69)])
def test_gaze_goes_from_the_eyeballs_middle_through_the_pupil(eye: str, pupil: int, ball: int) -> None:
    """x to the own right, y down, z backwards."""
    for turn, sign in ((Turn(0.3), (1, 0)), (Turn(-0.3), (-1, 0)), (Turn(down=0.2), (0, 1)),
                       (Turn(down=-0.2), (0, -1))):
        found = points(Face(NAMES, np.zeros(52, np.float32), **{eye: turn}))
        x, y, z = found[pupil] - found[ball]
        assert z < 0
        assert (np.sign(round(x, 6)), np.sign(round(y, 6))) == sign
        assert np.arctan2(np.hypot(x, y), -z) == pytest.approx(max(abs(turn.right), abs(turn.down)))


def test_the_image_shows_a_person_who_turns() -> None:
    """The own right is at the image's left; a nose that turns there goes there, relative to the ears."""
    nose = lambda found: found[30] - (found[0] + found[16]) / 2  # noqa: E731
    rest = points(face(), 2)
    assert rest[0, 0] < rest[30, 0] < rest[16, 0]
    assert rest[19, 1] < rest[30, 1] < rest[8, 1]
    assert nose(points(Face(NAMES, WEIGHTS * 0, Turn(right=0.3)), 2))[0] < nose(rest)[0] - 5
    assert nose(points(Face(NAMES, WEIGHTS * 0, Turn(down=0.3)), 2))[1] > nose(rest)[1] + 5
    tilted = points(Face(NAMES, WEIGHTS * 0, Turn(tilt=0.3)), 2)
    assert tilted[0, 1] > tilted[16, 1]  # the right ear goes down


# ---- expression --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "feature", "sign"), [
    ("jawOpen", "MouthOpen", 1), ("mouthPucker", "MouthWide", -1), ("mouthSmileLeft", "MouthCornerUpDownLeft", -1),
    ("mouthSmileRight", "MouthCornerUpDownRight", -1), ("mouthFrownRight", "MouthCornerUpDownRight", 1),
    ("mouthStretchLeft", "MouthCornerInOutLeft", 1), ("browOuterUpLeft", "EyebrowUpDownLeft", 1),
    ("browDownRight", "EyebrowUpDownRight", -1), ("browOuterUpLeft", "EyebrowSteepnessLeft", -1),
    ("eyeBlinkLeft", "EyeLeft", -1), ("eyeWideRight", "EyeRight", 1)])
def test_features_follow_their_shape_and_side(shape: str, feature: str, sign: int) -> None:
    rest, moved = (openseeface.from_face(face(**{shape: value}), 0.0).features for value in (0.0, 0.8))
    change = {name: b - a for name, a, b in zip(openseeface.FEATURES, rest, moved, strict=True)}
    assert change[feature] * sign > 0.3
    other = {"Left": "Right", "Right": "Left"}
    for side in other:
        if feature.endswith(side):
            assert change[feature.replace(side, other[side])] == 0.0


def measured(made: Face) -> dict[str, float]:
    """Three of the tracker's measures, on points with y up: corner below the upper lip, gap of the lips, eye."""
    p = points(made) * (1, -1, -1)
    return {"corner": p[[49, 50, 51], 1].mean() - p[62, 1],
            "open": p[[59, 60, 61], 1].mean() - p[[63, 64, 65], 1].mean(),
            "wide": p[58, 0] - p[62, 0], "eye": p[[43, 44], 1].mean() - p[[46, 47], 1].mean(),
            "brow": p[[22, 26], 1].mean() - p[27, 1]}


@pytest.mark.parametrize(("shape", "measure", "sign"), [
    ("jawOpen", "open", 1), ("mouthPucker", "wide", -1), ("mouthSmileLeft", "corner", -1),
    ("mouthFrownLeft", "corner", 1), ("eyeBlinkLeft", "eye", -1), ("eyeWideLeft", "eye", 1),
    ("browOuterUpLeft", "brow", 1), ("browDownLeft", "brow", -1)])
def test_the_points_move_as_the_features_say(shape: str, measure: str, sign: int) -> None:
    rest, moved = measured(face()), measured(face(**{shape: 1.0}))
    assert (moved[measure] - rest[measure]) * sign > 0.005


def test_points_at_rest_are_those_of_a_face() -> None:
    flat = landmarks.neutral()
    assert flat.shape == (70, 3)
    mirrored = flat[:17][::-1] * (-1, 1, 1)
    assert np.abs(mirrored - flat[:17]).max() < 1e-9
    assert measured(face())["open"] < 0.02
    assert (flat[PUPILS, 0] > 0).tolist() == [True, False]


PUPILS = [66, 67]
