"""Sound on its way in: encodings, channels and lengths."""

from __future__ import annotations

import io

import grpc
import numpy as np
import pytest
import soundfile
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
)

from facerig.server.codec import Decoder
from facerig.server.flow import Sound
from facerig.v1 import animation_pb2 as pb


@pytest.mark.parametrize("encoding", ["float32", "flac", "opus"])
def test_encodings(encoding):
    fields = {"float32": pb.AudioFormat.ENCODING_FLOAT32, "flac": pb.AudioFormat.ENCODING_FLAC,
              "opus": pb.AudioFormat.ENCODING_OPUS}
    rate = 48_000 if encoding == "opus" else RATE
    samples = noise(1.0, rate=rate)
    chunks = encoded(encoding, samples, rate)
    parts = [pb.AnimateRequest(audio=pb.AudioChunk(data=chunk)) for chunk in chunks]
    first = header(rate, audio=pb.AudioFormat(encoding=fields[encoding], rate=rate))
    answers, code = run(once([first, *parts, END]))
    values = rows(answers)[1]
    assert code is grpc.StatusCode.OK, answers[-1]
    whole = animator().animate(samples, rate).values
    if encoding == "opus":  # lossy: the same motion, not the same bits
        assert abs(len(values) - len(whole)) <= 2
        assert np.corrcoef(values[:55, 17], whole[:55, 17])[0, 1] > 0.9
        assert not answers[0].header.resumable
    else:
        assert np.array_equal(values, whole)


def encoded(encoding, samples, rate):
    if encoding == "float32":
        return [(samples / np.float32(32768)).astype("<f4").tobytes()]
    if encoding == "flac":
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
        data = file.getvalue()
        return [data[at : at + 1_000] for at in range(0, len(data), 1_000)]
    av = pytest.importorskip("av")
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = rate, "mono", "s16"
    packets = []
    for at in range(0, len(samples), 960):
        part = np.zeros((1, 960), np.int16)
        part[0, : len(samples[at : at + 960])] = samples[at : at + 960]
        frame = av.AudioFrame.from_ndarray(part, "s16", "mono")
        frame.sample_rate = rate
        packets += codec.encode(frame)
    return [bytes(packet) for packet in [*packets, *codec.encode(None)]]


def test_an_empty_chunk_of_opus_is_nothing():
    packets = encoded("opus", noise(0.5, rate=48_000), 48_000)
    plain, spread = (Decoder("opus", Sound(48_000)) for _ in range(2))
    whole = b"".join([*map(plain.push, packets), plain.flush()])
    assert whole
    assert b"".join([*(spread.push(part) for packet in packets for part in (b"", packet)), spread.flush()]) == whole


def test_stereo_is_mixed_down():
    stereo = np.stack([SAMPLES, np.zeros_like(SAMPLES)], axis=1)
    first = header(audio=pb.AudioFormat(rate=RATE, channels=2))
    answers, _ = run(once([first, audio(stereo), END]))
    assert np.array_equal(rows(answers)[1], animator().animate(stereo, RATE).values)


@pytest.mark.parametrize(("held", "told"), [(4, 4), (6, 6), (2, 4), (2, 1), (1, 2)])
def test_flac_of_many_channels_keeps_its_speed(held, told):
    pytest.importorskip("av")
    file = io.BytesIO()
    soundfile.write(file, np.repeat(SAMPLES[:, None], held, axis=1), RATE, format="FLAC", subtype="PCM_16")
    data = file.getvalue()
    parts = [pb.AnimateRequest(audio=pb.AudioChunk(data=data[at : at + 9_000])) for at in range(0, len(data), 9_000)]
    said_ = pb.AudioFormat(encoding=pb.AudioFormat.ENCODING_FLAC, rate=RATE, channels=told)
    answers, code = run(once([header(audio=said_), *parts, END]))
    values = rows(answers)[1]
    assert code is grpc.StatusCode.OK
    assert len(values) == len(expected())
    assert np.abs(values - expected()).max() < 0.02  # mixed down to the same voice, but for rounding


@pytest.mark.parametrize("fps", [24, 25, 50, 59, 61, 120])
@pytest.mark.parametrize("samples", [1, 267, 8_001, 8_266])
def test_a_stream_has_as_many_frames_as_the_clip_offline(fps, samples):
    answers, _ = run(once([header(fps=fps), audio(SAMPLES[:samples]), END]))
    assert len(rows(answers)[0]) == animator().animate(SAMPLES[:samples], RATE).resample(fps).frames


def test_the_length_of_a_stream_and_of_a_clip_have_limits_of_their_own():
    """Whatever the pacing."""
    samples = noise(3.0)

    async def work():
        async with serving(**TINY, clip_seconds=2) as server, channel(server.ports["facerig"]) as link:
            call = link.unary_stream(
                ANIMATE_FILE, pb.AnimateFileRequest.SerializeToString, pb.AnimateResponse.FromString
            )
            lead = header(pacing=pb.Pacing(mode=pb.Pacing.MODE_LEAD, lead_ms=9_000)).header
            clip = await said(call(pb.AnimateFileRequest(header=lead, audio=samples.tobytes())))
            stream = await said(animate(link, iter([header(), *map(audio, cut(samples, 9_000)), END])))
            return clip[1], stream[1]

    assert run(work()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK)
