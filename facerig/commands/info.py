"""facerig info: what is loaded and what it costs in time, or what a curves file holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    app.command()(info)


def info(
    file: Annotated[Path | None, typer.Argument(help="A curves file; without one: the model and its chain.",
                                                show_default=False)] = None,
    model: Annotated[str, typer.Option(help="Model by name or path.")] = "auto",
    block: Annotated[int, typer.Option(help="Frames computed in one go.")] = 6,
    smooth: Annotated[int, typer.Option(help="Smoothing in frames on each side.")] = 0,
    controls: Annotated[bool, typer.Option("--controls", help="List every control that `--set` and the server "
                                           "take.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the chain with its declared delays, the controls, or the contents of a curves file."""
    from facerig.console import emit_json, table

    if controls:
        return _controls(json_output)
    facts = _chain(model, block, smooth) if file is None else _file(file)
    if json_output:
        emit_json(facts)
        return
    stages = facts.pop("stages", [])
    extremes = facts.pop("channels", {})
    table("facerig" if file is None else str(file), ("what", "value"), list(facts.items()))
    if stages:
        table("Stages (frames of 1/60 s)", ("stage", "delay", "memory"), [tuple(s.values()) for s in stages],
              ("delay", "memory"))
    if extremes:
        rows = [(name, f"{low:.4f}", f"{high:.4f}") for name, (low, high) in extremes.items()]
        table("Channels", ("channel", "min", "max"), rows, ("min", "max"))


def _controls(as_json: bool) -> None:
    from facerig.console import emit_json, table
    from facerig.controls import CONTROLS

    if as_json:
        emit_json({"controls": [asdict(control) for control in CONTROLS]})
        return
    rows = [(c.name, f"{c.default:g}", f"{c.low:g} to {c.high:g}", c.unit, c.what) for c in CONTROLS]
    table("Controls", ("name", "default", "range", "unit", "what"), rows, ("default",))


def _chain(model: str, block: int, smooth: int) -> dict[str, Any]:
    from facerig import __version__
    from facerig.pipeline import Animator
    from facerig.stage import FPS, RATE

    animator = Animator.load(model=model, block=block, smooth=smooth)
    stages = [{"stage": type(s).__name__, "delay": s.delay, "memory": s.memory} for _, s in animator.chain.parts]
    return {"version": __version__, "model": animator.model, "channels out": len(animator.channels), "native fps": FPS,
            "audio rate": RATE, "block": block, "delay frames": animator.delay,
            "delay ms": round(animator.delay * 1000 / FPS, 1), "latency ms": round(animator.latency_ms(), 1),
            "memory frames": animator.chain.memory, "restores from s": round(animator.context_seconds, 2),
            "stages": stages}


def _file(file: Path) -> dict[str, Any]:
    import exporters
    from facerig.rig import identify

    curves = exporters.read(file)
    known = identify(curves.channels)
    low, high = curves.min(), curves.max()
    return {"rig": known.name if known else "own", "frames": curves.frames, "fps": curves.fps, "start": curves.start,
            "seconds": round(curves.seconds, 4), "marks": len(curves.marks),
            "channels": {name: (low.get(name, 0.0), high.get(name, 0.0)) for name in curves.channels}}
