"""What a felt face shows, through the stages and the tables: contact wins, rests, references and captures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import exporters
from facerig.cli import run
from facerig.controls import EMOTIONS, WIDTH, Controls, rows_of
from facerig.curves import Curves
from facerig.emotion import code, looks, reference, space, styles
from facerig.emotion.express import Express, FeltLips, resting
from facerig.errors import CurvesError, InputError, OptionError
from facerig.files import write_file
from facerig.heads.builtin import builtin_head
from facerig.heads.landmarks import mouth_measures
from facerig.model.config import EVIDENCE
from facerig.post.lips import Lips
from facerig.rig import rig
from facerig.stage import Frames
from facerig.train.teacher.expression import expressive

NAMES = rig("facerig").names
MODEL = (*NAMES, *(f"contact:{name}" for name in EVIDENCE))


def spoken(frames: int = 240, seed: int = 0) -> Frames:
    """Columns of a model: a babble with a "p" of 6 frames every half second, silence from frame 180 on."""
    rng = np.random.default_rng(seed)
    out = np.zeros((frames, len(MODEL)), np.float32)
    jaw = 0.2 + 0.15 * np.sin(np.arange(frames) / 5)
    closed = (np.arange(frames) % 30 < 6) & (np.arange(frames) < 180)
    jaw[closed] *= 0.4
    out[:, MODEL.index("jawOpen")] = jaw
    out[:, MODEL.index("mouthClose")] = np.where(closed, 0.7 * jaw, 0)
    for name in ("mouthLowerDownLeft", "mouthUpperUpRight", "mouthFunnel"):
        out[:, MODEL.index(name)] = 0.2 * rng.random(frames)
    out[:, MODEL.index("contact:bilabial")] = closed
    out[:, MODEL.index("contact:speech")] = np.arange(frames) < 180
    out[180:, : len(NAMES)] = 0
    return np.asarray(out, np.float32)


def shown(columns: Frames, rows: Frames, block: int = 0) -> Frames:
    express, lips = Express(MODEL), FeltLips(MODEL)
    first, second, parts, step = express.start(), lips.start(), [], block or len(columns)
    for at in range(0, len(columns), step):
        span = np.concatenate([columns[at : at + step], rows[at : at + step]], axis=1)
        first, out = express.push(first, span)
        second, out = lips.push(second, out)
        parts.append(out)
    return np.concatenate(parts)


def taught(columns: Frames, rows: Frames) -> Frames:
    """The columns with the teacher's expression in the place of the network's."""
    out = columns.copy()
    energy = np.where(columns[:, MODEL.index("contact:speech")] > 0, -20.0, -70.0).astype(np.float32)
    out[:, : len(NAMES)] = expressive(columns[:, : len(NAMES)], code.condition(rows), columns[:, len(NAMES) :], energy)
    return np.asarray(out, np.float32)


def asked(name: str, frames: int = 240) -> Frames:
    controls = Controls()
    controls.replace(0, "emotion", space.columns({name: 1.0}), 0)
    return controls.rows(0, frames)


def test_unasked_it_is_lips_to_the_bit_and_rows_without_rests_are_taken() -> None:
    columns, lips = spoken(), Lips(MODEL)
    plain = lips.push(lips.start(), columns)[1]
    assert shown(columns, rows_of(240)).tobytes() == plain.tobytes()
    felt = FeltLips(MODEL)
    assert felt.push(felt.start(), columns)[1].tobytes() == plain.tobytes()
    assert felt.delay == lips.delay


@pytest.mark.parametrize("name", EMOTIONS)
def test_a_closure_closes_under_every_emotion(name: str) -> None:
    columns, rows = spoken(), asked(name)
    mouth = mouth_measures(builtin_head(), NAMES)
    late = FeltLips(MODEL).delay
    neutral = mouth.apply(shown(columns, rows_of(240)))[:, mouth.index("gap")]
    gap = mouth.apply(shown(taught(columns, rows), rows))[:, mouth.index("gap")]
    for at in range(33 + late, 180, 30):  # the middle of every closure
        assert gap[at] <= max(neutral[at], 0.5)


@pytest.mark.parametrize("name", ["fear", "angry", "surprise"])
def test_a_mood_stays_on_a_silent_mouth_and_comes_without_a_jump(name: str) -> None:
    columns, rows = spoken(), asked(name)
    out = shown(taught(columns, rows), rows)
    still = looks.looks().still[EMOTIONS.index(name)]
    moved = [NAMES.index(channel) for channel in resting() if still[NAMES.index(channel)] > 0.1]
    assert moved
    assert np.allclose(out[-1, moved], still[moved], atol=0.02)
    assert not shown(columns, rows_of(240))[-1, moved].any()
    assert np.abs(np.diff(out[200:, moved], axis=0)).max() < 0.15


@pytest.mark.parametrize("block", [1, 6, 7])
def test_cut_anywhere_it_is_the_same(block: int) -> None:
    rows = np.concatenate([asked("fear")[:100], asked("happy")[:140]])
    assert np.array_equal(shown(spoken(), rows), shown(spoken(), rows, block))


def test_what_is_raised_moves_its_own_channels_and_never_a_closure() -> None:
    columns = spoken()
    rows = Controls({"raise:brows": 1.0, "raise:jaw": 1.0}).rows(0, 240)
    change = shown(columns, rows) - shown(columns, rows_of(240))
    own = {"browInnerUp", "browOuterUpLeft", "browOuterUpRight", "jawOpen", "mouthClose"}
    spoken_of = slice(4, 178)  # in silence what is left of a pose goes by its jaw
    assert {NAMES[k] for k in np.flatnonzero(np.abs(change[spoken_of]).max(0) > 1e-6)} <= own
    mouth = mouth_measures(builtin_head(), NAMES)
    gap = mouth.apply(shown(columns, rows))[:, mouth.index("gap")]
    assert gap[35 :: 30][:4].max() < 0.6
    assert rows.shape[1] == WIDTH


def test_a_jaw_that_hangs_makes_way_for_closures_without_a_jump() -> None:
    columns, up = spoken(), Controls({"raise:jaw": 1.0}).rows(0, 240)
    plain, low = shown(columns, rows_of(240)), shown(columns, up)
    jaw, close = NAMES.index("jawOpen"), NAMES.index("mouthClose")
    steps = [np.abs(np.diff(curves[4:, jaw])).max() for curves in (plain, low)]
    assert steps[1] < steps[0] + 0.1
    free = np.isin(np.arange(240) % 30, range(18, 26))
    assert np.allclose(low[free, jaw], plain[free, jaw] + 0.5, atol=0.01)
    gap, lower = (curves[:178, jaw] - curves[:178, close] for curves in (plain, low))
    assert (gap < 0.01).sum() > 12
    assert np.all(lower[gap < 0.01] < 0.06)
    felt = np.concatenate([up[:120], asked("surprise")[:120]])
    felt[60:, [k for k in range(WIDTH) if up[0, k]]] = up[0, [k for k in range(WIDTH) if up[0, k]]]
    for block in (1, 7):
        assert np.array_equal(shown(columns, felt), shown(columns, felt, block))


def test_jaws_that_hang_are_stepped_together_as_alone() -> None:
    express, lips = Express(MODEL), FeltLips(MODEL)
    columns = [spoken(seed=k) for k in range(3)]
    asked_for = [Controls({"raise:jaw": amount}).rows(0, 240) for amount in (0.0, 1.0, 0.3)]
    rows = np.stack([express.push(express.start(), np.concatenate(both, axis=1))[1]
                     for both in zip(columns, asked_for, strict=True)])  # fmt: skip
    state, parts = tuple(np.stack([one] * 3) for one in lips.start()), []
    for at in range(0, 240, 6):
        state, out = lips.push_batch(state, rows[:, at : at + 6])
        parts.append(out)
    alone = [shown(own, row) for own, row in zip(columns, asked_for, strict=True)]
    assert np.array_equal(np.concatenate(parts, axis=1), np.stack(alone))


# ---- the teacher ----------------------------------------------------------------------------------------------------


def test_the_teacher_leaves_neutral_speech_alone_and_grows_with_intensity() -> None:
    columns = spoken()
    neutral = np.clip(columns[:, : len(NAMES)], 0, 1)
    assert np.array_equal(taught(columns, rows_of(240))[:, : len(NAMES)], neutral)
    for name in EMOTIONS:
        sizes = []
        for intensity in (0.25, 0.5, 1.0):
            controls = Controls({"intensity": intensity, f"emotion:{name}": 1.0})
            sizes.append(np.abs(taught(columns, controls.rows(0, 240))[:, : len(NAMES)] - neutral).mean())
        assert sizes[0] < sizes[1] < sizes[2]


def test_every_emotion_and_style_is_in_the_tables() -> None:
    known = looks.looks()
    assert known.still.any(axis=1).all()
    assert known.still.min() >= 0
    assert known.still.max() <= 1.1  # what the chain cuts is little
    tables = ("units", "emotions", "speech", "styles", "timing", "raise")
    assert all(row["source"] for name in tables for row in looks.table(name))


# ---- references -----------------------------------------------------------------------------------------------------


def babble(frames: int = 600, jaw: float = 1.0, smile: float = 0.0) -> Curves:
    time = np.arange(frames) / 60
    size, rest = reference.neutral_channels()
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)[:, None]
    values = (rest + size * wave).astype(np.float32)
    values[:, NAMES.index("jawOpen")] *= jaw
    for side in ("Left", "Right"):
        values[:, NAMES.index(f"mouthSmile{side}")] += smile
    return Curves(NAMES, 60, np.clip(values, 0, 1))


def test_a_style_goes_the_way_of_its_reference() -> None:
    axes = [axis.name for axis in styles.AXES]
    small, large = (reference.style_of(babble(jaw=size))[axes.index("jaw")] for size in (0.6, 1.4))
    assert small < -0.3 < 0.3 < large
    assert reference.style_of(babble(smile=0.3))[axes.index("smile")] > 0.4
    assert abs(reference.style_of(babble())[axes.index("smile")]) < 0.2


def test_learnt_habits_are_written_read_and_applied(tmp_path: Path) -> None:
    learnt = reference.learn([babble(jaw=1.4, smile=0.25)])
    again = reference.read_learnt(write_file(tmp_path / "anna.style.json", learnt.to_json().encode()))
    path = str(tmp_path / "anna.style.json")
    assert again.code == learnt.code == styles.style(path, files=True)
    with pytest.raises(OptionError):  # who asks over a wire has no files here
        styles.style(path)
    assert styles.style(styles.portable(path)) == pytest.approx(learnt.code)
    assert styles.portable("tense:0.4") == "tense:0.4"
    take = babble()
    made = again.apply(take)
    jaw, close = NAMES.index("jawOpen"), NAMES.index("mouthClose")
    assert np.allclose(made.values[:, jaw], np.clip(1.4 * take.values[:, jaw], 0, 1), atol=0.03)
    assert again.gain[jaw] == again.gain[close]
    assert made["mouthSmileLeft"].mean() > take["mouthSmileLeft"].mean() + 0.1
    assert again.apply(take, 0.0) == take


def test_a_style_meets_a_live_link_file_and_leaves_head_and_eyes_alone(tmp_path: Path) -> None:
    """animate -> csv -> style apply -> csv: JawOpen is jawOpen, and angles are no shapes."""
    learnt = reference.learn([babble(jaw=1.4, smile=0.25)])
    style = write_file(tmp_path / "a.style.json", learnt.to_json().encode())
    sound = tmp_path / "a.wav"
    soundfile.write(sound, np.random.default_rng(0).normal(0, 0.1, 48_000), 24_000)
    assert run(["animate", str(sound), "-o", str(tmp_path / "a.csv"), "--model", "fake"]) == 0
    take = exporters.read(tmp_path / "a.csv")
    turned = {name: np.linspace(-0.4, 0.4, take.frames) for name in ("HeadPitch", "HeadYaw", "LeftEyeYaw")}
    take = take.with_channels(turned)
    write_file(tmp_path / "a.csv", exporters.export(take, "csv"))
    made = {}
    for strength in ("0", "1"):
        out = tmp_path / f"out{strength}.csv"
        assert run(["style", "apply", str(tmp_path / "a.csv"), "--style", str(style), "-o", str(out), "--strength",
                    strength]) == 0
        made[strength] = exporters.read(out)
    assert np.allclose(made["0"].values, take.values, atol=1e-6)
    assert np.allclose(made["1"]["JawOpen"], learnt.gain[NAMES.index("jawOpen")] * take["JawOpen"], atol=0.01)
    assert made["1"]["MouthSmileLeft"].mean() > take["MouthSmileLeft"].mean() + 0.1
    for name in turned:
        assert np.allclose(made["1"][name], take[name], atol=1e-6)


def test_what_is_outside_the_range_stays_at_strength_0_and_angles_always() -> None:
    learnt = reference.learn([babble(jaw=1.4, smile=0.25)])
    take = Curves(("jawOpen", "headYaw", "other"), 60, [[-0.1, -0.5, -3.0], [0.5, 0.5, 3.0], [1.2, 0.0, 0.0]])
    assert learnt.apply(take, 0.0) == take
    made = learnt.apply(take)
    assert np.array_equal(made.values[:, 1:], take.values[:, 1:])
    assert made["jawOpen"][1] > 0.6


def test_a_take_that_no_style_can_change_is_refused() -> None:
    learnt = reference.learn([babble(jaw=1.4)])
    with pytest.raises(CurvesError, match=r"got channels CTRL_expressions_jawOpen.*accepted.*facerig convert"):
        learnt.apply(Curves(("CTRL_expressions_jawOpen", "headYaw"), 60, [[0.5, 0.1]]))


@pytest.mark.parametrize("text", ["", "{}", "[]", "[" * 100_000, '{"format": "facerig-style"}', '{"format": "x"}',
                                  "nul"])  # fmt: skip
def test_files_that_are_no_style(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.style.json"
    path.write_text(text)
    with pytest.raises(InputError):
        reference.read_learnt(path)


def test_too_little_and_too_much_is_refused() -> None:
    with pytest.raises(CurvesError):
        reference.style_of(babble(60))
    with pytest.raises(CurvesError):
        reference.learn([babble(6000), babble(6000)])
    with pytest.raises(CurvesError):
        reference.learn([])
    with pytest.raises(CurvesError, match=r"got 4\.9 s in all, accepted: 5 to 180 s"):
        reference.learn([babble(150), babble(144)])
    halves, whole = reference.learn([babble(240), babble(240)]), reference.learn([babble(480)])
    assert halves.code == pytest.approx(whole.code, abs=0.1)


def test_a_real_capture_gives_a_style() -> None:
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "captures" / "MySlate_3_Jason_Millers_iPhone.csv"
    if not path.is_file():
        pytest.skip("../shared/data is absent")
    learnt = reference.learn([exporters.read(path)])
    assert all(-1 <= number <= 1 for number in learnt.code)
    assert np.isfinite(learnt.gain).all()
