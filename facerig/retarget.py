"""Retargeting: one rig's curves as another's, by sparse maps that anybody can write. A map works frame by frame.

`retarget(curves, to="metahuman")` finds the way from the curves' rig to the wanted one over the shipped maps in
`assets/maps`; `load_map(file)` reads a user's own. This module knows rules (sum, max, min, product, ratio) and no rig
by its content, no geometry (so no FLAME: its shapes need a head) and no time: every output value depends on its own
frame alone, in a fixed order of operations, so parts of a take retargeted apart equal the whole bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from os import PathLike
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from facerig.curves import Curves, Values
from facerig.errors import RigError
from facerig.files import assets_folder
from facerig.mapfile import MapDraft, read_map_file
from facerig.rig import Rig, identify, nearest, rig, rig_names

# The shipped maps lead to or from this rig: ARKit, tongue and head, so that little is lost on the way. Only MetaHuman's
# two lists also meet without it, as most of their controls have no counterpart here.
HUB = "facerig-full"
# A denominator below this is a closed jaw: the ratio then counts as 0 rather than as noise over noise.
ZERO = np.float32(1e-4)
RULES = ("sum", "max", "min", "product", "ratio")

Columns = NDArray[np.intp]


@dataclass(frozen=True)
class Row:
    """One target channel: `offset + rule(weight * source, ...)`, then clamped."""

    target: str
    terms: tuple[tuple[str, float], ...]
    rule: str = "sum"
    offset: float = 0.0
    clamp: tuple[float, float] | None = None  # None: the target's range where the row could leave it


@dataclass(frozen=True)
class RetargetMap:
    """Rows that make a target rig's channels of a source rig's; target channels without a row stay neutral (0)."""

    source: Rig
    target: Rig
    rows: tuple[Row, ...]
    origin: str = "map"  # the file's name, for error lines

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for number, row in enumerate(self.rows, 1):
            _check_row(f"{self.origin}, row {number}", row, self.source, self.target)
            if row.target in seen:
                raise RigError(f"{self.origin}, row {number}: {row.target!r} has a row already; join their terms")
            seen.add(row.target)

    @property
    def neutral(self) -> tuple[str, ...]:
        """Target channels that no row feeds: they stay at 0."""
        fed = {row.target for row in self.rows}
        return tuple(name for name in self.target.names if name not in fed)

    @property
    def unused(self) -> tuple[str, ...]:
        """Source channels that no row reads: their motion is lost."""
        read = {name for row in self.rows for name, _ in row.terms}
        return tuple(name for name in self.source.names if name not in read)

    @property
    def linear(self) -> bool:
        """Whether every row is a weighted sum without an offset, so that zero stays zero."""
        return all(row.rule == "sum" and row.offset == 0 for row in self.rows)

    def apply(self, values: Values) -> Values:
        """values [T, source channels] -> [T, target channels]."""
        if values.ndim != 2 or values.shape[1] != len(self.source):
            raise RigError(f"{self.origin}: got values of shape {values.shape}, accepted: [T, {len(self.source)}]")
        columns = np.ascontiguousarray(values.T)  # a channel's values side by side, for long takes
        out = np.zeros((len(self.target), len(values)), np.float32)
        for group in self._groups:
            out[group.targets] = group.apply(columns)
        return np.ascontiguousarray(out.T)

    @cached_property
    def _groups(self) -> tuple[_Group, ...]:
        return tuple(_compiled(self, rule) for rule in RULES if any(row.rule == rule for row in self.rows))


def carried(channels: Sequence[str], source: Rig, target: Rig) -> tuple[str, ...]:
    """Angles that curves of the source rig have besides, under the target's very names: they go over as they are.

    So a phone's own angles of the eyes outlive a way that has the gaze shapes alone.
    """
    return tuple(one.name for one in target.channels
                 if one.kind == "angle" and one.name in channels and one.name not in source)


def retarget(curves: Curves, to: Rig | str, using: RetargetMap | None = None) -> Curves:
    """The same motion in another rig: its channels, in its order. `using` is a map of your own (see `load_map`)."""
    target = rig(to) if isinstance(to, str) else to
    if using is not None:
        return _through(_through(curves, using.source, using), target)
    return _through(curves, target)


def load_map(path: str | PathLike[str]) -> RetargetMap:
    """A user's own map: a small .json or .yaml file (docs/RIGS.md has the schema)."""
    return _from_draft(read_map_file(Path(path)))


@cache
def shipped_map(source: str, target: str) -> RetargetMap | None:
    """The map that leads straight from one shipped rig to another, where there is one.

    Rigs with the same names in other orders (livelink and livelink-csv) share their files.
    """
    for first in _twins(source):
        for last in _twins(target):
            path = assets_folder() / "maps" / f"{first}--{last}.json"
            if path.is_file():
                found = _from_draft(read_map_file(path))
                return replace(found, source=rig(source), target=rig(target))
    return None


