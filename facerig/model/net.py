"""The network in torch: log-mel -> content encoder -> decoder -> curves, contacts, unit posteriors. Knows no stream.

One path for everything: every layer maps (frames, past) -> (frames, new past). A whole sequence is a step from a past
of zeros, so training, offline and streaming run the same lines. Attention has no mask for the time before the stream:
keys of zeros are what it sees there, in training too.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facerig.features import FEATURES
from facerig.model.config import CONTACTS, FELT, PACES, POOLED, Layer, NetConfig

LEAST = 1e-9  # probability of a unit: its logarithm must be a number
OFF = -1e4  # added to the score of a frame outside the window

Pasts: TypeAlias = tuple[Tensor, ...]


def _remembered(past: Tensor, now: Tensor, frames: int = 1) -> tuple[Tensor, Tensor]:
    """(past and now, the past of the next step): as many as before along the axis of frames."""
    seen = torch.cat([past, now], dim=frames)
    return seen, seen.narrow(frames, now.shape[frames], past.shape[frames])


def _windows(seen: Tensor, count: int, length: int, hop: int = 1) -> Tensor:
    """[B, frames, columns] -> [B, count, length, columns]: row k holds frames k, k + hop, k + 2 hop, ..."""
    rows = torch.arange(count, device=seen.device)[:, None] + torch.arange(length, device=seen.device) * hop
    return seen.index_select(1, rows.flatten()).reshape(seen.shape[0], -1, length, seen.shape[-1])


class ShiftedSum(torch.autograd.Function):
    """Depthwise convolution as shifted products, with its gradient: on a CPU several times faster than conv1d's."""

    @staticmethod
    def forward(ctx: Any, seen: Tensor, taps: Tensor, count: int, hop: int) -> Tensor:
        ctx.save_for_backward(seen, taps)
        ctx.hop = hop
        mixed = seen[:, :count] * taps[0]
        for k in range(1, len(taps)):
            mixed.addcmul_(seen[:, k * hop : k * hop + count], taps[k])
        return mixed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (seen, taps), hop, count = ctx.saved_tensors, ctx.hop, grad.shape[1]
        to_seen = torch.zeros_like(seen)
        to_taps = torch.empty_like(taps)
        for k in range(len(taps)):
            span = slice(k * hop, k * hop + count)
            to_seen[:, span].addcmul_(grad, taps[k])
            to_taps[k] = (grad * seen[:, span]).sum((0, 1))
        return to_seen, to_taps, None, None


class ConvLayer(nn.Module):
    """Causal depthwise convolution, norm, feed-forward; residual."""

    arrays = 1
    """Of state: the inputs before the present one."""

    def __init__(self, width: int, kernel: int, dilation: int, spread: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.taps = nn.Parameter(torch.randn(kernel, width) / kernel**0.5)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, spread * width)
        self.down = nn.Linear(spread * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, pasts: Pasts, stride: int) -> tuple[Tensor, Pasts]:
        seen, past = _remembered(pasts[0], x)
        exporting = torch.compiler.is_exporting()  # one frame at a time is what the graph must be fast at
        mixed = (self._gathered if exporting else self._shifted)(seen, x.shape[1], stride)
        return x + self.down(self.dropout(F.relu(self.up(self.norm(mixed))))), (past,)

    def _shifted(self, seen: Tensor, count: int, stride: int) -> Tensor:
        mixed: Tensor = ShiftedSum.apply(  # type: ignore[no-untyped-call]
            seen, self.taps.to(seen.dtype), count, self.dilation * stride)
        return mixed

    def _gathered(self, seen: Tensor, count: int, stride: int) -> Tensor:
        """The same sum in three operations: what costs least where a step is one frame."""
        kernel = self.taps.shape[0]
        return (_windows(seen, count, kernel, self.dilation * stride) * self.taps).sum(2)


