"""Faces in processes of their own: the same bits, what happens when one dies, and the clock that streams share."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial

import grpc
import numpy as np
import pytest
from server_kit import (
    CALM,
    END,
    RATE,
    animate,
    animator,
    audio,
    channel,
    cut,
    header,
    noise,
    process,
    rows,
    run,
    said,
    serving,
    until,
)

from facerig.client import Frame, Stream, Target, Wish
from facerig.client.lean import Load
from facerig.errors import ServiceError
from facerig.pipeline import Animator
from facerig.server.app import Server
from facerig.server.batch import BatchChain
from facerig.server.bench import family
from facerig.server.config import ServerConfig, share_of
from facerig.server.convert import plain, wire
from facerig.server.departures import TICK, Departures
from facerig.server.hearing import Mixing, hearing
from facerig.server.lane import Lost, Remote
from facerig.server.session import Row
from facerig.server.worker import capacity
from facerig.stage import SAMPLES
from facerig.v1 import animation_pb2 as pb

FAKE = {"model": "fake", "block": 2}


def frames_of(count, rng, width=SAMPLES):
    return (rng.standard_normal((count, 2, width)) * 0.1).astype(np.float32)


@pytest.fixture
def remote():
    chain = Remote(animator(2).chain, 4, FAKE)
    yield chain
    chain.close()


def test_a_process_steps_as_this_one_does(remote):
    here, rng = BatchChain(animator(2).chain, 4), np.random.default_rng(0)
    for chain in (here, remote):
        chain.reset(1, 7, 3)
        chain.reset(2, 0, -5)
    for slots in ([1], [1, 2], [1, 2], [2]):
        frames = frames_of(len(slots), rng)
        assert np.array_equal(remote.step(slots, frames), here.step(slots, frames))
    for chain in (here, remote):
        chain.reset(1)
    frames = frames_of(1, rng)
    assert np.array_equal(remote.step([1], frames), here.step([1], frames))


def test_what_is_heard_comes_back_from_a_process():
    own = Animator.load("fake", block=2, emotion="auto")
    face = hearing(own.chain, 2)
    here, there, rng = BatchChain(face, 2), Remote(face, 2, {**FAKE, "emotion": "auto"}), np.random.default_rng(0)
    asked = own.asked(own.session(RATE).controls, 0, 2)
    try:
        for chain in (here, there):
            chain.reset(0)
            chain.reset(1)
            chain.tell(1, Mixing(strength=0.9).row)
        for _ in range(3):
            frames = np.concatenate([frames_of(2, rng), np.stack([asked, asked])], axis=2)
            assert np.array_equal(there.step([0, 1], frames), here.step([0, 1], frames))
            assert np.array_equal(there.shown([0, 1]), here.shown([0, 1]))
        assert there.shown([0, 1]).shape[-1] > 0
    finally:
        there.close()


def test_a_fault_there_is_an_error_here_and_the_process_goes_on(remote):
    rng = np.random.default_rng(0)
    remote.reset(0)
    with pytest.raises(RuntimeError, match="IndexError"):
        remote.step([99], frames_of(1, rng))
    pid = remote.pid
    assert remote.step([0], frames_of(1, rng)).shape == (1, 2, len(animator(2).channels))
    assert remote.pid == pid


def test_a_process_that_dies_is_said_and_another_one_takes_its_place(remote):
    rng = np.random.default_rng(0)
    remote.reset(0)
    first = remote.step([0], frames_of(1, rng))
    os.kill(remote.pid, signal.SIGKILL)
    with pytest.raises(Lost, match="resume"):
        remote.step([0], frames_of(1, rng))
    assert remote.generation == 1
    remote.reset(0)
    assert np.array_equal(remote.step([0], frames_of(1, np.random.default_rng(0))), first)


def test_a_process_that_cannot_load_is_an_error_in_words():
    chain = Remote(animator(2).chain, 1, {"model": "fake", "block": 0})
    with pytest.raises(ServiceError, match="did not start"):
        chain.step([0], frames_of(1, np.random.default_rng(0)))


def test_a_process_ends_with_its_server(remote):
    remote.step([0], frames_of(1, np.random.default_rng(0)))
    child = remote._child
    remote.close()
    assert child.returncode == 0


def test_a_server_with_engines_gives_the_same_frames():
    samples = noise(1.0)

    async def work():
        server = Server(ServerConfig(**{**CALM, "engines": 2, "model": "fake"}))
        await server.start()
        try:
            async with channel(server.ports["facerig"]) as link:
                calls = [said(animate(link, iter([header(), audio(samples), END]))) for _ in range(4)]
                return await asyncio.gather(*calls), [len(lane.free) for lane in server.worker.lanes]
        finally:
            await server.stop(0)

    answers, free = run(work())
    expected = animator(2).animate(samples, RATE).values
    for parts, code in answers:
        numbers, values = rows(parts)
        assert code is grpc.StatusCode.OK
        assert numbers == list(range(60))
        assert np.allclose(values, expected, atol=1e-5)
    assert free == [40, 40]


async def heard(port, samples, on_frame):
    """The frames' numbers and the reconnects of a clip that is spoken through the client library."""
    numbers = []
    async with Stream(Target((f"127.0.0.1:{port}",)), Wish(rate=RATE)) as stream:

        async def speak():
            for piece in cut(samples, 640):
                await stream.send(piece.tobytes())
                await asyncio.sleep(0.01)
            await stream.end()

        speaker = asyncio.create_task(speak())
        async for event in stream:
            if isinstance(event, Frame):
                numbers.append(event.index)
                on_frame(event.index)
        await speaker
        return numbers, stream.reconnects


