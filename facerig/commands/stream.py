"""facerig stream: audio to a server, frames to the terminal, files and live targets."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facerig.commands._asked import FACE, PARTNER, SEED, SET, STATE, STILL, STYLE
from facerig.commands._results import check_targets
from facerig.commands._signals import stopped_by_signals
from facerig.commands._values import known_rig

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from facerig.client import Description, Frame, Stream

SPAN_MS = 60_000  # the most that a server describes at once
HELP_TO = (
    "terminal, a file (any export format by suffix), or a live target such as livelink://HOST:PORT/NAME; repeatable."
)


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(stream)


def stream(
    source: Annotated[str, typer.Argument(help="An audio file, or mic.", show_default=False)],
    server: Annotated[str, typer.Option(help="HOST:PORT, or several with commas between: the next one takes over.")]
    = "127.0.0.1:52100",
    to: Annotated[list[str] | None, typer.Option("--to", help=HELP_TO, show_default=False)] = None,
    rig: Annotated[str, typer.Option(help="Rig to ask for (default: facerig-full, which has the head, where a live "
                                     "target is named, else arkit).", show_default=False, callback=known_rig)] = "",
    fps: Annotated[int, typer.Option(help="Frames a second.")] = 60,
    pacing: Annotated[str, typer.Option(help="realtime, burst, lead:MS (default: burst where only files are written).",
                                        show_default=False)] = "",
    emotion: Annotated[str, typer.Option(help="off, auto (where the server hears it), a mixture such as "
                                         "happy:0.7,surprise:0.2, or a file of keyframes (.json, .csv).",
                                         rich_help_panel=FACE)] = "off",
    style: STYLE = "",
    state: STATE = "",
    set_: SET = None,
    still: STILL = False,
    seed: SEED = 0,
    partner: PARTNER = None,
    describe: Annotated[Path | None, typer.Option(help="Write what was asked for as keyframes (.json) that --emotion "
                                                  "reads, and say it in words.", show_default=False)] = None,
    api_key: Annotated[str, typer.Option(envvar="FACERIG_API_KEY", help="API key.", show_default=False)] = "",
    ca: Annotated[str, typer.Option(help="PEM file of the authority behind the server's certificate; switches TLS on.",
                                    show_default=False)] = "",
    tls: Annotated[bool, typer.Option("--tls", help="TLS with the system's authorities.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Stream audio through a server and show or send on what comes back.

    The stream survives the loss of a server: it goes on with the next address, or with the same one when it is back.
    """
    from facerig.asking import seeds
    from facerig.client import Target, Wish
    from facerig.client.simple import stream as frames_of
    from facerig.console import emit_json, say
    from facerig.emotion.styles import portable
    from facerig.rig import rig as rig_by_name

    rig = rig or _default_rig(to or ())
    channels = rig_by_name(rig).names
    files = [where for where in to or () if where != "terminal" and "://" not in where]
    check_targets(files if describe is None else [*files, describe], [
        ("the input", source), ("the file of --emotion", emotion), ("the file of --style", style),
        ("the file of --partner", partner)])
    hand = _Hand(_keyframes(emotion), describe)
    target = Target.parse(server, api_key, ca, tls)
    mode, lead = _pacing(pacing, to or ["terminal"])
    wish: dict[str, Any] = {"rig": rig, "fps": fps, "pacing": mode, "lead_ms": lead, "moods": True,
                            "style": portable(style), "seed": seeds(seed, 1)[0],
                            "controls": asked(set_, "off" if hand.text else emotion, state, still)}
    Wish(**wish)  # a mistake is told before anything is opened
    count = 0
    # Every sink is closed, whichever fails: each has its own file to write.
    with stopped_by_signals() as settled, ExitStack() as closing:
        sinks = []
        for where in to or ["terminal"]:
            sinks.append(_sink(where, channels, fps))
            closing.callback(sinks[-1].close)
        closing.callback(settled)
        for frame in frames_of(source, target, opened=hand.opened, partner=partner, told=say, **wish):
            count += 1
            for sink in sinks:
                sink.put(frame)
    written = [sink.told for sink in sinks]
    hand.write()
    if json_output:
        emit_json({"frames": count, "fps": fps, "rig": rig, "targets": written})
    else:
        say(f"{count} frames: {', '.join(written)}")


class _Hand:
    """What is told and asked at a stream's beginning, beside its header."""

    def __init__(self, text: str, describe: Path | None) -> None:
        from facerig.errors import check_option

        good = describe is None or describe.suffix.lower() == ".json"
        check_option("--describe", str(describe), "a file name that ends in .json", good)
        self.text, self.path = text, describe
        self.told: Description | None = None
        self._task: asyncio.Task[None] | None = None

    def opened(self, running: Stream, loop: asyncio.AbstractEventLoop) -> None:
        """Called in the stream's loop, before any sound is sent."""
        if self.text or self.path:
            self._task = loop.create_task(self._begin(running))

    async def _begin(self, running: Stream) -> None:
        if self.text:
            await running.keyframes(self.text)
        if self.path:
            self.told = await running.describe(SPAN_MS, frame=0)

    def write(self) -> None:
        from facerig.console import say
        from facerig.files import write_file

        if self.path and self.told:
            write_file(self.path, self.told.keyframes.encode())
            for line in self.told.sentences:
                say(line)


