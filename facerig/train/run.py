"""One command trains everything: corpora, encoder, sharper labels half-way, decoder, files. Reads top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facerig.model.checkpoint import save
from facerig.model.config import NetConfig
from facerig.model.net import Encoder, Net
from facerig.model.runtime import read_card
from facerig.train import distill, parallel, purify, recipe, smoother, together
from facerig.train.balance import balanced
from facerig.train.corpora import PackedClip, PackedSet, cache_folder, load_packed
from facerig.train.corpora.motion import closed_lips
from facerig.train.data import Store, store, with_labels
from facerig.train.decoder import DecoderRun, DecoderTrainer
from facerig.train.loop import EncoderTrainer, Run, judged, posteriors
from facerig.train.motion import Motion, motion
from facerig.train.rests import rests
from facerig.train.resume import averaged, forget, load_ema, load_shipped
from facerig.train.tempo import at_other_tempos
from facerig.train.told import tell

ENCODER_SHARE = 0.8  # of the time; the decoder gets the rest
START_PEAK = 1e-3  # learning rate of a run that goes on from shipped weights; half of a new one's
# Shares of the weights gone on from that are tried in the shipped mean of both: what the run forgot comes back. The
# best on the sets that choose is taken.
START_SHARES = (0.0, 0.15, 0.3, 0.5)
READER_SHARE = 0.06  # of the time, for the offline reader that makes labels
LESSON_HOURS = 12.0  # of speech that it learns from: what its minutes can use, in 2 GB of memory
PART_HOURS = 2.0  # of speech that it labels at once
RELABEL_AT = 0.35  # of the encoder's time: by then it places boundaries as well as pocketsphinx


@dataclass(frozen=True)
class Plan:
    """What to train and for how long."""

    name: str = "small"
    minutes: float = 120.0
    out: Path = field(default_factory=lambda: Path("assets/models"))
    folder: Path = field(default_factory=lambda: Path.home() / ".cache" / "facerig" / "train")
    hours: float = 10.0
    """Of synthetic speech to have; what is missing of it is made."""
    seed: int = 1
    batch: int = 20
    start: Path | None = None
    """A shipped .safetensors to go on from: its encoder sharpens the labels at once, then both parts are taught on."""
    peers: tuple[Path, ...] = ()
    """Shipped models that are asked what they hear in all that is learnt from: half of every label is that."""
    pure: bool = False
    """Whether the decoder is purified: it then reads little of the speaker and the voice's emotion beside the words,
    and follows measured lips a little less."""
    decoder: bool = False
    """Whether the decoder alone is taught, on the encoder of `start` as it is."""

    @property
    def features(self) -> Path:
        return self.folder / "feats"

    @property
    def run(self) -> Path:
        """Of its checkpoints and its log; other runs of the preset differ by the seed."""
        return self.folder / self.name / f"seed{self.seed}"

    @property
    def labels(self) -> Path:
        """What `sharpen` writes, for all runs of the preset."""
        return self.folder / self.name / "labels.npz"


Shown = Callable[[str, float], None]


def _unseen(_part: str, _progress: float) -> None:
    """Nobody looks on."""


def train(plan: Plan, shown: Shown = _unseen) -> dict[str, Any]:
    """Train, write the model's files, return its figures; `shown` is told the part and how far it is. Of several
    processes the first alone goes on when the encoder is done; the others return nothing."""
    parallel.join()
    parallel.first_then_others(lambda: None if parallel.rank() else build_corpora(plan.hours))
    if "grid" in load_packed().columns:
        closed_lips()  # which the decoder's measures begin at: or it is told here, and not behind the encoder
    net = Net(recipe.config(plan.name))
    kept = plan.start if plan.decoder else None
    figures = kept_encoder(net, plan, kept) if kept else taught_encoder(net, plan, shown)
    if parallel.rank():
        return {}
    seconds = plan.minutes * 60 * (1.0 if kept else 1 - ENCODER_SHARE)
    share = purify.SHARE if plan.pure else 0.0
    figures["motion"] = train_decoder(net, plan, seconds * (1 - share), shown, plan.run / "decoder")
    if plan.pure:
        figures["motion"] = purify.taught_on(net, plan, seconds * share, shown)
    save(net.cpu(), plan.out, figures)
    forget(plan.run / "decoder")
    return figures


def taught_encoder(net: Net, plan: Plan, shown: Shown) -> dict[str, Any]:
    """Trains the encoder; returns its figures, in the first process."""
    trainer = encoder_trainer(plan, net.config)
    trainer.train(partial(shown, "encoder"))
    if parallel.rank():
        return {}
    load_ema(trainer.path, net.encoder)
    return content_figures(net, plan, trainer.judges)


def content_figures(net: Net, plan: Plan, judges: Mapping[str, Store]) -> dict[str, Any]:
    """How well an encoder hears the clips kept apart, once the best share of a start's is in it where there is one and
    it is balanced for strangers."""
    mean = best_mean(net.encoder, shipped(plan.start, net.encoder), judges) if plan.start else {}
    balance = balanced(net.encoder.eval(), recipe.strangers(plan.features))
    content = {name: judged(net.encoder, held, net.config.lookahead) for name, held in judges.items()}
    return {"content": content, "balance": balance, **mean}


def kept_encoder(net: Net, plan: Plan, start: Path) -> dict[str, Any]:
    """The encoder of a shipped file, with the figures that are its own; it labels speech where nothing did before."""
    load_shipped(start, net.encoder, "encoder")
    if unsharpened(plan):
        sharpen(net.encoder.eval(), plan, plan.labels)
    others = ("motion", "expression", "mean_of")  # a new decoder is of one run, has others and no expression head yet
    return {key: value for key, value in read_card(start)["figures"].items() if key not in others}


def build_corpora(hours: float) -> None:
    """Make and pack what is missing, and say what is learnt from."""
    from facerig.train.corpora import builder

    due = builder.unfinished(cache_folder(), hours)
    if due:
        builder.build(cache_folder(), due, 2, hours)
    held = load_packed()
    names = dict.fromkeys((*(name.partition("/")[0] for name, _ in recipe.LEARNT), *recipe.MEASURED))
    told = [f"{name} {held.only('train', [name]).hours():.1f} h" for name in _present(held, tuple(names))]
    lost = [f"{name} ({why})" for name, why in builder.left_out(cache_folder(), hours).items()]
    print(f"learnt from: {', '.join(told) or 'nothing'}\nleft out: {', '.join(lost) or 'nothing'}", flush=True)


def encoder_trainer(plan: Plan, config: NetConfig) -> EncoderTrainer:
    """The trainer, which relabels its data once on the way."""
    seconds = plan.minutes * 60 * ENCODER_SHARE
    behind = True  # whether anything is to be relabelled on the way

    def taught(by: Callable[[], Encoder] | None) -> Store:
        """What is learnt from, relabelled by that encoder where it was not before."""
        if by and unsharpened(plan):
            sharpen(by(), plan, plan.labels)
        held = load_packed()
        data = recipe.learnt(plan.features, *distill.read(plan.labels, recipe.stamps(held)), held)
        return together.softened_by(plan.peers, data, plan.run) if plan.peers else data

    def fresh() -> Store | None:
        nonlocal behind
        if not parallel.agreed(behind and trainer.schedule.progress(trainer.step) >= RELABEL_AT):
            return None
        behind = False
        return parallel.first_then_others(lambda: taught(lambda: trained(trainer.path, config)))

    run = Run(plan.run, seconds, batch=plan.batch, seed=plan.seed, shares=dict(recipe.LEARNT),
              data={**recipe.stamps(load_packed()), **together.stamps(plan.peers)})
    start = plan.start
    if start:
        run = replace(run, start=start, peak=START_PEAK, ramp=0.0)
    by = (lambda: shipped(start, Encoder(config))) if start else None
    data = parallel.first_then_others(lambda: taught(by))
    behind = bool(unsharpened(plan))
    trainer = EncoderTrainer(config, run, data, recipe.judges(plan.features), fresh)
    return trainer


def trained(checkpoint: Path, config: NetConfig) -> Encoder:
    """The running mean of a run."""
    encoder = Encoder(config)
    load_ema(checkpoint, encoder)
    return encoder.eval()


def shipped(weights: Path, like: Encoder) -> Encoder:
    """The encoder of a shipped file; layers that it has not are those of `like`, adding nothing."""
    encoder = deepcopy(like)
    load_shipped(weights, encoder, "encoder")
    return encoder.eval()


def best_mean(net: Encoder, old: Encoder, judges: Mapping[str, Store]) -> dict[str, Any]:
    """Leaves the best mean of both encoders in the first; says how good each was on the sets that choose."""
    new = {key: value.clone() for key, value in net.state_dict().items()}
    right: dict[float, float] = {}
    for share in START_SHARES:
        net.load_state_dict(new)
        averaged(net, old, share)
        found = [judged(net, judges[name], net.config.lookahead)["viseme15"] or 0.0
                 for name in recipe.choosing(net.config.name) if name in judges]
        right[share] = round(float(np.mean(found)), 2) if found else 0.0
    best = max(right, key=lambda share: right[share])
    net.load_state_dict(new)
    averaged(net, old, best)
    return {"share_of_start": {"taken": best, **{str(share): value for share, value in right.items()}}}


def sharpen(encoder: Encoder, plan: Plan, labels: Path) -> dict[str, float]:
    """New labels, hard and soft, of all speech that an aligner labelled and that has none yet: by the encoder and an
    offline reader on top of it, part by part. What was written before a run was broken off stays."""
    data, stamps, due = relabelled(plan), recipe.stamps(load_packed()), unsharpened(plan)
    left = np.array([k for k, name in enumerate(data.ids) if name in due], np.int64)
    reader, changed = offline_reader(encoder, plan, data, left, distill.read(labels, stamps)), distill.Changed()
    for part in parts(data, left):
        heard = smoother.Listened(encoder, data, clips=part)
        changed = changed.with_more(distill.write(
            [data.ids[k] for k in part], [data.clip(k)[1] for k in part],
            (smoother.agreed(encoder, reader, heard, k) for k in part), labels, stamps))
        tell("labels", {"of": len(left), **changed.figures()}, plan.run)
    return changed.figures()


def parts(data: Store, clips: NDArray[np.int64], hours: float = PART_HOURS) -> list[NDArray[np.int64]]:
    """Clips, about so many hours together: what is listened to at once."""
    ends = np.cumsum(data.counts[clips]) / (hours * 3600 * 60)
    return [part for part in np.split(clips, np.flatnonzero(np.diff(ends.astype(np.int64))) + 1) if len(part)]


def offline_reader(encoder: Encoder, plan: Plan, data: Store, left: NDArray[np.int64],
                   have: tuple[dict[str, Any], dict[str, Any]]) -> smoother.Smoother:
    """Learns from some hours of all clips, those that have no new labels yet with the encoder's own."""
    order = np.random.default_rng(plan.seed).permutation(len(data.ids))
    lesson = np.sort(parts(data, order, LESSON_HOURS)[0])
    heard, far = smoother.Listened(encoder, data, clips=lesson), max(encoder.config.taught)
    first = np.intersect1d(lesson, left)
    hard, soft, _ = distill.sharpened([data.ids[k] for k in first], [data.clip(k)[1] for k in first],
                                      (smoother.read(encoder, heard, k, far) for k in first))
    heard.store = with_labels(data, {**have[0], **hard}, {**have[1], **soft})
    run = smoother.SmootherRun(plan.minutes * 60 * READER_SHARE, seed=plan.seed, shares=dict(recipe.LEARNT),
                               folder=plan.run)
    return smoother.trained(encoder, heard, run)


