"""Masks of the head in pictures: they tell what points do not, by pure torch and by pytorch3d where it is installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerig.errors import InputError
from facerig.fit.files import read_masks
from facerig.fit.layouts import STILL, TRUST, layout
from facerig.fit.tracks import FitOptions, Fitted, fit_track
from facerig.heads.builtin import builtin_head
from facerig.mesh import Deformer, rotation_matrices

torch = pytest.importorskip("torch")
HEAD = builtin_head()
CHANNELS = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp")
POINTS = [HEAD.landmarks[f"point{n}"] for n in range(68)]
SIDE, SCALE, SHIFT = 128, 4.0, np.array([64.0, -58.0])
WEIGHTS = np.array([[0.0, 0, 0, 0], [0.7, 0.2, 0.2, 0]], np.float32)
JAW_POINTS = [*range(17), *range(48, 68)]
SIDEWAYS = np.array([[0.05, 1.0, 0.0], [0.05, -1.0, 0.0]])  # from the front the neck lies behind the chin
TURNS = np.array([[0.0, 0, 0], [0.05, -0.2, 0.05]])


def projected(turns: np.ndarray = TURNS) -> np.ndarray:
    """Every vertex [T, V, 2] in pixels with y upwards."""
    moved = Deformer(HEAD, CHANNELS)(WEIGHTS).astype(np.float64)
    placed: np.ndarray = SCALE * np.einsum("tab,tnb->tna", rotation_matrices(turns), moved)[..., :2] + SHIFT
    return placed


def masks(turns: np.ndarray = TURNS) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    draw = pytest.importorskip("PIL.ImageDraw")
    skin = HEAD.part("face")
    out = []
    for frame in projected(turns)[:, : len(skin.vertices)] * [1, -1]:
        picture = image.new("L", (SIDE, SIDE))
        pen = draw.Draw(picture)
        for triangle in skin.triangles:
            pen.polygon([tuple(p - 0.5) for p in frame[triangle]], fill=255)
        out.append(np.asarray(picture) > 0)
    return np.stack(out)


def blind_fit(turns: np.ndarray = TURNS, noise: float = 0.6) -> tuple[Fitted, np.ndarray]:
    """A fit of nose, brows and eyes alone: the jaw stays unknown. noise: in pixels of 2.5 mm."""
    track = projected(turns)[:, POINTS] + np.random.default_rng(0).normal(0, noise, (len(WEIGHTS), 68, 2))
    track[:, JAW_POINTS] = np.nan
    found = fit_track(track, HEAD, layout("68", 68), CHANNELS, TRUST, STILL, FitOptions(ridge=1e-3, smooth=0.0))
    return found, track


def test_masks_join_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """With masks a refinement ends nearer to them than without, and still near the points."""
    import facerig.fit.refine as refining

    monkeypatch.setattr(refining, "ROUNDS", 12)
    found, track = blind_fit()
    found = replace(found, shifts=found.shifts + np.array([3.0, 0.0]))
    shapes = masks()
    outline = refining._Outline(HEAD, found, shapes, track.shape, soft=False)

    def apart(fit: Fitted) -> float:
        turns = torch.tensor(rotation_matrices(fit.rotations))
        values = (torch.tensor(a, dtype=torch.float32) for a in (fit.weights, np.log(fit.scales), fit.shifts))
        weights, scales, shifts = values
        return float(outline(weights, turns, scales, shifts))

    without = refining.refined(found, track, HEAD, layout("68", 68))
    with_masks = refining.refined(found, track, HEAD, layout("68", 68), shapes, soft=False)
    assert apart(with_masks) < apart(without) < apart(found)
    assert with_masks.residual_mm.mean() < found.residual_mm.mean() + 8.0


def test_masks_from_the_side_tell_a_jaw_that_no_point_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the fit left the jaw shut for want of points: a channel at 0 there is unknown, not refuted."""
    import facerig.fit.refine as refining

    monkeypatch.setattr(refining, "ROUNDS", 60)
    found, track = blind_fit(SIDEWAYS, 0.3)
    found = replace(found, weights=np.zeros((2, 4)))
    told = refining.refined(found, track, HEAD, layout("68", 68), masks(SIDEWAYS), soft=False).weights[:, 0]
    assert np.abs(told - WEIGHTS[:, 0]).max() < 0.2
    untold = refining.refined(found, track, HEAD, layout("68", 68)).weights[:, 0]
    assert untold.tolist() == [0.0, 0.0]


