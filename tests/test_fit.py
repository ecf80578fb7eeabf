"""Tracks rendered from known curves come back as those curves: in space, in pictures, with gaps, with noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facerig.errors import InputError, OptionError
from facerig.fit.files import read_track
from facerig.fit.layouts import MEDIAPIPE68, STILL, TRUST, layout
from facerig.fit.tracks import FitOptions, Fitted, fit_track
from facerig.heads.builtin import builtin_head
from facerig.heads.flame_solve import speech_like
from facerig.heads.landmarks import mouth_measures
from facerig.heads.solve import Solving, box_least_squares
from facerig.mesh import Deformer, rotation_matrices
from facerig.rig import rig

HEAD = builtin_head()
CHANNELS = tuple(name for name in rig("arkit").names if name != "tongueOut")
VERTICES = [HEAD.landmarks[f"point{n}"] for n in range(68)]
EXACT = FitOptions(ridge=1e-5, smooth=1e-3)


def rendered(frames: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Known weights, head rotations, and the 68 points in some camera's units."""
    weights = speech_like(frames, CHANNELS, seed)
    time = np.arange(frames)
    turns = np.stack([0.1 * np.sin(time / 20), 0.25 * np.sin(time / 15), 0.05 * np.cos(time / 10)], axis=1)
    points = Deformer(HEAD, CHANNELS)(weights.astype(np.float32))[:, VERTICES].astype(np.float64)
    placed = 3.7 * np.einsum("tab,tnb->tna", rotation_matrices(turns), points) + [5, 6, 7]
    return weights, turns, placed


def fitted(track: np.ndarray, options: FitOptions = EXACT) -> Fitted:
    return fit_track(track, HEAD, layout("auto", track.shape[1]), CHANNELS, TRUST, STILL, options)


@pytest.mark.parametrize(("size", "missing", "noise"), [(3, 0.0, 0.0), (3, 0.2, 0.0), (3, 0.2, 0.01), (2, 0.0, 0.0),
                                                        (2, 0.2, 0.0)])
def test_known_curves_come_back(size: int, missing: float, noise: float) -> None:
    weights, turns, placed = rendered()
    random = np.random.default_rng(1)
    track = placed[:, :, :size] + random.normal(0, noise * 3.7, placed[:, :, :size].shape)
    track[random.random(track.shape[:2]) < missing] = np.nan
    found = fitted(track)
    assert np.abs(found.weights - weights).mean() <= 0.05
    assert np.abs(found.rotations - turns).max() < 0.05
    assert found.residual_mm.mean() < 0.6
    assert (found.weights >= 0).all()
    assert (found.weights <= 1).all()


def test_another_persons_neutral_is_learned_from_rest() -> None:
    weights, _, _ = rendered(40)
    weights[:6] = 0
    points = Deformer(HEAD, CHANNELS)(weights.astype(np.float32))[:, VERTICES].astype(np.float64)
    strange = points + np.random.default_rng(3).normal(0, 0.15, (68, 3))  # 1.5 mm of another face
    direct, learned = fitted(strange), fitted(strange, FitOptions(ridge=1e-4, smooth=1e-3, neutral=(0, 6)))
    assert np.abs(learned.weights - weights).mean() < 0.6 * np.abs(direct.weights - weights).mean()
    assert np.abs(learned.weights - weights).mean() < 0.05


def test_mediapipe_columns_reach_the_same_points() -> None:
    _, _, placed = rendered(6)
    wide = np.full((6, 478, 3), np.nan)
    wide[:, list(MEDIAPIPE68)] = placed
    assert np.allclose(fitted(wide).weights, fitted(placed).weights)
    assert len(set(MEDIAPIPE68)) == 68


def test_moving_meshes_give_their_curves() -> None:
    weights = speech_like(12, CHANNELS, 5)
    moved = Deformer(HEAD, CHANNELS)(weights.astype(np.float32))
    columns = {n: str(n) for n in range(0, HEAD.vertex_count, 9)}
    found = fit_track(moved, HEAD, columns, CHANNELS, {}, STILL, FitOptions(ridge=1e-6, smooth=0.0, rounds=4))
    assert np.abs(found.weights - weights).mean() < 0.02


def test_curves_of_a_fit_carry_the_head() -> None:
    _, turns, placed = rendered(8)
    curves = fitted(placed).curves(30)
    assert curves.channels[-3:] == ("headYaw", "headPitch", "headRoll")
    assert np.allclose(curves["headYaw"], turns[:, 1], atol=0.03)


def test_the_heads_angles_are_those_that_files_and_pictures_turn_by() -> None:
    from facerig.preview.pose import poses

    vectors = np.array([[0.4, 0.6, 0.2], [-0.5, 0.8, 0.0]])
    still = np.zeros(2)
    found = Fitted(("jawOpen",), np.zeros((2, 1)), vectors, still, np.zeros((2, 3)), still)
    assert np.allclose(poses(found.curves(30), HEAD).turns["head"], vectors, atol=1e-6)


def test_frames_at_rest_are_frames_of_the_track() -> None:
    _, _, placed = rendered(6)
    with pytest.raises(InputError, match="the track has 6 frames"):
        fitted(placed, FitOptions(neutral=(0, 900)))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("value", [0.0, 7.5])
def test_a_lost_frame_is_named(size: int, value: float) -> None:
    track = rendered(14)[2][:, :, :size].copy()
    track[10] = value
    with pytest.raises(InputError, match="frame 10: fewer than 4 points that lie apart"):
        fitted(track)
    track[:] = value
    with pytest.raises(InputError, match="frame 0: fewer than 4 points that lie apart"):
        fitted(track)


