"""What goes wrong in production, one test each: vanished clients, garbage, overload, failing engines and machines."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from server_kit import (
    ANIMATE,
    CONTROLLER,
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
    process_audio,
    rows,
    run,
    said,
    serving,
    until,
)

from facerig.client import Target
from facerig.server import app, protos
from facerig.server.worker import Worker
from facerig.v1 import animation_pb2 as pb

SMALL = {"sessions": 40, "max_batch": 8, "capacity": 40}


# ---- clients that go -----------------------------------------------------------------------------------------------


async def vanish(how):
    """A client that goes in the middle of a stream: (free slots, seconds until there were as many)."""
    async with serving(**SMALL) as server:
        link = channel(server.ports["facerig"])
        call = animate(link, None)
        await call.write(header(mode=pb.Pacing.MODE_REALTIME))
        await call.write(audio(noise(2.0)))
        await until(lambda: server.worker.running == 1)
        await call.read()
        call.cancel() if how == "cancel" else await link.close()
        begin = time.monotonic()
        await until(lambda: server.worker.running == 0 and not server.house.guests, 30)  # an idle one stays for 60 s
        await link.close()
        return server.worker.free, time.monotonic() - begin


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_vanished_client_frees_its_slot(how):
    assert run(vanish(how))[0] == SMALL["sessions"]


@pytest.mark.soak
@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_vanished_client_frees_its_slot_within_a_second(how):
    """On a quiet machine."""
    assert run(vanish(how))[1] < 1.0


def test_a_half_open_connection_is_noticed_and_its_slot_freed():
    async def work():
        async with serving(**SMALL, keepalive_seconds=0.3) as server, Wire(server.ports["facerig"]) as wire:
            async with channel(wire.own) as link:
                call = animate(link, None)
                await call.write(header(mode=pb.Pacing.MODE_REALTIME))
                await call.write(audio(noise(1.0)))
                await call.read()
                wire.deaf.set()
                await until(lambda: server.worker.running == 0)
                call.cancel()
            return server.worker.free

    assert run(work()) == SMALL["sessions"]


# ---- garbage -------------------------------------------------------------------------------------------------------


def broken_messages(count):
    """Valid messages with bytes changed, cut off, doubled; and noise."""
    random_ = random.Random(0)
    good = [header().SerializeToString(), audio(noise(0.02)).SerializeToString(), END.SerializeToString(),
            pb.AnimateRequest(control=pb.Control(emotion=pb.Emotion(weights={"joy": 1.0}))).SerializeToString(),
            pb.AnimateRequest(control=pb.Control(describe=pb.Describe(span_ms=900))).SerializeToString()]
    for _ in range(count):
        data = bytearray(random_.choice(good))
        kind = random_.randrange(4)
        if kind == 0:
            data = bytearray(random_.randbytes(random_.randrange(60)))
        for _ in range(random_.randrange(1, 6) if kind == 1 and data else 0):
            data[random_.randrange(len(data))] = random_.randrange(256)
        if kind == 2:
            del data[random_.randrange(len(data) + 1) :]
        if kind == 3:
            data += data[: random_.randrange(len(data) + 1)]
        yield bytes(data)


def test_garbage_harms_nobody():
    """20,000 messages, forty a stream, over both protocols: a right status each time, and every slot comes back."""
    allowed = {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "INTERNAL", "RESOURCE_EXHAUSTED", "UNKNOWN"}

    async def stream(link, path, parts, first):
        call = link.stream_stream(path)(iter([*first, *parts]))
        try:
            async for _ in call:
                pass
            return "OK"
        except grpc.aio.AioRpcError as error:
            return error.code().name

    async def work():
        async with serving(**SMALL, a2f_port=0, a2f_pacing="burst", pacing="burst", header_seconds=5.0) as server:
            seen = set()
            async with channel(server.ports["facerig"]) as link:
                messages = list(broken_messages(20_000))
                for at in range(0, len(messages), 1_600):
                    group = [messages[place : place + 40] for place in range(at, min(at + 1_600, len(messages)), 40)]
                    paths = [ANIMATE, f"/{CONTROLLER}/ProcessAudioStream"]
                    work = [stream(link, paths[k % 3 == 2], parts, [header().SerializeToString()] if k % 3 == 0 else [])
                            for k, parts in enumerate(group)]
                    seen |= set(await asyncio.gather(*work))
                await until(lambda: not server.house.guests)
                answers, code = await said(animate(link, iter([header(), audio(noise(0.2)), END])))
            assert code is grpc.StatusCode.OK
            assert len(rows(answers)[0]) == 12
            return seen, server.worker.free, server.worker.alive

    seen, free, alive = run(work())
    assert seen <= allowed
    assert len(seen) > 2
    assert (free, alive) == (SMALL["sessions"], True)


# ---- too many ------------------------------------------------------------------------------------------------------


def test_ten_times_overload_is_refused_at_once_and_the_admitted_keep_their_frames():
    samples = noise(0.8)

    async def work():
        async with serving(sessions=8, max_batch=8, capacity=4) as server, channel(server.ports["facerig"]) as link:
            async def admitted():
                call = animate(link, None)
                await call.write(header(mode=pb.Pacing.MODE_REALTIME))
                await call.read()
                return call

            calls = [await admitted() for _ in range(4)]
            refused = await asyncio.gather(*(said(animate(link, iter([header(), END]))) for _ in range(40)))
            a2f = protos.message("nvidia_ace.controller.v1.AudioStream")
            call = process_audio(link, iter([a2f(audio_stream_header={"audio_header": {
                "samples_per_second": RATE, "bits_per_sample": 16, "channel_count": 1}})]))
            other = await said(call)
            for call in calls:
                await call.write(audio(samples))
                await call.write(END)
            return refused, other, await asyncio.gather(*map(said, calls)), server.house.metrics.text().decode()

    refused, other, admitted, metrics = run(work())
    assert {code for _, code in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "capacity 4" in refused[0][0][-1].status.reason
    assert other[1] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert 'facerig_errors_total{cause="overload"} 41.0' in metrics
    for answers, code in admitted:
        assert code is grpc.StatusCode.OK
        assert np.abs(rows(answers)[1] - animator().animate(samples, RATE).values).max() <= 1e-5


def test_pressure_closes_the_door():
    async def work():
        async with (
            serving(sessions=8, capacity=8, pressure_ms=20.0) as server,
            channel(server.ports["facerig"]) as link,
        ):
            call = animate(link, None)
            await call.write(header(mode=pb.Pacing.MODE_REALTIME))
            await call.read()
            server.worker.load.queue_age, server.house._felt = 0.5, time.monotonic()
            _, code = await said(animate(link, iter([header(), END])))
            call.cancel()
            return code

    assert run(work()) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_streams_end_with_a_reason_when_the_engine_fails(caplog):
    async def work():
        async with serving(**SMALL) as server, channel(server.ports["facerig"]) as link:
            def explode(*_):
                raise RuntimeError("a secret of the machine")

            server.worker.engine.batch.step = explode
            failed = await said(animate(link, iter([header(), audio(noise(0.5)), END])))
            del server.worker.engine.batch.step
            return failed, await said(animate(link, iter([header(), audio(noise(0.5)), END])))

    (answers, code), (_, after) = run(work())
    assert code is grpc.StatusCode.INTERNAL
    assert answers[-1].status.code == pb.Status.CODE_FAULT
    assert "secret" not in answers[-1].status.reason
    assert after is grpc.StatusCode.OK
    assert any("engine failed" in record.message for record in caplog.records)


# ---- the machine ---------------------------------------------------------------------------------------------------


def test_a_jump_of_the_wall_clock_changes_nothing(monkeypatch):
    samples, real = noise(0.6), time.time
    jumps = iter([0.0, 1e6, -1e6] * 10_000)
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))

    async def work():
        async with serving(**SMALL) as server, channel(server.ports["facerig"]) as link:
            return await said(animate(link, iter([header(mode=pb.Pacing.MODE_REALTIME), audio(samples), END])))

    answers, code = run(work())
    assert code is grpc.StatusCode.OK
    assert len(rows(answers)[0]) == 36


def test_a_full_disk_costs_log_lines_and_no_stream(tmp_path):
    config = app.ServerConfig(**{**SMALL, "log_file": str(tmp_path / "server.log")})
    handler = app.set_up_logging(config)

    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            pass

        def close(self):
            pass

    async def work():
        async with serving(**SMALL) as server, channel(server.ports["facerig"]) as link:
            whole, handler.stream = handler.stream, Full()
            whole.close()
            app.log.info("this line is lost")
            return await said(animate(link, iter([header(), audio(noise(0.2)), END])))

    try:
        _, code = run(work())
    finally:
        app.log.removeHandler(handler)
    assert code is grpc.StatusCode.OK
    assert handler.lost > 0


def test_a_log_that_is_taken_away_costs_log_lines_and_no_stream(tmp_path):
    """Its folder goes, so that it cannot be opened again, and comes back."""
    place = tmp_path / "logs" / "server.log"
    place.parent.mkdir()
    handler = app.set_up_logging(app.ServerConfig(**{**SMALL, "log_file": str(place)}))

    async def work():
        async with serving(**SMALL) as server, channel(server.ports["facerig"]) as link:
            shutil.rmtree(place.parent)
            app.log.info("this line is lost")
            _, code = await said(animate(link, iter([header(), audio(noise(0.2)), END])))
            place.parent.mkdir()
            app.log.info("this one is there")
        return code

    try:
        code = run(work())
    finally:
        app.log.removeHandler(handler)
        handler.close()
    assert code is grpc.StatusCode.OK
    assert handler.lost > 0
    assert "this one is there" in place.read_text()


def test_the_engine_thread_ends_with_the_server():
    async def work():
        async with serving(**SMALL) as server:
            return server.worker

    worker = run(work())
    assert isinstance(worker, Worker)
    assert not worker.alive


def test_capacity_that_was_measured_too_low_is_put_right():
    async def work():
        async with serving(sessions=80, max_batch=8, capacity=0) as server:
            house = server.house
            server.worker.step_times = {1: 1.0, 8: 1.0}  # as if something had stolen the time at start-up
            house.measure()
            low = house.capacity
            async with channel(server.ports["facerig"]) as link:
                _, code = await said(animate(link, iter([header(), audio(noise(0.5)), END])))
            return low, house.capacity, code

    low, after, code = run(work())
    assert (low, code) == (1, grpc.StatusCode.OK)
    assert after > low


def resident(pid: int) -> int:
    """Bytes in memory of a process and of those that it started."""
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return own + sum(resident(int(child)) for child in children)


@pytest.mark.soak
def test_twenty_minutes_at_half_load_do_not_grow():
    """Half of the measured capacity, streams that end and begin; resident memory after three minutes, when a batch of
    each size has been met (two short runs rose by 1.4 % until then, and by .1 % after), against the end."""
    seconds = float(os.environ.get("FACERIG_SOAK_SECONDS", "1200"))

    async def work():
        with process("--set=model=auto", "--set=capacity=0", "--set=pressure_ms=40") as (child, told):
            count = max(1, told["capacity"] // 2)
            end, marks, played = time.monotonic() + seconds, [], 0

            async def one(k):
                nonlocal played
                while time.monotonic() < end:
                    try:
                        frames, *_ = await play(Target((address(told),)), noise(10.0, seed=k), pause=0.0395)
                    except app.ServiceError as error:  # a machine that is busy with other work: come back later
                        if "RESOURCE_EXHAUSTED" not in str(error):
                            raise
                        await asyncio.sleep(0.5)
                        continue
                    assert len(frames) == 600
                    played += 1

            async def watch():
                await asyncio.sleep(min(180.0, seconds / 3))
                while time.monotonic() < end:
                    marks.append(resident(child.pid))
                    await asyncio.sleep(5)

            await asyncio.gather(watch(), *(one(k) for k in range(count)))
            return marks, played, count

    marks, played, count = asyncio.run(work())
    begin, last = np.median(marks[:5]), np.median(marks[-5:])
    course = " ".join(f"{np.median(part) / 2**20:.1f}" for part in np.array_split(marks, min(20, len(marks))))
    print(f"soak: {count} streams, {played} clips, {begin / 2**20:.1f} -> {last / 2**20:.1f} MiB; course {course}")
    assert last < begin * 1.01
