"""FLAME: its file without running it, its motion against another implementation, the solver both ways."""

from __future__ import annotations

import io
import os
import pickle
import re
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import exporters
from exporters import READERS
from facerig.errors import HeadError
from facerig.heads.builtin import builtin_head
from facerig.heads.flame import (
    EXPRESSIONS,
    FACES,
    VERTICES,
    Flame,
    flame_from,
    flame_head,
    load_flame,
    synthetic_arrays,
)
from facerig.heads.flame_pickle import load_arrays
from facerig.heads.flame_solve import FlameBridge, flame_like, speech_like
from facerig.heads.npz import head_from_npz, head_to_npz
from facerig.mesh import Deformer
from facerig.preview.pose import poses as posed
from facerig.rig import rig

ARRAYS = synthetic_arrays()
CHANNELS = tuple(name for name in rig("arkit").names if name != "tongueOut")


class Evil:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call


def pickled(value: object, tmp_path: Path, name: str = "flame.pkl", protocol: int = 2) -> Path:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def test_true_sizes_and_reading_of_a_plain_pickle(tmp_path: Path) -> None:
    regressor = sparse.csc_matrix(ARRAYS["J_regressor"])
    path = pickled({**ARRAYS, "J_regressor": regressor, "bs_style": "lbs"}, tmp_path)
    flame = load_flame(path)
    assert flame.neutral.shape == (VERTICES, 3)
    assert flame.triangles.shape == (FACES, 3)
    assert flame.size == EXPRESSIONS
    assert np.allclose(flame.joints, ARRAYS["J_regressor"].astype(np.float64) @ ARRAYS["v_template"], atol=1e-6)


def test_chumpy_objects_are_read_without_chumpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("chumpy.ch")

    class Ch:
        pass

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
        patch.setitem(sys.modules, "chumpy.ch", module)
        shaped = Ch()
        shaped.x = ARRAYS["v_template"]  # type: ignore[attr-defined]
        dirs = Ch()
        dirs.__dict__.update({"a": ARRAYS["shapedirs"], "idxs": np.arange(ARRAYS["shapedirs"].size),
                              "preferred_shape": ARRAYS["shapedirs"].shape})
        path = pickled({**ARRAYS, "v_template": shaped, "shapedirs": dirs}, tmp_path)
    arrays = load_arrays(path)
    assert np.array_equal(arrays["v_template"], ARRAYS["v_template"])
    assert np.array_equal(arrays["shapedirs"], ARRAYS["shapedirs"])


@pytest.mark.parametrize("call", [(os.system, "touch {mark}"), (eval, "open('{mark}', 'w')"),
                                  (exec, "open('{mark}','w')"), (__import__, "os"), (io.open, "{mark}", "w")])
def test_a_malicious_pickle_runs_nothing(call: tuple[Any, ...], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    arguments = [a.format(mark=mark) if isinstance(a, str) else a for a in call[1:]]
    path = pickled({**ARRAYS, "v_template": Evil(call[0], *arguments)}, tmp_path)
    with pytest.raises(HeadError):
        load_flame(path)
    assert not mark.exists()


def test_a_call_smuggled_through_chumpy_or_numpy_is_refused(tmp_path: Path) -> None:
    text = b"cchumpy.ch\nsystem\n(S'touch " + str(tmp_path / "mark").encode() + b"'\ntR."
    (tmp_path / "a.pkl").write_bytes(text)
    with pytest.raises(HeadError):
        load_arrays(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(b"cnumpy\nload\n(S'x'\ntR.")
    with pytest.raises(HeadError, match=r"numpy\.load"):
        load_arrays(tmp_path / "b.pkl")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(("change", "message"), [
    ({"v_template": np.zeros((5, 2))}, "v_template has shape"), ({"f": np.full((3, 3), 9000)}, "names vertex 9000"),
    ({"weights": np.zeros((VERTICES, 4))}, "weights has shape"), ({"posedirs": np.zeros((VERTICES, 3, 9))}, "5 and 36"),
    ({"v_template": np.full((VERTICES, 3), np.nan)}, "NaN"), ({"J_regressor": None}, "no array 'J_regressor'"),
])
def test_wrong_models_are_told(change: dict[str, Any], message: str) -> None:
    arrays = {k: v for k, v in {**ARRAYS, **change}.items() if v is not None}
    with pytest.raises(HeadError, match=message):
        flame_from(arrays)


def test_not_a_pickle_and_missing_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04no")
    with pytest.raises(HeadError, match="not a FLAME pickle"):
        load_arrays(tmp_path / "x.pkl")
    with pytest.raises(HeadError, match="holds a list"):
        load_arrays(pickled([1], tmp_path))
    with pytest.raises(HeadError, match="no such file"):
        load_flame(tmp_path / "none.pkl")


def poses(frames: int) -> np.ndarray:
    return np.random.default_rng(2).normal(0, 0.25, (frames, 5, 3))


def test_lids_are_read_from_both_kinds_of_files(tmp_path: Path) -> None:
    lids = np.random.default_rng(0).normal(size=(2, VERTICES, 3)).astype(np.float32)
    path = pickled(ARRAYS, tmp_path)
    np.save(tmp_path / "lids.npy", lids)
    np.savez(tmp_path / "lids.npz", left=lids[0], right=lids[1])
    for name in ("lids.npy", "lids.npz"):
        assert np.array_equal(load_flame(path, eyelids=tmp_path / name).eyelids, lids)
    np.save(tmp_path / "few.npy", lids[:, :100])
    np.save(tmp_path / "one.npy", lids[0])
    np.save(tmp_path / "nan.npy", lids * np.nan)
    np.save(tmp_path / "text.npy", np.array(["a"]))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "lids.npz").read_bytes()[:5000])
    (tmp_path / "empty.npy").write_bytes(b"")
    for name, said in (("few.npy", "(2, 100, 3), accepted: (2, 5023, 3)"), ("one.npy", "accepted: (2, 5023, 3)"),
                       ("nan.npy", "NaN"), ("text.npy", "no eyelid offsets"), ("cut.npz", "no eyelid offsets"),
                       ("empty.npy", "no eyelid offsets"), ("none.npy", "no eyelid offsets")):
        with pytest.raises(HeadError, match=re.escape(said)):
            load_flame(path, eyelids=tmp_path / name)


