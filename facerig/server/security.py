"""Who may speak: TLS, API keys, and how often. Keys are compared in constant time and stored as hashes alone.

A key file is TOML: one table a key with `sha256`, and optionally `sessions` (at once) and `new_per_minute`. Keys are
long and random (`facerig serve --new-key` makes one), so a plain SHA-256 cannot be searched. Knows no stream. """

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facerig.errors import InputError, OptionError, did_you_mean
from facerig.server.config import ServerConfig, read_toml

PATIENCE = 1.0  # seconds that a stranger may go on writing before it is refused
HEARD_OUT = 0.2  # seconds that a client may finish what it writes before gRPC's status comes
DRAINED = 64  # messages of one who is refused that are taken and forgotten
MIN_KEY = 16  # characters: below that a hash could be searched
FIELDS = ("sha256", "sessions", "new_per_minute")  # of a key
OPEN_METHODS = ("/grpc.health.v1.Health/",)


@dataclass
class Key:
    """A client."""

    name: str
    digest: bytes = b""
    sessions: int = 0
    new_per_minute: int = 0
    running: int = 0
    _tokens: float = 0.0
    _filled: float = field(default=-1.0)

    def take(self, now: float) -> str:
        """Count a new stream; the reason why not, or nothing."""
        if self.sessions and self.running >= self.sessions:
            return f"key {self.name!r} has its {self.sessions} streams running; end one first"
        if self.new_per_minute and not self._token(now):
            return f"key {self.name!r} may begin {self.new_per_minute} streams a minute; try again later"
        self.running += 1
        return ""

    def _token(self, now: float) -> bool:
        passed = now - self._filled if self._filled >= 0 else 60.0
        self._tokens = min(float(self.new_per_minute), self._tokens + passed * self.new_per_minute / 60)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Keys:
    """The keys of a file, or anybody where there is none."""

    def __init__(self, keys: Iterable[Key] = (), new_per_minute: int = 0) -> None:
        self._keys = list(keys)
        self.anybody = None if self._keys else Key("anybody", new_per_minute=new_per_minute)

    @classmethod
    def load(cls, path: str, new_per_minute: int = 0) -> Keys:
        if not path:
            return cls(new_per_minute=new_per_minute)
        found = [_key(name, row, path, new_per_minute) for name, row in read_toml(Path(path)).items()]
        if not found:
            raise InputError(f"{path}: holds no key; add one with facerig serve --new-key")
        return cls(found)

    def find(self, metadata: Sequence[tuple[str, str | bytes]] | None) -> Key | None:
        """The key that a call shows in `authorization: Bearer ...` or `x-api-key`; every one is compared, always."""
        if self.anybody is not None:
            return self.anybody
        shown = hashlib.sha256(_shown(metadata or ()).encode()).digest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(shown, key.digest):
                found = key
        return found


def _key(name: str, row: Any, path: str, new_per_minute: int) -> Key:
    try:
        digest = bytes.fromhex(row["sha256"])
        numbers = [
            int(row.get(what, default)) for what, default in (("sessions", 0), ("new_per_minute", new_per_minute))
        ]
        if len(digest) != 32 or min(numbers) < 0:
            raise ValueError("sha256 must have 64 hex digits, numbers must not be negative")
        if unknown := sorted(set(row) - set(FIELDS)):
            raise ValueError(f"there is no {unknown[0]!r}{did_you_mean(unknown[0], FIELDS)}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: key {name!r} is not a table with {', '.join(FIELDS)} ({error})"
        ) from error
    return Key(name, digest, *numbers)


def _shown(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    values = {name.lower(): value for name, value in metadata if isinstance(value, str)}
    bearer = values.get("authorization", "")
    return bearer[7:] if bearer[:7].lower() == "bearer " else values.get("x-api-key", "")


def new_key() -> str:
    return secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """What the key file holds of a key."""
    if len(key) < MIN_KEY:
        raise OptionError(
            f"key: got {len(key)} characters, accepted: at least {MIN_KEY}; facerig serve --new-key makes one"
        )
    return hashlib.sha256(key.encode()).hexdigest()


def server_credentials(config: ServerConfig) -> Any:
    """gRPC's credentials, or None without TLS."""
    import grpc

    if not config.tls:
        return None
    ca = _pem(config.tls_client_ca) if config.tls_client_ca else None
    pair = (_pem(config.tls_key), _pem(config.tls_cert))
    _check_certificates(config)
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)


def _pem(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if b"-----BEGIN" not in data:
        raise InputError(f"{path}: not a PEM file")
    return data


def _check_certificates(config: ServerConfig) -> None:
    """What gRPC would refuse without a reason."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # gRPC asks for no length of keys
    for name, path in (("tls_cert", config.tls_cert), ("tls_client_ca", config.tls_client_ca)):
        try:
            if path:
                context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise InputError(f"{name}: {path}: holds no certificate that can be read ({_why(error)})") from error
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password="")
    except ssl.SSLError as error:
        raise InputError(f"tls_key: {config.tls_key}: does not go with {config.tls_cert} ({_why(error)}), accepted: "
                         "the certificate's own key, not encrypted") from error


def _why(error: ssl.SSLError) -> str:
    return error.reason.replace("_", " ").lower() if error.reason else "broken PEM"


async def heard_out(requests: Any, patience: float) -> None:
    """Take and forget what one who is refused still writes, for so many seconds and DRAINED messages at most: some
    clients report a status that comes while they write as INTERNAL."""
    with contextlib.suppress(asyncio.TimeoutError, TypeError):
        await asyncio.wait_for(_drained(requests), patience)


async def ended(context: Any, status: str, reason: str, writing: Any) -> None:
    """A stream ends with gRPC's status, once what a client that was not let in is `writing` is heard out."""
    import grpc

    if writing is not None:
        await heard_out(writing, HEARD_OUT)
    with contextlib.suppress(grpc.aio.AbortError):
        await context.abort(getattr(grpc.StatusCode, status), reason)


async def _drained(requests: Any) -> None:
    taken = 0
    async for _ in requests:
        taken += 1
        if taken >= DRAINED:
            return


def guard(keys: Keys, refused: Callable[[str], None]) -> Any:
    """A server interceptor that lets through calls with a known key; health checks need none."""
    import grpc

    async def refuse(request: Any, context: Any) -> None:
        refused("key")
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no known API key: send 'authorization: Bearer KEY'")

    async def refuse_stream(request: Any, context: Any) -> Any:
        await heard_out(request, PATIENCE)
        await refuse(request, context)
        yield b""

    base: Any = grpc.aio.ServerInterceptor

    class Guard(base):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            if details.method.startswith(OPEN_METHODS) or keys.find(details.invocation_metadata) is not None:
                return await continuation(details)
            handler = await continuation(details)
            return handler and _same_kind(handler, refuse, refuse_stream)

    return Guard()


def _same_kind(handler: Any, one: Any, many: Any) -> Any:
    import grpc

    kinds = {
        (False, False): (grpc.unary_unary_rpc_method_handler, one),
        (False, True): (grpc.unary_stream_rpc_method_handler, many),
        (True, False): (grpc.stream_unary_rpc_method_handler, one),
        (True, True): (grpc.stream_stream_rpc_method_handler, many),
    }
    kind, behaviour = kinds[handler.request_streaming, handler.response_streaming]
    return kind(behaviour)


