"""facerig preview: curves -> a picture or a film of a head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facerig.commands._results import check_targets
from facerig.commands._values import named_head, possible_fps
from facerig.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facerig.curves import Curves
    from facerig.mesh import Head
    from facerig.preview.gl import Picture, Style


def register(app: typer.Typer) -> None:
    app.command()(preview)


def preview(
    curves: Annotated[Path | None, typer.Argument(help="Curves file (see facerig formats); none with --grid.",
                                                  show_default=False)] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help=".png, .gif or .mp4")] = Path("preview.mp4"),
    head: Annotated[str, typer.Option(help="A head of facerig heads list, or a file.")] = "builtin",
    audio: Annotated[Path | None, typer.Option(help="mp4: its sound, from frame 0 on.", show_default=False)] = None,
    view: Annotated[str, typer.Option(help="front, three-quarter, profile; gif, mp4: turntable.")] = "front",
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of a picture (of one tile with --grid).")] = "512x512",
    fps: Annotated[int | None, typer.Option(help="Frames a second; default: the curves', of films at most 60.",
                                            show_default=False, callback=possible_fps)] = None,
    frame: Annotated[int | None, typer.Option(help="png: this frame, counted as the take does (with --fps at that "
                                              "rate); default: the one that moves most.", show_default=False)] = None,
    grid: Annotated[str | None, typer.Option(help="png: a contact sheet of visemes, emotions or shapes.",
                                             show_default=False)] = None,
    close: Annotated[bool, typer.Option("--close", help="The face instead of the whole head.")] = False,
    wire: Annotated[bool, typer.Option("--wire", help="Edges only.")] = False,
) -> None:
    """Draw a head that moves by the curves: a picture, a gif, or an mp4 with sound."""
    from facerig.files import write_file

    kind = out.suffix.lower()
    if kind not in (".png", ".gif", ".mp4"):
        raise OptionError(f"--out: got {out.name!r}, accepted: a name that ends in .png, .gif or .mp4")
    if (curves is None) == (grid is None):
        got = "neither" if grid is None else "both"
        raise OptionError(f"preview: got {got}, accepted: a curves file, or --grid")
    _check_kind(kind if grid is None else "--grid", audio, view, frame)
    check_targets([out], [("the input", curves), ("the sound of --audio", audio), ("the file of --head", head)])
    style = _style(size, view, wire, close)
    shown = named_head(head)
    if grid is not None:
        data = _grid(grid, shown, style, view, kind)
    else:
        data = _moving(_read(curves, fps, kind), shown, style, view, kind, frame, audio)
    write_file(out, data)
    print(out)


def _check_kind(kind: str, audio: Path | None, view: str, frame: int | None) -> None:
    """Refuse what a picture of this kind cannot show."""
    for option, given, kinds in (("--audio", audio is not None, (".mp4",)), ("--frame", frame is not None, (".png",)),
                                 ("--view turntable", view == "turntable", (".gif", ".mp4"))):
        if given and kind not in kinds:
            raise OptionError(f"{option}: got it for {kind}, accepted: with {' or '.join(kinds)} of a take; leave it "
                              f"out or give another --out")


def _style(size: str, view: str, wire: bool, close: bool) -> Style:
    from facerig.preview.gl import VIEWS, Style

    sides = size.lower().split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() for side in sides):
        raise OptionError(f"--size: got {size!r}, accepted: WIDTHxHEIGHT, as in 512x512")
    if view not in (*VIEWS, "turntable"):
        raise OptionError(f"--view: got {view!r}, accepted: {', '.join(VIEWS)}, turntable")
    return Style(int(sides[0]), int(sides[1]), "front" if view == "turntable" else view, wire, close)


def _read(path: Path | None, fps: int | None, kind: str) -> Curves:
    """At most 60 frames a second of a film; of a picture all, as --frame counts the take's own."""
    import exporters

    take = exporters.read(path or "")
    if fps is None:
        fps = take.fps if kind == ".png" else min(take.fps, 60)
    return take.resample(fps)


def _grid(name: str, head: Head, style: Style, view: str, kind: str) -> bytes:
    from facerig.preview.pictures import SHEETS, VIEWS, png, shape_sheet, sheet

    if kind != ".png":
        raise OptionError("--grid: makes a .png")
    if name == "shapes":
        return png(shape_sheet(head, style))
    if name not in SHEETS:
        raise OptionError(f"--grid: got {name!r}, accepted: {', '.join(SHEETS)}, shapes")
    return png(sheet(SHEETS[name], head, style, yaw=VIEWS.get(view)))


def _moving(take: Curves, head: Head, style: Style, view: str, kind: str, frame: int | None,
            audio: Path | None) -> bytes:
    from facerig.preview.movie import mp4
    from facerig.preview.pictures import frames, gif, one_frame

    if kind == ".png":
        return one_frame(take, head, style, frame)
    pictures = _watched(frames(take, head, style, view == "turntable"), take.frames)
    if kind == ".gif":
        return gif(pictures, take.fps)
    sound, rate = _sound(audio, take)
    return mp4(pictures, take.fps, (style.width, style.height), sound, rate)


def _watched(pictures: Iterator[Picture], total: int) -> Iterator[Picture]:
    from facerig.console import progress_bars

    with progress_bars() as bars:
        task = bars.add_task("drawing", total=total)
        for picture in pictures:
            bars.advance(task)
            yield picture


def _sound(path: Path | None, take: Curves) -> tuple[Any, int]:
    """Mono samples that begin with the take's first frame; what lies before frame 0 is silent."""
    if path is None:
        return None, 48_000
    import numpy as np

    from facerig.audio import read

    audio = read(path)
    first = round(take.start * audio.rate / take.fps)
    return np.pad(audio.samples[max(first, 0):], (max(-first, 0), 0)), audio.rate
