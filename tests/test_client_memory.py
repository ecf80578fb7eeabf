"""What the Python client keeps to repeat after a loss: bounded, in order, only what still holds."""

from __future__ import annotations

import asyncio
from importlib import import_module

import pytest
from server_kit import RATE, run

from facerig.client import Stream, Wish
from facerig.client.memory import Memory
from facerig.v1 import animation_pb2 as pb


def standing(memory):
    memory.forget()
    return list(memory.controls.values())


def test_memory_is_bounded_by_the_context():
    memory = Memory(Wish(rate=RATE), context_ms=500)
    sizes = []
    for frame in range(600):
        memory.hear(b"\0" * 534)
        memory.got(pb.Frame(index=frame, values=[0.0]))
        sizes.append(len(memory.audio))
    assert max(sizes) <= (0.5 + 0.25 + 0.05) * RATE * 2
    assert memory.first_sample + len(memory.audio) // 2 == memory.samples == 600 * 267
    needed = 600 * RATE // 60 - RATE // 2
    assert memory.first_sample <= needed


def test_memory_forgets_controls_that_are_over_and_keeps_the_last():
    memory = Memory(Wish(rate=RATE))
    for k in range(100):
        memory.hear(b"\0" * 2 * RATE)
        memory.place(pb.Control(emotion=pb.Emotion(weights={"joy": k / 100})))
        memory.got(pb.Frame(index=60 * k + 59))
    left = standing(memory)
    assert len(left) <= 13
    assert left[-1].emotion.weights["joy"] == pytest.approx(0.99)
    assert left[0].frame <= memory.last_frame - 600  # what the oldest fade began from


def test_controls_are_forgotten_as_frames_come():
    """A game that looks somewhere with every frame, for five minutes."""
    memory, most = Memory(Wish(rate=RATE)), 0
    for k in range(300 * 60):
        memory.hear(bytes(534))
        memory.place(pb.Control(look_at=pb.LookAt(yaw=k % 40)))
        memory.got(pb.Frame(index=k))
        most = max(most, len(memory.controls))
    assert most <= 12 * 60  # a fade takes 10 s
    assert list(memory.controls) == sorted(memory.controls)
    assert max(memory.controls) == memory.placed - 1 == 300 * 60 - 1


def test_memory_keeps_what_nothing_later_overrules():
    memory = Memory(Wish(rate=RATE), context_ms=5000)
    early = [pb.Control(gains=pb.Gains(regions={"jaw": 0.5, "lips": 0.5})),
             pb.Control(set=pb.Set(values={"heard": 1.0})),
             pb.Control(state=pb.STATE_IDLE), pb.Control(set=pb.Set(values={"gain:jaw": 0.2, "attitude": 1.0})),
             pb.Control(move=pb.Move(name="nod")), pb.Control(gains=pb.Gains(regions={"lips": 0.1})),
             pb.Control(state=pb.STATE_SPEAKING), pb.Control(style=pb.Style(style="tense"))]
    for control in early:
        memory.place(control)
    memory.got(pb.Frame(index=15 * 60 - 1))
    assert len(standing(memory)) == len(early)  # the server looks back 5 s, and a fade takes 10
    memory.got(pb.Frame(index=15 * 60))
    assert standing(memory) == [early[1], early[3], early[4], early[5], early[6], early[7]]


def test_an_interrupt_hands_the_state_back_to_the_voice():
    memory = Memory(Wish(rate=RATE))
    memory.place(pb.Control(state=pb.STATE_IDLE))
    memory.interrupted(40, 46)
    assert [(one.frame, one.state) for one in standing(memory)] == [(0, pb.STATE_IDLE), (40, pb.STATE_UNSPECIFIED)]


def test_an_interrupt_drops_the_controls_of_what_was_not_shown():
    memory = Memory(Wish(rate=RATE))
    memory.place(pb.Control(emotion=pb.Emotion(weights={"joy": 1.0})))
    memory.hear(bytes(2 * RATE))
    for one in (pb.Control(style=pb.Style(style="tense")), pb.Control(marker=pb.Marker(id="late")),
                pb.Control(describe=pb.Describe())):
        memory.place(one)
    memory.interrupted(40, 46)
    left = [(one.frame, one.WhichOneof("what")) for one in standing(memory)]
    assert left == [(0, "emotion"), (60, "describe"), (40, "state")]  # an answer is still owed


