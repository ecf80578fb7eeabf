"""Content without a voice: what stays over a clip when its words are taken out is erased from the decoder's reading.

    python -m facerig.train.purify small --minutes 3        # on weights that are there; `facerig train` does the same

The encoder's output knows how a voice feels and whose it is. Its posteriors of units know hardly more of that than the
words themselves do (as a description of speech without the speaker: Sun et al. 2016, phonetic posteriorgrams). So:

1. What posteriors and contacts foretell of the content, by least squares, are the words; the rest they leave open.
2. The means of that rest over clips, language by language, are voices, moods and rooms: no word lasts a clip. The
   ERASED directions in which these means differ most, in units of the rest's own spread, are projected away (closed
   form, in the whitened metric of Belrose et al. 2023, "LEACE"; that clips as such can be the nuisance is nuisance
   attribute projection, Solomonoff et al. 2005).
3. Of what is left the KEPT directions stay that the trained decoder reads most.

All of that is a projection in front of the decoder's input layer and is folded into it: posteriors and contacts are as
before to the bit, shape, speed and streams too. No label of an emotion or a speaker is needed, and none is used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from facerig.model.checkpoint import load_net, save
from facerig.model.config import CONTACTS
from facerig.model.net import Decoder, Encoder, Net
from facerig.model.runtime import read_card
from facerig.phones import units, viseme15_of_units
from facerig.tool import finished, parser
from facerig.train.corpora import PackedClip, load_packed
from facerig.train.data import audio_features
from facerig.train.loop import contents

if TYPE_CHECKING:
    from facerig.train.run import Plan

ERASED, KEPT = 0.375, 0.25  # of the encoder's width; docs/log/emotion.md has the trials
SOURCES = (("speechocean", 450), ("prompts", 250), ("synthetic", 250), ("grid", 50), ("thorsten", 22),
           ("a2f_example_audio", 6))  # clips of each: what is learnt from, and two actors
SHARE = 0.3  # of the decoder's time in `facerig train`: what comes after the projection
RIDGE = 1e-4  # times the frames: posteriors add up to one
SPOKEN = 20  # frames that a clip must have for a mean
EVERY = 3  # of the frames count for the statistics


@dataclass(frozen=True, eq=False)
class Parts:
    """How content splits: `matrix @ told + offset` is foretold; the rest has these spreads."""

    matrix: Tensor  # [width, told]
    offset: Tensor  # [width]
    frames: Tensor  # [width, width]
    clips: Tensor  # [width, width]


def told(encoder: Encoder, content: Tensor) -> Tensor:
    """[n, units + contacts]: posteriors and contact probabilities, which the decoder is told beside the content."""
    before = content.new_zeros(encoder.config.reread, content.shape[1])
    return torch.cat(encoder.heard(torch.cat([before, content])[None]), dim=-1)[0]


def told_width(decoder: Decoder) -> int:
    return len(decoder.config.units) + len(CONTACTS)


def read(decoder: Decoder) -> Tensor:
    """[width, rank] an orthogonal basis of all that the decoder can see of the content: its input layer's row space."""
    weight = decoder.input.weight[:, : decoder.config.width].detach()
    _, sizes, rows = torch.linalg.svd(weight, full_matrices=False)
    seen: Tensor = rows[sizes > 1e-4 * sizes.max().clamp_min(1e-12)].T.contiguous()
    return seen


