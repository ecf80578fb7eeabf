"""From controls to the model's condition: [whole-face mixture 12 | upper-face mixture 12 | style 8]. Knows no face.

The second mixture is what the brows and lids shall show: the whole face's, or as far as `upper:held` says their own.
Weights that add up to more than 1 are brought back to their proportions, so every mixture lies among the points that
the model was taught. All of it is a product with `expression_strength`; at the defaults every number is exactly zero.
"""

from __future__ import annotations

import numpy as np

from facerig.controls import EMOTIONS, STYLE, group
from facerig.stage import Frames

WIDTH = 2 * len(EMOTIONS) + STYLE
WHOLE = slice(0, len(EMOTIONS))
UPPER = slice(len(EMOTIONS), 2 * len(EMOTIONS))
STYLED = slice(2 * len(EMOTIONS), WIDTH)


def condition(rows: Frames) -> Frames:
    """[..., controls.WIDTH] -> [..., 32]."""
    whole = shares(rows[..., group("emotion")])
    own = rows[..., group("upper")]
    held = own[..., -1:]
    upper = whole + held * (shares(own[..., :-1]) - whole)
    felt = np.concatenate([whole, upper], axis=-1) * rows[..., group("intensity")]
    asked = np.concatenate([felt, rows[..., group("style")]], axis=-1)
    out: Frames = (asked * rows[..., group("expression_strength")] + np.float32(0)).astype(np.float32)  # no -0
    return out


def shares(mixed: Frames) -> Frames:
    """Mixtures whose weights add up to at most 1."""
    out: Frames = mixed / np.maximum(mixed.sum(axis=-1, keepdims=True), np.float32(1))
    return out
