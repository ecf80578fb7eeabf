"""Statistics of the shipped model's neutral speech, beside which styles are measured: assets/expression/neutral.csv.

    python -m facerig.train.habits small
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facerig.emotion import looks
from facerig.emotion.reference import moving_frames, sizes, statistics
from facerig.files import write_file
from facerig.model.checkpoint import load_net
from facerig.stage import Frames
from facerig.tool import finished, parser
from facerig.train.corpora import load_packed
from facerig.train.expression import corpus

SHARE = 0.12  # of the words that the expression head learns from: five minutes


def table(neutral: Sequence[Frames], source: str) -> bytes:
    """The csv of these clips' curves."""
    values = np.concatenate(neutral)
    moving = values[moving_frames(values)]
    rows = [(name, "", value) for name, value in statistics(values).items()]
    for what, column in (("size", sizes(moving)), ("rest", np.percentile(moving, 20, axis=0))):
        rows += [(what, name, float(value)) for name, value in zip(looks.looks().channels, column, strict=True)]
    lines = [f"{what},{channel},{value:.4f},{source}" for what, channel, value in rows]
    return "\n".join(["statistic,channel,value,source", *lines, ""]).encode()


def measure(name: str, models: Path, out: Path) -> None:
    torch.set_num_threads(1)
    clips = corpus(load_net(models / f"{name}.safetensors"), load_packed(), SHARE)
    print(write_file(out, table([clip.speech.neutral for clip in clips], f"{name}: {len(clips)} clips")))


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.train.habits", __doc__)
    asked.add_argument("name", nargs="?", default="small", help="of the model (default %(default)s)")
    asked.add_argument("--models", type=Path, default=Path("assets/models"),
                       help="folder of the model (default %(default)s)")
    asked.add_argument("--out", type=Path, default=looks.folder() / "neutral.csv",
                       help="file for the table (default: the asset, which is replaced)")
    options = asked.parse_args(arguments)
    return finished(lambda: measure(options.name, options.models, options.out))


if __name__ == "__main__":
    sys.exit(main())
