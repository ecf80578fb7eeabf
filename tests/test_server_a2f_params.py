"""Audio2Face's parameters without a wire: what each does to a row of shapes, and which are refused or noted."""

from __future__ import annotations

import numpy as np
import pytest

from facerig.errors import OptionError
from facerig.rig import rig
from facerig.server import a2f_params, protos

SHAPES = rig("a2f68").names


def face(floats=None, multipliers=None, offsets=None, clamp=False):
    notes: list[str] = []
    wire = protos.message("nvidia_ace.a2f.v1.FaceParameters")(float_params=floats or {})
    blend = protos.message("nvidia_ace.a2f.v1.BlendShapeParameters")(
        bs_weight_multipliers=multipliers or {}, bs_weight_offsets=offsets or {}, enable_clamping_bs_weight=clamp)
    return a2f_params.FacePost(a2f_params.face_of(wire, blend, SHAPES, notes), SHAPES, 30), notes


def posed(**options):
    post, _ = face(**options)
    value = np.full((1, len(SHAPES)), 0.5, np.float32)
    return dict(zip(SHAPES, post.push(0, value, value[:, :0])[0], strict=True))


def test_no_parameters_change_nothing():
    assert set(posed().values()) == {0.5}


# parameter, value, shape that it moves, to what; a shape it leaves alone
MEANING = [
    ("lowerFaceStrength", 1.2, "JawOpen", 0.6, "BrowInnerUp"),
    ("upperFaceStrength", 1.2, "BrowInnerUp", 0.6, "JawOpen"),
    ("skinStrength", 0.5, "MouthPucker", 0.25, "TongueTipUp"),
    ("blinkStrength", 0.5, "EyeBlinkLeft", 0.25, "EyeWideLeft"),
    ("eyelidOpenOffset", 0.2, "EyeBlinkRight", 0.3, "EyeWideRight"),
    ("blinkOffset", 0.2, "EyeBlinkRight", 0.7, "EyeWideRight"),
    ("lipOpenOffset", 0.1, "MouthLowerDownLeft", 0.6, "JawOpen"),
    ("lipOpenOffset", -0.1, "MouthUpperUpRight", 0.4, "JawOpen"),
    ("tongueStrength", 0.5, "TongueTipUp", 0.25, "JawOpen"),
    ("tongueHeightOffset", 0.1, "TongueTipUp", 0.6, "TongueTipDown"),
    ("tongueHeightOffset", -0.1, "TongueTipDown", 0.6, "TongueTipUp"),
    ("tongueDepthOffset", 0.1, "TongueOut", 0.6, "TongueIn"),
    ("tongueDepthOffset", -0.1, "TongueIn", 0.6, "TongueOut"),
]


@pytest.mark.parametrize(("name", "value", "moved", "to", "other"), MEANING)
def test_each_face_parameter_means_what_it_says(name, value, moved, to, other):
    row = posed(floats={name: value})
    assert row[moved] == pytest.approx(to, abs=1e-5)
    assert row[other] == pytest.approx(0.5, abs=1e-5)


def test_the_mask_divides_by_height():
    row = posed(floats={"lowerFaceStrength": 2.0, "faceMaskLevel": 0.8})
    assert row["EyeBlinkLeft"] == pytest.approx(1.0, abs=0.01)
    assert row["BrowInnerUp"] == pytest.approx(0.5, abs=0.01)
    soft = posed(floats={"lowerFaceStrength": 2.0, "faceMaskLevel": 0.62, "faceMaskSoftness": 1.0})
    assert 0.5 < soft["BrowInnerUp"] < soft["JawOpen"] < 1.0


def test_smoothing_is_by_region():
    post, _ = face({"lowerFaceSmoothing": 0.1})
    step = np.zeros((30, len(SHAPES)), np.float32)
    step[10:] = 1
    out = post.push(0, step, step[:, :0])
    jaw, brow = out[:, SHAPES.index("JawOpen")], out[:, SHAPES.index("BrowInnerUp")]
    assert 0 < jaw[10] < 0.5 < jaw[29]
    assert np.array_equal(brow, step[:, 0])