def unsharpened(plan: Plan) -> set[str]:
    """Clips that are to have new labels and have none of them as they are now."""
    held = load_packed()
    labels, _ = distill.read(plan.labels, recipe.stamps(held))
    return {clip.id for clip in _aligned(held)} - labels.keys()


def relabelled(plan: Plan) -> Store:
    """What is labelled anew, and some synthetic speech, whose labels are right."""
    held = load_packed()
    return store(held.of([*_aligned(held), *_some(held, "synthetic", recipe.READER_HOURS, plan.seed)]), plan.features)


def _aligned(held: PackedSet) -> list[PackedClip]:
    """All that is learnt from and that no engine labelled."""
    return [clip for name in _present(held, recipe.RELABELLED) for clip in held.only("train", [name]).clips
            if clip.label_kind != "engine" and clip.frames > 0]  # fmt: skip


def train_decoder(net: Net, plan: Plan, seconds: float, shown: Shown = _unseen,
                  path: Path | None = None) -> dict[str, dict[str, float]]:
    """Decoder and its figures on measured motion that it did not learn from; `path` is its checkpoint's, if it has one
    to go on with."""
    if plan.start:
        load_shipped(plan.start, net.decoder, "decoder")
    data, judges = motions(net, plan)
    run = DecoderRun(seconds, seed=plan.seed, shares=dict(recipe.MOVED), folder=plan.run, path=path, start=plan.start,
                     peak=START_PEAK if plan.start else DecoderRun.peak, data=recipe.stamps(load_packed()))
    trainer = DecoderTrainer(net, run, data, judges)
    trainer.train(partial(shown, "decoder"))
    return trainer.judge()


