"""What a server is started with: one TOML file, then the environment, then flags; each overrides the one before.

Every option is a field of `ServerConfig` with its unit and default beside it; `FACERIG_SERVE_<FIELD>` sets it from the
environment. `resolve` says of each value where it came from (`facerig serve --show-config`).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from facerig.errors import InputError, OptionError, check_option
from facerig.model.device import check as check_device
from facerig.server.pacing import Pacing

PREFIX = "FACERIG_SERVE_"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS = ("port", "a2f_port", "http_port")
MAX_BLOCK = 12
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
MOST_ENGINES = 8  # that one event loop keeps busy
LANES = os.name != "nt"  # an engine's process inherits its socket, which Windows does not do


@dataclass(frozen=True)
class ServerConfig:
    """All options of `facerig serve`."""

    host: str = "127.0.0.1"
    """Address to listen on, IPv6 with or without brackets; another than loopback needs TLS, or `plaintext`."""
    port: int = 52100
    """Our own protocol (0: any free port; -1: off)."""
    a2f_port: int = 52000
    """NVIDIA's protocol (0: any free port; -1: off). Both ports speak both protocols."""
    http_port: int = 52080
    """/metrics and /v1/health (0: any free port; -1: off). Plain HTTP, without audio or keys."""
    plaintext: bool = False
    """Allow an address beyond loopback without TLS (behind a proxy that has it)."""
    reflection: bool = False
    """gRPC reflection also beyond loopback."""

    model: str = "auto"
    """Model by name or path."""
    device: str = "auto"
    """Where the network runs: auto (cuda where it is there and gives what the cpu gives), cpu or cuda."""
    runtime: str = "auto"
    """By what on the cpu: auto (onnx, measured to be faster), onnx or torch."""
    precision: str = "fp16"
    """Of the network on cuda: fp16, bf16 or fp32 (fp32 alone holds 1e-5 in any batch)."""
    block: int = 1
    """Native frames computed in one go: each more adds 16.7 ms at most and saves model calls, for crowds."""
    emotion: str = "off"
    """auto: the emotion heard in the voice counts, as far as a stream's controls do not say otherwise."""
    alive: bool = True
    """Blinks, gaze, head and listening; without them a face only speaks."""
    sessions: int = 256
    """Most streams at once; the measured capacity may be lower."""
    max_batch: int = 64
    """Most streams in one model step."""
    engines: int = -1
    """Processes that compute faces beside the one that talks to clients (0: that one does it itself; -1: one less than
    the cores, at most 8 and at least one; none with a single core, a GPU or on Windows)."""
    capacity: int = 0
    """Streams admitted (0: measured at start-up)."""
    capacity_share: float = 0.45
    """Part of a second that measured capacity may fill: it is measured with full batches on idle cores, and wire,
    clients and turns take their part. Of what it finds on two cores so much keeps p99 <= 50 ms."""
    pressure_ms: float = 40.0
    """No new streams while ready ones wait longer, or the event loop wakes later: beyond, 50 ms would be missed."""
    wire_ms: float = 8.0
    """Event-loop time that one real-time stream costs in a second, for the measured capacity."""

    pacing: str = "realtime"
    """Default of Animate: realtime, burst or lead:MILLISECONDS."""
    a2f_pacing: str = "realtime"
    """The same for NVIDIA's protocol."""
    a2f_fps: int = 30
    """Frame rate of NVIDIA's protocol (30 or 60; its clients expect 30)."""
    a2f_tongue: bool = False
    """68 shapes with the tongue's in place of 52."""

    chunk_bytes: int = 1_048_576
    """Largest audio message (at least 16,384: what facerig's own client sends)."""
    clip_seconds: int = 600
    """Longest audio of AnimateFile, UploadAudioClip and of one A2F stream."""
    stream_seconds: int = 86_400
    """Longest audio of one Animate stream."""
    header_seconds: float = 5.0
    """A stream that says nothing for so long is closed."""
    idle_seconds: float = 30.0
    """So is one that pauses for so long without the state idle or listening."""
    backlog_seconds: float = 2.0
    """Audio of one stream that may wait before its sender's silence is ours. The sender itself is held back up to 8 s
    later (`session.FURTHER`), so that an interrupt behind the audio is heard."""
    new_per_minute: int = 0
    """New streams a minute and key (0: any number)."""
    keepalive_seconds: float = 10.0
    """A connection that does not answer for so long is dropped."""
    drain_seconds: float = 20.0
    """After SIGTERM running streams have so long to finish; then they are handed over."""
    clip_cache_mb: int = 64
    """Memory for clips uploaded to the authoring service."""

    tls_cert: str = ""
    """PEM file; with tls_key switches TLS on."""
    tls_key: str = ""
    tls_client_ca: str = ""
    """PEM file: clients must show a certificate signed by it (mTLS)."""
    api_keys: str = ""
    """TOML file of hashed keys (see facerig serve --hash-key)."""

    log_file: str = ""
    """Structured log (default: stderr)."""
    log_json: bool = True
    """One JSON object a line."""
    trace: bool = False
    """OpenTelemetry traces to the endpoint of OTEL_EXPORTER_OTLP_ENDPOINT."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            got = getattr(self, name)
            check_option(name, got, f"{low:g} to {high:g}", low <= got <= high)
        object.__setattr__(self, "host", self.host.removeprefix("[").removesuffix("]"))
        fixed = [port for name in PORTS if (port := getattr(self, name)) > 0]
        check_option(", ".join(PORTS), fixed, "another one each, or -1 for none", len(fixed) == len(set(fixed)),
                     "port and a2f_port each speak both protocols")
        check_option("engines", self.engines, "0 or -1 on Windows, where one process does it all",
                     LANES or self.engines <= 0)
        check_device(self.device, self.runtime, self.precision)
        Pacing.parse(self.pacing), Pacing.parse(self.a2f_pacing)
        check_option("a2f_fps", self.a2f_fps, "30 or 60", self.a2f_fps in (30, 60))
        check_option("tls_cert and tls_key", "one of them", "both or none", bool(self.tls_cert) == bool(self.tls_key))
        check_option("tls_client_ca", self.tls_client_ca, "together with tls_cert", not self.tls_client_ca or self.tls)
        if not self.local and not self.tls and not self.plaintext:
            raise OptionError(f"host: got {self.host!r} without TLS, accepted: {LOOPBACK[0]}, or tls_cert and tls_key; "
                              "--plaintext says that a proxy in front has TLS")

    def lanes(self, runtime: str) -> int:
        """How many processes compute, for what the network runs on."""
        if self.engines >= 0:
            return self.engines
        return 0 if runtime.startswith("cuda") or not LANES else min(MOST_ENGINES, cores() - 1)

    @property
    def tls(self) -> bool:
        return bool(self.tls_cert)

    @property
    def authority(self) -> str:
        """The host as it stands before `:PORT`."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def local(self) -> bool:
        return self.host in LOOPBACK


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("port", -1, 65_535),
    ("a2f_port", -1, 65_535),
    ("http_port", -1, 65_535),
    ("block", 1, MAX_BLOCK),
    ("sessions", 1, 100_000),
    ("max_batch", 1, 4_096),
    ("capacity", 0, 100_000),
    ("engines", -1, 256),
    ("capacity_share", 0.05, 4.0),
    ("pressure_ms", 1, 60_000),
    ("wire_ms", 0, 1_000),
    ("chunk_bytes", 16_384, 64 * 1_048_576),
    ("clip_seconds", 1, 36_000),
    ("stream_seconds", 1, 31_536_000),
    ("header_seconds", 0.05, 600),
    ("idle_seconds", 0.05, 86_400),
    ("backlog_seconds", 0.2, 600),
    ("new_per_minute", 0, 1_000_000),
    ("keepalive_seconds", 0.1, 7_200),
    ("drain_seconds", 0, 86_400),
    ("clip_cache_mb", 1, 65_536),
)


