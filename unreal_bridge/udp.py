"""Targets that are told by datagrams: Live Link Face, VMC, iFacialMocap, FaceMotion3D, OpenSeeFace."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

from facerig.errors import ServiceError
from unreal_bridge import ifacialmocap, livelink, openseeface, vmc
from unreal_bridge.pose import LIVELINK, Pose

RESOLVE_SECONDS = 5.0  # between attempts at a name that does not resolve
Encoder = Callable[[Pose], list[bytes]]


class UdpTarget:
    """Datagrams to one address. A host that is absent, comes back or refuses costs nothing but its own frames."""

    def __init__(self, name: str, host: str, port: int, encode: Encoder, fps: int = 60) -> None:
        self.name, self.fps = name, fps
        self._host, self._port, self._encode = host, port, encode
        self._socket: socket.socket | None = None
        self._retry = 0.0
        self._words = "starting"

    @property
    def prompt(self) -> bool:
        return self._socket is not None  # looking up a name may take seconds, sending never waits

    def prepare(self, pose: Pose) -> None:
        self._encode(pose)

    def send(self, pose: Pose) -> int:
        datagrams = self._encode(pose)
        if not datagrams:
            return 0
        out = self._connected()
        self._words = "sending"
        try:
            for data in datagrams:
                self._post(out, data)
        except BlockingIOError:
            self._words = "the network is full"
        return int(self._words == "sending")

    def _post(self, out: socket.socket, data: bytes) -> None:
        try:
            out.send(data)
        except ConnectionRefusedError:  # the answer to an earlier datagram; this one was not sent, and may well arrive
            self._words = "nobody listens"
            with suppress(ConnectionRefusedError):
                out.send(data)

    def status(self) -> str:
        return self._words

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        """A connected socket: only that hears of a refusal. Resolving a name may take seconds; its lane waits."""
        if self._socket is None:
            if time.monotonic() < self._retry:
                raise ServiceError(f"{self._host}: no such host; trying again")
            self._retry = time.monotonic() + RESOLVE_SECONDS
            family, kind, protocol, _, address = _resolve(self._host, self._port)
            made = socket.socket(family, kind, protocol)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            made.setblocking(False)
            made.connect(address)
            self._socket = made
        return self._socket


def _resolve(host: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise ServiceError(f"{host}: {error.strerror or error}; trying again") from None


# ---- what each protocol makes of a pose -----------------------------------------------------------------------


def livelink_encoder(subject: str, device: str) -> Encoder:
    """Live Link Face; a pose without a face is a packet that stops after its header."""

    def encode(pose: Pose) -> list[bytes]:
        values = None if pose.curves is None else tuple(pose.values(LIVELINK).tolist())
        return [livelink.encode(livelink.Packet(subject, device, pose.frame, pose.subframe, pose.fps, 1, values))]

    return encode


def vmc_encoder(names: str, bones: bool, largest: int) -> Encoder:
    """VMC under the names of a rig, or of VRM 0 (`vrm0`)."""
    from facerig.rig import rig

    chosen = "vrm" if names == "vrm0" else names
    spoken = tuple(vmc.VRM0.get(name, name) if names == "vrm0" else name for name in rig(chosen).names)
    begin: int | None = None  # its time is a float32, which counts the seconds since midnight in steps of 8 ms

    def encode(pose: Pose) -> list[bytes]:
        nonlocal begin
        if pose.curves is None:
            return vmc.absent()
        begin = pose.frame if begin is None else begin
        face = pose.face()
        turns = {"head": face.head, "left_eye": face.left_eye, "right_eye": face.right_eye} if bones else None
        return vmc.encode(spoken, pose.values(chosen), (pose.frame - begin) / pose.fps, turns, largest)

    return encode


def ifacialmocap_line(pose: Pose, dialect: ifacialmocap.Dialect) -> bytes:
    face = pose.face()
    return ifacialmocap.encode(face.names, face.weights, face.head, face.left_eye, face.right_eye, dialect=dialect)


def ifacialmocap_encoder(dialect: ifacialmocap.Dialect) -> Encoder:
    return lambda pose: [] if pose.curves is None else [ifacialmocap_line(pose, dialect)]


def openseeface_encoder() -> Encoder:
    return lambda pose: [] if pose.curves is None else [
        openseeface.encode(openseeface.from_face(pose.face(), pose.frame / pose.fps))]


