"""bench live: are frames on time? Senders on this machine, measured by the kernel's own time stamps at the receiver.

Four targets run side by side: two Live Link sockets, a 5.6 server with a connected engine, and one target that hangs
for seconds at a time. What is reported is the first Live Link socket.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facerig.curves import Curves
from facerig.live.buffer import Buffer
from facerig.live.gains import Gains
from facerig.live.loop import Face, LiveLoop
from facerig.live.sources import Feed, Spec
from facerig.pipeline import Animator
from facerig.rig import rig
from facerig.stage import FPS, RATE
from unreal_bridge import livelink, metahuman, ue56
from unreal_bridge.lanes import Fan, Target
from unreal_bridge.pose import Pose
from unreal_bridge.targets import make
from unreal_bridge.ue56_server import Ue56Target

# Linux' SO_TIMESTAMPNS, which Python does not name: the kernel notes when a datagram arrived, however late it is read.
STAMP = 35
HANG_SECONDS = 3.0
# What this machine gives a process that does nothing but sleep to the same grid, at the same time: on a machine that is
# busy with other work the senders cannot be steadier than that.
FLOOR = """
import json, sys, time
begin, late = time.monotonic(), []
for k in range(int(float(sys.argv[1]) * 60)):
    left = begin + k / 60 - time.monotonic()
    if left > 0:
        time.sleep(left)
    late.append(time.monotonic() - begin - k / 60)
error = sorted(abs(b - a) for a, b in zip(late, late[1:]))
print(json.dumps({"floor_jitter_p99_ms": round(error[int(len(error) * 0.99)] * 1000, 3),
                  "floor_late_p99_ms": round(sorted(late)[int(len(late) * 0.99)] * 1000, 3)}))
