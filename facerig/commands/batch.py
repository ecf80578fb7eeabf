"""facerig batch: a table of lines -> a folder of files and a report."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from facerig.commands._asked import EMOTION, SEED, SET, STATE, STILL, STYLE, tell_stilled
from facerig.commands._results import check_overwrites, check_targets, load_head, tell_undone
from facerig.commands._signals import stopped_by_signals
from facerig.commands._values import known_rig, possible_fps
from facerig.commands.export import HEAD
from facerig.errors import InputError

REPORTS = ("report.json", "report.html")


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(batch)


def batch(
    table: Annotated[Path, typer.Argument(help="CSV with the columns audio, character, emotion, transcript, formats, "
                                          "seed, style, state and any control by its name (only the first is needed).",
                                          show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for files and report.", show_default=False)],
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Lines made at the same time.")] = 1,
    format: Annotated[str, typer.Option(help="Formats of lines that name none, e.g. 'csv fbx'.")] = "csv",
    fps: Annotated[int, typer.Option(help="Frames a second.", callback=possible_fps)] = 60,
    rig: Annotated[str | None, typer.Option(help="Rig to write (default: each format's own).",
                                            show_default=False, callback=known_rig)] = None,
    head: HEAD = None,
    keys: Annotated[float | None, typer.Option(help="Error bound of key reduction (0.02 is good); default: a key a "
                                               "frame.", show_default=False)] = None,
    model: Annotated[str, typer.Option(help="Model by name or path.")] = "auto",
    language: Annotated[str, typer.Option(help="Language of the transcripts.")] = "en",
    emotion: EMOTION = "off",
    style: STYLE = "",
    state: STATE = "",
    set_: SET = None,
    still: STILL = False,
    seed: SEED = 0,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster that runs already.",
                                            show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Make unchanged lines again.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the totals as one JSON object.")] = False,
) -> None:
    """Animate a table of lines. Unchanged lines are skipped, one bad line never stops the rest.

    Options about the face hold for lines whose own columns say nothing; files that columns name lie beside their audio.
    Writes report.html and report.json beside the files. The exit code is 3 when a line failed.
    """
    from facerig.batch.run import run
    from facerig.batch.store import Store, head_digest
    from facerig.batch.table import read_formats, read_table
    from facerig.batch.work import Settings
    from facerig.pipeline import Animator

    lines = read_table(table, read_formats(format))
    emotion, style = (str(Path(text).resolve()) if os.path.isfile(text) else text for text in (emotion, style))
    settings = Settings(model, fps, rig, keys, seed, language, emotion, tuple(set_ or ()), still, style, state,
                        only_needed=head is None)
    _check(settings, any(line.transcript for line in lines))
    _check_targets(out, lines, settings, [("the table", table), ("the file of --head", head),
                                          ("the file of --emotion", emotion), ("the file of --style", style)])
    formats = {suffix for line in lines for suffix in line.formats}
    tell_undone(rig, sorted(formats))
    mesh = load_head(head, *formats)
    store = Store(out, Animator.load(model=model, alive=not still).fingerprint, head_digest(mesh))
    with stopped_by_signals(), _spread(ray) as spread:
        results = _shown(lines, lambda tell: run(lines, settings, store, mesh, jobs, force, tell, spread), json_output)
    _reported(out, lines, results, json_output)


def _check(settings: Any, said: bool) -> None:
    import exporters
    from facerig.asking import Asked
    from facerig.transcript.pronounce import check_language

    exporters.ExportOptions(keys=settings.keys)
    Asked(settings.sets, settings.emotion, settings.style, settings.state).controls()
    tell_stilled(settings.still, settings.sets)
    if said:
        check_language(settings.language)


def _check_targets(out: Path, lines: list[Any], settings: Any, read: list[tuple[str, Any]]) -> None:
    """The reports go over nothing that is read, and no line's file over what all share; the run tells of the rest."""
    from facerig.batch.store import file_names
    from facerig.batch.work import files_read

    rows = [(f"what row {line.number} reads", path) for line in lines for path in files_read(line, settings)]
    check_targets([out / name for name in REPORTS], [*read, *rows])
    check_overwrites({out / name for line in lines for name in file_names(line).values()}, read)


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

    write_file(out / REPORTS[0], report.as_json(lines, results))
    page = write_file(out / REPORTS[1], report.as_html(lines, results))
    totals = report.totals(results)
    if as_json:
        emit_json({**totals, "report": str(page)})
    else:
        emit(f"{page}  {totals['done']} done, {totals['skipped']} unchanged, {totals['failed']} failed, "
             f"{totals['seconds']:.1f} s of animation")
    if totals["failed"]:
        raise InputError(f"{totals['failed']} of {totals['lines']} lines failed; {page} says why")
