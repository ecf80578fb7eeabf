"""FBX as others read it: records, blend shapes, curves, joints; by ufbx, three.js and a strict dumper."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from export_readers import fbx_records, needs, three, ufbx
from export_samples import ANGLES, ARKIT, head, take

import exporters
from exporters import ExportOptions, fbx
from exporters.fbx_animation import Animation
from exporters.fbx_container import Node, double, doubles, encode, integer, leaf, ticks
from exporters.fbx_document import Document, prop
from exporters.fbx_reader import _from_bind
from exporters.keys import dense
from exporters.scene import quaternions, scene
from facerig.curves import Curves
from facerig.errors import CurvesError, HeadError, OptionError
from facerig.files import write_file
from facerig.turns import turned

FRAMES = 45


def written(path: Path, curves: Curves, mesh: bool = True, **options: object) -> Path:
    return write_file(path, exporters.export(curves, ".fbx" if mesh else ".curves.fbx", head() if mesh else None,
                                             ExportOptions(**options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [7400, 7500])
def test_a_strict_reader_finds_every_record_and_the_footer(tmp_path: Path, validators: Path, version: int) -> None:
    for mesh in (True, False):
        path = written(tmp_path / "face.fbx", take(FRAMES), mesh, fbx_version=version)
        said = fbx_records(path, validators)
        assert f"version {version}" in said
        assert f"version in footer {version}" in said
        assert "f85a8c6adef5d97eece90ce3758f290b" in said


@pytest.mark.parametrize(("version", "fps"), [(7400, 60), (7500, 24), (7400, 30), (7500, 25), (7400, 50), (7500, 120),
                                              (7400, 7)])
def test_ufbx_evaluates_our_values_on_every_frame(tmp_path: Path, version: int, fps: int) -> None:
    curves = take(FRAMES, fps)
    read = ufbx(written(tmp_path / "face.fbx", curves, fbx_version=version), fps, FRAMES)
    assert read["warnings"] == []
    assert read["version"] == version
    assert read["rate"] == fps
    assert read["range"] == pytest.approx([0, (FRAMES - 1) / fps])
    assert {name for name, _ in read["weights"]} == set(ARKIT)
    for name, values in read["weights"]:
        assert np.abs(np.array(values) - curves[name]).max() < 1e-4


def test_shapes_and_channels_have_one_name_and_only_moved_vertices(tmp_path: Path) -> None:
    sample = head()
    read = ufbx(written(tmp_path / "face.fbx", take(3)), 60, 3)
    expected = [(name, [[name, len(shape.index)]]) for part in sample.parts for name, shape in part.shapes.items()]
    assert sorted(map(tuple, read["shapes"])) == sorted(expected)
    assert read["meshes"]["face"] == [144, 242, 1]
    assert set(read["meshes"]) == {part.name for part in sample.parts}


def test_three_plays_our_values_on_every_frame(tmp_path: Path) -> None:
    curves = take(FRAMES)
    read = three(written(tmp_path / "face.fbx", curves), 60, FRAMES)
    assert set(read["meshes"]["face"]) == set(ARKIT)
    assert set(read["meshes"]["teeth"]) == {"jawOpen", "jawLeft"}
    for shapes in read["meshes"].values():
        for name, values in shapes.items():
            assert np.abs(np.array(values) - curves[name]).max() < 1e-4
    largest = np.abs(head().parts[0].shapes["jawOpen"].offsets).max()
    assert read["deltas"]["face"]["jawOpen"] == pytest.approx(10 * largest)  # decimetres to centimetres


def test_joints_turn_as_head_and_eyes_do(tmp_path: Path) -> None:
    curves = take(FRAMES, channels=ARKIT + ANGLES)
    turns = scene(curves, head(), ExportOptions()).joint_turns
    names = [joint.name for joint in head().joints]
    assert {names[number] for number in turns} == {"head", "leftEye", "rightEye"}
    path = written(tmp_path / "face.fbx", curves)
    for bones in (ufbx(path, 60, FRAMES)["bones"], three(path, 60, FRAMES)["bones"]):
        for number, turn in turns.items():
            ours, theirs = quaternions(turn), np.array(bones[names[number]])
            assert (1 - np.abs((ours * theirs).sum(axis=1))).max() < 1e-6
        assert np.allclose(np.abs(np.array(bones["jaw"])), [0, 0, 0, 1])


def test_yaw_turns_to_the_own_left_and_pitch_down() -> None:
    front = np.array([0.0, 0.0, 1.0])
    for channel, axis, sign in (("headYaw", 0, 1), ("headPitch", 1, -1), ("leftEyeYaw", 0, -1),
                                ("leftEyePitch", 1, -1)):
        turn = scene(Curves((channel, "jawOpen"), 60, [[0.3, 0.0]] * 2), head(), ExportOptions()).joint_turns
        (q,) = {tuple(quaternions(each)[0].round(9)) for each in turn.values()}
        axis_part = np.array(q[:3])
        turned = front + 2 * np.cross(axis_part, np.cross(axis_part, front) + q[3] * front)
        assert np.sign(turned[axis]) == sign
        assert abs(turned[axis]) == pytest.approx(np.sin(0.3), abs=1e-6)


def test_the_phones_head_unit_is_fifty_degrees() -> None:
    ours = scene(Curves(("headYaw", "jawOpen"), 60, [[np.deg2rad(25), 0.0]]), head(), ExportOptions())
    phone = scene(Curves(("HeadYaw", "JawOpen"), 60, [[0.5, 0.0]]), head(), ExportOptions())
    (a,), (b,) = ours.joint_turns.values(), phone.joint_turns.values()
    assert np.allclose(a.values, b.values, atol=1e-6)


def test_curves_alone_are_numbers_of_a_root_bone(tmp_path: Path) -> None:
    curves = take(FRAMES, channels=("CTRL_expressions_jawOpen", "CTRL_expressions_mouthLipsTogetherUL", "größe", "口"))
    read = ufbx(written(tmp_path / "curves.fbx", curves, mesh=False), 60, FRAMES)
    assert read["meshes"] == {}
    assert list(read["bones"]) == ["root"]
    for name in curves.channels:
        assert np.abs(np.array(read["numbers"][name]) - curves[name]).max() < 1e-6


def test_few_cubic_keys_rebuild_the_take_in_ufbx(tmp_path: Path) -> None:
    curves = take(120)
    path = written(tmp_path / "face.fbx", curves, keys=0.02)
    for name, values in ufbx(path, 60, 120)["weights"]:
        assert np.abs(np.array(values) - curves[name]).max() <= 0.02
    assert path.stat().st_size < written(tmp_path / "dense.fbx", curves).stat().st_size


def test_a_take_keeps_its_place_in_time(tmp_path: Path) -> None:
    curves = take(FRAMES, start=600)
    read = ufbx(written(tmp_path / "face.fbx", curves), 60, FRAMES, 600)
    assert read["range"] == pytest.approx([10, 10 + (FRAMES - 1) / 60])
    assert np.abs(np.array(dict(map(tuple, read["weights"]))["jawOpen"]) - curves["jawOpen"]).max() < 1e-4


def test_one_frame_many_shapes_no_shapes_foreign_names(tmp_path: Path) -> None:
    read = ufbx(written(tmp_path / "one.fbx", take(1)), 60, 1)
    assert read["range"] == pytest.approx([0, 1 / 60])  # importers refuse a take of no length
    many = tuple(f"形{number}" for number in range(500))
    data = exporters.export(take(3, channels=many), "fbx", head(shapes=many))
    read = ufbx(write_file(tmp_path / "many.fbx", data), 60, 3)
    assert [name for name, _ in read["weights"]] == list(many)
    with pytest.raises(HeadError, match="none of the curves' channels"):
        exporters.export(take(3), "fbx", head(shapes=(), joints=False))
    with pytest.raises(HeadError, match="none of the curves' channels"):
        exporters.export(take(3, channels=("foo",)), "fbx", head())
    with pytest.raises(CurvesError, match="empty"):
        exporters.export(take(0), "fbx", head())


def test_a_channel_without_a_shape_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lacking = tuple(name for name in ARKIT if name != "tongueOut")
    data = exporters.export(take(3), "fbx", head(shapes=lacking))
    assert "tongueOut" in caplog.text
    assert {name for name, _ in ufbx(write_file(tmp_path / "face.fbx", data), 60, 3)["weights"]} == set(lacking)


def test_ticks_are_whole_and_do_not_drift() -> None:
    assert [ticks(1, fps) for fps in (24, 30, 60)] == [1924423250, 1539538600, 769769300]
    assert ticks(7 * 10**6, 7) == 46186158000 * 10**6
    assert ticks(-60, 60) == -46186158000


def test_containers_nest_and_offsets_are_absolute() -> None:
    inner = Node("Inner", (), (leaf("Leaf", integer(7), doubles(np.arange(2000.0))),))
    data = encode([Node("Outer", (), (inner,)), Node("Empty", (), (), True)], 7400)
    end = struct.unpack_from("<I", data, 27)[0]
    assert data[end : end + 4] != b"\0\0\0\0"
    assert b"Empty" in data[end : end + 20]
    assert (len(data) - 16 - 120 - 4) % 16 == 0  # the version behind the padding



def test_options_are_checked() -> None:
    for wrong in ({"fbx_version": 6100}, {"keys": 0.0}, {"keys": 2.0}, {"layout": "x"}, {"name": " "}, {"node": "a b"}):
        with pytest.raises(OptionError, match="accepted"):
            ExportOptions(**wrong)  # type: ignore[arg-type]


# ---- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [None, 0.02])
def test_head_and_eyes_come_back(tmp_path: Path, keys: float | None) -> None:
    needs("ufbx", "fbx")
    curves = take(FRAMES, channels=ARKIT + ANGLES, start=-7)
    read = exporters.read(written(tmp_path / "face.fbx", curves, keys=keys))
    assert (read.fps, read.start, read.frames) == (60, -7, FRAMES)
    assert set(read.channels) == set(curves.channels)
    assert np.abs(read.select(curves.channels).values - curves.values).max() <= (keys or 1e-4)
    still = exporters.read(written(tmp_path / "still.fbx", take(FRAMES)))
    assert set(still.channels) == set(ARKIT)  # joints that nothing turns are no channels


@pytest.mark.parametrize("mesh", [True, False])
def test_a_take_of_one_frame_comes_back_as_one(tmp_path: Path, mesh: bool) -> None:
    needs("ufbx", "fbx")
    for frames in (1, 2):
        read = exporters.read(written(tmp_path / "x.fbx", take(frames, start=5), mesh))
        assert (read.start, read.frames) == (5, frames)


def test_a_turn_is_counted_from_the_bind_pose_about_the_files_axes() -> None:
    angles = np.linspace(-0.5, 0.5, 9)
    turns = turned(angles, 0.4 * angles, -0.3 * angles)
    parent, rest = turned(np.array([0.7]), np.array([-0.2]), np.array([1.5]))[0], turned(*np.ones((3, 1)))[0]
    local = parent.T @ turns @ parent @ rest
    bind = [(2 * parent @ rest).T.tolist(), rest.T.tolist()]  # columns; a scale is no turn
    assert np.abs(_from_bind(local, bind) - turns).max() < 1e-12
    assert _from_bind(local, None) is local


def test_the_first_take_that_moves_a_face_is_read_and_the_others_named(tmp_path: Path,
                                                                       caplog: pytest.LogCaptureFixture) -> None:
    needs("ufbx", "fbx")
    curves = take(FRAMES, channels=("jawOpen",))
    document = Document()
    hips = fbx._bone(document, "hips", (0, 0, 0), [])
    bone = fbx._bone(document, "root", (0, 0, 0), [prop("jawOpen", "Number", "", "A+U", double(0))])
    for each in (hips, bone):
        document.link(each, 0)
    track = dense(curves)["jawOpen"]
    Animation(document, "walk", 60, 0, 9).add(hips, "Lcl Rotation", "R", {"X": track}, 50)
    for name in ("line 1", "line 2"):
        Animation(document, name, 60, 0, FRAMES - 1).add(bone, "jawOpen", "jawOpen", {"jawOpen": track},
                                                         1 if name == "line 1" else 0.5)
    read = exporters.read(write_file(tmp_path / "x.fbx", document.bytes("walk", 60, 0, FRAMES - 1, 7400)))
    assert (read.channels, read.frames) == (("jawOpen",), FRAMES)
    assert np.abs(read.values - curves.values).max() < 1e-4
    assert "2 takes of a face; read is 'line 1', left out: 'line 2'" in caplog.text