# ---- statistics -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def split(encoder: Encoder, clips: Sequence[tuple[str, Tensor]]) -> Parts:
    """From (language, content [n, width]) of clips."""
    width = encoder.config.width
    beliefs = [told(encoder, content) for _, content in clips]
    seen = torch.cat([belief[::EVERY] for belief in beliefs]).double()
    seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
    content = torch.cat([own[::EVERY] for _, own in clips]).double()
    ridge = RIDGE * len(seen) * torch.eye(seen.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(seen.T @ seen + ridge, seen.T @ content)
    matrix, offset = solved[:-1].T.float().contiguous(), solved[-1].float()
    rest = (content - seen @ solved).float()
    means = _means(clips, beliefs, matrix, offset)
    clip_spread = means.T @ means / max(1, len(means)) if len(means) else torch.zeros(width, width)
    return Parts(matrix, offset, torch.cov(rest.T), clip_spread)


def _means(clips: Sequence[tuple[str, Tensor]], beliefs: Sequence[Tensor], matrix: Tensor, offset: Tensor) -> Tensor:
    """[clips, width] of the rest where somebody speaks, less the mean of its language."""
    by_language: dict[str, list[Tensor]] = {}
    silent = torch.from_numpy(viseme15_of_units() == 0)
    for (language, content), belief in zip(clips, beliefs, strict=True):
        spoken = ~silent[belief[:, : len(units())].argmax(1)]
        if int(spoken.sum()) >= SPOKEN:
            rest = (content - belief @ matrix.T - offset)[spoken]
            by_language.setdefault(language, []).append(rest.mean(0))
    held = [torch.stack(own) for own in by_language.values()]
    return torch.cat([own - own.mean(0) for own in held]) if held else torch.zeros(0, len(offset))


@torch.no_grad()
def projection(parts: Parts, reads: Tensor, erased: int, kept: int) -> Tensor:
    """[width, width] of rank `kept`, on the rest: without what clips differ by, with what `reads` [n, width] reads."""
    sizes, axes = torch.linalg.eigh(parts.frames.double())
    sizes = sizes.clamp_min(1e-6 * float(sizes.max()))
    white, back = axes * sizes**-0.5 @ axes.T, axes * sizes**0.5 @ axes.T
    _, voices = torch.linalg.eigh(white @ parts.clips.double() @ white)
    off = voices[:, len(sizes) - min(erased, len(sizes)) :]
    _, _, rows = torch.linalg.svd(reads.double() @ back @ (torch.eye(len(sizes), dtype=torch.float64) - off @ off.T))
    most = rows[: min(kept, len(sizes) - off.shape[1])]
    out: Tensor = (back @ most.T @ most @ white).float()
    return out


# ---- the decoder ----------------------------------------------------------------------------------------------------


class Through(nn.Module):
    """The weights of an input layer whose first columns see a projection of the content."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, weight: Tensor) -> Tensor:
        width = len(self.matrix)
        return torch.cat([weight[:, :width] @ self.matrix, weight[:, width:]], dim=1)


@torch.no_grad()
def fold(decoder: Decoder, parts: Parts, matrix: Tensor) -> None:
    """Read what is foretold of the content, and of its rest the projection alone."""
    weight, width = decoder.input.weight, decoder.config.width
    lost = weight[:, :width] - weight[:, :width] @ matrix
    weight[:, width : width + told_width(decoder)] += lost @ parts.matrix
    decoder.input.bias.add_(lost @ parts.offset)
    weight[:, :width] -= lost


def purify(net: Net, erased: int | None = None, kept: int | None = None,
           clips: Sequence[tuple[str, Tensor]] | None = None) -> None:
    """Fold the projection in, and hold the decoder to it while it is trained; `settle` ends that."""
    heard, width = listened(net.encoder) if clips is None else clips, net.config.width
    if not heard:
        return
    parts = split(net.encoder, heard)
    matrix = projection(parts, net.decoder.input.weight[:, :width].detach(),
                        round(ERASED * width) if erased is None else erased,
                        round(KEPT * width) if kept is None else kept)
    fold(net.decoder, parts, matrix)
    parametrize.register_parametrization(net.decoder.input, "weight", Through(matrix))


def settle(net: Net) -> None:
    """An ordinary layer again."""
    if parametrize.is_parametrized(net.decoder.input):
        parametrize.remove_parametrizations(net.decoder.input, "weight", leave_parametrized=True)


# ---- clips ----------------------------------------------------------------------------------------------------------


def listened(encoder: Encoder) -> list[tuple[str, Tensor]]:
    """(language of a source, content) of the clips of SOURCES that are packed."""
    held = load_packed()
    picked: list[PackedClip] = []
    for name, count in SOURCES:
        split_of = "val" if count < 50 else "train"
        clips = [clip for clip in held.clips if clip.source == name and clip.split == split_of]
        order = np.random.default_rng(5).permutation(len(clips))[:count]
        picked += [clips[k] for k in order]
    out = []
    for clip in picked:
        feats = audio_features(np.asarray(held.audio(clip)))
        with torch.no_grad():
            out.append((clip.source + clip.language, contents(encoder, torch.from_numpy(feats)[None], half=False)[0]))
    return out


# ---- on weights that are there --------------------------------------------------------------------------------------


def taught_on(net: Net, plan: Plan, seconds: float, shown: Callable[[str, float], None] | None = None,
              erased: int | None = None, kept: int | None = None) -> dict[str, dict[str, float]]:
    """Purify a trained decoder and teach it on; its figures on measured motion."""
    from facerig.train import run

    purify(net, erased, kept)
    motion = run.train_decoder(net, replace(plan, start=None), seconds, shown or (lambda part, share: None))
    settle(net)
    return motion


def train(name: str, minutes: float, models: Path, out: Path | None = None, erased: int | None = None,
          kept: int | None = None) -> dict[str, Any]:
    """The same with a shipped model; its expression head is to be trained anew after that."""
    from facerig.train.run import Plan

    path = models / f"{name}.safetensors"
    net, figures = load_net(path), read_card(path).get("figures", {})
    motion = taught_on(net, Plan(name=name), minutes * 60, erased=erased, kept=kept)
    save(net, out or models, {**figures, "motion": motion}, name)
    return motion


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.train.purify", __doc__)
    asked.add_argument("name", nargs="?", default="small", help="of the model (default %(default)s)")
    asked.add_argument("--minutes", type=float, default=3.0, help="of teaching the decoder on (default %(default)s)")
    asked.add_argument("--models", type=Path, default=Path("assets/models"), help="folder of the model")
    asked.add_argument("--out", type=Path, default=None, help="folder for the files (default: the same)")
    asked.add_argument("--erased", type=int, default=None, help="directions in which clips differ")
    asked.add_argument("--kept", type=int, default=None, help="directions that the decoder goes on reading")
    options = asked.parse_args(arguments)
    torch.set_num_threads(1)
    return finished(lambda: print(json.dumps(train(**vars(options)))))


if __name__ == "__main__":
    sys.exit(main())
