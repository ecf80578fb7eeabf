"""facerig heads: the heads that are there, and bringing others."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facerig.errors import HeadError, OptionError

if TYPE_CHECKING:
    from facerig.heads.foreign import Match
    from facerig.mesh import Head

OPEN = ("ict", "makehuman")
LOCAL = "--from or a second path"
# What a head comes from -> the options that count for it, besides --name and --replace.
HEEDED = {
    "a download": ("--mirror", "--unverified", "--accept-licence"),
    "a copy of ict or makehuman": (LOCAL, "--accept-licence"),
    "flame": (LOCAL, "--eyelids"), "a file or folder": ("--units",),
}

heads_app = typer.Typer(name="heads", help="List, show, add and remove heads.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(heads_app)


@heads_app.command("list")
def list_heads(json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """The built-in head and those that were added."""
    from facerig.console import emit_json, table
    from facerig.heads import load_head
    from facerig.heads.store import stored_names

    rows = [(name, head.vertex_count, len(head.shape_names), len(head.parts))
            for name in ("builtin", *stored_names()) for head in (load_head(name),)]
    if json_output:
        emit_json({name: {"vertices": v, "shapes": s, "parts": p} for name, v, s, p in rows})
        return
    table("Heads", ("name", "vertices", "shapes", "parts"), rows, ("vertices", "shapes", "parts"))


@heads_app.command(no_args_is_help=True)
def show(
    name: Annotated[str, typer.Argument(help="A head's name, or a file.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Parts, joints and shapes of a head."""
    from facerig.console import emit, emit_json, table
    from facerig.heads import load_head

    head = load_head(name)
    if json_output:
        emit_json({"name": head.name, "metres_per_unit": head.metres_per_unit, "shapes": head.shape_names,
                   "parts": {p.name: {"vertices": len(p.vertices), "triangles": len(p.triangles)} for p in head.parts},
                   "joints": [j.name for j in head.joints], "landmarks": len(head.landmarks)})
        return
    rows = [(p.name, p.material, len(p.vertices), len(p.triangles), len(p.shapes)) for p in head.parts]
    table(f"{head.name}: {head.vertex_count} vertices", ("part", "material", "vertices", "triangles", "shapes"), rows,
          ("vertices", "triangles", "shapes"))
    emit(f"joints: {', '.join(j.name for j in head.joints) or 'none'}")
    emit(f"shapes: {', '.join(head.shape_names)}")


@heads_app.command(no_args_is_help=True)
def add(
    what: Annotated[str, typer.Argument(help="ict, makehuman, flame, or a file or folder with morph targets.")],
    path: Annotated[Path | None, typer.Argument(help="Your file or folder: flame's model file, or a copy of ict or "
                                                        "makehuman.", show_default=False)] = None,
    source: Annotated[Path | None, typer.Option("--from", help="The same as PATH: a local copy instead of a "
                                                               "download.", show_default=False)] = None,
    mirror: Annotated[str | None, typer.Option(help="ict, makehuman: download from here and not from GitHub.",
                                               show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Name to keep it under.", show_default=False)] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In the place of a head that has the name.")] = False,
    units: Annotated[str | None, typer.Option(help="A file's or folder's unit of length: m, cm or mm. Default: what it "
                                                   "says; OBJ, PLY and STL say nothing and count as metres.",
                                              show_default=False)] = None,
    accept: Annotated[bool, typer.Option("--accept-licence", help="Do not ask about the licence.")] = False,
    unverified: Annotated[bool, typer.Option("--unverified", help="Take files that differ from the published "
                                                                 "ones.")] = False,
    eyelids: Annotated[Path | None, typer.Option(help="flame: .npz or .npy of eyelid offsets.",
                                                 show_default=False)] = None,
) -> None:
    """Bring a head: it is read, checked and kept as an .npz in your own folder."""
    from facerig.console import emit
    from facerig.heads.store import store

    if path is not None and source is not None:
        raise OptionError(f"--from: got {source} and the path {path}, accepted: one of them")
    local = path or source
    _check_heeded(_kind(what, local), {LOCAL: local, "--mirror": mirror, "--unverified": unverified,
                                       "--accept-licence": accept, "--eyelids": eyelids, "--units": units})
    kept = _free_name(name or _name_of(what), replace)
    if what == "flame":
        head = _flame(local, eyelids)
    elif what in OPEN:
        head = _open_head(what, local, accept, unverified, mirror)
    else:
        head = _foreign(Path(what), units)
    emit(f"{store(kept, head)}  {head.vertex_count} vertices, {len(head.shape_names)} shapes; use it as --head {kept}")


