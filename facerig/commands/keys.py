"""facerig keys: how few keys a take needs, and the reduced take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facerig.commands._results import check_targets, load_head
from facerig.commands._values import possible_bound
from facerig.commands.export import HEAD


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(keys)


def keys(
    curves: Annotated[Path, typer.Argument(help="Any file that facerig reads.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the rebuilt take: .anim, .fbx and the like "
                                             "get the cubic keys (glTF: on frames that all channels "
                                             "share, so more of them), others their values on every frame.",
                                             show_default=False)] = None,
    bound: Annotated[float, typer.Option(help="Largest error on any frame.", callback=possible_bound)] = 0.02,
    head: HEAD = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Reduce a take to the cubic keys that an animator would set, and say what is left."""
    import exporters
    from exporters.keys import reduce
    from facerig.console import emit_json, table

    together = False
    if out is not None:
        check_targets([out], [("the input", curves), ("the file of --head", head)])
        together = exporters.EXPORTERS[exporters.format_of(out)].together
    take = exporters.read(curves)
    tracks = reduce(take, bound, together)
    rows = _rows(take, tracks)
    if out is not None:
        _write(take, tracks, out, bound, head)
    total = sum(row[1] for row in rows)
    share = total / max(take.frames * len(take.channels), 1)
    worst = max((row[2] for row in rows), default=0.0)
    if json_output:
        emit_json({"frames": take.frames, "channels": len(take.channels), "keys": total, "share": round(share, 4),
                   "error": round(worst, 5), "output": None if out is None else str(out)})
        return
    table(f"{curves.name}: {total} keys, {share:.1%} of the frames, largest error {worst:.4f}",
          ("channel", "keys", "error"), [(name, count, f"{error:.4f}") for name, count, error in rows],
          ("keys", "error"))


def _rows(take: Any, tracks: Any) -> list[tuple[str, int, float]]:
    import numpy as np

    frames = np.arange(take.start, take.end)
    return [(name, len(track.frames), float(np.abs(track.at(frames) - take[name]).max(initial=0)))
            for name, track in tracks.items() if take.frames]


def _write(take: Any, tracks: Any, out: Path, bound: float, head: str | None) -> None:
    import numpy as np

    import exporters
    from facerig.files import write_file

    suffix = exporters.format_of(out)
    if "keys" not in exporters.EXPORTERS[suffix].heeds and take.frames:
        frames = np.arange(take.start, take.end)
        take = take.with_values(np.stack([tracks[name].at(frames) for name in take.channels], axis=1))
    write_file(out, exporters.export(take, suffix, load_head(head, suffix), exporters.ExportOptions(keys=bound)))
