"""facerig doctor: what is installed, the command for what is not, and the sound devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from facerig.doctor import Sound


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show what is installed, what is missing for which feature and the command that installs it; and the sound
    devices."""
    from facerig.console import emit_json, table
    from facerig.doctor import examine, sound

    findings, heard = examine(), sound()
    if json_output:
        rows = [{"feature": f.need.feature, "needs": f.need.name, "found": f.found, "version": f.version,
                 "install": f.need.install} for f in findings]
        emit_json({"needs": rows, "missing": sum(not f.found for f in findings),
                   "sound": {"inputs": heard.inputs, "outputs": heard.outputs, "problem": heard.problem}})
        return
    cells = [(f.need.feature, f.need.name, f"yes  {f.version}" if f.found else "missing",
              "" if f.found else f.need.install) for f in findings]
    table("facerig doctor", ("feature", "needs", "here", "install with"), cells, whole=("needs", "install with"))
    _tell_sound(heard)


def _tell_sound(heard: Sound) -> None:
    from facerig.console import emit, table

    if heard.problem:
        emit(f"Sound devices: cannot be listed; {heard.problem}")
        return
    rows = [(way, name) for way, names in (("input (mic:NAME)", heard.inputs), ("output", heard.outputs))
            for name in names or ("none found",)]
    table("Sound devices", ("way", "name"), rows, whole=("name",))
