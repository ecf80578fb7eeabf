"""Which runtime computes the network, and where: onnxruntime or torch on the CPU, torch on CUDA. One Stage, whichever.

Loads torch only where it is asked for, or where `auto` finds a CUDA driver. On a CPU `auto` is onnxruntime: in blocks
of two frames it was faster than eager torch at every batch from 1 to 64 (docs/log/server.md), so nothing is measured at
start-up.
"""

from __future__ import annotations

import ctypes
import logging
import os
from pathlib import Path

import numpy as np

from facerig.errors import FacerigError, ServiceError, check_option, extra_module
from facerig.features import FEATURES
from facerig.model.runtime import ModelStage, OnnxModel, graph_of, read_card
from facerig.model.runtime import load as load_onnx

DEVICES = ("auto", "cpu", "cuda")
RUNTIMES = ("auto", "onnx", "torch")
PRECISIONS = ("fp16", "bf16", "fp32")
DRIVER = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
# Largest difference from onnxruntime that is taken for rounding. Measured on speech-like noise: fp16 0.003, bf16 0.02.
ROUNDING = {"fp16": 0.03, "bf16": 0.15, "fp32": 0.001}

log = logging.getLogger("facerig.model")


def check(device: str, runtime: str, precision: str) -> None:
    """Our error where these do not go together."""
    check_option("device", device, ", ".join(DEVICES), device in DEVICES)
    check_option("runtime", runtime, ", ".join(RUNTIMES), runtime in RUNTIMES)
    check_option("precision", precision, ", ".join(PRECISIONS), precision in PRECISIONS)
    check_option("runtime", runtime, "auto or torch beside device cuda", device != "cuda" or runtime != "onnx")


def load(name: str | None = None, device: str = "cpu", runtime: str = "auto", precision: str = "fp16") -> ModelStage:
    """The model of that name or file, ready to run there."""
    check(device, runtime, precision)
    if device == "cuda":
        return load_cuda(name, precision)
    plain = load_onnx(name)
    if device == "auto" and runtime != "onnx" and has_driver():
        try:
            return trusted(load_cuda(name, precision), plain, ROUNDING[precision])
        except (FacerigError, RuntimeError) as error:  # torch's own errors of CUDA are RuntimeErrors
            log.warning("device auto: the CPU is used, since CUDA does not work here: %s", error)
    return load_torch(name) if runtime == "torch" else plain


def said(model: object) -> str:
    """What runs, for people: `onnx cpu`, `torch cpu`, `cuda fp16`."""
    return "onnx cpu" if isinstance(model, OnnxModel) else str(getattr(model, "runtime", "numpy cpu"))


def digest(model: object) -> str:
    """The weights' mark, where they were not read from the exported graph."""
    return str(getattr(model, "digest", ""))


def load_torch(name: str | None = None) -> ModelStage:
    """Eager torch on the CPU."""
    extra_module("torch", "runtime torch", "torch")
    from facerig.model.checkpoint import load_net
    from facerig.model.torch_model import TorchModel

    path = weights(name)
    return TorchModel.of(load_net(path), _digest(path))


def load_cuda(name: str | None = None, precision: str = "fp16") -> ModelStage:
    """The network on a CUDA device; our errors where torch or the device is missing."""
    extra_module("torch", "device cuda", "torch")
    from facerig.model.checkpoint import load_net
    from facerig.model.cuda import CudaModel, device_of

    device_of("cuda")
    path = weights(name)
    return CudaModel.of(load_net(path), "cuda", precision, _digest(path))


def weights(name: str | None) -> Path:
    """The .safetensors file that lies beside the graph."""
    return graph_of(name).with_suffix(".safetensors")


def _digest(path: Path) -> str:
    return str(read_card(path).get("sha256", {}).get(path.name, ""))


def has_driver() -> bool:
    """Whether NVIDIA's driver is there; costs nothing, which loading torch would not."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def trusted(model: ModelStage, plain: ModelStage, rounding: float) -> ModelStage:
    """The model, if it gives what the plain one gives: three streams, two steps, so that states go round once."""
    frames = np.random.default_rng(0).standard_normal((2, 3, 4, FEATURES)).astype(np.float32)
    state = tuple(np.repeat(array[None], 3, axis=0) for array in plain.start())
    mine, theirs = state, state
    for block in frames:
        mine, got = model.push_batch(mine, block)
        theirs, wanted = plain.push_batch(theirs, block)
        worst = float(np.abs(got - wanted).max())
        if not worst <= rounding:  # NaN is not either
            raise ServiceError(f"{said(model)} differs from {said(plain)} by {worst:.2g}, accepted: {rounding:g}")
    return model
