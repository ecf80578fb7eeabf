"""Bars in a terminal for people who want to see it move: jaw, lips, blink, brows, gaze and the emotion. Sends
nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 40
REDRAWS = 20  # a second: more than a terminal shows well

# what is shown, channels that it is the largest of
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("jaw", ("jawOpen",)),
    ("lips closed", ("mouthClose", "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper")),
    ("lips round", ("mouthFunnel", "mouthPucker")),
    ("lips wide", ("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight")),
    ("blink", ("eyeBlinkLeft", "eyeBlinkRight")),
    ("brows up", ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")),
    ("brows down", ("browDownLeft", "browDownRight")),
    ("gaze left", ("eyeLookOutLeft", "eyeLookInRight")),
    ("gaze right", ("eyeLookInLeft", "eyeLookOutRight")),
)


def levels(channels: Sequence[str], values: Sequence[float]) -> list[tuple[str, float]]:
    """(name, 0 to 1) of each row whose channels there are; spelling with a small or a big first letter."""
    found = {name[:1].lower() + name[1:]: value for name, value in zip(channels, values, strict=True)}
    known = [(row, [found[name] for name in names if name in found]) for row, names in ROWS]
    return [(row, min(1.0, max(0.0, *some) if len(some) > 1 else max(0.0, some[0]))) for row, some in known if some]


def bar(value: float, width: int = WIDTH) -> str:
    full = round(value * width)
    return "█" * full + "·" * (width - full)


class Meter:
    """Use as a context; `show` with every frame."""

    def __init__(self, channels: Sequence[str], console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self.channels = tuple(channels)
        self._last: tuple[int, Sequence[float], Mapping[str, float]] = (0, [0.0] * len(self.channels), {})
        picture: Callable[[], Any] = self.picture
        self._live = Live(get_renderable=picture, console=console or Console(stderr=True), refresh_per_second=REDRAWS)

    def __enter__(self) -> Meter:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)
        if not self._live.console.is_terminal:  # rich ends the last line at a terminal alone
            self._live.console.line()

    def show(self, index: int, values: Sequence[float], emotion: Mapping[str, float]) -> None:
        self._last = (index, values, emotion)

    def picture(self) -> Table:
        from rich.table import Table

        index, values, emotion = self._last
        drawn = Table(title=f"frame {index}", show_header=False, box=None, title_justify="left")
        for name, value in levels(self.channels, values):
            drawn.add_row(name, bar(value), f"{value:.2f}")
        for name, value in sorted(emotion.items(), key=lambda pair: -pair[1])[:3]:
            drawn.add_row(name, bar(value), f"{value:.2f}", style="magenta")
        return drawn
