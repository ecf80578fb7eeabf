"""Sound from files and microphones, read in blocks so that two hours need no more memory than two seconds.

Knows containers and sample types; knows no frames and no face. libsndfile (soundfile) reads wav, flac, ogg, opus, mp3,
aiff, au; everything else (m4a, mp4, mov, webm, ...) goes through FFmpeg's libraries (PyAV, extra `media`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facerig.errors import AudioError, MissingExtra, OptionError, check_option
from facerig.lengths import cut_short, left_open, short_of
from facerig.listening import Faults, listening
from facerig.resample import HIGHEST_RATE, LOWEST_RATE, mono
from facerig.stage import Frames

BLOCK_SECONDS = 2.0
LATE_SECONDS = 0.005  # a film's sound that begins this much after its picture does so; less is rounding
GAP_SECONDS = 0.04  # between two packets that miss others; less is the jitter of a recorder's clock, and no eye sees it
MOST_GAP_SECONDS = 1800.0  # of silence at once; more is a damaged clock
BREAK_SECONDS = 0.5  # a film that ends this much before its header says has lost its end
MOST_FRAMES = 2**50  # libsndfile says more where a header does not say how many
TIMELESS = {"aac", "mp3"}  # FFmpeg's names of containers without a length, for which it guesses one by the bit rate
SNDFILE_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"}
MEDIA_SUFFIXES = {".m4a", ".mp4", ".mov", ".aac", ".webm", ".mkv", ".avi", ".wma", ".3gp", ".m4v", ".mka"}
PCM_SUFFIXES = {".pcm", ".raw"}
ACCEPTED = ", ".join(sorted(s[1:] for s in SNDFILE_SUFFIXES | MEDIA_SUFFIXES | PCM_SUFFIXES))
PCM_TYPES = {"u8": "u1", "s8": "i1", "s16le": "<i2", "s16be": ">i2", "s32le": "<i4", "f32le": "<f4", "f64le": "<f8"}


@dataclass(frozen=True)
class Audio:
    """A clip in memory: float32 samples in -1..1, mono but for `read_ears`, and their rate."""

    samples: Frames
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class Pcm:
    """How to read bytes that have no header, written TYPE:RATE:CHANNELS, e.g. s16le:16000:1."""

    type: str = "s16le"
    rate: int = 16_000
    channels: int = 1

    @classmethod
    def parse(cls, text: str) -> Pcm:
        parts = text.split(":")
        try:
            pcm = cls(parts[0], int(parts[1]) if len(parts) > 1 else 16_000, int(parts[2]) if len(parts) > 2 else 1)
        except ValueError:
            pcm = None
        if pcm is None or len(parts) > 3 or pcm.type not in PCM_TYPES or not 1 <= pcm.channels <= 64:
            raise OptionError(f"pcm: got {text!r}, accepted: TYPE:RATE:CHANNELS such as s16le:16000:1, "
                              f"TYPE one of {', '.join(PCM_TYPES)}")
        if not LOWEST_RATE <= pcm.rate <= HIGHEST_RATE:
            raise OptionError(f"pcm: got {pcm.rate} Hz, accepted: {LOWEST_RATE} to {HIGHEST_RATE} Hz")
        return pcm

    def decode(self, data: bytes) -> Frames:
        """Whole samples -> mono float32."""
        return mono(self.channelled(data), "pcm")

    def channelled(self, data: bytes) -> NDArray[Any]:
        """Whole samples as they are: [n, channels]."""
        array = np.frombuffer(data, PCM_TYPES[self.type]).reshape(-1, self.channels)
        return array.astype(array.dtype.newbyteorder("="))

    @property
    def sample_bytes(self) -> int:
        return np.dtype(PCM_TYPES[self.type]).itemsize * self.channels


@dataclass(frozen=True)
class AudioSource:
    """An open file: its rate, its length where the container says it, and its blocks of mono samples."""

    name: str
    rate: int
    samples: int | None
    blocks: Iterator[Frames]
    notes: list[str] = field(default_factory=list)
    """What people should know of the file, such as that its end is missing; complete when the blocks are read."""

    def whole(self) -> Audio:
        """All blocks in one."""
        return Audio(np.concatenate(list(self.blocks)), self.rate)


def read(path: str | os.PathLike[str], pcm: Pcm | None = None) -> Audio:
    """A whole file."""
    with open_audio(path, pcm) as source:
        return source.whole()


def read_ears(path: str | os.PathLike[str]) -> Audio:
    """A whole file for somebody who listens: samples [n, 2] where it has two channels, which say where a sound comes
    from, and mono as ever where it has another number of them or is a film."""
    film = Path(path).suffix.lower() in MEDIA_SUFFIXES
    with _opened(path, None, BLOCK_SECONDS) as source:
        return replace(source, blocks=_checked(source, mono if film else _ears)).whole()


@contextmanager
def open_audio(path: str | os.PathLike[str], pcm: Pcm | None = None,
               block_seconds: float = BLOCK_SECONDS) -> Iterator[AudioSource]:
    """Open a file for reading in blocks; every fault is an AudioError that names the file and the reason."""
    with _opened(path, pcm, block_seconds) as source:
        yield replace(source, blocks=_checked(source, mono))


@contextmanager
def _opened(path: str | os.PathLike[str], pcm: Pcm | None, block_seconds: float) -> Iterator[AudioSource]:
    """The blocks as they are in the file: unchecked, with all channels."""
    file = Path(path)
    _check_file(file)
    suffix = file.suffix.lower()
    if pcm is not None or suffix in PCM_SUFFIXES:
        opener: Any = _open_pcm(file, pcm, block_seconds)
    elif suffix in MEDIA_SUFFIXES:
        opener = _open_media(file)
    else:
        opener = _open_sndfile(file, block_seconds)
    with opener as source:
        _check_rate(str(file), source.rate)
        yield source


def _check_file(file: Path) -> None:
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:  # too long a name, a folder that may not be entered, bytes that are no name
        raise AudioError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(found.st_mode):
        raise AudioError(f"{file}: is a folder; give an audio file ({ACCEPTED})")
    if not os.access(file, os.R_OK):
        raise AudioError(f"{file}: may not be read (permission denied)")
    if stat.S_ISREG(found.st_mode) and found.st_size == 0:
        raise AudioError(f"{file}: is empty (0 bytes)")


def _check_rate(name: str, rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"{name}: sample rate {rate} Hz, accepted: {LOWEST_RATE} to {HIGHEST_RATE} Hz")


def _checked(source: AudioSource, mixed: Callable[[Frames, str], Frames]) -> Iterator[Frames]:
    """The blocks as they are heard; a bad sample is counted from the file's beginning, and no sample is an error."""
    position = 0
    for block in source.blocks:
        yield mixed(block, f"{source.name}: block from sample {position}")
        position += len(block)
    if not position:
        raise AudioError(f"{source.name}: holds no samples")


