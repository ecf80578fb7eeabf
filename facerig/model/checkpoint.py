"""Weights on disk: safetensors and a json with config, SHA-256 and figures; and the exported graph, which names them.
Never a pickle."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

from facerig.errors import MissingExtra, ModelError
from facerig.features import FEATURES
from facerig.files import write_file
from facerig.model.config import NetConfig
from facerig.model.net import Net
from facerig.model.runtime import HINT, checked, read_card

OPSET = 18
SURE = 1024  # numbers whose being equal is no chance


def check_export() -> None:
    """A MissingExtra where the graph could not be written: to be known before a training and not behind it."""
    for name in ("onnx", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtra("writing a model's graph", "train", name)


def to_onnx(net: Net) -> bytes:
    """The graph with the pasts as inputs and outputs; batch and frames are free, weights are named and not held."""
    net = net.eval()
    batch, frames = 2, 3
    feats = torch.zeros(batch, frames, FEATURES)
    arguments = (feats, torch.zeros(batch, frames, net.config.condition), *net.rest(batch))
    states = [f"past{k}" for k in range(len(arguments) - 2)]
    free = {0: torch.export.Dim("batch", min=1, max=4096)}
    both = {**free, 1: torch.export.Dim("frames", min=1, max=4096)}
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
    return _without_weights(program.model_proto, net.state_dict())


def _without_weights(model: Any, state: Mapping[str, Tensor]) -> bytes:
    """A graph whose constants are a network's tensors, as they are or turned, becomes one that names these."""
    from onnx import numpy_helper

    own = {name: tensor.detach().float().numpy() for name, tensor in state.items()}
    graph, used, nodes = model.graph, set(), []
    for constant in list(graph.initializer):
        name, turned = _named(constant.name, numpy_helper.to_array(constant), own)
        if name:
            graph.initializer.remove(constant)
            used.add(name)
            nodes += _made(constant.name, name, turned)
    graph.initializer.extend(_outside(name, own[name].shape) for name in sorted(used))
    nodes += graph.node
    for node in nodes:
        del node.metadata_props[:]  # where in whose Python each came from
        node.ClearField("doc_string")
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _named(constant: str, values: Any, own: Mapping[str, Any]) -> tuple[str, bool]:
    """The tensor that a constant is, and whether it is turned; no name where it is none."""
    if constant in own:
        return constant, False
    for name, array in own.items():
        if values.size >= SURE and np.array_equal(array.T, values):
            return name, array.ndim == 2
    return "", False


def _made(constant: str, name: str, turned: bool) -> list[Any]:
    """How a constant comes of the tensor; a runtime does that once, when it loads the graph."""
    from onnx import helper

    if turned:
        return [helper.make_node("Transpose", [name], [constant], perm=[1, 0])]
    return [] if constant == name else [helper.make_node("Identity", [name], [constant])]


def _outside(name: str, shape: Sequence[int]) -> Any:
    from onnx import TensorProto

    out = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    out.external_data.add(key="location", value="the .safetensors file")
    return out


def weights_of(net: Net) -> bytes:
    """The .safetensors file's."""
    return bytes_of({key: tensor.detach().float().contiguous() for key, tensor in net.state_dict().items()})


def save(net: Net, folder: Path, figures: dict[str, Any] | None = None, name: str | None = None) -> Path:
    """Write NAME.safetensors, NAME.onnx and, last, NAME.json; returns the json's path."""
    name = name or net.config.name
    files = {f"{name}.safetensors": weights_of(net), f"{name}.onnx": to_onnx(net)}
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
    data = checked(path, card)
    try:
        net = Net(NetConfig.from_dict(card["config"], path.name))
        net.load_state_dict(tensors_of(data))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path.name}: cannot be read ({str(error).splitlines()[0]}); {HINT}") from error
    return net.eval()
