"""facerig rigs: the rigs and their channels."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(rigs)


def rigs(
    name: Annotated[str | None, typer.Argument(help="A rig's name: lists its channels.", show_default=False)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the rigs, or one rig's channels in order."""
    from facerig.console import emit_json, table
    from facerig.rig import rig, rig_names

    if name is None:
        known = [rig(each) for each in rig_names()]
        if json_output:
            emit_json({each.name: {"title": each.title, "channels": len(each.channels)} for each in known})
        else:
            rows = [(each.name, len(each.channels), each.title) for each in known]
            table("Rigs", ("name", "channels", "what"), rows, ("channels",))
        return
    chosen = rig(name)
    if json_output:
        emit_json({"name": chosen.name, "title": chosen.title, "channels": [vars(c) for c in chosen.channels]})
        return
    cells = [(i, c.name, c.kind, f"{c.low:g}..{c.high:g}", c.region, c.mirror) for i, c in enumerate(chosen.channels)]
    table(f"{chosen.name}: {chosen.title}", ("#", "channel", "kind", "range", "region", "mirror"), cells, ("#",),
          ("channel",))
