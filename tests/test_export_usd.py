"""USD as its own library reads it: validation, UsdSkel evaluation, layouts; skipped where usd-core is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_readers import needs
from export_samples import ANGLES, ARKIT, grid_part, head, take

import exporters
from exporters import ExportOptions, usd
from exporters.scene import quaternions, scene
from exporters.zip_container import stored
from facerig.curves import Curves
from facerig.errors import CurvesError, MissingExtra
from facerig.files import write_file
from facerig.heads.foreign import read_head
from facerig.mesh import Head

FRAMES = 24
CURVES = take(FRAMES, channels=ARKIT + ANGLES, start=10)


@pytest.fixture(autouse=True)
def _library(request: pytest.FixtureRequest) -> None:
    if "without_usd" not in request.node.name:
        needs("pxr", "usd")


def judged(path: Path, validators: Path) -> str:
    """What the library's validators and its skinning say; loaded here, as loading them takes seconds."""
    spec = importlib.util.spec_from_file_location("v_usd", validators / "v_usd.py")
    assert spec
    assert spec.loader
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert judge.main(str(path)) == 0, said.getvalue()
    return said.getvalue()


@pytest.mark.parametrize("name", ["a.usda", "a.usdc", "a.usdz", "a.usd"])
def test_the_validators_find_nothing(tmp_path: Path, validators: Path, name: str) -> None:
    said = judged(write_file(tmp_path / name, exporters.export(CURVES, name, head())), validators)
    assert "findings 0" in said
    assert "range 10.0 33.0" in said
    assert "tcps 60.0 fps 60.0" in said
    assert said.count("skinningQuery True") == 4
    assert "deformed False" not in said
    assert "shapes 52 samples 24" in said


def test_the_validators_find_nothing_in_odd_takes(tmp_path: Path, validators: Path) -> None:
    names = ("jawOpen", "mouth left", "mouth-left", "1st", "口", "größe")
    for number, data in enumerate((exporters.export(take(1), "usda", head(joints=False)),
                                   exporters.export(take(3, channels=names), "usda", head(shapes=names)))):
        assert "findings 0" in judged(write_file(tmp_path / f"{number}.usda", data), validators)


def test_usdskel_evaluates_our_values_on_every_frame(tmp_path: Path) -> None:
    from pxr import Usd, UsdGeom, UsdSkel

    path = write_file(tmp_path / "a.usdc", exporters.export(CURVES, "usdc", head()))
    stage = Usd.Stage.Open(str(path))
    cache, root = UsdSkel.Cache(), UsdSkel.Root(stage.GetPrimAtPath("/sample"))
    cache.Populate(root, Usd.PrimDefaultPredicate)
    for part in head().parts[:3]:
        prim = stage.GetPrimAtPath(f"/sample/{part.name}")
        query = cache.GetSkinningQuery(prim)
        animation = cache.GetSkelQuery(UsdSkel.BindingAPI(prim).GetInheritedSkeleton()).GetAnimQuery()
        names = list(UsdSkel.BindingAPI(prim).GetBlendShapesAttr().Get())
        assert names == list(part.shapes)
        for frame in range(10, 34):
            weights = animation.ComputeBlendShapeWeights(Usd.TimeCode(frame))
            mapped = query.GetBlendShapeMapper().Remap(weights)
            assert np.abs(np.array(mapped) - CURVES.select(names).values[frame - 10]).max() < 1e-6
        points = np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get())
        assert np.allclose(points, part.vertices)


def test_joints_turn_as_the_head_does(tmp_path: Path) -> None:
    from pxr import Usd, UsdSkel

    path = write_file(tmp_path / "a.usda", exporters.export(CURVES, "usda", head()))
    stage = Usd.Stage.Open(str(path))
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/sample/Animation"))
    assert list(animation.GetJointsAttr().Get()) == ["neck", "neck/head", "neck/head/jaw", "neck/head/leftEye",
                                                     "neck/head/rightEye"]
    turns = scene(CURVES, head(), ExportOptions()).joint_turns
    for frame in range(10, 34):
        rotations = animation.GetRotationsAttr().Get(frame)
        for number, turn in turns.items():
            q = rotations[number]
            ours = quaternions(turn)[frame - 10]
            assert abs(np.dot([*q.GetImaginary(), q.GetReal()], ours)) == pytest.approx(1, abs=1e-6)


