"""facerig live: a talking face sent to engines and avatars as it happens."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facerig.errors import OptionError, check_option

if TYPE_CHECKING:
    from facerig.live.loop import Face, LiveLoop
    from facerig.live.player import Player
    from facerig.live.sources import Feed, Spec

FILE_BLOCK = 6
LIVE_BLOCK = 2  # frames: 33 ms of waiting; one frame at a time would cost twice the computing
LONGEST_SECONDS = 86_400 * 7


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(live)


def live(
    sources: Annotated[list[str], typer.Argument(help="Audio or curves files (each a face of its own), mic, mic:NAME, "
                                                 "or - for PCM on standard input.", show_default=False)],
    to: Annotated[list[str] | None, typer.Option("--to", help="Where to send, repeatable: livelink://HOST:PORT/NAME, "
                                                 "ue56://, vmc://, ifm://, fm3d://, vts://, osf:// "
                                                 "(docs/PROTOCOLS.md).", show_default=False)] = None,
    model: Annotated[str, typer.Option(help="Model by name or path: auto, small, tiny, fake.")] = "auto",
    server: Annotated[str, typer.Option(help="Have this facerig server make the frames: HOST:PORT[,HOST:PORT].")] = "",
    block: Annotated[int | None, typer.Option(help="Frames computed in one go; default: 2 if live, 6 for files.",
                                              show_default=False)] = None,
    pcm: Annotated[str | None, typer.Option(help="Raw samples: TYPE:RATE:CHANNELS, e.g. s16le:16000:1.",
                                            show_default=False)] = None,
    lead: Annotated[int | None, typer.Option(help="Frames kept waiting against unsteady sources; default: the block "
                                             "and two.", show_default=False)] = None,
    play: Annotated[bool, typer.Option("--play", help="Play the voice here, in step with the face.")] = False,
    offset_ms: Annotated[float, typer.Option(help="Play the voice this much later (or earlier, below 0).")] = 0.0,
    device: Annotated[str | None, typer.Option(help="Sound output by name or number.", show_default=False)] = None,
    gains: Annotated[Path | None, typer.Option(help='File such as {"jawOpen": 0.8, "brows": 1.2}; read again when it '
                                               "changes.", show_default=False)] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again when a file ends.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Stop after this long.", show_default=False)] = None,
    no_face: Annotated[bool, typer.Option("--no-face-in-pauses", help="Send Live Link's packet without a face while "
                                          "nothing moves.")] = False,
    view: Annotated[bool, typer.Option("--view/--no-view", help="Show what is sent.")] = True,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Send a face live: every target gets each frame when it is due; stop with Ctrl-C."""
    check_option("--to", to, "at least one target, e.g. --to livelink://127.0.0.1", bool(to))
    check_option("--seconds", seconds, "above 0", seconds is None or 0 < seconds <= LONGEST_SECONDS)
    check_option("--offset-ms", offset_ms, "-5000 to 5000", -5000 <= offset_ms <= 5000)
    check_option("--lead", lead, "1 to 120 frames", lead is None or 1 <= lead <= 120)
    running = _loop(sources, to or [], model, server, block, pcm, lead, play, gains, loop, seconds, no_face)
    begun = time.monotonic()
    player = None
    try:
        player = _player(running, offset_ms, device) if play else None
        # Ctrl-C is how a live face is meant to end, so it is no error.
        with suppress(KeyboardInterrupt):
            _run(running, view and not json_output)
        running.raise_errors()
    finally:
        running.close()
        if player is not None:
            player.close()
    _report(running, time.monotonic() - begun, json_output)


def _loop(sources: list[str], to: list[str], model: str, server: str, block: int | None, pcm: str | None,
          lead: int | None, play: bool, gains: Path | None, loop: bool, seconds: float | None,
          no_face: bool) -> LiveLoop:
    from facerig.audio import Pcm
    from facerig.live.loop import LiveLoop
    from facerig.live.sources import open_feed, spec
    from facerig.pipeline import Animator
    from facerig.stage import FPS

    wanted = [spec(source) for source in sources]
    _check(wanted, play)
    size = block or (FILE_BLOCK if all(one.kind in ("audio", "curves") for one in wanted) else LIVE_BLOCK)
    raw = Pcm.parse(pcm) if pcm else None
    animator = lru_cache(maxsize=1)(lambda: Animator.load(model=model, block=size))
    faces: list[Face] = []
    try:
        for number, one in enumerate(wanted):
            feed = open_feed(one, animator, raw, loop, play, server=server)
            faces.append(_face(feed, to, number, len(wanted) > 1, gains, lead or size + 2))
    except BaseException:
        for face in faces:
            face.feed.close()
            face.fan.close()
        raise
    frames = round(seconds * FPS) if seconds else None
    return LiveLoop(faces, absent_in_pauses=no_face, frames=frames)


def _check(wanted: list[Spec], play: bool) -> None:
    if sum(one.kind == "stdin" for one in wanted) > 1:
        raise OptionError("sources: got - twice, accepted: standard input once")
    if play and len(wanted) > 1:
        raise OptionError(f"--play: got {len(wanted)} sources, accepted: one, whose voice is played")
    names = [one.subject for one in wanted]
    if len(set(names)) != len(names):
        raise OptionError(f"sources: two faces would be called {max(names, key=names.count)!r}; rename a file")


def _face(feed: Feed, to: list[str], number: int, several: bool, gains: Path | None, lead: int) -> Face:
    """Several faces get their own subject names, and servers their own ports, from the same --to."""
    import numpy as np

    from facerig.curves import Curves
    from facerig.live.gains import Gains
    from facerig.live.loop import Face
    from facerig.rig import rig
    from facerig.stage import FPS
    from unreal_bridge.lanes import Fan
    from unreal_bridge.pose import Pose
    from unreal_bridge.targets import make

    factors = Gains(rig("facerig"), gains)
    subject = feed.spec.subject if several else "facerig"
    fan = Fan([make(text, subject, number) for text in to])
    fan.prepare(Pose(Curves(feed.channels, FPS, np.zeros((1, len(feed.channels)), np.float32)), 0))
    return Face(feed, fan, factors, lead)


def _player(running: LiveLoop, offset_ms: float, device: str | None) -> Player:
    from facerig.console import say
    from facerig.live.player import Player

    track = running.faces[0].feed.track
    assert track is not None
    name = int(device) if device and device.isdigit() else device
    player = Player(track, lambda: running.begin, offset_ms / 1000, name)
    say(f"sound: the device reports {player.latency * 1000:.0f} ms, which is made up for; {offset_ms:+.0f} ms on top")
    return player


def _run(running: LiveLoop, view: bool) -> None:
    import sys

    from facerig.live.view import View

    shown = View(running) if view and sys.stderr.isatty() else nullcontext()
    with shown:
        running.run()


def _report(running: LiveLoop, seconds: float, json_output: bool) -> None:
    from facerig.console import emit_json, say
    from facerig.live.view import source_line, summary, target_rows

    if json_output:
        return emit_json(summary(running, seconds))
    for face in running.faces:
        say(source_line(face, running))
        for name, sent, dropped, failed, state in target_rows(face):
            say(f"  {name}: {sent} sent, {dropped} dropped, {failed} failed ({state})")
