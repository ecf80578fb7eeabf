"""What the encoder and the decoder are asked for. Knows tensors and unit tables, no corpora and no clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facerig.phones import VISEMES15, flag_of_units, units, viseme15_of_units
from facerig.train.data import UNLABELLED

LABIAL = 1.0  # weight of frames whose lips must touch. 1.6 finds more of them and invents as many more: on kept-apart
# speechocean clips 75 % recall at 50 % precision, so probabilities are left honest and whoever reads them sets the bar
SILENT = 0.7
BLUR = 0.15  # share of a frame's label that its neighbour on either side holds: labels are sure to a frame, no better


@dataclass(frozen=True)
class UnitTables:
    """Per unit: its viseme, its contacts (bilabial, labiodental, speech, rounding), its weight in the loss."""

    viseme: Tensor
    contacts: Tensor
    weight: Tensor

    @classmethod
    def make(cls) -> UnitTables:
        flags = np.stack([flag_of_units("bilabial"), flag_of_units("labiodental"), ~flag_of_units("is_silence"),
                          np.array([unit.rounding for unit in units()])], axis=1).astype(np.float32)
        weight = np.where(flags[:, 0] + flags[:, 1] > 0, LABIAL, 1.0)
        weight[flag_of_units("is_silence")] = SILENT
        grouped = np.eye(len(VISEMES15), dtype=np.float32)[viseme15_of_units()]
        return cls(torch.from_numpy(grouped), torch.from_numpy(flags), torch.from_numpy(weight.astype(np.float32)))

    def to(self, device: torch.device) -> UnitTables:
        return UnitTables(self.viseme.to(device), self.contacts.to(device), self.weight.to(device))


def targets(labels: Tensor, soft: Tensor, units: int) -> Tensor:
    """[B, T, units] the share of every unit: soft labels where there are any, else the hard one and its neighbours'.

    labels [B, T]; soft [B, T, 2, kept]. Rows of zeros where nothing is known.
    """
    shares = soft[:, :, 1].float()
    given = shares.sum(-1, keepdim=True)
    out = torch.zeros(*labels.shape, units).scatter_add_(2, soft[:, :, 0].long(), shares / given.clamp_min(1.0))
    known = labels != UNLABELLED
    one = F.one_hot(torch.where(known, labels, torch.zeros_like(labels)), units) * known[..., None]
    return torch.where(given > 0, out, _blurred(one.float()) * known[..., None])


def _blurred(shares: Tensor) -> Tensor:
    """Every frame with BLUR of its neighbour on either side; what no neighbour knows is the frame's own."""
    padded = F.pad(shares, (0, 0, 1, 1))
    mixed = BLUR * (padded[:, :-2] + padded[:, 2:]) + (1 - 2 * BLUR) * shares
    return mixed / mixed.sum(-1, keepdim=True).clamp_min(1e-6)


def unit_loss(logits: Tensor, target: Tensor, trust: Tensor, tables: UnitTables) -> Tensor:
    """Cross-entropy on units and on their visemes. logits, target [M, U]; a target of zeros counts nothing."""
    logp = logits.log_softmax(-1)
    coarse = (logp.exp() @ tables.viseme).clamp_min(1e-6).log()
    fine = -(logp * target).sum(1)
    rough = -(coarse * (target @ tables.viseme)).sum(1)
    weight = (target @ tables.weight) * trust
    return ((fine + 0.5 * rough) * weight).sum() / weight.sum().clamp_min(1.0)


def contact_loss(logits: Tensor, target: Tensor, trust: Tensor, tables: UnitTables) -> Tensor:
    """Whether lips touch, whether there is speech, how round: [M, 4] logits against the units' tables."""
    weight = ((target @ tables.weight) * trust)[:, None]
    each = F.binary_cross_entropy_with_logits(logits, target @ tables.contacts, reduction="none") * weight
    return each.sum(0).div(weight.sum().clamp_min(1.0)).sum()


def curve_loss(curves: Tensor, target: Tensor, known: Tensor, weight: Tensor, silent: Tensor) -> Tensor:
    """Position, velocity and rest. curves, target, known [B, T, C]; weight [C]; silent [B, T] 1 where nobody speaks."""
    mask = known * weight
    total = mask.sum().clamp_min(1.0)
    place = F.smooth_l1_loss(curves, target, reduction="none", beta=0.05) * mask
    moved = F.smooth_l1_loss(curves.diff(dim=1), target.diff(dim=1), reduction="none", beta=0.02) * mask[:, 1:]
    rest = (curves - target).abs() * mask * silent[..., None]
    return (place.sum() + 4.0 * moved.sum() + 0.5 * rest.sum()) / total
