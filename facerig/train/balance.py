"""How readily each viseme is heard, set right for people nobody learnt from.

A network is surest of the voices that it learnt; with others it hears open vowels too seldom and what stands around
them too often. One number a viseme, added to the logits of all its units, makes up for that. It is fitted on clips of
strangers that are kept apart, and costs nothing to run: heads have biases already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from facerig.model.net import Encoder
from facerig.phones import VISEMES15, viseme15_of_units
from facerig.train.data import UNLABELLED, Store, grouped, side_by_side
from facerig.train.loop import contents

ROUNDS = 30
LEAST = 1e-6  # probability, as its logarithm must be a number


def balanced(net: Encoder, strangers: Sequence[Store]) -> dict[str, float]:
    """Moves the biases of the units in all heads; gives what was added by viseme. All sets count alike."""
    heard = [found for found in (_heard(net, data) for data in strangers) if len(found[1])]
    if not heard:
        return {}
    members = torch.from_numpy(viseme15_of_units().astype(np.int64))
    grouped_by = torch.nn.functional.one_hot(members, len(VISEMES15)).float()
    added = torch.zeros(len(VISEMES15), requires_grad=True)
    optimizer = torch.optim.LBFGS([added], max_iter=ROUNDS)

    def loss() -> Tensor:
        optimizer.zero_grad()
        each = [_surprise(logits, members[labels], added[members], grouped_by, net) for logits, labels in heard]
        total = torch.stack(each).mean()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found = (added - added.mean()).detach()
    with torch.no_grad():
        for head in net.heads.values():
            assert isinstance(head, torch.nn.Linear)
            head.bias[: len(members)] += found[members]
    return {name: round(float(value), 3) for name, value in zip(VISEMES15, found, strict=True)}


def _surprise(logits: Tensor, wanted: Tensor, added: Tensor, grouped_by: Tensor, net: Encoder) -> Tensor:
    """Cross-entropy on visemes of the mean of the heads that are read; `logits` [heads, frames, units]."""
    shares = torch.tensor([share for _, share in net.config.heard_by])
    heard = torch.einsum("h,hfu->fu", shares, (logits + added).softmax(-1)) @ grouped_by
    return -heard.gather(1, wanted[:, None]).clamp_min(LEAST).log().mean()


@torch.no_grad()
def _heard(net: Encoder, data: Store) -> tuple[Tensor, Tensor]:
    """([heads, frames, units] logits of the heads that are read, [frames] labels) of all labelled frames."""
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    for group in grouped(data.counts):
        content = contents(net, torch.from_numpy(side_by_side(data, group, net.config.lookahead)))
        for row, k in enumerate(group):
            own = torch.from_numpy(data.clip(int(k))[1].astype(np.int64))
            heads = [net.read(content[row, ahead : ahead + len(own)], ahead)[0] for ahead, _ in net.config.heard_by]
            logits.append(torch.stack(heads)[:, own != UNLABELLED])
            labels.append(own[own != UNLABELLED])
    if not labels:
        return torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    return torch.cat(logits, dim=1), torch.cat(labels)
