"""From what a user asked for to a `LiveLoop` that is ready to run: sources opened, targets made, controls in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from facerig.asking import Asked, seeds
from facerig.assembly import MAX_BLOCK
from facerig.audio import Pcm
from facerig.controls import CONTROLS
from facerig.curves import Curves
from facerig.errors import OptionError, check_option, whole
from facerig.live import servers
from facerig.live.gains import Gains, Recorded
from facerig.live.loop import Face, LiveLoop
from facerig.live.servers import Server
from facerig.live.sinks import file_of, make
from facerig.live.sources import LIVE_BLOCK, Feed, Spec, Voices, open_feed, sent_rig, spec
from facerig.live.steer import Note, Steering
from facerig.pipeline import Animator
from facerig.stage import FPS
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose

FILE_BLOCK = 6
LONGEST_SECONDS = 86_400 * 7
SOURCES = (
    ("voice.wav", "any audio or video file, animated while it plays; --loop, --play"),
    ("take.npz, .csv, .json", "recorded curves of any rig"),
    ("mic, mic:NAME", "the microphone"),
    ("-", "samples on standard input; --pcm s16le:16000:1"),
    ("facerig://HOST:52100?audio=X", "X (a file, mic or -) with the frames made by a facerig server"),
    ("a2f://HOST:52000?audio=X", "the same by an NVIDIA Audio2Face-3D server, or one that speaks like it"),
)


@dataclass(frozen=True)
class Plan:
    """All that `facerig live` is told."""

    sources: Sequence[str]
    to: Sequence[str]
    model: str = "auto"
    server: str = ""
    api_key: str = field(default="", repr=False)
    ca: str = ""
    tls: bool = False
    block: int | None = None
    pcm: str = ""
    lead: int | None = None
    play: bool = False
    gains: Path | None = None
    asked: Asked = field(default_factory=Asked)
    still: bool = False
    """Speech alone, without blinks, gaze and head."""
    seed: int = 0
    loop: bool = False
    seconds: float | None = None
    no_face: bool = False
    note: Note | None = None
    """Takes what a server has to say to people."""

    def __post_init__(self) -> None:
        if not self.to:
            raise OptionError("--to: got none, accepted: at least one target, e.g. --to livelink://127.0.0.1 (facerig "
                              "live --list)")
        if self.block is not None:
            whole("--block", self.block, 1, MAX_BLOCK)
        self.asked.controls()  # a mistake is told before anything is opened
        seeds(self.seed, 1)
        check_option("--seconds", self.seconds, "above 0", self.seconds is None or 0 < self.seconds <= LONGEST_SECONDS)
        check_option("--lead", self.lead, "1 to 120 frames", self.lead is None or 1 <= self.lead <= 120)


# Who makes the frames of a source.
MODEL, CURVES, FACERIG, A2F = "a model that runs here", "recorded curves", "a facerig server", "an Audio2Face server"
SERVERS = {"facerig": FACERIG, "a2f": A2F}
# option | whether it was given | who heeds it; Audio2Face's faces are still by themselves
HEEDED: tuple[tuple[str, Callable[[Plan], bool], tuple[str, ...]], ...] = (
    ("--model", lambda plan: plan.model != "auto", (MODEL,)),
    ("--block", lambda plan: plan.block is not None, (MODEL,)),
    ("--seed", lambda plan: plan.seed != 0, (MODEL, FACERIG)),
    ("--still", lambda plan: plan.still, (MODEL, FACERIG, A2F)),
)


def files(plan: Plan) -> tuple[list[Path], list[tuple[str, Path | str | None]]]:
    """The files that will be written, and those that are read with what they are."""
    wanted = [spec(source) for source in plan.sources]
    written = [file_of(text, *_called(plan, one)) for text in plan.to for one in wanted]
    read: list[tuple[str, Path | str | None]] = [
        ("the source", one.path) for one in wanted if one.kind in ("audio", "curves")]
    read += [("the file of --gains", plan.gains), ("the file of --emotion", plan.asked.emotion),
             ("the file of --style", plan.asked.style), ("the file of --ca", plan.ca or None)]
    return [path for path in written if path is not None], read


def made_here(plan: Plan) -> bool:
    """Whether a model of our own makes any face: servers and recorded curves heed the options in their own way."""
    return any(_maker(plan, spec(source)) == MODEL for source in plan.sources)


def open_loop(plan: Plan) -> LiveLoop:
    """Everything open and the sources running; what cannot be opened fails here, and nothing stays open."""
    wanted = [spec(source) for source in plan.sources]
    _check(wanted, plan.play)
    _check_heeded(plan, {_maker(plan, one) for one in wanted})
    live = any(one.kind in ("mic", "stdin") for one in wanted)
    size = plan.block if plan.block is not None else (LIVE_BLOCK if live else FILE_BLOCK)
    animator = lru_cache(maxsize=1)(lambda: Animator.load(model=plan.model, block=size, seed=plan.seed,
                                                          alive=not plan.still, emotion=plan.asked.hears))
    faces: list[Face] = []
    try:
        for number, one in enumerate(wanted):
            faces.append(_face(plan, one, number, animator, size))
    except BaseException:
        for face in faces:
            face.close()
        raise
    frames = round(plan.seconds * FPS) if plan.seconds else None
    return LiveLoop(faces, absent_in_pauses=plan.no_face, frames=frames)


def _check(wanted: Sequence[Spec], play: bool) -> None:
    if sum(one.kind == "stdin" for one in wanted) > 1:
        raise OptionError("sources: got - twice, accepted: standard input once")
    if play and len(wanted) > 1:
        raise OptionError(f"--play: got {len(wanted)} sources, accepted: one, whose voice is played")
    names = [one.subject for one in wanted]
    if len(set(names)) != len(names):
        raise OptionError(f"sources: two faces would be called {max(names, key=names.count)!r}; rename a file")


def _check_heeded(plan: Plan, makers: set[str]) -> None:
    for option, given, heed in HEEDED:
        if given(plan) and not makers & set(heed):
            raise OptionError(f"{option}: got it for {', '.join(sorted(makers))}, accepted with {' or '.join(heed)}; "
                              "leave it out")


def _maker(plan: Plan, one: Spec) -> str:
    """Who makes the frames of a source."""
    server = _server(plan, one)
    return CURVES if one.kind == "curves" else SERVERS[server.protocol] if server else MODEL


def _called(plan: Plan, one: Spec) -> tuple[str, bool]:
    """A face's name, and whether it is one of several."""
    several = len(plan.sources) > 1
    return one.subject if several else "facerig", several


