"""The Python client's wishes: controls, questions and what may be said after the end; and sources that are quiet."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest
from server_kit import RATE, noise, process, run, serving
from typer.testing import CliRunner

from facerig.cli import application
from facerig.client import Frame, Interrupted, Marker, Notice, Stream, Target, Wish, stream
from facerig.client.simple import blocks_of, synchronous
from facerig.errors import OptionError, ServiceError
from facerig.rig import rig
from unreal_bridge import livelink

TINY = {"sessions": 4, "max_batch": 4, "capacity": 4}


@pytest.fixture(scope="module")
def server():
    """A server in another process, for callers that block."""
    with process() as (_, told):
        yield f"127.0.0.1:{told['ports']['facerig']}"


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": -1}, {"seed": -1}, {"lead_ms": -5}, {"channels": 0}, {"rate": 7},
                                   {"emotion": "joy"}, {"gains": {"jaw": "x"}}, {"controls": {"heard": float("nan")}},
                                   {"style": None}])
def test_a_wrong_wish_is_an_error_of_ours(wrong):
    with pytest.raises(OptionError, match=f"{next(iter(wrong))}: got .*accepted"):
        Wish(**wrong)


@pytest.mark.parametrize(("name", "given"), [
    ("state", ("happy",)), ("emotion", ({"joy": 1.0}, 1.0, -1)), ("emotion", ("joy",)), ("gains", ({"jaw": None},)),
    ("look_at", (float("nan"), 0)), ("look_at", (0, 0, 150, 1)), ("set", ({"heard": 1}, 0.5)), ("move", ("nod", -1)),
    ("style", (b"tense",)), ("keyframes", ("[]", -1)), ("marker", ("\ud800",)), ("describe", (-1,)),
    ("interrupt", (-1,)), ("send", ("text",)),
])
def test_a_wrong_control_is_an_error_of_ours(name, given):
    with pytest.raises(OptionError, match="accepted"):
        run(getattr(Stream(), name)(*given))


@asynccontextmanager
async def said_whole(seconds):
    """A stream that was given all of its sound and its end, the first ten frames, and what comes behind them."""
    async with serving(**TINY) as running:
        target = Target((f"127.0.0.1:{running.ports['facerig']}",))
        async with Stream(target, Wish(rate=RATE, pacing="realtime")) as talk:
            await talk.send(noise(seconds).tobytes())
            await talk.end()
            events = aiter(talk)
            yield talk, [await anext(events) for _ in range(10)], events


@pytest.mark.parametrize("seconds", [1.4, 6.0])  # all of it is under way; the end waits behind the rest
def test_after_the_end_controls_are_heard_and_audio_is_refused(seconds):
    async def work():
        async with said_whole(seconds) as (talk, shown, events):
            with pytest.raises(ServiceError, match="audio: got a stream whose end was sent"):
                await talk.send(b"\0\0")
            await talk.emotion({"joy": 1.0}, fade_ms=0)
            await talk.look_at(5, 0)
            await talk.marker("late")
            told = await talk.describe()
            shown += [event async for event in events]
            await talk.look_at(5, 0)  # no frame is left to show it
            await talk.interrupt()  # and nothing to drop
            with pytest.raises(ServiceError, match="whose last frame is out"):
                await talk.describe()
            return shown, told

    shown, told = run(work())
    assert [event.index for event in shown if isinstance(event, Frame)] == list(range(round(60 * seconds)))
    assert [event.id for event in shown if isinstance(event, Marker)] == ["late"]
    assert told.frame == 60 * seconds
    assert "happy" in told.sentences[0]


@pytest.mark.parametrize("seconds", [1.4, 6.0])
def test_an_interrupt_after_the_end_drops_what_is_left(seconds):
    async def work():
        async with said_whole(seconds) as (talk, shown, events):
            await talk.interrupt()
            await talk.look_at(5, 0)
            return shown + [event async for event in events]

    shown = run(work())
    assert [type(event) for event in shown].count(Interrupted) == 1
    assert len(shown) < 30 * seconds  # of 60


def test_controls_after_the_end_survive_a_broken_connection():
    async def work():
        async with serving(**TINY) as one, serving(**TINY) as two:
            target = Target(tuple(f"127.0.0.1:{server.ports['facerig']}" for server in (one, two)))
            async with Stream(target, Wish(rate=RATE, pacing="realtime")) as talk:
                await talk.send(noise(1.5).tobytes())
                await talk.end()
                found = []
                async for event in talk:
                    found.append(event)
                    if len(found) == 10:
                        await talk.marker("late")
                        for guest in list(one.house.guests):
                            guest.session.fail(ServiceError("broken by the test"))
                return found, talk.reconnects

    found, reconnects = run(work())
    assert [event.index for event in found if isinstance(event, Frame)] == list(range(90))
    assert [event.id for event in found if isinstance(event, Marker)] == ["late"]
    assert reconnects == 1


@pytest.mark.parametrize("pacing", ["realtime", "burst"])
def test_a_frame_loop_may_wish_until_its_last_frame(server, pacing):
    """All of a short clip is sent before its first frame comes; a burst is over before its frames are taken."""
    frames, seen = stream(noise(1.0), server, RATE, pacing=pacing), 0
    for frame in frames:
        frames.do(lambda running: running.look_at(5, 0))
        seen = frame.index + 1
    assert seen == 60
    with pytest.raises(ServiceError, match="after its end"):
        frames.do(lambda running: running.look_at(5, 0))


def test_events_and_controls():
    async def work():
        async with serving(**TINY) as running:
            target, found = Target((f"127.0.0.1:{running.ports['facerig']}",)), []
            wish = Wish(rate=RATE, rig="facerig-full", pacing="burst", style="opera", moods=True, echo=True)
            async with Stream(target, wish) as talk:
                await talk.send(noise(0.5).tobytes())
                await talk.marker("half")
                await talk.emotion({"joy": 1.0}, fade_ms=0)
                await talk.state("listening")
                await talk.send(noise(0.5).tobytes())
                await talk.end()
                found = [event async for event in talk]
            return found, talk.channels

    found, channels = run(work())
    frames = [event for event in found if isinstance(event, Frame)]
    assert [event.id for event in found if isinstance(event, Marker)] == ["half"]
    assert any(isinstance(event, Notice) for event in found)
    assert channels == rig("facerig-full").names
    assert frames[40].emotion == {"happy": 1.0}
    assert frames[59].values[channels.index("jawOpen")] == 0
    assert b"".join(frame.audio for frame in frames) == noise(0.5).tobytes() * 2


def test_a_description_is_read_edited_and_sent_again():
    """What a stream was asked, as text; the text with a word changed makes another stream do that."""
    wish = Wish(rate=RATE, rig="facerig-full", pacing="burst", style="tense", moods=True)
    voice = noise(1.0)

    async def work():
        async with serving(**TINY) as running:
            target = Target((f"127.0.0.1:{running.ports['facerig']}",))
            async with Stream(target, wish) as talk:
                await talk.send(voice[:8000].tobytes())
                await talk.emotion({"joy": 0.5}, fade_ms=100)
                told, here = await asyncio.gather(talk.describe(frame=0), talk.describe(500))
                await talk.send(voice[8000:].tobytes())
                await talk.end()
                first = [event async for event in talk if isinstance(event, Frame)]
                with pytest.raises(ServiceError, match="whose last frame is out"):
                    await talk.describe()
            async with Stream(target, Wish(rate=RATE, rig="facerig-full", pacing="burst", moods=True)) as again:
                await again.keyframes(told.keyframes.replace("happy:0.5", "happy:0.25"))
                await again.send(voice.tobytes())
                await again.end()
                second = [event async for event in again if isinstance(event, Frame)]
            return told, here, first, second, talk.memory.controls.values()

    told, here, first, second, kept = run(work())
    assert (told.frame, here.frame) == (0, 30)
    assert [line.split(":")[0] for line in told.sentences] == ["0.00 s", "0.50 s"]
    assert "tense" in told.sentences[0]
    assert "happy 0.5" in told.sentences[1]
    assert not [one for one in kept if one.HasField("describe")]  # a question that was answered is forgotten
    assert first[50].emotion == {"happy": 0.5}
    assert second[50].emotion == {"happy": 0.25}
    styled = [frame.values for frame in first[:25]], [frame.values for frame in second[:25]]
    assert np.abs(np.subtract(*styled)).max() < 1e-3  # the style is that of the first stream


def test_a_question_survives_the_loss_of_the_server():
    async def work():
        async with serving(**TINY) as one, serving(**TINY) as two:
            target = Target(tuple(f"127.0.0.1:{server.ports['facerig']}" for server in (one, two)))
            async with Stream(target, Wish(rate=RATE)) as talk:
                await talk.send(noise(0.5).tobytes())
                for guest in list(one.house.guests):
                    guest.session.tell = lambda item: None  # the answer is lost with the server
                question = asyncio.create_task(talk.describe(frame=0))
                while not talk.memory.controls:
                    await asyncio.sleep(0)
                for guest in list(one.house.guests):
                    guest.session.fail(ServiceError("broken by the test"))
                told = await question
                waiting = asyncio.create_task(talk.describe())
                await asyncio.sleep(0)
                await talk.end()
                return told, await waiting, talk.reconnects

    told, at_the_end, reconnects = run(work())
    assert told.sentences == at_the_end.sentences == ("neutral throughout",)
    assert reconnects == 1


def test_a_blocking_caller_asks_and_tells_while_frames_come(server):
    frames = stream(noise(9.0), server, RATE, rig="facerig-full", pacing="realtime", emotion={"sad": 1.0}, moods=True)
    with pytest.raises(ServiceError, match="before its first frame"):
        frames.describe()
    assert next(frames).emotion == {"sad": 1.0}
    assert "sad" in frames.describe(frame=0).sentences[0]
    frames.do(lambda running: running.emotion({"fear": 1.0}, fade_ms=0))
    told = frames.describe()
    assert "fear" in told.sentences[0]
    frames.close()
    with pytest.raises(ServiceError, match="after its end"):
        frames.describe()


class Quiet:
    """A second of sound, then a source that makes us wait; `late` once it spoke again before it was told to."""

    def __init__(self):
        self.more, self.late = threading.Event(), False

    def __iter__(self):
        yield noise(1.0)
        self.late = not self.more.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.more.set()


def test_leaving_the_loop_does_not_wait_for_a_quiet_source(server):
    with Quiet() as source:
        frames = stream(source, server, RATE, pacing="realtime")
        assert next(frames).index == 0
        frames.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "facerig-client"]
        assert not source.late


def test_an_error_does_not_wait_for_a_quiet_source():
    async def reading(source):
        parts = aiter(blocks_of(iter(source)))
        yield len(await anext(parts))
        waiting = asyncio.ensure_future(anext(parts))
        await asyncio.wait({waiting}, timeout=0)
        raise ServiceError("the server went away")

    with Quiet() as source:
        parts = synchronous(lambda: reading(source))
        assert next(parts) == RATE
        with pytest.raises(ServiceError, match="went away"):
            next(parts)
        assert not source.late


@pytest.mark.parametrize(("words", "rig_name", "yaw"), [
    (["--to", "LIVE"], "facerig-full", 0.25 / 0.8727), (["--to", "LIVE", "--rig", "arkit"], "arkit", 0.0),
    (["--to", "a.npz", "--to", "LIVE"], "facerig-full", 0.25 / 0.8727), (["--to", "a.npz"], "arkit", None)])
def test_a_live_face_has_its_head(words, rig_name, yaw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []

    def frames(*_, **wish):
        asked.append(wish["rig"])
        yield Frame(0, (0.25,) * len(rig(wish["rig"])))

    monkeypatch.setattr("facerig.client.simple.stream", frames)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(60)
        where = f"livelink://127.0.0.1:{ear.getsockname()[1]}"
        done = CliRunner().invoke(application(), ["stream", "x.wav", *(where if w == "LIVE" else w for w in words)])
        assert done.exit_code == 0, done.output
        assert asked == [rig_name]
        if yaw is not None:
            assert livelink.decode(ear.recv(2000)).values[52] == pytest.approx(yaw, abs=1e-3)
