"""facerig emotions: the emotion that is heard in speech, over time, to look at and to edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from facerig.emotion.listen import Course

KINDS = (".json", ".csv", ".png", ".svg", ".pdf")


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(emotions)


def emotions(
    audio: Annotated[Path, typer.Argument(help="Any audio file.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help=".json or .csv: keyframes that --emotion reads; .png, "
                                             ".svg or .pdf: a plot.", show_default=False)] = None,
    every: Annotated[float, typer.Option(help="Seconds between two keyframes, .1 to 10.")] = 0.5,
    strength: Annotated[float, typer.Option(help="Of the heard emotion, 0 to 1; 1 keeps the scores' own size.")] = 1.0,
    contrast: Annotated[float, typer.Option(help="0.3 to 3: above 1 the strongest takes more.")] = 1.0,
    max_emotions: Annotated[int, typer.Option(help="1 to 6: how many at once.")] = 3,
    json_output: Annotated[bool, typer.Option("--json", help="Only the JSON object, no table.")] = False,
) -> None:
    """Say which emotion is heard in speech, over time. For animation, and not for judging people.

    Learnt from acted German speech: angry, disgust, fear, happy, sad, and neutral. The keyframes can be edited and read
    by `facerig animate --emotion FILE`.
    """
    from facerig.console import emit, emit_json
    from facerig.emotion.blend import Blending
    from facerig.emotion.listen import keyframe_csv, keyframe_json, listen
    from facerig.errors import check_option
    from facerig.files import write_file

    suffix = "" if out is None else out.suffix.lower()
    check_option("--out", suffix, f"a name that ends in {', '.join(KINDS)}", out is None or suffix in KINDS)
    check_option("--every", every, "0.1 to 10 seconds", 0.1 <= every <= 10)
    course = listen(audio, Blending(contrast=contrast, strength=strength, max_emotions=max_emotions))
    if out is not None:
        writers = {".json": keyframe_json, ".csv": keyframe_csv}
        data = writers[suffix](course, every) if suffix in writers else _plotted(course, audio.name, suffix)
        write_file(out, data)
        if not json_output:
            emit(str(out))
    elif not json_output:
        _table(course, every, audio.name)
    if json_output:
        emit_json(course.summary(every))


def _table(course: Course, every: float, title: str) -> None:
    from facerig.console import table
    from facerig.emotion.ear import CLASSES

    numbers = ("intensity", "valence", "arousal")
    rows = []
    for entry in course.entries(every):
        most = max(CLASSES, key=lambda name: entry[name])
        heard = f"{most} {entry[most]:.2f}" if entry["sure"] else "-"
        cells = [f"{entry[name] + 0.0:.2f}" for name in numbers]
        rows.append((f"{entry['time']:.1f}", heard, *cells, entry["emotion"]))
    table(title, ("s", "heard", *numbers, "on the face"), rows, right=("s", *numbers),
          whole=("heard", "on the face"))


def _plotted(course: Course, title: str, suffix: str) -> bytes:
    from facerig.emotion.ear import CLASSES
    from facerig.preview.emotions import plot

    return plot(course.seconds, CLASSES, course.scores, course.intensity, course.vad, title, suffix)
