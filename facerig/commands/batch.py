"""facerig batch: a table of lines -> a folder of files and a report."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from facerig.commands._asked import EMOTION, SEED, SET, STILL
from facerig.errors import InputError, OptionError


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(batch)


def batch(
    table: Annotated[Path, typer.Argument(help="CSV with the columns audio, character, emotion, transcript, formats, "
                                          "seed, style, state and any control by its name (only the first is needed).",
                                          show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for files and report.", show_default=False)],
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Lines made at the same time.")] = 1,
    format: Annotated[str, typer.Option(help="Formats of lines that name none, e.g. 'csv fbx'.")] = "csv",
    fps: Annotated[int, typer.Option(help="Frames a second.")] = 60,
    rig: Annotated[str | None, typer.Option(help="Rig to write (default: each format's own).",
                                            show_default=False)] = None,
    head: Annotated[str | None, typer.Option(help="Head for FBX, glTF and USD.", show_default=False)] = None,
    keys: Annotated[float | None, typer.Option(help="Error bound of key reduction (0.02 is good); default: a key a "
                                               "frame.", show_default=False)] = None,
    model: Annotated[str, typer.Option(help="Model by name or path.")] = "auto",
    language: Annotated[str, typer.Option(help="Language of the transcripts.")] = "en",
    emotion: EMOTION = "off",
    set_: SET = None,
    still: STILL = False,
    seed: SEED = 0,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster that runs already.",
                                            show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Make unchanged lines again.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the totals as one JSON object.")] = False,
) -> None:
    """Animate a table of lines. Unchanged lines are skipped, one bad line never stops the rest.

    Options about the face hold for lines whose own columns say nothing; keyframe files lie beside their audio.
    Writes report.html and report.json beside the files. The exit code is 3 when a line failed.
    """
    from facerig.batch.run import run
    from facerig.batch.store import Store, head_digest
    from facerig.batch.table import read_formats, read_table
    from facerig.batch.work import Settings
    from facerig.commands.export import load_head
    from facerig.pipeline import Animator

    if not 1 <= fps <= 1000:
        raise OptionError(f"--fps: got {fps}, accepted: a whole number from 1 to 1000")
    lines = read_table(table, read_formats(format))
    emotion = str(Path(emotion).resolve()) if os.path.isfile(emotion) else emotion
    settings = Settings(model, fps, rig, keys, seed, language, emotion, tuple(set_ or ()), still)
    _check(settings)
    mesh = load_head(head)
    store = Store(out, Animator.load(model=model, alive=not still).fingerprint, head_digest(mesh))
    with _spread(ray) as spread:
        results = _shown(lines, lambda tell: run(lines, settings, store, mesh, jobs, force, tell, spread), json_output)
    _reported(out, lines, results, json_output)


def _check(settings: Any) -> None:
    import exporters
    from facerig.asking import Asked
    from facerig.rig import rig

    exporters.ExportOptions(keys=settings.keys)
    Asked(settings.sets, settings.emotion).controls()
    if settings.rig:
        rig(settings.rig)


def _spread(address: str | None) -> Any:
    if address is None:
        return nullcontext()
    from facerig.batch.ray_run import spread_over

    return spread_over(address)


def _shown(lines: list[Any], work: Any, quiet: bool) -> list[Any]:
    from facerig.console import progress_bars, say

    names = {line.number: line.audio.name for line in lines}
    with progress_bars(quiet) as bars:
        bar = bars.add_task("lines", total=len(lines))

        def tell(result: Any) -> None:
            bars.advance(bar)
            if result.status == "failed":
                say(f"row {result.line}, {names[result.line]}: {result.error}")

        results: list[Any] = work(tell)
    return results


def _reported(out: Path, lines: list[Any], results: list[Any], as_json: bool) -> None:
    from facerig.batch import report
    from facerig.console import emit, emit_json
    from facerig.files import write_file

    write_file(out / "report.json", report.as_json(lines, results))
    page = write_file(out / "report.html", report.as_html(lines, results))
    totals = report.totals(results)
    if as_json:
        emit_json({**totals, "report": str(page)})
    else:
        emit(f"{page}  {totals['done']} done, {totals['skipped']} unchanged, {totals['failed']} failed, "
             f"{totals['seconds']:.1f} s of animation")
    if totals["failed"]:
        raise InputError(f"{totals['failed']} of {totals['lines']} lines failed; {page} says why")
