"""Servers that go, killed or drained: their streams go on at another and lose and repeat nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import grpc
import numpy as np
import pytest
from server_kit import (
    END,
    RATE,
    Wire,
    address,
    animate,
    animator,
    audio,
    channel,
    header,
    noise,
    play,
    process,
    rows,
    run,
    said,
    serving,
    speech_channels,
    until,
)

from facerig.client import Frame, Interrupted, Marker, Stream, Target, Wish
from facerig.controls import Controls
from facerig.server import app
from facerig.v1 import animation_pb2 as pb

SMALL = {"sessions": 40, "max_batch": 8, "capacity": 40}


class UnderWay:
    """A script that counts the streams which have sent a third of a second."""

    def __init__(self):
        self.count = 0

    async def __call__(self, stream, place):
        self.count += place == 8


def check(frames, samples, exact=False):
    whole = animator().animate(samples, RATE).values
    assert [frame.index for frame in frames] == list(range(len(whole)))  # none missing, none twice
    assert np.abs(np.array([frame.values for frame in frames]) - whole).max() <= (0 if exact else 1e-5)


def test_a_replica_is_killed_under_sixteen_streams():
    clips = [noise(1.6, seed=k) for k in range(16)]

    async def work():
        with process() as (first, one), process() as (_, two):
            ways = [(address(one), address(two)), (address(two), address(one))]
            under_way = UnderWay()
            playing = [asyncio.create_task(play(Target(ways[k % 2]), clip, script=under_way))
                       for k, clip in enumerate(clips)]
            await until(lambda: under_way.count == 16)
            os.kill(first.pid, signal.SIGKILL)
            return await asyncio.gather(*playing)

    found = run(work())
    for (frames, _, _), clip in zip(found, clips, strict=True):
        check(frames, clip)
    assert sum(reconnects for *_, reconnects in found) >= 8


def test_sigterm_hands_thirty_two_streams_over():
    clips = [noise(1.5, seed=k) for k in range(32)]

    async def work():
        async with serving(**SMALL) as other:
            with process("--set=drain_seconds=0.2") as (first, one):
                target = Target((address(one), address(other)))
                under_way = UnderWay()
                playing = [asyncio.create_task(play(target, clip, pause=0.04, script=under_way)) for clip in clips]
                await until(lambda: under_way.count == 32)
                first.send_signal(signal.SIGTERM)
                found = await asyncio.gather(*playing)
                code = await asyncio.get_running_loop().run_in_executor(None, first.wait, 60)
                return found, code

    found, code = run(work())
    assert code == 0
    assert all(reconnects for *_, reconnects in found)
    for (frames, _, _), clip in zip(found, clips, strict=True):
        check(frames, clip)


def test_sigterm_drains_where_the_event_loop_takes_no_signals(monkeypatch):
    """As on Windows: Python's own handlers take its place."""
    def refuse(*_):
        raise NotImplementedError

    async def work():
        monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)
        async with serving(**SMALL) as server:
            waiting = asyncio.create_task(server.wait())
            await asyncio.sleep(0)  # so that it waits
            assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)  # the second one changes nothing
            await waiting
            return server.house.draining

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert run(work())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


