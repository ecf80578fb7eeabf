"""Training the decoder on a frozen encoder: the teacher's curves everywhere, measured lips where they exist.

Few minutes of real motion teach a whole network worse than ridge regression; on a frozen encoder they carry over to
other people. The encoder hears every clip as it is and in augmented versions, so that the decoder learns what it says
in noise too; the steps then cost the decoder alone. What little is measured is soon known by heart (on FACEGOOD's three
clips rounding reached .975, on another .64): hence the versions, other tempos (`tempo`) and disturbed contents. Ended
by the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facerig.model.config import POOLED
from facerig.model.net import Net, pooled
from facerig.rig import rig
from facerig.train.data import Float, grouped, share, side_by_side
from facerig.train.loop import contents
from facerig.train.losses import curve_loss
from facerig.train.melaug import MelAugment
from facerig.train.motion import FACEGOOD_SUMS, GRID_MEASURES, Motion, facegood_matrix, grid_matrix
from facerig.train.resume import Ema, facts_in, facts_of, gone_on, load_run, save_run, weights_hash
from facerig.train.schedule import Schedule, is_eighth
from facerig.train.told import tell

MEAN = 0.9997  # decay of the running mean of the weights that is kept: over a ninth of the run (`Ema`)
FLOOR = 0.25  # of the rate is left at the end, so that what the mean is of lies around a minimum

# what a channel's name begins with, its weight in the loss; the first that fits counts
CHANNEL_WEIGHTS: tuple[tuple[str, float], ...] = (
    ("jawOpen", 2.0),
    ("mouthClose", 2.0),
    ("mouth", 1.0),
    ("jaw", 0.5),
    ("tongue", 0.4),
    ("", 0.15),
)


@dataclass(frozen=True)
class DecoderRun:
    """How a decoder is trained."""

    seconds: float
    steps: int = 0
    """Ends it earlier where it is not 0."""
    batch: int = 32
    frames: int = 160
    peak: float = 2e-3
    strengths: tuple[float, ...] = (0.0, 0.4, 0.7, 1.0)
    """One version of all clips each: as they are, and augmented."""
    noise: float = 0.25
    """Added to contents, whose channels spread by about 1."""
    struck: float = 0.15
    """Share of a content's channels that are struck out for a whole crop."""
    teacher: float = 1.0
    measured: float = 1.0
    teacher_beside_measured: float = 0.15
    """Weight of the teacher on clips that have measured motion: it settles what the measures leave open."""
    seed: int = 1
    half: bool = True
    shares: Mapping[str, float] = field(default_factory=dict)
    save_every: float = 120.0
    folder: Path | None = None
    """Of its log."""
    path: Path | None = None
    """Of its checkpoint, with which an interrupted run goes on."""
    start: Path | None = None
    """Shipped weights that it was begun with."""
    data: Mapping[str, str] = field(default_factory=dict)
    """What it learns from, by source (`recipe.stamps`)."""


class Judged(nn.Module):
    """From our weights to other people's measures, each with an offset that is learnt, and with a scale where it is in
    another rig's units. Millimetres are millimetres: with a scale of their own nothing would hold the lips' size."""

    matrix: Tensor
    spread: Tensor
    weights: Tensor

    def __init__(self, spread: Float) -> None:
        super().__init__()
        matrix = np.concatenate([grid_matrix(), facegood_matrix()], axis=1)
        weights = [row[-1] for row in (*GRID_MEASURES, *FACEGOOD_SUMS)]
        self.register_buffer("matrix", torch.from_numpy(matrix))
        self.register_buffer("spread", torch.from_numpy(spread))
        self.register_buffer("weights", torch.tensor(weights))
        self.scale = nn.Parameter(torch.zeros(len(FACEGOOD_SUMS)))
        self.offset = nn.Parameter(torch.zeros(matrix.shape[1]))

    def forward(self, curves: Tensor) -> Tensor:
        """[..., 68] -> [..., measures] in the measures' own units."""
        scale = torch.nn.functional.pad(self.scale, (len(GRID_MEASURES), 0)).exp()
        out: Tensor = curves @ self.matrix * scale + self.offset * self.spread
        return out

    def loss(self, curves: Tensor, target: Tensor) -> Tensor:
        """Position and velocity in units of each measure's own spread; NaN counts nothing."""
        known = torch.isfinite(target)
        if not known.any():
            return curves.new_zeros(())
        wanted = torch.where(known, target, torch.zeros_like(target)) / self.spread
        got = self(curves.clamp(0, 1)) / self.spread  # as it will be shipped
        mask = known * self.weights
        place = (torch.nn.functional.smooth_l1_loss(got, wanted, reduction="none", beta=0.3) * mask).sum()
        both = mask[:, 1:] * known[:, :-1]
        moved = ((got.diff(dim=1) - wanted.diff(dim=1)).abs() * both).sum()
        total: Tensor = (place + moved) / mask.sum()
        return total


