"""Heard and asked in one mixture: what each of Audio2Face's parameters does, on any rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facerig.controls import EMOTIONS
from facerig.emotion.blend import Blending, blend, felt, smoothed
from facerig.emotion.ear import CLASSES
from facerig.errors import OptionError
from facerig.stage import Frames

unit = st.floats(0, 1, width=32)
mixtures = arrays(np.float32, (4, len(EMOTIONS)), elements=unit)
columns = arrays(np.float32, (4, 1), elements=unit)
raw = arrays(np.float32, (4, len(CLASSES)), elements=st.floats(2**-7, 1, width=32))
PLAIN = Blending(strength=1.0, preferred_strength=0.0, max_emotions=6)
SURE = np.ones(4, np.float32)


def shares(weights: Frames) -> Frames:
    return np.asarray(weights / weights.sum(-1, keepdims=True), np.float32)


@given(mixtures, columns, mixtures)
@settings(deadline=None)
def test_no_share_is_what_was_asked_bit_for_bit(asked: Frames, intensity: Frames, heard: Frames) -> None:
    mixture, level = blend(asked, intensity, heard, np.zeros((4, 1), np.float32), Blending())
    assert mixture.tobytes() == asked.tobytes()
    assert level.tobytes() == intensity.tobytes()


@given(mixtures, columns, mixtures)
@settings(deadline=None)
def test_a_whole_share_without_preference_is_what_was_heard(asked: Frames, intensity: Frames, heard: Frames) -> None:
    mixture, level = blend(asked, intensity, heard, np.ones((4, 1), np.float32), PLAIN)
    assert np.abs(mixture * level - heard).max() < 1e-5


@given(mixtures, columns, mixtures, columns)
@settings(deadline=None)
def test_the_result_lies_between_and_in_range(asked: Frames, intensity: Frames, heard: Frames, share: Frames) -> None:
    mixture, level = blend(asked, intensity, heard, share, Blending())
    assert mixture.min() >= 0
    assert max(mixture.max(), level.max()) <= 1
    shown, ends = mixture * level, (asked * intensity, heard)
    assert (shown <= np.maximum(*ends) + 1e-5).all()
    assert (shown >= np.minimum(*ends) - 1e-5).all()


@given(mixtures, mixtures)
@settings(deadline=None)
def test_a_small_share_is_a_small_change(asked: Frames, heard: Frames) -> None:
    one = np.ones((4, 1), np.float32)
    mixture, level = blend(asked, one, heard, one * np.float32(1e-4), Blending())
    assert np.abs(mixture * level - asked).max() < 1e-3


def test_preferred_strength_is_the_share_of_what_is_asked() -> None:
    asked, heard = np.eye(12, dtype=np.float32)[:1], np.eye(12, dtype=np.float32)[1:2]
    one = np.ones((1, 1), np.float32)
    for strength in (0.0, 0.25, 1.0):
        mixture, level = blend(asked, one, heard, one, Blending(preferred_strength=strength))
        assert np.allclose((mixture * level)[0, :2], [strength, 1 - strength], atol=1e-6)
    nothing, level = blend(asked * 0, one, heard, one, Blending(preferred_strength=1.0))
    assert np.allclose(nothing * level, heard, atol=1e-6)


@given(raw, st.floats(0.3, 0.9), st.floats(1.1, 3.0))
@settings(deadline=None)
def test_contrast_sharpens(weights: Frames, flat: float, sharp: float) -> None:
    scores = shares(weights)
    low, same, high = (felt(scores, SURE, Blending(contrast=c, strength=1.0, max_emotions=6)) for c in (flat, 1, sharp))
    faces = [name not in ("boredom", "neutral") for name in CLASSES]
    faced = scores[:, faces].max(-1) >= scores.max(-1)
    assert (high.max(-1)[faced] >= same.max(-1)[faced] - 1e-5).all()
    assert (low.max(-1)[faced] <= same.max(-1)[faced] + 1e-5).all()


@given(raw, st.integers(1, 6))
@settings(deadline=None)
def test_at_most_so_many_show_and_they_are_the_strongest(weights: Frames, most: int) -> None:
    scores = shares(weights + np.linspace(0, 1e-3, weights.size, dtype=np.float32).reshape(weights.shape))
    few, all_of_them = (felt(scores, SURE, Blending(max_emotions=n)) for n in (most, 6))
    for row, whole in zip(few, all_of_them, strict=True):
        kept = np.flatnonzero(row)
        assert np.array_equal(row[kept], whole[kept])
        dropped = np.setdiff1d(np.arange(12), kept)
        assert not len(kept) or whole[dropped].max(initial=0) <= row[kept].min()
        distinct = len(set(whole[whole > 0].tolist())) == (whole > 0).sum()
        assert len(kept) <= most or not distinct


def test_strength_and_sureness_scale_the_mixture() -> None:
    scores = shares(np.arange(1, 8, dtype=np.float32))[None]
    whole = felt(scores, np.ones(1, np.float32), PLAIN)
    assert np.allclose(felt(scores, np.full(1, 0.5, np.float32), Blending(strength=0.4, max_emotions=6)), whole * 0.2)
    assert not felt(scores, np.ones(1, np.float32), Blending(strength=0.0)).any()


def test_boredom_and_neutral_have_no_face() -> None:
    for name in CLASSES:
        mixture = felt(np.eye(7, dtype=np.float32)[[CLASSES.index(name)]], np.ones(1, np.float32), PLAIN)[0]
        strongest = EMOTIONS[int(mixture.argmax())] if mixture.max() > 0.5 else "none"
        assert strongest == ("none" if name in ("boredom", "neutral") else name)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0])
def test_a_step_becomes_a_slope_without_a_pop(seconds: float) -> None:
    blending = Blending(transition_time=seconds)
    step = np.ones((150, 12), np.float32)
    out = smoothed(np.zeros((len(blending.kernel) - 1, 12), np.float32), step, blending)[:, 0]
    assert (np.diff(out) >= -1e-6).all()
    assert out[-1] == pytest.approx(1, abs=1e-5)
    assert np.diff(out).max() < 2.2 / (seconds * 60)
    assert blending.kernel.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("name", "value"), [
    ("contrast", 0.2), ("contrast", float("nan")), ("live_blend_coef", 1.0), ("preferred_strength", -0.1),
    ("strength", 1.1), ("max_emotions", 0), ("max_emotions", 7), ("max_emotions", 2.5), ("transition_time", 1.5),
])  # fmt: skip
def test_parameters_out_of_range(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name):
        Blending(**{name: value})  # type: ignore[arg-type]
