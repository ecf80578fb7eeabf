"""What an Animator is loaded with, and how the chain is put together from it: features, model, post, behaviour.

What only some faces have is imported when it is asked for. It knows no stream, no file of sound and no wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facerig.asking import MOST_SEED
from facerig.emotion.code import condition
from facerig.emotion.express import Express, FeltLips
from facerig.errors import check_option, whole
from facerig.face import Face
from facerig.fake import FakeModel
from facerig.model import device as devices
from facerig.model.runtime import ModelStage
from facerig.model.runtime import installed as installed_models
from facerig.post.gains import Gains
from facerig.post.limits import Limits
from facerig.post.lips import PROMPT
from facerig.post.smooth import MAX_FRAMES as MAX_SMOOTH
from facerig.post.smooth import smooth
from facerig.rig import Rig, rig
from facerig.stage import Stage

NATIVE_RIG = "facerig"
FULL_RIG = "facerig-full"
MAX_BLOCK = 60
EMOTION_MODES = ("off", "auto")
# A model that looks ahead fewer frames than that was chosen for its answer: then nothing behind it adds a frame.
UNHURRIED = 2


@dataclass(frozen=True)
class Options:
    """What an Animator is loaded with."""

    model: str = "auto"
    """A name (`small`, `instant`, `tiny`, `fake`), a path to weights, or `auto`: the best that is installed."""
    block: int = 6
    """Frames computed in one go: 6 (100 ms) costs least, 1 answers soonest. Results differ in the last bits only; with
    the emotion heard, which is read once a block, by some hundredths."""
    smooth: int = 0
    """Frames of smoothing on each side; each adds a frame of delay."""
    seed: int = 0
    """Of everything random (behaviour); the lips never depend on it."""
    alive: bool = True
    """Whether the face blinks, looks and moves its head: 71 channels instead of the 68 that speech moves."""
    emotion: str = "off"
    """`auto`: the emotion heard in the voice counts (control `heard`); `off`: the one asked for alone."""
    device: str = "cpu"
    """Where the network runs: cpu, cuda, or `auto`: cuda where it is there and gives what the cpu gives."""
    runtime: str = "auto"
    """By what on the cpu: onnx, torch, or `auto`: onnx, which was faster wherever it was measured."""
    precision: str = "fp16"
    """Of the network on cuda: fp16, bf16 or fp32."""

    def __post_init__(self) -> None:
        devices.check(self.device, self.runtime, self.precision)
        check_option("emotion", self.emotion, ", ".join(EMOTION_MODES), self.emotion in EMOTION_MODES)
        for name, low, high in (("block", 1, MAX_BLOCK), ("smooth", 0, MAX_SMOOTH), ("seed", 0, MOST_SEED)):
            object.__setattr__(self, name, whole(name, getattr(self, name), low, high))

    @property
    def rig(self) -> Rig:
        """The channels that come out."""
        return rig(FULL_RIG if self.alive else NATIVE_RIG)


def build(options: Options, model: ModelStage | FakeModel) -> Face:
    """The chain in the order of the picture: features, model, post, behaviour."""
    native, trained = rig(NATIVE_RIG), isinstance(model, ModelStage)
    lips = lips_of(model) if isinstance(model, ModelStage) else None
    return Face(
        model, Gains(native, still=not options.alive), Limits(options.rig.low, options.rig.high),
        condition=condition if trained else None,
        express=Express(model.columns) if isinstance(model, ModelStage) else None,
        lips=lips,
        smooth=smooth(options.smooth, len(native)) if options.smooth else None,
        heard=_heard() if options.emotion == "auto" else None,
        **_behaviour(model.delay + lips.delay if lips is not None else None) if options.alive else {},
    )  # fmt: skip


def lips_of(model: ModelStage) -> FeltLips:
    """The lips stage that a model is shown through."""
    if model.delay >= UNHURRIED:
        return FeltLips(model.columns)
    return FeltLips(model.columns, lips=PROMPT).at_once()


def _heard() -> Stage:
    from facerig.emotion.heard import Heard

    return Heard()


def _behaviour(speech: int | None) -> dict[str, Any]:
    """Gestures that follow the voice where speech, so many frames late, is shown before they could be known."""
    from facerig.behaviour import Life
    from facerig.prosody import DELAY, Prosody

    return {"prosody": Prosody(DELAY if speech is None else min(DELAY, speech)), "life": Life()}


def load_model(options: Options) -> ModelStage | FakeModel:
    """The model stage by name or path; `auto` is the default model, or the fake one where no weights are installed."""
    name = options.model
    if name == "fake" or (name == "auto" and not installed_models()):
        check_option("device", options.device, "auto or cpu for the fake model", options.device != "cuda")
        return FakeModel(rig(NATIVE_RIG).names)
    return devices.load(None if name == "auto" else name, options.device, options.runtime, options.precision)
