"""Where heads of files lie: placed by nodes and skins, upright, wound outward, with their texture places."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_readers import needs
from numpy.typing import NDArray
from test_heads_files import glb

import exporters
from exporters.fbx_container import double, integer, leaf
from exporters.fbx_document import Document, prop, properties, vector
from exporters.gltf_container import parse
from facerig.curves import Curves
from facerig.errors import HeadError
from facerig.heads import load_head
from facerig.heads.builtin import builtin_head
from facerig.heads.fbx_places import world_axes
from facerig.heads.foreign import read_head
from facerig.mesh import Head

Doubles = NDArray[np.float64]
TAKE = Curves(("jawOpen",), 30, np.zeros((2, 1), np.float32))
METRES = builtin_head().vertices * builtin_head().metres_per_unit

UFBX = """
import json, os, sys, ufbx
scene = ufbx.load_file(sys.argv[1]); kept = [scene]; out = {}
for n in range(len(scene.nodes)):
    node = scene.nodes[n]; kept.append(node)
    if node.mesh:
        m = node.geometry_to_world; mesh = node.mesh; kept += [m, mesh]
        columns = [[getattr(c, axis) for axis in "xyz"] for c in (m.c0, m.c1, m.c2, m.c3)]
        found = [mesh.vertices[k] for k in range(mesh.num_vertices)]; kept.append(found)
        out[node.name] = [columns, [[v.x, v.y, v.z] for v in found]]
