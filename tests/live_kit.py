"""What the live loop's tests share: rows of curves, a target that remembers, time that passes by sleeping. No test."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from facerig.curves import Curves
from facerig.live.buffer import Buffer
from facerig.live.gains import Gains
from facerig.live.loop import Face, LiveLoop
from facerig.live.sources import Feed, Spec
from facerig.rig import rig
from unreal_bridge.clock import Clock
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose

NATIVE = rig("facerig")
RATE = 16_000


def rows(count: int, start: int = 0, **channels: float) -> Curves:
    values = np.zeros((count, len(NATIVE)), np.float32)
    values[:, 0] = np.arange(start, start + count) / 10_000  # each row its own number
    for name, value in channels.items():
        values[:, NATIVE.index(name)] = value
    return Curves(NATIVE.names, 60, values, start)


def number(pose: Pose) -> int:
    assert pose.curves is not None
    return round(float(pose.curves.values[0, 0]) * 10_000)


class Seen:
    """A target that remembers."""

    name, fps, prompt = "seen", 60, False

    def __init__(self) -> None:
        self.poses: list[Pose] = []

    def prepare(self, pose: Pose) -> None:
        pass

    def send(self, pose: Pose) -> int:
        self.poses.append(pose)
        return 1

    def status(self) -> str:
        return "fine"

    def close(self) -> None:
        pass


class Straight(Fan):
    """A fan without threads, so that a test sees every pose at once."""

    def __init__(self, target: Seen) -> None:
        self.lanes = []
        self.target = target

    def put(self, pose: Pose) -> None:
        self.target.send(pose)


class Time:
    """Time of a test: it passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 50.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(seconds, 1e-9)


class Device:
    """In the place of `sounddevice`: an input that gives `blocks` when it is started, and more when it is told to."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.ends = self.fails = self.closed = False
        self.asked: dict[str, Any] = {}

    def give(self, *blocks: np.ndarray) -> None:
        for block in blocks:
            self.asked["callback"](block, len(block), None, None)

    def module(self) -> ModuleType:
        device = self

        class PortAudioError(Exception):
            pass

        class InputStream:
            def __init__(self, **asked: Any) -> None:
                device.asked = asked

            def __enter__(self) -> None:
                if device.fails:
                    raise PortAudioError("Unanticipated host error")
                device.give(*device.blocks)
                if device.ends:
                    device.asked["finished_callback"]()

            def __exit__(self, *error: object) -> None:
                device.closed = True

        made = ModuleType("sounddevice")
        made.InputStream, made.PortAudioError = InputStream, PortAudioError  # type: ignore[attr-defined]
        return made


def loop_of(buffer: Buffer, lead: int = 3, kind: str = "audio", **options: object) -> tuple[LiveLoop, Seen]:
    seen, time = Seen(), Time()
    face = Face(Feed(Spec("x", kind, "x"), buffer), Straight(seen), Gains(NATIVE), lead)
    return LiveLoop([face], Clock(60, time.now, time.sleep), **options), seen  # type: ignore[arg-type]
