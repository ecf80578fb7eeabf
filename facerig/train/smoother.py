"""An offline reader of speech: a few layers over the encoder's output that look 0.4 s ahead, for making labels.

What a stream may not wait for, a label-maker may: the frozen encoder's output on both sides of a frame, with the sound
itself. It is trained on the labels that there are, in a few minutes, and never shipped; `distill` asks it.
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

from facerig.features import FEATURES
from facerig.model.config import NetConfig, layers
from facerig.model.net import ConvLayer, Encoder
from facerig.train.data import UNLABELLED, Float, Half, Store, grouped, share, side_by_side
from facerig.train.loop import aligned, contents
from facerig.train.losses import UnitTables, targets, unit_loss
from facerig.train.resume import Ema
from facerig.train.schedule import Schedule, is_eighth
from facerig.train.told import tell

AHEAD = 24  # frames: the encoder's own past is seconds long, so a syllable of future is what it lacks
LAYERS = "c1 c1 c2 c2"
DROPOUT = 0.1  # contents of clips that the encoder was taught on are surer than those of others
UNHEARD = -1  # where a clip begins that was not listened to


class Smoother(nn.Module):
    """Encoder output and features [B, T, width + 128] -> unit logits; row t is for the frame AHEAD before it.

    Beside what is newest it is handed that frame's own features and what the encoder said of it at its look-ahead:
    layers learn slowly to remember a frame exactly.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.input = nn.Linear(2 * (config.width + FEATURES), config.width)
        self.layers = nn.ModuleList(ConvLayer(config.width, config.kernel, layer.span, config.spread, DROPOUT)
                                    for layer in layers(LAYERS))
        self.drop, self.norm = nn.Dropout(DROPOUT), nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, len(config.units))

    def forward(self, heard: Tensor) -> Tensor:
        content, feats = heard[..., : self.config.width], heard[..., self.config.width :]
        own = [_delayed(content, AHEAD - self.config.lookahead), _delayed(feats, AHEAD)]
        x = self.input(self.drop(torch.cat([heard, *own], dim=-1)))
        for layer, shape in zip(self.layers, layers(LAYERS), strict=True):
            past = x.new_zeros(len(x), (self.config.kernel - 1) * shape.span, self.config.width)
            x, _ = layer(x, (past,), 1)
        logits: Tensor = self.head(self.norm(x))
        return logits


def _delayed(rows: Tensor, frames: int) -> Tensor:
    return nn.functional.pad(rows, (0, 0, frames, 0))[:, : rows.shape[1]]


@dataclass(frozen=True)
class SmootherRun:
    """How it is trained."""

    seconds: float
    steps: int = 0
    """Ends it earlier where it is not 0."""
    batch: int = 32
    frames: int = 192
    peak: float = 2e-3
    seed: int = 1
    half: bool = True
    shares: Mapping[str, float] = field(default_factory=dict)
    folder: Path | None = None
    """Of its log."""


class Listened:
    """Clips of a store and what an encoder says of every frame of them, AHEAD frames of quiet behind each."""

    def __init__(self, net: Encoder, data: Store, half: bool = True, clips: NDArray[np.int64] | None = None) -> None:
        """`clips`: those to listen to; a frame takes .8 kB."""
        self.store, self.units = data, len(net.config.units)
        clips = np.arange(len(data.ids)) if clips is None else clips
        counts = data.counts[clips] + AHEAD
        self.starts = np.full(len(data.ids), UNHEARD, np.int64)
        self.starts[clips] = np.cumsum(counts) - counts
        self.rows: Half = np.zeros((int(counts.sum()), net.config.width + FEATURES), np.float16)
        for group in grouped(data.counts[clips]):
            self._hear(net, clips[group], half)

    def _hear(self, net: Encoder, group: NDArray[np.int64], half: bool) -> None:
        feats = torch.from_numpy(side_by_side(self.store, group, AHEAD))
        with torch.no_grad():
            both = torch.cat([contents(net, feats, half), feats], dim=-1).numpy()
        for row, k in enumerate(group):
            rows = int(self.store.counts[k]) + AHEAD
            self.rows[self.starts[k] : self.starts[k] + rows] = both[row, :rows]

    def clip(self, k: int) -> Tensor:
        """[1, frames + AHEAD, width + 128] of one clip."""
        first = int(self.starts[k])
        return torch.from_numpy(self.rows[first : first + int(self.store.counts[k]) + AHEAD].astype(np.float32))[None]


