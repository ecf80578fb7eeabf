"""What retargeting's tests share: the rigs that need a head, and curves of any rig."""

from __future__ import annotations

import numpy as np

from facerig.curves import Curves, Mark
from facerig.rig import rig

FLAMES = ("flame", "flame50")


def curves(name: str, values: object = None, frames: int = 7, seed: int = 1) -> Curves:
    """Random values within the rig's ranges, or those given."""
    found = rig(name)
    if values is None:
        random = np.random.default_rng(seed).random((frames, len(found)), np.float32)
        values = found.low + random * (found.high - found.low)
    return Curves(found.names, 60, np.asarray(values, np.float32), 5, (Mark(5, 7, "word", "hi"),))


def one(name: str, **shapes: float) -> Curves:
    """A single frame with these shapes set."""
    return curves(name, [[shapes.get(channel, 0.0) for channel in rig(name).names]])
