"""What a renderer needs of curves: the weights of a head's shapes and the rotation vectors of its joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facerig.curves import Curves
from facerig.matching import match
from facerig.mesh import Floats, Head
from facerig.turns import vectors_of


@dataclass(frozen=True, eq=False)
class Poses:
    """A face at every frame of a take."""

    shapes: tuple[str, ...]
    weights: Floats
    """[T, shapes]"""
    turns: dict[str, Floats]
    """rotation vectors [T, 3] in radians, by joint"""

    def effort(self) -> Floats:
        """How far each frame is from the face at rest."""
        parts = (np.abs(values).sum(axis=1) for values in (self.weights, *self.turns.values()))
        effort: Floats = np.sum(list(parts), axis=0)
        return effort


def poses(curves: Curves, head: Head) -> Poses:
    """As `facerig.matching` lays the curves on the head."""
    found = match(curves, head)
    columns = [found.curves.index(channel) for channel in found.channels.values()]
    turns = {head.joints[number].name: vectors_of(matrices).astype(np.float32)
             for number, matrices in found.turns.items()}
    return Poses(tuple(found.channels), found.curves.values[:, columns], turns)
