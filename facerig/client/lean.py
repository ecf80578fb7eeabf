"""The bench's client at little cost: real-time streams over plain sockets; `python -m facerig.client.lean`.

It runs on the cores that it measures, and grpcio's Python client costs there as much as the server's own wire. This one
speaks just enough HTTP/2 (RFC 9113) for `Animate` on a server beside it: headers without compression, data, windows,
pings. It measures and prints exactly what `facerig.client.load` does. No client for anything else: no TLS, no retries.
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from facerig.client.load import CHANNELS, CHUNK, NATIVE, Ear, noise, report
from facerig.client.options import Wish, check_address
from facerig.client.stream import ANIMATE
from facerig.errors import ServiceError
from facerig.v1 import animation_pb2 as pb

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
ACK, END_STREAM, END_HEADERS, PADDED = 1, 1, 4, 8
INITIAL_WINDOW, OPEN = 4, 65_535  # the setting's number, and what it is before anybody says so
WIDE = 2**30  # bytes that the server may send unasked: more than a bench of minutes brings
PATIENCE = 5.0  # seconds after the last audio


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def head(authority: str) -> bytes:
    """A request's headers, each a literal that is not remembered."""
    fields = ((":method", "POST"), (":scheme", "http"), (":path", ANIMATE), (":authority", authority),
              ("te", "trailers"), ("content-type", "application/grpc"))
    return b"".join(b"\0" + bytes((len(name),)) + name.encode() + bytes((len(text),)) + text.encode()
                    for name, text in fields)  # fmt: skip


def message(request: pb.AnimateRequest) -> bytes:
    body = request.SerializeToString()
    return struct.pack(">BI", 0, len(body)) + body


@dataclass(eq=False)
class Voice:
    """One stream."""

    wire: Wire
    number: int
    ear: Ear = field(default_factory=Ear)
    opened: float = 0.0
    begin: float = 0.0
    ahead: float = 0.0
    fps: int = NATIVE
    place: int = 0
    rest: bytes = b""
    done: bool = False
    window: int = 0
    """Bytes that the server will take of this stream."""

    def say(self, request: pb.AnimateRequest) -> None:
        self.wire.say(self, message(request))

    def hear(self, data: bytes, now: float) -> None:
        data = self.rest + data if self.rest else data
        at = 0
        while len(data) - at >= 5:
            size = int.from_bytes(data[at + 1 : at + 5], "big")
            if len(data) - at - 5 < size:
                break
            self._answer(pb.AnimateResponse.FromString(data[at + 5 : at + 5 + size]), now)
            at += 5 + size
        self.rest = data[at:]

    def _answer(self, answer: pb.AnimateResponse, now: float) -> None:
        for one in answer.frames.frames:
            needs = (one.index + 1) / self.fps + self.ahead
            if not self.ear.latency:
                self.ear.first_ms = (now - self.begin - CHUNK) * 1000
            self.ear.latency.append(now - self.begin - -(-needs // CHUNK) * CHUNK)
            self.ear.offset.append(now - one.index / self.fps)
        part = answer.WhichOneof("part")
        if part == "header":
            self.ear.header_ms, self.begin = (now - self.opened) * 1000, now
            self.ahead, self.fps = answer.header.delay_ms / 1000 - answer.header.block / NATIVE, answer.header.fps
        elif part == "status":
            self.done = True
            if answer.status.code != pb.Status.CODE_DONE:
                self.ear.refused = answer.status.reason[:100] or "refused"


class Wire:
    """One connection and its streams."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.voices: dict[int, Voice] = {}
        settings = struct.pack(">HI", INITIAL_WINDOW, WIDE)
        self.out = bytearray(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW, 0, 0, struct.pack(">I", WIDE)))
        self._in = b""
        self._window = self._begins = OPEN
        self._held: list[tuple[Voice, bytes]] = []
        self._head = head(f"{address[0]}:{address[1]}")

    def open(self) -> Voice:
        number = 2 * len(self.voices) + 1
        voice = self.voices[number] = Voice(self, number, window=self._begins)
        self.out += frame(HEADERS, END_HEADERS, number, self._head)
        return voice

    def say(self, voice: Voice, data: bytes) -> None:
        """Send it as soon as the server takes so much."""
        if self._held or len(data) > min(self._window, voice.window):
            self._held.append((voice, data))
            return
        self._window -= len(data)
        voice.window -= len(data)
        self.out += frame(DATA, 0, voice.number, data)

    def _widened(self, voice: Voice | None, number: int, more: int) -> None:
        if voice is not None:
            voice.window += more
        elif not number:
            self._window += more
        held, self._held = self._held, []
        for one, data in held:
            self.say(one, data)

    def _told(self, body: bytes) -> None:
        """The server's settings: the window that streams begin with."""
        for at in range(0, len(body), 6):
            name, value = struct.unpack_from(">HI", body, at)
            if name == INITIAL_WINDOW:
                for voice in self.voices.values():
                    voice.window += value - self._begins
                self._begins = value
        self.out += frame(SETTINGS, ACK, 0, b"")

    def flush(self) -> None:
        if self.out:
            with contextlib.suppress(BlockingIOError):
                del self.out[: self.socket.send(self.out)]

    def read(self, now: float) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ServiceError("the server closed a connection of the bench")
        data, at = self._in + data, 0
        while len(data) - at >= 9:
            size, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            if len(data) - at - 9 < size:
                break
            number = int.from_bytes(data[at + 5 : at + 9], "big")
            voice, body = self.voices.get(number), data[at + 9 : at + 9 + size]
            if kind == WINDOW:
                self._widened(voice, number, int.from_bytes(body, "big"))
            else:
                self._take(kind, flags, voice, body, now)
            at += 9 + size
        self._in = data[at:]

    def _take(self, kind: int, flags: int, voice: Voice | None, body: bytes, now: float) -> None:
        if kind == DATA and voice is not None:
            voice.hear(body[1 : len(body) - body[0]] if flags & PADDED else body, now)
        elif kind == SETTINGS and not flags & ACK:
            self._told(body)
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, 0, body)
        elif kind == GOAWAY:
            raise ServiceError("the server sent the bench away")
        if voice is not None and (kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM)):
            voice.ear.refused = voice.ear.refused or ("" if voice.done else "ended without a status")
            voice.done = True


