"""Two small judges of curves: a lip reader (are the visemes legible?) and a sync critic (does the mouth move in time?).

    python -m facerig.train.evaluate.critics     # trains both in minutes, into assets/critics

The reader is a convolutional CTC net from the 52 face channels (no tongue: nobody sees it) to visemes; it learned from
the teacher's curves over training-side phones, with the amplitude, smoothing and noise of other animators imitated.
The sync critic scores a second of log-mel beside a second of curves; it learned from real and synthetic training speech
with the teacher's curves, in time and shifted. Neither is ever part of a training loss of the model, and neither knows
how a real mouth looks: their figures mean something beside the ceiling's (the teacher on true phones) alone.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from facerig.errors import InputError
from facerig.files import assets_folder, check_writable, write_file
from facerig.phones import VISEMES15, Timed, flag_of_units, units, viseme15_of_units
from facerig.tool import finished, parser
from facerig.train.evaluate.sets import Clip, features
from facerig.train.evaluate.systems import Output, pooled
from facerig.transcript.articulation import Style, teach

Floats = NDArray[np.float32]
FACE = 52
STEP = 2  # the reader works at 30 frames a second
SHIFT = 3  # frames: 50 ms, just what people notice
WINDOW = 60
HOP = 40
FOLDER = "critics"


class Reader(nn.Module):
    """[B, T, 52] -> log-probabilities [B, T / 2, visemes]; class 0 (silence) doubles as CTC's blank."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2 * FACE, width, 9, stride=STEP, padding=4), nn.ReLU(),
            nn.Conv1d(width, width, 7, padding=3), nn.ReLU(),
            nn.Conv1d(width, width, 7, padding=3), nn.ReLU(),
            nn.Conv1d(width, len(VISEMES15), 1),
        )  # fmt: skip

    def forward(self, curves: Tensor) -> Tensor:
        speed = F.pad(curves[:, 1:] - curves[:, :-1], (0, 0, 1, 0)) * 5
        out: Tensor = self.layers(torch.cat([curves, speed], dim=2).transpose(1, 2)).transpose(1, 2).log_softmax(-1)
        return out


class Sync(nn.Module):
    """Mel [B, T, 32] and curves [B, T, 52] -> a score [B]: the likeness of their embeddings, frame by frame."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()

        def tower(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv1d(inputs, width, 5, padding=2), nn.ReLU(),
                nn.Conv1d(width, width, 5, padding=2), nn.ReLU(),
                nn.Conv1d(width, 32, 5, padding=2),
            )  # fmt: skip

        self.hearing, self.seeing = tower(32), tower(2 * FACE)

    def forward(self, mel: Tensor, curves: Tensor) -> Tensor:
        speed = F.pad(curves[:, 1:] - curves[:, :-1], (0, 0, 1, 0)) * 5
        heard = F.normalize(self.hearing(mel.transpose(1, 2)), dim=1)
        seen = F.normalize(self.seeing(torch.cat([curves, speed], dim=2).transpose(1, 2)), dim=1)
        return (heard * seen).sum(1).mean(-1)


# ---- judging ----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def critic(name: str) -> nn.Module | None:
    """A trained critic, or None where its weights are not installed."""
    from safetensors.torch import load_file

    path = Path(assets_folder()) / FOLDER / f"{name}.safetensors"
    if not path.is_file():
        return None
    net: nn.Module = Reader() if name == "reader" else Sync()
    net.load_state_dict(load_file(str(path)))
    return net.eval()


@dataclass
class Critics:
    """Adds up over clips."""

    edits: int = 0
    spoken: int = 0
    wins: int = 0
    trials: int = 0
    best: list[int] = field(default_factory=list)

    def add(self, clip: Clip, output: Output) -> None:
        if output.curves is None:
            return
        reader, sync = critic("reader"), critic("sync")
        if reader is not None and clip.timed:
            wanted = viseme_string(clip.timed)
            self.edits += distance(wanted, read(reader, output.curves))
            self.spoken += len(wanted)
        if sync is not None:
            self._sync(sync, clip, output.curves)

    def _sync(self, net: nn.Module, clip: Clip, curves: Floats) -> None:
        mel = pooled(clip.mel)
        lags = (-9, -6, -SHIFT, 0, SHIFT, 6, 9)
        scores = {lag: _scores(net, mel, curves[:, :FACE], lag) for lag in lags}
        spoken = scores[0][1]
        if not spoken.any():
            return
        better = (scores[0][0] > scores[SHIFT][0]) & (scores[0][0] > scores[-SHIFT][0])
        self.wins += int(better[spoken].sum())
        self.trials += int(spoken.sum())
        means = {lag: float(scores[lag][0][spoken].mean()) for lag in lags}
        if max(means.values()) > min(means.values()):  # a still face is at no offset
            self.best.append(max(lags, key=lambda lag: means[lag]))

    def figures(self) -> dict[str, float | None]:
        """Viseme error rate; how often in time beats both 50 ms early and late; the best offset."""
        return {
            "lip_reader_error": round(100 * self.edits / self.spoken, 1) if self.spoken else None,
            "sync_accuracy": round(100 * self.wins / self.trials, 1) if self.trials else None,
            "sync_offset_ms": round(float(np.mean(self.best)) * 1000 / 60, 1) if self.best else None,
        }


def _scores(net: nn.Module, mel: Floats, curves: Floats, lag: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Score of every window with the curves `lag` frames later, and which windows are spoken (loud and moving)."""
    reach = 9
    starts = np.arange(reach, len(mel) - WINDOW - reach, HOP)
    if not len(starts):
        return np.zeros(0, np.float32), np.zeros(0, bool)
    heard = np.stack([mel[s : s + WINDOW] for s in starts])
    seen = np.stack([curves[s + lag : s + lag + WINDOW] for s in starts])
    with torch.inference_mode():
        scores = net(torch.from_numpy(heard), torch.from_numpy(seen)).numpy()
    loud = heard.mean(axis=(1, 2))
    return scores, loud > np.median(mel.mean(axis=1)) - 0.3


