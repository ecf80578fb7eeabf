"""Clients that take their frames slowly or not at all, of both protocols."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import grpc
import pytest
from server_kit import RATE, TINY, animate, audio, header, noise, process_audio, run, said, serving, until

from facerig.server import admission, protos
from facerig.v1 import animation_pb2 as pb

SMALL = {**TINY, "a2f_port": 0, "a2f_pacing": "burst"}
NARROW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_535), ("grpc.use_local_subchannel_pool", 1)]
A2F = protos.message("nvidia_ace.controller.v1.AudioStream")
A2F_SOUND = {"samples_per_second": RATE, "bits_per_sample": 16, "channel_count": 1}
A2F_HEADER = A2F(audio_stream_header={"audio_header": A2F_SOUND})


@asynccontextmanager
async def poured(server, front):
    """A call that talks for long, and of whose frames nothing was read yet."""

    def a2f_audio(samples):
        return A2F(audio_with_emotion={"audio_buffer": samples.tobytes()})

    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.ports[front]}", options=NARROW) as link:
        begin, first, chunk = {"facerig": (animate, header(tracks=pb.Tracks(audio=True)), audio),
                               "a2f": (process_audio, A2F_HEADER, a2f_audio)}[front]
        call = begin(link, None)
        await call.write(first)

        async def speak():
            for k in range(100):
                await call.write(chunk(noise(1.0, seed=k)))

        task = asyncio.create_task(speak())
        await until(lambda: server.worker.running == 1)
        yield call
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("front", ["facerig", "a2f"])
def test_a_client_that_stops_reading_frees_its_slot(front):
    """Its words come, its frames are taken by nobody: a write that lasts is broken off."""
    async def work():
        async with serving(**SMALL, idle_seconds=0.5) as server, poured(server, front) as call:
            await until(lambda: server.worker.running == 0 and not server.house.guests)
            _, code = await said(call)
            return server.worker.free, code, server.house.metrics.text().decode()

    free, code, metrics = run(work())
    assert free == SMALL["sessions"]
    assert code is not grpc.StatusCode.OK
    assert 'facerig_errors_total{cause="idle"} 1.0' in metrics


@pytest.mark.parametrize("front", ["facerig", "a2f"])
def test_a_client_that_reads_slowly_stays(front, monkeypatch):
    """It lets each write wait for most of the limit, many limits long in all; then it stops reading, and goes."""
    now = -1e6  # the house's own clock, behind that of the streams: nobody is silent
    monkeypatch.setattr(admission, "time", SimpleNamespace(monotonic=lambda: now))

    async def work():
        nonlocal now
        async with serving(**SMALL, idle_seconds=1.0) as server, poured(server, front) as call:
            (guest,) = server.house.guests
            for _ in range(12):
                while guest.writing != now:
                    assert await call.read() is not grpc.aio.EOF
                now += 0.9
                server.house._sweep(now)
                assert guest.writing < now  # it was not broken off
            while server.house.guests:
                now += 0.1
                await asyncio.sleep(0)

    run(work())
