"""glTF as others read it: Khronos' validator and three.js; and our own reader against both."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_readers import gltf_issues, three
from export_samples import ANGLES, ARKIT, grid_part, head, take

import exporters
from exporters import READERS, ExportOptions
from exporters.gltf_container import parse
from exporters.scene import quaternions, scene
from facerig.curves import Curves, Mark
from facerig.errors import CurvesError, HeadError
from facerig.files import write_file
from facerig.mesh import Head

FRAMES = 60
CURVES = take(FRAMES, channels=ARKIT + ANGLES)


def sound() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(16000))
    return stream.getvalue()


VARIANTS = {
    "plain.glb": (ExportOptions(), True),
    "plain.gltf": (ExportOptions(), True),
    "small.glb": (ExportOptions(quantise=True), True),
    "small-still.glb": (ExportOptions(quantise=True, joints=False), False),
    "keys.glb": (ExportOptions(keys=0.02), True),
    "sound.glb": (ExportOptions(audio=sound()), False),
}


def written(folder: Path, name: str) -> Path:
    options, joints = VARIANTS[name]
    return write_file(folder / name, exporters.export(CURVES, name, head(joints=joints), options))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_validator_finds_nothing(tmp_path: Path, validators: Path, name: str) -> None:
    assert gltf_issues(written(tmp_path, name), validators) == []


def test_the_validator_finds_nothing_in_odd_takes(tmp_path: Path, validators: Path) -> None:
    one = exporters.export(take(1), "glb", head())
    names = ("jawOpen", "größe", "口が開く", *(f"shape {number}" for number in range(500)))
    many = exporters.export(take(3, channels=names), "glb", head(shapes=names))
    for number, data in enumerate((one, many)):
        assert gltf_issues(write_file(tmp_path / f"{number}.glb", data), validators) == []


@pytest.mark.parametrize("name", ["plain.glb", "plain.gltf", "small.glb", "keys.glb"])
def test_three_plays_our_values_on_every_frame(tmp_path: Path, name: str) -> None:
    read, bound = three(written(tmp_path, name), 60, FRAMES), 0.02 if "keys" in name else 1e-4
    assert set(read["meshes"]["face"]) == set(ARKIT)
    assert set(read["meshes"]["tongue"]) == {"jawOpen", "tongueOut"}
    for shapes in read["meshes"].values():
        for shape, values in shapes.items():
            assert np.abs(np.array(values) - CURVES[shape]).max() <= bound
    joints = [joint.name for joint in head().joints]
    for number, turn in scene(CURVES, head(), ExportOptions()).joint_turns.items():
        dots = (quaternions(turn) * np.array(read["bones"][joints[number]])).sum(axis=1)
        assert np.abs(2 * np.arccos(np.clip(np.abs(dots), -1, 1))).max() <= max(bound, 1e-3)


def test_deltas_are_metres_and_quantised_ones_nearly_so(tmp_path: Path) -> None:
    expected = 0.1 * np.abs(head().parts[0].shapes["jawOpen"].offsets).max()
    plain = three(written(tmp_path, "plain.glb"), 60, 1)["deltas"]["face"]["jawOpen"]
    assert plain == pytest.approx(expected, rel=1e-5)
    document, _ = parse((written(tmp_path, "small-still.glb")).read_bytes(), "x")
    scale = next(node["scale"][0] for node in document["nodes"] if node["name"] == "face")
    small = three(written(tmp_path, "small-still.glb"), 60, 1)["deltas"]["face"]["jawOpen"] * scale
    assert small == pytest.approx(expected, abs=scale / 32767)


def test_it_reads_back(tmp_path: Path) -> None:
    for name in ("plain.glb", "plain.gltf", "keys.glb"):
        read = exporters.read(written(tmp_path, name))
        assert (read.fps, read.start, read.frames) == (60, 0, FRAMES)
        assert np.abs(read.select(CURVES.channels).values - CURVES.values).max() <= (0.02 if "keys" in name else 1e-4)


def test_frames_and_rate_survive(tmp_path: Path) -> None:
    moved = take(30, 25, start=1000)
    read = exporters.read(write_file(tmp_path / "a.glb", exporters.export(moved, "glb", head())))
    assert (read.fps, read.start, read.frames) == (25, 1000, 30)


def test_quantised_and_reduced_files_are_smaller() -> None:
    mesh, long = head(40), take(600, marks=(Mark(10, 16, "phone", "m"),)).with_values(np.zeros((600, 52)))
    plain = len(exporters.export(long, "glb", mesh))
    assert len(exporters.export(long, "glb", mesh, ExportOptions(quantise=True))) < 0.75 * plain
    assert len(exporters.export(long, "glb", mesh, ExportOptions(keys=0.02))) < plain


def test_sound_is_carried_as_it_is(tmp_path: Path) -> None:
    document, binary = parse(written(tmp_path, "sound.glb").read_bytes(), "x")
    carried = document["scenes"][0]["extras"]["facerig_audio"]
    view = document["bufferViews"][carried["bufferView"]]
    assert carried["mimeType"] == "audio/wav"
    assert binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] == sound()


def test_offsets_that_nobody_sees_are_left_out() -> None:
    part = grid_part("face", 6, ("jawOpen", "tiny"))
    part.shapes["tiny"].offsets[:] = 1e-6
    document, _ = parse(exporters.export(take(2, channels=("jawOpen", "tiny")), "glb", Head("h", (part,))), "x")
    assert document["meshes"][0]["extras"]["targetNames"] == ["jawOpen"]


def test_a_head_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(HeadError, match="needs a head"):
        exporters.export(CURVES, "glb")
    with pytest.raises(HeadError, match="none of the curves' channels"):
        exporters.export(CURVES, "glb", head(shapes=(), joints=False))
    with pytest.raises(HeadError, match="without triangles"):
        exporters.export(CURVES, "glb", Head("nothing", ()))


def document_of(curves: Curves) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(exporters.export(curves, "gltf", head(6)))
    return found


def read_document(folder: Path, document: dict[str, Any]) -> Curves:
    return exporters.read(write_file(folder / "x.gltf", json.dumps(document).encode()))


def test_steps_hold_no_key_too_long(tmp_path: Path) -> None:
    """Times are float32: of 40 frames at 30 a second 25 lie a little behind their instant."""
    for fps in (24, 30, 60, 120):
        curves = take(40, fps)
        document = document_of(curves)
        for sampler in document["animations"][0]["samplers"]:
            sampler["interpolation"] = "STEP"
        assert np.abs(read_document(tmp_path, document).select(ARKIT).values - curves.values).max() < 1e-6


@pytest.mark.parametrize("names", [["jawOpen"], [], ["a"] * 60])
def test_weights_that_are_not_as_many_as_their_names_are_told(names: list[str]) -> None:
    document = json.loads(exporters.export(take(4), "gltf", head(6)))
    for mesh in document["meshes"]:
        mesh["extras"] = {"targetNames": names or 7}
    with pytest.raises(CurvesError, match=r"^x.gltf: .*(names for|cannot be read)"):
        READERS[".gltf"](json.dumps(document).encode(), "x.gltf")


def test_the_first_clip_that_moves_a_face_is_read_and_the_others_named(tmp_path: Path,
                                                                       caplog: pytest.LogCaptureFixture) -> None:
    document = document_of(take(12))
    face = document["animations"][0]
    idle = {**face, "name": "idle", "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]}
    document["animations"] = [{**idle, "channels": []}, idle, {**face, "name": "line 1"}]
    assert read_document(tmp_path, document).frames == 12
    assert caplog.text == ""
    document["animations"] += [{**face, "name": "line 2"}]
    assert set(read_document(tmp_path, document).channels) == set(ARKIT)
    assert "2 takes of a face; read is 'line 1', left out: 'line 2'" in caplog.text


def test_what_an_extension_animates_is_no_channel_of_a_face(tmp_path: Path) -> None:
    document = document_of(take(12))
    document["animations"][0]["channels"] += [{"sampler": 0, "target": {"path": "pointer"}}]
    assert read_document(tmp_path, document).frames == 12


@pytest.mark.parametrize(("data", "said"), [
    (b"glTF\2\0\0\0\xff\xff\xff\xff", "complete version 2"),
    (b"glTF", "not a glTF file"),
    (b"{}", "not a glTF file"),
    (b"[" * 100_000, "not a glTF file"),
    (b"\xff\xfe", "not a glTF file"),
    (json.dumps({"asset": {}}).encode(), "holds no animation"),
    (json.dumps({"asset": {}, "animations": [{"channels": [{}], "samplers": []}]}).encode(), "cannot be read"),
    (json.dumps({"asset": {}, "animations": [{"channels": [], "samplers": []}]}).encode(), "no channels"),
])
def test_broken_files_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = write_file(tmp_path / "x.gltf", data)
    with pytest.raises(CurvesError, match=said):
        exporters.read(path)


def test_a_real_head_is_clean_too(tmp_path: Path, validators: Path, shared_data: Path) -> None:
    ict = pytest.importorskip("facerig.heads.ict")
    mesh = ict.load_ict(shared_data / "heads" / "ict_facekit")
    path = write_file(tmp_path / "ict.glb", exporters.export(take(20), "glb", mesh))
    assert gltf_issues(path, validators) == []
    read = three(path, 60, 20)
    assert np.abs(np.array(read["meshes"]["face"]["jawOpen"]) - take(20)["jawOpen"]).max() < 1e-4
