"""Reading sound: every container and sample type gives the same samples; everything broken gives one clear line."""

from __future__ import annotations

import os
import re
import struct
import sys
import threading
import tracemalloc
import wave
from collections.abc import Callable
from fractions import Fraction
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
@pytest.mark.parametrize("size", [100_000, 100_001])
def test_raw_samples_from_a_pipe_have_no_length_and_must_be_whole(size: int, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(bytes(size)))
    writer.start()
    with open_audio(pipe, Pcm()) as source:
        assert source.samples is None
        if size % 2:
            with pytest.raises(AudioError, match="100001 bytes are not a whole number"):
                source.whole()
        else:
            assert len(source.whole().samples) == size // 2
    writer.join()


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


def test_an_overlong_claim_gives_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "claim.wav"
    file.write_bytes(wav_bytes(claim=2**31))
    assert len(read(file).samples) == 100


@pytest.mark.parametrize(("kept", "words"), [(0.25, "holds 0.25 s of the 1.00 s"), (1.0, "")])
def test_a_wav_that_is_cut_short_is_read_and_said(tmp_path: Path, kept: float, words: str) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.full((RATE, 2), 0.25), RATE, subtype="PCM_16")
    whole = file.read_bytes()
    head = len(whole) - RATE * 4
    file.write_bytes(whole[: head + round(RATE * kept) * 4])
    with open_audio(file) as source:
        assert sum(len(block) for block in source.blocks) == round(RATE * kept)
        assert words in "".join(source.notes)
        assert len(source.notes) == bool(words)


def test_a_stream_of_unknown_length_is_not_taken_for_cut(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.full(RATE, 0.25), RATE, subtype="PCM_16")
    data = bytearray(file.read_bytes())
    data[40:44] = b"\xff" * 4
    file.write_bytes(data)
    with open_audio(file) as source:
        assert source.notes == []


def test_a_header_that_was_never_filled_in_is_said(tmp_path: Path) -> None:
    file = spoken(tmp_path / "a.wav", subtype="PCM_16")
    data = bytearray(file.read_bytes())
    data[4:8] = data[40:44] = bytes(4)
    file.write_bytes(data)
    with pytest.raises(AudioError, match=f"its header says 0 bytes of sound, and {2 * RATE} follow; .*raw samples"):
        read(file)
    file.write_bytes(data[:44])
    with pytest.raises(AudioError, match="holds no samples"):
        read(file)


@pytest.mark.parametrize(("suffix", "how", "words"), [
    (".aiff", {}, r"is cut short: holds 4.0\d s of the 8.0\d s in its header$"),
    (".au", {}, r"is cut short: holds 4.0\d s of the 8.0\d s in its header$"),
    (".w64", {}, r"is cut short: holds 4.0\d s of the 8.0\d s in its header$"),
    (".rf64", {}, r"is cut short: holds 4.0\d s of the 8.0\d s in its header$"),
    (".mp3", {}, r"is cut short: holds 4.0\d s of the 8.0\d s in its header$"),
    (".ogg", {"subtype": "VORBIS"}, r"may be cut short: holds [23]\.\d\d s, and no mark"),
    (".opus", {"format": "OGG", "subtype": "OPUS"}, r"may be cut short: holds [23]\.\d\d s, and no mark"),
])
def test_sound_that_broke_off_is_read_and_said(tmp_path: Path, suffix: str, how: dict[str, str], words: str) -> None:
    noise = np.random.default_rng(0).standard_normal(8 * RATE).astype(np.float32) * 0.1
    file = spoken(tmp_path / f"a{suffix}", noise, **how)
    with open_audio(file) as source:
        assert source.whole().seconds == pytest.approx(8)
        assert source.notes == []
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2 + 20])
    with open_audio(file) as source:
        assert 2 < source.whole().seconds < 4.1
    assert re.match(f"{re.escape(str(file))}: {words}", source.notes[0])


FILM_RATE = 48_000


