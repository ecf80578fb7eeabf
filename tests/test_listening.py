"""Sound that comes by itself: the microphone, with a stub in the place of the device, and samples that are no sound."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

import numpy as np
import pytest
from live_kit import Device

from facerig import listening
from facerig.audio import microphone
from facerig.client.simple import chunks
from facerig.errors import ServiceError
from facerig.listening import Faults

RATE, SIZE = 48_000, 960


def blocks(*values: float) -> list[np.ndarray]:
    return [np.full((SIZE, 1), value, np.float32) for value in values]


def levels(parts: Any, count: int) -> list[float]:
    """The value of each of the next blocks, every sample of which has it."""
    got = list(islice(parts, count))
    assert all(part.shape == (SIZE,) and (part == part[0]).all() for part in got)
    return [round(float(part[0]), 3) for part in got]


def test_a_microphone_gives_its_blocks_in_order(device: Device) -> None:
    device.blocks = blocks(0.1, 0.2, 0.3)
    with microphone(device="USB") as source:
        assert levels(source.blocks, 3) == [0.1, 0.2, 0.3]
    assert (device.asked["samplerate"], device.asked["device"], device.asked["blocksize"]) == (RATE, "USB", SIZE)
    assert device.closed


def test_the_client_hears_the_microphone(device: Device) -> None:
    device.blocks = blocks(0.1, 0.2)

    async def first() -> tuple[int, bytes]:
        with chunks("mic", RATE) as (rate, parts):
            return rate, await anext(parts)

    assert asyncio.run(first()) == (RATE, blocks(0.1)[0].tobytes())


@pytest.mark.parametrize("says_so", [True, False])
def test_a_microphone_that_is_pulled_out_is_silent_and_told_of_once(device: Device, says_so: bool,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems say that a device is gone, with others its blocks stay away."""
    monkeypatch.setattr(listening, "LOST_SECONDS", 0.3)
    device.blocks, device.ends = blocks(0.1, 0.2), says_so
    told: list[str] = []
    with microphone(faults=Faults(told.append)) as source:
        assert levels(source.blocks, 40) == [0.1, 0.2] + [0.0] * 38
        assert len(told) == 1
        assert "no sound comes" in told[0]
        device.give(*blocks(0.3))  # plugged in again
        back = levels(source.blocks, 1)
        while back[-1] == 0:
            back += levels(source.blocks, 1)
        assert back[-1] == 0.3
    assert told[1:] == ["microphone: sound comes again"]


def test_a_lost_microphone_is_logged_where_nobody_is_told(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    device.ends = True
    with microphone() as source:
        assert levels(source.blocks, 3) == [0.0] * 3
    assert [record.name for record in caplog.records] == ["facerig.audio"]


def test_a_microphone_that_does_not_start_is_an_error_in_words(device: Device) -> None:
    device.fails = True
    with pytest.raises(ServiceError, match="doctor"), microphone():
        pass


def test_a_microphones_broken_samples_are_silence(device: Device) -> None:
    device.blocks = blocks(0.5, np.nan, 0.25)
    told: list[str] = []
    faults = Faults(told.append)
    with microphone(faults=faults) as source:
        assert levels(source.blocks, 3) == [0.5, 0.0, 0.25]
    assert (faults.silenced, len(told)) == (SIZE, 1)
    assert f"sample {SIZE} is nan" in told[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("cut", [1, 7, 100])
def test_broken_samples_are_counted_over_the_whole_stream(bad: float, cut: int) -> None:
    whole = np.full((100, 2), 0.5)
    whole[[40, 90], 1] = bad
    told: list[str] = []
    faults = Faults(told.append)
    out = np.concatenate([faults.mend(whole[at : at + cut], "pipe") for at in range(0, 100, cut)])
    assert np.argwhere(out != 0.5).tolist() == [[40, 1], [90, 1]]
    assert out[[40, 90], 1].tolist() == [0, 0]
    assert (faults.silenced, len(told)) == (2, 1)
    assert told[0].startswith(f"pipe: sample 40 is {bad:.3g}, accepted: ")


def test_whole_numbers_and_good_samples_stay_as_they_are() -> None:
    faults = Faults()
    for samples in (np.array([[-(2**31)]], np.int32), np.array([0.5, -1], np.float32), np.zeros((0, 2))):
        assert faults.mend(samples, "pipe") is samples
    assert faults.silenced == 0
