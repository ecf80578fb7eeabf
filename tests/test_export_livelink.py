"""Live Link Face CSV: Unreal's rules by an independent reader, real recordings read, clocks, names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_samples import ANGLES, ARKIT, take

import exporters
from exporters import ExportOptions
from exporters.livelink_csv import file_name, timecode
from exporters.timing import guess_rate, on_grid
from facerig.curves import Curves
from facerig.errors import CurvesError, OptionError
from facerig.files import write_file
from facerig.rig import rig


def judged(path: Path, validators: Path) -> list[str]:
    """Errors and warnings of the independent reader."""
    done = subprocess.run([sys.executable, str(validators / "v_llf_csv.py"), str(path)], capture_output=True, text=True)
    assert "rows" in done.stdout, done.stderr
    return [line.strip() for line in done.stdout.splitlines() if line.startswith(("  E", "  W"))]


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60, 120])
def test_the_independent_reader_finds_nothing(tmp_path: Path, validators: Path, fps: int) -> None:
    for rig_name in ("arkit", "facerig", "livelink", "livelink-csv"):
        curves = take(2 * fps, fps, rig(rig_name).names, start=36_000 * fps + 11)
        path = write_file(tmp_path / f"{rig_name}_1_me_cal.csv", exporters.export(curves, "csv"))
        assert judged(path, validators) == []


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60, 120])
def test_values_and_clock_come_back(fps: int) -> None:
    curves = take(3 * fps, fps, rig("livelink-csv").names, start=7 * fps)
    read = exporters.READERS[".csv"](exporters.export(curves, "csv"), "x.csv")
    assert (read.channels, read.fps, read.start) == (curves.channels, fps, curves.start)
    inside = curves.values.clip(*(np.array([c.low for c in rig("livelink-csv").channels]), 1))
    assert np.abs(read.values - inside).max() < 1e-6


def test_the_app_writes_this_form() -> None:
    lines = exporters.export(take(3, start=5), "csv").decode().split("\n")
    assert lines[0].startswith("Timecode,BlendshapeCount,EyeBlinkLeft,")
    assert lines[0].endswith(",RightEyeRoll")
    assert lines[0].index("JawRight") < lines[0].index("JawLeft")
    assert lines[0].index("MouthRight") < lines[0].index(
        "MouthLeft")
    cells = lines[1].split(",")
    assert cells[:2] == ["00:00:00:05.000", "61"]
    assert len(cells) == 63
    assert len(cells[2].split(".")[1]) == 10
    assert lines[-1] == ""
    assert len(lines) == 5


@pytest.mark.parametrize(("frame", "fps", "text"), [
    (0, 60, "00:00:00:00.000"), (59, 60, "00:00:00:59.000"), (60, 60, "00:00:01:00.000"), (1, 30, "00:00:00:02.000"),
    (1, 24, "00:00:00:02.500"), (1, 25, "00:00:00:02.400"), (1, 120, "00:00:00:00.500"), (1, 7, "00:00:00:08.571"),
    (3600 * 60 * 25, 60, "25:00:00:00.000"), (6, 7, "00:00:00:51.429"), (7 * 10**6 + 1, 7, "277:46:40:08.571"),
])
def test_timecodes_count_sixtieths_at_any_rate(frame: int, fps: int, text: str) -> None:
    assert timecode(frame, fps) == text


def test_raw_values_leave_the_range_only_on_request() -> None:
    wild = take(3).with_values(np.full((3, 52), 1.25))
    read = exporters.READERS[".csv"]
    assert read(exporters.export(wild, "csv"), "x.csv")["JawOpen"].max() == 1
    raw = exporters.export(wild, "csv", options=ExportOptions(calibrated=False))
    assert read(raw, "x.csv")["JawOpen"].max() == 1.25


def test_a_day_is_left_off_and_a_negative_start_refused() -> None:
    day = exporters.export(take(2, start=25 * 3600 * 60), "csv").decode()
    assert "\n01:00:00:00.000," in day
    midnight = exporters.export(take(2, start=24 * 3600 * 60 - 1), "csv").decode()
    assert "\n23:59:59:59.000," in midnight
    assert "\n24:00:00:00.000," in midnight
    with pytest.raises(CurvesError, match="negative"):
        exporters.export(take(2, start=-1), "csv")


def test_file_names_follow_unreals_rule() -> None:
    assert file_name("Slate", 3, "Ann") == "Slate_3_Ann_cal.csv"
    assert file_name("My-Slate", 0, "iPhone", calibrated=False) == "My-Slate_0_iPhone_raw.csv"
    for slate, number, subject in (("a_b", 1, "x"), ("a", 1, "x y"), ("", 1, "x"), ("a", -1, "x")):
        with pytest.raises(OptionError):
            file_name(slate, number, subject)


# ---- other people's files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "fps", "seconds"), [("MySlate_3_Jason_Millers_iPhone.csv", 60, 5.5),
                                                      ("alex_rom_3.csv", 0, 0), ("alex_rom_4.csv", 0, 0)])
def test_real_recordings_are_read(shared_data: Path, name: str, fps: int, seconds: float) -> None:
    read = exporters.read(shared_data / "captures" / name)
    assert read.channels == rig("livelink-csv").names
    assert not fps or (read.fps == fps and read.seconds == pytest.approx(seconds, abs=0.1))
    lines = (shared_data / "captures" / name).read_text().strip().splitlines()
    first = [float(cell) for cell in lines[1].split(",")[2:]]
    assert np.allclose(read.values[0], first, atol=1e-6)
    assert read.frames >= len(lines) - 1


def neurosync(rows: int) -> bytes:
    """Milliseconds in the place of the frame's decimals, CRLF, seven further columns."""
    names = (*rig("livelink-csv").names, "Angry", "Disgusted", "Fearful", "Happy", "Neutral", "Sad", "Surprised")
    text = ["Timecode,BlendshapeCount," + ",".join(names)]
    for row in range(rows):
        frame, thousandths = divmod(row * 1000 // 60, 1000)
        text.append(f"00:00:{frame:02d}:{row % 60:02d}.{thousandths:03d},61," + ",".join(["0.5"] * len(names)))
    return ("\r\n".join(text) + "\r\n").encode()


def test_a_careless_writers_file_is_read_frame_by_frame() -> None:
    read = exporters.READERS[".csv"](neurosync(180), "x.csv")
    assert (read.fps, read.frames, len(read.channels)) == (60, 180, 68)


def test_dropped_frames_are_filled() -> None:
    times = [0, 1 / 60, 2 / 60, 5 / 60, *(n / 60 for n in range(6, 60))]
    read = on_grid("x", ("a",), times, np.arange(len(times), dtype=float)[:, None])
    assert read.fps == 60
    assert read.frames == 60
    assert read["a"][2:6].tolist() == pytest.approx([2, 7 / 3, 8 / 3, 3])


@pytest.mark.parametrize("fps", [1, 12, 24, 25, 30, 48, 50, 60, 90, 120, 240])
def test_rates_are_guessed_from_instants(fps: int) -> None:
    assert guess_rate(np.round(np.arange(200) / fps, 6)) == fps


def test_time_that_goes_back_is_refused() -> None:
    with pytest.raises(CurvesError, match="goes back after row 2"):
        on_grid("x.csv", ("a",), [0, 1, 0.5], [[0], [0], [0]])


@pytest.mark.parametrize(("text", "said"), [
    ("Timecode,BlendshapeCount,A\n00:00:00:00.000,1\n", "row 2 has 2 cells"),
    ("Timecode,BlendshapeCount,A\n00:00:00,1,0.5\n", "timecode"),
    ("Timecode,BlendshapeCount,A\n00:00:00:00.000,1,x\n", "x"),
    ("Timecode,BlendshapeCount,A\n00:00:00:00.000,1,nan\n", "nan"),
    ("Timecode,BlendshapeCount,A,A\n00:00:00:00.000,2,0,0\n", "twice"),
    ("Frame,Value\n1,2\n", "accepted: Live Link Face"),
])
def test_broken_rows_are_named(text: str, said: str) -> None:
    with pytest.raises(CurvesError, match=said):
        exporters.READERS[".csv"](text.encode(), "x.csv")


def test_angles_pass_through_untouched() -> None:
    channels = rig("livelink").names
    signed = Curves(channels, 60, np.linspace(-0.9, 0.9, 2 * 61).reshape(2, 61))
    read = exporters.READERS[".csv"](exporters.export(signed, "csv"), "x.csv")
    for name in channels[52:]:
        assert np.abs(read[name] - signed[name]).max() < 1e-6
    assert set(ANGLES) == {name[0].lower() + name[1:] for name in channels[52:]}
    assert len(ARKIT) == 52
