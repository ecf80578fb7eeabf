"""Linear probes: what can be read out of a code. Ridge on standardised features, judged by balanced accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
RIDGE = 0.02  # times the rows, on features of unit spread


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
        right = self.guess(features) == labels
        return round(100 * float(np.mean([right[labels == k].mean() for k in np.unique(labels)])), 1)


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's, without ties."""
    ranks = np.stack([np.argsort(np.argsort(side)) for side in (a, b)]).astype(np.float64)
    return round(float(np.asarray(np.corrcoef(ranks))[0, 1]), 4)


def around(rows: Floats, reach: int, step: int) -> Floats:
    """[n, columns] with their neighbours `step` apart, up to `reach` frames on each side."""
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    return np.concatenate([padded[k : k + len(rows)] for k in range(0, 2 * reach + 1, step)], axis=1)
