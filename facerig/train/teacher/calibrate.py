"""Fits the articulation tables to measured lips: GRID's mouth tracks (training clips only), through a head's mouth map.

    python -m facerig.train.teacher.calibrate            # rewrites assets/articulation/targets.csv
    python -m facerig.train.teacher.calibrate --dry-run  # prints the fit only

The forward model is `facerig.transcript.articulation` in torch; MEASURES says how a gesture moves the five tracks.
Targets and dominance start at the table's phonetic prior and leave it only as far as the data pay for (a sum of squared
deviations, PRIOR), so that units GRID hardly holds (51 words, one man) stay where phonetics puts them. The prior
is the table as it lies there, so a second run starts from the first one's result.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facerig.errors import InputError
from facerig.files import assets_folder, write_file
from facerig.phones import flag_of_units, unit_index, units
from facerig.tool import finished, parser
from facerig.train.corpora.base import data_folder
from facerig.train.corpora.motion import EYES_MM
from facerig.train.teacher.measured import GridClip, grid_clips
from facerig.transcript.articulation import CONTACT_JAW, LIPS, TEETH, TEETH_JAW, contact, effort
from facerig.transcript.tables import Articulation, articulation

TRACKS = ("gap_inner", "width_outer", "jaw_drop", "ulip_in_y", "llip_in_y")
# Millimetres that a gesture at 1 moves each track on the ICT-FaceKit head (iBUG points, eye distance set to 63 mm)
MEASURES: dict[str, tuple[float, float, float, float, float]] = {
    "jaw": (27.97, -5.51, 27.24, -2.36, -34.04),
    "close": (-35.99, 2.74, -3.79, -0.74, 36.94),  # per unit of mouthClose, which is close x jaw
    "funnel": (10.48, -6.60, 3.62, 5.26, -8.02),
    "pucker": (-1.25, -8.97, -0.66, -0.32, 0.18),
    "stretch": (-0.34, 12.75, -0.86, -0.22, 0.08),
    "smile": (-0.18, 13.67, -3.07, 3.68, 3.61),
    "dimple": (-1.53, 1.63, -1.03, -0.04, 0.65),
    "lowDn": (5.64, -0.06, 3.53, -0.01, -6.55),
    "upUp": (6.76, 0.34, -0.16, 7.38, 0.52),
    "press": (-2.11, -0.23, -4.19, -0.63, 1.82),
    "rollL": (-2.38, 0.65, 0.26, 0.0, 3.63),
    "rollU": (1.53, 3.07, 0.0, 1.70, -0.06),
    "shrugL": (-6.18, 1.35, -7.88, 0.01, 6.66),
    "shrugU": (4.41, -0.08, -0.01, 5.10, 0.01),
}
FITTED = ("jaw", "close", "funnel", "pucker", "stretch", "smile", "lowDn", "upUp")  # the tracks do not show the rest
GROUPS = ("jaw", "lips", "round")
PRIOR = 6e-4  # weight of one target off by TARGET_SPREAD, or one dominance off by a factor e, against relative error
TARGET_SPREAD = 0.08
ENOUGH = 150  # frames of a unit (2.5 s) below which its row stays phonetics
# How far a target, and by what factor a dominance, may leave the prior: GRID's few words tie sounds to places in the
# sentence ("b" always after silence), which a free fit takes for articulation.
USUAL, FURTHEST, STRONGEST = 0.12, {"close": 0.4}, 2.0
HALF = 18  # frames of kernel on each side


@dataclass(frozen=True)
class Data:
    """All clips joined: beliefs [N, units], tracks [N, 5], which frames count, effort, contacts."""

    belief: torch.Tensor
    tracks: torch.Tensor
    good: torch.Tensor
    effort: torch.Tensor
    lips: torch.Tensor
    teeth: torch.Tensor


def joined(clips: list[GridClip]) -> Data:
    belief = np.concatenate([c.belief for c in clips])
    tracks = np.concatenate([c.tracks(TRACKS) for c in clips])

    def held(flag: str, shape: object) -> torch.Tensor:
        columns = flag_of_units(flag)
        return torch.tensor(np.concatenate([contact(c.belief[:, columns].sum(1), shape) for c in clips]))  # type: ignore[arg-type]

    return Data(
        torch.tensor(belief),
        torch.tensor(np.nan_to_num(tracks)),
        torch.tensor(~np.isnan(tracks).any(axis=1)),
        torch.tensor(np.concatenate([effort(c.belief, c.energy, None) for c in clips])),
        held("bilabial", LIPS),
        held("labiodental", TEETH),
    )


class Fit:
    """The parameters: targets [units, gestures], log dominance [units, groups], scale and offset of each track."""

    def __init__(self, table: Articulation) -> None:
        self.table = table
        self.columns = [table.index(name) for name in MEASURES]
        self.group = [GROUPS.index(table.gestures[i].group) for i in self.columns]
        first = [table.index(next(g.name for g in table.gestures if g.group == group)) for group in GROUPS]
        self.prior = torch.tensor(table.targets[:, self.columns])
        self.prior_dominance = torch.tensor(table.dominance[:, first]).log()
        self.targets = self.prior.clone().requires_grad_()
        self.dominance = self.prior_dominance.clone().requires_grad_()
        self.scale = torch.zeros(len(TRACKS), requires_grad=True)
        self.offset = torch.zeros(len(TRACKS), requires_grad=True)
        self.measures = torch.tensor(list(MEASURES.values())) / EYES_MM
        self.silent = torch.tensor(flag_of_units("is_silence"))
        self.reach = torch.tensor([FURTHEST.get(name, USUAL) for name in MEASURES])
        self.free = torch.tensor([name in FITTED for name in MEASURES])

    def moves(self, data: Data) -> torch.Tensor:
        """[N, gestures] in the order of MEASURES; `close` already multiplied by the jaw."""
        wanted = torch.where(self.free & ~self.silent[:, None], self.targets.clamp(0, 1), self.prior)
        strong = torch.where(self.silent[:, None], self.prior_dominance, self.dominance).exp()
        out = [self._gesture(k, data, wanted, strong) for k in range(len(self.columns))]
        names = list(MEASURES)
        out = self._hold(out, data.teeth, wanted[unit_index("f")], TEETH_JAW, 0.0)
        out = self._hold(out, data.lips, wanted[unit_index("m")], CONTACT_JAW, 1.0)
        out[names.index("close")] = out[names.index("close")] * out[names.index("jaw")]
        return torch.stack(out, 1)

    def _gesture(self, k: int, data: Data, wanted: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
        gesture = self.table.gestures[self.columns[k]]
        weight = strong[:, self.group[k]]
        both = torch.stack([data.belief @ (weight * wanted[:, k]), data.belief @ weight])[:, None]
        time = torch.arange(-HALF, HALF + 1) / 60.0
        sigma = torch.where(time > 0, gesture.lead, gesture.lag)
        kernel = torch.exp(-0.5 * (time / sigma) ** 2)[None, None]
        padded = torch.nn.functional.pad(both, (HALF, HALF), mode="replicate")
        spread = torch.nn.functional.conv1d(padded, kernel)[:, 0]
        return spread[0] / (spread[1] + 1e-6) * data.effort**gesture.effort

    def _hold(self, moves: list[torch.Tensor], held: torch.Tensor, row: torch.Tensor, jaw: float, closed: float
              ) -> list[torch.Tensor]:  # fmt: skip
        names, out = list(MEASURES), list(moves)
        for k, group in enumerate(self.group):
            if GROUPS[group] == "lips":
                goal = torch.tensor(closed) if closed and names[k] == "close" else row[k].detach()
                out[k] = moves[k] + held * (goal - moves[k])
        j, f = names.index("jaw"), names.index("funnel")
        out[j] = moves[j] + held * (torch.clamp(moves[j], max=jaw) - moves[j])
        out[f] = moves[f] * (1 - held)
        return out

    def tracks(self, data: Data) -> torch.Tensor:
        return (self.moves(data) @ self.measures) * self.scale.exp() + self.offset

    def bounded(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Targets and dominance as they go into the table."""
        return self.targets.detach().clamp(0, 1).numpy(), self.dominance.detach().exp().numpy()

    def penalty(self) -> torch.Tensor:
        off = ((self.targets - self.prior) / (self.reach * TARGET_SPREAD / USUAL)).square().sum()
        return PRIOR * (off + (self.dominance - self.prior_dominance).square().sum()) + 0.05 * self.scale.square().sum()


