"""Regressions that models are compared with: what they learn from, how far they look ahead, how they are solved."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from facerig.features import FEATURES
from facerig.model.config import preset
from facerig.train.evaluate import scoreboard, systems
from facerig.train.evaluate.sets import Clip
from facerig.train.evaluate.systems import CHANNELS, ModelSystem


def clip() -> Clip:
    samples = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    return Clip("toy/a", "toy", "en", "nobody", samples, 16_000)


def test_baselines_learn_from_all_of_grid_but_what_sets_their_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def listed(split: str, limit: int = 800, lost: object = None) -> list[int]:
        asked.append(limit)
        return list(range(limit))

    monkeypatch.setattr(scoreboard, "grid_clips", listed)
    monkeypatch.setattr(scoreboard.sets, "grid_as_clip", lambda held: held)
    monkeypatch.setattr(scoreboard.sets, "missing", lambda name: "")
    learnt, apart = cast("tuple[list[int], list[int]]", scoreboard._grid_training(False, lambda _: None))
    assert (len(learnt), len(apart)) == (740, 60)
    assert not set(learnt) & set(apart)
    assert max(np.diff(apart)) <= 14  # from the first words to the last
    few = scoreboard._grid_training(True, lambda _: None)
    assert (len(few[0]), len(few[1])) == (24, 24)
    assert asked == [800, 48]


def test_regressions_look_as_far_ahead_as_the_model_that_is_judged() -> None:
    mel = np.tile(np.arange(120, dtype=np.float32)[:, None], (1, FEATURES))
    seen = clip()
    seen.__dict__["mel"] = mel
    for name, ahead in (("small", 6), ("instant", 1)):
        config = ModelSystem(name).config
        assert (config.name, config.lookahead) == (name, ahead)
        rows = systems.mel_windows(config.lookahead)(seen)[60]
        assert (rows.max(), rows.min()) == (60 + ahead, pytest.approx(45, abs=1))
        assert systems.RandomEncoder(config).encoder.config == config
    assert ModelSystem("fake").config.name == "small"
    assert systems.RandomEncoder(preset("tiny", CHANNELS, ("a",)))(clip()).shape == (120, 3 * 128)


def test_a_regression_from_sums_is_that_of_all_rows() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(3, 2, (200, 5)).astype(np.float32), rng.normal(size=(200, 2)).astype(np.float32)
    y[7, 1] = np.nan
    made = systems.Ridge()
    made.add(x[:60], y[:60])
    made.add(x[60:], y[60:])
    good = np.isfinite(y).all(axis=1)
    full = np.concatenate([(x[good] - x[good].mean(0)) / (x[good].std(0) + 1e-4), np.ones((199, 1))], 1)
    weights = np.linalg.solve(full.T @ full + systems.RIDGE * np.eye(6), full.T @ y[good])
    np.testing.assert_allclose(made.solved().weights, weights, atol=1e-5)
