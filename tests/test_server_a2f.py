"""NVIDIA's protocol, as its published client programs use it: header, chunks of a second, emotions with the first, end.

The order of calls, fields and reads below is that of those programs; messages come from a pool of their own.
"""

from __future__ import annotations

import asyncio
import json

import grpc
import numpy as np
import pytest
import soundfile
import yaml
from server_kit import RATE, animator, channel, noise, process_audio, run, serving, until

from facerig.emotion.space import A2F_NAMES
from facerig.rig import rig
from facerig.server import a2f_params, outlet, protos
from facerig.server.a2f import A2FService

TINY = {"sessions": 4, "max_batch": 4, "capacity": 4, "a2f_port": 0, "port": -1, "a2f_pacing": "burst"}
ASKED = protos.message("nvidia_ace.controller.v1.AudioStream")
AGGREGATE = protos.message("nvidia_ace.emotion_aggregate.v1.EmotionAggregate")
SAMPLES = noise(2.3)


def opening(rate=RATE, **params):
    audio = {"samples_per_second": rate, "bits_per_sample": 16, "channel_count": 1, "audio_format": 0}
    return ASKED(audio_stream_header={"audio_header": audio, **params})


def sound(samples, emotions=()):
    return ASKED(audio_with_emotion={"audio_buffer": samples.tobytes(), "emotions": list(emotions)})


END = ASKED(end_of_audio={})


async def heard(call):
    """(headers, data, events, statuses, gRPC code)"""
    found = {"animation_data_stream_header": [], "animation_data": [], "event": [], "status": []}
    order = []
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            part = answer.WhichOneof("stream_part")
            order.append(part)
            found[part].append(getattr(answer, part))
    except grpc.aio.AioRpcError as error:
        return found, order, error.code()
    return found, order, await call.code()


async def talk(requests, metadata=(), **options):
    async with serving(**{**TINY, **options}) as server, channel(server.ports["a2f"]) as link:
        found = await heard(process_audio(link, iter(requests), metadata))
        await until(lambda: not server.house.guests)
        return found


def weights(found):
    return np.array(
        [list(data.skel_animation.blend_shape_weights[0].values) for data in found["animation_data"]], np.float32
    )


def expected(samples=SAMPLES, fps=30, shapes="a2f", rate=RATE):
    own = animator()
    _, mapped = outlet.mapper("facerig", own.channels, shapes)
    return mapped(outlet.sampled(own.animate(samples, rate).values, fps))


def seconds(samples=SAMPLES, rate=RATE):
    return [samples[at : at + rate] for at in range(0, len(samples), rate)]


def test_a_clip_as_the_sample_client_sends_it():
    found, order, code = run(talk([opening(), *map(sound, seconds()), END]))
    assert code is grpc.StatusCode.OK
    assert order[0] == "animation_data_stream_header"
    assert order[-2:] == ["event", "status"]
    head, status = found["animation_data_stream_header"][0], found["status"][0]
    assert tuple(head.skel_animation_header.blend_shapes) == rig("a2f").names
    assert head.audio_header.samples_per_second == RATE
    assert head.start_time_code_since_epoch > 1e9
    assert status.code == 0
    values, clip = weights(found), expected()
    assert np.array_equal(values[: len(clip)], clip)
    assert len(values) <= len(clip) + 6
    codes = [data.skel_animation.blend_shape_weights[0].time_code for data in found["animation_data"]]
    assert np.allclose(codes, np.arange(len(codes)) / 30)
    assert b"".join(data.audio.audio_buffer for data in found["animation_data"]) == SAMPLES.tobytes()


def test_names_are_nvidias(validators):
    known = (validators / "arkit52_pascal.txt").read_text().split()
    assert sorted(rig("a2f").names) == sorted(known)
    assert len(rig("a2f68").names) == 68


