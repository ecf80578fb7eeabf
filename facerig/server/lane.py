"""The faces of many streams in a process of their own, so that the model's maths and the wire do not share an
interpreter. `Remote` is the server's end and looks like `BatchChain`; `main` is the other one: it holds the states.

One step is one message there and one back over a socket pair: slots, the streams that begin, rows of samples and
controls; then curves. No pickle, no name, no file. The process ends when its socket does, whatever happened to the
server. When it dies itself, every stream that had a state in it is told to resume (`Lost`) and another one is started.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from facerig.controls import PRIME, WIDTH, rows_of
from facerig.errors import ServiceError
from facerig.face import Face
from facerig.server.allocator import keep_freed
from facerig.server.batch import BatchChain
from facerig.server.faults import Handover
from facerig.server.hearing import hearing
from facerig.stage import Frames

# Streams, rows a stream, columns; streams that begin; streams told something, numbers of it. Of those that begin: slot,
# frame and seed of each, then the rows that were asked of each before.
ASK = struct.Struct("<6I")
ANSWER = struct.Struct("<5I")  # streams, rows, columns; columns of what is reported; or else bytes of a fault's name
READY = b"+"
START_SECONDS = 120.0  # loading weights on a busy machine
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Lost(Handover):
    """The process that held a stream's state is gone."""

    def __init__(self) -> None:
        super().__init__("the process that computed this stream was lost; resume on another server, or here again")


class Remote:
    """A `BatchChain` elsewhere. One thread uses it at a time."""

    def __init__(self, face: Face, slots: int, options: dict[str, Any]) -> None:
        """`face` is the one that `options` of `Animator.load` make there too."""
        self.face, self.slots, self._options = face, slots, options
        self.generation = 0
        """How often the process has been lost; a stream that began before has no state any more."""
        self._begun: list[tuple[tuple[int, int, int], Frames]] = []
        self._told: list[tuple[int, Frames]] = []
        self._shown = np.zeros((0, 0, 0), np.float32)
        self._child: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._ready = False

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    def open(self) -> None:
        """Start the process; it loads while others start."""
        ours, theirs = socket.socketpair()
        environment = {**dict.fromkeys(THREADS, "1"), **os.environ}
        command = [sys.executable, "-m", "facerig.server.lane", str(theirs.fileno()), str(self.slots),
                   json.dumps(self._options)]
        with theirs:
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           env=environment, pass_fds=[theirs.fileno()])
        self._link, self._ready = ours, False

    def reset(self, slot: int, frame: int = 0, seed: int = 0, before: Frames | None = None) -> None:
        """Put a new stream into a slot, before its next step; `before`: [PRIME, WIDTH] of what was asked until then."""
        self._begun.append(((slot, frame, seed), rows_of(PRIME) if before is None else before))

    def tell(self, slot: int, row: Frames) -> None:
        """How a stream mixes what is heard; after its reset."""
        self._told.append((slot, row))

    def submit(self, slots: Sequence[int], frames: Frames) -> None:
        """Begin a step; `collect` waits for its end."""
        begun, self._begun = self._begun, []
        told, self._told = self._told, []
        width = len(told[0][1]) if told else 0
        head = ASK.pack(*frames.shape, len(begun), len(told), width)
        parts = [head, np.array(slots, "<i8"), np.array([one for one, _ in begun], "<i8"),
                 np.array([rows for _, rows in begun], "<f4"), np.array([slot for slot, _ in told], "<i8"),
                 np.array([row for _, row in told], "<f4"), np.ascontiguousarray(frames, "<f4")]
        try:
            _send(self._opened(), parts)
        except OSError as error:
            raise self._lost() from error

    def collect(self) -> Frames:
        """What the last step made, [B, n, channels]."""
        try:
            link = self._opened()
            count, rows, columns, shown, fault = ANSWER.unpack(_receive(link, ANSWER.size))
            out = _receive(link, fault or 4 * count * rows * columns)
            self._shown = _array(_receive(link, 4 * count * rows * shown), "<f4", count, rows, shown)
        except (OSError, EOFError) as error:
            raise self._lost() from error
        if fault:
            raise RuntimeError(out.decode("utf-8", "replace"))
        made: Frames = _array(out, "<f4", count, rows, columns)
        return made

    def shown(self, slots: Sequence[int]) -> Frames:
        """What was felt in the block of each stream of the last step."""
        return self._shown

    def step(self, slots: Sequence[int], frames: Frames) -> Frames:
        self.submit(slots, frames)
        return self.collect()

    def close(self) -> None:
        """End the process; it goes by itself when nobody listens."""
        if self._link is not None:
            self._link.close()
        if self._child is not None:
            try:
                self._child.wait(2)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._child = self._link = None

    def _opened(self) -> socket.socket:
        """The link to a process that is ready: it says so with a byte."""
        if self._link is None:
            self.open()
        link = self._link
        assert link is not None
        if not self._ready:
            link.settimeout(START_SECONDS)
            try:
                _receive(link, len(READY))
            except (OSError, EOFError) as error:
                self.close()
                raise ServiceError("the engine's process did not start; what it said is above") from error
            link.settimeout(None)
            self._ready = True
        return link

    def _lost(self) -> Lost:
        """Another process for the one that is gone."""
        self.close()
        self.generation += 1
        self._begun, self._told = [], []
        self.open()
        return Lost()


