"""OpenSeeFace tracking records over UDP (port 11573): little-endian, unpadded, 1785 bytes a face. Pure functions.

The records were made for a camera's landmarks, so besides the features that avatars read (eyes, brows, mouth) they hold
points of a face. `Record` is the layout; `from_face` fills it with a schematic face (`landmarks`) that moves. Axes and
signs are those of the tracker and of its own receiver (tracker.py, facetracker.py, OpenSee.cs, OpenSeeIKTarget.cs).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from facerig.errors import ProtocolError
from unreal_bridge import landmarks
from unreal_bridge.face import Face, Turn
from unreal_bridge.wire import Reader, finite

PORT = 11573
POINTS = 68
POINTS_3D = 70  # 66 landmarks, both pupils, both eyeballs' middles
FEATURES = (
    "EyeLeft",
    "EyeRight",
    "EyebrowSteepnessLeft",
    "EyebrowUpDownLeft",
    "EyebrowQuirkLeft",
    "EyebrowSteepnessRight",
    "EyebrowUpDownRight",
    "EyebrowQuirkRight",
    "MouthCornerUpDownLeft",
    "MouthCornerInOutLeft",
    "MouthCornerUpDownRight",
    "MouthCornerInOutRight",
    "MouthOpen",
    "MouthWide",
)
# Seconds, id, camera size, right and left eye openness, success, error, quaternion, Euler angles, translation,
# confidences, points in the image, points in space, features.
LAYOUT = f"di2f2fBf4f3f3f{POINTS}f{2 * POINTS}f{3 * POINTS_3D}f{len(FEATURES)}f"
SIZE = struct.calcsize("<" + LAYOUT)
CAMERA = (640.0, 480.0)
DISTANCE = 4.0  # from the camera, in widths of the face


@dataclass(frozen=True)
class Record:
    """One face of one frame, as the layout names it."""

    seconds: float
    id: int
    camera: tuple[float, ...]
    right_eye_open: float
    left_eye_open: float
    success: bool
    error: float
    quaternion: tuple[float, ...]
    euler: tuple[float, ...]
    translation: tuple[float, ...]
    confidence: tuple[float, ...]
    landmarks: tuple[float, ...]  # x, y of 66 landmarks and both pupils
    points: tuple[float, ...]  # x, y, z of 70 points
    features: tuple[float, ...]


# How many floats each field after `id` has; the byte `success` stands apart.
_WIDTHS = (("camera", 2), ("right_eye_open", 0), ("left_eye_open", 0), ("success", -1), ("error", 0), ("quaternion", 4),
           ("euler", 3), ("translation", 3), ("confidence", POINTS), ("landmarks", 2 * POINTS),
           ("points", 3 * POINTS_3D), ("features", len(FEATURES)))


def encode(record: Record) -> bytes:
    numbers: list[float] = []
    for name, width in _WIDTHS:
        value = getattr(record, name)
        numbers += list(value) if width > 0 else [value]
    if not math.isfinite(record.seconds):
        raise ProtocolError(f"OpenSeeFace record: time is {record.seconds}, accepted: finite seconds")
    finite(numbers)
    try:
        return struct.pack("<" + LAYOUT, record.seconds, record.id, *numbers)
    except (struct.error, OverflowError) as error:
        raise ProtocolError(f"OpenSeeFace record: a field does not fit ({error})") from None


def decode(data: bytes) -> list[Record]:
    """Every face of a datagram."""
    if not data or len(data) % SIZE:
        raise ProtocolError(f"OpenSeeFace packet of {len(data)} bytes, accepted: a multiple of {SIZE}")
    reader = Reader(data, "<", "OpenSeeFace packet")
    return [_record(reader) for _ in range(len(data) // SIZE)]


def _record(reader: Reader) -> Record:
    seconds, number = reader.take("di", "time and id")
    if not math.isfinite(seconds):
        raise ProtocolError("OpenSeeFace packet: time is not finite")
    fields: dict[str, float | bool | tuple[float, ...]] = {}
    for name, width in _WIDTHS:
        if width < 0:
            fields[name] = bool(reader.one("B", name))
        else:
            values = reader.floats(max(width, 1), name)
            fields[name] = values if width else values[0]
    return Record(seconds, number, **fields)  # type: ignore[arg-type]


def from_face(face: Face, seconds: float) -> Record:
    """A record of our face, as the tracker would have made it of a person who does the same."""
    points = landmarks.moved(face)
    image = landmarks.seen(points, face.head, CAMERA, DISTANCE)
    # The tracker's frame has x to the face's own right; the wire has y down and z backwards.
    return Record(
        seconds=seconds, id=0, camera=CAMERA, right_eye_open=_open(face, "Right"), left_eye_open=_open(face, "Left"),
        success=True, error=0.0, quaternion=head_quaternion(face.head), euler=head_euler(face.head),
        translation=(0.0, 0.0, -DISTANCE), confidence=(1.0,) * POINTS, landmarks=tuple(image.ravel().tolist()),
        points=tuple((points * (1, -1, -1)).ravel().tolist()), features=_features(face))


# How the tracker writes a head. It fits the face into a camera whose first axis is the image's row and which it looks
# at from behind, so that a straight head has this rotation (axes: own right, up, ahead -> image up, image left, away),
# not the identity. Receivers take it off again: (-qy, -qx, qz, qw) after a calibration on a straight head is the turn
# in Unity's axes (OpenSeeIKTarget.cs), and Euler angles of (180, 0, 90) are straight (OpenSee.cs).
STRAIGHT = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
HALF = math.sqrt(0.5)


def head_quaternion(turn: Turn) -> tuple[float, float, float, float]:
    """x, y, z, w: the inverse of STRAIGHT times the turn, for that is what the tracker's own conversion gives."""
    x, y, z, w = turn.quaternion()
    # (HALF, HALF, 0, 0), the half turn STRAIGHT, times (x, y, z, w); then the conjugate, with the tracker's sign
    return (HALF * (w + z), HALF * (w - z), HALF * (y - x), HALF * (x + y))


