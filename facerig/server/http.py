"""/metrics and /v1/health over plain HTTP: enough of it for Prometheus and a kubelet, and nothing for anybody else.

One request a connection, a short head, a short wait: a slow or talkative peer is cut off. It carries no audio, no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable

from facerig.errors import ServiceError
from facerig.server.admission import House

HEAD_MOST = 8_192  # bytes
HEAD_WAIT = 5.0  # seconds
CONNECTIONS = 64
EVERYWHERE = "::"  # gRPC listens there on IPv4 as well, asyncio by itself on IPv6 alone
Answer = tuple[int, str, bytes]
REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 400: "Bad Request", 503: "Service Unavailable"}


class Http:
    """The operator's port."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.port = 0
        self._open = 0
        self._server: asyncio.Server | None = None
        self._pages: dict[str, Callable[[], Answer]] = {
            "/metrics": lambda: (200, "text/plain; version=0.0.4; charset=utf-8", self.house.metrics.text()),
            "/v1/health/live": lambda: (200, "application/json", b'{"live": true}\n'),
            "/v1/health/ready": self._ready,
        }

    async def start(self, host: str, port: int) -> None:
        try:
            if host == EVERYWHERE:
                both = socket.has_dualstack_ipv6()
                sock = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=both)
                self._server = await asyncio.start_server(self._serve, sock=sock, limit=HEAD_MOST)
            else:
                self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_MOST)
        except OSError as error:
            raise ServiceError(f"http_port: cannot listen on {host}:{port} ({error.strerror or error})") from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 2)

    def _ready(self) -> Answer:
        up = self.house.ready and not self.house.draining
        body = {"ready": up, "sessions": len(self.house.guests), "capacity": self.house.capacity}
        return (200 if up else 503, "application/json", json.dumps(body).encode() + b"\n")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS:
                status, kind, body = await self._answer(reader)
                head = (
                    f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await asyncio.wait_for(writer.drain(), HEAD_WAIT)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the peer was slow, rude or gone: there is nobody to tell
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_WAIT)
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3:
            return 400, "text/plain", b"bad request\n"
        if words[0] not in (b"GET", b"HEAD"):
            return 405, "text/plain", b"GET only\n"
        page = self._pages.get(words[1].split(b"?")[0].decode("latin-1"))
        return page() if page else (404, "text/plain", b"/metrics, /v1/health/live, /v1/health/ready\n")