def _send(link: socket.socket, parts: Sequence[Any]) -> None:
    link.sendall(b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts))


def _receive(link: socket.socket, size: int) -> bytearray:
    """Exactly so many bytes; EOFError where the other end is gone."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        got = link.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got
    return data


# ---- the other end --------------------------------------------------------------------------------------------------


def serve(link: socket.socket, chain: BatchChain) -> None:
    """Steps until the server is gone."""
    while True:
        try:
            count, rows, columns, begun, told, width = ASK.unpack(_receive(link, ASK.size))
            slots = _array(_receive(link, 8 * count), "<i8", count)
            begins = _array(_receive(link, 24 * begun), "<i8", begun, 3)
            before = _array(_receive(link, 4 * begun * PRIME * WIDTH), "<f4", begun, PRIME, WIDTH)
            who = _array(_receive(link, 8 * told), "<i8", told)
            what = _array(_receive(link, 4 * told * width), "<f4", told, width)
            frames = _array(_receive(link, 4 * count * rows * columns), "<f4", count, rows, columns)
            beginning = [*((chain.reset, (*one, rows)) for one, rows in zip(begins.tolist(), before, strict=True)),
                         *((chain.tell, one) for one in zip(who.tolist(), what, strict=True))]
            _send(link, _stepped(chain, beginning, slots.tolist(), frames))
        except (EOFError, OSError):
            return


def _stepped(chain: BatchChain, beginning: Sequence[Any], slots: list[int], frames: Frames) -> list[Any]:
    try:
        for act, arguments in beginning:
            act(*arguments)
        out, shown = chain.step(slots, frames), chain.shown(slots)
    except Exception as error:  # the server ends these streams with a message; the others go on
        text = f"{type(error).__name__}: {error}".encode()[:4_096]
        return [ANSWER.pack(0, 0, 0, 0, len(text)), text]
    return [ANSWER.pack(*out.shape, shown.shape[-1], 0), np.ascontiguousarray(out, "<f4"),
            np.ascontiguousarray(shown, "<f4")]


def _array(data: bytearray, kind: str, *shape: int) -> Any:
    return np.frombuffer(data, kind).reshape(shape)


def main(arguments: Sequence[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which drains first
        signal.signal(number, signal.SIG_IGN)
    keep_freed()
    from facerig.pipeline import Animator

    link = socket.socket(fileno=int(arguments[0]))
    animator = Animator.load(**json.loads(arguments[2]))
    chain = BatchChain(hearing(animator.chain, animator.block), int(arguments[1]))
    _send(link, [READY])
    serve(link, chain)


if __name__ == "__main__":
    main(sys.argv[1:])
