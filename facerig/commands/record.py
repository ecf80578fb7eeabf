"""facerig record: a live face from a phone or another program, written as a take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from facerig.commands._signals import stopped_by_signals
from facerig.errors import OptionError, check_option

FPS_ACCEPTED = (24, 25, 30, 50, 60, 120)


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(record)


def record(
    source: Annotated[str, typer.Argument(help="livelink://HOST:PORT/SUBJECT, vmc://HOST:PORT, ifm://, fm3d://; "
                                          "HOST is the address to listen at (0.0.0.0: all).", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, e.g. take.csv.", show_default=False)],
    seconds: Annotated[float | None, typer.Option(help="Stop so long after the first frame (default: at Ctrl-C).",
                                                  show_default=False)] = None,
    wait: Annotated[float | None, typer.Option(help="Give up when no face has come for so many seconds (default: "
                                               "never).", show_default=False)] = None,
    fps: Annotated[int, typer.Option(help="Frames a second of the take: 24, 25, 30, 50, 60 or 120.")] = 60,
    phone: Annotated[str, typer.Option(help="Phone to ask for its stream (iFacialMocap, FaceMotion3D).")] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Record a live face."""
    import exporters
    from facerig.console import say
    from facerig.files import check_writable, write_file
    from unreal_bridge.receive import Recorder, at_rest, listen

    check_option("--seconds", seconds, "above 0", seconds is None or seconds > 0)
    check_option("--wait", wait, "above 0", wait is None or wait > 0)
    check_option("--fps", fps, ", ".join(map(str, FPS_ACCEPTED)), fps in FPS_ACCEPTED)
    exporters.export(at_rest(), out)  # a format or a place that refuses does so before anything is recorded
    check_writable(out)
    scheme, host, port, subject = _address(source)
    ear, recorder = listen(scheme, host, port, phone), Recorder(subject=subject)
    say(f"listening at {host}:{ear.port}; Ctrl-C ends the recording and writes {out}")
    with stopped_by_signals() as settled:
        try:
            with suppress(KeyboardInterrupt):  # the usual way to end a recording: what was heard is written
                for heard, when in ear.frames(seconds, stop=lambda: recorder.full, patience=wait):
                    recorder.add(heard, when)
        finally:
            settled()
            ear.close()
        target = write_file(out, exporters.export(recorder.curves().resample(fps), out))
    if recorder.full:
        say(f"ended after {len(recorder.rows)} frames, the most that a take may have; record on in another")
    figures = {"file": str(target), "subject": recorder.subject, "frames": len(recorder.rows), "held": recorder.held,
               "late": recorder.late, "foreign": recorder.foreign, "bad": ear.bad}
    _report(figures, ear.error, json_output)


def _address(text: str) -> tuple[str, str, int, str]:
    from unreal_bridge.receive import LISTENERS
    from unreal_bridge.targets import subject_in

    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise OptionError(f"source: got {text!r} ({error}), accepted: scheme://host:port") from None
    if parts.scheme not in LISTENERS:
        accepted = ", ".join(f"{name}://" for name in LISTENERS)
        raise OptionError(f"source: got {text!r}, accepted: {accepted}, as in livelink://0.0.0.0:11111")
    listener = LISTENERS[parts.scheme]
    return parts.scheme, parts.hostname or "127.0.0.1", port or listener.port, subject_in(parts)


def _report(figures: dict[str, object], error: str, json_output: bool) -> None:
    from facerig.console import emit, emit_json, say

    if json_output:
        return emit_json(figures)
    say(f"{figures['frames']} frames of {figures['subject']}: {figures['held']} held, {figures['late']} late, "
        f"{figures['bad']} bad packets" + (f" (last: {error})" if error else ""))
    emit(str(figures["file"]))
