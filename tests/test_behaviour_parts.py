"""Each behaviour against what it is stated to do: blinks, saccades, looks, head, answers, gestures, direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facerig.behaviour import INPUTS, Life, Tuning
from facerig.behaviour.commands import moves, perform
from facerig.behaviour.direction import azimuth_of, directions, follow
from facerig.behaviour.gaze import DOWNWARDS, SIDEWAYS, UPWARDS
from facerig.behaviour.random import drawn, even, keyed, noise, normal, places, uniform
from facerig.behaviour.scene import CHANNELS, CURVES
from facerig.behaviour.skeleton import Skeleton
from facerig.behaviour.tables import NAMES, TABLE, markdown
from facerig.controls import EMOTIONS, WIDTH, Controls, rows_of
from facerig.errors import AudioError, OptionError
from facerig.prosody import ACCENT, PHRASE_END, VOICE
from facerig.stage import FPS, Frames

FIRST, SOUND = INPUTS - WIDTH, CURVES
GOLDEN = [0.203103, 0.338052, 0.26913]  # seed 0, stream blink
QUIET = {"life:blink": 0.0, "life:gaze": 0.0, "life:head": 0.0, "life:idle": 0.0, "life:react": 0.0}


def rows(seconds: float, **values: float) -> Frames:
    out = np.zeros((round(seconds * FPS), INPUTS), np.float32)
    out[:, FIRST:] = Controls({name.replace("__", ":"): value for name, value in values.items()}).rows(0, len(out))
    return out


def live(inputs: Frames, seed: int = 1, tuning: dict[str, float] | None = None) -> Frames:
    life = Life(Tuning(tuning or {}))
    state, parts = life.start(0, seed), []
    for at in range(0, len(inputs), 60):
        state, out = life.push(state, inputs[at : at + 60])
        parts.append(out)
    return np.concatenate(parts)


def channel(take: Frames, name: str) -> Frames:
    return np.asarray(take[:, CHANNELS.index(name)], np.float64)


def head(take: Frames) -> Frames:
    """[n, 3] degrees left, up, to the right shoulder."""
    return np.degrees([channel(take, "headYaw"), -channel(take, "headPitch"), channel(take, "headRoll")]).T


def eyes(take: Frames) -> Frames:
    """[n, 3]: yaw of the left and the right eye, and pitch, in degrees of the head."""
    left = (channel(take, "eyeLookOutLeft") - channel(take, "eyeLookInLeft")) * SIDEWAYS
    right = (channel(take, "eyeLookInRight") - channel(take, "eyeLookOutRight")) * SIDEWAYS
    up = channel(take, "eyeLookUpLeft") * UPWARDS - channel(take, "eyeLookDownLeft") * DOWNWARDS
    return np.stack([left, right, up], axis=1)


def only(name: str, **values: float) -> dict[str, float]:
    """Controls with one behaviour on."""
    return {**{key.replace(":", "__"): value for key, value in QUIET.items()}, f"life__{name}": 1.0, **values}


# ---- randomness -----------------------------------------------------------------------------------------------------


def test_random_numbers_are_what_they_always_were() -> None:
    assert [round(float(x), 6) for x in uniform(0, "blink", np.arange(3))] == GOLDEN
    assert uniform(7, "gaze", 10**15)[0] == uniform([5, 7], "gaze", [3, 10**15])[1]


def test_random_numbers_are_uniform_normal_and_independent() -> None:
    index = np.arange(200_000)
    drawn, other = uniform(3, "blink", index), uniform(4, "blink", index)
    assert np.abs(np.histogram(drawn, 20, (0, 1))[0] / 10_000 - 1).max() < 0.05
    for pair in ((drawn, other), (drawn[1:], drawn[:-1]), (drawn, uniform(3, "gaze", index))):
        assert abs(np.corrcoef(*pair)[0, 1]) < 0.01
    gaussian = normal(3, "blink", index)
    assert abs(gaussian.mean()) < 0.01
    assert abs(gaussian.std() - 1) < 0.01


def test_many_draws_at_once_are_the_draws_one_by_one() -> None:
    seeds, index = np.array([3, -7, 2**40]), np.array([0, 5, -1])
    streams = ("gaze", "tilt", "blink")
    together = even(drawn(keyed(seeds).take(places(*streams), axis=-1), index))  # [B, 1, draws]
    alone = [[uniform(seed, name, k)[0] for name, k in zip(streams, index, strict=True)] for seed in seeds]
    assert np.array_equal(together[:, 0], alone)


def test_noise_is_smooth_and_bounded() -> None:
    course = noise(keyed(np.array([1]))[0, 0, places("sway")], np.arange(0, 60, 1 / FPS))
    assert np.abs(course).max() <= 1
    assert np.abs(np.diff(course)).max() < 2 * 1.9 / FPS  # the quintic's steepest slope is 1.875


def test_a_skeleton_has_the_stated_intervals() -> None:
    skeleton, seeds = Skeleton("blink", 0.5), np.arange(40)
    points = skeleton.points(seeds, np.zeros(40, np.int64))
    intervals = np.log(np.diff(points, axis=1)).ravel()
    assert abs(intervals.mean() + 0.125) < 0.02
    assert abs(intervals.std() - 0.5) < 0.02
    wanted = np.quantile(intervals, [0.1, 0.5, 0.9])
    assert np.abs(wanted - (-0.125 + 0.5 * np.array([-1.2816, 0, 1.2816]))).max() < 0.03


def test_a_skeleton_has_its_events_at_any_frame_and_rate() -> None:
    skeleton, frames = Skeleton("blink", 0.5), np.arange(12_000)[None]
    rate = np.full(frames.shape, 0.02)
    start = tuple(np.stack([array]) for array in skeleton.start())
    _, where = skeleton.look(start, np.array([9]), frames * rate, rate)
    assert abs(where.event.sum() / 240 - 1) < 0.1
    assert len(np.unique(where.number)) == pytest.approx(where.event.sum(), abs=3)
    _, later = skeleton.look(start, np.array([9]), frames[:, 9_000:] * 0.02, rate[:, 9_000:])
    assert np.array_equal(later.number, where.number[:, 9_000:])


# ---- blinks ---------------------------------------------------------------------------------------------------------


def begins(lid: Frames) -> Frames:
    return np.flatnonzero((lid[1:] > 0.3) & (lid[:-1] <= 0.3))


@pytest.mark.parametrize(("values", "rate"), [({"state__speaking": 1}, 17), ({"blink_rate": 40}, 40),
                                              ({"state__listening": 1}, 12)])  # fmt: skip
def test_blinks_come_at_their_rate(values: dict[str, float], rate: float) -> None:
    lid = channel(live(rows(300, **only("blink", **values)), tuning={"blink.double": 0}), "eyeBlinkLeft")
    assert len(begins(lid)) / 5 == pytest.approx(rate, rel=0.2)


def test_fear_blinks_more_than_sadness() -> None:
    counts = [len(begins(channel(live(rows(180, **only("blink", **{f"emotion__{name}": 1}))), "eyeBlinkLeft")))
              for name in ("sad", "fear")]  # fmt: skip
    assert counts[1] > 1.4 * counts[0]


def test_a_blink_closes_fully_fast_and_opens_slowly() -> None:
    lid = channel(live(rows(300, **only("blink")), tuning={"blink.half": 0, "blink.double": 0}), "eyeBlinkLeft")
    starts = np.flatnonzero((lid[1:] > 0) & (lid[:-1] == 0)) + 1
    ends = np.flatnonzero((lid[1:] == 0) & (lid[:-1] > 0)) + 1
    lengths = (ends - starts[: len(ends)]) / FPS
    peaks = np.array([lid[a:b].argmax() + 1 for a, b in zip(starts, ends, strict=False)]) / FPS
    assert all(lid[a:b].max() == 1 for a, b in zip(starts, ends, strict=False))
    assert np.mean(lengths) == pytest.approx(0.217, abs=0.012)
    assert np.mean(peaks) == pytest.approx(0.083, abs=0.01)
    assert np.std(lengths) > 0.01


def test_halves_and_doubles_have_their_shares() -> None:
    tuning = {"blink.half": 0.3, "blink.double": 0.2, "blink.drawn": 0}
    lid = channel(live(rows(480, **only("blink", blink_rate=30)), tuning=tuning), "eyeBlinkLeft")
    at = begins(lid)
    gaps = np.diff(at) / FPS
    assert (gaps < 0.5).sum() / (gaps >= 0.5).sum() == pytest.approx(0.2, abs=0.08)
    first = at[np.concatenate([[True], gaps >= 0.5])]
    peaks = np.array([lid[k : k + 8].max() for k in first])
    assert (peaks < 0.99).mean() == pytest.approx(0.3, abs=0.08)


def test_a_closed_lid_stays_closed_and_a_low_one_closes_from_where_it_is() -> None:
    for level in (1.0, 0.4):
        inputs = rows(60, **only("blink"))
        inputs[:, [CHANNELS.index("eyeBlinkLeft"), CHANNELS.index("eyeBlinkRight")]] = level
        lid = channel(live(inputs), "eyeBlinkLeft")
        assert lid.min() >= np.float32(level)
        assert lid.max() == 1


def test_lids_follow_the_eyes_up_and_down() -> None:
    down = live(rows(4, **{**only("gaze"), "life__blink": 1, "blink_rate": 0.01, "look__pitch": -25, "look__held": 1}))
    up = live(rows(4, **{**only("gaze"), "life__blink": 1, "blink_rate": 0.01, "look__pitch": 20, "look__held": 1}))
    assert np.median(channel(down, "eyeBlinkLeft")[60:]) > 0.2
    assert np.median(channel(up, "eyeBlinkLeft")[60:]) == 0
    assert np.median(channel(up, "eyeWideLeft")[60:]) > 0.15


def test_due_blinks_wait_for_the_end_of_a_phrase() -> None:
    """With ends every 2 s, more blinks begin within 50 ms of one than chance has it; without patience none do."""
    inputs = rows(300, **only("blink"))
    inputs[::120, SOUND + PHRASE_END] = 1
    shares = []
    for patience in (1.0, 0.0):
        lid = channel(live(inputs, tuning={"blink.drawn": patience, "blink.double": 0}), "eyeBlinkLeft")
        starts = np.flatnonzero((lid[1:] > 0) & (lid[:-1] == 0)) + 1
        shares.append(float((starts % 120 <= 3).mean()))
    assert shares[0] > 0.15
    assert shares[1] < 0.08


# ---- eyes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [5, 12, 25])
def test_saccades_follow_the_main_sequence(degrees: float) -> None:
    asked = Controls({**QUIET, "life:gaze": 1, "look:held": 1})
    asked.set(60, {"look:yaw": degrees}, fade_ms=0)
    inputs = rows(2)
    inputs[:, FIRST:] = asked.rows(0, len(inputs))
    take = live(inputs, tuning={"gaze.scatter": 0, "gaze.tremor": 0, "gaze.scatter_idle": 0, "head.follow": 0})
    course = eyes(take)[:, :2].mean(axis=1)
    assert course[59] == pytest.approx(0, abs=0.01)
    assert course[-1] == pytest.approx(degrees, abs=0.05)
    assert (np.diff(course) >= -1e-5).all()
    milliseconds = (2 * (1 - course[60:90] / degrees).sum() + 1) * 1000 / FPS
    assert milliseconds == pytest.approx(21 + 2.2 * degrees, abs=2)


def test_eyes_stay_on_their_aim_while_the_head_turns() -> None:
    asked = Controls({**QUIET, "life:gaze": 1, "look:held": 1})
    asked.set(60, {"pose:yaw": 20, "pose:pitch": 10}, fade_ms=400)
    inputs = rows(3)
    inputs[:, FIRST:] = asked.rows(0, len(inputs))
    take = live(inputs, tuning={"gaze.scatter": 0, "gaze.tremor": 0, "gaze.scatter_idle": 0})
    turned = head(take)
    assert turned[-1, 0] == pytest.approx(20, abs=1e-3)
    assert np.abs(eyes(take)[:, :2].mean(axis=1) + turned[:, 0]).max() < 0.01
    assert np.abs(eyes(take)[:, 2] + turned[:, 1]).max() < 0.01


def test_no_eye_ever_turns_outwards_of_the_other() -> None:
    for state in ("speaking", "listening", "thinking", "idle"):
        angles = eyes(live(rows(120, **{f"state__{state}": 1})))
        assert (angles[:, 1] - angles[:, 0]).min() > -1e-3  # the right eye is never left open to the right
        assert (angles[:, 1] - angles[:, 0]).max() < 3


def test_eyes_keep_their_limits_and_the_head_takes_the_rest() -> None:
    take = live(rows(4, look__yaw=80, look__held=1, life__idle=0))
    assert eyes(take)[:, :2].max() <= 34.1
    assert (head(take)[-1, 0] + eyes(take)[-60:, :2].mean()) == pytest.approx(80, abs=3)
    assert head(take)[:, 0].max() <= 60


def test_eyes_lead_the_head() -> None:
    asked = Controls({"life:idle": 0, "life:blink": 0, "look:held": 1})
    asked.set(60, {"look:yaw": 40}, fade_ms=0)
    inputs = rows(3)
    inputs[:, FIRST:] = asked.rows(0, len(inputs))
    take = live(inputs)
    onset = [int(np.argmax(np.abs(course - course[59]) > 2)) for course in (eyes(take)[:, 0], head(take)[:, 0])]
    assert 50 <= (onset[1] - onset[0]) * 1000 / FPS <= 150


def test_looks_at_the_other_depend_on_state_and_mood() -> None:
    def on_the_other(**values: float) -> float:
        take = live(rows(180, life__idle=0, **values))
        aim = np.stack([eyes(take)[:, :2].mean(axis=1), eyes(take)[:, 2]], axis=1) + head(take)[:, :2]
        return float((np.hypot(*aim.T) < 3).mean())

    shares = [on_the_other(**{f"state__{state}": 1}) for state in ("thinking", "speaking", "listening")]
    assert shares[0] < 0.6 < shares[1] < shares[2]
    assert on_the_other(state__speaking=1, emotion__grief=1) < shares[1] - 0.1


# ---- head -----------------------------------------------------------------------------------------------------------


def test_a_pose_that_is_held_is_the_pose_unchanged() -> None:
    take = live(rows(5, pose__held=1, pose__yaw=12.5, pose__pitch=-7.25, pose__roll=3.125, state__speaking=1))
    wanted = np.radians(np.array([12.5, 7.25, 3.125], np.float64)).astype(np.float32)
    assert (take[:, CURVES:] == wanted).all()


def stressed(seconds: float = 60, **values: float) -> Frames:
    inputs = rows(seconds, **values)
    inputs[:, SOUND + VOICE] = 1
    inputs[60::45, SOUND + ACCENT] = 1
    return inputs


def test_the_head_nods_just_after_stressed_syllables() -> None:
    pitch = head(live(stressed(120, **only("head", state__speaking=1)), tuning={"head.follow": 0}))[:, 1]
    around = np.stack([pitch[k - 10 : k + 35] for k in range(240, len(pitch) - 60, 45)]).mean(axis=0)
    lowest = (int(around.argmin()) - 10) * 1000 / FPS
    assert 100 <= lowest <= 300
    assert around.max() - around.min() > 0.5


def test_joy_nods_more_than_sadness() -> None:
    spread = [head(live(stressed(60, **only("head", state__speaking=1, **{f"emotion__{name}": 1})),
                        tuning={"head.follow": 0}))[300:, 1].std() for name in ("sad", "happy")]  # fmt: skip
    assert spread[1] > 1.5 * spread[0]


def test_idle_is_never_still_and_never_the_same() -> None:
    take = live(rows(600))
    turned = head(take)
    assert (np.abs(np.diff(turned, axis=0)).max(axis=1) > 0).all()
    for axis in range(3):
        signal = turned[:, axis] - turned[:, axis].mean()
        size = 1 << (2 * len(signal)).bit_length()
        power = np.fft.irfft(np.abs(np.fft.rfft(signal, size)) ** 2, size)[: len(signal) // 2]
        assert (power / power[0])[5 * FPS :].max() < 0.5


# ---- answers --------------------------------------------------------------------------------------------------------


def partner(seconds: float, **values: float) -> Frames:
    """The partner speaks, and ends a phrase every 4 s."""
    inputs = rows(seconds, partner__voice=1, life__blink=0, life__gaze=0, life__idle=0, **values)
    end = FIRST + Controls().rows(0, 1).shape[1]
    assert end == INPUTS
    from facerig.controls import place

    inputs[240::240, FIRST + place("partner:phrase_end")] = 1
    return inputs


def test_a_listener_answers_ends_of_phrases() -> None:
    take = live(partner(120), tuning={"head.follow": 0})
    pitch = head(take)[:, 1]
    after = np.array([np.ptp(pitch[k : k + 70]) for k in range(240, len(pitch) - 80, 240)])
    assert (after > 2).mean() > 0.45
    assert channel(take, "browOuterUpLeft").max() > 0.15
    assert channel(take, "mouthSmileLeft").max() > 0.15


def test_attitude_colours_the_answers() -> None:
    warm, cold = (live(partner(120, attitude=value), tuning={"head.follow": 0}) for value in (1.0, -1.0))
    assert channel(warm, "mouthSmileLeft").mean() > channel(cold, "mouthSmileLeft").mean() + 0.1
    assert channel(cold, "browDownLeft").mean() > 0.15
    assert channel(warm, "browDownLeft").mean() < 0.02
    assert np.ptp(head(cold)[300:, 0]) > np.ptp(head(warm)[300:, 0])  # shakes


def test_nobody_answers_while_speaking() -> None:
    inputs = partner(60, state__speaking=1)
    assert channel(live(inputs, tuning={"brow.flash": 0}), "mouthSmileLeft").max() == 0


def test_brows_flash_on_strong_stresses_only() -> None:
    strong, weak = stressed(60, **only("react", state__speaking=1)), stressed(60, **only("react", state__speaking=1))
    weak[:, SOUND + ACCENT] *= 0.4
    assert channel(live(strong), "browOuterUpLeft").max() > 0.15
    assert channel(live(weak), "browOuterUpLeft").max() == 0


# ---- states ---------------------------------------------------------------------------------------------------------


def test_the_voice_tells_the_state_and_the_client_overrides_it() -> None:
    """Seen in what a state does: stresses nod only while speaking."""
    inputs = stressed(20, **only("head"))
    inputs[600:, SOUND + VOICE] = inputs[600:, SOUND + ACCENT] = 0
    take = head(live(inputs, tuning={"head.follow": 0}))[:, 1]
    assert np.ptp(take[300:600]) > 0.5
    assert np.ptp(take[950:]) < 0.05
    told = head(live(stressed(20, **only("head", state__idle=1)), tuning={"head.follow": 0}))[:, 1]
    assert np.ptp(told[300:]) < 0.2


def test_a_change_of_state_does_not_pop() -> None:
    """The largest step of the head and the brows in the 150 ms after a change is one of its ordinary ones."""
    asked = Controls({"state:idle": 1, "life:gaze": 0})
    asked.replace(600, "state", {"state:thinking": 1}, fade_ms=0)
    inputs = rows(20)
    inputs[:, FIRST:] = asked.rows(0, len(inputs))
    for seed in range(6):
        steps = np.abs(np.diff(head(live(inputs, seed, {"head.follow": 0})), axis=0)).max(axis=1)
        assert steps[599:609].max() <= 1.5 * steps[400:590].max()


# ---- direction ------------------------------------------------------------------------------------------------------

RATE = 16_000


def bursts(seconds: float = 1.0) -> Frames:
    count = int(seconds * RATE)
    return np.random.default_rng(2).standard_normal(count) * 0.1 * (1 + np.sin(np.arange(count) / 600))


def at_microphones(angle: float, spacing: float = 0.18) -> Frames:
    sound = bursts()
    turn = -2j * np.pi * np.fft.rfftfreq(len(sound), 1 / RATE) * np.sin(np.radians(angle)) * spacing / 343
    return np.stack([sound, np.fft.irfft(np.fft.rfft(sound) * np.exp(turn), len(sound))], axis=1)


@pytest.mark.parametrize("angle", [-90, -60, -25, -5, 0, 5, 25, 60, 90])
def test_the_direction_of_a_sound_is_found(angle: float) -> None:
    side = np.radians((90 - angle) / 2)
    assert azimuth_of(np.outer(bursts(), [np.cos(side), np.sin(side)]), RATE) == pytest.approx(angle, abs=2)
    assert azimuth_of(at_microphones(angle), RATE) == pytest.approx(angle, abs=10 if abs(angle) == 90 else 3)


def test_whole_numbers_of_samples_and_silence() -> None:
    as_int = (at_microphones(40) * 20_000).astype(np.int16)
    assert azimuth_of(as_int, RATE) == pytest.approx(40, abs=3)
    assert azimuth_of(np.zeros((RATE, 2)), RATE) == 0
    assert azimuth_of(np.zeros((0, 2)), RATE) == 0
    assert not directions(np.zeros((RATE, 2)), RATE).any()


@pytest.mark.parametrize("angle", [-70, -30, 20, 90])
def test_the_face_turns_to_a_sound(angle: float) -> None:
    asked = Controls({"life:idle": 0, "life:blink": 0})
    follow(asked, at_microphones(angle), RATE)
    inputs = rows(2)
    inputs[:, FIRST:] = asked.rows(0, len(inputs))
    take = live(inputs)
    toward = eyes(take)[90:, :2].mean() + head(take)[90:, 0].mean()
    assert toward == pytest.approx(angle, abs=10)


def test_bad_sound_for_direction() -> None:
    with pytest.raises(AudioError, match="left and right"):
        azimuth_of(np.zeros(100), RATE)
    with pytest.raises(AudioError, match="finite"):
        azimuth_of(np.full((RATE, 2), np.nan), RATE)
    with pytest.raises(OptionError, match="rate"):
        azimuth_of(np.zeros((100, 2)), 100)


# ---- gestures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gesture", "axis"), [("shake", 0), ("nod", 1), ("tilt", 2)])
@pytest.mark.parametrize("count", [1, 3])
def test_gestures_move_their_axis_as_often_as_asked_and_leave_nothing(gesture: str, axis: int, count: int) -> None:
    asked = Controls(QUIET)
    end = perform(asked, gesture, 30, count)
    inputs = rows((end + 60) / FPS)
    inputs[:, FIRST:] = asked.rows(0, len(inputs))
    turned = head(live(inputs))
    course = turned[:, axis]
    extremes = np.flatnonzero(np.diff(np.sign(np.diff(course))) != 0)
    assert len(extremes) >= count
    assert np.abs(course).max() > 5
    assert not np.delete(turned, axis, axis=1).any()
    assert not turned[end:].any()
    assert not turned[:30].any()


def test_gestures_of_two_axes_overlap() -> None:
    asked, alone = Controls(), [Controls(), Controls()]
    for controls in (asked, alone[0]):
        perform(controls, "tilt", 60)
    for controls in (asked, alone[1]):
        perform(controls, "nod", 70)
    assert np.array_equal(asked.rows(0, 300), alone[0].rows(0, 300) + alone[1].rows(0, 300) - rows_of(300))
    assert np.array_equal(Controls.restored(asked.saved()).rows(0, 300), asked.rows(0, 300))


@pytest.mark.parametrize("later", [60, 65, 70, 80, 84, 200])
def test_a_gesture_waits_for_the_one_before_on_its_axis(later: int) -> None:
    asked, one, other = Controls(), Controls(), Controls()
    over = perform(asked, "nod", 60)
    assert perform(asked, "nod", later, size=0.5) == perform(other, "nod", max(over, later), size=0.5)
    assert perform(one, "nod", 60) == over == 84
    both = one.rows(0, 400) + other.rows(0, 400) - rows_of(400)
    assert np.array_equal(asked.rows(0, 400), both)


def test_speed_shortens_a_gesture() -> None:
    lasts = [perform(Controls(), "nod", 0, 2, speed) for speed in (0.5, 1, 2)]
    assert lasts[0] == pytest.approx(4 * lasts[2], rel=0.1)


@pytest.mark.parametrize("wrong", [{"gesture": "bow"}, {"count": 0}, {"count": 21}, {"speed": 0}, {"size": 9}])
def test_gestures_that_nobody_knows(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="accepted"):
        moves(**{"gesture": "nod", **wrong})  # type: ignore[arg-type]


# ---- the table ------------------------------------------------------------------------------------------------------


def test_the_table_is_sound_and_the_document_shows_it() -> None:
    assert len(set(NAMES)) == len(TABLE)
    for row in TABLE:
        assert row.low <= row.default <= row.high, row.name
        assert row.source
    document = Path(__file__).resolve().parent.parent / "docs" / "BEHAVIOUR.md"
    assert markdown() in document.read_text()
    assert sum(name.startswith("blink.mood.") for name in NAMES) == len(EMOTIONS)


@pytest.mark.parametrize("wrong", [{"blink.sigmas": 1.0}, {"blink.sigma": 5.0}, {"blink.close": float("nan")}])
def test_a_tuning_that_is_out_of_the_table(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="accepted"):
        Tuning(wrong)


def test_a_tuning_changes_what_it_names() -> None:
    def swaying(size: float) -> Frames:
        return live(rows(30, **only("idle")), tuning={f"head.sway.{state}": size for state in ("idle", "listening")})

    calm, lively = swaying(0.0), swaying(5.0)
    assert not head(calm).any()
    assert np.ptp(head(lively)[:, 0]) > 3
