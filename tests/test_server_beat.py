"""Turns: real flows of the fake model through a real engine, on a clock that the test turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_kit import animator

from facerig.controls import Controls
from facerig.pipeline import NATIVE_RIG
from facerig.server import outlet
from facerig.server.beat import FILL, Beat
from facerig.server.engine import Engine, Segment
from facerig.server.flow import Flow, Sound

TIMES = {1: 0.0025, 2: 0.0029, 4: 0.0034, 8: 0.0042, 16: 0.0064, 32: 0.0111, 64: 0.018}  # a measured server's
CHUNK = 320  # samples: 20 ms
SOUND = Sound(16_000)


def segment(own, slot, urgent=True):
    _, mapper = outlet.mapper(NATIVE_RIG, own.channels, "arkit")
    return Segment(Flow(own, SOUND), slot, outlet.Sampler(60, len(own.channels)), Controls(), mapper, urgent=urgent)


@dataclass
class Day:
    """A lane's life: chunks arrive, the beat chooses, the engine steps, rows leave as they come."""

    streams: int
    phases: list[float]
    block: int = 1
    slow: float = 1.0

    def __post_init__(self):
        self.own = animator(self.block)
        self.beat = Beat(self.block, 64)
        self.beat.measured(TIMES)
        self.engine = Engine(self.own, self.streams)
        self.segments = [segment(self.own, slot) for slot in range(self.streams)]
        self.now = 1_000.0
        self.chunks = [0] * self.streams
        self.ahead: dict[int, int] = {}  # rows that wait to leave, by slot
        self.steps: list[tuple[float, frozenset[int]]] = []
        self.waits: list[tuple[float, int, float]] = []

    def arrive(self):
        """The chunks that are there by now."""
        for slot, phase in enumerate(self.phases):
            while 1_000.0 + phase + self.chunks[slot] * 0.02 <= self.now:
                self.segments[slot].flow.feed(bytes(2 * CHUNK))
                self.chunks[slot] += 1
                self.nudge(self.segments[slot], 1_000.0 + phase + (self.chunks[slot] - 1) * 0.02)

    def nudge(self, one, at):
        if one.waits():
            one.due, one.since = True, at

    def live(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.arrive()
            due = [one for one in self.segments if one.due]
            chosen = self.beat.choose(due, self.streams, self.now)
            assert len(set(map(id, chosen))) == len(chosen) <= 64
            assert all(one.due for one in chosen)
            if not chosen:
                self.now += min(max(self.beat.wait(self.now), 0.0002), 0.0042)
                continue
            self.waits += [(self.now, one.slot, self.now - one.since) for one in chosen]
            self.steps.append((self.now, frozenset(one.slot for one in chosen)))
            for made in self.engine.step(chosen):
                made.segment.consumed = max(0, made.segment.produced - self.ahead.get(made.segment.slot, 0))
            self.now += self.slow * self.beat.seconds(len(chosen))
            for one in chosen:
                one.due = False
            self.arrive()
            for one in chosen:
                self.nudge(one, self.now)

    def since(self, seconds):
        """The steps of the last seconds."""
        return [who for at, who in self.steps if at >= self.now - seconds]


def phases(count, seed=0):
    return list(np.random.default_rng(seed).uniform(0, 0.1, count))


def test_a_few_streams_wait_for_nobody():
    day = Day(3, phases(3))
    day.live(1.0)
    assert day.beat.turns == 0
    assert day.beat.wait(day.now) == 0
    assert max(wait for _, _, wait in day.waits) <= 3 * TIMES[1] + 0.001  # only for who is being stepped


@pytest.mark.parametrize(("block", "streams"), [(1, 8), (1, 24), (1, 40), (2, 24), (2, 48), (5, 30)])
def test_streams_settle_into_steady_companies_that_step_once_a_round(block, streams):
    day = Day(streams, phases(streams), block)
    day.live(3.0)
    assert day.beat.turns >= 1
    rounds = 1.0 / day.beat.period
    companies = Counter(day.since(1.0))
    assert sum(sorted(companies.values())[-day.beat.turns :]) >= 0.95 * sum(companies.values())
    per_stream = Counter(slot for who in day.since(1.0) for slot in who)
    assert set(per_stream) == set(range(streams))
    assert all(abs(count - rounds) <= 2 for count in per_stream.values())


@pytest.mark.parametrize("streams", [12, 24])
def test_what_is_ready_never_waits_long(streams):
    """Audio comes in chunks of 20 ms, blocks last 16.7: a stream's scarcest block waits less than a turn, or is kept
    from it by the room; none waits longer than chunk and round together."""
    day = Day(streams, phases(streams, 3))
    day.live(4.0)
    late = [(slot, wait) for at, slot, wait in day.waits if at > day.now - 1.0]
    scarcest = {slot: min(wait for own, wait in late if own == slot) for slot in range(streams)}
    between = day.beat.period / day.beat.turns
    assert np.median(list(scarcest.values())) <= between + 0.003
    assert max(scarcest.values()) <= day.beat.period
    assert max(wait for _, wait in late) <= 0.02 + 2 * day.beat.period


def test_streams_that_speak_in_step_are_spread_over_the_turns():
    day = Day(24, [0.0] * 24)
    day.live(3.0)
    assert day.beat.turns == 2
    assert max(len(who) for who in day.since(1.0)) <= 15


def test_more_streams_take_fewer_turns_and_every_one_fits():
    beat = Beat(1, 64)
    beat.measured(TIMES)
    found = []
    for running in range(1, 65):
        beat.rest(float(running))
        beat.choose([], running, float(running))
        found.append(beat.turns)
    assert found[0] == 0
    assert found[-1] == 1
    assert set(found) == {0, 1, 2}
    crowd = [turns for turns in found if turns]
    assert found[: -len(crowd)] == [0] * (len(found) - len(crowd))
    assert sorted(crowd, reverse=True) == crowd


def test_a_lane_that_had_nothing_to_do_missed_no_turn():
    beat = Beat(1, 64)
    beat.measured(TIMES)
    for second in range(100):
        beat.rest(second + 0.0161)
        beat.choose([], 20, second + 0.0161)
    assert beat.turns == 2


def test_turns_that_begin_late_give_way_for_a_while():
    day = Day(28, phases(28))
    day.live(1.0)
    assert day.beat.turns == 2
    day.slow = 1.6  # as if something else took the machine
    day.live(1.5)
    assert day.beat.turns == 1
    day.slow = 1.0
    day.live(2.0)
    assert day.beat.turns == 1
    day.live(4.0)
    assert day.beat.turns == 2


def test_more_streams_than_a_step_holds_have_turns_enough():
    beat = Beat(1, 16)
    beat.measured({1: 0.004, 16: 0.016})
    beat.choose([], 20, 1.0)
    assert beat.turns == 2  # one turn would leave four out in every round


def test_a_stream_that_was_left_behind_catches_up():
    day = Day(12, phases(12))
    day.live(1.5)
    held = day.segments[4]
    day.segments[4] = segment(day.own, 4)  # its place, while the lane is not told of it
    backlog = 0.3
    day.live(backlog)
    for _ in range(int(backlog / 0.02)):
        held.flow.feed(bytes(2 * CHUNK))
    day.segments[4] = held
    day.nudge(held, day.now)
    assert held.flow.blocks > 14
    day.live(2.5)
    assert held.flow.blocks <= 3


@pytest.mark.parametrize("streams", [12, 40])
def test_a_pause_of_the_machine_is_caught_up_with(streams):
    day = Day(streams, phases(streams))
    day.live(1.5)
    before = max(one.flow.blocks for one in day.segments)
    day.now += 0.1
    day.arrive()
    assert max(one.flow.blocks for one in day.segments) >= before + 4
    day.live(4.0)
    assert max(one.flow.blocks for one in day.segments) <= before + 1


def test_a_clip_that_came_at_once_takes_its_turns_only():
    """It is ahead on purpose: it must not crowd the turns of others."""
    day = Day(10, phases(10))
    clip = day.segments[0]
    for _ in range(500):
        clip.flow.feed(bytes(2 * CHUNK))
    day.phases[0] = float("inf")
    day.nudge(clip, day.now)
    day.live(0.5)
    day.ahead[0], clip.limit = 100, 1_000
    day.live(0.5)
    before = clip.produced
    day.live(1.0)
    assert abs(clip.produced - before - 60) <= 3


def test_who_wants_all_fills_the_gaps_and_has_the_lane_where_nobody_keeps_time():
    own = animator(1)
    beat = Beat(1, 64)
    beat.measured(TIMES)
    wanting = [segment(own, slot, urgent=False) for slot in range(30)]
    for one in wanting:
        one.since = 10.0
    assert len(beat.choose(wanting, 30, 10.0)) == 30
    keeper = segment(own, 40)
    keeper.since = 10.03
    chosen = beat.choose([keeper, *wanting], 30, 10.05)
    assert keeper in chosen
    assert len(chosen) <= 1 + FILL
    assert len(beat.choose(wanting, 30, 10.0501)) == FILL


@settings(max_examples=15, deadline=None)
@given(st.integers(5, 40), st.integers(1, 3), st.integers(0, 1_000), st.floats(0.5, 3.0))
def test_nobody_starves_whatever_steps_cost(streams, block, seed, slow):
    day = Day(streams, phases(streams, seed), block, slow=slow)
    day.live(1.2)
    last = {slot: max(at for at, who in day.steps if slot in who) for slot in range(streams)}
    whole = slow * day.beat.seconds(streams)
    assert all(day.now - at <= 0.02 + 4 * (day.beat.period + whole) for at in last.values())


def test_turns_that_a_pause_swallowed_are_not_made_up_for():
    beat = Beat(2, 64)
    beat.measured(TIMES)
    beat.choose([], 40, 5.0)
    turns = beat.turns
    assert turns > 1
    taken = 0
    for _ in range(100):
        taken += beat._turn(9.0) is not None
    assert taken == turns


def test_two_lanes_take_turns_with_each_other():
    times: list[tuple[float, int]] = []
    for lane, offset in enumerate((0.0, 0.5)):
        beat = Beat(1, 64, offset)
        beat.measured(TIMES)
        beat.choose([], 24, 7.0)
        now = 7.0
        for _ in range(20):
            now += beat.wait(now) + 1e-9
            turn = beat._turn(now)
            assert turn is not None
            times.append((turn, lane))
    lanes = [lane for _, lane in sorted(times)][4:-4]
    assert all(a != b for a, b in pairwise(lanes))
