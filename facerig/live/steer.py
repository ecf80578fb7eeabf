"""What is asked of a live face beside its voice: from the command line, and from a file that changes meanwhile.

`Steering` is one face's. Its controls are those of `facerig.controls`, by the same names; a change takes effect at the
next frame that is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from facerig.asking import Asked
from facerig.controls import COLUMNS, CONTROLS, place

FADE_MS = 250.0  # of a change while the face runs


class Running(Protocol):
    """A session, as far as steering needs it."""

    @property
    def frame(self) -> int: ...


class Steering:
    """The controls of one face: what the command line says, and on top of it what a file says now."""

    def __init__(self, asked: Asked | None = None) -> None:
        self.asked = asked or Asked()
        self.controls = self.asked.controls()
        self.session: Running | None = None
        self._typed = self.asked.controls()  # stays as it is: what a name goes back to
        self._now: dict[str, float] = {}

    @property
    def frame(self) -> int:
        return self.session.frame if self.session else 0

    def typed(self) -> dict[str, float]:
        """What the command line asks for at the beginning, without what is left at its default."""
        row = self._typed.rows(0, 1)[0]
        return {control.name: float(value) for control, value in zip(CONTROLS, row, strict=True)
                if value != control.default}

    def change(self, values: Mapping[str, float]) -> None:
        """What a file says now; what it no longer says goes back to the command line's value."""
        frame = self.frame
        back = self._typed.rows(frame, 1)[0]
        gone = {name: float(back[place(name)]) for name in self._now if name not in values}
        news = {name: value for name, value in values.items() if self._now.get(name) != value}
        if gone or news:
            self.controls.set(frame, {**gone, **news}, FADE_MS if self.session else 0.0)
        self._now = {name: values[name] for name in COLUMNS if name in values}
