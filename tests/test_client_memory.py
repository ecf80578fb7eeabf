"""What the Python client keeps to repeat after a loss: bounded, in order, only what still holds."""

from __future__ import annotations

import pytest
from server_kit import RATE, run

from facerig.client import Stream, Wish
from facerig.client.memory import Memory
from facerig.v1 import animation_pb2 as pb


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
    left = memory.standing()
    assert len(left) <= 13
    assert left[-1].emotion.weights["joy"] == pytest.approx(0.99)
    assert left[0].frame <= memory.last_frame - 600  # what the oldest fade began from


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
    assert len(memory.standing()) == len(early)  # the server looks back 5 s, and a fade takes 10
    memory.got(pb.Frame(index=15 * 60))
    assert memory.standing() == [early[1], early[3], early[4], early[5], early[6], early[7]]


def test_an_interrupt_hands_the_state_back_to_the_voice():
    memory = Memory(Wish(rate=RATE))
    memory.place(pb.Control(state=pb.STATE_IDLE))
    memory.interrupted(40, 46)
    assert [(one.frame, one.state) for one in memory.standing()] == [(0, pb.STATE_IDLE), (40, pb.STATE_UNSPECIFIED)]


def test_a_control_never_waits_behind_audio_given_after_it():
    """While the connection takes its time over old audio, the caller sets a gain and speaks on."""
    stream = Stream(wish=Wish(rate=RATE))
    stream.memory.hear(bytes(4 * RATE))
    written = []

    class SlowCall:
        async def write(self, message):
            if message.HasField("audio") and not stream.memory.ended:
                await stream.gains({"jaw": 0.0})
                await stream.send(bytes(2 * RATE))
                await stream.end()
            written.append(message.WhichOneof("part"))

        async def done_writing(self):
            written.append("done")

    run(stream._speak(SlowCall()))
    assert written[:2] == ["audio", "control"]
    assert written[2:-2] == ["audio"] * (len(written) - 4)
    assert written[-2:] == ["end", "done"]
