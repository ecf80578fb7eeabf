"""Listening to a live face: datagrams of Live Link Face, VMC or iFacialMocap into frames, and frames into a take.

`Recorder` lays what arrives on a grid of whole frames a second: by Live Link's own frame numbers and rate where it has
them, by the time of arrival elsewhere and where a sender begins to count anew. A gap, however long, holds the last
frame; of two in one place the newer stays; a packet out of order or twice is left out. Bad packets are counted and
otherwise ignored.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facerig.curves import MAX_FPS, Curves
from facerig.errors import InputError, ProtocolError, ServiceError
from facerig.rig import rig
from unreal_bridge import ifacialmocap, livelink, vmc
from unreal_bridge.face import Face, to_livelink
from unreal_bridge.pose import ARKIT, LIVELINK
from unreal_bridge.udp import bound
from unreal_bridge.wire import Floats

LONGEST_LEAP = 600  # frames that numbers may go on by as they like; more must be as long as it took them to arrive
LEAP_SECONDS = 2.0  # that these two may differ by; else the sender has begun anew
LONGEST_RETURN = 30  # frames that a packet may be late by; one of more comes from a sender that has begun anew
LONGEST_TAKE = 60 * 60 * 60 * 4  # frames: four hours
REQUEST_SECONDS = 1.0  # how often a phone is asked, until it answers


@dataclass(frozen=True)
class Heard:
    """One frame as it arrived: 61 Live Link values (None: no face in view)."""

    subject: str
    values: Floats | None
    frame: int | None = None  # the sender's own frame number
    fps: float | None = None  # of these numbers; 29.97 is no whole one


Decoder = Callable[[bytes], list[Heard]]


def livelink_decoder() -> Decoder:
    def decode(data: bytes) -> list[Heard]:
        packet = livelink.decode(data)
        values = None
        if packet.values is not None:
            values = np.zeros(livelink.COUNT, np.float32)
            values[: len(packet.values)] = packet.values
        timed = packet.version in (5, 6) and packet.numerator > 0
        fps = packet.numerator / max(packet.denominator, 1) if timed else None
        return [Heard(packet.subject, values, packet.frame if packet.version == 6 else None, fps)]

    return decode


def vmc_decoder() -> Decoder:
    """VMC shapes by ARKit's names, in any case; VRM's own presets say too little to be turned back.

    The first frame is left out: who begins to listen in the middle of one has heard only a part of it.
    """
    receiver, names = vmc.Receiver(), rig(ARKIT).names
    places = {name.lower(): place for place, name in enumerate(names)}

    joined = False

    def decode(data: bytes) -> list[Heard]:
        nonlocal joined
        out = []
        for frame in receiver.feed(data):
            if not joined:
                joined = True
                continue
            weights = np.zeros(len(names), np.float32)
            for name, value in frame.items():
                if (place := places.get(name.lower())) is not None:
                    weights[place] = value
            out.append(Heard("vmc", to_livelink(Face(names, weights, **receiver.turns))))
        return out

    return decode


def ifacialmocap_decoder() -> Decoder:
    names = rig(ARKIT).names

    def decode(data: bytes) -> list[Heard]:
        line = ifacialmocap.decode(data)
        weights = np.array([line.weights.get(name, 0.0) for name in names], np.float32)
        turns = (line.head, line.left_eye, line.right_eye)
        return [Heard("iFacialMocap", to_livelink(Face(names, weights, *turns)))]

    return decode


@dataclass(frozen=True)
class Listener:
    """A protocol to record: its port, its reader, and what asks a phone to begin (if anything does)."""

    port: int
    decoder: Callable[[], Decoder]
    request: bytes = b""
    phone_port: int = 0


LISTENERS: dict[str, Listener] = {
    "livelink": Listener(livelink.PORT, livelink_decoder),
    "vmc": Listener(vmc.PORT, vmc_decoder),
    "ifm": Listener(ifacialmocap.PORT, ifacialmocap_decoder, ifacialmocap.request(ifacialmocap.IFM2),
                    ifacialmocap.PORT),
    "fm3d": Listener(ifacialmocap.PORT, ifacialmocap_decoder, ifacialmocap.request(ifacialmocap.FM3D),
                     ifacialmocap.FM3D_PORT),
}


@dataclass
class Recorder:
    """Rows of one subject (the first that is heard, or the one asked for) at the sender's own rate, made whole."""

    fps: int = 60  # where the sender names none
    subject: str = ""
    rows: list[Floats] = field(default_factory=list)
    held: int = 0  # rows that repeat the one before, because nothing arrived
    late: int = 0  # packets out of order or twice
    foreign: int = 0  # packets of other subjects
    _begin: float = 0.0  # the sender's time at row 0
    _newest: float = float("-inf")  # the sender's time of the last row
    _rate: float | None = None  # what the sender said its numbers count by
    _came: float = 0.0  # when the last of its frames arrived

    @property
    def full(self) -> bool:
        return len(self.rows) >= LONGEST_TAKE

    def add(self, heard: Heard, seconds: float) -> None:
        """One frame that arrived `seconds` after the recording began; a full take takes no more."""
        rate = heard.fps if heard.fps and 1 <= heard.fps <= MAX_FPS else None
        if not self.rows:
            self.subject = self.subject or heard.subject
            self.fps = self.fps if rate is None else round(rate)
        if heard.subject != self.subject:
            self.foreign += 1
            return
        if self.full:
            return
        numbered = heard.frame is not None
        at = seconds if heard.frame is None else heard.frame / (rate or self.fps)
        ahead = round((at - self._begin) * self.fps) - len(self.rows)
        if not self.rows or rate != self._rate or self._leaps(ahead, seconds):
            ahead = max(0, round((seconds - self._came) * self.fps) - 1) if self.rows else 0
            self._begin, self._rate = at - (len(self.rows) + ahead) / self.fps, rate
        elif numbered and at <= self._newest:
            self.late += 1
            return
        self._newest, self._came = at, seconds
        self._lay(heard.values, min(ahead, LONGEST_TAKE - len(self.rows) - 1))

    def _leaps(self, ahead: int, seconds: float) -> bool:
        """Whether the sender's own time cannot be what passed here: it has begun anew."""
        behind = abs(ahead / self.fps - (seconds - self._came))
        return ahead < -LONGEST_RETURN or (ahead > LONGEST_LEAP and behind > LEAP_SECONDS)

    def _lay(self, values: Floats | None, ahead: int) -> None:
        """A row after so many that hold the last one; over the last one where there is no room for another."""
        last = self.rows[-1] if self.rows else np.zeros(livelink.COUNT, np.float32)
        self.held += max(ahead, 0)
        self.rows += [last] * max(ahead, 0)
        if ahead < 0:
            self.rows.pop()
        self.rows.append(last if values is None else values)

    def curves(self) -> Curves:
        if not self.rows:
            raise InputError("recording: no face arrived; check port, firewall and the sender's address")
        return Curves(rig(LIVELINK).names, self.fps, np.stack(self.rows))


