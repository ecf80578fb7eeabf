"""Key reduction: the bound, the number of keys, closures that stay closed, forced keys, and takes of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from export_samples import ARKIT, take
from hypothesis import given, settings
from hypothesis import strategies as st

import exporters
from exporters.keys import BOUND, Track, closures, dense, hermite, reduce, tracks
from exporters.speech import is_bilabial
from facerig.curves import Curves, Mark
from facerig.errors import OptionError

PHONES = "m a m a p i b u f a s o p a".split()  # noqa: SIM905
LIPS = ("jawOpen", "mouthClose", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthFunnel", "mouthSmileLeft",
        "mouthLowerDownLeft", "mouthUpperUpLeft", "eyeBlinkLeft")


def speech(seconds: float = 10.0, seed: int = 0) -> Curves:
    """Speech-like motion on 52 channels: a target a phone, smoothed as muscles do, lips shut on bilabials."""
    rng, fps = np.random.default_rng(seed), 60
    count = int(seconds * fps)
    edges = np.cumsum(rng.integers(4, 9, count // 4))
    edges = np.concatenate([[0], edges[edges < count], [count]])
    labels = [PHONES[n % len(PHONES)] for n in range(len(edges) - 1)]
    rows = np.zeros((count, len(ARKIT)))
    for first, last, label in zip(edges[:-1], edges[1:], labels, strict=True):
        target = rng.random(len(ARKIT)) * (rng.random(len(ARKIT)) < 0.4)
        if label in "mpb":
            target[ARKIT.index("jawOpen")] = 0.05
            target[ARKIT.index("mouthClose")] = 0.05
            target[ARKIT.index("mouthPressLeft")] = target[ARKIT.index("mouthPressRight")] = 0.4
        rows[first:last] = target
    kernel = np.hanning(11)[1:-1]
    smooth = np.apply_along_axis(lambda x: np.convolve(x, kernel / kernel.sum(), "same"), 0, rows)
    spans = zip(edges[:-1].tolist(), edges[1:].tolist(), labels, strict=True)
    marks = tuple(Mark(first, last, "phone", label) for first, last, label in spans)
    return Curves(ARKIT, fps, smooth.astype(np.float32), 0, marks)


def error(curves: Curves, kept: dict[str, Track]) -> float:
    frames = np.arange(curves.start, curves.end)
    return max(float(np.abs(track.at(frames) - curves[name]).max()) for name, track in kept.items())


def share(curves: Curves, kept: dict[str, Track]) -> float:
    return sum(len(track.frames) for track in kept.values()) / (curves.frames * len(kept))


@pytest.mark.parametrize("together", [False, True])
def test_speech_needs_a_third_of_the_frames_at_most(together: bool) -> None:
    for curves in (speech(), speech(seed=1)):
        kept = reduce(curves, together=together)
        assert error(curves, kept) <= BOUND
        assert share(curves, kept) <= 1 / 3
        assert all(len(track.frames) <= curves.frames / 3 for track in kept.values())


def test_every_closure_is_kept_exactly() -> None:
    curves = speech()
    kept = reduce(curves)
    spans = closures(curves)
    assert len(spans) == sum(is_bilabial(mark) for mark in curves.marks) > 20
    rebuilt = {name: kept[name].at(np.arange(curves.frames)) for name in ("jawOpen", "mouthClose", "mouthPressLeft")}
    for first, last in spans:
        gap = curves["jawOpen"][first : last + 1] - curves["mouthClose"][first : last + 1]
        at = first + int(np.argmin(gap - 2 * curves["mouthPressLeft"][first : last + 1]))
        for name, column in rebuilt.items():
            assert set(kept[name].frames.tolist()) & set(range(first, last + 1))
            assert abs(column[at] - curves[name][at]) <= BOUND
            tightest = min(kept[name].frames.tolist(), key=lambda frame, at=at: abs(frame - at))
            assert abs(kept[name].values[kept[name].frames == tightest][0] - curves[name][tightest]) < 1e-6


def test_keys_stand_on_phone_borders_of_the_mouth_alone() -> None:
    at = np.linspace(0, 1, 121)
    smooth = Curves(("jawOpen", "browInnerUp"), 60, np.stack([at, at], 1), 0,
                    (Mark(30, 50, "phone", "a"), Mark(50, 70, "phone", "i")))
    kept = reduce(smooth)
    assert {30, 50, 70} <= set(kept["jawOpen"].frames.tolist())
    assert kept["browInnerUp"].frames.tolist() == [0, 120]


def test_borders_give_way_where_they_would_crowd() -> None:
    marks = tuple(Mark(n, n + 2, "phone", "a") for n in range(0, 120, 2))
    curves = Curves(("jawOpen",), 60, np.linspace(0, 1, 121)[:, None], 0, marks)
    assert len(reduce(curves)["jawOpen"].frames) <= 121 / 3


@settings(max_examples=25, deadline=None)
@given(frames=st.integers(1, 200), seed=st.integers(0, 2**32 - 1), bound=st.sampled_from((0.001, 0.02, 0.3)),
       kind=st.sampled_from(("noise", "walk", "steps", "flat", "big", "spike")), together=st.booleans())
def test_the_bound_holds_for_any_take(frames: int, seed: int, bound: float, kind: str, together: bool) -> None:
    rng = np.random.default_rng(seed)
    values = {
        "noise": rng.random((frames, 3)), "walk": np.cumsum(rng.normal(0, 0.05, (frames, 3)), axis=0),
        "steps": np.round(np.cumsum(rng.normal(0, 0.2, (frames, 3)), axis=0)), "flat": np.full((frames, 3), 0.3),
        "big": 50 * rng.normal(size=(frames, 3)), "spike": (rng.random((frames, 3)) > 0.95).astype(float),
    }[kind]
    curves = Curves(("jawOpen", "b", "c"), 60, values.astype(np.float32), 7)
    kept = reduce(curves, bound, together)
    assert error(curves, kept) <= bound
    for name, track in kept.items():
        assert track.frames[0] == 7
        assert track.frames[-1] == curves.end - 1
        assert np.all(np.diff(track.frames) > 0)
        assert np.array_equal(track.values.astype(np.float32), curves[name][track.frames - 7])
    if together:
        assert len({track.frames.tobytes() for track in kept.values()}) == 1


def test_rest_does_not_ring() -> None:
    values = np.zeros((240, 1), np.float32)
    values[100:140, 0] = np.hanning(40)
    track = reduce(Curves(("a",), 60, values))["a"]
    rebuilt = track.at(np.arange(240))
    assert np.abs(rebuilt[:95]).max() < 1e-3
    assert np.abs(rebuilt[146:]).max() < 1e-3


def test_pieces_of_a_long_take_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = speech(8)
    monkeypatch.setattr("exporters.keys.GROUP", 52 * 100)
    kept = reduce(curves, together=True)
    assert error(curves, kept) <= BOUND
    assert share(curves, kept) <= 0.36


def test_a_track_is_the_hermite_curve_through_its_keys() -> None:
    track = Track(np.array([0, 10, 30]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -0.1]))
    assert track.at([0, 10, 30]).tolist() == [0, 1, 0]
    assert track.at([-5, 99]).tolist() == [0, 0]
    assert track.at([5])[0] == pytest.approx(0.5)
    fine = hermite(np.array([1.0]), np.array([20.0]), *(np.array([v]) for v in (1.0, 0.0, 0.0, -0.1)))
    assert fine[0] == 0
    line = Track(np.array([0, 10]), np.array([0.0, 1.0]))
    assert line.at([2.5])[0] == pytest.approx(0.25)  # type: ignore[list-item]


def test_without_a_bound_every_frame_is_a_key() -> None:
    curves = take(20, start=4)
    kept = tracks(curves, None)
    assert kept.keys() == dense(curves).keys()
    assert kept["jawOpen"].frames.tolist() == list(range(4, 24))
    assert kept["jawOpen"].slopes is None


@pytest.mark.parametrize("bound", [0, -1, 1.5, float("nan")])
def test_bounds_are_checked(bound: float) -> None:
    with pytest.raises(OptionError, match="keys"):
        reduce(take(5), bound)


def test_reduced_files_are_much_smaller() -> None:
    curves = speech()
    options = exporters.ExportOptions(keys=BOUND)
    small, large = (len(exporters.export(curves, ".anim", options=each)) for each in (options, None))
    assert small < 0.6 * large


def test_labels_of_several_notations_are_bilabial() -> None:
    assert all(is_bilabial(Mark(0, 1, "phone", label)) for label in ("p", "b", "m", "P", "B", "M", "pʰ"))
    assert not any(is_bilabial(Mark(0, 1, "phone", label)) for label in ("f", "a", "AA1", "sil", "???"))
    assert not is_bilabial(Mark(0, 1, "word", "b"))