@pytest.mark.parametrize("chunk", [16, 1_600, 36_800])
def test_chunks_do_not_matter(chunk):
    parts = [sound(SAMPLES[at : at + chunk]) for at in range(0, len(SAMPLES), chunk)]
    found, _, _ = run(talk([opening(), *parts, END]))
    assert np.array_equal(weights(found)[: len(expected())], expected())


def test_sixty_frames_and_tongue_on_request():
    found, _, _ = run(talk([opening(), sound(SAMPLES), END], (("facerig-fps", "60"), ("facerig-tongue", "true"))))
    clip = expected(fps=60, shapes="a2f68")
    assert np.array_equal(weights(found)[: len(clip)], clip)
    assert len(found["animation_data_stream_header"][0].skel_animation_header.blend_shapes) == 68
    found, _, _ = run(talk([opening(), sound(SAMPLES), END], a2f_fps=60, a2f_tongue=True))
    assert np.array_equal(weights(found)[: len(clip)], clip)


@pytest.mark.parametrize("chunk", [3_200, 3_201, 999])
def test_the_gain_on_the_audio_is_heard_and_not_sent_back(chunk):
    data, face = SAMPLES.tobytes(), {"float_params": {"inputStrength": 1.5}}
    parts = [ASKED(audio_with_emotion={"audio_buffer": data[at : at + chunk]}) for at in range(0, len(data), chunk)]
    found, _, _ = run(talk([opening(face_params=face), *parts, END]))
    clip = expected(np.clip(SAMPLES * np.float32(1.5 / 32_768), -1, 1))
    assert np.array_equal(weights(found)[: len(clip)], clip)
    assert not np.array_equal(clip, expected())
    assert b"".join(one.audio.audio_buffer for one in found["animation_data"]) == data


@pytest.mark.parametrize(("given", "fps"), [("30.0", 30), ("60", 60)])
def test_a_rate_as_a_client_prints_it(given, fps):
    found, _, _ = run(talk([opening(), sound(SAMPLES), END], (("facerig-fps", given),)))
    assert found["animation_data"][1].audio.time_code == pytest.approx(1 / fps)


@pytest.mark.parametrize("given", ["abc", "24", "", "-60", "30.5"])
def test_a_rate_that_there_is_not_is_refused_in_words(given):
    found, _, code = run(talk([opening(), sound(SAMPLES), END], (("facerig-fps", given),)))
    assert [(one.code, one.message) for one in found["status"]] == [
        (3, f"facerig-fps: got {given!r}, accepted: 30 or 60")]
    assert code is grpc.StatusCode.OK


def test_the_mouth_is_closed_at_the_end():
    loud = np.full(RATE, 9_000, "<i2") * np.where(np.arange(RATE) % 60 < 30, 1, -1).astype("<i2")
    found, _, _ = run(talk([opening(), sound(loud), END]))
    mouth = [place for place, name in enumerate(rig("a2f").names) if name.startswith(("Jaw", "Mouth", "Tongue"))]
    values = weights(found)[:, mouth]
    assert values[29].max() > 0.2
    assert values[-1].max() <= 0.02
    assert len(values) <= 36


def test_parameters_act_after_everything_else():
    multipliers = dict.fromkeys(rig("a2f").names, 1.0) | {"JawOpen": 2.0}
    offsets = dict.fromkeys(rig("a2f").names, 0.0) | {"BrowInnerUp": 0.1}
    blend = {"bs_weight_multipliers": multipliers, "bs_weight_offsets": offsets}
    face = {"float_params": {"lowerFaceStrength": 1.25, "upperFaceStrength": 1.0, "lowerFaceSmoothing": 0.05}}
    found, _, _ = run(talk([opening(blendshape_params=blend, face_params=face), sound(SAMPLES), END]))
    notes: list[str] = []
    wire = protos.message("nvidia_ace.a2f.v1.FaceParameters")(**face)
    shape = protos.message("nvidia_ace.a2f.v1.BlendShapeParameters")(**blend)
    post = a2f_params.FacePost(a2f_params.face_of(wire, shape, rig("a2f").names, notes), rig("a2f").names, 30)
    clip = post.push(0, expected(), expected())
    assert not notes
    assert np.array_equal(weights(found)[: len(clip)], clip)
    assert not np.array_equal(clip, expected())


