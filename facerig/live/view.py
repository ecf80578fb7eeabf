"""What is being sent, for the terminal: targets with their state, and the strongest channels as bars. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from facerig.live.loop import Face, LiveLoop

if TYPE_CHECKING:
    from rich.console import Group

WIDTH = 30
SHOWN = 10  # channels
PICTURES_A_SECOND = 8
NOTES_SHOWN = 2  # of what is wrong with a source, the last


def bars(face: Face, shown: int = SHOWN) -> list[tuple[str, str, float]]:
    """The strongest channels of the frame that was sent last: name, bar, value."""
    if face.row is None:
        return []
    values = face.row.values[0]
    order = sorted(range(len(values)), key=lambda k: -abs(float(values[k])))[:shown]
    return [(face.row.channels[k], bar(float(values[k])), float(values[k])) for k in order]


def bar(value: float) -> str:
    filled = round(min(abs(value), 1.0) * WIDTH)
    return "#" * filled + "." * (WIDTH - filled)


def target_rows(face: Face) -> list[tuple[str, str, str, str, str]]:
    """Target, sent, dropped, failed, state."""
    return [(lane.target.name, str(lane.counts.sent), str(lane.counts.dropped), str(lane.counts.failed),
             lane.describe()) for lane in face.fan.lanes]


def source_line(face: Face, loop: LiveLoop) -> str:
    buffer = face.feed.buffer
    state = "broken" if face.broken else "paused" if face.paused else "sending" if face.started else "waiting"
    text = f"{face.feed.spec.text}: {state}, {face.sent} frames, {len(buffer)} waiting, {face.repeated} repeated"
    return text + (f", {loop.clock.skipped} skipped" if loop.clock.skipped else "")


class Teller:
    """What goes wrong with the sources, each thing once and as it happens: the others may go on for hours."""

    def __init__(self, loop: LiveLoop, tell: Callable[[str], None]) -> None:
        self._loop, self._tell = loop, tell
        self._told = [0] * len(loop.faces)

    def look(self, _tick: int = 0) -> None:
        for number, face in enumerate(self._loop.faces):
            # What breaks a face that is alone ends the command, which says so then.
            texts = troubles(face) if len(self._loop.faces) > 1 else list(face.feed.notes)
            for text in texts[self._told[number]:]:
                self._tell(f"{face.feed.spec.text}: {text}")
            self._told[number] = len(texts)


def troubles(face: Face) -> list[str]:
    """What is wrong with a face's source."""
    return [*face.feed.notes, *([f"broken: {face.broken}"] if face.broken else [])]


class View:
    """Redraws a few times a second, from the loop's own thread only as a request; rich draws in its own."""

    def __init__(self, loop: LiveLoop) -> None:
        from rich.console import Console
        from rich.live import Live

        self._loop = loop
        self._live = Live(get_renderable=self.picture, console=Console(stderr=True),
                          refresh_per_second=PICTURES_A_SECOND, transient=True)

    def __enter__(self) -> View:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def picture(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        parts: list[Any] = []
        for face in self._loop.faces:
            parts += [Text(source_line(face, self._loop)), _table(("target", "sent", "dropped", "failed", "state"),
                                                                  target_rows(face))]
            parts.append(_table(("channel", "", "weight"), [(n, b, f"{v:+.3f}") for n, b, v in bars(face)]))
            parts += [Text(text, style="red") for text in troubles(face)[-NOTES_SHOWN:]]
            if face.gains.error:
                parts.append(Text(f"gains unchanged: {face.gains.error}", style="red"))
        return Group(*parts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def summary(loop: LiveLoop, seconds: float) -> dict[str, Any]:
    """What a program would want to know at the end."""
    faces = [{"source": face.feed.spec.text, "frames": face.sent, "repeated": face.repeated,
              "left_out": face.left_out, "lost": face.feed.buffer.lost, "silenced": face.feed.faults.silenced,
              "error": str(face.broken) if face.broken else None,
              "targets": [{"target": lane.target.name, "sent": lane.counts.sent, "dropped": lane.counts.dropped,
                           "failed": lane.counts.failed, "state": lane.describe()} for lane in face.fan.lanes]}
             for face in loop.faces]
    return {"seconds": round(seconds, 3), "skipped": loop.clock.skipped, "faces": faces}