@dataclass(frozen=True)
class Heard:
    """What the frozen encoder says of all frames, in one version of their sound."""

    content: NDArray[np.float16]
    loudness: NDArray[np.float16]


def heard(net: Net, data: Motion, rng: np.random.Generator, strength: float, half: bool) -> Heard:
    """Encoder and loudness over all clips, augmented where strength is not 0; computed once, read at every step."""
    alter = MelAugment(empty=0.0, masks=1)  # what is heard must still be what is taught
    held = data.store
    content = np.zeros((len(held.labels), net.config.width), np.float16)
    loudness = np.zeros((len(held.labels), POOLED), np.float16)
    for group in grouped(held.counts):
        feats = torch.from_numpy(side_by_side(held, group))
        if strength:
            feats, _ = alter(feats, torch.zeros(feats.shape[:2], dtype=torch.long), rng, strength)
        out, loud = contents(net.encoder, feats, half).numpy(), pooled(feats).numpy()
        for row, k in enumerate(group):
            span = slice(int(held.starts[k]), int(held.starts[k] + held.counts[k]))
            content[span], loudness[span] = out[row, : held.counts[k]], loud[row, : held.counts[k]]
    return Heard(content, loudness)


class DecoderTrainer:
    """One run on one frozen encoder; `train` goes on until the time is up."""

    def __init__(self, net: Net, run: DecoderRun, data: Motion, judges: Mapping[str, Motion]) -> None:
        torch.manual_seed(run.seed)
        self.net, self.run, self.data, self.judges = net, run, data, judges
        self.rng = np.random.default_rng(run.seed)
        self.judged = Judged(_spread(data.measures))
        for parameter in net.encoder.parameters():
            parameter.requires_grad_(False)
        self.parameters = [*net.decoder.parameters(), *self.judged.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=run.peak, betas=(0.9, 0.98), weight_decay=0.05,
                                           fused=True)
        self.ema = Ema(net.decoder, MEAN)
        self.weight = torch.tensor([_weight(name) for name in rig("facerig").names])
        shares = np.array([share(name, run.shares) for name in data.store.ids])
        self.edges = np.cumsum(data.store.counts * shares) / (data.store.counts * shares).sum()
        self.step, self.spent = 0, 0.0
        self.heard: list[Heard] = []
        self.kept = nn.ModuleDict({"decoder": net.decoder, "judged": self.judged})
        self.made, self.encoder = facts_of(run.seed, run.start, run.data), weights_hash(net.encoder)
        if run.path and run.path.with_suffix(".json").is_file():
            self._go_on(run.path)

    def _go_on(self, path: Path) -> None:
        if facts_in(path, self.made)["encoder"] != self.encoder:  # it was given more minutes since
            print(f"{path}: is of the encoder as it was: begins anew", flush=True)
            return
        facts = load_run(path, self.kept, self.ema, self.optimizer, self.made)
        self.step, self.spent = facts["step"], facts["spent"]
        done = self._schedule(time.time()).progress(self.step)
        print(gone_on(path, self.spent, self.run.seconds, done), flush=True)

    def _schedule(self, now: float) -> Schedule:
        """Of a run that goes on now."""
        begin = now - self.spent
        return Schedule(begin, begin + self.run.seconds, self.run.peak, FLOOR, warm_steps=50, steps=self.run.steps)

    def train(self, shown: Callable[[float], None] = lambda _: None) -> list[float]:
        """Until the time is up; leaves the running mean in the net. Returns the mean loss of each stretch."""
        means: list[float] = []
        if self._schedule(time.time()).progress(self.step) < 1.0:
            self.heard = [heard(self.net, self.data, self.rng, strength, self.run.half)
                          for strength in self.run.strengths]  # fmt: skip
            if self.step:  # not the crops that it began with
                self.rng = np.random.default_rng((self.run.seed, self.step))
            means = self._taught(self._schedule(time.time()), shown)
        self.net.decoder.load_state_dict(self.ema.weights)
        self.net.eval()
        return means

    def _taught(self, schedule: Schedule, shown: Callable[[float], None]) -> list[float]:
        losses, means, logged, saved = [], [], time.time(), time.time()
        self.net.train()
        while schedule.progress(self.step) < 1.0:
            for group in self.optimizer.param_groups:
                group["lr"] = schedule.rate(self.step)
            losses.append(self._step())
            self.step += 1
            shown(schedule.progress(self.step))
            if time.time() - logged > min(30.0, self.run.seconds / 8) or is_eighth(self.step, self.run.steps):
                means.append(float(np.mean(losses)))
                tell("decoder", {"step": self.step, "loss": round(means[-1], 5)}, self.run.folder)
                losses, logged = [], time.time()
            if time.time() - saved > self.run.save_every:
                self._save(schedule)
                saved = time.time()
        self._save(schedule)
        return means

    def _save(self, schedule: Schedule) -> None:
        if self.run.path:
            save_run(self.run.path, self.kept, self.ema, self.optimizer,
                     {"step": self.step, "spent": time.time() - schedule.begin, "encoder": self.encoder,
                      **self.made})

    def _step(self) -> float:
        content, loudness, target, known, measures = self._draw()
        config = self.net.config
        pasts = self.net.rest(len(content))[config.split :]
        condition = content.new_zeros(*content.shape[:2], config.condition)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.run.half):
            curves, _, _, _ = self.net.decode(loudness, condition, self._disturbed(content), pasts)
        loss = self._loss(curves.float(), target, known, measures)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.net.decoder)
        return float(loss.detach())

    def _disturbed(self, content: Tensor) -> Tensor:
        """So that no single channel of a single clip is leant on."""
        kept = torch.rand(len(content), 1, content.shape[2]) >= self.run.struck
        out: Tensor = content * kept / (1 - self.run.struck) + self.run.noise * torch.randn_like(content)
        return out

    def _loss(self, curves: Tensor, target: Tensor, known: Tensor, measures: Tensor) -> Tensor:
        """Output row t belongs to frame t - lookahead."""
        ahead = self.net.config.lookahead
        out, rows = curves[:, ahead:], target.shape[1] - ahead
        target, known, measures = target[:, :rows], known[:, :rows], measures[:, :rows]
        measured = torch.isfinite(measures).any(-1)
        share = known * torch.where(measured, self.run.teacher_beside_measured, self.run.teacher)
        silent = (target.abs().sum(-1) < 0.1).float()
        taught = curve_loss(out, target, share[..., None].expand_as(out), self.weight, silent)
        return 100.0 * taught + self.run.measured * self.judged.loss(out, measures)

    def _draw(self) -> tuple[Tensor, ...]:
        """Crops of (content, loudness, teacher, whether it is known, measures)."""
        batch, frames, held = self.run.batch, self.run.frames, self.data.store
        version = self.heard[int(self.rng.integers(len(self.heard)))]
        rows = np.zeros((batch, frames), np.int64)
        known = np.zeros((batch, frames), np.float32)
        for row in range(batch):
            k = min(int(np.searchsorted(self.edges, self.rng.random())), len(self.edges) - 1)
            count = int(held.counts[k])
            first = int(self.rng.integers(0, max(1, count - frames + 1)))
            inside = first + np.arange(frames)
            rows[row] = held.starts[k] + np.minimum(inside, count - 1)
            known[row] = inside < count
        known *= self.data.known[rows]
        picked = (version.content[rows], version.loudness[rows], self.data.teacher[rows])
        content, loudness, target = (torch.from_numpy(array.astype(np.float32)) for array in picked)
        measures = np.where(known[..., None] > 0, self.data.measures[rows], np.nan).astype(np.float32)
        return content, loudness, target, torch.from_numpy(known), torch.from_numpy(measures)

    def judge(self) -> dict[str, dict[str, float]]:
        """Correlation with measured motion, pooled over the clips kept apart; error against the teacher."""
        return {name: judged(self.net, self.judged, data) for name, data in self.judges.items()}


