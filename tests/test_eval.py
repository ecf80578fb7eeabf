"""The scoreboard's rulers: events matched one to one, correlations and lags, rivals, critics; and a small real run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facerig
from facerig.cli import run
from facerig.errors import InputError, OptionError
from facerig.phones import Timed, unit_index, units
from facerig.train import rests
from facerig.train.corpora.conditions import non_speech_sounds
from facerig.train.evaluate import everyday, published, sets
from facerig.train.evaluate.content import Content, auc, own_bar
from facerig.train.evaluate.critics import critic, distance, viseme_string
from facerig.train.evaluate.events import Event, Matches, matched, near, runs, spoken_events
from facerig.train.evaluate.everyday import everyday_sounds
from facerig.train.evaluate.motion import EmaMotion, Track, correlation
from facerig.train.evaluate.report import targets
from facerig.train.evaluate.rivals import Rhubarb, read_tsv
from facerig.train.evaluate.scoreboard import BASELINES, Options, all_systems, floors, rivals_of
from facerig.train.evaluate.sets import Clip, load, missing
from facerig.train.evaluate.shown import Shown, far_silence, lip_gap, open_vowels
from facerig.train.evaluate.systems import BAR, CHANNELS, ModelSystem, Output, Regression, Simple, taught, untold

TIMED = [Timed(0.0, 0.5, "sil"), Timed(0.5, 0.6, "m"), Timed(0.6, 0.8, "a"), Timed(0.8, 0.85, "m"),
         Timed(0.85, 0.9, "p"), Timed(0.9, 1.1, "a"), Timed(1.1, 2.0, "sil")]  # fmt: skip


def clip(timed: list[Timed] = TIMED) -> Clip:
    samples = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    return Clip("toy/a", "toy", "en", "nobody", samples, 16_000, timed)


def test_touching_closures_are_one_event() -> None:
    found = spoken_events(TIMED, "bilabial")
    assert found == [Event(0.5, 0.6), Event(0.8, 0.9)]


def test_runs_are_placed_between_frames_and_bridge_single_gaps() -> None:
    signal = np.array([0, 0, 0.2, 0.8, 0.9, 0.1, 0.9, 0, 0, 0, 0.9], np.float32)
    found = runs(signal, 0.5)
    assert [e.start * 60 for e in found] == pytest.approx([2.5, 10 - 0.4 / 0.9])
    assert found[0].end * 60 == pytest.approx(6 + 0.4 / 0.9)


def test_one_found_event_answers_for_one_wanted() -> None:
    wanted = [Event(1.0, 1.1), Event(1.15, 1.25)]
    assert len(matched(wanted, [Event(1.0, 1.3)], near)) == 1
    counts = Matches()
    counts.add(wanted, [Event(1.01, 1.1), Event(1.16, 1.2), Event(3.0, 3.1)])
    figures = counts.figures()
    assert figures["recall"] == 100
    assert figures["precision"] == pytest.approx(66.7)
    assert figures["onset_error_ms"] == pytest.approx(10, abs=0.1)


def test_what_may_go_either_way_is_no_false_alarm_and_no_hit() -> None:
    wanted, either = [Event(1.0, 1.1)], [Event(2.0, 2.1), Event(1.12, 1.2)]
    counts = Matches()
    counts.add(wanted, [Event(1.01, 1.1), Event(2.0, 2.05), Event(3.0, 3.1)], either)
    assert (counts.wanted, counts.found, counts.hits) == (1, 2, 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 9), max_size=8), st.lists(st.floats(0, 9), max_size=8))
def test_matches_never_exceed_either_side(left: list[float], right: list[float]) -> None:
    wanted, found = ([Event(t, t + 0.05) for t in sorted(times)] for times in (left, right))
    pairs = matched(wanted, found, near)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


def test_the_truth_scores_full_marks_and_a_guess_does_not() -> None:
    content, guessed = Content(), Content()
    content.add(clip(), taught(clip()))
    figures = content.figures()
    assert figures["viseme15"] == figures["units"] == figures["speech_silence"] == 100
    assert figures["pbm_recall"] == figures["pbm_precision"] == 100
    flat = np.zeros((120, len(units())), np.float32)
    flat[:, unit_index("a")] = 1
    guessed.add(clip(), Output(None, None, flat, {"bilabial": np.zeros(120, np.float32)}))
    assert guessed.figures()["viseme15"] == pytest.approx(100 * 24 / 120)
    assert guessed.figures()["pbm_recall"] == 0
    assert guessed.figures()["pbm_precision"] is None


def test_scores_a_third_bar_and_all_are_judged_alike() -> None:
    whole, thirds, misjudged = Content(), Content(), Content()
    out = taught(clip())
    third = {name: signal / 3 for name, signal in out.contacts.items()}
    whole.add(clip(), out)
    thirds.add(clip(), replace(out, contacts=third, bar=(out.bar[0] / 3, out.bar[1] / 3)))
    misjudged.add(clip(), replace(out, contacts=third))
    assert thirds.figures() == whole.figures()
    assert misjudged.figures()["pbm_recall"] == 0  # though it hears the very same


def test_a_system_finds_the_bar_at_which_it_misses_as_much_as_it_makes_up() -> None:
    quiet = np.full(120, 0.02, np.float32)
    quiet[30:36], quiet[48:54], quiet[80:84] = 0.3, 0.26, 0.2  # both closures, and a weaker false alarm
    system = Simple("quiet", lambda _: Output(contacts={"bilabial": quiet}))
    enter, leave = own_bar(system, [clip()])
    assert 0.2 < enter <= 0.26
    assert leave / enter == pytest.approx(BAR[1] / BAR[0])


def test_closures_are_seen_on_a_head_and_a_shut_mouth_is_no_success(shared_data: Path) -> None:
    assert shared_data.is_dir()
    right, shut = Shown(), Shown()
    right.add(clip(), taught(clip()))
    shut.add(clip(), Output(np.zeros((120, 68), np.float32)))
    assert right.figures()["closed_at_pbm"] == 100
    assert right.figures()["closed_in_open_vowels"] == 0
    assert shut.figures()["closed_at_pbm"] == 100
    assert shut.figures()["closed_in_open_vowels"] == 100
    open_jaw = np.zeros((1, 68), np.float32)
    open_jaw[0, CHANNELS.index("jawOpen")] = 0.5
    assert 8 < lip_gap(open_jaw)[0] < 25
    open_jaw[0, CHANNELS.index("mouthClose")] = 0.5
    assert lip_gap(open_jaw)[0] < 0.5


def test_lips_that_meet_in_a_pause_claim_nothing_and_a_hit_there_stays_one() -> None:
    curves = np.zeros((120, 68), np.float32)
    curves[:, CHANNELS.index("jawOpen")] = 0.5
    for start, end in ((0.1, 0.52), (0.8, 0.9), (1.05, 1.9)):  # a long rest into m, m and p, a long rest after a
        curves[round(start * 60) : round(end * 60)] = 0
    counted = Shown()
    counted.add(clip(), Output(curves))
    figures = counted.figures()
    assert figures["gap_recall"] == 100
    assert figures["gap_precision"] == 100
    curves[40:45] = 0  # in the middle of a vowel
    counted.add(clip(), Output(curves))
    assert counted.figures()["gap_precision"] == 80


def test_vowels_and_silences_are_judged_away_from_their_neighbours() -> None:
    vowels = open_vowels(TIMED, spoken_events(TIMED, "bilabial"))
    np.testing.assert_allclose(vowels, [Event(0.65, 0.75), Event(0.95, 1.05)])
    still = np.flatnonzero(far_silence(TIMED, 120))
    assert still.min() == 0
    assert 1.3 * 60 <= still[still > 60].min() <= 1.35 * 60


def test_lag_and_correlation() -> None:
    signal = np.random.default_rng(1).normal(size=300).cumsum().astype(np.float32)
    track = Track()
    track.add(signal[:-3], 2 * np.roll(signal, 3)[:-3])
    figures = track.figures()
    assert figures["lag_ms"] == 50
    assert figures["best_r"] == pytest.approx(1, abs=0.02)
    assert figures["amplitude"] == pytest.approx(2, abs=0.1)
    assert correlation(signal, np.zeros(300, np.float32)) == 0
    held = Track()
    for offset in (0.0, 50.0):  # a head held otherwise in every clip
        held.add(signal + np.float32(offset), signal)
    assert held.figures()["r_in_clips"] == 1
    assert held.figures()["r"] < 0.7
    assert auc([np.array([1, 2], np.float32)], [np.array([0, 1], np.float32)]) == 0.875


def test_points_on_lips_and_jaw_are_judged_clip_by_clip_and_the_right_way_up() -> None:
    phase = np.sin(np.arange(120) / 7).astype(np.float32)
    columns = ("upper_lip_z", "lower_lip_z", "jaw_z")
    judge = EmaMotion()
    for k, placed in enumerate((0.0, 30.0)):  # the points of the second talker sit elsewhere
        points = np.stack([placed + phase, placed - 2 * phase, placed - phase], 1)
        seen = replace(clip(), id=f"ema/{k}", motion=points, columns=columns)
        judge.add(seen, Output(tracks={"gap_inner": phase + k, "jaw_drop": phase * (-1) ** k}))
    figures = judge.figures()
    assert figures["lips"]["r"] == 1
    assert figures["jaw"]["r"] == 0  # one talker's jaw falls, the other's rises where it should fall
    assert figures["jaw"]["clips"]["1"]["r"] == -1


def test_edit_distance_and_viseme_strings() -> None:
    assert distance([1, 2, 3], [1, 3]) == 1
    assert distance([], [1, 2]) == 2
    assert distance([1, 2, 3, 4], [2, 3, 4, 5]) == 2
    assert viseme_string([Timed(0, 1, "sil"), Timed(1, 2, "p"), Timed(2, 3, "b"), Timed(3, 4, "a")]) == [1, 10]


def test_the_lip_reader_reads_the_teacher_better_than_a_still_face() -> None:
    from facerig.train.evaluate.critics import read
    from facerig.transcript.articulation import teach

    net = critic("reader")
    if net is None:
        pytest.skip("the critics are not installed")
    rng = np.random.default_rng(4)
    sounds = [unit.unit for unit in units() if not unit.is_silence]
    timed = [Timed(0.3 + k * 0.1, 0.4 + k * 0.1, sounds[rng.integers(len(sounds))]) for k in range(60)]
    wanted = viseme_string(timed)
    assert distance(wanted, read(net, teach(timed, 400))) < 0.8 * len(wanted)
    assert distance(wanted, read(net, np.zeros((400, 68), np.float32))) == len(wanted)


# ---- rhubarb's published figures ----------------------------------------------------------------------------


def errors(curves: np.ndarray) -> dict[str, float | None]:
    measure = published.Measure()
    measure.add(clip(), Output(curves.astype(np.float32)))
    return measure.figures()


def test_errors_of_the_truth_of_a_shut_and_of_an_open_mouth() -> None:
    truth = taught(clip()).curves
    assert truth is not None
    right, shut = errors(truth), errors(np.zeros((120, 68)))
    wide = np.zeros((120, 68))
    wide[:, CHANNELS.index("jawOpen")] = 0.6
    assert (right["missed"], right["closed_vowels"], right["open_silences"]) == (0, 0, 0)
    assert (shut["missed"], shut["closed_vowels"], shut["open_silences"]) == (0, 100, 0)
    assert (errors(wide)["missed"], errors(wide)["closed_vowels"], errors(wide)["open_silences"]) == (100, 0, 100)


def test_a_passing_fault_counts_inside_and_not_at_the_middle() -> None:
    passing = np.zeros((120, 68))
    passing[18:20, CHANNELS.index("jawOpen")] = 0.6  # 0.3 s: in the middle half of the first pause, past its middle
    assert errors(passing)["open_silences"] == 50
    assert errors(passing)["open_silences_at_middle"] == 0


def test_errors_beside_the_published_ones() -> None:
    own = dict(zip((*published.KINDS, *published.MIDDLE[1:]), (10.0, 0.0, 2.0, 0.0, 1.0), strict=True))
    table = {name: {"clips": 41, "systems": {"m": {"errors": own}}} for name in ("css10_es", "grid")}
    beside = published.compared(table, "m")
    assert set(beside["sets"]) == {"css10_es"}
    held = beside["sets"]["css10_es"]
    assert held["missed"] == {"ours": 10.0, "published": 25.0, "times_fewer": 2.5}
    assert held["closed_vowels"]["times_fewer"] is None  # no error at all
    assert held["all"] == {"ours": 12.0, "published": 59.0, "times_fewer": 4.92}
    assert "another's run" in beside["source"]
    assert ("css10_es", "rhubarb's errors over ours", ">= 2", "4.92", "reached") in targets(
        {"model": "m", "sets": {}, "rhubarb_published": beside})
    assert published.compared({}, "m") == {}
    assert dict(zip(published.CLIPS, (26, 41), strict=True)) == {
        name: count for name, count, _, _ in sets.SETS if name in published.CLIPS}  # what a full run has


def test_figures_of_fewer_clips_stand_beside_no_published_ones() -> None:
    own = dict.fromkeys((*published.KINDS, *published.MIDDLE[1:]), 1.0)
    table = {name: {"clips": 6, "systems": {"m": {"errors": own}}} for name in published.CLIPS}
    beside = published.compared(table, "m")
    assert beside["sets"] == {}
    assert beside["left_out"]["ljspeech"].startswith("not compared: 6 of the 26 clips")
    assert not [row for row in targets({"model": "m", "sets": {}, "rhubarb_published": beside}) if "rhubarb" in row[1]]


# ---- what is said beside the sound, baselines, sounds that are no speech ------------------------------------


def test_the_row_beside_a_text_has_one_of_the_same_clips_without_it() -> None:
    heard = taught(clip())
    alone = untold(cast(ModelSystem, Simple("m", lambda _: heard)))
    assert alone.run(replace(clip(), text="mama")) is heard
    assert alone.run(clip()).units is None


def test_baselines_that_need_an_absent_set_are_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACERIG_DATA", str(tmp_path))
    (tmp_path / "grid").mkdir()  # half a set is none
    told: list[str] = []
    config = ModelSystem("fake").config
    assert [system.name for system in floors(True, told.append, config)] == ["static", "loudness"]
    assert any("ridge" in text and "GRID" in text for text in told)
    assert load("grid") == []
    assert "tracks.npz is absent" in missing("grid")


def test_every_baseline_has_its_name_kept(shared_data: Path) -> None:
    assert (shared_data / "grid").is_dir()
    model = ModelSystem("fake")
    judged = all_systems(model, Options(quick=True), lambda _: None)
    assert tuple(system.name for system in judged) == (model.name, *BASELINES)
    regressions = [system for system in judged if isinstance(system, Regression)]
    assert all(system.bar[0] < 0.55 for system in regressions)  # least squares shrinks what is rare
    assert all(system.bar != BAR for system in regressions)  # their own


def test_sounds_that_are_judged_are_made_by_nothing_that_is_learnt_from() -> None:
    made = everyday_sounds(1.0)
    assert all(np.abs(sound).max() == pytest.approx(10 ** (-6 / 20)) for sound in made.values())
    assert all(np.array_equal(made[name], again) for name, again in everyday_sounds(1.0).items())
    assert not set(everyday.SOUNDS.values()) & set(rests.KINDS.values())
    assert not set(made) & {*non_speech_sounds(0.1)}
    package = Path(facerig.__file__).parent
    users = {path.stem for path in package.rglob("*.py") if "everyday_sounds" in path.read_text("utf-8")}
    assert users == {"everyday", "scoreboard"}
    assert "corpora" not in Path(everyday.__file__).read_text("utf-8").split('"""', 2)[2]