"""


class Hanging:
    """A target that takes seconds for every frame."""

    name, fps, prompt = "hanging", FPS, False

    def prepare(self, pose: Pose) -> None: ...

    def send(self, pose: Pose) -> int:
        time.sleep(HANG_SECONDS)
        return 1

    def status(self) -> str:
        return "hanging"

    def close(self) -> None: ...


@dataclass
class Ear:
    """A receiver: kernel arrival times and frame numbers of every datagram."""

    link: socket.socket
    times: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def listen(self) -> None:
        while True:
            data, ancillary, _, _ = self.link.recvmsg(2048, 64)
            if data == b"stop":
                return
            self.times.append(_stamp(ancillary))
            if data[0] == 6:
                self.frames.append(livelink.decode(data).frame)


def bench_live(seconds: float = 600.0, model: str = "fake") -> dict[str, Any]:
    """Jitter, drift and losses at 60 frames a second, with a model running and a hanging target beside."""
    floor = subprocess.Popen([sys.executable, "-c", FLOOR, str(seconds)], stdout=subprocess.PIPE, text=True)
    with _ear() as steady, _ear() as second, _engine() as (server, engine):
        targets: list[Target] = [make(f"livelink://127.0.0.1:{ear.link.getsockname()[1]}/{name}")
                                 for ear, name in ((steady, "bench"), (second, "other"))]
        faces = [Face(_talking(model), Fan([*targets, server, Hanging()]), Gains(rig("facerig")))]
        loop = LiveLoop(faces, frames=round(seconds * FPS))
        late: list[float] = []
        loop.run(lambda tick: late.append(loop.clock.now() - loop.clock.due(tick)))
        lanes = faces[0].fan.lanes
        for lane in lanes[:3]:
            lane.close()
        loop.faces[0].feed.close()
    return {"seconds": seconds, **figures(np.array(steady.times), np.array(steady.frames)),
            "late_p99_ms": _ms(np.percentile(late, 99)), **json.loads(floor.communicate()[0]),
            "skipped": loop.clock.skipped,
            "repeated": faces[0].repeated, "second_livelink_frames": len(second.times),
            "engine_frames": len(engine.times), "hanging_sent": lanes[3].counts.sent,
            "hanging_dropped": lanes[3].counts.dropped, "model": model}


def figures(times: np.ndarray[Any, Any], frames: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Jitter: how far an interval is from 1/60 s. Drift: the last frame against the first, in frames."""
    intervals = np.diff(times)
    error = np.abs(intervals - np.diff(frames) / FPS)
    # The punctual frames of the first and last ten seconds are compared: a late frame is lateness, not drift.
    offset, span = times - frames / FPS, min(10 * FPS, len(times) // 3)
    drift = float(np.percentile(offset[-span:], 5) - np.percentile(offset[:span], 5)) * FPS
    return {"frames": len(times), "missing": int(frames[-1] - frames[0] + 1 - len(frames)),
            "jitter_p50_ms": _ms(np.percentile(error, 50)), "jitter_p99_ms": _ms(np.percentile(error, 99)),
            "jitter_p999_ms": _ms(np.percentile(error, 99.9)), "jitter_max_ms": _ms(error.max()),
            "interval_mean_ms": round(float(intervals.mean()) * 1000, 5), "drift_frames": round(drift, 3)}


def _ms(seconds: Any) -> float:
    return round(float(seconds) * 1000, 3)


def _stamp(ancillary: list[Any]) -> float:
    for _, kind, data in ancillary:
        if kind == STAMP and len(data) >= 16:
            whole, nanoseconds = struct.unpack("qq", data[:16])
            return float(whole + nanoseconds * 1e-9)
    return time.time()


@contextmanager
def _ear() -> Iterator[Ear]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", 0))
        with suppress(OSError):  # not Linux: the time of reading has to do
            link.setsockopt(socket.SOL_SOCKET, STAMP, 1)
        ear = Ear(link)
        thread = threading.Thread(target=ear.listen, daemon=True)
        thread.start()
        yield ear
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(b"stop", link.getsockname())
        thread.join(5)


@contextmanager
def _engine() -> Iterator[tuple[Target, Ear]]:
    """A 5.6 server and an engine that has started the MetaHuman stream."""
    server = Ue56Target("ue56", "127.0.0.1", 0, metahuman.offers("bench"), ue56.Device("bench", "bench"))
    with _ear() as ear, socket.create_connection(("127.0.0.1", server.port)) as link:
        session = _ask(link, "handshake", "/session/start", {})["body"]["sessionId"]
        subject = _ask(link, session, "/stream/subjects", {})["body"]["subjects"][0]
        wanted = {"streamPort": ear.link.getsockname()[1], "subjects": [{"id": subject["id"], "name": subject["name"]}]}
        _ask(link, session, "/stream/start", wanted)
        alive = threading.Event()
        keeper = threading.Thread(target=_keep_alive, args=(link, session, alive), daemon=True)
        keeper.start()
        yield server, ear
        alive.set()
        keeper.join(5)


def _keep_alive(link: socket.socket, session: str, done: threading.Event) -> None:
    while not done.wait(5.0):
        _ask(link, session, "/session/keep-alive", {})


def _ask(link: socket.socket, session: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    link.sendall(ue56.pack_control({"sessionId": session, "addressPath": path, "transactionId": 1, "timestamp": 0,
                                    "type": "request", "body": body}))
    data = b""
    while len(data) < 17 or len(data) < 17 + int.from_bytes(data[13:17], "little"):
        data += link.recv(65_536)
    answer: dict[str, Any] = json.loads(data[17:])
    return answer


def _talking(model: str) -> Feed:
    """Endless speech-like sound through the model, computed while the clock runs."""
    feed = Feed(Spec("bench", "audio", "bench"), Buffer())
    session = Animator.load(model=model, block=6).session(RATE)
    noise = np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    loudness = np.abs(np.sin(np.arange(RATE) * (2 * np.pi * 4 / RATE))).astype(np.float32)  # syllables: 4 a second
    samples = noise * loudness * 0.1

    def rows() -> Iterator[Curves]:
        while True:
            for first in range(0, RATE, RATE // 10):
                yield session.push(samples[first : first + RATE // 10])

    feed.start(rows)
    return feed
