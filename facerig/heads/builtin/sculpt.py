"""Muscles that the source heads show too weakly to be read: displacement fields on the skin, one row a muscle.

A field is a place on the left side, its reach across and up, and the way that the skin goes there at weight 1. Lids
keep their own shapes: fields fade out above them. Lengths in centimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerig.heads.builtin.skin import Skin
from facerig.heads.builtin.source import Doubles

LID_TOP, LID_CLEAR = 4.35, 5.3  # heights between which fields grow from nothing to their whole
ROOT_LOWER = 1.3  # so much further down they reach at the root of the nose, which has no lids
FRONT = 7.0  # what lies behind is no face


@dataclass(frozen=True)
class Pull:
    """One muscle's field; `both` for shapes that move both sides."""

    shape: str
    place: tuple[float, float]
    reach: tuple[float, float]
    way: tuple[float, float, float]
    both: bool = False


# The brow lowerer carries the inner end 5 to 6 mm down and 3 inward, the inner part of the frontalis lifts it by up to
# 10 (chosen by eye on sheets of emotions). The source heads have 1.7 and 5.6: brows that come down flat do not frown.
PULLS = (
    Pull("browDownLeft", (1.25, 5.7), (1.5, 1.3), (-0.17, -0.40, 0.12)),
    Pull("browDownLeft", (3.0, 6.0), (2.0, 1.3), (0.0, -0.16, 0.05)),
    Pull("browInnerUp", (1.15, 6.0), (1.35, 1.7), (-0.10, 0.40, -0.02), both=True),
)
# Corners of the mouth: 4.6 mm down in the source, 5.5 in a full frown.
SCALES = {"mouthFrownLeft": 1.2}


def sculpt(skin: Skin, shapes: dict[str, Doubles]) -> None:
    """Add the fields to the left side's and the middle's shapes in place (the right side is mirrored from them)."""
    for pull in PULLS:
        shapes[pull.shape] += field(skin.vertices, pull)
    for name, scale in SCALES.items():
        shapes[name] *= scale


def field(points: Doubles, pull: Pull) -> Doubles:
    """Offsets [V, 3] of one muscle."""
    return sum((_one(points, pull, side) for side in ((1.0, -1.0) if pull.both else (1.0,))), np.zeros_like(points))


def _one(points: Doubles, pull: Pull, side: float) -> Doubles:
    across = (points[:, 0] * side - pull.place[0]) / pull.reach[0]
    up = (points[:, 1] - pull.place[1]) / pull.reach[1]
    weight = np.exp(-(across**2) - up**2)
    lower = ROOT_LOWER * np.exp(-((points[:, 0] / 1.2) ** 2))
    clear = np.clip((points[:, 1] + lower - LID_TOP) / (LID_CLEAR - LID_TOP), 0, 1)
    weight *= clear * clear * (3 - 2 * clear) * np.clip((points[:, 2] - FRONT) / 1.5, 0, 1)
    offsets: Doubles = weight[:, None] * np.array(pull.way) * [side, 1.0, 1.0]
    return offsets
