"""The engine's parts without a wire: flows, batches, rates, controls."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_kit import animator, noise

from facerig.behaviour.commands import perform
from facerig.controls import MAX_CHANGES, STATES, Controls, group, place
from facerig.curves import concat
from facerig.errors import OptionError, RigError
from facerig.many import one_by_one, way_of
from facerig.model.runtime import installed
from facerig.pipeline import Animator
from facerig.rig import rig
from facerig.server import asks, outlet
from facerig.server.batch import BatchChain
from facerig.server.engine import Engine, Segment
from facerig.server.flow import Flow, Sound
from facerig.server.worker import capacity
from facerig.stage import SAMPLES

NATIVE = rig("facerig")


def drive(flow, chain, slot, out):
    while flow.ready:
        block = flow.take()
        if block is None:
            return
        out.append(flow.give(chain.step([slot], block[None])[0]))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([8_000, 16_000, 24_000, 44_100, 48_000]), st.integers(0, 30_000), st.integers(1, 6),
       st.lists(st.integers(0, 3_000), max_size=20))
def test_flow_is_the_session_bit_for_bit(rate, count, block, cuts):
    own = animator(block)
    samples = noise(count / rate, seed=count, rate=rate)
    chain, flow, out, at = BatchChain(own.chain, 2), Flow(own, Sound(rate)), [], 0
    chain.reset(1)
    for size in [*cuts, len(samples)]:
        flow.feed(samples[at : at + size].tobytes())
        at = min(len(samples), at + size)
        drive(flow, chain, 1, out)
    flow.finish()
    drive(flow, chain, 1, out)
    expected = own.animate(samples, rate).values if count else np.zeros((0, len(own.channels)))
    assert out[-1].last
    assert np.array_equal(np.concatenate([part.values for part in out]), expected)


@pytest.mark.parametrize("first", [0, 40, 113, 180])
def test_flow_goes_on_from_the_last_seconds(first):
    own, samples = animator(2), noise(4.0)
    point = own.restore_point(first)
    chain, out = BatchChain(own.chain, 1), []
    chain.reset(0)
    needed = Flow(own, Sound(16_000)).edge.first_sample(point)
    flow = Flow(own, Sound(16_000), point, needed, skip=first)
    flow.feed(samples[needed:].tobytes())
    flow.finish()
    drive(flow, chain, 0, out)
    assert np.array_equal(np.concatenate([part.values for part in out]), own.animate(samples, 16_000).values[first:])


def test_parts_of_a_whole_join():
    """The helper that tests lean on: animate is what a session gives."""
    own, samples = animator(2), noise(0.5)
    session = own.session(16_000)
    assert concat([session.push(samples), session.flush()]) == own.animate(samples, 16_000)


def models():
    return ["fake", *installed()[:1]]


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("model", models())
def test_a_batch_equals_streams_alone(model, block):
    own = Animator.load(model, block=block)
    together, alone = BatchChain(own.chain, 8), BatchChain(own.chain, 8)
    for slot in range(8):
        together.reset(slot)
        alone.reset(slot)
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(20):
        slots = sorted(rng.choice(8, int(rng.integers(2, 9)), replace=False).tolist())  # streams advance out of step
        frames = (rng.standard_normal((len(slots), block, SAMPLES)) * 0.1).astype(np.float32)
        batch = together.step(slots, frames)
        single = np.concatenate([alone.step([slot], frames[row : row + 1]) for row, slot in enumerate(slots)])
        worst = max(worst, float(np.abs(batch - single).max()))
    assert worst <= 1e-5


@pytest.mark.parametrize("model", models())
def test_a_stream_does_not_feel_what_is_asked_of_others_in_its_batch(model):
    own, rng = Animator.load(model, block=2), np.random.default_rng(0)
    asked = [Controls(), Controls({"raise:brows": 1.0, "raise:jaw": 0.5}), Controls({"emotion:fear": 1.0}), Controls()]
    together, alone = BatchChain(own.chain, 4), BatchChain(own.chain, 4)
    for slot in range(4):
        together.reset(slot)
        alone.reset(slot)
    worst = 0.0
    for first in range(0, 120, 2):
        sound = (rng.standard_normal((4, 2, SAMPLES)) * 0.3 * (first % 40 < 30)).astype(np.float32)
        rows = np.stack([own.asked(one, first, 2) for one in asked])
        frames = np.concatenate([sound, rows], axis=2)
        single = np.concatenate([alone.step([slot], frames[slot : slot + 1]) for slot in range(4)])
        worst = max(worst, float(np.abs(together.step(range(4), frames) - single).max()))
    assert worst <= 1e-5


def test_stages_in_a_batch_equal_the_plain_reference():
    own, rng = animator(2), np.random.default_rng(0)
    width = SAMPLES
    for stage in own.chain.stages:
        state = tuple(rng.standard_normal((5, *array.shape)).astype(np.float32) for array in stage.start())
        frames = rng.standard_normal((5, 2, width)).astype(np.float32)
        way, width = way_of(stage, width)
        expected_state, expected = one_by_one(stage, state, frames)
        got_state, got = way(stage, state, frames)
        assert way is not one_by_one
        assert np.allclose(got, expected, atol=1e-5)
        assert all(np.array_equal(a, b) for a, b in zip(got_state, expected_state, strict=True))


def test_companies_that_take_turns_stay_stacked_and_streams_may_change_company():
    own, rng = animator(2), np.random.default_rng(0)
    together, alone = BatchChain(own.chain, 6), BatchChain(own.chain, 6)
    for slot in range(6):
        together.reset(slot)
        alone.reset(slot)
    for company, stacked in (((0, 1), 1), ((2, 3, 4), 2), ((0, 1), 2), ((2, 3, 4), 2), ((1, 2), 1), ((0, 3), 2),
                             ((4, 5), 3), ((0, 1, 2, 3, 4, 5), 1), ((3,), 0), ((0, 1), 1)):  # fmt: skip
        frames = (rng.standard_normal((len(company), 2, SAMPLES)) * 0.1).astype(np.float32)
        batch = together.step(company, frames)
        single = np.concatenate([alone.step([slot], frames[row : row + 1]) for row, slot in enumerate(company)])
        assert np.abs(batch - single).max() <= 1e-5
        assert len(together._stacks) == stacked
        assert sorted(together._held) == sorted(slot for stack in together._stacks for slot in stack)


def stepped(*mappers, rounds=12, spoil=None):
    """Streams that step together: what each was given, by slot."""
    own = animator(1)
    engine, segments, made = Engine(own, len(mappers)), [], [[] for _ in mappers]
    for slot, mapper in enumerate(mappers):
        flow = Flow(own, Sound(16_000))
        flow.feed(noise(0.5, seed=slot).tobytes())
        segments.append(Segment(flow, slot, outlet.Sampler(60, len(own.channels)), Controls(), mapper))
    for _ in range(rounds):
        step = engine.begin([one for one in segments if one.ready])
        engine.collect(step)
        if spoil is not None:
            step.values[spoil] = np.nan
        for one in engine.finish(step):
            made[one.segment.slot].append(one)
    return made


@pytest.mark.parametrize("error", [RigError("its own fault"), ZeroDivisionError("a secret")])
def test_what_goes_wrong_in_one_stream_ends_that_one_alone(error):
    def broken(values):
        raise error

    well, ill, plain = *stepped(lambda rows: rows, broken), stepped(lambda rows: rows, lambda rows: rows)[0]
    (told,) = ill
    assert told.last
    assert "secret" not in str(told.error)
    assert (told.error is error) == isinstance(error, RigError)
    assert len(well) == 12
    assert not any(one.error for one in well)
    assert all(np.abs(one.values - two.values).max(initial=0) <= 1e-5 for one, two in zip(well, plain, strict=True))


def test_a_stream_that_is_no_number_any_more_ends_itself():
    first, well = stepped(lambda rows: rows, lambda rows: rows, rounds=1, spoil=0)
    assert "finite" in str(first[0].error)
    assert well[0].error is None


def test_a_slot_forgets_who_was_in_it():
    own = animator(2)
    chain, loud = BatchChain(own.chain, 1), np.full((1, 2, SAMPLES), 0.3, np.float32)
    chain.reset(0)
    first = [chain.step([0], loud * k) for k in (1, 0, 1)]
    chain.reset(0)
    again = [chain.step([0], loud * k) for k in (1, 0, 1)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


# ---- rates and rigs ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(0, 40))
def test_sampling_does_not_depend_on_the_cuts(fps, cuts, skip):
    values = np.random.default_rng(1).random((sum(cuts), 3)).astype(np.float32)
    whole = outlet.sampled(values, fps)
    assert len(whole) == -(-len(values) * fps // 60)
    skip = min(skip, len(whole))
    sampler, parts, at = outlet.Sampler(fps, 3, skip), [], 0
    for size in cuts:
        first, part = sampler.push(at, values[at : at + size], at + size == len(values))
        assert first == skip + sum(map(len, parts))
        parts.append(part)
        at += size
    assert np.array_equal(np.concatenate(parts), whole[skip:])


def test_sampling_is_exact_where_the_rate_divides():
    values = np.random.default_rng(1).random((121, 3)).astype(np.float32)
    assert np.array_equal(outlet.sampled(values, 30), values[::2])
    assert np.array_equal(outlet.sampled(values, 120)[::2], values)
    assert np.allclose(outlet.sampled(values, 120)[1:-1:2], (values[1:] + values[:-1]) / 2)


def test_rigs_are_mapped_by_name():
    row = np.arange(len(NATIVE), dtype=np.float32)[None] / 100
    names, to_a2f = outlet.mapper("facerig", NATIVE.names, "a2f")
    assert names == rig("a2f").names
    assert len(names) == 52
    assert dict(zip(names, to_a2f(row)[0], strict=True))["JawOpen"] == row[0, NATIVE.index("jawOpen")]
    same, whole = outlet.mapper("facerig", NATIVE.names, "facerig")
    assert np.array_equal(whole(row), row)
    assert same == NATIVE.names


def test_other_rigs_go_through_the_retarget_tables():
    names, convert = outlet.mapper("facerig", NATIVE.names, "metahuman")
    row = np.zeros((1, len(NATIVE)), np.float32)
    row[0, NATIVE.index("jawOpen")] = 0.5
    assert dict(zip(names, convert(row)[0], strict=True))["CTRL_expressions_jawOpen"] == pytest.approx(0.5)


# ---- controls ------------------------------------------------------------------------------------------------------


def test_the_words_of_the_wire_are_controls():
    own = Controls()
    asks.state(own, 0, "listening")
    asks.look_at(own, 0, 35, -10, fade_ms=0)
    asks.emotion(own, 0, {"joy": 1.0, "anger": 0.5}, 0.8, fade_ms=0)
    asks.gains(own, 0, {"all": 0.5, "jaw": 1.5}, fade_ms=0)
    asks.style(own, 0, "whispered", 0)
    row = own.rows(50, 1)
    wanted = {"state:listening": 1, "look:yaw": 35, "look:pitch": -10, "look:held": 1, "emotion:happy": 1,
              "emotion:angry": 0.5, "intensity": 0.8, "gain:lips": 0.5, "gain:jaw": 1.5}
    for name, value in wanted.items():
        assert row[0, place(name)] == np.float32(value), name
    assert row[0, group("style")].any()
    assert asks.named(asks.moods(row)[0]) == pytest.approx({"happy": 0.8, "angry": 0.4})
    asks.look_at(own, 100, 0, 0, fade_ms=0, release=True)
    asks.state(own, 100, "")
    asks.emotion(own, 100, {}, fade_ms=0)
    row = own.rows(200, 1)
    assert not row[0, group("state")].any()
    assert not row[0, place("look:held")]
    assert asks.named(asks.moods(row)[0]) == {}


def apply_control(own, kind, frame, number):
    if kind == "emotion":
        asks.emotion(own, frame, {asks.NAMES[number % len(asks.NAMES)]: 0.7}, 0.9, 200)
    elif kind == "gains":
        asks.gains(own, frame, {"lips": number % 20 / 12, "brows": 1.5}, 90)
    elif kind == "state":
        asks.state(own, frame, STATES[number % len(STATES)])
    elif kind == "move":
        perform(own, "nod", frame, 1 + number % 3)
    else:
        asks.look_at(own, frame, number % 18 * 5, -(number % 18), 120, number % 3 == 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["emotion", "gains", "state", "look", "move"]), st.integers(0, 300)),
                max_size=12), st.lists(st.integers(1, 80), min_size=1, max_size=12))
def test_controls_are_a_function_of_the_frame(changes, cuts):
    def controls():
        own = Controls()
        for number, (kind, frame) in enumerate(changes):
            apply_control(own, kind, frame, number)
        return own

    at, parts, streaming = 0, [], controls()
    for size in [*cuts, 400]:
        parts.append(streaming.rows(at, min(size, 400 - at)))
        at = min(400, at + size)
    assert np.array_equal(np.concatenate(parts), controls().rows(0, 400))


def test_fades_have_no_step_and_arrive():
    own, column = Controls(), place("gain:lips")
    asks.gains(own, 100, {"lips": 0.0}, fade_ms=500)
    lips = own.rows(0, 400)[:, column]
    assert lips[99] == 1
    assert lips[130] == 0
    assert np.abs(np.diff(lips)).max() < 0.06
    asks.gains(own, 200, {"lips": 1.0}, fade_ms=500)
    assert own.rows(0, 400)[260, column] == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda c: asks.emotion(c, 0, {"rage": 1}),
        lambda c: asks.emotion(c, 0, {"joy": 1.5}),
        lambda c: asks.emotion(c, 0, {"joy": 1.0}, float("nan")),
        lambda c: asks.gains(c, 0, {"chin": 1}),
        lambda c: asks.gains(c, 0, {"lips": -1}),
        lambda c: asks.gains(c, 0, {"lips": 1}, 1e9),
        lambda c: asks.state(c, 0, "dancing"),
        lambda c: asks.look_at(c, 0, 200, 0),
        lambda c: asks.look_at(c, 0, float("nan"), 0),
    ],
)
def test_wrong_controls_are_refused(call):
    with pytest.raises(OptionError):
        call(Controls())


def test_controls_are_bounded():
    own = Controls(limit=MAX_CHANGES)  # as a session makes them

    def without_end():
        for frame in range(3000):
            asks.gains(own, frame, {"lips": 1.0})

    with pytest.raises(OptionError, match="controls"):
        without_end()
    other = Controls(limit=MAX_CHANGES)
    for frame in range(3000):  # what is over is forgotten
        asks.gains(other, frame, {"lips": 1.0})
        other.rows(frame, 1)
    assert len(other.saved()["gain"]["changes"]) < 310
    assert other.rows(2750, 1)[0, place("gain:lips")] == 1  # a while back may be asked for once more


# ---- the machine ----------------------------------------------------------------------------------------------------


def test_capacity_follows_the_measured_step():
    fast, slow = capacity({1: 0.001, 8: 0.002}, 2, 0.006, 0.8), capacity({1: 0.01, 8: 0.02}, 2, 0.006, 0.8)
    assert fast > 3 * slow > 0
    assert capacity({}, 2, 0.006, 0.8) == 1


def test_the_allocator_keeps_what_a_step_drops():
    """Big arrays that come and go cost no new pages; in a process of its own, since it is told for good."""
    code = ("import resource, sys, numpy as np; from facerig.server.allocator import keep_freed\n"
            "if not keep_freed(): sys.exit(77)\n"
            "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "for _ in range(3): parts = [np.ones(2**19) for _ in range(8)]; del parts\n"
            "before = faults()\n"
            "for _ in range(20): parts = [np.ones(2**19) for _ in range(8)]; del parts\n"
            "print(faults() - before)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("another C library than glibc")
    assert int(done.stdout) < 2_000  # 160 arrays of 1,024 pages
