"""Training the expression head on a frozen model: the same words under all emotions and styles, exactly supervised.

    python -m facerig.train.expression small --minutes 12      # or: facerig train small --expression

What neutral speech uses is frozen: the model hears every clip once, its own curves are what the expression teacher
(`facerig.train.teacher.expression`) acts on, and a step draws a course of the condition for a crop of a clip and costs
the head alone. The same words therefore meet all emotions, and the teacher says for each what the face would do.

Two things are built in and not learnt: upper face and lower face have features of their own, of which the first never
see the whole face's mixture and the second never the upper one's (weights outside `masks` are zero); and what sees the
condition has no bias, so a neutral condition adds exactly nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facerig.emotion import code, looks
from facerig.errors import InputError
from facerig.features import FEATURES
from facerig.model.checkpoint import load_net, save
from facerig.model.config import FELT, PACES
from facerig.model.net import Expression, Net, pooled
from facerig.model.runtime import read_card
from facerig.rig import rig
from facerig.stage import Frames
from facerig.tool import finished, parser
from facerig.train import moods
from facerig.train.corpora import PackedClip, PackedSet, load_packed
from facerig.train.corpora.base import rng_for
from facerig.train.data import audio_features
from facerig.train.loop import contents
from facerig.train.motion import energy
from facerig.train.resume import Ema
from facerig.train.schedule import Schedule
from facerig.train.teacher.expression import NAMES, Speech, felt, speech
from facerig.train.told import tell

FEATURES_OF_HEAD = {"tiny": 96}  # of the presets that have a size of their own; all others have
USUAL_FEATURES = 192
# What words are taken from, in minutes: many languages, real people, measured talkers. EMO-DB, Thorsten, LJSpeech and
# CSS10 are left to those who judge.
CONTENT = (("synthetic", 18.0), ("speechocean", 14.0), ("grid", 8.0), ("facegood", 4.0))
# What a channel's name begins with, its weight in the loss; the first that fits counts
WEIGHTS: tuple[tuple[str, float], ...] = (
    ("jawOpen", 2.0), ("mouthClose", 2.0), ("mouth", 1.2), ("brow", 1.2), ("eye", 1.0), ("tongue", 0.4), ("", 0.8),
)  # fmt: skip
# Millimetres between the lips of the built-in head a unit of weight (facerig.heads.landmarks), where they are larger
GAP_MM = {"jawOpen": 32.8, "mouthClose": -32.8, "mouthFunnel": 13.7, "mouthShrugUpper": 5.3, "mouthLowerDownLeft": 3.4,
          "mouthLowerDownRight": 3.4, "mouthUpperUpLeft": 3.6, "mouthUpperUpRight": 3.6}  # fmt: skip
GAP_WEIGHT = 0.02  # of a millimetre that a closure is too open by, against curves of 0 to 1


@dataclass(frozen=True)
class Plan:
    """What to train and for how long."""

    name: str = "small"
    minutes: float = 12.0
    models: Path = field(default_factory=lambda: Path("assets/models"))
    out: Path | None = None
    """Where the files go; None: over the model's own."""
    content: float = 1.0
    """Share of the words of CONTENT."""
    warm: Path | None = None
    """Weights whose head it goes on from; None: a fresh one."""
    batch: int = 32
    frames: int = 144
    peak: float = 3e-3
    seed: int = 1
    folder: Path | None = None
    """Of its log."""


@dataclass(frozen=True, eq=False)
class Said:
    """A clip, step by step: what the head hears, and the speech that the teacher acts on."""

    id: str
    heard: NDArray[np.float16]
    raw: Frames  # the model's neutral curves, not yet cut to 0 and 1
    speech: Speech


def said(net: Net, feats: Frames, name: str = "") -> Said:
    """The frozen model over a clip. Row k shows frame k; the head hears `lookahead` frames more."""
    ahead = net.config.lookahead
    padded = np.concatenate([feats, np.full((ahead, FEATURES), feats.min(initial=0.0), np.float32)])
    with torch.no_grad():
        rows = torch.from_numpy(padded)[None]
        content = contents(net.encoder, rows, half=False)
        pasts = net.rest(1)[net.config.split :]
        lines = net.config.lines
        parts, _ = net.told(pooled(rows), content, pasts[:lines])
        x, _ = net.decoder.speak(parts, rows.new_zeros(1, len(padded), net.config.condition), pasts[lines:])
        curves = net.decoder.curves(x)[0, ahead:].numpy()
        loud = looks.smoothed(np.pad(parts[-1][0].mean(-1, keepdim=True).numpy(), ((looks.REACH, 0), (0, 0))))
        heard = np.concatenate([net.decoder.heard(x, parts)[0].numpy(), loud[..., 0]], axis=1)[ahead:]
        believed = parts[2][0, ahead:].numpy()
        return Said(name, heard.astype(np.float16), curves, speech(curves, believed, energy(feats)))


