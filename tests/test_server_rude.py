"""Peers that mean harm or are very unlucky: messages that are well formed and absurd, bytes that drip, half greetings,
and what is left of a stream that ended badly: nothing."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import random
import ssl
import subprocess
import sys

import grpc
import numpy as np
import pytest
from google.protobuf.message_factory import GetMessageClass
from prometheus_client.parser import text_string_to_metric_families
from server_kit import (
    ANIMATE_FILE,
    END,
    RATE,
    Relay,
    animate,
    audio,
    channel,
    header,
    noise,
    process,
    process_audio,
    rows,
    run,
    said,
    serving,
    until,
)

from facerig.server import protos
from facerig.server.session import Session
from facerig.v1 import animation_pb2 as pb

SMALL = {"sessions": 24, "max_batch": 8, "capacity": 24, "a2f_port": 0, "a2f_pacing": "burst", "pacing": "burst",
         "clip_seconds": 20}
ASKED = protos.message("nvidia_ace.controller.v1.AudioStream")
AUTHORING = "nvidia_ace.services.a2f_authoring.v1.A2FAuthoringService"
NUMBERS = (0.0, -0.0, 1.0, 0.5, -1.0, 1e-30, 1e30, -1e30, math.nan, math.inf, -math.inf, 3.4e38, 1e4)
WHOLE = (0, 1, 2, 3, 7, 59, 60, 1000, 10_001, 2**31 - 1)
WORDS = ("", "jaw", "happy", "joy", "arkit", "nod", "gain:jaw", "heard", "sound:azimuth", "JawOpen", "../../etc/passwd",
         "\x00", "x" * 3_000, "ä☃", "tense:0.4,tired:0.3", '[{"time": 1e300, "emotion": "happy"}]',
         "time,emotion\n-1,joy")


def a_value(field, rng, depth):
    """Something that the wire can carry in a field, likely or not."""
    kind = field.cpp_type
    if kind == field.CPPTYPE_MESSAGE:
        return None if depth > 3 else absurd(GetMessageClass(field.message_type), rng, depth + 1)
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice(NUMBERS)
    if kind == field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == field.CPPTYPE_STRING:
        return rng.randbytes(rng.randrange(80)) if field.type == field.TYPE_BYTES else rng.choice(WORDS)
    whole = rng.choice(WHOLE)
    if kind == field.CPPTYPE_ENUM:
        return rng.choice((0, 1, 2, 3, 4, 5, 77))
    wide = kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64)
    signed = kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
    return rng.choice((whole, 2**63 - 1 if wide else whole, -whole if signed else whole))


def absurd(kind, rng, depth=0):
    """A message of a kind with some of its fields filled with anything."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.5:
            continue
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            key, value = entry.fields
            for _ in range(rng.randrange(4)):
                made = a_value(value, rng, depth)
                if value.message_type is None:
                    getattr(message, field.name)[a_value(key, rng, depth)] = made
                elif made is not None:
                    getattr(message, field.name)[a_value(key, rng, depth)].MergeFromString(made.SerializeToString())
        elif field.is_repeated:
            for _ in range(rng.randrange(4)):
                made = a_value(field, rng, depth)
                if made is not None:
                    target = getattr(message, field.name)
                    if field.message_type:
                        target.add().MergeFromString(made.SerializeToString())
                    else:
                        target.append(made)
        elif field.message_type is not None:
            made = a_value(field, rng, depth)
            if made is not None:
                getattr(message, field.name).MergeFromString(made.SerializeToString())
        else:
            setattr(message, field.name, a_value(field, rng, depth))
    return message


def own_stream(rng):
    """A header that is mostly right, then controls of any kind between pieces of audio."""
    first = header(tracks=pb.Tracks(audio=True, emotion=True))
    if rng.random() < 0.6:
        odd = absurd(pb.Header, rng)
        for name in rng.sample([field.name for field in odd.DESCRIPTOR.fields], 2):
            first.header.ClearField(name)
            first.header.MergeFrom(pb.Header.FromString(_only(odd, name).SerializeToString()))
    parts = [first]
    for _ in range(6):
        parts.append(pb.AnimateRequest(control=absurd(pb.Control, rng)) if rng.random() < 0.7
                     else absurd(pb.AnimateRequest, rng))
        parts.append(audio(noise(0.05)))
    return [*parts, END]


