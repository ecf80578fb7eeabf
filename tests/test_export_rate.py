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
from exporters import EXPORTERS, READERS, fbx_animation, fbx_container, fbx_document
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


BROKEN = 30_000 / 1001  # 29.97
UNUSUAL = (23, 29, 31, 49, 51, 59, 61, 71, 73, 89, 91, 95, 97, 99, 101, 119, 121)
FLICKER = (np.arange(3600) % 2).astype(np.float32)  # a value that is neither 0 nor 1 lies between two frames


@pytest.mark.parametrize("suffix", [".csv", ".wide.csv", ".a2f.csv", ".unreal.csv", ".unreal.json"])
@pytest.mark.parametrize("fps", UNUSUAL)
def test_tables_of_any_whole_rate_come_back_at_it(suffix: str, fps: int) -> None:
    curves = sample(suffix, 600, fps, 3)
    read = read_at(suffix, bytes_of(suffix, curves))
    assert (read.fps, read.start, read.frames) == (fps, 3, 600)
    by_name = {name.lower(): name for name in read.channels}
    columns = read.select([by_name[name.lower()] for name in curves.channels])
    assert np.abs(columns.values - curves.values).max() < 1e-5


@pytest.mark.parametrize(("header", "row"), [
    ("seconds,jawOpen", "{0:.6f},{1}"), (",timeCode,blendShapes.JawOpen", "0,{0!r},{1}"),
    ("Timecode,BlendshapeCount,JawOpen", "{2},1,{1}")])
def test_frames_of_a_broken_rate_stay_where_one_is_given(header: str, row: str) -> None:
    rows = []
    for frame, value in enumerate(FLICKER.tolist(), 60):
        at = frame / BROKEN
        clock = f"00:{int(at) // 60:02d}:{int(at) % 60:02d}:{at % 1 * 60:06.3f}"
        rows.append(row.format(at, value, clock))
    read = read_at(".csv", "\n".join((header, *rows)).encode(), 30)
    assert (read.fps, read.start, read.frames) == (30, 60, 3600)
    assert np.array_equal(read.values[:, 0], FLICKER)


def test_a_frame_that_a_table_of_a_broken_rate_lacks_is_filled() -> None:
    kept = [n for n in range(300) if n not in (100, 101)]
    text = "\n".join(("seconds,jawOpen", *(f"{n / BROKEN:.4f},{n}" for n in kept)))
    read = read_at(".csv", text.encode(), 30)
    assert (read.fps, read.frames) == (30, 300)
    assert read.values[:, 0] == pytest.approx(np.arange(300))


@pytest.mark.parametrize("times", [[], [1.0], [0, 1, 4], [0, 0, 1], [0, 0, 0]])
def test_few_or_odd_instants_have_frames_too(times: list[float]) -> None:
    text = "\n".join(("seconds,jawOpen", *(f"{at},{at}" for at in times))) + "\n"
    told = read_at(".csv", text.encode(), 24)
    assert told.fps == 24
    assert told.start == (24 if times == [1.0] else 0)


def test_a_table_without_an_even_clock_is_read_by_its_seconds() -> None:
    times = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.06, 200))
    text = "\n".join(("seconds,jawOpen", *(f"{at:.6f},{at:.6f}" for at in times)))
    own, told = read_at(".csv", text.encode()), read_at(".csv", text.encode(), 24)
    assert told.fps == 24
    assert np.array_equal(own.values, told.values)


def test_usd_frames_of_a_broken_rate_stay_where_one_is_given() -> None:
    curves = Curves(("jawOpen",), 30, FLICKER[:, None], 5)
    data = bytes_of(".usda", curves).replace(b"timeCodesPerSecond = 30", b"timeCodesPerSecond = 29.97002997")
    read = read_at(".usda", data, 30)
    assert (read.fps, read.start, read.frames) == (30, 5, 3600)
    assert np.array_equal(read["jawOpen"], FLICKER)


def test_fbx_frames_of_a_broken_rate_stay_where_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(frame: int, fps: int) -> int:
        return round(frame * fbx_container.ticks(1, 1) / BROKEN)

    fbx_animation._times.cache_clear()
    for module in (fbx_animation, fbx_document):
        monkeypatch.setattr(module, "ticks", broken)
    monkeypatch.setattr(fbx_document, "TIME_MODES", {30: 9})
    data = bytes_of(".fbx", Curves(("jawOpen",), 30, FLICKER[:, None], 5))
    fbx_animation._times.cache_clear()
    read = read_at(".fbx", data, 30).select(("jawOpen",))
    assert (read.fps, read.start, read.frames) == (30, 5, 3600)
    assert np.abs(read.values[:, 0] - FLICKER).max() < 1e-3
