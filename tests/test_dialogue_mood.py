"""Moods stay in bounds and come home, acts and labels are tables without holes, memories are kept or refused, presets
move what they name."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.controls import COLUMNS, CONTROLS, Controls, place
from facerig.dialogue import PRESETS, preset
from facerig.dialogue.acts import ACTS, ALIASES, guessed, known
from facerig.dialogue.course import Course, Gesture, Habit, Recurring, draw
from facerig.dialogue.labels import LABELS, OTHERS, THIRTEEN, mixture
from facerig.dialogue.labels import place as place_of
from facerig.dialogue.memory import MOST, Feeling, Memory
from facerig.dialogue.mood import MEHRABIAN, TRAITS, Mood, Personality, expressed
from facerig.emotion import space
from facerig.emotion.space import Vad
from facerig.errors import InputError, OptionError
from facerig.pipeline import Animator

UNIT = st.floats(0, 1)
SIGNED = st.floats(-1, 1)
PEOPLE = st.builds(Personality, *(UNIT for _ in TRAITS))
VADS = st.builds(Vad, SIGNED, SIGNED, SIGNED)
EVENTS = st.lists(st.tuples(st.floats(0, 100), st.none() | VADS, UNIT, st.sampled_from(sorted(ACTS))), max_size=12)


# ---- moods ----------------------------------------------------------------------------------------------------------


def lived(person: Personality, start: Vad | None, events: list[tuple[float, Vad | None, float, str]]) -> list[Mood]:
    mood, now, out = Mood.of(person, start), 0.0, []
    for passed, felt, strength, act in events:
        now += passed
        mood = mood.at(now).moved(felt, strength, ACTS[act].feeling)
        out.append(mood)
    return out


@settings(max_examples=60, deadline=None)
@given(PEOPLE, st.none() | VADS, EVENTS)
def test_moods_are_bounded_and_repeatable(person: Personality, start: Vad | None, events: list) -> None:  # type: ignore[type-arg]
    moods = lived(person, start, events)
    assert moods == lived(person, start, events)
    for mood in moods:
        assert all(-1 <= number <= 1 for number in mood.state)
        shown = mood.shown({"happy": 1.0}, 0.5)
        assert all(0 <= weight <= 1 and name in space.EMOTIONS for name, weight in shown.items())


@given(PEOPLE, VADS, VADS, UNIT)
def test_a_line_moves_the_mood_towards_its_emotion_and_never_past_it(person: Personality, start: Vad, felt: Vad,
                                                                     strength: float) -> None:
    before = Mood.of(person, start)
    after = before.moved(felt, strength)
    for old, new, goal in zip(start, after.state, felt, strict=True):
        assert min(old, goal) - 1e-12 <= new <= max(old, goal) + 1e-12
    assert before.moved(felt, 0).state == before.state


@given(PEOPLE, VADS, st.floats(0, 300), st.floats(0, 300))
def test_moods_come_home_and_time_adds_up(person: Personality, start: Vad, one: float, two: float) -> None:
    mood = Mood.of(person, start)
    far = [abs(a - b) for a, b in zip(mood.at(one).state, person.baseline, strict=True)]
    further = [abs(a - b) for a, b in zip(mood.at(one + two).state, person.baseline, strict=True)]
    assert all(b <= a + 1e-12 for a, b in zip(far, further, strict=True))
    assert mood.at(one).at(one + two).state == pytest.approx(mood.at(one + two).state, abs=1e-9)
    assert mood.at(3600).settled


def test_half_of_it_is_left_after_a_half_life() -> None:
    person = Personality(neuroticism=1.0)
    start = Vad(1.0, 1.0, 1.0)
    left = Mood.of(person, start).at(person.half_life).state
    assert left == pytest.approx([(a + b) / 2 for a, b in zip(start, person.baseline, strict=True)])
    assert person.half_life > Personality().half_life > Personality(neuroticism=0.0).half_life


def test_the_baseline_is_mehrabians() -> None:
    """Published signs: the agreeable are pleasant, extraverts dominant, the stable calm (neurotics easily aroused)."""
    assert Personality().baseline == Vad(0.0, 0.0, 0.0)
    assert Personality(agreeableness=1.0).baseline == pytest.approx((0.59, 0.30, -0.32))
    assert Personality(extraversion=1.0).baseline == pytest.approx((0.21, 0.0, 0.60))
    assert Personality(neuroticism=1.0).baseline == pytest.approx((-0.19, 0.57, 0.0))
    assert Personality(conscientiousness=1.0, openness=1.0).baseline == pytest.approx((0.0, 0.15, 0.42))


def test_personality_weighs_what_happens() -> None:
    kind, grim = Personality(agreeableness=0.9), Personality(agreeableness=0.1)
    neutral = Vad(0.0, 0.0, 0.0)
    good, bad = space.VAD["happy"], space.VAD["sad"]
    assert Mood.of(kind, neutral).moved(good, 1).state.valence > Mood.of(grim, neutral).moved(good, 1).state.valence
    assert Mood.of(kind, neutral).moved(bad, 1).state.valence > Mood.of(grim, neutral).moved(bad, 1).state.valence


@pytest.mark.parametrize("name", ["happy", "sad", "angry", "fear", "disgust", "surprise"])
def test_a_mood_shows_as_the_point_it_lies_at(name: str) -> None:
    shown = expressed(space.VAD[name])
    assert max(shown, key=lambda each: shown[each]) == name
    assert shown[name] > 0.7
    assert not expressed(Vad(*(0.1 * number for number in space.VAD[name])))  # too little to see


@given(VADS, st.integers(0, 2), st.sampled_from([-0.01, 0.01]))
def test_what_shows_is_continuous(state: Vad, axis: int, step: float) -> None:
    near = list(state)
    near[axis] = min(1.0, max(-1.0, near[axis] + step))
    one, two = expressed(state), expressed(Vad(*near))
    assert all(abs(one.get(name, 0) - two.get(name, 0)) < 0.12 for name in {*one, *two})


def test_what_is_asked_for_shows_as_asked() -> None:
    gloomy = Mood.of(Personality(), space.VAD["sad"])
    assert gloomy.shown({"happy": 1.0}, 1.0) == {"happy": 1.0}
    half = gloomy.shown({"happy": 1.0}, 0.5)
    assert half["happy"] == 0.5
    assert 0 < half["sad"] < gloomy.shown()["sad"] < 0.4


# ---- labels and acts ------------------------------------------------------------------------------------------------


def test_thirteen_labels_stand_for_mixtures() -> None:
    assert len(THIRTEEN) == 13
    for name, label in {**LABELS, **OTHERS}.items():
        assert set(label.mixture) <= set(space.EMOTIONS), name
        assert 0 < sum(label.mixture.values()) <= 1 or name == "neutral"
        assert all(-1 <= number <= 1 for number in label.vad)
        if label.mixture:  # the face lies on the side where the label lies
            assert space.vad(label.mixture).valence * label.vad.valence > 0, name
    assert mixture("Depress") == mixture("depressed")
    assert mixture("happy:0.5,sad:0.1") == {"happy": 0.5, "sad": 0.1}
    assert place_of("grateful") == Vad(0.61, 0.10, -0.13)
    with pytest.raises(OptionError, match="did you mean worried"):
        mixture("worrried")


def test_acts_move_controls_that_exist_and_stay_small() -> None:
    limits = {control.name: control.high - control.low for control in CONTROLS}
    for name, act in ACTS.items():
        for by in [*(move.by for move in act.moves), dict(act.style)]:
            for control, amount in by.items():
                assert control in COLUMNS, name
                assert not control.startswith(("gain:jaw", "gain:lips", "lip_scale")), name
                assert abs(amount) <= limits[control]
        assert all(move.where in ("begin", "end", "whole") and move.rise > 0 and move.fall > 0 for move in act.moves)
        assert max((abs(number) for number in act.feeling), default=0) <= 0.2
        assert -1 <= act.warmth <= 1
    assert all(known(alias) == ours for alias, ours in ALIASES.items())


CPED = ("greeting question answer statement-opinion statement-non-opinion apology command agreement disagreement "
        "acknowledge appreciation interjection conventional-closing thanking quotation reject irony comfort other")


def test_all_nineteen_acts_of_the_data_are_known() -> None:
    assert len(CPED.split()) == 19
    assert {known(name) for name in CPED.split()} <= set(ACTS)


@pytest.mark.parametrize(("text", "act"), [
    ("Did you hear that?", "question"), ("Why not?", "wh-question"), ("No. [pause:0.4] What was it?", "wh-question"),
    ("¿Qué es eso?", "wh-question"), ("No!", "disagreement"), ("Yes, of course.", "agreement"),
    ("I'm so sorry about it.", "apology"), ("Hello?", "greeting"), ("Mhm.", "backchannel"),
    ("Well... maybe.", "hesitation"), ("Look out!", "exclamation"),
    ("Thank you!", "thanking"), ("Bye.", "farewell"), ("It rained.", "statement"), ("", "statement"),
    ("Well done, all of you.", "statement"), ("[happy] 'Really?'", "question"),
])  # fmt: skip
def test_acts_are_guessed_from_punctuation(text: str, act: str) -> None:
    assert guessed(text) == act


# ---- memory ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-5, 5), st.floats(-5, 5)), max_size=60))
def test_attitudes_are_bounded_and_survive_the_file(heard: list) -> None:  # type: ignore[type-arg]
    memory = Memory("me")
    for who, valence, warmth in heard:
        memory = memory.heard(who, valence, warmth)
    assert all(-1 <= feeling.attitude <= 1 for feeling in memory.towards.values())
    again = Memory.from_json(memory.to_json().decode())
    assert again.character == "me"
    for who, feeling in memory.towards.items():
        assert again.towards[who].attitude == pytest.approx(feeling.attitude, abs=1e-6)
        assert again.towards[who].lines == feeling.lines


def test_kindness_warms_and_old_friends_stay() -> None:
    memory = Memory("me").beginning({"ann": 0.2})
    assert memory.attitude("ann") == 0.2
    warm = memory.heard("ann", 0.8, 0.5)
    assert warm.attitude("ann") > 0.2 > memory.heard("ann", -0.8, -0.5).attitude("ann")
    old = Memory("me", {"ann": Feeling(0.8, 500)})
    assert 0.8 - old.heard("ann", -1, -1).attitude("ann") < 0.05
    crowd = Memory("me", {f"p{k}": Feeling(0, k + 1) for k in range(MOST)}).heard("new", 0.5)
    assert len(crowd.towards) == MOST
    assert "new" in crowd.towards
    assert "p0" not in crowd.towards


GOOD = {"format": "facerig-attitudes", "version": 1, "character": "me",
        "towards": {"ann": {"attitude": 0.5, "lines": 1}}}  # fmt: skip


@pytest.mark.parametrize("change", [
    {"format": "x"}, {"version": 2}, {"version": True}, {"character": ""}, {"character": 3}, {"character": "x" * 300},
    {"towards": []}, {"towards": {"ann": {}}}, {"towards": {"ann": 3}}, {"more": 1}, {"towards": {"": GOOD["towards"]}},
    {"towards": {"ann": {"attitude": 2, "lines": 1}}}, {"towards": {"ann": {"attitude": math.nan, "lines": 1}}},
    {"towards": {"ann": {"attitude": "0", "lines": 1}}}, {"towards": {"ann": {"attitude": 0, "lines": -1}}},
    {"towards": {"ann": {"attitude": 0, "lines": 1.5}}}, {"towards": {"ann": {"attitude": True, "lines": 1}}},
])  # fmt: skip
def test_a_bad_memory_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "me.json"
    file.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(InputError, match=r"me\.json"):
        Memory.read(file)
    assert Memory.from_json(json.dumps(GOOD)).attitude("ann") == 0.5


@given(st.binary(max_size=80))
def test_any_bytes_are_a_memory_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("memory") / "me.json"
    file.write_bytes(data)
    with pytest.raises(InputError):
        Memory.read(file)


# ---- courses and presets --------------------------------------------------------------------------------------------


def test_a_gesture_rises_holds_and_falls() -> None:
    course = Course(Controls({"pose:pitch": 5.0}))
    course.add(Gesture.of(10, 20, 4, 6, (0,), {"pose:pitch": -8.0}))
    row = course.rows(0, 40)[:, place("pose:pitch")]
    assert np.all(row[:10] == 5)
    assert np.all(row[13:20] == -3)
    assert np.all(row[26:] == 5)
    assert np.all(np.diff(row[9:14]) <= 0)
    assert np.all(np.diff(row[19:27]) >= 0)
    course.end(16, (0,))
    assert course.rows(0, 40)[24, place("pose:pitch")] == 5


def test_what_adds_up_stays_in_range() -> None:
    course = Course()
    for k in range(4):
        course.add(Gesture.of(0, 50, 1, 1, (k,), {"upper:held": 0.7, "emotion:happy": -0.5}))
    row = course.rows(10, 1)[0]
    assert row[place("upper:held")] == 1
    assert row[place("emotion:happy")] == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 5000), st.lists(st.integers(1, 90), min_size=1, max_size=8),
       st.sampled_from(sorted(PRESETS)))
def test_presets_are_functions_of_the_frame(seed: int, first: int, cuts: list[int], name: str) -> None:
    course = preset(name).over(seed=seed)
    whole = course.rows(first, sum(cuts))
    parts, at = [], first
    for count in cuts:
        parts.append(preset(name).over(seed=seed).rows(at, count))
        at += count
    assert np.array_equal(np.concatenate(parts), whole)
    low, high = (np.array([getattr(c, side) for c in CONTROLS], np.float32) for side in ("low", "high"))
    assert np.all((whole >= low) & (whole <= high))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_come_and_go_without_a_step(name: str) -> None:
    """No control moves by more than a quarter of its own span in one frame, and all is as before afterwards. Where to
    look may jump: eyes do."""
    rows = preset(name).over(seed=1, start=30, end=600).rows(0, 800)
    spans = np.array([c.high - c.low for c in CONTROLS], np.float32)
    smooth = [k for k, c in enumerate(CONTROLS) if c.group != "look"]
    assert np.abs(np.diff(rows, axis=0) / spans)[:, smooth].max() < 0.25
    assert np.array_equal(rows[0], rows[-1])
    assert not np.array_equal(rows[0], rows[200])


def test_seeds_move_the_moments_of_a_habit() -> None:
    habit = Recurring(2.0, 0.3, 0.6, 0.1, 0.1, {"look:yaw": 10.0}, True)
    rows = []
    for seed in (1, 1, 2):
        course = Course()
        course.add_habit(Habit(habit, 0, 6000, (0,), seed))
        rows.append(course.rows(0, 6000)[:, place("look:yaw")])
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert rows[0].min() == -10
    assert rows[0].max() == 10
    assert np.count_nonzero(np.diff((rows[0] != 0).astype(int)) == 1) == 50  # once in each period


def test_draws_are_even() -> None:
    numbers = np.array([draw(3, "x", k) for k in range(4000)])
    assert np.all((numbers >= 0) & (numbers < 1))
    assert np.histogram(numbers, 10, (0, 1))[0] == pytest.approx(400, abs=75)


def test_a_preset_is_for_any_session() -> None:
    """Hesitant: the brows worry while the mouth smiles, the eyes leave, the mouth still says the same words."""
    animator = Animator.load(alive=True, block=30)
    demo = Path(__file__).resolve().parent.parent / "assets" / "demo.wav"
    sound = soundfile.read(demo, dtype="float32")[0][: 4 * 24_000]  # words: a hum opens no jaw
    rows = preset("hesitant").over(seed=2).rows(60, 120)
    assert rows[:, place("upper:fear")].min() > 0.2 < rows[:, place("upper:held")].min() + 0.1
    assert rows[:, place("emotion:happy")].min() > 0.1
    plain = animator.animate(sound)
    hesitant = animator.animate(sound, controls=preset("hesitant").over(seed=2))
    eyes = [c for c in plain.channels if c.startswith("eyeLook")]
    assert np.abs(hesitant.select(eyes).values).mean() > 1.5 * np.abs(plain.select(eyes).values).mean()
    assert 0.4 < hesitant["jawOpen"].max() / plain["jawOpen"].max() < 1.2
    again = animator.animate(sound, controls=preset("hesitant").over(seed=2))
    assert again == hesitant


def test_no_seed_moves_the_lips() -> None:
    """What the seed times or turns is eyes, head, brows and lids."""
    free = ("look:", "pose:", "raise:brows", "raise:lids")
    assert all(name.startswith(free) for row in PRESETS.values() for habit in row.recurring for name in habit.by)
    assert all(name.startswith(free) for act in ACTS.values() for move in act.moves if move.sided for name in move.by)


def test_questions_raise_brows_and_who_doubts_draws_them() -> None:
    """On the face, by the shipped model: the end of a question against the same sound as a statement."""
    from facerig.dialogue import Character, Line, Script, play
    from facerig.dialogue.voices import Sound

    animator = Animator.load(alive=True, block=30)
    time = np.arange(2 * 24_000) / 24_000
    sound = Sound((np.sin(700 * time) * np.clip(np.sin(22 * time), 0, 1) * 0.2).astype(np.float32).reshape(-1, 400))
    faces = {}
    for act in ("statement", "question", "wh-question"):
        line = Line("a", "words", at=0.6, act=act)
        track = play(Script((Character("a"), Character("b")), (line,)), animator, sounds=[sound]).tracks["a"]
        faces[act] = track.slice(130, 156)
    for brow in ("browInnerUp", "browOuterUpLeft"):
        assert faces["question"][brow].max() > faces["statement"][brow].max() + 0.2
    assert faces["wh-question"]["browDownLeft"].max() > faces["statement"]["browDownLeft"].max() + 0.1


def test_names_of_presets() -> None:
    assert {"hesitant", "confident", "nervous", "warm", "cold", "tired"} <= set(PRESETS)
    with pytest.raises(OptionError, match="did you mean hesitant"):
        preset("hesitent")
    for each in PRESETS.values():
        assert set(each.steady) <= set(COLUMNS)
        assert each.what


def test_the_page_names_every_act_label_and_preset() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "DIALOGUE.md").read_text()
    for name in (*ACTS, *LABELS, *OTHERS, *PRESETS):
        assert f"| `{name}` |" in page, name
    for row in (*ACTS.values(), *PRESETS.values()):
        assert row.what in page
    for trait, *numbers in zip(TRAITS, *((f"{w:g}".replace("0.", ".") for w in row) for row in MEHRABIAN), strict=True):
        assert trait in page
        assert all(number in page for number in numbers if number != "0")


def test_the_example_on_the_page_is_the_shipped_one() -> None:
    docs = Path(__file__).resolve().parent.parent / "docs"
    assert (docs / "examples" / "dialogue.yaml").read_text().strip() in (docs / "DIALOGUE.md").read_text()
