"""A training run on disk: weights, their running mean and the optimiser's moments as safetensors, the rest as json; and
what a new run takes over from a shipped model, of another look-ahead too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from facerig.errors import ModelError, OptionError
from facerig.files import write_file
from facerig.model.config import NetConfig
from facerig.model.runtime import read_card
from facerig.stage import FPS

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
HEADS = "heads."  # of the encoder, one a look-ahead
LAYERS = "layers."
ADDED_BY = ("down", "out")  # the last product of a layer: what it adds to its input
SIZES = ("width", "encoder", "stride", "kernel", "spread", "heads", "decoder_width", "decoder", "condition", "channels",
         "units")  # what weights of another model must share  # fmt: skip


class Ema:
    """Running mean of the weights: what is judged and shipped."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = {key: value.detach().clone() for key, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in net.state_dict().items():
            self.weights[key].lerp_(value, 1 - decay)


def save_run(path: Path, net: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> None:
    """Both files whole or as before; the json last."""
    tensors: dict[str, Tensor] = {f"net.{key}": value for key, value in net.state_dict().items()}
    tensors |= {f"ema.{key}": value for key, value in ema.weights.items()}
    for name, parameter in net.named_parameters():
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"{kind}.{name}": moments[kind] for kind in MOMENTS if kind in moments}
    plain = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    write_file(path.with_suffix(".safetensors"), bytes_of(plain))
    write_file(path.with_suffix(".json"), json.dumps({**facts, "ema_steps": ema.steps}, indent=1).encode())


def facts_in(path: Path, made: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a run on disk. One that was not `made` like this one is not gone on with."""
    facts: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
    others = [name for name, value in made.items() if facts.get(name) != value]
    if others:
        raise OptionError(f"{path.parent}: holds a run of another {' and '.join(others)}; accepted: the options and "
                          "data that it was begun with, which go on with it, another folder (--cache), or this one "
                          "removed")
    return facts


def load_run(path: Path, net: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer,
             made: Mapping[str, Any]) -> dict[str, Any]:
    """Put everything back; returns the facts."""
    facts = facts_in(path, made)
    tensors = load_file(path.with_suffix(".safetensors"), device=str(next(net.parameters()).device))
    net.load_state_dict(_part(tensors, "net."))
    ema.weights, ema.steps = _part(tensors, "ema."), int(facts["ema_steps"])
    for name, parameter in net.named_parameters():
        moments = {kind: tensors[f"{kind}.{name}"] for kind in MOMENTS if f"{kind}.{name}" in tensors}
        if moments:
            optimizer.state[parameter] = moments
    return facts


def gone_on(path: Path, spent: float, seconds: float, progress: float) -> str:
    """What is said of a run that was begun before."""
    if progress >= 1:
        return f"{path}: is done: nothing left to train; more --minutes go on with it, another --seed begins another"
    return f"{path}: goes on from minute {spent / 60:.1f} of {seconds / 60:.1f}"


def forget(path: Path) -> None:
    """Removes a run's files: what it made is written elsewhere."""
    for suffix in (".json", ".safetensors"):
        path.with_suffix(suffix).unlink(missing_ok=True)


def facts_of(seed: int, start: Path | None, data: Mapping[str, str]) -> dict[str, Any]:
    """What any run is made of: one of other facts is another run."""
    began = hashlib.sha256(start.read_bytes()).hexdigest()[:16] if start else None
    return {"seed": seed, "start": began, "data": dict(data)}


def weights_hash(net: nn.Module) -> str:
    """A name for a network's weights."""
    plain = {key: value.detach().contiguous() for key, value in net.state_dict().items()}
    return hashlib.sha256(bytes_of(plain)).hexdigest()[:16]


def load_ema(path: Path, net: nn.Module) -> None:
    """The running mean of a run into a network."""
    net.load_state_dict(_part(load_file(path.with_suffix(".safetensors")), "ema."))


def load_shipped(path: Path, net: nn.Module, part: str) -> None:
    """One part ("encoder", "decoder") of a shipped model's weights into a network of its shape; what the network has no
    place for (an expression head, heads of other look-aheads) is left out, heads that are missing are made of their
    neighbours, and layers that it has besides add nothing at first."""
    try:
        held, wanted = _part(load_file(path), f"{part}."), net.state_dict()
        kept = {key: value for key, value in held.items() if key in wanted}
        made = {key: _between(held, key) for key in wanted if key not in held and key.startswith(HEADS)}
        net.load_state_dict({**kept, **made, **_silent_layers(held, wanted)})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path.name}: no {part} of this shape ({str(error).splitlines()[0]})") from error