def test_audio2face_layout(tmp_path: Path, validators: Path) -> None:
    from pxr import Usd, UsdSkel

    path = write_file(tmp_path / "x.a2f.usda", exporters.export(CURVES, "x.a2f.usda"))
    assert "findings 0" in judged(path, validators)
    stage = Usd.Stage.Open(str(path))
    prim = stage.GetPrimAtPath(usd.A2F_ANIMATION)
    animation = UsdSkel.Animation(prim)
    assert list(animation.GetBlendShapesAttr().Get()) == list(ARKIT)
    assert list(animation.GetJointsAttr().Get()) == ["jaw", "eye_L", "eye_R"]
    names = list(prim.GetAttribute("custom:mh_curveNames").Get())
    values = prim.GetAttribute("custom:mh_curveValues")
    assert len(values.GetTimeSamples()) == FRAMES
    assert len(values.Get(10)) == len(names)
    assert all(name.startswith("CTRL_expressions_") for name in names)
    assert 60 < len(names) < 100
    jaw = names.index("CTRL_expressions_jawOpen")
    assert values.Get(15)[jaw] == pytest.approx(float(CURVES["jawOpen"][5]), abs=1e-6)
    settings = stage.GetRootLayer().customLayerData["audio2faceSettings"]
    assert settings["export_fps"] == 60


def test_it_reads_back(tmp_path: Path) -> None:
    for name in ("a.usda", "a.usdc", "a.usdz", "x.a2f.usdc"):
        data = exporters.export(CURVES, name, None if "a2f" in name else head())
        read = exporters.read(write_file(tmp_path / name, data))
        kept = ARKIT if "a2f" in name else CURVES.channels
        assert (read.fps, read.start, read.frames) == (60, 10, FRAMES)
        assert np.abs(read.select(kept).values - CURVES.select(kept).values).max() < 1e-5


def test_the_first_animation_that_moves_a_face_is_read_and_the_others_named(tmp_path: Path,
                                                                            caplog: pytest.LogCaptureFixture) -> None:
    from pxr import Gf, Sdf, Usd, UsdSkel

    path = write_file(tmp_path / "a.usda", exporters.export(CURVES, "usda", head()))
    stage = Usd.Stage.Open(str(path))
    face = next(prim for prim in stage.Traverse() if prim.IsA(UsdSkel.Animation))
    idle = UsdSkel.Animation.Define(stage, "/idle")
    idle.CreateJointsAttr(["hips"])
    idle.CreateRotationsAttr().Set([Gf.Quatf(1)], 0)
    Sdf.CopySpec(stage.GetRootLayer(), face.GetPath(), stage.GetRootLayer(), "/line2")
    stage.GetPseudoRoot().SetChildrenReorder(["idle"])
    stage.Save()
    read = exporters.read(path)
    assert set(CURVES.channels) <= set(read.channels)
    assert f"2 takes of a face; read is {face.GetName()!r}, left out: 'line2'" in caplog.text


@pytest.mark.parametrize("name", ["a.usda", "a.usdc", "a.usdz", "a.usd"])
def test_curves_alone_come_back_whole_and_please_the_validators(tmp_path: Path, validators: Path, name: str) -> None:
    odd = replace(CURVES, channels=tuple(f"{channel}²" for channel in CURVES.channels))
    for curves in (CURVES, odd):
        path = write_file(tmp_path / name, exporters.export(curves, name))
        assert exporters.read(path) == curves
        assert "findings 0" in judged(path, validators)


