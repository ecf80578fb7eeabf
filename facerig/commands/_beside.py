"""Options beside one that does something else than the command otherwise does: what has no effect there is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer

Counts = Mapping[str, Sequence[str]]


def check_beside(ctx: typer.Context, asked: Sequence[str], counts: Counts) -> None:
    """An OptionError where something is given beside an option of `asked` that has no effect there. All names are those
    of the command's parameters; `counts` says what has one beside each."""
    from facerig.errors import check_option

    flags = {str(held.name): max(held.opts, key=len) for held in ctx.command.params}
    off = {str(held.name): held.secondary_opts[0] for held in ctx.command.params if held.secondary_opts}
    given = [name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    for other in asked:
        lost = [name for name in given if name not in (other, *counts[other])]
        told = ", ".join(flags[name] if ctx.params[name] else off.get(name, flags[name]) for name in lost)
        accepted = ", ".join(flags[name] for name in counts[other] if flags[name].startswith("-"))
        check_option(flags[other], f"beside {told}", f"alone or with {accepted}", not lost)
