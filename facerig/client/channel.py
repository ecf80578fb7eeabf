"""A connection to a server: keepalive, TLS, the key, and the wait for what happens on it."""

from __future__ import annotations

import asyncio
from typing import Any

from facerig.client.options import Target, read_pem


def open_channel(target: Target, address: str) -> Any:
    """A channel of its own, so that two streams never share a broken connection."""
    import grpc

    alive = int(target.keepalive_seconds * 1000)
    options: list[tuple[str, Any]] = [
        ("grpc.use_local_subchannel_pool", 1), ("grpc.keepalive_time_ms", alive), ("grpc.keepalive_timeout_ms", alive),
        ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.ping_timeout_ms", alive),
        ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 500),
    ]
    if target.server_name:
        options.append(("grpc.ssl_target_name_override", target.server_name))
    if not target.tls:
        return grpc.aio.insecure_channel(address, options=options)
    pair = (read_pem(target.key), read_pem(target.cert)) if target.cert else (None, None)
    made = grpc.ssl_channel_credentials(read_pem(target.ca) if target.ca else None, *pair)
    return grpc.aio.secure_channel(address, made, options=options)


def credentials(target: Target) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {target.api_key}"),) if target.api_key else ()


async def came(event: asyncio.Event, seconds: float | None) -> bool:
    """Whether it is set within so long. (Before Python 3.12 `wait_for` may swallow a cancel.)"""
    waiting = asyncio.create_task(event.wait())
    try:
        return bool((await asyncio.wait({waiting}, timeout=seconds))[0])
    finally:
        waiting.cancel()
