"""What is asked of a live face beside its voice: from the command line, and from a file that changes meanwhile.

`Steering` is one face's. Its controls are those of `facerig.controls`, by the same names; a change begins at the next
frame that is computed. What the file says lies over what the command line asks for and over its keyframes, which run on
underneath: a keyframe that is still to come keeps nobody waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from facerig.asking import AUTO, FILES, Asked
from facerig.controls import COLUMNS, CONTROLS, place
from facerig.errors import OptionError

Note = Callable[[str], None]  # takes what a server has to say to people
FADE_MS = 250.0  # of a change while the face runs


class Running(Protocol):
    """A session, as far as steering needs it."""

    @property
    def frame(self) -> int: ...


class Steering:
    """The controls of one face: what the command line says, and on top of it what a file says now."""

    def __init__(self, asked: Asked | None = None, seed: int | None = None, note: Note | None = None) -> None:
        self.asked, self.seed, self.note = asked or Asked(), seed, note
        self.controls = self.asked.controls()
        self.session: Running | None = None
        self.tell: Callable[[Mapping[str, float]], None] | None = None  # a server, where one makes the frames
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

    def for_server(self) -> dict[str, float]:
        """What a server is to be told at the beginning; it takes no keyframes."""
        if Path(self.asked.emotion).suffix.lower() in FILES:
            raise OptionError(f"--emotion: got the keyframes {self.asked.emotion}, accepted with a server: a mixture "
                              "such as happy:0.7")
        row = self.controls.rows(0, 1)[0]
        said = {control.name: float(value) for control, value in zip(CONTROLS, row, strict=True)
                if value != control.default}
        return {"heard": 1.0, **said} if self.asked.hears == AUTO else said

    def change(self, values: Mapping[str, float]) -> None:
        """What a file says now; what it no longer says goes back to the command line's value."""
        frame = self.frame
        back = self._typed.rows(frame, 1)[0]
        gone = {name: float(back[place(name)]) for name in self._now if name not in values}
        news = {name: value for name, value in values.items() if self._now.get(name) != value}
        if gone or news:
            fade = FADE_MS if self.session else 0.0
            self.controls.let_go(frame, gone, fade)
            self.controls.hold(frame, news, fade)
            if self.tell is not None:
                self.tell({**gone, **news})
        self._now = {name: values[name] for name in COLUMNS if name in values}