def _spread(measures: Float) -> Float:
    """Standard deviation of every measure; 1 where a measure does not occur."""
    known = np.isfinite(measures)
    columns = [column[fine].std() if fine.any() else 1.0 for column, fine in zip(measures.T, known.T, strict=True)]
    return np.maximum(columns, 1e-3).astype(np.float32)


def _weight(name: str) -> float:
    return next(weight for start, weight in CHANNEL_WEIGHTS if name.startswith(start))


def judged(net: Net, to_measures: Judged, data: Motion) -> dict[str, float]:
    """r of every measure over all clips joined, and the mean absolute difference from the teacher on lip channels."""
    from facerig.model.torch_model import TorchModel

    model, curves = TorchModel.of(net), []
    for k in range(len(data.store.ids)):
        curves.append(model.posteriors(data.store.clip(k)[0])[0])
    joined = np.clip(np.concatenate(curves), 0, 1)
    with torch.no_grad():
        measured = to_measures(torch.from_numpy(joined)).numpy()
    out = {"teacher_mae": float(np.abs(joined - data.teacher)[data.known].mean())}
    for k, name in enumerate([row[0] for row in (*GRID_MEASURES, *FACEGOOD_SUMS)]):
        known = np.isfinite(data.measures[:, k])
        if known.sum() > 100:
            out[f"{name}_r"] = float(np.corrcoef(measured[known, k], data.measures[known, k])[0, 1])
    return {key: round(value, 4) for key, value in out.items()}


def measured(net: Net, data: Motion) -> dict[str, float]:
    """The same of a network that no run has just fitted scales to: r needs none."""
    return judged(net, Judged(_spread(data.measures)), data)
