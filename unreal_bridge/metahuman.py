"""A MetaHuman's controls for the 5.6 source: which subjects are offered and what a frame of each holds. Knows no wire.

Two subjects: the MetaHuman's own CTRL_expressions_* (which reach it without ARKit's lossy mapping: tongue, lips
together and the single lip quarters included) and ARKit's 52 shapes for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facerig.errors import check_option
from facerig.rig import rig
from unreal_bridge.face import Turn
from unreal_bridge.pose import Pose
from unreal_bridge.ue56 import Subject
from unreal_bridge.wire import Floats

CONTROLS = ("metahuman", "metahuman-2022")
# ABP_MH_LiveLink turns the legacy stream's head values by this, pitch negated.
LEGACY_DEGREES = 50.0

Head = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Offer:
    """One subject and what its datagrams hold."""

    subject: Subject
    rig: str
    sticky: bool = False

    def values(self, pose: Pose) -> Floats:
        values = pose.values(self.rig)
        return with_sticky(values, self.subject.controls) if self.sticky else values


# Lips that part stick at their corners last. How strongly each of a MetaHuman's sticky controls takes part, by the end
# of its name after mouthStickyU or mouthStickyD; a guess by eye on the names, not tuned on a MetaHuman.
STICKY = {
    "C": 0.0,
    "INL": 0.4,
    "INR": 0.4,
    "OUTL": 1.0,
    "OUTR": 1.0,
}
_MOUTH = "CTRL_expressions_mouth"


def with_sticky(values: Floats, controls: tuple[str, ...]) -> Floats:
    """Sticky lips out of how far they are together: none at rest or sealed, most half-way."""
    together = float(values[controls.index(f"{_MOUTH}LipsTogetherUL")])
    out: Floats = values.copy()
    for end, share in STICKY.items():
        for lip in "UD":
            out[controls.index(f"{_MOUTH}Sticky{lip}{end}")] = share * 4 * together * (1 - together)
    return out


def offers(name: str, controls: str = "metahuman", first: str = "mha", sticky: bool = False) -> tuple[Offer, ...]:
    """Both subjects; Unreal uses the first of those it finds, so `first` decides."""
    check_option("controls", controls, ", ".join(CONTROLS), controls in CONTROLS)
    check_option("first", first, "mha, arkit", first in ("mha", "arkit"))
    both = (Offer(Subject(f"{name}-mha", name, "mha", rig(controls).names), controls, sticky),
            Offer(Subject(f"{name}-arkit", f"{name} ARKit", "arkit", rig("arkit-pascal").names), "arkit-pascal"))
    return both if first == "mha" else both[::-1]


def head_degrees(turn: Turn) -> Head:
    """roll, pitch, yaw, x, y, z as Unreal counts: yaw and roll to the right, pitch upwards; no translation."""
    degrees = turn.degrees
    return (degrees.tilt, 0.0 - degrees.down, degrees.right, 0.0, 0.0, 0.0)


def head_legacy(turn: Turn) -> Head:
    """The same head in parts of ABP_MH_LiveLink's 50 degrees, for animation blueprints that still multiply."""
    roll, pitch, yaw, *place = head_degrees(turn)
    return (roll / LEGACY_DEGREES, pitch / LEGACY_DEGREES, yaw / LEGACY_DEGREES, place[0], place[1], place[2])


HEADS: dict[str, Callable[[Turn], Head]] = {"degrees": head_degrees, "legacy": head_legacy}
