"""glTF heads as other programs pack them: what cannot be unpacked is refused by name, strips and fans are triangles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_heads_files import BINARY, document, glb

from exporters import READERS
from facerig.errors import CurvesError, HeadError
from facerig.heads.foreign import read_head
from facerig.mesh import Head


def read(tmp_path: Path, found: dict[str, Any], binary: bytes = BINARY) -> Head:
    (tmp_path / "a.glb").write_bytes(glb(found, binary))
    return read_head(tmp_path / "a.glb")[0]


@pytest.mark.parametrize("needed", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "EXT_mesh_gpu_instancing",
                                    "ACME_shape"])
def test_what_a_file_needs_and_nobody_reads_is_refused_by_name(tmp_path: Path, needed: str) -> None:
    found = document(extensionsUsed=[needed], extensionsRequired=[needed, "KHR_texture_transform"])
    with pytest.raises(HeadError, match=rf"^a.glb: needs {needed}, .*; save it without"):
        read(tmp_path, found)
    assert read(tmp_path, document(extensionsUsed=[needed])).shape_names == ("jawOpen",)


def test_points_that_are_not_there_are_no_zeros(tmp_path: Path) -> None:
    found = document(extensionsUsed=["KHR_draco_mesh_compression"])
    del found["accessors"][0]["bufferView"]
    found["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    with pytest.raises(HeadError, match=r"points of a mesh are not there .*KHR_draco_mesh_compression"):
        read(tmp_path, found)


def test_what_changes_no_geometry_may_be_needed(tmp_path: Path) -> None:
    harmless = ["KHR_mesh_quantization", "KHR_materials_unlit", "KHR_texture_basisu", "EXT_texture_webp", "VRM"]
    assert read(tmp_path, document(extensionsRequired=harmless)).vertex_count == 4


def test_packed_curves_are_refused_by_name() -> None:
    text = json.dumps({"asset": {"version": "2.0"}, "extensionsRequired": ["EXT_meshopt_compression"]})
    with pytest.raises(CurvesError, match="needs EXT_meshopt_compression"):
        READERS[".gltf"](text.encode(), "x.gltf")


@pytest.mark.parametrize(("mode", "corners", "faces"), [
    (4, [0, 1, 2, 0, 2, 3], [[0, 1, 2], [0, 2, 3]]), (5, [0, 1, 2, 3], [[0, 1, 2], [2, 1, 3]]),
    (5, [0, 1, 2, 2, 3, 1], [[0, 1, 2], [3, 2, 1]]), (6, [0, 1, 2, 3], [[0, 1, 2], [0, 2, 3]])])
def test_strips_and_fans_are_triangles(tmp_path: Path, mode: int, corners: list[int], faces: list[list[int]]) -> None:
    rows = np.array(corners, "<u2").tobytes()
    found = document()
    found["accessors"][1]["count"] = len(corners)
    found["bufferViews"][1] |= {"byteOffset": len(BINARY), "byteLength": len(rows)}
    found["buffers"][0]["byteLength"] += len(rows)
    found["meshes"][0]["primitives"][0]["mode"] = mode
    assert read(tmp_path, found, BINARY + rows).parts[0].triangles.tolist() == faces


def test_lines_and_points_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = document()
    first = found["meshes"][0]["primitives"][0]
    found["meshes"][0]["primitives"].append({**first, "mode": 1})
    assert len(read(tmp_path, found).parts) == 1
    assert "1 primitives of lines or points are left out: face" in caplog.text


def test_a_buffer_beside_the_file_may_have_a_blank_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "my head.bin").write_bytes(BINARY)
    (tmp_path / "a.gltf").write_text(json.dumps(document(buffers=[{"byteLength": 108, "uri": "my%20head.bin"}])))
    assert read_head(tmp_path / "a.gltf")[0].vertex_count == 4
    (tmp_path / "b.gltf").write_text(json.dumps(document(buffers=[{"byteLength": 108, "uri": "%2e%2e/my%20head.bin"}])))
    with pytest.raises(HeadError, match="not in the same folder"):
        read_head(tmp_path / "b.gltf")


def test_a_seam_of_the_texture_is_no_crease(tmp_path: Path) -> None:
    """Two triangles that meet at an edge; its vertices stand twice, as they do where texture places part."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 1, -1]], "<f4")
    soft = np.array([[0, 0, 1]] * 6, "<f4")
    hard = np.array([[0, 0, 1]] * 3 + [[1, 0, 0]] * 3, "<f4")
    corners = np.array([0, 1, 2, 3, 4, 5], "<u2")

    def normals(given: np.ndarray | None) -> np.ndarray:
        pieces = [points, points if given is None else given, corners]
        ends = np.cumsum([0, *(piece.nbytes for piece in pieces)]).tolist()
        found = document(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 2}]}], accessors=[
            *({"bufferView": n, "componentType": 5126, "count": 6, "type": "VEC3"} for n in range(2)),
            {"bufferView": 2, "componentType": 5123, "count": 6, "type": "SCALAR"}], bufferViews=[
            {"buffer": 0, "byteOffset": end, "byteLength": piece.nbytes}
            for end, piece in zip(ends, pieces, strict=False)])
        if given is not None:
            found["meshes"][0]["primitives"][0]["attributes"]["NORMAL"] = 1
        return read(tmp_path, found, b"".join(piece.tobytes() for piece in pieces)).parts[0].normals

    for given in (soft, None):
        made = normals(given)
        assert np.abs(made[1] - made[4]).max() < 1e-6
        assert np.abs(made[2] - made[3]).max() < 1e-6
        assert np.linalg.norm(made[0] - made[5]) > 0.1
    made = normals(hard)  # an edge that the file means
    assert np.linalg.norm(made[1] - made[4]) > 0.1