def _only(message, name):
    kept = type(message)()
    for field, value in message.ListFields():
        if field.name == name:
            kept.MergeFromString(type(message)(**{name: value}).SerializeToString())
    return kept


def nvidias_stream(rng):
    head = {"samples_per_second": RATE, "bits_per_sample": 16, "channel_count": 1}
    first = ASKED(audio_stream_header={"audio_header": head})
    first.audio_stream_header.MergeFromString(absurd(protos.message("nvidia_ace.controller.v1.AudioStreamHeader"),
                                                     rng).SerializeToString())
    if rng.random() < 0.8:
        first.audio_stream_header.audio_header.MergeFromString(
            ASKED(audio_stream_header={"audio_header": {**head, "audio_format": 0}}
                  ).audio_stream_header.audio_header.SerializeToString())
        first.audio_stream_header.audio_header.audio_format = 0
    parts = [first]
    for _ in range(4):
        part = absurd(ASKED, rng) if rng.random() < 0.4 else ASKED(audio_with_emotion=absurd(
            protos.message("nvidia_ace.a2f.v1.AudioWithEmotion"), rng))
        parts.append(part)
    return [*parts, ASKED(end_of_audio={})]


def faults(server):
    """Errors that the server counts as its own."""
    page = server.house.metrics.text().decode()
    samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
    return sum(one.value for one in samples if one.name == "facerig_errors_total" and one.labels["cause"] == "fault")


async def one_call(link, path, request, kind, **how):
    call = getattr(link, kind)(path, type(request).SerializeToString)(request, **how)
    try:
        if kind == "unary_unary":
            await call
        else:
            async for _ in call:
                pass
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize("emotion", ["off", "auto"])
def test_well_formed_nonsense_is_never_a_fault_of_ours(emotion, caplog):
    """Absurd values in every field of both protocols and of the single calls: an answer in words each time."""
    rng = random.Random(f"nonsense {emotion}")
    paths = [protos.method(AUTHORING, name)[:2] for name in ("UploadAudioClip", "GetAvatarFacePose")]

    async def work():
        async with serving(**SMALL, emotion=emotion) as server, channel(server.ports["facerig"]) as link:
            seen = set()
            for _ in range(8):
                streams = [said(animate(link, iter(own_stream(rng)))) for _ in range(8)]
                streams += [drained(process_audio(link, iter(nvidias_stream(rng)))) for _ in range(6)]
                single = [one_call(link, path, absurd(kind, rng), "unary_unary") for path, kind in paths]
                clip = pb.AnimateFileRequest(header=own_stream(rng)[0].header, audio=noise(0.1).tobytes())
                single += [one_call(link, ANIMATE_FILE, clip, "unary_stream")]
                found = await asyncio.gather(*streams, *single)
                seen |= {one if isinstance(one, str) else one[1].name for one in found}
            await until(lambda: not server.house.guests)
            answers, code = await said(animate(link, iter([header(), audio(noise(0.2)), END])))
            return seen, faults(server), server.worker.free, code, len(rows(answers)[0])

    seen, ours, free, code, frames = run(work())
    assert ours == 0, [record.exc_info for record in caplog.records if record.exc_info]
    assert (free, code, frames) == (24, grpc.StatusCode.OK, 12)
    # INTERNAL is what grpcio's client makes of a status that comes while it still writes; the server counted no fault.
    assert seen <= {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "NOT_FOUND", "INTERNAL"}
    assert {"OK", "INVALID_ARGUMENT"} <= seen


async def drained(call):
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return None, error.code()
    return None, await call.code()


# ---- bytes that drip -----------------------------------------------------------------------------------------------


class Drip(Relay):
    """One that from some point on passes a client's bytes one by one: a slow loris inside a message."""

    def __init__(self, port):
        super().__init__(port)
        self.slow = asyncio.Event()

    async def hand_on(self, data, sink, asked):
        while asked and self.slow.is_set() and data:
            sink.write(data[:1])
            data = data[1:]
            await asyncio.sleep(0.02)
        await super().hand_on(data, sink, asked)


