"""Where training runs: a CPU, a GPU, or several under torchrun (one process each, gradients averaged)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


def device() -> torch.device:
    """The GPU of this process where there is one; torchrun says which."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def join() -> tuple[int, int]:
    """(rank, processes); connects to the others where torchrun started this process."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return (dist.get_rank(), processes) if processes > 1 else (0, 1)


def average(parameters: Iterable[Tensor]) -> None:
    """Mean of the gradients over all processes; nothing where there is one."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def agreed(value: float) -> float:
    """The first process's value in all of them: clocks differ, and all must stop at one step."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    shared = torch.tensor([value], device=device())
    dist.broadcast(shared, 0)
    return float(shared)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: for steps so small that a second one costs more than it does, above all beside others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
