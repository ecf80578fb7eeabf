"""Servers that make frames out of a voice for the live loop: facerig's own and NVIDIA's. Knows addresses, no wire.

    HOST:PORT[,HOST:PORT]          a facerig server
    facerig://HOST:PORT            the same
    a2f://HOST:PORT                an Audio2Face-3D server

As a source, with `?audio=` in front of the voice's name: `a2f://HOST:PORT?audio=voice.wav`; without, the microphone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl

import numpy as np

from facerig.client.options import Target
from facerig.curves import Curves
from facerig.errors import OptionError, check_option
from facerig.live.steer import FADE_MS, Steering
from facerig.rig import rig
from facerig.stage import FPS, Frames

Maker = Callable[[Iterator[Frames], int], Iterator[Curves]]  # (voice, its rate) -> frames
FULL_RIG = "facerig-full"  # the native rig with head and eyes
PORTS = {"facerig": 52100, "a2f": 52000}
OPTIONS = ("audio", "tls")
MARK = "://"


@dataclass(frozen=True)
class Server:
    """What speaks where."""

    protocol: str
    target: Target

    def maker(self, steering: Steering) -> Maker:
        return {"facerig": _facerig, "a2f": _a2f}[self.protocol](self.target, steering)


def is_server(text: str) -> bool:
    return text.partition(MARK)[0] in PORTS and MARK in text


def parse(text: str, api_key: str = "", ca: str = "", tls: bool = False) -> tuple[Server, str]:
    """The server that an address names, and the voice it is to be given ("" where none is named)."""
    scheme, mark, rest = text.partition(MARK)
    protocol, rest = (scheme, rest) if mark else ("facerig", text)
    if protocol not in PORTS:
        raise OptionError(f"server: got {text!r}, accepted: HOST:PORT, " + ", ".join(f"{name}{MARK}HOST:PORT"
                                                                                     for name in PORTS))
    addresses, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise OptionError(f"{text}: option {unknown[0]!r}, accepted: {', '.join(OPTIONS)}")
    secure = options.get("tls", "on" if tls else "off")
    check_option(f"{text}: tls", secure, "on, off", secure in ("on", "off"))
    whole = _with_port(addresses.rstrip("/"), PORTS[protocol] if mark else 0)
    return Server(protocol, Target.parse(whole, api_key, ca, secure == "on")), options.get("audio", "")


def _with_port(addresses: str, port: int) -> str:
    """Behind a scheme the port may be left out, as in the addresses of targets."""
    named = [one.strip() for one in addresses.split(",") if one.strip()] or (["127.0.0.1"] if port else [])
    return ",".join(one if not port or ":" in one.rpartition("]")[2] else f"{one}:{port}" for one in named)


def _facerig(target: Target, steering: Steering) -> Maker:
    """Frames by a facerig server; the client library reconnects and goes on by itself."""
    from facerig import client

    controls, seed = steering.for_server(), steering.seed or 0

    def opened(running: client.Stream, loop: asyncio.AbstractEventLoop) -> None:
        def tell(values: Mapping[str, float]) -> None:
            with suppress(RuntimeError):  # the loop is closed: the stream is over
                asyncio.run_coroutine_threadsafe(running.set(values, round(FADE_MS)), loop)

        steering.tell = tell

    def make(voice: Iterator[Frames], rate: int) -> Iterator[Curves]:
        names = rig(FULL_RIG).names
        for frame in client.stream(voice, target, rate, opened, told=steering.note, rig=FULL_RIG, fps=FPS,
                                   pacing="burst", seed=seed, controls=controls):
            yield Curves(names, FPS, np.array([frame.values], np.float32), frame.index)

    return make


# Our emotions under the names of NVIDIA's ten; it has none for contempt.
NVIDIA = {"happy": "joy", "sad": "sadness", "angry": "anger", "surprise": "amazement"}
SAME = ("fear", "disgust", "amazement", "cheekiness", "grief", "outofbreath", "pain")


def _a2f(target: Target, steering: Steering) -> Maker:
    """Frames by an Audio2Face server, put onto our grid by their time codes."""
    from facerig.client.a2f import a2f_stream
    from facerig.live.a2f import native

    said = steering.for_server()
    felt = {name.partition(":")[2]: value for name, value in said.items() if name.startswith("emotion:")}
    left = [name for name in said if not name.startswith("emotion:")]
    check_option("--set, --emotion", ", ".join(left), "for an Audio2Face server: emotion:...", not left)
    unknown = [name for name in felt if name not in NVIDIA and name not in SAME]
    accepted = f"for an Audio2Face server: {', '.join((*NVIDIA, *SAME))}"
    check_option("--emotion", ", ".join(unknown), accepted, not unknown)
    emotion = nvidias(felt)
    steering.tell = _too_late
    return lambda voice, rate: native(a2f_stream(voice, target, rate, emotion), FULL_RIG)


def nvidias(felt: Mapping[str, float]) -> dict[str, float]:
    """Weights of our emotions under NVIDIA's names; two of ours may be one of its, which is at most 1."""
    out: dict[str, float] = {}
    for name, weight in felt.items():
        own = NVIDIA.get(name, name)
        out[own] = min(1.0, out.get(own, 0.0) + weight)
    return out


def _too_late(values: Mapping[str, float]) -> None:
    raise OptionError(f"{', '.join(values)}: an Audio2Face server takes controls at the beginning alone; begin again")
