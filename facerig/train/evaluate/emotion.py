"""Emotion and style in the shipped face, measured: exchange, lips, closures, intensity, fades, leakage,
accents, styles from references; and what can be read out of the codes (`codes`).

`facerig eval --emotion`. Curves are those of the chain (model, express, lips) on clips that nothing here was trained
on; the readers and classifiers are trained on `LEARN`'s clips and judge `JUDGE`'s, other people in other languages.
Beside a figure stand chance and ceiling: what a guess gets, and what the same judge says of the expression teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.assembly import lips_of
from facerig.controls import EMOTIONS, Controls, group, place, rows_of
from facerig.emotion import code, looks, space, styles
from facerig.emotion.express import Express, FeltLips
from facerig.errors import InputError
from facerig.heads.builtin import builtin_head
from facerig.heads.landmarks import mouth_measures
from facerig.model.runtime import BLOCK, ModelStage, graph_of, load
from facerig.phones import VISEMES15, rasterise, viseme15_of_units
from facerig.rig import rig
from facerig.stage import Frames
from facerig.train.evaluate import codes, manner, sets
from facerig.train.evaluate.events import Matches, runs, spoken_events
from facerig.train.evaluate.probes import Probe, around, rank_correlation
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.shown import CLOSED_MM, reference_mouth
from facerig.train.motion import energy
from facerig.train.parallel import one_thread
from facerig.train.teacher.expression import expressive, stressed

LEARN = (("grid", 40), ("css10_es", 41))
JUDGE = (("emodb", 48), ("ljspeech", 12), ("emu_ae", 7))
QUICK = 0.15  # share of the clips
LEAD = 40  # frames of silence before a clip, so that what is asked for has come about
NAMES = rig("facerig").names
FACE = [k for k, name in enumerate(NAMES) if not name.startswith("tongue")]
UPPER = [k for k, channel in enumerate(rig("facerig").channels) if channel.region in looks.UPPER_REGIONS]
LOWER = [k for k in range(len(NAMES)) if k not in UPPER]
MOUTH = [k for k, name in enumerate(NAMES) if name.startswith(("jaw", "mouth"))]
# Channels that speech does not move (a sneer gives way to closures): in them a fade can be told from articulation
CALM = [k for k, name in enumerate(NAMES) if name.startswith(("brow", "eye", "cheekSquint"))]
BROWS = [k for k, name in enumerate(NAMES) if name.startswith(("browInnerUp", "browOuterUp"))]
FELT = ("neutral", *EMOTIONS)
LEVELS = np.linspace(0, 1, 11, dtype=np.float32)
Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Faces:
    """The chain's part that feels, over clips."""

    model: ModelStage

    @cached_property
    def express(self) -> Express:
        return Express(self.model.columns)

    @cached_property
    def lips(self) -> FeltLips:
        return lips_of(self.model)

    def shown(self, clip: Clip, asked: Sequence[Frames]) -> list[Frames]:
        """[n, 68] curves of a clip under each of these control rows [n, WIDTH]."""
        mel, late = clip.mel, self.model.delay
        tail = late + self.lips.delay + -(LEAD + len(mel) + late + self.lips.delay) % BLOCK
        quiet = np.full((1, mel.shape[1]), mel.min(), np.float32)
        feats = np.concatenate([np.repeat(quiet, LEAD, 0), mel, np.repeat(quiet, tail, 0)])
        rows = np.stack([np.pad(own, ((LEAD, tail), (0, 0)), mode="edge") for own in asked])
        delayed = np.concatenate([np.repeat(rows[:, :1], late, 1), rows[:, : len(feats) - late]], axis=1)
        out = self._model(np.repeat(feats[None], len(rows), 0), code.condition(delayed))
        return [self._post(own, their)[LEAD + late + self.lips.delay :][: len(mel)]
                for own, their in zip(out, delayed, strict=True)]

    def _model(self, feats: Frames, condition: Frames) -> Frames:
        state = tuple(np.repeat(array[None], len(feats), 0) for array in self.model.start())
        parts = []
        for at in range(0, feats.shape[1], BLOCK):
            span = slice(at, at + BLOCK)
            state, out = self.model.push_batch(state, np.concatenate([feats[:, span], condition[:, span]], axis=2))
            parts.append(out)
        return np.concatenate(parts, axis=1)

    def _post(self, columns: Frames, rows: Frames) -> Frames:
        _, felt = self.express.push(self.express.start(), np.concatenate([columns, rows], axis=1))
        return np.clip(self.lips.push(self.lips.start(), felt)[1], 0, 1)

    def taught(self, clip: Clip, rows: Frames) -> Frames:
        """What the teacher would make of the model's neutral curves."""
        curves, contacts, _ = self.model.posteriors(clip.mel)
        return expressive(curves, code.condition(rows), contacts, energy(clip.mel))


