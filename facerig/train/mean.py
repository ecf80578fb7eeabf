"""The mean of runs that began from the same weights and differ by their seed: a part of what each does wrong cancels.

One step more than a run has, for those who have time for two: `facerig train NAME --mean FILE --mean FILE`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from facerig.model.checkpoint import save
from facerig.model.config import NetConfig
from facerig.model.net import Net
from facerig.model.runtime import read_card
from facerig.train import recipe
from facerig.train.corpora import load_packed
from facerig.train.decoder import measured
from facerig.train.resume import averaged, load_shipped, taken_over
from facerig.train.run import Plan, content_figures, motion_judges


def mean(plan: Plan, files: Sequence[Path], tell: Callable[[str], None]) -> dict[str, Any]:
    """Writes the mean of models of the plan's preset to its folder and returns its figures. With a start, the share of
    that in the encoder is chosen as at the end of a run."""
    config = recipe.config(plan.name)
    for file in files:
        taken_over(file, config)  # or says what does not fit
    net = of(files, config)
    tell(f"the mean of {len(files)} models is judged on clips kept apart, which takes a minute or two")
    held = load_packed()
    figures = {
        "mean_of": len(files),
        **({} if plan.start else kept_share(files)),
        **content_figures(net, plan, recipe.judges(plan.features, held)),
        "motion": {name: measured(net, data) for name, data in motion_judges(net, plan, held).items()},
    }
    save(net, plan.out, figures)
    return figures


def kept_share(files: Sequence[Path]) -> dict[str, Any]:
    """What all the models' cards tell alike of a start's share: decoders that were taught on one encoder."""
    told = [read_card(file)["figures"].get("share_of_start") for file in files]
    return {"share_of_start": told[0]} if told[0] and all(other == told[0] for other in told) else {}


def of(files: Sequence[Path], config: NetConfig) -> Net:
    """The mean of shipped models, each counting as much; expression heads are left out, as they fit one decoder."""
    net = _loaded(files[0], config)
    for count, file in enumerate(files[1:], 2):
        averaged(net, _loaded(file, config), 1 / count)
    return net.eval()


def _loaded(file: Path, config: NetConfig) -> Net:
    net = Net(config)
    for part, module in (("encoder", net.encoder), ("decoder", net.decoder)):
        load_shipped(file, module, part)
    return net
