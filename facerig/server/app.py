"""A server from start to end: load, warm up, listen, drain, stop. Knows no message and no maths."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from facerig.errors import ServiceError
from facerig.pipeline import Animator
from facerig.server import logs, security, tracing
from facerig.server.a2f import A2FService
from facerig.server.admission import House
from facerig.server.allocator import keep_freed
from facerig.server.authoring import AuthoringService
from facerig.server.config import ServerConfig
from facerig.server.health import Health
from facerig.server.http import Http
from facerig.server.metrics import Metrics
from facerig.server.service import AnimationService
from facerig.server.worker import Worker

log = logging.getLogger("facerig.server")

SWITCH_SECONDS = 0.001  # how soon the event loop gets the interpreter back from the engine's thread (Python's: 5 ms)
LOADED = ("model", "block", "alive", "emotion", "device", "runtime", "precision")  # options that make a face
TIDY_SECONDS = 5.0  # between two looks for what ended streams left behind
OVERHEAD = 65_536  # bytes of a message besides its audio


class Server:
    """Everything that runs in one process. `start`, then `wait` or `stop`.

    `leave`, set while it starts, ends the warm-up: the server is not ready then, and `wait` stops it at once.
    """

    def __init__(self, config: ServerConfig, animator: Animator | None = None, leave: asyncio.Event | None = None,
                 ) -> None:
        self.config = config
        self._leave = leave or asyncio.Event()
        self.keys = security.Keys.load(config.api_keys, config.new_per_minute)
        self.credentials = security.server_credentials(config)
        options = {name: getattr(config, name) for name in LOADED}
        self.animator = animator or Animator.load(**options)
        lanes = 0 if animator is not None else config.lanes(self.animator.runtime)
        self.worker = Worker(self.animator, config.sessions, config.max_batch, lanes, options)
        self.house = House(self.worker, config, self.keys, Metrics())
        self.http = Http(self.house)
        self.ports: dict[str, int] = {}
        self._grpc: Any = None
        self._watch: asyncio.Task[None] | None = None
        self._stopping, self._stopped = False, asyncio.Event()

    # ---- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen at once with health NOT_SERVING, warm up, then serve."""
        sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))
        self._listen()
        if self.config.http_port >= 0:
            await self.http.start(self.config.host, self.config.http_port)
            self.ports["http"] = self.http.port
        await self._grpc.start()  # last, since gRPC does not like to be dropped once it runs
        self._watch = asyncio.create_task(self.house.watch())
        await asyncio.get_running_loop().run_in_executor(None, self.worker.warm_up, self._leave.is_set)
        if self._leave.is_set():
            return
        self.house.measure()
        self.worker.start()
        self.house.ready = True
        log.info("serving", extra={"fields": {**self.ports, "model": self.animator.model,
                                              "runtime": self.animator.runtime, "capacity": self.house.capacity}})

    async def stop(self, drain: float | None = None) -> None:
        """Refuse new streams, let the running ones finish for `drain` seconds, hand over the rest, go."""
        self.house.draining = self._stopping = True
        self._leave.set()
        log.info("draining", extra={"fields": {"sessions": len(self.house.guests)}})
        await self.house.drain(self.config.drain_seconds if drain is None else drain)
        await self._grpc.stop(0.2)
        await self.http.stop()
        if self._watch is not None:
            self._watch.cancel()
        await self.worker.stop()
        self._stopped.set()

    async def wait(self) -> None:
        """Until a signal has stopped the server; a second one while it drains changes nothing."""
        heed(self._leave)
        await self._leave.wait()
        if not self._stopping:
            await self.stop()
        await self._stopped.wait()

    # ---- inside -------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        import grpc

        refused = self.house.metrics.errors
        guard = security.guard(self.keys, lambda cause: refused.labels(cause).inc())
        self._grpc = grpc.aio.server(
            options=self._options(), interceptors=[*tracing.interceptors(self.config.trace), guard]
        )
        fronts = (AnimationService(self.house), A2FService(self.house), AuthoringService(self.house))
        names = ("facerig.v1.Animation", *A2FService.SERVICES, AuthoringService.SERVICE)
        handlers = [*(front.handler() for front in fronts), A2FService(self.house).config_handler(),
                    Health(self.house, names).handler()]
        self._grpc.add_generic_rpc_handlers(tuple(handlers))
        if self.config.reflection or self.config.local:
            _reflect(self._grpc, names)
        for name, port in (("facerig", self.config.port), ("a2f", self.config.a2f_port)):
            if port >= 0:
                self.ports[name] = self._bind(name, port)

    def _bind(self, name: str, port: int) -> int:
        address = f"{self.config.authority}:{port}"
        try:
            if self.credentials is not None:
                bound = self._grpc.add_secure_port(address, self.credentials)
            else:
                bound = self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            why = _unbindable(self.config.host, port) or str(error)
            raise ServiceError(f"{name}: cannot listen on {address} ({why})") from error
        return int(bound)

    def _options(self) -> list[tuple[str, int]]:
        alive = int(self.config.keepalive_seconds * 1000)
        return [
            ("grpc.so_reuseport", 0),  # two servers on one port would each get half of the streams
            ("grpc.max_receive_message_length", max(self.config.chunk_bytes, self._clip_bytes()) + OVERHEAD),
            ("grpc.max_metadata_size", 16_384),
            ("grpc.max_concurrent_streams", max(100, 2 * self.config.sessions)),
            ("grpc.keepalive_time_ms", alive),
            ("grpc.keepalive_timeout_ms", alive),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 500),  # else clients that watch their link are sent away
            ("grpc.http2.ping_timeout_ms", alive),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.server_handshake_timeout_ms", int(self.config.header_seconds * 1000)),
        ]

    def _clip_bytes(self) -> int:
        """A clip in one message: 16 bit at 48 kHz for the longest clip, but no more than 64 MB."""
        return min(64 * 1_048_576, self.config.clip_seconds * 96_000)