def test_streams_go_on_when_the_process_that_computes_them_dies():
    """The client library resumes at the same server; no frame is missing, none is doubled."""
    with process("--set=engines=1") as (child, told):
        alive = family(child.pid)[1:]
        assert len(alive) == 1

        def kill(index):
            if index >= 60 and alive:
                os.kill(alive.pop(), signal.SIGKILL)

        async def work():
            port = told["ports"]["facerig"]
            return await asyncio.gather(*(heard(port, noise(3.0, seed), kill) for seed in range(3)))

        streams = run(work())
        assert child.poll() is None
    for numbers, reconnects in streams:
        assert numbers == list(range(180))
        assert reconnects == 1


@pytest.mark.parametrize(
    ("engines", "runtime", "lanes"), [(0, "onnx cpu", 0), (3, "cuda fp16", 3), (-1, "cuda fp16", 0)]
)
def test_how_many_processes_compute(engines, runtime, lanes):
    assert ServerConfig(engines=engines).lanes(runtime) == lanes


def test_a_container_counts_its_own_cores():
    assert [share_of(text) for text in ("200000 100000\n", "350000 100000", "50000 100000")] == [2, 3, 1]
    assert share_of("max 100000") == share_of("") > 1_000


def test_capacity_with_processes_is_that_of_the_fullest():
    times = {1: 0.002, 8: 0.004}  # a block costs half a millisecond, 15 ms of a second of a stream
    assert capacity(times, 2, 0.005, 1.0) == 50
    assert capacity(times, 2, 0.005, 1.0, 1, 8) == 66  # the one process is full
    assert capacity(times, 2, 0.005, 1.0, 8, 16) == 200  # the wire is
    assert capacity(times, 2, 0.005, 1.0, 2, 2) == 100  # both cores are


def test_departures_wake_in_time_and_together():
    async def work():
        clock, woken = Departures(), []

        def wake(due):
            woken.append(time.monotonic() - due)

        for wait in (3 * TICK, 0.2 * TICK, 3 * TICK, 0.0):
            clock.after(wait, partial(wake, time.monotonic() + wait))
        await until(lambda: len(woken) == 4)
        return woken, dict(clock._waiting)

    late, waiting = run(work())
    assert min(late) > -1e-3
    assert not waiting


def test_the_lean_client_hears_every_frame_and_every_refusal():
    async def work():
        async with serving(capacity=3) as server:
            wish = Wish(rate=RATE, pacing="realtime")
            load = Load(("127.0.0.1", server.ports["facerig"]), 4, 1.5, wish)
            return await asyncio.get_running_loop().run_in_executor(None, load.run)

    ears = run(work())
    assert sorted(len(ear.latency) for ear in ears) == [0, 90, 90, 90]
    assert ["capacity 3" in ear.refused for ear in ears].count(True) == 1
    assert all(ear.header_ms > 0 and ear.first_ms > 100 for ear in ears if not ear.refused)


def test_plain_frames_are_what_protobuf_writes():
    rng = np.random.default_rng(0)
    for index in (0, 1, 127, 128, 300_000, 2**40):
        some = [Row(index + k, rng.standard_normal(width).astype(np.float32)) for k, width in enumerate((52, 71, 0))]
        frames = [pb.Frame(index=row.index, values=row.values.tolist()) for row in some]
        whole = pb.AnimateResponse(frames=pb.Frames(frames=frames))
        assert plain(some) == wire(whole)
        assert pb.AnimateResponse.FromString(plain(some)) == whole
