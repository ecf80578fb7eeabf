"""Curves in another rig's names, for formats that have names of their own. The only door from here to retargeting."""

from __future__ import annotations

from facerig.curves import Curves
from facerig.rig import rig


def to_rig(curves: Curves, name: str) -> Curves:
    """Exactly the rig's channels in its order; RigError where the curves cannot be mapped to it."""
    from facerig.retarget import retarget

    target = rig(name)
    return curves if curves.channels == target.names else retarget(curves, target)