class AttentionLayer(nn.Module):
    """Self-attention over the last `window` steps with a learned bias by age; residual."""

    arrays = 2
    """Of state: keys and values, as they are multiplied, so that a step moves as little of them as it can."""

    def __init__(self, width: int, window: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        slopes = 2.0 ** -torch.arange(1, heads + 1)  # ALiBi's start: every head another reach
        self.bias = nn.Parameter(-slopes[:, None] * torch.arange(window))

    def forward(self, x: Tensor, pasts: Pasts, stride: int) -> tuple[Tensor, Pasts]:
        width = x.shape[-1]
        query, key, value = (self._split(part) for part in torch.split(self.qkv(self.norm(x)), width, dim=-1))
        keys, past_keys = _remembered(pasts[0].to(key.dtype), key, 2)
        values, past_values = _remembered(pasts[1].to(value.dtype), value, 2)
        scores = torch.matmul(query * (width // self.heads) ** -0.5, keys.transpose(-1, -2))
        weights = (scores + self._ages(x.shape[1], stride)).softmax(-1).to(value.dtype)
        mixed = torch.matmul(weights, values).transpose(1, 2).flatten(2)
        return x + self.dropout(self.out(mixed)), (past_keys, past_values)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _ages(self, count: int, stride: int) -> Tensor:
        """[heads, count, past + count]: the bias of a key by its age, OFF where it is no step of the window."""
        reach = (self.window - 1) * stride
        table = F.pad(self.bias.unsqueeze(-1), (0, stride - 1), value=OFF).flatten(1)[:, : reach + 1]
        table = F.pad(table, (0, 1), value=OFF)
        now = torch.arange(count, device=self.bias.device)
        then = torch.arange(count + reach, device=self.bias.device)
        age = now[:, None] + reach - then[None, :]
        inside = (age >= 0) & (age <= reach)
        rows = torch.where(inside, age, reach + 1)
        return table.index_select(1, rows.flatten()).reshape(self.heads, count, -1)


StepLayer: TypeAlias = ConvLayer | AttentionLayer


def _built(layer: Layer, width: int, config: NetConfig, dropout: float) -> StepLayer:
    if layer.kind == "conv":
        return ConvLayer(width, config.kernel, layer.span, config.spread, dropout)
    return AttentionLayer(width, layer.span, config.heads, dropout)


def run_layers(layers: nn.ModuleList, x: Tensor, pasts: Pasts, stride: int) -> tuple[Tensor, list[Tensor]]:
    """The layers in order, each with its own past."""
    kept: list[Tensor] = []
    for layer in layers:
        assert isinstance(layer, ConvLayer | AttentionLayer)
        x, past = layer(x, pasts[len(kept) : len(kept) + layer.arrays], stride)
        kept += past
    return x, kept


class Encoder(nn.Module):
    """Log-mel [B, n, 128] -> content [B, n, width]; a unit and contact head for every taught look-ahead."""

    def __init__(self, config: NetConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.input = nn.Linear(config.stride * FEATURES, config.width)
        self.layers = nn.ModuleList(_built(layer, config.width, config, dropout) for layer in config.encoder_layers)
        self.norm = nn.LayerNorm(config.width)
        size = len(config.units) + len(CONTACTS)
        self.heads = nn.ModuleDict({str(n): nn.Linear(config.width, size) for n in config.taught})

    def forward(self, feats: Tensor, pasts: Pasts) -> tuple[Tensor, list[Tensor]]:
        """Every frame, from a past."""
        stride, count = self.config.stride, feats.shape[1]
        seen, first = _remembered(pasts[0], feats)
        stacked = torch.cat([seen[:, k : k + count] for k in range(stride)], dim=-1)
        x, kept = run_layers(self.layers, self.input(stacked), pasts[1:], stride)
        return self.norm(x), [first, *kept]

    def phase(self, feats: Tensor) -> Tensor:
        """Whole sequences from rest, every stride-th frame only: what training pays for. Row k is frame 2k + 1."""
        batch, count, _ = feats.shape
        stacked = feats.reshape(batch, count // self.config.stride, -1)
        x, _ = run_layers(self.layers, self.input(stacked), self.rest(feats, 1)[1:], 1)
        out: Tensor = self.norm(x)
        return out

    def rest(self, like: Tensor, stride: int) -> Pasts:
        """Pasts of zeros for a batch like this one."""
        return tuple(like.new_zeros(like.shape[0], *shape) for shape in self.config.encoder_pasts(stride))

    def heard(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of units and of contacts for the frame `lookahead` ago, from content with `reread` frames
        before its first row: the mean of the heads that heard that frame when each had its own look-ahead."""
        config, units, contacts = self.config, [], []
        count = seen.shape[1] - config.reread
        for ahead, share in config.heard_by:
            first = config.reread - config.lookahead + ahead
            units_by, contacts_by = self.read(seen[:, first : first + count], ahead)
            units.append(share * units_by.softmax(-1))
            contacts.append(share * contacts_by.sigmoid())
        return torch.stack(units).sum(0), torch.stack(contacts).sum(0)

    def read(self, content: Tensor, lookahead: int) -> tuple[Tensor, Tensor]:
        """Logits of units and of contacts by one head, for the frame `lookahead` ago."""
        sizes = [len(self.config.units), len(CONTACTS)]
        units, contacts = torch.split(self.heads[str(lookahead)](content), sizes, dim=-1)
        return units, contacts

    def soon(self, content: Tensor) -> Tensor:
        """[..., 1] the logit of speech by the head of the shortest look-ahead: what is about to be said."""
        _, contacts = self.read(content, min(self.config.taught))
        at = CONTACTS.index("speech")
        return contacts[..., at : at + 1]


class Expression(nn.Module):
    """What a condition adds to the curves: features of speech times gates, and a pose.

    Nothing that sees the condition has a bias, so that under a condition of zeros exactly nothing is added. The
    condition comes in smoothed over several spans: what it asks for cannot jump.
    """

    kernels: Tensor

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        features, asked = config.expression, PACES * config.condition
        self.register_buffer("kernels", torch.zeros(PACES, FELT))
        self.hear = nn.Linear(config.decoder_width + len(CONTACTS) + 2 * POOLED + PACES, features)
        self.understand = nn.Linear(features, features)
        self.pose = nn.Linear(asked, features, bias=False)
        self.gate = nn.Linear(asked + features, features, bias=False)
        self.out = nn.Linear(2 * features, len(config.channels), bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, heard: Tensor, condition: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """`heard` ends with the loudness now; the head also hears how loud it has been."""
        loud = heard[..., -POOLED:].mean(-1, keepdim=True)
        seen, past = _remembered(past, torch.cat([condition, loud], dim=-1))
        smooth = self.smoothed(seen, condition.shape[1])
        count = condition.shape[-1]
        heard = torch.cat([heard, smooth[..., count]], dim=-1)
        return self.added(heard, smooth[..., :count].flatten(2)), past

    def smoothed(self, seen: Tensor, count: int) -> Tensor:
        """[B, FELT - 1 + n, columns] -> [B, n, PACES, columns]."""
        return torch.matmul(self.kernels.to(seen.dtype), _windows(seen, count, FELT))

    def added(self, heard: Tensor, smooth: Tensor) -> Tensor:
        """[B, n, channels]."""
        understood = F.relu(self.understand(F.relu(self.hear(heard))))
        pose = F.relu(self.pose(smooth))
        gate = self.gate(torch.cat([smooth, pose], dim=-1))
        out: Tensor = self.out(torch.cat([understood * gate, pose], dim=-1))
        return out


class Decoder(nn.Module):
    """Content, posteriors, loudness and condition -> curves, for the frame `lookahead` ago."""

    def __init__(self, config: NetConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_width
        self.input = nn.Linear(config.width + len(config.units) + len(CONTACTS) + 2 * POOLED, width)
        self.condition = nn.Linear(config.condition, width, bias=False)
        self.layers = nn.ModuleList(_built(layer, width, config, dropout) for layer in config.decoder_layers)
        self.norm = nn.LayerNorm(width)
        self.curves = nn.Linear(width, len(config.channels))
        self.expression = Expression(config) if config.expression else None
        for zeroed in (self.condition, self.curves):
            for parameter in zeroed.parameters():
                nn.init.zeros_(parameter)

    def forward(self, parts: tuple[Tensor, ...], condition: Tensor, pasts: Pasts) -> tuple[Tensor, list[Tensor]]:
        x, kept = self.speak(parts, condition, pasts)
        curves: Tensor = self.curves(x)
        if self.expression is not None:
            added, felt = self.expression(self.heard(x, parts), condition, pasts[-1])
            curves, kept = curves + added, [*kept, felt]
        return curves, kept

    def speak(self, parts: tuple[Tensor, ...], condition: Tensor, pasts: Pasts) -> tuple[Tensor, list[Tensor]]:
        """What the curves of neutral speech are read from."""
        x = self.input(torch.cat(parts, dim=-1)) + self.condition(condition)
        x, kept = run_layers(self.layers, x, pasts, 1)
        return self.norm(x), kept

    @staticmethod
    def heard(x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
        """What the expression head knows of the speech: that, contacts, loudness now and at the output's frame."""
        _, _, contacts, *loudness = parts
        return torch.cat([x, contacts, *loudness], dim=-1)


def pooled(feats: Tensor) -> Tensor:
    """[B, n, 128] -> [B, n, POOLED]: neighbouring bands averaged, both hops kept."""
    bands = feats.reshape(*feats.shape[:2], POOLED, FEATURES // POOLED)
    return bands.mean(-1)


class Net(nn.Module):
    """Encoder and decoder: what is exported and shipped."""

    def __init__(self, config: NetConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, dropout)
        self.decoder = Decoder(config, dropout)

    def forward(self, feats: Tensor, condition: Tensor, *pasts: Tensor) -> tuple[Tensor, ...]:
        """(curves, probabilities of EVIDENCE, unit log-probabilities, *new pasts); all for the frame `lookahead` ago,
        but for "soon": whether there is speech in the newest frame."""
        split = self.config.split
        content, kept = self.encoder(feats, pasts[:split])
        curves, contacts, units, more = self.decode(pooled(feats), condition, content, pasts[split:])
        evidence = torch.cat([contacts, self.encoder.soon(content).sigmoid()], dim=-1)
        return (curves, evidence, units, *kept, *more)

    def decode(self, loudness: Tensor, condition: Tensor, content: Tensor,
               pasts: Pasts) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """(curves, contact probabilities, unit log-probabilities, pasts) from the encoder's output and `pooled`
        features."""
        parts, kept = self.told(loudness, content, pasts[: self.config.lines])
        curves, more = self.decoder(parts, condition, pasts[self.config.lines :])
        _, units, contacts, *_ = parts
        return curves, contacts, units.clamp_min(LEAST).log(), [*kept, *more]

    def told(self, loudness: Tensor, content: Tensor, pasts: Pasts) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """(what the decoder is told: content, unit and contact probabilities, loudness now and at the output's frame;
        the delay lines' pasts)."""
        line, delayed = _remembered(pasts[0], loudness)
        seen, kept = content, [delayed]
        if self.config.reread:
            seen, before = _remembered(pasts[1], content)
            kept += [before]
        units, contacts = self.encoder.heard(seen)
        return (content, units, contacts, line[:, : loudness.shape[1]], line[:, self.config.lookahead :]), kept

    def rest(self, batch: int) -> Pasts:
        """What a stream begins with."""
        like = next(self.parameters())
        return tuple(like.new_zeros(batch, *shape) for shape in self.config.pasts())
