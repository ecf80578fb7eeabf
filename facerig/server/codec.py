"""Compressed audio on its way in: Opus packets and FLAC streams -> PCM16 bytes. Blocking; runs off the event loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from facerig.errors import AudioError, MissingExtra, OptionError
from facerig.server.flow import Sound

OPUS_RATE = 48_000


class Decoder:
    """One stream's codec."""

    def __init__(self, name: str, sound: Sound) -> None:
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
        self._resampler = av.AudioResampler("s16", "mono" if sound.channels == 1 else "stereo", sound.rate)

    def push(self, data: bytes) -> bytes:
        """Bytes of the wire -> interleaved PCM16."""
        packets = [self._av.Packet(data)] if self.name == "opus" else self._codec.parse(data)
        return self._decoded(packets)

    def flush(self) -> bytes:
        packets = self._codec.parse(b"") if self.name == "flac" else []
        return self._decoded([*packets, None])

    def _decoded(self, packets: list[Any]) -> bytes:
        out = []
        try:
            for packet in packets:
                for frame in self._codec.decode(packet):
                    out += [np.ascontiguousarray(part.to_ndarray()).tobytes() for part in self._resampler.resample(frame)]
        except self._av.FFmpegError as error:
            raise AudioError(f"{self.name}: a packet that cannot be decoded ({error})") from error
        return b"".join(out)
