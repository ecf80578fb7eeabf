"""Controls as messages: what none can carry is refused here, in words; the rest is the server's to judge. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from facerig.client.options import check_numbers, check_text, check_whole
from facerig.controls import STATES
from facerig.errors import check_option
from facerig.v1 import animation_pb2 as pb


def _number(name: str, value: Any) -> None:
    check_option(name, value, "a finite number", isinstance(value, Real) and math.isfinite(value))


def _truth(name: str, value: Any) -> None:
    check_option(name, value, "True or False", isinstance(value, bool))


CHECKS: dict[str, Callable[[str, Any], None]] = {
    "weights": check_numbers, "regions": check_numbers, "values": check_numbers,
    "intensity": _number, "yaw": _number, "pitch": _number, "speed": _number, "size": _number,
    "fade_ms": check_whole, "release_ms": check_whole, "span_ms": check_whole, "count": check_whole,
    "name": check_text, "style": check_text, "text": check_text, "id": check_text,
    "release": _truth,
}  # fmt: skip


def control(what: str, frame: int | None = None, **fields: Any) -> pb.Control:
    """A control by its name in the protocol; without a frame it stands where the audio is."""
    for name, value in fields.items():
        CHECKS[name](f"{what}.{name}", value)
    part: Any = {what: fields}
    made = pb.Control(**part)
    if frame is not None:
        check_whole(f"{what}.frame", frame, 0, 2**53)
        made.frame = frame
    return made


def state(name: str) -> pb.Control:
    check_option("state", name, ", ".join(STATES) + " or nothing (told by the voice)", name in ("", *STATES))
    return pb.Control(state=f"STATE_{name.upper() or 'UNSPECIFIED'}")