def _still(asked: Asked) -> Asked:
    """For a server, which does not know --still: every behaviour left out, unless one is asked for by name."""
    lives = [control.name for control in CONTROLS if control.group == "life"]
    return replace(asked, sets=(*(f"{name}=0" for name in lives), *asked.sets))


def _server(plan: Plan, one: Spec) -> Server | None:
    text = one.server or plan.server
    return servers.parse(text, plan.api_key, plan.ca, plan.tls)[0] if text else None


def _face(plan: Plan, one: Spec, number: int, animator: Voices, block: int) -> Face:
    """Several faces get their own subject names, and servers their own ports, from the same --to."""
    maker, server, lead = _maker(plan, one), _server(plan, one), plan.lead or block + 2
    # Faces with one seed would blink and nod together.
    steering = Steering(_still(plan.asked) if plan.still and maker == FACERIG else plan.asked, plan.seed + number,
                        plan.note)
    gains = Gains(sent_rig(), plan.gains, Recorded(one.path) if maker == CURVES else steering)
    subject, several = _called(plan, one)
    fan = Fan([])
    with ExitStack() as undo:
        undo.callback(fan.close)
        for text in plan.to:
            fan.add(make(text, subject, number, several))
        feed = open_feed(one, animator, Pcm.parse(plan.pcm) if plan.pcm else None, plan.loop, plan.play,
                         server=server, steering=steering, prompt=plan.gains is not None, lead=lead, block=block)
        undo.callback(feed.close)
        _prepare(feed, fan)
        undo.pop_all()
    return Face(feed, fan, gains, lead, served=maker in SERVERS.values(), block=block)


def _prepare(feed: Feed, fan: Fan) -> None:
    """What takes long the first time is done before the clock starts."""
    rest = Curves(feed.channels, FPS, np.zeros((1, len(feed.channels)), np.float32))
    fan.prepare(Pose(rest, 0))
