"""The scripts for Blender, Maya and Unreal: the first in headless Blender, the others against recorded calls."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from export_samples import ANGLES, ARKIT, head, take

import exporters
from facerig.files import write_file

SCRIPTS = Path(exporters.__file__).parent / "scripts"


def script(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["blender_import", "maya_import"])
@pytest.mark.parametrize(("suffix", "fps"), [(".json", 25), (".csv", 60), (".csv", 30), (".wide.csv", 24)])
def test_the_scripts_read_our_files_without_us(tmp_path: Path, name: str, suffix: str, fps: int) -> None:
    curves = take(3 * fps, fps, start=2 * fps)
    path = write_file(tmp_path / f"x{suffix}", exporters.export(curves, suffix))
    names, rate, first, rows = script(name).read_take(str(path))
    columns = {channel.lower(): column for column, channel in enumerate(names)}
    assert (rate, first, len(rows)) == (fps, 2 * fps, 3 * fps)
    assert np.abs(np.array(rows)[:, columns["jawopen"]] - curves["jawOpen"]).max() < 1e-6


def test_the_scripts_import_nothing_of_ours() -> None:
    for path in SCRIPTS.glob("*.py"):
        assert not {"facerig", "exporters"} & {line.split()[1].split(".")[0] for line in path.read_text().splitlines()
                                               if line.strip().startswith(("import ", "from "))}


# ---- Blender ----------------------------------------------------------------------------------------------------

IN_BLENDER = """
import bpy, json, sys
sys.path.insert(0, SCRIPTS)
import blender_import
bpy.ops.wm.read_factory_settings(use_empty=True)
def mesh(name, keys):
    data = bpy.data.meshes.new(name)
    data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    for key in ("Basis", *keys):
        thing.shape_key_add(name=key, from_mix=False)
    return thing
face, teeth, none = mesh("face", ("jawOpen", "MouthClose", "other")), mesh("teeth", ("jawOpen",)), mesh("none", ())
found = {"written": blender_import.import_takes(FILES)}
def values(thing, key):
    out = []
    scene = bpy.context.scene
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        out.append(thing.data.shape_keys.key_blocks[key].value)
    return out
found["scene"] = [bpy.context.scene.render.fps, bpy.context.scene.frame_start, bpy.context.scene.frame_end]
found["actions"] = sorted(action.name for action in bpy.data.actions)
found["face"] = {key: values(face, key) for key in ("jawOpen", "MouthClose", "other")}
found["teeth"] = values(teeth, "jawOpen")
print("FOUND" + json.dumps(found))
"""

READ_FBX = """
import bpy, json, sys
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.fbx(filepath=FILE, anim_offset=0.0)
scene = bpy.context.scene
scene.render.fps = 60
out = {}
for thing in scene.objects:
    if thing.type == "MESH" and thing.data.shape_keys:
        out[thing.name] = {block.name: [] for block in thing.data.shape_keys.key_blocks[1:]}
for frame in range(FRAMES):
    scene.frame_set(frame)
    for thing, keys in out.items():
        for key, values in keys.items():
            values.append(scene.objects[thing].data.shape_keys.key_blocks[key].value)
bones = [bone.name for thing in scene.objects if thing.type == "ARMATURE" for bone in thing.data.bones]
print("FOUND" + json.dumps({"keys": out, "bones": bones}))
"""


def in_blender(code: str, **names: object) -> Any:
    blender = shutil.which("blender")
    if blender is None:
        pytest.skip("blender is not installed (apt-get install blender)")
    given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    done = subprocess.run([blender, "--background", "--factory-startup", "--python-exit-code", "3", "--python-expr",
                           given + code], capture_output=True, text=True, timeout=300)
    found = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert found, (done.stdout + done.stderr)[-3000:]
    return json.loads(found[-1][5:])


def test_in_headless_blender(tmp_path: Path) -> None:
    first, curves = take(20, 24), take(30, 30, start=10)
    files = [str(write_file(tmp_path / "one.json", exporters.export(first, "json"))),
             str(write_file(tmp_path / "two.csv", exporters.export(curves, "csv")))]
    found = in_blender(IN_BLENDER, SCRIPTS=str(SCRIPTS), FILES=files)
    assert found["written"] == 6
    assert found["scene"] == [30, 10, 39]
    assert found["actions"] == ["one_face", "one_teeth", "two_face", "two_teeth"]
    for name, values in (("jawOpen", found["face"]["jawOpen"]), ("mouthClose", found["face"]["MouthClose"]),
                         ("jawOpen", found["teeth"])):
        assert np.abs(np.array(values) - curves[name]).max() < 1e-5
    assert not any(found["face"]["other"])


@pytest.mark.parametrize("joints", [False, True])
def test_blenders_own_importer_plays_our_fbx(tmp_path: Path, joints: bool) -> None:
    curves = take(30, channels=ARKIT + ANGLES)
    path = write_file(tmp_path / "x.fbx", exporters.export(curves, "fbx", head(joints=joints)))
    found = in_blender(READ_FBX, FILE=str(path), FRAMES=30)
    assert set(found["keys"]) == {"face", "teeth", "tongue"}
    assert set(found["keys"]["face"]) == set(ARKIT)
    assert found["bones"] == [] or set(found["bones"]) >= {"head", "jaw", "leftEye", "rightEye"}
    for keys in found["keys"].values():
        for name, values in keys.items():
            assert np.abs(np.array(values) - curves[name]).max() < 1e-4


# ---- Maya -------------------------------------------------------------------------------------------------------


@pytest.fixture
def maya(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Enough of Maya to see what it would be asked."""
    fake = MagicMock()
    fake.cmds.nodeType.side_effect = lambda node: "blendShape" if node.startswith("blend") else "transform"
    fake.cmds.aliasAttr.return_value = ["jawOpen", "weight[0]", "MouthClose", "weight[1]", "other", "weight[2]"]
    fake.cmds.listAttr.return_value = ["translateX", "jawopen"]
    fake.api.OpenMaya.MTime.side_effect = lambda frame, unit: frame
    fake.api.OpenMaya.MTimeArray.side_effect = list
    fake.api.OpenMaya.MDoubleArray.side_effect = list
    for name, module in (("maya", fake), ("maya.cmds", fake.cmds), ("maya.api", fake.api)):
        monkeypatch.setitem(sys.modules, name, module)
    return fake


