"""facerig plot: curves under their sound, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerig.commands._results import check_targets
from facerig.errors import OptionError

KINDS = (".png", ".svg", ".pdf")


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(plot)


def plot(
    curves: Annotated[Path, typer.Argument(help="Curves file (see facerig formats).", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help=".png, .svg or .pdf")] = Path("plot.png"),
    audio: Annotated[Path | None, typer.Option(help="Sound to draw above.", show_default=False)] = None,
    channels: Annotated[str, typer.Option(help="Names with commas between; default: the dozen that moves most.")] = "",
    compare: Annotated[Path | None, typer.Option(help="A second take, drawn dashed.", show_default=False)] = None,
) -> None:
    """Draw curves over time, with phones, words and emotions where the take has them marked."""
    import exporters
    from facerig.files import write_file
    from facerig.preview.plot import plot as draw

    if out.suffix.lower() not in KINDS:
        raise OptionError(f"--out: got {out.name!r}, accepted: a name that ends in {', '.join(KINDS)}")
    check_targets([out], [])
    sound = None
    if audio is not None:
        from facerig.audio import read

        heard = read(audio)
        sound = (heard.samples, heard.rate)
    other = None if compare is None else exporters.read(compare)
    names = [name.strip() for name in channels.split(",") if name.strip()]
    write_file(out, draw(exporters.read(curves), sound, names, other, out.suffix.lower()))
    print(out)
