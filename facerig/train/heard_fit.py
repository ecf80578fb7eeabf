"""Fits the scores to windows' statistics and says, by speakers left out, how well unseen speakers are heard.

What is chosen (how much changed sound is learnt from, how strong the penalty is) is chosen anew for every speaker by
the others alone: models that know neither of two speakers judge the one while the choice is made for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from facerig.emotion.ear import CLASSES, CLIP
from facerig.stage import Frames

Ints = NDArray[np.int64]
FOUR = ("angry", "happy", "sad", "neutral")
ITERATIONS = 60


class Recipe(NamedTuple):
    """One candidate."""

    copies: int
    """Changed copies of a clip beside the clip itself."""
    penalty: float


RECIPES = (Recipe(0, 1e-2), Recipe(5, 1e-2), Recipe(10, 1e-2))
JUDGED = 5  # copies that are judged as changed sound; those after them are for learning alone


@dataclass(frozen=True, eq=False)
class Set:
    """Statistics [clips, 1 + copies, WIDTH], copy 0 being the clip itself, with labels, speakers and weights."""

    rows: Frames
    labels: Ints
    speakers: tuple[str, ...]
    weights: Frames

    def but(self, *speakers: str) -> Set:
        return self.of([k for k, own in enumerate(self.speakers) if own not in speakers])

    def only(self, speaker: str) -> Set:
        return self.of([k for k, own in enumerate(self.speakers) if own == speaker])

    def of(self, kept: Sequence[int]) -> Set:
        return Set(self.rows[kept], self.labels[kept], tuple(self.speakers[k] for k in kept), self.weights[kept])

    def joined(self, other: Set) -> Set:
        return Set(np.concatenate([self.rows, other.rows]), np.concatenate([self.labels, other.labels]),
                   self.speakers + other.speakers, np.concatenate([self.weights, other.weights]))


@dataclass(frozen=True, eq=False)
class Scorer:
    """What `Ear` does with statistics."""

    middle: Frames
    spread: Frames
    matrix: Frames
    offset: Frames

    def __call__(self, rows: Frames) -> Frames:
        logits = np.clip((rows - self.middle) / self.spread, -CLIP, CLIP) @ self.matrix + self.offset
        raised = np.exp(logits - logits.max(-1, keepdims=True))
        shares: Frames = raised / raised.sum(-1, keepdims=True)
        return shares


def fit(data: Set, recipe: Recipe) -> Scorer:
    """Multinomial logistic regression; every class weighs the same, within it every clip as listeners knew it."""
    rows = data.rows[:, : 1 + recipe.copies]
    copies, width = rows.shape[1:]
    flat = rows.reshape(-1, width)
    middle, spread = flat.mean(0), flat.std(0) + np.float32(1e-6)
    inputs = torch.from_numpy(np.clip((flat - middle) / spread, -CLIP, CLIP))
    wanted = torch.from_numpy(np.repeat(data.labels, copies))
    weights = torch.from_numpy(np.repeat(balanced(data), copies))
    matrix = torch.zeros(width, len(CLASSES), requires_grad=True)
    offset = torch.zeros(len(CLASSES), requires_grad=True)
    optimizer = torch.optim.LBFGS([matrix, offset], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        each = torch.nn.functional.cross_entropy(inputs @ matrix + offset, wanted, reduction="none")
        value = (weights * each).sum() / weights.sum() + recipe.penalty * (matrix**2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Scorer(middle, spread, matrix.detach().numpy(), offset.detach().numpy())


def balanced(data: Set) -> Frames:
    """A weight a clip: classes alike."""
    sums = np.bincount(data.labels, data.weights, len(CLASSES))
    return (data.weights / np.maximum(sums, 1e-9)[data.labels]).astype(np.float32)


# ---- unseen speakers ------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """Scores of every clip by a model that never heard its speaker; the recipe that was chosen for each speaker."""

    scores: Frames
    changed: Frames
    """[clips, copies, classes]: the same for the changed copies."""
    recipes: dict[str, Recipe]
    scorers: dict[str, Scorer]
    """Who was left out -> what was fitted without him."""


def leave_one_out(data: Set, recipes: Sequence[Recipe] = RECIPES, tell: Callable[[str], None] = lambda text: None,
                  always: Set | None = None) -> Outcome:
    """Every speaker by models of the other seven, with the recipe that is best among those seven.

    `always` is learnt from whoever is left out: other people's speech.
    """
    names = sorted(set(data.speakers))
    chosen = choose(data, names, recipes, tell, always) if len(recipes) > 1 else dict.fromkeys(names, recipes[0])
    scores = np.zeros((len(data.labels), data.rows.shape[1], len(CLASSES)), np.float32)
    scorers = {}
    for name in names:
        own = [k for k, speaker in enumerate(data.speakers) if speaker == name]
        scorers[name] = fit(with_always(data.but(name), always), chosen[name])
        scores[own] = scorers[name](data.rows[own])
    return Outcome(scores[:, 0], scores[:, 1 : 1 + JUDGED], chosen, scorers)


def with_always(data: Set, always: Set | None) -> Set:
    return data if always is None else data.joined(always)


def choose(data: Set, names: Sequence[str], recipes: Sequence[Recipe], tell: Callable[[str], None],
           always: Set | None = None) -> dict[str, Recipe]:
    """For each speaker the recipe that does best on the others, by models that know neither him nor the one judged."""
    found: dict[tuple[str, Recipe], list[tuple[Ints, Ints]]] = {(n, r): [] for n in names for r in recipes}
    for one, two in combinations(names, 2):
        tell(f"choosing without speakers {one} and {two}")
        for recipe in recipes:
            scorer = fit(with_always(data.but(one, two), always), recipe)
            for left, judged in ((one, two), (two, one)):
                own = data.only(judged)
                found[left, recipe].append((own.labels, scorer(own.rows[:, : 1 + JUDGED]).argmax(-1)))

    def figure(name: str, recipe: Recipe) -> float:
        pairs = found[name, recipe]
        labels, got = np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])
        return fair(labels, got)

    return {name: max(recipes, key=lambda recipe: figure(name, recipe)) for name in names}


def fair(labels: Ints, got: Ints) -> float:
    """Recall on clips as they are, and on their changed copies, half and half: users have other microphones."""
    clean, others = recall(labels, got[:, 0]), got[:, 1:]
    return clean if not others.size else (clean + recall(np.repeat(labels, others.shape[1]), others.reshape(-1))) / 2


def recall(labels: Ints, got: Ints) -> float:
    """Unweighted mean over the classes of the share that is heard right."""
    return float(np.mean([(got[labels == k] == k).mean() for k in np.unique(labels)]))


def recall_of(labels: Ints, scores: Frames, classes: Sequence[str] = CLASSES) -> float:
    """The same among some classes only: clips of those, the best of their scores."""
    places = np.array([CLASSES.index(name) for name in classes])
    kept = np.isin(labels, places)
    return recall(labels[kept], places[scores[kept][:, places].argmax(-1)])


def confusion(labels: Ints, scores: Frames) -> list[list[int]]:
    """[meant][heard] clips."""
    got = scores.argmax(-1)
    return [[int(((labels == a) & (got == b)).sum()) for b in range(len(CLASSES))] for a in range(len(CLASSES))]


def between(labels: Ints, scores: Frames, speakers: Sequence[str], classes: Sequence[str] = CLASSES,
            draws: int = 1000) -> tuple[float, float]:
    """The middle 95 % of `recall_of` over speakers and clips drawn anew: what another eight speakers might give."""
    rng = np.random.default_rng(0)
    own = [np.flatnonzero(np.array(speakers) == name) for name in sorted(set(speakers))]
    found = []
    for _ in range(draws):
        drawn = [rng.choice(clips, len(clips)) for clips in (own[k] for k in rng.integers(0, len(own), len(own)))]
        kept = np.concatenate(drawn)
        found.append(recall_of(labels[kept], scores[kept], classes))
    low, high = np.percentile(found, (2.5, 97.5))
    return round(float(low), 3), round(float(high), 3)