def head_euler(turn: Turn) -> tuple[float, float, float]:
    """Degrees about x, y, z, applied in this order, of STRAIGHT times the turn (OpenCV's RQDecomp3x3)."""
    m = STRAIGHT @ landmarks.matrix(turn)
    angles = (math.atan2(m[2, 1], m[2, 2]), math.atan2(-m[2, 0], math.hypot(m[2, 1], m[2, 2])),
              math.atan2(m[1, 0], m[0, 0]))
    return (math.degrees(angles[0]), math.degrees(angles[1]), math.degrees(angles[2]))


def head_turn(record: Record) -> Turn:
    """The turn that a record's quaternion holds."""
    qx, qy, qz, qw = (-record.quaternion[0], -record.quaternion[1], -record.quaternion[2], record.quaternion[3])
    # the half turn is its own inverse up to sign: (-HALF, -HALF, 0, 0) times the conjugate
    return Turn.of_quaternion(-HALF * (qw + qz), -HALF * (qw - qz), -HALF * (qy - qx), HALF * (qx + qy))


def _open(face: Face, side: str) -> float:
    return float(np.clip(1.0 - face.weight(f"eyeBlink{side}"), 0.0, 1.0))


def _features(face: Face) -> tuple[float, ...]:
    """-1..1 around rest, in the order of FEATURES, with the signs of the tracker's own measures: a brow is steep where
    its inner end is high, a corner is "up" where it hangs below the upper lip, "out" where it is far from the middle.
    """
    w = face.weight
    eyes = [w(f"eyeWide{side}") - w(f"eyeBlink{side}") for side in SIDES]
    brows, corners = [], []
    for side in SIDES:
        down, outer, inner = w(f"browDown{side}"), w(f"browOuterUp{side}"), w("browInnerUp")
        brows += [inner - 0.5 * outer - 0.5 * down, 0.5 * (inner + outer) - down, outer - 0.5 * down]
        corners += [w(f"mouthFrown{side}") - w(f"mouthSmile{side}"),
                    max(w(f"mouthStretch{side}"), w(f"mouthSmile{side}")) - w("mouthPucker")]
    opened = max(0.0, w("jawOpen") - w("mouthClose"))
    wide = 0.5 * (w("mouthStretchLeft") + w("mouthStretchRight") + w("mouthSmileLeft") + w("mouthSmileRight"))
    values = [*eyes, *brows, *corners, opened, wide - w("mouthPucker")]
    return tuple(float(np.clip(value, -1.0, 1.0)) for value in values)


SIDES = ("Left", "Right")
