"""Clock and lanes: frames on time, and no target that delays another."""

from __future__ import annotations

import socket
import threading

import pytest
from bridge_samples import port, pose, until
from hypothesis import given, settings
from hypothesis import strategies as st

from unreal_bridge import livelink
from unreal_bridge.clock import Clock, timecode
from unreal_bridge.lanes import DEPTH, Fan, Lane
from unreal_bridge.pose import Pose
from unreal_bridge.targets import make

# ---- clock --------------------------------------------------------------------------------------------------------


class Fake:
    """A clock of a test: sleeping moves it, a little more or less than asked."""

    def __init__(self, error: float = 0.0) -> None:
        self.time, self.error, self.slept = 100.0, error, 0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.time += max(1e-5, seconds + self.error)


@settings(deadline=None, max_examples=20)
@given(error=st.floats(-0.004, 0.004))
def test_an_hour_of_frames_has_no_drift(error: float) -> None:
    fake = Fake(error)
    clock = Clock(60, fake.now, fake.sleep)
    for frame in range(600):
        assert clock.wait() == frame
        assert 0 <= fake.time - (100.0 + frame / 60) < 0.005
    assert clock.due(216_000) == 100.0 + 3600.0


def test_a_long_stop_is_left_out_and_a_short_one_made_up() -> None:
    fake = Fake()
    clock = Clock(60, fake.now, fake.sleep)
    clock.wait()
    fake.time += 0.1
    assert [clock.wait() for _ in range(7)] == list(range(1, 8))
    assert clock.skipped == 0
    fake.time += 10.0
    frame = clock.wait()
    assert fake.time - clock.due(frame) < 2 / 60
    assert clock.skipped == frame - 8 > 590


def test_timecode_of_the_day() -> None:
    assert timecode(60, 3600.0) == (216_000, 0.0)
    frame, sub = timecode(60, 86_399.9999999)
    assert frame == 5_183_999
    assert 0 <= sub < 1


# ---- lanes --------------------------------------------------------------------------------------------------------


class Slow:
    """A target that hangs until it is let go."""

    name, fps, prompt = "slow", 60, False

    def __init__(self) -> None:
        self.gate, self.seen = threading.Event(), []

    def prepare(self, pose: Pose) -> None:
        pass

    def send(self, sent: Pose) -> int:
        self.gate.wait(60)
        self.seen.append(sent.frame)
        return 1

    def status(self) -> str:
        return ""

    def close(self) -> None:
        pass


class Broken(Slow):
    name = "broken"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error or OSError("out of reach")

    def send(self, sent: Pose) -> int:
        self.seen.append(sent.frame)
        raise self.error


def test_a_stalled_target_delays_nobody_and_gets_the_present_again() -> None:
    slow, quick = Slow(), Slow()
    quick.gate.set()
    fan = Fan([slow, quick])
    for frame in range(50):
        fan.put(pose(frame))
        until(lambda frame=frame: len(quick.seen) == frame + 1)
    assert quick.seen == list(range(50))
    assert slow.seen == []
    slow.gate.set()
    until(lambda: len(slow.seen) == DEPTH + 1)
    assert slow.seen[-DEPTH:] == [47, 48, 49]
    assert fan.lanes[0].counts.dropped == 50 - DEPTH - 1
    fan.close()


class Gate:
    """A lock that lets threads in by `with` only when it is opened; who does not wait gets the plain lock."""

    def __init__(self) -> None:
        self._lock, self.reached, self.open = threading.Lock(), threading.Event(), threading.Event()
        self.release = self._lock.release

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def __enter__(self) -> None:
        self.reached.set()
        self.open.wait(60)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_pose_never_overtakes_one_that_is_about_to_be_sent() -> None:
    """The lane's thread is held up just before it sends the first pose; the target has become prompt meanwhile."""
    slow, gate = Slow(), Gate()
    slow.gate.set()
    lane = Lane(slow)
    lane._busy = gate  # type: ignore[assignment]
    lane.put(pose(0))
    assert gate.reached.wait(60)
    slow.prompt = True
    lane.put(pose(1))
    gate.open.set()
    until(lambda: len(slow.seen) == 2)
    assert slow.seen == [0, 1]
    lane.close()


def test_a_failing_target_is_tried_again_with_every_pose() -> None:
    broken = Broken()
    lane = Lane(broken)
    for frame in range(3):
        lane.put(pose(frame))
        until(lambda frame=frame: lane.counts.failed == frame + 1)
    assert lane.describe() == "out of reach"
    lane.close()


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize(("error", "words"), [
    (UnicodeError("label too long"), "UnicodeError: label too long"), (ZeroDivisionError(), "ZeroDivisionError"),
    (TimeoutError(), "TimeoutError")])
def test_whatever_a_target_raises_its_lane_goes_on(error: Exception, words: str, prompt: bool) -> None:
    broken = Broken(error)
    broken.prompt = prompt
    lane = Lane(broken)
    for frame in range(3):
        lane.put(pose(frame))
        until(lambda frame=frame: lane.counts.failed == frame + 1)
    assert (lane.describe(), broken.seen) == (words, [0, 1, 2])
    lane.close()


def test_lower_rates_get_every_nth_frame_under_its_own_number(ear: socket.socket) -> None:
    lane = Lane(make(f"livelink://127.0.0.1:{port(ear)}?fps=30"))
    for frame in range(600, 604):
        lane.put(pose(frame, jawOpen=0.5))
    got = [livelink.decode(ear.recv(2048)) for _ in range(2)]
    assert [(p.frame, p.numerator) for p in got] == [(300, 30), (301, 30)]
    lane.close()


@pytest.mark.parametrize(("rate", "target"), [(24, 10), (50, 30), (100, 60), (60, 15), (24, 60)])
def test_rates_that_are_no_multiples_keep_their_number_and_their_time(rate: int, target: int) -> None:
    begun = rate * 3_600
    sent = [(begun + k, thin) for k in range(10 * rate)
            if (thin := Pose(None, begun + k, rate, 0.25).every(target)) is not None]
    kept = min(rate, target)
    assert [thin.frame for _, thin in sent] == list(range(kept * 3_600, kept * 3_610))
    assert {thin.fps for _, thin in sent} == {kept}
    for frame, thin in sent:
        assert 0 <= thin.subframe < 1
        assert abs((thin.frame + thin.subframe) / thin.fps - (frame + 0.25) / rate) < 0.25 / rate + 1e-6
