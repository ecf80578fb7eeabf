"""Weights on disk: safetensors and a json with config, SHA-256 and figures; and the exported graph. Never a pickle."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of

from facerig.errors import ModelError
from facerig.features import FEATURES
from facerig.files import write_file
from facerig.model.config import NetConfig
from facerig.model.net import Net
from facerig.model.runtime import HINT, read_card

OPSET = 18


def to_onnx(net: Net) -> bytes:
    """The graph with the pasts as inputs and outputs; batch and frames are free."""
    net = net.eval()
    batch, frames = 2, 3
    feats = torch.zeros(batch, frames, FEATURES)
    arguments = (feats, torch.zeros(batch, frames, net.config.condition), *net.rest(batch))
    states = [f"past{k}" for k in range(len(arguments) - 2)]
    free = {0: torch.export.Dim("batch", min=1, max=4096)}
    both = {**free, 1: torch.export.Dim("frames", min=1, max=4096)}
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            net, arguments, dynamo=True, opset_version=OPSET, optimize=True, verbose=False, external_data=False,
            input_names=["feats", "condition", *states],
            output_names=["curves", "contacts", "units", *(f"next_{name}" for name in states)],
            dynamic_shapes=(both, both, tuple(free for _ in states)),
        )  # fmt: skip
        assert program is not None
        stream.write(program.model_proto.SerializeToString())
    return stream.getvalue()


def save(net: Net, folder: Path, figures: dict[str, Any] | None = None, name: str | None = None) -> Path:
    """Write NAME.safetensors, NAME.onnx and, last, NAME.json; returns the json's path."""
    name = name or net.config.name
    weights = bytes_of({key: tensor.detach().float().contiguous() for key, tensor in net.state_dict().items()})
    files = {f"{name}.safetensors": weights, f"{name}.onnx": to_onnx(net)}
    for file, data in files.items():
        write_file(folder / file, data)
    card = {
        "config": json.loads(net.config.to_json()),
        "parameters": sum(p.numel() for p in net.parameters()),
        "sha256": {file: hashlib.sha256(data).hexdigest() for file, data in files.items()},
        "figures": figures or {},
    }
    return write_file(folder / f"{name}.json", (json.dumps(card, indent=1) + "\n").encode())


def load_net(path: Path) -> Net:
    """The Net of a .safetensors file and the json beside it."""
    card = read_card(path)
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != card.get("sha256", {}).get(path.name):
            raise ModelError(f"{path.name}: damaged, its SHA-256 is not the one in {path.stem}.json; {HINT}")
        net = Net(NetConfig.from_dict(card["config"], path.name))
        net.load_state_dict(tensors_of(data))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path.name}: cannot be read ({str(error).splitlines()[0]}); {HINT}") from error
    return net.eval()