def film(path: Path, codec: str = "pcm_s16le", late: float = 0.0, lost: tuple[float, float] = (9, 9),
         shift: float = 0.0, jitter: float = 0.0) -> Path:
    """Three seconds of picture at `shift`, and as much noise that begins `late` and lacks the packets of `lost`; the
    recorder's clock errs by up to `jitter`."""
    av = pytest.importorskip("av", reason="extra media is not installed")
    noise = np.random.default_rng(0).standard_normal(3 * FILM_RATE).astype(np.float32) * 0.1
    with av.open(str(path), "w") as out:
        picture, sound = out.add_stream("mpeg4", rate=25), out.add_stream(codec, rate=FILM_RATE, layout="mono")
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        convert = av.AudioResampler(format=sound.format.name, layout="mono", rate=FILM_RATE)
        for number in range(75):
            still = av.VideoFrame(32, 32, "yuv420p")
            still.pts, still.time_base = number + round(25 * shift), Fraction(1, 25)
            out.mux(picture.encode(still))
        for start in range(0, len(noise), 1024):
            if not lost[0] <= start / FILM_RATE < lost[1]:
                piece = av.AudioFrame.from_ndarray(noise[None, start : start + 1024], format="fltp", layout="mono")
                piece.rate, piece.time_base = FILM_RATE, Fraction(1, FILM_RATE)
                piece.pts = start + round((late + shift + jitter * np.sin(start)) * FILM_RATE)
                for frame in convert.resample(piece):
                    out.mux(sound.encode(frame))
        for stream in out.streams:
            out.mux(stream.encode(None))
    return path


def lag(samples: np.ndarray) -> float:
    """Seconds by which a film's noise comes late."""
    noise = np.random.default_rng(0).standard_normal(FILM_RATE).astype(np.float32)
    size = 1 << (len(samples) + len(noise)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(noise, size).conj())
    return float(np.argmax(likeness)) / FILM_RATE


@pytest.mark.parametrize(("name", "codec"), [
    ("a.mp4", "aac"), ("a.mkv", "aac"), ("a.mov", "pcm_s16le"), ("b.mkv", "flac")])
@pytest.mark.parametrize("late", [0.0, 0.01, 1.0])
def test_the_sound_of_a_film_keeps_its_place(tmp_path: Path, name: str, codec: str, late: float) -> None:
    with open_audio(film(tmp_path / name, codec, late, shift=5.0 if name == "b.mkv" else 0.0)) as source:
        got = source.whole()
    assert lag(got.samples) == pytest.approx(late, abs=0.002)
    assert got.seconds == pytest.approx(3 + late, abs=0.05)
    assert ["begins 1.00 s" in note or "begins 0.98 s" in note for note in source.notes] == [True] * (late == 1)


def test_a_clock_that_jitters_inserts_nothing(tmp_path: Path) -> None:
    with open_audio(film(tmp_path / "a.mkv", jitter=0.01)) as source:
        assert len(source.whole().samples) == 3 * FILM_RATE
        assert source.notes == []


def test_missing_packets_are_silence(tmp_path: Path) -> None:
    with open_audio(film(tmp_path / "a.mkv", lost=(1.5, 2.5))) as source:
        got = source.whole()
    assert got.seconds == pytest.approx(3, abs=0.002)
    assert not got.samples[round(1.55 * FILM_RATE) : round(2.45 * FILM_RATE)].any()
    assert got.samples[: round(1.45 * FILM_RATE)].any()
    assert "lacks 1.00 s of sound (gaps: 1)" in source.notes[0]


def test_time_stamps_an_hour_off_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"a\.mkv: its time stamps leave 3600 s without sound after 0\.00 s"):
        read(film(tmp_path / "a.mkv", late=3600.0))


def test_a_film_that_broke_off_is_said(tmp_path: Path) -> None:
    file = film(tmp_path / "a.mkv")
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    with open_audio(file) as source:
        assert 1.5 < source.whole().seconds < 2.1
    assert "is cut short: holds" in source.notes[0]
    assert "of the 3.00 s in its header" in source.notes[0]


def test_absurd_loudness_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"loud\.wav: block from sample 0: sample 3 is 1e\+30, accepted: -1 to 1"):
        read(spoken(tmp_path / "loud.wav", np.array([0, 1, 0, 1e30, 0]), subtype="FLOAT"))


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
    with pytest.raises(AudioError, match="cannot be read: File name too long"):
        read(tmp_path / f"{'n' * 304}.wav")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is text")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.wav").write_bytes(wav_bytes())
    with pytest.raises(AudioError, match="its name is no text in utf-8; rename it"):
        read(tmp_path / "caf\udce9.wav")
