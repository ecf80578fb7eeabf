"""Pictures and sound -> mp4 bytes (H.264, AAC) by PyAV. Knows no curves."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from facerig.errors import MissingExtra, OptionError
from facerig.mesh import Floats
from facerig.preview.gl import Picture


def mp4(pictures: Iterable[Picture], fps: int, size: tuple[int, int], audio: Floats | None = None,
        rate: int = 48_000) -> bytes:
    """A film of pictures [height, width, 3] with mono sound [N] at `rate`; both begin together."""
    av = _av()
    width, height = size
    if width % 2 or height % 2:
        raise OptionError(f"size: got {width}x{height}, accepted: even numbers for mp4")
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as film:
        video = film.add_stream("libx264", rate=Fraction(fps), options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = film.add_stream("aac", rate=_aac_rate(av, rate), layout="mono") if audio is not None else None
        count = 0
        for count, picture in enumerate(pictures, 1):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = count - 1, Fraction(1, fps)
            film.mux(video.encode(frame))
        if not count:
            raise OptionError("mp4: got no frames, accepted: one or more")
        film.mux(video.encode())
        if sound is not None and audio is not None:
            _add_sound(av, film, sound, audio[: int(count * rate / fps)], rate)
    return stream.getvalue()


def _add_sound(av: Any, film: Any, sound: Any, audio: Floats, rate: int) -> None:
    convert = av.AudioResampler(format="fltp", layout="mono", rate=sound.rate)
    for start in range(0, len(audio), 1024):
        piece = np.clip(audio[start : start + 1024], -1, 1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        for converted in convert.resample(frame):
            film.mux(sound.encode(converted))
    for converted in convert.resample(None) if len(audio) else ():
        film.mux(sound.encode(converted))
    film.mux(sound.encode())


def _aac_rate(av: Any, rate: int) -> int:
    """The sound's own rate where AAC has it (up to 96 kHz), the usual one of films elsewhere."""
    return rate if rate in av.Codec("aac", "w").audio_rates else 48_000


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtra("mp4", "preview", str(error)) from error
    return av