def test_time_coded_emotions_and_their_metadata():
    post = {"emotion_strength": 1.0, "max_emotions": 6}
    params = {"emotion_post_processing_params": post, "emotion_params": {"live_transition_time": 0.1,
                                                                         "beginning_emotion": {"joy": 1.0}}}
    later = [{"time_code": 1.0, "emotion": {"sadness": 0.8}}]
    found, _, _ = run(talk([opening(**params), sound(SAMPLES, later), END]))
    moods, given = [], []
    for data in found["animation_data"]:
        aggregate = AGGREGATE.FromString(data.metadata["emotion_aggregate"].value)
        assert data.metadata["emotion_aggregate"].type_url.endswith("/nvidia_ace.emotion_aggregate.v1.EmotionAggregate")
        assert not aggregate.a2e_output  # NVIDIA's own client fails on anything in it
        moods.append(dict(aggregate.a2f_smoothed_output[0].emotion))
        given.append(dict(aggregate.input_emotions[0].emotion))
    assert set(moods[0]) == set(A2F_NAMES)
    assert moods[0]["joy"] == pytest.approx(1.0)
    assert given[40]["sadness"] == pytest.approx(0.8)
    assert moods[50]["sadness"] == pytest.approx(0.8)
    assert moods[50]["joy"] == 0
    assert 0 < moods[31]["joy"] < 1  # it fades


def felt(found, name):
    aggregates = [AGGREGATE.FromString(data.metadata["emotion_aggregate"].value) for data in found["animation_data"]]
    return np.array([[dict(wire[0].emotion)[name] for wire in (one.input_emotions, one.a2f_smoothed_output)]
                     for one in aggregates])


def timed(when, name):
    return {"time_code": when, "emotion": {name: 1.0}}


def asked_late(*emotions, before=()):
    """What comes of emotions that come once their time has been shown."""
    async def work():
        async with serving(**TINY) as server, channel(server.ports["a2f"]) as link:
            call = process_audio(link)
            for request in (opening(), sound(SAMPLES[:RATE], before)):
                await call.write(request)
            shown = 0
            while shown < 20:  # of these 30 frames
                shown += (await call.read()).HasField("animation_data")
            for request in (sound(SAMPLES[RATE:], emotions), END):
                await call.write(request)
            await call.done_writing()
            return await heard(call)

    return run(work())[0]


@pytest.mark.parametrize("time_code", [0.0, 0.5])
def test_an_emotion_whose_time_has_passed_fades_in_from_now_on(time_code):
    joy = felt(asked_late(timed(time_code, "joy")), "joy")[:, 1]
    assert joy[-1] == pytest.approx(0.6)
    assert np.diff(joy, prepend=0).max() < 0.15


def test_an_emotion_that_another_followed_before_it_came_is_over():
    found = asked_late(timed(0.2, "joy"), before=[timed(0.4, "anger")])
    assert not felt(found, "joy")[:, 1].any()
    assert felt(found, "anger")[-1].all()


def test_time_codes_may_come_in_any_order():
    """In a later message the earlier one: as if both had come by their time."""
    joy, anger = timed(0.6, "joy"), timed(1.4, "anger")
    by_time, turned = (
        run(talk([opening(), sound(SAMPLES[:1600], first), sound(SAMPLES[1600:], then), END]))[0]
        for first, then in (([joy, anger], []), ([anger], [joy])))
    assert np.array_equal(weights(turned), weights(by_time))
    for name in ("joy", "anger"):
        assert np.array_equal(felt(turned, name), felt(by_time, name))
    assert felt(turned, "joy")[30].all()
    assert felt(turned, "anger")[60].all()


