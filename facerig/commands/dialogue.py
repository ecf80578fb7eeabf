"""facerig dialogue: a script with several characters -> a curve track for each, the sound and a summary."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facerig.commands._asked import FACE, STILL
from facerig.commands._results import check_targets, load_head
from facerig.commands._values import known_rig, named_head
from facerig.errors import OptionError, check_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facerig.curves import Curves
    from facerig.dialogue.memory import Memory
    from facerig.dialogue.play import Performance
    from facerig.dialogue.script import Script

WAVS = ("mix", "each", "both", "none")
PREVIEWS = (".png", ".svg", ".pdf", ".mp4")
ALL = ""  # whose file it is that belongs to no character


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(dialogue)


@dataclass(frozen=True)
class Wanted:
    """What is to be written."""

    out: Path
    formats: tuple[str, ...]
    fps: int
    rig: str | None
    heads: dict[str, Any]
    wav: str
    preview: str
    takes: int


def dialogue(
    script: Annotated[Path, typer.Argument(help="The script, .yaml or .json (docs/DIALOGUE.md).", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for everything.", show_default=False)],
    format: Annotated[str, typer.Option(help="Formats of the curves by suffix, e.g. 'csv' or 'glb npz'.")] = "csv",
    fps: Annotated[int, typer.Option(help="Frames a second: 24, 25, 30, 50, 60 or 120.")] = 60,
    rig: Annotated[str | None, typer.Option(help="Rig to write (default: each format's own).",
                                            show_default=False, callback=known_rig)] = None,
    head: Annotated[str | None, typer.Option(help="Head of FBX, glTF, USD and films: name or file; none.",
                                             show_default="builtin")] = None,
    wav: Annotated[str, typer.Option(help=f"Sound to write: {', '.join(WAVS)}.")] = "mix",
    command: Annotated[str, typer.Option(help="Your own TTS for lines with text: a command line with {text} and {wav}, "
                                         "maybe {voice}.", show_default=False)] = "",
    memory: Annotated[Path | None, typer.Option(help="Folder of what characters think of each other, a JSON file each: "
                                                "read, and written anew.", show_default=False)] = None,
    preview: Annotated[str, typer.Option(help="Also draw: png, svg, pdf (a plot) or mp4 (heads side by side).",
                                         show_default=False)] = "",
    model: Annotated[str, typer.Option(help="Model by name or path.")] = "auto",
    seed: Annotated[int | None, typer.Option(help="Seed of everything random, instead of the script's; moves no lips.",
                                             show_default=False, rich_help_panel=FACE)] = None,
    takes: Annotated[int, typer.Option(help="So many takes, with the seeds that follow; the lips are the same in all.",
                                       rich_help_panel=FACE)] = 1,
    still: STILL = False,
    by_ear: Annotated[bool, typer.Option("--by-ear", help="Lips from the sound alone, as a stream's, though the words "
                                         "are known.", rich_help_panel=FACE)] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Play a script with several characters: everybody speaks, listens, looks and feels on one clock.

    Writes for each character NAME.csv (a Live Link CSV is named SCRIPT_TAKE_NAME_cal.csv), SCRIPT.wav and SCRIPT.json.
    """
    from facerig.asking import seeds
    from facerig.dialogue.reader import read_script

    seeds(seed or 0, takes)
    wanted = _wanted(out, format, fps, rig, head, wav, preview, takes)
    known = read_script(script)
    _check_files(script, known, wanted, head, memory)
    memories = _memories(memory, [one.name for one in known.characters])
    done, used = _played(known, wanted, _Work(model, still, by_ear, command, seed, memories), json_output)
    if memory is not None:
        for name, kept in done[0].memories.items():
            kept.write(_memory_file(memory, name))
    _tell(wanted, done, used, json_output)


@dataclass(frozen=True)
class _Work:
    model: str
    still: bool
    by_ear: bool
    command: str
    seed: int | None
    memories: dict[str, Any]


def _wanted(out: Path, format: str, fps: int, rig_name: str | None, head: str | None, wav: str, preview: str,
            takes: int) -> Wanted:
    """Everything checked before any work is done."""
    from facerig.batch.table import read_formats
    from facerig.commands.animate import FPS_ACCEPTED

    check_option("--fps", fps, ", ".join(map(str, FPS_ACCEPTED)), fps in FPS_ACCEPTED)
    check_option("--wav", wav, ", ".join(WAVS), wav in WAVS)
    kind = f".{preview.lower().lstrip('.')}" if preview else ""
    check_option("--preview", preview, ", ".join(suffix[1:] for suffix in PREVIEWS), not kind or kind in PREVIEWS)
    if os.path.isfile(out):
        raise OptionError(f"--out: got the file {out}, accepted: a folder")
    formats = read_formats(format)
    check_option("--format", format, "one format or more", bool(formats))
    return Wanted(out, formats, fps, rig_name, _heads(formats, kind, head), wav, kind, takes)


