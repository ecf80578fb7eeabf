"""Heard emotion on both wires: what a frame tells is what the face does, and NVIDIA's parameters are a stream's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from server_kit import animate, animator, audio, channel, header, process_audio, run, said, serving
from server_kit import rows as values_of

from facerig.controls import COLUMNS, EMOTIONS, Controls, group, place
from facerig.emotion import space
from facerig.emotion.blend import Blending, felt, smoothed
from facerig.features import FEATURES
from facerig.resample import Resample, mono
from facerig.server import outlet, protos
from facerig.server.hearing import ENGAGED, Hearing, Mixing, hearing
from facerig.stage import SAMPLES, Frames
from facerig.stage import run as run_stage
from facerig.v1 import animation_pb2 as pb

TINY = {"block": 2, "sessions": 4, "max_batch": 4, "capacity": 4, "a2f_port": 0, "a2f_pacing": "burst",
        "emotion": "auto"}
ASKED = protos.message("nvidia_ace.controller.v1.AudioStream")
AGGREGATE = protos.message("nvidia_ace.emotion_aggregate.v1.EmotionAggregate")
RATE = 16_000
END = pb.AnimateRequest(end=pb.End())
EMOTION, INTENSITY = group("emotion"), place("intensity")


def excited() -> NDArray[np.int16]:
    """Four seconds of the demo, much faster, higher and louder, so that more than one emotion is heard in it."""
    calm, _ = soundfile.read(Path(__file__).parent.parent / "assets" / "demo.wav")
    quick = np.interp(np.arange(0, len(calm) - 1, 1.6), np.arange(len(calm)), calm)[:66_000]
    return np.rint(np.clip(quick * 3, -1, 1) * 32767).astype("<i2")


VOICE = excited()


def native() -> Frames:
    """The voice as native frames, and a second of silence behind it."""
    edge = Resample(RATE)
    state, frames = edge.push(edge.start(), mono(VOICE))
    return np.concatenate([frames, edge.flush(state), np.zeros((60, SAMPLES), np.float32)])


def features() -> Frames:
    frames = native()
    return run_stage(animator().chain.mel, frames[: len(frames) // 2 * 2], 2)


def reading(mixing: Mixing) -> tuple[Frames, Frames]:
    """(mixtures as heard, the same after live blend and transition) of the whole voice, in one go."""
    blending = Blending(mixing.contrast, mixing.live, 0.5, 1.0, mixing.most, mixing.transition)
    heard = animator(2, "auto").chain.heard
    assert heard is not None
    state, raws = tuple(array[None] for array in heard.start()), []
    for block in np.split(features()[None], len(features()) // 2, axis=1):  # the ear judges once a block
        state, found, _ = heard.hear(state, block)
        raws.append(felt(found.scores, found.sure, blending))
    raw = np.concatenate(raws, axis=1)
    past = np.zeros((1, len(blending.kernel) - 1, len(EMOTIONS)), np.float32)
    return raw[0], smoothed(past, raw, blending)[0]


def moods_of(answers) -> Frames:
    frames = [frame for answer in answers for frame in answer.frames.frames]
    return np.array([[frame.emotion.get(name, 0.0) for name in EMOTIONS] for frame in frames], np.float32)


# ---- our own protocol ----------------------------------------------------------------------------------------------


def test_the_emotion_track_is_what_the_face_does():
    """Heard and asked together, where an emotion is asked in the middle; the curves are those of `animate`."""
    later = pb.AnimateRequest(control=pb.Control(frame=90, emotion=pb.Emotion(weights={"sad": 1.0}, fade_ms=200)))

    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            first = header(RATE, tracks=pb.Tracks(emotion=True))
            return await said(animate(link, iter([first, later, audio(VOICE), END])))

    answers, code = run(work())
    own, controls = animator(2, "auto"), Controls({"heard": 1.0})
    controls.replace(90, "emotion", {"emotion:sad": 1.0}, 200)
    assert code is grpc.StatusCode.OK
    assert np.array_equal(values_of(answers)[1], own.animate(VOICE, RATE, controls=controls).values)
    feats = features()
    rows = run_stage(own.chain.heard, np.concatenate([feats, controls.rows(0, len(feats))], axis=1), 2)
    shown = rows[:, EMOTION] * rows[:, INTENSITY, None]
    told = moods_of(answers)
    assert np.abs(told - shown[: len(told)]).max() <= 2e-4  # what is smaller than 1e-4 is not sent
    assert told[:90].max() > 0.02  # it is not only what was asked
    assert 0 < told[150, EMOTIONS.index("sad")] < 1  # nor is it that alone


def test_what_is_heard_is_let_go_in_a_release():
    """As the values are: from what was felt in the last frame to what is asked for, here nothing."""
    interrupt = pb.AnimateRequest(control=pb.Control(interrupt=pb.Interrupt(release_ms=300)))

    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            call, answers = animate(link, None), []
            for request in (header(RATE, pb.Pacing.MODE_REALTIME, tracks=pb.Tracks(emotion=True)), audio(VOICE)):
                await call.write(request)
            while len(moods_of(answers)) < 60 or moods_of(answers)[-1].max() < 0.02:
                answers.append(await call.read())
            for request in (interrupt, END):
                await call.write(request)
            return answers + (await said(call))[0]

    answers = run(work())
    (told,) = [answer.interrupted for answer in answers if answer.WhichOneof("part") == "interrupted"]
    falls = moods_of(answers)[told.frame - 1 : told.segment_frame]
    assert len(falls) == 1 + 18
    assert falls[1].max() > 0.9 * falls[0].max() > 0.018
    assert np.diff(falls, axis=0).max() <= 1e-6
    assert falls[-1].max() == 0


def test_what_a_client_says_of_hearing_later_changes_nothing_before():
    """`heard` set for a frame to come: until then the voice tells."""
    off = pb.AnimateRequest(control=pb.Control(frame=100, set=pb.Set(values={"heard": 0.0}, fade_ms=0)))

    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            first = header(RATE, tracks=pb.Tracks(emotion=True))
            return [await said(animate(link, iter([first, *more, audio(VOICE), END]))) for more in ([], [off])]

    (plain, _), (told, _) = run(work())
    assert np.array_equal(moods_of(told)[:100], moods_of(plain)[:100])
    assert not moods_of(told)[100:].any()
    assert np.array_equal(values_of(told)[1][:90], values_of(plain)[1][:90])


def noticed(*controls, **options):
    """The notices of a stream whose controls come behind a header with `heard` in its own."""
    async def work():
        async with serving(**{**TINY, "emotion": "off", **options}) as server, channel(server.ports["facerig"]) as link:
            return await said(animate(link, iter([*controls, audio(VOICE[:8000]), END])))

    answers, code = run(work())
    assert code is grpc.StatusCode.OK
    return [answer.notice.text for answer in answers if answer.WhichOneof("part") == "notice"]


SETS = [pb.AnimateRequest(control=pb.Control(set=pb.Set(values={"heard": share}))) for share in (0.0, 1.0, 0.5)]


def test_a_server_that_does_not_hear_says_so_once():
    told = noticed(header(RATE, controls={"heard": 1.0}), *SETS)
    assert len(told) == 1
    assert "facerig serve --set emotion=auto" in told[0]
    assert noticed(header(RATE), *SETS) == told
    keyframes = pb.Control(keyframes=pb.Keyframes(text='[{"time": 5, "set": {"heard": 0.5}}]'))
    assert noticed(header(RATE), pb.AnimateRequest(control=keyframes)) == told
    assert noticed(header(RATE, controls={"heard": 0.0}), SETS[0]) == []
    assert noticed(header(RATE, controls={"heard": 1.0}), *SETS, emotion="auto") == []


# ---- NVIDIA's ------------------------------------------------------------------------------------------------------


def opening(post=None, **params):
    audio_header = {"samples_per_second": RATE, "bits_per_sample": 16, "channel_count": 1, "audio_format": 0}
    return ASKED(audio_stream_header={"audio_header": audio_header, "emotion_post_processing_params": post or {},
                                      **params})


def requests(post=None, emotions=(), **params):
    sound = {"audio_buffer": VOICE.tobytes(), "emotions": list(emotions)}
    return [opening(post, **params), ASKED(audio_with_emotion=sound), ASKED(end_of_audio={})]


async def spoken(server, messages, *metadata):
    """(frames, aggregates, texts of INFO)"""
    async with channel(server.ports["a2f"]) as link:
        call = process_audio(link, iter(messages), (("facerig-fps", "60"), *metadata))
        data, infos = [], []
        while (answer := await call.read()) is not grpc.aio.EOF:
            part = answer.WhichOneof("stream_part")
            data += [answer.animation_data] if part == "animation_data" else []
            infos += [answer.status.message] if part == "status" and answer.status.code == 1 else []
    weights = np.array([list(one.skel_animation.blend_shape_weights[0].values) for one in data], np.float32)
    return weights, [AGGREGATE.FromString(one.metadata["emotion_aggregate"].value) for one in data], " ".join(infos)


def talk(*arguments, **options):
    async def work():
        async with serving(**{**TINY, **options}) as server:
            return await spoken(server, *arguments)

    return run(work())


def column(aggregates, which="a2f_smoothed_output"):
    return np.array([[getattr(one, which)[0].emotion[name] for name in space.A2F_NAMES] for one in aggregates])


def named(rows: Frames) -> Frames:
    return np.array([[space.a2f(dict(zip(EMOTIONS, map(float, row), strict=True)))[name] for name in space.A2F_NAMES]
                     for row in rows])


PARAMETERS = [
    Mixing(),
    Mixing(contrast=2.5, most=1, strength=1.0),
    Mixing(contrast=0.3, most=6, live=0.0, transition=0.0, strength=0.8, preferred=0.0),
    Mixing(live=0.95, transition=1.0, preferred=0.9),
    Mixing(preferred=1.0, strength=0.5),
]


def post_of(mixing: Mixing):
    return {"emotion_contrast": mixing.contrast, "live_blend_coef": mixing.live, "max_emotions": mixing.most,
            "preferred_emotion_strength": mixing.preferred, "emotion_strength": mixing.strength}


def expected(mixing: Mixing, joy: float) -> Frames:
    """In the order of NVIDIA's own post-processing, in plain numpy."""
    smooth = reading(mixing)[1]
    asked = np.zeros_like(smooth)
    asked[:, EMOTIONS.index("happy")] = joy
    share = mixing.preferred * min(1.0, joy / ENGAGED)
    return mixing.strength * ((1 - share) * smooth + share * asked)


