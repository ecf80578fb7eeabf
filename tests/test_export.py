"""The border of the exporters: the tables, determinism, golden bytes, odd takes, and what a whole round trip keeps."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from export_readers import needs
from export_samples import ANGLES, ARKIT, head, take
from hypothesis import given, settings
from hypothesis import strategies as st

import exporters
from exporters import EXPORTERS, READERS, ExportOptions, format_of
from facerig.curves import Curves, Mark
from facerig.errors import CurvesError, FacerigError, InputError, OptionError, RigError
from facerig.files import write_file
from facerig.rig import rig

GOLDEN = Path(__file__).parent / "golden" / "exports.json"
FLAME = (".flame.npz", ".deca.npz", ".smirk.npz", ".vhap.npz")
USD = tuple(suffix for suffix in EXPORTERS if ".usd" in suffix)
MARKS = (Mark(2, 8, "phone", "m"), Mark(8, 14, "phone", "aa"), Mark(2, 14, "word", "ma"))


def sample(suffix: str, frames: int = 20, fps: int = 60, start: int = 0) -> Curves:
    """A take that the format can carry."""
    if suffix in FLAME:
        return take(frames, fps, rig("flame").names, start)
    return take(frames, fps, ARKIT, start, MARKS)


def bytes_of(suffix: str, curves: Curves, **options: object) -> bytes:
    if suffix in USD:
        needs("pxr", "usd")
    mesh = head(6) if EXPORTERS[suffix].head != "no" else None
    return exporters.export(curves, suffix, mesh, ExportOptions(**options))  # type: ignore[arg-type]


# ---- tables -----------------------------------------------------------------------------------------------------


def test_the_tables_hold_what_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "FORMATS.md").read_text()
    for suffix in EXPORTERS:
        assert f"`{suffix}`" in page, f"docs/FORMATS.md says nothing of {suffix}"
    assert all(Path(f"x{suffix}").suffix in READERS for suffix in EXPORTERS)
    known = set(ExportOptions.__dataclass_fields__)
    assert all(set(row.heeds) <= known and row.head in ("no", "optional", "needed") for row in EXPORTERS.values())


@pytest.mark.parametrize(("name", "suffix"), [
    ("csv", ".csv"), (".a2f.csv", ".a2f.csv"), ("a2f.csv", ".a2f.csv"), ("out/My.Take_1.A2F.CSV", ".a2f.csv"),
    ("my.take.csv", ".csv"), (Path("x/y.usdc"), ".usdc"), (Path("curves.fbx"), ".fbx"),
    (Path("x/a2f.csv"), ".csv"), (Path("a.a2f.csv"), ".a2f.csv"), ("MySlate_1_me_cal.csv", ".csv"),
    ("a.b.c.glb", ".glb"),
])
def test_a_name_tells_the_format(name: str, suffix: str) -> None:
    assert format_of(name) == suffix


@pytest.mark.parametrize("name", ["", "face", "face.docx", ".", "csv.docx", Path("csv"), Path(".csv")])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=r"accepted: \.csv"):
        format_of(name)


# ---- bytes -----------------------------------------------------------------------------------------------------


def content(suffix: str, data: bytes) -> str:
    """A hash of what the file holds; of deflated archives the members, as deflate differs between zlib's versions."""
    digest = hashlib.sha256()
    if suffix.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                digest.update(name.encode() + archive.read(name))
    else:
        digest.update(data)
    return digest.hexdigest()


@pytest.mark.parametrize("suffix", EXPORTERS)
def test_bytes_are_golden_and_the_same_twice(suffix: str) -> None:
    """FACERIG_GOLDEN=write notes the present bytes; look at what changed before committing that."""
    curves = sample(suffix)
    data = bytes_of(suffix, curves)
    assert data == bytes_of(suffix, curves)
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if os.environ.get("FACERIG_GOLDEN") == "write":
        golden[suffix] = content(suffix, data)
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(dict(sorted(golden.items())), indent=1) + "\n")
    assert content(suffix, data) == golden.get(suffix)


def test_bytes_are_the_same_in_another_process() -> None:
    code = ("import hashlib, exporters; from export_samples import head, take\n"
            "for suffix in ('.fbx', '.glb', '.json', '.csv', '.npz', '.anim', '.wide.csv'):\n"
            "    mesh = head(6) if suffix in ('.fbx', '.glb') else None\n"
            "    print(suffix, hashlib.sha256(exporters.export(take(20), suffix, mesh)).hexdigest())")
    here = Path(__file__).parent
    out = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}", "PYTHONHASHSEED": seed})
           for seed in ("1", "2")]
    assert out[0].stdout == out[1].stdout
    assert out[0].stdout.count("\n") == 7


