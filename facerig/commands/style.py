"""facerig style: manners of speaking by name, from a reference clip, and learnt from a character's captures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facerig.commands._results import check_targets, load_head
from facerig.commands.export import HEAD

if TYPE_CHECKING:
    from facerig.emotion.reference import Learnt

Captures = Annotated[list[Path], typer.Argument(help="Curves files, e.g. Live Link Face CSVs; 5 s to 3 min in all.",
                                                show_default=False)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Styles: list, take from a clip, learn from captures.", no_args_is_help=True)
    group.command("list")(named)
    group.command("of")(of)
    group.command("learn")(learn)
    group.command("apply")(apply)
    app.add_typer(group, name="style")


def named() -> None:
    """The styles that have names, and what the numbers of a style mean."""
    from facerig.emotion.styles import AXES, STYLES

    for name, code in STYLES.items():
        print(f"{name:12} {' '.join(f'{number:+.2f}' for number in code)}")
    print()
    for axis in AXES:
        print(f"{axis.name:12} -1: {axis.low}; 1: {axis.high}")


def of(curves: Captures, between: Annotated[float, typer.Option(
        "--share", help="How far to go from the model's own style to this one.")] = 1.0) -> None:
    """The style of a reference: eight numbers for --style."""
    from facerig.emotion.styles import STYLES
    from facerig.emotion.styles import between as mixed

    code = mixed(STYLES["normal"], _learnt(curves).code, between)
    print(",".join(f"{number:g}" for number in code))


def learn(curves: Captures, out: Annotated[Path, typer.Option("-o", "--out", help="NAME.style.json")]) -> None:
    """Learn a character's style from captured curves; use it as --style NAME.style.json, or with `style apply`."""
    from facerig.errors import check_option
    from facerig.files import write_file

    check_option("--out", out.name, "a name that ends in .style.json", out.name.endswith(".style.json"))
    check_targets([out], [("the input", path) for path in curves])
    print(write_file(out, _learnt(curves).to_json().encode()))


def apply(
    take: Annotated[Path, typer.Argument(help="Curves of a neutral take, in ARKit's names.", show_default=False)],
    style: Annotated[Path, typer.Option(help="A file of `facerig style learn`.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Curves file (see facerig formats).")],
    strength: Annotated[float, typer.Option(help="0 to 1.5; 0 changes nothing.")] = 1.0,
    head: HEAD = None,
) -> None:
    """Give a neutral take the sizes and habits of every single channel, which the eight numbers cannot say."""
    import exporters
    from facerig.emotion.reference import read_learnt
    from facerig.errors import check_option
    from facerig.files import write_file

    check_option("--strength", strength, "0 to 1.5", 0 <= strength <= 1.5)
    suffix = exporters.format_of(out)
    check_targets([out], [("the input", take), ("the file of --style", style), ("the file of --head", head)])
    shape = load_head(head, suffix)
    changed = read_learnt(style).apply(exporters.read(take), strength)
    print(write_file(out, exporters.export(changed, suffix, shape)))


def _learnt(paths: list[Path]) -> Learnt:
    import exporters
    from facerig.emotion import reference

    return reference.learn([exporters.read(path) for path in paths])