print(json.dumps(out)); sys.stdout.flush(); os._exit(0)
"""


def placed_by_ufbx(path: Path) -> dict[str, Doubles]:
    needs("ufbx", "fbx")
    done = subprocess.run([sys.executable, "-c", UFBX, str(path)], capture_output=True, text=True, timeout=60)
    rows = {name: (np.array(m), np.array(v)) for name, (m, v) in json.loads(done.stdout).items()}
    return {name: vertices @ matrix[:3] + matrix[3] for name, (matrix, vertices) in rows.items()}


def volume(head: Head, part: int = 0) -> float:
    """Positive where triangles are counter-clockwise from outside."""
    a, b, c = (head.parts[part].vertices[head.parts[part].triangles[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum())


def exported(path: Path, **options: Any) -> Path:
    path.write_bytes(exporters.export(TAKE, path.suffix, builtin_head(), exporters.ExportOptions(**options)))
    return path


def metres(head: Head) -> Doubles:
    return head.vertices.astype(np.float64) * head.metres_per_unit


@pytest.mark.parametrize("name", [
    "blender_331_static_blend_shape_7400", "maya_anim_extrapolation_7100", "maya_anim_interpolation_7700",
    "maya_anim_layers_7500", "maya_anim_layers_over_acc_orders_7500", "maya_blend_shape_cube_6100"])
def test_fbx_meshes_lie_where_ufbx_puts_them(name: str, shared_data: Path) -> None:
    path = shared_data / "fbx" / f"{name}_binary.fbx"
    head = load_head(str(path))
    truth = placed_by_ufbx(path)
    assert {part.name for part in head.parts} == set(truth)
    for part in head.parts:
        assert part.vertices == pytest.approx(truth[part.name], abs=1e-5)


TURNS = ("PreRotation", "PostRotation", "GeometricRotation", "Lcl Rotation")
PLACES = ("Lcl Translation", "RotationOffset", "RotationPivot", "ScalingOffset", "ScalingPivot", "GeometricTranslation")


def node(order: int, mirror: int, random: np.random.Generator) -> Any:
    """All that a node may say of its place, at random."""
    rows = [vector(name, name, tuple(random.uniform(-80, 80, 3)), "A") for name in TURNS]
    rows += [vector(name, name, tuple(random.uniform(-3, 3, 3)), "A") for name in PLACES]
    size = random.uniform(0.5, 2)  # of one length: how a turn meets a parent's stretch depends on InheritType
    rows += [vector("Lcl Scaling", "Lcl Scaling", (mirror * size, size, size), "A"),
             vector("GeometricScaling", "Vector3D", (1, 2, 3), "A"),
             prop("RotationOrder", "enum", "", "", integer(order)), prop("RotationActive", "bool", "", "", integer(1)),
             prop("InheritType", "enum", "", "", integer(1))]
    return leaf("Version", integer(232)), properties(*rows)


@pytest.mark.parametrize("order", range(6))
def test_pivots_orders_and_parents_of_fbx_nodes(order: int, tmp_path: Path) -> None:
    from exporters.fbx import _mesh

    random = np.random.default_rng(order)
    document, part = Document(), builtin_head().parts[2]
    above = document.add("Model", "above", "Null", node(5 - order, 1, random))
    below = document.add("Model", part.name, "Mesh", node(order, -1, random))
    for child, parent in ((document.add("Geometry", part.name, "Mesh", _mesh(part, 1)), below), (below, above),
                          (above, 0)):
        document.link(child, parent)
    path = tmp_path / "nodes.fbx"
    path.write_bytes(document.bytes("t", 60, 0, 1, 7400))
    head = load_head(str(path))
    assert head.vertices == pytest.approx(placed_by_ufbx(path)[part.name], abs=1e-4)
    assert volume(head) > 0  # mirrored, and still wound outward


def test_axes_of_fbx_scenes() -> None:
    max_axes = {"UpAxis": [2], "UpAxisSign": [1], "FrontAxis": [1], "FrontAxisSign": [-1], "CoordAxis": [0]}
    assert world_axes({name: ["int", "Integer", "", *row] for name, row in max_axes.items()})[:3, :3].tolist() == [
        [1, 0, 0], [0, 0, 1], [0, -1, 0]]
    for silent in ({}, {"UpAxis": [2]}, {"UpAxis": [-1]}):
        assert world_axes(silent).tolist() == np.eye(4).tolist()


def test_a_ring_of_fbx_nodes_is_told(tmp_path: Path) -> None:
    from exporters.fbx import _mesh

    document, part, random = Document(), builtin_head().parts[2], np.random.default_rng(0)
    first, second = (document.add("Model", name, "Mesh", node(0, 1, random)) for name in "ab")
    document.link(document.add("Geometry", part.name, "Mesh", _mesh(part, 1)), first)
    document.link(first, second)
    document.link(second, first)
    path = tmp_path / "ring.fbx"
    path.write_bytes(document.bytes("t", 60, 0, 1, 7400))
    with pytest.raises(HeadError, match="form a ring"):
        load_head(str(path))


@pytest.mark.parametrize("row", [prop("RotationOrder", "enum", "", "", double(np.inf)),
                                 vector("Lcl Scaling", "Lcl Scaling", (np.inf, 1, 1), "A")])
def test_endless_numbers_of_fbx_nodes_are_told(row: Any, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match=r"broken FBX file|an infinity"):
        load_head(str(stood(tmp_path / "a.fbx", 1, row)))


def test_a_mesh_that_stands_very_often_is_measured_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(builtin_head().parts[2].vertices)
    monkeypatch.setattr("facerig.heads.fbx.MAX_POINTS", 3 * count)
    assert len(load_head(str(stood(tmp_path / "a.fbx", 3))).parts) == 3
    with pytest.raises(HeadError, match=f"{4 * count} vertices in 4 meshes, accepted: up to {3 * count}"):
        load_head(str(stood(tmp_path / "a.fbx", 4)))


def stood(path: Path, times: int, *rows: Any) -> Path:
    """A mesh that hangs on several nodes."""
    from exporters.fbx import _mesh

    document, part = Document(), builtin_head().parts[2]
    geometry = document.add("Geometry", part.name, "Mesh", _mesh(part, 1))
    for _ in range(times):
        model = document.add("Model", part.name, "Mesh", (leaf("Version", integer(232)), properties(*rows)))
        document.link(geometry, model)
        document.link(model, 0)
    path.write_bytes(document.bytes("t", 60, 0, 1, 7400))
    return path


def test_shapes_inside_a_mesh_of_fbx_7100(shared_data: Path) -> None:
    head = load_head(str(shared_data / "fbx" / "maya_blend_shape_cube_7100_binary.fbx"))
    assert set(head.shape_names) == {"TopH", "TopV"}


@pytest.mark.parametrize("options", [{}, {"quantise": True}, {"quantise": True, "joints": False}])
def test_skins_and_small_integers_change_no_glb(options: dict[str, bool], tmp_path: Path) -> None:
    head = load_head(str(exported(tmp_path / "a.glb", **options)))
    assert metres(head) == pytest.approx(METRES, abs=3e-6)
    ours, back = builtin_head().shape("jawOpen"), head.shape("jawOpen")
    assert np.abs(back.offsets).max() == pytest.approx(np.abs(ours.offsets).max() / 100, rel=1e-3)


def changed_glb(path: Path, **changes: Any) -> Head:
    """The built-in head with entries of its mesh nodes changed; None takes one away."""
    document, binary = parse(exported(path).read_bytes(), path.name)
    for row in document["nodes"]:
        if "mesh" in row:
            row.update(changes)
    document["nodes"] = [{k: v for k, v in row.items() if v is not None} for row in document["nodes"]]
    path.write_bytes(glb(document, binary))
    return load_head(str(path))


def test_a_skinned_mesh_lies_where_its_joints_are(tmp_path: Path) -> None:
    skinned = changed_glb(tmp_path / "a.glb", translation=[0, 5, 0], scale=[100, 100, 100])
    assert metres(skinned) == pytest.approx(METRES, abs=1e-6)
    bare = changed_glb(tmp_path / "b.glb", scale=[100, 100, 100], skin=None)
    assert metres(bare) == pytest.approx(METRES * 100, abs=1e-4)


def test_a_mirrored_glb_is_wound_outward(tmp_path: Path) -> None:
    mirrored = changed_glb(tmp_path / "a.glb", scale=[-1, 1, 1], skin=None)
    assert metres(mirrored) == pytest.approx(METRES * [-1, 1, 1], abs=1e-6)
    assert volume(mirrored) > 0
    assert mirrored.parts[0].normals[:, 2].mean() > 0


def changed_usd(path: Path, up: str = "Y", turn: float = 0, orientation: str = "rightHanded",
                mirror: int = 1) -> Head:
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(exported(path)))
    UsdGeom.SetStageUpAxis(stage, up)
    root = UsdGeom.Xformable(stage.GetDefaultPrim())
    root.AddRotateXOp().Set(turn)
    root.AddScaleOp(opSuffix="mirror").Set((mirror, 1, 1))
    for prim in stage.Traverse():
        if prim.IsA(UsdGeom.Mesh):
            UsdGeom.Mesh(prim).GetOrientationAttr().Set(orientation)
    stage.GetRootLayer().Save()
    return load_head(str(path))


def test_usd_stands_upright_and_is_wound_outward(tmp_path: Path) -> None:
    needs("pxr", "usd")
    upright = changed_usd(tmp_path / "up.usda", "Z", 90)
    assert metres(upright) == pytest.approx(METRES, abs=1e-6)
    assert metres(upright)[:, 1].max() == pytest.approx(METRES[:, 1].max(), abs=1e-6)
    outward = changed_usd(tmp_path / "right.usda")
    for name, kinds in (("left", {"orientation": "leftHanded"}), ("mirror", {"mirror": -1})):
        assert volume(changed_usd(tmp_path / f"{name}.usda", **kinds)) == pytest.approx(
            -volume(outward) if name == "left" else volume(outward), rel=1e-5)
    both = changed_usd(tmp_path / "both.usda", orientation="leftHanded", mirror=-1)
    assert np.array_equal(both.parts[0].triangles, outward.parts[0].triangles)


@pytest.mark.parametrize("suffix", [".glb", ".fbx", ".usda"])
def test_texture_places_come_back(suffix: str, tmp_path: Path) -> None:
    if suffix == ".usda":
        needs("pxr", "usd")
    head, _ = read_head(exported(tmp_path / f"a{suffix}"))
    for ours, back in zip(builtin_head().parts, head.parts, strict=True):
        assert back.uvs == pytest.approx(ours.uvs, abs=1e-6)


@pytest.mark.parametrize(("kind", "text"), [
    ("faceVarying", "0 0, 1 0, 0 1, 0 0, 1 0, .5 .5"), ("vertex", "0 0, 1 0, .5 .5, 0 1"), ("uniform", "0 0, 1 1")])
def test_texture_places_of_corners_and_of_vertices(kind: str, text: str, tmp_path: Path) -> None:
    needs("pxr", "usd")
    pairs = ", ".join(f"({pair.strip().replace(' ', ', ')})" for pair in text.replace(".5", "0.5").split(","))
    (tmp_path / "a.usda").write_text(f"""#usda 1.0
        def Mesh "a" {{
            point3f[] points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]
            int[] faceVertexCounts = [3, 3]
            int[] faceVertexIndices = [0, 1, 2, 0, 3, 2]
            texCoord2f[] primvars:map1 = [{pairs}] (interpolation = "{kind}")
        }}""")
    uvs = load_head(str(tmp_path / "a.usda")).parts[0].uvs.tolist()
    assert uvs == {"faceVarying": [[0, 0], [1, 0], [0.5, 0.5], [1, 0]], "vertex": [[0, 0], [1, 0], [0.5, 0.5], [0, 1]],
                   "uniform": [[0, 0]] * 4}[kind]