def motions(net: Net, plan: Plan) -> tuple[Motion, dict[str, Motion]]:
    """(what the decoder learns from, what judges it): the teacher shows the labels that the encoder was taught, and
    rest where there is no speech."""
    held = load_packed()
    learnt = [clip for name, hours in recipe.MOVED_HOURS for clip in _some(held, name, hours, plan.seed)]
    learnt += [clip for clip in held.only("train", _present(held, recipe.MEASURED)).clips if clip.target_start >= 0]
    labels = distill.read(plan.labels, recipe.stamps(held))
    shown = motion(held.of(learnt), plan.features, heard_by(net), *labels)
    rng = np.random.default_rng(plan.seed)
    data = at_other_tempos(shown, recipe.MEASURED, recipe.MEASURED_COPIES, rng) + rests(recipe.REST_MINUTES, rng)
    return data, motion_judges(net, plan, held)


def motion_judges(net: Net, plan: Plan, held: PackedSet) -> dict[str, Motion]:
    """Measured motion that no decoder learns from, of every set that has some."""
    judges = {name: [c for c in held.only("val", [name]).clips if c.target_start >= 0][: recipe.MEASURED_JUDGES]
              for name in _present(held, recipe.MEASURED)}
    return {name: motion(held.of(clips), plan.features, heard_by(net)) for name, clips in judges.items() if clips}


def heard_by(net: Net) -> Callable[[Any], Any]:
    """How a network's encoder, as it is now, hears a clip's features."""
    net.encoder.eval()
    return lambda feats: posteriors(net.encoder, feats, net.config.lookahead)[0]


def _present(held: PackedSet, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in held.columns]


def _some(held: PackedSet, name: str, hours: float, seed: int) -> list[PackedClip]:
    """Random labelled clips of a source, about so many hours."""
    if name not in held.columns:
        return []
    clips = [clip for clip in held.only("train", [name]).clips if clip.label_kind != "none"]
    order = np.random.default_rng(seed).permutation(len(clips))
    ends = np.cumsum([clips[i].frames for i in order]) if len(order) else np.zeros(0)
    return [clips[i] for i in order[: int(np.searchsorted(ends, hours * 3600 * 60)) + 1]]


def threads(count: int) -> None:
    """torch's threads; on a shared machine one is best."""
    torch.set_num_threads(count)
