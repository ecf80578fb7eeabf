"""FLAC of any length, and FLAC that ends before its header says: what is whole is heard, what is damaged is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from facerig.audio import open_audio, read
from facerig.errors import AudioError

RATE = 16_000
BLOCK = 4096  # samples of each block of the encoder


def noise(file: Path, seconds: int) -> Path:
    """Noise, so that every block has as many bytes."""
    soundfile.write(file, np.random.default_rng(0).standard_normal(seconds * RATE).astype(np.float32) * 0.1, RATE)
    return file


def without_length(data: bytes) -> bytes:
    """The same with a header that does not say how many samples follow."""
    unknown = bytearray(data)
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    return bytes(unknown)


def test_a_flac_of_unknown_length_or_without_its_end_is_read(tmp_path: Path) -> None:
    """A pipe's writer cannot go back to fill in the length; a download may end where a block does."""
    file = noise(tmp_path / "a.flac", 1)
    data, whole = file.read_bytes(), read(file).samples
    first = data.index(b"\xff\xf8")
    third = [found.start() for found in re.finditer(re.escape(data[first : first + 4]), data)][2]
    unknown = without_length(data)
    for bits, known, words in ((unknown, None, ""), (unknown[:third], None, ""),
                               (data[:third], RATE, r"is cut short: holds 0\.51 s of the 1\.00 s in its header$")):
        file.write_bytes(bits)
        with open_audio(file, block_seconds=0.1) as source:
            found = source.whole().samples
        assert source.samples == known
        assert np.array_equal(found, whole[: len(found)])
        assert len(found) == (len(whole) if len(bits) == len(data) else 2 * BLOCK)
        assert len(source.notes) == bool(words)
        assert re.search(words, "".join(source.notes))


@pytest.mark.parametrize("kept", [0.2, 0.45, 0.7, 0.999])
@pytest.mark.parametrize("block_seconds", [0.05, 2.0])
def test_a_flac_that_ends_inside_a_block_is_read_up_to_it(tmp_path: Path, kept: float, block_seconds: float) -> None:
    """Copies and downloads break off anywhere; every block before that place is heard."""
    file = noise(tmp_path / "a.flac", 4)
    data, whole = file.read_bytes(), read(file).samples
    cut = data[: round(len(data) * kept)]
    length = len(cut) * len(whole) // len(data) // BLOCK * BLOCK
    for bits, words in ((cut, f"is cut short: holds {length / RATE:.2f} s of the 4.00 s in its header"),
                        (without_length(cut), f"may be cut short: holds {length / RATE:.2f} s, and a block that "
                                              "breaks off")):
        file.write_bytes(bits)
        with open_audio(file, block_seconds=block_seconds) as source:
            found = source.whole().samples
        assert np.array_equal(found, whole[:length])
        assert source.notes == [f"{file}: {words}"]


def test_a_flac_that_is_damaged_before_its_end_is_refused(tmp_path: Path) -> None:
    file = noise(tmp_path / "a.flac", 4)
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(AudioError, match=r"a\.flac: is damaged: "):
        read(file)


def test_a_flac_without_a_whole_block_is_refused(tmp_path: Path) -> None:
    file = noise(tmp_path / "a.flac", 1)
    file.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(AudioError, match=r"a\.flac: (cannot be read as audio|holds no samples)"):
        read(file)
