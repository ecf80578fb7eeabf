"""facerig say: text -> a wav and the curves that speak it, on one clock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facerig.commands._asked import EMOTION, SEED, SET, SHOWN_HEAD, STATE, STILL, STYLE, tell_stilled
from facerig.commands._results import check_targets, load_head
from facerig.commands._values import known_rig, possible_fps


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(say)


def say(
    text: Annotated[str, typer.Argument(help="What to say; tags: \\[happy:0.7], \\[sad], \\[pause:0.5]. "
                                        "- reads stdin.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The wav; the curves go beside it.")] = Path("say.wav"),
    voice: Annotated[str, typer.Option(help="The engine's voice, e.g. en-us, de, cmn (espeak-ng), slt (flite).",
                                       show_default=False)] = "",
    engine: Annotated[str, typer.Option(help="auto, espeak-ng, flite or command.")] = "auto",
    command: Annotated[str, typer.Option(help="Your own TTS: a command line with {text} and {wav}, maybe {voice}.",
                                         show_default=False)] = "",
    language: Annotated[str, typer.Option(help="Language of the text, for your own TTS.")] = "en",
    format: Annotated[str, typer.Option("--format", help="Format of the curves, by suffix.")] = "csv",
    fps: Annotated[int, typer.Option(help="Frames a second of the curves.", callback=possible_fps)] = 60,
    rig: Annotated[str | None, typer.Option(help="Rig to write (default: the format's).", show_default=False,
                                            callback=known_rig)] = None,
    head: SHOWN_HEAD = None,
    model: Annotated[str, typer.Option(help="Model by name or path.")] = "auto",
    emotion: EMOTION = "off",
    style: STYLE = "",
    state: STATE = "",
    set_: SET = None,
    still: STILL = False,
    seed: SEED = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Speak a text: writes a wav and curves of exactly its length. Tags set emotions and pauses."""
    from facerig.asking import Asked, seeds
    from facerig.pipeline import Animator
    from facerig.transcript.speak import speak

    curves = _curves_file(out, format)
    check_targets([out, curves], [("the file of --emotion", emotion), ("the file of --style", style),
                                  ("the file of --head", head)])
    mesh = load_head(head, curves.name.removeprefix(out.stem), made=True)
    text = _stdin() if text == "-" else text
    name, own, tongue = choose(engine, voice, command, language)
    asked = Asked(tuple(set_ or ()), emotion, style, state)
    controls, keyframes = asked.held(), asked.keyframes()
    tell_stilled(still, asked.sets)
    animator = Animator.load(model=model, seed=seeds(seed, 1)[0], alive=not still, emotion=asked.hears)
    report = _write(speak(text, own, animator.animate_said, tongue, controls, keyframes), out, curves, fps, rig, mesh)
    _tell({**report, "engine": name, "model": animator.model}, json_output)


def _stdin() -> str:
    import sys

    from facerig.errors import InputError

    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError(f"stdin: got bytes that are no {error.encoding} (byte {error.start}), accepted: text in "
                         f"{error.encoding}") from None


ENGINES = ("auto", "espeak-ng", "flite", "command")


def choose(engine: str, voice: str, command: str, language: str) -> tuple[str, Any, str]:
    """(name, engine, language of the text): the user's command, else espeak-ng, else flite, as far as installed."""
    import shutil

    from facerig.errors import ServiceError, check_option
    from facerig.transcript.engines import espeak_library
    from facerig.transcript.speak import external

    check_option("--engine", engine, ", ".join(ENGINES), engine in ENGINES)
    if command or engine == "command":
        return "command", external(command, voice), language
    if engine == "espeak-ng" or (engine == "auto" and espeak_library()):
        if not espeak_library():
            raise ServiceError("espeak-ng is not installed; install its package, or give --engine flite or --command")
        return "espeak-ng", _espeak(voice or "en-us"), (voice or "en-us").split("+")[0]
    if not shutil.which("flite"):
        raise ServiceError("no speech engine: neither espeak-ng nor flite is installed; install one or give --command")
    return "flite", _flite(voice or "slt"), "en"


def _espeak(voice: str) -> Any:
    """The engine's library, which tells when each phone is spoken."""
    import numpy as np

    from facerig.transcript.engines import espeak
    from facerig.transcript.speak import Said

    def engine(text: str) -> Any:
        said = espeak().speak(text, voice)
        return Said(said.samples.astype(np.float32) / np.float32(32768), said.rate, said.timed)

    return engine


def _flite(voice: str) -> Any:
    """A sentence at a time, which is how flite tells its times; its voice may be a file."""
    import numpy as np

    from facerig.errors import check_option
    from facerig.phones import Timed
    from facerig.transcript.engines import flite, flite_voices
    from facerig.transcript.speak import Said, sentences

    known = flite_voices()
    check_option("--voice", voice, ", ".join(known), voice in known or not known or Path(voice).is_file())

    def engine(text: str) -> Any:
        parts, timed, at, rate = [], [], 0.0, 16_000
        for sentence in sentences(text):
            said = flite(sentence, voice)
            timed += [Timed(t.start + at, t.end + at, t.unit) for t in said.timed]
            parts.append(said.samples)
            rate = said.rate
            at += len(said.samples) / rate
        return Said(np.concatenate(parts).astype(np.float32) / np.float32(32768), rate, tuple(timed))

    return engine


def _curves_file(out: Path, format: str) -> Path:
    """Beside the wav."""
    import exporters
    from facerig.errors import OptionError

    if out.suffix.lower() != ".wav":
        raise OptionError(f"--out: got {out}, accepted: a file name that ends in .wav")
    return out.with_suffix(exporters.format_of(format))


def _write(spoken: Any, out: Path, target: Path, fps: int, rig_name: str | None, head: Any) -> dict[str, Any]:
    import exporters
    from facerig import retarget
    from facerig.files import write_file
    from facerig.rig import rig

    curves = retarget.retarget(spoken.curves, rig(rig_name)) if rig_name else spoken.curves
    curves = curves.resample(fps)
    data = exporters.export(curves, target, head)  # complete before the first file is written
    write_file(out, spoken.wav())
    write_file(target, data)
    return {"wav": str(out), "curves": str(target), "seconds": round(spoken.seconds, 4), "frames": curves.frames,
            "fps": curves.fps, "emotions": [[m.start, m.end, m.label] for m in curves.marks if m.kind == "emotion"]}


def _tell(report: dict[str, Any], as_json: bool) -> None:
    from facerig.console import emit, emit_json

    if as_json:
        emit_json(report)
    else:
        emit(f"{report['wav']}  {report['curves']}  {report['seconds']} s, {report['frames']} frames at "
             f"{report['fps']} fps, {report['engine']}, model {report['model']}")  # fmt: skip
