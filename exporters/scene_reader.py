"""What the readers of scene files share: a joint's turns as channels, and a word about takes left out. Knows no file
format.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from facerig.matching import JOINTS, kind_of
from facerig.turns import Doubles, yaw_pitch_roll

log = logging.getLogger(__name__)

CAMEL = {"headyaw": "headYaw", "headpitch": "headPitch", "headroll": "headRoll"} | {
    f"{side}eye{angle}": f"{side}Eye{angle.capitalize()}"
    for side in ("left", "right") for angle in ("yaw", "pitch", "roll")}
# Letters only, lower case, as `kind_of` compares them.
READ_JOINTS = tuple(sorted(name for kind in JOINTS if kind.channels[0] in CAMEL for name in kind.names))


def is_read(joint: str) -> bool:
    """Whether a joint of this name turns channels."""
    kind = kind_of(joint)
    return kind is not None and kind.channels[0] in CAMEL


def angles_of(joint: str, matrices: Doubles) -> dict[str, Doubles]:
    """The channels of a joint's turns [T, 3, 3]; none where it is neither head nor eye."""
    kind = kind_of(joint)
    if kind is None or kind.channels[0] not in CAMEL:
        return {}
    angles = zip(kind.channels, kind.signs, yaw_pitch_roll(matrices), strict=True)
    return {CAMEL[channel]: sign * angle for channel, sign, angle in angles}


def keep_moving(columns: dict[str, Doubles], name: str, values: Doubles) -> None:
    """Several meshes may have a shape of one name; the first that moves counts."""
    if name not in columns or (np.ptp(columns[name]) == 0 and np.ptp(values) > 0):
        columns[name] = values


def tell_others(name: str, read: str, others: Sequence[str]) -> None:
    """Of several takes one is read."""
    if others:
        log.warning("%s: holds %d takes of a face; read is %r, left out: %s", name, len(others) + 1, read,
                    ", ".join(map(repr, others)))
