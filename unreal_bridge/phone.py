"""iFacialMocap and FaceMotion3D as the phone: waits for a PC's request and answers it, by UDP or TCP."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from facerig.errors import ServiceError
from unreal_bridge import ifacialmocap as ifm
from unreal_bridge.pose import Pose
from unreal_bridge.udp import at_port, bound, ifacialmocap_line

MAX_CLIENTS = 16
CONNECT_SECONDS = 1.0


@dataclass
class Client:
    """A PC that asked."""

    address: Any  # of a socket
    dialect: ifm.Dialect
    link: socket.socket | None = None  # TCP only


class PhoneTarget:
    """Answers whoever asks at our port. UDP frames go to the port that a PC listens at, the same number as ours."""

    def __init__(self, name: str, host: str, port: int, fps: int = 60, reply_port: int | None = None,
                 tcp_port: int = ifm.TCP_PORT) -> None:
        self.name, self.fps = name, fps
        self._reply_port, self._tcp_port = reply_port or port, tcp_port
        self._clients: dict[str, Client] = {}
        try:
            self._socket = bound(host, port)
        except OSError as error:
            raise ServiceError(f"{name}: cannot listen at {host}:{port}: {error.strerror}") from None
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    prompt = False  # connecting may take a while

    def prepare(self, pose: Pose) -> None:
        pose.face()

    def send(self, pose: Pose) -> int:
        self._hear()
        if pose.curves is None:
            return 0
        return sum([self._tell(client, pose) for client in list(self._clients.values())])

    def status(self) -> str:
        return f"{len(self._clients)} PC(s)" if self._clients else "waiting for a PC to ask"

    def close(self) -> None:
        for host in list(self._clients):
            self._forget(host)
        self._socket.close()

    def _hear(self) -> None:
        for _ in range(MAX_CLIENTS):
            try:
                data, address = self._socket.recvfrom(2048)
            except (BlockingIOError, ConnectionResetError):
                return
            host = address[0]
            if data.decode("utf-8", "replace").strip() == ifm.STOP:
                self._forget(host)
            elif (dialect := ifm.asked(data)) and (host in self._clients or len(self._clients) < MAX_CLIENTS):
                self._welcome(address, dialect)

    def _welcome(self, address: Any, dialect: ifm.Dialect) -> None:
        host = address[0]
        known = self._clients.get(host)
        if known and known.dialect == dialect:  # PCs repeat their request, since datagrams may be lost
            return
        self._forget(host)
        link = None
        if dialect.tcp:
            try:
                link = _dialled(at_port(address, self._tcp_port))
            except OSError:
                return  # it asks again
            link.setblocking(False)
        self._clients[host] = Client(at_port(address, self._reply_port), dialect, link)

    def _tell(self, client: Client, pose: Pose) -> int:
        line = ifacialmocap_line(pose, client.dialect)
        try:
            if client.link is None:
                self._socket.sendto(line, client.address)
            elif client.link.send(line) < len(line):  # half a frame is in the pipe: only a new connection mends that
                self._forget(client.address[0])
        except BlockingIOError:
            return 0
        except OSError:
            self._forget(client.address[0])
            return 0
        return 1

    def _forget(self, host: str) -> None:
        client = self._clients.pop(host, None)
        if client and client.link:
            client.link.close()


def _dialled(address: Any) -> socket.socket:
    link = socket.socket(socket.AF_INET if len(address) == 2 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        link.settimeout(CONNECT_SECONDS)
        link.connect(address)
    except BaseException:
        link.close()
        raise
    return link