def test_refining_by_gradient_shrugs_off_outliers() -> None:
    pytest.importorskip("torch")
    from facerig.fit.refine import refined

    _, _, placed = rendered(10)
    broken = placed.copy()
    broken[::2, 57] += 30.0  # a lip point that jumps 8 cm away in every other frame
    first = fitted(broken, FitOptions(ridge=1e-4, smooth=1e-3))
    clean = fitted(placed, FitOptions(ridge=1e-4, smooth=1e-3))
    finished = refined(first, broken, HEAD, layout("68", 68))
    assert np.abs(finished.weights - clean.weights).mean() < np.abs(first.weights - clean.weights).mean()


def test_bounded_least_squares_agrees_with_scipy() -> None:
    from scipy.optimize import lsq_linear

    random = np.random.default_rng(0)
    basis = random.normal(size=(30, 8))
    target = random.normal(size=(4, 30))
    ours = box_least_squares(basis.T @ basis, target @ basis, np.zeros(8), np.ones(8),
                             Solving(ridge=0.0, sweeps=2000, tolerance=1e-10))
    theirs = np.stack([lsq_linear(basis, row, (0, 1), tol=1e-12).x for row in target])
    assert np.allclose(ours, theirs, atol=1e-5)


def test_smoothness_only_ever_calms() -> None:
    random = np.random.default_rng(1)
    basis, target = random.normal(size=(30, 5)), random.normal(size=(50, 30)) + 1
    travel = [np.abs(np.diff(box_least_squares(basis.T @ basis, target @ basis, np.zeros(5), np.ones(5),
                                               Solving(1e-3, smooth)), axis=0)).sum() for smooth in (0.0, 0.5, 5.0)]
    assert travel[0] > travel[1] > travel[2]


def test_layouts_and_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="for 70 points"):
        layout("auto", 70)
    (tmp_path / "m.json").write_text(json.dumps({"0": "point30", "900": "point8"}))
    with pytest.raises(InputError, match="column 900 of 68"):
        layout(str(tmp_path / "m.json"), 68)
    (tmp_path / "m.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not a mapping"):
        layout(str(tmp_path / "m.json"), 68)
    np.save(tmp_path / "flat.npy", np.zeros((4, 5)))
    with pytest.raises(InputError, match="accepted: \\[frames, points, 2 or 3\\]"):
        read_track(tmp_path / "flat.npy")
    np.save(tmp_path / "inf.npy", np.full((2, 68, 3), np.inf))
    with pytest.raises(InputError, match="infinity"):
        read_track(tmp_path / "inf.npy")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not an array"):
        read_track(tmp_path / "object.npy")
    with pytest.raises(InputError, match="no such"):
        read_track(tmp_path / "none.npy")
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        read_track(tmp_path / f"{'n' * 304}.npy")
    with pytest.raises(InputError, match="fewer than 4 points"):
        fitted(np.full((2, 68, 3), np.nan))


def test_a_folder_is_played_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for frame in range(12):
        name = f"frame{frame}.{'OBJ' if frame % 2 else 'obj'}"
        (tmp_path / name).write_text(f"v {frame} 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert read_track(tmp_path)[:, 0, 0].tolist() == list(range(12))


def test_csv_and_pictures_y(tmp_path: Path) -> None:
    rows = np.arange(12.0).reshape(2, 6)
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,c,d,e,f")
    assert np.array_equal(read_track(tmp_path / "t.csv", y_down=True), rows.reshape(2, 2, 3) * [1, -1, -1])


def test_a_real_talkers_track_keeps_its_measures(shared_data: Path) -> None:
    """GRID: two clips of a real man; the fitted head's mouth moves as his was measured."""
    grid = shared_data / "grid"
    index = json.loads((grid / "landmarks_index.json").read_text())
    with np.load(grid / "tracks.npz") as stored:
        ids, offsets = [str(i) for i in stored["ids"]], stored["offset"]
        columns, tracks = [str(c) for c in stored["columns"]], stored["tracks"]
    taken = range(3, 5)
    points = np.concatenate([read_track(grid / "landmarks" / f"{ids[k]}.npz", y_down=True) for k in taken])
    measured = np.concatenate([tracks[offsets[k] : offsets[k] + 75] for k in taken])
    rest = np.flatnonzero(measured[:, columns.index("gap_center")] < 0.004)
    numbers = {int(n): k for k, n in enumerate(index["index"])}
    named = {numbers[m]: f"point{p}" for p, m in enumerate(MEDIAPIPE68) if m in numbers}
    ordered = np.concatenate([points[rest], points])
    found = fit_track(ordered, HEAD, named, CHANNELS, TRUST, STILL,
                      FitOptions(ridge=1e-2, smooth=0.01, neutral=(0, len(rest)), rounds=2))
    mouth = mouth_measures(HEAD, CHANNELS)
    moved = mouth.apply(found.weights[len(rest) :])
    for ours, theirs, least in (("gap", "gap_center", 0.93), ("outer_height", "outer_height", 0.95),
                                ("width", "width_outer", 0.8), ("jaw_drop", "jaw_drop", 0.9)):
        r = np.corrcoef(moved[:, mouth.index(ours)], measured[:, columns.index(theirs)])[0, 1]
        assert r > least, (ours, r)