SHOT = """#usda 1.0
({layers}
    defaultPrim = "shot"
)
def Xform "shot"
{{{inside}
}}
"""
PLACED = """
    def "hero" (
        instanceable = {instance}
        prepend references = @./take.usda@
    )
    {{
    }}"""


@pytest.mark.parametrize(("layers", "inside"), [
    ("\n    subLayers = [@./take.usda@]\n    timeCodesPerSecond = 60", ""), ("\n    timeCodesPerSecond = 60",
                                                                            PLACED.format(instance="false")),
    ("\n    timeCodesPerSecond = 60", PLACED.format(instance="true"))])
def test_a_shot_made_of_other_files_is_read_where_it_lies(tmp_path: Path, layers: str, inside: str) -> None:
    sample = head()
    write_file(tmp_path / "take.usda", exporters.export(CURVES, "usda", sample))
    shot = write_file(tmp_path / "shot.usda", SHOT.format(layers=layers, inside=inside).encode())
    read = exporters.read(shot)
    assert (read.fps, read.start, read.frames) == (60, 10, FRAMES)
    assert np.abs(read.select(CURVES.channels).values - CURVES.values).max() < 1e-5
    found = read_head(shot)[0]
    assert found.vertex_count == sample.vertex_count
    assert set(found.shape_names) == set(sample.shape_names)


@pytest.mark.parametrize("name", ["tête²", "①", "1st", "smile 😀", "名前 x", "", "a.b-c"])
def test_any_name_becomes_a_prims(tmp_path: Path, name: str) -> None:
    parts = (grid_part(name, 4, (name or "jawOpen",)),)
    data = exporters.export(Curves((name or "jawOpen",), 30, np.ones((3, 1))), "usda", Head(name, parts))
    path = write_file(tmp_path / "a.usda", data)
    assert exporters.read(path).channels == (name or "jawOpen",)
    assert len(read_head(path)[0].parts) == 1


def test_packages_are_stored_on_boundaries_without_a_clock(tmp_path: Path) -> None:
    files = {"face.usdc": b"x" * 1000, "a/b.txt": b"", "ü.bin": bytes(range(200))}
    data = stored(files)
    path = write_file(tmp_path / "x.zip", data)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())
    for content in (files["face.usdc"], files["ü.bin"]):
        assert data.index(content) % 64 == 0


def test_what_cannot_be_written_or_read_is_said(tmp_path: Path) -> None:
    for name, data in (("x.usda", b"no usd"), ("x.usdz", b"PK\3\4"), ("x.usdc", b"PXR-USDC" + bytes(90))):
        with pytest.raises(CurvesError, match=r"can be read|holds no"):
            exporters.read(write_file(tmp_path / name, data))
    empty = b'#usda 1.0\ndef Xform "a" {}\n'
    with pytest.raises(CurvesError, match="no skeletal animation"):
        exporters.read(write_file(tmp_path / "e.usda", empty))


def test_damage_that_shows_when_values_are_read_is_said_in_a_line(tmp_path: Path) -> None:
    text = exporters.export(take(3, channels=ARKIT), "x.a2f.usda")
    row = re.search(rb"float\[\] blendShapeWeights\.timeSamples = \{\s+0: \[[^,]+, ", text)
    assert row
    short = text.replace(row[0], row[0][: row[0].index(b"[", 10) + 1], 1)
    with pytest.raises(CurvesError, match=r"^x.a2f.usda: 52 shapes, but 51 weights at time 0$"):
        exporters.read(write_file(tmp_path / "x.a2f.usda", short))
    count, many = (number.to_bytes(8, "little") for number in (len(ARKIT), 2**50))
    damaged = exporters.export(take(3, channels=ARKIT), "x.a2f.usdc").replace(count, many)
    with pytest.raises(CurvesError, match=r"^y.usdc: not a USD file that can be read \(ErrorException\)$"):
        exporters.read(write_file(tmp_path / "y.usdc", damaged))


def test_without_usd_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(MissingExtra, match=r'pip install "facerig\[usd\]"'):
        exporters.export(CURVES, "usdc", head())