def test_a_message_that_drips_in_ends_as_an_idle_stream():
    """Its sender keeps the connection busy for ever and never says a whole word; its slot is wanted by others."""
    async def work():
        async with (serving(**{**SMALL, "idle_seconds": 0.5}) as server, Drip(server.ports["facerig"]) as wire,
                    channel(wire.own) as link, channel(server.ports["facerig"]) as quick):
            call = animate(link, None)
            await call.write(header(mode=pb.Pacing.MODE_REALTIME))
            await call.read()
            wire.slow.set()
            writer = asyncio.create_task(call.write(audio(noise(20.0))))
            answers, code = await said(call)
            writer.cancel()
            _, other = await said(animate(quick, iter([header(), audio(noise(0.1)), END])))
            await until(lambda: not server.house.guests)
            return answers[-1].status.code, code, other, server.worker.free

    assert run(work()) == (pb.Status.CODE_IDLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.OK, 24)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"], cwd=folder,
                   check=True, capture_output=True)
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


def test_half_greetings_to_a_tls_port_are_cut(certificate):
    """Nothing, half a ClientHello, plain HTTP, plain HTTP/2 and noise: the server ends each connection itself."""
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    whole = hello.read()
    greetings = [b"", whole[: len(whole) // 2], b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 random.Random(1).randbytes(4_000)]

    async def work():
        async with serving(**{**SMALL, "header_seconds": 0.5}, **certificate) as server:
            ends = []
            for greeting in greetings * 4:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["facerig"])
                writer.write(greeting)
                ends.append((reader, writer))
            closed = await asyncio.gather(*(asyncio.wait_for(reader.read(), 60) for reader, _ in ends),
                                          return_exceptions=True)
            for _, writer in ends:
                writer.close()
            return closed, server.worker.free

    closed, free = run(work())
    assert all(isinstance(end, bytes | ConnectionError) for end in closed)  # by the server, not by our patience
    assert not [end for end in closed if isinstance(end, bytes) and b"facerig" in end]
    assert free == 24


# ---- what is left --------------------------------------------------------------------------------------------------


def test_streams_that_end_badly_leave_nothing_behind():
    """Refused, broken off, cancelled, wrong in the middle: no session, no task, no slot, no file stays."""
    bad = [[END], [header(rig="octopus")], [header(), audio(noise(0.5)), header()],
           [header(), pb.AnimateRequest(control=pb.Control(set=pb.Set(values={"gain:jaw": 9.0})))],
           [header(audio=pb.AudioFormat(rate=RATE, encoding=pb.AudioFormat.ENCODING_FLAC)), audio(noise(0.2)), END]]

    async def round_(link):
        await asyncio.gather(*(said(animate(link, iter(requests))) for requests in bad * 3))
        call = animate(link, None)
        await call.write(header(mode=pb.Pacing.MODE_REALTIME))
        await call.write(audio(noise(1.0)))
        await call.read()
        call.cancel()

    async def work():
        async with serving(**SMALL) as server, channel(server.ports["facerig"]) as link:
            marks = []
            for _ in range(4):
                await round_(link)
                await until(lambda: not server.house.guests and server.worker.running == 0)
                await asyncio.sleep(0)
                gc.collect()
                left = sum(type(one) is Session for one in gc.get_objects())  # asks no object what it is
                marks.append((left, len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())))
            return marks, server.worker.free

    marks, free = run(work())
    assert free == 24
    assert marks[-1][0] <= 1  # the segment that the engine stepped last may hold one
    assert marks[-1][1:] <= tuple(most + 2 for most in marks[0][1:])


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_log_on_a_disk_that_is_full():
    """A whole server whose every log line meets ENOSPC: streams, health and the end of the process are as ever."""
    with process("--set=log_file=/dev/full") as (child, told):
        async def work():
            async with channel(told["ports"]["facerig"]) as link:
                bad = await said(animate(link, iter([END])))
                return bad[1], await said(animate(link, iter([header(), audio(noise(0.2)), END])))

        refused, (answers, code) = run(work())
        child.terminate()
        assert child.wait(60) == 0
    assert (refused, code) == (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OK)
    assert np.array_equal(rows(answers)[0], range(12))


def test_no_clock_but_the_monotonic_one_decides_anything():
    """A wall clock that jumps meets nobody: it is read for time stamps alone."""
    from pathlib import Path

    import facerig

    folder = Path(facerig.__file__).parent
    readers = [path.relative_to(folder).as_posix() for part in ("server", "client") for path in
               sorted((folder / part).rglob("*.py")) if "time.time()" in path.read_text("utf-8")
               or "datetime.now" in path.read_text("utf-8")]
    assert readers == ["server/a2f.py"]
    assert (folder / "server" / "a2f.py").read_text("utf-8").count("time.time()") == 1  # start_time_code_since_epoch