STARTING = """
import os, signal, time
from facerig.server import app, worker
warm_up = worker.Worker.warm_up

def told_meanwhile(self, leave):
    os.kill(os.getpid(), signal.SIGTERM)
    while not leave():
        time.sleep(.001)
    warm_up(self, leave)
    assert not self.step_times

worker.Worker.warm_up = told_meanwhile
app.run(app.ServerConfig(port=0, a2f_port=-1, http_port=0, model="fake", sessions=4, engines=%d))
print("ended")
"""


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.parametrize("engines", [0, 1])
def test_a_signal_while_it_warms_up_ends_it(engines):
    ended = subprocess.run([sys.executable, "-c", STARTING % engines], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr  # it never said that it is ready


@pytest.mark.skipif(os.name == "nt", reason="no signals")
def test_a_signal_before_the_model_is_loaded_is_not_lost():
    loading = STARTING.replace("app.run(", "load = app.Server.__init__\napp.Server.__init__ = lambda *args, **named: ("
                               "os.kill(os.getpid(), signal.SIGTERM), load(*args, **named))[0]\napp.run(")
    ended = subprocess.run([sys.executable, "-c", loading % 0], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


def test_draining_lets_running_streams_finish_and_refuses_new_ones():
    samples = noise(0.8)

    async def work():
        async with serving(**SMALL) as server, channel(server.ports["facerig"]) as link, channel(
                server.ports["facerig"]) as late:
            call = animate(link, None)
            await call.write(header(mode=pb.Pacing.MODE_REALTIME))
            await call.read()
            drain = asyncio.create_task(server.house.drain(30))
            await asyncio.sleep(0)
            refused = await said(animate(late, iter([header(), END])))
            await call.write(audio(samples))
            await call.write(END)
            finished = await said(call)
            await drain
            return refused, finished

    (_, refused), (answers, code) = run(work())
    assert refused is grpc.StatusCode.UNAVAILABLE
    assert code is grpc.StatusCode.OK
    assert np.array_equal(rows(answers)[1], animator().animate(samples, RATE).values)


def test_resumption_repeats_controls_markers_and_frame_rate():
    """Break the stream at every few frames: the frames are those of a stream that was never broken."""
    samples = noise(2.0)
    wish = Wish(rate=RATE, rig="facerig-full", fps=30, emotion={"joy": 0.3}, echo=True)

    async def script(stream, place):
        if place == 10:
            await stream.gains({"jaw": 0.2}, fade_ms=600)
        if place == 20:
            await stream.emotion({"fear": 1.0}, fade_ms=400)
            await stream.marker("half")
        if place == 25:
            await stream.gains({"brows": 0.5})
            await stream.look_at(20, 5)

    async def work(*breaks):
        async with serving(**SMALL) as server, Wire(server.ports["facerig"]) as wire:
            def shown(index):
                for guest in list(server.house.guests) if index in breaks else ():
                    guest.session.fail(app.ServiceError("broken by the test"))

            target = Target((f"127.0.0.1:{wire.own}",))
            return await play(target, samples, pause=0.01, wish=wish, script=script, shown=shown)

    whole, events, _ = run(work())
    broken, again, reconnects = run(work(8, 20, 32))
    assert reconnects >= 2
    assert [frame.index for frame in broken] == [frame.index for frame in whole]
    assert np.array_equal([frame.values for frame in broken], [frame.values for frame in whole])
    assert b"".join(frame.audio for frame in broken) == samples.tobytes()
    assert [event for event in again if isinstance(event, Marker)] == [
        event for event in events if isinstance(event, Marker)
    ]


@pytest.mark.parametrize("asked", [{}, {"look:yaw": 40.0, "look:held": 1.0, "attitude": 1.0}])
def test_a_barge_in_survives_the_loss_of_the_server(asked):
    second = noise(1.0, seed=5)

    async def work():
        async with serving(**SMALL) as one, serving(**SMALL) as two:
            wish = Wish(rate=RATE, rig="facerig-full", controls=asked)
            stream = Stream(Target((address(one), address(two))), wish)
            events = []
            async with stream:
                await stream.send(noise(3.0).tobytes())
                async for event in stream:
                    events.append(event)
                    if isinstance(event, Frame) and event.index == 20:
                        break
                turn = asyncio.create_task(stream.interrupt())
                async for event in stream:
                    events.append(event)
                    if isinstance(event, Interrupted):
                        break
                await turn
                for guest in list(one.house.guests):
                    guest.session.fail(app.ServiceError("broken by the test"))
                await stream.send(second.tobytes())
                await stream.end()
                async for event in stream:
                    events.append(event)
            return events, stream.reconnects

    events, reconnects = run(work())
    told = next(event for event in events if isinstance(event, Interrupted))
    frames = [event for event in events if isinstance(event, Frame)]
    assert reconnects >= 1
    assert [frame.index for frame in frames] == list(range(len(frames)))
    values = np.array([frame.values for frame in frames], np.float32)
    own = animator().animate(second, RATE, start=told.segment_frame, controls=Controls(asked))
    assert np.array_equal(values[told.segment_frame :], own.values)
    mouth = [own.channels.index(name) for name in speech_channels()]  # a listener may smile
    assert not values[told.segment_frame - 1, mouth].any()
