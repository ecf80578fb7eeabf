"""The words of emotion and style: names, mixtures, keyframes, instructions, descriptions; bad input is our error."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.asking import Asked
from facerig.controls import COLUMNS, DEFAULTS, EMOTIONS, STYLE, WIDTH, Controls, group, place, rows_of
from facerig.emotion import code, describe, instructions, keyframes, space, styles
from facerig.errors import FacerigError, InputError, OptionError

weights = st.floats(0, 1, width=32)


@pytest.mark.parametrize("name", space.NAMES)
def test_every_name_is_a_point_of_the_space(name: str) -> None:
    mixed = space.mixture(name)
    assert set(mixed) <= set(EMOTIONS)
    assert all(-1 <= number <= 1 for number in space.vad(mixed))


def test_nvidias_ten_and_ours() -> None:
    assert space.mixture("joy,anger:0.5") == {"happy": 1.0, "angry": 0.5}
    assert space.mixture("neutral") == {}
    assert space.a2f(space.mixture("sadness:0.5"))["sadness"] == 0.5
    assert set(space.a2f({})) == set(space.A2F_NAMES)


@given(st.dictionaries(st.sampled_from(EMOTIONS), st.floats(0.001, 1), max_size=5))
def test_what_is_said_is_read_back(mixed: dict[str, float]) -> None:
    again = space.mixture(space.named(mixed))
    assert again.keys() == mixed.keys()
    assert all(abs(again[name] - mixed[name]) <= 5e-4 for name in mixed)


@pytest.mark.parametrize("text", ["hapy", "happy:x", "happy:2", "happy:-1", "joy:nan", "", ",", "happy,happy", "joy:"])
def test_what_is_no_mixture_is_an_option_error(text: str) -> None:
    with pytest.raises(OptionError):
        space.mixture(text)


def test_a_near_miss_is_told() -> None:
    with pytest.raises(OptionError, match="did you mean happy"):
        space.mixture("hapy")


# ---- condition ----------------------------------------------------------------------------------------------------


def test_defaults_are_zero_to_the_bit() -> None:
    assert code.condition(rows_of(5)).tobytes() == np.zeros((5, code.WIDTH), np.float32).tobytes()


@given(st.lists(weights, min_size=12, max_size=12), weights, weights, st.integers(0, 2**31))
def test_strength_and_intensity_scale_and_shares_stay_legal(mixed: list[float], held: float, strength: float,
                                                            seed: int) -> None:
    rows = np.random.default_rng(seed).random((1, WIDTH), np.float32)
    rows[:, group("emotion")], rows[:, group("expression_strength")] = mixed, strength
    rows[0, group("upper")][-1] = held
    out = code.condition(rows)
    assert out.shape == (1, code.WIDTH)
    assert out[:, : code.WHOLE.stop].sum() <= 1 + 1e-5
    assert out[:, code.UPPER].sum() <= 1 + 1e-5
    rows[:, group("expression_strength")] = 0
    assert not code.condition(rows).any()


# ---- styles ---------------------------------------------------------------------------------------------------------


def test_styles_by_name_number_and_between() -> None:
    assert styles.style("normal") == (0.0,) * STYLE
    assert styles.style(",".join(map(str, styles.STYLES["tense"]))) == styles.STYLES["tense"]
    half = styles.between(styles.STYLES["normal"], styles.STYLES["mumbled"], 0.5)
    assert half == tuple(number / 2 for number in styles.STYLES["mumbled"])
    assert styles.style("mumbled:0.5") == half


@pytest.mark.parametrize("text", ["whispred", "1,2", "2,0,0,0,0,0,0,0", "nan,0,0,0,0,0,0,0", "tense:5", "no.json"])
def test_bad_styles_are_our_errors(text: str) -> None:
    with pytest.raises(FacerigError):
        styles.style(text)


# ---- keyframes ------------------------------------------------------------------------------------------------------

FILES = {
    "list": '[{"time": 0, "emotion": "happy:0.5"}, {"time": 1, "emotion": {"sad": 1}, "fade": 0.5}]',
    "a2f": '{"emotion_with_timecode_list": {"e1": {"time_code": 0.0, "emotions": {"joy": 0.5}},'
           ' "e2": {"time_code": 1.0, "emotions": {"sadness": 1}, "fade": 0.5}}}',
    "csv": "time,fade,emotion\n0,,happy:0.5\n1,0.5,sad\n",
    "columns": "time_code,emotion_values.joy,emotion_values.sadness,fade\n0,0.5,0,\n1,0,1,0.5\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_every_form_of_a_file_says_the_same(text: str) -> None:
    rows = keyframes.apply(Controls(), keyframes.keyframes(text)).rows(0, 120)
    happy, sad = COLUMNS.index("emotion:happy"), COLUMNS.index("emotion:sad")
    assert rows[30, happy] == 0.5
    assert rows[59, sad] == 0
    assert 0 < rows[70, sad] < 1
    assert rows[90, sad] == 1
    assert rows[90, happy] == 0


@pytest.mark.parametrize("text", [
    "", "[]", "{", "[1]", '[{"time": "x"}]', '[{"time": 0, "time_code": 1}]', '[{"time": -1, "emotion": "happy"}]',
    '[{"time": 0, "emotion": "hapy"}]', '[{"time": 0, "fade": 99}]', '[{"time": 0, "emotoin": "happy"}]',
    '[{"time": 0, "set": {"gain:jaw": 9}}]', '[{"time": 0, "set": {"x": 1}}]', '[{"time": 0, "intensity": true}]',
    '[{"time": 0, "style": [1, 2]}]', "time,happy,emotion\n0,1,sad\n", "a,b\n1,2\n", '[{"time": NaN}]', '"x"', "[[]]",
])  # fmt: skip
def test_bad_files_are_our_errors(text: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"accepted|emotion|keyframe"):
        keyframes.read_keyframes(path)


@pytest.mark.parametrize(("text", "line"), [
    ("time,emotion\n0,happy:0.4,surprise:0.6\n", 2), ("time,fade,emotion\n0,,sad\n\n2.5,0.4,sad:1,fear:0.2\n", 4),
])
def test_a_mixture_without_quotes_is_refused(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"keys\.csv: line {line}: got \d cells .* in quotes"):
        keyframes.read_keyframes(path)


def test_empty_cells_beyond_the_header_say_nothing() -> None:
    """As spreadsheets write them."""
    assert keyframes.keyframes("time,emotion,,\n0,happy:0.4,,\n1,sad,,,,\n") == keyframes.keyframes(
        'time,emotion\n0,happy:0.4\n1,sad\n')


@pytest.mark.parametrize("held", ["null", "5", '"happy"', "true", "[null]"])
@pytest.mark.parametrize("name", keyframes.LISTS)
def test_a_list_that_is_none_is_our_error(name: str, held: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(f'{{"{name}": {held}}}')
    with pytest.raises(InputError, match=r"keys\.json: .*got .*, accepted: a list") as caught:
        keyframes.read_keyframes(path)
    assert name in str(caught.value) or held == "[null]"


def test_a_file_may_hold_any_number_of_keyframes(tmp_path: Path) -> None:
    path = tmp_path / "hours.json"
    path.write_text(json.dumps([{"time": k / 2, "emotion": f"happy:{k % 10 / 10}"} for k in range(3000)]))
    rows = Asked(emotion=str(path)).controls().rows(2999 * 30 + 60, 1)
    assert rows[0, place("emotion:happy")] == pytest.approx(0.9)


@given(st.text(max_size=200))
@settings(max_examples=150)
def test_no_text_makes_a_traceback(text: str) -> None:
    for reader in (keyframes.keyframes, space.mixture, styles.style, instructions.instruct):
        with contextlib.suppress(FacerigError):
            reader(text)


# ---- descriptions ---------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(EMOTIONS), weights, st.integers(0, 20)), max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_description_is_read_back_to_the_same_course(asked: list[tuple[int, str, float, int]]) -> None:
    controls, at = Controls(), 0
    for gap, name, weight, fade in asked:
        at += gap + 25  # a fade has ended before the next begins
        controls.replace(at, "emotion", {f"emotion:{name}": round(weight, 3)}, fade * 1000 / 60)
    rows = controls.rows(0, at + 60)
    text = describe.text(describe.describe(rows))
    again = keyframes.apply(Controls(), keyframes.keyframes(text)) if "{" in text else Controls()
    assert np.abs(again.rows(0, at + 60)[:, group("emotion")] - rows[:, group("emotion")]).max() <= 0.02


def test_a_description_names_styles_regions_and_only_what_changed() -> None:
    controls = keyframes.apply(Controls(), keyframes.keyframes(
        '[{"time": 0.5, "emotion": "happy", "upper": "sad", "style": "tense", "set": {"gain:jaw": 1.5}}]'))
    (key,) = describe.of(controls, 90)
    assert (key["emotion"], key["upper"], key["style"]) == ("happy:1", "sad:1", "tense")
    assert key["set"] == {"gain:jaw": 1.5}
    assert "brows and eyes sad" in describe.sentences([key])[0]
    assert describe.sentences([]) == ["neutral throughout"]


# ---- instructions ---------------------------------------------------------------------------------------------------


def test_an_empty_instruction_changes_nothing_to_the_bit() -> None:
    controls = Controls({"emotion:happy": 0.5})
    before = controls.rows(0, 60)
    assert instructions.apply(controls, 10, " , ") == {}
    assert controls.rows(0, 60).tobytes() == before.tobytes()


@pytest.mark.parametrize("phrase", instructions.VOCABULARY)
def test_an_instruction_changes_what_it_names_and_nothing_else(phrase: str) -> None:
    named = {step.control for step in instructions.PHRASES[phrase]}
    controls = Controls()
    changed = instructions.apply(controls, 0, phrase)
    assert set(changed) == named
    moved = {COLUMNS[k] for k in np.flatnonzero(controls.rows(0, 90)[-1] != DEFAULTS)}
    assert moved <= named


def test_instructions_add_up_and_have_degrees() -> None:
    once = instructions.instruct("more jaw")["gain:jaw"]
    assert instructions.instruct("more jaw", {"gain:jaw": once})["gain:jaw"] > once
    assert instructions.instruct("a little more jaw")["gain:jaw"] == pytest.approx(1 + (once - 1) / 2)
    assert instructions.instruct("brows up and softer").keys() == {"raise:brows", "intensity"}
    with pytest.raises(OptionError, match="did you mean"):
        instructions.instruct("brow up")
