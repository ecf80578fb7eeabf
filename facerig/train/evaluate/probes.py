"""Probes: what can be read out of a code, by a line and by a small network, both judged by balanced accuracy.

The line is ridge regression on standardised features; the network has one hidden layer. Knows no faces and no sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
RIDGE = 0.02  # times the rows, on features of unit spread
HIDDEN, UPDATES, BATCH, DROPPED = 64, 400, 256, 0.3  # of the network
Guess = Callable[[Floats, Labels, Floats, int], Labels]  # (features, labels, other features, classes) -> their labels


@dataclass(frozen=True, eq=False)
class Probe:
    """Scores [n, classes] = standardised features @ weights."""

    middle: Floats
    spread: Floats
    weights: Floats
    classes: int

    @classmethod
    def fit(cls, features: Floats, labels: Labels, classes: int) -> Probe:
        """Every class counts the same, however rare it is."""
        middle, spread = features.mean(0), np.maximum(features.std(0), 1e-4)
        x = np.concatenate([(features - middle) / spread, np.ones((len(features), 1))], axis=1)
        counts = np.bincount(labels, minlength=classes)
        weight = (len(labels) / np.maximum(counts, 1) / max(1, (counts > 0).sum()))[labels][:, None]
        wanted = np.eye(classes)[labels] - 1 / classes
        solved = np.linalg.solve(x.T @ (x * weight) + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (wanted * weight))
        return cls(middle, spread, solved.astype(np.float32), classes)

    def guess(self, features: Floats) -> Labels:
        x = (features - self.middle) / self.spread
        return np.asarray((x @ self.weights[:-1] + self.weights[-1]).argmax(1), np.int64)

    def accuracy(self, features: Floats, labels: Labels) -> float:
        """Percent, the mean over the classes that occur."""
        return balanced(self.guess(features), labels)


def linear(features: Floats, labels: Labels, others: Floats, classes: int) -> Labels:
    """What a line guesses."""
    return Probe.fit(features, labels, classes).guess(others)


def network(features: Floats, labels: Labels, others: Floats, classes: int) -> Labels:
    """What a network of one hidden layer guesses; the same every time."""
    import torch

    torch.manual_seed(0)
    middle, spread = features.mean(0), np.maximum(features.std(0), 1e-4)
    x, rest = (torch.from_numpy(((rows - middle) / spread).astype(np.float32)) for rows in (features, others))
    y = torch.from_numpy(labels)
    share = 1 / torch.bincount(y, minlength=classes).clamp_min(1).float()
    net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Dropout(DROPPED),
                              torch.nn.Linear(HIDDEN, classes))
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.01)
    for _ in range(UPDATES):
        rows = torch.randint(len(x), (min(BATCH, len(x)),))
        loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows], share)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        return np.asarray(net.eval()(rest).argmax(1).numpy(), np.int64)


PROBES: dict[str, Guess] = {"linear": linear, "network": network}


def crossed(features: Floats, labels: Labels, groups: NDArray[np.int64], classes: int,
            guess: Guess = linear) -> float:
    """Balanced accuracy in percent where every group is judged by a probe of the others."""
    out = np.zeros(len(labels), np.int64)
    for group in np.unique(groups):
        own = groups == group
        out[own] = guess(features[~own], labels[~own], features[own], classes)
    return balanced(out, labels)


def balanced(guessed: Labels, labels: Labels) -> float:
    """Percent, the mean over the classes that occur."""
    right = guessed == labels
    return round(100 * float(np.mean([right[labels == k].mean() for k in np.unique(labels)])), 1)


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's, without ties."""
    ranks = np.stack([np.argsort(np.argsort(side)) for side in (a, b)]).astype(np.float64)
    return round(float(np.asarray(np.corrcoef(ranks))[0, 1]), 4)


def around(rows: Floats, reach: int, step: int) -> Floats:
    """[n, columns] with their neighbours `step` apart, up to `reach` frames on each side."""
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    return np.concatenate([padded[k : k + len(rows)] for k in range(0, 2 * reach + 1, step)], axis=1)
