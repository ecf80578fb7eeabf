"""When a lane steps, and whom: streams take turns on an even beat, always in the same company.

A step costs much before it has computed anything, and states that change company must be copied. So there are some
turns in the time that a block lasts (a round), and a stream goes once a round, always in the same turn: the first one
after its audio is surely there. A stream whose audio missed its turn goes in a later one from then on; one whose audio
always waits goes earlier. How many turns there are follows from what steps cost: with more of them streams wait less,
with fewer they cost less. While every stream could be stepped by itself nobody waits.

Pure: is told the time, knows no thread.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from facerig.server.engine import Segment, Waiting
from facerig.stage import FPS

ALONE = 0.5  # of the time: while streams by themselves take no more, they go when they are ready
BUSY = 0.75  # of the time that all turns together may take by the start-up's figures, which are a fifth too low
REVIEW = 0.5  # seconds
LATE = 0.004  # seconds: turns that begin so late on average are too many, whatever the figures say ...
CALM = 5.0  # ... for so many seconds
BETWEEN = 1 / 120  # seconds from turn to turn, as long as steps are short enough
ROOM = 1.1  # of an even share: a turn with so many takes in no stream that could go in the next one
EPSILON = 1e-6  # seconds
WATCHED = 24  # frames over which waiting is watched: four rounds of 20 ms chunks over 16.7 ms frames
MARGIN = 0.002  # seconds of waiting that are kept, for audio that comes unevenly
FEW = 8  # rows on their way out; a stream with more is a clip that came at once, and early on purpose
CATCH = 0.05  # of the time that steps of those who lag may take
FILL = 8  # streams that want all they can get, in a step between those that keep time
HASTE = 1.0  # seconds after its last step that a stream which keeps time counts as running
SMOOTHING = 0.01  # of the moving average of how late turns begin


class Beat:
    """Of one lane."""

    def __init__(self, block: int, most: int, offset: float = 0.0) -> None:
        """`most` streams fit into a step; `offset` is the share of a turn by which this lane goes after another."""
        self.block, self.most, self.period, self._offset = block, most, block / FPS, offset
        self.turns = 0
        """In a round; 0 where nobody waits for company."""
        self._times: dict[int, float] = {}
        self._running = 0
        self._review = 0.0
        self._late, self._rested = 0.0, True
        self._limit, self._until = 1, 0.0
        """At most so many turns until then."""
        self._number = 0  # of the last turn
        self._sizes: dict[int, int] = {}
        """Streams that went lately, by turn of the round."""
        self._kept = -HASTE
        self._caught = 0.0
        """When those who lag may go again."""

    # ---- what steps cost --------------------------------------------------------------------------------------------

    def measured(self, times: dict[int, float]) -> None:
        """Seconds of a step by its streams, from the start-up."""
        self._times = dict(times)

    def seconds(self, batch: int) -> float:
        """What a step of so many streams takes: between measured ones along a line, beyond them in proportion."""
        if not self._times:
            return 0.0
        sizes = sorted(self._times)
        place = bisect_left(sizes, batch)
        if place == len(sizes) or sizes[place] == batch or not place:
            size = sizes[min(place, len(sizes) - 1)]
            return self._times[size] * (batch / size if size < batch else 1.0)
        low, high = sizes[place - 1], sizes[place]
        share = (batch - low) / (high - low)
        return self._times[low] + share * (self._times[high] - self._times[low])

    @property
    def patience(self) -> float:
        """Seconds that what is ready may wait for its turn."""
        return self.period if self.turns else 0.0

    # ---- who goes ---------------------------------------------------------------------------------------------------

    def choose(self, due: Sequence[Segment], running: int, now: float) -> list[Segment]:
        """Who of those that are ready steps now; nobody where no turn has come."""
        self._arrange(running, now)
        keeping = [segment for segment in due if segment.urgent]
        wanting = [segment for segment in due if not segment.urgent]
        self._kept = now if keeping else self._kept
        if not self.turns:
            return (keeping + wanting)[: self.most]
        turn = self._turn(now)
        lagging = [segment for segment in keeping if _lags(segment)]
        if turn is None and lagging and now >= self._caught:
            return self._catch_up(lagging[: self.most], now)
        if turn is None:
            return wanting[: FILL if now - self._kept < HASTE else self.most]
        self._late += 0.0 if self._rested else SMOOTHING * (now - turn - self._late)
        self._rested = False
        chosen = self._company(keeping, turn)
        for segment in chosen:
            self._watch(segment, turn)
        starved = [segment for segment in wanting if now - segment.since > self.period]
        return (chosen + starved[:FILL])[: self.most]

    def rest(self, now: float) -> None:
        """The lane had nothing to do: the turns since are not missed."""
        if self.turns:
            self._number, self._rested = max(self._number, self._latest(now) - 1), True

    def _catch_up(self, lagging: Sequence[Segment], now: float) -> list[Segment]:
        """A step between turns for those who lag; seldom, since they leave their company and the next turn is late."""
        self._caught = now + self.seconds(self._running) / CATCH
        for segment in lagging:
            segment.behind -= 1
        return list(lagging)

    def wait(self, now: float) -> float:
        """Seconds until the next turn."""
        return max(0.0, self._begin(self._number + 1) - now) if self.turns else 0.0

    def _arrange(self, running: int, now: float) -> None:
        """As many turns as so many streams allow; looked at when streams come and go, and now and then."""
        if running == self._running and now < self._review:
            return
        self._running, self._review = running, now + REVIEW
        if self.turns > 1 and self._late > LATE:
            self._limit, self._until = self.turns // 2, now + CALM
        turns = self._turns(running, self._limit if now < self._until else math.inf)
        if turns != self.turns:
            self.turns, self._sizes, self._late = turns, {}, 0.0
            self._number = self._latest(now)

    def _turns(self, running: int, limit: float) -> int:
        if running * self.seconds(1) <= ALONE * self.period:
            return 0
        turns = round(self.period / BETWEEN)
        while turns > 1 and math.ceil(2 * running / turns) <= self.most and (
                turns > limit or turns * self.seconds(math.ceil(running / turns)) > BUSY * self.period):
            turns //= 2
        return turns

    def _turn(self, now: float) -> float | None:
        """The time of the turn that has come since the last one; those that were missed by a round are lost."""
        latest = self._latest(now)
        if latest <= self._number:
            return None
        self._number = max(self._number + 1, latest - self.turns + 1)
        return self._begin(self._number)

    def _latest(self, now: float) -> int:
        """The number of the turn that is on."""
        return int(now * self.turns / self.period - self._offset)

    def _begin(self, number: int) -> float:
        return (number + self._offset) * self.period / self.turns

    def _company(self, ready: Sequence[Segment], turn: float) -> list[Segment]:
        """Those whose turn it is and those who missed theirs, as many as there is room for; the rest goes later."""
        hurried = [segment for segment in ready if _hurried(segment)]
        others = [segment for segment in ready if not _hurried(segment)]
        own = [segment for segment in others if abs(segment.turn - turn) <= EPSILON]
        late = sorted((one for one in others if one.turn < turn - EPSILON), key=lambda segment: segment.turn)
        company = (own + late)[: self._room]
        self._sizes[self._number % self.turns] = len(company)
        return (hurried + company)[: self.most]

    @property
    def _room(self) -> int:
        """Streams that a turn takes in."""
        return math.ceil(ROOM * self._running / self.turns)

    def _watch(self, segment: Segment, turn: float) -> None:
        """Its next turn is a round later, or earlier where its audio had to wait all the while."""
        segment.turn = turn + self.period
        seen = segment.waiting
        seen.least = min(seen.least, turn - segment.since)
        seen.left = min(seen.left, segment.flow.blocks - 1)
        seen.frames += self.block
        if seen.frames >= WATCHED:
            segment.waiting = Waiting()
            if segment.produced - segment.consumed <= FEW:
                segment.behind = int(max(0, seen.left))
                earlier = max(0, int((seen.least - MARGIN) * self.turns / self.period))
                if self._sizes.get((self._number - earlier) % self.turns, 0) < self._room:
                    segment.turn -= earlier * self.period / self.turns


def _hurried(segment: Segment) -> bool:
    """Whether it should not wait for its own turn: nothing of it has come out yet."""
    return not segment.produced or segment.release is not None


def _lags(segment: Segment) -> bool:
    return segment.behind > 0 and segment.produced - segment.consumed <= FEW

