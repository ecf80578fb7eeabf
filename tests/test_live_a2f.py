"""An Audio2Face server as the maker of live frames: ours over loopback, and others that break in every way."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from bridge_samples import port
from hypothesis import given, settings
from hypothesis import strategies as st
from live_servers import (
    NAMES,
    SECONDS,
    VOICE,
    at,
    blocks,
    frame,
    header,
    hosted,
    looped,
    loudness,
    ramp,
    scripted,
    sounds,
    status,
)
from server_kit import RATE, animator

from facerig import cli
from facerig.asking import Asked
from facerig.client.a2f import Shown, Voice, a2f_stream
from facerig.client.options import Target
from facerig.controls import EMOTIONS
from facerig.emotion.space import A2F_NAMES
from facerig.errors import FacerigError, OptionError, ProtocolError, ServiceError
from facerig.live import servers
from facerig.live.a2f import LONGEST_GAP, Grid, columns, native
from facerig.live.gains import Gains
from facerig.live.steer import Steering
from facerig.rig import rig
from unreal_bridge import livelink

# ---- our own server ----------------------------------------------------------------------------------------------


def test_a_voice_becomes_the_frames_of_the_model_behind_the_server() -> None:
    with hosted() as place:
        shown = list(a2f_stream(blocks(), at(place), RATE))
    times = [one.seconds for one in shown]
    assert np.allclose(np.diff(times), 1 / 60)  # 60 and the tongue were asked for
    assert shown[0].names == rig("a2f68").names
    made = np.concatenate([curves.values for curves in native(shown, "facerig-full")])
    clip = animator().animate(np.rint(VOICE * 32768).astype("<i2"), RATE)
    jaw = rig("facerig-full").index("jawOpen")
    assert len(made) >= clip.frames
    assert np.abs(made[: clip.frames, jaw] - clip["jawOpen"]).max() < 1e-5
    assert clip["jawOpen"].max() > 0.05


def test_emotion_is_asked_for_by_nvidias_names() -> None:
    asked: list[Any] = []

    async def noted(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        asked.append((await anext(requests)).audio_stream_header)
        yield header()
        async for one in loudness(3)(requests):
            yield one if one.WhichOneof("stream_part") != "animation_data_stream_header" else status("INFO", "hello")

    with scripted(noted) as place:
        server, _ = servers.parse(f"a2f://127.0.0.1:{place}")
        make = server.maker(Steering(Asked(emotion="happy:0.5,sad:0.25,pain:0.125")))
        assert sum(curves.frames for curves in make(blocks(), RATE)) > 100
    assert dict(asked[0].emotion_params.beginning_emotion) == {"joy": 0.5, "sadness": 0.25, "pain": 0.125}
    assert (asked[0].audio_header.samples_per_second, asked[0].audio_header.bits_per_sample) == (RATE, 16)


def test_our_names_reach_all_of_nvidias_ten(reference: Path) -> None:
    """All of ours but contempt, as docs/PROTOCOLS.md says; the ten are those of NVIDIA's published list."""
    (listed,) = re.findall(r"^Emotions \(10\): ([a-z ]+)\.", (reference / "FORMATS.md").read_text("utf-8"), re.M)
    sent = {servers.NVIDIA.get(name, name) for name in (*servers.NVIDIA, *servers.SAME)}
    assert sorted(sent) == listed.split() == list(A2F_NAMES)
    assert {*servers.NVIDIA, *servers.SAME} == {*EMOTIONS} - {"contempt"}


def test_two_of_ours_that_are_one_of_nvidias_add_up() -> None:
    felt = {"surprise": 0.5, "amazement": 0.25, "happy": 0.75}
    assert servers.nvidias(felt) == {"amazement": 0.75, "joy": 0.75}
    assert servers.nvidias({"surprise": 0.75, "amazement": 0.5}) == {"amazement": 1.0}


@pytest.mark.parametrize("asked", [Asked(emotion="contempt"), Asked(state="thinking"), Asked(("lip_scale=1.5",))])
def test_what_audio2face_cannot_be_asked_is_refused(asked: Asked) -> None:
    server, _ = servers.parse("a2f://127.0.0.1")
    with pytest.raises(OptionError, match="Audio2Face"):
        server.maker(Steering(asked))


