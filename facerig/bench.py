"""Benches: each returns figures as a dict, and none judges. `facerig bench NAME` prints them; the last line is JSON.

A bench lives beside what it measures; the table names it. Machines are noisy: figures are medians over repeats, and the
load average stands beside them.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, cast

import numpy as np

from facerig.errors import OptionError

BENCHES: dict[str, tuple[str, str]] = {
    "chain": ("facerig.bench:bench_chain", "speed of the whole chain against real time, one core"),
    "import": ("facerig.bench:bench_import", "time to import facerig, exporters and unreal_bridge"),
    "retarget": ("facerig.retarget:bench_retarget", "curves to MetaHuman: a take, and a single frame"),
    "export": ("exporters.bench:bench_export", "every heavy format: seconds, memory, size"),
    "deform": ("facerig.heads.bench:bench_deform", "deformation of a head, vertices a second"),
    "preview": ("facerig.preview.bench:bench_preview", "pictures a second"),
    "live": ("facerig.live.bench:bench_live", "jitter and drift of live senders"),
    "serve": ("facerig.server.bench:bench_serve", "latency and capacity of the server"),
    "behaviour": ("facerig.behaviour.bench:bench_behaviour", "all behaviours: share of a core a stream, alone and 64"),
    "model": ("facerig.model.bench:bench_model", "the network alone: step time, batch of streams"),
}


def run_bench(name: str) -> dict[str, Any]:
    """The figures of one bench, with the load of the machine beside them."""
    if name not in BENCHES:
        raise OptionError(f"bench: got {name!r}, accepted: {', '.join(available())}")
    if name not in available():
        raise OptionError(f"bench: {name} is not part of this installation, accepted: {', '.join(available())}")
    before = os.getloadavg()[0]
    figures = _function(name)()
    return {"bench": name, **figures, "load_before": round(before, 2), "cores": os.cpu_count()}


def available() -> list[str]:
    """The benches whose module is installed."""
    return [name for name, (target, _) in BENCHES.items() if _exists(target.partition(":")[0])]


def _exists(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _function(name: str) -> Callable[[], dict[str, Any]]:
    module, _, function = BENCHES[name][0].partition(":")
    return cast(Callable[[], dict[str, Any]], getattr(importlib.import_module(module), function))


def timed(action: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of an action, after one run that is not counted."""
    action()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return median(times)


def bench_chain(seconds: float = 20.0) -> dict[str, Any]:
    """Real-time factor of the default model in 16.7 ms and 100 ms blocks, at 16, 24 and 48 kHz."""
    from facerig.pipeline import Animator

    noise = np.random.default_rng(0).standard_normal(int(seconds * 48_000)).astype(np.float32) * 0.05
    figures: dict[str, Any] = {}
    for block in (1, 6):
        animator = Animator.load(block=block)
        for rate in (16_000, 24_000, 48_000):
            clip = noise[: int(seconds * rate)]
            took = timed(lambda a=animator, c=clip, r=rate: a.animate(c, r), repeats=3)  # type: ignore[misc]
            figures[f"rtf_block{block}_{rate // 1000}k"] = round(took / seconds, 5)
        figures["model"] = animator.model
    figures["x_real_time_block6_24k"] = round(1 / figures["rtf_block6_24k"], 1)
    return figures


def bench_import(repeats: int = 7) -> dict[str, Any]:
    """A fresh interpreter each time; the interpreter's own start is subtracted."""

    def start(statement: str) -> float:
        return timed(lambda: subprocess.run([sys.executable, "-c", statement], check=True), repeats)

    bare, ours = start("pass"), start("import facerig, exporters, unreal_bridge")
    return {"interpreter_s": round(bare, 4), "with_import_s": round(ours, 4), "import_s": round(ours - bare, 4)}