def _ears(block: Frames, name: str) -> Frames:
    """Two channels apart, any other number mixed."""
    if block.ndim != 2 or block.shape[1] != 2:
        return mono(block, name)
    return np.stack([mono(side, name) for side in block.T], axis=1)


# ---- the three ways in ------------------------------------------------------------------------------------------


@contextmanager
def _open_sndfile(file: Path, block_seconds: float) -> Iterator[AudioSource]:
    import soundfile

    try:
        stream = soundfile.SoundFile(str(file))
    except UnicodeEncodeError as error:
        raise AudioError(f"{file}: cannot be read: its name is no text in {error.encoding}; rename it") from None
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError(f"{file}: cannot be read as audio: {reason}; accepted: {ACCEPTED}") from error
    with stream:
        length = stream.frames if 0 < stream.frames < MOST_FRAMES else None
        note = cut_short(file, stream.format, (length or 0) / stream.samplerate)
        reason = "" if stream.frames else left_open(file, stream.format)
        if reason:
            raise AudioError(f"{file}: {reason}; its writer did not come to the end: write it anew, or give the bytes "
                             "behind the header as raw samples (--pcm)")
        notes = [note] if note else []
        if stream.format == "FLAC":  # libsndfile cannot seek to an end that is not where the header says, if it does
            stream.seekable = lambda: False  # soundfile would after each block
        yield AudioSource(str(file), stream.samplerate, length, _sndfile_blocks(stream, file, block_seconds, notes),
                          notes)


