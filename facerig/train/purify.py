"""Content without a voice: of the encoder the decoder is told which units are spoken and what touches, no more.

    python -m facerig.train.purify small --minutes 3        # on weights that are there; `facerig train` does it itself

The encoder's output knows how a voice feels and whose it is, far better than it must. Its unit posteriors know
hardly more of that than the words themselves do; as a description of speech without the speaker they are old (phonetic
posteriorgrams, Sun et al. 2016). So the decoder's reading of the 256 numbers is replaced by what can be foretold of
them, linearly, from posteriors and contacts: the projection of least squares, in closed form, folded into its input
layer as the erasures of Belrose et al. 2023 ("LEACE") are. The columns that read the content are zero from then on,
and stay so in training. Posteriors and contacts are as before to the bit; shape, speed and streams too.

What it is fitted on is what the decoder is trained on; no label of an emotion or a speaker is needed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facerig.model.checkpoint import load_net, save
from facerig.model.config import CONTACTS
from facerig.model.net import Decoder, Encoder, Net
from facerig.model.runtime import read_card
from facerig.train.data import Float, Store
from facerig.train.loop import contents

CLIPS = 400  # that the projection is fitted on: 20 minutes
RIDGE = 1e-4  # times the frames; posteriors add up to one


def told(encoder: Encoder, content: Tensor) -> Tensor:
    """[n, units + contacts] what a purified decoder is told: posteriors and contact probabilities."""
    units, contacts = encoder.read(content, encoder.config.lookahead)
    return torch.cat([units.softmax(-1), contacts.sigmoid()], dim=-1)


def told_width(decoder: Decoder) -> int:
    return len(decoder.config.units) + len(CONTACTS)


def is_pure(decoder: Decoder) -> bool:
    """Whether it reads nothing of the encoder but posteriors and contacts."""
    return not bool(decoder.input.weight[:, : decoder.config.width].any())


def purify(net: Net, data: Store, clips: int = CLIPS) -> None:
    """Fold what can be foretold of the content into the decoder's input layer, and keep the rest out of it."""
    if not is_pure(net.decoder):
        fold(net.decoder, *foretold(net.encoder, _some(data, clips)))
    keep(net.decoder)


def _some(data: Store, clips: int) -> Iterator[Float]:
    for k in range(0, len(data.ids), max(1, len(data.ids) // clips)):
        yield data.clip(k)[0]


@torch.no_grad()
def foretold(encoder: Encoder, clips: Iterator[Float]) -> tuple[Tensor, Tensor]:
    """(matrix [width, told], offset [width]): content by least squares from what is told, over all frames of clips."""
    width, size = encoder.config.width, len(encoder.config.units) + len(CONTACTS) + 1
    square, product = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, width, dtype=torch.float64)
    for feats in clips:
        content = contents(encoder, torch.from_numpy(feats)[None], half=False)[0]
        seen = torch.cat([told(encoder, content), content.new_ones(len(content), 1)], dim=1).double()
        square += seen.T @ seen
        product += seen.T @ content.double()
    ridge = RIDGE * square[-1, -1].clamp_min(1.0) * torch.eye(size, dtype=torch.float64)
    solved = torch.linalg.solve(square + ridge, product).float()
    return solved[:-1].T.contiguous(), solved[-1]


@torch.no_grad()
def fold(decoder: Decoder, matrix: Tensor, offset: Tensor) -> None:
    """Read `matrix @ told + offset` in the place of the content."""
    weight, width = decoder.input.weight, decoder.config.width
    reads = weight[:, :width].clone()
    weight[:, width : width + told_width(decoder)] += reads @ matrix
    decoder.input.bias.add_(reads @ offset)
    weight[:, :width] = 0


def keep(decoder: Decoder) -> None:
    """The columns of the content are zero, and no step of a training changes that."""
    mask = torch.ones_like(decoder.input.weight)
    mask[:, : decoder.config.width] = 0
    with torch.no_grad():
        decoder.input.weight.mul_(mask)
    decoder.input.weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]


# ---- on weights that are there --------------------------------------------------------------------------------------


def train(name: str, minutes: float, models: Path, out: Path | None = None) -> dict[str, Any]:
    """Purify a shipped model's decoder and teach it on; its expression head is to be trained anew after that."""
    from facerig.train import run

    path = models / f"{name}.safetensors"
    net, figures = load_net(path), read_card(path).get("figures", {})
    motion = run.train_decoder(net, run.Plan(name=name), minutes * 60)
    save(net, out or models, {**figures, "motion": motion}, name)
    return motion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="small")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--models", type=Path, default=Path("assets/models"), help="folder of the model")
    parser.add_argument("--out", type=Path, default=None, help="folder for the files (default: the same)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(train(**vars(options))))


if __name__ == "__main__":
    main()
