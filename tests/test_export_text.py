"""Maya's text, mouth cues and subtitles: their syntax, their meaning, and back."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from export_samples import take

import exporters
from exporters import READERS, ExportOptions
from exporters.cues import FROM_BLAIR, FROM_RHUBARB, MOUTHS
from exporters.speech import visemes
from facerig.curves import Curves, Mark
from facerig.errors import CurvesError
from facerig.phones import VISEMES15
from facerig.rig import rig

SPOKEN = (Mark(0, 12, "phone", "sil"), Mark(12, 18, "phone", "m"), Mark(18, 36, "phone", "a"),
          Mark(36, 42, "phone", "f"), Mark(42, 60, "phone", "u"), Mark(60, 66, "phone", "p"),
          Mark(66, 90, "phone", "sil"))
SHOWN = ("sil", "PP", "aa", "FF", "ou", "PP", "sil")


def spoken(marks: tuple[Mark, ...] = SPOKEN) -> Curves:
    return take(90, marks=marks)


# ---- Maya -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "unit"), [(24, "film"), (25, "pal"), (30, "ntsc"), (48, "show"), (50, "palf"),
                                           (60, "ntscf"), (120, "120fps")])
def test_maya_names_the_time_unit(fps: int, unit: str) -> None:
    text = exporters.export(take(5, fps, start=3), "anim", options=ExportOptions(node="face_BS")).decode()
    assert f"timeUnit {unit};\n" in text
    assert "startTime 3;\nendTime 7;\n" in text
    assert text.startswith("animVersion 1.1;")
    assert "anim jawOpen jawOpen face_BS 0 0 17;" in text
    assert text.count("{") == text.count("}") == 2 * 52


def test_maya_refuses_what_it_cannot_name() -> None:
    with pytest.raises(CurvesError, match="7 frames a second"):
        exporters.export(take(5, 7), "anim")
    with pytest.raises(CurvesError, match="letters, digits and _"):
        exporters.export(take(5, channels=("a b",)), "atom")


@pytest.mark.parametrize("suffix", ["anim", "atom"])
def test_maya_keys_are_cubic_with_their_tangents(suffix: str) -> None:
    curves = take(120)
    text = exporters.export(curves, suffix, options=ExportOptions(keys=0.02)).decode()
    keys = re.findall(r"^\s+(\d+) (\S+) fixed fixed 1 1 0 (\S+) 1 (\S+) 1;$", text, re.MULTILINE)
    assert 0 < len(keys) < 120 * 52 / 3
    assert all(incoming == outgoing for _, _, incoming, outgoing in keys)
    read = READERS[f".{suffix}"](text.encode(), f"x.{suffix}")
    assert np.abs(read.select(curves.channels).values - curves.values).max() <= 0.02


def test_a_tangents_angle_is_that_of_the_slope_a_second() -> None:
    ramp = Curves(("a",), 60, np.linspace(0, 1, 61)[:, None])  # rises by 1 a second: 45 degrees
    text = exporters.export(ramp, "anim", options=ExportOptions(keys=0.02)).decode()
    angles = [float(angle) for angle in re.findall(r"1 1 0 (\S+) 1", text)]
    assert angles == pytest.approx([45.0] * len(angles), abs=0.5)


def test_a_maya_file_of_somebody_else_is_read() -> None:
    text = """animVersion 1.1;
