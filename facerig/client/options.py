"""What a client is told: where the servers are, and what is wanted of them. Plain values; knows no gRPC."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from facerig.errors import InputError, check_option
from facerig.v1 import animation_pb2 as pb

PACINGS = {"": pb.Pacing.MODE_UNSPECIFIED, "realtime": pb.Pacing.MODE_REALTIME, "burst": pb.Pacing.MODE_BURST,
           "lead": pb.Pacing.MODE_LEAD}
ENCODINGS = {"pcm16": (pb.AudioFormat.ENCODING_PCM16, 2), "float32": (pb.AudioFormat.ENCODING_FLOAT32, 4)}
DEFAULT = "127.0.0.1:52100"
ADDRESS = re.compile(r"(\[[^][/\s]+\]|[^]:[/\s]+):(?P<port>[0-9]{1,5})")
PORT_MOST = 65_535
WHOLE = (("rate", 8000, 192_000), ("channels", 1, 64), ("partner_channels", 0, 64), ("fps", 1, 120),
         ("lead_ms", 0, 2**32 - 1), ("seed", 0, 2**64 - 1))  # of a Wish: name, least, most


@dataclass(frozen=True)
class Target:
    """Replicas of one service, and how to speak to them."""

    addresses: tuple[str, ...] = (DEFAULT,)
    api_key: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    """PEM file of the authority that signed the server's certificate (default: the system's)."""
    cert: str = ""
    """PEM files of the client's own certificate and key, for mTLS."""
    key: str = field(default="", repr=False)
    server_name: str = ""
    """Name in the server's certificate where it is not the address."""
    retry_seconds: float = 10.0
    """How long a broken stream looks for a server."""
    keepalive_seconds: float = 10.0
    """A connection that does not answer for so long is given up."""

    def __post_init__(self) -> None:
        check_option("server", self.addresses, "one or more HOST:PORT", bool(self.addresses) and all(self.addresses))
        for address in self.addresses:
            check_address(address)
        check_option("cert and key", "one of them", "both or none", bool(self.cert) == bool(self.key))

    @classmethod
    def parse(cls, text: str, api_key: str = "", ca: str = "", tls: bool = False) -> Target:
        """`host:port[,host:port...]`."""
        addresses = tuple(part.strip() for part in text.split(",") if part.strip())
        return cls(addresses, api_key, tls or bool(ca), ca)


@dataclass(frozen=True)
class Wish:
    """What a stream is to be."""

    rate: int = 24_000
    channels: int = 1
    encoding: str = "pcm16"
    rig: str = "arkit"
    fps: int = 60
    pacing: str = ""
    """realtime, burst, lead (with lead_ms), or the server's default."""
    lead_ms: int = 0
    style: str = ""
    seed: int = 0
    emotion: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    controls: Mapping[str, float] = field(default_factory=dict)
    """Any controls by name, from the first frame on."""
    echo: bool = False
    """Have the slice of audio sent back with each frame."""
    moods: bool = False
    """Have the emotions sent with each frame: what the face feels, asked for and heard."""
    partner_channels: int = 0
    """Of the partner's audio (0: as `channels`); two say where the partner speaks from."""

    def __post_init__(self) -> None:
        check_option("pacing", self.pacing, ", ".join(name for name in PACINGS if name), self.pacing in PACINGS)
        check_option("encoding", self.encoding, ", ".join(ENCODINGS), self.encoding in ENCODINGS)
        for name, low, high in WHOLE:
            check_whole(name, getattr(self, name), low, high)
        for name in ("rig", "style"):
            check_text(name, getattr(self, name))
        for name in ("emotion", "gains", "controls"):
            check_numbers(name, getattr(self, name))

    @property
    def width(self) -> int:
        """Bytes of one sample of all channels."""
        return ENCODINGS[self.encoding][1] * self.channels

    @property
    def partner_width(self) -> int:
        """The same of the partner's audio."""
        return ENCODINGS[self.encoding][1] * (self.partner_channels or self.channels)

    def header(self) -> pb.Header:
        audio = pb.AudioFormat(encoding=ENCODINGS[self.encoding][0], rate=self.rate, channels=self.channels,
                               partner_channels=self.partner_channels)
        header = pb.Header(audio=audio, rig=self.rig, fps=self.fps, style=self.style, seed=self.seed,
                           pacing=pb.Pacing(mode=PACINGS[self.pacing], lead_ms=self.lead_ms),
                           tracks=pb.Tracks(audio=self.echo, emotion=self.moods))
        if self.emotion:
            header.emotion.weights.update(self.emotion)
        if self.gains:
            header.gains.regions.update(self.gains)
        header.controls.update(self.controls)
        return header


def check_address(text: str) -> None:
    """gRPC would take a port modulo 65,536, and a bare IPv6 address to its port 443."""
    found = ADDRESS.fullmatch(text)
    check_option("server", text, f"HOST:PORT, a port of 1 to {PORT_MOST}, IPv6 in brackets ([::1]:52100)",
                 found is not None and 1 <= int(found["port"]) <= PORT_MOST)


def check_whole(name: str, value: Any, low: int = 0, high: int = 2**32 - 1) -> None:
    good = isinstance(value, Integral) and low <= int(value) <= high
    check_option(name, value, f"a whole number, {low} to {high}", good)


def check_text(name: str, value: Any) -> None:
    good = isinstance(value, str) and all(not "\ud800" <= one <= "\udfff" for one in value)
    check_option(name, value, "a text", good)


def check_numbers(name: str, value: Any) -> None:
    """Names with a number each."""
    good = isinstance(value, Mapping) and all(isinstance(key, str) and isinstance(one, Real) and math.isfinite(one)
                                              for key, one in value.items())
    check_option(name, value, "names with a finite number each, as {'happy': 0.5}", good)


def read_pem(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