def corpus(net: Net, packed: PackedSet, share: float = 1.0, split: str = "train") -> list[Said]:
    """Clips of every set in CONTENT, about so many minutes of each."""
    out = []
    for name, minutes in CONTENT:
        if name not in packed.columns:
            continue
        clips = list(packed.only(split, [name]).clips)
        order = rng_for("expression", name).permutation(len(clips))
        left = minutes * share * 3600
        for k in order:
            if left <= 0:
                break
            left -= clips[k].frames
            out.append(said(net, _features(packed, clips[k]), clips[k].id))
    if not out:
        raise InputError("no corpus is packed; run `python -m facerig.train.corpora build`")
    return out


def _features(packed: PackedSet, clip: PackedClip) -> Frames:
    return audio_features(np.asarray(packed.audio(clip)))


# ---- the head ---------------------------------------------------------------------------------------------------


def with_head(net: Net, features: int) -> Net:
    """The same model with a fresh expression head."""
    fresh = Net(replace(net.config, expression=features))
    kept = {key: value for key, value in net.state_dict().items() if not key.startswith("decoder.expression.")}
    fresh.load_state_dict(kept, strict=False)
    head = fresh.decoder.expression
    assert head is not None
    head.kernels.copy_(torch.from_numpy(looks.kernels()))
    for layer, mask in masks(head):
        layer.weight.data.mul_(mask)
    return fresh.eval()


def masks(head: Expression) -> list[tuple[torch.nn.Linear, Tensor]]:
    """[(layer, which of its weights may be other than zero)]: a third of the features belongs to the upper face."""
    count = head.hear.out_features
    upper_feature = np.arange(count) < count // 3
    upper_channel = np.array([channel.region in looks.UPPER_REGIONS for channel in rig(looks.RIG).channels])
    column = np.arange(code.WIDTH)
    of_whole, of_upper = column < code.WHOLE.stop, (column >= code.UPPER.start) & (column < code.UPPER.stop)
    asked_by = np.where(upper_feature[:, None], ~of_whole[None], ~of_upper[None])  # [features, 32]
    asked = np.tile(asked_by, PACES)
    own = upper_feature[:, None] == upper_feature[None]
    shown = upper_channel[:, None] == upper_feature[None]
    pairs = ((head.pose, asked), (head.gate, np.concatenate([asked, own], 1)), (head.out, np.tile(shown, 2)))
    return [(layer, torch.from_numpy(mask.astype(np.float32))) for layer, mask in pairs]


class Trainer:
    """One run of the head on clips that were heard before."""

    def __init__(self, net: Net, clips: Sequence[Said], plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        assert net.decoder.expression is not None
        self.net, self.head, self.clips, self.plan = net, net.decoder.expression, clips, plan
        self.rng = np.random.default_rng(plan.seed)
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        for parameter in self.head.parameters():
            parameter.requires_grad_(True)
        self.masks = masks(self.head)
        self.optimizer = torch.optim.AdamW(self.head.parameters(), lr=plan.peak, betas=(0.9, 0.98), weight_decay=1e-4,
                                           fused=True)
        self.ema = Ema(self.head, 0.99)  # runs are short
        self.weight = torch.tensor([next(w for start, w in WEIGHTS if name.startswith(start)) for name in NAMES])
        self.gap = torch.tensor([GAP_MM.get(name, 0.0) for name in NAMES])
        lengths = np.array([len(clip.heard) for clip in clips], float)
        self.odds = lengths / lengths.sum()

    def train(self, seconds: float, steps: int = 0, shown: Callable[[float], None] = lambda _: None) -> list[float]:
        """Until the time is up; leaves the running mean in the net. Returns mean losses, an eighth of the run each."""
        schedule = Schedule(time.time(), time.time() + seconds, self.plan.peak, warm_steps=40, steps=steps)
        losses: list[float] = []
        means: list[float] = []
        step = 0
        while (progress := schedule.progress(step)) < 1.0:
            for group in self.optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            losses.append(self._step())
            step += 1
            shown(progress)
            if progress * 8 >= len(means) + 1:
                means.append(float(np.mean(losses)))
                tell("expression", {"step": step, "loss": round(means[-1], 4)}, self.plan.folder)
                losses = []
        self.head.load_state_dict({**self.head.state_dict(), **self.ema.weights})
        self._masked()
        return means

    def _step(self) -> float:
        heard, smooth, neutral, target, closed = self._draw()
        loss = self._loss(neutral + self.head.added(heard, smooth), target, closed)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._masked()
        self.ema.update(self.head)
        return float(loss.detach())

    def _masked(self) -> None:
        with torch.no_grad():
            for layer, mask in self.masks:
                layer.weight.mul_(mask)

    def _loss(self, curves: Tensor, target: Tensor, closed: Tensor) -> Tensor:
        """Position, velocity, closures that are too open; beyond 0 and 1 the chain cuts, so little is asked there."""
        got = curves + 0.9 * (curves.clamp(0, 1) - curves)
        huber = torch.nn.functional.smooth_l1_loss
        place = (huber(got, target, reduction="none", beta=0.02) * self.weight).mean()
        moved = (huber(got.diff(dim=1), target.diff(dim=1), reduction="none", beta=0.01) * self.weight).mean()
        gap = ((got - target) @ self.gap).clamp_min(0) * closed
        return 100 * (place + 3.0 * moved + GAP_WEIGHT * gap.mean())

    def _draw(self) -> tuple[Tensor, ...]:
        """Crops: (what the head hears, smoothed condition, neutral curves, the teacher's, closures)."""
        rows: list[tuple[Frames, ...]] = []
        for k in self.rng.choice(len(self.clips), self.plan.batch, p=self.odds):
            clip, frames = self.clips[k], self.plan.frames
            first = int(self.rng.integers(0, max(1, len(clip.heard) - frames + 1)))
            inside = np.minimum(first + np.arange(frames), len(clip.heard) - 1)
            own = cut(clip.speech, inside)
            asked = moods.course(self.rng, frames)
            smooth = looks.whole_clip(asked).reshape(frames, -1)
            heard = clip.heard[inside].astype(np.float32)
            rows.append((heard, smooth, clip.raw[inside], felt(own, asked), own.closed))
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))


