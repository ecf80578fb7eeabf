"""Rig tables against the lists they state: counts, order, mirrors, ranges; and what identify and errors say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.errors import RigError
from facerig.rig import KINDS, REGIONS, Channel, Rig, identify, nearest, read_rig, rig, rig_names

COUNTS = {
    "arkit": 52, "arkit-pascal": 52, "a2f": 52, "a2f68": 68, "facerig": 68, "facerig-full": 71, "livelink": 61,
    "livelink-csv": 61, "metahuman-2022": 250, "metahuman": 251, "flame": 117, "flame50": 67, "vrm": 18,
    "vrm-perfect-sync": 52, "oculus": 15, "azure-visemes": 22, "azure": 55, "meta": 70, "sranipal": 51, "rocketbox": 67,
    "muzzle": 13, "jaw": 1,
}
UDP_TEXT = """
0 EyeBlinkLeft 1 EyeLookDownLeft 2 EyeLookInLeft 3 EyeLookOutLeft 4 EyeLookUpLeft 5 EyeSquintLeft 6 EyeWideLeft
7 EyeBlinkRight 8 EyeLookDownRight 9 EyeLookInRight 10 EyeLookOutRight 11 EyeLookUpRight 12 EyeSquintRight
13 EyeWideRight 14 JawForward 15 JawLeft 16 JawRight 17 JawOpen 18 MouthClose 19 MouthFunnel 20 MouthPucker
21 MouthLeft 22 MouthRight 23 MouthSmileLeft 24 MouthSmileRight 25 MouthFrownLeft 26 MouthFrownRight
27 MouthDimpleLeft 28 MouthDimpleRight 29 MouthStretchLeft 30 MouthStretchRight 31 MouthRollLower 32 MouthRollUpper
33 MouthShrugLower 34 MouthShrugUpper 35 MouthPressLeft 36 MouthPressRight 37 MouthLowerDownLeft
38 MouthLowerDownRight 39 MouthUpperUpLeft 40 MouthUpperUpRight 41 BrowDownLeft 42 BrowDownRight 43 BrowInnerUp
44 BrowOuterUpLeft 45 BrowOuterUpRight 46 CheekPuff 47 CheekSquintLeft 48 CheekSquintRight 49 NoseSneerLeft
50 NoseSneerRight 51 TongueOut 52 HeadYaw 53 HeadPitch 54 HeadRoll 55 LeftEyeYaw 56 LeftEyePitch 57 LeftEyeRoll
58 RightEyeYaw 59 RightEyePitch 60 RightEyeRoll
"""
UDP_ORDER = UDP_TEXT.split()
TONGUE_TEXT = """tongueTipUp tongueTipDown tongueTipLeft tongueTipRight tongueRollUp tongueRollDown tongueRollLeft
tongueRollRight tongueUp tongueDown tongueLeft tongueRight tongueIn tongueStretch tongueWide tongueNarrow"""
TONGUE = TONGUE_TEXT.split()
OCULUS_TEXT = "sil PP FF TH DD kk CH SS nn RR aa E ih oh ou"
VRM_TEXT = """happy angry sad relaxed surprised aa ih ou ee oh blink blinkLeft blinkRight lookUp lookDown lookLeft
lookRight neutral"""
# Places that are stated one by one, of rigs whose whole order is not in the lists above.
ANCHORS = [
    ("meta", 0, "BROW_LOWERER_L"), ("meta", 1, "BROW_LOWERER_R"), ("meta", 22, "INNER_BROW_RAISER_L"),
    ("meta", 24, "JAW_DROP"), ("meta", 27, "JAW_THRUST"), ("meta", 34, "LIP_FUNNELER_LB"),
    ("meta", 37, "LIP_FUNNELER_RT"), ("meta", 44, "LIP_SUCK_LB"),
    ("meta", 47, "LIP_SUCK_RT"),
    ("meta", 50, "LIPS_TOWARD"),
    ("meta", 53, "MOUTH_LEFT"), ("meta", 54, "MOUTH_RIGHT"), ("meta", 61, "UPPER_LIP_RAISER_L"),
    ("meta", 62, "UPPER_LIP_RAISER_R"), ("meta", 63, "TONGUE_TIP_INTERDENTAL"), ("meta", 68, "TONGUE_OUT"),
    ("meta", 69, "TONGUE_RETREAT"), ("sranipal", 0, "JAW_RIGHT"), ("sranipal", 1, "JAW_LEFT"),
    ("sranipal", 2, "JAW_FORWARD"), ("sranipal", 3, "JAW_OPEN"), ("sranipal", 4, "MOUTH_APE_SHAPE"),
    ("sranipal", 36, "TONGUE_DOWNLEFT_MORPH"), ("sranipal", 37, "EYE_LEFT_BLINK"), ("sranipal", 50, "EYE_RIGHT_UP"),
    ("rocketbox", 0, "AK_01_BrowDownLeft"), ("rocketbox", 8, "AK_09_EyeBlinkLeft"),
    ("rocketbox", 9, "AK_10_EyeBlinkRight"),
    ("rocketbox", 24, "AK_25_JawOpen"), ("rocketbox", 25, "AK_26_JawRight"), ("rocketbox", 26, "AK_27_MouthClose"),
    ("rocketbox", 43, "AK_44_MouthSmileLeft"), ("rocketbox", 44, "AK_45_MouthSmileRight"),
    ("rocketbox", 51, "AK_52_TongueOut"),
    ("rocketbox", 52, "AA_VI_00_Sil"), ("rocketbox", 57, "AA_VI_05_KK"), ("rocketbox", 66, "AA_VI_14_U"),
    ("azure", 51, "tongueOut"), ("azure", 52, "headRoll"), ("azure", 53, "leftEyeRoll"), ("azure", 54, "rightEyeRoll"),
    ("flame", 99, "expression099"), ("flame", 100, "global_x"), ("flame", 103, "neck_x"), ("flame", 106, "jaw_x"),
    ("flame", 109, "leye_x"), ("flame", 112, "reye_x"), ("flame", 115, "eyelidLeft"), ("flame50", 50, "global_x"),
]
MIRRORS = [
    ("arkit", "eyeLookInLeft", "eyeLookInRight"), ("arkit", "jawLeft", "jawRight"), ("arkit", "jawOpen", "jawOpen"),
    ("arkit", "tongueOut", "tongueOut"), ("facerig", "tongueTipLeft", "tongueTipRight"),
    ("livelink", "LeftEyeYaw", "RightEyeYaw"), ("livelink", "MouthLeft", "MouthRight"),
    ("metahuman", "CTRL_expressions_eyeLookLeftL", "CTRL_expressions_eyeLookRightR"),
    ("metahuman", "CTRL_expressions_eyeLookUpL", "CTRL_expressions_eyeLookUpR"),
    ("metahuman", "CTRL_expressions_mouthLipsTogetherUL", "CTRL_expressions_mouthLipsTogetherUR"),
    ("metahuman", "CTRL_expressions_tongueTwistLeft", "CTRL_expressions_tongueTwistRight"),
    ("metahuman", "CTRL_expressions_jawOpen", "CTRL_expressions_jawOpen"),
    ("metahuman-2022", "CTRL_expressions_headTurnLeftCor", "CTRL_expressions_headTurnRightCor"),
    ("meta", "EYES_LOOK_LEFT_L", "EYES_LOOK_RIGHT_R"), ("meta", "LIP_FUNNELER_LT", "LIP_FUNNELER_RT"),
    ("meta", "JAW_SIDEWAYS_LEFT", "JAW_SIDEWAYS_RIGHT"), ("sranipal", "EYE_LEFT_IN", "EYE_RIGHT_IN"),
    ("sranipal", "MOUTH_UPPER_UPLEFT", "MOUTH_UPPER_UPRIGHT"), ("rocketbox", "AK_25_JawOpen", "AK_25_JawOpen"),
    ("rocketbox", "AK_26_JawRight", "AK_24_JawLeft"), ("rocketbox", "AK_44_MouthSmileLeft", "AK_45_MouthSmileRight"),
    ("vrm", "lookLeft", "lookRight"), ("muzzle", "earLeft", "earRight"),
]


def lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def test_every_rig_has_its_stated_count() -> None:
    assert {name: len(rig(name)) for name in rig_names()} == COUNTS


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_table_laws(name: str) -> None:
    found = rig(name)
    assert found.name == name
    assert found.title != name, "the table needs a title"
    assert len(set(found.names)) == len(found)
    for place, channel in enumerate(found.channels):
        assert found.index(channel.name) == place
        assert found.channel(channel.mirror).mirror == channel.name
        assert channel.kind in KINDS
        assert channel.region in REGIONS
        opposite = found.channel(channel.mirror)
        assert (channel.low, channel.high, channel.kind, channel.region) == (
            opposite.low, opposite.high, opposite.kind, opposite.region)
    assert (found.low < found.high).all()
    assert found.low.dtype == found.high.dtype == np.float32
    assert (found.mirrored()[found.mirrored()] == np.arange(len(found))).all()


def test_live_link_udp_order() -> None:
    assert rig("livelink").names == tuple(UDP_ORDER[1::2])
    assert [int(number) for number in UDP_ORDER[::2]] == list(range(61))


def test_live_link_csv_order_differs_by_two_swaps() -> None:
    udp, csv = rig("livelink").names, rig("livelink-csv").names
    assert [name for name, other in zip(udp, csv, strict=True) if name != other] == [
        "JawLeft", "JawRight", "MouthLeft", "MouthRight"]
    assert csv.index("JawRight") + 1 == csv.index("JawLeft")
    assert csv.index("MouthRight") + 1 == csv.index("MouthLeft")


def test_arkit_family() -> None:
    pascal = rig("livelink").names[:52]
    camel = tuple(name[0].lower() + name[1:] for name in pascal)
    assert rig("arkit").names == rig("vrm-perfect-sync").names == camel
    assert rig("arkit-pascal").names == rig("a2f").names == pascal
    assert rig("facerig").names == (*camel, *TONGUE)
    assert rig("a2f68").names == (*pascal, *(name[0].upper() + name[1:] for name in TONGUE))
    assert rig("facerig-full").names == (*camel, *TONGUE, "headYaw", "headPitch", "headRoll")
    assert rig("azure").names[:52] == camel
    assert tuple(name.split("_", 2)[2] for name in rig("rocketbox").names[:52]) == tuple(sorted(pascal))


def test_arkit_is_the_validators_list(validators: Path) -> None:
    assert rig("arkit").names == tuple(lines(validators / "arkit52_camel.txt"))
    assert rig("arkit-pascal").names == tuple(lines(validators / "arkit52_pascal.txt"))


@pytest.mark.parametrize(("name", "file"), [("metahuman-2022", "metahuman_controls_2022.txt"),
                                            ("metahuman", "metahuman_controls_ue58.txt")])
def test_metahuman_is_the_reference_list(reference: Path, name: str, file: str) -> None:
    assert rig(name).names == tuple(lines(reference / file))


def test_metahuman_lists_differ_as_stated() -> None:
    def short(name: str) -> set[str]:
        return {channel.removeprefix("CTRL_expressions_") for channel in rig(name).names}

    new, gone = short("metahuman") - short("metahuman-2022"), short("metahuman-2022") - short("metahuman")
    quarters = {f"mouthLips{kind}Inward{where}" for kind in ("Thick", "Thin") for where in ("UL", "UR", "DL", "DR")}
    assert new == quarters | {"tongueBendDown", "tongueBendUp", "tongueRoll", "tongueThick", "tongueThin",
                              "tongueTwistLeft", "tongueTwistRight"}
    assert sum(name.startswith("head") and name.endswith("Cor") for name in gone) == 10
    assert {name for name in gone if name.startswith("tongue")} == {f"tongueRoll{way}" for way in
                                                                    ("Up", "Down", "Left", "Right")}
    assert len(gone) == 14


def test_viseme_sets() -> None:
    assert rig("oculus").names == tuple(OCULUS_TEXT.split())
    assert rig("azure-visemes").names == tuple(f"viseme{number:02d}" for number in range(22))
    assert set(rig("vrm").names) == set(VRM_TEXT.split())


@pytest.mark.parametrize(("name", "place", "channel"), ANCHORS)
def test_stated_places(name: str, place: int, channel: str) -> None:
    assert rig(name).names[place] == channel


@pytest.mark.parametrize(("name", "channel", "mirror"), MIRRORS)
def test_stated_mirrors(name: str, channel: str, mirror: str) -> None:
    assert rig(name).channel(channel).mirror == mirror


def test_one_sided_names_are_not_their_own_mirror() -> None:
    for name in ("arkit", "facerig", "livelink", "meta", "sranipal", "rocketbox", "muzzle"):
        lonely = [c.name for c in rig(name).channels if c.mirror == c.name and ("left" in c.name.lower()
                  or "right" in c.name.lower())]
        assert not lonely, name


def test_regions_cover_a_speaking_face() -> None:
    found = rig("facerig")
    assert found.region("tongue") == ("tongueOut", *TONGUE)
    assert found.region("jaw") == ("jawForward", "jawLeft", "jawRight", "jawOpen")
    assert found.region("lids") == tuple(f"eye{what}{side}" for side in ("Left", "Right")
                                         for what in ("Blink", "Squint", "Wide"))
    assert len(found.region("gaze")) == 8
    assert len(found.region("lips")) == 23
    assert not found.region("other")


def test_a_mirrored_face_swaps_sides_and_back() -> None:
    found = rig("arkit")
    values = np.random.default_rng(3).random((4, 52), np.float32)
    swapped = values[:, found.mirrored()]
    assert (swapped[:, found.index("mouthSmileLeft")] == values[:, found.index("mouthSmileRight")]).all()
    assert (swapped[:, found.mirrored()] == values).all()


# ---- identify -------------------------------------------------------------------------------------------------

SAME_NAMES = {"a2f": "arkit-pascal", "vrm-perfect-sync": "arkit"}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_identify_knows_its_own(name: str) -> None:
    found = identify(rig(name).names)
    assert found is not None
    assert found.name == SAME_NAMES.get(name, name)


def test_identify_goes_by_the_better_order() -> None:
    names = list(rig("livelink-csv").names)
    names[0], names[1] = names[1], names[0]
    assert identify(names) is rig("livelink-csv")


@settings(deadline=None, max_examples=20)
@given(st.permutations(rig("arkit").names))
def test_identify_in_any_order(names: list[str]) -> None:
    assert identify(names) is rig("arkit")


@pytest.mark.parametrize("names", [(), ("jawOpen",), ("jawOpen", "jawOpen"), rig("arkit").names[:51],
                                   (*rig("arkit").names, "extra"), (*rig("arkit").names[:51], "jawOpen"),
                                   ("jaw", "jaw")])
def test_identify_refuses_what_is_no_rig(names: tuple[str, ...]) -> None:
    assert identify(names) is None


# ---- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "hint"), [("Arkit", "arkit"), ("live-link", "livelink"), ("metahumans", "metahuman"),
                                             ("../rigs/arkit", "arkit"), ("", "there are"), ("zzz", "there are")])
def test_unknown_rig_names_the_nearest(asked: str, hint: str) -> None:
    with pytest.raises(RigError, match=hint):
        rig(asked)


def test_unknown_channel_names_the_nearest() -> None:
    with pytest.raises(RigError, match=r"did you mean .*jawOpen"):
        rig("arkit").index("JawOpn")


def test_nearest_lists_a_few_where_nothing_is_near() -> None:
    assert nearest("qqqq", rig("arkit").names).endswith("(52 in all)")
    assert nearest("q", ("alpha", "beta")) == "there are alpha, beta"


HEADER = "name,low,high,kind,mirror,region\n"
BAD_TABLES = [
    ("", "no header"),
    ("# title: x\n", "no header"),
    ("jaw,0,1,weight,jaw,jaw\n", "no header"),
    ("name;low;high\n", "no header"),
    (HEADER + "jaw,0,1\n", "line 2: got 3 cells"),
    (HEADER + "jaw,zero,1,weight,jaw,jaw\n", "line 2: the range of 'jaw'"),
    (HEADER + "jaw,1,0,weight,jaw,jaw\n", "line 2: .*low must be below high"),
    (HEADER + "jaw,nan,1,weight,jaw,jaw\n", "line 2: .*low must be below high"),
    (HEADER + "jaw,0,1,wight,jaw,jaw\n", "line 2: .*kind 'wight'; accepted: weight"),
    (HEADER + "jaw,0,1,weight,jaw,chin\n", "line 2: .*region 'chin'; accepted: lids"),
    (HEADER + "jaw,0,1,weight,jaw,jaw\njaw,0,1,weight,jaw,jaw\n", "'jaw' stands twice"),
    (HEADER + "jaw,0,1,weight,jow,jaw\n", "mirror of 'jaw' is 'jow'"),
    (HEADER + "a,0,1,weight,b,jaw\nb,0,1,weight,b,jaw\n", "mirror of 'a' is 'b'"),
    (HEADER + ",0,1,weight,,jaw\n", "line 2: .*name"),
    (HEADER, "no channels"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TABLES)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(RigError, match=message) as caught:
        read_rig(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00" * 100])
def test_a_table_that_is_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(RigError, match="mine"):
        read_rig(path)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="cannot be read"):
        read_rig(tmp_path / "none.csv")
    with pytest.raises(RigError, match="cannot be read"):
        read_rig(tmp_path)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "fox.csv"
    path.write_text("# title: A fox\n" + HEADER + "jaw, 0, 1, weight, , jaw\nearL,-1,1,weight,earR,other\n\n"
                    "earR,-1,1,weight,earL,other,a note\n", encoding="utf-8-sig")
    found = read_rig(path)
    assert (found.name, found.title, found.names) == ("fox", "A fox", ("jaw", "earL", "earR"))
    assert found.channel("earL").signed
    assert not found.channel("jaw").signed


def test_rigs_are_equal_by_content() -> None:
    assert Rig("a", "t", (Channel("x"),)) == Rig("a", "t", (Channel("x"),))
    assert Rig("a", "t", (Channel("x"),)) != Rig("a", "t", (Channel("x", -1.0),))
    assert "x" in Rig("a", "t", (Channel("x"),))
