"""The laws of Curves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facerig.curves import Curves, Mark, concat
from facerig.errors import CurvesError

RATES = (24, 25, 30, 50, 60, 120)
finite = st.floats(-10, 10, width=32)


def takes(max_frames: int = 40) -> st.SearchStrategy[Curves]:
    shapes = st.tuples(st.integers(0, max_frames), st.integers(0, 4))
    arrays = shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=finite))
    return st.builds(
        lambda values, fps, start: Curves(tuple(f"c{k}" for k in range(values.shape[1])), fps, values, start),
        arrays, st.sampled_from(RATES), st.integers(-1000, 1000))


def wave(seconds: float, fps: int, hertz: float) -> Curves:
    time = np.arange(int(seconds * fps)) / fps
    return Curves(("wave",), fps, (0.5 + 0.5 * np.sin(2 * np.pi * hertz * time))[:, None])


@given(takes(), st.integers(-1100, 1100))
@settings(deadline=None)
def test_cut_and_joined_is_the_same(take: Curves, cut: int) -> None:
    cut = min(max(cut, take.start), take.end)
    assert concat([take.slice(take.start, cut), take.slice(cut, take.end)]) == take


@given(takes())
@settings(deadline=None)
def test_npz_round_trip_and_deterministic_bytes(take: Curves) -> None:
    data = take.to_npz()
    assert Curves.from_npz(data) == take
    assert data == take.to_npz()


@given(takes(), st.sampled_from(RATES))
@settings(deadline=None)
def test_resample_keeps_range_and_duration(take: Curves, fps: int) -> None:
    other = take.resample(fps)
    assert other.fps == fps
    assert abs(other.frames / fps - take.frames / take.fps) < 1 / fps + 1e-9
    if take.frames and other.frames and take.channels:
        assert other.values.min() >= take.values.min() - 1e-6
        assert other.values.max() <= take.values.max() + 1e-6


@given(takes(), st.integers(0, 40), st.sampled_from(RATES))
@settings(deadline=None)
def test_resampled_parts_have_the_frames_of_the_whole(take: Curves, cut: int, fps: int) -> None:
    at = min(take.start + cut, take.end)
    left, right = take.slice(take.start, at).resample(fps), take.slice(at, take.end).resample(fps)
    whole = take.resample(fps)
    assert (left.start, right.end, left.end) == (whole.start, whole.end, right.start)


@pytest.mark.parametrize("fps", RATES)
def test_resample_is_band_limited_and_exact_at_equal_rate(fps: int) -> None:
    slow = wave(6, 60, 3)
    assert slow.resample(60) is slow
    moved, wanted = slow.resample(fps), wave(6, fps, 3)
    inner = slice(fps, -fps)
    assert np.abs(moved.values[inner] - wanted.values[inner]).max() < 2e-3
    fast = wave(6, 60, 27)
    if fps <= 50:  # 27 Hz does not exist below 54 frames a second: it must vanish, not fold back
        assert np.ptp(fast.resample(fps).values[inner]) < (0.1 if fps <= 30 else 0.75)


def test_up_and_down_again_keeps_the_motion() -> None:
    slow = wave(4, 30, 2.5)
    assert np.abs(slow.resample(60).resample(30).values - slow.values)[15:-15].max() < 2e-3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_not_finite_is_refused_by_channel_and_frame(bad: float) -> None:
    values = np.zeros((5, 2))
    values[3, 1] = bad
    with pytest.raises(CurvesError, match=r"channel 'b' .* at frame 103"):
        Curves(("a", "b"), 60, values, start=100)


@pytest.mark.parametrize(("arguments", "reason"), [
    ((("a",), 0, np.zeros((1, 1))), "fps: got 0"),
    ((("a",), 29.97, np.zeros((1, 1))), "fps: got 29.97"),
    ((("a",), True, np.zeros((1, 1))), "fps: got True"),
    ((("a",), 60, np.zeros(3)), "shape"),
    ((("a", "b"), 60, np.zeros((3, 1))), "shape"),
    ((("a", "a"), 60, np.zeros((3, 2))), "twice"),
    ((("a", ""), 60, np.zeros((3, 2))), "channel name"),
    ((("a", 7), 60, np.zeros((3, 2))), "channel name"),
    ((("a",), 60, np.zeros((3, 1)), 0.5), "start: got 0.5"),
    ((("a",), 60, [["x"]]), "values"),
])
def test_laws(arguments: tuple[object, ...], reason: str) -> None:
    with pytest.raises(CurvesError, match=reason):
        Curves(*arguments)  # type: ignore[arg-type]


def test_immutable_and_detached_from_its_source() -> None:
    source = np.zeros((3, 1), np.float32)
    take = Curves(("a",), 60, source)
    source[0] = 1
    assert take["a"][0] == 0
    with pytest.raises(ValueError, match="read-only"):
        take.values[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        take.fps = 30  # type: ignore[misc]


def test_gap_overlap_and_strangers_are_refused() -> None:
    take = wave(1, 60, 1)
    with pytest.raises(CurvesError, match="gap of 3 frames"):
        concat([take, take.moved(63)])
    with pytest.raises(CurvesError, match="overlap of 60 frames"):
        concat([take, take])
    with pytest.raises(CurvesError, match="60 and 30"):
        concat([take, wave(1, 30, 1).moved(60)])
    with pytest.raises(CurvesError, match="different channels"):
        concat([take, Curves(("b",), 60, np.zeros((1, 1)), 60)])
    with pytest.raises(CurvesError, match="got no curves"):
        concat([])


def test_select_reorders_by_name_and_names_what_is_missing() -> None:
    take = Curves(("a", "b", "c"), 60, np.arange(6).reshape(2, 3))
    assert take.select(("c", "a")).values.tolist() == [[2, 0], [5, 3]]
    assert take.select(("x", "b"), fill=0.0).values.tolist() == [[0, 1], [0, 4]]
    with pytest.raises(CurvesError, match="no channel x, y"):
        take.select(("x", "a", "y"))
    assert take.with_channels({"b": [9, 9], "z": [7, 8]}).values.tolist() == [[0, 9, 2, 7], [3, 9, 5, 8]]


def test_extremes_and_marks_follow() -> None:
    marks = (Mark(11, 13, "phone", "p"), Mark(10, 11, "phone", "a"))
    take = Curves(("a", "b"), 60, [[0, 3], [2, 1], [1, 2]], 10, marks)
    assert take.min() == {"a": 0, "b": 1}
    assert take.max() == {"a": 2, "b": 3}
    assert take.slice(11, 12).marks == (Mark(11, 12, "phone", "p"),)
    assert take.moved(0).marks == (Mark(0, 1, "phone", "a"), Mark(1, 3, "phone", "p"))
    assert take.resample(120).marks[1] == Mark(22, 26, "phone", "p")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04broken", b"\x93NUMPY", Curves(("a",), 60, [[1]]).to_npz()[:-30]])
def test_a_broken_npz_is_our_error(data: bytes) -> None:
    with pytest.raises(CurvesError, match="not a facerig"):
        Curves.from_npz(data)
