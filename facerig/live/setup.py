"""From what a user asked for to a `LiveLoop` that is ready to run: sources opened, targets made, controls in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from facerig.asking import Asked
from facerig.audio import Pcm
from facerig.controls import CONTROLS
from facerig.curves import Curves
from facerig.errors import OptionError, check_option
from facerig.live import servers
from facerig.live.gains import Gains
from facerig.live.loop import Face, LiveLoop
from facerig.live.servers import FULL_RIG, Server
from facerig.live.sinks import make
from facerig.live.sources import Feed, Spec, Voices, open_feed, spec
from facerig.live.steer import Steering
from facerig.pipeline import Animator
from facerig.rig import rig
from facerig.stage import FPS
from unreal_bridge.lanes import Fan
from unreal_bridge.pose import Pose

FILE_BLOCK = 6
LIVE_BLOCK = 2  # frames: 33 ms of waiting; one frame at a time would cost twice the computing
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

    def __post_init__(self) -> None:
        check_option("--to", self.to, "at least one target, e.g. --to livelink://127.0.0.1 (facerig live --list)",
                     bool(self.to))
        self.asked.controls()  # a mistake is told before anything is opened
        check_option("--seconds", self.seconds, "above 0", self.seconds is None or 0 < self.seconds <= LONGEST_SECONDS)
        check_option("--lead", self.lead, "1 to 120 frames", self.lead is None or 1 <= self.lead <= 120)


def open_loop(plan: Plan) -> LiveLoop:
    """Everything open and the sources running; what cannot be opened fails here, and nothing stays open."""
    wanted = [spec(source) for source in plan.sources]
    _check(wanted, plan.play)
    live = any(one.kind in ("mic", "stdin") for one in wanted)
    size = plan.block or (LIVE_BLOCK if live else FILE_BLOCK)
    animator = lru_cache(maxsize=1)(lambda: Animator.load(model=plan.model, block=size, seed=plan.seed,
                                                          alive=not plan.still, emotion=plan.asked.hears))
    faces: list[Face] = []
    try:
        for number, one in enumerate(wanted):
            faces.append(_face(plan, one, number, animator, plan.lead or size + 2))
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


def _still(asked: Asked) -> Asked:
    """For a server, which does not know --still: every behaviour left out, unless one is asked for by name."""
    lives = [control.name for control in CONTROLS if control.group == "life"]
    return replace(asked, sets=(*(f"{name}=0" for name in lives), *asked.sets))


def _server(plan: Plan, one: Spec) -> Server | None:
    text = one.server or plan.server
    return servers.parse(text, plan.api_key, plan.ca, plan.tls)[0] if text else None


def _face(plan: Plan, one: Spec, number: int, animator: Voices, lead: int) -> Face:
    """Several faces get their own subject names, and servers their own ports, from the same --to."""
    steering = Steering(_still(plan.asked) if plan.still and _server(plan, one) else plan.asked)
    gains = Gains(rig(FULL_RIG), plan.gains, steering)
    subject = one.subject if len(plan.sources) > 1 else "facerig"
    fan = Fan([])
    try:
        for text in plan.to:
            fan.add(make(text, subject, number, len(plan.sources) > 1))
        feed = open_feed(one, animator, Pcm.parse(plan.pcm) if plan.pcm else None, plan.loop, plan.play,
                         server=_server(plan, one), steering=steering, prompt=plan.gains is not None)
    except BaseException:
        fan.close()
        raise
    _prepare(feed, fan)
    return Face(feed, fan, gains, lead)


def _prepare(feed: Feed, fan: Fan) -> None:
    """What takes long the first time is done before the clock starts."""
    rest = Curves(feed.channels, FPS, np.zeros((1, len(feed.channels)), np.float32))
    fan.prepare(Pose(rest, 0))