def viseme_string(timed: Sequence[Timed]) -> list[int]:
    """The visemes that are spoken, without silence, repeats as one (they look like one)."""
    index = {unit.unit: viseme for unit, viseme in zip(units(), viseme15_of_units(), strict=True)}
    out: list[int] = []
    last = -1
    for row in timed:
        viseme = int(index[row.unit])
        if viseme and viseme != last:
            out.append(viseme)
        last = viseme
    return out


def read(net: nn.Module, curves: Floats) -> list[int]:
    """What the reader sees: the best path of the CTC net."""
    with torch.inference_mode():
        best = net(torch.from_numpy(np.ascontiguousarray(curves[None, :, :FACE])))[0].argmax(-1).numpy()
    path = best[np.flatnonzero(np.diff(best, prepend=-1))]
    return [int(v) for v in path if v]


def distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Edits from a to b (Levenshtein), a row at a time."""
    row = np.arange(len(b) + 1)
    other = np.asarray(b)
    for i, symbol in enumerate(a, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (other != symbol))
        row = np.concatenate([[i], best])
        row = np.minimum.accumulate(row - np.arange(len(row))) + np.arange(len(row))
    return int(row[-1])


# ---- training ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoken:
    """A training clip: its phones and its sound."""

    timed: list[Timed]
    mel: Floats


def training_clips(count: int, seed: int = 5) -> list[Spoken]:
    """Training-side speech from the packed corpora: synthetic voices, aligned readers, GRID."""
    from facerig.train.corpora import load_packed

    packed = load_packed()
    rng = np.random.default_rng(seed)
    clips = [c for c in packed.clips if c.split == "train" and c.label_kind != "none" and 120 < c.frames < 1200]
    picked = [clips[k] for k in rng.permutation(len(clips))[:count]]
    out = []
    for clip in picked:
        samples = np.asarray(packed.audio(clip, 0, clip.frames), np.float32) / np.float32(32768)
        labels = np.asarray(packed.labels(clip, 0, clip.frames))
        out.append(Spoken(from_labels(labels), pooled(features(samples, 24_000, clip.frames))))
    return out


def from_labels(labels: NDArray[np.uint8]) -> list[Timed]:
    """Timed units from a frame-by-frame row of unit indices; unlabelled frames are silence."""
    known = np.where(labels < len(units()), labels, 0)
    edges = np.flatnonzero(np.diff(known, prepend=-1))
    ends = np.append(edges[1:], len(known))
    names = [unit.unit for unit in units()]
    return [Timed((a - 0.5) / 60, (b - 0.5) / 60, names[known[a]]) for a, b in zip(edges, ends, strict=True)]


def imitated(clip: Spoken, rng: np.random.Generator) -> Floats:
    """The teacher's curves as another animator would make them: other gains, a little smoothing, a little noise."""
    gain = rng.uniform(0.6, 1.3, 3)
    style = Style(jaw=gain[0], lips=gain[1], rounding=gain[2], speed=rng.uniform(0.8, 1.2))
    curves = teach(clip.timed, len(clip.mel), style=style)[:, :FACE]
    if rng.random() < 0.5:
        padded = np.pad(curves, ((1, 1), (0, 0)), mode="edge")
        curves = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return np.asarray(curves + rng.normal(0, 0.01, curves.shape), np.float32)


