"""Deformation: the fast ways agree with the plain one, joints turn what hangs on them, shapes of arrays are checked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.curves import Curves
from facerig.errors import HeadError
from facerig.heads.bench import large_head
from facerig.heads.builtin import builtin_head
from facerig.mesh import Deformer, Head, Joint, Part, Shape, deform, rotation_matrices, vertex_normals


def small_head(vertices: int, seed: int) -> Head:
    random = np.random.default_rng(seed)
    joints = (Joint("neck", -1, (0.0, -1.0, 0.0)), Joint("head", 0, (0.0, 0.0, 0.0)), Joint("jaw", 1, (0.0, 0.1, 0.2)))
    parts = []
    for name in ("face", "teeth"):
        points = random.normal(size=(vertices, 3)).astype(np.float32)
        triangles = random.integers(0, vertices, (vertices, 3)).astype(np.int32)
        shapes = {}
        for shape in ("jawOpen", "mouthClose", name + "Only"):
            index = np.unique(random.integers(0, vertices, vertices // 2 + 1)).astype(np.int32)
            shapes[shape] = Shape(index, random.normal(size=(len(index), 3)).astype(np.float32))
        weight = random.random((vertices, 2)).astype(np.float32)
        parts.append(Part(name, "skin", points, triangles, vertex_normals(points, triangles),
                          np.zeros((vertices, 2), np.float32), shapes,
                          random.integers(0, 3, (vertices, 2)).astype(np.int32),
                          weight / weight.sum(1, keepdims=True)))
    return Head("small", tuple(parts), joints)


@given(st.integers(3, 700), st.integers(0, 5), st.integers(0, 9))
@settings(deadline=None, max_examples=25)
def test_blocks_agree_with_the_reference(vertices: int, frames: int, seed: int) -> None:
    head = small_head(vertices, seed)
    random = np.random.default_rng(seed)
    names = ("mouthClose", "jawOpen", "unknown", "teethOnly")
    curves = Curves(names, 60, random.random((frames, 4)))
    turns = {"jaw": random.normal(size=(frames, 3)).astype(np.float32)}
    fast = Deformer(head, names)(curves.values, turns)
    assert fast.shape == (frames, 2 * vertices, 3)
    assert np.abs(fast - deform(head, curves, turns)).max(initial=0.0) < 2e-5


@pytest.mark.parametrize("which", ["builtin", "large"])
def test_torch_agrees_to_a_hundred_thousandth_of_the_head(which: str) -> None:
    torch = pytest.importorskip("torch")
    from facerig.heads.torch_deform import TorchDeformer

    head = builtin_head() if which == "builtin" else large_head()
    random = np.random.default_rng(1)
    weights = random.random((5, len(head.shape_names))).astype(np.float32)
    turns = {j.name: random.normal(0, 0.3, (5, 3)).astype(np.float32) for j in head.joints[:3]}
    there = Deformer(head, head.shape_names)(weights, turns)
    here = TorchDeformer(head, head.shape_names)(torch.from_numpy(weights),
                                                 {k: torch.from_numpy(v) for k, v in turns.items()})
    size = np.ptp(head.vertices, axis=0).max()
    assert np.abs(here.numpy() - there).max() < 1e-5 * size


def test_torch_gradient_is_the_shape() -> None:
    torch = pytest.importorskip("torch")
    from facerig.heads.torch_deform import TorchDeformer

    head = small_head(50, 3)
    weights = torch.zeros((1, 2), requires_grad=True)
    moved = TorchDeformer(head, ("jawOpen", "mouthClose"))(weights)
    vertex = int(head.shape("jawOpen").index[0])
    moved[0, vertex, 1].backward()
    assert weights.grad[0, 0] == pytest.approx(float(head.shape("jawOpen").offsets[0, 1]))


def test_a_joint_turns_its_children_about_its_place() -> None:
    head = small_head(40, 0)
    rest = head.vertices
    turned = Deformer(head, ())(np.zeros((1, 0), np.float32), {"neck": np.array([[0, np.pi / 2, 0]], np.float32)})[0]
    # The neck carries all three joints, so every vertex goes once around its vertical line.
    wanted = np.stack([rest[:, 2], rest[:, 1], -rest[:, 0]], axis=1)
    assert np.allclose(turned, wanted, atol=1e-5)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
@settings(deadline=None, max_examples=60)
def test_rotations_are_rotations(vector: list[float]) -> None:
    turn = rotation_matrices(np.array(vector)).astype(np.float64)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert np.allclose(turn @ np.array(vector), vector, atol=1e-5)


def test_normals_of_a_cube_corner_point_outward() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    normals = vertex_normals(points, triangles)
    assert np.allclose(normals[0], -np.ones(3) / np.sqrt(3), atol=1e-6)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("field", "value"), [
    ("vertices", np.full((3, 3), np.nan, np.float32)), ("vertices", np.zeros((3, 2), np.float32)),
    ("normals", np.zeros((2, 3), np.float32)), ("uvs", np.zeros((3, 3), np.float32)),
    ("triangles", np.array([[0, 1, 3]], np.int32)), ("triangles", np.array([[0, 1, -1]], np.int32)),
    ("triangles", np.array([[0, 1]], np.int32)),
    ("shapes", {"a": Shape(np.array([5], np.int32), np.zeros((1, 3), np.float32))}),
    ("shapes", {"a": Shape(np.array([1], np.int32), np.full((1, 3), np.inf, np.float32))}),
    ("shapes", {"a": Shape(np.array([0, 1], np.int32), np.zeros((1, 3), np.float32))}),
])
def test_malformed_parts_are_refused(field: str, value: object) -> None:
    fields = {"name": "p", "material": "skin", "vertices": np.zeros((3, 3), np.float32),
              "triangles": np.array([[0, 1, 2]], np.int32), "normals": np.zeros((3, 3), np.float32),
              "uvs": np.zeros((3, 2), np.float32)}
    Part(**fields)  # type: ignore[arg-type]
    with pytest.raises(HeadError):
        Part(**{**fields, field: value})  # type: ignore[arg-type]


def test_wrong_width_and_unknown_names_are_told() -> None:
    head = small_head(10, 0)
    with pytest.raises(HeadError, match=r"accepted: \[T, 1\]"):
        Deformer(head, ("jawOpen",))(np.zeros((2, 3), np.float32))
    with pytest.raises(HeadError, match="there are neck, head, jaw"):
        head.joint("tail")
    with pytest.raises(HeadError, match="there are face, teeth"):
        head.part("nose")
