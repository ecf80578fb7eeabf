"""Where people sit and where each must look to see another: plane geometry, angles as `controls` counts them.

Seen from above, x to the right and y away, in metres; angles in degrees, towards a person's own left. Knows no face.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

EYES = 1.2  # metres above the floor: somebody who sits
RADIUS = 0.75  # of the ring on which people sit where no seats are given: 1.2-1.5 m apart, Hall's near social distance
MOST = 75.0  # degrees to the side that eyes and head reach together
CLOSEST = 0.1  # metres between two heads


@dataclass(frozen=True)
class Seat:
    """A place, the height of the eyes and the direction that the body faces (degrees against the clock from x)."""

    x: float
    y: float
    eyes: float
    facing: float


@dataclass(frozen=True)
class Look:
    """Towards the own left, and up; degrees."""

    yaw: float
    pitch: float


def ring(count: int) -> list[tuple[float, float]]:
    """Places on a circle, the first to the left, the second to the right of who looks on."""
    radius = RADIUS if count <= 3 else RADIUS * count / 3
    angles = [math.pi - 2 * math.pi * k / max(count, 1) for k in range(count)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def facing_of(place: tuple[float, float], others: list[tuple[float, float]]) -> float:
    """The direction of the middle of the others, which is where people turn their bodies."""
    if not others:
        return -90.0  # towards who looks on
    middle = (sum(x for x, _ in others) / len(others), sum(y for _, y in others) / len(others))
    across, along = middle[0] - place[0], middle[1] - place[1]
    return math.degrees(math.atan2(along, across)) if math.hypot(across, along) > 1e-6 else -90.0


def look(seat: Seat, other: Seat) -> Look:
    """The angles under which `other`'s eyes are seen; what lies further round than a person turns is cut."""
    across, along = other.x - seat.x, other.y - seat.y
    direction = math.degrees(math.atan2(along, across))
    yaw = (direction - seat.facing + 180) % 360 - 180
    pitch = math.degrees(math.atan2(other.eyes - seat.eyes, max(math.hypot(across, along), CLOSEST)))
    return Look(max(-MOST, min(MOST, yaw)), max(-45.0, min(45.0, pitch)))


def looks(seats: Mapping[str, Seat]) -> dict[str, dict[str, Look]]:
    """Everybody's angles to everybody else."""
    return {name: {other: look(seat, seats[other]) for other in seats if other != name}
            for name, seat in seats.items()}
