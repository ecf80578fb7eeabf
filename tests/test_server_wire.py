"""Our own protocol over a real connection: the wire adds nothing and loses nothing; what is wrong is told."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest
from server_kit import (
    ANIMATE_FILE,
    END,
    RATE,
    SAMPLES,
    TINY,
    animate,
    animator,
    audio,
    channel,
    cut,
    expected,
    header,
    noise,
    once,
    rows,
    run,
    said,
    serving,
    until,
)

from facerig.controls import COLUMNS
from facerig.server import convert
from facerig.server.news import Reached
from facerig.server.session import Row
from facerig.v1 import animation_pb2 as pb


@pytest.mark.parametrize("size", [16, 320, 1_111, len(SAMPLES)])  # 1 ms to the whole clip
def test_frames_are_those_of_animate(size):
    answers, code = run(once([header(), *map(audio, cut(SAMPLES, size)), END]))
    index, values = rows(answers)
    assert code is grpc.StatusCode.OK
    assert answers[0].WhichOneof("part") == "header"
    assert answers[-1].status.code == pb.Status.CODE_DONE
    assert answers[-1].status.frames == len(index)
    assert index == list(range(len(index)))
    assert np.array_equal(values, expected())


def test_bytes_may_be_cut_inside_a_sample():
    raw = SAMPLES.tobytes()
    parts = [pb.AnimateRequest(audio=pb.AudioChunk(data=raw[at : at + 333])) for at in range(0, len(raw), 333)]
    answers, _ = run(once([header(), *parts, END]))
    assert np.array_equal(rows(answers)[1], expected())


@pytest.mark.parametrize("fps", [24, 30, 120])
def test_other_frame_rates(fps):
    answers, _ = run(once([header(fps=fps), audio(SAMPLES), END]))
    assert answers[0].header.fps == fps
    assert np.array_equal(rows(answers)[1], expected(fps=fps))


def test_header_says_what_values_mean():
    answers, _ = run(once([header(rig=""), END]))
    head = answers[0].header
    assert list(head.channels)[:2] == ["eyeBlinkLeft", "eyeLookDownLeft"]
    assert (len(head.channels), head.fps, head.rig, head.model) == (52, 60, "arkit", "fake")
    assert head.delay_ms > 0
    assert head.context_ms >= 1000 * animator().context_seconds
    assert head.resumable


@pytest.mark.parametrize("chunk_bytes", [16_384, 1_048_576])
def test_animate_file(chunk_bytes):
    """A clip is longer than a message of a stream may be."""

    async def work():
        async with serving(**TINY, chunk_bytes=chunk_bytes) as server, channel(server.ports["facerig"]) as link:
            call = link.unary_stream(
                ANIMATE_FILE, pb.AnimateFileRequest.SerializeToString, pb.AnimateResponse.FromString
            )
            asked = header().header
            asked.ClearField("pacing")
            return await said(call(pb.AnimateFileRequest(header=asked, audio=SAMPLES.tobytes())))

    answers, _ = run(work())
    assert np.array_equal(rows(answers)[1], expected())


def test_rows_that_leave_together_share_a_message():
    values = np.arange(3, dtype=np.float32)
    made = convert.responses([Row(0, values), Row(1, values), Reached("m", 1), Row(2, values)])
    parts = [pb.AnimateResponse.FromString(convert.wire(answer)) for answer in made]
    assert [part.WhichOneof("part") for part in parts] == ["frames", "marker", "frames"]
    assert [[frame.index for frame in part.frames.frames] for part in parts] == [[0, 1], [], [2]]


def test_sixty_four_streams_at_once():
    clips = [noise(0.4 + 0.01 * k, seed=k) for k in range(64)]

    async def work():
        async with serving(max_batch=64) as server, channel(server.ports["facerig"]) as link:
            calls = [
                animate(link, iter([header(), *map(audio, cut(clip, 320 + k)), END])) for k, clip in enumerate(clips)
            ]
            found = await asyncio.gather(*map(said, calls))
            return found, server.worker.load

    found, load = run(work())
    for clip, (answers, _) in zip(clips, found, strict=True):
        index, values = rows(answers)
        assert index == list(range(len(values)))
        assert np.abs(values - animator().animate(clip, RATE).values).max() <= 1e-5
    assert load.blocks / load.steps > 2  # they were batched


def test_echo_gives_all_the_audio_back():
    answers, _ = run(once([header(fps=25, tracks=pb.Tracks(audio=True)), *map(audio, cut(SAMPLES, 777)), END]))
    frames = [frame for answer in answers for frame in answer.frames.frames]
    assert b"".join(frame.audio for frame in frames) == SAMPLES.tobytes()
    assert [frame.first_sample for frame in frames] == [RATE * k // 25 for k in range(len(frames))]


def test_realtime_frames_come_one_by_one():
    answers, _ = run(once([header(mode=pb.Pacing.MODE_REALTIME), audio(SAMPLES[:8_000]), END]))
    sizes = [len(answer.frames.frames) for answer in answers if answer.WhichOneof("part") == "frames"]
    assert sum(sizes) == 30
    assert 1 in sizes  # a busy machine sends what came due meanwhile together; the schedule has its own tests


def test_a_slow_reader_slows_its_own_stream_only():
    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link, channel(
                server.ports["facerig"]) as other:
            slow = animate(link, None)
            await slow.write(header(tracks=pb.Tracks(audio=True)))

            async def flood():
                for piece in cut(noise(120.0), 16_000):
                    await slow.write(audio(piece))
                await slow.write(END)

            writer = asyncio.create_task(flood())
            await until(
                lambda: any(guest.session is not None and guest.session.slowed for guest in server.house.guests)
            )
            (guest,) = server.house.guests
            segment, echo = guest.session.segment, guest.session._echo
            assert segment.produced - segment.consumed <= segment.limit + server.config.block
            assert len(echo.data) < 20 * RATE * 2  # what is held of 120 s: backlog and rows, not the clip
            answers, code = await said(animate(other, iter([header(), audio(SAMPLES), END])))
            assert code is grpc.StatusCode.OK
            assert np.abs(rows(answers)[1] - expected()).max() <= 1e-5
            rest, _ = await said(slow)
            await writer
            return rest

    assert len(rows(run(work()))[0]) == 7_200  # and it loses nothing by it


def test_info_and_rigs():
    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            info = link.unary_unary(
                "/facerig.v1.Animation/Info", pb.InfoRequest.SerializeToString, pb.InfoResponse.FromString
            )
            rigs = link.unary_unary(
                "/facerig.v1.Animation/Rigs", pb.RigsRequest.SerializeToString, pb.RigsResponse.FromString
            )
            return await info(pb.InfoRequest()), await rigs(pb.RigsRequest())

    info, rigs = run(work())
    assert (info.model, info.native_fps, info.native_rate, info.serving) == ("fake", 60, 24_000, True)
    assert info.runtime == "numpy cpu"
    assert {"joy", "happy"} <= set(info.emotions)
    assert [one.name for one in info.controls] == list(COLUMNS)
    assert "lips" in info.regions
    found = {one.name: one for one in rigs.rigs}
    assert len(found["arkit"].channels) == 52
    assert found["metahuman"].title


# what is sent; the gRPC status; our own; a word of the reason
WRONG = [
    ("nothing", [], "FAILED_PRECONDITION", "CODE_INVALID", "header"),
    ("audio first", [audio(SAMPLES)], "FAILED_PRECONDITION", "CODE_INVALID", "header first"),
    ("empty message", [pb.AnimateRequest()], "FAILED_PRECONDITION", "CODE_INVALID", "header first"),
    ("second header", [header(), header()], "FAILED_PRECONDITION", "CODE_INVALID", "audio, control or end"),
    (
        "empty control",
        [header(), pb.AnimateRequest(control=pb.Control())],
        "INVALID_ARGUMENT",
        "CODE_INVALID",
        "control",
    ),
    (
        "too long a description",
        [header(), pb.AnimateRequest(control=pb.Control(describe=pb.Describe(span_ms=60_001)))],
        "INVALID_ARGUMENT",
        "CODE_INVALID",
        "describe.span_ms",
    ),
    ("rate", [header(rate=7_999)], "INVALID_ARGUMENT", "CODE_INVALID", "sample rate"),
    (
        "channels",
        [header(audio=pb.AudioFormat(rate=RATE, channels=99))],
        "INVALID_ARGUMENT",
        "CODE_INVALID",
        "channels",
    ),
    (
        "opus",
        [header(audio=pb.AudioFormat(rate=48_000, channels=3, encoding=pb.AudioFormat.ENCODING_OPUS))],
        "INVALID_ARGUMENT",
        "CODE_INVALID",
        "1 to 2",
    ),
    (
        "flac channels",
        [header(audio=pb.AudioFormat(rate=RATE, channels=9, encoding=pb.AudioFormat.ENCODING_FLAC))],
        "INVALID_ARGUMENT",
        "CODE_INVALID",
        "1 to 8",
    ),
    ("audio last", [header(), END, audio(SAMPLES), audio(SAMPLES)], None, None, ""),
    ("last values", [header(rig="arkit", resume=pb.Resume(last_frame=-1, last_values=[np.nan] * 52))],
     "INVALID_ARGUMENT", "CODE_INVALID", "last_values"),
    ("rig", [header(rig="../../etc/passwd")], "INVALID_ARGUMENT", "CODE_INVALID", "no rig"),
    ("fps", [header(fps=1_000)], "INVALID_ARGUMENT", "CODE_INVALID", "fps"),
    ("pacing", [header(mode=77)], "INVALID_ARGUMENT", "CODE_INVALID", "pacing"),
    ("encoding", [header(audio=pb.AudioFormat(rate=RATE, encoding=9))], "INVALID_ARGUMENT", "CODE_INVALID", "encoding"),
    ("a control", [header(controls={"gain:jow": 1})], "INVALID_ARGUMENT", "CODE_INVALID", "gain:jaw"),
    ("a value", [header(), pb.AnimateRequest(control=pb.Control(set=pb.Set(values={"gain:jaw": 3})))],
     "INVALID_ARGUMENT", "CODE_INVALID", "0 to 2"),
    ("a move", [header(), pb.AnimateRequest(control=pb.Control(move=pb.Move(name="jump")))], "INVALID_ARGUMENT",
     "CODE_INVALID", "nod"),
    ("keyframes", [header(), pb.AnimateRequest(control=pb.Control(keyframes=pb.Keyframes(text="time,style\n0,x")))],
     "INVALID_ARGUMENT", "CODE_INVALID", "keyframe 1"),
    ("much text", [header(), pb.AnimateRequest(control=pb.Control(keyframes=pb.Keyframes(text="x" * 70_000)))],
     "INVALID_ARGUMENT", "CODE_INVALID", "65536"),
    ("a style", [header(), pb.AnimateRequest(control=pb.Control(style=pb.Style(style="opera")))], "INVALID_ARGUMENT",
     "CODE_INVALID", "whispered"),
    ("emotion", [header(emotion=pb.Emotion(weights={"rage": 1}))], "INVALID_ARGUMENT", "CODE_INVALID", "emotion"),
    (
        "NaN",
        [
            header(audio=pb.AudioFormat(rate=RATE, encoding=pb.AudioFormat.ENCODING_FLOAT32)),
            audio(np.full(9_000, np.nan, "<f4")),
            END,
        ],
        "INVALID_ARGUMENT",
        "CODE_INVALID",
        "finite",
    ),
    (
        "resume",
        [header(resume=pb.Resume(last_frame=10_000, first_sample=10**9))],
        "INVALID_ARGUMENT",
        "CODE_INVALID",
        "first_sample",
    ),
    ("resume far", [header(resume=pb.Resume(last_frame=-5))], "INVALID_ARGUMENT", "CODE_INVALID", "resume"),
    ("chunk", [header(), audio(np.zeros(600_000, "<i2"))], "RESOURCE_EXHAUSTED", "CODE_LIMIT", "chunk"),
    ("clip", [header(), *[audio(np.zeros(500_000, "<i2"))] * 3], "RESOURCE_EXHAUSTED", "CODE_LIMIT", "60 s"),
    (
        "flac",
        [
            header(audio=pb.AudioFormat(rate=RATE, encoding=pb.AudioFormat.ENCODING_FLAC)),
            pb.AnimateRequest(audio=pb.AudioChunk(data=b"fLaC" + bytes(range(256)) * 40)),
            END,
        ],
        None,
        None,
        "",
    ),
]


def test_whatever_is_wrong_has_its_status_and_reason():
    async def work():
        async with serving(**TINY, stream_seconds=60) as server, channel(server.ports["facerig"]) as link:
            found = []
            for _, requests, *_ in WRONG:
                found.append(await said(animate(link, iter(requests))))
                await until(lambda: not server.house.guests)
            assert server.worker.free == 4
            return found

    for (name, _, status, own, word), (answers, code) in zip(WRONG, run(work()), strict=True):
        if status is None:
            codes = (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
            assert code in codes, name
            continue
        assert code is getattr(grpc.StatusCode, status), (name, code)
        assert answers[-1].status.code == pb.Status.Code.Value(own), name
        assert word in answers[-1].status.reason, (name, answers[-1].status.reason)
        assert "Traceback" not in answers[-1].status.reason


def test_silence_of_the_client_ends_the_stream_unless_it_listens():
    """However it says so."""
    def ask(**control):
        return pb.AnimateRequest(control=pb.Control(**control))

    listening = '[{"time": 0, "set": {"state:listening": 1}}, {"time": 0.5, "set": {"state:listening": 0}}]'
    away = ask(set=pb.Set(values={"state:idle": 0.0}))
    quiet = [[header(), ask(state=pb.STATE_LISTENING)], [header(controls={"state:idle": 1.0})],
             [header(), ask(set=pb.Set(values={"state:off": 1.0}))],
             [header(), ask(keyframes=pb.Keyframes(text=listening))]]
    spoken = [[header()], [header(), ask(state=pb.STATE_SPEAKING)], [header(), ask(state=pb.STATE_IDLE), away]]

    async def work():
        async with serving(**TINY, idle_seconds=0.3) as server, channel(server.ports["facerig"]) as link:
            found = []
            for requests in [*quiet, *spoken]:
                call, idle = animate(link, None), animate(link, None)
                for request in requests:
                    await call.write(request)
                await idle.write(header())
                await said(idle)
                if requests in quiet:
                    await call.write(END)
                answers, code = await said(call)
                found.append((answers[-1].status.code, code))
            return found

    found = run(work())
    assert found[: len(quiet)] == [(pb.Status.CODE_DONE, grpc.StatusCode.OK)] * len(quiet)
    assert found[len(quiet) :] == [(pb.Status.CODE_IDLE, grpc.StatusCode.DEADLINE_EXCEEDED)] * len(spoken)


def test_unknown_wishes_are_noticed():
    answers, _ = run(once([header(style="opera", tracks=pb.Tracks(phones=True)), END]))
    notices = [answer.notice.text for answer in answers if answer.WhichOneof("part") == "notice"]
    assert len(notices) == 2
    assert "opera" in notices[0]
