"""facerig train: the speech model from corpora to shipped files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facerig.commands._beside import check_beside

if TYPE_CHECKING:
    from facerig.train.run import Plan

PRESETS = ("tiny", "instant", "small", "base")
# What else counts beside an option that trains something else than the speech model, a part of it, or nothing
BESIDE = {"heard": ("preset", "out", "threads"),
          "expression": ("preset", "minutes", "out", "cache", "seed", "threads"),
          "mean": ("preset", "out", "cache", "start", "threads"),
          "decoder": ("preset", "minutes", "out", "cache", "hours", "seed", "start", "pure", "threads")}  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command()(train)


def train(
    ctx: typer.Context,
    preset: Annotated[str, typer.Argument(help="tiny, instant, small or base.")] = "small",
    minutes: Annotated[float, typer.Option(help="Wall-clock time for the training itself.")] = 120.0,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the model's files.")] = Path("assets/models"),
    cache: Annotated[Path | None, typer.Option(help="Folder of checkpoints and logs (default ~/.cache/facerig/train).",
                                               show_default=False)] = None,
    hours: Annotated[float, typer.Option(help="Synthetic speech to have; what is missing of it is made.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of crops, augmentation and first weights.")] = 1,
    batch: Annotated[int, typer.Option(help="Crops of 6.4 s in a step.")] = 20,
    start: Annotated[Path | None, typer.Option(help="A shipped .safetensors of the same sizes, or of fewer layers, "
                                               "to go on from (instant goes on from small).",
                                               show_default=False)] = None,
    peer: Annotated[list[Path] | None, typer.Option(help="A shipped .safetensors of any preset that is asked what "
                                                    "it hears: half of every label is that. Once for each; networks "
                                                    "that were trained apart err apart.",
                                                    show_default=False)] = None,
    pure: Annotated[bool, typer.Option("--pure", help="Keep speaker and mood out of what the decoder reads; costs "
                                       "a little of the lips (docs/EMOTION.md).")] = False,
    decoder: Annotated[bool, typer.Option("--decoder", help="Only the decoder, on the encoder of --start.")] = False,
    mean: Annotated[list[Path] | None, typer.Option("--mean", help="Instead of a run, the mean of the .safetensors of "
                                                    "several, which differ by --seed; once for each.",
                                                    show_default=False)] = None,
    expression: Annotated[bool, typer.Option("--expression", help="Only the expression head, on the model that is in "
                                             "--out; --minutes 12 is enough; of the other options --cache, --seed and "
                                             "--threads count.")] = False,
    threads: Annotated[int, typer.Option(help="torch's threads; 0: as torch decides.")] = 0,
    heard: Annotated[bool, typer.Option("--heard", help="The ear of emotion instead of the speech model: minutes; of "
                                        "the other options --out and --threads count.")] = False,
) -> None:
    """Train a model: corpora, encoder, decoder, files. An interrupted run goes on where it was; labels that are being
    sharpened, what --pure teaches on, --expression and --heard, which take minutes, begin again.

    Several GPUs: torchrun --nproc-per-node N -m facerig train base
    """
    from facerig.console import emit_json, say
    from facerig.errors import MissingExtra, check_option

    check_option("preset", preset, ", ".join(PRESETS), preset in PRESETS)
    check_option("--minutes", minutes, "more than 0", minutes > 0)
    check_option("--batch", batch, "1 or more", batch >= 1)
    check_option("--seed", seed, "0 or more", seed >= 0)
    check_option("--hours", hours, "more than 0", hours > 0)
    check_option("--threads", threads, "0 or more", threads >= 0)
    files = list(mean or ())
    peers = tuple(peer or ())
    _check_files(start, decoder, files, decoder or pure or expression or heard)
    check_option("--peer", ", ".join(map(str, peers)), ".safetensors files that are there, for an encoder's run",
                 all(map(os.path.isfile, peers)) and not (peers and (decoder or files)))  # fmt: skip
    check_beside(ctx, [name for name in BESIDE if ctx.params[name]], BESIDE)
    try:
        from facerig.model.checkpoint import check_export
        from facerig.train.run import Plan
        from facerig.train.run import threads as use_threads
    except ImportError as error:
        raise MissingExtra("training", "train", str(error)) from error
    if threads:
        use_threads(threads)
    _check_out(out)
    if heard:
        _heard(out)
        return
    check_export()
    plan = Plan(preset, minutes, out, hours=hours, seed=seed, batch=batch, start=start, pure=pure,
                decoder=decoder, peers=peers, folder=cache or Plan().folder)  # fmt: skip
    if expression:
        from facerig.train import expression as felt

        emit_json(felt.train(felt.Plan(preset, minutes, out, seed=seed, folder=plan.run)))
        return
    if start is not None:
        from facerig.train.recipe import config
        from facerig.train.resume import taken_over

        say(taken_over(start, config(preset), deeper=True))
    if files:
        from facerig.train.mean import mean as mean_of

        emit_json(mean_of(plan, files, say))
        return
    _whole(plan)


def _whole(plan: Plan) -> None:
    """The run, under a bar for each of its parts."""
    from rich.console import Console
    from rich.progress import Progress

    from facerig.console import emit_json
    from facerig.train.run import train as whole

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        parts = ("decoder",) if plan.decoder else ("encoder", "decoder")
        tasks = {part: bar.add_task(part, total=1.0) for part in parts}
        figures = whole(plan, lambda part, progress: bar.update(tasks[part], completed=progress))
    if figures:  # of several processes the first one's
        emit_json(figures)


def _check_files(start: Path | None, decoder: bool, means: list[Path], run: bool) -> None:
    """Whether the files that are asked for are there and fit one another; `run`: something else is to be trained."""
    from facerig.errors import check_option

    with_start = "beside --start FILE, whose encoder it reads"
    check_option("--decoder", "no --start", with_start, start is not None or not decoder)
    check_option("--start", str(start), "a .safetensors file that is there", start is None or os.path.isfile(start))
    check_option("--mean", ", ".join(map(str, means)), "two .safetensors files or more that are there",
                 not means or (len(means) > 1 and all(map(os.path.isfile, means))))  # fmt: skip
    check_option("--mean", "beside --decoder, --pure, --expression or --heard", "alone or with --start: it is no run",
                 not (means and run))  # fmt: skip


def _check_out(out: Path) -> None:
    """Whether files can be written there: to be known before the training and not behind it."""
    from facerig.errors import OutputError
    from facerig.files import check_writable

    try:
        check_writable(out / "model")
    except OutputError as error:
        raise OutputError(f"--out: got {str(out)!r}, accepted: a folder that can be written ({error})") from error


def _heard(out: Path) -> None:
    from facerig.console import emit_json, say
    from facerig.train.heard import train as whole

    emit_json(whole(out, tell=say))
