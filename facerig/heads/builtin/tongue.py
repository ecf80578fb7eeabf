"""What the tongue does: 17 shapes as fields over its own length (0 root .. 1 tip) and breadth (-1 right .. 1 left)."""

from __future__ import annotations

import numpy as np

from facerig.heads.builtin.balls import TONGUE
from facerig.heads.builtin.source import Doubles


def smooth(x: Doubles, low: float, high: float) -> Doubles:
    t = np.clip((x - low) / (high - low), 0, 1)
    step: Doubles = t * t * (3 - 2 * t)
    return step


def tongue_shapes(points: Doubles, along: Doubles, side: Doubles) -> dict[str, Doubles]:
    """Offsets in cm of each channel. tip, body and free are how much of a vertex belongs to the part that moves."""
    tip, free, body = smooth(along, 0.45, 1.0), smooth(along, 0.12, 0.75), smooth(along, 0.0, 0.4)
    arch = body * (1 - 0.6 * smooth(along, 0.65, 1.0))
    wide = points[:, 0]
    edge = side * np.abs(side)
    # The bed below rises less than the back, or the tongue would turn inside out where it rolls.
    zero = np.zeros(len(points))
    thick = points[:, 1] - np.interp(along, np.linspace(0, 1, 11), _bed(points, along))
    table: dict[str, tuple[Doubles, Doubles, Doubles]] = {  # x (left), y (up), z (forward)
        "tongueOut": (wide * (_strap(along) - 1), 1.05 * smooth(along, 0.3, 0.8) - 0.50 * smooth(along, 0.82, 1.0)
                      - 0.25 * thick * free, 4.6 * smooth(along, 0.05, 1.15)),
        "tongueTipUp": (-0.08 * wide * tip, 1.25 * tip**1.3, -0.30 * tip),
        "tongueTipDown": (zero, -0.55 * tip, -0.10 * tip),
        "tongueTipLeft": (1.05 * tip**1.2, zero, -0.15 * tip),
        "tongueTipRight": (-1.05 * tip**1.2, zero, -0.15 * tip),
        "tongueRollUp": (-0.35 * edge * free, 0.70 * side**2 * free, zero),
        "tongueRollDown": (-0.20 * edge * free, -0.50 * side**2 * free, zero),
        "tongueRollLeft": (zero, -0.50 * side * free, zero),
        "tongueRollRight": (zero, 0.50 * side * free, zero),
        "tongueUp": (zero, 0.85 * arch, zero),
        "tongueDown": (zero, -0.45 * arch, zero),
        "tongueLeft": (0.85 * free, zero, zero),
        "tongueRight": (-0.85 * free, zero, zero),
        "tongueIn": (0.06 * wide * free, 0.25 * free, -1.30 * free),
        "tongueStretch": (-0.12 * wide * free, 0.55 * smooth(along, 0.4, 0.9) - 0.2 * thick * free, 1.60 * free),
        "tongueWide": (0.20 * wide * free, -0.10 * thick * free, zero),
        "tongueNarrow": (-0.28 * wide * free, 0.12 * thick * free, zero),
    }
    return {name: np.stack(field, axis=1) for name, field in table.items()}


def _strap(along: Doubles) -> Doubles:
    """Width of the tongue that is put out, as a share of its width at rest: a strap with a round tip."""
    rest = np.interp(along, np.linspace(0, 0.98, len(TONGUE)), [row[2] for row in TONGUE])
    wanted = 1.42 * np.sqrt(np.clip(1 - (np.clip(along - 0.72, 0, None) / 0.29) ** 2, 0.02, 1))
    share: Doubles = 1 + smooth(along, 0.2, 0.55) * (np.minimum(wanted / rest, 1.6) - 1)
    return share


def _bed(points: Doubles, along: Doubles) -> Doubles:
    """Mean height of the tongue at 11 shares of its length."""
    shares = np.linspace(0, 1, 11)
    near = np.exp(-(((along[None] - shares[:, None]) / 0.06) ** 2)) + 1e-9
    height: Doubles = (near * points[:, 1]).sum(1) / near.sum(1)
    return height