def test_a_model_that_was_cut_off_is_told(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", **ARRAYS)
    data = (tmp_path / "whole.npz").read_bytes()
    for end in (len(data) // 2, 40):
        (tmp_path / "cut.npz").write_bytes(data[:end])
        with pytest.raises(HeadError, match=r"^cut.npz: not an .npz of plain arrays"):
            load_flame(tmp_path / "cut.npz")


def test_torch_and_numpy_move_alike() -> None:
    torch = pytest.importorskip("torch")
    flame, expression = flame_from(ARRAYS), np.random.default_rng(0).normal(size=(3, EXPRESSIONS))
    there = flame.vertices(expression, poses(3))
    here = flame.torch_vertices(torch.from_numpy(expression), torch.from_numpy(poses(3)))
    assert np.abs(here.numpy() - there).max() < 1e-5 * np.ptp(there, axis=(0, 1)).max()


def test_motion_agrees_with_smplx(tmp_path: Path) -> None:
    """smplx is asked only where it is installed."""
    pytest.importorskip("smplx", reason="smplx is not installed")
    torch = pytest.importorskip("torch")
    from smplx.lbs import lbs

    flame, expression, pose = flame_from(ARRAYS), np.random.default_rng(0).normal(size=(2, EXPRESSIONS)), poses(2)
    as_torch = {k: torch.from_numpy(np.asarray(v, np.float64)) for k, v in ARRAYS.items()}
    theirs, _ = lbs(torch.from_numpy(np.concatenate([np.zeros((2, 300)), expression], axis=1)),
                    torch.from_numpy(pose.reshape(2, -1)), as_torch["v_template"][None].expand(2, -1, -1),
                    as_torch["shapedirs"], as_torch["posedirs"].reshape(-1, 36).T, as_torch["J_regressor"],
                    torch.tensor([-1, 0, 1, 1, 1]), as_torch["weights"])
    # smplx lets expression move the joints; take that out by comparing with joints of the neutral head
    still, _ = lbs(torch.zeros(2, 400, dtype=torch.float64), torch.from_numpy(pose.reshape(2, -1)),
                   as_torch["v_template"][None].expand(2, -1, -1), as_torch["shapedirs"],
                   as_torch["posedirs"].reshape(-1, 36).T, as_torch["J_regressor"], torch.tensor([-1, 0, 1, 1, 1]),
                   as_torch["weights"])
    assert np.abs(still.numpy() - flame.vertices(expression * 0, pose)).max() < 1e-6
    assert np.abs(theirs.numpy() - flame.vertices(expression, pose)).max() < 2e-3


def test_skinning_by_hand() -> None:
    """A jaw of one rigid half: turns about the joint, and nothing else moves."""
    points = np.array([[0.0, 1, 0], [0, -1, 0], [1, -1, 0]])
    weights = np.zeros((3, 5))
    weights[0, 1], weights[1:, 2] = 1, 1
    face = np.array([[0, 1, 2]], np.int32)
    flame = Flame(points, face, np.zeros((3, 3, 1)), np.zeros((36, 9)), np.zeros((5, 3)), weights)
    pose = np.zeros((1, 5, 3))
    pose[0, 2, 0] = np.pi / 2
    moved = flame.vertices(np.zeros((1, 1)), pose)[0]
    assert np.allclose(moved, [[0, 1, 0], [0, 0, -1], [1, 0, -1]], atol=1e-6)


def test_the_head_of_a_flame_moves_like_the_flame() -> None:
    flame = flame_from({**ARRAYS, "posedirs": np.zeros((VERTICES, 3, 36))})
    head = flame_head(flame)
    expression = np.random.default_rng(0).normal(size=(2, EXPRESSIONS)).astype(np.float32)
    pose = poses(2)
    turns = {j.name: pose[:, k].astype(np.float32) for k, j in enumerate(head.joints)}
    moved = Deformer(head, rig("flame").names[:EXPRESSIONS])(expression, turns)
    assert np.abs(moved - flame.vertices(expression.astype(np.float64), pose)).max() < 1e-5


@pytest.fixture(scope="module")
def bridge() -> FlameBridge:
    head = builtin_head()
    marks = [(head.landmarks[f"point{n}"],) * 2 for n in range(17, 68)]
    return FlameBridge(head, flame_like(head), marks, CHANNELS)


def test_there_and_back_on_the_solvers_own_head(bridge: FlameBridge) -> None:
    weights = speech_like(90, CHANNELS, 3)
    track = bridge.to_flame(weights)
    back, residual = bridge.to_arkit(track.expression, track.pose)
    assert np.abs(back - weights).mean() < 0.03
    assert track.residual_mm.mean() < 0.3
    assert residual.mean() < 0.3
    jaw = weights[:, CHANNELS.index("jawOpen")]
    assert np.corrcoef(jaw, track.pose[:, 2, 0])[0, 1] > 0.9  # the jaw opens by its joint
    curves = track.curves(60)
    assert curves.values.shape == (90, bridge.flame.size + 9)


def test_a_solved_track_drives_files_and_a_flame_head(bridge: FlameBridge) -> None:
    weights = np.zeros((4, len(CHANNELS)))
    for name in ("jawOpen", "eyeLookUpLeft", "eyeLookOutRight"):
        weights[:, CHANNELS.index(name)] = np.linspace(0, 1, 4)
    curves = bridge.to_flame(weights).curves(30, 6)
    assert set(curves.channels) <= set(rig("flame").names)
    head = flame_head(bridge.flame)
    moved = posed(curves, head)
    assert moved.shapes == curves.channels[: bridge.flame.size]
    assert moved.turns.keys() == {"jaw", "leftEye", "rightEye"}
    for suffix in (".flame.npz", ".deca.npz", ".smirk.npz", ".vhap.npz"):
        read = READERS[".npz"](exporters.export(curves, suffix), f"x{suffix}")
        assert np.array_equal(read.select(curves.channels).values, curves.values)
        assert posed(read, head).shapes == moved.shapes


def test_a_head_kept_under_the_names_from_before_is_a_flame_too(bridge: FlameBridge) -> None:
    head = flame_head(bridge.flame)
    shapes = {f"expr{number}": shape for number, shape in enumerate(head.parts[0].shapes.values())}
    old = replace(head, parts=(replace(head.parts[0], shapes=shapes),))
    assert head_from_npz(head_to_npz(old)).shape_names == head.shape_names
    other = replace(old, joints=())  # no FLAME: its names are its own
    assert head_from_npz(head_to_npz(other)).shape_names == tuple(shapes)


def test_residual_of_each_channel_and_the_streaming_map(bridge: FlameBridge) -> None:
    residuals = bridge.channel_residuals()
    assert set(residuals) == set(CHANNELS)
    assert max(residuals.values()) < 1.0
    linear = bridge.linear_map(200)
    weights = speech_like(60, CHANNELS, 9)
    track = bridge.to_flame(weights)
    mapped = linear(weights.astype(np.float32))
    theirs = bridge._jaw(mapped[:, : linear.size + 3].astype(np.float64))[0]
    apart = theirs - bridge._jaw(np.concatenate([track.expression, track.pose[:, 2]], axis=1))[0]
    assert np.sqrt((apart**2).sum(2).mean()) * 1000 < 1.5  # mm


def test_between_two_different_heads(shared_data: Path) -> None:
    from facerig.heads.ict import load_ict

    head, other = builtin_head(), load_ict(shared_data / "heads" / "ict_facekit")
    marks = [(head.landmarks[f"point{n}"], other.landmarks[f"point{n}"]) for n in range(17, 68)]
    bridge = FlameBridge(head, flame_like(other), marks, CHANNELS, points=400)
    weights = speech_like(60, CHANNELS, 4)
    track = bridge.to_flame(weights)
    back, _ = bridge.to_arkit(track.expression, track.pose)
    assert np.abs(back - weights).mean() < 0.03
    assert track.residual_mm.mean() < 1.5
