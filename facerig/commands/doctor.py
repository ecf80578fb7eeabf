"""facerig doctor: what is installed, and the command for what is not."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show what is installed, what is missing for which feature, and the command that installs it."""
    from facerig.console import emit_json, table
    from facerig.doctor import examine

    findings = examine()
    if json_output:
        rows = [{"feature": f.need.feature, "needs": f.need.name, "found": f.found, "version": f.version,
                 "install": f.need.install} for f in findings]
        emit_json({"needs": rows, "missing": sum(not f.found for f in findings)})
        return
    cells = [(f.need.feature, f.need.name, f"yes  {f.version}" if f.found else "missing",
              "" if f.found else f.need.install) for f in findings]
    table("facerig doctor", ("feature", "needs", "here", "install with"), cells, whole=("install with",))