def _sndfile_blocks(stream: Any, file: Path, block_seconds: float, notes: list[str]) -> Iterator[Frames]:
    size, done, broken = max(1, int(stream.samplerate * block_seconds)), 0, None
    while broken is None:
        block, broken = _sndfile_block(stream, size)
        if broken is not None and not (stream.format == "FLAC" and _flac_ends_early(file, size)):
            raise AudioError(f"{file}: is damaged: {broken}") from broken
        if not len(block):
            break
        done += len(block)
        yield block
    if stream.format == "FLAC" and done < stream.frames < MOST_FRAMES:
        notes.append(short_of(file, done / stream.samplerate, stream.frames / stream.samplerate))
    elif broken is not None and done != stream.frames:
        notes.append(f"{file}: may be cut short: holds {done / stream.samplerate:.2f} s, and a block that breaks off")


def _sndfile_block(stream: Any, size: int) -> tuple[Frames, Exception | None]:
    """Up to `size` samples of each channel, and the fault that came after them."""
    import soundfile

    block = np.full((size, stream.channels), np.nan, np.float32)
    try:
        return stream.read(out=block), None
    except (soundfile.LibsndfileError, RuntimeError) as error:  # soundfile does not tell how many it decoded before
        return block[: int(np.isfinite(block).all(axis=1).sum())], error


def _flac_ends_early(file: Path, size: int) -> bool:
    """Whether the decoder loses its way at the end of the file alone: a fault before that is damage, and what it
    decodes there is not to be trusted. Only an open file of ours tells how far libsndfile has read."""
    import soundfile

    if not file.is_file():
        return False
    with file.open("rb") as data, soundfile.SoundFile(data.fileno(), closefd=False) as again:
        again.seekable = lambda: False
        while True:
            block, broken = _sndfile_block(again, size)
            if broken is not None or not len(block):
                break
        return os.lseek(data.fileno(), 0, os.SEEK_CUR) >= file.stat().st_size


@contextmanager
def _open_pcm(file: Path, pcm: Pcm | None, block_seconds: float) -> Iterator[AudioSource]:
    if pcm is None:
        raise AudioError(f"{file}: raw samples have no header; say what they are, e.g. --pcm s16le:16000:1")
    size = file.stat().st_size if file.is_file() else None  # a pipe has none
    _check_whole(file, pcm, size or 0)
    with file.open("rb") as stream:
        chunk = max(1, int(pcm.rate * block_seconds)) * pcm.sample_bytes
        length = None if size is None else size // pcm.sample_bytes
        yield AudioSource(str(file), pcm.rate, length, _pcm_blocks(stream, file, pcm, chunk))


def _pcm_blocks(stream: BinaryIO, file: Path, pcm: Pcm, chunk: int) -> Iterator[Frames]:
    done = 0
    for data in iter(lambda: stream.read(chunk), b""):
        done += len(data)
        _check_whole(file, pcm, done)
        yield pcm.decode(data)


def _check_whole(file: Path, pcm: Pcm, size: int) -> None:
    if size % pcm.sample_bytes:
        raise AudioError(f"{file}: {size} bytes are not a whole number of {pcm.channels}-channel {pcm.type} samples")


@contextmanager
def _open_media(file: Path) -> Iterator[AudioSource]:
    try:
        import av
    except ImportError as error:
        raise MissingExtra(f"{file}: reading {file.suffix} files", "media") from error
    try:
        container = av.open(str(file))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioError(f"{file}: cannot be read as audio or video: {error}") from error
    with container:
        if not container.streams.audio:
            raise AudioError(f"{file}: has no audio track")
        track = container.streams.audio[0]
        length = int(track.duration * track.time_base * track.rate) if track.duration and track.time_base else None
        notes: list[str] = []
        yield AudioSource(str(file), int(track.rate), length, _media_blocks(container, track, file, notes), notes)