def at_rest() -> Curves:
    """The least that a recording can be."""
    return Curves(rig(LIVELINK).names, 60, np.zeros((1, livelink.COUNT), np.float32))


@dataclass
class Ear:
    """A bound socket and a reader: yields frames with their time of arrival."""

    listener: Listener
    link: socket.socket
    phone: Any = None  # a socket address
    bad: int = 0
    error: str = ""

    @property
    def port(self) -> int:
        return int(self.link.getsockname()[1])

    def frames(self, seconds: float | None, stop: Callable[[], bool] = lambda: False,
               patience: float | None = None) -> Iterator[tuple[Heard, float]]:
        """Until so long after the first frame (or `stop`); a phone is asked until it answers.

        Without a first frame the end comes after `patience` seconds (None: never).
        """
        decode, begin, asked, first = self.listener.decoder(), time.monotonic(), float("-inf"), None
        self.link.settimeout(0.2)
        while not stop():
            now = time.monotonic()
            limit, since = (patience, begin) if first is None else (seconds, first)
            if limit is not None and now - since > limit:
                return
            if first is None and self.phone and now - asked > REQUEST_SECONDS:
                asked = now
                with suppress(OSError):  # no way to it now; it is asked again
                    self.link.sendto(self.listener.request, self.phone)
            for heard in self._hear(decode):
                first = time.monotonic() if first is None else first
                yield heard, time.monotonic() - first

    def _hear(self, decode: Decoder) -> list[Heard]:
        try:
            return decode(self.link.recv(65_536))
        except ProtocolError as error:
            self.bad, self.error = self.bad + 1, str(error)
        except (TimeoutError, ConnectionResetError):
            pass
        return []

    def close(self) -> None:
        self.link.close()


def listen(scheme: str, host: str, port: int, phone: str = "") -> Ear:
    """An open ear at host:port; `phone` is asked to send where its protocol has such a request."""
    listener, family = LISTENERS[scheme], socket.AF_INET6 if ":" in host else socket.AF_INET
    asked = _resolved(phone, listener.phone_port, family) if phone and listener.request else None
    try:
        link = bound(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServiceError(f"{scheme}: cannot listen at {host}:{port}: {reason}") from None
    return Ear(listener, link, asked)


def _resolved(phone: str, port: int, family: socket.AddressFamily) -> Any:
    """The phone's address for a socket of this family."""
    try:
        return socket.getaddrinfo(phone, port, family, socket.SOCK_DGRAM)[0][4]
    except (OSError, UnicodeError) as error:
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        raise ServiceError(f"--phone: got {phone!r} ({getattr(error, 'strerror', None) or error}), accepted: a name or "
                           f"an {kind} address, as that which is listened at") from None


