"""The contact stage: closes on evidence, in a few frames, whatever else the curves say; rests in silence; streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.errors import OptionError
from facerig.model import EVIDENCE
from facerig.post.lips import AJAR, LIPS, NEAR, PARTED, RESTED, SHUT, SURE, VOICE, Lips
from facerig.post.switches import Switch, switched
from facerig.rig import rig
from facerig.stage import Frames, run

CHANNELS = rig("facerig").names
COLUMNS = (*CHANNELS, *(f"contact:{name}" for name in EVIDENCE))
STAGE = Lips(COLUMNS)
HALF = Switch(enter=0.5, leave=0.35, rise=2, fall=3)


def speaking(frames: int, **evidence: tuple[int, int]) -> Frames:
    """A wide open, shouting mouth; evidence names stretches of certain contact."""
    out = np.zeros((frames, len(COLUMNS)), np.float32)
    out[:, COLUMNS.index("contact:speech")] = 1
    for name in ("jawOpen", "mouthFunnel", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft"):
        out[:, COLUMNS.index(name)] = 0.6
    for name, (first, last) in evidence.items():
        out[:, COLUMNS.index(f"contact:{name}")] = 0
        out[first:last, COLUMNS.index(f"contact:{name}")] = 0.9
    return out


def column(curves: Frames, name: str) -> Frames:
    return curves[:, CHANNELS.index(name)]


def test_closes_fully_on_evidence_and_nowhere_else() -> None:
    out = run(STAGE, speaking(60, bilabial=(30, 34)), 6)
    jaw, close = column(out, "jawOpen"), column(out, "mouthClose")
    assert np.all(jaw[30:34] <= 0.1401)
    np.testing.assert_allclose(close[30:34], SHUT * jaw[30:34], rtol=1e-6)
    assert np.all(column(out, "mouthFunnel")[30:34] == 0)
    assert np.all(column(out, "mouthLowerDownLeft")[30:34] == 0)
    np.testing.assert_allclose(out[1:27], speaking(26)[:, : len(CHANNELS)])
    np.testing.assert_allclose(jaw[40:59], 0.6)


def test_ramps_take_two_to_four_frames() -> None:
    jaw = column(run(STAGE, speaking(60, bilabial=(30, 34)), 6), "jawOpen")
    assert np.all(np.diff(jaw[27:30]) < 0)  # evened evidence rises a frame before
    assert np.all(np.diff(jaw[33:36]) > 0)
    assert np.abs(np.diff(jaw)).max() < 0.6 / 2


@settings(deadline=None, max_examples=50)
@given(*[st.floats(0, 1, width=32, allow_subnormal=False)] * 2)
def test_lips_that_nearly_meet_meet_and_others_stay(jaw: float, close: float) -> None:
    frames = speaking(12)
    frames[:, COLUMNS.index("jawOpen")], frames[:, COLUMNS.index("mouthClose")] = jaw, close
    out = run(STAGE, frames, 6)[4:9]
    apart, before = column(out, "jawOpen") - column(out, "mouthClose"), np.float32(jaw) - np.float32(close)
    if before <= 0 or before >= NEAR:
        np.testing.assert_allclose(apart, before, atol=1e-6)
    else:
        assert np.all((apart > 0.19 * before) & (apart < before + 1e-7))
        assert np.all(apart < 0.61 * before) or before > NEAR / 2


def test_what_alternates_from_frame_to_frame_is_evened_out_and_a_closure_is_not() -> None:
    frames = speaking(60, bilabial=(30, 34))
    frames[::2, COLUMNS.index("jawOpen")] += 0.05
    out = run(STAGE, frames, 6)
    jaw, close = column(out, "jawOpen"), column(out, "mouthClose")
    np.testing.assert_allclose(jaw[2:27], 0.625, rtol=1e-5)
    np.testing.assert_allclose(close[30:34], SHUT * jaw[30:34], rtol=1e-6)
    assert np.all(jaw[30:34] <= 0.1401)
    shaken = column(run(STAGE.at_once(), frames, 6), "jawOpen")
    np.testing.assert_array_equal(shaken[2:27], frames[2:27, COLUMNS.index("jawOpen")])


def test_hysteresis_does_not_flicker() -> None:
    evidence = np.array([0, 0.6, 0.45, 0.49, 0.4, 0.52, 0.36, 0.2, 0.45], np.float32)
    np.testing.assert_array_equal(switched(evidence[None], HALF)[0], [False] + [True] * 6 + [False] * 2)


def test_unconfirmed_contact_is_let_go() -> None:
    evidence = np.full(100, 0.4, np.float32)
    evidence[3] = 0.9
    assert switched(evidence[None], HALF).sum() == HALF.longest


def test_switches_decided_together_are_those_decided_one_by_one() -> None:
    switches = (HALF, LIPS, VOICE)
    evidence = np.random.default_rng(3).random((4, len(switches), 200)).astype(np.float32) ** 4
    together = switched(evidence, *switches)
    alone = [switched(evidence[:, k, None], switch)[:, 0] for k, switch in enumerate(switches)]
    assert np.array_equal(together, np.stack(alone, axis=1))
    assert 0 < together.mean() < 1


def test_teeth_raise_the_lower_lip_and_leave_the_mouth_open() -> None:
    out = run(STAGE, speaking(60, labiodental=(30, 36)), 6)
    assert np.all(column(out, "mouthRollLower")[30:36] >= 0.359)
    assert np.all(column(out, "jawOpen")[30:36] <= 0.1201)
    assert np.all(column(out, "mouthClose")[30:36] <= 0.0201)


def test_lips_win_over_teeth() -> None:
    out = run(STAGE, speaking(60, labiodental=(28, 36), bilabial=(30, 34)), 6)
    np.testing.assert_allclose(column(out, "mouthClose")[30:34], SHUT * column(out, "jawOpen")[30:34], rtol=1e-6)
    assert np.all(column(out, "mouthUpperUpLeft")[30:34] == 0)


def test_mouth_rests_within_200_ms_of_the_last_sound_and_a_smile_stays() -> None:
    frames = speaking(60, speech=(0, 20))
    frames[:, COLUMNS.index("mouthSmileLeft")] = 0.3
    out = run(STAGE, frames, 6)
    assert column(out, "jawOpen")[20 + 12 :].max() <= AJAR * 1.001
    assert np.all(np.diff(column(out, "jawOpen")[19:32]) <= 0)
    np.testing.assert_allclose(column(out, "mouthSmileLeft")[1:59], 0.3)


def test_a_cough_between_words_moves_nothing() -> None:
    frames = speaking(80, speech=(0, 1))
    assert run(STAGE, frames, 6)[15:, CHANNELS.index("jawOpen")].max() <= AJAR * 1.001


def test_a_small_opening_before_speech_passes() -> None:
    frames = speaking(80, speech=(0, 1)) * np.float32(0.01)
    np.testing.assert_allclose(column(run(STAGE, frames, 6), "jawOpen")[15:79], 0.006, rtol=1e-5)


def coming(rest: int, soon: int) -> Frames:
    """Silence for so many frames, at whose end speech is heard to come; the network opens the mouth throughout."""
    frames = speaking(rest + 30, speech=(rest, rest + 30))
    frames[rest - soon :, COLUMNS.index("contact:soon")] = 0.9
    return frames


def test_lips_part_before_speech_that_is_heard_to_come() -> None:
    jaw = column(run(STAGE, coming(60, 6), 6), "jawOpen")
    np.testing.assert_allclose(jaw[54:58], PARTED, rtol=1e-5)
    assert jaw[:50].max() <= AJAR * 1.001
    assert np.all(np.diff(jaw[49:62]) >= 0)
    np.testing.assert_allclose(jaw[60:89], 0.6)


def test_lips_do_not_part_early_in_a_short_pause_nor_where_no_rest_is_known() -> None:
    short = coming(RESTED - 1, 6)
    assert column(run(STAGE, short, 6), "jawOpen")[: RESTED - 3].max() <= AJAR * 1.001
    paused = np.concatenate([speaking(30, speech=(0, 30)), short])
    assert column(run(STAGE, paused, 6), "jawOpen")[30 + 7 : 30 + RESTED - 3].max() <= AJAR * 1.001


def test_lips_part_at_the_burst_and_stay_apart_until_fresh_evidence() -> None:
    frames = speaking(80)
    heard = COLUMNS.index("contact:bilabial")
    frames[20:24, heard], frames[24:30, heard] = 0.95, 0.5  # what is left of a "p": its breath
    close = column(run(STAGE, frames, 6), "mouthClose")
    assert np.all(close[20:24] > 0.1)
    assert np.all(close[26:40] == 0)
    frames[34, heard] = 0.95
    assert column(run(STAGE, frames, 6), "mouthClose")[34] > 0.1


def test_evidence_that_shakes_closes_once() -> None:
    frames = speaking(60)
    heard = COLUMNS.index("contact:bilabial")
    frames[30:36, heard] = 0.9, 0.3, 0.9, 0.3, 0.9, 0.3
    assert np.all(column(run(STAGE, frames, 6), "mouthClose")[30:35] > 0.1)


def valley(at: int, bottom: float, evidence: float = 0.0) -> Frames:
    """A jaw that falls to `bottom` and rises again by .05 a frame, long after evidence of a contact came."""
    out = speaking(80)
    out[:, : len(CHANNELS)] = 0
    out[:, CHANNELS.index("jawOpen")] = np.minimum(bottom + 0.05 * np.abs(np.arange(80) - at), 0.5)
    out[:, COLUMNS.index("contact:bilabial")] = 0
    out[at - 8 : at + 9, COLUMNS.index("contact:bilabial")] = evidence
    return out


def parted(curves: Frames) -> Frames:
    return column(curves, "jawOpen") - column(curves, "mouthClose")


@pytest.mark.parametrize("stage", [STAGE, STAGE.at_once()])
def test_lips_meet_in_the_valley_and_move_as_the_network_says_around_it(stage: Lips) -> None:
    weak = (LIPS.enter + SURE) / 2
    out, free = (parted(run(stage, valley(40, 0.25, evidence), 6)) for evidence in (weak, 0.0))
    assert out[40] < 0.05 < 0.2 < free[40]
    np.testing.assert_array_equal(out[43:48], free[43:48])  # the evidence is still there, and the lips part
    assert np.all(np.diff(out[40:46]) > 0)


def test_lips_meet_at_the_peak_of_sure_evidence_wherever_the_valley_is() -> None:
    for height, met in ((0.9, True), (SURE * 0.9, False)):
        frames = valley(40, 0.25, LIPS.enter)
        heard = COLUMNS.index("contact:bilabial")
        frames[45:49, heard] = height / 2, height, height / 2, 0
        shut = parted(run(STAGE, frames, 6))[46] < 0.05
        assert shut is np.bool_(met)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 17), min_size=1, max_size=12))
def test_any_cut_gives_the_same_bits(seed: int, cuts: list[int]) -> None:
    frames = np.random.default_rng(seed).random((sum(cuts), len(COLUMNS)), np.float32)
    whole = STAGE.push(STAGE.start(), frames)[1]
    state, parts, at = STAGE.start(), [], 0
    for size in cuts:
        state, part = STAGE.push(state, frames[at : at + size])
        parts.append(part)
        at += size
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_a_stack_of_streams_gives_the_bits_of_each_alone() -> None:
    frames = np.random.default_rng(5).random((5, 40, len(COLUMNS)), np.float32)
    alone = np.stack([STAGE.push(STAGE.start(), own)[1] for own in frames])
    state = (np.stack([STAGE.start()[0]] * 5),)
    for first in range(0, 40, 8):
        state, together = STAGE.push_batch(state, frames[:, first : first + 8])
        assert together.tobytes() == alone[:, first : first + 8].tobytes()


def test_memory_is_what_it_says() -> None:
    generator = np.random.default_rng(1)
    frames = generator.random((STAGE.memory + 40, len(COLUMNS)), np.float32)
    other = frames.copy()
    other[:40] = generator.random((40, len(COLUMNS)), np.float32)
    first, second = (STAGE.push(STAGE.start(), f)[1] for f in (frames, other))
    assert first[40 + STAGE.memory :].tobytes() == second[40 + STAGE.memory :].tobytes()


def test_a_contact_is_remembered_as_long_as_it_may_last() -> None:
    stage = Lips(COLUMNS, lips=replace(STAGE.lips, release=0.0))
    frames = speaking(80)
    frames[:, COLUMNS.index("contact:bilabial")] = (stage.lips.enter + stage.lips.leave) / 2
    other = frames.copy()
    other[10, COLUMNS.index("contact:bilabial")] = 1
    first, second = (column(run(stage, f, 6), "mouthClose") for f in (frames, other))
    assert first.max() == 0
    assert np.all(second[10 : 10 + stage.lips.longest] > 0.1)
    assert second[10 + 1 + stage.lips.longest + stage.lips.fall :].max() == 0  # it is evened over the next frame


def test_at_once_waits_for_nothing_and_still_closes_on_the_frame_of_its_evidence() -> None:
    prompt = STAGE.at_once()
    assert prompt.delay == 0
    assert STAGE.delay == 2
    frames = speaking(60, bilabial=(30, 34))
    out = run(prompt, frames, 6)
    jaw, close = column(out, "jawOpen"), column(out, "mouthClose")
    assert jaw[29] == pytest.approx(0.6)
    assert close[29] == 0
    np.testing.assert_allclose(close[30:34], SHUT * jaw[30:34], atol=1e-6)
    ramped = run(STAGE, frames, 6)
    np.testing.assert_array_equal(out[30:59], ramped[30:59])  # from the first evidence on they are the same


def test_delay_is_what_it_says() -> None:
    frames = np.zeros((40, len(COLUMNS)), np.float32)
    frames[:, COLUMNS.index("contact:speech")] = 1
    frames[20, COLUMNS.index("browInnerUp")] = 1
    out = STAGE.push(STAGE.start(), frames)[1]
    assert int(np.argmax(column(out, "browInnerUp"))) == 20 + STAGE.delay


def test_columns_without_evidence_are_refused() -> None:
    with pytest.raises(OptionError, match="contact:bilabial"):
        Lips(CHANNELS)