def fit(clips: list[GridClip], steps: int = 150, only_scale: bool = False) -> Fit:
    """Adam on the relative squared error of the tracks plus the distance from phonetics."""
    model, data = Fit(articulation()), joined(clips)
    spread = data.tracks[data.good].std(0)
    groups = [{"params": [model.scale], "lr": 0.03}, {"params": [model.offset], "lr": 0.003}]
    if not only_scale:
        groups += [{"params": [model.targets], "lr": 0.01}, {"params": [model.dominance], "lr": 0.03}]
    optimiser = torch.optim.Adam(groups)
    for _ in range(steps):
        optimiser.zero_grad()
        error = ((model.tracks(data) - data.tracks) / spread)[data.good].square().mean()
        (error + model.penalty()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            reach = float(np.log(STRONGEST))
            model.dominance.clamp_(model.prior_dominance - reach, model.prior_dominance + reach)
            model.targets.clamp_(model.prior - model.reach, model.prior + model.reach)
    return model


def correlations(model: Fit, clips: list[GridClip]) -> dict[str, float]:
    """r of each track over all frames that count."""
    data = joined(clips)
    with torch.no_grad():
        made = model.tracks(data)[data.good].numpy()
    real = data.tracks[data.good].numpy()
    return {name: float(np.corrcoef(made[:, i], real[:, i])[0, 1]) for i, name in enumerate(TRACKS)}


def table_bytes(model: Fit, frames: NDArray[np.float32]) -> bytes:
    """targets.csv with the fitted numbers in the rows that GRID knows well enough."""
    path = assets_folder() / "articulation" / "targets.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    targets, dominance = model.bounded()
    for row in rows:
        u = unit_index(row["unit"])
        if frames[u] < ENOUGH or units()[u].is_silence or units()[u].bilabial or units()[u].labiodental:
            continue
        for k, name in enumerate(MEASURES):
            if name in FITTED:
                row[name] = _short(targets[u, k])
        for g, group in enumerate(GROUPS):
            row[f"d_{group}"] = _short(dominance[u, g])
        row["source"] = f"grid train ({int(frames[u])} frames)"
    stream_out = io.StringIO()
    writer = csv.DictWriter(stream_out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream_out.getvalue().encode()


def _short(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def calibrate(clips: int, steps: int, out: Path | None) -> None:
    """Prints the fit; writes the table where `out` names a file."""
    if not (data_folder() / "grid").is_dir():
        raise InputError("GRID is not at hand; accepted: the folder of data sets in $FACERIG_DATA or ../shared/data")
    torch.set_num_threads(1)
    train, val = grid_clips("train", clips), grid_clips("val")
    model = fit(train, steps)
    for name, own in (("train", train), ("val", val)):
        print(name, " ".join(f"{k} {v:.3f}" for k, v in correlations(model, own).items()))
    print("scale", [round(float(s), 2) for s in model.scale.exp()])
    if out is not None:
        print(write_file(out, table_bytes(model, np.sum([c.belief.sum(axis=0) for c in train], axis=0))))


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.train.teacher.calibrate", __doc__)
    asked.add_argument("--dry-run", action="store_true", help="print the fit, write nothing")
    asked.add_argument("--clips", type=int, default=400, help="training clips to fit on (default %(default)s)")
    asked.add_argument("--steps", type=int, default=150, help="of the fit (default %(default)s)")
    asked.add_argument("--out", type=Path, default=assets_folder() / "articulation" / "targets.csv",
                       help="file for the table (default: the asset, which is replaced)")
    options = asked.parse_args(arguments)
    return finished(lambda: calibrate(options.clips, options.steps, None if options.dry_run else options.out))


if __name__ == "__main__":
    sys.exit(main())
