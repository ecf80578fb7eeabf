"""OpenSeeFace tracking records over UDP (port 11573): little-endian, unpadded, 1785 bytes a face. Pure functions.

The records were made for a camera's landmarks, so besides the features that avatars read (eyes, brows, mouth) they hold
68 points of a face. `Record` is the layout; `from_face` fills it from a face's weights with a schematic face whose
jaw, lips, lids and brows move. Receivers calibrate on what they see, so plausible points are enough.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerig.errors import ProtocolError
from unreal_bridge.face import Face, Turn
from unreal_bridge.wire import Reader, finite

PORT = 11573
POINTS = 68
POINTS_3D = 70  # the 68 and both eyeballs
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

Points = NDArray[np.float64]


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
    landmarks: tuple[float, ...]  # x, y of 68 points
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
    """A record of our face. Euler angles are degrees about x, y, z in the order that the quaternion has."""
    points = _moved(face)
    flat = points[:POINTS, :2] * 180.0 + np.array([CAMERA[0] / 2, CAMERA[1] / 2])
    degrees = face.head.degrees
    return Record(
        seconds=seconds, id=0, camera=CAMERA, right_eye_open=_open(face, "Right"), left_eye_open=_open(face, "Left"),
        success=True, error=0.0, quaternion=face.head.quaternion(), euler=(degrees.down, degrees.right, -degrees.tilt),
        translation=(0.0, 0.0, 6.0), confidence=(1.0,) * POINTS, landmarks=tuple(flat.ravel().tolist()),
        points=tuple(points.ravel().tolist()), features=_features(face))


def _open(face: Face, side: str) -> float:
    return float(np.clip(1.0 - face.weight(f"eyeBlink{side}"), 0.0, 1.0))


def _features(face: Face) -> tuple[float, ...]:
    """-1..1 around rest, in the order of FEATURES."""
    w = face.weight
    eyes = [w(f"eyeWide{side}") - w(f"eyeBlink{side}") for side in ("Left", "Right")]
    brows = []
    for side in ("Left", "Right"):
        down = w(f"browDown{side}")
        brows += [down - w("browInnerUp"), w(f"browOuterUp{side}") - down, w("browInnerUp") - w(f"browOuterUp{side}")]
    corners = []
    for side in ("Left", "Right"):
        corners += [w(f"mouthSmile{side}") - w(f"mouthFrown{side}"),
                    w("mouthPucker") - max(w(f"mouthStretch{side}"), w(f"mouthSmile{side}"))]
    opened = max(0.0, w("jawOpen") - w("mouthClose"))
    wide = 0.5 * (w("mouthStretchLeft") + w("mouthStretchRight")) - w("mouthPucker")
    return tuple(float(np.clip(value, -1.0, 1.0)) for value in [*eyes, *brows, *corners, opened, wide])


def _arc(count: int, centre: tuple[float, float], size: tuple[float, float], start: float, stop: float) -> Points:
    angle = np.radians(np.linspace(start, stop, count))
    return np.stack([centre[0] + size[0] * np.cos(angle), centre[1] + size[1] * np.sin(angle)], axis=1)


def _neutral() -> Points:
    """68 points in the usual order (jaw, brows, nose, eyes, lips), half a face's width as unit, y down, x to image
    right; both eyeballs last. Depth follows a ball."""
    flat = np.concatenate([
        _arc(17, (0.0, 0.0), (1.0, 1.15), 180, 0),
        _arc(5, (-0.45, -0.5), (0.3, 0.12), 180, 360), _arc(5, (0.45, -0.5), (0.3, 0.12), 180, 360),
        np.stack([np.zeros(4), np.linspace(-0.35, 0.1, 4)], axis=1), _arc(5, (0.0, 0.2), (0.2, 0.06), 180, 0),
        _eye_ring(-0.45), _eye_ring(0.45),
        _arc(12, (0.0, 0.55), (0.35, 0.12), 180, 510), _arc(8, (0.0, 0.55), (0.28, 0.02), 180, 495),
        np.array([[-0.45, -0.3], [0.45, -0.3]])])
    depth = 1.0 - np.sqrt(np.clip(1.5 - (flat**2).sum(axis=1), 0.0, None))
    return np.concatenate([flat, depth[:, None]], axis=1)


def _eye_ring(x: float) -> Points:
    return np.array([[x - 0.18, -0.3], [x - 0.07, -0.36], [x + 0.07, -0.36], [x + 0.18, -0.3], [x + 0.07, -0.25],
                     [x - 0.07, -0.25]])


JAW, BROWS_RIGHT, BROWS_LEFT = slice(4, 13), slice(17, 22), slice(22, 27)
LOWER_LIP, MOUTH, CORNERS = [55, 56, 57, 58, 59, 65, 66, 67], slice(48, 68), (48, 54)
UPPER_LIDS = {"Right": [37, 38], "Left": [43, 44]}
LOWER_LIDS = {"Right": [41, 40], "Left": [47, 46]}


def _moved(face: Face) -> Points:
    """The schematic face in this expression, head straight. The face's own right is at the image's left."""
    w, points = face.weight, _neutral()
    drop = 0.45 * w("jawOpen")
    points[JAW, 1] += drop
    points[LOWER_LIP, 1] += drop * (1.0 - w("mouthClose"))
    points[MOUTH, 0] *= 1.0 - 0.4 * w("mouthPucker") + 0.2 * w("mouthStretchLeft")
    for corner, side in zip(CORNERS, ("Right", "Left"), strict=True):
        points[corner, 1] -= 0.12 * (w(f"mouthSmile{side}") - w(f"mouthFrown{side}"))
    for side, brow in (("Right", BROWS_RIGHT), ("Left", BROWS_LEFT)):
        points[brow, 1] -= 0.12 * (w(f"browOuterUp{side}") - w(f"browDown{side}"))
        shut = float(np.clip(w(f"eyeBlink{side}"), 0.0, 1.0))
        upper, lower = UPPER_LIDS[side], LOWER_LIDS[side]
        points[upper, 1] += shut * (points[lower, 1] - points[upper, 1])
    return points


def head_turn(record: Record) -> Turn:
    return Turn.of_quaternion(*record.quaternion)