def cut(whole: Speech, rows: NDArray[np.int64]) -> Speech:
    """These frames of it."""
    return Speech(**{name: getattr(whole, name)[rows] for name in Speech.__dataclass_fields__})


def shown(net: Net, clip: Said, asked: Frames) -> Frames:
    """[n, 68] the model's curves of the clip under a condition [n, 32] that was there before it began."""
    head = net.decoder.expression
    assert head is not None
    with torch.no_grad():
        smooth = torch.from_numpy(looks.whole_clip(asked).reshape(len(asked), -1))
        added = head.added(torch.from_numpy(clip.heard.astype(np.float32)), smooth).numpy()
    return np.asarray(np.clip(clip.raw + added, 0, 1), np.float32)


def judged(net: Net, clips: Sequence[Said], seed: int = 5) -> dict[str, float]:
    """Mean absolute difference from the teacher on clips kept apart, beside that of neutral curves (chance)."""
    rng, off, chance = np.random.default_rng(seed), [], []
    for clip in clips:
        asked = moods.course(rng, len(clip.heard))
        target = felt(clip.speech, asked)
        off.append(np.abs(shown(net, clip, asked) - target).mean(0))
        chance.append(np.abs(clip.speech.neutral - target).mean(0))
    mouth = np.array([name.startswith(("mouth", "jaw")) for name in NAMES])
    upper = np.array([channel.region in looks.UPPER_REGIONS for channel in rig(looks.RIG).channels])
    mean = {"": np.mean(off, 0), "_of_neutral": np.mean(chance, 0)}
    return {f"{part}_mae{what}": round(float(values[which].mean()), 5)
            for what, values in mean.items() for part, which in (("mouth", mouth), ("upper", upper))}


def train(plan: Plan, on: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
    """Train the head of a shipped model, write its files, return the figures."""
    path = plan.models / f"{plan.name}.safetensors"
    net, figures = load_net(path), read_card(path).get("figures", {})
    packed = load_packed()
    clips, kept = corpus(net, packed, plan.content), corpus(net, packed, 0.03, "val")
    old = load_net(plan.warm).decoder.expression if plan.warm is not None else None
    net = with_head(net, old.hear.out_features if old is not None
                    else FEATURES_OF_HEAD.get(plan.name, USUAL_FEATURES))
    if old is not None:
        assert net.decoder.expression is not None
        net.decoder.expression.load_state_dict(old.state_dict())
    began = time.time()
    Trainer(net, clips, plan).train(plan.minutes * 60, shown=on)
    own = {"minutes": round((time.time() - began) / 60, 1), "clips": len(clips), **judged(net, kept)}
    save(net, plan.out or plan.models, {**figures, "expression": own}, plan.name)
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.train.expression", __doc__)
    asked.add_argument("name", nargs="?", default="small", help="of the model (default %(default)s)")
    asked.add_argument("--minutes", type=float, default=Plan.minutes, help="of training (default %(default)s)")
    asked.add_argument("--models", type=Path, default=Path("assets/models"), help="folder of the model")
    asked.add_argument("--content", type=float, default=Plan.content, help="share of the words to learn from")
    asked.add_argument("--warm", type=Path, default=None, help="a .safetensors whose head it goes on from")
    asked.add_argument("--out", type=Path, default=None, help="folder for the files (default: the same)")
    options = asked.parse_args(arguments)
    torch.set_num_threads(1)
    return finished(lambda: print(json.dumps(train(Plan(**vars(options))))))


assert looks.kernels().shape == (PACES, FELT)

if __name__ == "__main__":
    sys.exit(main())