@pytest.mark.parametrize("joy", [0.0, 0.7])
def test_every_parameter_means_what_nvidia_says(joy):
    """Five streams of one server at once, each with parameters of its own."""
    async def work():
        async with serving(**{**TINY, "sessions": 8, "max_batch": 8, "capacity": 8}) as server:
            messages = [requests(post_of(one), emotion_params={"live_transition_time": one.transition,
                                                               "beginning_emotion": {"joy": joy}})
                        for one in PARAMETERS]
            return await asyncio.gather(*(spoken(server, one) for one in messages))

    shown = []
    for mixing, (_, aggregates, infos) in zip(PARAMETERS, run(work()), strict=True):
        told, wanted = column(aggregates), named(expected(mixing, joy))
        assert np.abs(told[:150] - wanted[:150]).max() <= 3e-4
        shown.append(told[:150])
        assert not infos
    assert all(np.abs(one - two).max() > 0.01 for k, one in enumerate(shown) for two in shown[:k])


def test_the_face_does_what_its_metadata_tells():
    """The curves are those of a face that is asked for the told mixture, bit for bit."""
    mixing = PARAMETERS[1]
    weights, _, _ = talk(requests(post_of(mixing), emotion_params={"live_transition_time": 0.5}))
    own = animator(2, "auto")
    heard = Hearing(own.chain.heard, own.block)
    state, parts, feats = heard.start(), [], features()
    state = (*state[:-2], mixing.row, state[-1])
    rows = Controls({"heard": 1.0}).rows(0, len(feats))
    for at in range(0, len(feats), own.block):
        state, out = heard.push(state, np.concatenate([feats, rows], axis=1)[at : at + own.block])
        parts.append(out)

    class Told(Controls):
        def rows(self, first, count):
            made = np.concatenate(parts)[first : first + count].copy()
            made[:, COLUMNS.index("heard")] = 0.0
            return made

        def says(self, name):
            return True

    told = own.animate(VOICE, RATE, controls=Told()).values
    _, mapped = outlet.mapper("facerig", own.channels, "a2f")
    assert np.array_equal(weights[: len(told)], mapped(told))
    plain, _, _ = talk(requests(post_of(Mixing(strength=0.0))))
    assert np.abs(plain[: len(told)] - weights[: len(told)]).max() > 0.02


