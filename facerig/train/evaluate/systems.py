"""What is judged: the shipped model, its baselines and its ceiling, behind one call. Each makes an `Output` of a clip.

Baselines are trained here and now, on training-side clips alone: GRID's training clips (phones and tracks) and
FACEGOOD's. So their content scores on other people are those of a model that heard one man, and are meant as a floor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerig.features import BANDS, HOPS
from facerig.model.config import NetConfig, preset
from facerig.phones import flag_of_units, rasterise, units
from facerig.rig import rig
from facerig.train.evaluate.sets import Clip, fitted
from facerig.transcript.articulation import expected, soft_raster
from facerig.transcript.assist import TRUST, assisted
from facerig.transcript.read import Transcript, Word

Floats = NDArray[np.float32]
CHANNELS = rig("facerig").names
CONTACT_NAMES = ("bilabial", "labiodental", "speech")
BACK = 15  # frames of mel that ridge regression looks back at most: 250 ms
RIDGE = 30.0
BLOCK = 60  # frames in one go: the same curves but for the last bits, and three times faster than live
PART = 600
# Contact probabilities from which an event lasts, and under which it ends. A network's are those where recall and
# precision cross on training-side speech (60 aligned speechocean training clips and 60 clips of held-back synthetic
# voices); never tuned on the clips that are reported.
BAR = (0.42, 0.305)
OWN_BARS = {"instant": (0.46, 0.335), "tiny": (0.32, 0.233)}
LIKE = {"ema": "grid"}  # a set without training clips, and the one whose talker the regressions then speak for


@dataclass(frozen=True, eq=False)
class Output:
    """What a system says of a clip; a part that it does not know is None or missing. All at 60 fps.

    `tracks` are measures predicted directly (GRID's and FACEGOOD's columns), by systems that make no curves for a face.
    """

    curves: Floats | None = None
    raw: Floats | None = None  # curves before any stage limits them
    units: Floats | None = None
    contacts: Mapping[str, Floats] = field(default_factory=dict)
    tracks: Mapping[str, Floats] = field(default_factory=dict)
    bar: tuple[float, float] = BAR  # by which `contacts` are judged


class System(Protocol):
    """Anything that animates clips."""

    @property
    def name(self) -> str: ...

    def run(self, clip: Clip) -> Output: ...


@dataclass(frozen=True)
class Simple:
    """A system that is one function."""

    name: str
    make: Callable[[Clip], Output]

    def run(self, clip: Clip) -> Output:
        return self.make(clip)


def summed(posteriors: Floats, flag: str) -> Floats:
    """[frames] probability of the units with a flag."""
    return np.asarray(posteriors[:, flag_of_units(flag)].sum(axis=1), np.float32)


def contacts_of(posteriors: Floats) -> dict[str, Floats]:
    return {
        "bilabial": summed(posteriors, "bilabial"),
        "labiodental": summed(posteriors, "labiodental"),
        "speech": 1 - summed(posteriors, "is_silence"),
    }


# ---- the model --------------------------------------------------------------------------------------------


class ModelSystem:
    """The shipped pipeline; posteriors come from the same network on the same features."""

    def __init__(self, model: str | None = None) -> None:
        from facerig.pipeline import Animator

        self.animator = Animator.load(model=model or "auto", block=BLOCK, alive=False)
        self.name = self.animator.model
        self.bar = OWN_BARS.get(self.name, BAR)
        self._last: tuple[str, Output] = ("", Output())

    @functools.cached_property
    def network(self) -> Any:
        """The network's stage, or None where the model has no posteriors (the fake)."""
        return next((stage for stage in self.animator.chain.stages if hasattr(stage, "posteriors")), None)

    @property
    def config(self) -> NetConfig:
        """The network's shape; that of the default one where there is no network."""
        held = getattr(self.network, "config", None)
        return held if isinstance(held, NetConfig) else preset("small", CHANNELS, tuple(unit.unit for unit in units()))

    def run(self, clip: Clip) -> Output:
        if self._last[0] != clip.id:
            self._last = (clip.id, self._make(clip))
        return self._last[1]

    def _make(self, clip: Clip) -> Output:
        curves = self.animator.animate(clip.samples, clip.rate)
        shipped = fitted(np.array(curves.select(CHANNELS, fill=0.0).values), clip.frames)
        if self.network is None:
            return Output(shipped)
        raw, evidence, posteriors = self.network.posteriors(clip.mel)
        names = [n.removeprefix("contact:") for n in self.network.columns if n.startswith("contact:")]
        held = {name: evidence[:, names.index(name)] for name in CONTACT_NAMES if name in names}
        return Output(shipped, raw, posteriors, held, bar=self.bar)


