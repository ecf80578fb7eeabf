"""When frames leave, on a clock of the tests' own."""

from __future__ import annotations

import numpy as np
import pytest

from facerig.errors import OptionError
from facerig.server.pacing import Pacer, Pacing


def play(pacer, ready, fps=60):
    """When each frame leaves, for when each is ready."""
    now, left = 0.0, []
    for frame, at in enumerate(ready):
        now = max(now, at)
        now += max(0.0, pacer.leaves(frame, now))
        pacer.left(frame, at)
        left.append(now)
    return np.array(left)


def test_realtime_spreads_a_burst():
    left = play(Pacer(Pacing(), 60), [0.0] * 600)
    assert np.allclose(np.diff(left), 1 / 60)


def test_realtime_has_no_burst_after_a_hiccup_and_wins_the_time_back():
    ready = [k / 60 + (0.2 if k >= 100 else 0) - (0.2 if k >= 160 else 0) for k in range(1200)]
    left = play(Pacer(Pacing(), 60), ready)
    assert np.diff(left)[101:].min() > 0.9 / 60
    assert left[-1] - ready[-1] < 0.03


def test_realtime_follows_a_source_whose_clock_is_fast():
    ready = [k / 60.06 for k in range(60 * 120)]  # 0.1 %: 120 ms in two minutes
    left = play(Pacer(Pacing(), 60), ready)
    assert left[-1] - ready[-1] < 0.03


def test_jitter_is_taken_out():
    rng = np.random.default_rng(0)
    ready = np.arange(1200) / 60 + rng.random(1200) * 0.015
    steps = np.diff(play(Pacer(Pacing(), 60), np.maximum.accumulate(ready)))[200:]
    assert np.percentile(np.abs(steps - 1 / 60), 95) < 0.003


def test_burst_and_lead():
    assert not play(Pacer(Pacing("burst"), 60), [0.0] * 60).any()
    left = play(Pacer(Pacing("lead", 500), 60), [0.0] * 120)
    assert left[30] == 0
    assert left[119] == pytest.approx(119 / 60 - 0.5)


@pytest.mark.parametrize("lead", [0, 500])
def test_a_break_leaves_the_lead_what_it_is(lead):
    """An interrupt now and then: frames come as early as before, and no earlier."""
    pacer, now, early = Pacer(Pacing("lead", lead), 60), 0.0, []
    for frame in range(240):
        now += max(0.0, pacer.leaves(frame, now))
        pacer.left(frame, now)
        early.append(frame / 60 - now)
        if frame in (60, 120, 180):
            pacer.restart(frame + 1, now)
    assert np.allclose(early[60:], lead / 1000)
    pacer.restart(240, now + 3)  # nothing was there to be shown for long: due now
    assert pacer.leaves(240, now + 3) <= 0
    assert pacer.leaves(300, now + 3) == pytest.approx(1 - lead / 1000)


@pytest.mark.parametrize("text", ["slow", "lead:x", "burst:5", "lead:99999999"])
def test_wrong_pacing(text):
    with pytest.raises(OptionError):
        Pacing.parse(text)
