"""grpc.health.v1, from our own descriptor pool: SERVING once warmed up, NOT_SERVING while draining."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from facerig.server import protos
from facerig.server.admission import House

SERVICE = "grpc.health.v1.Health"
EVERY = 0.25  # seconds between looks at a state that is watched


class Health:
    """Check and Watch for the server as a whole ("") and for each service it has."""

    def __init__(self, house: House, services: tuple[str, ...]) -> None:
        self.house, self.services = house, ("", *services)
        self._response = protos.message("grpc.health.v1.HealthCheckResponse")

    def handler(self) -> Any:
        return protos.handlers(SERVICE, {"Check": self.check, "Watch": self.watch})

    def _status(self) -> int:
        up = self.house.ready and not self.house.draining
        return int(self._response.SERVING if up else self._response.NOT_SERVING)

    async def check(self, request: Any, context: Any) -> Any:
        import grpc

        if request.service not in self.services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:80]!r} here")
        return self._response(status=self._status())

    async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        known, last = request.service in self.services, -1
        while True:
            now = self._status() if known else int(self._response.SERVICE_UNKNOWN)
            if now != last:
                yield self._response(status=now)
                last = now
            await asyncio.sleep(EVERY)
