"""facerig export: a curves file -> any format, with a head where the format wants one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from facerig.commands._results import (
    check_overwrites,
    each,
    load_head,
    one_file,
    report,
    tell_undone,
    tell_unheeded,
)
from facerig.commands._values import known_rig, possible_bound, possible_fps
from facerig.errors import InputError, OptionError

# field of ExportOptions -> what it is called here
OPTIONS = {"name": "--name", "keys": "--keys", "calibrated": "--raw", "joints": "--no-joints", "quantise": "--quantise",
           "audio": "--audio", "fbx_version": "--fbx-version", "layout": "--layout", "node": "--node"}
TAKES = (".csv",)  # formats whose file --take and --subject name
BOUND = 0.02
READ_FPS = Annotated[int | None, typer.Option(
    help="Frame rate of an input that holds none or a wrong one: its frames stay, their times change. Cues, subtitles, "
         "curve tables and glTF of others hold times and no frames: read at this rate. --fps resamples.",
    show_default=False)]
HEAD = Annotated[str | None, typer.Option(help="Head of FBX, glTF and USD: name or file; none: curves alone. Default: "
                                          "builtin where the format needs a head.", show_default=False)]  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(export)
    app.command()(formats)


def export(
    curves: Annotated[list[Path], typer.Argument(help="Curves files (see facerig formats).", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Output file or folder (default: beside the input).",
                                             show_default=False)] = None,
    format: Annotated[str | None, typer.Option(help="Output format, where --out is no file name.",
                                               show_default=False)] = None,
    head: HEAD = None,
    rig: Annotated[str | None, typer.Option(help="Retarget to this rig first.", show_default=False,
                                            callback=known_rig)] = None,
    fps: Annotated[int | None, typer.Option(help="Frames a second of the output; default: the input's.",
                                            show_default=False, callback=possible_fps)] = None,
    read_fps: READ_FPS = None,
    keys: Annotated[bool, typer.Option("--keys", help="Few cubic keys instead of one a frame.")] = False,
    bound: Annotated[float, typer.Option(help="Largest error of --keys on any frame.",
                                         callback=possible_bound)] = BOUND,
    name: Annotated[str | None, typer.Option(help="Of the take: animation stack, clip.",
                                             show_default=False)] = None,
    node: Annotated[str, typer.Option(help="Maya: the node that bears the curves.")] = "blendShape1",
    raw: Annotated[bool, typer.Option("--raw", help="Live Link CSV: leave values outside 0..1 as they are.")] = False,
    take: Annotated[int | None, typer.Option(help="Live Link CSV: name the file <Slate>_<Take>_<Subject>_cal.csv.",
                                             show_default=False)] = None,
    subject: Annotated[str | None, typer.Option(help="Live Link CSV: the subject of --take; default: facerig.",
                                                show_default=False)] = None,
    no_joints: Annotated[bool, typer.Option("--no-joints", help="Leave the head's joints out.")] = False,
    quantise: Annotated[bool, typer.Option("--quantise", help="glTF: small integers for lengths.")] = False,
    audio: Annotated[Path | None, typer.Option(help="glTF: a wav file to carry along.", show_default=False)] = None,
    fbx_version: Annotated[int, typer.Option(help="FBX: 7400 or 7500.")] = 7400,
    layout: Annotated[str, typer.Option(help="USD: skel or a2f.")] = "skel",
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Export curves to FBX, glTF, USD, CSV, Maya, engine tables and more."""
    import exporters

    if subject is not None and take is None:
        raise OptionError(f"--subject: got {subject!r} without --take, accepted: both, which name a Live Link CSV")
    options = exporters.ExportOptions(
        rig=rig, name=name or "facerig", keys=bound if keys else None, calibrated=not raw, joints=not no_joints,
        quantise=quantise, audio=None if audio is None else _bytes(audio), fbx_version=fbx_version, layout=layout,
        node=node)
    targets = _targets(curves, out, format, None if take is None else (take, subject or "facerig", not raw))
    check_overwrites((target for _, target, _ in targets),
                     [*(("the input", source) for source in curves), ("the file of --head", head),
                      ("the sound of --audio", audio)])
    suffix = targets[0][2]
    tell_undone(rig, [suffix])
    _tell_unheeded(suffix, options, {"--bound": bound != BOUND and not keys, "--take": take is not None})
    mesh = load_head(head, suffix)
    report(*each(targets, lambda job: _one(*job, mesh, options, fps, read_fps), lambda job: job[1]), json_output, _line)


def _tell_unheeded(suffix: str, options: Any, others: dict[str, bool]) -> None:
    """A note of what was asked for and changes nothing in this format."""
    import exporters

    row, plain = exporters.EXPORTERS[suffix], exporters.ExportOptions()
    unheeded = [option for field, option in OPTIONS.items()
                if getattr(options, field) != getattr(plain, field) and field not in row.heeds]
    if others["--bound"]:
        unheeded.append("--bound without --keys")
    if others["--take"] and suffix not in TAKES:
        unheeded.append("--take")
    tell_unheeded([suffix], unheeded)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise OptionError(f"--audio: {path.name} is no wav file; convert it to wav first")
    return data


def _targets(sources: list[Path], out: Path | None, format: str | None,
             slate: tuple[int, str, bool] | None) -> list[tuple[Path, Path, str]]:
    """Each input, where it goes and in which format."""
    import exporters
    from exporters.livelink_csv import file_name, slate_of

    named = one_file(sources, out, format)
    if named is None and format is None:
        raise OptionError("--format: got none, accepted: a format (facerig formats), or an --out with a suffix")
    suffix = named or exporters.format_of(format or "")
    targets = []
    for source in sources:
        target = out if named and out is not None else (out or source.parent) / f"{source.stem}{suffix}"
        if slate is not None and suffix in TAKES:
            if not target.suffix:  # a pipe or a device
                raise OptionError(f"--take: names a file, got {target}; accepted: an --out with a suffix, or a folder")
            target = target.with_name(file_name(slate_of(target.stem), *slate))
        targets.append((source, target, suffix))
    return targets


def _one(source: Path, target: Path, suffix: str, head: Any, options: Any, fps: int | None,
         read_fps: int | None) -> dict[str, object]:
    import exporters
    from facerig.files import write_file

    curves = exporters.read(source, read_fps)
    if fps is not None:
        curves = curves.resample(fps)
    data = exporters.export(curves, suffix, head, options)
    write_file(target, data)
    curves = exporters.held(curves, suffix, options.rig)
    return {"input": str(source), "output": str(target), "frames": curves.frames, "fps": curves.fps,
            "channels": len(curves.channels), "bytes": len(data)}


def _line(row: dict[str, Any]) -> str:
    return (f"{row['output']}  {row['frames']} frames at {row['fps']} fps, {row['channels']} channels, "
            f"{row['bytes']} bytes")


def formats(
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the formats: what is written, what is read, which options count."""
    import exporters
    from facerig.console import emit_json, table

    rows = [(suffix, row.title, row.head, "yes" if Path(f"x{suffix}").suffix in exporters.READERS else "no",
             " ".join(_typed(suffix, row.heeds))) for suffix, row in exporters.EXPORTERS.items()]
    columns = ("suffix", "what", "head", "read", "options")
    if json_output:
        emit_json({row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in rows})
    else:
        table("Formats", columns, rows, whole=("suffix",))


def _typed(suffix: str, heeds: Sequence[str]) -> list[str]:
    """The options that count for a format, as they are typed."""
    return [*(OPTIONS[field] for field in heeds), *(["--bound"] if "keys" in heeds else []),
            *(["--take", "--subject"] if suffix in TAKES else [])]
