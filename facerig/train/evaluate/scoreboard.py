"""The whole evaluation in the order of its tables: hear, show, move, withstand, read. Prints nothing.

Every system meets the same clips in the same run, but those beside a text only clips that have one; what a system
cannot do is None and not left out. Thresholds come from training-side clips or are fixed in advance (`systems.BAR`,
`shown.CLOSED_MM`, `events.TOLERANCE`); the result states them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from facerig.errors import OptionError
from facerig.model.config import NetConfig
from facerig.train.corpora import motion as motion_corpora
from facerig.train.corpora.base import UNREADABLE, Lost, Made, reason, told
from facerig.train.corpora.conditions import non_speech_sounds
from facerig.train.evaluate import content, critics, events, published, robustness, sets, shown, systems
from facerig.train.evaluate.everyday import everyday_sounds
from facerig.train.evaluate.motion import MEASURED, Measured
from facerig.train.evaluate.rivals import Rhubarb, check_rivals, covered
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.systems import ModelSystem, Output, Regression, System
from facerig.train.parallel import one_thread
from facerig.train.teacher.measured import grid_clips

STRESSED = ("ljspeech", "emodb", "css10_es")  # sets that the robustness table draws its clips from
CEILING = "ceiling"  # the teacher on true phones
BASELINES = ("with text", "text unread", "expected", CEILING, "static", "mean", "loudness", "ridge", "random")
# GRID training clips, evenly spread, that a regression's bar is set by (baselines learn from all others), and how many
# of either a quick run has
APART, QUICK = 60, 24
Told = Callable[[Lost], None]


@dataclass(frozen=True)
class Options:
    """What to run."""

    sets: tuple[str, ...] = ()
    model: str | None = None
    rivals: tuple[str, ...] = ()
    quick: bool = False
    baselines: bool = True

    def __post_init__(self) -> None:
        for name in self.sets:
            if name not in sets.set_names():
                raise OptionError(f"--sets: got {name!r}, accepted: {', '.join(sets.set_names())}")


@dataclass
class Row:
    """One system on one set."""

    motion: Measured | None = None
    """What judges it against measured faces, where the set has them."""
    content: content.Content = field(default_factory=content.Content)
    shown: shown.Shown = field(default_factory=shown.Shown)
    errors: published.Measure = field(default_factory=published.Measure)
    critics: critics.Critics = field(default_factory=critics.Critics)

    def add(self, clip: Clip, output: Output) -> None:
        if clip.timed:
            self.content.add(clip, output)
        self.shown.add(clip, output)
        self.errors.add(clip, output)
        self.critics.add(clip, output)
        if self.motion is not None:
            self.motion.add(clip, output)

    def figures(self) -> dict[str, Any]:
        out: dict[str, Any] = {**self.content.figures(), **self.shown.figures(), **self.critics.figures(),
                               "errors": self.errors.figures()}  # fmt: skip
        if self.motion is not None:
            out["motion"] = self.motion.figures()
        return out


@one_thread()
def evaluate(options: Options, progress: Callable[[str], None] = lambda _: None, warn: Told = told) -> dict[str, Any]:
    """The scoreboard as one JSON-ready value. `warn` is told of each file and set that cannot be read."""
    started = time.monotonic()
    missed: dict[str, str] = {}

    def lost(one: Lost) -> None:
        if one.name not in missed:
            missed[one.name] = one.why
            warn(one)

    progress("loading the model")
    model = ModelSystem(options.model)
    rivals = rivals_of(options, model.name)  # a slip in them should not cost the baselines' time
    held = {name: sets.load(name, quick=options.quick, lost=lost) for name in options.sets or sets.set_names()}
    check_rivals(rivals, (clip.stem for clips in held.values() for clip in clips))
    judged = [*all_systems(model, options, progress, lost), *rivals]
    table: dict[str, Any] = {}
    stress: list[Clip] = []
    for name, clips in held.items():
        if not clips:
            continue
        table[name] = one_set(name, clips, judged, progress)
        if rivals:
            table[name]["rivals"] = covered(rivals, [clip.stem for clip in clips])
        if name in STRESSED:
            stress += [clips[k] for k in sets.thinned(len(clips), 2 if options.quick else 8)]
    result: dict[str, Any] = {"model": model.name, "quick": options.quick, "rules": rules(model, judged), "sets": table}
    if beside := published.compared(table, model.name):
        result["rhubarb_published"] = beside
    if stress:
        progress("closing after the end")
        result["after_end"] = after_end(model, stress)
        progress("noise, rooms, lines, voices")
        result["robustness"] = robustness.robustness(model, stress)
    progress("sounds that are not speech")
    result["not_speech"] = robustness.not_speech(model, everyday_sounds())
    result["not_speech_learnt"] = robustness.not_speech(model, non_speech_sounds())
    result["left_out"] = [{"name": name, "why": why} for name, why in missed.items()]
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def rules(model: ModelSystem, judged: Sequence[System]) -> dict[str, float]:
    """The thresholds; none was chosen on these clips."""
    return {
        "event_enter": model.bar[0],
        "event_leave": model.bar[1],
        **{f"event_enter_{system.name}": system.bar[0] for system in judged if isinstance(system, Regression)},
        "event_tolerance_ms": events.TOLERANCE * 1000,
        "closed_mm_over_rest": shown.CLOSED_MM,
    }


def one_set(
    name: str, clips: Sequence[Clip], judged: Sequence[System], progress: Callable[[str], None]
) -> dict[str, Any]:
    """All systems on a set."""
    judge = MEASURED.get(name, lambda: None)
    rows = {system.name: Row(judge()) for system in judged}
    for number, clip in enumerate(clips, start=1):
        progress(f"{name} {number}/{len(clips)}")
        for system in judged:
            rows[system.name].add(clip, system.run(clip))
    figures = {system: row.figures() for system, row in rows.items()}
    return {"clips": len(clips), "seconds": round(sum(c.seconds for c in clips), 1), "language": clips[0].language,
            "systems": figures}  # fmt: skip


def rivals_of(options: Options, model: str) -> list[Rhubarb]:
    """The rivals asked for. Rows are kept by name, so none may bear that of another system."""
    rivals = [Rhubarb(text) for text in options.rivals]
    taken = (model, *BASELINES)
    for rival in rivals:
        if rival.name in taken:
            raise OptionError(f"--rival: got the name {rival.name!r}, which another row has; accepted: a name other "
                              f"than {', '.join(taken)}")  # fmt: skip
    return rivals


def all_systems(model: ModelSystem, options: Options, progress: Callable[[str], None], lost: Told = told
                ) -> list[System]:  # fmt: skip
    """The model first, then what it is compared with."""
    judged: list[System] = [model]
    if options.baselines:
        progress("training the baselines")
        judged += [systems.told(model), systems.untold(model), systems.expected_from(model)]
        judged += [systems.Simple(CEILING, systems.taught)]
        judged += floors(options.quick, progress, model.config, lost)
    return judged


def floors(quick: bool, progress: Callable[[str], None], config: NetConfig, lost: Told = told) -> list[System]:
    """Static, mean, loudness, and the two regressions, which look ahead and are built as a model of that config is."""
    learnt, apart = _grid_training(quick, lost)
    if not learnt or not apart:
        progress("mean, ridge and random are left out: GRID, which they learn from, is not on this machine")
        return [systems.Simple("static", systems.static), systems.Simple("loudness", systems.energy_jaw)]
    examples = {"grid": learnt}
    solved = _facegood_training(lost)
    if solved:
        examples["facegood"] = solved[:1] if quick else solved
    return [
        systems.Simple("static", systems.static),
        systems.mean_face(examples["grid"]),
        systems.Simple("loudness", systems.energy_jaw),
        _barred(Regression.train("ridge", systems.mel_windows(config.lookahead), examples), apart),
        _barred(Regression.train("random", systems.RandomEncoder(config), examples), apart),
    ]


def _grid_training(quick: bool, lost: Told) -> tuple[list[Clip], list[Clip]]:
    """(what baselines learn from, what sets a regression's bar) of GRID's training clips. Names that stand together say
    the same word first, so those that are set apart are spread over all."""
    if sets.missing("grid"):
        return [], []
    try:
        found = grid_clips("train", 2 * QUICK, lost) if quick else grid_clips("train", lost=lost)
    except UNREADABLE as error:
        lost(Lost("grid", reason(error)))
        return [], []
    held = [sets.grid_as_clip(clip) for clip in found]
    if quick:
        return held[:QUICK], held[QUICK:]
    apart = set(sets.thinned(len(held), min(APART, len(held) // 2)))
    return [clip for k, clip in enumerate(held) if k not in apart], [held[k] for k in sorted(apart)]


def _barred(system: Regression, clips: Sequence[Clip]) -> Regression:
    return replace(system, bar=content.own_bar(system, clips))


def _facegood_training(lost: Told) -> list[Clip]:
    source = next(s for s in motion_corpora.sources() if s.name == "facegood")
    try:
        made = sets.made(source)
    except UNREADABLE as error:
        lost(Lost("facegood", reason(error)))
        return []
    for one in made:
        if isinstance(one, Lost) and one.split == "train":
            lost(one)
    return [sets.as_clip(one, source.columns) for one in made
            if isinstance(one, Made) and one.row.split == "train" and one.targets is not None]  # fmt: skip


def after_end(model: System, clips: Sequence[Clip]) -> dict[str, float]:
    """Clips cut where the last sound ends, then a second of silence: how open the mouth still is 200 ms later."""
    jaws, gaps = [], []
    for clip in clips:
        tail = shown.with_tail(_cut(clip))
        jaw, gap = shown.after_end(tail, model.run(tail))
        jaws.append(jaw)
        gaps.append(gap)
    return {
        "largest_jaw": round(max(jaws), 4),
        "mean_jaw": round(sum(jaws) / len(jaws), 4),
        "largest_gap_mm": round(max(gaps), 3),
    }


def _cut(clip: Clip) -> Clip:
    spoken = [t for t in clip.timed if t.unit not in ("sil", "noise")]
    end = round(spoken[-1].end * clip.rate) if spoken else len(clip.samples)
    return replace(clip, id=f"{clip.id}+cut", samples=clip.samples[:end], motion=None)
