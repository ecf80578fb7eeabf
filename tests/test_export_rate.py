"""The rate that an input is read at where one is given: it replaces a clock, and is the grid of instants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from export_readers import needs
from export_samples import head, take
from test_export import bytes_of, sample

import exporters
from exporters import EXPORTERS, READERS
from facerig.curves import Curves
from facerig.errors import OptionError

TIMED = (".unreal.csv", ".unreal.json", ".tsv", ".xml", ".rhubarb.json", ".srt", ".vtt")


def read_at(suffix: str, data: bytes, fps: int | None = None) -> Curves:
    if suffix in (".fbx", ".curves.fbx"):
        needs("ufbx", "fbx")
    return READERS[Path(f"x{suffix}").suffix](data, f"x{suffix}", fps)


@pytest.mark.parametrize("suffix", [suffix for suffix in EXPORTERS if suffix not in TIMED])
def test_a_rate_given_replaces_the_clock_and_keeps_the_frames(suffix: str) -> None:
    data = bytes_of(suffix, sample(suffix, start=6))
    own, told = read_at(suffix, data), read_at(suffix, data, 24)
    assert told.fps == 24
    assert (told.channels, told.start, told.marks) == (own.channels, own.start, own.marks)
    assert np.array_equal(told.values, own.values)


@pytest.mark.parametrize("suffix", TIMED)
def test_a_file_of_instants_is_read_at_the_rate_given(suffix: str) -> None:
    data = bytes_of(suffix, sample(suffix, 60))
    own, told = read_at(suffix, data), read_at(suffix, data, 120)
    assert (own.fps, told.fps) == (60, 120)
    assert told.seconds == pytest.approx(own.seconds, abs=1 / 60 + 1e-6)


@pytest.mark.parametrize("told", [True, False])
def test_glb_of_others_holds_instants(told: bool) -> None:
    text = json.loads(exporters.export(take(60, 30), "gltf", head(6)))
    if not told:
        del text["animations"][0]["extras"]["fps"]
    read = read_at(".gltf", json.dumps(text).encode(), 60)
    assert (read.fps, read.frames) == (60, 60 if told else 119)


def test_a_clock_that_is_missing_or_nonsense_can_be_given() -> None:
    ours = json.loads(exporters.export(take(12), "json"))
    a2f = json.loads(exporters.export(take(12), "a2f.json"))
    for document, key in ((ours, "fps"), (a2f, "exportFps")):
        for wrong in (None, 0, "x", 59.94):
            data = json.dumps({**document, key: wrong}).encode()
            assert (read_at(".json", data, 25).fps, read_at(".json", data, 25).frames) == (25, 12)
        assert read_at(".json", json.dumps({k: v for k, v in document.items() if k != key}).encode(), 25).fps == 25


@pytest.mark.parametrize("fps", [0, -1, 1001])
@pytest.mark.parametrize("suffix", [".npz", ".json", ".unreal.csv", ".srt"])
def test_a_rate_that_is_none_is_refused(suffix: str, fps: int) -> None:
    with pytest.raises(OptionError, match="accepted: 1 to 1000 frames a second"):
        read_at(suffix, bytes_of(suffix, sample(suffix)), fps)
