"""VMC (Virtual Motion Capture): faces as OSC over UDP, performer to marionette on port 39539. Pure functions.

A frame is the head's and eyes' bones where wanted, a Val for every shape, then one Apply; it is cut into bundles that
fit an Ethernet frame. Names are the receiver's business: it takes those its model has and ignores the others.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from unreal_bridge import osc
from unreal_bridge.face import Turn
from unreal_bridge.wire import Floats, unit

PORT = 39539
LARGEST = 1400  # bytes of a datagram: under an Ethernet MTU of 1500 with room for tunnels
BONES = {"head": "Head", "left_eye": "LeftEye", "right_eye": "RightEye"}
# VRM 1 presets and the VRM 0 names that most receivers still expect.
VRM0 = {
    "happy": "Joy",
    "angry": "Angry",
    "sad": "Sorrow",
    "relaxed": "Fun",
    "surprised": "Surprised",
    "neutral": "Neutral",
    "aa": "A",
    "ih": "I",
    "ou": "U",
    "ee": "E",
    "oh": "O",
    "blink": "Blink",
    "blinkLeft": "Blink_L",
    "blinkRight": "Blink_R",
    "lookUp": "LookUp",
    "lookDown": "LookDown",
    "lookLeft": "LookLeft",
    "lookRight": "LookRight",
}


def encode(names: Sequence[str], values: Floats, seconds: float, bones: Mapping[str, Turn] | None = None,
           largest: int = LARGEST) -> list[bytes]:
    """The datagrams of one frame; weights are cut to 0..1, the only range that receivers take."""
    messages = [_status(True), osc.message("/VMC/Ext/T", float(seconds))]
    for part, turn in (bones or {}).items():
        messages.append(osc.message("/VMC/Ext/Bone/Pos", BONES[part], 0.0, 0.0, 0.0, *turn.quaternion()))
    messages += [_value(name) + struct.pack(">f", value)
                 for name, value in zip(names, unit(values, names).tolist(), strict=True)]
    messages.append(_apply())
    return osc.bundles(messages, largest)


def absent() -> list[bytes]:
    """What is sent while no face is in view: not loaded, and nothing is applied."""
    return [osc.bundle([_status(False)])]


@lru_cache(maxsize=4)
def _status(loaded: bool) -> bytes:
    return osc.message("/VMC/Ext/OK", int(loaded))


@lru_cache(maxsize=1)
def _apply() -> bytes:
    return osc.message("/VMC/Ext/Blend/Apply")


@lru_cache(maxsize=1024)
def _value(name: str) -> bytes:
    """A Val message without its last four bytes, the weight."""
    return osc.message("/VMC/Ext/Blend/Val", name, 0.0)[:-4]


@dataclass
class Receiver:
    """The marionette's side: weights gather until Apply, as the protocol asks. Messages of wrong types are ignored."""

    limit: int = 1024  # names kept; a sender with more is broken or hostile
    _pending: dict[str, float] = field(default_factory=dict)
    _applied: dict[str, float] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)

    def feed(self, data: bytes) -> list[dict[str, float]]:
        """The complete frames that a datagram ends; weights hold until they are sent anew."""
        frames = []
        for address, arguments in osc.decode(data):
            types = "".join(_TAGS[type(argument)] for argument in arguments)
            if (address, types) == ("/VMC/Ext/Blend/Val", "sf") and len(self._pending) < self.limit:
                self._pending[str(arguments[0])] = float(arguments[1])
            elif address == "/VMC/Ext/Bone/Pos" and types == "sfffffff":
                self._turn(str(arguments[0]), *(float(number) for number in arguments[4:]))
            elif (address, types) == ("/VMC/Ext/Blend/Apply", "") and self._pending:
                self._applied = dict(list((self._applied | self._pending).items())[: self.limit])
                self._pending = {}
                frames.append(dict(self._applied))
        return frames

    def _turn(self, bone: str, x: float, y: float, z: float, w: float) -> None:
        part = next((key for key, name in BONES.items() if name == bone), None)
        if part and (x or y or z or w):
            self.turns[part] = Turn.of_quaternion(x, y, z, w)


_TAGS: dict[type, str] = {int: "i", float: "f", str: "s"}