# ---- odd takes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", EXPORTERS)
def test_a_take_of_one_frame_is_written_and_read(tmp_path: Path, suffix: str) -> None:
    data = bytes_of(suffix, sample(suffix, 20).slice(5, 6).moved(0))
    if suffix == ".fbx":
        needs("ufbx", "fbx")
    if suffix in (".srt", ".vtt"):
        assert b"00:00:00" in data
    assert exporters.read(write_file(tmp_path / f"x{suffix}", data)).frames >= 1


@pytest.mark.parametrize("suffix", EXPORTERS)
def test_an_empty_take_is_right_or_refused(tmp_path: Path, suffix: str) -> None:
    empty = Curves(sample(suffix).channels, 60, np.zeros((0, len(sample(suffix).channels))))
    if not EXPORTERS[suffix].empty:
        with pytest.raises(CurvesError, match="empty"):
            bytes_of(suffix, empty)
        return
    read = exporters.read(write_file(tmp_path / f"x{suffix}", bytes_of(suffix, empty)))
    assert read.channels == empty.channels
    assert read.frames == 0


FOREIGN = ("größe", "口が開く", "a,b", 'quote"d', "two words", "line;semi", "<tag>&")


@pytest.mark.parametrize("suffix", [".wide.csv", ".a2f.csv", ".unreal.csv", ".json", ".unreal.json", ".npz", ".anim",
                                    ".atom", ".glb", ".usda"])
def test_foreign_names_are_kept_or_refused(tmp_path: Path, suffix: str) -> None:
    curves = take(12, channels=FOREIGN)
    if suffix in (".anim", ".atom"):
        with pytest.raises(CurvesError, match="Maya's attributes"):
            bytes_of(suffix, curves)
        return
    if suffix in USD:
        needs("pxr", "usd")
    mesh = head(6, FOREIGN) if EXPORTERS[suffix].head != "no" else None
    read = exporters.read(write_file(tmp_path / f"x{suffix}", exporters.export(curves, suffix, mesh)))
    assert set(read.channels) == set(FOREIGN)
    assert np.abs(read.select(FOREIGN).values - curves.values).max() < 1e-5


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_no_format_ever_sees_a_nan(bad: float) -> None:
    with pytest.raises(CurvesError, match="jawOpen"):
        exporters.export(Curves(("jawOpen",), 60, [[0.0], [bad]]), ".json")


def test_a_rig_that_cannot_be_reached_is_said() -> None:
    with pytest.raises(RigError):
        exporters.export(take(3), "csv", options=ExportOptions(rig="nonsense"))
    with pytest.raises(RigError, match="geometry"):
        exporters.export(take(3), "flame.npz")
    with pytest.raises(RigError):
        exporters.export(take(3, channels=("foo", "bar")), "csv")


def test_retargeting_comes_first() -> None:
    read = json.loads(exporters.export(take(3), "json", options=ExportOptions(rig="metahuman")))
    assert read["channels"] == list(rig("metahuman").names)


@pytest.mark.parametrize("name", ["nothing.csv", "folder.csv"])
def test_files_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        exporters.read(tmp_path / name)


@pytest.mark.parametrize("suffix", READERS)
def test_rubbish_is_one_clear_error(tmp_path: Path, suffix: str) -> None:
    for number, data in enumerate((b"", b"\0\1\2\3" * 64, b"rubbish\n", "größe".encode("utf-16"), b"{}", b"[]", b"[1]",
                                   b'{"channels": 3, "version": 1}', b",,,\n1,2\n", b"seconds,a\n1,x\n", b"<a></a>")):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(data)
        if ".usd" in suffix:
            needs("pxr", "usd")
        if suffix == ".fbx":
            if number > 3:
                continue  # each takes a process
            needs("ufbx", "fbx")
        with pytest.raises(FacerigError) as caught:
            exporters.read(path)
        assert "\n" not in str(caught.value)
        assert path.name in str(caught.value)


# ---- round trips -------------------------------------------------------------------------------------------------


EXACT = (".json", ".npz")
VALUES = (".wide.csv", ".a2f.csv", ".unreal.csv", ".unreal.json", ".anim", ".atom")