@cache
def _twins(name: str) -> tuple[str, ...]:
    same = frozenset(rig(name).names)
    return (name, *(other for other in rig_names() if other != name and frozenset(rig(other).names) == same))


def route(source: Rig, target: Rig) -> tuple[RetargetMap, ...]:
    """The maps to apply one after the other; RigError where there is no way."""
    if _is_shipped(source) and _is_shipped(target):
        return _shipped_route(source.name, target.name)
    straight = _same_names(source, target)
    if straight is not None:
        return (straight,)
    last = _same_names(rig(HUB), target)
    if last is None or not _is_shipped(source):
        raise RigError(f"no map from rig {source.name!r} to {target.name!r}; write one and give it (docs/RIGS.md)")
    return (*_shipped_route(source.name, HUB), last)


def _is_shipped(asked: Rig) -> bool:
    return asked.name in rig_names() and asked == rig(asked.name)


# ---- finding the way ------------------------------------------------------------------------------------------


def _through(curves: Curves, target: Rig, last: RetargetMap | None = None) -> Curves:
    """Along the route to target, then through one more map."""
    if curves.channels != target.names:
        source, given = source_rig(curves.channels, target), curves
        if curves.channels != source.names:
            curves = curves.select(source.names, fill=0.0)
        for step in route(source, target):
            curves = replace(curves, channels=step.target.names, values=step.apply(curves.values))
        own = carried(given.channels, source, target)
        if own:
            curves = curves.with_channels({name: given[name] for name in own})
    if last is not None:
        curves = replace(curves, channels=last.target.names, values=last.apply(curves.values))
    return curves


def source_rig(channels: Sequence[str], target: Rig | None = None) -> Rig:
    """The rig that the channels are; else the target where they hold all of it; else the smallest rig that holds them
    all and of which they are half or more (51 ARKit shapes: the missing one is neutral); else the largest they hold.
    """
    exact = identify(channels)
    if exact is not None:
        return exact
    have = frozenset(channels)
    if target is not None and have.issuperset(target.names):
        return target
    known = [rig(name) for name in rig_names()]
    part = [found for found in known if have.issubset(found.names) and 2 * len(have) >= len(found)]
    held = [found for found in known if have.issuperset(found.names) and len(found) > 1]
    if part or held:
        return min(part, key=len) if part else max(held, key=len)
    raise RigError(_unknown(channels))


def _unknown(channels: Sequence[str]) -> str:
    rigs = [rig(name) for name in rig_names()]
    best = max(rigs, key=lambda found: (len(set(found.names) & set(channels)), -len(found)))
    missing = [name for name in best.names if name not in channels]
    known = len(best) - len(missing)
    if not known:
        shown = ", ".join(channels[:4]) or "none"
        return f"the channels ({shown}, ...) are no known rig's; give a map of your own, or see `facerig rigs`"
    if not missing:
        return (f"the channels are no known rig's: nearest is {best.name!r}, and one channel is too little of these "
                f"{len(channels)}; give a map of your own, or see `facerig rigs`")
    return (f"the channels are no known rig's: nearest is {best.name!r} ({known} of {len(best)}), of which "
            f"{', '.join(missing[:5])} {'is' if len(missing) == 1 else 'are'} missing")


@cache
def _shipped_route(source: str, target: str) -> tuple[RetargetMap, ...]:
    flame = [name for name in (source, target) if name.startswith("flame")]
    if len(flame) == 1:
        raise RigError(f"rig {flame[0]!r} needs a head: its expressions are shapes of a mesh, not of the face's parts; "
                       f"solve them in Python with facerig.heads.flame_solve.FlameBridge (docs/HEADS.md)")
    for stops in ((source, target), (source, HUB, target)):
        steps = [_step(first, last) for first, last in pairwise(stops)]
        found = tuple(step for step in steps if step is not None)
        if len(found) == len(steps):
            return found
    raise RigError(f"no map from rig {source!r} to {target!r}; write one and give it (docs/RIGS.md)")


def _step(source: str, target: str) -> RetargetMap | None:
    return shipped_map(source, target) or _same_names(rig(source), rig(target))


def _same_names(source: Rig, target: Rig) -> RetargetMap | None:
    """Where one rig holds all of the other, the common channels are the map."""
    common = [name for name in target.names if name in source]
    if len(common) < min(len(source), len(target)):
        return None
    rows = tuple(Row(name, ((name, 1.0),)) for name in common)
    return RetargetMap(source, target, rows, f"{source.name}--{target.name}")


# ---- rows -----------------------------------------------------------------------------------------------------


def _from_draft(draft: MapDraft) -> RetargetMap:
    rows = tuple(Row(**row) for row in draft.rows)
    return RetargetMap(draft.source, draft.target, rows, draft.origin)


