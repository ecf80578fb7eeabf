"""A training run on disk: weights, their running mean and the optimiser's moments as safetensors, the rest as json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from facerig.errors import ModelError
from facerig.files import write_file

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


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


def load_run(path: Path, net: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put everything back; returns the facts."""
    tensors = load_file(path.with_suffix(".safetensors"), device=str(next(net.parameters()).device))
    facts: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
    net.load_state_dict(_part(tensors, "net."))
    ema.weights, ema.steps = _part(tensors, "ema."), int(facts["ema_steps"])
    for name, parameter in net.named_parameters():
        moments = {kind: tensors[f"{kind}.{name}"] for kind in MOMENTS if f"{kind}.{name}" in tensors}
        if moments:
            optimizer.state[parameter] = moments
    return facts


def load_ema(path: Path, net: nn.Module) -> None:
    """The running mean of a run into a network."""
    net.load_state_dict(_part(load_file(path.with_suffix(".safetensors")), "ema."))


def load_shipped(path: Path, net: nn.Module, part: str) -> None:
    """One part ("encoder", "decoder") of a shipped model's weights into a network of its shape; what the network has no
    place for, an expression head, is left out."""
    try:
        held, wanted = _part(load_file(path), f"{part}."), net.state_dict()
        net.load_state_dict({key: value for key, value in held.items() if key in wanted})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path.name}: no {part} of this shape ({str(error).splitlines()[0]})") from error


@torch.no_grad()
def averaged(net: nn.Module, other: nn.Module, share: float) -> None:
    """`share` of the other's weights and the rest of its own into a network."""
    theirs = other.state_dict()
    for key, value in net.state_dict().items():
        value.lerp_(theirs[key], share)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