# ---- rivals and the command -------------------------------------------------------------------------------


def test_rhubarb_shapes_become_faces(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("0.00\tX\n0.50\tA\n0.60\tD\n1.10\tX\n")
    rival = Rhubarb(f"rhubarb={tmp_path}")
    out = rival.run(clip())
    assert out.curves is not None
    assert out.curves[40, CHANNELS.index("jawOpen")] == 0.5
    assert runs(out.contacts["bilabial"], 0.4)[0].start == pytest.approx(0.5, abs=1 / 60)
    assert rival.run(Clip("toy/b", "toy", "en", "", np.zeros(10, np.float32), 16_000)).curves is None


def test_a_rival_may_not_take_another_rows_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.tsv").write_text("0.00\tX\n")
    files = [f"rhubarb={tmp_path}/{name}.tsv" for name in ("a", "b")]
    assert len(rivals_of(Options(rivals=tuple(files)), "small")) == 2  # several files of one rival
    for name in ("small", "with text", "ridge"):
        with pytest.raises(OptionError, match="another row has"):
            rivals_of(Options(rivals=(f"{name}={tmp_path}",)), "small")


@pytest.mark.parametrize(("text", "message"), [
    ("0.0 Q", "shape 'Q'"), ("zero A", "SECONDS"), ("", "is empty"), ("0.0", "SECONDS"), ("nan A", "shape 'A'"),
])  # fmt: skip
def test_bad_rivals_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_tsv(tmp_path / "a.tsv")
    with pytest.raises(OptionError, match="NAME=FILE"):
        Rhubarb("a.tsv")
    with pytest.raises(InputError, match="no rhubarb output"):
        Rhubarb(f"r={tmp_path}/none")


def test_the_command_on_two_real_clips(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stems = sorted(path.stem for path in (shared_data / "emu" / "ae").glob("*/*_bndl/*.wav"))
    for stem in stems:
        (tmp_path / f"{stem}.tsv").write_text("0.00\tX\n1.00\tD\n2.00\tX\n")
    arguments = ["eval", "--sets", "emu_ae", "--quick", "--model", "fake", "--no-baselines", "--rival", f"r={tmp_path}"]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    result = json.loads(lines[-1])
    assert set(result["sets"]["emu_ae"]["systems"]) == {"fake", "r"}
    assert result["sets"]["emu_ae"]["systems"]["fake"]["closed_at_pbm"] is not None
    assert set(result["not_speech"]) >= {"siren", "applause", "phone ring", "barking"}
    assert set(result["not_speech_learnt"]) >= {"cough", "hum", "digital silence"}
    assert result["rules"]["event_tolerance_ms"] == 40
    assert any("emu_ae" in line for line in lines[:-1])
    assert max(map(len, lines[:-1])) <= 82
    assert targets(result)


def test_unknown_sets_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "--sets", "timit", "--model", "fake"]) == 2
    assert "accepted: ljspeech" in capsys.readouterr().err
