"""Life as a stage: one course whatever the cut, the batch or the place of return; gains of zero; lips left alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.behaviour import INPUTS, Life
from facerig.behaviour.scene import CHANNELS, CURVES
from facerig.behaviour.states import MOUTH
from facerig.controls import WIDTH, Controls, place
from facerig.errors import OptionError
from facerig.prosody import ACCENT, ENERGY, PHRASE_END, PITCH, VOICE
from facerig.rig import rig
from facerig.stage import FPS, Frames, State, same_state

LIFE = Life()
FIRST, SOUND = INPUTS - WIDTH, CURVES
EYES = [k for k, name in enumerate(CHANNELS) if name.startswith("eye")]
GAINS = ("blink", "gaze", "head", "idle", "react")


@lru_cache(maxsize=8)
def inputs(frames: int, seed: int = 0, **values: float) -> Frames:
    """Curves, a voice that comes and goes, and controls that change on the way."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((frames, INPUTS), np.float32)
    rows[:, :CURVES] = rng.random((frames, CURVES)) * 0.6
    speaks = np.sin(np.arange(frames) / 70 + seed) > -0.2
    rows[:, SOUND + VOICE] = speaks
    rows[:, SOUND + PITCH], rows[:, SOUND + ENERGY] = rng.normal(0, 3, frames) * speaks, 0.7 * speaks
    rows[:, SOUND + ACCENT] = (rng.random(frames) < 0.05) * speaks * rng.random(frames)
    rows[1:, SOUND + PHRASE_END] = speaks[:-1] & ~speaks[1:]
    asked = Controls({f"{name.replace('__', ':')}": value for name, value in values.items()})
    if not values:
        asked.set(frames // 3, {"emotion:happy": 0.8, "partner:voice": 1, "attitude": 0.5})
        asked.set(frames // 2, {"look:yaw": 30, "look:held": 1, "partner:phrase_end": 1}, fade_ms=50)
        asked.set(2 * frames // 3, {"state:thinking": 1, "sound:azimuth": -40, "sound:level": 0.7})
    rows[:, FIRST:] = asked.rows(0, frames)
    rows.setflags(write=False)
    return rows


def live(rows: Frames, block: int = 6, seed: int = 1, frame: int = 0, life: Life = LIFE) -> Frames:
    state, parts = life.start(frame, seed), []
    for at in range(0, len(rows), block):
        state, out = life.push(state, rows[at : at + block])
        parts.append(out)
    return np.concatenate(parts)


@lru_cache(maxsize=8)
def _offline(seed: int) -> bytes:
    return live(inputs(420), 420, seed).tobytes()


@given(st.sampled_from([1, 2, 3, 7, 60]), st.integers(0, 3))
@settings(deadline=None, max_examples=6)
def test_streaming_is_offline(block: int, seed: int) -> None:
    rows = inputs(420)
    assert live(rows, block, seed).tobytes() == _offline(seed)


def test_64_streams_in_one_push_are_each_alone() -> None:
    rows = np.stack([inputs(90, seed) for seed in range(4)] * 16)
    states = [LIFE.start(frame=700 * k, seed=k) for k in range(64)]
    together: State = tuple(np.stack(arrays) for arrays in zip(*states, strict=True))
    parts = []
    for at in range(0, 90, 6):
        together, out = LIFE.push_batch(together, rows[:, at : at + 6])
        parts.append(out)
    joined = np.concatenate(parts, axis=1)
    for k in (0, 1, 17, 63):
        assert live(rows[k], 6, k, 700 * k).tobytes() == joined[k].tobytes()


@pytest.mark.parametrize("gain", GAINS)
def test_what_is_left_out_of_one_face_is_nothing_to_its_neighbour(gain: str) -> None:
    """A gain of zero, for good or for a while: the same bits beside a face that has it, and in any block."""
    for_good, rows = inputs(240, 0, **{f"life__{gain}": 0}), inputs(240, 0).copy()
    rows[100:, FIRST + place(f"life:{gain}")] = 0
    for own in (for_good, rows):
        states = LIFE.start(0, 7), LIFE.start(0, 8)
        together: State = tuple(np.stack(arrays) for arrays in zip(*states, strict=True))
        _, joined = LIFE.push_batch(together, np.stack([own, inputs(240, 1)]))
        assert live(own, 6, 7).tobytes() == joined[0].tobytes()
        assert live(own, 7, 7).tobytes() == joined[0].tobytes()


@pytest.mark.parametrize("frame", [0, 5_000, 216_000, 10**9, -77])
def test_a_stream_is_taken_up_from_its_last_frames(frame: int) -> None:
    rows = inputs(LIFE.memory + 300)
    skipped = 120
    whole, again = live(rows, 6, 5, frame), live(rows[skipped:], 6, 5, frame + skipped)
    assert whole[skipped + LIFE.memory :].tobytes() == again[LIFE.memory :].tobytes()


def test_the_past_beyond_memory_changes_nothing() -> None:
    rows = np.concatenate([inputs(120, 8), inputs(LIFE.memory + 120)])
    other = np.concatenate([inputs(120, 9), inputs(LIFE.memory + 120)])
    first = 120 + LIFE.memory
    assert live(rows)[first:].tobytes() == live(other)[first:].tobytes()


def test_a_snapshot_in_mid_blink_goes_on() -> None:
    rows = inputs(1200, 0, **{"state__speaking": 1, "life__gaze": 0})
    whole = live(rows)
    lid = whole[:, CHANNELS.index("eyeBlinkLeft")] - rows[:, 0]
    middle = int(np.flatnonzero(lid > 0.2)[2]) // 6 * 6
    state = LIFE.start(0, 1)
    for at in range(0, middle, 6):
        state, _ = LIFE.push(state, rows[at : at + 6])
    kept = tuple(array.copy() for array in state)
    _, first = LIFE.push(state, rows[middle : middle + 6])
    assert same_state(state, kept)
    assert first.tobytes() == whole[middle : middle + 6].tobytes()


def test_a_push_changes_no_argument_and_keeps_the_length() -> None:
    state, rows = LIFE.start(3, 4), inputs(60)
    kept = tuple(array.copy() for array in state)
    after, out = LIFE.push(state, rows)
    assert same_state(state, kept)
    assert same_state(tuple(array.astype(array.dtype) for array in after), after)
    assert [array.shape for array in after] == [array.shape for array in state]
    assert [array.dtype for array in after] == [array.dtype for array in state]
    assert out.shape == (60, 71)
    assert out.dtype == np.float32


def test_all_gains_at_zero_pass_the_curves_through() -> None:
    rows = inputs(300, 0, **{f"life__{name}": 0 for name in GAINS})
    out = live(rows)
    assert out[:, :CURVES].tobytes() == np.ascontiguousarray(rows[:, :CURVES]).tobytes()
    assert not out[:, CURVES:].any()


def test_off_passes_the_curves_through() -> None:
    rows = inputs(300, 0, **{"state__off": 1})
    assert live(rows)[15:, :CURVES].tobytes() == np.ascontiguousarray(rows[15:, :CURVES]).tobytes()
    assert not live(rows)[15:, CURVES:].any()


@pytest.mark.parametrize(("gain", "names"), [
    ("blink", ("eyeBlink", "eyeWide", "eyeSquint", "cheekSquint", "browDown")),
    ("gaze", ("eyeLook",)), ("react", ("browOuterUp", "mouthSmile")),
])  # fmt: skip
def test_a_gain_of_zero_leaves_its_channels_alone(gain: str, names: tuple[str, ...]) -> None:
    own = [k for k, name in enumerate(CHANNELS) if name.startswith(names)]
    common = {"state__speaking": 1, "life__idle": 0}
    rows, still = (inputs(600, 0, **{**common, f"life__{gain}": share}) for share in (1, 0))
    assert not np.array_equal(live(rows)[:, own], rows[:, own])
    assert live(still)[:, own].tobytes() == np.ascontiguousarray(still[:, own]).tobytes()


def test_head_and_idle_at_zero_leave_the_head_still() -> None:
    rows = inputs(600, 0, **{"state__speaking": 1, "life__head": 0, "life__idle": 0, "life__react": 0})
    assert not live(rows)[:, CURVES:].any()


def test_lips_are_the_same_bits_with_the_head_on_and_off() -> None:
    on = live(inputs(600, 0, **{"state__speaking": 1}))
    off = live(inputs(600, 0, **{"state__speaking": 1, "life__head": 0}))
    lips = [k for k, name in enumerate(CHANNELS) if name.startswith(("mouth", "jaw", "tongue"))]
    assert on[:, lips].tobytes() == off[:, lips].tobytes()
    assert np.abs(on[:, CURVES:] - off[:, CURVES:]).max() > 0.02


def test_the_voice_alone_never_moves_what_speech_moves() -> None:
    rows = inputs(900, 0, **{"attitude": 1, "partner__voice": 1})
    assert live(rows)[:, MOUTH].tobytes() == np.ascontiguousarray(rows[:, MOUTH]).tobytes()


def test_seeds_differ_above_the_mouth_only() -> None:
    rows = inputs(900, 0, **{"state__speaking": 1})
    one, same, other = live(rows, seed=1), live(rows, seed=1), live(rows, seed=2)
    assert one.tobytes() == same.tobytes()
    for part in (["eyeBlinkLeft"], ["eyeLookOutLeft", "eyeLookInLeft"], ["headYaw"], ["browOuterUpLeft"]):
        own = [CHANNELS.index(name) for name in part]
        assert not np.array_equal(one[:, own], other[:, own])
    assert one[:, MOUTH].tobytes() == other[:, MOUTH].tobytes()


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 + 5, 0])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert np.isfinite(live(inputs(60), seed=seed)).all()


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_whatever_is_asked_stays_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = inputs(120, seed % 5).copy()
    from facerig.controls import CONTROLS

    low, high = (np.array([getattr(control, side) for control in CONTROLS]) for side in ("low", "high"))
    rows[:, FIRST:] = rng.uniform(low, high, (120, WIDTH)).astype(np.float32)
    full = rig("facerig-full")
    weights = live(rows)[:, :CURVES]
    assert np.isfinite(weights).all()
    assert (weights >= full.low[:CURVES]).all()
    assert (weights <= full.high[:CURVES] + 1e-6).all()


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(OptionError, match="columns"):
        LIFE.push(LIFE.start(), np.zeros((6, INPUTS - 1), np.float32))


def test_memory_is_at_most_four_seconds() -> None:
    assert LIFE.delay == 0
    assert LIFE.memory <= 4 * FPS


@pytest.mark.parametrize("state", ["listening", "thinking", "idle"])
def test_a_silent_state_lets_the_mouth_go_within_100_ms(state: str) -> None:
    rows = inputs(240, 0, **{"state__speaking": 1}).copy()
    rows[120:, FIRST + place("state:speaking")] = 0
    rows[120:, FIRST + place(f"state:{state}")] = 1
    out = live(rows)
    assert out[:120, MOUTH].tobytes() == np.ascontiguousarray(rows[:120, MOUTH]).tobytes()
    assert out[126:, MOUTH].max() <= 0.02
    released = out[119:127, MOUTH].max(axis=1)
    assert np.abs(np.diff(released)).max() < 0.3  # of curves around .6: no cut