def _unbindable(host: str, port: int) -> str:
    """Why an address cannot be listened on, which gRPC only logs; nothing where it can be after all."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as probe:
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def heed(leave: asyncio.Event) -> None:
    """From here on SIGTERM and Ctrl-C set it, and do nothing else."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, leave.set)
        except NotImplementedError:  # Windows; Python's own handler comes between any two lines: it only tells the loop
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(leave.set))


def _reflect(server: Any, names: tuple[str, ...]) -> None:
    """Where grpcio-reflection is installed; from our own pool, so that NVIDIA's services are in it."""
    with contextlib.suppress(ImportError):
        from grpc_reflection.v1alpha import reflection

        from facerig.server import protos

        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server, pool=protos.pool())


# ---- logs ----------------------------------------------------------------------------------------------------------


class _Json(logging.Formatter):
    """One object a line: time, level, event, fields. Never audio, never keys: nothing puts them into `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        row = {"time": stamp, "level": record.levelname.lower(), "event": record.getMessage(),
               **getattr(record, "fields", {})}
        if record.exc_info:
            row["trace"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False, default=str)


class _Forgiving(logging.handlers.WatchedFileHandler):
    """A full disk, or a folder that went away with its file, costs log lines and no stream."""

    lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # of opening the file again, which is outside of what `handleError` is told
            self.lost += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        self.lost += 1


def set_up_logging(config: ServerConfig) -> logging.Handler:
    """For `facerig serve` alone; a server inside another program logs as that program does."""
    handler: logging.Handler
    if config.log_file:
        try:
            handler = _Forgiving(Path(config.log_file), encoding="utf-8")
        except OSError as error:
            raise ServiceError(f"log_file: {config.log_file}: {error.strerror or error}") from error
    else:
        handler = logs.Patient()
    handler.setFormatter(_Json() if config.log_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    return handler


def run(config: ServerConfig) -> None:
    """What `facerig serve` runs: until a signal; on uvloop where that is installed."""
    keep_freed()
    loop = _new_loop()
    try:
        loop.run_until_complete(_serve(config))
    finally:
        loop.close()


async def _serve(config: ServerConfig) -> None:
    leave = asyncio.Event()
    heed(leave)  # before the model is loaded: process 1 of a container gets no signal that it has no handler for
    server = Server(config, leave=leave)
    await server.start()
    if not leave.is_set():
        _tell(server)
    tidying = asyncio.create_task(_tidy())
    await server.wait()
    tidying.cancel()


def _tell(server: Server) -> None:
    """The line for whoever started it: it is ready."""
    told = {
        "ports": server.ports,
        "capacity": server.house.capacity,
        "model": server.animator.model,
        "runtime": server.animator.runtime,
        "engines": len(server.worker.lanes) if server.worker.remote else 0,
        "pid": os.getpid(),
    }
    print(json.dumps(told), flush=True)


async def _tidy() -> None:
    """Collect what ended streams leave in circles: Python would ever more rarely, and memory would rise meanwhile.

    What stands after start-up is set aside for good, so that a look takes a few ms. For a process of our own alone.
    """
    gc.collect()
    gc.freeze()
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        gc.collect()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