def _heads(formats: tuple[str, ...], kind: str, name: str | None) -> dict[str, Any]:
    """Of each format, and of a film, which always shows one."""
    from exporters import EXPORTERS

    head = load_head(name, *formats, made=True, heeded=kind == ".mp4")
    heads = {suffix: None if EXPORTERS[suffix].head == "no" else head for suffix in formats}
    return {**heads, kind: head or named_head("builtin")} if kind == ".mp4" else heads


def _check_files(script: Path, known: Script, wanted: Wanted, head: str | None, memory: Path | None) -> None:
    """No file is written over one that is read, nor over another one of these."""
    read: list[tuple[str, Any]] = [("the script", script), ("the file of --head", head)]
    read += [(f"the audio of line {line.number + 1}", line.audio) for line in known.lines]
    minds = {} if memory is None else {one.name: _memory_file(memory, one.name) for one in known.characters}
    takes = range(1, wanted.takes + 1) if wanted.takes > 1 else (0,)
    targets = [wanted.out / name for take in takes for name in _names(known, wanted, take).values()]
    check_targets(targets, [*read, *((f"the memory of {who}", path) for who, path in minds.items())])
    check_targets(minds.values(), read)


# ---- memories ---------------------------------------------------------------------------------------------------


def _memories(folder: Path | None, names: list[str]) -> dict[str, Memory]:
    from facerig.dialogue.memory import Memory
    from facerig.errors import InputError

    out = {}
    for name in names if folder is not None else ():
        assert folder is not None
        path = _memory_file(folder, name)
        if os.path.exists(path):
            out[name] = Memory.read(path)
            if out[name].character != name:
                raise InputError(f"{path}: is the memory of {out[name].character!r}, accepted: of {name!r}")
    return out


def _memory_file(folder: Path, name: str) -> Path:
    from facerig.dialogue.script import file_name

    return folder / f"{file_name(name)}.json"


# ---- playing and writing ----------------------------------------------------------------------------------------


def _played(known: Any, wanted: Wanted, work: _Work, quiet: bool) -> tuple[list[Performance], str]:
    """All takes, and the name of the model."""
    from facerig.console import progress_bars
    from facerig.dialogue.known import informed
    from facerig.dialogue.play import BLOCK, play
    from facerig.dialogue.voices import default_voices, sounds_of
    from facerig.pipeline import Animator

    spoken = any(line.audio is None for line in known.lines)
    voices = default_voices(work.command) if spoken else None
    animator = Animator.load(model=work.model, block=BLOCK, alive=not work.still)
    done = []
    with progress_bars(quiet) as bars:
        bar = bars.add_task("lines", total=len(known.lines))
        sounds = sounds_of(known, voices, lambda at, total: bars.update(bar, completed=at, total=total))
        sounds = sounds if work.by_ear else informed(animator, known, sounds)
        for take in range(1, wanted.takes + 1):
            frames = bars.add_task(f"take {take}" if wanted.takes > 1 else "frames", total=None)

            def moved(at: int, total: int | None, frames: Any = frames) -> None:
                bars.update(frames, completed=at, total=total)

            made = play(known, animator, work.seed, take, voices, work.memories, sounds, moved, not work.by_ear)
            _written(made, wanted, animator.model, bars)
            done.append(made)
    return done, animator.model


def _written(made: Performance, wanted: Wanted, model: str, bars: Any) -> None:
    """All bytes of a take first, then its files."""
    from facerig.dialogue.report import as_json, summary, wav
    from facerig.files import write_file

    names = _names(made.script, wanted, made.take if wanted.takes > 1 else 0)
    of = {name: [file for (who, _), file in names.items() if who == name] for name in made.tracks}
    data: dict[tuple[str, str], bytes] = {}
    for name, track in made.tracks.items():
        curves = _converted(track, wanted)
        data |= {(name, suffix): _exported(curves, suffix, wanted, name) for suffix in wanted.formats}
        if (name, ".wav") in names:
            data[name, ".wav"] = wav(made.sounds[name])
    if (ALL, ".wav") in names:
        data[ALL, ".wav"] = wav(made.mix)
    if wanted.preview:
        data[ALL, wanted.preview] = _preview(made, wanted, bars)
    data[ALL, ".json"] = as_json(summary(made, model, of))
    for key, content in data.items():
        write_file(wanted.out / names[key], content)


