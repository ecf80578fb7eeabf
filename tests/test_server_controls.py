"""Controls, markers and partners over a real connection: they do what the same words do at home."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from server_kit import (
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
    serving,
    speech_channels,
)

from facerig.behaviour.commands import perform
from facerig.behaviour.gaze import SIDEWAYS
from facerig.behaviour.partner import Partnered
from facerig.controls import COLUMNS, Controls
from facerig.curves import concat
from facerig.emotion import keyframes, styles
from facerig.rig import rig
from facerig.v1 import animation_pb2 as pb


def test_markers_come_back_in_their_place():
    parts = []
    for k, piece in enumerate(cut(SAMPLES, 4_000)):
        parts += [audio(piece), pb.AnimateRequest(control=pb.Control(marker=pb.Marker(id=f"m{k}")))]
    answers, _ = run(once([header(), *parts, END]))
    seen, frames = [], 0
    for answer in answers:
        if answer.WhichOneof("part") == "marker":
            assert answer.marker.frame == -(-4_000 * (len(seen) + 1) * 60 // RATE)
            assert frames == answer.marker.frame
            seen.append(answer.marker.id)
        frames += len(answer.frames.frames)
    assert seen == [f"m{k}" for k in range(6)]


def test_controls_act_from_where_they_stand():
    loud = audio(SAMPLES[:12_000])
    mute = pb.AnimateRequest(control=pb.Control(gains=pb.Gains(regions={"jaw": 0.0}, fade_ms=0)))
    joy = pb.AnimateRequest(control=pb.Control(frame=60, emotion=pb.Emotion(weights={"joy": 1.0}, fade_ms=0)))
    answers, _ = run(once([header(tracks=pb.Tracks(emotion=True)), loud, mute, joy, audio(SAMPLES[12_000:]), END]))
    values, plain = rows(answers)[1], expected()
    jaw = plain_at("jawOpen")
    assert np.array_equal(values[:45], plain[:45])
    assert not values[45:, jaw].any()
    assert plain[45:, jaw].any()
    frames = [frame for answer in answers for frame in answer.frames.frames]
    assert dict(frames[60].emotion) == {"happy": 1.0}
    assert dict(frames[59].emotion) == {}


def plain_at(name):
    return animator().channels.index(name)


def test_header_emotion_and_gains_hold_from_the_first_frame():
    answers, _ = run(once([header(emotion=pb.Emotion(weights={"surprise": 1.0}), gains=pb.Gains(regions={"all": 0.5})),
                           audio(SAMPLES), END]))
    values = rows(answers)[1]
    assert np.allclose(values[:, plain_at("jawOpen")], expected()[:, plain_at("jawOpen")] / 2)


def test_barge_in_lets_the_mouth_fall_and_begins_anew():
    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            call = animate(link, None)
            await call.write(header(mode=pb.Pacing.MODE_REALTIME))
            await call.write(audio(noise(12.0)))
            answers = []
            while len(rows(answers)[0]) < 40:
                answers.append(await call.read())
            await call.write(pb.AnimateRequest(control=pb.Control(interrupt=pb.Interrupt(release_ms=100))))
            for piece in cut(SAMPLES, 3_200):
                await call.write(audio(piece))
            await call.write(END)
            while (answer := await call.read()) is not grpc.aio.EOF:
                answers.append(answer)
            return answers

    answers = run(work())
    told = next(answer.interrupted for answer in answers if answer.WhichOneof("part") == "interrupted")
    index, values = rows(answers)
    assert index == list(range(len(index)))  # numbers run on
    assert told.segment_frame == told.frame + 6
    assert told.dropped_samples == pytest.approx(12 * RATE - told.frame * RATE / 60, abs=1)  # all that was not shown
    mouth = [plain_at(name) for name in speech_channels()]  # a listener may smile
    before, release = values[told.frame - 1, mouth], values[told.frame : told.segment_frame, mouth]
    assert not release[-1].any()
    assert (np.diff(np.concatenate([before[None], release]), axis=0) <= 0).all()
    own = animator().animate(SAMPLES, RATE, start=told.segment_frame)  # the face is where its frame numbers say
    assert np.array_equal(values[told.segment_frame :], own.values)


def test_a_barge_in_is_that_of_a_session_bit_for_bit():
    """With a place to look at and a fade under way: release and next line are what the library makes of them."""
    asked, late = {"look:yaw": 40.0, "look:held": 1.0}, {"attitude": 1.0, "state:listening": 1.0}

    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            call = animate(link, None)
            await call.write(header(mode=pb.Pacing.MODE_REALTIME, controls=asked, seed=6))
            await call.write(wrapped(pb.Control(frame=30, set=pb.Set(values=late, fade_ms=1_000))))
            await call.write(audio(noise(6.0)))
            answers = []
            while len(rows(answers)[0]) < 40:
                answers.append(await call.read())
            for part in (pb.AnimateRequest(control=pb.Control(interrupt=pb.Interrupt(release_ms=150))),
                         audio(SAMPLES), END):
                await call.write(part)
            while (answer := await call.read()) is not grpc.aio.EOF:
                answers.append(answer)
            return answers

    answers = run(work())
    told = next(answer.interrupted for answer in answers if answer.WhichOneof("part") == "interrupted")
    values, own, controls = rows(answers)[1], animator(), Controls(asked)
    controls.set(30, late, 1_000)
    controls.replace(told.frame, "state", {})
    release = own.released(values[told.frame - 1], told.frame, 9, controls, 6, 0)
    assert np.array_equal(values[told.frame : told.segment_frame], release)
    session = own.restore(SAMPLES, 0, 0, RATE, told.segment_frame, controls, 6, begun=0)
    assert np.array_equal(values[told.segment_frame :], concat([session.push(SAMPLES[:0]), session.flush()]).values)


def test_any_control_by_its_name_and_the_seed():
    """What goes through the wire is what the same controls do at home."""
    asked = [pb.Control(set=pb.Set(values={"gain:jaw": 0.25, "life:blink": 0.0}, fade_ms=0)),
             pb.Control(frame=30, set=pb.Set(values={"lip_scale": 1.5})),
             pb.Control(frame=40, move=pb.Move(name="nod", count=2)),
             pb.Control(frame=50, style=pb.Style(style="tense"))]
    parts = [pb.AnimateRequest(control=one) for one in asked]
    answers, _ = run(once([header(seed=9, controls={"gain:brows": 0.5}), *parts, audio(SAMPLES), END]))
    controls = Controls({"gain:brows": 0.5})
    controls.set(0, {"gain:jaw": 0.25, "life:blink": 0.0}, 0)
    controls.set(30, {"lip_scale": 1.5})
    perform(controls, "nod", 40, 2)
    controls.replace(50, "style", styles.columns(styles.style("tense")))
    own = animator().animate(SAMPLES, RATE, controls=controls, seed=9)
    assert np.array_equal(rows(answers)[1], own.values)
    assert not np.array_equal(own.values, expected())


def test_a_partner_is_heard_and_not_spoken():
    """Partner audio alone is silence of one's own; the face is that of the same columns said by name."""
    rate, time = RATE, np.arange(3 * RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 12))
    talk = (buzz * 4000 * np.clip(np.sin(2 * np.pi * 2 * time), 0, 1) * (time < 1.8)).astype("<i2")
    parts = [pb.AnimateRequest(audio=pb.AudioChunk(partner=piece.tobytes())) for piece in cut(talk, 1111)]
    answers, _ = run(once([header(), *parts, END]))
    values = rows(answers)[1]
    alone, _ = run(once([header(), audio(np.zeros_like(talk)), END]))
    mouth = [plain_at(name) for name in rig("facerig").region("jaw", "tongue")]
    assert np.array_equal(values[:, mouth], rows(alone)[1][:, mouth])
    assert not np.array_equal(values, rows(alone)[1])
    own = animator().animate(np.zeros_like(talk), rate, controls=Partnered(Controls(), talk, rate))
    assert np.array_equal(values, own.values)