def test_controls_that_come_too_late_for_audio2face_are_reported(tmp_path: Path) -> None:
    file, steering = tmp_path / "face.json", Steering()
    file.write_text('{"emotion:happy": 0.5}')
    gains = Gains(rig("facerig-full"), file, steering)
    servers.parse("a2f://127.0.0.1")[0].maker(steering)
    file.write_text('{"emotion:happy": 0.25, "jawOpen": 0.5}')
    gains.look(1.0)
    assert "emotion:happy: an Audio2Face server" in gains.error
    assert gains.factors[rig("facerig-full").index("jawOpen")] == 0.5


@pytest.mark.usefixtures("patient")
def test_live_from_an_audio2face_server_to_a_live_link(voice: Path, ear: socket.socket,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    with hosted() as place:
        source = f"a2f://127.0.0.1:{place}?audio={voice}"
        target = f"livelink://127.0.0.1:{port(ear)}/Ada"
        assert cli.run(["live", source, "--to", target, "--json"]) == 0
    packets = [livelink.decode(ear.recv(2048)) for _ in range(30)]
    assert max(packet.values[17] for packet in packets if packet.values) > 0.05
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["faces"][0]["frames"] >= 60


# ---- servers that break ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cut", "ERROR"])
def test_a_stream_that_ends_early_goes_on_in_another_without_a_gap(end: str) -> None:
    """The value of a frame is its time: what the second stream shows is what the first would have shown."""
    voice = ramp(24.0)
    with scripted(loudness(24, end, most=11.0), loudness(24, end, most=11.0), loudness(24)) as place:
        shown = list(a2f_stream(blocks(voice), at(place), RATE))
    times = np.array([one.seconds for one in shown])
    assert np.allclose(np.diff(times), 1 / 30, atol=1e-6)
    assert np.isclose(times[-1], 24.0, atol=0.04)
    assert np.abs(np.array([one.values[0] for one in shown]) - times / 100).max() < 1e-4


def test_a_silent_voice_outlives_the_servers_patience() -> None:
    """The server ends the idle stream with an error; when somebody speaks again, another one is opened."""
    gone = threading.Event()

    async def impatient(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield header()
        count = 0
        async for part in sounds(requests):
            count += len(part)
            if count >= RATE:
                break
        for k in range(30):
            yield frame(k / 30, 0.1)
        gone.set()
        yield status("ERROR", "nothing was heard for 30 s")

    def halting() -> Iterator[Any]:
        yield from blocks(ramp(1.0))
        assert gone.wait(60)
        yield from blocks(ramp(0.8))  # less than a second: taken for silence even where it is there before the error

    with scripted(impatient, loudness(2)) as place:
        shown = list(a2f_stream(halting(), at(place), RATE))
    assert np.isclose(shown[-1].seconds, 1.8, atol=0.04)
    assert all(a.seconds < b.seconds for a, b in pairwise(shown))


def test_nobody_there_is_an_error_that_names_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = port(probe)
    with pytest.raises(ServiceError, match=f"127.0.0.1:{free}.*gave up after"):
        list(a2f_stream(blocks(), at(free, retry=0.1), RATE))


def test_the_next_address_takes_over() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = port(probe)
    with hosted() as place:
        target = Target((f"127.0.0.1:{free}", f"127.0.0.1:{place}"))
        assert len(list(a2f_stream(blocks(), target, RATE))) >= SECONDS * 60 - 1


@pytest.mark.parametrize(("script", "words"), [
    ([status("ERROR", "no such voice")], "refuses: no such voice"),
    ([grpc.StatusCode.PERMISSION_DENIED], "PERMISSION_DENIED"),
    ([grpc.StatusCode.RESOURCE_EXHAUSTED], "RESOURCE_EXHAUSTED"),
    ([header(()), frame(0, 0)], "blend shapes"),
    ([frame(0, 0.5)], "weights"),
    ([header(), frame(0, 0.5, width=3)], "got 3 weights"),
    ([header(), frame(float("nan"), 0.5)], "not finite"),
    ([header(), frame(0, float("inf"))], "not finite"),
])
def test_a_server_that_refuses_or_talks_nonsense_is_told_in_words(script: list[Any], words: str) -> None:
    async def said(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        for answer in script:
            yield answer
        async for _ in requests:  # gRPC forgets what was said where a client writes to a stream that is over
            pass

    with scripted(said) as place, pytest.raises(FacerigError, match=words):
        list(a2f_stream(blocks(), at(place, retry=0.1), RATE))


def test_a_refusal_at_once_is_not_lost() -> None:
    """The stream is over before any sound was sent."""

    async def refuse(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield status("ERROR", "samples_per_second: 16000 or 48000")

    with scripted(refuse) as place, pytest.raises(ServiceError, match="16000 or 48000"):
        list(a2f_stream(blocks(), at(place), RATE))


def test_a_server_of_another_kind_is_recognized() -> None:
    async def other() -> AsyncIterator[int]:
        server = grpc.aio.server()
        place = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield place
        await server.stop(0)

    with looped(other) as place, pytest.raises(ServiceError, match="no Audio2Face server"):
        list(a2f_stream(blocks(), at(place, retry=0.1), RATE))


def test_an_error_of_the_voice_itself_is_not_the_servers() -> None:
    def broken() -> Iterator[Any]:
        yield VOICE[:800]
        raise ServiceError("the microphone was unplugged")

    with scripted(loudness(1)) as place, pytest.raises(ServiceError, match="unplugged"):
        list(a2f_stream(broken(), at(place), RATE))


def test_leaving_early_closes_the_stream() -> None:
    before = threading.active_count()
    with scripted(loudness(3)) as place:
        for one in a2f_stream(blocks(), at(place), RATE):
            assert one.seconds == 0.0
            break
    assert threading.active_count() <= before + 1


# ---- the voice that is kept, and the grid ------------------------------------------------------------------------


@settings(deadline=None)
@given(pieces=st.lists(st.integers(0, 5000), max_size=30), shown=st.floats(0, 8))
def test_what_is_forgotten_is_never_needed_again(pieces: list[int], shown: float) -> None:
    voice, told = Voice(RATE), []
    for size in pieces:
        told.append(np.full(size, len(told) / 100, np.float32))
        voice.hear(told[-1])
    whole = np.concatenate([np.zeros(0, np.float32), *told])
    voice.forget(min(shown, len(whole) / RATE))
    start = voice.start(min(shown, len(whole) / RATE))
    assert voice.samples == len(whole)
    assert start >= voice.first
    assert start <= max(0.0, min(shown, len(whole) / RATE)) * RATE
    data = np.frombuffer(voice.chunk(start), "<i2")
    assert np.array_equal(data, np.rint(whole[start : start + len(data)] * 32768))


@settings(deadline=None)
@given(steps=st.lists(st.floats(0.001, 0.4), min_size=1, max_size=40))
def test_every_native_frame_comes_once_on_the_line_between_its_neighbours(steps: list[float]) -> None:
    times = np.cumsum([0.0, *steps])
    grid, rows = Grid(), []
    for seconds in times:
        rows += grid.push(float(seconds), np.array([seconds, 1.0], np.float32)).tolist()
    assert len(rows) == int((times[-1] + 1e-4) * 60) + 1
    assert np.abs(np.array(rows)[:, 0] - np.arange(len(rows)) / 60).max() < 1e-3
    assert (np.array(rows)[:, 1] == 1.0).all()


def test_frames_on_the_grid_are_untouched_and_leaps_are_refused() -> None:
    grid, values = Grid(), np.random.default_rng(1).random((60, 3)).astype(np.float32)
    out = np.concatenate([grid.push(k / 60, row) for k, row in enumerate(values)])
    assert np.array_equal(out, values)
    with pytest.raises(ProtocolError, match="steps"):
        grid.push(1.0 + LONGEST_GAP + 0.1, values[0])


def test_shapes_are_found_by_name_whatever_their_order_and_case() -> None:
    names = tuple(name[0].lower() + name[1:] for name in reversed(NAMES))
    values = tuple(float(name == "jawLeft") / 2 for name in names)
    (curves,) = native([Shown(0.0, names, values)], "facerig-full")
    moved = {name: value for name, value in zip(curves.channels, curves.values[0].tolist(), strict=True) if value}
    assert moved == {"jawLeft": 0.5}
    with pytest.raises(ServiceError, match="ARKit"):
        columns(("tx", "ty", "JawOpen"))
