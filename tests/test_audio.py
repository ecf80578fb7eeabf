"""Reading sound: every container and sample type gives the same samples; everything broken gives one clear line."""

from __future__ import annotations

import io
import struct
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from facerig.audio import Audio, Pcm, open_audio, read
from facerig.errors import AudioError, FacerigError, OptionError

RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE)).astype(np.float32)


def spoken(path: Path, samples: np.ndarray = TONE, rate: int = RATE, **how: str) -> Path:
    soundfile.write(path, samples, rate, **how)
    return path


def same_sound(got: Audio, tolerance: float) -> bool:
    """Codecs may pad; the tone must be there at its level and pitch."""
    spectrum = np.abs(np.fft.rfft(got.samples[: got.rate // 2 * 2]))
    pitch = int(spectrum.argmax()) * got.rate / (got.rate // 2 * 2)
    level = np.sqrt(np.mean(got.samples[got.rate // 4 : got.rate // 2] ** 2))
    return abs(pitch - 220) < 3 and abs(level - 0.5 / np.sqrt(2)) < tolerance


@pytest.mark.parametrize(("suffix", "how", "tolerance"), [
    (".wav", {"subtype": "PCM_16"}, 1e-3),
    (".wav", {"subtype": "PCM_U8"}, 1e-2),
    (".wav", {"subtype": "PCM_24"}, 1e-4),
    (".wav", {"subtype": "PCM_32"}, 1e-4),
    (".wav", {"subtype": "FLOAT"}, 1e-6),
    (".wav", {"subtype": "DOUBLE"}, 1e-6),
    (".wav", {"subtype": "ULAW"}, 2e-2),
    (".flac", {}, 1e-3),
    (".ogg", {"subtype": "VORBIS"}, 2e-2),
    (".opus", {"format": "OGG", "subtype": "OPUS"}, 2e-2),
    (".mp3", {}, 2e-2),
    (".aiff", {}, 1e-3),
])
def test_libsndfile_formats(tmp_path: Path, suffix: str, how: dict[str, str], tolerance: float) -> None:
    got = read(spoken(tmp_path / f"tone{suffix}", **how))
    assert same_sound(got, tolerance)
    assert abs(got.seconds - 1) < 0.15


@pytest.mark.parametrize(("suffix", "codec"), [
    (".m4a", "aac"), (".mp4", "aac"), (".mov", "pcm_s16le"), (".webm", "libopus")])
def test_media_containers(tmp_path: Path, suffix: str, codec: str) -> None:
    av = pytest.importorskip("av", reason="extra media is not installed")
    path, rate = tmp_path / f"tone{suffix}", 48_000
    tone = (0.5 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate)).astype(np.float32)
    sound = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
    sound.rate = rate
    with av.open(str(path), "w") as out:
        track = out.add_stream(codec, rate=rate, layout="stereo")
        film = out.add_stream("mpeg4", rate=25) if suffix in (".mp4", ".mov") else None
        if film is not None:
            film.width, film.height, film.pix_fmt = 32, 32, "yuv420p"
            out.mux(film.encode(av.VideoFrame(32, 32, "yuv420p")))
        convert = av.AudioResampler(format=track.format.name, layout="stereo", rate=rate,
                                    frame_size=track.codec_context.frame_size or 1024)
        for piece in [*convert.resample(sound), *convert.resample(None)]:
            out.mux(track.encode(piece))
        for stream in out.streams:
            out.mux(stream.encode(None))
    got = read(path)
    assert got.rate == rate
    assert same_sound(got, 3e-2)


def test_eight_channels_are_mixed_down(tmp_path: Path) -> None:
    wide = np.tile(TONE[:, None], (1, 8)) * np.linspace(0.5, 1.5, 8, dtype=np.float32)
    got = read(spoken(tmp_path / "surround.wav", wide, subtype="FLOAT"))
    assert np.abs(got.samples - TONE).max() < 1e-6


def test_raw_samples_need_a_word_and_then_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "tone.raw"
    path.write_bytes((TONE * 32767).astype(">i2").tobytes())
    with pytest.raises(AudioError, match="s16le:16000:1"):
        read(path)
    got = read(path, Pcm.parse("s16be:16000:1"))
    assert np.abs(got.samples - TONE).max() < 1e-4
    path.write_bytes(b"123")
    with pytest.raises(AudioError, match="3 bytes"):
        read(path, Pcm())


@pytest.mark.parametrize("text", ["s12le", "s16le:abc", "s16le:16000:0", "s16le:16000:1:9", "s16le:16000:99", ""])
def test_bad_pcm(text: str) -> None:
    with pytest.raises(OptionError, match="TYPE:RATE:CHANNELS"):
        Pcm.parse(text)


def test_one_sample_and_silence_are_sound_too(tmp_path: Path) -> None:
    assert len(read(spoken(tmp_path / "one.wav", TONE[:1])).samples) == 1
    assert not read(spoken(tmp_path / "still.wav", np.zeros(500))).samples.any()


def test_blocks_join_to_the_whole(tmp_path: Path) -> None:
    path = spoken(tmp_path / "tone.flac")
    with open_audio(path, block_seconds=0.0371) as source:
        assert source.samples == RATE
        blocks = list(source.blocks)
    assert len(blocks) > 20
    assert np.concatenate(blocks).tobytes() == read(path).samples.tobytes()


def test_two_hours_are_read_in_little_memory(tmp_path: Path) -> None:
    path, seconds = tmp_path / "long.wav", 7200
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(8000)
        minute = bytes(8000 * 60)
        for _ in range(seconds // 60):
            out.writeframesraw(minute)
    tracemalloc.start()
    with open_audio(path) as source:
        total = sum(len(block) for block in source.blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == seconds * 8000
    assert peak < 2_000_000


def wav_bytes(rate: int = RATE, channels: int = 1, data: bytes = b"\0\0" * 100, claim: int | None = None) -> bytes:
    size = len(data) if claim is None else claim
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack(
        "<I", size) + data


def flac_cut() -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.random.default_rng(0).standard_normal(RATE) * 0.1, RATE, format="FLAC")
    return stream.getvalue()[:4000]


BROKEN: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("a.wav", lambda: b"", "is empty"),
    "text": ("a.wav", lambda: b"this is no sound at all, just text", "cannot be read as audio"),
    "text mp3": ("a.mp3", lambda: b"hello" * 50, "cannot be read|holds no samples"),
    "zeros": ("a.flac", lambda: bytes(5000), "cannot be read as audio"),
    "header only": ("a.wav", lambda: wav_bytes(data=b""), "holds no samples"),
    "half a header": ("a.wav", lambda: wav_bytes()[:20], "cannot be read as audio"),
    "slow": ("a.wav", lambda: wav_bytes(rate=4000), "4000 Hz, accepted: 8000 to 192000"),
    "fast": ("a.wav", lambda: wav_bytes(rate=384_000), "384000 Hz"),
    "no channels": ("a.wav", lambda: wav_bytes(channels=0), "cannot be read as audio"),
    "zero rate": ("a.wav", lambda: wav_bytes(rate=0), "cannot be read|0 Hz"),
    "mp4 of text": ("a.mp4", lambda: b"not a film" * 40, "cannot be read as audio or video"),
    "m4a of zeros": ("a.m4a", lambda: bytes(4000), "cannot be read as audio or video"),
    "unknown": ("a.xyz", lambda: b"\x01\x02\x03\x04" * 100, "cannot be read as audio"),
    "opus cut": ("a.opus", lambda: b"OggS" + bytes(30), "cannot be read as audio"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_give_one_clear_line(tmp_path: Path, case: str) -> None:
    name, make, reason = BROKEN[case]
    path = tmp_path / name
    path.write_bytes(make())
    if path.suffix in (".mp4", ".m4a"):
        pytest.importorskip("av", reason="extra media is not installed")
    with pytest.raises(FacerigError, match=reason) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_flac_or_an_overlong_claim_gives_what_is_there_or_an_error(tmp_path: Path) -> None:
    for name, data in (("cut.flac", flac_cut()), ("claim.wav", wav_bytes(claim=2**31))):
        path = tmp_path / name
        path.write_bytes(data)
        try:
            length = len(read(path).samples)
        except AudioError as error:
            length, message = 1, str(error)
            assert name in message
        assert 0 < length <= RATE


@pytest.mark.parametrize(("kept", "words"), [(0.25, "holds 0.25 s of the 1.00 s"), (1.0, "")])
def test_a_wav_that_is_cut_short_is_read_and_said(tmp_path: Path, kept: float, words: str) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.full((RATE, 2), 0.25), RATE, subtype="PCM_16")
    whole = file.read_bytes()
    head = len(whole) - RATE * 4
    file.write_bytes(whole[: head + round(RATE * kept) * 4])
    with open_audio(file) as source:
        assert sum(len(block) for block in source.blocks) == round(RATE * kept)
        assert words in source.note
        assert bool(source.note) == bool(words)


def test_a_stream_of_unknown_length_is_not_taken_for_cut(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.full(RATE, 0.25), RATE, subtype="PCM_16")
    data = bytearray(file.read_bytes())
    data[40:44] = b"\xff" * 4
    file.write_bytes(data)
    with open_audio(file) as source:
        assert source.note == ""


def test_nan_is_named_by_its_place(tmp_path: Path) -> None:
    samples = TONE.copy()
    samples[12_345] = np.nan
    with pytest.raises(AudioError, match=r"nan\.wav: block from sample 0: sample 12345"):
        read(spoken(tmp_path / "nan.wav", samples, subtype="FLOAT"))


def test_missing_folder_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        read(tmp_path / "absent.wav")
    with pytest.raises(AudioError, match="is a folder"):
        read(tmp_path)