def expected_from(model: ModelSystem) -> Simple:
    """The rules fed with the model's posteriors: what phones alone, without any captured motion, would give."""

    def make(clip: Clip) -> Output:
        heard = model.run(clip)
        if heard.units is None:
            return Output()
        return Output(expected(heard.units, clip.energy), None, heard.units, contacts_of(heard.units), bar=model.bar)

    return Simple("expected", make)


def untold(model: ModelSystem) -> Simple:
    """The model without the text, on the clips whose text is known: what `told` is to be compared with."""

    def make(clip: Clip) -> Output:
        heard = model.run(clip)
        return heard if clip.text and heard.units is not None else Output()

    return Simple("text unread", make)


def told(model: ModelSystem) -> Simple:
    """The model beside the text of the clip (words without times), as `facerig animate --transcript` uses it."""
    alone = untold(model)

    def make(clip: Clip) -> Output:
        heard = alone.run(clip)
        if heard.units is None:
            return Output()
        words = Transcript(words=tuple(Word(0.0, 0.0, word) for word in clip.text.split()))
        made = assisted(model.animator.chain.stages, clip.samples, clip.rate, words, clip.language)
        belief = (1 - TRUST) * heard.units + TRUST * soft_raster(made.timed, clip.frames)
        curves = fitted(np.array(made.curves.select(CHANNELS, fill=0.0).values), clip.frames)
        return Output(curves, None, belief, contacts_of(belief), bar=model.bar)

    return Simple("with text", make)


# ---- the ceiling and the floors ---------------------------------------------------------------------------


def taught(clip: Clip) -> Output:
    """The teacher with true phones."""
    if not clip.timed:
        return Output()
    belief = soft_raster(clip.timed, clip.frames)
    hard = np.eye(len(units()), dtype=np.float32)[rasterise(clip.timed, clip.frames)]
    return Output(expected(belief, clip.energy), None, hard, contacts_of(belief))


def static(clip: Clip) -> Output:
    return Output(np.zeros((clip.frames, len(CHANNELS)), np.float32))


def mean_face(examples: Sequence[Clip]) -> Simple:
    """The mean of the teacher's curves over training clips, held still."""
    mean = np.mean(np.concatenate([taught(clip).curves for clip in examples]), axis=0)
    return Simple("mean", lambda clip: Output(np.tile(mean.astype(np.float32), (clip.frames, 1))))


def energy_jaw(clip: Clip) -> Output:
    """Smoothed loudness over the room's noise opens the jaw: 0 at the quietest tenth, 0.4 at the loudest."""
    hann = np.hanning(13)[1:-1]
    smooth = np.convolve(np.pad(clip.energy, 5, mode="edge"), hann / hann.sum(), mode="valid")
    low, high = np.percentile(smooth, [10, 95])
    curves = np.zeros((clip.frames, len(CHANNELS)), np.float32)
    curves[:, CHANNELS.index("jawOpen")] = 0.4 * np.clip((smooth - low) / max(high - low, 1e-3), 0, 1)
    return Output(curves)


# ---- regressions on frozen features ------------------------------------------------------------------------


def mel_windows(ahead: int) -> Callable[[Clip], Floats]:
    """[frames, window * 32] of a clip: band means of every other frame, the last one `ahead` frames ahead."""
    window = range(ahead, -BACK - 1, -2)
    return lambda clip: around(pooled(clip.mel), window)


def around(rows: Floats, shifts: Sequence[int] | range) -> Floats:
    reach = max(abs(min(shifts)), abs(max(shifts)))
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    return np.concatenate([padded[reach + s : reach + s + len(rows)] for s in shifts], axis=1)


