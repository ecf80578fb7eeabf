"""Names of channels as other programs write them: sides after a dot, a deformer in front, one name on two meshes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_readers import needs
from export_samples import ARKIT, grid_part, head, take

import exporters
from exporters import READERS, fbx
from facerig.curves import Curves
from facerig.heads.foreign import match_names, read_head
from facerig.matching import bare_names, match
from facerig.mesh import Head
from facerig.retarget import retarget

BLENDERS = ("eyeBlink.L", "eyeBlink.R", "mouthSmile.L", "mouthSmile.R", "jawOpen")
OURS = ("eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "jawOpen")
RISE = Curves(("jawOpen", "mouthPucker"), 30, np.linspace(0, 1, 6)[:, None] * np.array([1, 0.5]))


@pytest.mark.parametrize(("names", "deformer", "bare"), [
    (("bs1.jawOpen", "bs1.smile.L"), "bs1", ("jawOpen", "smile.L")),
    (("bs1.jawOpen",), "bs1", ("jawOpen",)),
    (("bs1.jawOpen",), "other", ("bs1.jawOpen",)),
    (("bs1_ncl1.jawOpen", "bs1_ncl1.smile"), "bs1", ("jawOpen", "smile")),  # all have it: no part of their own names
    (("smile.L", "smile.R"), "face", ("smile.L", "smile.R")),
    (("smile.left", "smile.right"), "face", ("smile.left", "smile.right")),
    (("Key.001", "Key.002"), "", ("Key.001", "Key.002")),
    (("jawOpen", "smile.L"), "", ("jawOpen", "smile.L")),
    (("bs1.",), "bs1", ("bs1.",)),
])
def test_only_what_is_no_part_of_a_name_goes(names: tuple[str, ...], deformer: str, bare: tuple[str, ...]) -> None:
    assert bare_names(names, deformer) == bare


@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".usda"])
def test_blenders_sides_survive_and_meet(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    needs(*{".fbx": ("ufbx", "fbx"), ".glb": ("numpy", ""), ".usda": ("pxr", "usd")}[suffix])
    path = tmp_path / f"d{suffix}"
    curves = take(6, 30, BLENDERS)
    path.write_bytes(exporters.export(curves, suffix, head(6, BLENDERS, joints=False)))
    theirs, played = read_head(path)[0], exporters.read(path)
    assert theirs.shape_names == OURS
    assert played.channels == BLENDERS
    assert match(played, theirs).channels == dict(zip(OURS, BLENDERS, strict=True))
    assert "no shape" not in caplog.text


def test_sides_after_a_dot_are_sides_in_any_case() -> None:
    assert match_names(("eyeBlink.l", "eyeBlink.R")).renamed == {"eyeBlink.l": "eyeBlinkLeft",
                                                                "eyeBlink.R": "eyeBlinkRight"}


def test_mayas_deformer_is_no_part_of_a_name(tmp_path: Path) -> None:
    needs("ufbx", "fbx")
    names = tuple(f"face_shapes.{name}" for name in ARKIT)  # as the exporter calls the deformer of the part face
    path = tmp_path / "maya.fbx"
    curves = take(6, 30, names)
    path.write_bytes(exporters.export(curves, ".fbx", head(6, names, joints=False)))
    read = exporters.read(path)
    assert np.abs(retarget(read, "arkit").values - curves.values).max() < 1e-3
    theirs = read_head(path)[0]
    assert theirs.shape_names == ARKIT
    assert len(match(read, theirs).channels) == len(ARKIT)


def test_a_file_of_mayas_own_has_plain_names(shared_data: Path) -> None:
    needs("ufbx", "fbx")
    assert exporters.read(shared_data / "fbx" / "maya_blend_shape_cube_7700_binary.fbx").channels == ("TopH", "TopV")


def two_parts() -> Head:
    return Head("two", (grid_part("lod1", 4, ("jawOpen",)), grid_part("lod0", 4, ("jawOpen", "mouthPucker"))))


def test_fbx_takes_the_mesh_that_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("ufbx", "fbx")
    whole: Any = fbx._blend_shapes

    def still(document: Any, part: Any, *rest: Any) -> Any:
        moved = whole(document, part, *rest)
        return [] if part.name == "lod1" else moved

    monkeypatch.setattr(fbx, "_blend_shapes", still)
    path = tmp_path / "two.fbx"
    path.write_bytes(exporters.export(RISE, ".fbx", two_parts()))
    assert np.abs(exporters.read(path).select(RISE.channels).values - RISE.values).max() < 1e-3


def test_gltf_takes_the_mesh_that_moves() -> None:
    document = json.loads(exporters.export(RISE, "gltf", two_parts()))
    clip = document["animations"][0]
    first = min(clip["channels"], key=lambda channel: channel["target"]["node"])
    rest = len(document["accessors"])
    document["buffers"].append({"byteLength": 24, "uri": "data:;base64," + base64.b64encode(bytes(24)).decode()})
    document["bufferViews"].append({"buffer": 1, "byteLength": 24})
    document["accessors"].append({"bufferView": len(document["bufferViews"]) - 1, "componentType": 5126, "count": 6,
                                  "type": "SCALAR"})
    clip["samplers"].append({**clip["samplers"][first["sampler"]], "output": rest})
    first["sampler"] = len(clip["samplers"]) - 1
    read = READERS[".gltf"](json.dumps(document).encode(), "x.gltf")
    assert np.abs(read.select(RISE.channels).values - RISE.values).max() < 1e-6


MAYA = "animVersion 1.1; mayaVersion 2024; timeUnit film; startTime 0; endTime 4;\n"
KEYS = "animData {{ input time; output unitless; keys {{ 0 0 linear linear 1 1 0; 4 {} linear linear 1 1 0; }} }}\n"


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
@pytest.mark.parametrize("first", ["anim {}.jawOpen jawOpen {} 0 0 0;", "anim jawOpen jawOpen {1} 0 0 0;",
                                   "anim weight.jawOpen jawOpen {1} 0 0 0;"])
def test_maya_keeps_the_attribute_that_moves(order: tuple[int, int], first: str,
                                             caplog: pytest.LogCaptureFixture) -> None:
    nodes = ("face_bs", "teeth_bs")
    text = MAYA + "".join(first.format(node, node) + KEYS.format(last) for node, last in
                          zip(nodes, order, strict=True))
    read = READERS[".anim"](text.encode(), "x.anim")
    assert read["jawOpen"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert f"left out: {nodes[order.index(0)]}." in caplog.text


def test_maya_says_nothing_of_curves_that_agree(caplog: pytest.LogCaptureFixture) -> None:
    text = MAYA + "".join(f"anim {node}.jawOpen jawOpen {node} 0 0 0;" + KEYS.format(1) for node in ("a_bs", "b_bs"))
    assert READERS[".anim"](text.encode(), "x.anim").channels == ("jawOpen",)
    assert not caplog.text
