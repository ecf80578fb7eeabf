"""VTube Studio's plug-in interface: JSON messages over a websocket on port 8001. `Session` knows no socket.

A plug-in asks once for a token (the user confirms in a window), authenticates each session with it, may create own
parameters, and injects values at least once a second. `Session` is that conversation, text in and texts out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from facerig.errors import ProtocolError
from unreal_bridge.face import Face
from unreal_bridge.wire import finite

PORT = 8001
API = {"apiName": "VTubeStudioPublicAPI", "apiVersion": "1.0"}
PREFIX = "Facerig"  # of our own parameters: names must be unique among all plug-ins, 4 to 32 letters and digits
MAX_OWN = 100  # parameters that one plug-in may create
MAX_MESSAGE = 1 << 20
LIMIT = 1_000_000.0
DENIED = 50  # errorID: the user has refused this plug-in

Json: TypeAlias = dict[str, Any]


def _mean(face: Face, *names: str) -> float:
    return sum(face.weight(name) for name in names) / len(names)


def _eye(face: Face, side: str) -> float:
    """1 is an eye at rest; a wide one goes above."""
    return 1.0 - face.weight(f"eyeBlink{side}") + 0.3 * face.weight(f"eyeWide{side}")


def _brow(face: Face, side: str) -> float:
    """0.5 is a brow at rest."""
    return 0.5 + 0.5 * (face.weight(f"browOuterUp{side}") - face.weight(f"browDown{side}"))


# VTube Studio's own tracking parameters, as functions of a face. Its signs for the angles are not documented: these
# take +X as the face's own left, as seen in a mirror; a model's mapping can turn any of them round.
DEFAULTS: dict[str, Callable[[Face], float]] = {
    "FaceAngleX": lambda face: -face.head.degrees.right,
    "FaceAngleY": lambda face: -face.head.degrees.down,
    "FaceAngleZ": lambda face: -face.head.degrees.tilt,
    "MouthOpen": lambda face: face.weight("jawOpen") - face.weight("mouthClose"),
    "MouthSmile": lambda face: 0.5 + 0.5 * (_mean(face, "mouthSmileLeft", "mouthSmileRight")
                                            - _mean(face, "mouthFrownLeft", "mouthFrownRight")),
    "MouthX": lambda face: face.weight("mouthLeft") - face.weight("mouthRight"),
    "CheekPuff": lambda face: face.weight("cheekPuff"),
    "TongueOut": lambda face: face.weight("tongueOut"),
    "EyeOpenLeft": lambda face: _eye(face, "Left"),
    "EyeOpenRight": lambda face: _eye(face, "Right"),
    "EyeLeftX": lambda face: face.weight("eyeLookOutLeft") - face.weight("eyeLookInLeft"),
    "EyeLeftY": lambda face: face.weight("eyeLookUpLeft") - face.weight("eyeLookDownLeft"),
    "EyeRightX": lambda face: face.weight("eyeLookInRight") - face.weight("eyeLookOutRight"),
    "EyeRightY": lambda face: face.weight("eyeLookUpRight") - face.weight("eyeLookDownRight"),
    "BrowLeftY": lambda face: _brow(face, "Left"),
    "BrowRightY": lambda face: _brow(face, "Right"),
    "Brows": lambda face: 0.5 * (_brow(face, "Left") + _brow(face, "Right")),
}


def parameter(name: str) -> str:
    """Our own parameter for an ARKit shape."""
    return PREFIX + name[:1].upper() + name[1:]


def values(face: Face) -> dict[str, float]:
    """Everything that a frame injects: VTube Studio's parameters, then all 52 shapes under our names."""
    numbers = {name: make(face) for name, make in DEFAULTS.items()}
    return numbers | {parameter(name): float(weight) for name, weight in zip(face.names, face.weights, strict=True)}


