"""Heads from files of others: what is good is read whole, what is bad is told in one line and in bounded memory."""

from __future__ import annotations

import base64
import io
import json
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facerig.errors import FacerigError, HeadError, OptionError
from facerig.heads import load_head
from facerig.heads.builtin import builtin_head
from facerig.heads.foreign import match_names, read_head
from facerig.heads.npz import head_from_npz, head_to_npz
from facerig.heads.store import remove, store, stored, stored_names

GLB_JSON, GLB_BIN = 0x4E4F534A, 0x004E4942


def glb(document: dict[str, Any], binary: bytes = b"", total: int | None = None, chunk: int | None = None) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = struct.pack("<II", len(text) if chunk is None else chunk, GLB_JSON) + text
    if binary:
        body += struct.pack("<II", len(binary), GLB_BIN) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body) if total is None else total) + body


POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], "<f4")
FACES = np.array([0, 1, 2, 0, 2, 3], "<u2")
MOVE = np.array([[0, 0, 0], [0, -1, 0], [0, 0, 0], [0, 0, 0]], "<f4")
BINARY = POINTS.tobytes() + FACES.tobytes() + MOVE.tobytes()


def document(**changes: Any) -> dict[str, Any]:
    """A tetrahedron's two faces with one target; changes replace whole top-level entries."""
    good: dict[str, Any] = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": [0, 2, 0]}],
        "meshes": [{"name": "face", "extras": {"targetNames": ["Jaw_Open"]},
                    "primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "targets": [{"POSITION": 2}]}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
                      {"bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR"},
                      {"bufferView": 2, "componentType": 5126, "count": 4, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": 48},
                        {"buffer": 0, "byteOffset": 48, "byteLength": 12},
                        {"buffer": 0, "byteOffset": 60, "byteLength": 48}],
        "buffers": [{"byteLength": 108}]}
    return good | changes


def accessors(number: int, **changes: Any) -> dict[str, Any]:
    rows = document()["accessors"]
    rows[number] |= changes
    return document(accessors=rows)


def views(number: int, **changes: Any) -> dict[str, Any]:
    rows = document()["bufferViews"]
    rows[number] |= changes
    return document(bufferViews=rows)


def with_floats(offset: int, value: float) -> bytes:
    return BINARY[:offset] + struct.pack("<f", value) + BINARY[offset + 4 :]


def zipped(name: str, size: int, method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, b"\0" * size)
    return stream.getvalue()


def claimed(archive: bytes, true: int, false: int) -> bytes:
    """The same zip with another unpacked size in its headers."""
    return archive.replace(struct.pack("<I", true), struct.pack("<I", false))


def npz(**changes: Any) -> bytes:
    with np.load(io.BytesIO(head_to_npz(read_good())), allow_pickle=False) as arrays:
        held = {key: arrays[key] for key in arrays.files}
    stream = io.BytesIO()
    np.savez(stream, **{k: v for k, v in {**held, **changes}.items() if v is not None})
    return stream.getvalue()


def read_good() -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "good.glb"
        path.write_bytes(glb(document(), BINARY))
        return read_head(path)[0]


def fbx_node(name: bytes, end: int, count: int = 0, length: int = 0, values: bytes = b"") -> bytes:
    return struct.pack("<IIIB", end, count, length, len(name)) + name + values


FBX = b"Kaydara FBX Binary  \x00\x1a\x00" + struct.pack("<I", 7400)

CLAIM = {"componentType": 5126, "count": 2**40, "type": "VEC3"}
BAD: dict[str, Callable[[], bytes]] = {
    "empty.glb": lambda: b"", "text.glb": lambda: b"hello", "short.glb": lambda: glb(document(), BINARY)[:17],
    "cut.glb": lambda: glb(document(), BINARY)[:-40],
    "version.glb": lambda: b"glTF" + struct.pack("<II", 1, 20) + b"\0" * 8,
    "claims-2gb.glb": lambda: glb(document(), BINARY, total=2**31),
    "chunk-2gb.glb": lambda: glb(document(), BINARY, chunk=2**31),
    "no-json.glb": lambda: struct.pack("<4sIIII", b"glTF", 2, 20, 0, GLB_BIN),
    "list.gltf": lambda: b"[1, 2]", "broken.gltf": lambda: b'{"asset": ',
    "nan.glb": lambda: glb(document(), with_floats(0, np.nan)),
    "nan-target.glb": lambda: glb(document(), with_floats(60, np.inf)),
    "huge-count.glb": lambda: glb(accessors(0, count=2**31), BINARY),
    "empty-claim.glb": lambda: glb(document(accessors=[CLAIM] * 3), BINARY),
    "negative.glb": lambda: glb(accessors(0, count=-4), BINARY),
    "negative-offset.glb": lambda: glb(views(0, byteOffset=-16), BINARY),
    "stride.glb": lambda: glb(views(0, byteStride=2), BINARY),
    "component.glb": lambda: glb(accessors(0, componentType=9), BINARY),
    "scalar.glb": lambda: glb(accessors(0, type="SCALAR"), BINARY),
    "no-view.glb": lambda: glb(accessors(0, bufferView=77), BINARY),
    "wrong-target.glb": lambda: glb(accessors(2, count=3), BINARY),
    "bad-index.glb": lambda: glb(document(), BINARY[:48] + np.array([0, 1, 9, 0, 2, 3], "<u2").tobytes() + BINARY[60:]),
    "cycle.glb": lambda: glb(document(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}]), BINARY),
    "ring-only.glb": lambda: glb(document(scenes=[{}], nodes=[{"children": [1]}, {"children": [0]}]), BINARY),
    "deep.glb": lambda: glb(document(nodes=[{"children": [n + 1]} for n in range(500)] + [{"mesh": 0}]), BINARY),
    "fan-out.glb": lambda: glb(document(nodes=[{"children": [n + 1] * 8} for n in range(40)] + [{"mesh": 0}]), BINARY),
    "outside.gltf": lambda: json.dumps(document(buffers=[{"uri": "../../../etc/passwd", "byteLength": 9}])).encode(),
    "base64.gltf": lambda: json.dumps(document(buffers=[{"uri": "data:;base64,@@", "byteLength": 9}])).encode(),
    "double-name.glb": lambda: glb(document(meshes=[{"extras": {"targetNames": ["a", "b"]}, "primitives":
                                            document()["meshes"][0]["primitives"]}]), BINARY),
    "no-joint.glb": lambda: glb(document(nodes=[{"mesh": 0, "skin": 0}], skins=[{"joints": [7]}], meshes=[
        {"primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 0, "WEIGHTS_0": 0}}]}]), BINARY),
    "no-mesh.glb": lambda: glb(document(meshes=[], nodes=[{}])),
    "index.obj": lambda: b"v 0 0 0\nf 1 2 3\n", "words.obj": lambda: b"v a b c\n", "nan.obj": lambda: b"v nan 0 0\n",
    "two-corners.obj": lambda: b"v 0 0 0\nv 1 0 0\nf 1 2\n", "huge.obj": lambda: b"v 1e999 0 0\n",
    "no-zip.npz": lambda: b"PK\x03\x04 nothing",
    "bomb.npz": lambda: claimed(zipped("head.npy", 5_000_000, zipfile.ZIP_DEFLATED), 5_000_000, 3_000_000_000),
    "missing.npz": lambda: npz(**{"0/uvs": None}), "counts.npz": lambda: npz(**{"0/triangles": np.array([[0, 1, 44]])}),
    "object.npz": lambda: npz(head=np.array([{}], dtype=object)),
    "bomb.usdz": lambda: zipped("a.usda", 9_000_000, zipfile.ZIP_DEFLATED),
    "claim.usdz": lambda: claimed(zipped("a.usda", 5_000, zipfile.ZIP_STORED), 5_000, 2_000_000_000),
    "broken.usdz": lambda: b"PK\x05\x06 no", "words.usda": lambda: b"#usda 1.0\ndef Mesh \"a\" { point3f[] = oops }",
    "text.fbx": lambda: b"; FBX 7.4.0 project file", "cut.fbx": lambda: FBX + fbx_node(b"Objects", 99_999),
    "past.fbx": lambda: FBX + fbx_node(b"Objects", 60, 1, 9, b"S" + struct.pack("<I", 2**31) + b"abcd"),
    "array.fbx": lambda: FBX + fbx_node(b"Objects", 80, 1, 13, b"d" + struct.pack("<III", 2**31, 1, 4) + b"\0" * 30),
    "nodes.fbx": lambda: FBX + b"".join(fbx_node(b"x", 27 + 14 * (k + 1)) for k in range(3)) + b"\0" * 13,
    "empty.stl": lambda: b"", "noise.ply": lambda: b"ply\nformat ascii 1.0\nelement vertex x\n",
    "unknown.xyz": lambda: b"?",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_told_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BAD[name]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FacerigError) as told:
        read_head(path)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB: nothing of what was claimed


def test_too_long_a_name(tmp_path: Path) -> None:
    with pytest.raises(FacerigError, match="cannot be read: File name too long"):
        read_head(tmp_path / f"{'n' * 304}.glb")


def test_there_are_enough_bad_files() -> None:
    assert len(BAD) >= 30


def test_a_good_glb_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "good.glb").write_bytes(glb(document(), BINARY))
    head, match = read_head(tmp_path / "good.glb")
    assert match.renamed == {"Jaw_Open": "jawOpen"}
    assert np.allclose(head.vertices, POINTS + np.array([0, 2, 0]))
    assert np.allclose(head.shape("jawOpen").offsets, [[0, -1, 0]])
    assert head.shape("jawOpen").index.tolist() == [1]
    inline = document(buffers=[{"uri": "data:application/octet-stream;base64," + base64.b64encode(BINARY).decode()}])
    (tmp_path / "good.gltf").write_text(json.dumps(inline))
    assert np.array_equal(read_head(tmp_path / "good.gltf")[0].vertices, head.vertices)


def test_names_are_matched_and_what_is_not_is_hinted() -> None:
    match = match_names(("Mouth_Smile_L", "head_geo.eyeBlinkRight", "JAWOPEN", "jawOpn", "viseme_aa", "CC_browInnerUp"))
    assert match.renamed == {"Mouth_Smile_L": "mouthSmileLeft", "head_geo.eyeBlinkRight": "eyeBlinkRight",
                             "JAWOPEN": "jawOpen", "CC_browInnerUp": "browInnerUp"}
    assert match.unmatched == {"jawOpn": "jawOpen", "viseme_aa": ""}


def test_a_folder_of_obj_files(tmp_path: Path) -> None:
    lines = "".join(f"v {x} {y} {z}\n" for x, y, z in POINTS) + "f 1 2 3\nf 1 3 4\n"
    (tmp_path / "neutral.obj").write_text(lines)
    (tmp_path / "jawOpen.obj").write_text(lines.replace("v 1.0 0.0 0.0", "v 1.0 -1.0 0.0"))
    head, _ = read_head(tmp_path)
    assert head.shape("jawOpen").offsets.tolist() == [[0, -1, 0]]
    (tmp_path / "short.obj").write_text("v 0 0 0\n")
    with pytest.raises(HeadError, match=r"1 vertices, neutral\.obj has 4"):
        read_head(tmp_path)


@pytest.mark.parametrize("neutral", ["emily_neutral", "Neutral_Head", "headNeutral", "01-base", "a.rest"])
def test_the_face_at_rest_is_found_by_a_word_of_its_name(tmp_path: Path, neutral: str) -> None:
    lines = "".join(f"v {x} {y} {z}\n" for x, y, z in POINTS) + "f 1 2 3\nf 1 3 4\n"
    (tmp_path / f"{neutral}.obj").write_text(lines)
    for name in ("browDownLeft", "jawOpen", "baseline", "restless"):
        (tmp_path / f"{name}.obj").write_text(lines.replace("v 1.0 0.0 0.0", "v 1.0 -1.0 0.0"))
    head, _ = read_head(tmp_path)
    assert head.vertices.tolist() == POINTS.tolist()
    assert set(head.shape_names) == {"browDownLeft", "jawOpen", "baseline", "restless"}
    (tmp_path / "neutral.obj").write_text(lines)  # the very word goes first
    assert neutral in read_head(tmp_path)[0].shape_names


@pytest.mark.parametrize(("names", "said"), [
    (("browDownLeft", "jawOpen"), "none of its 2 OBJ files"),
    (("NEUTRAL", "basis", "jawOpen"), "NEUTRAL.obj, basis.obj"),
    (("emily_neutral", "mouth_rest", "jawOpen"), "emily_neutral.obj, mouth_rest.obj")])
def test_no_expression_is_taken_for_the_face_at_rest(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    for name in names:
        (tmp_path / f"{name}.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(HeadError, match=rf"{said}.*call the face at rest neutral\.obj"):
        read_head(tmp_path)


def test_the_nearest_name_goes_first() -> None:
    match = match_names(("lowerMouthLeft", "jawOpen", "mouthLeft"))
    assert match.renamed == {"mouthLeft": "mouthLeft", "jawOpen": "jawOpen"}
    assert "lowerMouthLeft" in match.unmatched
    assert match_names(("JawOpen", "jawOpen")).renamed == {"jawOpen": "jawOpen"}


def test_names_are_matched_part_by_part(tmp_path: Path) -> None:
    rows = [{"name": name, "extras": {"targetNames": [f"{name}BS.jawOpen"]},
             "primitives": document()["meshes"][0]["primitives"]} for name in ("face", "teeth")]
    (tmp_path / "a.glb").write_bytes(glb(document(meshes=rows, scenes=[{"nodes": [0, 1]}],
                                                  nodes=[{"mesh": 0}, {"mesh": 1}]), BINARY))
    head, match = read_head(tmp_path / "a.glb")
    assert [list(part.shapes) for part in head.parts] == [["jawOpen"], ["jawOpen"]]
    assert match.renamed == {"faceBS.jawOpen": "jawOpen", "teethBS.jawOpen": "jawOpen"}
    assert not match.unmatched


def test_a_folder_of_another_writing_and_unit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = "".join(f"v {20 * x} {20 * y} {20 * z}\n" for x, y, z in POINTS) + "f 1 2 3\nf 1 3 4\n"
    (tmp_path / "NEUTRAL.OBJ").write_text(lines)
    assert read_head(tmp_path)[0].metres_per_unit == 1
    assert "its longest side is 20 m" in caplog.text
    assert "--units m|cm|mm" in caplog.text
    caplog.clear()
    assert read_head(tmp_path, "cm")[0].metres_per_unit == 0.01
    assert not caplog.text
    with pytest.raises(OptionError, match="got 'ft', accepted: m, cm, mm"):
        read_head(tmp_path, "ft")


@pytest.mark.parametrize("suffix", [".glb", ".fbx", ".usda"])
def test_our_own_exports_come_back(suffix: str, tmp_path: Path) -> None:
    if suffix == ".usda":
        pytest.importorskip("pxr")
    import exporters
    from facerig.curves import Curves

    head = builtin_head()
    path = tmp_path / f"head{suffix}"
    path.write_bytes(exporters.export(Curves(("jawOpen",), 30, np.zeros((2, 1))), suffix, head))
    back, match = read_head(path)
    assert not match.unmatched
    assert set(back.shape_names) == set(head.shape_names)
    assert back.vertex_count == head.vertex_count
    scale = head.metres_per_unit / back.metres_per_unit
    for name in ("jawOpen", "eyeBlinkLeft", "tongueOut"):
        ours = np.linalg.norm(head.shape(name).offsets, axis=1).max() * scale
        assert np.linalg.norm(back.shape(name).offsets, axis=1).max() == pytest.approx(ours, rel=1e-3)


def test_fbx_files_of_other_programs(shared_data: Path) -> None:
    folder = shared_data / "fbx"
    for name, shapes in (("blender_331_static_blend_shape_7400_binary", {"Squash", "Stretch"}),
                         ("maya_blend_shape_cube_6100_binary", {"TopH", "TopV"}),
                         ("maya_blend_shape_cube_7700_binary", {"TopH", "TopV"})):
        head, _ = read_head(folder / f"{name}.fbx")
        assert set(head.shape_names) == shapes
        assert head.vertex_count == 8


def test_open_heads_as_published(shared_data: Path) -> None:
    from facerig.heads.fetch import check_files

    ict, match = read_head(shared_data / "heads" / "ict_facekit")
    assert ict.vertex_count == 26719
    assert len(ict.shape_names) == 51
    assert not match.unmatched
    makehuman, match = read_head(shared_data / "heads" / "makehuman")
    assert {"tongueOut", "jawOpen"} < set(makehuman.shape_names)
    assert all(name.startswith("viseme_") for name in match.unmatched)
    for name, folder in (("ict", "ict_facekit"), ("makehuman", "makehuman")):
        assert check_files(name, shared_data / "heads" / folder) == []


def test_the_store_keeps_lists_and_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACERIG_HOME", str(tmp_path))
    head = read_good()
    store("mine", head)
    assert stored_names() == ["mine"]
    assert np.array_equal(load_head("mine").vertices, head.vertices)
    assert head_to_npz(stored("mine")) == head_to_npz(head)
    remove("mine")
    with pytest.raises(HeadError, match="there are builtin"):
        load_head("mine")
    for name in ("builtin", "../up", "A b", ""):
        with pytest.raises(OptionError, match="head name"):
            store(name, head)


def test_commands_add_show_and_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    from facerig.cli import run

    monkeypatch.setenv("FACERIG_HOME", str(tmp_path / "home"))
    (tmp_path / "My Head.glb").write_bytes(glb(document(), BINARY))
    assert run(["heads", "add", str(tmp_path / "My Head.glb")]) == 0
    assert run(["heads", "show", "my-head", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["shapes"] == ["jawOpen"]
    assert run(["heads", "list"]) == 0
    assert run(["heads", "remove", "my-head"]) == 0
    assert run(["heads", "remove", "my-head"]) == 3
    assert run(["heads", "remove", "builtin"]) == 2
    assert run(["heads", "add", "flame"]) == 2
    assert run(["heads", "add", str(tmp_path / "none.glb")]) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_adding_replaces_nothing_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    from facerig.cli import run

    monkeypatch.setenv("FACERIG_HOME", str(tmp_path / "home"))
    first, second, third = (tmp_path / name for name in ("My Head.glb", "my_head.glb", "Tête.glb"))
    first.write_bytes(glb(document(), BINARY))
    second.write_bytes(glb(document(nodes=[{"mesh": 0}]), BINARY))
    third.write_bytes(first.read_bytes())
    assert run(["heads", "add", str(first)]) == 0
    assert run(["heads", "add", str(second)]) == 2
    assert "my-head is there already; --name" in capsys.readouterr().err
    assert load_head("my-head").vertices[:, 1].max() == 3
    assert run(["heads", "add", str(second), "--replace", "--units", "cm"]) == 0
    assert load_head("my-head").vertices[:, 1].max() == 1
    assert load_head("my-head").metres_per_unit == 0.01
    assert run(["heads", "add", str(third)]) == 0
    assert stored_names() == ["my-head", "tete"]
    assert run(["heads", "add", str(tmp_path / "none.glb"), "--name", "Not One"]) == 2  # before anything is read
    assert "accepted: 1 to 40 small letters" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "told"), [
    (["a.glb", "b.glb"], "a second path does not count for a file"), (["a.glb", "--from", "b"], "does not count"),
    (["a.glb", "--eyelids", "x.npz"], "--eyelids does not count for a file"), (["a.glb", "--mirror", "x"], "--mirror"),
    (["a.glb", "--accept-licence"], "accepted: --units, --name, --replace"),
    (["flame", "x.pkl", "--units", "cm"], "--units does not count for flame"),
    (["ict", "x", "--unverified"], "--unverified does not count for a copy"), (["ict", "x", "--from", "y"], "one of"),
    (["ict", "--eyelids", "x.npz"], "--eyelids does not count for a download")])
def test_options_that_do_not_count_are_refused(words: list[str], told: str, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    from facerig.cli import run

    monkeypatch.setenv("FACERIG_HOME", str(tmp_path))
    assert run(["heads", "add", *words]) == 2
    assert told in capsys.readouterr().err
    assert stored_names() == []


def test_damaged_npz_never_crashes(tmp_path: Path) -> None:
    data = head_to_npz(read_good())
    random = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 4):
            broken[place] = random.integers(256)
        try:
            head_from_npz(bytes(broken))
        except HeadError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most damage is told, some hits a spare byte
