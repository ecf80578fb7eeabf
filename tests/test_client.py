"""The Python client: iterators, retries, the meter and the command."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import threading

import numpy as np
import pytest
import soundfile
from rich.console import Console
from server_kit import RATE, animator, cut, noise, process, run, serving
from typer.testing import CliRunner

import facerig.client
from facerig import cli
from facerig.behaviour.partner import Partnered
from facerig.cli import application
from facerig.client import Frame, Stream, Target, Wish, astream, stream
from facerig.client.meter import Meter, levels
from facerig.controls import Controls
from facerig.curves import Curves
from facerig.errors import AudioError, FacerigError, OptionError, OutputError, ServiceError
from facerig.rig import rig
from unreal_bridge import livelink
from unreal_bridge.clock import seconds_today

TINY = {"sessions": 4, "max_batch": 4, "capacity": 4}


@pytest.fixture(scope="module")
def server():
    """A server in another process, for callers that block."""
    with process() as (_, told):
        yield f"127.0.0.1:{told['ports']['facerig']}"


def whole(samples=None):
    return animator().animate(noise(1.0) if samples is None else samples, RATE).values


def test_public_names():
    assert facerig.client.__all__ == ["Description", "Event", "Frame", "Interrupted", "Marker", "Notice", "Playing",
                                      "Stream", "Target", "Wish", "astream", "stream"]


def test_for_frame_in_stream_of_an_array(server):
    frames = list(stream(noise(1.0), server, RATE, rig="facerig-full", pacing="burst"))
    assert np.array_equal([frame.values for frame in frames], whole())


def test_for_frame_in_stream_of_a_file(server, tmp_path):
    path = tmp_path / "voice.wav"
    soundfile.write(path, noise(1.0), RATE, subtype="PCM_16")
    frames = list(stream(path, server, rig="facerig-full", pacing="burst"))
    assert np.array_equal([frame.values for frame in frames], whole())


def test_for_frame_in_stream_of_chunks(server):
    pieces = (piece / np.float32(32768) for piece in cut(noise(1.0), 321))
    frames = list(stream(pieces, server, RATE, rig="facerig-full", pacing="burst"))
    assert np.array_equal([frame.values for frame in frames], whole())


def test_leaving_the_loop_early_ends_the_thread(server):
    frames = stream(noise(30.0), server, RATE, pacing="realtime")
    assert next(frames).index == 0
    frames.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "facerig-client"]


def test_errors_reach_the_caller(server, tmp_path):
    with pytest.raises(AudioError, match=r"absent\.wav"):
        list(stream(tmp_path / "absent.wav", server))
    with pytest.raises(ServiceError, match="no rig"):
        list(stream(noise(0.1), server, RATE, rig="octopus"))
    with pytest.raises(OptionError):
        list(stream(noise(0.1), server, RATE, pacing="slowly"))


@pytest.mark.parametrize("part", [RuntimeError("my text-to-speech broke"), np.full(100, np.nan, np.float32)])
def test_an_error_of_the_source_is_raised_at_once(server, part):
    def source():
        yield np.zeros(4800, np.float32)
        if isinstance(part, Exception):
            raise part
        yield part
        pytest.fail("was asked for more")

    with pytest.raises(RuntimeError if isinstance(part, Exception) else AudioError, match=r"broke|not a finite number"):
        list(stream(source(), server, RATE, pacing="burst"))


def test_bytes_are_pcm_cut_anywhere(server):
    data = noise(1.0).tobytes()
    for source in (data, [data[:4801], data[4801:4802], data[4802:]]):
        frames = list(stream(source, server, RATE, rig="facerig-full", pacing="burst"))
        assert np.array_equal([frame.values for frame in frames], whole())


def test_async_for():
    async def work():
        async with serving(**TINY) as running:
            target = Target((f"127.0.0.1:{running.ports['facerig']}",))
            return [frame async for frame in astream(noise(1.0), target, RATE, rig="facerig-full", pacing="burst")]

    assert np.array_equal([frame.values for frame in run(work())], whole())


def test_a_partner_beside_a_voice(server, tmp_path):
    """Files and arrays; two channels are heard from somewhere; the bits are the library's."""
    voice, other = noise(1.0), np.stack([noise(1.4, seed=3), noise(1.4, seed=3) // 4], axis=1)
    path = tmp_path / "other.wav"
    soundfile.write(path, other, RATE, subtype="PCM_16")
    wanted = animator().animate(voice, RATE, controls=Partnered(Controls(), other[: len(voice)], RATE)).values
    for partner in (other, path):
        frames = list(stream(voice, server, RATE, rig="facerig-full", pacing="burst", partner=partner))
        assert np.array_equal([frame.values for frame in frames], wanted)
    for wrong, word in ((np.zeros((9, 3), np.float32), "shape"), (iter([voice]), "a file or an array"),
                        (tmp_path / "absent.wav", "no such file")):
        with pytest.raises(FacerigError, match=word):
            next(stream(voice, server, RATE, partner=wrong))
    with pytest.raises(OptionError, match="16000 Hz"):
        next(stream(voice, server, 24_000, partner=path))


def test_a_partner_of_two_channels_survives_broken_connections():
    voice, other = noise(2.0), np.stack([noise(2.0, seed=3) // 5, noise(2.0, seed=3)], axis=1)
    wish = Wish(rate=RATE, rig="facerig-full", partner_channels=2)

    async def work():
        async with serving(**TINY) as one, serving(**TINY) as two:
            target, found = Target(tuple(f"127.0.0.1:{s.ports['facerig']}" for s in (one, two))), []
            async with Stream(target, wish) as talk:
                for at in range(0, len(voice), 3000):
                    await talk.send(voice[at : at + 3000].tobytes(), other[at : at + 3000].tobytes())
                await talk.end()
                async for event in talk:
                    found.append(event)
                    if event.index in (30, 70):
                        for guest in [*one.house.guests, *two.house.guests]:
                            guest.session.fail(ServiceError("broken by the test"))
            return found, talk.reconnects

    found, reconnects = run(work())
    wanted = animator().animate(voice, RATE, controls=Partnered(Controls(), other, RATE)).values
    assert reconnects == 2
    assert np.array_equal([frame.values for frame in found], wanted)


def speaking():
    return [task for task in asyncio.all_tasks() if "Stream._speak" in repr(task.get_coro())]


def test_a_connection_that_is_over_leaves_no_task():
    """Not after a close, nor beside the next connection's own, though there is news at that very moment."""
    async def work():
        async with serving(**TINY) as one, serving(**TINY) as two:
            target = Target(tuple(f"127.0.0.1:{server.ports['facerig']}" for server in (one, two)))
            talk = Stream(target, Wish(rate=RATE, pacing="realtime"))
            listen = talk._listen

            async def listening(call):
                try:
                    await listen(call)
                finally:
                    talk._news.set()

            talk._listen = listening
            async with talk:
                await talk.send(noise(8.0).tobytes())
                events = aiter(talk)
                for guest in list(one.house.guests):
                    guest.session.fail(ServiceError("broken by the test"))
                while not talk.reconnects or (await anext(events)).index < 10:
                    await anext(events)
                beside = len(speaking())
                await talk.send(b"\0\0")
            return beside, len(speaking())

    assert run(work()) == (1, 0)


def test_leaving_the_loop_closes_the_stream(server):
    for frame in stream(noise(30.0), server, RATE, pacing="realtime"):
        if frame.index == 3:
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "facerig-client"]


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        target = Target((f"127.0.0.1:{taken.getsockname()[1]}",), retry_seconds=0.2)

        async def work():
            async with Stream(target):
                pass

        with pytest.raises(ServiceError, match="gave up"):
            run(work())


def test_a_full_server_says_so_at_once_and_the_next_one_is_tried():
    async def work():
        async with serving(**{**TINY, "capacity": 1}) as full, serving(**TINY) as free:
            first, second = (f"127.0.0.1:{one.ports['facerig']}" for one in (full, free))
            async with Stream(Target((first,))):
                with pytest.raises(ServiceError, match="capacity 1"):
                    async with Stream(Target((first,))):
                        pass
                async with Stream(Target((first, second))) as other:
                    return len(free.house.guests), other.reconnects

    assert run(work()) == (1, 0)


@pytest.mark.parametrize("text", ["", "nohost", "host:port", ":", ":1", "127.0.0.1:0", "127.0.0.1:99999", "h:1,h:²",
                                  "::1", "::1:52100", "[::1]", "[]:1", "http://h:1"])
def test_wrong_addresses(text):
    with pytest.raises(OptionError, match="server"):
        Target.parse(text)


def test_addresses_are_checked_however_they_come():
    assert Target.parse("[::1]:52100, h:65535").addresses == ("[::1]:52100", "h:65535")
    with pytest.raises(OptionError, match=r"'::1', accepted: HOST:PORT.*brackets"):
        Target(("h:1", "::1"))
    assert cli.run(["stream", "voice.wav", "--server", "127.0.0.1:99999"]) == 2


# ---- for people ----------------------------------------------------------------------------------------------------


def test_meter_rows():
    names = rig("arkit").names
    values = [0.0] * len(names)
    values[names.index("jawOpen")], values[names.index("eyeBlinkLeft")] = 0.5, 1.2
    found = dict(levels(names, values))
    assert (found["jaw"], found["blink"], found["lips round"]) == (0.5, 1.0, 0.0)
    assert dict(levels(rig("a2f").names, values))["jaw"] > 0
    assert levels(["other"], [1.0]) == []
    out = io.StringIO()
    with Meter(names, Console(file=out, width=100)) as meter:
        meter.show(7, values, {"joy": 0.5})
        Console(file=out, width=100).print(meter.picture())
    assert "frame 7" in out.getvalue()
    assert "joy" in out.getvalue()


def test_the_command_writes_files_and_sends_live(server, tmp_path):
    clip, out = tmp_path / "voice.wav", tmp_path / "voice.npz"
    soundfile.write(clip, noise(0.5), RATE, subtype="PCM_16")
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(60)
        before = int(seconds_today())
        done = CliRunner().invoke(application(), [
            "stream", str(clip), "--server", server, "--to", str(out), "--to",
            f"livelink://127.0.0.1:{ear.getsockname()[1]}/Ada", "--json"])
        assert done.exit_code == 0, done.output
        packet = livelink.decode(ear.recv(2000))
    assert packet.subject == "Ada"
    assert (packet.frame / 60 - before) % 86_400 < 3_600  # the time of day; a busy machine may take long
    curves = Curves.from_npz(out.read_bytes())
    assert (curves.fps, curves.frames) == (60, 30)
    assert curves["jawOpen"].max() > 0.05


def test_the_command_takes_keyframes_and_a_partner_and_tells_what_was_asked(server, tmp_path):
    """What one stream was asked is written, and asked of another one: the same frames."""
    clip, other = tmp_path / "voice.wav", tmp_path / "other.wav"
    soundfile.write(clip, noise(1.0), RATE, subtype="PCM_16")
    soundfile.write(other, np.stack([noise(1.0, seed=2), noise(1.0, seed=2) // 9], axis=1), RATE, subtype="PCM_16")
    feelings, told = tmp_path / "feelings.csv", tmp_path / "told.json"
    feelings.write_text("time,fade,emotion\n0,0,happy:0.5\n0.5,0.2,sad:0.75\n")

    def streamed(name, *words):
        out = tmp_path / name
        done = CliRunner().invoke(application(), ["stream", str(clip), "--server", server, "--to", str(out), *words])
        assert done.exit_code == 0, done.output
        return Curves.from_npz(out.read_bytes()), done.output

    first, said = streamed("first.npz", "--emotion", str(feelings), "--partner", str(other), "--describe", str(told))
    assert "0.00 s: happy 0.5" in said
    assert "0.50 s: sad 0.75 over 0.20 s" in said
    again, _ = streamed("again.npz", "--emotion", str(told), "--partner", str(other))
    assert np.array_equal(first.values, again.values)
    alone, _ = streamed("alone.npz", "--emotion", str(told))
    assert np.abs(first.values - alone.values).max() > 0.05  # the partner is not
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("time,emotion\n0,rage\n")
    for words in (("--emotion", str(wrong)), ("--describe", "out.txt"), ("--partner", "absent.wav")):
        done = CliRunner().invoke(application(), ["stream", str(clip), "--server", server, "--to",
                                                  str(tmp_path / "none.npz"), *words])
        assert isinstance(done.exception, FacerigError), words
        assert not (tmp_path / "none.npz").exists()


def test_the_command_tells_what_a_server_does_not_have(server, tmp_path, capsys):
    clip = tmp_path / "voice.wav"
    soundfile.write(clip, noise(0.3), RATE, subtype="PCM_16")
    for words in (["stream", str(clip), "--pacing", "burst"], ["live", str(clip), "--no-view"]):
        for emotion, count in (("auto", 1), ("off", 0)):
            out = str(tmp_path / f"{words[0]}.npz")
            assert cli.run([*words, "--server", server, "--to", out, "--emotion", emotion]) == 0
            assert capsys.readouterr().err.count("facerig serve --set emotion=auto") == count


def played(monkeypatch, frames):
    """A server's answer without a server."""
    monkeypatch.setattr("facerig.client.simple.stream", lambda *_, **__: frames())


def test_a_file_that_cannot_be_written_loses_no_other(tmp_path, monkeypatch):
    names = [tmp_path / name for name in ("a.npz", "b.npz", "c.npz")]

    def frames():
        yield Frame(0, (0.25,) * 52)
        names[1].mkdir()

    played(monkeypatch, frames)
    done = CliRunner().invoke(application(), ["stream", "x.wav", *(f"--to={name}" for name in names)])
    assert isinstance(done.exception, OutputError)
    assert [Curves.from_npz(name.read_bytes()).frames for name in names if name.is_file()] == [1, 1]


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
@pytest.mark.usefixtures("at_a_terminal")
def test_a_signal_ends_a_stream_and_its_take_is_there(number, tmp_path, monkeypatch):
    def frames():
        yield Frame(0, (0.25,) * 52)
        signal.raise_signal(number)
        pytest.fail("it went on")

    played(monkeypatch, frames)
    assert cli.run(["stream", "x.wav", "--to", str(tmp_path / "a.npz")]) == 130
    assert Curves.from_npz((tmp_path / "a.npz").read_bytes()).frames == 1
    assert signal.getsignal(number) == signal.SIG_DFL


@pytest.mark.parametrize("words", [["--to", "folder.csv"], ["--to", "take.glb"], ["--to", "file/take.csv"],
                                   ["--describe", "file/told.json"]])
def test_a_stream_that_cannot_be_written_does_not_begin(words, tmp_path, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.chdir(tmp_path)

    def frames():
        pytest.fail("it began")
        yield

    played(monkeypatch, frames)
    done = CliRunner().invoke(application(), ["stream", "x.wav", *words])
    assert isinstance(done.exception, FacerigError), done.output


def test_the_command_writes_nothing_when_the_server_is_absent(tmp_path):
    clip, out = tmp_path / "voice.wav", tmp_path / "voice.csv"
    soundfile.write(clip, noise(0.2), RATE, subtype="PCM_16")
    done = CliRunner().invoke(
        application(), ["stream", str(clip), "--server", "127.0.0.1:1", "--to", str(out), "--rig", "?"]
    )
    assert isinstance(done.exception, FacerigError)
    assert not out.exists()


def test_the_loop_is_not_held_by_a_slow_consumer():
    """A caller that does not read lets the stream wait, and loses nothing by it."""

    async def work():
        async with serving(**TINY) as running:
            wish = Wish(rate=RATE, rig="facerig-full", pacing="burst")
            async with Stream(Target((f"127.0.0.1:{running.ports['facerig']}",)), wish) as talk:
                clip = noise(25.0)
                sender = asyncio.create_task(talk.send(clip.tobytes()))
                await sender
                await talk.end()
                while talk._events.qsize() < 1024:
                    await asyncio.sleep(0.01)
                return [event.index async for event in talk if isinstance(event, Frame)]

    assert run(work()) == list(range(1500))