def rows_for(count: int, emotion: str = "neutral", intensity: float = 1.0, style: str = "normal",
             more: Mapping[str, float] | None = None) -> Frames:
    """[count, WIDTH] of one thing asked for throughout."""
    out = rows_of(count)
    out[:, group("emotion")] = space.vector(space.mixture(emotion))
    out[:, place("intensity")] = intensity
    out[:, group("style")] = styles.style(style)
    for name, value in (more or {}).items():
        out[:, place(name)] = value
    return out


def clips_of(names: Sequence[tuple[str, int]], quick: bool) -> list[Clip]:
    return [clip for name, count in names for clip in sets.load(name, max(3, round(count * QUICK)) if quick else count)]


@one_thread()
def evaluate(model: str | None = None, quick: bool = False, progress: Progress = lambda _: None) -> dict[str, Any]:
    """All figures."""
    faces = Faces(load(model))
    learn, judge = clips_of(LEARN, quick), clips_of(JUDGE, quick)
    if not learn or not judge:
        raise InputError("no data set is at hand; accepted: the folder of data sets in $FACERIG_DATA or ../shared/data")
    few = judge[:: max(1, len(judge) // (2 if quick else 8))]
    figures: dict[str, Any] = {"clips": {"learnt": len(learn), "judged": len(judge)}}
    progress("faces")
    made = {part: _everything(faces, clips) for part, clips in (("learn", learn), ("judge", judge))}
    for name, step in (
        ("exchange", lambda: exchange(faces, learn, judge, made)),
        ("lips", lambda: lips(learn, judge, made)),
        ("closures", lambda: closures(judge, made["judge"])),
        ("intensity", lambda: intensity(faces, few)),
        ("fades", lambda: fades(faces, few)),
        ("strength_zero", lambda: strength_zero(faces, few)),
        ("leakage", lambda: leakage(faces, few)),
        ("accents", lambda: accents(faces, few)),
        ("reference", lambda: manner.reference(faces, judge, quick)),
        ("codes", lambda: codes_read(model, quick)),
        ("heard", heard),
    ):
        progress(name)
        figures[name] = step()
    return figures


def _everything(faces: Faces, clips: Sequence[Clip]) -> list[list[Frames]]:
    """Per clip its curves under neutral and each emotion, fully felt."""
    return [faces.shown(clip, [rows_for(len(clip.mel), name) for name in FELT]) for clip in clips]


# ---- exchange and lips ------------------------------------------------------------------------------------------


def exchange(faces: Faces, learn: Sequence[Clip], judge: Sequence[Clip],
             made: dict[str, list[list[Frames]]]) -> dict[str, Any]:
    """Every judged clip with the emotion of others: what a classifier of curves says that it sees."""
    labels = np.tile(np.arange(len(FELT)), len(learn))
    probe = Probe.fit(np.stack([_summary(own) for clip in made["learn"] for own in clip]), labels, len(FELT))
    wanted = np.tile(np.arange(len(FELT)), len(judge))
    seen = probe.guess(np.stack([_summary(own) for clip in made["judge"] for own in clip]))
    taught = [_summary(faces.taught(clip, rows_for(len(clip.mel), name))) for clip in judge[::4] for name in FELT]
    truth = np.tile(np.arange(len(FELT)), len(judge[::4]))
    return {"target": 90, "chance": round(100 / len(FELT), 1), "ceiling": probe.accuracy(np.stack(taught), truth),
            "accuracy": round(100 * float((seen == wanted).mean()), 1),
            "recall": {name: round(100 * float((seen[wanted == k] == k).mean()), 1) for k, name in enumerate(FELT)}}


def _summary(curves: Frames) -> Frames:
    own = curves[:, FACE]
    return np.concatenate([own.mean(0), own.std(0), np.percentile(own, 90, axis=0)]).astype(np.float32)


def lips(learn: Sequence[Clip], judge: Sequence[Clip], made: dict[str, list[list[Frames]]]) -> dict[str, Any]:
    """Visemes read off the mouth: by a reader who has seen moods on others, and by the shipped one who has not."""
    probe = Probe.fit(*_read_rows(learn, made["learn"], slice(None)), len(VISEMES15))
    errors = {name: 100 - probe.accuracy(*_read_rows(judge, made["judge"], slice(k, k + 1)))
              for k, name in enumerate(FELT)}
    felt = float(np.mean([errors[name] for name in EMOTIONS]))
    return {"target_rise": 2, "chance_error": round(100 - 100 / len(VISEMES15), 1),
            "neutral_error": round(errors["neutral"], 1), "felt_error": round(felt, 1),
            "rise": round(felt - errors["neutral"], 1),
            "worst_rise": round(max(errors[name] for name in EMOTIONS) - errors["neutral"], 1),
            "shipped_reader": _shipped_reader(judge, made["judge"])}


def _read_rows(clips: Sequence[Clip], made: Sequence[Sequence[Frames]],
               moods: slice) -> tuple[Frames, NDArray[np.int64]]:
    """(mouth with its neighbours, viseme) of every third spoken frame."""
    features, labels = [], []
    for clip, own in zip(clips, made, strict=True):
        truth = viseme15_of_units()[rasterise(clip.timed, len(clip.mel))]
        rows = np.flatnonzero(truth > 0)[::3]
        for curves in own[moods]:
            features.append(around(curves[:, MOUTH], 6, 3)[rows])
            labels.append(truth[rows])
    return np.concatenate(features).astype(np.float32), np.concatenate(labels).astype(np.int64)


def _shipped_reader(clips: Sequence[Clip], made: Sequence[Sequence[Frames]]) -> dict[str, float] | None:
    """Error of the critic that `facerig eval` uses; it sees the mouth alone."""
    from facerig.train.evaluate.critics import critic, distance, read, viseme_string

    net = critic("reader")
    if net is None:
        return None
    wrong, count = np.zeros(len(FELT)), 0
    for clip, own in zip(clips, made, strict=True):
        wanted = viseme_string(clip.timed)
        count += len(wanted)
        for k, curves in enumerate(own):
            mouth = np.zeros_like(curves)
            mouth[:, MOUTH] = curves[:, MOUTH]
            wrong[k] += distance(wanted, read(net, mouth))
    share = 100 * wrong / max(1, count)
    return {"neutral_error": round(float(share[0]), 1), "felt_error": round(float(share[1:].mean()), 1)}


def closures(clips: Sequence[Clip], made: Sequence[Sequence[Frames]]) -> dict[str, Any]:
    """Share of labelled p, b, m at which the lips meet, on the built-in head and on the one `facerig eval` uses."""
    heads = {"builtin": mouth_measures(builtin_head(), NAMES), "reference": reference_mouth()}
    out: dict[str, Any] = {"target_fall": 3}
    for title, mouth in heads.items():
        column = mouth.matrix[:, mouth.index("gap")]
        recall: dict[str, float] = {}
        for k, name in enumerate(FELT):
            matches = Matches()
            for clip, own in zip(clips, made, strict=True):
                matches.add(spoken_events(clip.timed, "bilabial"), runs(-(own[k] @ column), -CLOSED_MM))
            recall[name] = round(100 * matches.hits / max(1, matches.wanted), 1)
        worst = min(EMOTIONS, key=lambda name: recall[name])
        out[title] = {"neutral": recall["neutral"], "worst": recall[worst], "worst_emotion": worst, "recall": recall,
                      "fall": round(recall["neutral"] - recall[worst], 1)}  # fmt: skip
    return out


# ---- intensity, fades, regions --------------------------------------------------------------------------------------


def intensity(faces: Faces, clips: Sequence[Clip]) -> dict[str, Any]:
    """Rank correlation of how far the upper face is from neutral with the intensity asked for."""
    out = {}
    for name in EMOTIONS:
        moved = np.zeros(len(LEVELS))
        for clip in clips:
            made = faces.shown(clip, [rows_for(len(clip.mel), name, float(level)) for level in LEVELS])
            moved += [np.abs(own - made[0])[:, UPPER].mean() for own in made]
        out[name] = rank_correlation(moved.astype(np.float32), LEVELS)
    return {"target": 0.95, "chance": 0.0, "ceiling": 1.0, "worst": min(out.values()), "spearman": out}


def fades(faces: Faces, clips: Sequence[Clip]) -> dict[str, Any]:
    """The largest part of a change that happens within one frame (a jump: 1), for fades of 0, 150 and 500 ms."""
    out: dict[str, Any] = {"jump": 1.0}
    for fade in (0, 150, 500):
        worst = 0.0
        for clip in clips:
            rows = []
            for name in EMOTIONS:
                controls = Controls()
                controls.replace(len(clip.mel) // 2, "emotion", space.columns({name: 1.0}), fade)
                rows.append(controls.rows(0, len(clip.mel)))
            neutral, *made = faces.shown(clip, [rows_of(len(clip.mel)), *rows])
            worst = max([worst, *(_steepest(own - neutral) for own in made)])
        out[f"fade_{fade}_ms"] = round(worst, 3)
    return out


def _steepest(change: Frames) -> float:
    """Of the channels that speech hardly moves."""
    own = change[:, CALM]
    size = np.abs(own).max(0)
    large = size > 0.2
    return float((np.abs(np.diff(own, axis=0)).max(0) / size)[large].max(initial=0.0))


def strength_zero(faces: Faces, clips: Sequence[Clip]) -> bool:
    """Whether everything asked for, at no strength, is neutral speech to the last bit."""
    for clip in clips:
        strong = rows_for(len(clip.mel), "fear:0.5,angry:0.5", style="exaggerated", more={"expression_strength": 0.0})
        neutral, asked = faces.shown(clip, [rows_of(len(clip.mel)), strong])
        if not np.array_equal(neutral, asked):
            return False
    return True


def leakage(faces: Faces, clips: Sequence[Clip]) -> dict[str, Any]:
    """What a change of one region's mixture does to the other region, against what it does to its own."""
    upper: list[float] = []
    lower: list[float] = []
    for k, clip in enumerate(clips):
        one, two, three = (EMOTIONS[(k * 5 + step) % len(EMOTIONS)] for step in (0, 4, 7))
        pairs = ((one, two), (one, three), (three, two))  # whole face, upper face
        made = faces.shown(clip, [rows_for(len(clip.mel), whole, more={f"upper:{own}": 1.0, "upper:held": 1.0})
                                  for whole, own in pairs])  # fmt: skip
        upper.append(_ratio(made[1] - made[0], LOWER, UPPER))
        lower.append(_ratio(made[2] - made[0], UPPER, LOWER))
    return {"target": 0.05, "upper_into_lower": round(max(upper), 4), "lower_into_upper": round(max(lower), 4)}


def _ratio(change: Frames, other: Sequence[int], own: Sequence[int]) -> float:
    return float(np.abs(change[:, other]).mean() / max(1e-9, np.abs(change[:, own]).mean()))


# ---- accents, and what is measured elsewhere --------------------------------------------------------------------


def accents(faces: Faces, clips: Sequence[Clip]) -> dict[str, Any]:
    """Correlation of the brows with stress over spoken frames: whether they flash with the words; ceiling: taught."""
    out: dict[str, Any] = {"chance": 0.0}
    for name, emotion, style in (("happy", "happy", "normal"), ("surprise", "surprise", "normal"),
                                 ("amazement", "amazement", "normal"), ("lively", "neutral", "lively")):
        got: list[Frames] = []
        taught: list[Frames] = []
        stress: list[Frames] = []
        for clip in clips:
            rows = rows_for(len(clip.mel), emotion, style=style)
            spoken = viseme15_of_units()[rasterise(clip.timed, len(clip.mel))] > 0
            for made, kept in ((faces.shown(clip, [rows])[0], got), (faces.taught(clip, rows), taught)):
                raised = made[:, BROWS].sum(1)[spoken]
                kept.append(raised - raised.mean())
            stress.append(stressed(energy(clip.mel))[spoken])
        said = np.concatenate(stress)
        out[name] = {"r": _r(np.concatenate(got), said), "ceiling": _r(np.concatenate(taught), said)}
    return out


def _r(a: Frames, b: Frames) -> float:
    return round(float(np.corrcoef(a, b)[0, 1]), 3)


def codes_read(model: str | None, quick: bool) -> dict[str, Any] | None:
    """The matrix of codes and probes of a model, by its name or file; None where the weights are not beside the
    graph."""
    path = graph_of(model).with_suffix(".safetensors")
    if not path.is_file():
        return None
    return {"real": codes.real(path, quick), "parallel": codes.parallel(path, quick)}


def heard() -> dict[str, Any] | str:
    """The emotion heard in the voice, where its evaluation is there."""
    try:
        from facerig.train.heard import figures  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return "not measured here"
    return dict(figures())


