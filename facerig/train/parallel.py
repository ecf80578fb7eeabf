"""Where training runs: a CPU, a GPU, or several under torchrun: one process each, which hold the same network, hear
other crops, average their gradients and go by the first one's clock. The first one alone writes."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
PATIENCE = timedelta(hours=2)  # that the others wait while the first makes corpora or labels


def device() -> torch.device:
    """The GPU of this process where there is one; torchrun says which."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def join() -> tuple[int, int]:
    """(rank, processes); connects to the others where torchrun started this process."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        atexit.register(dist.destroy_process_group)  # its threads would be running still, and end the process by abort
    return (dist.get_rank(), processes) if processes > 1 else (0, 1)


def rank() -> int:
    """Which of the processes this is; 0 is the first, or the only one."""
    return dist.get_rank() if _several() else 0


def processes() -> int:
    """How many they are."""
    return dist.get_world_size() if _several() else 1


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


def shared(net: nn.Module) -> None:
    """The first process's weights in all of them: averaged gradients mean nothing to networks that differ."""
    if _several():
        for tensor in net.state_dict().values():
            dist.broadcast(tensor, 0)


def first_then_others(make: Callable[[], T]) -> T:
    """What `make` gives; the first process makes it before the others, who then find its files."""
    if rank():
        agreed(0.0)
        return make()
    made = make()
    agreed(0.0)
    return made


def average(parameters: Iterable[Tensor]) -> None:
    """Mean of the gradients over all processes; nothing where there is one."""
    if not _several():
        return
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= processes()


def agreed(value: float) -> float:
    """The first process's value in all of them: clocks differ, and all must learn at one rate and stop at one step."""
    if not _several():
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device())
    dist.broadcast(told, 0)
    return float(told)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: for steps so small that a second one costs more than it does, above all beside others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
