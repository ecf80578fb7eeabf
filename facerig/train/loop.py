"""Training the content encoder: crops, augmentation, losses at every taught look-ahead, a log line a minute.

Resumable (a checkpoint every two minutes), seeded, and ended by the clock: the learning rate reaches its floor when
the time is up, however fast the machine was. In several processes (`parallel`) all that is written is written by the
first. Knows no curves; `decoder` trains those on the frozen encoder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facerig.features import FEATURES
from facerig.model.config import NetConfig
from facerig.model.net import Encoder
from facerig.train import parallel
from facerig.train.data import UNLABELLED, Crops, Float, Store
from facerig.train.losses import UnitTables, contact_loss, targets, unit_loss
from facerig.train.measures import Tally
from facerig.train.melaug import MelAugment
from facerig.train.resume import Ema, facts_of, gone_on, load_run, load_shipped, save_run
from facerig.train.schedule import Schedule, is_eighth
from facerig.train.told import tell

CONTACT = 1.0  # weight of the contact heads' loss against the units'


@dataclass(frozen=True)
class Run:
    """How an encoder is trained."""

    folder: Path
    seconds: float
    """Wall-clock time from the first step to the last, without that of new labels on the way."""
    steps: int = 0
    """Ends it earlier where it is not 0."""
    batch: int = 20
    frames: int = 384
    """Of a crop: most of what the network can remember, so that it learns to use what it has heard of a voice."""
    peak: float = 2e-3
    warm_steps: int = 200
    weight_decay: float = 0.02
    dropout: float = 0.0
    """Costs a third of the time on a CPU; augmentation does its work."""
    tempo: float = 0.2
    seed: int = 1
    ema: float = 0.998
    aside: float = 0.1
    """Weight of the look-aheads that nobody reads, together; those that are read weigh as they are read."""
    save_every: float = 120.0
    judge_every: float = 300.0
    half: bool = True
    """bfloat16 products: five times faster where the CPU has them, weights stay float32."""
    shares: Mapping[str, float] = field(default_factory=dict)
    start: Path | None = None
    """Shipped weights that a new run goes on from."""
    ramp: float = 0.15
    """Share of the time after which augmentation has its full strength."""
    data: Mapping[str, str] = field(default_factory=dict)
    """What it learns from, by source (`recipe.stamps`): a run of other data is another run."""


class EncoderTrainer:
    """One run; `train` goes on until the time is up."""

    def __init__(self, config: NetConfig, run: Run, data: Store, judges: Mapping[str, Store],
                 reload: Callable[[], Store | None] | None = None) -> None:
        torch.manual_seed(run.seed)
        self.config, self.run, self.judges, self.reload = config, run, judges, reload
        self.device = parallel.device()
        self.net = Encoder(config, run.dropout).train().to(self.device)
        if run.start:
            load_shipped(run.start, self.net, "encoder")
        parallel.shared(self.net)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=run.peak, betas=(0.9, 0.98),
                                           weight_decay=run.weight_decay, fused=True)
        self.ema = Ema(self.net, run.ema)
        self.crops = Crops(data, run.shares, run.frames)
        self.tables, self.augment = UnitTables.make().to(self.device), MelAugment()
        self.step, spent = 0, 0.0
        if self.path.with_suffix(".json").is_file():
            facts = load_run(self.path, self.net, self.ema, self.optimizer, self._made)
            self.step, spent = facts["step"], facts["spent"]
        self.begin = parallel.agreed(time.time()) - spent
        if self.step:
            print(gone_on(self.path, spent, run.seconds, self.schedule.progress(self.step)), flush=True)
        self.rng = np.random.default_rng((run.seed, self.step, parallel.rank()))

    @property
    def path(self) -> Path:
        return self.run.folder / "encoder"

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {**facts_of(self.run.seed, self.run.start, self.run.data), "config": json.loads(self.config.to_json())}

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.begin, self.begin + self.run.seconds, self.run.peak, warm_steps=self.run.warm_steps,
                        ramp=self.run.ramp, steps=self.run.steps)

    def train(self, shown: Callable[[float], None] = lambda _: None) -> list[float]:
        """Until the time is up, telling `shown` how far it is; returns the mean loss of every logged stretch."""
        losses, means, logged = [], [], time.time()
        saved = judged = parallel.agreed(time.time())  # what several processes do together they must decide alike
        while self.schedule.progress(self.step, now := parallel.agreed(time.time())) < 1.0:
            losses.append(self._step(now))
            shown(self.schedule.progress(self.step, now))
            if now - logged > min(30.0, self.run.seconds / 10) or is_eighth(self.step, self.run.steps):
                means.append(float(np.mean(losses)))
                self._log({"loss": round(means[-1], 4), "pace": len(losses) / max(time.time() - logged, 1e-3)})
                losses, logged = [], time.time()
            if now - judged > self.run.judge_every:
                self.judge()
                judged = parallel.agreed(time.time())
            if now - saved > self.run.save_every:
                self.save()
                began = parallel.agreed(time.time())
                self.refresh()
                saved = parallel.agreed(time.time())
                self.begin += saved - began  # making labels takes none of the run's time
        self.save()
        self.judge()
        return means

    def save(self) -> None:
        if parallel.rank() == 0:
            save_run(self.path, self.net, self.ema, self.optimizer,
                     {"step": self.step, "spent": time.time() - self.begin, **self._made})

    def refresh(self) -> None:
        """Take other data where `reload` has some: labels made sharper."""
        fresh = self.reload() if self.reload else None
        if fresh is not None:
            self.crops = Crops(fresh, self.run.shares, self.run.frames)
            print(f"data: {fresh.hours:.2f} h from now on", flush=True)

    # ---- a step -------------------------------------------------------------------------------------------------

    def _step(self, now: float) -> float:
        schedule = self.schedule
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate(self.step, now)
        loss = self._loss(*self._batch(schedule.strength(self.step, now)))
        loss.backward()  # type: ignore[no-untyped-call]
        parallel.average(self.net.parameters())
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.net)
        self.step += 1
        return float(loss.detach())

    def _batch(self, strength: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(features, units to hear [B, T, U], units whose contacts are to be told, trust): the sound is augmented, what
        is taught is not. Contacts are taught by the hard labels: a soft one is lower at its height, and lips that must
        touch then stay open."""
        feats, labels, trust, soft = self.crops.draw(self.rng, self.run.batch, self.run.tempo * strength)
        with torch.no_grad():
            augmented, marks = self.augment(torch.from_numpy(feats), torch.from_numpy(labels), self.rng, strength)
            spoken = (marks != 0).any(1)  # a crop that was emptied has silence for its target
            softer = torch.from_numpy(soft) * spoken[:, None, None, None]
            target = targets(marks, softer, len(self.config.units))
            touching = targets(marks, torch.zeros_like(softer), len(self.config.units))
        parts = augmented, target, touching, torch.from_numpy(trust)
        return tuple(part.to(self.device) for part in parts)  # type: ignore[return-value]

    def _loss(self, feats: Tensor, target: Tensor, touching: Tensor, trust: Tensor) -> Tensor:
        """The mean over look-aheads; both phases occur, since crops begin at any frame."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.run.half):
            content = self.net.phase(feats)
        total = content.new_zeros((), dtype=torch.float32)
        weights = self._weights()
        for ahead in self.config.taught:
            steps = steps_at(feats.shape[1], ahead, self.config.stride)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.run.half):
                units, contacts = self.net.read(content[:, -len(steps) :].flatten(0, 1), ahead)
            wanted, touched = (part[:, steps].flatten(0, 1) for part in (target, touching))
            weight = trust[:, steps].flatten()
            own = unit_loss(units.float(), wanted, weight, self.tables) \
                + CONTACT * contact_loss(contacts.float(), touched, weight, self.tables)
            total = total + own * weights[ahead]
        return total

    def _weights(self) -> dict[int, float]:
        """Of the heads in the loss, by their look-ahead; 1 for the one that is read most."""
        shares = dict(self.config.heard_by)
        others = [ahead for ahead in self.config.taught if ahead not in shares]
        return {ahead: shares[ahead] / max(shares.values()) if ahead in shares else self.run.aside / len(others)
                for ahead in self.config.taught}

    # ---- the log --------------------------------------------------------------------------------------------------

    def judge(self) -> dict[str, dict[str, float | None]]:
        """Figures of the running mean on the clips kept apart."""
        if parallel.rank():
            return {}
        held = {key: value.clone() for key, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.ema.weights)
        out = {name: judged(self.net, store, self.config.lookahead) for name, store in self.judges.items()}
        self.net.load_state_dict(held)
        for name, figures in out.items():
            self._log({"set": name, **figures})
        return out

    def _log(self, figures: dict[str, object]) -> None:
        if parallel.rank():
            return
        spent = time.time() - self.begin
        seen = self.step * self.run.batch * self.run.frames * parallel.processes() / 60 / 3600
        tell("encoder", {"step": self.step, "minutes": round(spent / 60, 2), "hours_heard": round(seen, 2),
                         "rate": round(self.schedule.rate(self.step), 6), **figures}, self.run.folder)  # fmt: skip


def steps_at(frames: int, ahead: int, stride: int) -> NDArray[np.int64]:
    """The frames that the last steps of a crop are about: `ahead` before each."""
    steps = np.arange(stride - 1, frames, stride) - ahead
    return steps[steps >= 0]


@torch.no_grad()
def posteriors(net: Encoder, feats: Float, ahead: int, half: bool = True) -> tuple[Float, Float]:
    """(unit, contact) probabilities [T, ...] of a clip at every frame, aligned with it."""
    need = ahead + net.config.stride
    padded = np.concatenate([feats, np.full((need, FEATURES), feats.min(), np.float32)])
    device = next(net.parameters()).device
    content = contents(net, torch.from_numpy(padded)[None].to(device), half)[0]
    units, contacts = aligned(net, content, len(feats), ahead)
    return units.cpu().numpy(), contacts.cpu().numpy()


@torch.no_grad()
def aligned(net: Encoder, content: Tensor, count: int, ahead: int) -> tuple[Tensor, Tensor]:
    """(unit, contact) probabilities of a clip's first `count` frames from its content [over count + ahead, width]: what
    the network hears at its own look-ahead, what one head hears at any other."""
    if ahead == net.config.lookahead:
        units, contacts = net.heard(content[None, ahead - net.config.reread : ahead + count])
        return units[0], contacts[0]
    units, contacts = net.read(content[ahead : ahead + count], ahead)
    return units.softmax(-1), contacts.sigmoid()


@torch.no_grad()
def contents(net: Encoder, feats: Tensor, half: bool = True) -> Tensor:
    """[B, T, width] the encoder's output at every frame of clips, phase by phase: half the attention of one pass."""
    training, stride, (batch, count) = net.training, net.config.stride, feats.shape[:2]
    net.eval()
    rest = (0, 0, stride - 1, -(count + stride - 1) % stride)  # a stream begins after frames of zeros
    padded = torch.nn.functional.pad(feats, rest)
    out = feats.new_zeros(batch, count, net.config.width)
    for phase in range(stride):
        span = padded[:, phase : phase + (padded.shape[1] - phase) // stride * stride]
        with torch.autocast(feats.device.type, torch.bfloat16, enabled=half):
            own = net.phase(span).float()
        rows = torch.arange(own.shape[1], device=feats.device) * stride + phase
        out[:, rows[rows < count]] = own[:, rows < count]
    net.train(training)
    return out


def judged(net: Encoder, data: Store, ahead: int) -> dict[str, float | None]:
    """Figures of an encoder on whole clips."""
    tally = Tally()
    for k in range(len(data.ids)):
        feats, labels = data.clip(k)
        if (labels != UNLABELLED).any():
            tally.add(posteriors(net, feats, ahead)[0], labels)
    return tally.figures()
