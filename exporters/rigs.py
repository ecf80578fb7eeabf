"""Curves in another rig's names, for formats that have names of their own. The only door from here to retargeting."""

from __future__ import annotations

from collections.abc import Sequence

from facerig.curves import Curves
from facerig.errors import RigError
from facerig.rig import identify, rig


def to_rig(curves: Curves, name: str) -> Curves:
    """Exactly the rig's channels in its order; RigError where the curves cannot be mapped to it."""
    from facerig.retarget import retarget

    target = rig(name)
    return curves if curves.channels == target.names else retarget(curves, target)


def like(curves: Curves, channels: Sequence[str]) -> Curves:
    """The curves in the rig that has these channels, where there is one and a way to it; else as they are."""
    wanted = identify(channels)
    if wanted is None:
        return curves
    try:
        return to_rig(curves, wanted.name)
    except RigError:
        return curves
