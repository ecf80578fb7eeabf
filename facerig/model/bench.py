"""How fast the network alone is: one stream frame by frame and in blocks, and many streams in one call.

Processor time of one thread: on a machine that others use too it says what the wall clock would say if they did not.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from facerig.features import FEATURES
from facerig.model.runtime import OnnxModel, installed, load
from facerig.stage import FPS, State

BLOCKS = (1, 6)
STREAMS, STREAM_BLOCK = 64, 6
SECONDS = 3.0  # of audio a stream, for each figure
ROUNDS = 5


def bench_model() -> dict[str, Any]:
    """Milliseconds a step and real-time factor of every installed model; median of a few rounds."""
    return {name: _figures(load(name)) for name in installed()}


def _figures(model: OnnxModel) -> dict[str, Any]:
    out: dict[str, Any] = {"lookahead_ms": round(1000 * model.delay / FPS), "memory_s": round(model.memory / FPS, 2)}
    for block in BLOCKS:
        step = _step(model, 1, block, int(SECONDS * FPS / block))
        out[f"step_{block}_ms"] = round(step * 1e3, 3)
        out[f"rtf_{block}"] = round(step * FPS / block, 4)
    step = _step(model, STREAMS, STREAM_BLOCK, int(SECONDS * FPS / STREAM_BLOCK) // 2)
    out[f"streams_{STREAMS}_step_{STREAM_BLOCK}_ms"] = round(step * 1e3, 2)
    out[f"streams_{STREAMS}_times_real_time"] = round(STREAMS * STREAM_BLOCK / FPS / step, 1)
    return out


def _step(model: OnnxModel, streams: int, block: int, count: int) -> float:
    """Median processor seconds of a push."""
    feats = np.random.default_rng(0).normal(size=(streams, block, FEATURES)).astype(np.float32)
    state: State = tuple(np.repeat(array[None], streams, axis=0) for array in model.start())
    rounds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(count):
            state, _ = model.push_batch(state, feats)
        rounds.append((time.process_time() - begin) / count)
    return float(np.median(rounds))
