"""The network on a CUDA device behind the same Stage: fixed memory and one captured graph a batch bucket.

Batches are filled up to a power of two, so that few graphs serve any number of streams; rows do not touch, so what the
filling holds does not matter. States stay on the device (`OnDevice`), in slots too (`slots`), and become float32 numpy
where somebody asks for them. With device="cpu" the same lines run without graphs: that is how they are tested.
Knows no server and no thread but the lock that keeps two callers off the fixed memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from facerig.errors import ServiceError, check_option
from facerig.features import FEATURES
from facerig.model.net import Net
from facerig.model.runtime import ModelStage
from facerig.stage import Frames, State

TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
TRIES = 3  # steps before a graph is captured: libraries claim their workspaces in the first ones
SPEECH = 3  # outputs before the pasts: curves, contacts, units


def bucket(count: int) -> int:
    """The power of two that holds so many streams."""
    return 1 << max(0, count - 1).bit_length()


def device_of(name: str) -> torch.device:
    """The device, or our error where this machine has none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ServiceError(f"device: got 'cuda', but torch {torch.__version__} finds no CUDA device; install the "
                           "driver and a torch built for CUDA, or use cpu")
    return torch.device(name)


class OnDevice:
    """An array that lives on the device: numpy to whoever asks for its values, never changed once made."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __getitem__(self, index: Any) -> OnDevice:
        return OnDevice(self.tensor[_index(index, self.tensor.device)].clone())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return _numpy(self.tensor).astype(dtype or np.float32, copy=False)

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)


class Slots(OnDevice):
    """Room for the states of many streams; `slots[numbers]` gathers a copy, `slots[numbers] = states` scatters."""

    def __setitem__(self, index: Any, values: Any) -> None:
        self.tensor[_index(index, self.tensor.device)] = _tensor(values).to(self.tensor)


@dataclass(frozen=True)
class CudaModel(ModelStage):
    """A Net on a device in a precision; `of` makes one."""

    net: Net = field(repr=False, compare=False, kw_only=True)
    precision: str = field(default="fp16", kw_only=True)
    digest: str = field(default="", kw_only=True)
    _steps: dict[tuple[int, int], _Step] = field(default_factory=dict, repr=False, compare=False, kw_only=True)
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False, kw_only=True)

    @classmethod
    def of(cls, net: Net, device: str = "cuda", precision: str = "fp16", digest: str = "") -> CudaModel:
        check_option("precision", precision, ", ".join(TYPES), precision in TYPES)
        placed = deepcopy(net).eval().to(device_of(device), TYPES[precision])
        return cls(net.config, net=placed, precision=precision, digest=digest)

    @property
    def runtime(self) -> str:
        return f"{self._like.device.type} {self.precision}"

    def run(self, frames: Frames, state: State) -> list[Frames]:
        given = [_tensor(array) for array in (*self.split(frames), *state)]
        with self._lock, torch.no_grad():
            out = self._step(bucket(len(frames)), frames.shape[1])(given)
            speech = [_numpy(tensor) for tensor in out[:SPEECH]]
        return speech + [cast(Frames, OnDevice(tensor)) for tensor in out[SPEECH:]]

    def slots(self, count: int) -> State:
        """Room on the device for the states of so many streams."""
        return cast(State, tuple(Slots(self._like.new_zeros(count, *array.shape)) for array in self.start()))

    @property
    def _like(self) -> Tensor:
        return next(self.net.parameters()).detach()

    def _step(self, size: int, frames: int) -> _Step:
        if (size, frames) not in self._steps:
            shapes = [(frames, FEATURES), (frames, self.config.condition), *self.config.pasts()]
            self._steps[size, frames] = _Step(self.net, [self._like.new_zeros(size, *shape) for shape in shapes])
        return self._steps[size, frames]


class _Step:
    """The network on memory that stays where it is; on CUDA a graph that was captured there once."""

    def __init__(self, net: Net, inputs: Sequence[Tensor]) -> None:
        self._net, self._inputs = net, inputs
        self._outputs: tuple[Tensor, ...] = ()
        self._graph: Any = None
        if inputs[0].is_cuda:
            self._capture()

    def __call__(self, given: Sequence[Tensor]) -> list[Tensor]:
        """Inputs of B rows, B up to the bucket -> new tensors of B rows."""
        count = len(given[0])
        for mine, theirs in zip(self._inputs, given, strict=True):
            mine[:count].copy_(theirs)
        if self._graph is None:
            self._outputs = self._net(*self._inputs)
        else:
            self._graph.replay()
        return [out[:count].clone() for out in self._outputs]

    def _capture(self) -> None:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(TRIES):
                self._net(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = self._net(*self._inputs)


def _tensor(values: Any) -> Tensor:
    if isinstance(values, OnDevice):
        return values.tensor
    return torch.from_numpy(np.require(values, np.float32, ["C", "W"]))


def _numpy(tensor: Tensor) -> Frames:
    out: Frames = tensor.float().cpu().contiguous().numpy()
    return out


def _index(index: Any, device: torch.device) -> Any:
    return torch.from_numpy(index).to(device) if isinstance(index, np.ndarray) else index