def _check_row(where: str, row: Row, source: Rig, target: Rig) -> None:
    if row.target not in target:
        raise RigError(f"{where}: rig {target.name!r} has no channel {row.target!r}; "
                       f"{nearest(row.target, target.names)}")
    for name, _ in row.terms:
        if name not in source:
            raise RigError(f"{where} ({row.target}): rig {source.name!r} has no channel {name!r}; "
                           f"{nearest(name, source.names)}")
    names = [name for name, _ in row.terms]
    if row.rule not in RULES:
        raise RigError(f"{where} ({row.target}): rule {row.rule!r}; accepted: {', '.join(RULES)}")
    if row.rule == "ratio" and len(names) != 2:
        raise RigError(f"{where} ({row.target}): a ratio has 2 terms, above and below the line; got {len(names)}")
    if not names:
        raise RigError(f"{where} ({row.target}): no terms; leave the row out for a channel that stays neutral")
    if len(set(names)) != len(names):
        raise RigError(f"{where} ({row.target}): a source channel stands twice; add its weights")
    if row.clamp is not None and not row.clamp[0] < row.clamp[1]:
        raise RigError(f"{where} ({row.target}): clamp {list(row.clamp)} is empty; low must be below high")


def _limits(row: Row, source: Rig, target: Rig) -> tuple[float, float]:
    """The clamp: the row's own, else the target's range if sources in range could drive the row out of it.

    A rename therefore is exact even for the values a little above 1 that uncalibrated recordings have.
    """
    if row.clamp is not None:
        return row.clamp
    goal = target.channel(row.target)
    if row.rule == "sum":
        ends = [sorted((weight * source.channel(name).low, weight * source.channel(name).high))
                for name, weight in row.terms]
        lowest, highest = (row.offset + sum(end[side] for end in ends) for side in (0, 1))
        if goal.low <= lowest and highest <= goal.high:
            return -np.inf, np.inf
    return goal.low, goal.high


@dataclass(frozen=True)
class _Group:
    """Rows of one rule, term by term: layer k holds the k-th term of every row that has one."""

    rule: str
    targets: Columns
    layers: tuple[tuple[int, Columns, Values], ...]  # how many rows (the first ones), source channels, weights
    offset: Values
    low: Values
    high: Values

    def apply(self, columns: Values) -> Values:
        """[source channels, T] -> [rows, T]."""
        _, sources, weights = self.layers[0]  # every row has a first term
        out: Values = columns[sources] * weights
        for rows, sources, weights in self.layers[1:]:
            out[:rows] = _join(self.rule, out[:rows], columns[sources] * weights)
        out += self.offset
        limited: Values = np.clip(out, self.low, self.high, out=out)
        return limited


def _join(rule: str, left: Values, right: Values) -> Values:
    if rule == "ratio":
        closed = np.abs(right) < ZERO
        quotient: Values = np.where(closed, np.float32(0), left / np.where(closed, np.float32(1), right))
        return quotient
    joins = {"sum": np.add, "max": np.maximum, "min": np.minimum, "product": np.multiply}
    joined: Values = joins[rule](left, right)
    return joined


def _compiled(chart: RetargetMap, rule: str) -> _Group:
    # Rows with most terms first, so that each layer is a leading part of the group.
    rows = sorted((row for row in chart.rows if row.rule == rule), key=lambda row: -len(row.terms))
    low, high = zip(*(_limits(row, chart.source, chart.target) for row in rows), strict=True)
    layers = tuple(_layer(chart.source, rows, depth) for depth in range(len(rows[0].terms)))
    targets = np.array([chart.target.index(row.target) for row in rows], np.intp)
    return _Group(rule, targets, layers, _upright(row.offset for row in rows), _upright(low), _upright(high))


def _layer(source: Rig, rows: Sequence[Row], depth: int) -> tuple[int, Columns, Values]:
    terms = [row.terms[depth] for row in rows if len(row.terms) > depth]
    return len(terms), np.array([source.index(name) for name, _ in terms], np.intp), _upright(w for _, w in terms)


def _upright(numbers: Iterable[float]) -> Values:
    """One number a row, to be met with [rows, T]."""
    return np.array(list(numbers), np.float32)[:, None]


# ---- bench ----------------------------------------------------------------------------------------------------


def bench_retarget(seconds: int = 60) -> dict[str, float | int | str]:
    """Speed from the native rig to MetaHuman's 251: a whole take, and single frames as a stream asks for them."""
    source = rig("facerig")
    take = Curves(source.names, 60, np.random.default_rng(0).random((seconds * 60, len(source)), np.float32))
    whole = _best_of_five(lambda: retarget(take, "metahuman"))
    single = _best_of_five(lambda: [retarget(take.slice(at, at + 1), "metahuman") for at in range(60)]) / 60
    return {"bench": "retarget", "seconds": seconds, "x_real_time": round(seconds / whole),
            "us_per_frame_in_a_take": round(whole / take.frames * 1e6, 2),
            "us_per_single_frame": round(single * 1e6, 1)}


def _best_of_five(work: Callable[[], object]) -> float:
    took = []
    for _ in range(5):
        begun = perf_counter()
        work()
        took.append(perf_counter() - begun)
    return min(took)
