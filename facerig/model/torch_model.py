"""The same Stage through torch, eager: the reference that the exported graph is compared with, and a runtime of its own
where somebody wants it (`runtime = torch`). Knows no training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from facerig.model.net import Net
from facerig.model.runtime import ModelStage
from facerig.stage import Frames, State


@dataclass(frozen=True)
class TorchModel(ModelStage):
    """A Net in evaluation mode behind the Stage protocol."""

    net: Net = field(repr=False, compare=False, kw_only=True)
    digest: str = field(default="", kw_only=True)
    """SHA-256 of the weights file, where they came from one."""

    @classmethod
    def of(cls, net: Net, digest: str = "") -> TorchModel:
        return cls(net.config, net=net.eval(), digest=digest)

    @property
    def runtime(self) -> str:
        return "torch cpu"

    def run(self, frames: Frames, state: State) -> list[Frames]:
        tensors = [torch.from_numpy(np.ascontiguousarray(array, np.float32)) for array in (*self.split(frames), *state)]
        with torch.inference_mode():
            return [out.contiguous().numpy() for out in self.net(*tensors)]
