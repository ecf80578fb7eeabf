"""facerig live: a talking face sent to engines and avatars as it happens."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facerig.commands._asked import EMOTION, SEED, SET, STATE, STILL, STYLE, tell_stilled
from facerig.commands._results import check_targets
from facerig.commands._signals import stopped_by_signals
from facerig.errors import OptionError, ServiceError, check_option

if TYPE_CHECKING:
    from facerig.live.loop import LiveLoop
    from facerig.live.player import Player


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(live)


def _list(asked: bool) -> None:
    """Sources, targets and their options, as tables that grep can read."""
    if not asked:
        return
    from facerig.console import emit
    from facerig.live.setup import SOURCES
    from unreal_bridge.targets import SCHEMES

    emit("Sources")
    for name, about in SOURCES:
        emit(f"  {name:<30} {about}")
    emit("Targets (scheme://HOST:PORT/SUBJECT?option=value&...; all have fps=60, 30, 20, 15, 12 or 10)")
    for name, row in SCHEMES.items():
        options = f"; options {', '.join(row.options)}" if row.options else ""
        emit(f"  {f'{name}://HOST:{row.port}':<30} {row.about}{options}")
    for name, about in (("FILE", "a take of what was sent, by suffix (facerig formats)"),
                        ("-", "a JSON object a frame on standard output"), ("terminal", "the view alone")):
        emit(f"  {name:<30} {about}")
    raise typer.Exit


def live(
    sources: Annotated[list[str], typer.Argument(help="Audio or curves files (each a face of its own), mic, mic:NAME, "
                                                 "- for PCM on standard input, or a server with a voice, as in "
                                                 "a2f://HOST:PORT?audio=mic.", show_default=False)],
    to: Annotated[list[str] | None, typer.Option("--to", help="Where to send, repeatable: livelink://HOST:PORT/NAME or "
                                                 "another address of --list, a file such as take.csv, terminal, or - "
                                                 "for JSON lines.", show_default=False)] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say what there is to send to and from, and end.",
                                         is_eager=True, callback=_list)] = False,
    model: Annotated[str, typer.Option(help="Model by name or path: auto, small, instant, tiny, fake.")] = "auto",
    server: Annotated[str, typer.Option(help="Have a server make the frames: HOST:PORT[,HOST:PORT] (facerig's) or "
                                        "a2f://HOST:PORT (NVIDIA Audio2Face-3D).")] = "",
    api_key: Annotated[str, typer.Option(envvar="FACERIG_API_KEY", help="API key of the server.",
                                         show_default=False)] = "",
    ca: Annotated[str, typer.Option(help="PEM file of the authority behind the server's certificate; switches TLS on.",
                                    show_default=False)] = "",
    tls: Annotated[bool, typer.Option("--tls", help="TLS to the server with the system's authorities.")] = False,
    block: Annotated[int | None, typer.Option(help="Frames computed in one go; default: 2 if live, 6 for files.",
                                              show_default=False)] = None,
    pcm: Annotated[str | None, typer.Option(help="Raw samples: TYPE:RATE:CHANNELS, e.g. s16le:16000:1.",
                                            show_default=False)] = None,
    lead: Annotated[int | None, typer.Option(help="Frames kept waiting against unsteady sources; default: the block "
                                             "and two.", show_default=False)] = None,
    play: Annotated[bool, typer.Option("--play", help="Play the voice here, in step with the face.")] = False,
    offset_ms: Annotated[float, typer.Option(help="Play the voice this much later (or earlier, below 0).")] = 0.0,
    device: Annotated[str | None, typer.Option(help="Sound output by name or number.", show_default=False)] = None,
    gains: Annotated[Path | None, typer.Option(help='File such as {"jawOpen": 0.8, "brows": 1.2, "emotion:happy": '
                                               "0.5}; read again when it changes.", show_default=False)] = None,
    emotion: EMOTION = "off",
    style: STYLE = "",
    state: STATE = "",
    set_: SET = None,
    still: STILL = False,
    seed: SEED = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again when a file ends.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Stop after this long.", show_default=False)] = None,
    no_face: Annotated[bool, typer.Option("--no-face-in-pauses", help="Send Live Link's packet without a face while "
                                          "the mouth rests.")] = False,
    view: Annotated[bool, typer.Option("--view/--no-view", help="Show what is sent.")] = True,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Send a face live: every target gets each frame when it is due; stop with Ctrl-C."""
    from facerig.asking import Asked
    from facerig.console import say
    from facerig.live.setup import Plan, files, made_here, open_loop

    check_option("--offset-ms", offset_ms, "-5000 to 5000", -5000 <= offset_ms <= 5000)
    if not play and (offset_ms or device):
        raise OptionError("--offset-ms, --device: got no --play, accepted: with it; they say how the voice is played")
    asked = Asked(tuple(set_ or ()), emotion, style, state)
    plan = Plan(sources, to or [], model, server, api_key, ca, tls, block, pcm or "", lead, play, gains, asked, still,
                seed, loop, seconds, no_face, say)
    check_targets(*files(plan))
    if made_here(plan):  # of a server's face, a behaviour that is asked for by name stays
        tell_stilled(still, asked.sets)
    with stopped_by_signals() as settled, ExitStack() as closing:
        running = open_loop(plan)
        closing.callback(running.close)
        begun = time.monotonic()
        if play:
            closing.callback(_player(running, offset_ms, device).close)
        closing.callback(settled)  # before files are written, whatever ended the face
        # Ctrl-C is how a live face is meant to end, so it is no error.
        with suppress(KeyboardInterrupt):
            _run(running, view and not json_output)
    _report(running, time.monotonic() - begun, json_output)
    running.raise_errors()
    _check_served(running, time.monotonic() - begun)


def _check_served(running: LiveLoop, seconds: float) -> None:
    """A server that never answered is an error, however short the time it was given."""
    for face in running.faces:
        if face.served and not face.sent:
            raise ServiceError(f"{face.feed.spec.text}: no frame came from its server in {seconds:.1f} s; does it run, "
                               "and is its address right?")


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

    from facerig.console import say
    from facerig.live.view import Teller, View

    shown, teller = View(running) if view and sys.stderr.isatty() else nullcontext(), Teller(running, say)
    with shown:
        try:
            running.run(teller.look)
        finally:
            teller.look()  # what happened with the last frame


def _report(running: LiveLoop, seconds: float, json_output: bool) -> None:
    from facerig.console import emit_json, say
    from facerig.live.view import source_line, summary, target_rows

    if json_output:
        return emit_json(summary(running, seconds))
    for face in running.faces:
        say(source_line(face, running))
        for name, sent, dropped, failed, state in target_rows(face):
            say(f"  {name}: {sent} sent, {dropped} dropped, {failed} failed ({state})")
