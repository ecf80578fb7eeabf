"""facerig fit: tracks of face points, or meshes that move, back to curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facerig.commands._results import check_targets
from facerig.commands._values import named_head, possible_fps
from facerig.errors import OptionError, check_option

if TYPE_CHECKING:
    from facerig.curves import Curves
    from facerig.fit.tracks import FitOptions, Fitted
    from facerig.mesh import Head


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(fit)


def fit(
    track: Annotated[Path, typer.Argument(help="Points [T, N, 2 or 3] (.npy, .npz, .csv), a folder of OBJ files, or "
                                               "vertices [T, V, 3] of the head.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Curves file (see facerig formats).")],
    head: Annotated[str, typer.Option(help="A head of facerig heads list, or a file.")] = "builtin",
    layout: Annotated[str, typer.Option(help="68, mediapipe, or a .json file of columns and points.")] = "auto",
    fps: Annotated[int, typer.Option(help="Frames a second of the track.", callback=possible_fps)] = 30,
    neutral: Annotated[str | None, typer.Option(help="FIRST:LAST frames at rest, to learn this face's own shape from.",
                                                show_default=False)] = None,
    y_down: Annotated[bool, typer.Option("--y-down", help="The track's y grows downwards, as in pictures.")] = False,
    smooth: Annotated[float, typer.Option(help="How much frames hold together.")] = 0.02,
    refine: Annotated[bool, typer.Option("--refine", help="Finish by gradient descent on torch.")] = False,
    silhouettes: Annotated[Path | None, typer.Option(help="--refine of a 2D track in pixels: masks of the head, "
                                                          "[T, H, W] (.npy, .npz) or a folder of pictures. From the "
                                                          "side they tell a jaw without points, from the front "
                                                          "little.",
                                                     show_default=False)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the ARKit weights and head pose that explain a track."""
    import exporters
    from facerig.console import emit, emit_json
    from facerig.files import write_file
    from facerig.fit.files import read_track

    if silhouettes is not None and not (refine and y_down):
        raise OptionError("--silhouettes: needs --refine, and --y-down for a track in the pictures' pixels")
    suffix = exporters.format_of(out)
    check_targets([out], [("the input", track), ("the file of --head", head), ("the file of --layout", layout),
                          ("the file of --silhouettes", silhouettes)])
    options = _options(neutral, smooth)
    shape = named_head(head)
    found, curves = _fitted(read_track(track, y_down), shape, layout, options, fps, refine, silhouettes)
    write_file(out, exporters.export(curves, suffix, shape))
    figures = {"output": str(out), "frames": curves.frames, "residual_mm": round(float(found.residual_mm.mean()), 3)}
    if json_output:
        emit_json(figures)
    else:
        emit(f"{out}  {curves.frames} frames, {figures['residual_mm']} mm from the track on average")


def _options(neutral: str | None, smooth: float) -> FitOptions:
    from facerig.fit.tracks import FitOptions

    check_option("--smooth", smooth, "0 or more", 0 <= smooth < float("inf"))
    if neutral is None:
        return FitOptions(smooth=smooth)
    first, _, last = neutral.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise OptionError(f"--neutral: got {neutral!r}, accepted: FIRST:LAST, as in 0:10")
    return FitOptions(smooth=smooth, neutral=(int(first), int(last)))


def _fitted(points: Any, head: Head, layout: str, options: FitOptions, fps: int,
            refine: bool, silhouettes: Path | None) -> tuple[Fitted, Curves]:
    from facerig.fit.layouts import STILL, TRUST
    from facerig.fit.layouts import layout as columns_of
    from facerig.fit.tracks import fit_track
    from facerig.rig import rig

    channels = [name for name in rig("arkit").names if name in head.shape_names]
    if points.shape[1] in (head.vertex_count, len(head.parts[0].vertices)) and points.shape[2] == 3:
        columns = {n: str(n) for n in range(0, points.shape[1], max(1, points.shape[1] // 1500))}
        trust: dict[int, float] = {}
    else:
        columns, trust = columns_of(layout, points.shape[1]), dict(TRUST)
    found = fit_track(points, head, columns, channels, trust, STILL, options)
    if refine:
        from facerig.fit.files import read_masks
        from facerig.fit.refine import refined

        found = refined(found, points, head, columns, None if silhouettes is None else read_masks(silhouettes))
    return found, found.curves(fps)