@pytest.mark.parametrize("suffix", [*EXACT, *VALUES])
@settings(max_examples=15, deadline=None)
@given(fps=st.sampled_from((24, 25, 30, 50, 60, 120)), start=st.integers(0, 10**6), frames=st.integers(2, 40),
       seed=st.integers(0, 2**32 - 1))
def test_text_gives_every_value_back(suffix: str, fps: int, start: int, frames: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.5, 10 ** np.random.default_rng(seed).uniform(-6, 3), (frames, 3))
    curves = Curves(("jawOpen", "mouthClose", "foo"), fps, values.astype(np.float32), start, (Mark(1, 2, "x", "y"),))
    data = exporters.export(curves, suffix)
    read = READERS[Path(f"x{suffix}").suffix](data, f"x{suffix}")
    assert (read.channels, read.fps, read.start) == (curves.channels, fps, start)
    assert np.array_equal(read.values, curves.values)
    if suffix in EXACT:
        assert read == curves


@pytest.mark.parametrize("suffix", FLAME)
def test_flame_arrays_have_the_names_that_others_load(suffix: str) -> None:
    curves = take(30, 30, rig("flame").names)
    with np.load(io.BytesIO(exporters.export(curves, suffix))) as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files}
        assert all(arrays[name].dtype == np.float32 for name in arrays.files if name != "fps")
    expected: dict[str, dict[str, tuple[int, ...]]] = {
        ".flame.npz": {"betas": (30, 10), "expression": (30, 100), "global_orient": (30, 3), "neck_pose": (30, 3),
                       "jaw_pose": (30, 3), "leye_pose": (30, 3), "reye_pose": (30, 3), "transl": (30, 3)},
        ".deca.npz": {"exp": (30, 50), "pose": (30, 6), "shape": (30, 100), "neck_pose": (30, 3), "eye_pose": (30, 6),
                      "transl": (30, 3)},
        ".smirk.npz": {"expression_params": (30, 50), "pose_params": (30, 3), "jaw_params": (30, 3),
                       "eye_pose_params": (30, 6), "neck_pose_params": (30, 3), "eyelid_params": (30, 2),
                       "shape_params": (30, 300)},
        ".vhap.npz": {"translation": (30, 3), "rotation": (30, 3), "neck_pose": (30, 3), "jaw_pose": (30, 3),
                      "eyes_pose": (30, 6), "shape": (300,), "expr": (30, 100), "static_offset": (1, 5143, 3),
                      "dynamic_offset": (30, 1, 3)},
    }
    assert shapes == {**expected[suffix], "fps": ()}
    read = READERS[".npz"](exporters.export(curves, suffix), "x.npz")
    kept = [name for name in curves.channels if read[name].any()]
    assert read.fps == 30
    assert {"jaw_x", "leye_z", "global_y", "expression049"} <= set(kept)
    assert np.array_equal(read.select(kept).values, curves.select(kept).values)


def test_flame_poses_stand_in_the_order_of_the_model() -> None:
    curves = Curves(rig("flame").names, 60, np.arange(117, dtype=np.float32)[None])
    with np.load(io.BytesIO(exporters.export(curves, "deca.npz"))) as arrays:
        first = curves.index("global_x")
        assert arrays["pose"][0].tolist() == [first, first + 1, first + 2, *(curves.index(f"jaw_{a}") for a in "xyz")]
        assert arrays["eye_pose"][0].tolist() == [curves.index(f"{eye}_{a}") for eye in ("leye", "reye") for a in "xyz"]


def test_azure_and_audio2face_json() -> None:
    curves = take(30, 30, start=15)
    azure = json.loads(exporters.export(curves, "azure.json"))
    assert azure["FrameIndex"] == 30
    assert len(azure["BlendShapes"]) == 60
    assert len(azure["BlendShapes"][0]) == 55
    halves = [{"FrameIndex": 0, "BlendShapes": [[0.5] * 55] * 3}, {"FrameIndex": 3, "BlendShapes": [[1.0] * 55] * 2}]
    joined = READERS[".json"]("\n".join(map(json.dumps, reversed(halves))).encode(), "x.json")
    assert joined.frames == 5
    assert joined["jawOpen"].tolist() == [0.5] * 3 + [1.0] * 2
    with pytest.raises(CurvesError, match="expected 3"):
        READERS[".json"](json.dumps([halves[0], {**halves[1], "FrameIndex": 4}]).encode(), "x.json")
    a2f = json.loads(exporters.export(curves, "a2f.json"))
    assert a2f["exportFps"] == 30
    assert a2f["numPoses"] == 52
    assert a2f["numFrames"] == 30
    assert a2f["facsNames"] == list(ARKIT)
    assert np.allclose(a2f["weightMat"], curves.values)


