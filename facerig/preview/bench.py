"""How many pictures a second the renderer draws here."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from facerig.curves import Curves
from facerig.heads.builtin import builtin_head
from facerig.mesh import Head
from facerig.preview.gl import Renderer, Style


def bench_preview(seconds: float = 4.0) -> dict[str, Any]:
    """Pictures a second of the built-in head with every shape moving, by the clock and by processor time, and
    those of a film with its coding.

    The second figure is what a machine without other work would do on the cores that the first one shared.
    """
    head = builtin_head()
    names = head.shape_names
    random = np.random.default_rng(0)
    figures: dict[str, Any] = {"vertices": head.vertex_count}
    for side in (256, 512):
        with Renderer(head, names, Style(side, side)) as renderer:
            renderer.frame(np.zeros(len(names), np.float32))
            wall, used, count = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - wall < seconds:
                renderer.frame(random.random(len(names)).astype(np.float32) * 0.3)
                count += 1
            wall, used = time.perf_counter() - wall, time.process_time() - used
        figures[f"fps_{side}"] = round(count / wall, 2)
        figures[f"cpu_ms_{side}"] = round(1000 * used / count, 1)
    figures["film_fps_512"] = round(_film(head, names, random, int(seconds * 20)), 2)
    figures["load"] = round(os.getloadavg()[0], 2)
    return figures


def _film(head: Head, names: Sequence[str], random: np.random.Generator, count: int) -> float:
    from facerig.preview.movie import mp4
    from facerig.preview.pictures import frames

    values = random.random((count, len(names))).astype(np.float32) * 0.3
    began = time.perf_counter()
    mp4(frames(Curves(tuple(names), 60, values), head, Style(512, 512)), 60, (512, 512))
    return count / (time.perf_counter() - began)