def _pieces(clips: Sequence[Spoken], rng: np.random.Generator, batch: int, frames: int
            ) -> Iterator[tuple[Floats, Floats, list[list[int]]]]:  # fmt: skip
    """Endless batches: mel, curves and viseme strings of random pieces of one length."""
    while True:
        mels: list[Floats] = []
        curves: list[Floats] = []
        texts: list[list[int]] = []
        while len(mels) < batch:
            clip = clips[int(rng.integers(len(clips)))]
            if len(clip.mel) <= frames:
                continue
            first = int(rng.integers(len(clip.mel) - frames))
            made = imitated(clip, rng)
            inside = [t for t in clip.timed if t.end > first / 60 + 0.03 and t.start < (first + frames) / 60 - 0.03]
            mels.append(clip.mel[first : first + frames])
            curves.append(made[first : first + frames])
            texts.append(viseme_string(inside))
        yield np.stack(mels), np.stack(curves), texts


def train_reader(clips: Sequence[Spoken], steps: int, seed: int = 1) -> Reader:
    torch.manual_seed(seed)
    net, rng = Reader(), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3)
    for step, (_, curves, texts) in zip(range(steps), _pieces(clips, rng, 24, 110), strict=False):
        logs = net(torch.from_numpy(curves)).transpose(0, 1)
        sizes = torch.tensor([len(t) for t in texts])
        flat = torch.tensor([v for t in texts for v in t])
        loss = F.ctc_loss(logs, flat, torch.full((len(texts),), len(logs)), sizes, zero_infinity=True)
        _descend(optimiser, loss, 2e-3, step, steps)
        if step % 100 == 0:
            print("reader", step, round(float(loss), 3), flush=True)
    return net.eval()


def train_sync(clips: Sequence[Spoken], steps: int, seed: int = 2) -> Sync:
    """In time must score higher than shifted by 3 to 12 frames either way."""
    torch.manual_seed(seed)
    net, rng = Sync(), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3)
    reach = 12
    for step, (mel, curves, _) in zip(range(steps), _pieces(clips, rng, 24, WINDOW + 2 * reach), strict=False):
        heard = torch.from_numpy(mel[:, reach : reach + WINDOW])
        seen = torch.from_numpy(curves)
        shifts = [0, *rng.choice([-1, 1], 3) * np.array([SHIFT, rng.integers(3, 6), rng.integers(5, reach + 1)])]
        scores = torch.stack([net(heard, seen[:, reach + s : reach + s + WINDOW]) for s in shifts], 1) * 12
        loss = F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))
        _descend(optimiser, loss, 2e-3, step, steps)
        if step % 100 == 0:
            print("sync", step, round(float(loss), 3), flush=True)
    return net.eval()


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, step: int, steps: int) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / 50) * (1 - step / steps)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def train(folder: Path, clips: int, steps: int) -> None:
    from safetensors.torch import save

    check_writable(folder / "critics.json")
    torch.set_num_threads(1)
    spoken = training_clips(clips)
    if not spoken:
        raise InputError("no clips to train on; run `python -m facerig.train.corpora build`")
    card = {"data": f"{len(spoken)} training-side clips of the packed corpora, teacher curves", "steps": steps,
            "visemes": list(VISEMES15), "silent": int(flag_of_units("is_silence").sum())}
    for name, net in (("reader", train_reader(spoken, steps)), ("sync", train_sync(spoken, steps))):
        write_file(folder / f"{name}.safetensors", save(net.state_dict()))
    write_file(folder / "critics.json", json.dumps(card, indent=1).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.train.evaluate.critics", __doc__)
    asked.add_argument("--out", type=Path, default=assets_folder() / FOLDER,
                       help="folder for the three files (default: the assets, which are replaced)")
    asked.add_argument("--clips", type=int, default=1200, help="training clips to learn from (default %(default)s)")
    asked.add_argument("--steps", type=int, default=900, help="of training, for each of the two (default %(default)s)")
    options = asked.parse_args(arguments)
    return finished(lambda: train(options.out, options.clips, options.steps))


if __name__ == "__main__":
    sys.exit(main())
