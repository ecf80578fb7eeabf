"""facerig animate: audio files -> curves files, one or several takes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from facerig.commands._asked import (
    EMOTION,
    FACE,
    PARTNER,
    PRESET,
    SEED,
    SET,
    SHOWN_HEAD,
    STATE,
    STILL,
    STYLE,
    tell_stilled,
)
from facerig.commands._results import check_overwrites, each, load_head, one_file, report, tell_undone
from facerig.commands._values import known_rig
from facerig.errors import FacerigError, OptionError

FPS_ACCEPTED = (24, 25, 30, 50, 60, 120)


@dataclass(frozen=True)
class Job:
    """One clip to animate and where its curves go."""

    source: Path
    target: Path
    format: str
    seed: int = 0
    take: int = 0
    """Counted from 1; 0 where there is but one."""


@dataclass(frozen=True)
class Work:
    """What all clips of a call share."""

    animator: Any
    pcm: Any
    convert: Any
    head: Any
    transcript: Any
    language: str
    asked: Any
    preset: Any
    partner: Any

    def controls(self, seed: int) -> Any:
        """For one take: presets do some things at moments that the seed chooses."""
        from facerig.behaviour.partner import Partnered

        asked = self.asked.controls()
        asked = self.preset.over(asked, seed) if self.preset else asked
        return asked if self.partner is None else Partnered(asked, self.partner.samples, self.partner.rate)


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(animate)


def animate(
    audio: Annotated[list[Path], typer.Argument(help="Audio or video files.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Output file, or a folder for several inputs "
                                             "(default: beside each input).", show_default=False)] = None,
    format: Annotated[str | None, typer.Option(help="Output format by suffix, where --out is no file name; default: "
                                               "csv.", show_default=False)] = None,
    fps: Annotated[int, typer.Option(help="Frames a second: 24, 25, 30, 50, 60 or 120.")] = 60,
    rig: Annotated[str | None, typer.Option(help="Rig to write (see facerig rigs); default: the format's own.",
                                            show_default=False, callback=known_rig)] = None,
    own_map: Annotated[Path | None, typer.Option("--map", help="Your own retarget map (.json or .yaml).",
                                             show_default=False)] = None,
    head: SHOWN_HEAD = None,
    model: Annotated[str, typer.Option(help="Model by name or path: auto, small, instant, tiny, fake.")] = "auto",
    smooth: Annotated[int, typer.Option(help="Smoothing in frames on each side.")] = 0,
    block: Annotated[int, typer.Option(help="Frames computed in one go.")] = 6,
    pcm: Annotated[str | None, typer.Option(help="Raw samples: TYPE:RATE:CHANNELS, e.g. s16le:16000:1.",
                                            show_default=False)] = None,
    transcript: Annotated[Path | None, typer.Option(help="What is said: text, TextGrid, SRT, VTT, CTM, LAB or JSON; "
                                                    "sharpens the lips.", show_default=False)] = None,
    language: Annotated[str, typer.Option(help="Language of a transcript without phones.")] = "en",
    emotion: EMOTION = "off",
    style: STYLE = "",
    preset: PRESET = "",
    state: STATE = "",
    set_: SET = None,
    still: STILL = False,
    partner: PARTNER = None,
    seed: SEED = 0,
    takes: Annotated[int, typer.Option(help="So many takes of each clip, with the seeds that follow; the lips are the "
                                       "same in all.", rich_help_panel=FACE)] = 1,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Animate speech: every input becomes a curves file.

    One bad input does not stop the others; the exit code then is that of the first error. With --takes the files are
    NAME_take1, NAME_take2, ... (a Live Link CSV counts its takes in its own name).
    """
    from facerig.asking import Asked, seeds
    from facerig.audio import Pcm, read_ears
    from facerig.dialogue.presets import preset as way_of_being
    from facerig.pipeline import Animator
    from facerig.transcript.pronounce import check_language
    from facerig.transcript.read import read_transcript

    if fps not in FPS_ACCEPTED:
        raise OptionError(f"--fps: got {fps}, accepted: {', '.join(map(str, FPS_ACCEPTED))}")
    if any(str(source) == "-" for source in audio):
        raise OptionError("AUDIO: got -, accepted: files; standard input is /dev/stdin with --pcm TYPE:RATE:CHANNELS")
    jobs = plan(audio, out, format, seeds(seed, takes))
    check_overwrites([job.target for job in jobs], [
        *(("the input", source) for source in audio), ("the file of --emotion", emotion),
        ("the file of --style", style), ("the file of --transcript", transcript), ("the file of --partner", partner),
        ("the file of --map", own_map), ("the file of --head", head)])
    asked = Asked(tuple(set_ or ()), emotion, style, state)
    asked.controls()  # a mistake is told before anything is loaded
    tell_stilled(still, asked.sets, partner)
    being = way_of_being(preset) if preset else None
    for option, given, many in (("--transcript", transcript, "batch"), ("--partner", partner, "dialogue")):
        if given and len(audio) > 1:
            raise OptionError(f"{option}: got one for {len(audio)} inputs, accepted: one input (see facerig {many})")
    other = read_ears(partner) if partner else None
    raw, convert = Pcm.parse(pcm) if pcm else None, _converter(rig, own_map, fps)
    said = read_transcript(transcript) if transcript else None
    if said:
        check_language(language)
    animator = Animator.load(model=model, block=block, smooth=smooth, seed=seed, alive=not still, emotion=asked.hears)
    tell_undone(rig, [job.format for job in jobs])
    mesh = load_head(head, jobs[0].format, made=True)
    work = Work(animator, raw, convert, mesh, said, language, asked, being, other)
    report(*_run(work, jobs, json_output), json_output, _line)


