"""How a stream can end badly, and what each front says then. One row an error."""

from __future__ import annotations

from facerig.errors import AudioError, FacerigError, InputError, OptionError, ServiceError


class Refused(ServiceError):
    """There is no room: a limit of the server or of the key."""


class Draining(ServiceError):
    """The server is going away and takes nothing new."""


class Handover(ServiceError):
    """The server is going away and gives its streams to others."""


class Idle(ServiceError):
    """Nothing was heard for too long."""


class TooMuch(ServiceError):
    """More audio, or a larger message, than a stream may send."""


class Disorder(InputError):
    """Messages in an order that the protocol does not have."""


# error, our Status.Code, gRPC status, label of the metric; the first that fits
TABLE: tuple[tuple[type[Exception], str, str, str], ...] = (
    (Refused, "CODE_LIMIT", "RESOURCE_EXHAUSTED", "overload"),
    (Draining, "CODE_HANDOVER", "UNAVAILABLE", "draining"),
    (Handover, "CODE_HANDOVER", "UNAVAILABLE", "handover"),
    (Idle, "CODE_IDLE", "DEADLINE_EXCEEDED", "idle"),
    (TooMuch, "CODE_LIMIT", "RESOURCE_EXHAUSTED", "limit"),
    (Disorder, "CODE_INVALID", "FAILED_PRECONDITION", "order"),
    (AudioError, "CODE_INVALID", "INVALID_ARGUMENT", "audio"),
    (OptionError, "CODE_INVALID", "INVALID_ARGUMENT", "option"),
    (InputError, "CODE_INVALID", "INVALID_ARGUMENT", "input"),
    (ServiceError, "CODE_FAULT", "INTERNAL", "fault"),
    (FacerigError, "CODE_INVALID", "INVALID_ARGUMENT", "other"),
    (Exception, "CODE_FAULT", "INTERNAL", "fault"),
)


def row(error: BaseException) -> tuple[str, str, str]:
    """(our code, gRPC status, label)."""
    return next((code, status, label) for kind, code, status, label in TABLE if isinstance(error, kind))


def said(error: BaseException) -> str:
    """What a client is told: our own errors in words, a fault of ours by its kind alone."""
    return str(error) if isinstance(error, FacerigError) else f"a fault of the server's own ({type(error).__name__})"