def test_unreal_tables_have_unreals_form() -> None:
    curves = take(4, 30, ("CTRL_expressions_jawOpen", "headYaw"))
    lines = exporters.export(curves, "unreal.csv").decode().splitlines()
    assert lines[0].split(",") == ["", "0", "0.033333", "0.066667", "0.1"]
    assert lines[1].startswith("CTRL_expressions_jawOpen,")
    assert len(lines) == 3
    table = json.loads(exporters.export(curves, "unreal.json"))
    assert [row["Name"] for row in table] == list(curves.channels)
    assert list(table[0])[1:] == lines[0].split(",")[1:]


def test_nvidias_frames_have_its_header() -> None:
    lines = exporters.export(take(3, channels=rig("facerig").names), "a2f.csv").decode().splitlines()
    header = lines[0].split(",")
    assert header[:4] == ["", "timeCode", "blendShapes.EyeBlinkLeft", "blendShapes.EyeLookDownLeft"]
    assert len(header) == 70
    assert header[-1] == "blendShapes.TongueNarrow"
    assert lines[2].split(",")[0] == "1"
    assert float(lines[2].split(",")[1]) == 1 / 60
    assert len(exporters.export(take(3), "a2f.csv").decode().splitlines()[0].split(",")) == 54


def test_head_and_eyes_survive_scene_files() -> None:
    curves = take(30, channels=ARKIT + ANGLES)
    read = READERS[".glb"](exporters.export(curves, "glb", head(6)), "x.glb")
    assert np.abs(read.select(ANGLES).values - curves.select(ANGLES).values).max() < 1e-5


@pytest.mark.soak
def test_two_hours_need_little_more_memory_than_their_file() -> None:
    code = ("import resource, sys; import numpy as np, exporters; from facerig.curves import Curves; "
            "from facerig.rig import rig\n"
            "names = rig('arkit').names\n"
            "curves = Curves(names, 60, np.random.default_rng(0).random((432000, 52), np.float32))\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
            "size = len(exporters.export(curves, sys.argv[1])) / 2**20\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before, size)")
    for suffix in (".csv", ".wide.csv", ".json", ".a2f.csv", ".npz"):
        done = subprocess.run([sys.executable, "-c", code, suffix], capture_output=True, text=True, check=True,
                              cwd=Path(__file__).parents[1])
        grown, size = map(float, done.stdout.split())
        assert grown < 2.5 * size + 300


@pytest.mark.parametrize("suffix", [".json", ".a2f.json", ".azure.json", ".unreal.json", ".rhubarb.json", ".csv",
                                    ".wide.csv", ".unreal.csv", ".a2f.csv", ".npz", ".flame.npz", ".glb", ".gltf",
                                    ".anim", ".atom", ".tsv", ".xml", ".dat", ".srt", ".vtt"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damaged_files_never_break_a_reader(suffix: str, data: st.DataObject) -> None:
    """Cut, overwritten and repeated bytes give curves or one of our errors, nothing else."""
    whole = bytearray(DAMAGED.setdefault(suffix, bytes_of(suffix, sample(suffix, 4))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        piece = data.draw(st.sampled_from(PIECES))
        whole[at : at + data.draw(st.integers(0, 6))] = piece
        if not whole:
            break
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole))) :]
    with contextlib.suppress(FacerigError):
        assert isinstance(READERS[Path(f"x{suffix}").suffix](bytes(whole), f"x{suffix}"), Curves)


DAMAGED: dict[str, bytes] = {}
PIECES = (b"", b"\0", b"\xff\xff", b"-", b"9" * 12, b"null", b"[]", b"{}", b'"', b"\n")


def test_an_archive_that_claims_too_much_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("values.npy", b"x")
    claims = stream.getvalue().replace((1).to_bytes(4, "little") * 2, (1).to_bytes(4, "little") + b"\xf0\xff\xff\xff")
    with pytest.raises(CurvesError, match="unpacks to"):
        READERS[".npz"](claims, "x.npz")
