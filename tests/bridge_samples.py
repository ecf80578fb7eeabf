"""What the bridge tests share: real recorded packets, made poses, one valid packet of every kind. Not a test."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facerig.curves import Curves
from facerig.rig import rig
from unreal_bridge import ifacialmocap, livelink, openseeface, osc, ue56, vmc, vts
from unreal_bridge.face import Face, Turn
from unreal_bridge.pose import Pose

_NAMES = """eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft
eyeBlinkRight eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight jawForward
jawLeft jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight
mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight mouthRollLower
mouthRollUpper mouthShrugLower mouthShrugUpper mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight
mouthUpperUpLeft mouthUpperUpRight browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff
cheekSquintLeft cheekSquintRight noseSneerLeft noseSneerRight tongueOut"""
NAMES = tuple(_NAMES.split())
WEIGHTS = (np.arange(52) / 51).astype(np.float32)
HEAD = Turn(0.3, -0.2, 0.1)


def tape(path: Path) -> list[bytes]:
    """The packets of a gzip recording: u8 6, u32 count, then u32 size + packet."""
    data = gzip.decompress(path.read_bytes())
    count, at, packets = struct.unpack_from(">I", data, 1)[0], 5, []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", data, at)
        packets.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    assert at == len(data)
    return packets


def face(**weights: float) -> Face:
    values = np.zeros(52, np.float32)
    for name, value in weights.items():
        values[NAMES.index(name)] = value
    return Face(NAMES, values)


def livelink_packet(version: int = 6) -> bytes:
    count = 51 if version == 1 else 61
    values = tuple(float(v) for v in np.linspace(-1, 1, count).astype(np.float32))
    return livelink.encode(livelink.Packet("Jürgen", "d" * 36, 7, 0.5, values=values, version=version))


def _control_feed(data: bytes) -> Any:
    subject = ue56.Subject("s", "s", "arkit", NAMES)
    return ue56.Session(ue56.Device("d", "n"), [subject], lambda: "id", lambda: 1).feed(data)


def control(path: str, session: str = "id", number: int = 3, **body: object) -> bytes:
    return ue56.pack_control({"sessionId": session, "addressPath": path, "transactionId": number, "timestamp": 1,
                              "type": "request", "body": body})


def decoders() -> dict[str, tuple[Callable[[bytes], Any], list[bytes]]]:
    """Every reader of foreign bytes, with valid packets to start from."""
    full = Face(NAMES, WEIGHTS, HEAD)
    lines = [ifacialmocap.encode(NAMES, WEIGHTS, HEAD, dialect=d) for d in set(ifacialmocap.REQUESTS.values())]
    frames = vmc.encode(NAMES, WEIGHTS, 1.0, {"head": HEAD})
    session = vts.Session(own=("Facerig1",))
    session.open()
    token = vts.API | {"messageType": "AuthenticationTokenResponse", "data": {"authenticationToken": "abc"}}
    conversation = (control("/session/start", "handshake") + control("/stream/subjects")
                    + control("/stream/start", streamPort=5000, subjects=[{"id": "s", "name": "s"}]))
    return {
        "livelink": (livelink.decode, [livelink_packet(version) for version in range(1, 7)]),
        "ue56 datagram": (ue56.decode, [ue56.encode("subject", 5, WEIGHTS, np.ones(6))]),
        "ue56 control": (_control_feed, [conversation]),
        "osc": (osc.decode, frames),
        "vmc": (lambda data: vmc.Receiver().feed(data), frames),
        "ifacialmocap": (ifacialmocap.decode, lines),
        "ifacialmocap request": (ifacialmocap.asked, [text.encode() for text in ifacialmocap.REQUESTS]),
        "openseeface": (openseeface.decode, [openseeface.encode(openseeface.from_face(full, 1.0))]),
        "vts": (lambda data: vts.Session(state="token").feed(data), [json.dumps(token).encode()]),
    }


# ---- poses and sockets ----------------------------------------------------------------------------------------------


FULL = rig("facerig-full").names


def pose(frame: int = 600, **channels: float) -> Pose:
    values = np.zeros((1, len(FULL)), np.float32)
    for name, value in channels.items():
        values[0, FULL.index(name)] = value
    return Pose(Curves(FULL, 60, values), frame, 60, 0.25)


def port(link: socket.socket) -> int:
    return int(link.getsockname()[1])


def until(met: Callable[[], bool]) -> None:
    """Wait for another thread; the minute is only there to end a test that fails."""
    event, end = threading.Event(), time.monotonic() + 60
    while time.monotonic() < end:
        if met():
            return
        event.wait(0.005)
    raise AssertionError("did not happen within a minute")