def test_what_maya_is_asked(tmp_path: Path, maya: MagicMock) -> None:
    curves = take(10, 24)
    path = write_file(tmp_path / "x.json", exporters.export(curves, "json"))
    written, end = script("maya_import").import_take(str(path), ["blendShape1", "face_ctrl"], start=100)
    assert (written, end) == (3, 110)
    maya.cmds.currentUnit.assert_called_with(time="film")
    keyed = [call.args[0] for call in maya.api.OpenMaya.MSelectionList.return_value.add.call_args_list]
    assert keyed == ["blendShape1.jawOpen", "blendShape1.MouthClose", "face_ctrl.jawopen"]
    times, values, *_ = maya.api.OpenMayaAnim.MFnAnimCurve.return_value.addKeys.call_args_list[0].args
    assert times == list(range(100, 110))
    assert np.allclose(values, curves["jawOpen"])
    maya.cmds.aliasAttr.return_value = None
    with pytest.raises(RuntimeError, match="no attribute"):
        script("maya_import").import_take(str(path), ["blendShape1"])


def test_a_folder_for_maya_is_laid_out_in_time(tmp_path: Path, maya: MagicMock) -> None:
    for name, frames in (("b", 20), ("a", 10), ("report", 5)):
        write_file(tmp_path / f"{name}.json", exporters.export(take(frames, 24), "json"))
    assert script("maya_import").import_folder(str(tmp_path), ["blendShape1"]) == {"a.json": 0, "b.json": 34}


# ---- Unreal -----------------------------------------------------------------------------------------------------


def test_unreal_takes_whose_names_hold_dots_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = MagicMock()
    fake.AssetImportTask.return_value.get_editor_property.return_value = ["/Game/T/x"]
    monkeypatch.setitem(sys.modules, "unreal", fake)
    module = script("unreal_import")
    wanted = {"sh010.take01.fbx": "sh010_take01", "sh010.take02.curves.fbx": "sh010_take02", "a b.csv": "a_b",
              "x.CURVES.fbx": "x", ".curves.fbx": "_curves"}
    assert {name: module.asset_name(f"/takes/{name}") for name in wanted} == wanted
    names = ("sh010.take01.fbx", "sh010.take02.fbx", "SH010_take01.csv", "sh010.take02.curves.fbx")
    for name in names:
        (tmp_path / name).touch()
    done = module.import_folder(str(tmp_path), "/Game/T", "/Game/Skeleton")
    failed = {name for name, path in done.items() if path.startswith("failed")}
    assert failed == {"sh010.take01.fbx", "sh010.take02.fbx"}
    assert "SH010_take01.csv" in done["sh010.take01.fbx"]
    assert "rename" in done["sh010.take01.fbx"]


def test_what_unreal_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = MagicMock()
    fake.AssetImportTask.return_value.get_editor_property.return_value = ["/Game/T/x"]
    tools = fake.AssetToolsHelpers.get_asset_tools.return_value
    tools.create_asset.return_value.get_path_name.return_value = "/Game/T/a"
    monkeypatch.setitem(sys.modules, "unreal", fake)
    curves = take(10, 30, ("CTRL_expressions_jawOpen", "CTRL_expressions_mouthClose"))
    write_file(tmp_path / "a.json", exporters.export(curves, "json"))
    write_file(tmp_path / "b.curves.fbx", exporters.export(curves, "curves.fbx"))
    write_file(tmp_path / "Slate_1_me_cal.csv", exporters.export(take(5), "csv"))
    write_file(tmp_path / "bad.json", b"{}")
    write_file(tmp_path / "report.json", b"{}")
    done = script("unreal_import").import_folder(str(tmp_path), "/Game/T", "/Game/Skeleton")
    assert done.keys() == {"a.json", "b.curves.fbx", "Slate_1_me_cal.csv", "bad.json"}
    assert done["a.json"] == "/Game/T/a"
    assert done["bad.json"].startswith("failed")
    fake.FrameRate.assert_called_with(30, 1)
    fake.FrameNumber.assert_called_with(9)
    _, name, times, values = fake.AnimationLibrary.add_float_curve_keys.call_args_list[0].args
    assert name == "CTRL_expressions_jawOpen"
    assert np.allclose(times, np.arange(10) / 30)
    assert np.allclose(values, curves["CTRL_expressions_jawOpen"])
    settings = {call.args for call in fake.AssetImportTask.return_value.set_editor_property.call_args_list}
    assert {("destination_name", "b"), ("destination_name", "Slate_1_me_cal"), ("automated", True)} <= settings
    data = fake.FbxImportUI.return_value.get_editor_property.return_value.set_editor_property.call_args_list
    assert ("import_custom_attribute", True) in {call.args for call in data}
