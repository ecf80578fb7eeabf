"""The server that Unreal 5.6's "Live Link Face" source connects to: one thread for all control connections.

Datagrams go to whichever connections have started a stream. Knows sockets and the clock; the conversation itself is
`ue56.Session`.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from facerig.errors import ProtocolError, ServiceError
from unreal_bridge import metahuman, ue56
from unreal_bridge.pose import Pose
from unreal_bridge.udp import at_port, bound

MAX_CONNECTIONS = 16
MAX_UNSENT = 1 << 20  # answers that a peer does not fetch: it is closed
# Unreal sends keep-alives; how often is not known, so a silent peer is given a long time before it is taken for dead.
SILENCE_SECONDS = 90.0


@dataclass
class Connection:
    """One TCP peer."""

    link: socket.socket
    peer: Any  # its socket's address
    session: ue56.Session
    heard: float
    unsent: bytearray = field(default_factory=bytearray)


class Ue56Target:
    """Listens as a phone would, and streams what each connection has asked for."""

    def __init__(self, name: str, host: str, port: int, offers: Sequence[metahuman.Offer], device: ue56.Device,
                 fps: int = 60, head: str = "degrees", silence: float = SILENCE_SECONDS) -> None:
        self.name, self.fps = name, fps
        self._offers = {offer.subject.id: offer for offer in offers}
        self._device, self._head, self._silence = device, metahuman.HEADS[head], silence
        self._connections: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._listener = _listen(name, host, port)
        self.port = int(self._listener.getsockname()[1])
        self._out = bound("::" if self._listener.family == socket.AF_INET6 else "0.0.0.0", 0)
        self._out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake_in, self._wake = socket.socketpair()
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._open = True
        self._thread = threading.Thread(target=self._serve, name=f"control {name}", daemon=True)
        self._thread.start()

    prompt = True

    def prepare(self, pose: Pose) -> None:
        for offer in self._offers.values():
            self._datagram(offer, pose)

    def send(self, pose: Pose) -> int:
        """Datagrams to every streaming connection; each subject is encoded once."""
        wanted = self._wanted()
        if pose.curves is None or not wanted:
            return 0
        made = {name: self._datagram(self._offers[name], pose) for name in {name for _, name in wanted}}
        return sum([self._post(made[name], address) for address, name in wanted])

    def status(self) -> str:
        with self._lock:
            streams = sum(connection.session.stream is not None for connection in self._connections.values())
            return f"{streams} of {len(self._connections)} connection(s) streaming" if self._connections else \
                f"waiting for Unreal at port {self.port}"

    def close(self) -> None:
        self._open = False
        self._wake.send(b"x")
        self._thread.join(2.0)
        for connection in list(self._connections.values()):
            connection.link.close()
        for made in (self._listener, self._out, self._wake, self._wake_in, self._selector):
            made.close()

    def _datagram(self, offer: metahuman.Offer, pose: Pose) -> bytes:
        return ue56.encode(offer.subject.id, pose.frame, offer.values(pose), self._head(pose.face().head),
                           pose.subframe, (pose.fps, 1), offer.subject.controls)

    def _wanted(self) -> list[tuple[Any, str]]:
        with self._lock:
            return [(at_port(connection.peer, stream.port), name) for connection in self._connections.values()
                    if (stream := connection.session.stream) for name in stream.subjects]

    def _post(self, data: bytes, address: Any) -> int:
        try:
            return int(self._out.sendto(data, address) > 0)
        except OSError:  # full or unreachable: the next frame is tried again, TCP tells when the peer is gone
            return 0

    # ---- the control thread ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._open:
            for key, events in self._selector.select(1.0):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.data, Connection):
                    self._attend(key.data, events)
            self._drop_silent()

    def _accept(self) -> None:
        try:
            link, address = self._listener.accept()
        except OSError:
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            link.close()
            return
        link.setblocking(False)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        subjects = [offer.subject for offer in self._offers.values()]
        session = ue56.Session(self._device, subjects, lambda: str(uuid.uuid4()), lambda: time.time_ns() // 1_000_000)
        connection = Connection(link, address, session, time.monotonic())
        with self._lock:
            self._connections[link.fileno()] = connection
        self._selector.register(link, selectors.EVENT_READ, connection)

    def _attend(self, connection: Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_READ and not self._read(connection):
                return self._drop(connection)
            self._write(connection)
        except (OSError, ProtocolError):
            self._drop(connection)

    def _read(self, connection: Connection) -> bool:
        """Whether the peer is still there."""
        data = connection.link.recv(65_536)
        connection.heard = time.monotonic()
        with self._lock:
            connection.unsent += connection.session.feed(data)
        return bool(data) and len(connection.unsent) <= MAX_UNSENT

    def _write(self, connection: Connection) -> None:
        if connection.unsent:
            with suppress(BlockingIOError):
                del connection.unsent[: connection.link.send(connection.unsent)]
        if connection.session.closing and not connection.unsent:
            return self._drop(connection)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        self._selector.modify(connection.link, wanted, connection)

    def _drop_silent(self) -> None:
        limit = time.monotonic() - self._silence
        for connection in [c for c in self._connections.values() if c.heard < limit]:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            self._connections.pop(connection.link.fileno(), None)
        self._selector.unregister(connection.link)
        connection.link.close()


def _listen(name: str, host: str, port: int) -> socket.socket:
    six = ":" in host
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if six else socket.AF_INET, backlog=8,
                                    dualstack_ipv6=six and socket.has_dualstack_ipv6())
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]
        raise ServiceError(f"{name}: cannot listen at {host}:{port}: {reason}; another port may be given, here "
                           "and to Unreal") from None