@dataclass
class Session:
    """One connection. `state` goes token -> authenticate -> create -> ready, or refused with `reason`."""

    plugin: str = "facerig"
    developer: str = "facerig"
    token: str = ""
    own: tuple[str, ...] = ()
    state: str = "closed"
    reason: str = ""
    _waiting: list[str] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        for what, text in (("plug-in name", self.plugin), ("developer name", self.developer)):
            if not 3 <= len(text) <= 32:
                raise ProtocolError(f"VTube Studio {what}: got {text!r}, accepted: 3 to 32 characters")
        wrong = [name for name in self.own if not (4 <= len(name) <= 32 and name.isascii() and name.isalnum())]
        if wrong or len(self.own) > MAX_OWN:
            raise ProtocolError(f"VTube Studio parameters: got {wrong or len(self.own)}, accepted: up to {MAX_OWN} "
                                "names of 4 to 32 letters and digits")

    def open(self) -> list[str]:
        """What to say on a fresh connection: with a token from before, the user is not asked again."""
        self.reason = ""
        return [self._authenticate() if self.token else self._ask()]

    def feed(self, text: str | bytes) -> list[str]:
        """Our answer to a message; messages that we do not wait for change nothing."""
        message = _parsed(text)
        data = message.get("data")
        handler = _HANDLERS.get(str(message.get("messageType")))
        return handler(self, data if isinstance(data, dict) else {}) if handler else []

    def inject(self, numbers: dict[str, float], face_found: bool = True) -> str:
        """The message of one frame."""
        checked = finite(list(numbers.values()), list(numbers)).clip(-LIMIT, LIMIT).tolist()
        entries = [{"id": name, "value": round(value, 6)} for name, value in zip(numbers, checked, strict=True)]
        return self._message("InjectParameterDataRequest",
                             {"faceFound": face_found, "mode": "set", "parameterValues": entries})

    def _ask(self) -> str:
        self.state = "token"
        return self._message("AuthenticationTokenRequest", self._who)

    def _authenticate(self) -> str:
        self.state = "authenticate"
        return self._message("AuthenticationRequest", self._who | {"authenticationToken": self.token})

    @property
    def _who(self) -> Json:
        return {"pluginName": self.plugin, "pluginDeveloper": self.developer}

    def _got_token(self, data: Json) -> list[str]:
        token = data.get("authenticationToken")
        if self.state != "token" or not isinstance(token, str) or not 0 < len(token) <= 256:
            return []
        self.token = token
        return [self._authenticate()]

    def _got_verdict(self, data: Json) -> list[str]:
        if self.state != "authenticate":
            return []
        if data.get("authenticated") is True:
            self.state, self._waiting = "create", list(self.own)
            return self._create_next()
        self.token = ""  # revoked by the user, or of another installation: ask anew
        return [self._ask()]

    def _create_next(self) -> list[str]:
        if not self._waiting:
            self.state = "ready"
            return []
        request = {"parameterName": self._waiting.pop(0), "explanation": "A face shape sent by facerig",
                   "min": 0.0, "max": 1.0, "defaultValue": 0.0}
        return [self._message("ParameterCreationRequest", request)]

    def _got_parameter(self, data: Json) -> list[str]:
        return self._create_next() if self.state == "create" else []

    def _got_error(self, data: Json) -> list[str]:
        self.reason = f"error {data.get('errorID')}: {str(data.get('message', ''))[:200]}"
        if self.state in ("token", "authenticate"):
            self.state = "refused"
            self.token = "" if data.get("errorID") == DENIED else self.token
        return self._create_next() if self.state == "create" else []

    def _message(self, kind: str, data: Json) -> str:
        self._number += 1
        return json.dumps(API | {"requestID": f"facerig{self._number}", "messageType": kind, "data": data})


_HANDLERS: dict[str, Callable[[Session, Json], list[str]]] = {
    "AuthenticationTokenResponse": Session._got_token,
    "AuthenticationResponse": Session._got_verdict,
    "ParameterCreationResponse": Session._got_parameter,
    "APIError": Session._got_error,
}


def own_parameters(names: Iterable[str] | Sequence[str]) -> tuple[str, ...]:
    return tuple(parameter(name) for name in names)


def _parsed(text: str | bytes) -> Json:
    if len(text) > MAX_MESSAGE:
        raise ProtocolError(f"VTube Studio message of {len(text)} characters, accepted: up to {MAX_MESSAGE}")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"VTube Studio message: not JSON ({error})") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"VTube Studio message: got {type(message).__name__}, accepted: a JSON object")
    return message
