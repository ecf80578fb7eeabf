"""facerig bench: figures of this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which; none: list them.", show_default=False)] = None,
) -> None:
    """Measure speed on this machine; the last line is one JSON object."""
    from facerig.bench import BENCHES, available, run_bench
    from facerig.console import emit_json, table

    if not names:
        table("Benches", ("name", "what"), [(name, BENCHES[name][1]) for name in available()])
        return
    results = {name: run_bench(name) for name in names}
    for name, figures in results.items():
        table(name, ("figure", "value"), list(figures.items()))
    emit_json(results if len(results) > 1 else results[names[0]])
