"""What behaviour costs: the share of one core that a stream takes, alone and in a batch of 64."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from facerig.audio import read
from facerig.behaviour import Life
from facerig.behaviour.scene import CURVES, INPUTS
from facerig.controls import rows_of
from facerig.files import assets_folder
from facerig.prosody import PROSODY, Prosody
from facerig.resample import Resample
from facerig.stage import FPS, SAMPLES, Frames, State

BLOCK = 6
STREAMS = 64


def bench_behaviour(seconds: float = 20.0) -> dict[str, Any]:
    """Share of a core (processor time over time shown), at blocks of 100 ms, on speech, everything on."""
    frames = _speech(round(seconds * FPS))
    prosody, life = Prosody(), Life()
    alone = {"prosody": _share(prosody, prosody.start(), frames, 1),
             "behaviour": _share(life, life.start(), _inputs(frames), 1)}  # fmt: skip
    many = {"prosody": _share(prosody, prosody.start(), frames, STREAMS),
            "behaviour": _share(life, life.start(), _inputs(frames), STREAMS)}  # fmt: skip
    figures: dict[str, Any] = {"block": BLOCK, "streams": STREAMS}
    for name, parts in (("alone", alone), (f"of_{STREAMS}", many)):
        figures.update({f"{part}_{name}_percent_of_a_core": round(100 * share, 3) for part, share in parts.items()})
        figures[f"all_{name}_percent_of_a_core"] = round(100 * sum(parts.values()), 3)
    return figures


def _speech(count: int) -> Frames:
    clip = read(assets_folder() / "demo.wav")
    edge = Resample(clip.rate)
    _, frames = edge.push(edge.start(), np.asarray(clip.samples, np.float32))
    return np.resize(frames, (count, SAMPLES))


def _inputs(frames: Frames) -> Frames:
    """Speech's prosody and default controls beside curves at rest."""
    stage = Prosody()
    rows = np.zeros((len(frames), INPUTS), np.float32)
    state = stage.start()
    for at in range(0, len(frames), BLOCK):
        state, rows[at : at + BLOCK, CURVES : CURVES + len(PROSODY)] = stage.push(state, frames[at : at + BLOCK])
    rows[:, CURVES + len(PROSODY) :] = rows_of(len(frames))
    return rows


def _share(stage: Prosody | Life, start: State, frames: Frames, streams: int) -> float:
    """Processor seconds a second shown and a stream; the median of pieces, so that a busy machine counts less."""
    state: State = tuple(np.stack([array] * streams) for array in start)
    took = []
    for at in range(0, len(frames) - BLOCK, BLOCK):
        block = np.repeat(frames[None, at : at + BLOCK], streams, axis=0)
        begin = time.process_time()
        state, _ = stage.push_batch(state, block)
        took.append(time.process_time() - begin)
    return float(np.mean(np.sort(took)[: len(took) * 9 // 10])) * FPS / BLOCK / streams
