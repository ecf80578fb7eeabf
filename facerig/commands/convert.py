"""facerig convert: a curves file -> a curves file, in another rig, rate or format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerig.commands._results import check_targets, load_head, tell_undone
from facerig.commands._values import known_rig, possible_fps
from facerig.commands.export import HEAD, READ_FPS


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(convert)


def convert(
    source: Annotated[Path, typer.Argument(help="Any file that facerig reads (facerig formats).", show_default=False)],
    target: Annotated[Path, typer.Argument(help="The file to write; its suffix names the format.", show_default=False)],
    rig: Annotated[str | None, typer.Option(help="Retarget to this rig.", show_default=False,
                                            callback=known_rig)] = None,
    own_map: Annotated[Path | None, typer.Option("--map", help="Your own retarget map (.json or .yaml).",
                                                 show_default=False)] = None,
    fps: Annotated[int | None, typer.Option(help="Resample to this rate.", show_default=False,
                                            callback=possible_fps)] = None,
    read_fps: READ_FPS = None,
    start: Annotated[int | None, typer.Option(help="Number of the first frame.", show_default=False)] = None,
    head: HEAD = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Convert curves between files, rigs and frame rates, both ways."""
    import exporters
    from facerig import retarget as retargeting
    from facerig.console import emit, emit_json
    from facerig.files import write_file

    suffix = exporters.format_of(target)
    check_targets([target], [("the input", source), ("the file of --map", own_map), ("the file of --head", head)])
    tell_undone(rig, [suffix])
    curves = exporters.read(source, read_fps)
    if own_map is not None:
        using = retargeting.load_map(own_map)
        curves = retargeting.retarget(curves, rig or using.target, using)
    elif rig is not None:
        curves = retargeting.retarget(curves, rig)
    if fps is not None:
        curves = curves.resample(fps)
    if start is not None:
        curves = curves.moved(start)
    data = exporters.export(curves, suffix, load_head(head, suffix))
    write_file(target, data)
    curves = exporters.held(curves, suffix)
    if json_output:
        emit_json({"output": str(target), "frames": curves.frames, "fps": curves.fps, "start": curves.start,
                   "channels": len(curves.channels), "bytes": len(data)})
    else:
        emit(f"{target}  {curves.frames} frames at {curves.fps} fps, {len(curves.channels)} channels, "
             f"{len(data)} bytes")
