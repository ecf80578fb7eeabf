"""Gestures on demand: `nod`, `shake` and `tilt` as changes of the controls, so that every way in can ask for them.

A gesture is a list of poses, each with its frame and fade, on top of what the head does by itself (`pose:held` is left
alone). The last pose is none, so nothing stays behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facerig.controls import Controls
from facerig.errors import check_option
from facerig.stage import FPS

SWING_SECONDS = 0.4  # of one nod or shake at speed 1: beat nods take 0.4-0.6 s
MOST_COUNT = 20


@dataclass(frozen=True)
class Move:
    """One pose of a gesture: from `frame` on, within `fade_ms`."""

    frame: int
    values: dict[str, float]
    fade_ms: float


def _nod(count: int, size: float, swing: float) -> list[tuple[float, dict[str, float]]]:
    """Down quickly, up more slowly; the later ones smaller."""
    poses: list[tuple[float, dict[str, float]]] = []
    for k in range(count):
        poses += [(0.42 * swing, {"pose:pitch": -size * 0.85**k}), (0.58 * swing, {"pose:pitch": 0.0})]
    return poses


def _shake(count: int, size: float, swing: float) -> list[tuple[float, dict[str, float]]]:
    """From side to side, beginning with half a swing."""
    poses: list[tuple[float, dict[str, float]]] = [(0.3 * swing, {"pose:yaw": size})]
    for k in range(1, 2 * count):
        poses.append((0.5 * swing, {"pose:yaw": size * (-0.9) ** k}))
    return [*poses, (0.4 * swing, {"pose:yaw": 0.0})]


def _tilt(count: int, size: float, swing: float) -> list[tuple[float, dict[str, float]]]:
    """To a shoulder, hold, and back; each further one to the other side."""
    poses: list[tuple[float, dict[str, float]]] = []
    for k in range(count):
        side = size * (-1) ** k
        poses += [(swing, {"pose:roll": side}), (1.5 * swing, {"pose:roll": side}), (swing, {"pose:roll": 0.0})]
    return poses


GESTURES: dict[str, tuple[Callable[[int, float, float], list[tuple[float, dict[str, float]]]], float]] = {
    "nod": (_nod, 9.0),  # degrees at size 1: a clear yes
    "shake": (_shake, 11.0),
    "tilt": (_tilt, 9.0),
}


def moves(gesture: str, frame: int = 0, count: int = 1, speed: float = 1.0, size: float = 1.0) -> list[Move]:
    """The poses of a gesture that begins at native frame `frame`; its last frame is where the last fade ends."""
    check_option("gesture", gesture[:40], ", ".join(GESTURES), gesture in GESTURES)
    check_option("count", count, f"1 to {MOST_COUNT}", 1 <= count <= MOST_COUNT)
    check_option("speed", speed, "0.25 to 4", 0.25 <= speed <= 4)
    check_option("size", size, "-3 to 3 (negative: to the other side)", -3 <= size <= 3)
    make, degrees = GESTURES[gesture]
    out, at = [], float(frame)
    for seconds, pose in make(count, size * degrees, SWING_SECONDS / speed):
        frames = max(1, round(seconds * FPS))
        out.append(Move(round(at), pose, frames * 1000 / FPS))
        at += frames
    return out


def perform(controls: Controls, gesture: str, frame: int, count: int = 1, speed: float = 1.0, size: float = 1.0) -> int:
    """Put a gesture into a stream's controls; gives the frame at which it is over. It begins when the one before it on
    the same axis is over."""
    (axis,) = moves(gesture, frame, count, speed, size)[0].values
    begin = last = controls.free(axis, frame)
    for move in moves(gesture, begin, count, speed, size):
        controls.set(move.frame, move.values, move.fade_ms, begun=begin)
        last = move.frame + round(move.fade_ms * FPS / 1000)
    return last