def pooled(mel: Floats) -> Floats:
    return np.asarray(mel.reshape(len(mel), HOPS, BANDS // 2, 2).mean(axis=(1, 3)), np.float32)


class RandomEncoder:
    """The model's own encoder with random weights: what its shape and memory give without any training."""

    def __init__(self, config: NetConfig, seed: int = 0) -> None:
        import torch

        from facerig.model.net import Encoder

        torch.manual_seed(seed)
        self.encoder = Encoder(config).eval()

    def __call__(self, clip: Clip) -> Floats:
        import torch

        mel = torch.from_numpy(clip.mel)[None]
        past, parts = self.encoder.rest(mel, self.encoder.config.stride), []
        with torch.inference_mode():
            for first in range(0, mel.shape[1], PART):  # attention over a whole clip would cost its length squared
                content, kept = self.encoder(mel[:, first : first + PART], past)
                past = tuple(kept)
                parts.append(content[0].numpy())
        ahead = self.encoder.config.lookahead
        return around(np.concatenate(parts), (ahead, 0, -ahead))


@dataclass(frozen=True, eq=False)
class Linear:
    """Ridge regression on standardised inputs."""

    mean: Floats
    scale: Floats
    weights: Floats

    def __call__(self, inputs: Floats) -> Floats:
        rows = (inputs - self.mean) / self.scale
        return np.asarray(rows @ self.weights[:-1] + self.weights[-1], np.float32)


class Ridge:
    """Least squares with a penalty on standardised inputs, from sums over the clips: the inputs, up to a thousand
    numbers a frame, are kept of none. Rows whose target is NaN are left out."""

    def __init__(self) -> None:
        self.sums: list[NDArray[np.float64]] = []

    def add(self, inputs: Floats, targets: Floats) -> None:
        good = np.isfinite(targets).all(axis=1)
        x, y = inputs[good].astype(np.float64), targets[good].astype(np.float64)
        own = [np.array(float(len(x))), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y]
        self.sums = [a + b for a, b in zip(self.sums, own, strict=True)] if self.sums else own

    def solved(self) -> Linear:
        count, x, y, xx, xy = self.sums
        mean = x / count
        scale = np.sqrt(np.maximum(np.diag(xx) / count - mean**2, 0)) + 1e-4
        normal = (xx - count * np.outer(mean, mean)) / np.outer(scale, scale) + RIDGE * np.eye(len(mean))
        weights = np.linalg.solve(normal, (xy - np.outer(mean, y)) / scale[:, None])
        whole = np.concatenate([weights, (y / (count + RIDGE))[None]])
        return Linear(mean.astype(np.float32), scale.astype(np.float32), whole.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Regression:
    """Frozen features with linear heads: unit scores from GRID's phones, tracks of the set that the clip is from."""

    name: str
    encode: Callable[[Clip], Floats]
    speech: Linear
    heads: Mapping[str, tuple[Linear, tuple[str, ...]]]
    bar: tuple[float, float] = BAR

    @classmethod
    def train(cls, name: str, encode: Callable[[Clip], Floats], sets: Mapping[str, Sequence[Clip]]) -> Regression:
        heads: dict[str, tuple[Linear, tuple[str, ...]]] = {}
        speech = Ridge()
        for source, clips in sets.items():
            moved = Ridge()
            for clip in clips:
                assert clip.motion is not None
                inputs = encode(clip)
                if source == "grid":
                    speech.add(inputs, soft_raster(clip.timed, clip.frames))
                moved.add(inputs, fitted(clip.motion, clip.frames))
            heads[source] = (moved.solved(), clips[0].columns)
        return cls(name, encode, speech.solved(), heads)

    def run(self, clip: Clip) -> Output:
        inputs = self.encode(clip)
        scores = np.clip(self.speech(inputs), 1e-4, None)
        belief = scores / scores.sum(axis=1, keepdims=True)
        tracks: dict[str, Floats] = {}
        like = LIKE.get(clip.set, clip.set)
        if like in self.heads:
            head, columns = self.heads[like]
            tracks = dict(zip(columns, head(inputs).T, strict=True))
        return Output(expected(belief, clip.energy), None, belief, contacts_of(belief), tracks, self.bar)