def test_multiplier_offset_and_clamp():
    row = posed(multipliers={"JawOpen": 3.0}, offsets={"BrowInnerUp": -0.7})
    assert (row["JawOpen"], row["BrowInnerUp"]) == (pytest.approx(1.5), pytest.approx(-0.2))
    row = posed(multipliers={"JawOpen": 3.0}, offsets={"BrowInnerUp": -0.7}, clamp=True)
    assert (row["JawOpen"], row["BrowInnerUp"]) == (1.0, 0.0)


def test_what_has_no_counterpart_is_noted():
    _, notes = face({"prosody": 1.0, "lowerFaceStrength": 99.0}, multipliers={"Nose": 1.0})
    assert any("prosody" in note for note in notes)
    assert any("99" in note for note in notes)
    assert any("Nose" in note for note in notes)


@pytest.mark.parametrize("bad", [{"floats": {"skinStrength": float("nan")}}, {"multipliers": {"JawOpen": float("inf")}},
                                 {"offsets": {f"x{k}": 1.0 for k in range(300)}}])
def test_bad_parameters_are_refused(bad):
    with pytest.raises(OptionError):
        face(**bad)


def mood(hears=False, **fields):
    post = protos.message("nvidia_ace.a2f.v1.EmotionPostProcessingParameters")(**fields)
    return a2f_params.mood_of(post, protos.message("nvidia_ace.a2f.v1.EmotionParameters")(), [], hears)


def test_emotion_post_processing():
    asked = {"joy": 1.0, "fear": 0.5, "pain": 0.2, "anger": 0.1}
    plain = mood(emotion_strength=1.0, max_emotions=6).weights(asked)
    assert plain == pytest.approx(asked)
    assert set(mood(max_emotions=2).weights(asked)) == {"joy", "fear"}
    assert mood(emotion_strength=0.5).weights(asked)["joy"] == 0.5
    assert mood(emotion_strength=1.0, emotion_contrast=3.0).weights(asked)["fear"] == pytest.approx(0.125)
    assert mood(enable_preferred_emotion=False).weights(asked) == {}
    assert mood(live_blend_coef=0.9).fade_ms > mood(live_blend_coef=0.0).fade_ms


def test_the_mouth_closes_after_the_clip():
    post, _ = face(offsets={"JawOpen": 0.05})
    open_mouth = np.full(len(SHAPES), 0.6, np.float32)
    rows = post.closing(open_mouth, 6)
    assert len(rows) == 6
    assert rows[-1][SHAPES.index("JawOpen")] == pytest.approx(0.05)
    assert rows[-1][SHAPES.index("MouthFunnel")] == pytest.approx(0)
    assert rows[-1][SHAPES.index("BrowInnerUp")] == pytest.approx(0.6)
    assert np.diff(rows[:, SHAPES.index("JawOpen")]).max() < 0
    assert not len(post.closing(post.rest(), 6))


def test_where_an_emotion_is_heard_the_parameters_are_of_the_mixing():
    assert mood().mixing is None
    given = {"emotion_contrast": 2.0, "live_blend_coef": 1.0, "max_emotions": 9, "emotion_strength": 0.3}
    mixing = mood(hears=True, **given).mixing
    assert (mixing.contrast, mixing.live, mixing.most, mixing.strength) == (2.0, 0.99, 6, pytest.approx(0.3))
    assert mood(hears=True, enable_preferred_emotion=False).mixing.preferred == 0
    assert mood(hears=True, **given).weights({"joy": 0.8, "fear": 2.0}) == {"joy": 0.8, "fear": 1.0}
    assert mood(hears=True, live_blend_coef=0.9).fade_ms == 500
