"""One command trains everything: corpora, encoder, sharper labels half-way, decoder, files. Reads top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facerig.model.checkpoint import save
from facerig.model.config import NetConfig
from facerig.model.net import Encoder, Net
from facerig.train import parallel, recipe
from facerig.train.align import relabel
from facerig.train.corpora import PackedSet, cache_folder, load_packed
from facerig.train.data import Store, store
from facerig.train.decoder import DecoderRun, DecoderTrainer
from facerig.train.loop import EncoderTrainer, Run, judged, posteriors
from facerig.train.motion import Motion, motion
from facerig.train.resume import averaged, load_ema, load_shipped

ENCODER_SHARE = 0.8  # of the time; the decoder gets the rest
START_PEAK = 1e-3  # learning rate of a run that goes on from shipped weights; half of a new one's
# Share of the weights gone on from in the shipped mean of both: of 0, .15, .3, .5 the best on the sets that choose;
# what the second run forgot comes back.
START_SHARE = 0.3
RELABEL_AT = 0.35  # of the encoder's time: by then it places boundaries as well as pocketsphinx


@dataclass(frozen=True)
class Plan:
    """What to train and for how long."""

    name: str = "small"
    minutes: float = 120.0
    out: Path = field(default_factory=lambda: Path("assets/models"))
    folder: Path = field(default_factory=lambda: Path.home() / ".cache" / "facerig" / "train")
    hours: float = 10.0
    """Of synthetic speech to make where none is packed."""
    seed: int = 1
    batch: int = 40
    start: Path | None = None
    """A shipped .safetensors to go on from: its encoder sharpens the labels at once, then both parts are taught on."""

    @property
    def features(self) -> Path:
        return self.folder / "feats"

    @property
    def run(self) -> Path:
        return self.folder / self.name


Shown = Callable[[str, float], None]


def _unseen(_part: str, _progress: float) -> None:
    """Nobody looks on."""


def train(plan: Plan, shown: Shown = _unseen) -> dict[str, Any]:
    """Train, write the model's files, return its figures; `shown` is told the part and how far it is."""
    rank, _ = parallel.join()
    build_corpora(plan.hours)
    config = recipe.config(plan.name)
    trainer = encoder_trainer(plan, config, rank)
    trainer.train(partial(shown, "encoder"))
    net = Net(config)
    load_ema(trainer.path, net.encoder)
    if plan.start:
        averaged(net.encoder, shipped(plan.start, config), START_SHARE)
    figures: dict[str, Any] = {"content": {name: judged(net.encoder.eval(), held, config.lookahead)
                           for name, held in trainer.judges.items()}}
    figures["motion"] = train_decoder(net, plan, shown=shown)
    if rank == 0:
        save(net.cpu(), plan.out, figures)
    return figures


def build_corpora(hours: float) -> None:
    """Make and pack what is missing."""
    from facerig.train.corpora.builder import build

    packed = cache_folder() / "packed"
    if not (packed / "synthetic.json").is_file():
        build(cache_folder(), [], 2, hours)


def encoder_trainer(plan: Plan, config: NetConfig, rank: int = 0) -> EncoderTrainer:
    """The trainer, which relabels its data once on the way."""
    labels = plan.run / "labels.npz"
    seconds = plan.minutes * 60 * ENCODER_SHARE
    begin = time.time()

    def fresh() -> Store | None:
        if labels.is_file() or time.time() - begin < RELABEL_AT * seconds:
            return None
        sharpen(trained(trainer.path, config), plan.features, labels)
        return recipe.learnt(plan.features, recipe.read_labels(labels))

    run = Run(plan.run, seconds, batch=plan.batch, seed=plan.seed + rank, shares=dict(recipe.LEARNT))
    if plan.start:
        run = replace(run, start=plan.start, peak=START_PEAK, ramp=0.0)
        if not labels.is_file():
            sharpen(shipped(plan.start, config), plan.features, labels)
    data = recipe.learnt(plan.features, recipe.read_labels(labels))
    trainer = EncoderTrainer(config, run, data, recipe.judges(plan.features), fresh)
    return trainer


def trained(checkpoint: Path, config: NetConfig) -> Encoder:
    """The running mean of a run."""
    encoder = Encoder(config)
    load_ema(checkpoint, encoder)
    return encoder.eval()


def shipped(weights: Path, config: NetConfig) -> Encoder:
    """The encoder of a shipped file."""
    encoder = Encoder(config)
    load_shipped(weights, encoder, "encoder")
    return encoder.eval()


def sharpen(encoder: Encoder, features: Path, labels: Path) -> dict[str, float]:
    """New labels of all real speech by an encoder."""
    held = load_packed()
    clips = [c for name in recipe.RELABELLED if name in held.columns for c in held.only("train", [name]).clips]
    return relabel(encoder, store(PackedSet(tuple(clips), held.arrays, held.columns), features), labels)


def train_decoder(net: Net, plan: Plan, seconds: float | None = None,
                  shown: Shown = _unseen) -> dict[str, dict[str, float]]:
    """Decoder and its figures on measured motion that it did not learn from."""
    if plan.start:
        load_shipped(plan.start, net.decoder, "decoder")
    data, judges = motions(net, plan.features, plan.seed)
    run = DecoderRun(seconds or plan.minutes * 60 * (1 - ENCODER_SHARE), seed=plan.seed, shares=dict(recipe.MOVED))
    trainer = DecoderTrainer(net, run, data, judges)
    trainer.train(partial(shown, "decoder"))
    return trainer.judge()


def motions(net: Net, features: Path, seed: int) -> tuple[Motion, dict[str, Motion]]:
    """(what the decoder learns from, what judges it)."""
    held = load_packed()
    net.encoder.eval()

    def heard(feats: Any) -> Any:
        return posteriors(net.encoder, feats, net.config.lookahead)[0]

    learnt = [clip for name, hours in recipe.MOVED_HOURS for clip in _some(held, name, hours, seed)]
    learnt += [clip for clip in held.only("train", _present(held, recipe.MEASURED)).clips if clip.target_start >= 0]
    judges = {name: [c for c in held.only("val", [name]).clips if c.target_start >= 0][: recipe.MEASURED_JUDGES]
              for name in _present(held, recipe.MEASURED)}
    return (motion(PackedSet(tuple(learnt), held.arrays, held.columns), features, heard),
            {name: motion(PackedSet(tuple(clips), held.arrays, held.columns), features, heard)
             for name, clips in judges.items() if clips})  # fmt: skip


def _present(held: PackedSet, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in held.columns]


def _some(held: PackedSet, name: str, hours: float, seed: int) -> list[Any]:
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