def test_emotions_that_have_passed_are_forgotten():
    """One with each 20 ms, for longer than as many may wait; and a crowd that waits is refused."""
    silence = np.zeros(320, "<i2")
    parts = [sound(silence, [{"time_code": k * 0.02, "emotion": {"joy": k / 1_100}}]) for k in range(1_100)]
    found, _, _ = run(talk([opening(), *parts, END]))
    assert (found["status"][-1].code, found["status"][-1].message) == (0, "sent all data successfully")
    last = AGGREGATE.FromString(found["animation_data"][650].metadata["emotion_aggregate"].value)
    assert last.input_emotions[0].emotion["joy"] == pytest.approx(1_083 / 1_100)
    crowd = [{"time_code": 5 + k * 0.02, "emotion": {"joy": 1.0}} for k in range(1_001)]
    found, _, _ = run(talk([opening(), sound(SAMPLES, crowd), END]))
    assert found["status"][-1].message == "emotions: got 1001, accepted: up to 1000 that wait for their time"


def test_what_has_no_counterpart_is_said_once():
    params = {"face_params": {"float_params": {"prosody": 1.0}, "integer_params": {"seed": 3}}}
    parts = [sound(part, [{"time_code": 0.1 * k, "emotion": {"boredom": 1.0}}]) for k, part in enumerate(seconds())]
    found, _, _ = run(talk([opening(**params), *parts, END]))
    infos = [status.message for status in found["status"] if status.code == 1]
    said = " ".join(infos)
    assert "prosody" in said
    assert "seed" in said
    assert said.count("boredom") == 1
    assert found["status"][-1].code == 0


@pytest.mark.parametrize(("requests", "word"), [
    ([sound(SAMPLES)], "header"),
    ([END], "header"),
    ([], "header"),
    ([opening(rate=4_000), sound(SAMPLES)], "samples_per_second"),
    ([ASKED(audio_stream_header={"audio_header": {"samples_per_second": RATE, "bits_per_sample": 24,
                                                  "channel_count": 1}})], "bits_per_sample"),
    ([ASKED(audio_stream_header={"audio_header": {"samples_per_second": RATE, "bits_per_sample": 16,
                                                  "channel_count": 2}})], "channel_count"),
    ([opening(), opening()], "audio_with_emotion"),
    ([opening(face_params={"float_params": {"skinStrength": float("nan")}})], "skinStrength"),
    ([opening(), sound(SAMPLES, [{"time_code": float("nan"), "emotion": {"joy": 1.0}}])], "time_code"),
    ([opening(), sound(np.zeros(600_000, "<i2"))], "audio buffer"),
])
def test_errors_are_a_status_on_a_stream_that_ends_well(requests, word):
    found, order, code = run(talk(requests))
    assert order[-1] == "status"
    assert found["status"][-1].code == 3
    assert word in found["status"][-1].message
    assert code is grpc.StatusCode.OK


def test_a_client_that_is_refused_is_heard_out_before_the_status():
    """A status that comes while they write is INTERNAL to some clients, who would not try elsewhere."""
    written, ended = [], []

    async def writing():
        for request in (opening(), *map(sound, seconds()), END):
            written.append(request)
            yield request

    class Call:
        async def abort(self, code, details):
            ended.append((code, len(written)))
            raise grpc.aio.AbortError

    async def work():
        async with serving(**TINY) as server:
            server.house.draining = True
            return [answer async for answer in A2FService(server.house).process(writing(), Call())]

    (answer,) = run(work())
    assert answer.status.code == 3
    assert ended == [(grpc.StatusCode.UNAVAILABLE, 5)]


