"""A schematic face as OpenSeeFace's tracker sees one: 66 landmarks, two pupils, two eyeballs. Knows no wire.

Points are in the face's own frame, its width as unit: x to its own right, y up, z ahead, the tip of the nose near 0.
The order is that tracker's (its tracker.py): 17 of the jaw from the own right ear on, 5 + 5 brows, 4 + 5 nose, 6 + 6
lids, then 18 of the mouth (upper rim, lower rim, right corner, three above, left corner, three below), which is not
the usual 68. Receivers calibrate on what they see, so plausible points are enough.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unreal_bridge.face import Face, Turn

Points = NDArray[np.float64]

PUPILS = {"Right": 66, "Left": 67}
JAW, BROWS = slice(3, 14), {"Right": slice(17, 22), "Left": slice(22, 27)}
EYES = {"Right": slice(36, 42), "Left": slice(42, 48)}
LIDS = {"Right": ((37, 41), (38, 40)), "Left": ((43, 47), (44, 46))}  # an upper point and the one below it
LOWER_LIP, CORNERS, MOUTH = [53, 54, 55, 56, 57, 63, 64, 65], {"Right": 58, "Left": 62}, slice(48, 66)
UPPER_LIP = [48, 49, 50, 51, 52, 59, 60, 61]
# The tracker puts the eyeball's middle this far behind the lids, in parts of the eye's width; so does its radius.
BALL = 0.385


def _row(start: tuple[float, float, float], stop: tuple[float, float, float], count: int, rise: float = 0.0) -> Points:
    """Points from start to stop, bent upwards in the middle."""
    share = np.linspace(0.0, 1.0, count)[:, None]
    line = np.array(start) * (1 - share) + np.array(stop) * share
    return line + np.array([0.0, rise, 0.0]) * 4 * share * (1 - share)


def _eye(right: bool) -> Points:
    """Corner, two above, corner, two below: around the eye from its own right, or from its inner corner on the left."""
    angle = np.radians([0, 60, 120, 180, 240, 300])
    x = 0.25 + 0.08 * np.cos(angle)
    ring = np.stack([x, 0.28 + 0.025 * np.sin(angle), np.full(6, -0.2)], axis=1)
    left: Points = (ring * (-1, 1, 1))[[3, 2, 1, 0, 5, 4]]
    return ring if right else left


@lru_cache(maxsize=1)
def neutral() -> Points:
    """70 points of a face at rest, lips closed."""
    angle = np.linspace(0.0, np.pi, 17)
    jaw = np.stack([0.5 * np.cos(angle), 0.28 - 0.83 * np.sin(angle), -0.65 + 0.45 * np.sin(angle)], axis=1)
    balls = np.array([[0.25, 0.28, -0.2], [-0.25, 0.28, -0.2]])
    points = np.concatenate([
        jaw, _row((0.445, 0.385, -0.3), (0.195, 0.42, -0.09), 5, 0.03),
        _row((-0.195, 0.42, -0.09), (-0.445, 0.385, -0.3), 5, 0.03),
        _row((0, 0.255, -0.11), (0, 0, 0), 4), _row((0.083, -0.022, -0.16), (-0.083, -0.022, -0.16), 5, -0.035),
        _eye(True), _eye(False),
        _row((0.109, -0.15, -0.2), (-0.109, -0.15, -0.2), 5, 0.02),
        _row((-0.113, -0.24, -0.2), (0.113, -0.24, -0.2), 5, -0.05), [[0.15, -0.19, -0.25]],
        _row((0.067, -0.193, -0.18), (-0.067, -0.193, -0.18), 3, 0.005), [[-0.15, -0.19, -0.25]],
        _row((-0.05, -0.2, -0.18), (0.05, -0.2, -0.18), 3), balls, balls])
    points[68:, 2] -= BALL * 0.16
    points.setflags(write=False)
    return points


def moved(face: Face) -> Points:
    """The face in this expression, head straight: jaw, lips, corners, brows, lids and pupils."""
    w = face.weight
    points: Points = np.array(neutral())
    drop = 0.22 * w("jawOpen")
    points[JAW, 1] -= drop * np.sin(np.linspace(0, np.pi, 11))
    points[LOWER_LIP, 1] -= drop * (1.0 - min(1.0, w("mouthClose") / max(w("jawOpen"), 1e-6)))
    points[LOWER_LIP, 1] -= 0.03 * (w("mouthLowerDownLeft") + w("mouthLowerDownRight"))
    points[UPPER_LIP, 1] += 0.02 * (w("mouthUpperUpLeft") + w("mouthUpperUpRight"))
    points[MOUTH, 0] *= 1.0 - 0.35 * w("mouthPucker") - 0.2 * w("mouthFunnel")
    points[MOUTH, 0] += 0.06 * (w("mouthRight") - w("mouthLeft"))
    for side, sign in (("Right", 1.0), ("Left", -1.0)):
        corner = CORNERS[side]
        points[corner, 1] += 0.05 * (w(f"mouthSmile{side}") - w(f"mouthFrown{side}")) - drop / 2
        points[corner, 0] += sign * 0.04 * (w(f"mouthSmile{side}") + w(f"mouthStretch{side}"))
        brow = points[BROWS[side]]
        outward = np.linspace(1, 0, 5) if side == "Right" else np.linspace(0, 1, 5)
        brow[:, 1] += 0.06 * (w(f"browOuterUp{side}") * outward + w("browInnerUp") * (1 - outward)
                              - w(f"browDown{side}"))
        _look(points, face, side)
    return points


def _look(points: Points, face: Face, side: str) -> None:
    shut = float(np.clip(face.weight(f"eyeBlink{side}") - 0.3 * face.weight(f"eyeWide{side}"), -0.3, 1.0))
    for upper, lower in LIDS[side]:
        points[upper, 1] += shut * (points[lower, 1] - points[upper, 1])
    turn: Turn = getattr(face, f"{side.lower()}_eye")
    radius = BALL * np.ptp(points[EYES[side], 0])
    points[PUPILS[side], :2] += radius * np.tan(np.clip([turn.right, -turn.down], -1.0, 1.0))


def matrix(turn: Turn) -> Points:
    """The rotation of a head in the face's frame (x right, y up, z ahead)."""
    x, y, z, w = turn.quaternion()
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])


def seen(points: Points, turn: Turn, camera: tuple[float, float], distance: float) -> Points:
    """[68, 2]: landmarks and pupils in a camera's image, x to the right and y down, the head turned."""
    width, height = camera
    placed = points[:68] @ matrix(turn).T
    scale = width / (distance - placed[:, 2])
    return np.stack([width / 2 - placed[:, 0] * scale, height / 2 - placed[:, 1] * scale], axis=1)