def _names(script: Script, wanted: Wanted, take: int) -> dict[tuple[str, str], str]:
    """What a take's files are called, by character and suffix; the dialogue's own, ALL, give way to a character's."""
    from facerig.dialogue.script import file_name

    tail = f"_take{take}" if take else ""
    stem = file_name(script.name) or "dialogue"
    out: dict[tuple[str, str], str] = {}
    for number, one in enumerate(script.characters, 1):
        out |= {(one.name, suffix): _curves_name(stem, one.name, number, suffix, take) for suffix in wanted.formats}
        if wanted.wav in ("each", "both"):
            out[one.name, ".wav"] = f"{file_name(one.name)}{tail}.wav"
    taken = set(out.values())
    for suffix in (".wav" if wanted.wav in ("mix", "both") else "", wanted.preview, ".json"):
        name = f"{stem}{tail}{suffix}"
        if suffix:
            out[ALL, suffix] = name if name not in taken else f"{stem}-dialogue{tail}{suffix}"
    return out


def _converted(track: Curves, wanted: Wanted) -> Curves:
    from facerig import retarget
    from facerig.rig import rig

    curves = retarget.retarget(track, rig(wanted.rig)) if wanted.rig else track
    return curves.resample(wanted.fps)


def _curves_name(stem: str, name: str, number: int, suffix: str, take: int) -> str:
    """anna_take2.glb; a Live Link CSV as Unreal imports it: slate, take, subject."""
    from facerig.dialogue.script import file_name

    if suffix != ".csv":
        return f"{file_name(name)}{f'_take{take}' if take else ''}{suffix}"
    from exporters import livelink_csv

    slate, subject = (re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") for text in (stem, name))
    plain = subject if subject and subject.isascii() and _covers(subject, name) else f"character{number}"
    return livelink_csv.file_name(slate or "dialogue", take or 1, plain)


def _covers(subject: str, name: str) -> bool:
    """Whether no letter of the name was lost: two names must not become one."""
    return len(re.sub(r"[\W_]+", "", name)) == len(subject.replace("-", ""))


def _exported(curves: Curves, suffix: str, wanted: Wanted, name: str) -> bytes:
    import exporters
    from facerig.dialogue.script import file_name

    return exporters.export(curves, suffix, wanted.heads[suffix], exporters.ExportOptions(name=file_name(name)))


# ---- pictures ---------------------------------------------------------------------------------------------------


def _preview(made: Performance, wanted: Wanted, bars: Any) -> bytes:
    if wanted.preview != ".mp4":
        from facerig.dialogue.plot import picture

        return picture(made, wanted.preview)
    from facerig.preview.movie import mp4
    from facerig.stage import RATE

    fps = min(wanted.fps, 30)
    tracks = [track.resample(fps) for track in made.tracks.values()]
    size = (256 if len(tracks) > 4 else 384, 384)
    pictures = _side_by_side(tracks, wanted.heads[".mp4"], size, bars)
    return mp4(pictures, fps, (size[0] * len(tracks), size[1]), made.mix, RATE)


def _side_by_side(tracks: list[Curves], head: Any, size: tuple[int, int], bars: Any) -> Iterator[Any]:
    import numpy as np

    from facerig.preview.gl import Style
    from facerig.preview.pictures import frames

    style = Style(size[0], size[1], "front", False, False)
    bar = bars.add_task("film", total=tracks[0].frames)
    for heads in zip(*(frames(track, head, style) for track in tracks), strict=True):
        bars.advance(bar)
        yield np.concatenate(heads, axis=1)


def _tell(wanted: Wanted, done: list[Performance], model: str, as_json: bool) -> None:
    from facerig.console import emit, emit_json

    first = done[0]
    if as_json:
        emit_json({"out": str(wanted.out), "characters": list(first.tracks), "lines": len(first.placed),
                   "frames": first.frames, "seconds": round(first.seconds, 4), "takes": len(done),
                   "seed": first.script.seed, "model": model, "formats": list(wanted.formats)})
    else:
        emit(f"{wanted.out}  {len(first.tracks)} characters, {len(first.placed)} lines, {first.seconds:.1f} s, "
             f"{len(done)} take{'s' if len(done) > 1 else ''}, model {model}")