def panned(degrees, seconds=2.5):
    """Syllables from somewhere, as two microphones a head's width apart hear them; then a pause."""
    sound = np.where(np.arange(round(seconds * RATE)) < 1.6 * RATE, noise(seconds, seed=8), 0) * 0.8
    late = 0.18 / 343 * RATE * np.sin(np.radians(degrees))
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(len(sound)) * late)
    return np.rint(np.stack([sound, np.fft.irfft(np.fft.rfft(sound) * turn, len(sound))], axis=1)).astype("<i2")


def beside(own, other, size, **fields):
    """Header and chunks of a voice with its partner's; `other` may have other channels."""
    channels = {"channels": own.ndim, "partner_channels": other.ndim}
    first = header(audio=pb.AudioFormat(rate=RATE, **channels), **fields)
    return [first, *(pb.AnimateRequest(audio=pb.AudioChunk(data=own[at : at + size].tobytes(),
                                                           partner=other[at : at + size].tobytes()))
                     for at in range(0, len(own), size))]


@pytest.mark.parametrize(("size", "own_sides"), [(331, 1), (40_000, 1), (5_000, 2)])
def test_two_channels_of_a_partner_say_where_he_speaks(size, own_sides):
    """The wire gives the bits that the library gives; one's own two channels are one voice, from nowhere."""
    voice, other = noise(2.5, seed=4), panned(55)
    own = voice if own_sides == 1 else np.stack([voice, voice // 3], axis=1)
    answers, code = run(once([*beside(own, other, size), END]))
    assert code is grpc.StatusCode.OK, answers[-1]
    wanted = animator().animate(own, RATE, controls=Partnered(Controls(), other, RATE))
    assert np.array_equal(rows(answers)[1], wanted.values)
    mixed = animator().animate(own, RATE, controls=Partnered(Controls(), other.mean(axis=1).astype("<i2"), RATE))
    assert np.degrees(wanted["headYaw"] - mixed["headYaw"]).max() > 15


@pytest.mark.parametrize("degrees", [-60, -20, 35, 70])
def test_the_face_turns_to_who_speaks_and_back(degrees):
    other = np.concatenate([panned(degrees), np.zeros((4 * RATE, 2), "<i2")])
    asked = {"life:idle": 0, "life:blink": 0, "life:react": 0}
    answers, _ = run(once([*beside(np.zeros(len(other), "<i2"), other, 9_000, controls=asked), END]))
    values = dict(zip(answers[0].header.channels, rows(answers)[1].T, strict=True))
    eyes = SIDEWAYS * (values["eyeLookOutLeft"] - values["eyeLookInLeft"])
    turned = np.degrees(values["headYaw"]) + eyes
    assert turned[60:95].mean() == pytest.approx(degrees, abs=10)  # he speaks until frame 96
    middle = Partnered(Controls(asked), other.mean(axis=1).astype("<i2"), RATE)
    alone = animator().animate(np.zeros(len(other), "<i2"), RATE, controls=middle)
    assert np.abs(np.degrees(values["headYaw"] - alone["headYaw"]))[-10:].max() < 1  # nobody has spoken for long


def test_a_clients_own_word_of_a_sound_stands():
    other = panned(70)
    named = pb.Control(frame=40, set=pb.Set(values={"sound:azimuth": -30, "sound:level": 0.9}, fade_ms=0))
    first, *chunks = beside(np.zeros(len(other), "<i2"), other, 700)
    answers, _ = run(once([first, wrapped(named), *chunks, END]))
    controls = Controls()
    controls.set(40, {"sound:azimuth": -30, "sound:level": 0.9}, 0)
    wanted = animator().animate(np.zeros(len(other), "<i2"), RATE, controls=Partnered(controls, other, RATE))
    assert np.array_equal(rows(answers)[1], wanted.values)


@pytest.mark.parametrize(("chunk", "channels"), [
    (pb.AudioChunk(data=bytes(8), partner=bytes(6)), 0), (pb.AudioChunk(partner=bytes(7)), 0),
    (pb.AudioChunk(data=bytes(8), partner=bytes(8)), 2), (pb.AudioChunk(partner=bytes(6)), 2),
    (pb.AudioChunk(), 9)])
def test_a_partner_speaks_as_long_as_oneself(chunk, channels):
    first = header(audio=pb.AudioFormat(rate=RATE, partner_channels=channels))
    answers, code = run(once([first, pb.AnimateRequest(audio=chunk), END]))
    assert answers[-1].status.code == pb.Status.CODE_INVALID
    assert "partner" in answers[-1].status.reason
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_what_the_controls_do_is_told_as_keyframes_that_do_the_same():
    set_ = pb.Control(frame=30, emotion=pb.Emotion(weights={"sad": 0.5}, fade_ms=200))
    later = pb.Control(frame=150, set=pb.Set(values={"gain:jaw": 0.5}, fade_ms=0))
    asks = [pb.Control(frame=0, describe=pb.Describe()), pb.Control(frame=30, describe=pb.Describe(span_ms=500)),
            pb.Control(describe=pb.Describe(span_ms=60_000))]
    begun = header(emotion=pb.Emotion(weights={"happy": 1.0}))
    sent = [begun, *map(wrapped, [set_, later, *asks]), audio(SAMPLES), END]
    answers, code = run(once(sent))
    assert code is grpc.StatusCode.OK
    whole, short, here = (one.description for one in answers if one.WhichOneof("part") == "description")
    wanted = Controls()
    wanted.replace(0, "emotion", {"emotion:happy": 1.0}, 0)
    wanted.replace(30, "emotion", {"emotion:sad": 0.5}, 200)
    wanted.set(150, {"gain:jaw": 0.5}, 0)
    again = keyframes.apply(Controls(), keyframes.keyframes(whole.keyframes))
    np.testing.assert_allclose(again.rows(0, 600), wanted.rows(0, 600), atol=1e-4)
    assert [one.split(":")[0] for one in whole.sentences] == ["0.00 s", "0.50 s", "2.50 s"]
    assert "sad 0.5" in whole.sentences[1]
    assert (short.frame, here.frame) == (30, 0)
    assert "gain" not in short.keyframes
    assert len(here.sentences) == 3
    plain = [one for one in sent if not one.control.HasField("describe")]
    np.testing.assert_array_equal(rows(answers)[1], rows(run(once(plain))[0])[1])  # asking changes nothing


def test_keyframes_as_text_do_what_they_say_and_what_a_description_says():
    """A file from where it stands; then the description of it all, sent to a new stream, makes the same frames."""
    text = 'time,fade,emotion,style\n0,0.2,happy:0.8,tense\n0.6,0,"sad:0.5,fear:0.2",\n'
    part = wrapped(pb.Control(keyframes=pb.Keyframes(text=text)))
    ask = wrapped(pb.Control(frame=0, describe=pb.Describe(span_ms=3_000)))
    head, loud, rest = header(), audio(SAMPLES[:8_000]), audio(SAMPLES[8_000:])
    answers, _ = run(once([head, loud, part, ask, rest, END]))
    wanted = keyframes.apply(Controls(), keyframes.keyframes(text), 30)
    own = animator().animate(SAMPLES, RATE, controls=wanted).values
    assert np.array_equal(rows(answers)[1], own)
    (told,) = (one.description for one in answers if one.WhichOneof("part") == "description")
    again = wrapped(pb.Control(frame=0, keyframes=pb.Keyframes(text=told.keyframes)))
    nothing = wrapped(pb.Control(frame=0, keyframes=pb.Keyframes(text="[\n\n]\n")))
    repeated, code = run(once([head, nothing, again, loud, rest, END]))
    assert code is grpc.StatusCode.OK
    assert np.abs(rows(repeated)[1] - own).max() <= 1e-3  # weights are told with four digits


def wrapped(control):
    return pb.AnimateRequest(control=control)


# ---- in the middle -------------------------------------------------------------------------------------------------


async def scripted(first, *steps, **fields):
    """What comes of a stream in real time to which more is said after so many frames; the last word is END."""
    async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
        call, answers, waiting = animate(link, None), [], list(steps)
        for request in [header(mode=pb.Pacing.MODE_REALTIME, **fields), *first]:
            await call.write(request)
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
            while waiting and len(rows(answers)[0]) > waiting[0][0]:
                for request in waiting.pop(0)[1]:
                    await call.write(request)
        return answers


INTERRUPT = wrapped(pb.Control(interrupt=pb.Interrupt(release_ms=500)))


def interruptions(answers):
    return [answer.interrupted for answer in answers if answer.WhichOneof("part") == "interrupted"]


def felt(answers, name):
    return [frame.emotion.get(name, 0.0) for answer in answers for frame in answer.frames.frames]


def test_an_interrupt_behind_audio_far_ahead_is_heard_at_once():
    (told,) = interruptions(run(scripted([audio(noise(9.0))], (30, [INTERRUPT, END]))))
    assert told.frame < 200  # and not when all but the last seconds have been shown


def test_an_interrupt_after_the_end_is_heard():
    answers = run(scripted([audio(noise(8.0)), END], (30, [INTERRUPT])))
    (told,) = interruptions(answers)
    assert rows(answers)[0] == list(range(told.frame + 30))  # the mouth comes to rest, and that is all
    assert answers[-1].status.code == pb.Status.CODE_DONE


def test_an_interrupt_within_a_release_drops_nothing_that_was_not_sent():
    answers = run(scripted([audio(noise(3.0))], (30, [INTERRUPT]), (40, [INTERRUPT, END])))
    first, second = interruptions(answers)
    assert second.frame < first.segment_frame
    assert (first.dropped_samples > 0, second.dropped_samples) == (True, 0)


def test_an_interrupt_right_after_a_resumption_lets_the_mouth_fall():
    jaw, last = plain_at("jawOpen"), np.zeros(len(animator().channels), np.float32)
    last[jaw] = 0.8
    resume = pb.Resume(last_frame=50, last_values=last.tolist())
    answers, _ = run(once([header(resume=resume), INTERRUPT, audio(np.zeros(8_000, "<i2")), END]))
    (told,) = interruptions(answers)
    values = rows(answers)[1][:, jaw]
    assert (told.frame, told.segment_frame) == (51, 81)
    assert 0.7 < values[0] < 0.8
    assert np.abs(np.diff(values)).max() < 0.1
    assert values[29] == 0


def test_what_was_asked_of_a_line_that_is_dropped_is_dropped_with_it():
    keys = str([{"time": float(time), "emotion": {"happy": 0.5}} for time in range(0, 61, 5)]).replace("'", '"')
    anger = pb.Control(emotion=pb.Emotion(weights={"anger": 1.0}, fade_ms=0))
    later = pb.Control(frame=400, emotion=pb.Emotion(weights={"sad": 1.0}, fade_ms=0))
    answers = run(scripted([wrapped(pb.Control(keyframes=pb.Keyframes(text=keys))), wrapped(later), audio(noise(4.0))],
                           (30, [INTERRUPT, wrapped(anger), audio(noise(7.0)), END]),
                           tracks=pb.Tracks(emotion=True)))
    (told,) = interruptions(answers)
    assert told.frame < 300
    assert felt(answers, "happy")[told.frame - 1] == 0.5
    assert set(felt(answers, "happy")[told.segment_frame :]) == {0.0}
    assert set(felt(answers, "angry")[told.segment_frame :]) == {1.0}
    assert not any(felt(answers, "sad"))


@pytest.mark.parametrize("fps", [60, 25])
def test_what_is_felt_is_told_in_a_release_too(fps):
    joy = pb.Emotion(weights={"joy": 0.8})
    answers = run(scripted([audio(noise(1.0))], (10, [INTERRUPT, audio(noise(0.5)), END]), fps=fps,
                           emotion=joy, tracks=pb.Tracks(emotion=True)))
    (told,) = interruptions(answers)
    assert told.segment_frame - told.frame == fps // 2
    assert felt(answers, "happy") == [pytest.approx(0.8)] * len(rows(answers)[0])


@pytest.mark.parametrize("control", [
    pb.Control(frame=0, emotion=pb.Emotion(weights={"joy": 1.0}, fade_ms=2_000)),
    pb.Control(frame=0, keyframes=pb.Keyframes(text='[{"time": 0.1, "emotion": {"happy": 1}, "fade": 2}]'))])
def test_a_fade_that_is_asked_for_the_past_begins_where_the_model_is(control):
    answers = run(scripted([audio(noise(2.0))], (60, [wrapped(control), audio(noise(4.0)), END]),
                           tracks=pb.Tracks(emotion=True)))
    happy = np.array(felt(answers, "happy"))
    assert not happy[:60].any()
    assert happy.max() == 1
    assert np.abs(np.diff(happy)).max() < 0.03


def test_keyframes_that_an_interrupt_ended_stay_so_on_resuming():
    text = '[{"time": 0, "emotion": {"happy": 0.5}}, {"time": 9, "emotion": {"sad": 1}, "fade": 0}]'
    resume = pb.Resume(last_frame=499, segment_frame=500)
    fields = {"resume": resume, "tracks": pb.Tracks(emotion=True)}
    before, after = (wrapped(pb.Control(frame=0, keyframes=pb.Keyframes(text=text, until=end))) for end in (500, None))
    answers, _ = run(once([header(**fields), before, audio(SAMPLES), END]))
    assert set(felt(answers, "happy")) == {0.5}
    answers, _ = run(once([header(**fields), before, after, audio(noise(10.0)), END]))  # said again, and a new one
    assert felt(answers, "sad")[-1] == 1


def test_controls_before_a_frame_and_after_it_can_be_told_apart():
    """The parts of the two above, by frame."""
    own = Controls({"emotion:happy": 0.25})
    for start in (10, 20, 30):
        own.set(start, {"emotion:happy": start / 100}, 0)
    own.set(5, {"state:idle": 1.0})
    assert own.awaits(["state:listening", "state:idle"], 5)
    assert not own.awaits(["state:listening"], 5)
    assert not own.awaits(["look:held"], 5)
    own.cut(20)
    assert own.rows(0, 60)[[9, 19, 59], COLUMNS.index("emotion:happy")].tolist() == pytest.approx([0.25, 0.1, 0.1])
    own.floor = 40
    own.set(25, {"state:idle": 0.0}, 100)
    assert own.awaits(["state:idle"], 39)
    assert not own.awaits(["state:idle"], 40)
    assert own.rows(0, 60)[[39, 59], COLUMNS.index("state:idle")].tolist() == [1, 0]
    own.cut(1)
    assert own.last("emotion:happy") == 0.25


def test_a_gesture_that_has_begun_comes_to_its_end():
    own, other = Controls(), Controls()
    end = perform(own, "nod", 60, count=2)
    perform(other, "nod", 60, count=2)
    perform(own, "shake", 90)
    own.cut(70)
    assert np.array_equal(own.rows(0, end + 9), other.rows(0, end + 9))
    assert own.last("pose:pitch") == 0
    own.cut(60)
    assert not own.rows(0, end + 9)[:, COLUMNS.index("pose:pitch")].any()