class FileSink:
    """A file by any suffix that facerig writes; a stream that breaks off leaves what had come."""

    def __init__(self, path: str, channels: Sequence[str], fps: int) -> None:
        from facerig.files import check_writable

        self.path, self.channels, self.fps = Path(path), tuple(channels), fps
        self.rows: list[tuple[float, ...]] = []
        self.told = f"{self.path} not written"
        self._bytes([(0.0,) * len(channels)])  # a format that refuses does so before anything is streamed
        check_writable(self.path)

    def put(self, frame: Frame) -> None:
        self.rows.append(frame.values)

    def close(self) -> None:
        from facerig.files import write_file

        if self.rows:
            write_file(self.path, self._bytes(self.rows))
            self.told = str(self.path)

    def _bytes(self, rows: Sequence[tuple[float, ...]]) -> bytes:
        import numpy as np

        import exporters
        from facerig.curves import Curves

        return exporters.export(Curves(self.channels, self.fps, np.array(rows, np.float32)), self.path)


class LiveSink:
    """A live protocol of unreal_bridge, on its own thread."""

    def __init__(self, text: str, channels: Sequence[str], fps: int) -> None:
        from unreal_bridge import lanes, targets

        self.text, self.channels, self.fps = text, tuple(channels), fps
        self.lane = lanes.Lane(targets.make(text))
        self._begin: tuple[int, float] | None = None  # frame 0 on the day's grid, and its sub-frame

    def put(self, frame: Frame) -> None:
        import numpy as np

        from facerig.curves import Curves
        from unreal_bridge.clock import seconds_today, timecode
        from unreal_bridge.pose import Pose

        if self._begin is None:
            now, part = timecode(self.fps, seconds_today())
            self._begin = now - frame.index, part
        begin, part = self._begin
        row = Curves(self.channels, self.fps, np.array([frame.values], np.float32), frame.index)
        self.lane.put(Pose(row, begin + frame.index, self.fps, part))

    def close(self) -> None:
        self.lane.close()

    @property
    def told(self) -> str:
        return f"{self.text} ({self.lane.counts.sent} sent)"


class MeterSink:
    """Bars in the terminal, from the first frame on: what fails before it is told on a line of its own."""

    told = "terminal"

    def __init__(self, channels: Sequence[str]) -> None:
        from facerig.client.meter import Meter

        self.meter = Meter(channels)
        self._shown = ExitStack()
        self._begun = False

    def put(self, frame: Frame) -> None:
        if not self._begun:
            self._begun = True
            self._shown.enter_context(self.meter)
        self.meter.show(frame.index, frame.values, frame.emotion)

    def close(self) -> None:
        self._shown.close()


def _sink(where: str, channels: Sequence[str], fps: int) -> Any:
    if where == "terminal":
        return MeterSink(channels)
    return LiveSink(where, channels, fps) if "://" in where else FileSink(where, channels, fps)


def _keyframes(emotion: str) -> str:
    """The text of a file of keyframes, checked here; nothing where `emotion` is no file."""
    from facerig.asking import FILES
    from facerig.emotion.keyframes import read_keyframes

    if Path(emotion).suffix.lower() not in FILES:
        return ""
    read_keyframes(emotion)
    return Path(emotion).read_text("utf-8-sig")


def _default_rig(to: Sequence[str]) -> str:
    """ARKit's shapes have no head, and a live face on a still one looks dead."""
    return "facerig-full" if any("://" in where for where in to) else "arkit"


def _pacing(text: str, to: Sequence[str]) -> tuple[str, int]:
    """(mode, milliseconds of lead); where none is asked for, as it suits what is written or shown."""
    from facerig.errors import check_option

    if not text:
        return "realtime" if any(where == "terminal" or "://" in where for where in to) else "burst", 0
    mode, colon, lead = text.partition(":")
    good = (mode == "lead" and lead.isascii() and lead.isdigit()) if colon else mode in ("realtime", "burst", "lead")
    check_option("--pacing", text, "realtime, burst, lead or lead:MILLISECONDS, as in lead:200", good)
    return mode, int(lead or 0)


def asked(sets: list[str] | None, emotion: str, state: str, still: bool) -> dict[str, float]:
    """What the options ask for, as controls of the first frame."""
    from facerig.asking import AUTO, Asked
    from facerig.controls import COLUMNS, DEFAULTS

    row = Asked(tuple(sets or ()), emotion, "", state).controls().rows(0, 1)[0]
    out = {name: float(row[k]) for k, name in enumerate(COLUMNS) if row[k] != DEFAULTS[k]}
    out |= {name: 0.0 for name in COLUMNS if still and name.startswith("life:")}
    return out | ({"heard": 1.0} if emotion.strip().lower() == AUTO else {})