def plan(sources: list[Path], out: Path | None, format: str | None, seeds: Sequence[int] = (0,)) -> list[Job]:
    """Where each take of each input goes; formats are refused before any work is done."""
    import exporters

    takes = [(seed, take if len(seeds) > 1 else 0) for take, seed in enumerate(seeds, 1)]
    named = one_file(sources, out, format)
    if named is not None and out is not None:
        return [Job(sources[0], _of_take(out, named, take), named, seed, take) for seed, take in takes]
    suffix = exporters.format_of(format or "csv")
    return [Job(source, (out or source.parent) / file_name(source, suffix, take), suffix, seed, take)
            for source in sources for seed, take in takes]


def _of_take(target: Path, suffix: str, take: int) -> Path:
    """voice.glb -> voice_take2.glb; the suffix may have two parts (.a2f.json)."""
    if not take:
        return target
    if not target.suffix:  # a pipe or a device
        raise OptionError(f"--takes: got several for {target}, accepted: one")
    return target.with_name(f"{target.name[:-len(suffix)]}_take{take}{target.name[-len(suffix):]}")


def file_name(source: Path, suffix: str, take: int = 0) -> str:
    """The input's name with the suffix; a Live Link CSV is named as Unreal imports it: slate, take, subject."""
    if suffix != ".csv":
        return f"{source.stem}{f'_take{take}' if take else ''}{suffix}"
    from exporters import livelink_csv

    return livelink_csv.file_name(livelink_csv.slate_of(source.stem), take or 1, "facerig")


def _converter(rig: str | None, map_file: Path | None, fps: int) -> Any:
    from facerig import retarget as retargeting
    from facerig.console import say
    from facerig.rig import rig as rig_by_name

    own_map = retargeting.load_map(map_file) if map_file else None
    if own_map is not None and own_map.neutral:
        say(f"{map_file}: no row moves {', '.join(own_map.neutral[:8])}{' ...' if len(own_map.neutral) > 8 else ''}")
    target = rig_by_name(rig) if rig else None

    def convert(curves: Any) -> Any:
        if own_map is not None:
            curves = retargeting.retarget(curves, target or own_map.target, own_map)
        elif target is not None:
            curves = retargeting.retarget(curves, target)
        return curves.resample(fps)

    return convert


def _run(work: Work, jobs: list[Job], quiet: bool) -> tuple[list[dict[str, object]], list[FacerigError]]:
    from facerig.console import progress_bars

    with progress_bars(quiet) as bars:
        whole = bars.add_task("clips", total=len(jobs), visible=len(jobs) > 1)

        def made(job: Job) -> dict[str, object]:
            bar = bars.add_task(job.source.name, total=None)
            try:
                return _one(work, job, partial(_moved, bars, bar))
            finally:
                bars.remove_task(bar)
                bars.advance(whole)

        return each(jobs, made, lambda job: job.target)


def _moved(bars: Any, bar: Any, done: int, total: int | None) -> None:
    bars.update(bar, completed=done, total=total)


def _one(work: Work, job: Job, progress: Any) -> dict[str, object]:
    import exporters
    from facerig.files import write_file

    curves = work.convert(_moving(work, job, progress))
    write_file(job.target, exporters.export(curves, job.format, work.head))
    curves = exporters.held(curves, job.format)
    return {"input": str(job.source), "output": str(job.target), "frames": curves.frames, "fps": curves.fps,
            "seconds": round(curves.seconds, 4), "channels": len(curves.channels), "model": work.animator.model,
            "seed": job.seed, **({"take": job.take} if job.take else {})}


def _moving(work: Work, job: Job, progress: Any) -> Any:
    """The curves of an input; what people should know of its sound is said."""
    from facerig.audio import open_audio
    from facerig.console import say

    controls = work.controls(job.seed)
    with open_audio(job.source, work.pcm) as source:
        if work.transcript:
            curves = work.animator.animate_said(source.whole(), work.transcript, work.language, controls, job.seed)
        else:
            curves = work.animator.animate_source(source, progress=progress, controls=controls, seed=job.seed)
    for note in source.notes:
        say(note)
    return curves


def _line(row: dict[str, Any]) -> str:
    return f"{row['output']}  {row['frames']} frames at {row['fps']} fps, model {row['model']}"
