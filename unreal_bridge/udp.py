"""Targets that are told by datagrams: Live Link Face, VMC, iFacialMocap, FaceMotion3D, OpenSeeFace."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from facerig.errors import ServiceError
from unreal_bridge import ifacialmocap, livelink, openseeface, vmc
from unreal_bridge.pose import LIVELINK, Pose

RESOLVE_SECONDS = 5.0  # between look-ups of a name: one may take seconds, and names seldom change
FULL = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS})  # the next frame finds room
Encoder = Callable[[Pose], list[bytes]]


@dataclass(frozen=True)
class Place:
    """One of a host's addresses, and the socket that goes there."""

    family: int
    kind: int
    protocol: int
    address: Any

    def connected(self) -> socket.socket:
        made = socket.socket(self.family, self.kind, self.protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            made.setblocking(False)
            made.connect(self.address)
        except BaseException:
            made.close()
            raise
        return made


class UdpTarget:
    """Datagrams to one host. One that is absent, comes back or refuses costs nothing but its own frames.

    A connected socket keeps the address that was ours when it was made, so one that cannot send any more (another
    network, a new lease) is closed, and the next pose has a new one.
    """

    def __init__(self, name: str, host: str, port: int, encode: Encoder, fps: int = 60) -> None:
        self.name, self.fps = name, fps
        self._host, self._port, self._encode = host, port, encode
        self._socket: socket.socket | None = None
        self._places: list[Place] = []
        self._looked = float("-inf")
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
        except OSError as error:
            if error.errno not in FULL:
                if error.errno != errno.EMSGSIZE:  # that is the datagram's fault, not the way's
                    self.close()
                raise
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
            if time.monotonic() - self._looked >= RESOLVE_SECONDS:
                self._looked = time.monotonic()
                self._places = _resolve(self._host, self._port)
            self._socket = self._opened()
        return self._socket

    def _opened(self) -> socket.socket:
        """To the first address that there is a way to."""
        failed: OSError | None = None
        for place in self._places:
            try:
                return place.connected()
            except OSError as error:
                failed = failed or error
        if failed is None:
            raise ServiceError(f"{self._host}: no such host; trying again")
        raise failed


def _resolve(host: str, port: int) -> list[Place]:
    """All addresses of a host, IPv4 first: Unreal and the other programs listen there and mostly nowhere else."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServiceError(f"{host}: {reason}; trying again") from None
    places = [Place(family, kind, protocol, address) for family, kind, protocol, _, address in found]
    return sorted(places, key=lambda place: place.family != socket.AF_INET)


def bound(host: str, port: int) -> socket.socket:
    """A datagram socket that listens at an address of this machine; at `::` it hears IPv4 as well."""
    spelt = host.encode("idna").decode()  # here it is a UnicodeError what is wrong with a name; of bind a TypeError
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if made.family == socket.AF_INET6 and socket.has_dualstack_ipv6():  # systems differ in what they begin with
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((spelt, port))
    except BaseException:
        made.close()
        raise
    return made


def at_port(address: Any, port: int) -> Any:
    """Another port of a peer; the rest of an IPv6 address says by which network a link-local one is reached."""
    return (address[0], port, *address[2:])


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