def test_an_interrupt_ends_the_keyframes_that_stand_and_not_those_that_follow():
    memory = Memory(Wish(rate=RATE))
    for _ in range(2):
        memory.place(pb.Control(keyframes=pb.Keyframes(text="[]")))
        memory.interrupted(40, 46)
    assert [one.keyframes.until for one in standing(memory) if one.HasField("keyframes")] == [40]
    memory.place(pb.Control(frame=0, keyframes=pb.Keyframes(text="[]")))
    assert [one.keyframes.HasField("until") for one in standing(memory) if one.HasField("keyframes")] == [True, False]


def test_a_control_never_waits_behind_audio_given_after_it():
    """While the connection takes its time over old audio, the caller sets a gain and speaks on."""
    stream = Stream(wish=Wish(rate=RATE, pacing="burst"))
    stream.memory.hear(bytes(4 * RATE))

    async def busy(message):
        if message.HasField("audio") and not stream.memory.ended:
            await stream.gains({"jaw": 0.0})
            await stream.send(bytes(2 * RATE))
            await stream.end()

    written = run(spoken(stream, "end", busy))
    assert written[:2] == ["audio", "control"]
    assert written[2:-1] == ["audio"] * (len(written) - 3)


async def spoken(stream, last, meanwhile):
    """What the stream says to a connection, up to a message of the kind `last`."""
    written, said = [], asyncio.Event()

    class Call:
        async def write(self, message):
            await meanwhile(message)
            control = message.HasField("control") and message.control.HasField("interrupt")
            written.append("interrupt" if control else message.WhichOneof("part"))
            if written[-1] == last:
                said.set()

    mouth = asyncio.create_task(stream._speak(Call()))
    await said.wait()
    mouth.cancel()
    return written


@pytest.mark.parametrize(("pacing", "most"), [("", 3.0), ("realtime", 3.0), ("lead", 3.0), ("burst", 20.0)])
def test_no_more_audio_is_under_way_than_a_server_reads_at_once(pacing, most):
    """20 s are given, 1 s of them is shown; an interrupt never waits behind the rest."""
    stream = Stream(wish=Wish(rate=RATE, pacing=pacing))
    told = 0

    async def count(message):
        nonlocal told
        told += len(message.audio.data) / (2 * RATE)

    async def work():
        await stream.send(bytes(20 * 2 * RATE))
        mouth = asyncio.create_task(spoken(stream, "interrupt", count))
        for index in range(60):
            await asyncio.sleep(0)
            await stream._frames(pb.Frames(frames=[pb.Frame(index=index)]))
        for _ in range(200):
            await asyncio.sleep(0)
        barge = asyncio.create_task(stream.interrupt())
        await mouth
        barge.cancel()

    run(work())
    assert told == pytest.approx(most, abs=0.6)
    assert told >= most - 0.5


def test_a_stream_that_holds_its_audio_back_is_not_silent(monkeypatch):
    """Else a caller who takes no frames for a while would have gone, for the server."""
    monkeypatch.setattr(import_module("facerig.client.stream"), "ALIVE", 0.001)
    stream, sent, alive = Stream(wish=Wish(rate=RATE)), [], asyncio.Event()

    async def count(message):
        sent.append(len(message.audio.data) / (2 * RATE))
        if not sent[-1]:
            alive.set()

    async def work():
        await stream.send(bytes(20 * 2 * RATE))
        mouth = asyncio.create_task(spoken(stream, "never", count))
        await alive.wait()
        mouth.cancel()

    run(work())
    assert sum(sent) < 3


def test_interrupts_in_the_moment_of_an_answer_are_all_sent_after_the_end_too():
    stream = Stream(wish=Wish(rate=RATE))
    sent, kinds = 0, []

    async def answer(message):
        nonlocal sent
        kinds.append(message.WhichOneof("part"))
        if message.HasField("control") and message.control.HasField("interrupt"):
            sent += 1
            await stream._answered(pb.AnimateResponse(interrupted=pb.Interrupted(frame=sent, segment_frame=sent)))

    async def work():
        written = asyncio.create_task(spoken(stream, "never", answer))
        await stream.send(bytes(2 * RATE))
        for _ in range(5):
            await asyncio.gather(stream.interrupt(), stream.interrupt())
        await stream.send(bytes(2 * RATE))
        await stream.end()
        while "end" not in kinds:
            await asyncio.sleep(0)
        await stream.interrupt()
        written.cancel()

    run(work())
    assert sent == 11
    assert not stream.memory.audio