def _media_blocks(container: Any, track: Any, file: Path, notes: list[str]) -> Iterator[Frames]:
    """The track's sound on the film's clock: silence where it begins late and where packets are missing."""
    import av

    # Planar float at the track's own rate and layout: FFmpeg converts the type, the mix-down and the rate stay ours.
    convert = av.AudioResampler(format="fltp", layout=track.layout, rate=track.rate)
    clock = _FilmClock(file, int(track.rate), _start_of(container))
    try:
        for packet in container.demux():
            clock.meet(packet)
            for decoded in packet.decode() if packet.stream.index == track.index else ():
                gap = clock.silence(decoded)
                for piece in range(0, gap, clock.rate):
                    yield np.zeros((min(clock.rate, gap - piece), len(track.layout.channels)), np.float32)
                for frame in convert.resample(decoded):
                    clock.heard += frame.samples
                    yield frame.to_ndarray().T
        with suppress(ValueError):  # nothing was decoded: there is nothing to flush
            for frame in convert.resample(None):
                yield frame.to_ndarray().T
    except av.FFmpegError as error:
        raise AudioError(f"{file}: is damaged: {error}") from error
    claimed = container.duration if container.format.name not in TIMELESS else None
    notes += clock.notes((claimed or 0) / 1e6)


def _start_of(container: Any) -> Fraction | None:
    return None if container.start_time is None else Fraction(container.start_time, 1_000_000)


@dataclass
class _FilmClock:
    """Where a film's sound stands in the film's time."""

    file: Path
    rate: int
    start: Fraction | None
    heard: int = 0  # samples given so far, silence among them
    late: float = 0.0
    gaps: list[float] = field(default_factory=list)
    end: Fraction = Fraction(0)

    def meet(self, packet: Any) -> None:
        """A packet of any track: how far the film goes, from 0 and not from its start, as Matroska's header counts."""
        if packet.pts is not None and packet.time_base:
            self.end = max(self.end, (packet.pts + (packet.duration or 0)) * packet.time_base)

    def silence(self, frame: Any) -> int:
        """How many samples of silence belong before a frame."""
        if frame.pts is None or not frame.time_base:
            return 0
        instant, given = frame.pts * frame.time_base, Fraction(self.heard, self.rate)
        if self.start is None:
            self.start = instant - given
        gap = float(instant - self.start - given)
        if gap < (GAP_SECONDS if self.heard else LATE_SECONDS):
            return 0
        if gap > MOST_GAP_SECONDS:
            raise AudioError(f"{self.file}: its time stamps leave {gap:.0f} s without sound after {float(given):.2f} "
                             f"s, accepted: at most {MOST_GAP_SECONDS:.0f} s")
        if self.heard:
            self.gaps.append(gap)
        else:
            self.late = gap
        samples = round(gap * self.rate)
        self.heard += samples
        return samples

    def notes(self, claimed: float) -> Iterator[str]:
        """What was met, for a film that should last `claimed` seconds."""
        if self.late >= GAP_SECONDS:
            yield f"{self.file}: its sound begins {self.late:.2f} s after the picture; silence stands before it"
        if self.gaps:
            yield f"{self.file}: lacks {sum(self.gaps):.2f} s of sound (gaps: {len(self.gaps)}); silence stands there"
        if self.end < claimed - BREAK_SECONDS:
            yield f"{self.file}: is cut short: holds {float(self.end):.2f} s of the {claimed:.2f} s in its header"


# ---- microphone ---------------------------------------------------------------------------------------------------


@contextmanager
def microphone(rate: int = 48_000, device: str | int | None = None, block_ms: float = 20.0,
               faults: Faults | None = None) -> Iterator[AudioSource]:
    """The default (or named) input device, in blocks of `block_ms`, until the caller stops reading.

    A device that is pulled out is silent from then on. `faults` is told of that; without, it is logged.
    """
    check_option("block_ms", block_ms, "1 to 1000 ms", 1 <= block_ms <= 1000)
    _check_rate("microphone", rate)
    with listening(rate, device, int(rate * block_ms / 1000), faults or Faults()) as blocks:
        yield AudioSource("microphone", rate, None, blocks)