class Load:
    """All streams, begun over the first second so that their phases differ."""

    def __init__(self, address: tuple[str, int], streams: int, seconds: float, wish: Wish) -> None:
        self.wish, self.chunks = wish, int(seconds / CHUNK)
        self.wires = [Wire(address) for _ in range(min(streams, CHANNELS))]
        self.voices: list[Voice] = []
        self._clip, self._step = noise(wish.rate), int(CHUNK * wish.rate) * wish.width
        self._selector = selectors.DefaultSelector()
        for wire in self.wires:
            self._selector.register(wire.socket, selectors.EVENT_READ, wire)
        start = time.monotonic() + 0.2
        # (when, order, which stream or None for one that begins): what is to be done next
        self._plan: list[tuple[float, int, Voice | None]] = [(start + k / streams, k, None) for k in range(streams)]
        self._end = start + 1 + seconds + PATIENCE

    def run(self) -> list[Ear]:
        try:
            self._talk()
        finally:
            self._selector.close()
            for wire in self.wires:
                wire.socket.close()
        return [voice.ear for voice in self.voices]

    def _talk(self) -> None:
        while self._plan or not all(voice.done for voice in self.voices):
            now = time.monotonic()
            if now > self._end:
                break
            while self._plan and self._plan[0][0] <= now:
                self._act(*heapq.heappop(self._plan))
            for wire in self.wires:
                wire.flush()
            until = self._plan[0][0] if self._plan else now + CHUNK
            for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
                key.data.read(time.monotonic())

    def _act(self, when: float, order: int, voice: Voice | None) -> None:
        if voice is None:
            voice = self.wires[order % len(self.wires)].open()
            voice.opened = time.monotonic()
            self.voices.append(voice)
            voice.say(pb.AnimateRequest(header=self.wish.header()))
        elif voice.done:
            return
        elif not voice.begin:  # the header has not come yet
            heapq.heappush(self._plan, (when + 0.001, order, voice))
            return
        elif voice.place < self.chunks and when >= voice.begin + (voice.place + 1) * CHUNK:
            at = voice.place * self._step % (len(self._clip) - self._step)
            voice.say(pb.AnimateRequest(audio=pb.AudioChunk(data=self._clip[at : at + self._step])))
            voice.place += 1
            if voice.place == self.chunks:
                voice.say(pb.AnimateRequest(end=pb.End()))
                return
        due = voice.begin + (voice.place + 1) * CHUNK if voice.begin else when + 0.001
        heapq.heappush(self._plan, (due, order, voice))


def played(server: str, streams: int, seconds: float, wish: Wish) -> list[Ear]:
    check_address(server)
    host, _, port = server.rpartition(":")
    try:
        return Load((host, int(port)), streams, seconds, wish).run()
    except OSError as error:
        raise ServiceError(f"{server}: cannot be reached: {error.strerror or error}; is `facerig serve` up?") from error


def main(arguments: Sequence[str] | None = None) -> int:
    return report(played, "facerig.client.lean", __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
