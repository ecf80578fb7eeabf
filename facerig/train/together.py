"""Labels softened by what several networks hear together, each at every look-ahead it was taught.

Networks that were trained apart err apart, and their mean errs less with people nobody learnt from, German and Spanish
ones most. What they hear of a clip stands beside what is known of it; a network that is taught both learns to be unsure
where it would otherwise have learnt a voice by heart.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facerig.files import write_file
from facerig.model.checkpoint import load_net
from facerig.model.net import Encoder
from facerig.train import distill
from facerig.train.data import Soft, Store, grouped, hard, side_by_side
from facerig.train.loop import contents
from facerig.train.losses import targets
from facerig.train.smoother import AHEAD
from facerig.train.told import tell

SHARE = 0.5  # of a label that is what the networks hear; the rest is what it was
TOLD = 0.05
NEARER = 2  # frames that a head may look less far than its network does: what hears much later knows much more


def softened_by(files: Sequence[Path], data: Store, folder: Path) -> Store:
    """The same clips with labels that are half what these models hear in them; kept in the folder of the run, which may
    be broken off."""
    path = folder / f"together-{_digest(files, data)}.npy"
    if not path.is_file():
        held = io.BytesIO()
        np.save(held, heard([load_net(file).encoder.eval() for file in files], data, folder))
        write_file(path, held.getvalue())
    return replace(data, soft=np.load(path))


def heard(nets: Sequence[Encoder], data: Store, folder: Path | None = None) -> Soft:
    """Soft labels of a store's clips: what they were and the mean of what the networks hear; none where none was. The
    folder is that of the log, which is told every TOLD of the way."""
    out, done, told = hard(len(data.labels)), 0.0, 0.0
    for group in grouped(data.counts):
        mean = _mean(nets, data, group)
        for row, k in enumerate(group):
            span = slice(int(data.starts[k]), int(data.starts[k] + data.counts[k]))
            labels, soft = data.labels[span].astype(np.int64)[None], data.soft[span][None]
            known = targets(torch.from_numpy(labels), torch.from_numpy(soft), mean.shape[-1])[0]
            both = (1 - SHARE) * known + SHARE * mean[row, : len(known)]
            out[span] = distill.kept(both.numpy()) * (known.sum(-1) > 0).numpy()[:, None, None]
        done += float(data.counts[group].sum()) / len(data.labels)
        if done >= told + TOLD:
            told = done
            tell("together", {"networks": len(nets), "hours": round(data.hours, 2), "done": round(done, 3)}, folder)
    return out


@torch.no_grad()
def _mean(nets: Sequence[Encoder], data: Store, group: NDArray[np.int64]) -> Tensor:
    """[clips, frames, units] every network's mean over its heads, all networks alike."""
    feats = torch.from_numpy(side_by_side(data, group, AHEAD))
    return torch.stack([_one(net, feats) for net in nets]).mean(0)


def _one(net: Encoder, feats: Tensor) -> Tensor:
    content, longest = contents(net, feats), feats.shape[1] - AHEAD
    ahead = [n for n in net.config.taught if n >= net.config.lookahead - NEARER and 0 < n <= AHEAD]
    units = [net.read(content[:, n : n + longest], n)[0].softmax(-1) for n in ahead]
    return torch.stack(units).mean(0)


def stamps(files: Sequence[Path]) -> dict[str, str]:
    """What the models that were asked are now: a run that asks others is another run."""
    return {f"peer {k}": hashlib.sha256(file.read_bytes()).hexdigest()[:12] for k, file in enumerate(files)}


def _digest(files: Sequence[Path], data: Store) -> str:
    """Of the models and of all that they are asked about."""
    made = hashlib.sha256(f"{SHARE} {NEARER} {stamps(files)} {data.ids}".encode())
    for rows in (data.counts, data.labels, data.soft):
        made.update(rows.tobytes())
    return made.hexdigest()[:12]
