"""Compressed audio on its way in: Opus packets and FLAC streams -> PCM16 bytes. Blocking; runs off the event loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from facerig.errors import AudioError, MissingExtra, OptionError, check_option
from facerig.server.flow import Sound

OPUS_RATE = 48_000
HEAD_MOST = 4 * 1_048_576
MAX_DECODED = 32 * 1_048_576  # bytes out of one message: a megabyte of FLAC silence can hold hours
CHANNELS = {"opus": 2, "flac": 8}  # at most, in one stream


def decoded(name: str, sound: Sound) -> Sound:
    """What comes out of a codec for what the header says: one channel, or two of however many there are."""
    most = CHANNELS[name]
    check_option("audio.channels", f"{sound.channels} with {name}", f"1 to {most}", 1 <= sound.channels <= most,
                 "send more as PCM16 or FLOAT32" if most < 8 else "")
    return replace(sound, channels=min(sound.channels, 2))


class Decoder:
    """One stream's codec."""

    def __init__(self, name: str, sound: Sound) -> None:
        """`sound` is what comes out, whatever the stream itself holds."""
        if name == "opus" and sound.rate != OPUS_RATE:
            raise OptionError(f"audio.rate: got {sound.rate} with Opus, accepted: {OPUS_RATE}")
        try:
            import av
        except ImportError as error:
            raise MissingExtra(f"{name} audio", "media", str(error)) from error
        self.name, self.sound, self._av = name, sound, av
        self._codec: Any = av.CodecContext.create("opus" if name == "opus" else "flac", "r")
        if name == "opus":
            self._codec.sample_rate = OPUS_RATE
            self._codec.layout = "mono" if sound.channels == 1 else "stereo"
        self._head: bytes | None = b"" if name == "flac" else None
        self._resampler = av.AudioResampler("s16", "mono" if sound.channels == 1 else "stereo", sound.rate)

    def push(self, data: bytes) -> bytes:
        """Bytes of the wire -> interleaved PCM16."""
        if self.name == "opus":
            return self._decoded([self._av.Packet(data)]) if data else b""  # an empty packet would end the stream
        if self._head is not None:
            data = self._after_head(self._head + data)
        return self._decoded(self._codec.parse(data)) if data else b""

    def _after_head(self, data: bytes) -> bytes:
        """What follows FLAC's metadata, once all of that is there; the decoder gets STREAMINFO by itself."""
        if data[:4] != b"fLaC"[: len(data)]:
            raise AudioError(f"flac: got a stream that begins with {data[:4]!r}, accepted: b'fLaC'")
        at, last = 4, False
        while not last and at + 4 <= len(data):
            last, length = bool(data[at] & 0x80), int.from_bytes(data[at + 1 : at + 4], "big")
            if data[at] & 0x7F == 0 and len(data) >= at + 4 + length:
                self._codec.extradata = data[at + 4 : at + 4 + length]
            at += 4 + length
        if not last or at > len(data):
            if len(data) > HEAD_MOST:
                raise AudioError(
                    f"flac: more than {HEAD_MOST >> 20} MB of metadata before the sound; strip the pictures"
                )
            self._head = data
            return b""
        self._head = None
        return data[at:]

    def flush(self) -> bytes:
        out = []
        while self.name == "flac" and (packets := self._codec.parse(b"")):  # the parser holds back up to ten frames
            out.append(self._decoded(packets))
        return b"".join([*out, self._decoded([None])])

    def _decoded(self, packets: list[Any]) -> bytes:
        out: list[bytes] = []
        size = 0
        try:
            for packet in packets:
                for frame in self._codec.decode(packet):
                    out += [
                        np.ascontiguousarray(part.to_ndarray()).tobytes() for part in self._resampler.resample(frame)
                    ]
                    size += len(out[-1]) if out else 0
                    if size > MAX_DECODED:
                        raise AudioError(f"{self.name}: one message holds more than {MAX_DECODED >> 20} MB of sound")
        except self._av.FFmpegError as error:
            raise AudioError(f"{self.name}: a packet that cannot be decoded ({error})") from error
        return b"".join(out)
