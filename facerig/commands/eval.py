"""facerig eval: the scoreboard of a model on real people, beside its baselines and its ceiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from facerig.commands._beside import check_beside

# What else counts beside an option that measures something else than speech
BESIDE = {"behaviour": ("quick", "json_output"), "emotion": ("model", "quick", "json_output"),
          "heard": ("quick", "json_output")}  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command(name="eval")(evaluate)


def evaluate(
    ctx: typer.Context,
    sets: Annotated[list[str] | None, typer.Option(help="Data sets (repeat, or separate by commas); default: all that "
                                                   "are at hand.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="Model by name or path (default: the shipped one).",
                                              show_default=False)] = None,
    rival: Annotated[list[str] | None, typer.Option(help="Another tool's output: NAME=FILE.tsv or NAME=FOLDER of "
                                                    "rhubarb TSVs named like the clips.", show_default=False)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the clips, under a minute.")] = False,
    baselines: Annotated[bool, typer.Option(help="Run baselines and ceiling too.")] = True,
    behaviour: Annotated[bool, typer.Option("--behaviour", help="Blinks, gaze, head and states instead of speech: half "
                                            "an hour of output against what is stated and recorded.")] = False,
    emotion: Annotated[bool, typer.Option("--emotion", help="Emotion and style: exchange, lips and closures under "
                                          "every emotion, intensity, fades, leakage, probes.")] = False,
    heard: Annotated[bool, typer.Option("--heard", help="Emotion heard from speakers that are left out of training; "
                                        "--quick fixes what is otherwise chosen without them.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Only the JSON object, no tables.")] = False,
) -> None:
    """Measure a model on clips it was not trained on. The last line of the output is one JSON object.

    Data is looked for in $FACERIG_DATA or ../shared/data; sets that are absent are left out.
    """
    from facerig.console import emit_json, say
    from facerig.errors import InputError, MissingExtra

    check_beside(ctx, [name for name in BESIDE if ctx.params[name]], BESIDE)
    if behaviour:
        _behaviour(quick, json_output)
        return
    if emotion:
        _emotion(model, quick, json_output)
        return
    if heard:
        _heard(quick, json_output)
        return
    try:
        from facerig.train.evaluate import report
        from facerig.train.evaluate.scoreboard import Options, evaluate
    except ImportError as error:
        raise MissingExtra("facerig eval", "train", str(error)) from error

    names = tuple(name for text in sets or () for name in text.split(",") if name)
    result = evaluate(Options(names, model, tuple(rival or ()), quick, baselines), _progress(say),
                      lambda lost: _told(say, str(lost)))  # fmt: skip
    if not result["sets"]:
        raise InputError("no data set is at hand, or none can be read; accepted: the folder of data sets in "
                         "$FACERIG_DATA or ../shared/data")  # fmt: skip
    if not json_output:
        report.show(result)
    emit_json({**result, "targets": [dict(zip(("set", "figure", "target", "got", "verdict"), row, strict=True))
                                     for row in report.targets(result)]})  # fmt: skip


def _behaviour(quick: bool, bare: bool) -> None:
    import json

    from facerig.console import emit_json, say
    from facerig.train.evaluate.behaviour import evaluate as measure

    figures = measure(quick, _progress(say))
    if not bare:
        for name, part in figures.items():
            say(f"{name}: {json.dumps(part)}")
    emit_json({"eval": "behaviour", **figures})


def _emotion(model: str | None, quick: bool, bare: bool) -> None:
    import json

    from facerig.console import emit_json, say
    from facerig.errors import MissingExtra

    try:
        from facerig.train.evaluate.emotion import evaluate as measure
    except ImportError as error:
        raise MissingExtra("facerig eval --emotion", "train", str(error)) from error
    figures = measure(model, quick, _progress(say))
    if not bare:
        for name, part in figures.items():
            say(f"{name}: {json.dumps(part)}")
    emit_json({"eval": "emotion", **figures})


def _heard(quick: bool, bare: bool) -> None:
    from facerig.console import emit_json, say, table
    from facerig.errors import MissingExtra

    try:
        from facerig.train.evaluate.heard import evaluate as measure
    except ImportError as error:
        raise MissingExtra("facerig eval --heard", "train", str(error)) from error
    result = measure(quick, _progress(say))
    if not bare:
        names, rows = result["figures"]["classes"], result["figures"]["confusion"]
        counts = [(name, *row) for name, row in zip(names, rows, strict=True)]
        table("meant (rows), heard (columns)", ("", *names), counts)
        systems = {"heard": result["figures"], **result["baselines"], "chance": result["chance"],
                   "listeners": result["ceiling"]}
        table("unseen speakers", ("", "7 classes", "4 classes"),
              [(name, f"{part['uar7']:.3f}", f"{part['uar4']:.3f}") for name, part in systems.items()])
    emit_json({"eval": "heard", **result})


def _told(say: Callable[[str], None], text: str) -> None:
    """A note that stays, where `_progress` writes over its own."""
    import sys

    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    say(text)


def _progress(say: Callable[[str], None]) -> Callable[[str], None]:
    """Tells of each new step, and of long ones every so often."""
    import sys

    def note(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif "/" not in text:
            say(text)

    return note