def taken_over(path: Path, config: NetConfig, deeper: bool = False) -> str:
    """What `load_shipped` will take of a file for a network of this config and what not, in words; a file that does not
    fit is a ModelError before anything is begun. `deeper`: the network may have more layers in its encoder."""
    theirs = NetConfig.from_dict(read_card(path)["config"], path.name)
    fewer = ", or with the first layers of that encoder" if deeper else ""
    for size in SIZES:
        have, want = getattr(theirs, size), getattr(config, size)
        if have != want and not (deeper and size == "encoder" and want.startswith(f"{have} ")):
            raise ModelError(f"{path.name}: its {size.replace('_', ' ')} is {_told(have)}, that of {config.name} is "
                             f"{_told(want)}; accepted: weights of a model of the same sizes{fewer}")  # fmt: skip
    both, lost, new = (_named(part) for part in (
        [n for n in config.taught if n in theirs.taught], [n for n in theirs.taught if n not in config.taught],
        [n for n in config.taught if n not in theirs.taught]))  # fmt: skip
    said = [f"{path.name}: encoder and decoder go on as they are, with the heads for {both} of look-ahead"]
    if theirs.encoder != config.encoder:
        said.append(f"new layers behind its own, which begin by adding nothing:{config.encoder[len(theirs.encoder):]}")
    said += [f"new heads, made of their neighbours: {new}"] if new else []
    said += [f"left out: heads for {lost}"] if lost else []
    if theirs.lookahead != config.lookahead:
        said.append(f"shown was the head for {_named([theirs.lookahead])}, now it is that for "
                    f"{_named([config.lookahead])}: the decoder learns to do with less")  # fmt: skip
    said += ["its expression head is left out: train it anew with --expression"] if theirs.expression else []
    return "; ".join(said)


def _told(value: object) -> str:
    return f"{len(value)} names" if isinstance(value, tuple) else repr(value)


def _named(frames: Sequence[int]) -> str:
    return ", ".join(f"{n * 1000 / FPS:.0f}" for n in frames) + " ms" if frames else ""


def _between(held: dict[str, Tensor], key: str) -> Tensor:
    """A head of the encoder for a look-ahead that has none: read between those of the next shorter and longer one."""
    _, ahead, kind = key.split(".")
    near = neighbours(_look_aheads(held), int(ahead))
    if not near:
        raise RuntimeError(f"no heads to make the one of {ahead} frames of")
    return sum((held[f"{HEADS}{n}.{kind}"] * share for n, share in near), torch.zeros(()))


def _silent_layers(held: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layers behind the last that is held, as the network has them but for their last product, which is nought."""
    last = max((int(key.split(".")[1]) for key in held if key.startswith(LAYERS)), default=-1)
    new = {key: value for key, value in wanted.items() if key.startswith(LAYERS) and int(key.split(".")[1]) > last}
    return {key: torch.zeros_like(value) if key.split(".")[2] in ADDED_BY else value for key, value in new.items()}


def _look_aheads(names: Collection[str]) -> list[int]:
    return sorted({int(name.split(".")[1]) for name in names if name.startswith(HEADS)})


def neighbours(have: Sequence[int], ahead: int) -> list[tuple[int, float]]:
    """(look-ahead, share) of the one or two of `have` that stand for this one."""
    under, over = [n for n in have if n <= ahead], [n for n in have if n >= ahead]
    if not (under and over):
        return [(n, 1.0) for n in (under[-1:] or over[:1])]
    low, high = under[-1], over[0]
    share = (ahead - low) / (high - low) if high > low else 0.0
    return [(low, 1 - share), (high, share)] if share else [(low, 1.0)]


@torch.no_grad()
def averaged(net: nn.Module, other: nn.Module, share: float) -> None:
    """`share` of the other's weights and the rest of its own into a network."""
    theirs = other.state_dict()
    for key, value in net.state_dict().items():
        value.lerp_(theirs[key], share)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
