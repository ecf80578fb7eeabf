"""From what a person types to controls: `--set`, `--emotion`, `--style`, `--state`, and the same cells of a table.

One place for command line, tables and scripts, so that all of them take the same words. Knows no options' names but
for its messages, and no wire.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from facerig.controls import STATES, Controls, place
from facerig.emotion import keyframes as keys
from facerig.emotion import space, styles
from facerig.errors import OptionError, check_option

FILES = (".json", ".csv")
OFF, AUTO = "off", "auto"
HEARD = "heard"  # the control


@dataclass(frozen=True)
class Asked:
    """What was typed for one clip."""

    sets: tuple[str, ...] = ()
    """NAME=VALUE each, names as in controls.CONTROLS."""
    emotion: str = ""
    """off, auto, a mixture such as happy:0.7,surprise:0.2, or a file of keyframes."""
    style: str = ""
    state: str = ""

    def __post_init__(self) -> None:
        for name in ("emotion", "style", "state"):
            check_option(name, getattr(self, name), "text", isinstance(getattr(self, name), str))
        texts = isinstance(self.sets, tuple | list) and all(isinstance(pair, str) for pair in self.sets)
        check_option("sets", self.sets, "a tuple of NAME=VALUE texts", texts)

    @property
    def hears(self) -> str:
        """How `Animator.load(emotion=...)` is to listen."""
        return self.hearing()

    def hearing(self, folder: Path | None = None) -> str:
        """The same of files relative to `folder`. Who asks for `heard` has the voice listened to, by whatever way."""
        auto = self.emotion.strip().lower() == AUTO or assignments(self.sets).get(HEARD, 0) > 0
        return AUTO if auto or any(key.values.get(HEARD, 0) > 0 for key in self.keyframes(folder)) else OFF

    def controls(self, first: int = 0, folder: Path | None = None) -> Controls:
        """In force from frame `first` on; keyframes count from there. Files are relative to `folder`."""
        return keys.apply(self.held(first, folder), self.keyframes(folder), first)

    def keyframes(self, folder: Path | None = None) -> tuple[keys.Keyframe, ...]:
        """What changes later: those of the file, where one is named."""
        path = self._keyframe_file(folder)
        return () if path is None else keys.read_keyframes(path)

    def held(self, first: int = 0, folder: Path | None = None) -> Controls:
        """What is asked for all along. Keyframes come after it, on top: time runs one way in `Controls`."""
        out = Controls()
        if self._keyframe_file(folder) is None and self.emotion.strip().lower() not in ("", OFF, AUTO):
            out.replace(first, "emotion", space.columns(space.mixture(self.emotion.strip())), 0)
        if self.style:
            own = self._style_file(folder)
            out.replace(first, "style", styles.columns(styles.style(str(own or self.style), files=True)), 0)
        if self.state:
            check_option("state", self.state, ", ".join(STATES), self.state in STATES)
            out.replace(first, "state", {f"state:{self.state}": 1.0}, 0)
        values = assignments(self.sets)
        if values:
            out.set(first, values, 0)
        return out

    def files(self, folder: Path | None = None) -> tuple[Path, ...]:
        """What is read for it, be it there or not; relative to `folder`."""
        return tuple(path for path in (self._keyframe_file(folder), self._style_file(folder)) if path is not None)

    def _keyframe_file(self, folder: Path | None) -> Path | None:
        text = self.emotion.strip()
        if text.lower() in ("", OFF, AUTO):
            return None
        path = (folder or Path()) / text
        named = Path(text).suffix.lower() in FILES or os.path.isfile(path)  # unlike Path's, of any text
        return path if named else None

    def _style_file(self, folder: Path | None) -> Path | None:
        text = self.style.strip()
        return (folder or Path()) / text if text.lower().endswith(".json") else None


def assignments(pairs: Iterable[str]) -> dict[str, float]:
    """`name=value` texts -> controls; a later one of a name wins. Ranges are checked where they are set."""
    out: dict[str, float] = {}
    for pair in pairs:
        name, sign, number = pair.partition("=")
        check_option("set", pair[:60], "NAME=VALUE", bool(sign))
        place(name.strip())  # an unknown one is told before its number
        out[name.strip()] = value_of(name.strip(), number)
    return out


def value_of(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"{name}: got {text.strip()[:40]!r}, accepted: a number") from None


def seeds(first: int, takes: int) -> Sequence[int]:
    """Seeds of so many takes: the first one is the seed itself."""
    check_option("takes", takes, f"1 to {MOST_TAKES}", 1 <= takes <= MOST_TAKES)
    check_option("seed", first, f"0 to {MOST_SEED - MOST_TAKES}", 0 <= first <= MOST_SEED - MOST_TAKES)
    return range(first, first + takes)


MOST_TAKES = 100
MOST_SEED = 2**63 - 1