def trained(net: Encoder, data: Listened, run: SmootherRun,
            shown: Callable[[float], None] = lambda _: None) -> Smoother:
    """A smoother of this encoder, after so many seconds."""
    torch.manual_seed(run.seed)
    smoother, tables = Smoother(net.config).train(), UnitTables.make()
    optimizer = torch.optim.AdamW(smoother.parameters(), lr=run.peak, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    ema, rng, step, losses = Ema(smoother, 0.995), np.random.default_rng(run.seed), 0, []
    schedule = Schedule(time.time(), time.time() + run.seconds, run.peak, warm_steps=50, steps=run.steps)
    edges = _edges(data, run.shares)
    while (progress := schedule.progress(step)) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        heard, target, weight = _drawn(data, edges, rng, run)
        with torch.autocast("cpu", torch.bfloat16, enabled=run.half):
            logits = smoother(heard)[:, AHEAD:].flatten(0, 1)
        loss = unit_loss(logits.float(), target, weight, tables)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(smoother.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update(smoother)
        step += 1
        shown(progress)
        losses.append(float(loss.detach()))
        if is_eighth(step, run.steps) or step % 100 == 0:
            tell("reader", {"step": step, "loss": round(float(np.mean(losses)), 4)}, run.folder)
            losses = []
    smoother.load_state_dict(ema.weights)
    return smoother.eval()


def _edges(data: Listened, shares: Mapping[str, float]) -> NDArray[np.float64]:
    held = data.store
    weights = held.counts * (data.starts != UNHEARD) * np.array([share(name, shares) for name in held.ids])
    edges: NDArray[np.float64] = np.cumsum(weights / weights.sum())
    return edges


def _drawn(data: Listened, edges: NDArray[np.float64], rng: np.random.Generator,
           run: SmootherRun) -> tuple[Tensor, Tensor, Tensor]:
    """(what is heard [B, T + AHEAD, ...], target units [B * T, U], weight [B * T])."""
    held = data.store
    clips = np.minimum(np.searchsorted(edges, rng.random(run.batch)), len(edges) - 1)
    counts = held.counts[clips]
    first = (rng.random(run.batch) * np.maximum(1, counts - run.frames + 1)).astype(np.int64)
    inside = first[:, None] + np.arange(run.frames + AHEAD)
    heard = data.rows[data.starts[clips][:, None] + np.minimum(inside, counts[:, None] + AHEAD - 1)]
    inside = inside[:, : run.frames]
    rows = held.starts[clips][:, None] + np.minimum(inside, counts[:, None] - 1)
    labels = np.where(inside < counts[:, None], held.labels[rows], UNLABELLED).astype(np.int64)
    soft = held.soft[rows] * (inside < counts[:, None])[..., None, None]
    trust = np.repeat(held.trust[clips], run.frames).astype(np.float32)
    wanted = targets(torch.from_numpy(labels), torch.from_numpy(soft), data.units)
    return torch.from_numpy(heard.astype(np.float32)), wanted.flatten(0, 1), torch.from_numpy(trust)


@torch.no_grad()
def smoothed(smoother: Smoother, data: Listened, k: int, half: bool = True) -> Float:
    """[frames, units] what the smoother hears in a clip."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = smoother(data.clip(k))[0, AHEAD:]
    out: Float = logits.float().softmax(-1).numpy()
    return out


def agreed(net: Encoder, smoother: Smoother, data: Listened, k: int, half: bool = True) -> Float:
    """[frames, units] the mean of the smoother and of the encoder's own heads, from the shipped one on: each errs in
    its own way."""
    heads = [read(net, data, k, ahead) for ahead in net.config.taught if net.config.lookahead <= ahead <= AHEAD]
    out: Float = 0.5 * smoothed(smoother, data, k, half) + 0.5 * np.mean(heads, axis=0)
    return out


def read(net: Encoder, data: Listened, k: int, ahead: int) -> Float:
    """[frames, units] what the encoder itself hears in a clip at a look-ahead of at most AHEAD."""
    content = data.clip(k)[0, :, : net.config.width]
    out: Float = aligned(net, content, int(data.store.counts[k]), ahead)[0].numpy()
    return out
