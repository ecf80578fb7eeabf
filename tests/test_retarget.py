"""Retargeting: the stated MetaHuman weights, exact renames, ranges, zero and streaming."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retarget_kit import FLAMES, curves, one

from facerig.curves import Curves, Mark, concat
from facerig.files import assets_folder
from facerig.retarget import RetargetMap, Row, retarget, shipped_map
from facerig.rig import identify, rig, rig_names

MAPS = sorted(path.stem for path in (assets_folder() / "maps").glob("*.json"))
METAHUMANS = ("metahuman", "metahuman-2022")
QUARTERS = ("UL", "UR", "DL", "DR")
SIDES = (("Left", "L"), ("Right", "R"))

# ARKit shape -> MetaHuman controls and weights, as the mapping asset has them; {S} a side's word, {s} its letter.
GOLDEN_SIDED = {
    "eyeBlink{S}": {"eyeBlink{s}": 1}, "eyeLookUp{S}": {"eyeLookUp{s}": 1}, "eyeLookDown{S}": {"eyeLookDown{s}": 1},
    "eyeSquint{S}": {"eyeSquintInner{s}": 1}, "eyeWide{S}": {"eyeWiden{s}": 1}, "jaw{S}": {"jaw{S}": 1},
    "mouth{S}": {"mouth{S}": 1}, "mouthSmile{S}": {"mouthCornerPull{s}": 1},
    "mouthFrown{S}": {"mouthCornerDepress{s}": 1}, "mouthDimple{S}": {"mouthDimple{s}": 1},
    "mouthStretch{S}": {"mouthStretch{s}": 1}, "mouthPress{S}": {"mouthPressU{s}": 1, "mouthPressD{s}": 1},
    "mouthLowerDown{S}": {"mouthLowerLipDepress{s}": 1}, "mouthUpperUp{S}": {"mouthUpperLipRaise{s}": 1},
    "browDown{S}": {"browDown{s}": 1}, "browOuterUp{S}": {"browRaiseIn{s}": 1, "browRaiseOuter{s}": 1},
    "cheekSquint{S}": {"eyeCheekRaise{s}": 1}, "noseSneer{S}": {"noseWrinkle{s}": 1},
}
GOLDEN_CENTRAL = {
    "eyeLookInLeft": {"eyeLookRightL": 1}, "eyeLookOutLeft": {"eyeLookLeftL": 1},
    "eyeLookInRight": {"eyeLookLeftR": 1}, "eyeLookOutRight": {"eyeLookRightR": 1},
    "jawForward": {"jawFwd": 0.9986}, "jawOpen": {"jawOpen": 1},
    "mouthFunnel": {f"mouthFunnel{q}": 1 for q in QUARTERS},
    "mouthPucker": {f"{name}{q}": weight for q in QUARTERS for name, weight in
                    (("mouthLipsPurse", 1), ("mouthLipsTowards", 0.4122), ("mouthFunnel", 0.7519))},
    "mouthRollLower": {"mouthLowerLipRollInL": 1, "mouthLowerLipRollInR": 1, "mouthUpperLipRollInL": 0.4988,
                       "mouthUpperLipRollInR": 0.4988},
    "mouthRollUpper": {"mouthUpperLipRollInL": 0.9976, "mouthUpperLipRollInR": 0.9976},
    "mouthShrugLower": {"jawChinRaiseDL": 1, "jawChinRaiseDR": 1},
    "mouthShrugUpper": {"jawChinRaiseUL": 1, "jawChinRaiseUR": 1},
    "browInnerUp": {"browRaiseInL": 1, "browRaiseInR": 1, "browLateralL": 1, "browLateralR": 1},
    "cheekPuff": {f"mouth{what}Blow{s}": 1 for what in ("Cheek", "Lips") for s in "LR"},
    "tongueOut": {"tongueOut": 0.769, "tongueDown": 0.826, "tongueWide": 0.628, "tongueRollDown": 0.247,
                  "tongueRight": 0.07},
    "mouthClose": {},
}


def golden() -> dict[str, dict[str, float]]:
    rows = {name: dict(targets) for name, targets in GOLDEN_CENTRAL.items()}
    for name, targets in GOLDEN_SIDED.items():
        for word, letter in SIDES:
            rows[name.format(S=word)] = {to.format(S=word, s=letter): float(w) for to, w in targets.items()}
    return rows


def nonzero(made: Curves) -> dict[str, float]:
    return {name: float(value) for name, value in zip(made.channels, made.values[0], strict=True) if value != 0}


# ---- MetaHuman ------------------------------------------------------------------------------------------------


def test_golden_rows_cover_arkit() -> None:
    assert set(golden()) == set(rig("arkit").names)


@pytest.mark.parametrize("target", METAHUMANS)
@pytest.mark.parametrize("shape", rig("arkit").names)
def test_metahuman_weights(target: str, shape: str) -> None:
    wanted = golden()[shape]
    if target == "metahuman" and "tongueRollDown" in wanted:
        wanted["tongueBendDown"] = wanted.pop("tongueRollDown")  # the control that 5.8 has in its place
    got = nonzero(retarget(one("arkit", **{shape: 0.5}), target))
    assert got == pytest.approx({f"CTRL_expressions_{name}": weight / 2 for name, weight in wanted.items()}, abs=1e-6)


@pytest.mark.parametrize("target", METAHUMANS)
def test_no_stray_brow_lateral(target: str) -> None:
    everything = {name: 1.0 for name in rig("arkit").names if name != "browInnerUp"}
    assert retarget(one("arkit", **everything), target)["CTRL_expressions_browLateralL"][0] == 0


@pytest.mark.parametrize(("close", "jaw", "together"), [
    (0.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.2, 0.5, 0.4), (0.5, 0.5, 1.0), (0.9, 0.5, 1.0), (0.3, 0.0, 0.0),
    (1e-6, 1e-6, 0.0), (1.0, 1.0, 1.0), (0.0, 1e-30, 0.0)])
def test_lips_together_is_a_safe_ratio(close: float, jaw: float, together: float) -> None:
    for target in METAHUMANS:
        made = retarget(one("arkit", mouthClose=close, jawOpen=jaw), target)
        for quarter in QUARTERS:
            assert made[f"CTRL_expressions_mouthLipsTogether{quarter}"][0] == pytest.approx(together, abs=1e-6)


@pytest.mark.parametrize("target", METAHUMANS)
def test_tongue_shapes_reach_the_controls_there_are(target: str) -> None:
    lost = [name for name in rig("a2f68").names[52:]
            if not nonzero(retarget(one("a2f68", **{name: 1.0}), target))]
    assert lost == ([] if target == "metahuman" else ["TongueStretch"])
    tip = nonzero(retarget(one("facerig", tongueTipUp=0.4), target))
    assert tip == pytest.approx({"CTRL_expressions_tongueTipUp": 0.4})


@pytest.mark.parametrize("target", METAHUMANS)
@pytest.mark.parametrize("shape", rig("facerig").names)
def test_metahuman_and_back_for_one_shape(target: str, shape: str) -> None:
    start = {shape: 0.6, "jawOpen": 0.6} if shape == "mouthClose" else {shape: 0.6}
    back = nonzero(retarget(retarget(one("facerig", **start), target), "facerig"))
    back = {name: value for name, value in back.items() if abs(value) > 1e-3}
    assert back == pytest.approx({} if (target, shape) == ("metahuman-2022", "tongueStretch") else start, abs=1e-3)


@pytest.mark.parametrize(("source", "target"), [METAHUMANS, METAHUMANS[::-1]])
def test_controls_of_both_lists_stay_as_they_are(source: str, target: str) -> None:
    start = curves(source)
    made = retarget(start, target)
    shared = [name for name in start.channels if name in made.channels]
    assert len(shared) == 236
    assert all((made[name] == start[name]).all() for name in shared)
    tongue = {"tongueRollUp": 0.4, "tongueRollLeft": 0.3}
    back = nonzero(retarget(retarget(retarget(one("facerig", **tongue), source), target), "facerig"))
    assert back == pytest.approx(tongue)


# ---- every map -----------------------------------------------------------------------------------------------


def pairs() -> Iterable[tuple[str, str]]:
    """Every rig to every rig, where there is a way."""
    one_way = (*FLAMES, "muzzle", "jaw")
    for source in rig_names():
        for target in rig_names():
            if source not in one_way and target not in FLAMES:
                yield source, target


@pytest.mark.parametrize(("source", "target"), list(pairs()))
def test_output_in_range_and_in_order_for_every_pair(source: str, target: str) -> None:
    made = retarget(curves(source, frames=40), target)
    assert made.channels == rig(target).names
    assert (made.fps, made.start, made.marks, made.frames) == (60, 5, (Mark(5, 7, "word", "hi"),), 40)
    assert (made.values >= rig(target).low).all()
    assert (made.values <= rig(target).high).all()


@pytest.mark.parametrize("name", MAPS)
def test_linear_maps_keep_zero(name: str) -> None:
    chart = shipped_map(*name.split("--"))
    assert chart is not None
    made = chart.apply(np.zeros((3, len(chart.source)), np.float32))
    resting = {"oculus": {"sil"}, "azure-visemes": {"viseme00"}}.get(chart.target.name, set())
    assert {chart.target.names[column] for column in np.flatnonzero(made[0])} == resting
    if chart.linear:
        assert not made.any()


def test_which_maps_are_linear() -> None:
    charts = {name: shipped_map(*name.split("--")) for name in MAPS}
    curved = {name for name, chart in charts.items() if chart is not None and not chart.linear}
    assert curved == {f"facerig-full--{name}" for name in
                      (*METAHUMANS, "meta", "sranipal", "oculus", "azure-visemes", "vrm", "muzzle")} | {
                      "metahuman--facerig-full", "metahuman-2022--facerig-full", "meta--facerig-full"}


RENAMES = [("arkit", "arkit-pascal"), ("arkit", "a2f"), ("arkit", "a2f68"), ("arkit", "livelink"), ("arkit", "azure"),
           ("arkit", "livelink-csv"), ("arkit", "rocketbox"), ("arkit", "vrm-perfect-sync"), ("facerig", "a2f68"),
           ("arkit", "facerig"), ("facerig", "facerig-full"), ("a2f", "livelink"), ("a2f68", "facerig-full"),
           ("livelink", "livelink-csv"), ("livelink-csv", "livelink"), ("a2f", "rocketbox")]


@pytest.mark.parametrize(("source", "target"), RENAMES)
def test_renames_come_back_exactly(source: str, target: str) -> None:
    # Uncalibrated recordings hold values a little above 1: these too must survive.
    raw = np.random.default_rng(7).random((50, len(rig(source))), np.float32) * np.float32(1.05)
    start = curves(source, raw)
    back = retarget(retarget(start, target), source)
    assert back.channels == start.channels
    shapes = [place for place, channel in enumerate(rig(source).channels) if channel.kind == "weight"]
    assert (back.values[:, shapes] == start.values[:, shapes]).all()


def test_renames_keep_each_shape_apart() -> None:
    for target in ("arkit-pascal", "a2f", "livelink", "livelink-csv", "rocketbox"):
        for shape in rig("arkit").names:
            made = retarget(one("arkit", **{shape: 1.0}), target)
            hit = [name for name, channel in zip(made.channels, rig(target).channels, strict=True)
                   if made[name][0] and channel.kind == "weight"]
            assert [name.split("_")[-1].lower() for name in hit] == [shape.lower()]


@pytest.mark.parametrize("target", ["meta", "sranipal"])
def test_headset_sets_bring_each_shape_back(target: str) -> None:
    lost = {"sranipal": {"browDown", "browInnerUp", "browOuterUp", "cheekSquint", "mouthDimple", "mouthStretch",
                         "mouthShrugUpper", "mouthPress", "noseSneer"}, "meta": set()}[target]
    for shape in rig("arkit").names:
        back = nonzero(retarget(retarget(one("arkit", **{shape: 0.7}), target), "arkit"))
        gone = shape.removesuffix("Left").removesuffix("Right") in lost
        assert back == ({} if gone else pytest.approx({shape: 0.7})), shape


def test_meta_gaze_goes_to_the_same_side() -> None:
    made = nonzero(retarget(one("arkit", eyeLookOutLeft=0.8, eyeLookInRight=0.7), "meta"))
    assert made == pytest.approx({"EYES_LOOK_LEFT_L": 0.8, "EYES_LOOK_LEFT_R": 0.7})


@pytest.mark.parametrize(("out", "first", "second"),
                         [(0.0, 0, 0), (0.25, 0.5, 0), (0.5, 1, 0), (0.75, 1, 0.5), (1, 1, 1)])
def test_htc_tongue_comes_out_in_two_steps(out: float, first: float, second: float) -> None:
    made = retarget(one("arkit", tongueOut=out), "sranipal")
    assert (made["TONGUE_LONGSTEP1"][0], made["TONGUE_LONGSTEP2"][0]) == (first, second)


def test_live_link_eye_angles() -> None:
    looking = one("arkit", eyeLookDownLeft=1.0, eyeLookUpRight=1.0, eyeLookInLeft=0.5, eyeLookInRight=0.5)
    made = nonzero(retarget(looking, "livelink"))
    angles = {name: value for name, value in made.items() if name.endswith(("Yaw", "Pitch", "Roll"))}
    assert angles == pytest.approx(
        {"LeftEyePitch": 0.612, "RightEyePitch": -0.46, "LeftEyeYaw": 0.3, "RightEyeYaw": -0.3})


@pytest.mark.parametrize("take", ["alex_rom_3.csv", "alex_rom_4.csv"])
def test_live_link_eye_angles_are_those_of_a_phone(shared_data: Path, take: str) -> None:
    path = shared_data / "captures" / take
    header = path.read_text().splitlines()[0].split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(2, 63), dtype=np.float32)
    recorded = Curves(tuple(header[2:63]), 60, table)
    assert identify(recorded.channels) is rig("livelink-csv")
    made = retarget(retarget(recorded, "arkit"), "livelink-csv")
    for side in ("Left", "Right"):
        for axis, limit in (("Pitch", 0.02), ("Yaw", 0.12)):  # radians; yaw of the phone rests at some 0.07 outwards
            name = f"{side}Eye{axis}"
            assert np.sqrt(np.mean((made[name] - recorded[name]) ** 2)) < limit
            assert np.corrcoef(made[name], recorded[name])[0, 1] > 0.98


def test_head_turns_reach_live_link() -> None:
    half = np.float32(np.deg2rad(25.0))
    made = retarget(one("facerig-full", headYaw=half, headRoll=-half), "livelink")
    assert (made["HeadYaw"][0], made["HeadPitch"][0], made["HeadRoll"][0]) == pytest.approx((0.5, 0, -0.5), abs=1e-4)
    assert retarget(made, "facerig-full")["headYaw"][0] == pytest.approx(half, abs=1e-4)


# ---- visemes --------------------------------------------------------------------------------------------------

TOLD = {"oculus": rig("oculus").names[1:], "vrm": ("aa", "ih", "ou", "ee", "oh"),
        "azure-visemes": tuple(f"viseme{number:02d}" for number in (2, 4, 6, 7, 8, 13, 15, 16, 17, 18, 20, 21))}


@pytest.mark.parametrize(("name", "viseme"), [(name, viseme) for name, told in TOLD.items() for viseme in told])
def test_a_visemes_pose_is_told_as_itself(name: str, viseme: str) -> None:
    made = retarget(retarget(one(name, **{viseme: 1.0}), "facerig"), name)
    among = [place for place, channel in enumerate(rig(name).channels) if channel.kind == "viseme"]
    best = max(among, key=lambda place: made.values[0, place])
    assert rig(name).names[best] == viseme
    assert made[viseme][0] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ["oculus", "azure-visemes"])
def test_lips_that_meet_are_posed_without_a_jaw(name: str) -> None:
    closed = retarget(one(name, **{"PP" if name == "oculus" else "viseme21": 1.0}), "arkit")
    assert closed["jawOpen"][0] == 0
    assert closed["mouthPressLeft"][0] > 0.2


def test_silence_is_a_face_at_rest() -> None:
    assert nonzero(retarget(one("arkit"), "oculus")) == {"sil": 1.0}
    assert nonzero(retarget(one("arkit"), "azure-visemes")) == {"viseme00": 1.0}
    assert nonzero(retarget(one("oculus", sil=1.0), "arkit")) == {}


def test_vrm_lids_and_gaze() -> None:
    made = nonzero(retarget(one("arkit", eyeBlinkLeft=0.9, eyeLookOutLeft=0.5, eyeLookInRight=0.5), "vrm"))
    assert made == pytest.approx({"blinkLeft": 0.9, "lookLeft": 0.5})


def test_vrm_smile_is_happy() -> None:
    made = retarget(one("arkit", mouthSmileLeft=0.8, mouthSmileRight=0.8), "vrm")
    assert max(zip(made.values[0], made.channels, strict=True))[1] == "happy"


# ---- an animal and a puppet --------------------------------------------------------------------------------------


def test_muzzle_moves_in_the_same_frame() -> None:
    start = np.zeros((9, 52), np.float32)
    start[4, rig("arkit").index("jawOpen")] = 0.8
    made = retarget(curves("arkit", start), "muzzle")
    assert np.flatnonzero(made["jawOpen"]).tolist() == [4]
    assert made["jawOpen"][4] == pytest.approx(0.8)


@pytest.mark.parametrize("target", [name for name in rig_names() if name not in FLAMES])
def test_an_impulse_stays_in_its_frame(target: str) -> None:
    start = np.zeros((9, 68), np.float32)
    start[4] = 0.7
    start[4, rig("facerig").index("mouthClose")] = 0.2
    made = retarget(curves("facerig", start), target).values
    moved = np.flatnonzero((made != made[0]).any(axis=1))
    assert moved.tolist() == [4]


def test_muzzle_ears_and_closed_lips() -> None:
    scared = nonzero(retarget(one("arkit", browDownLeft=1.0, browDownRight=1.0), "muzzle"))
    assert scared == pytest.approx({"earLeft": -0.9, "earRight": -0.9})
    assert retarget(one("arkit", jawOpen=0.5, mouthClose=0.5), "jaw")["jaw"][0] == 0


# ---- streaming ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([name for name in rig_names() if name not in FLAMES]), st.integers(1, 64),
       st.lists(st.integers(0, 64), max_size=6), st.integers(0, 2**31))
def test_parts_equal_the_whole_bit_for_bit(target: str, frames: int, cuts: list[int], seed: int) -> None:
    whole = curves("facerig", frames=frames, seed=seed)
    edges = [0, *sorted(min(cut, frames) for cut in cuts), frames]
    parts = [whole.slice(5 + first, 5 + last) for first, last in pairwise(edges)]
    joined = concat([retarget(part, target) for part in parts])
    assert joined.values.tobytes() == retarget(whole, target).values.tobytes()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(MAPS), st.integers(0, 2**31), st.integers(1, 300))
def test_a_frame_is_the_same_in_any_company(name: str, seed: int, frames: int) -> None:
    chart = shipped_map(*name.split("--"))
    assert chart is not None
    values = np.random.default_rng(seed).random((frames, len(chart.source)), np.float32)
    whole = chart.apply(values)
    for frame in {0, frames // 2, frames - 1}:
        assert chart.apply(values[frame : frame + 1]).tobytes() == whole[frame : frame + 1].tobytes()
        assert chart.apply(np.asfortranarray(values))[frame].tobytes() == whole[frame].tobytes()


def test_empty_take() -> None:
    made = retarget(curves("facerig", np.zeros((0, 68))), "metahuman")
    assert made.values.shape == (0, 251)


# ---- against a plain reference ----------------------------------------------------------------------------------


def plainly(chart: RetargetMap, frame: dict[str, float], row: Row) -> float:
    """One value by the rule's definition, in double precision."""
    terms = [weight * frame[name] for name, weight in row.terms]
    if row.rule == "ratio":
        value = terms[0] / terms[1] if abs(terms[1]) >= 1e-4 else 0.0
    else:
        value = {"sum": sum, "max": max, "min": min, "product": np.prod}[row.rule](terms)
    goal = chart.target.channel(row.target)
    low, high = row.clamp or (goal.low, goal.high)
    return min(max(float(value) + row.offset, low), high)


@pytest.mark.parametrize("name", MAPS)
def test_compiled_rows_equal_their_definition(name: str) -> None:
    chart = shipped_map(*name.split("--"))
    assert chart is not None
    start = curves(chart.source.name, frames=5)
    made = chart.apply(start.values)
    for frame in range(5):
        values = {channel: float(start[channel][frame]) for channel in start.channels}
        wanted = {row.target: plainly(chart, values, row) for row in chart.rows}
        for target in chart.target.names:
            assert made[frame, chart.target.index(target)] == pytest.approx(wanted.get(target, 0.0), abs=2e-6)


def test_neutral_and_unused_are_told() -> None:
    chart = shipped_map("facerig-full", "rocketbox")
    assert chart is not None
    assert chart.neutral == rig("rocketbox").names[52:]
    assert set(chart.unused) == set(rig("facerig-full").names) - set(rig("arkit").names)