def test_a_real_recording_at_its_own_rate(shared_data):
    samples, rate = soundfile.read(
        shared_data / "a2f_example_audio" / "Claire_neutral.wav", dtype="int16", frames=48_000
    )
    found, _, _ = run(talk([opening(rate), *map(sound, seconds(samples, rate)), END]))
    clip = expected(samples, rate=rate)
    assert np.array_equal(weights(found)[: len(clip)], clip)


def test_health_as_its_clients_ask():
    path, asked, answer = protos.method("grpc.health.v1.Health", "Check")

    async def work():
        async with serving(**TINY) as server, channel(server.ports["a2f"]) as link:
            check = link.unary_unary(path, asked.SerializeToString, answer.FromString)
            up = (await check(asked())).status
            unknown = None
            try:
                await check(asked(service="no.such.Service"))
            except grpc.aio.AioRpcError as error:
                unknown = error.code()
            server.house.draining = True
            return up, unknown, (await check(asked())).status

    assert run(work()) == (1, grpc.StatusCode.NOT_FOUND, 2)


@pytest.mark.parametrize(("kind", "read"), [(0, yaml.safe_load), (1, json.loads)])
def test_configs(kind, read):
    path, asked, answer = protos.method("nvidia_ace.services.a2x_export_config.v1.A2XExportConfigService", "GetConfigs")

    async def work():
        async with serving(**TINY) as server, channel(server.ports["a2f"]) as link:
            call = link.unary_stream(path, asked.SerializeToString, answer.FromString)
            return [(one.name, one.content) async for one in call(asked(config_type=kind))]

    found = {name.split(".")[0]: read(content) for name, content in run(work())}
    style = found["facerig_stylization_config"]
    assert set(style["default_beginning_emotions"]) == set(A2F_NAMES)
    assert list(style["a2f"]["blendshape_params"]["weight_multipliers"]) == list(rig("a2f").names)


def test_authoring():
    service = "nvidia_ace.services.a2f_authoring.v1.A2FAuthoringService"
    (upload_path, clip, handle), (pose_path, pose, data) = (protos.method(service, name)
                                                            for name in ("UploadAudioClip", "GetAvatarFacePose"))

    async def work():
        async with serving(**TINY) as server, channel(server.ports["a2f"]) as link:
            upload = link.unary_unary(upload_path, clip.SerializeToString, handle.FromString)
            ask = link.unary_unary(pose_path, pose.SerializeToString, data.FromString)
            request = clip(audio_header=opening().audio_stream_header.audio_header, content=SAMPLES.tobytes())
            first, again = await upload(request), await upload(request)
            poses = [await ask(pose(audio_hash=first.audio_clip_id, time_stamp=k / 30)) for k in range(0, 60, 7)]
            joy = await ask(pose(audio_hash=first.audio_clip_id, preferred_emotions={"joy": 1.0},
                                 emotion_pp_params={"emotion_strength": 1.0}))
            refused = []
            for wrong in (pose(audio_hash="../../etc/passwd"), pose(audio_hash=first.audio_clip_id, time_stamp=-1)):
                try:
                    await ask(wrong)
                except grpc.aio.AioRpcError as error:
                    refused.append(error.code())
            return first, again, poses, joy, refused

    first, again, poses, joy, refused = run(work())
    assert first.audio_clip_id == again.audio_clip_id
    assert len(first.audio_clip_id) == 64
    assert tuple(first.blendshape_names) == rig("a2f").names
    found = np.array([list(one.blendshapes) for one in poses], np.float32)
    assert np.allclose(found, expected()[0:60:7], atol=1e-6)
    assert joy.emotions["joy"] == 1
    assert refused == [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT]


def test_header_is_answered_before_any_audio():
    async def work():
        async with serving(**TINY) as server, channel(server.ports["a2f"]) as link:
            call = process_audio(link)
            await call.write(opening())
            first = await asyncio.wait_for(call.read(), 10)
            call.cancel()
            return first.WhichOneof("stream_part")

    assert run(work()) == "animation_data_stream_header"