def test_masks_are_asked_only_what_the_points_leave_open() -> None:
    from facerig.fit.refine import _told_by_masks
    from facerig.heads.landmarks import point_deltas

    deltas, known = point_deltas(HEAD, POINTS, CHANNELS).astype(np.float32), np.ones((2, 68), bool)
    assert not _told_by_masks(deltas, known, HEAD.metres_per_unit * 1000).any()
    known[:, JAW_POINTS] = False
    asked = _told_by_masks(deltas, known, HEAD.metres_per_unit * 1000)
    assert asked[CHANNELS.index("jawOpen")]
    assert not asked[CHANNELS.index("browInnerUp")]


def test_distances_pull_a_shifted_head_back() -> None:
    from facerig.fit.silhouette import DistanceMasks

    way = _descended(DistanceMasks(masks()))
    assert np.abs(way[-1]).max() < 1.0
    assert np.abs(way[0]).max() > 4.0


def test_pytorch3d_and_pure_torch_agree_on_the_place() -> None:
    from facerig.fit.silhouette import DistanceMasks, SoftMasks, has_pytorch3d

    if not has_pytorch3d():
        pytest.skip("pytorch3d is not installed: its silhouettes cannot be compared with the pure-torch ones")
    shapes = masks()
    soft = _descended(SoftMasks(shapes, HEAD.part("face").triangles))
    assert np.abs(soft[-1] - _descended(DistanceMasks(shapes))[-1]).max() < 1.0
    assert np.abs(soft[-1]).max() < 1.0


def _descended(masks_loss: object, rounds: int = 40) -> np.ndarray:
    """Shifts of a head that begins 5 pixels off, round after round."""
    places = torch.tensor(projected()[:, : len(HEAD.part("face").vertices)] * [1, -1], dtype=torch.float32)
    off = torch.tensor([[5.0, -4.0]] * len(places), requires_grad=True)
    steps = torch.optim.Adam([off], lr=0.25)
    way = []
    for _ in range(rounds):
        way.append(off.detach().numpy().copy())
        steps.zero_grad()
        masks_loss.loss(places + off[:, None]).backward()  # type: ignore[attr-defined]
        steps.step()
    return np.array(way)


def test_an_empty_mask_says_nothing() -> None:
    from facerig.fit.silhouette import DistanceMasks

    shapes = masks()
    shapes[1] = False
    places = torch.tensor(projected()[:, :500] * [1, -1], dtype=torch.float32, requires_grad=True)
    DistanceMasks(shapes).loss(places).backward()
    assert float(places.grad[1].abs().max()) == 0.0
    assert float(places.grad[0].abs().max()) > 0.0


def test_files_of_masks(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    shapes = masks()
    np.save(tmp_path / "m.npy", shapes)
    np.savez_compressed(tmp_path / "m.npz", masks=shapes.astype(np.uint8) * 255)
    (tmp_path / "pictures").mkdir()
    for number, mask in enumerate(shapes):
        image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "pictures" / f"{number:04}.png")
    for name in ("m.npy", "m.npz", "pictures"):
        assert np.array_equal(read_masks(tmp_path / name), shapes)
    (tmp_path / "pictures" / "0009.png").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    for name, words in (("pictures", "cannot be read"), ("empty", "no .png"), ("flat.npy", "accepted"),
                        ("none.npy", "not an array")):
        with pytest.raises(InputError, match=words):
            read_masks(tmp_path / name)


def test_masks_are_played_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for frame in range(12):
        image.fromarray(np.where(np.arange(16) == frame, 255, 0).astype(np.uint8)[None].repeat(2, 0)).save(
            tmp_path / f"mask {frame}.png")
    assert read_masks(tmp_path)[:, 0].argmax(axis=1).tolist() == list(range(12))


def test_masks_must_fit_the_track() -> None:
    from facerig.fit.refine import refined

    found, track = blind_fit()
    with pytest.raises(InputError, match=r"accepted: \[2, height, width\]"):
        refined(found, track, HEAD, layout("68", 68), masks()[:1], soft=False)
    deep = np.concatenate([track, track[..., :1]], axis=2)
    with pytest.raises(InputError, match="3 dimensions"):
        refined(replace(found, shifts=np.zeros((2, 3))), deep, HEAD, layout("68", 68), masks(), soft=False)
