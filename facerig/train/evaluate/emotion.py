"""Emotion and style in the shipped face, measured: exchange, lips, closures, intensity, fades, leakage, probes.

`facerig eval --emotion`. Curves are those of the chain (model, express, lips) on clips that nothing here was trained
on; the readers and classifiers are trained on `LEARN`'s clips and judge `JUDGE`'s, other people in other languages.
Beside a figure stand chance and ceiling: what a guess gets, and what the same judge says of the expression teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.controls import EMOTIONS, STYLE, Controls, group, place, rows_of
from facerig.emotion import code, looks, space, styles
from facerig.emotion.express import Express, FeltLips
from facerig.errors import InputError
from facerig.files import assets_folder
from facerig.heads.builtin import builtin_head
from facerig.heads.landmarks import mouth_measures
from facerig.model.runtime import BLOCK, DEFAULT, ModelStage, load
from facerig.phones import VISEMES15, rasterise, viseme15_of_units
from facerig.rig import rig
from facerig.stage import Frames
from facerig.train.evaluate import sets
from facerig.train.evaluate.events import Matches, runs, spoken_events
from facerig.train.evaluate.probes import Probe, around, rank_correlation
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.shown import CLOSED_MM, reference_mouth
from facerig.train.motion import energy
from facerig.train.teacher.expression import expressive

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
        return FeltLips(self.model.columns)

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
        ("probes", lambda: probes(Path(model or DEFAULT).stem, learn, judge)),
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


# ---- what can be read out of the codes --------------------------------------------------------------------------


def probes(name: str, learn: Sequence[Clip], judge: Sequence[Clip]) -> dict[str, Any] | None:
    """Content, emotion and style code, each asked for visemes, emotion and style; clips are paired with both at random.

    The voice's own emotion and its speaker are asked of the content code too (EMO-DB, speakers apart): what the encoder
    keeps of them is no part of what is asked for, but it is there.
    """
    path = assets_folder() / "models" / f"{name}.safetensors"
    if not path.is_file():
        return None
    named = [known for known in styles.STYLES if known != "lopsided"]
    sizes = (len(VISEMES15), len(FELT), len(named))
    rng, parts = np.random.default_rng(3), []
    for clips in (learn, judge):
        codes: list[tuple[Frames, ...]] = []
        for clip in (own for own in clips for _ in range(3)):
            felt, styled = int(rng.integers(len(FELT))), int(rng.integers(len(named)))
            truth = viseme15_of_units()[rasterise(clip.timed, len(clip.mel))]
            rows = np.flatnonzero(truth > 0)[::6]
            asked = code.condition(rows_for(1, FELT[felt], 0.5 + 0.5 * rng.random(), named[styled]))
            both = np.repeat(asked, len(rows), 0)
            labels = np.stack([truth[rows], np.full(len(rows), felt), np.full(len(rows), styled)], 1)
            codes.append((_content(path, clip)[rows], both[:, : -STYLE], both[:, -STYLE:], labels))
        parts.append([np.concatenate(column) for column in zip(*codes, strict=True)])
    (*train, known), (*test, wanted) = parts
    out: dict[str, Any] = {"target": {"diagonal": 90, "off": "chance + 10"}}
    for title, one, other in zip(("content", "emotion", "style"), train, test, strict=True):
        out[title] = {what: {"accuracy": Probe.fit(one, known[:, k].astype(np.int64), size).accuracy(
                          other, wanted[:, k].astype(np.int64)), "chance": round(100 / size, 1)}
                      for k, (what, size) in enumerate(zip(("visemes", "emotion", "style"), sizes, strict=True))}
    out["content"]["visemes"]["accuracy"] = _own_reading(load(name), judge)  # linear as well, of all training words
    return {**out, "voice_in_content": _voice(path, [clip for clip in judge if clip.set == "emodb"])}


def _own_reading(model: ModelStage, clips: Sequence[Clip]) -> float:
    """Visemes by the encoder's own linear head, percent of spoken frames, the mean over the visemes."""
    pairs = [(viseme15_of_units()[model.posteriors(clip.mel)[2].argmax(1)],
              viseme15_of_units()[rasterise(clip.timed, len(clip.mel))]) for clip in clips]
    got, truth = (np.concatenate(side) for side in zip(*pairs, strict=True))
    right = (got == truth)[truth > 0]
    kinds = truth[truth > 0]
    return round(100 * float(np.mean([right[kinds == k].mean() for k in np.unique(kinds)])), 1)


_CONTENTS: dict[str, Frames] = {}


def _content(path: Path, clip: Clip) -> Frames:
    """[n, width] the encoder's output at the frames that it is for."""
    import torch

    from facerig.model.checkpoint import load_net
    from facerig.train.loop import contents

    key = f"{path}:{clip.id}"
    if key not in _CONTENTS:
        net = load_net(path)
        tail = np.full((net.config.lookahead, clip.mel.shape[1]), clip.mel.min(), np.float32)
        with torch.no_grad():
            out = contents(net.encoder, torch.from_numpy(np.concatenate([clip.mel, tail]))[None], half=False)[0]
        _CONTENTS[key] = out.numpy()[net.config.lookahead :]
    return _CONTENTS[key]


def _voice(path: Path, clips: Sequence[Clip]) -> dict[str, Any] | None:
    """Acted emotion from the mean content of a clip, each speaker judged by a probe of the others."""
    letters = "WLEAFTN"
    if len({clip.speaker for clip in clips}) < 2:
        return None
    means = np.stack([_content(path, clip).mean(0) for clip in clips])
    labels = np.array([letters.index(clip.stem[5]) for clip in clips], np.int64)
    speakers = np.array([clip.speaker for clip in clips])
    right = np.concatenate([Probe.fit(means[speakers != who], labels[speakers != who], len(letters)).guess(
        means[speakers == who]) == labels[speakers == who] for who in np.unique(speakers)])
    return {"emotion_of_the_voice": round(100 * float(right.mean()), 1), "chance": round(100 / len(letters), 1)}


def heard() -> dict[str, Any] | str:
    """The emotion heard in the voice, where its evaluation is there."""
    try:
        from facerig.train.heard import figures  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return "not measured here"
    return dict(figures())