def _kind(what: str, local: Path | None) -> str:
    if what == "flame":
        return "flame"
    if what in OPEN:
        return "a download" if local is None else "a copy of ict or makehuman"
    return "a file or folder"


def _check_heeded(kind: str, given: dict[str, object]) -> None:
    """Refuse what would not count."""
    for option, value in given.items():
        if value and option not in HEEDED[kind]:
            raise OptionError(f"{option} does not count for {kind}, accepted: "
                              f"{', '.join((*HEEDED[kind], '--name', '--replace'))}")


def _free_name(name: str, replace: bool) -> str:
    from facerig.heads.store import check_name, stored_names

    if check_name(name) in stored_names() and not replace:
        raise OptionError(f"head name: {name} is there already; --name keeps this one under another, --replace in its "
                          "place")
    return name


@heads_app.command(no_args_is_help=True)
def remove(name: Annotated[str, typer.Argument(help="A head that was added.")]) -> None:
    """Forget a head."""
    from facerig.console import emit
    from facerig.heads.store import remove as forget

    if name == "builtin":
        raise OptionError("builtin: the built-in head cannot be removed")
    emit(f"removed {forget(name)}")


def _flame(path: Path | None, eyelids: Path | None) -> Head:
    from facerig.console import say
    from facerig.heads.flame import flame_head, load_flame

    if path is None:
        raise OptionError("heads add flame: got no file, accepted: a model file, such as generic_model.pkl")
    say("FLAME is yours to license: https://flame.is.tue.mpg.de (the file stays on this machine)")
    return flame_head(load_flame(path, eyelids=eyelids))


def _open_head(what: str, local: Path | None, accept: bool, unverified: bool, mirror: str | None) -> Head:
    from tempfile import TemporaryDirectory

    from facerig.console import say
    from facerig.heads.fetch import check_files, licence_text
    from facerig.heads.foreign import read_head

    if local is not None:
        _check_copy(what, local)
    say(licence_text(what))
    if not accept and not _agreed():
        raise OptionError(f"{what}: the licence was not accepted; nothing was added")
    if local is not None:
        for note in check_files(what, local):
            say(f"note: {note}")
        return _told(*read_head(local))
    with TemporaryDirectory(prefix=f"facerig-{what}-") as folder:
        _fetch(what, Path(folder), unverified, mirror)
        return _told(*read_head(Path(folder)))


def _check_copy(what: str, local: Path) -> None:
    """Before anybody is asked about the licence of what is not there."""
    from facerig.heads.fetch import source_of

    try:
        fault = "is an empty folder" if local.is_dir() and not any(local.iterdir()) else (
            "" if local.exists() else "no such file or folder")
    except OSError as error:
        fault = f"cannot be read: {error.strerror or error}"
    if fault:
        raise HeadError(f"{local}: {fault}, accepted: a folder with a copy of {' and '.join(source_of(what).pages)}; "
                        f"without one it is downloaded: facerig heads add {what}")


def _agreed() -> bool:
    """What is answered; where nobody answers, an error says how a script agrees."""
    from facerig.console import say

    try:
        return typer.confirm("Do you accept this licence?", err=True)
    except typer.Abort as stopped:  # typer's answer to Ctrl-C too
        if not isinstance(stopped.__context__, EOFError):
            raise
        say("")  # the question stands on a line of its own
        raise OptionError("the licence: got no answer (standard input has ended), accepted: y or n; where nobody can "
                          "answer, --accept-licence says that you accept it; nothing was added") from None


def _fetch(what: str, folder: Path, unverified: bool, mirror: str | None) -> None:
    from facerig.console import progress_bars
    from facerig.heads.fetch import GITHUB, fetch

    with progress_bars() as bars:
        task = bars.add_task(what, total=None)

        def shown(file: str, got: int, total: int) -> None:
            bars.update(task, description=file, completed=got, total=total or None)

        fetch(what, folder, shown, unverified, mirror or GITHUB)


def _foreign(path: Path, units: str | None) -> Head:
    from facerig.heads.foreign import read_head

    return _told(*read_head(path, units))


def _told(head: Head, match: Match) -> Head:
    """Say which shapes fit no channel, with the nearest name where there is one."""
    from facerig.console import say

    if not head.shape_names:
        say("note: no morph targets in it; it can be drawn, but curves will not move it")
    for name, near in match.unmatched.items():
        say(f"note: shape {name!r} is no channel of the rig" + (f"; did it mean {near}?" if near else ""))
    return head


def _name_of(what: str) -> str:
    """A file's name in small letters of ASCII, é as e."""
    plain = unicodedata.normalize("NFKD", Path(what).stem.lower()).encode("ascii", "ignore").decode()
    text = "".join(c if c.isalnum() else "-" for c in plain).strip("-")
    return text[:40] or "head"