mayaVersion 2024;
timeUnit film;
linearUnit cm;
angularUnit deg;
startTime 0;
endTime 10;
anim weight.jawOpen jawOpen blendShape1 0 0 0;
animData {
  input time;
  output unitless;
  weighted 0;
  preInfinity constant;
  postInfinity constant;
  keys {
    0 0 fixed linear 1 1 0 0 1;
    4 1 linear fixed 1 1 0 0 1;
    10 0 fixed auto 1 1 0 0 1;
  }
}
"""
    read = READERS[".anim"](text.encode(), "x.anim")
    assert (read.channels, read.fps, read.start, read.frames) == (("jawOpen",), 24, 0, 11)
    assert read["jawOpen"][:5].tolist() == [0, 0.25, 0.5, 0.75, 1]
    smooth = read["jawOpen"][4:]
    assert smooth[3] == pytest.approx(0.5)
    assert np.all(np.diff(smooth) < 0)
    assert smooth[1] > 1 - 1 / 6
    assert math.isclose(smooth[-1], 0)


def maya_of(keys: str, unit: str = "ntsc") -> bytes:
    return (f"animVersion 1.1;\ntimeUnit {unit};\nanim jawOpen jawOpen blendShape1 0 0 0;\nanimData {{\n  input time;\n"
            f"  keys {{\n{keys}  }}\n}}\n").encode()


@pytest.mark.parametrize(("keys", "said"), [
    ("0 0 linear step 1 1 0;\n 3 1 linear step 1 1 0;\n 6 0.5 linear step 1 1 0;\n", [0, 0, 0, 1, 1, 1, 0.5]),
    ("0 0 linear stepnext 1 1 0;\n 3 1 linear linear 1 1 0;\n", [0, 1, 1, 1]),
    ("0 0 flat flat 1 1 0;\n 4 1 flat flat 1 1 0;\n", [0, 0.15625, 0.5, 0.84375, 1]),
    ("0 0 linear linear 1 1 0;\n 4 1 linear linear 1 1 0;\n", [0, 0.25, 0.5, 0.75, 1]),
])
def test_mayas_tangents_step_and_rest(keys: str, said: list[float]) -> None:
    assert READERS[".anim"](maya_of(keys), "x.anim")["jawOpen"].tolist() == pytest.approx(said)


def test_tangents_that_only_maya_knows_are_named(caplog: pytest.LogCaptureFixture) -> None:
    READERS[".anim"](maya_of("0 0 flat step 1 1 0;\n 4 1 fixed linear 1 1 0 0 1;\n"), "x.anim")
    assert caplog.text == ""
    READERS[".anim"](maya_of("0 0 spline auto 1 1 0;\n 4 1 flat flat 1 1 0;\n"), "x.anim")
    assert "x.anim: tangents of the kind auto, spline are read as straight lines" in caplog.text


@pytest.mark.parametrize("unit", ["23.976fps", "29.97df", "59.94fps"])
def test_a_broken_rate_of_maya_is_named_and_can_be_replaced(unit: str) -> None:
    data = maya_of("0 0 flat flat 1 1 0;\n 4 1 flat flat 1 1 0;\n", unit)
    with pytest.raises(CurvesError, match=f"time unit '{unit}', accepted: film.*--read-fps"):
        READERS[".anim"](data, "x.anim")
    read = READERS[".anim"](data, "x.anim", 24)
    assert (read.fps, read.frames) == (24, 5)


@pytest.mark.parametrize(("text", "said"), [
    ("animVersion 1.1;", "not a Maya"), ("animVersion 1.1;\ntimeUnit weeks;", "time unit 'weeks'"),
    ("animVersion 1.1;\ntimeUnit film;", "no animation curves"),
    ("animVersion 1.1;\ntimeUnit film;\nanim a a b 0 0 0;\nanimData { keys { } }", "no keys"),
    ("animVersion 1.1;\ntimeUnit film;\nanim a a b 0 0 0;\nanimData { keys { 1 x linear linear 1 1 0; } }", "key '1 x"),
])
def test_broken_maya_files_are_refused(text: str, said: str) -> None:
    with pytest.raises(CurvesError, match=said):
        READERS[".anim"](text.encode(), "x.anim")


@pytest.mark.parametrize("suffix", [".anim", ".atom"])
def test_a_maya_file_that_is_cut_short_is_refused(suffix: str) -> None:
    """Wherever it ends; between two curves an .anim looks whole, and only the format could say more."""
    data = exporters.export(take(5, 30), suffix)
    whole = READERS[suffix](data, f"x{suffix}")
    assert READERS[suffix](data + b"\n// made {by hand\n", f"x{suffix}").channels == whole.channels
    first = data.index(b"animData")
    second = data.index(b"animData", first + 1)
    between = {end for end in range(first, second) if suffix == ".anim" and data[:end].rstrip().endswith(b"}\n}")}
    assert len(between) == (2 if suffix == ".anim" else 0)  # before and after the end of the line
    for end in {*range(first, second), len(data) * 2 // 3, len(data) - 2} - between:
        with pytest.raises(CurvesError, match=rf"x{suffix}: is cut short: .*, accepted: a whole file.*export it again"):
            READERS[suffix](data[:end], f"x{suffix}")


def test_a_node_of_maya_without_curves_may_be_the_last() -> None:
    data = maya_of("0 0 flat flat 1 1 0;\n 4 1 flat flat 1 1 0;\n") + b"anim persp 0 1 0;\n"
    assert READERS[".anim"](data, "x.anim").channels == ("jawOpen",)


# ---- mouth cues -----------------------------------------------------------------------------------------------------


def test_every_viseme_has_its_mouths() -> None:
    assert tuple(viseme for viseme, _, _ in MOUTHS) == VISEMES15
    assert {blair for _, blair, _ in MOUTHS} <= set(FROM_BLAIR)
    assert {r for _, _, r in MOUTHS} <= set(FROM_RHUBARB)
    assert set(FROM_RHUBARB) == set("ABCDEFGHX")


@pytest.mark.parametrize("labels", [("m", "a", "f", "u", "p"), ("M", "AA1", "F", "UW0", "P")])
def test_phones_become_visemes(labels: tuple[str, ...]) -> None:
    names = iter(labels)
    marks = tuple(m if m.label == "sil" else Mark(m.start, m.end, "phone", next(names)) for m in SPOKEN)
    assert tuple(cue.viseme for cue in visemes(spoken(marks))) == SHOWN


def test_poses_become_visemes_without_phones() -> None:
    steps = np.repeat(np.eye(15, dtype=np.float32), 12, axis=0)
    oculus = Curves(VISEMES15, 60, steps)
    assert tuple(cue.viseme for cue in visemes(oculus)) == VISEMES15
    seen = exporters.rigs.to_rig(oculus, "arkit")
    shown = [cue.viseme for cue in visemes(seen)]
    right = sum(cue.last - cue.first for cue in visemes(seen)
                if VISEMES15.index(cue.viseme) == (cue.first + cue.last) // 2 // 12)
    assert right >= 0.6 * len(steps)
    assert {"sil", "PP", "FF", "aa", "ou"} <= set(shown)
    with pytest.raises(CurvesError, match="no phones"):
        visemes(take(10, channels=("foo", "bar")))


def test_moho_track() -> None:
    lines = exporters.export(spoken(), "dat").decode().splitlines()
    assert lines == ["MohoSwitch1", "1 rest", "13 MBP", "19 AI", "37 FV", "43 U", "61 MBP", "67 rest"]
    read = READERS[".dat"]("\n".join(lines).encode(), "x.dat", 60)
    assert read.fps == 60
    assert read["PP"][12:18].all()
    assert read["aa"][18:36].all()
    assert not read["aa"][36:].any()


def test_rhubarb_in_three_forms() -> None:
    tsv = exporters.export(spoken(), "tsv").decode()
    assert tsv.splitlines() == ["0.00\tX", "0.20\tA", "0.30\tD", "0.60\tG", "0.70\tF", "1.00\tA", "1.10\tX", "1.50\tX"]
    xml = exporters.export(spoken(), "xml", options=ExportOptions(name="a & b.wav"))
    root = ElementTree.fromstring(xml)
    assert [cue.text for cue in root.iter("mouthCue")] == list("XADGFAX")
    assert root.findtext("metadata/soundFile") == "a & b.wav"
    assert root.findtext("metadata/duration") == "1.50"
    document = json.loads(exporters.export(spoken(), "rhubarb.json", options=ExportOptions(name='say "hi".wav')))
    assert document["metadata"] == {"soundFile": 'say "hi".wav', "duration": 1.5}
    assert [(cue["start"], cue["value"]) for cue in document["mouthCues"]][:3] == [(0, "X"), (0.2, "A"), (0.3, "D")]
    for suffix, data in ((".tsv", tsv.encode()), (".xml", xml), (".json", json.dumps(document).encode())):
        read = READERS[suffix](data, f"x{suffix}")
        assert read.channels == VISEMES15
        assert read.frames == 90
        again = exporters.export(read, "tsv").decode()
        assert again == tsv


@pytest.mark.parametrize("suffix", ["dat", "tsv", "xml", "rhubarb.json"])
def test_no_cue_stands_before_the_sound(suffix: str) -> None:
    with pytest.raises(CurvesError, match="starts before frame 0; move it first"):
        exporters.export(spoken().moved(-30), suffix)


def test_short_flickers_go_and_short_closures_stay() -> None:
    marks = (Mark(0, 30, "phone", "a"), Mark(30, 31, "phone", "s"), Mark(31, 60, "phone", "a"),
             Mark(60, 61, "phone", "b"), Mark(61, 90, "phone", "a"))
    assert [cue.viseme for cue in visemes(spoken(marks))] == ["aa", "PP", "aa"]


@pytest.mark.parametrize(("suffix", "text"), [
    (".dat", "MohoSwitch1\n1 frown\n5 rest\n"), (".dat", "Moho\n1 rest\n"), (".dat", "MohoSwitch1\nx rest\n"),
    (".tsv", "0.0 X\nnonsense\n"), (".xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><rhubarbResult/>"), (".xml", "<a>"),
    (".xml", "<rhubarbResult/>"), (".json", '{"mouthCues": [{"start": 1, "end": 0, "value": "A"}]}'),
    (".json", '{"mouthCues": [{"start": 0, "end": 1, "value": "Q"}]}'),
])
def test_broken_cues_are_refused(suffix: str, text: str) -> None:
    with pytest.raises(CurvesError, match="x"):
        READERS[suffix](text.encode(), f"x{suffix}")


@pytest.mark.parametrize("suffix", [".dat", ".tsv"])
def test_cues_without_their_end_are_told(suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    lines = exporters.export(spoken(), suffix).splitlines(keepends=True)
    READERS[suffix](b"".join(lines), f"x{suffix}")
    assert caplog.text == ""
    READERS[suffix](b"".join(lines[:4]), f"x{suffix}")
    assert f"x{suffix}: may be cut short: its last mouth is {lines[3].split()[1].decode()}" in caplog.text


# ---- subtitles ------------------------------------------------------------------------------------------------------


def test_words_become_subtitles() -> None:
    curves = spoken((Mark(6, 30, "word", "<mama>"), Mark(30, 3661 * 60, "word", "& päpä")))
    srt, vtt = (exporters.export(curves, suffix).decode() for suffix in ("srt", "vtt"))
    assert srt == "1\n00:00:00,100 --> 00:00:00,500\n<mama>\n\n2\n00:00:00,500 --> 01:01:01,000\n& päpä\n"
    assert vtt.startswith("WEBVTT\n\n00:00:00.100 --> 00:00:00.500\n&lt;mama&gt;\n")
    for suffix, text in ((".srt", srt), (".vtt", vtt)):
        assert READERS[suffix](text.encode(), f"x{suffix}").marks == curves.marks


@pytest.mark.parametrize(("suffix", "settings"), [(".vtt", " align:start position:0%"), (".vtt", "\tline:-1  size:50%"),
                                                  (".srt", "  X1:40 X2:600 Y1:20 Y2:50"), (".vtt", " ")])
def test_settings_of_a_cue_are_not_spoken(suffix: str, settings: str) -> None:
    text = (f"WEBVTT - title\n\nNOTE said\nby nobody\n\none\n00:00:00.500 --> 00:00:01.000{settings}\nmama\n\n"
            f"00:01.000 --> 00:02.000{settings}\r\npapa\nand &amp; all\n\n00:02.000 --> 00:03.000{settings}\n")
    marks = READERS[suffix](text.encode(), f"x{suffix}").marks
    assert [mark.label for mark in marks] == ["mama", "papa\nand & all", ""]


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_subtitles_that_break_off_are_told(suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    said = spoken((Mark(0, 6, "word", "hello"), Mark(30, 60, "word", "you")))
    data = exporters.export(said, suffix)
    remark = b"\nNOTE the end\n" if suffix == ".vtt" else b""
    assert len(READERS[suffix](data + remark, f"x{suffix}").marks) == 2
    assert caplog.text == ""
    for end in (data.rindex(b"you"), data.rindex(b"-->")):
        caplog.clear()
        READERS[suffix](data[:end], f"x{suffix}")
        assert f"x{suffix}: may be cut short: its last subtitle lacks" in caplog.text


def test_phones_stand_in_where_there_are_no_words() -> None:
    assert exporters.export(spoken(), "srt").decode().count("-->") == 5
    with pytest.raises(CurvesError, match="no words or phones"):
        exporters.export(take(10), "vtt")


def test_mouth_cues_come_from_oculus_curves_too() -> None:
    oculus = Curves(rig("oculus").names, 60, np.repeat(np.eye(15, dtype=np.float32)[[0, 10, 1]], 20, axis=0))
    assert exporters.export(oculus, "tsv").decode().split()[1::2] == ["X", "D", "A", "X"]