@dataclass(frozen=True)
class Resolved:
    """A config and where each value came from."""

    config: ServerConfig
    origin: Mapping[str, str]

    def show(self) -> str:
        """The whole config as TOML, each line with its origin; secrets are files, so nothing needs hiding."""
        lines = []
        for field in fields(ServerConfig):
            value = getattr(self.config, field.name)
            lines.append(f"{field.name} = {_toml(value):<24} # {self.origin.get(field.name, 'default')}")
        return "\n".join(lines)


def cores() -> int:
    """That this process may use: no more than a container's share."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(own, share_of(CPU_MAX.read_text() if CPU_MAX.is_file() else "")))


def share_of(limit: str) -> int:
    """Whole cores of a control group's `cpu.max`, "200000 100000" or "max 100000"."""
    quota, _, period = limit.strip().partition(" ")
    return max(1, int(quota) // int(period)) if quota.isdigit() and period.isdigit() and int(period) else sys.maxsize


def resolve(file: Path | None = None, environment: Mapping[str, str] | None = None,
            flags: Mapping[str, Any] | None = None) -> Resolved:
    """Defaults < file < environment < flags."""
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, given in (
        (f"file {file}", _from_file(file) if file else {}),
        ("environment", _from_environment(os.environ if environment is None else environment)),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ):
        for name, value in given.items():
            values[name], origin[name] = _typed(name, value, source), source
    return Resolved(replace(ServerConfig(), **values), origin)


def _from_file(path: Path) -> dict[str, Any]:
    found = read_toml(path)
    if "serve" not in found:
        return found
    beside = ", ".join(name for name in found if name != "serve")
    check_option(f"{path}: beside [serve]", beside, "nothing", not beside, "options stand below [serve]")
    check_option(f"{path}: serve", found["serve"], "a table: [serve]", isinstance(found["serve"], dict))
    return dict(found["serve"])


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file, or an error that names it."""
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return dict(toml.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, toml.TOMLDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {field.name for field in fields(ServerConfig)}
    found = {key[len(PREFIX) :].lower(): value for key, value in environment.items() if key.startswith(PREFIX)}
    unknown = sorted(set(found) - names)
    check_option("environment", ", ".join(PREFIX + name.upper() for name in unknown), f"{PREFIX}<OPTION>", not unknown)
    return found


def _typed(name: str, value: Any, source: str) -> Any:
    """A value in the type of its field; text from the environment is read as that type."""
    kinds = {field.name: type(field.default) for field in fields(ServerConfig)}
    check_option(source, name, ", ".join(kinds), name in kinds)
    kind = kinds[name]
    if isinstance(value, str) and kind is not str:
        return _read(name, value, kind)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    check_option(name, value, f"a value of type {kind.__name__}", isinstance(value, kind) and
                 (kind is bool or not isinstance(value, bool)))
    return value


def _read(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        check_option(name, text, "true or false", text.lower() in words)
        return words[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise OptionError(f"{name}: got {text!r}, accepted: a value of type {kind.__name__}") from None


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