def test_what_was_heard_is_told_on_request_alone():
    mixing = Mixing(most=2, contrast=2.0)
    _, silent, _ = talk(requests(post_of(mixing)))
    _, telling, _ = talk(requests(post_of(mixing)), ("facerig-a2e-output", "true"))
    assert not any(one.a2e_output for one in silent)  # NVIDIA's own sample client fails on anything in it
    told = column(telling, "a2e_output")
    wanted = named(reading(mixing)[0])
    assert np.abs(told[:150] - wanted[:150]).max() <= 3e-4
    assert (told > 1e-3).sum(axis=1).max() == 2
    assert np.array_equal(column(silent), column(telling))


def test_what_cannot_be_had_is_said():
    _, _, cut = talk(requests({"live_blend_coef": 1.0}, emotion_params={"live_transition_time": 3.0}))
    assert "live_blend_coef: 1 was cut to 0.99" in cut
    assert "live_transition_time: 3 was cut to 1" in cut
    _, aggregates, deaf = talk(requests({"preferred_emotion_strength": 0.2}), ("facerig-a2e-output", "yes"),
                               emotion="off")
    assert "preferred_emotion_strength" in deaf
    assert "a2e_output stays empty" in deaf
    assert not any(one.a2e_output for one in aggregates)


def test_authoring_mixes_what_is_heard_with_what_is_preferred():
    service = "nvidia_ace.services.a2f_authoring.v1.A2FAuthoringService"
    (upload_path, clip, handle), (pose_path, pose, data) = (protos.method(service, name)
                                                            for name in ("UploadAudioClip", "GetAvatarFacePose"))

    async def work():
        async with serving(**TINY) as server, channel(server.ports["a2f"]) as link:
            upload = link.unary_unary(upload_path, clip.SerializeToString, handle.FromString)
            ask = link.unary_unary(pose_path, pose.SerializeToString, data.FromString)
            name = (await upload(clip(audio_header=opening().audio_stream_header.audio_header,
                                      content=VOICE.tobytes()))).audio_clip_id
            at = {"audio_hash": name, "time_stamp": 2.0}
            joy = {"preferred_emotions": {"joy": 1.0}}
            return [await ask(pose(**at, **more)) for more in (
                {}, joy, {**joy, "emotion_pp_params": {"preferred_emotion_strength": 1.0}},
                {**joy, "emotion_pp_params": {"enable_preferred_emotion": False}},
                {"emotion_pp_params": {"emotion_strength": 0.0}})]

    heard, both, preferred, without, neutral = run(work())
    felt_there = named(expected(Mixing(), 0.0))[120]
    assert max(felt_there) > 0.02
    assert [heard.emotions[name] for name in space.A2F_NAMES] == pytest.approx(felt_there, abs=3e-4)
    assert both.emotions["joy"] == pytest.approx(0.5 * heard.emotions["joy"] + 0.3, abs=1e-4)
    assert preferred.emotions["joy"] == pytest.approx(0.6)
    assert dict(without.emotions) == dict(heard.emotions)
    assert not any(neutral.emotions.values())
    faces = [tuple(one.blendshapes) for one in (heard, both, preferred, neutral)]
    assert len(set(faces)) == 4
    assert tuple(without.blendshapes) == faces[0]


def test_a_face_that_hears_nothing_is_left_as_it_is():
    chain = animator().chain
    assert hearing(chain, 2) is chain
    rows = np.zeros((4, FEATURES + len(COLUMNS)), np.float32)
    stage = Hearing(animator(2, "auto").chain.heard, 2)
    plain = animator(2, "auto").chain.heard
    assert np.array_equal(stage.push(stage.start(), rows)[1], plain.push(plain.start(), rows)[1])
